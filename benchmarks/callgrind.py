"""Read what Callgrind counted."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

# Names are written once and from then on given by number: "ob=(3) /lib/libc.so.6", "cob=(3)".
_NAME = re.compile(r"(c?)ob=\((\d+)\)(?: (.*))?")


def instructions_by_object(path: Path) -> Counter[str]:
    """Return the instructions that ran in each executable or library, by its path.

    See "Callgrind Format Specification" in the manual of Valgrind.
    """
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()
    current = ""
    is_call = False
    for line in path.read_text(errors="replace").splitlines():
        name = _NAME.fullmatch(line)
        if name is not None:
            if name[3] is not None:
                names[name[2]] = name[3]
            if not name[1]:
                current = names[name[2]]
        elif line.startswith("calls="):
            is_call = True
        elif line and (line[0].isdigit() or line[0] in "+-*"):
            # The line after calls= has the cost of the callee, which is counted by itself.
            if not is_call:
                counts[current] += int(line.split()[1])
            is_call = False
    return counts
