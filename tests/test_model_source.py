"""What ``litert.Model`` loads a model from: paths and buffers."""

from __future__ import annotations

import gc
import mmap
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import litert
from litert.model import ModelSource
from litert.options import Backend

ONES = np.ones((1, 4), np.float32)


def _as_path(path: Path) -> ModelSource:
    return path


def _as_mmap(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@pytest.mark.parametrize(
    "as_source",
    [
        str,
        _as_path,
        Path.read_bytes,
        lambda path: bytearray(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()),
        lambda path: np.frombuffer(path.read_bytes(), np.uint8),
        _as_mmap,
    ],
    ids=["str", "Path", "bytes", "bytearray", "memoryview", "array", "mmap"],
)
def test_source_of_any_kind_gives_the_same_model(
    data: Path, backend: Backend, as_source: Callable[[Path], ModelSource]
) -> None:
    with litert.Model(as_source(data / "add.tflite"), backend=backend) as model:
        assert model.run({"x": ONES, "y": ONES})["sum"].tolist() == [[2, 2, 2, 2]]


def test_source_path_that_is_no_text_runs(data: Path, backend: Backend, tmp_path: Path) -> None:
    path = f"{tmp_path}/\udcff.tflite"
    Path(path).write_bytes((data / "add.tflite").read_bytes())
    with litert.Model(path, backend=backend) as model:
        assert model.run(ONES, signature="scale")["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


def test_source_bytearray_may_change_after_loading(data: Path, backend: Backend) -> None:
    content = bytearray((data / "add.tflite").read_bytes())
    with litert.Model(content, backend=backend) as model:
        content[:] = bytes(len(content))
        assert model.run(ONES, signature="scale")["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


def test_source_file_may_be_replaced_after_loading(
    data: Path, backend: Backend, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes((data / "add.tflite").read_bytes())
    with litert.Model(path, backend=backend) as model:
        path.unlink()
        path.write_bytes(b"something else")
        assert model.run(ONES, signature="scale")["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


def test_source_of_another_type_is_an_option_error() -> None:
    with pytest.raises(litert.OptionError, match=r"source: expected a path or .* got int"):
        litert.Model(42)  # type: ignore[arg-type]


def test_source_dropped_without_close_is_released_quietly(data: Path, backend: Backend) -> None:
    content = (data / "add.tflite").read_bytes()
    model = litert.Model(content, backend=backend)
    assert model.run(ONES, signature="scale")["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
