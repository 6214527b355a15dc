"""Models for which the library answers Ok with wrong data: cured, or left to the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import litert
from interpreter_oracle import run_interpreter
from litert.options import Backend

X = np.array([1, 2, 3, 4], np.float32)


@pytest.fixture
def open_model(data: Path, backend: Backend) -> Iterator[Callable[[str], litert.Model]]:
    """Open a model of tests/data by its name; it is closed after the test."""
    opened = []

    def open_named(name: str) -> litert.Model:
        opened.append(litert.Model(data / f"{name}.tflite", backend=backend))
        return opened[-1]

    yield open_named
    for model in opened:
        model.close()


OpenModel = Callable[[str], litert.Model]


# An output that is an input: the library lets its buffer replace the input's


def test_run_output_that_is_an_input_is_right(open_model: OpenModel) -> None:
    model = open_model("output_is_input")
    for factor in (1, 10):
        outputs = model.run({"x": factor * X})
        assert outputs["same"].tolist() == (factor * X).tolist()
        assert outputs["y"].tolist() == (2 * factor * X).tolist()
        assert not np.shares_memory(outputs["same"], outputs["y"])


def test_runner_output_that_is_an_input_is_right(open_model: OpenModel) -> None:
    runner = open_model("output_is_input").bind()
    for factor in (1, 10):
        runner.inputs["x"][...] = factor * X
        runner.run()
        assert runner.outputs["same"].tolist() == (factor * X).tolist()
        assert runner.outputs["y"].tolist() == (2 * factor * X).tolist()


@pytest.mark.parametrize(
    ("name", "output"), [("output_is_input", "same"), ("only_passthrough", "y")]
)
def test_runner_output_that_is_an_input_follows_bind_input(
    open_model: OpenModel, name: str, output: str
) -> None:
    runner = open_model(name).bind()
    own = runner.inputs["x"]
    own[...] = 7
    runner.run()
    bound = litert.empty_aligned(4)
    runner.bind_input("x", bound)
    for factor in (1, 10):
        bound[...] = factor * X
        runner.run()
        assert runner.outputs[output].tolist() == (factor * X).tolist()
    assert own.tolist() == [7, 7, 7, 7]


def test_run_graph_without_operators_gives_its_input(open_model: OpenModel) -> None:
    model = open_model("only_passthrough")
    first, second = model.run(X)["y"], model.run(2 * X)["y"]
    assert first.tolist() == X.tolist()
    assert second.tolist() == (2 * X).tolist()


def test_runners_with_aliases_in_turn_keep_their_data(open_model: OpenModel) -> None:
    model = open_model("output_is_input")
    a, b = model.bind(), model.bind()
    a.inputs["x"][...], b.inputs["x"][...] = X, -X
    for _ in range(2):
        a.run()
        b.run()
        assert a.outputs["same"].tolist() == X.tolist()
        assert a.outputs["y"].tolist() == (2 * X).tolist()
        assert b.outputs["same"].tolist() == (-X).tolist()


@pytest.mark.parametrize(
    "name",
    [
        "3in3out_model_swaps_input_2_and_0",
        "feedback_tensor_test_model",
        "feedback_tensor_with_state_copy_model",
        "feedback_tensor_without_passthrough_model",
    ],
)
def test_run_upstream_models_with_aliases_equal_interpreter(
    shared_model: Callable[[str], Path], backend: Backend, name: str
) -> None:
    path = shared_model(f"upstream/{name}.tflite")
    with litert.Model(path, backend=backend) as model:
        ((key, signature),) = model.signatures.items()
        for step in (1, 2):
            inputs = {
                input_name: np.full(info.shape, step * (position + 1), info.dtype)
                for position, (input_name, info) in enumerate(signature.inputs.items())
            }
            outputs = model.run(inputs)
            expected = run_interpreter(path, inputs, None if key == "main" else key)
            assert outputs.keys() == expected.keys()
            for output, value in expected.items():
                np.testing.assert_array_equal(outputs[output], value, strict=True)


# One tensor under two names: the library writes only the last buffer


def test_run_one_tensor_under_two_names_is_right(open_model: OpenModel) -> None:
    outputs = open_model("output_twice").run(X)
    assert outputs["first"].tolist() == outputs["second"].tolist() == (2 * X).tolist()
    assert not np.shares_memory(outputs["first"], outputs["second"])


def test_runner_one_tensor_under_two_names_is_right(open_model: OpenModel) -> None:
    runner = open_model("output_twice").bind()
    for factor in (1, 10):
        runner.inputs["x"][...] = factor * X
        runner.run()
        assert runner.outputs["first"].tolist() == (2 * factor * X).tolist()
        assert runner.outputs["second"].tolist() == (2 * factor * X).tolist()


# A constant output: the library copies as many bytes as the buffer has


def test_run_constant_output_is_right_at_each_run(open_model: OpenModel) -> None:
    model = open_model("constant_output")
    for factor in (1, 10):
        outputs = model.run(factor * X)
        assert outputs["c"].tolist() == [1, 2, 3]
        assert outputs["y"].tolist() == (2 * factor * X).tolist()


def test_runner_constant_output_is_right_at_each_run(open_model: OpenModel) -> None:
    runner = open_model("constant_output").bind()
    for _ in range(2):
        runner.run()
        assert runner.outputs["c"].tolist() == [1, 2, 3]


def test_runner_constant_output_written_over_is_right_again(open_model: OpenModel) -> None:
    runner = open_model("constant_output").bind()
    runner.run()
    runner.outputs["c"][...] = 0
    runner.run()
    assert runner.outputs["c"].tolist() == [1, 2, 3]


# Inputs left bound: the library computes on whatever was bound last


def test_inputs_of_other_runs_are_never_seen(open_model: OpenModel) -> None:
    model = open_model("many_io")
    names = [f"x{index:02d}" for index in range(40)]
    a, b = model.bind(), model.bind()
    for step in range(3):
        for position, name in enumerate(names):
            a.inputs[name][...] = position + step
            b.inputs[name][...] = -position * (step + 1)
        for _ in range(2):
            a.run()
            b.run()
        dictionary = model.run({name: np.full(2, step, np.float32) for name in names})
        a.run()
        for position in range(40):
            output, following = f"y{position:02d}", (position + 1) % 40
            assert a.outputs[output].tolist() == [position + following + 2 * step] * 2
            assert b.outputs[output].tolist() == [-(position + following) * (step + 1)] * 2
            assert dictionary[output].tolist() == [2 * step] * 2


def test_inputs_after_a_failed_run_are_not_stale(open_model: OpenModel) -> None:
    model = open_model("embedding_argmax")
    runner, other = model.bind(), model.bind()
    runner.inputs["ids"][...] = 1
    runner.run()
    expected = runner.outputs["embeddings"].copy()
    other.inputs["ids"][...] = 1000
    with pytest.raises(litert.ExecutionError, match=r"(?i)gather|index|out of"):
        other.run()
    runner.run()
    np.testing.assert_array_equal(runner.outputs["embeddings"], expected)


def test_unused_input_may_hold_anything(open_model: OpenModel) -> None:
    model = open_model("unused_input")
    for unused in (np.zeros(7, np.int32), np.full(7, -1, np.int32)):
        assert model.run({"x": X, "unused": unused})["y"].tolist() == (2 * X).tolist()
    with pytest.raises(litert.SignatureError, match="missing 'unused'; it takes 'x', 'unused'"):
        model.run({"x": X})


# Element types and strides, which the library does not check


def test_element_type_of_the_same_size_is_refused(open_model: OpenModel) -> None:
    model = open_model("only_passthrough")
    with pytest.raises(litert.TensorTypeError, match=r"expected float32\[4\], got int32\[4\]"):
        model.run(X.astype(np.int32))
    assert model.run(X)["y"].tolist() == X.tolist()


def test_strides_are_followed(open_model: OpenModel) -> None:
    model = open_model("only_passthrough")
    model.run(X)
    assert model.run(np.arange(8, dtype=np.float32)[::-2])["y"].tolist() == [7, 5, 3, 1]


# State


def test_while_loop_runs_until_its_condition(open_model: OpenModel) -> None:
    model = open_model("while_loop")
    for start, doublings in ((7, 3), (10, 0), (0, 10)):
        outputs = model.run({"i": np.array([start], np.int32), "x": X[:3]})
        assert outputs["i_out"].tolist() == [10]
        assert outputs["x_out"].tolist() == (X[:3] * 2**doublings).tolist()


def test_if_takes_the_branch_of_its_condition(open_model: OpenModel) -> None:
    model = open_model("if_else")
    for condition, factor in ((True, 10), (False, -1), (True, 10)):
        outputs = model.run({"c": np.array([condition]), "x": X[:3]})
        assert outputs["y"].tolist() == (factor * X[:3]).tolist()


def test_resource_variable_is_one_for_all_signatures(data: Path, backend: Backend) -> None:
    # The native core leaves it to the reference: the variable's shape is known only at run time.
    backend = "auto" if backend == "native" else backend
    with litert.Model(data / "counter_variable.tflite", backend=backend) as model:
        one = np.ones(2, np.float32)
        runner = model.bind("add")
        runner.inputs["x"][...] = 10
        assert model.run(one, signature="add")["total"].tolist() == [1, 1]
        model.run(5 * one, signature="reset")
        assert model.run(one, signature="add")["total"].tolist() == [6, 6]
        runner.run()
        assert runner.outputs["total"].tolist() == [16, 16]
        model.run(0 * one, signature="reset")
        assert model.run(one, signature="add")["total"].tolist() == [1, 1]


def test_resource_variables_of_two_models_are_apart(data: Path) -> None:
    one = np.ones(2, np.float32)
    path = data / "counter_variable.tflite"
    with litert.Model(path) as a, litert.Model(path) as b:
        assert a.run(one, signature="add")["total"].tolist() == [1, 1]
        assert b.run(one, signature="add")["total"].tolist() == [1, 1]
        assert a.run(one, signature="add")["total"].tolist() == [2, 2]
