"""``litert.Model``: runs that equal the Interpreter's, what they take, names, lifetime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import litert
from interpreter_oracle import run_interpreter
from litert.options import Backend, Kernels
from random_inputs import random_inputs, stored_shapes

# Any model that both backends run; element types, shapes and wrong answers have their own files.
MODELS = [
    "add",
    "constant_output",
    "conv",
    "embedding_argmax",
    "float16_weights_dense",
    "if_else",
    "int16x8_dense",
    "int2_weights_dense",
    "int4_weights_dense",
    "int8_add",
    "int8_dynamic_dense",
    "int8_per_channel_conv",
    "kv_step",
    "many_io",
    "metadata",
    "mlp",
    "nms_v4",
    "no_inputs",
    "no_signature",
    "odd_names",
    "quantize_dequantize",
    "shared_weights",
    "swapped_order",
    "uint8_add",
    "unused_input",
    "while_loop",
]
ONES = np.ones((1, 4), np.float32)


@pytest.mark.parametrize("name", MODELS)
def test_run_any_model_equals_interpreter(data: Path, backend: Backend, name: str) -> None:
    path = data / f"{name}.tflite"
    with litert.Model(path, backend=backend) as model:
        for key, signature in model.signatures.items():
            inputs = random_inputs(signature, stored_shapes(model, key), np.random.default_rng(7))

            outputs = model.run(inputs, signature=key)

            expected = run_interpreter(path, inputs, None if key == "main" else key)
            assert outputs.keys() == expected.keys()
            for output, value in outputs.items():
                np.testing.assert_array_equal(value, expected[output], strict=True, err_msg=output)


@pytest.mark.parametrize("precision", ["f32", "f16", "int8", "int16x8", "int4_weights"])
def test_run_mobilenet_equals_interpreter(
    shared_model: Callable[[str], Path], backend: Backend, precision: str
) -> None:
    path = shared_model(f"mobilenet/mobilenet_v2_1.0_224_{precision}.tflite")
    # The builtin kernels share sums out to threads, and add the parts in another order.
    with litert.Model(path, num_threads=1, backend=backend) as model:
        ((key, signature),) = model.signatures.items()
        inputs = random_inputs(signature, stored_shapes(model, key), np.random.default_rng(7))

        (output,) = model.run(inputs).values()

    (expected,) = run_interpreter(path, inputs).values()
    np.testing.assert_array_equal(output, expected, strict=True)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_run_with_cpu_options_is_close_to_default(
    data: Path, backend: Backend, num_threads: int, kernels: Kernels
) -> None:
    cpu = litert.CpuOptions(num_threads=num_threads, kernels=kernels)
    with litert.Model(data / "conv.tflite", cpu=cpu, backend=backend) as model:
        image = np.random.default_rng(7).uniform(-1, 1, (1, 16, 16, 3)).astype(np.float32)

        features = model.run(image)["features"]

    expected = run_interpreter(data / "conv.tflite", {"image": image})["features"]
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("release_gil", [True, False])
def test_run_with_or_without_the_gil_is_the_same(data: Path, release_gil: bool) -> None:
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    with (
        litert.Model(data / "mlp.tflite") as usual,
        litert.Model(data / "mlp.tflite", release_gil=release_gil) as model,
        model.bind() as runner,
    ):
        runner.inputs["x"][...] = x
        runner.run()
        expected = usual.run(x)["probs"]
        np.testing.assert_array_equal(model.run(x)["probs"], expected)
        np.testing.assert_array_equal(runner.outputs["probs"], expected)


# What run takes


def test_run_single_array_is_the_only_input(data: Path, backend: Backend) -> None:
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    with litert.Model(data / "mlp.tflite", backend=backend) as model:
        np.testing.assert_array_equal(model.run(x)["probs"], model.run({"x": x})["probs"])


def test_run_python_numbers_become_the_dtype(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        outputs = model.run({"x": [[1, 2, 3, 4]], "y": [[0.5, 0.5, 0.5, 0.5]]})
    assert outputs["sum"].dtype == np.float32
    assert outputs["sum"].tolist() == [[1.5, 2.5, 3.5, 4.5]]


def test_run_scalar_of_rank_0_is_a_plain_number(data: Path, backend: Backend) -> None:
    with litert.Model(data / "rank0.tflite", backend=backend) as model:
        outputs = model.run({"x": 1.5, "y": np.float32(2)})
    assert outputs["z"].shape == ()
    assert outputs["z"] == 3.5


@pytest.mark.parametrize(
    "x",
    [
        np.arange(8, dtype=np.float32)[None, ::2],
        np.asfortranarray(np.arange(16, dtype=np.float32).reshape(4, 4))[:1],
        np.arange(4, dtype=np.float32)[None, ::-1],
        np.broadcast_to(np.float32(3), (1, 4)),
    ],
    ids=["strided", "fortran", "reversed", "broadcast"],
)
def test_run_not_contiguous_array_is_copied(data: Path, backend: Backend, x: np.ndarray) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        outputs = model.run({"x": x, "y": ONES})
    np.testing.assert_array_equal(outputs["sum"], x + 1)


def test_run_unaligned_and_read_only_array_is_copied(data: Path, backend: Backend) -> None:
    x = np.frombuffer(b"-" + np.arange(4, dtype=np.float32).tobytes(), np.uint8)[1:]
    x = x.view(np.float32).reshape(1, 4)
    assert not x.flags.writeable
    with litert.Model(data / "add.tflite", backend=backend) as model:
        outputs = model.run({"x": x, "y": ONES})
    assert outputs["sum"].tolist() == [[1, 2, 3, 4]]


def test_run_big_endian_array_is_refused_not_misread(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        with pytest.raises(litert.TensorTypeError, match=r"big-endian|>f4|byte order"):
            model.run({"x": ONES.astype(">f4"), "y": ONES})
        assert model.run({"x": ONES, "y": ONES})["sum"].tolist() == [[2, 2, 2, 2]]


class DLPackOnly:
    """An array of a library that speaks nothing but DLPack."""

    def __dlpack__(self, **options: Any) -> Any:
        return ONES.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return ONES.__dlpack_device__()


def test_run_takes_dlpack_and_any_mapping(data: Path, backend: Backend) -> None:
    inputs = MappingProxyType({"x": DLPackOnly(), "y": ONES})
    with litert.Model(data / "add.tflite", backend=backend) as model:
        assert model.run(inputs)["sum"].tolist() == [[2, 2, 2, 2]]
        assert model.run(DLPackOnly(), signature="scale")["scaled"].tolist() == [[2.5] * 4]


def test_run_name_made_at_run_time_is_found(data: Path, backend: Backend) -> None:
    name = "-".join(["im", "age"]).replace("-", "")
    with litert.Model(data / "conv.tflite", backend=backend) as model:
        for _ in range(2):
            assert model.run({name: np.zeros((1, 16, 16, 3), np.float32)})["features"].size == 8


def test_run_leaves_its_inputs_alone(data: Path, backend: Backend) -> None:
    x = np.arange(4, dtype=np.float32)
    with litert.Model(data / "output_is_input.tflite", backend=backend) as model:
        model.run({"x": x})["same"][...] = -1
    assert x.tolist() == [0, 1, 2, 3]


def test_run_results_are_never_overwritten(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        first = model.run({"x": ONES, "y": ONES})["sum"]
        second = model.run({"x": ONES, "y": 4 * ONES})["sum"]
    assert first.tolist() == [[2, 2, 2, 2]]
    assert second.tolist() == [[5, 5, 5, 5]]
    assert first.flags.writeable


def test_arun_equals_run(data: Path, backend: Backend) -> None:
    inputs = {"x": ONES, "y": ONES}
    with litert.Model(data / "add.tflite", backend=backend) as model:

        async def both() -> list[dict[str, np.ndarray]]:
            added = model.arun(inputs)
            scaled = model.arun({"x": ONES}, signature="scale")
            return list(await asyncio.gather(added, scaled))

        added, scaled = asyncio.run(both())
    assert added["sum"].tolist() == [[2, 2, 2, 2]]
    assert scaled["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


# Signatures and names


def test_run_first_signature_is_the_default(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        assert list(model.signatures) == ["add", "scale"]
        assert list(model.run({"x": ONES, "y": ONES})) == ["sum"]
        assert list(model.run(ONES, signature="scale")) == ["scaled"]


def test_run_signatures_in_turn_do_not_disturb_each_other(data: Path, backend: Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        for value in (1, 2, 3):
            added = model.run({"x": value * ONES, "y": ONES})["sum"]
            scaled = model.run({"x": value * ONES}, signature="scale")["scaled"]
            assert added.tolist() == (value * ONES + 1).tolist()
            assert scaled.tolist() == (value * 2.5 * ONES).tolist()


def test_signature_none_in_the_file_is_main(data: Path, backend: Backend) -> None:
    x, y = np.full((2, 3), 5, np.float32), np.full((2, 3), 2, np.float32)
    with litert.Model(data / "no_signature.tflite", backend=backend) as model:
        assert list(model.signatures) == ["main"]
        assert model.run({"x": x, "y": y}, signature="main")["z"].tolist() == (x - y).tolist()


def test_names_repeated_or_empty_are_made_unique(data: Path, backend: Backend) -> None:
    x, y = np.array([5, 7], np.float32), np.array([1, 2], np.float32)
    with litert.Model(data / "no_signature_same_names.tflite", backend=backend) as model:
        signature = model.signatures["main"]
        assert list(signature.inputs) == ["t", "t_1"]
        assert list(signature.outputs) == ["output_0"]
        assert model.run({"t": x, "t_1": y})["output_0"].tolist() == [4, 5]


def test_names_beyond_ascii_are_kept(data: Path, backend: Backend) -> None:
    x, y = np.array([1, 2], np.float32), np.array([10, 20], np.float32)
    with litert.Model(data / "odd_names.tflite", backend=backend) as model:
        outputs = model.run({"my input: 0": x, "größe/输入": y}, signature="ma signature é")
    assert outputs["résultat final"].tolist() == [11, 22]


def test_names_in_another_order_than_the_graph_are_not_swapped(
    data: Path, backend: Backend
) -> None:
    with litert.Model(data / "swapped_order.tflite", backend=backend) as model:
        outputs = model.run(
            {"minus": np.array([1, 2], np.float32), "plus": np.array([5, 5], np.float32)}
        )
    assert outputs["difference"].tolist() == [4, 3]
    assert outputs["total"].tolist() == [6, 7]


@pytest.mark.parametrize("name", ["swapped_order", "many_io", "nms_v4", "output_is_input"])
def test_outputs_are_in_the_order_of_the_signature(data: Path, backend: Backend, name: str) -> None:
    with litert.Model(data / f"{name}.tflite", backend=backend) as model, model.bind() as runner:
        ((key, signature),) = model.signatures.items()
        outputs = model.run(
            random_inputs(signature, stored_shapes(model, key), np.random.default_rng(7))
        )
        assert list(outputs) == list(signature.outputs)
        assert list(runner.outputs) == list(signature.outputs)
        assert list(runner.inputs) == list(signature.inputs)


def test_signature_with_an_empty_key_runs(data: Path, backend: Backend) -> None:
    x = np.array([1, 2], np.float32)
    with litert.Model(data / "empty_key.tflite", backend=backend) as model:
        assert list(model.signatures) == [""]
        assert model.run({"x": x, "y": x}, signature="")["z"].tolist() == [2, 4]
        assert model.run({"x": x, "y": x})["z"].tolist() == [2, 4]


def test_run_without_inputs_takes_an_empty_dict(data: Path, backend: Backend) -> None:
    with litert.Model(data / "no_inputs.tflite", backend=backend) as model:
        assert model.run({})["y"].tolist() == [11, 22]


def test_signatures_cannot_be_changed(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "add.tflite", backend=backend) as model,
        pytest.raises(TypeError, match="does not support item"),
    ):
        model.signatures["add"].inputs["x"] = None  # type: ignore[index]


# Lifetime


def test_close_twice_is_quiet_and_every_method_raises_after(data: Path, backend: Backend) -> None:
    model = litert.Model(data / "add.tflite", backend=backend)
    model.run({"x": ONES, "y": ONES})
    model.close()
    model.close()
    uses: list[Callable[[], object]] = [
        lambda: model.run({"x": ONES, "y": ONES}),
        lambda: model.run(ONES, signature="scale"),
        lambda: asyncio.run(model.arun(ONES, signature="scale")),
        lambda: model.bind(),
        lambda: model.signatures,
        model.cancel,
        model.__enter__,
    ]
    for use in uses:
        with pytest.raises(litert.ClosedError, match="the model is closed"):
            use()
    assert "closed" in repr(model)


def test_context_manager_closes_also_on_an_error(data: Path, backend: Backend) -> None:
    with (
        pytest.raises(litert.SignatureError, match="'add', 'scale'"),
        litert.Model(data / "add.tflite", backend=backend) as model,
    ):
        model.run(ONES, signature="no such")
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        model.run(ONES, signature="scale")
