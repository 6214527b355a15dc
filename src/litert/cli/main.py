"""The command ``litert-native``."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence

from litert.errors import LiteRTError

PROGRAM = "litert-native"

# Modules of this package, in the order of the help.
COMMANDS = (
    *("run", "generate", "chat", "inspect", "compile", "benchmark"),
    *("accelerators", "cache", "doctor"),
)

_FAILED = 1
_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What follows the program's name; those of this process where it is left out.

    Returns:
        The exit status: 0, 1 for a failure told on stderr, 130 after Ctrl-C. Wrong usage ends in
        SystemExit(2), ``--help`` and ``--version`` in SystemExit(0).
    """
    if arguments is None:
        arguments = sys.argv[1:]
        # Python would notice Ctrl-C only when a run has ended. A shell calls this end 130 too.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A model writes what the terminal's encoding may lack.
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = _make_parser(arguments).parse_args(arguments)
        status: int = args.run(args)
        # A pipe that was closed shows here, not at exit.
        sys.stdout.flush()
    except LiteRTError as err:
        return _fail(str(err))
    except ModuleNotFoundError as err:
        if err.name == "litert" or (err.name or "").startswith("litert."):
            raise
        return _fail(f"the package {err.name} is not installed; see {PROGRAM} doctor")
    except OSError as err:
        _drop_what_cannot_be_written()
        return _FAILED if isinstance(err, BrokenPipeError) else _fail(str(err))
    except KeyboardInterrupt:
        return _INTERRUPTED
    return status


def _make_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Make the parser, with the one command that is asked for or else with all.

    ``doctor`` has to work where what the others import is missing.
    """
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Run and examine LiteRT (.tflite and .litertlm) models.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    first = arguments[0] if arguments else ""
    needed = {"--version": (), **{name: (name,) for name in COMMANDS}}
    for name in needed.get(first, COMMANDS):
        importlib.import_module(f"litert.cli.{name}").add_parser(subparsers)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from litert.doctor import package_version

        print(f"{PROGRAM} {package_version('litert-native') or '(not installed)'}")
        parser.exit()


def _drop_what_cannot_be_written() -> None:
    """Empty stdout where its end is closed or full: Python would complain at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> int:
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return _FAILED
