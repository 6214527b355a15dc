"""Says why a model could not be compiled for an NPU, from what the compiler's tool wrote."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from litert.ahead_of_time.compiler_tool import ToolRun, has_sdk_package, package_version
from litert.ahead_of_time.npu_targets import Target, Vendor

_PARTITIONED = re.compile(
    r"selected (\d+) ops, from a total of (\d+) ops\. resulted in (\d+) partitions"
)
_PLUGIN_FAILURE = re.compile(r"Could not load shared library \S+: (.+?)\.?$")
_OPENVINO = re.compile(r"libopenvino\.so\.(\d\d)(\d)(\d)")
_UNDEFINED_SYMBOL = re.compile(r"undefined symbol: (\S+)")
_ERROR = re.compile(r"ERROR: (?:\[[^\]]*\] )?(.+)")
_NEXT_ENTRY = re.compile(r"(INFO|WARNING|ERROR|VERBOSE): |\[LITERT_TOOLS")

_MAX_SHOWN = 8


def count_operators(log: Sequence[str]) -> tuple[int, int, int]:
    """Return how many operators were taken, of how many, in how many partitions."""
    found = [match for line in log if (match := _PARTITIONED.search(line))]
    taken, total, partitions = (sum(int(match[group]) for match in found) for group in (1, 2, 3))
    return taken, total, partitions


def explain_failure(target: Target, run: ToolRun, operators: Collection[str]) -> str:
    """Say why the tool gave no compiled model and what to do about it, without a full stop.

    Args:
        target: What it was to compile for.
        run: How it ended.
        operators: Names of the model's operators.
    """
    vendor = target.vendor
    text = "\n".join(run.log)
    plugin_failure = next((m[1] for line in run.log if (m := _PLUGIN_FAILURE.search(line))), "")
    symbol = _UNDEFINED_SYMBOL.search(plugin_failure)
    if symbol is not None:
        return _explain_broken_plugin(vendor, symbol[1])
    openvino = _OPENVINO.search(plugin_failure)
    if openvino is not None:
        return _explain_openvino("20{}.{}.{}".format(*openvino.groups()), openvino[0])
    if plugin_failure and vendor.compiler not in plugin_failure:
        return f"{_plugin(vendor)} does not load: {plugin_failure}"
    if vendor.compiler in text:
        return _explain_missing_sdk(vendor)
    if run.signal_name:
        return f"the compiler crashed ({run.signal_name})"
    taken, total, _ = count_operators(run.log)
    if total and not taken:
        return f"{vendor.name}'s compiler takes none of the model's operators ({_some(operators)})"
    if run.return_code == 0:
        return f"{vendor.name}'s compiler wrote no compiled model"
    reason = _find_reason(run.log) or f"it ended with {run.return_code}"
    return f"{vendor.name}'s compiler failed: {reason}"


def _some(names: Collection[str]) -> str:
    shown = ", ".join(list(names)[:_MAX_SHOWN])
    return f"{shown}, ..." if len(names) > _MAX_SHOWN else shown


def _plugin(vendor: Vendor) -> str:
    return f"the plugin for {vendor.name} of ai-edge-litert {package_version('ai-edge-litert')}"


def _explain_broken_plugin(vendor: Vendor, symbol: str) -> str:
    return (
        f"{_plugin(vendor)} is broken (undefined symbol {symbol}); use another release of "
        f"ai-edge-litert, or ai-edge-litert-nightly with {vendor.sdk_package}-nightly"
    )


def _explain_openvino(needed: str, library: str) -> str:
    installed = package_version("openvino")
    what = f"openvino {installed} is installed" if installed else "openvino is not installed"
    if installed == needed:
        what += f", but {library} is missing"
    return (
        f"the plugin for Intel needs OpenVINO {needed} ({library}), and {what}; "
        f"pip install openvino=={needed}"
    )


def _explain_missing_sdk(vendor: Vendor) -> str:
    version = package_version("ai-edge-litert")
    package = f"{vendor.sdk_package}=={version}" if version else vendor.sdk_package
    if vendor.key == "samsung":
        package = f"{vendor.sdk_package}-nightly"
    what = f"{vendor.name}'s compiler ({vendor.compiler})"
    if has_sdk_package(vendor):
        return (
            f"{what} is missing though {vendor.sdk_package} is installed, which downloads it while "
            "it is installed and says nothing where it cannot; with a connection: "
            f"pip install --force-reinstall --no-cache-dir {package}"
        )
    return f"{what} is not installed; pip install {package}, which downloads it"


def _find_reason(log: Sequence[str]) -> str:
    """Return what the first error says, not where in the tool's source it was raised."""
    for place, line in enumerate(log):
        error = _ERROR.search(line)
        if error is None or error[1].startswith(("ERROR: [", "[")):
            continue
        entry = [error[1]]
        for following in log[place + 1 :]:
            if _NEXT_ENTRY.match(following):
                break
            entry.append(following)
        # An exception's last line is its message, those before say through what it came.
        return (entry[-1] if "Exception" in entry[0] else entry[0]).strip(" .")
    return ""
