"""What this machine offers for models: CPU, GPU and NPU."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from litert.accelerate.forked import fork_problem
from litert.accelerate.gpu import describe_devices, gpu_library
from litert.accelerate.names import AcceleratorName, check_name
from litert.accelerate.npu import OPENVINO_CPU, npu_devices, npu_problem
from litert.accelerate.openvino import DISPATCH_LIBRARY, openvino_folders, openvino_problem
from litert.accelerate.vulkan import vulkan_devices
from litert.cpu import cpu_model, num_usable_cores
from litert.errors import AcceleratorError, LibraryError
from litert.library import library_info


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """Something that models run on, or why they cannot. Immutable.

    Attributes:
        name: ``"cpu"``, ``"gpu"`` or ``"npu"``.
        available: Whether models can run on it here.
        reason: Why not, and what to do; empty where it is available.
        devices: What it is: the CPU's model, the names of Vulkan devices, the NPUs.
        library: The path of the library that drives it, None where there is none.
        details: What else there is to know; may be empty.
    """

    name: AcceleratorName
    available: bool
    reason: str = ""
    devices: tuple[str, ...] = ()
    library: str | None = None
    details: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the accelerator for ``json.dumps``."""
        return asdict(self)


def accelerators() -> tuple[Accelerator, ...]:
    """Say what models can run on here: the CPU, the GPU and the NPU, in this order.

    Loads the LiteRT library, if none is loaded yet, but none of the accelerators': a process of its
    own asks for Vulkan devices, once for each setting of the Vulkan loader's variables.

    Returns:
        Three accelerators, with the reason for each that is not available.

    Example:
        >>> [accelerator.name for accelerator in accelerators()]
        ['cpu', 'gpu', 'npu']
    """
    library, problem = _load_library()
    return list_accelerators(library, problem, problem and _reference_problem())


def list_accelerators(
    library: str, library_problem: str = "", cpu_problem: str = ""
) -> tuple[Accelerator, ...]:
    """Say what models can run on with a LiteRT library, which is not loaded.

    Args:
        library: Its path; empty where the native core has none.
        library_problem: Why it has none; may be empty where that is told elsewhere.
        cpu_problem: Why models do not run at all; empty where they do on either backend.
    """
    return (
        _examine_cpu(library, cpu_problem),
        _examine_gpu(library, library_problem),
        _examine_npu(library, library_problem),
    )


def require(name: str) -> Accelerator:
    """Return an accelerator that is available.

    Raises:
        AcceleratorError: It is not; the message says why.
        OptionError: There is none of that name.
    """
    wanted = check_name(name)
    library, problem = _load_library()
    if wanted == "cpu":
        found = _examine_cpu(library, problem and _reference_problem())
    else:
        found = (_examine_gpu if wanted == "gpu" else _examine_npu)(library, problem)
    if not found.available:
        hint = f"; {found.details}" if found.details else ""
        raise AcceleratorError(f"accelerator {name!r} is not available: {found.reason}{hint}")
    return found


def _load_library() -> tuple[str, str]:
    """Return the path of the LiteRT library, or else an empty one and why there is none."""
    try:
        return library_info().path, ""
    except LibraryError as err:
        return "", str(err)


def _examine_cpu(library: str, problem: str) -> Accelerator:
    if problem:
        return Accelerator(name="cpu", available=False, reason=problem, devices=(cpu_model(),))
    num_cores = num_usable_cores()
    cores = f"XNNPACK on {num_cores} {'core' if num_cores == 1 else 'cores'}"
    return Accelerator(
        name="cpu",
        available=True,
        devices=(cpu_model(),),
        library=library or None,
        details=cores if library else f"{cores}, by the reference backend alone",
    )


def _examine_gpu(library: str, library_problem: str) -> Accelerator:
    if not library:
        return Accelerator(name="gpu", available=False, reason=_without_core(library_problem))
    try:
        path = str(gpu_library(library))
    except AcceleratorError as err:
        return Accelerator(name="gpu", available=False, reason=str(err))
    found = vulkan_devices()
    problem = fork_problem("gpu") or found.problem
    return Accelerator(
        name="gpu",
        available=not problem,
        reason=problem,
        devices=found.names,
        library=path,
        details=describe_devices(found),
    )


def _examine_npu(library: str, library_problem: str) -> Accelerator:
    if not library:
        return Accelerator(name="npu", available=False, reason=_without_core(library_problem))
    try:
        _, dispatch = openvino_folders(library)
    except AcceleratorError as err:
        return Accelerator(name="npu", available=False, reason=str(err), devices=npu_devices())
    problem = fork_problem("npu") or npu_problem(library)
    return Accelerator(
        name="npu",
        available=not problem,
        reason=problem,
        devices=npu_devices(),
        library=str(dispatch / DISPATCH_LIBRARY),
        details=OPENVINO_CPU if problem and not openvino_problem(library) else "",
    )


def _without_core(library_problem: str) -> str:
    what = "it needs the native core and a LiteRT library"
    return f"{what}: {library_problem}" if library_problem else what


def _reference_problem() -> str:
    """Say why the reference backend does not run models; empty where it does."""
    try:
        from litert.backends._interpreter import import_interpreter

        import_interpreter()
    except (LibraryError, ModuleNotFoundError) as err:  # the latter where NumPy is missing
        return str(err)
    return ""
