"""The library's log of a compilation: which operators went where, and why not elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litert.accelerate.compile_log import Taken, failures, read_gpu_log, read_npu_log

# As the library's release 2.3.0 writes them.
GPU_STARTS = """\
INFO: [compiled_model.cc:829] Flatbuffer model initialized directly from incoming litert model.
WARNING: Logging before InitGoogle() is written to STDERR
I0000 00:00:1795597759.595710   22684 environment.cc:532] Selected adapter: SwiftShader Device \
(Subzero), arch=swiftshader, vendor=google, backend=Vulkan, adapterType=CPU / Software
INFO: [gpu_environment.h:155] Created LiteRT GpuEnvironment.
I0000 00:00:1795597759.598082   22684 delegate_webgpu.cc:751] # of threads to upload weights = 0
"""
GPU_USED = (
    "I0000 00:00:1795597759.598214   22684 delegate_kernel.cc:984] Initializing WebGPU-based API "
    "from graph.\n"
)
GPU_USED_FROM_CACHE = GPU_USED.replace("from graph", "from serialized data")
DEVICE = "SwiftShader Device (Subzero)"

NPU_STARTS = """\
INFO: [compiler_plugin.cc:260] Loaded plugin at: /site/libLiteRtCompilerPlugin_IntelOpenvino.so
WARNING: [compiler_plugin.cc:955] Applying plugin with unknown SDK version, because the targeted \
SoC Manufacturer does not report its SDK version. If you are seeing this message, please be aware
INFO: [compiler_plugin.cc:524] Partition strategy: 0
"""
NPU_APPLIED = (
    "INFO: [compiled_model.cc:1397] 1 compiler plugins were applied successfully: IntelOpenVINO "
    "compiler plugin (ver 0.1.0)\n"
)
NPU_NONE_APPLIED = """\
INFO: [compiled_model.cc:1397] 0 compiler plugins were applied successfully: \n\
ERROR: [compiled_model.cc:1400] Plugin errs: IntelOpenVINO compiler plugin (ver 0.1.0) ERROR: \
[litert/compiler/plugin/compiler_plugin.cc:504]
"""


def partitioned(subgraph: int, taken: int, total: int, partitions: int) -> str:
    return (
        f"INFO: [compiler_plugin.cc:742] Partitioned subgraph<{subgraph}>, selected {taken} ops, "
        f"from a total of {total} ops. resulted in {partitions} partitions.\n"
    )


# The GPU


@pytest.mark.parametrize("used", [GPU_USED, GPU_USED_FROM_CACHE])
def test_gpu_that_takes_all_says_no_number(used: str) -> None:
    assert read_gpu_log(GPU_STARTS + used) == Taken(None, None, 1, (), DEVICE)


def test_gpu_that_takes_some_gives_numbers_and_reasons() -> None:
    log = f"""{GPU_STARTS}{GPU_USED}Following operations are not supported by GPU delegate:
ARG_MAX: Tensor type(INT64) is not supported. argmax
GATHER: Only support 1D indices
1 operations will run on the GPU, and the remaining 2 operations will run on the CPU.
"""

    taken = read_gpu_log(log)

    reasons = (
        "1 ARG_MAX: Tensor type(INT64) is not supported",
        "1 GATHER: Only support 1D indices",
    )
    assert taken == Taken(1, 3, 1, reasons, DEVICE)


def test_gpu_that_takes_none_gives_zero() -> None:
    log = """Following operations are not supported by GPU delegate:
FULLY_CONNECTED: Tensor type(INT16) is not supported. x
No operations will run on the GPU, and all 1 operations will run on the CPU.
"""
    reasons = ("1 FULLY_CONNECTED: Tensor type(INT16) is not supported",)
    assert read_gpu_log(log) == Taken(0, 1, 0, reasons)


def test_gpu_reasons_of_equal_operators_are_counted() -> None:
    refused = "CONV_2D: Tensor type(INT16) is not supported. conv_{}\n"
    log = f"""Following operations are not supported by GPU delegate:
{refused.format(1)}{refused.format(2)}{refused.format(3)}SOFTMAX: Max version supported: 1.5.
4 operations will run on the GPU, and the remaining 4 operations will run on the CPU.
"""
    assert read_gpu_log(log).reasons == (
        "3 CONV_2D: Tensor type(INT16) is not supported",
        "1 SOFTMAX: Max version supported: 1.5",
    )


@pytest.mark.parametrize(("used", "num_operators"), [("", 0), (GPU_USED, None)])
def test_gpu_log_that_is_cut_before_its_numbers_keeps_the_reasons(
    used: str, num_operators: int | None
) -> None:
    log = f"{used}Following operations are not supported by GPU delegate:\nNEG: Tensor type(INT6"
    taken = read_gpu_log(log)
    assert (taken.num_operators, taken.num_total) == (num_operators, None)
    assert taken.reasons == ("1 NEG: Tensor type(INT6",)


def test_gpu_with_parts_in_several_subgraphs_counts_them() -> None:
    assert read_gpu_log(GPU_USED * 6).num_partitions == 6


@pytest.mark.parametrize("log", ["", "\n\n", "INFO: nothing of it\n", GPU_STARTS])
def test_gpu_log_without_a_part_for_it_is_none_taken(log: str) -> None:
    taken = read_gpu_log(log)
    assert (taken.num_operators, taken.num_total, taken.num_partitions) == (0, None, 0)


# The NPU


def test_npu_that_takes_all_gives_equal_numbers() -> None:
    log = NPU_STARTS + partitioned(0, 3, 3, 1) + NPU_APPLIED
    assert read_npu_log(log) == Taken(3, 3, 1)


def test_npu_parts_of_several_subgraphs_are_added_up() -> None:
    parts = partitioned(0, 0, 1, 0) + partitioned(1, 1, 1, 1) + partitioned(2, 2, 2, 1)
    assert read_npu_log(NPU_STARTS + parts + NPU_APPLIED) == Taken(3, 4, 2)


def test_npu_that_takes_none_gives_zero_of_all() -> None:
    assert read_npu_log(NPU_STARTS + partitioned(0, 0, 5, 0) + NPU_APPLIED) == Taken(0, 5, 0)


def test_npu_whose_plugin_failed_after_choosing_takes_none() -> None:
    log = NPU_STARTS + partitioned(0, 102, 102, 1) + NPU_NONE_APPLIED
    assert read_npu_log(log) == Taken(0, None, 0)


def test_npu_log_that_is_cut_before_the_result_takes_none() -> None:
    assert read_npu_log(NPU_STARTS + partitioned(0, 3, 3, 1)) == Taken(0, None, 0)


@pytest.mark.parametrize("log", ["", "\n", "selected ops, from a total of ops. resulted in\n"])
def test_npu_log_without_a_plugin_takes_none(log: str) -> None:
    assert read_npu_log(log) == Taken(0, None, 0)


@pytest.mark.parametrize("num_plugins", [1, 2, 10])
def test_npu_with_any_number_of_plugins_is_read(num_plugins: int) -> None:
    applied = NPU_APPLIED.replace("1 compiler", f"{num_plugins} compiler")
    assert read_npu_log(partitioned(0, 1, 2, 1) + applied) == Taken(1, 2, 1)


# What failed


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "ERROR: [compiled_model.cc:1400] Plugin errs: no plugin",
            "Plugin errs: no plugin",
        ),
        (
            "E0000 00:00:1795597759.595710   22684 delegate_webgpu.cc:812] Shape mismatch: {19, 1}",
            "Shape mismatch: {19, 1}",
        ),
        ("F1125 09:09:19.820250 7 a/b-c.cc:1] gone", "a/b-c.cc:1] gone"),
        (
            "ERROR: Encountered unresolved custom op: MyScale.",
            "Encountered unresolved custom op: MyScale",
        ),
        (
            "Error: vkCreateInstance: Found no drivers!",
            "Error: vkCreateInstance: Found no drivers!",
        ),
    ],
)
def test_failure_is_told_without_time_file_and_level(line: str, said: str) -> None:
    assert failures([line]) == [said]


@pytest.mark.parametrize(
    "line",
    [
        "INFO: [compiled_model.cc:829] Flatbuffer model initialized",
        "WARNING: Logging before InitGoogle() is written to STDERR",
        "W0000 00:00:1795597759.595710   22684 environment.cc:532] ERROR in words",
        "I0000 00:00:1795597759.595710   22684 environment.cc:532] Selected adapter: E",
        "Errors: none",
        "E0 is no absl line",
        "",
        "ERROR: ",
    ],
)
def test_line_that_is_no_failure_is_left_out(line: str) -> None:
    assert failures([line]) == []


def test_failures_are_told_once_in_their_order() -> None:
    lines = ("ERROR: b", "INFO: x", "ERROR: a", "ERROR: [model.cc:7] b", "ERROR: a")
    assert failures(lines) == ["b", "a"]


def test_plugin_that_failed_without_a_word_is_named() -> None:
    assert failures(NPU_NONE_APPLIED.splitlines()) == [
        "IntelOpenVINO compiler plugin (ver 0.1.0) failed in compiling it, and does not say why"
    ]


def test_cause_on_the_next_line_is_told_with_the_failure() -> None:
    lines = [
        "ERROR: [compiled_model.cc:1063] Failed to get hooks from accelerator: 3",
        "ERROR: [dispatch_delegate.cc:131] Failed to initialize Dispatch API: ERROR: "
        "[litert/runtime/dispatch/dispatch_delegate.cc:201]",
        "\u2514 Could not load shared library a.so: a.so: file too short.",
        "INFO: x",
        "\u2514 of what is no failure",
    ]
    assert failures(lines) == [
        "Failed to get hooks from accelerator: 3",
        "Failed to initialize Dispatch API: Could not load shared library a.so: a.so: file too "
        "short",
    ]


def test_plugin_that_does_not_load_is_told_though_it_is_a_warning() -> None:
    lines = [
        "WARNING: [compiler_plugin.cc:312] Failed to load plugin at: /p.so with error: ERROR: "
        "[litert/compiler/plugin/compiler_plugin.cc:259]",
        "\u2514 Could not load shared library /p.so: /p.so: file too short.",
        "WARNING: [compiled_model.cc:1393] Failed to apply compiler plugins: No compiler plugin "
        "found",
    ]
    assert failures(lines) == [
        "Failed to load plugin at: /p.so with error: Could not load shared library /p.so: /p.so: "
        "file too short",
        "Failed to apply compiler plugins: No compiler plugin found",
    ]


# Whatever comes

_PIECES = st.sampled_from(
    [
        GPU_STARTS,
        GPU_USED,
        NPU_APPLIED,
        NPU_NONE_APPLIED,
        partitioned(0, 1, 2, 3),
        "Following operations are not supported by GPU delegate:",
        "No operations will run on the GPU, and all 1 ",
        "99999999999999999999999 operations will run on the GPU, and the remaining 1 ",
        "CONV_2D: ",
        "ERROR: ",
        "\n\u2514 ",
        "\nERROR: .\n",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.one_of(_PIECES, st.text()), max_size=8).map("".join))
def test_any_text_is_read(log: str) -> None:
    for taken in (read_gpu_log(log), read_npu_log(log)):
        assert taken.num_operators is None or taken.num_operators >= 0
        assert taken.num_total is None or taken.num_total >= 0
        assert all("\n" not in reason for reason in taken.reasons)
    assert all(failures(log.splitlines()))


def test_gpu_log_of_several_subgraphs_is_summed_up() -> None:
    log = f"""{GPU_USED}
Following operations are not supported by GPU delegate:
ADD: Tensor type(INT64) is not supported.
No operations will run on the GPU, and all 1 operations will run on the CPU.
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
Following operations are not supported by GPU delegate:
ADD: Tensor type(INT64) is not supported.
2 operations will run on the GPU, and the remaining 3 operations will run on the CPU.
"""

    taken = read_gpu_log(log)

    assert (taken.num_operators, taken.num_total) == (2, 6)
    assert taken.reasons == ("2 ADD: Tensor type(INT64) is not supported",)
