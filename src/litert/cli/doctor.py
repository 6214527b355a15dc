"""``litert-native doctor``: what is installed here, what works, and what to do about the rest."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from litert.doctor import Finding, examine
from litert.printing import printable, show

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_COLUMNS = 96


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="check the installation and say what to do",
        description="Check the installation. The exit status is 1 where something is wrong.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the findings; return 1 where there is advice to follow."""
    findings = examine()
    if args.json:
        print(json.dumps([finding.to_json() for finding in findings], indent=2))
    else:
        show(_describe(findings))
    return 1 if any(finding.advice for finding in findings) else 0


def _describe(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(finding.name) for finding in findings)
    section = ""
    for finding in findings:
        if finding.section != section:
            if section:
                yield ""
            section = finding.section
            yield section.capitalize()
        mark = "!" if finding.advice else " "
        yield from _wrapped(f"{mark} {finding.name:<{width}}  ", printable(finding.value))
    problems = [finding for finding in findings if finding.advice]
    yield ""
    if not problems:
        yield "No problem was found."
        return
    yield "What to do"
    for finding in problems:
        yield from _wrapped("! ", f"{finding.name}: {printable(finding.advice)}")


def _wrapped(head: str, text: str) -> list[str]:
    """Wrap at spaces alone, so that paths can be copied."""
    return textwrap.wrap(
        text,
        _COLUMNS,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [head.rstrip()]
