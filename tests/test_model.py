"""``litert.Model``: sources, signatures, names, and runs that equal the Interpreter's."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interpreter_oracle import random_inputs, run_interpreter

import litert

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
def test_run_any_model_equals_interpreter(data: Path, backend: litert.Backend, name: str) -> None:
    path = data / f"{name}.tflite"
    with litert.Model(path, backend=backend) as model:
        for key, signature in model.signatures.items():
            inputs = random_inputs(signature, seed=len(name))

            outputs = model.run(inputs, signature=key)

            expected = run_interpreter(path, inputs, None if key == "main" else key)
            assert outputs.keys() == expected.keys()
            for output, value in outputs.items():
                np.testing.assert_array_equal(value, expected[output], strict=True, err_msg=output)


@pytest.mark.parametrize("precision", ["f32", "f16", "int8", "int16x8", "int4_weights"])
def test_run_mobilenet_equals_interpreter(
    shared_model: Callable[[str], Path], backend: litert.Backend, precision: str
) -> None:
    path = shared_model(f"mobilenet/mobilenet_v2_1.0_224_{precision}.tflite")
    with litert.Model(path, backend=backend) as model:
        (signature,) = model.signatures.values()
        inputs = random_inputs(signature)

        (output,) = model.run(inputs).values()

    (expected,) = run_interpreter(path, inputs).values()
    np.testing.assert_array_equal(output, expected, strict=True)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin"])
def test_run_with_cpu_options_is_close_to_default(
    data: Path, backend: litert.Backend, num_threads: int, kernels: litert.Kernels
) -> None:
    cpu = litert.CpuOptions(num_threads=num_threads, kernels=kernels)
    with litert.Model(data / "conv.tflite", cpu=cpu, backend=backend) as model:
        inputs = random_inputs(model.signatures["serving_default"])

        features = model.run(inputs)["features"]

    expected = run_interpreter(data / "conv.tflite", inputs)["features"]
    np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-6)


# What run takes


def test_run_single_array_is_the_only_input(data: Path, backend: litert.Backend) -> None:
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    with litert.Model(data / "mlp.tflite", backend=backend) as model:
        np.testing.assert_array_equal(model.run(x)["probs"], model.run({"x": x})["probs"])


def test_run_python_numbers_become_the_dtype(data: Path, backend: litert.Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        outputs = model.run({"x": [[1, 2, 3, 4]], "y": [[0.5, 0.5, 0.5, 0.5]]})
    assert outputs["sum"].dtype == np.float32
    assert outputs["sum"].tolist() == [[1.5, 2.5, 3.5, 4.5]]


def test_run_scalar_of_rank_0_is_a_plain_number(data: Path, backend: litert.Backend) -> None:
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
def test_run_not_contiguous_array_is_copied(
    data: Path, backend: litert.Backend, x: np.ndarray
) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        outputs = model.run({"x": x, "y": ONES})
    np.testing.assert_array_equal(outputs["sum"], x + 1)


def test_run_unaligned_and_read_only_array_is_copied(data: Path, backend: litert.Backend) -> None:
    x = np.frombuffer(b"-" + np.arange(4, dtype=np.float32).tobytes(), np.uint8)[1:]
    x = x.view(np.float32).reshape(1, 4)
    assert not x.flags.writeable
    with litert.Model(data / "add.tflite", backend=backend) as model:
        outputs = model.run({"x": x, "y": ONES})
    assert outputs["sum"].tolist() == [[1, 2, 3, 4]]


def test_run_big_endian_array_is_refused_not_misread(data: Path, backend: litert.Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        with pytest.raises(litert.TensorTypeError, match="tensor 'x': expected float32"):
            model.run({"x": ONES.astype(">f4"), "y": ONES})
        assert model.run({"x": ONES, "y": ONES})["sum"].tolist() == [[2, 2, 2, 2]]


def test_run_leaves_its_inputs_alone(data: Path, backend: litert.Backend) -> None:
    x = np.arange(4, dtype=np.float32)
    with litert.Model(data / "output_is_input.tflite", backend=backend) as model:
        model.run({"x": x})["same"][...] = -1
    assert x.tolist() == [0, 1, 2, 3]


def test_run_results_are_never_overwritten(data: Path, backend: litert.Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        first = model.run({"x": ONES, "y": ONES})["sum"]
        second = model.run({"x": ONES, "y": 4 * ONES})["sum"]
    assert first.tolist() == [[2, 2, 2, 2]]
    assert second.tolist() == [[5, 5, 5, 5]]
    assert first.flags.writeable


def test_arun_equals_run(data: Path, backend: litert.Backend) -> None:
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


def test_run_first_signature_is_the_default(data: Path, backend: litert.Backend) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        assert list(model.signatures) == ["add", "scale"]
        assert list(model.run({"x": ONES, "y": ONES})) == ["sum"]
        assert list(model.run(ONES, signature="scale")) == ["scaled"]


def test_run_signatures_in_turn_do_not_disturb_each_other(
    data: Path, backend: litert.Backend
) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        for value in (1, 2, 3):
            added = model.run({"x": value * ONES, "y": ONES})["sum"]
            scaled = model.run({"x": value * ONES}, signature="scale")["scaled"]
            assert added.tolist() == (value * ONES + 1).tolist()
            assert scaled.tolist() == (value * 2.5 * ONES).tolist()


def test_signature_none_in_the_file_is_main(data: Path, backend: litert.Backend) -> None:
    x, y = np.full((2, 3), 5, np.float32), np.full((2, 3), 2, np.float32)
    with litert.Model(data / "no_signature.tflite", backend=backend) as model:
        assert list(model.signatures) == ["main"]
        assert model.run({"x": x, "y": y}, signature="main")["z"].tolist() == (x - y).tolist()


def test_names_repeated_or_empty_are_made_unique(data: Path, backend: litert.Backend) -> None:
    x, y = np.array([5, 7], np.float32), np.array([1, 2], np.float32)
    with litert.Model(data / "no_signature_same_names.tflite", backend=backend) as model:
        signature = model.signatures["main"]
        assert list(signature.inputs) == ["t", "t_1"]
        assert list(signature.outputs) == ["output_0"]
        assert model.run({"t": x, "t_1": y})["output_0"].tolist() == [4, 5]


def test_names_beyond_ascii_are_kept(data: Path, backend: litert.Backend) -> None:
    x, y = np.array([1, 2], np.float32), np.array([10, 20], np.float32)
    with litert.Model(data / "odd_names.tflite", backend=backend) as model:
        outputs = model.run({"my input: 0": x, "größe/输入": y}, signature="ma signature é")
    assert outputs["résultat final"].tolist() == [11, 22]


def test_names_in_another_order_than_the_graph_are_not_swapped(
    data: Path, backend: litert.Backend
) -> None:
    with litert.Model(data / "swapped_order.tflite", backend=backend) as model:
        outputs = model.run(
            {"minus": np.array([1, 2], np.float32), "plus": np.array([5, 5], np.float32)}
        )
    assert outputs["difference"].tolist() == [4, 3]
    assert outputs["total"].tolist() == [6, 7]


def test_signature_with_an_empty_key_runs(data: Path, backend: litert.Backend) -> None:
    x = np.array([1, 2], np.float32)
    with litert.Model(data / "empty_key.tflite", backend=backend) as model:
        assert list(model.signatures) == [""]
        assert model.run({"x": x, "y": x}, signature="")["z"].tolist() == [2, 4]
        assert model.run({"x": x, "y": x})["z"].tolist() == [2, 4]


def test_run_without_inputs_takes_an_empty_dict(data: Path, backend: litert.Backend) -> None:
    with litert.Model(data / "no_inputs.tflite", backend=backend) as model:
        assert model.run({})["y"].tolist() == [11, 22]


def test_signatures_cannot_be_changed(data: Path, backend: litert.Backend) -> None:
    with (
        litert.Model(data / "add.tflite", backend=backend) as model,
        pytest.raises(TypeError, match="does not support item"),
    ):
        model.signatures["add"].inputs["x"] = None  # type: ignore[index]


# Sources


def _as_path(path: Path) -> litert.model.ModelSource:
    return path


def _as_mmap(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@pytest.mark.parametrize(
    "as_source",
    [
        str,
        _as_path,
        bytes,
        Path.read_bytes,
        lambda path: bytearray(path.read_bytes()),
        lambda path: memoryview(path.read_bytes()),
        lambda path: np.frombuffer(path.read_bytes(), np.uint8),
        _as_mmap,
    ],
    ids=["str", "Path", "path bytes", "bytes", "bytearray", "memoryview", "array", "mmap"],
)
def test_source_of_any_kind_gives_the_same_model(
    data: Path, backend: litert.Backend, as_source: Callable[[Path], litert.model.ModelSource]
) -> None:
    with litert.Model(as_source(data / "add.tflite"), backend=backend) as model:
        assert model.run({"x": ONES, "y": ONES})["sum"].tolist() == [[2, 2, 2, 2]]


def test_source_bytearray_may_change_after_loading(data: Path, backend: litert.Backend) -> None:
    content = bytearray((data / "add.tflite").read_bytes())
    with litert.Model(content, backend=backend) as model:
        content[:] = bytes(len(content))
        assert model.run(ONES, signature="scale")["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


def test_source_file_may_be_replaced_after_loading(
    data: Path, backend: litert.Backend, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes((data / "add.tflite").read_bytes())
    with litert.Model(path, backend=backend) as model:
        path.unlink()
        path.write_bytes(b"something else")
        assert model.run(ONES, signature="scale")["scaled"].tolist() == [[2.5, 2.5, 2.5, 2.5]]


def test_source_of_another_type_is_an_option_error() -> None:
    with pytest.raises(litert.OptionError, match="source: expected a path or .* got int"):
        litert.Model(42)  # type: ignore[arg-type]


# Lifetime


def test_close_twice_is_quiet_and_every_method_raises_after(
    data: Path, backend: litert.Backend
) -> None:
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


def test_context_manager_closes_also_on_an_error(data: Path, backend: litert.Backend) -> None:
    with (
        pytest.raises(litert.SignatureError, match="'add', 'scale'"),
        litert.Model(data / "add.tflite", backend=backend) as model,
    ):
        model.run(ONES, signature="no such")
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        model.run(ONES, signature="scale")
