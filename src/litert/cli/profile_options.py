"""The arguments that ask for a profile, and what becomes of it."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from litert.errors import OptionError
from litert.printing import printable

if TYPE_CHECKING:
    from litert.profiling.profile import Profile


def add_profile_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--profile`` and the files that a profile can be saved as."""
    parser.add_argument("--profile", action="store_true", help="show where the time of a run goes")
    parser.add_argument(
        "--trace", metavar="FILE",
        help="save that as a trace for ui.perfetto.dev or chrome://tracing, too",
    )  # fmt: skip
    parser.add_argument(
        "--plot", metavar="FILE",
        help="save that as an image, too: .png, .svg, .pdf (pip install 'litert-native[plot]')",
    )  # fmt: skip


def asks_for_profile(args: argparse.Namespace) -> bool:
    """Whether a profile is to be made; the files imply it."""
    return bool(args.profile or args.trace is not None or args.plot is not None)


def save_profile(args: argparse.Namespace, profile: Profile) -> None:
    """Write the files that were asked for.

    Raises:
        MissingExtraError: Matplotlib is not installed.
        OptionError: A file cannot be written.
    """
    for option, path, write in (
        ("--trace", args.trace, profile.to_chrome_trace),
        ("--plot", args.plot, profile.plot),
    ):
        if path is None:
            continue
        try:
            write(path)
        except OSError as err:
            raise OptionError(f"{option} {path}: cannot be written: {err.strerror}") from err


def profile_lines(args: argparse.Namespace, profile: Profile | None) -> list[str]:
    """Return what is shown of a profile, after an empty line; nothing without one."""
    if profile is None:
        return []
    saved = [f"saved to {printable(os.fspath(path))}" for path in (args.trace, args.plot) if path]
    return ["", "profile", profile.table(), *([""] if saved else []), *saved]
