"""Compiles models for NPUs ahead of time."""

from __future__ import annotations

import dataclasses
import mmap
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from litert.ahead_of_time.compiler_failure import count_operators, explain_failure
from litert.ahead_of_time.compiler_tool import CompileDevice, ToolRun, find_tool, run_tool
from litert.ahead_of_time.npu_targets import Target, parse_target
from litert.errors import AcceleratorError, FileFormatError, OptionError, UnsupportedModelError
from litert.file_format import check_source
from litert.model_file import ModelFile, read_model
from litert.options import checked_path
from litert.unrunnable import NPU_OPERATORS, CompiledFor, compiled_for


@dataclass(frozen=True, slots=True)
class CompilationReport:
    """What became of a model that was compiled ahead of time. Immutable.

    Attributes:
        target: Vendor and chip: ``"intel:PTL"``.
        device: ``"npu"``, or ``"cpu"`` where OpenVINO's CPU device takes the NPU's place.
        output: The compiled file.
        size_bytes: Its size.
        compiled_for: What it says of itself, as ``inspect_model`` shows it.
        num_operators: Operators of the model.
        num_compiled: Those that were compiled for the NPU.
        num_partitions: Pieces that they are in; each run hands over between them and the CPU.
        cpu_operators: The operators that are left to the CPU, by count.
        log: What the compiler wrote, line by line.
    """

    target: str
    device: CompileDevice
    output: str
    size_bytes: int
    compiled_for: CompiledFor
    num_operators: int
    num_compiled: int
    num_partitions: int
    cpu_operators: Mapping[str, int]
    log: tuple[str, ...] = dataclasses.field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the report without the log, as what ``json.dumps`` takes."""
        content = dataclasses.asdict(self)
        del content["log"]
        return content


def compile_model(
    source_path: str | os.PathLike[str],
    *,
    target: str,
    output: str | os.PathLike[str],
    device: CompileDevice = "npu",
) -> CompilationReport:
    """Compile a .tflite model for an NPU ahead of time.

    The compiler is the tool that ai-edge-litert brings for Linux on x86_64, with the SDK of the
    NPU's vendor. It runs in a process of its own and may take minutes. The NPU need not be here.

    Args:
        source_path: The plain .tflite model.
        target: Vendor and chip: ``"intel:PTL"``; ``litert-native compile --list-targets`` shows
            all.
        output: The file to write. One that is there is replaced once the model is compiled, and
            stays as it is where that fails.
        device: ``"cpu"`` compiles for OpenVINO's CPU device, to try a target of Intel's where
            there is no NPU.

    Returns:
        What was compiled and what is left to the CPU.

    Raises:
        ModelNotFoundError: There is no model at the path.
        FileFormatError: It is no sound .tflite model.
        UnsupportedModelError: It is compiled already.
        OptionError: There is no such target, the device does not fit it, or nothing can be written
            to ``output``.
        AcceleratorError: The compiler is missing, or took no operator of the model; the message
            says what to install, ``library_log`` what the compiler wrote.

    Example:
        >>> report = compile_model("mlp.tflite", target="intel:PTL",
        ...     output="mlp_ptl.tflite")  # doctest: +SKIP
        >>> report.num_compiled, report.num_operators  # doctest: +SKIP
        (3, 3)
    """
    chosen = parse_target(target)
    if not isinstance(device, str) or device not in get_args(CompileDevice):
        raise OptionError(f"device {device!r}: expected 'npu' or 'cpu'")
    if device == "cpu" and chosen.vendor.key != "intel":
        raise OptionError(
            f"device 'cpu' is for targets of Intel, whose OpenVINO has a CPU device; got {chosen}"
        )
    source = Path(checked_path("source_path", source_path))
    written = Path(checked_path("output", output))
    plain = _check_model(source)
    _check_output(source, written)
    run, model, stamp, size_bytes = _compile(source, plain, written, chosen, device)
    num_compiled, num_operators, num_partitions = count_operators(run.log)
    return CompilationReport(
        target=str(chosen),
        device=device,
        output=os.fspath(written),
        size_bytes=size_bytes,
        compiled_for=stamp,
        num_operators=num_operators,
        num_compiled=num_compiled,
        num_partitions=num_partitions,
        cpu_operators=_count_plain(model),
        log=run.log,
    )


def _check_model(path: Path) -> ModelFile:
    """Read the model, or raise unless it can be compiled."""
    check_source(path)
    try:
        model, stamp = _read(path)
    except FileFormatError as err:
        raise FileFormatError(f"model {str(path)!r}: {err}") from err
    if stamp is not None:
        raise UnsupportedModelError(
            f"model {str(path)!r} is already compiled for {stamp}; "
            "compile the plain .tflite that it was compiled from"
        )
    return model


def _check_output(source: Path, output: Path) -> None:
    """Raise unless a file can be written there, and is not the model itself."""
    what = f"output {str(output)!r}"
    # A device such as /dev/null would be replaced by the file.
    if output.exists() and not output.is_file():
        kind = "folder" if output.is_dir() else "special file"
        raise OptionError(f"{what}: expected a file, this is a {kind}")
    if not output.parent.is_dir():
        raise OptionError(f"{what}: there is no folder {str(output.parent)!r}")
    if output.exists() and output.samefile(source):
        raise OptionError(f"{what}: this is the model itself; write to another file")


def _compile(
    source: Path, plain: ModelFile, output: Path, target: Target, device: CompileDevice
) -> tuple[ToolRun, ModelFile, CompiledFor, int]:
    """Compile beside the output, and put the file in place once it is whole and sound."""
    tool = find_tool()
    # The real place: replacing a link would leave the file that it points to.
    place = Path(os.path.realpath(output))
    try:
        folder = tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent)
    except OSError as err:
        raise _cannot_write(output, err) from err
    with folder as name:
        unfinished = Path(name, "compiled.tflite")
        run = run_tool(tool, source, unfinished, target, device)
        result = _read_result(unfinished, run)
        if result is None:
            reason = explain_failure(target, run, _count_plain(plain))
            raise AcceleratorError(
                f"model {str(source)!r} cannot be compiled for {target}: {reason}",
                library_log=run.log,
            )
        size_bytes = unfinished.stat().st_size
        try:
            os.replace(unfinished, place)
        except OSError as err:
            raise _cannot_write(output, err) from err
    return run, *result, size_bytes


def _cannot_write(output: Path, err: OSError) -> OptionError:
    return OptionError(f"output {str(output)!r}: cannot be written: {err.strerror}")


def _read_result(path: Path, run: ToolRun) -> tuple[ModelFile, CompiledFor] | None:
    """Read what the tool wrote, None where that is no compiled model."""
    if run.return_code != 0:
        return None
    try:
        model, stamp = _read(path)
    except (OSError, ValueError):  # no file, an empty one, or a damaged one
        return None
    return None if stamp is None else (model, stamp)


def _read(path: Path) -> tuple[ModelFile, CompiledFor | None]:
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        model = read_model(data)
        return model, compiled_for(data, model)


def _count_plain(model: ModelFile) -> dict[str, int]:
    """Count the operators by name, without those that stand for a compiled part."""
    counts = Counter(
        operator.code.label
        for subgraph in model.subgraphs
        for operator in subgraph.operators
        if operator.code.custom_code not in NPU_OPERATORS
    )
    return dict(counts.most_common())
