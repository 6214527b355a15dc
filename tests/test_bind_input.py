"""``Runner.bind_input``: the caller's own memory, bound as it is or refused with a reason."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import litert
from litert.options import Backend

Array = npt.NDArray[Any]


@pytest.fixture
def runner(data: Path, backend: Backend) -> Iterator[litert.Runner]:
    """x + y, both float32[1, 4]; y is one."""
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind("add") as runner:
        runner.inputs["y"][...] = 1
        yield runner


def aligned_floats(values: list[float]) -> Array:
    array = litert.empty_aligned((1, 4))
    array[...] = values
    return array


def aligned_bytearray(size_bytes: int) -> memoryview:
    """A slice of a bytearray that begins at a multiple of 64, with bytes to spare behind it."""
    memory = bytearray(size_bytes + 192)
    start = -np.frombuffer(memory, np.uint8).ctypes.data % 64
    return memoryview(memory)[start : start + size_bytes]


class DLPackObject:
    """What another library's array looks like."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._array.__dlpack_device__()


# What can be bound


def test_array_is_bound_without_a_copy(runner: litert.Runner) -> None:
    x = aligned_floats([1, 2, 3, 4])
    runner.bind_input("x", x)
    assert runner.inputs["x"].ctypes.data == x.ctypes.data
    assert np.shares_memory(runner.inputs["x"], x)
    runner.run()
    assert runner.outputs["sum"].tolist() == [[2, 3, 4, 5]]


def test_array_is_read_at_each_run(runner: litert.Runner) -> None:
    x = aligned_floats([0, 0, 0, 0])
    runner.bind_input("x", x)
    for value in (1, 2, 3):
        x[...] = value
        runner.run()
        assert runner.outputs["sum"].tolist() == [[value + 1] * 4]


def test_array_bound_in_place_of_another_leaves_the_first_alone(runner: litert.Runner) -> None:
    own = runner.inputs["x"]
    first, second = aligned_floats([1, 1, 1, 1]), aligned_floats([2, 2, 2, 2])
    runner.run()
    runner.bind_input("x", first)
    runner.run()
    runner.bind_input("x", second)
    runner.inputs["x"][...] = 5
    runner.run()
    assert runner.outputs["sum"].tolist() == [[6, 6, 6, 6]]
    assert first.tolist() == [[1, 1, 1, 1]]
    assert second.tolist() == [[5, 5, 5, 5]]
    assert own.tolist() == [[0, 0, 0, 0]]


def test_other_views_are_the_same_after_binding(runner: litert.Runner) -> None:
    y, total = runner.inputs["y"], runner.outputs["sum"]
    runner.bind_input("x", aligned_floats([1, 2, 3, 4]))
    assert runner.inputs["y"] is y
    assert runner.outputs["sum"] is total


def test_mapping_held_since_before_shows_the_bound_array(runner: litert.Runner) -> None:
    inputs = runner.inputs
    x = aligned_floats([1, 2, 3, 4])
    runner.bind_input("x", x)
    assert inputs["x"].ctypes.data == x.ctypes.data


@pytest.mark.parametrize(
    "wrap", [DLPackObject, lambda array: array.__dlpack__()], ids=["object", "capsule"]
)
def test_dlpack_is_bound_without_a_copy(
    runner: litert.Runner, wrap: Callable[[Array], object]
) -> None:
    x = aligned_floats([1, 2, 3, 4])
    runner.bind_input("x", wrap(x))
    x[0, 0] = 10
    runner.run()
    assert runner.outputs["sum"].tolist() == [[11, 3, 4, 5]]
    assert runner.inputs["x"].ctypes.data == x.ctypes.data


def test_plain_bytes_buffer_is_bound_without_a_copy(runner: litert.Runner) -> None:
    buffer = aligned_bytearray(16)
    runner.bind_input("x", buffer)
    buffer[:] = np.array([1, 2, 3, 4], np.float32).tobytes()
    runner.run()
    assert runner.outputs["sum"].tolist() == [[2, 3, 4, 5]]


def test_typed_buffer_is_bound_without_a_copy(runner: litert.Runner) -> None:
    buffer = aligned_bytearray(16).cast("f", (1, 4))
    runner.bind_input("x", buffer)
    buffer[0, 3] = 9.0
    runner.run()
    assert runner.outputs["sum"].tolist() == [[1, 1, 1, 10]]


def test_read_only_array_is_bound_and_shown_read_only(runner: litert.Runner) -> None:
    x = aligned_floats([1, 2, 3, 4])
    x.flags.writeable = False
    runner.bind_input("x", x)
    runner.run()
    assert runner.outputs["sum"].tolist() == [[2, 3, 4, 5]]
    assert not runner.inputs["x"].flags.writeable


def test_read_only_array_under_an_output_stays_as_it_is(data: Path, backend: Backend) -> None:
    x = litert.empty_aligned(4)
    x[...] = [1, 2, 3, 4]
    x.flags.writeable = False
    with (
        litert.Model(data / "only_passthrough.tflite", backend=backend) as model,
        model.bind() as runner,
    ):
        runner.bind_input("x", x)
        runner.run()
        y = runner.outputs["y"]
        assert y.tolist() == [1, 2, 3, 4]
        assert not (y.flags.writeable and np.shares_memory(x, y))


def test_one_array_may_be_both_inputs(runner: litert.Runner) -> None:
    both = aligned_floats([1, 2, 3, 4])
    runner.bind_input("x", both)
    runner.bind_input("y", both)
    runner.run()
    assert runner.outputs["sum"].tolist() == [[2, 4, 6, 8]]


def test_output_bound_as_an_input_is_computed_in_place(data: Path) -> None:
    with litert.Model(data / "add.tflite", backend="native") as model, model.bind() as runner:
        runner.bind_input("x", runner.outputs["sum"])
        runner.inputs["y"][...] = 1
        for count in (1, 2, 3):
            runner.run()
            assert runner.outputs["sum"].tolist() == [[count] * 4]


def test_cache_bound_to_its_own_output_keeps_each_step(data: Path) -> None:
    with (
        litert.Model(data / "kv_step.tflite", backend="native") as model,
        model.bind() as runner,
    ):
        runner.bind_input("kv_cache", runner.outputs["kv_cache"])
        for step in range(3):
            runner.inputs["x"][...], runner.inputs["pos"][...] = step + 1, step
            runner.run()
        assert runner.outputs["y"].tolist() == [[1 + 2 + 3] * 8]
        assert runner.outputs["kv_cache"][0, :4, 0].tolist() == [1, 2, 3, 0]


def test_view_of_another_runner_feeds_this_one(data: Path) -> None:
    # Views of the reference backend are NumPy's own arrays, which need not be aligned.
    with litert.Model(data / "add.tflite", backend="native") as model:
        scaled, added = model.bind("scale"), model.bind("add")
        added.bind_input("x", scaled.outputs["scaled"])
        scaled.inputs["x"][...] = 2
        scaled.run()
        added.run()
        assert added.outputs["sum"].tolist() == [[5, 5, 5, 5]]


def test_2_mb_input_is_not_copied(shared_model: Callable[[str], Path], backend: Backend) -> None:
    path = shared_model("tiny/big_add_2mb.tflite")
    with litert.Model(path, backend=backend) as model, model.bind() as runner:
        x = litert.empty_aligned((1, 524288))
        x[...] = 3
        runner.bind_input("x", x)
        runner.run()
        assert runner.inputs["x"].ctypes.data == x.ctypes.data
        assert (runner.outputs["z"] == 3).all()


def test_packed_input_takes_its_bytes(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "copy_int4.tflite", backend=backend) as model,
        model.bind() as runner,
    ):
        packed = litert.empty_aligned(3, "uint8")
        packed[...] = [0x21, 0x43, 0xF5]
        runner.bind_input("x", packed)
        runner.run()
        assert runner.outputs["y"].tolist() == [0x21, 0x43, 0xF5]


# What is refused, with what to do about it


def strided() -> Array:
    return litert.empty_aligned((1, 8))[:, ::2]


def unaligned() -> Array:
    return litert.empty_aligned(5)[1:].reshape(1, 4)


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (
            lambda: litert.empty_aligned((1, 4), "float64"),
            litert.TensorTypeError,
            r"tensor 'x': expected float32\[1, 4\], got float64\[1, 4\]",
        ),
        (
            lambda: litert.empty_aligned((1, 4), "int32"),
            litert.TensorTypeError,
            r"expected float32\[1, 4\], got int32\[1, 4\]",
        ),
        (
            lambda: litert.empty_aligned((4,)),
            litert.TensorShapeError,
            r"tensor 'x': expected float32\[1, 4\], got float32\[4\]",
        ),
        (lambda: litert.empty_aligned((1, 5)), litert.TensorShapeError, r"got float32\[1, 5\]"),
        (strided, litert.TensorLayoutError, "tensor 'x': .*not C-contiguous; .*empty_aligned"),
        (unaligned, litert.TensorLayoutError, "tensor 'x': .*aligned to 64 bytes.*empty_aligned"),
        (lambda: [[1.0, 2.0, 3.0, 4.0]], litert.TensorLayoutError, "got list"),
        (lambda: None, litert.TensorLayoutError, "got NoneType"),
        (lambda: bytearray(15), litert.TensorTypeError, r"expected float32\[1, 4\], got uint8"),
    ],
    ids=[
        "dtype",
        "dtype of the same size",
        "rank",
        "shape",
        "strided",
        "unaligned",
        "list",
        "None",
        "too few bytes",
    ],
)
def test_what_cannot_be_bound_is_refused_and_leaves_the_runner_usable(
    runner: litert.Runner, value: Callable[[], Any], error: type[Exception], match: str
) -> None:
    runner.inputs["x"][...] = 2
    with pytest.raises(error, match=match):
        runner.bind_input("x", value())
    runner.run()
    assert runner.outputs["sum"].tolist() == [[3, 3, 3, 3]]


def test_unknown_input_lists_the_known(runner: litert.Runner) -> None:
    with pytest.raises(litert.SignatureError, match="unknown input 'X'; the model has 'x', 'y'"):
        runner.bind_input("X", aligned_floats([1, 2, 3, 4]))


END_OF_PAGE = """
import ctypes, mmap, sys
import numpy as np
import litert

# Two pages, of which the second cannot be read; the array ends with the first.
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
memory = np.frombuffer(mmap.mmap(-1, 2 * mmap.PAGESIZE), np.uint8)
assert libc.mprotect(memory.ctypes.data + mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
image = memory[mmap.PAGESIZE - 192 : mmap.PAGESIZE].view(np.int8).reshape(1, 8, 8, 3)
with litert.Model(sys.argv[1], backend="native") as model, model.bind() as runner:
    try:
        runner.bind_input("image", image)
    except litert.TensorLayoutError as err:
        print(err)
    runner.run()
    print(int(runner.outputs["y"].astype(int).sum()))
"""


def test_memory_at_the_end_of_a_page_is_refused(data: Path) -> None:
    model = data / "int8_per_channel_conv.tflite"
    zeros = np.zeros((1, 8, 8, 3), np.int8)
    with litert.Model(model) as opened:
        expected = int(opened.run(zeros)["y"].astype(int).sum())

    done = subprocess.run(
        [sys.executable, "-c", END_OF_PAGE, str(model)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    message, total = done.stdout.splitlines()
    assert "'image'" in message
    assert "litert.empty_aligned" in message
    assert int(total) == expected
