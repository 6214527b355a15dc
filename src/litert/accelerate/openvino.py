"""Intel's OpenVINO under LiteRT: the plugin's folders, and the OpenVINO release that they need."""

from __future__ import annotations

import os
import re
from importlib.machinery import PathFinder
from pathlib import Path

from litert.accelerate.companion import explain_missing
from litert.errors import AcceleratorError
from litert.system import machine

DISPATCH_LIBRARY = "libLiteRtDispatch_IntelOpenvino.so"
_COMPILER_PLUGIN = "libLiteRtCompilerPlugin_IntelOpenvino.so"
_EXTRA = "2026.3.1"  # what litert-native[openvino] brings
_MAX_BYTES = 64 << 20  # the dispatch library has 0.2 MB

# Year, release and patch in the library's name: libopenvino.so.2631 is of OpenVINO 2026.3.1.
_NEEDED = re.compile(rb"libopenvino\.so\.(\d{2})(\d)(\d)\0")


def openvino_folders(library: str) -> tuple[Path, Path]:
    """Return the folders of the OpenVINO compiler plugin and dispatch library.

    Args:
        library: The LiteRT library in use, as ``library_info().path`` tells it.

    Raises:
        AcceleratorError: They are not beside it.
    """
    vendor = Path(library).parent / "vendors" / "intel_openvino"
    compiler, dispatch = vendor / "compiler", vendor / "dispatch"
    if (compiler / _COMPILER_PLUGIN).is_file() and (dispatch / DISPATCH_LIBRARY).is_file():
        return compiler, dispatch
    raise AcceleratorError(_explain_no_folders(library))


def openvino_problem(library: str) -> str:
    """Say why OpenVINO cannot be used, and what to do; empty where it can, if only on its CPU.

    Args:
        library: The LiteRT library in use.
    """
    try:
        _, dispatch = openvino_folders(library)
    except AcceleratorError as err:
        return str(err)
    needed = needed_openvino(dispatch / DISPATCH_LIBRARY)
    if needed is None:
        return ""  # a plugin of another make: only its load can tell
    file, version = needed
    # The plugin finds it by $ORIGIN/../../../../openvino/libs, or by LD_LIBRARY_PATH.
    packages = Path(library).parent.parent
    searched = [str(packages / "openvino" / "libs")]
    searched += filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))
    if any(os.path.isfile(os.path.join(folder, file)) for folder in searched):
        return ""
    return _explain_no_openvino(packages, version)


def needed_openvino(dispatch_library: Path) -> tuple[str, str] | None:
    """Return the OpenVINO file that a dispatch library is linked to and its release.

    Returns:
        ``("libopenvino.so.2631", "2026.3.1")``, or None where it is not to be found.
    """
    try:
        with dispatch_library.open("rb") as file:
            found = _NEEDED.search(file.read(_MAX_BYTES))
    except OSError:
        return None
    if found is None:
        return None
    year, release, patch = (part.decode() for part in found.groups())
    return found[0][:-1].decode(), f"20{year}.{release}.{patch}"


def _explain_no_folders(library: str) -> str:
    if machine() != "x86_64":
        return f"no package has a LiteRT library for NPUs on {machine()}; use 'gpu' or 'cpu'"
    return explain_missing("OpenVINO plugin (vendors/intel_openvino)", library)


def _explain_no_openvino(packages: Path, version: str) -> str:
    install = f"pip install 'openvino=={version}'"
    installed = _installed_version(packages)
    if installed == version:
        return f"OpenVINO {version} has lost its libraries: {install} --force-reinstall"
    if installed:
        return f"OpenVINO {installed} is installed, the plugin needs {version}: {install}"
    elsewhere = _other_folder(packages)
    if elsewhere:
        return (
            f"OpenVINO is installed in {elsewhere}, where the plugin does not find it: install "
            f"OpenVINO {version} into {packages}, beside ai-edge-litert"
        )
    if version == _EXTRA:
        install = "pip install 'litert-native[openvino]'"
    return f"OpenVINO {version} is not installed: {install}"


def _installed_version(packages: Path) -> str:
    """Tell the version by the dist-info folder beside the LiteRT library's package."""
    for folder in packages.glob("openvino-*.dist-info"):
        found = re.fullmatch(r"openvino-(.+)\.dist-info", folder.name)
        if found:
            return found[1]
    return ""


def _other_folder(packages: Path) -> str:
    """Return where Python finds OpenVINO, if it does and the plugin does not."""
    spec = PathFinder.find_spec("openvino")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if not os.path.realpath(folder).startswith(os.path.realpath(packages) + os.sep):
            return os.path.dirname(folder)
    return ""
