"""Options of the CPU and the accelerators: the library ignores what it does not know, we do not."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import litert
from litert.cpu import num_physical_cores

# Every line that the library may be told, whole.
KNOWN_LINES = re.compile(
    r'(?:precision = [0-3]|preferred_device_substr = "[^"\\\n\r]+"'
    r"|graph\.\d+\.graph_backend = [0-2]|performance_mode = [0-2]"
    r'|configs_map\.[A-Z][A-Z0-9_]* = "[^"\\\n\r]+")'
)
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.lists(st.text(), max_size=2), st.dictionaries(st.text(), st.text(), max_size=2),
    st.sampled_from(["fp32", "fp16", "cpu", "npu", "gpu", "intel", "latency", "auto"]),
)  # fmt: skip


def test_defaults_give_the_results_of_the_cpu() -> None:
    assert litert.GpuOptions().lines() == ["precision = 2"]
    assert litert.NpuOptions().lines()[0] == "graph.0.graph_backend = 2"


def test_every_partition_is_told_its_device() -> None:
    lines = litert.NpuOptions(device="cpu", properties={"NUM_STREAMS": "1"}).lines()

    assert [f"graph.{index}.graph_backend = 0" for index in range(64)] == lines[:64]
    assert lines[64:] == ["performance_mode = 0", 'configs_map.NUM_STREAMS = "1"']


def test_threads_are_the_physical_cores_by_default() -> None:
    assert litert.CpuOptions().threads == num_physical_cores()
    assert litert.CpuOptions(num_threads=3).threads == 3


def test_flags_are_added_to_the_librarys_own() -> None:
    # Given flags replace them in the library, and int8 models lose their kernels.
    assert litert.CpuOptions().xnnpack_bits == 0
    assert litert.CpuOptions(xnnpack_flags=("force_fp16",)).xnnpack_bits == 0x7
    assert litert.CpuOptions(xnnpack_flags=["latest_operators"] * 2).xnnpack_bits == 0x43


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_threads": 0}, "num_threads: expected 1 to 1024, got 0"),
        ({"num_threads": True}, "num_threads: expected an int, got True"),
        ({"kernels": "reference"}, "kernels: expected 'xnnpack' or 'builtin'"),
        ({"xnnpack_flags": "force_fp16"}, "xnnpack_flags: expected a sequence of names"),
        ({"xnnpack_flags": ("fp16",)}, r"xnnpack_flags: expected some of \[.*\], got 'fp16'"),
        (
            {"xnnpack_flags": ("subgraph_reshaping", "disable_subgraph_reshaping")},
            "'subgraph_reshaping' and 'disable_subgraph_reshaping' contradict",
        ),
        (
            {"xnnpack_flags": ("slow_consistent_arithmetic", "force_fp16")},
            "'force_fp16' and 'slow_consistent_arithmetic' contradict",
        ),
        (
            {"xnnpack_flags": ("latest_operators",), "kernels": "builtin"},
            "no meaning with kernels='builtin'",
        ),
        ({"weight_cache": 7}, "weight_cache: expected 'auto', None or a folder's path, got 7"),
        ({"weight_cache": ""}, "weight_cache: expected 'auto', None or a folder's path"),
        ({"weight_cache": 'a"b'}, "weight_cache: the path must not hold a quote"),
        (
            {"weight_cache": "folder", "xnnpack_flags": ("force_fp16",)},
            "cannot keep weights packed for float16",
        ),
    ],
)
def test_wrong_cpu_options_are_refused(options: Any, match: str) -> None:
    with pytest.raises(litert.OptionError, match=match):
        litert.CpuOptions(**options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"precision": "int8"}, r"precision: expected one of \['fp32', .*\], got 'int8'"),
        ({"precision": 99}, "precision: expected one of .*, got 99"),
        ({"device": ""}, "device: expected text, got ''"),
        ({"device": 'a"\nb'}, "device: must not hold quotes"),
        ({"cache_dir": 7}, "cache_dir: expected 'auto', None or a folder's path"),
        ({"cache_dir": 'a"b'}, "cache_dir: the path must not hold a quote"),
    ],
)
def test_wrong_gpu_options_are_refused(options: Any, match: str) -> None:
    with pytest.raises(litert.OptionError, match=match):
        litert.GpuOptions(**options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"vendor": "amd"}, r"vendor: expected one of \['intel', .*\], got 'amd'"),
        ({"device": "tpu"}, r"device: expected one of \['cpu', 'gpu', 'npu'\], got 'tpu'"),
        ({"performance_mode": "fast"}, "performance_mode: expected one of"),
        ({"properties": ["A"]}, "properties: expected a mapping"),
        ({"properties": {"num_streams": "1"}}, "expected names in capitals, .*'num_streams'"),
        ({"properties": {"A\nB": "1"}}, "expected names in capitals"),
        ({"properties": {"A": 1}}, r"properties\['A'\]: expected text, got 1"),
        ({"properties": {"A": 'x"'}}, r"properties\['A'\]: must not hold quotes"),
        ({"dispatch_dir": 7}, "dispatch_dir: expected a path, got 7"),
        ({"vendor": "qualcomm", "device": "cpu"}, "no meaning with vendor='qualcomm'"),
    ],
)
def test_wrong_npu_options_are_refused(options: Any, match: str) -> None:
    with pytest.raises(litert.OptionError, match=match):
        litert.NpuOptions(**options)


@pytest.mark.parametrize("kind", [litert.CpuOptions, litert.GpuOptions, litert.NpuOptions])
def test_options_do_not_change(kind: Any) -> None:
    options = kind()
    name = dataclasses.fields(options)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, name, None)


@given(precision=ANYTHING, device=ANYTHING, cache_dir=ANYTHING)
def test_gpu_options_are_refused_or_lines_that_we_know(**options: Any) -> None:
    try:
        accepted = litert.GpuOptions(**options)
    except litert.OptionError:
        return
    assert all(KNOWN_LINES.fullmatch(line) for line in accepted.lines())


@given(
    vendor=ANYTHING,
    device=ANYTHING,
    performance_mode=ANYTHING,
    properties=st.one_of(
        ANYTHING, st.dictionaries(st.from_regex(r"[A-Z_]{1,5}", fullmatch=True), st.text())
    ),
)
def test_npu_options_are_refused_or_lines_that_we_know(**options: Any) -> None:
    usual = {"vendor": "intel", "device": "cpu", "performance_mode": "latency"}
    for given_options in (options, usual | {"properties": options["properties"]}):
        try:
            accepted = litert.NpuOptions(**given_options)
        except litert.OptionError:
            continue
        assert all(KNOWN_LINES.fullmatch(line) for line in accepted.lines())


@given(num_threads=ANYTHING, kernels=ANYTHING, xnnpack_flags=ANYTHING, weight_cache=ANYTHING)
def test_cpu_options_are_refused_or_numbers(**options: Any) -> None:
    try:
        accepted = litert.CpuOptions(**options)
    except litert.OptionError:
        return
    assert 1 <= accepted.threads <= 1024
    assert accepted.xnnpack_bits & ~0x6FF == 0
