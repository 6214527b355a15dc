"""Opening a model on an accelerator: compile, see what it took, compare with the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from litert.accelerate.compile_log import Taken, failures, read_gpu_log, read_npu_log
from litert.accelerate.forked import note_loaded
from litert.accelerate.names import AcceleratorName
from litert.accelerate.npu_partition import reasons_for_cpu
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
from litert.model_file import OperatorEntry, as_buffer, read_model
from litert.options import CpuOptions
from litert.unrunnable import NPU_OPERATORS, compiled_for, explain_unrunnable


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


class Loader:
    """Opens one model on one accelerator or another. One thread at a time."""

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
            self._model = read_model(data)
            self._compiled_for = compiled_for(data, self._model)

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

    @property
    def is_compiled(self) -> bool:
        """Whether the model is compiled for an NPU ahead of time."""
        return self._compiled_for is not None

    @property
    def has_open_dimensions(self) -> bool:
        """Whether a signature takes arrays of several shapes; accelerators take one alone."""
        called = {entry.subgraph for entry in self._model.signatures} or {0}
        return any(
            -1 in subgraph.tensors[tensor].dimensions
            for index, subgraph in enumerate(self._model.subgraphs)
            if index in called
            for tensor in subgraph.inputs
        )

    def devices_of(self, name: AcceleratorName) -> tuple[str, ...]:
        """Return the devices of an accelerator and their drivers' versions.

        Raises:
            AcceleratorError: It is not here.
        """
        found = self._find(name, [])
        return (*found.devices, *map(str, found.driver_versions))

    def cpu_run_s(self) -> float:
        """Return how long a run of the model takes on the CPU.

        Raises:
            LiteRTError: It does not run there natively.
        """
        reference = NativeModel.open(self._source, self._cpu, self._release_gil)
        try:
            return median_run_s(reference)
        finally:
            reference.close()

    def open_and_time(self, name: AcceleratorName) -> tuple[Opened, float]:
        """Do what ``open_on`` does, and return how long a run takes there, too."""
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
        target = gpu_target(self._request.gpu, cache_lines)
        if self._has_composites():
            raise AcceleratorError(
                "accelerator 'gpu': the model has STABLEHLO_COMPOSITE operators, over which the "
                "GPU's delegate ends the process"
            )
        return target

    def _has_composites(self) -> bool:
        """Whether the model has operators with a body of their own for those that lack them.

        The delegate of 2.1.6 to 2.3.0 follows a null pointer at each one that it takes, and fails
        beside those that it leaves: the library gives it their bodies, too.
        """
        return any(operator.code.name == "STABLEHLO_COMPOSITE" for operator in self._operators())

    @contextmanager
    def _target(self, name: AcceleratorName) -> Iterator[Target]:
        found = self._find(name, [])
        if name != "gpu":
            yield found
            return
        key = self.verdict_name(
            "gpu", found.options, found.devices, found.driver_versions
        ).removeprefix(PREFIX)
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
            reasons = reasons_for_cpu(self._source, target, taken)
            raise AcceleratorError(
                f"accelerator {target.name!r} with strict=True: not all operators can run on it"
                f"{_because(reasons)}",
                status=err.status,
                library_log=err.library_log,
            ) from err

    def _open(self, target: Target) -> NativeModel:
        note_loaded(target.name)
        try:
            return NativeModel.open(self._source, self._cpu, self._release_gil, target)
        except (FileFormatError, ModelNotFoundError, LibraryError):
            raise
        except UnsupportedModelError as err:
            raise AcceleratorError(
                f"accelerator {target.name!r}: the native core does not run the model: {err}",
                status=err.status,
            ) from err
        except MemoryError as err:
            raise AcceleratorError(f"accelerator {target.name!r}: no memory: {err}") from err
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
            unrunnable = explain_unrunnable(data)
        return unrunnable or f"status {err.status}, and the library does not say why"

    def _taken(self, target: Target, model: NativeModel) -> Taken:
        if self._compiled_for is not None:
            operators = self._operators()
            plain = Counter(
                operator.code.label
                for operator in operators
                if operator.code.custom_code not in NPU_OPERATORS
            )
            num_parts = len(operators) - plain.total()
            reasons = tuple(
                f"{count} {label}: not compiled for the NPU" for label, count in plain.most_common()
            )
            return Taken(num_parts, len(operators), num_parts, reasons)
        log = model.compile_log()
        if target.name == "gpu":
            taken = self._with_whole_subgraphs(read_gpu_log(log))
            self._check_device(taken.device)
        else:
            taken = read_npu_log(log)
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

    def _check_device(self, device: str) -> None:
        """Refuse another device than the one that was asked for, which the library takes then."""
        if device and not self._request.gpu.is_device(device):
            raise AcceleratorError(
                f"accelerator 'gpu': the library takes {device}, not {self._request.gpu.device!r}"
            )

    def _with_whole_subgraphs(self, taken: Taken) -> Taken:
        """Add the subgraphs of other signatures that the GPU took without a word."""
        if taken.num_operators is None or taken.num_total is None or not taken.num_partitions:
            return taken
        model = self._model
        if len(model.subgraphs) == 1:
            return taken
        if len(model.subgraphs) != len({entry.subgraph for entry in model.signatures}):
            # With bodies of loops and branches there, nothing tells whose operators were counted.
            return (
                replace(taken, num_operators=None, num_total=None) if taken.num_operators else taken
            )
        total = len(self._operators())
        more = max(0, total - taken.num_total)
        return replace(taken, num_operators=taken.num_operators + more, num_total=total)

    def _operators(self) -> list[OperatorEntry]:
        return [operator for graph in self._model.subgraphs for operator in graph.operators]

    def _check(self, target: Target, model: NativeModel) -> None:
        """Compare with the CPU, which the library does not do: some answer Ok with garbage."""
        options = self._request.gpu.lines() if target.name == "gpu" else target.options
        verdict = self.verdict_name(
            "same",
            target.hardware,
            options,
            target.devices,
            target.driver_versions,
            target.folders,
            (self._cpu.kernels, self._cpu.xnnpack_bits),  # for what the accelerator leaves
        )
        is_known = (read_verdict(verdict) or {}).get("is_same") is True
        if is_known or self._compiled_for is not None:
            self._check_run(target, model)
            return
        reference = NativeModel.open(self._source, self._cpu, self._release_gil)
        try:
            found = difference(model, reference)
        finally:
            reference.close()
        if found:
            raise AcceleratorError(
                f"accelerator {target.name!r}: {found}",
                library_log=model.compile_log().splitlines(),
            )
        write_verdict(verdict, {"is_same": True})

    def _check_run(self, target: Target, model: NativeModel) -> None:
        """Run it once: loading tells nothing of the device's library."""
        problem = "its run fails"
        if self._compiled_for is not None:
            problem = f"the model is compiled for {self._compiled_for} and does not run here"
        try:
            run_once(model)
        except (LiteRTError, MemoryError) as err:
            raise _failed(target, problem, err) from err

    def verdict_name(self, *parts: object) -> str:
        """Return the name of a verdict on the model that depends on ``parts``."""
        return verdict_name(self._content_hash, *parts)


def _timed(target: Target, model: NativeModel) -> float:
    """Return how long a run takes."""
    try:
        return median_run_s(model)
    except (LiteRTError, MemoryError) as err:
        raise _failed(target, "its run fails", err) from err


def _failed(target: Target, problem: str, err: LiteRTError | MemoryError) -> AcceleratorError:
    """Return what says why a model does not run on an accelerator."""
    if isinstance(err, MemoryError):
        return AcceleratorError(f"accelerator {target.name!r}: {problem}: no memory: {err}")
    return AcceleratorError(
        f"accelerator {target.name!r}: {problem}: "
        f"{'; '.join(failures(err.library_log)[:3]) or err}",
        status=err.status,
        library_log=err.library_log,
    )


def _because(reasons: tuple[str, ...] | list[str]) -> str:
    return f": {'; '.join(reasons)}" if reasons else ""
