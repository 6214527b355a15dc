"""What the doctor says about one thing."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Immutable.

    Attributes:
        section: The group that it belongs to.
        name: What it is.
        value: What was found.
        advice: What is wrong and what to do; empty where all is well.
    """

    section: str
    name: str
    value: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the finding for ``json.dumps``."""
        return asdict(self)
