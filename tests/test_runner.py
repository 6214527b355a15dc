"""``Model.bind`` and ``Runner``: views that stay in place, runners in turn, lifetime."""

from __future__ import annotations

import asyncio
import copy
import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import litert
from interpreter_oracle import run_interpreter
from litert.options import Backend
from random_inputs import random_inputs, stored_shapes

ONES = np.ones((1, 4), np.float32)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("add", "add"),
        ("add", "scale"),
        ("conv", "serving_default"),
        ("if_else", "serving_default"),
        ("int8_add", "serving_default"),
        ("kv_step", "decode"),
        ("many_io", "serving_default"),
        ("no_inputs", "serving_default"),
        ("rank0", "serving_default"),
        ("shared_weights", "four"),
        ("unused_input", "serving_default"),
        ("while_loop", "serving_default"),
    ],
)
def test_run_bound_equals_interpreter(data: Path, backend: Backend, name: str, key: str) -> None:
    path = data / f"{name}.tflite"
    with litert.Model(path, backend=backend) as model, model.bind(key) as runner:
        rng = np.random.default_rng(7)
        for _ in range(3):  # inputs stay bound from the second run on
            inputs = random_inputs(runner.signature, stored_shapes(model, key), rng)
            for input_name, array in inputs.items():
                runner.inputs[input_name][...] = array

            runner.run()

            expected = run_interpreter(path, inputs, key)
            assert runner.outputs.keys() == expected.keys()
            for output, view in runner.outputs.items():
                np.testing.assert_array_equal(view, expected[output], strict=True, err_msg=output)


def test_bind_without_a_key_takes_the_first_signature(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        assert runner.signature is model.signatures["add"]
        assert runner.signature.key == "add"


def test_inputs_start_at_zero(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        runner.run()
        assert runner.outputs["sum"].tolist() == [[0, 0, 0, 0]]


# Views


def test_views_are_the_same_objects_at_each_access(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        x, total = runner.inputs["x"], runner.outputs["sum"]
        runner.run()
        assert runner.inputs["x"] is x
        assert runner.outputs["sum"] is total


def test_views_follow_each_run(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        x, total = runner.inputs["x"], runner.outputs["sum"]
        for value in (1, 2, 3):
            x[...] = value
            runner.run()
            assert total.tolist() == [[value] * 4]


def test_views_have_the_shape_and_dtype_of_their_tensors(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        for view in (*runner.inputs.values(), *runner.outputs.values()):
            assert view.flags.c_contiguous
            assert view.flags.writeable
            assert view.shape == (1, 4)
            assert view.dtype == np.float32


def test_views_stay_readable_without_runner_and_model(data: Path, backend: Backend) -> None:
    model = litert.Model(data / "add.tflite", backend=backend)
    runner = model.bind()
    x, total = runner.inputs["x"], runner.outputs["sum"]
    x[...], runner.inputs["y"][...] = 2, 3
    runner.run()
    runner.close()
    model.close()
    del runner, model
    gc.collect()
    assert x.tolist() == [[2, 2, 2, 2]]
    assert total.tolist() == [[5, 5, 5, 5]]
    x[...] = 7
    assert x.tolist() == [[7, 7, 7, 7]]


def test_runner_keeps_a_dropped_model_alive(data: Path, backend: Backend) -> None:
    runner = litert.Model(data / "add.tflite", backend=backend).bind()
    gc.collect()
    runner.inputs["x"][...] = 4
    runner.run()
    assert runner.outputs["sum"].tolist() == [[4, 4, 4, 4]]


def test_outputs_mapping_cannot_be_changed(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        with pytest.raises(TypeError, match="does not support item"):
            runner.inputs["x"] = ONES  # type: ignore[index]
        with pytest.raises(TypeError, match="does not support item"):
            runner.outputs["sum"] = ONES  # type: ignore[index]


def test_cache_output_bound_as_input_feeds_the_next_step(data: Path, backend: Backend) -> None:
    with litert.Model(data / "kv_step.tflite", backend=backend) as model, model.bind() as runner:
        cache = litert.empty_aligned((1, 16, 8))
        runner.bind_input("kv_cache", cache)
        for step in range(3):
            runner.inputs["x"][...] = step + 1
            runner.inputs["pos"][...] = step
            runner.run()
            cache[...] = runner.outputs["kv_cache"]
        assert runner.outputs["y"].tolist() == [[1 + 2 + 3] * 8]


# Runners in turn: never each other's data


def test_two_runners_in_turn_compute_on_their_own_inputs(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        a, b = model.bind("add"), model.bind("add")
        a.inputs["x"][...], b.inputs["x"][...] = 1, 10
        for step in range(3):
            a.inputs["y"][...], b.inputs["y"][...] = step, step * 100
            a.run()
            b.run()
            assert a.outputs["sum"].tolist() == [[1 + step] * 4]
            assert b.outputs["sum"].tolist() == [[10 + step * 100] * 4]
        a.inputs["x"][...] = 2
        a.run()
        assert a.outputs["sum"].tolist() == [[2 + 2] * 4]
        assert b.outputs["sum"].tolist() == [[10 + 200] * 4]


def test_runner_and_model_run_in_turn_do_not_mix_data(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        runner.inputs["x"][...], runner.inputs["y"][...] = 1, 2
        for value in (10, 20):
            runner.run()
            result = model.run({"x": value * ONES, "y": ONES})["sum"]
            assert runner.outputs["sum"].tolist() == [[3, 3, 3, 3]]
            assert result.tolist() == [[value + 1] * 4]


def test_runners_of_two_signatures_in_turn(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        added, scaled = model.bind("add"), model.bind("scale")
        for value in (1, 2):
            added.inputs["x"][...] = added.inputs["y"][...] = scaled.inputs["x"][...] = value
            added.run()
            scaled.run()
            assert added.outputs["sum"].tolist() == [[2 * value] * 4]
            assert scaled.outputs["scaled"].tolist() == [[2.5 * value] * 4]


def test_runners_of_signatures_on_one_graph_in_turn(
    shared_model: Callable[[str], Path], backend: Backend
) -> None:
    path = shared_model("upstream/test_two_signature_keys_model.tflite")
    with litert.Model(path, backend=backend) as model:
        runners = [model.bind(key) for key in ("model_one", "model_two")]
        rng = np.random.default_rng(7)
        for runner in [*runners, *runners, *reversed(runners)]:
            key = runner.signature.key
            inputs = random_inputs(runner.signature, stored_shapes(model, key), rng)
            for name, array in inputs.items():
                runner.inputs[name][...] = array
            runner.run()
            for name, expected in run_interpreter(path, inputs, key).items():
                np.testing.assert_array_equal(runner.outputs[name], expected, strict=True)


def test_runners_of_two_keys_for_one_graph_in_turn(
    data: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    monkeypatch.syspath_prepend(data)
    from model_kinds.builder import add_model

    built = add_model([2], key="one")
    second = copy.copy(built.table.signatureDefs[0])
    second.signatureKey = "two"
    built.table.signatureDefs.append(second)
    with litert.Model(built.to_bytes(), backend=backend) as model:
        one, two = model.bind("one"), model.bind("two")
        one.inputs["x"][...], two.inputs["x"][...] = 1, 10
        for step in range(3):
            one.inputs["y"][...], two.inputs["y"][...] = step, -step
            one.run()
            two.run()
            one.run()
            assert one.outputs["z"].tolist() == [1 + step] * 2
            assert two.outputs["z"].tolist() == [10 - step] * 2


def test_failed_run_leaves_the_runner_usable(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "embedding_argmax.tflite", backend=backend) as model,
        model.bind() as runner,
    ):
        runner.inputs["ids"][...] = [[3, 1, 2, 0]]
        runner.run()
        expected = runner.outputs["embeddings"].copy()
        runner.inputs["ids"][...] = 1000
        with pytest.raises(litert.ExecutionError, match=r"(?i)gather|index|out of"):
            runner.run()
        runner.inputs["ids"][...] = [[3, 1, 2, 0]]
        runner.run()
        np.testing.assert_array_equal(runner.outputs["embeddings"], expected)


def test_arun_runs_once(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model, model.bind() as runner:
        runner.inputs["x"][...] = 3
        asyncio.run(runner.arun())
        assert runner.outputs["sum"].tolist() == [[3, 3, 3, 3]]


# Lifetime


def test_close_twice_is_quiet_and_every_method_raises_after(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        runner = model.bind()
        run = runner.run
        runner.close()
        runner.close()
        uses: list[Callable[[], object]] = [
            run,
            runner.run,
            lambda: asyncio.run(runner.arun()),
            lambda: runner.inputs,
            lambda: runner.outputs,
            lambda: runner.bind_input("x", litert.empty_aligned((1, 4))),
            runner.__enter__,
        ]
        for use in uses:
            with pytest.raises(litert.ClosedError, match="closed"):
                use()
        assert "closed" in repr(runner)
        assert model.run(ONES, signature="scale")["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


def test_closed_model_ends_its_runners(data: Path, backend: Backend) -> None:
    model = litert.Model(data / "add.tflite", backend=backend)
    runner = model.bind()
    total = runner.outputs["sum"]
    runner.run()
    model.close()
    with pytest.raises(litert.ClosedError, match="closed"):
        runner.run()
    assert total.tolist() == [[0, 0, 0, 0]]
    runner.close()


def test_closed_runner_frees_nothing_that_another_uses(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        kept, dropped = model.bind(), model.bind()
        kept.inputs["x"][...] = 1
        kept.run()
        dropped.run()
        dropped.close()
        kept.run()
        assert kept.outputs["sum"].tolist() == [[1, 1, 1, 1]]


def test_dropped_runner_drops_the_array_that_was_bound(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        runner = model.bind()
        array = litert.empty_aligned((1, 4))
        bound = weakref.ref(array)
        runner.bind_input("x", array)
        del array
        gc.collect()
        assert bound() is not None, "the runner keeps it"
        runner.run()
        runner.close()
        del runner
        gc.collect()
        assert bound() is None, "nothing keeps it"


# Bad calls


def test_bind_unknown_signature_lists_the_known(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "add.tflite", backend=backend) as model,
        pytest.raises(litert.SignatureError, match=r"'ad'; .*'add', 'scale'; did you mean 'add'"),
    ):
        model.bind("ad")


def test_bind_unknown_input_in_shapes_lists_the_known(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "add.tflite", backend=backend) as model,
        pytest.raises(litert.SignatureError, match="unknown input 'z'; the model has 'x', 'y'"),
    ):
        model.bind("add", shapes={"z": (1, 4)})
