"""The rows of a profile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorProfile:
    """The time of one operator of the model. Immutable.

    The library measures whole microseconds, so what is much shorter shows as 0.

    Attributes:
        name: The library's name of the kernel: a kind of operator, or of XNNPACK.
        kernels: What computes it: ``"XNNPACK"`` or ``"builtin"``, which stands for custom kernels
            and external delegates too.
        position: Its place in the order of the runs, from 0.
        subgraph: Index of its subgraph in the model.
        partition: Which of the subgraph's parts on XNNPACK it is in; None on builtin kernels.
        node: On builtin kernels its index in the subgraph as the file has it; on XNNPACK its place
            in the part, whose operators are XNNPACK's: it joins some of the file's, and adds some.
        num_calls: Calls in a run, on average; more than 1 in a loop, less in a branch.
        mean_us: Microseconds of a call, on average. Without the operators that this one runs (a
            loop's body), which have rows of their own.
        min_us: The same of the shortest call.
        max_us: The same of the longest call.
        run_us: Microseconds of a run that all its calls take, on average.
        share: The part of the runs' time that it takes, 0 to 1.
    """

    name: str
    kernels: str
    position: int
    subgraph: int
    partition: int | None
    node: int
    num_calls: float
    mean_us: float
    min_us: int
    max_us: int
    run_us: float
    share: float


@dataclass(frozen=True, slots=True)
class KindProfile:
    """The time of all operators of one kind. Immutable.

    Attributes:
        name: See ``OperatorProfile``.
        kernels: See ``OperatorProfile``.
        num_operators: How many there are.
        num_calls: Calls in a run, of all of them, on average.
        run_us: Microseconds of a run that they take, on average.
        share: The part of the runs' time that they take, 0 to 1.
    """

    name: str
    kernels: str
    num_operators: int
    num_calls: float
    run_us: float
    share: float


@dataclass(frozen=True, slots=True)
class KernelsProfile:
    """What is computed by one kind of kernels. Immutable.

    Attributes:
        kernels: ``"XNNPACK"``, ``"builtin"``; ``"other"`` is the time of runs outside operators.
        num_operators: How many operators.
        run_us: Microseconds of a run that they take, on average.
        share: The part of the runs' time that they take, 0 to 1.
    """

    kernels: str
    num_operators: int
    run_us: float
    share: float


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The process's memory, with what recording takes, up to 70 MB. Immutable.

    Attributes:
        before_bytes: Resident when the block began, before the model was compiled once more.
        after_bytes: Resident when it ended.
        peak_bytes: The most that was ever resident, until the block ended.
        is_peak_of_block: Whether that was inside the block; else it was before.
    """

    before_bytes: int
    after_bytes: int
    peak_bytes: int
    is_peak_of_block: bool
