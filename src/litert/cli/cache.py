"""``litert-native cache``: the packed weights and GPU programs that are kept on disk."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from litert.cache import CachedFile, cache_folder, clear_cache, list_programs, list_weights
from litert.errors import OptionError
from litert.printing import aligned, count, printable, show, size

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "cache",
        help="list or clear the packed weights and GPU programs kept on disk",
        description="List or clear what is kept on disk so that models load quickly: packed "
        "weights and GPU programs. Which accelerator runs a model fastest is kept there too, and "
        "cleared with them. Nothing but time is lost.",
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
        OptionError: The folder cannot be read or cleared.
    """
    folder: Path = args.folder or cache_folder()
    if args.action == "list":
        try:
            weights, programs = list_weights(folder), list_programs(folder)
        except OSError as err:
            raise OptionError(f"cache {str(folder)!r}: cannot be read: {err.strerror}") from err
        if args.json:
            print(json.dumps(_as_json(folder, weights, programs), indent=2))
        else:
            show(_as_text(folder, weights, programs))
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


def _as_text(
    folder: Path, weights: Sequence[CachedFile], programs: Sequence[CachedFile]
) -> Iterator[str]:
    parts = [
        f"{what} of {count(len(files), 'model')}"
        for what, files in (("weights", weights), ("GPU programs", programs))
        if files
    ]
    kept = ", ".join([*parts, size(_total(weights, programs))]) if parts else "nothing is kept"
    yield f"{printable(str(folder))}  {kept}"
    rows = [
        (
            "",
            size(file.size_bytes),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(file.used_at)),
            printable(file.path.name),
        )
        for file in (*weights, *programs)
    ]
    if rows:
        yield from aligned([("", "size", "last used", "file"), *rows], right=(1,))


def _as_json(
    folder: Path, weights: Sequence[CachedFile], programs: Sequence[CachedFile]
) -> dict[str, object]:
    return {
        "folder": str(folder),
        "size_bytes": _total(weights, programs),
        "weights": [_described(file) for file in weights],
        "gpu_programs": [_described(file) for file in programs],
    }


def _described(file: CachedFile) -> dict[str, object]:
    return {"path": str(file.path), "size_bytes": file.size_bytes, "used_at": file.used_at}


def _total(weights: Sequence[CachedFile], programs: Sequence[CachedFile]) -> int:
    return sum(file.size_bytes for file in (*weights, *programs))
