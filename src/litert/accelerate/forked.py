"""Accelerators in a forked child.

The threads of a device's library stay in the parent; what the child asks of the library may wait
for them, or for a lock that one of them held, for ever.
"""

from __future__ import annotations

import os

from litert.accelerate.names import AcceleratorName

# The process that was the first to load an accelerator; a child that it forks has it, too.
_loaded_in: dict[AcceleratorName, int] = {}


def note_loaded(name: AcceleratorName) -> None:
    """Remember that this process loads the library of an accelerator."""
    _loaded_in.setdefault(name, os.getpid())


def fork_problem(name: AcceleratorName) -> str:
    """Say why a forked child cannot use an accelerator; empty where this is none, or it can."""
    if _loaded_in.get(name, os.getpid()) == os.getpid():
        return ""
    return (
        f"this process was forked from one that has used the {name.upper()}; start it in another "
        "way (multiprocessing: 'spawn')"
    )
