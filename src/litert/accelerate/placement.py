"""Which operators of a model run where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlacedOperators:
    """The operators of a model that run in one place. Immutable.

    Attributes:
        accelerator: ``"cpu"``, ``"gpu"``, ``"npu"``, or ``"delegate"``.
        kernels: What computes them: ``"XNNPACK"``, ``"builtin"`` (the library's plain kernels),
            ``"XNNPACK or builtin"`` where the library does not tell which, ``"custom"`` (kernels
            that the model was given), ``"WebGPU"``, ``"OpenVINO"``, or the delegates' files.
        num_operators: How many; None where the library does not tell.
        share: Which part of all operators that is, 0 to 1; None where that is not known.
    """

    accelerator: str
    kernels: str
    num_operators: int | None
    share: float | None

    def __str__(self) -> str:
        where = f"{self.accelerator} ({self.kernels})"
        if self.num_operators is None or self.share is None:
            return f"{where}: some operators"
        noun = "operator" if self.num_operators == 1 else "operators"
        return f"{where}: {self.num_operators} {noun}, {self.share:.0%}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Which operators of a model run where, and why not elsewhere. Immutable.

    Attributes:
        accelerator: What the model runs on: ``"cpu"``, ``"gpu"`` or ``"npu"``.
        placed: The places that have operators, the accelerator's first.
        is_fully_accelerated: Whether all operators run on the accelerator; on the CPU, whether all
            run on XNNPACK's kernels (or a delegate's).
        reasons: Why operators are elsewhere, and what was decided on the way there: accelerators
            that were tried and refused, times that were measured.
    """

    accelerator: str
    placed: tuple[PlacedOperators, ...]
    is_fully_accelerated: bool
    reasons: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield the places and the reasons as text."""
        if not self.placed:
            yield f"{self.accelerator}: no operators"
        yield from map(str, self.placed)
        yield from self.reasons

    def __str__(self) -> str:
        return "\n".join(self.lines())
