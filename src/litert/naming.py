"""Names for the inputs and outputs of models that give them none, or the same one twice."""

from __future__ import annotations

from collections.abc import Sequence


def unique_names(names: Sequence[str], prefix: str) -> list[str]:
    """Make every name non-empty and different from the others.

    The first holder of a name keeps it. An empty one becomes the prefix and its index, a repeated
    one gets the first free of the suffixes ``_1``, ``_2``, ...

    Args:
        names: Names as the model has them.
        prefix: ``"input"`` or ``"output"``.

    Returns:
        As many names, in the same order.

    Example:
        >>> unique_names(["x", "", "x"], "input")
        ['x', 'input_1', 'x_1']
    """
    taken = set(names)
    seen: set[str] = set()
    last_suffix: dict[str, int] = {}
    unique = []
    for index, name in enumerate(names):
        wanted = name or f"{prefix}_{index}"
        candidate = wanted
        while candidate in seen or (candidate in taken and candidate != name):
            last_suffix[wanted] = last_suffix.get(wanted, 0) + 1
            candidate = f"{wanted}_{last_suffix[wanted]}"
        seen.add(candidate)
        unique.append(candidate)
    return unique
