"""What the library's log tells of a compilation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from litert.accelerate.compile_log import Taken, failures, read_gpu_log, read_npu_log

GPU = """\
I0000 00:00:1795592518.698079   31882 environment.cc:532] Selected adapter: SwiftShader Device \
(Subzero), arch=swiftshader, vendor=google, backend=Vulkan, adapterType=CPU / Software
I0000 00:00:1795592518.706321   31882 delegate_kernel.cc:984] Initializing WebGPU-based API from \
graph.
"""
REFUSED = """\
Following operations are not supported by GPU delegate:
CONV_2D: Tensor type(INT16) is not supported. model/block_0;1
CONV_2D: Tensor type(INT16) is not supported. model/block_1;1
ADD: Tensor type(INT64) is not supported. x
"""
NPU = """\
INFO: [compiler_plugin.cc:742] Partitioned subgraph<0>, selected 6 ops, from a total of 8 ops. \
resulted in 2 partitions.
INFO: [compiler_plugin.cc:742] Partitioned subgraph<1>, selected 3 ops, from a total of 3 ops. \
resulted in 1 partitions.
INFO: [compiled_model.cc:1397] 1 compiler plugins were applied successfully: IntelOpenVINO
"""


def test_gpu_that_takes_all_says_nothing_of_operators() -> None:
    assert read_gpu_log(GPU) == Taken(None, None, 1, (), "SwiftShader Device (Subzero)")


def test_gpu_that_takes_a_part_tells_numbers_and_reasons() -> None:
    log = (
        GPU + REFUSED + "3 operations will run on the GPU, and the remaining 4 operations will run "
        "on the CPU.\n"
    )
    assert read_gpu_log(log) == Taken(
        3,
        7,
        1,
        (
            "2 CONV_2D: Tensor type(INT16) is not supported",
            "1 ADD: Tensor type(INT64) is not supported",
        ),
        "SwiftShader Device (Subzero)",
    )


def test_gpu_that_takes_none_is_told() -> None:
    log = REFUSED + "No operations will run on the GPU, and all 3 operations will run on the CPU.\n"
    taken = read_gpu_log(log)
    assert (taken.num_operators, taken.num_total) == (0, 3)


def test_log_that_is_cut_tells_that_some_were_taken() -> None:
    taken = read_gpu_log(GPU + REFUSED[:-20])
    assert (taken.num_operators, taken.num_total) == (None, None)
    assert taken.reasons[0].startswith("2 CONV_2D")


def test_gpu_that_was_never_asked_took_none() -> None:
    assert read_gpu_log("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n") == Taken(
        0, None, 0
    )


def test_npu_adds_up_its_subgraphs() -> None:
    assert read_npu_log(NPU) == Taken(9, 11, 3)


def test_npu_whose_plugin_failed_took_none() -> None:
    assert read_npu_log(NPU.replace("1 compiler plugins", "0 compiler plugins")) == Taken(
        0, None, 0
    )


def test_failures_are_without_time_and_place_and_begin_with_the_cause() -> None:
    lines = [
        "INFO: [compiled_model.cc:829] Flatbuffer model initialized",
        "E0000 00:00:1.5   2651 delegate_webgpu.cc:478] Failed: Shape mismatch",
        "ERROR: [dispatch_delegate.cc:131] Failed to initialize: ERROR: [a/b.cc:201]",
        "\u2514 Could not load shared library x.so: file too short.",
        "ERROR: [dispatch_delegate.cc:131] Failed to initialize: ERROR: [a/b.cc:201]",
        "Node number 1 (DELEGATE) failed to prepare.",
    ]
    assert failures(lines) == [
        "Could not load shared library x.so: file too short",
        "Failed: Shape mismatch",
        "Failed to initialize",
    ]


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    for taken in (read_gpu_log(text), read_npu_log(text), read_gpu_log(GPU + REFUSED + text)):
        assert taken.num_partitions >= 0
    assert all(failures(text.splitlines()))
