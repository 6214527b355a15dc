"""Opening a model on an accelerator: compile, see what it took, compare with the CPU."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from litert._quiet import captured_library_output
from litert.accelerate.compile_log import Taken, failures, read_gpu_log, read_npu_log
from litert.accelerate.names import AcceleratorName, check_name
from litert.accelerate.program_cache import program_cache
from litert.accelerate.request import AcceleratorRequest
from litert.accelerate.target import Target, gpu_target, npu_target
from litert.accelerate.trial import difference, median_run_s, run_once
from litert.accelerate.verdicts import PREFIX, read_verdict, verdict_name, write_verdict
from litert.backends.native import NativeModel, content_hash_of
from litert.errors import (
    AcceleratorError,
    FileFormatError,
    LibraryError,
    LiteRTError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from litert.file_format import check_source
from litert.model_file import as_buffer, read_model
from litert.options import CpuOptions
from litert.unrunnable import NPU_OPERATORS, compiled_for, explain_unrunnable

_log = logging.getLogger("litert")


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of asking for an accelerator. Immutable.

    Attributes:
        model: The model on the accelerator; None where it shall run on the CPU.
        target: The accelerator; None for the CPU.
        taken: What the accelerator took; None for the CPU.
        reasons: What was tried and refused, and what was measured.
    """

    model: NativeModel | None
    target: Target | None
    taken: Taken | None
    reasons: tuple[str, ...]


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
    loader = _Loader(source, request, cpu, release_gil)
    if request.is_auto:
        return loader.open_fastest()
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


class _Loader:
    """Opens one model in several ways."""

    def __init__(
        self,
        source: str | bytes,
        request: AcceleratorRequest,
        cpu: CpuOptions,
        release_gil: bool | None,
    ) -> None:
        self._source = source
        self._request = request
        self._cpu = cpu
        self._release_gil = release_gil
        check_source(source)
        self._content_hash = content_hash_of(source)
        with as_buffer(source) as data:
            self._compiled_for = compiled_for(data)

    def open_on(self, name: AcceleratorName) -> Opened:
        """Open the model on an accelerator, whose results were compared with the CPU's.

        Raises:
            AcceleratorError: The accelerator is not here, does not take the model, or computes
                something else.
        """
        with self._target(name) as target:
            model = self._compile(target)
        try:
            taken = self._taken(target, model)
            self._check(target, model)
        except BaseException:
            model.close()
            raise
        return Opened(model, target, taken, ())

    def open_fastest(self) -> Opened:
        """Open the model where it runs fastest, which is measured once and remembered."""
        if self._compiled_for is not None:
            return self.open_on("npu")
        here, missing = self._available()
        if not here:
            return Opened(None, None, None, missing)
        cpu = (self._cpu.threads, self._cpu.kernels, self._cpu.xnnpack_bits)
        verdict = self._verdict_name("auto", self._request, cpu, here)
        known = read_verdict(verdict) or {}
        names = [name for name, _ in here]
        if not isinstance(known.get("reasons"), list) or known.get("accelerator") not in (
            "cpu",
            *names,
        ):
            return self._measure(verdict, names, missing)
        reasons = tuple(map(str, known["reasons"]))
        chosen = known.get("accelerator")
        if chosen == "cpu":
            return Opened(None, None, None, reasons)
        try:
            return replace(self.open_on(check_name(chosen)), reasons=reasons)
        except AcceleratorError as err:
            _log.warning("no longer as it was measured: %s", err)
            return self._measure(verdict, names, missing)

    def _available(self) -> tuple[list[tuple[AcceleratorName, tuple[str, ...]]], tuple[str, ...]]:
        """Return the accelerators that are here with their devices, and why others are not."""
        here: list[tuple[AcceleratorName, tuple[str, ...]]] = []
        missing = []
        for name in self._request.order:
            if name != "cpu":
                try:
                    here.append((name, self._find(name, []).devices))
                except AcceleratorError as err:
                    missing.append(str(err))
        return here, tuple(missing)

    def _measure(
        self, verdict: str, names: list[AcceleratorName], missing: tuple[str, ...]
    ) -> Opened:
        """Time the model on the CPU and on what takes it; remember the fastest."""
        try:
            seconds = {"cpu": self._cpu_run_s()}
        except LiteRTError as err:
            # Perhaps one for the reference backend; what opens models for the CPU knows.
            return Opened(None, None, None, (f"not measured: {err}", *missing))
        fastest: Opened | None = None
        refused = []
        for name in names:
            try:
                candidate, took = self._open_and_time(name)
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

    def _cpu_run_s(self) -> float:
        reference = NativeModel.open(self._source, self._cpu, self._release_gil)
        try:
            return median_run_s(reference)
        finally:
            reference.close()

    def _open_and_time(self, name: AcceleratorName) -> tuple[Opened, float]:
        opened = self.open_on(name)
        assert opened.model is not None
        assert opened.target is not None
        try:
            return opened, _timed(opened.target, opened.model)
        except BaseException:
            opened.model.close()
            raise

    def _find(self, name: AcceleratorName, cache_lines: list[str]) -> Target:
        if self._compiled_for is not None and name == "gpu":
            raise AcceleratorError(
                f"accelerator 'gpu': the model is compiled for {self._compiled_for}"
            )
        if name == "npu":
            return npu_target(self._request.npu, self._compiled_for)
        return gpu_target(self._request.gpu, cache_lines)

    @contextmanager
    def _target(self, name: AcceleratorName) -> Iterator[Target]:
        found = self._find(name, [])
        if name != "gpu":
            yield found
            return
        key = self._verdict_name("gpu", found.options, found.devices).removeprefix(PREFIX)
        with program_cache(self._request.gpu.cache_dir, key) as lines:
            yield self._find(name, lines)

    def _compile(self, target: Target) -> NativeModel:
        if not self._request.strict:
            return self._open(target)
        try:
            return self._open(replace(target, hardware=target.bit))
        except AcceleratorError as err:
            # The library does not say which operators it was; with the CPU beside, it does.
            with_cpu = self._open(target)
            try:
                taken = self._taken(target, with_cpu)
            finally:
                with_cpu.close()
            raise AcceleratorError(
                f"accelerator {target.name!r} with strict=True: not all operators can run on it"
                f"{_because(taken.reasons)}",
                status=err.status,
                library_log=err.library_log,
            ) from err

    def _open(self, target: Target) -> NativeModel:
        try:
            return NativeModel.open(self._source, self._cpu, self._release_gil, target)
        except (FileFormatError, ModelNotFoundError, LibraryError):
            raise
        except UnsupportedModelError as err:
            raise AcceleratorError(
                f"accelerator {target.name!r}: {err}", status=err.status
            ) from err
        except LiteRTError as err:
            raise AcceleratorError(
                f"accelerator {target.name!r}: the model does not compile for it: "
                f"{self._explain(err)}",
                status=err.status,
                library_log=err.library_log,
            ) from err

    def _explain(self, err: LiteRTError) -> str:
        """Say what the library said, or else what the file tells, or else the status."""
        said = failures(err.library_log)
        if said and not any("unresolved custom op" in line for line in err.library_log):
            return "; ".join(said[:3])
        if self._compiled_for is not None:
            return str(err)
        with as_buffer(self._source) as data:
            return explain_unrunnable(data) or f"status {err.status}"

    def _taken(self, target: Target, model: NativeModel) -> Taken:
        if self._compiled_for is not None:
            with as_buffer(self._source) as data:
                operators = [
                    operator for graph in read_model(data).subgraphs for operator in graph.operators
                ]
            num_parts = sum(operator.code.custom_code in NPU_OPERATORS for operator in operators)
            return Taken(num_parts, len(operators), num_parts)
        log = model.compile_log()
        taken = read_gpu_log(log) if target.name == "gpu" else read_npu_log(log)
        if taken.num_operators == 0:
            said = taken.reasons or tuple(failures(log.splitlines())[:3])
            if not said and not model.registered_accelerators & target.bit:
                said = (f"its library does not load from {target.gpu_folder}",)
            raise AcceleratorError(
                f"accelerator {target.name!r}: it takes none of the model's operators"
                f"{_because(said)}",
                library_log=log.splitlines(),
            )
        return taken

    def _check(self, target: Target, model: NativeModel) -> None:
        """Compare with the CPU, which the library does not do: some answer Ok with garbage."""
        options = self._request.gpu.lines() if target.name == "gpu" else target.options
        verdict = self._verdict_name(
            "same", target.hardware, options, target.devices, target.folders
        )
        is_known = (read_verdict(verdict) or {}).get("is_same") is True
        if is_known or self._compiled_for is not None:
            self._check_run(target, model)
            return
        reference = NativeModel.open(self._source, self._cpu, self._release_gil)
        try:
            with captured_library_output() as lines:
                found = difference(model, reference)
        finally:
            reference.close()
        if found:
            raise AcceleratorError(f"accelerator {target.name!r}: {found}", library_log=lines)
        write_verdict(verdict, {"is_same": True})

    def _check_run(self, target: Target, model: NativeModel) -> None:
        """Run it once: loading tells nothing of the device's library."""
        problem = "its run fails"
        if self._compiled_for is not None:
            problem = f"the model is compiled for {self._compiled_for} and does not run here"
        try:
            with captured_library_output():
                run_once(model)
        except LiteRTError as err:
            raise _failed(target, problem, err) from err

    def _verdict_name(self, *parts: object) -> str:
        return verdict_name(self._content_hash, *parts)


def _timed(target: Target, model: NativeModel) -> float:
    """Return how long a run takes."""
    try:
        return median_run_s(model)
    except LiteRTError as err:
        raise _failed(target, "its run fails", err) from err


def _failed(target: Target, problem: str, err: LiteRTError) -> AcceleratorError:
    """Return what says why a model does not run on an accelerator."""
    return AcceleratorError(
        f"accelerator {target.name!r}: {problem}: "
        f"{'; '.join(failures(err.library_log)[:3]) or err}",
        status=err.status,
        library_log=err.library_log,
    )


def _because(reasons: tuple[str, ...] | list[str]) -> str:
    return f": {'; '.join(reasons)}" if reasons else ""
