"""Options of CPU, GPU and NPU: what is taken reaches the library as it is, the rest is refused."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import litert
from litert.accelerate.plugins import Plugins
from litert.ahead_of_time.npu_targets import VENDORS
from litert.cpu import num_physical_cores

KEYS = {
    "precision": r"[123]",
    "preferred_device_substr": r'"[^"\\\n\r\0]+"',
    "performance_mode": r"[012]",
    r"graph\.\d+\.graph_backend": r"[012]",
    r"configs_map\.[A-Z][A-Z0-9_]*": r'"[^"\\\n\r\0]+"',
}
LINE = re.compile("|".join(f"(?:{key} = {value})" for key, value in KEYS.items()))
FLAGS = (
    "force_fp16",
    "dynamic_fully_connected",
    "variable_operators",
    "transient_indirection_buffer",
    "latest_operators",
    "subgraph_reshaping",
    "slow_consistent_arithmetic",
    "disable_subgraph_reshaping",
)


class PathOf:
    """A path that is no ``pathlib.Path``."""

    def __init__(self, path: Any) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        return self._path


# Defaults


def test_gpu_defaults_give_the_results_of_the_cpu() -> None:
    options = litert.GpuOptions()
    assert (options.precision, options.device, options.cache_dir) == ("fp32", None, "auto")
    assert options.lines() == ["precision = 2"]


def test_npu_defaults_are_intels_npu() -> None:
    options = litert.NpuOptions()
    assert (options.vendor, options.device, options.performance_mode) == ("intel", "npu", "latency")
    assert dict(options.properties) == {}
    assert options.dispatch_dir is None
    assert options.lines()[-1] == "performance_mode = 0"


def test_cpu_defaults_are_xnnpack_on_the_physical_cores() -> None:
    options = litert.CpuOptions()
    assert options.threads == min(num_physical_cores(), 1024)
    assert options.xnnpack_bits == 0
    assert (options.kernels, options.xnnpack_flags) == ("xnnpack", ())
    assert (options.weight_cache, options.keeps_weights) == ("auto", True)


def test_cpu_threads_by_default_are_never_more_than_may_be_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("litert.options.num_physical_cores", lambda: 4096)
    assert litert.CpuOptions().threads == 1024


@pytest.mark.parametrize("kind", [litert.CpuOptions, litert.GpuOptions, litert.NpuOptions])
def test_options_are_frozen(kind: Callable[[], Any]) -> None:
    options = kind()
    for field in dataclasses.fields(options):
        with pytest.raises(dataclasses.FrozenInstanceError, match=field.name):
            setattr(options, field.name, None)


@pytest.mark.parametrize(
    "options",
    [
        litert.CpuOptions(num_threads=2, xnnpack_flags=("latest_operators",)),
        litert.GpuOptions(precision="fp16", device="intel"),
        litert.NpuOptions(device="cpu", properties={"NPU_TURBO": "YES"}),
    ],
)
def test_options_are_equal_after_a_copy_and_a_pickle(options: Any) -> None:
    assert copy.deepcopy(options) == options
    assert pickle.loads(pickle.dumps(options)) == options
    assert dataclasses.replace(options) == options


# Refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp64"}, r"^precision: expected one of \['fp32', .*got 'fp64'$"),
        ({"precision": "FP32"}, "^precision: .*got 'FP32'$"),
        ({"precision": 1}, "^precision: .*got 1$"),
        ({"precision": None}, "^precision: .*got None$"),
        ({"precision": ["fp32"]}, r"^precision: .*got \['fp32'\]$"),
        ({"device": ""}, "^device: expected text, got ''$"),
        ({"device": 0}, "^device: expected text, got 0$"),
        ({"device": b"intel"}, "^device: expected text, got b'intel'$"),
        ({"device": 'a"b'}, "^device: must not hold quotes"),
        ({"device": "a\nprecision = 1"}, "^device: must not hold .*line ends"),
        ({"device": "a\\"}, "^device: must not hold .*backslashes"),
        ({"device": "a\0"}, "^device: must not hold"),
        ({"device": "\ud800"}, "^device: must not hold"),
        ({"cache_dir": 7}, "^cache_dir: expected 'auto', None or a folder's path, got 7$"),
        ({"cache_dir": b"cache"}, "^cache_dir: expected 'auto'.*got b'cache'$"),
        ({"cache_dir": ""}, "^cache_dir: expected 'auto'.*got ''$"),
        ({"cache_dir": 'a"b'}, "^cache_dir: the path must not hold a quote"),
        ({"cache_dir": "a\nb"}, "^cache_dir: the path must not hold .*newline"),
        ({"cache_dir": "a\0b"}, "^cache_dir: the path must not hold"),
        ({"cache_dir": PathOf(b"cache")}, "^cache_dir: expected 'auto'"),
        ({"cache_dir": PathOf(7)}, "^cache_dir: expected 'auto'"),
    ],
)
def test_gpu_option_of_a_wrong_value_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(litert.OptionError, match=message):
        litert.GpuOptions(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vendor": "amd"}, r"^vendor: expected one of \[.*'intel'.*\], got 'amd'$"),
        ({"vendor": 0}, "^vendor: expected one of"),
        ({"device": "tpu"}, r"^device: expected one of \['cpu', 'gpu', 'npu'\], got 'tpu'$"),
        ({"device": 2}, "^device: expected one of"),
        ({"performance_mode": "fast"}, "^performance_mode: expected one of.*got 'fast'$"),
        ({"performance_mode": True}, "^performance_mode: expected one of"),
        ({"properties": [("A", "b")]}, "^properties: expected a mapping"),
        ({"properties": None}, "^properties: expected a mapping, got None$"),
        ({"properties": {"lower": "b"}}, "^properties: expected names in capitals.*got 'lower'$"),
        ({"properties": {"A B": "b"}}, "^properties: expected names in capitals"),
        ({"properties": {"A\n": "b"}}, "^properties: expected names in capitals"),
        ({"properties": {"": "b"}}, "^properties: expected names in capitals"),
        ({"properties": {7: "b"}}, "^properties: expected names in capitals.*got 7$"),
        ({"properties": {"A": 7}}, r"^properties\['A'\]: expected text, got 7$"),
        ({"properties": {"A": True}}, r"^properties\['A'\]: expected text, got True$"),
        ({"properties": {"A": ""}}, r"^properties\['A'\]: expected text, got ''$"),
        ({"properties": {"A": 'b"\nc'}}, r"^properties\['A'\]: must not hold quotes"),
        ({"properties": {"A": "\udcff"}}, r"^properties\['A'\]: must not hold"),
        ({"dispatch_dir": 7}, "^dispatch_dir: expected a path, got int$"),
        ({"dispatch_dir": b"x"}, "^dispatch_dir: expected a path, got bytes$"),
        ({"dispatch_dir": ""}, "^dispatch_dir: expected a path, got ''$"),
        ({"dispatch_dir": "a\0b"}, "^dispatch_dir: expected a path"),
        ({"dispatch_dir": PathOf(b"x")}, "^dispatch_dir: expected a path"),
        ({"dispatch_dir": "\ud800"}, r"^dispatch_dir: expected a path, got '\\ud800'$"),
    ],
)
def test_npu_option_of_a_wrong_value_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(litert.OptionError, match=message):
        litert.NpuOptions(**options)


@pytest.mark.parametrize(
    "options",
    [{"device": "cpu"}, {"performance_mode": "throughput"}, {"properties": {"A": "b"}}],
)
@pytest.mark.parametrize("vendor", [vendor.key for vendor in VENDORS if vendor.key != "intel"])
def test_openvino_option_with_another_vendor_is_refused(
    vendor: str, options: dict[str, Any]
) -> None:
    message = f"are OpenVINO's; they have no meaning with vendor='{vendor}'$"
    with pytest.raises(litert.OptionError, match=message):
        litert.NpuOptions(vendor=vendor, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_threads": 0}, "^num_threads: expected 1 to 1024, got 0$"),
        ({"num_threads": -1}, "^num_threads: expected 1 to 1024, got -1$"),
        ({"num_threads": 1025}, "^num_threads: expected 1 to 1024, got 1025$"),
        ({"num_threads": True}, "^num_threads: expected an int, got True$"),
        ({"num_threads": 2.0}, r"^num_threads: expected an int, got 2\.0$"),
        ({"num_threads": "2"}, "^num_threads: expected an int, got '2'$"),
        ({"kernels": "reference"}, "^kernels: expected 'xnnpack' or 'builtin', got 'reference'$"),
        ({"kernels": None}, "^kernels: expected 'xnnpack' or 'builtin', got None$"),
        ({"kernels": ["xnnpack"]}, "^kernels: expected 'xnnpack' or 'builtin'"),
        ({"xnnpack_flags": "force_fp16"}, "^xnnpack_flags: expected a sequence of names"),
        ({"xnnpack_flags": {"force_fp16"}}, "^xnnpack_flags: expected a sequence of names"),
        ({"xnnpack_flags": b""}, "^xnnpack_flags: expected a sequence of names, got b''$"),
        ({"xnnpack_flags": 4}, "^xnnpack_flags: expected a sequence of names, got 4$"),
        ({"xnnpack_flags": None}, "^xnnpack_flags: expected a sequence of names, got None$"),
        ({"xnnpack_flags": ("fp16",)}, "^xnnpack_flags: expected some of .*got 'fp16'$"),
        ({"xnnpack_flags": (4,)}, "^xnnpack_flags: expected some of .*got 4$"),
        ({"xnnpack_flags": [[]]}, r"^xnnpack_flags: expected some of .*got \[\]$"),
        (
            {"xnnpack_flags": ("subgraph_reshaping", "disable_subgraph_reshaping")},
            "'subgraph_reshaping' and 'disable_subgraph_reshaping' contradict each other$",
        ),
        (
            {"xnnpack_flags": ("slow_consistent_arithmetic", "force_fp16")},
            "'force_fp16' and 'slow_consistent_arithmetic' contradict each other$",
        ),
        (
            {"xnnpack_flags": ("latest_operators",), "kernels": "builtin"},
            "^xnnpack_flags: have no meaning with kernels='builtin'$",
        ),
        (
            {"xnnpack_flags": ("force_fp16",), "weight_cache": "cache"},
            "^weight_cache: XNNPACK cannot keep weights packed for float16",
        ),
        ({"kernels": np.array([1, 2])}, r"^kernels: expected .*got array\(\[1, 2\]\)$"),
        ({"xnnpack_flags": np.array([1, 2])}, "^xnnpack_flags: expected a sequence of names"),
        ({"weight_cache": np.array([1, 2])}, "^weight_cache: expected 'auto', None"),
        ({"weight_cache": 7}, "^weight_cache: expected 'auto', None or a folder's path, got 7$"),
        ({"weight_cache": ""}, "^weight_cache: expected 'auto'"),
        ({"weight_cache": False}, "^weight_cache: expected 'auto'"),
        ({"weight_cache": "a\0b"}, "^weight_cache: the path must not hold"),
    ],
)
def test_cpu_option_of_a_wrong_value_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(litert.OptionError, match=message):
        litert.CpuOptions(**options)


@pytest.mark.parametrize("cpu", [7, "", {}, litert.CpuOptions, np.array([1, 2])])
def test_cpu_options_of_another_kind_are_refused(data: Path, cpu: Any) -> None:
    with pytest.raises(litert.OptionError, match=r"^cpu: expected CpuOptions\(\.\.\.\), got "):
        litert.Model(data / "add.tflite", cpu=cpu)


def test_weights_are_kept_in_a_folder_whose_name_is_no_text(data: Path, tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    cpu = litert.CpuOptions(weight_cache=folder)
    for use in ("built", "reused"):
        with litert.Model(data / "conv.tflite", cpu=cpu) as model:
            assert model.weight_cache == use


# What is taken


@pytest.mark.parametrize(
    ("precision", "number"), [("fp32", 2), ("fp16", 1), ("fp16_with_fp32_sums", 3)]
)
def test_gpu_precision_is_told_by_the_librarys_number(precision: Any, number: int) -> None:
    assert litert.GpuOptions(precision=precision).lines() == [f"precision = {number}"]


def test_npu_device_is_told_for_every_part_that_there_may_be() -> None:
    lines = litert.NpuOptions(device="cpu").lines()
    assert lines[:64] == [f"graph.{index}.graph_backend = 0" for index in range(64)]


def test_npu_properties_are_told_and_kept_from_changes() -> None:
    properties = {"NPU_TURBO": "YES"}
    options = litert.NpuOptions(properties=properties)
    properties["OTHER"] = "x"
    assert options.lines()[-1] == 'configs_map.NPU_TURBO = "YES"'
    with pytest.raises(TypeError, match="does not support item assignment"):
        options.properties["OTHER"] = "x"  # type: ignore[index]


@pytest.mark.parametrize("index", range(len(FLAGS)))
def test_cpu_flag_is_told_with_the_flags_that_int8_needs(index: int) -> None:
    name: Any = FLAGS[index]
    bit = (0x4, 0x8, 0x10, 0x20, 0x40, 0x80, 0x200, 0x400)[index]
    assert litert.CpuOptions(xnnpack_flags=(name,)).xnnpack_bits == bit | 3


def test_cpu_flag_given_twice_counts_once() -> None:
    options = litert.CpuOptions(xnnpack_flags=["latest_operators", "latest_operators"])
    assert options.xnnpack_flags == ("latest_operators",)


@pytest.mark.parametrize(
    "options",
    [{"weight_cache": None}, {"kernels": "builtin"}, {"xnnpack_flags": ("force_fp16",)}],
)
def test_cpu_keeps_no_weights_where_it_cannot_or_shall_not(options: dict[str, Any]) -> None:
    assert not litert.CpuOptions(**options).keeps_weights


@pytest.mark.parametrize("folder", ["cache", Path("cache"), PathOf("cache"), "pâte", "a b#c"])
def test_cache_folder_may_be_any_path(folder: Any) -> None:
    assert os.fspath(litert.GpuOptions(cache_dir=folder).cache_dir) == os.fspath(folder)  # type: ignore[arg-type]
    assert litert.CpuOptions(weight_cache=folder).keeps_weights


# Whatever comes

_WORDS = st.one_of(
    st.text(max_size=8),
    st.text(st.sampled_from('ab"\\\n\r\0=#[]\x1c\u2028\x85\ud800'), max_size=8),
    st.sampled_from(["fp16", "cpu", "npu", "intel", "qualcomm", "latency", "auto"]),
)
_ANYTHING = st.one_of(
    _WORDS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.binary(max_size=4),
    st.lists(st.sampled_from(FLAGS), max_size=3),
    st.dictionaries(st.one_of(st.from_regex("[A-Z]{1,3}", fullmatch=True), _WORDS), _WORDS),
    _WORDS.map(PathOf),
)


def _made(kind: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Return the options, None where they are refused as they should be."""
    try:
        return kind(**options)
    except litert.OptionError:
        return None


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(["precision", "device", "cache_dir"]), _ANYTHING))
def test_gpu_options_of_any_kind_are_known_lines_or_refused(options: dict[str, Any]) -> None:
    made = _made(litert.GpuOptions, options)
    if made is not None:
        _check_lines(made.lines())


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["vendor", "device", "performance_mode", "properties", "dispatch_dir"]),
        _ANYTHING,
    )
)
def test_npu_options_of_any_kind_are_known_lines_or_refused(options: dict[str, Any]) -> None:
    made = _made(litert.NpuOptions, options)
    if made is not None:
        _check_lines(made.lines())


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["num_threads", "kernels", "xnnpack_flags", "weight_cache"]), _ANYTHING
    )
)
def test_cpu_options_of_any_kind_are_in_range_or_refused(options: dict[str, Any]) -> None:
    made = _made(litert.CpuOptions, options)
    if made is not None:
        assert 1 <= made.threads <= 1024
        assert made.xnnpack_bits == 0 or made.xnnpack_bits & 3 == 3


@settings(deadline=None, max_examples=200)
@given(
    _ANYTHING,
    st.dictionaries(_WORDS, st.one_of(_WORDS, st.floats(), st.booleans(), st.binary(max_size=4))),
)
def test_delegates_of_any_kind_are_told_whole_or_refused(library: Any, options: Any) -> None:
    try:
        delegate = litert.Delegate(library, options)
    except litert.OptionError:
        return
    ((path, told),) = Plugins((delegate,), ()).delegate_arguments()
    texts = [path, *(text.encode() for option in told for text in option)]
    assert path
    assert [text for text in texts if b"\0" in text] == []
    assert dict(told) == {key: str(value) for key, value in options.items()}


@settings(deadline=None, max_examples=200)
@given(_ANYTHING, _ANYTHING, _ANYTHING)
def test_custom_ops_of_any_kind_are_loaded_or_refused(name: Any, kernel: Any, symbol: Any) -> None:
    try:
        operator = litert.CustomOp(name, kernel, symbol=symbol)
    except litert.OptionError:
        return
    with pytest.raises(litert.LibraryError, match="cannot load"):
        Plugins((), (operator,)).make_kernels()


def _check_lines(lines: list[str]) -> None:
    for line in lines:
        assert LINE.fullmatch(line) is not None
    keys = [line.split(" = ")[0] for line in lines]
    assert len(set(keys)) == len(keys)
    text = "".join(f"{line}\n" for line in lines)
    assert text.encode().count(b"\n") == len(lines)
