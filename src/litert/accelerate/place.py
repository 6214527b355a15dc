"""Finding out which operators of a loaded model run where."""

from __future__ import annotations

from litert.accelerate.builtin_kernels import find_builtin_operators
from litert.accelerate.load import Opened
from litert.accelerate.placement import PlacedOperators, Placement
from litert.accelerate.target import CPU_BIT
from litert.errors import UnsupportedModelError
from litert.model_file import as_buffer, read_model
from litert.options import CpuOptions


def find_placement(
    source: str | bytes,
    options: CpuOptions,
    opened: Opened | None,
    backend: str,
    backend_reason: str,
) -> Placement:
    """Say where the operators of a model run.

    Args:
        source: Its path or bytes.
        options: How it runs on the CPU.
        opened: What came of asking for an accelerator; None where nobody asked.
        backend: What runs it.
        backend_reason: Why.

    Raises:
        UnsupportedModelError: The reference backend runs it.
    """
    if backend != "native":
        raise UnsupportedModelError(
            "placement needs the native backend; this model runs on the reference one: "
            f"{backend_reason}"
        )
    reasons = () if opened is None else opened.reasons
    if opened is None or opened.target is None or opened.taken is None:
        return _on_cpu(source, options, reasons)
    return _on_accelerator(source, opened)


def _on_cpu(source: str | bytes, options: CpuOptions, reasons: tuple[str, ...]) -> Placement:
    if options.kernels == "builtin":
        with as_buffer(source) as data:
            total = sum(len(subgraph.operators) for subgraph in read_model(data).subgraphs)
        return Placement(
            "cpu",
            (_placed("cpu", "builtin", total, total),),
            False,
            (*reasons, "chosen by kernels='builtin'"),
        )
    found = find_builtin_operators(source, options)
    num_builtin = sum(found.counts.values())
    num_xnnpack = found.num_operators - num_builtin
    placed = [
        _placed("cpu", kernels, number, found.num_operators)
        for kernels, number in (("XNNPACK", num_xnnpack), ("builtin", num_builtin))
        if number
    ]
    if num_builtin:
        reasons = (*reasons, str(found))
    return Placement("cpu", tuple(placed), num_builtin == 0, reasons)


def _on_accelerator(source: str | bytes, opened: Opened) -> Placement:
    target, taken = opened.target, opened.taken
    assert target is not None
    assert taken is not None
    total = taken.num_total
    if total is None:
        with as_buffer(source) as data:
            total = sum(len(subgraph.operators) for subgraph in read_model(data).subgraphs)
    is_full = not target.hardware & CPU_BIT or (
        not taken.reasons and taken.num_operators in (None, total)
    )
    number = total if is_full else taken.num_operators
    placed = [_placed(target.name, target.kernels, number, total)]
    if not is_full:
        rest = None if number is None else total - number
        placed.append(_placed("cpu", "XNNPACK or builtin", rest, total))
    device = (f"on {', '.join(target.devices)}",) if target.devices else ()
    return Placement(
        target.name, tuple(placed), is_full, (*device, *opened.reasons, *taken.reasons)
    )


def _placed(accelerator: str, kernels: str, number: int | None, total: int) -> PlacedOperators:
    share = None if number is None or total == 0 else number / total
    return PlacedOperators(accelerator, kernels, number, share)
