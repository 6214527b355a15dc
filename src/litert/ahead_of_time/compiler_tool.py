"""Runs the tool of ai-edge-litert that compiles a model for an NPU.

The tool is a program of its own, so what a vendor's compiler does to its process does not concern
this one. ai-edge-litert itself is not imported.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

from litert.ahead_of_time.npu_targets import Target, Vendor
from litert.errors import AcceleratorError
from litert.system import LIBRARY_REQUIREMENT, machine, obstacle_to_ai_edge_litert

CompileDevice = Literal["npu", "cpu"]
Command = Literal["apply", "partition"]

_TOOL = Path("tools", "apply_plugin_main")
_PLUGINS = Path("vendors")
_FOLDER_OF = {"intel": "intel_openvino"}

# MediaTek's SDK has a library for each generation of its NPU.
_SDK_ARGUMENTS = {"MT6993": "'v9'"}
_TOOL_OPTIONS = {"MT6993": ("--mediatek_sdk_version_type=version9",)}


@dataclass(frozen=True, slots=True)
class ToolRun:
    """How a run of the tool ended. Immutable.

    Attributes:
        return_code: 0 for success, negative for the number of the signal that ended it.
        log: What it wrote, without empty lines.
    """

    return_code: int
    log: tuple[str, ...]

    @property
    def signal_name(self) -> str:
        """The signal that ended the tool, empty where it ended by itself."""
        if self.return_code >= 0:
            return ""
        try:
            return signal.Signals(-self.return_code).name
        except ValueError:
            return f"signal {-self.return_code}"


def find_tool() -> Path:
    """Return the tool's path.

    Raises:
        AcceleratorError: ai-edge-litert is not installed, or its wheel has no tool.
    """
    folders = package_folders("ai_edge_litert")
    if not folders:
        obstacle = obstacle_to_ai_edge_litert()
        advice = (
            f"but {obstacle}: compile on a machine where it has one"
            if obstacle
            else f"pip install '{LIBRARY_REQUIREMENT}'"
        )
        raise AcceleratorError(
            "compiling for an NPU needs ai-edge-litert, which brings the compiler's tool and is "
            f"not installed; {advice}"
        )
    for folder in folders:
        if (folder / _TOOL).is_file():
            return folder / _TOOL
    raise AcceleratorError(
        f"ai-edge-litert {package_version('ai-edge-litert')} for {sys.platform} {machine()} has no "
        f"compiler for NPUs: there is no file {folders[0] / _TOOL}; compile on Linux x86_64 and "
        "copy the file"
    )


def run_tool(
    tool: Path,
    model: Path,
    output: Path,
    target: Target,
    device: CompileDevice,
    work: Command = "apply",
) -> ToolRun:
    """Compile a model.

    Args:
        tool: What ``find_tool`` found.
        model: The .tflite file.
        output: The file to write; what is left there after a failure is of no use. The tool works
            in its folder.
        target: The NPU.
        device: ``"cpu"`` for OpenVINO's CPU device in the NPU's place.
        work: ``"partition"`` only chooses the operators to compile.

    Raises:
        AcceleratorError: The tool cannot be started.
    """
    package = tool.parent.parent
    plugins = package / _PLUGINS / _FOLDER_OF.get(target.vendor.key, target.vendor.key) / "compiler"
    command = [
        str(tool),
        f"--cmd={work}",
        f"--model={model.absolute()}",
        f"--o={output.absolute()}",
        f"--soc_manufacturer={target.vendor.manufacturer}",
        f"--soc_model={target.soc_model}",
        f"--libs={plugins}",
        *_TOOL_OPTIONS.get(target.chip, ()),
    ]
    if target.vendor.key == "intel":
        command.append(f"--intel_openvino_graph_backends={device}")
    folders = [*sdk_folders(target), plugins, package]
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=output.parent,
            env=os.environ | {"LD_LIBRARY_PATH": _search_path(folders)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="backslashreplace",
        )
    except OSError as err:
        raise AcceleratorError(f"the compiler's tool {tool} cannot be started: {err}") from err
    _remove_left_folders(done.stdout)
    lines = (line.rstrip() for line in done.stdout.splitlines())
    return ToolRun(done.returncode, tuple(line for line in lines if line))


def sdk_folders(target: Target) -> list[Path]:
    """Return where the libraries of the vendor's SDK are, as far as packages bring it."""
    folders = []
    sdk = _ask_sdk(target)
    if sdk is not None:
        folders.append(sdk)
    if target.vendor.key == "intel":
        folders += [folder / "libs" for folder in package_folders("openvino")]
    return folders


def has_sdk_package(vendor: Vendor) -> bool:
    """Whether the package is installed, be it with its libraries or without."""
    return bool(package_folders(_sdk_module(vendor)))


def package_folders(module: str) -> list[Path]:
    """Return where a package's files are, without importing it."""
    spec = PathFinder.find_spec(module)
    return [Path(folder) for folder in spec.submodule_search_locations or ()] if spec else []


def package_version(name: str) -> str:
    """Return the version of an installed package, empty where it is not known."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _sdk_module(vendor: Vendor) -> str:
    return vendor.sdk_package.replace("-", "_")


def _ask_sdk(target: Target) -> Path | None:
    """Return the folder of an installed SDK's libraries.

    Asked in a process of its own: Intel's imports OpenVINO, others print, and with its import
    Intel's puts the NPU's compiler where OpenVINO looks for it.
    """
    if not sys.executable or not has_sdk_package(target.vendor):
        return None
    argument = _SDK_ARGUMENTS.get(target.chip, "")
    code = f"import {_sdk_module(target.vendor)} as sdk; print(sdk.path_to_sdk_libs({argument}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    lines = done.stdout.split("\n")
    folder = lines[-2] if done.returncode == 0 and len(lines) > 1 else ""
    return Path(folder) if os.path.isdir(folder) else None


def _remove_left_folders(log: str) -> None:
    """Remove the empty folders that MediaTek's plugin leaves in /tmp where it fails."""
    # The plugin writes another character in place of the first slash.
    for name in re.findall(r"DLA dump directory path: .?(tmp/tempdir_dla\.\w+)", log):
        with suppress(OSError):
            os.rmdir(f"/{name}")


def _search_path(folders: Iterable[Path]) -> str:
    given = os.environ.get("LD_LIBRARY_PATH", "")
    return os.pathsep.join([*map(str, folders), *([given] if given else [])])
