"""Options of the accelerators, validated when they are made.

The library is told them as text, of which it ignores every line that it does not know, so what is
not checked here would be lost without a word.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from litert.ahead_of_time.npu_targets import VENDORS
from litert.errors import OptionError
from litert.options import CacheSetting, check_cache_setting, checked_path

GpuPrecision = Literal["fp32", "fp16", "fp16_with_fp32_sums"]
NpuDevice = Literal["npu", "cpu", "gpu"]
PerformanceMode = Literal["latency", "throughput", "cumulative_throughput"]

# Numbers of the library's enumerations.
_PRECISIONS: dict[str, int] = {"fp32": 2, "fp16": 1, "fp16_with_fp32_sums": 3}
_DEVICES: dict[str, int] = {"cpu": 0, "gpu": 1, "npu": 2}
_MODES: dict[str, int] = {"latency": 0, "throughput": 1, "cumulative_throughput": 2}
# A graph is cut into parts, each of which has to be told its device; how many is not known before.
_MAX_PARTITIONS = 64
_PROPERTY = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOptions:
    """How a model runs on a GPU.

    Attributes:
        precision: ``"fp32"`` (the default) gives the CPU's results; ``"fp16"`` and
            ``"fp16_with_fp32_sums"`` are faster and less exact, and are refused where the device
            computes them wrongly.
        device: Part of the name of the device to use, in capitals or not, as
            ``litert.accelerators()`` lists them, without the kind behind it; by default the
            driver's first.
        cache_dir: Where compiled programs and converted weights are kept: ``"auto"`` for the user's
            cache folder, a folder's path, or None for nowhere.

    Raises:
        OptionError: A value is none of these.
    """

    precision: GpuPrecision = "fp32"
    device: str | None = None
    cache_dir: CacheSetting = "auto"

    def __post_init__(self) -> None:
        _check_choice("precision", self.precision, _PRECISIONS)
        if self.device is not None:
            _check_text("device", self.device)
        check_cache_setting("cache_dir", self.cache_dir)

    def is_device(self, name: str) -> bool:
        """Whether a device of that name may be used."""
        return self.device is None or self.device.lower() in name.lower()

    def lines(self) -> list[str]:
        """Return the options as the library takes them, but for the cache."""
        lines = [f"precision = {_PRECISIONS[self.precision]}"]
        if self.device is not None:
            lines.append(f'preferred_device_substr = "{self.device}"')
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class NpuOptions:
    """How a model runs on an NPU.

    Attributes:
        vendor: Whose NPU: ``"intel"`` is driven through OpenVINO. The others' dispatch libraries
            (``"qualcomm"``, ``"mediatek"``, ``"google_tensor"``, ``"samsung"``) are in no package
            for Linux and have to be given by ``dispatch_dir``.
        device: For Intel, OpenVINO's device: ``"npu"``, or ``"cpu"`` and ``"gpu"``, which run the
            same path on these.
        performance_mode: What OpenVINO optimizes for.
        properties: OpenVINO properties by name: ``{"NPU_COMPILATION_MODE_PARAMS": "..."}``.
        dispatch_dir: The folder of the vendor's dispatch library; by default the one beside the
            LiteRT library.

    Raises:
        OptionError: A value is none of these.
    """

    vendor: str = "intel"
    device: NpuDevice = "npu"
    performance_mode: PerformanceMode = "latency"
    properties: Mapping[str, str] = field(default_factory=dict)
    dispatch_dir: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        _check_choice("vendor", self.vendor, [vendor.key for vendor in VENDORS])
        _check_choice("device", self.device, _DEVICES)
        _check_choice("performance_mode", self.performance_mode, _MODES)
        if not isinstance(self.properties, Mapping):
            raise OptionError(f"properties: expected a mapping, got {self.properties!r}")
        for name, value in self.properties.items():
            if not isinstance(name, str) or _PROPERTY.fullmatch(name) is None:
                raise OptionError(
                    f"properties: expected names in capitals, as OpenVINO has them, got {name!r}"
                )
            _check_text(f"properties[{name!r}]", value)
        object.__setattr__(self, "properties", MappingProxyType(dict(self.properties)))
        if self.vendor != "intel" and (
            self.device != "npu" or self.properties or self.performance_mode != "latency"
        ):
            raise OptionError(
                "device, performance_mode and properties are OpenVINO's; they have no meaning with "
                f"vendor={self.vendor!r}"
            )
        if self.dispatch_dir is not None:
            checked_path("dispatch_dir", self.dispatch_dir)

    def __reduce__(self) -> tuple[object, ...]:
        # The properties' read-only view can neither be pickled nor copied.
        values = {name: getattr(self, name) for name in self.__slots__}
        return functools.partial(NpuOptions, **{**values, "properties": dict(self.properties)}), ()

    def lines(self) -> list[str]:
        """Return OpenVINO's options as the library takes them."""
        device = _DEVICES[self.device]
        return [
            *(f"graph.{index}.graph_backend = {device}" for index in range(_MAX_PARTITIONS)),
            f"performance_mode = {_MODES[self.performance_mode]}",
            *(f'configs_map.{name} = "{value}"' for name, value in self.properties.items()),
        ]


def _check_choice(name: str, value: object, known: Mapping[str, int] | list[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise OptionError(f"{name}: expected one of {list(known)}, got {value!r}")


def _check_text(name: str, value: object) -> None:
    """Refuse what the library's parser, which knows no escapes, would read as something else."""
    if not isinstance(value, str) or not value:
        raise OptionError(f"{name}: expected text, got {value!r}")
    if any(mark in '"\\\n\r\0' or _is_half(mark) for mark in value):
        raise OptionError(
            f"{name}: must not hold quotes, backslashes, line ends or half characters, got "
            f"{value!r}"
        )


def _is_half(mark: str) -> bool:
    """Whether a character is half of one, which no UTF-8 text holds."""
    return "\ud800" <= mark <= "\udfff"
