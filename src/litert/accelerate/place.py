"""Finding out which operators of a loaded model run where."""

from __future__ import annotations

from litert.accelerate.builtin_kernels import find_builtin_operators
from litert.accelerate.load import Opened
from litert.accelerate.placement import PlacedOperators, Placement
from litert.accelerate.target import CPU_BIT
from litert.backends.native import NativeModel
from litert.backends.protocol import BackendModel
from litert.errors import UnsupportedModelError
from litert.model_file import as_buffer, read_model
from litert.options import CpuOptions


def find_placement(
    model: BackendModel,
    source: str | bytes,
    options: CpuOptions,
    opened: Opened | None,
    backend_reason: str,
) -> Placement:
    """Say where the operators of a model run.

    Args:
        model: The model.
        source: Its path or bytes.
        options: How it runs on the CPU.
        opened: What came of asking for an accelerator; None where nobody asked.
        backend_reason: Why its backend was chosen.

    Raises:
        UnsupportedModelError: The reference backend runs it.
    """
    if not isinstance(model, NativeModel):
        raise UnsupportedModelError(
            "placement needs the native backend; this model runs on the reference one: "
            f"{backend_reason}"
        )
    reasons = () if opened is None else opened.reasons
    if opened is None or opened.target is None or opened.taken is None:
        return _on_cpu(model, source, options, reasons)
    return _on_accelerator(source, opened)


def _on_cpu(
    model: NativeModel, source: str | bytes, options: CpuOptions, reasons: tuple[str, ...]
) -> Placement:
    if options.kernels == "builtin":
        with as_buffer(source) as data:
            total = sum(len(subgraph.operators) for subgraph in read_model(data).subgraphs)
        return Placement(
            "cpu",
            (_placed("cpu", "builtin", total, total),),
            False,
            (*reasons, "chosen by kernels='builtin'"),
        )
    found = find_builtin_operators(model, source)
    num_builtin = sum(found.counts.values())
    total = found.num_operators
    rest = total - num_builtin - found.num_custom
    delegates = ", ".join(model.delegate_names())
    placed = []
    if found.num_delegate_parts:
        # What XNNPACK does not have a part in, the delegates have taken.
        number = None if found.uses_xnnpack else rest
        placed.append(_placed("delegate", delegates, number, total))
        parts = "part" if found.num_delegate_parts == 1 else "parts"
        reasons = (*reasons, f"delegates run {found.num_delegate_parts} {parts} of the graph")
    elif delegates:
        reasons = (*reasons, f"no operator was taken by {delegates}")
    if found.uses_xnnpack and rest:
        number = None if found.num_delegate_parts else rest
        placed.append(_placed("cpu", "XNNPACK", number, total))
    if found.num_custom:
        placed.append(_placed("cpu", "custom", found.num_custom, total))
    if num_builtin:
        placed.append(_placed("cpu", "builtin", num_builtin, total))
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
