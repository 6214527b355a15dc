"""The reference backend's runner: arrays that stay in place over an Interpreter that copies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from interpreter_oracle import run_interpreter
from litert.backends.protocol import BackendRunner
from litert.backends.reference import ReferenceModel
from litert.element_types import ELEMENT_TYPES, pack, unpack
from litert.options import CpuOptions

DATA = Path(__file__).resolve().parent / "data"


def data(name: str) -> str:
    return str(DATA / f"{name}.tflite")


def open_model(path: str, **options: Any) -> ReferenceModel:
    return ReferenceModel.open(path, CpuOptions(**options))


def test_runner_arrays_stay_in_place() -> None:
    model = open_model(data("add"))
    runner: BackendRunner = model.bind("add", {"x": (1, 4), "y": (1, 4)})
    x, total = runner.inputs["x"], runner.outputs["sum"]
    for value in (1, 2):
        x[...] = value
        runner.inputs["y"][...] = 10
        runner.run()
        assert runner.inputs["x"] is x
        assert runner.outputs["sum"] is total
        assert total.tolist() == [[value + 10] * 4]


def test_runner_data_dependent_output_gets_a_new_array_for_another_shape() -> None:
    runner = open_model(data("where_dynamic")).bind("serving_default", {"mask": (6,)})
    runner.inputs["mask"][:2] = True
    runner.run()
    first = runner.outputs["indices"]
    assert first.tolist() == [[0], [1]]
    runner.inputs["mask"][...] = [0, 0, 1, 1, 0, 0]
    runner.run()
    assert runner.outputs["indices"] is first
    assert first.tolist() == [[2], [3]]
    runner.inputs["mask"][...] = True
    runner.run()
    assert runner.outputs["indices"].shape == (6, 1)
    assert first.tolist() == [[2], [3]]


@pytest.mark.parametrize("element_type", ["int4", "uint4", "int2"])
def test_runner_packed_types_are_bytes(element_type: str) -> None:
    kind = ELEMENT_TYPES[element_type]
    low, high = kind.integer_range
    x = np.array([low, high, 0, 1, low, high], kind.dtype)
    runner = open_model(data(f"copy_{element_type}")).bind("serving_default", {"x": (2, 3)})
    assert runner.inputs["x"].dtype == np.uint8
    assert runner.inputs["x"].nbytes == runner.outputs["y"].nbytes == -(-6 * kind.bits // 8)
    runner.inputs["x"][...] = pack(x, kind.bits)
    output = runner.outputs["y"]
    runner.run()
    assert unpack(output, kind, (6,)).tolist() == x.tolist()


def test_runner_strings() -> None:
    runner = open_model(data("copy_string")).bind("serving_default", {"x": (2, 3)})
    runner.run()
    assert runner.outputs["y"].tolist() == [[b"", b""]] * 3
    runner.inputs["x"][0, 0] = "é"
    runner.run()
    assert runner.outputs["y"][0, 0] == "é".encode()


def test_runner_bound_input_is_read_at_each_run() -> None:
    runner = open_model(data("add")).bind("scale", {"x": (1, 4)})
    mine = np.ones((1, 4), np.float32)
    runner.run()
    assert not runner.outputs["scaled"].any()
    runner.bind_input("x", mine)
    assert runner.inputs["x"] is mine
    runner.run()
    once = runner.outputs["scaled"].copy()
    assert once.any()
    mine *= 3
    runner.run()
    np.testing.assert_allclose(runner.outputs["scaled"], 3 * once)


def test_runners_of_different_shapes_do_not_disturb_each_other() -> None:
    path = data("dynamic_two_dims")
    model = open_model(path)
    rng = np.random.default_rng(5)
    small = model.bind("serving_default", {"x": (1, 2, 2)})
    large = model.bind("serving_default", {"x": (4, 3, 2)})
    assert small.outputs["y"].shape == (1, 2, 2)
    assert large.outputs["y"].shape == (4, 3, 2)
    for _ in range(2):
        for shape, runner in (((1, 2, 2), small), ((4, 3, 2), large), ((2, 5, 2), None)):
            x = rng.standard_normal(shape).astype(np.float32)
            want = run_interpreter(Path(path), {"x": x}, "serving_default")
            if runner is None:
                got: Mapping[str, npt.NDArray[Any]] = model.run("serving_default", {"x": x})
            else:
                runner.inputs["x"][...] = x
                runner.run()
                got = runner.outputs
            assert all(got[name].tolist() == want[name].tolist() for name in ("y", "z"))


def test_bind_second_subgraph_tells_its_output_shape() -> None:
    model = open_model(data("shared_weights"))
    assert model.bind("four", {"x": (4, 5)}).outputs["y"].shape == (4, 6)
