"""Finding out which operators of a loaded model run where."""

from __future__ import annotations

from litert.accelerate.builtin_kernels import find_builtin_operators
from litert.accelerate.load import Opened
from litert.accelerate.npu_partition import reasons_for_cpu
from litert.accelerate.placement import PlacedOperators, Placement
from litert.accelerate.target import CPU_BIT
from litert.backends.native import NativeModel
from litert.backends.protocol import BackendModel
from litert.errors import ExecutionError, RunCancelledError, UnsupportedModelError
from litert.model_file import as_buffer, read_model
from litert.options import CpuOptions

_EITHER = "XNNPACK or builtin"


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
    is_builtin_chosen = options.kernels == "builtin"
    if is_builtin_chosen:
        reasons = (*reasons, "chosen by kernels='builtin'")
    total = _num_operators(source)
    if total == 0:
        return Placement("cpu", (), False, reasons)
    if is_builtin_chosen and not model.has_plugins:
        return Placement("cpu", (_placed("cpu", "builtin", total, total),), False, reasons)
    try:
        found = find_builtin_operators(model, source, list(model.signatures))
    except (ExecutionError, RunCancelledError) as err:
        # Perhaps a model that does not take random values: it may run well on others.
        untold = PlacedOperators("cpu", _EITHER, None, None)
        reasons = (*reasons, f"not known, as a trial run on random values fails: {err}")
        return Placement("cpu", (untold,), False, reasons)
    delegates = ", ".join(model.delegate_names())
    if found.num_delegated:
        parts = "1 part" if found.num_delegate_parts == 1 else f"{found.num_delegate_parts} parts"
        reasons = (*reasons, f"delegates run {parts} of the graph")
    elif delegates:
        reasons = (*reasons, f"no operator was taken by {delegates}")
    num_builtin = sum(found.counts.values())
    if num_builtin and not is_builtin_chosen:
        reasons = (*reasons, str(found))
    num_unreached = sum(found.unreached.values())
    if num_unreached:
        reasons = (*reasons, found.unreached_text())
    placed = tuple(
        _placed(accelerator, kernels, number, found.num_operators)
        for accelerator, kernels, number in (
            ("delegate", delegates, found.num_delegated),
            ("cpu", "XNNPACK", found.num_xnnpack),
            ("cpu", "custom", found.num_custom),
            ("cpu", "builtin", num_builtin),
            ("cpu", _EITHER, num_unreached),
        )
        if number
    )
    return Placement("cpu", placed, num_builtin + num_unreached == 0, reasons)


def _on_accelerator(source: str | bytes, opened: Opened) -> Placement:
    target, taken = opened.target, opened.taken
    assert target is not None
    assert taken is not None
    total = taken.num_total
    if total is None:
        total = _num_operators(source)
    is_full = not target.hardware & CPU_BIT or (
        not taken.reasons and taken.num_operators in (None, total)
    )
    number = total if is_full else taken.num_operators
    placed = [_placed(target.name, target.kernels, number, total)]
    reasons = taken.reasons
    if not is_full:
        reasons = reasons_for_cpu(source, target, taken)
        rest = None if number is None else total - number
        placed.append(_placed("cpu", _EITHER, rest, total))
    device = (f"on {', '.join(target.devices)}",) if target.devices else ()
    return Placement(target.name, tuple(placed), is_full, (*device, *opened.reasons, *reasons))


def _num_operators(source: str | bytes) -> int:
    with as_buffer(source) as data:
        return sum(len(subgraph.operators) for subgraph in read_model(data).subgraphs)


def _placed(accelerator: str, kernels: str, number: int | None, total: int) -> PlacedOperators:
    share = None if number is None or total == 0 else number / total
    return PlacedOperators(accelerator, kernels, number, share)
