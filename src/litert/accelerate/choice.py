"""Which accelerator a model is opened on: the first of an order that takes it, or the fastest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from litert.accelerate.load import Loader, Opened
from litert.accelerate.names import AcceleratorName, check_name
from litert.accelerate.request import AcceleratorRequest
from litert.accelerate.verdicts import read_verdict, write_verdict
from litert.errors import AcceleratorError, LiteRTError
from litert.options import CpuOptions

_log = logging.getLogger("litert")

# What is chosen must not take away what the model can do on the CPU.
_OPEN_DIMENSIONS = (
    "not measured: the model takes inputs of several shapes, and an accelerator is compiled for "
    "the one that the file stores; ask for it by its name to run that one there"
)


def open_as_requested(
    source: str | bytes,
    request: AcceleratorRequest,
    cpu: CpuOptions,
    release_gil: bool | None,
) -> Opened:
    """Open a model on the first accelerator of a request that takes it, or the fastest.

    Raises:
        AcceleratorError: None of them can, and the CPU is not among them.
        LiteRTError: The model is at fault.
    """
    loader = Loader(source, request, cpu, release_gil)
    if request.is_auto:
        return _open_fastest(loader, request, cpu)
    reasons: list[str] = []
    for name in request.order:
        if name == "cpu":
            return Opened(None, None, None, tuple(reasons))
        try:
            return replace(loader.open_on(name), reasons=tuple(reasons))
        except AcceleratorError as err:
            if request.is_required:
                raise
            _log.warning("%s", err)
            reasons.append(str(err))
    raise AcceleratorError("; ".join(reasons))


def _open_fastest(loader: Loader, request: AcceleratorRequest, cpu: CpuOptions) -> Opened:
    """Open the model where it runs fastest, which is measured once and remembered."""
    if loader.is_compiled:
        return loader.open_on("npu")
    here, missing = _available(loader, request.order)
    if not here:
        return Opened(None, None, None, missing)
    if loader.has_open_dimensions:
        return Opened(None, None, None, (_OPEN_DIMENSIONS, *missing))
    options = (cpu.threads, cpu.kernels, cpu.xnnpack_bits)
    verdict = loader.verdict_name("auto", request, options, here)
    known = read_verdict(verdict) or {}
    names = [name for name, _ in here]
    chosen = known.get("accelerator")
    if not isinstance(known.get("reasons"), list) or chosen not in ("cpu", *names):
        return _measure(loader, verdict, names, missing)
    reasons = tuple(map(str, known["reasons"]))
    if chosen == "cpu":
        return Opened(None, None, None, reasons)
    try:
        return replace(loader.open_on(check_name(chosen)), reasons=reasons)
    except AcceleratorError as err:
        _log.warning("no longer as it was measured: %s", err)
        return _measure(loader, verdict, names, missing)


def _available(
    loader: Loader, order: Sequence[AcceleratorName]
) -> tuple[list[tuple[AcceleratorName, tuple[str, ...]]], tuple[str, ...]]:
    """Return the accelerators that are here with their devices, and why others are not."""
    here: list[tuple[AcceleratorName, tuple[str, ...]]] = []
    missing = []
    for name in order:
        if name != "cpu":
            try:
                here.append((name, loader.devices_of(name)))
            except AcceleratorError as err:
                missing.append(str(err))
    return here, tuple(missing)


def _measure(
    loader: Loader, verdict: str, names: Sequence[AcceleratorName], missing: tuple[str, ...]
) -> Opened:
    """Time the model on the CPU and on what takes it; remember the fastest."""
    try:
        seconds = {"cpu": loader.cpu_run_s()}
    except LiteRTError as err:
        # Perhaps one for the reference backend; what opens models for the CPU knows.
        return Opened(None, None, None, (f"not measured: {err}", *missing))
    fastest: Opened | None = None
    refused = []
    for name in names:
        try:
            candidate, took = loader.open_and_time(name)
        except AcceleratorError as err:
            refused.append(str(err))
            continue
        slower = candidate if took >= min(seconds.values()) else fastest
        seconds[name] = took
        if slower is not None and slower.model is not None:
            slower.model.close()
        fastest = fastest if slower is candidate else candidate
    times = ", ".join(f"{name} {1000 * took:.3g} ms" for name, took in seconds.items())
    reasons = (f"measured, a run: {times}", *refused, *missing)
    chosen = "cpu" if fastest is None or fastest.target is None else fastest.target.name
    write_verdict(verdict, {"accelerator": chosen, "reasons": reasons})
    if fastest is None:
        return Opened(None, None, None, reasons)
    return replace(fastest, reasons=reasons)
