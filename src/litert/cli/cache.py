"""``litert-native cache``: the packed weights and GPU programs that are kept on disk."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from litert.cache import CachedFile, cache_folder, clear_cache, list_cached
from litert.cli.output import aligned, count, printable, show, size
from litert.errors import OptionError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "cache",
        help="list or clear the packed weights and GPU programs kept on disk",
        description="List or clear what is kept on disk so that models load quickly. Nothing but "
        "time is lost with it.",
    )
    parser.add_argument("action", choices=("list", "clear"), help="what to do")
    parser.add_argument(
        "--folder", metavar="PATH", type=Path, help="another folder than the user's"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List or clear the cache.

    Raises:
        OptionError: The folder cannot be cleared.
    """
    folder: Path = args.folder or cache_folder()
    if args.action == "list":
        found = list_cached(folder)
        if args.json:
            print(json.dumps(_as_json(folder, found), indent=2))
        else:
            show(_as_text(folder, found))
        return 0
    try:
        removed = clear_cache(folder)
    except OSError as err:
        raise OptionError(f"cache {str(folder)!r}: cannot be cleared: {err}") from err
    if args.json:
        print(json.dumps({"folder": str(folder), "removed_bytes": removed}, indent=2))
    else:
        show([f"removed {size(removed)} from {printable(str(folder))}"])
    return 0


def _as_text(folder: Path, found: Sequence[CachedFile]) -> Iterator[str]:
    total = size(sum(cached.size_bytes for cached in found))
    yield f"{printable(str(folder))}  {count(len(found), 'file')}, {total}"
    rows = [
        (
            "",
            cached.kind,
            size(cached.size_bytes),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(cached.used_at)),
            printable(cached.path.name),
        )
        for cached in found
    ]
    if rows:
        yield from aligned([("", "kind", "size", "last used", "file"), *rows], right=(2,))


def _as_json(folder: Path, found: Sequence[CachedFile]) -> dict[str, object]:
    return {
        "folder": str(folder),
        "size_bytes": sum(cached.size_bytes for cached in found),
        "files": [
            {
                "path": str(cached.path),
                "kind": cached.kind,
                "size_bytes": cached.size_bytes,
                "used_at": cached.used_at,
            }
            for cached in found
        ],
    }
