"""Models on the GPU, here a Vulkan driver that computes on the CPU.

Each way that the library fails without a word has a test here with what is said instead.
"""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert

pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
pytest.importorskip("ai_edge_litert", reason="needs the schema")

from data.model_kinds import accelerated
from in_threads import in_threads
from litert.accelerate import gpu, load
from random_inputs import random_inputs, stored_shapes


@pytest.fixture
def partly_float(tmp_path: Path) -> Path:
    """A model of which the GPU takes a part."""
    return written(accelerated.partly_float(), tmp_path)


@pytest.fixture
def large_conv(tmp_path: Path) -> Path:
    """A model that the GPU computes wrongly in float16."""
    return written(accelerated.large_conv(), tmp_path)


def written(model: Any, folder: Path) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(model.to_bytes())
    return path


pytestmark = pytest.mark.usefixtures("software_gpu")


def on_gpu(path: Path, **options: Any) -> litert.Model:
    return litert.Model(path, accelerator="gpu", **options)


def inputs_of(model: litert.Model, key: str) -> dict[str, Any]:
    shapes = stored_shapes(model, key)
    return random_inputs(model.signatures[key], shapes, np.random.default_rng(3))


@pytest.mark.parametrize("name", ["conv", "mlp", "add", "kv_step"])
def test_results_are_those_of_the_cpu(data: Path, name: str) -> None:
    path = data / f"{name}.tflite"
    with on_gpu(path) as model, litert.Model(path) as reference:
        for key in reference.signatures:
            inputs = inputs_of(reference, key)
            expected = reference.run(inputs, signature=key)
            for _ in range(2):
                computed = model.run(inputs, signature=key)
                for output, array in expected.items():
                    np.testing.assert_allclose(computed[output], array, rtol=1e-4, atol=1e-5)


def test_model_from_bytes_runs(data: Path) -> None:
    content = (data / "conv.tflite").read_bytes()
    with litert.Model(content, accelerator="gpu") as model:
        assert model.placement.accelerator == "gpu"
        assert model.run(np.ones((1, 16, 16, 3), np.float32))["features"].shape == (1, 8)


def test_runner_has_views_and_takes_memory(data: Path) -> None:
    path = data / "conv.tflite"
    with on_gpu(path) as model, model.bind() as runner, litert.Model(path) as reference:
        (key,) = reference.signatures
        inputs = inputs_of(reference, key)
        expected = reference.run(inputs)["features"]
        runner.inputs["image"][...] = inputs["image"]
        runner.run()
        np.testing.assert_allclose(runner.outputs["features"], expected, rtol=1e-4, atol=1e-5)

        image = litert.empty_aligned((1, 16, 16, 3), np.float32)
        image[...] = 2 * inputs["image"]
        runner.bind_input("image", image)
        runner.run()

        expected = reference.run({"image": image})["features"]
        np.testing.assert_allclose(runner.outputs["features"], expected, rtol=1e-4, atol=1e-5)


def test_a_hundred_runs_give_the_same(data: Path) -> None:
    with on_gpu(data / "conv.tflite") as model:
        image = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
        first = model.run(image)["features"]
        for _ in range(100):
            np.testing.assert_array_equal(model.run(image)["features"], first)


def test_runs_of_many_threads_are_right(data: Path) -> None:
    path = data / "mlp.tflite"
    with on_gpu(path) as model, litert.Model(path) as reference:

        def check(number: int) -> None:
            x = np.random.default_rng(number).random((1, 8), np.float32)
            for _ in range(5):
                computed, expected = model.run(x)["probs"], reference.run(x)["probs"]
                np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)

        in_threads(check)


def test_two_models_at_once_are_right(data: Path) -> None:
    x = np.ones((1, 8), np.float32)
    with on_gpu(data / "mlp.tflite") as first, on_gpu(data / "mlp.tflite") as second:
        np.testing.assert_array_equal(first.run(x)["probs"], second.run(x)["probs"])


def test_arun_runs_there(data: Path) -> None:
    with on_gpu(data / "mlp.tflite") as model:
        result = asyncio.run(model.arun(np.ones((1, 8), np.float32)))
        np.testing.assert_array_equal(
            result["probs"], model.run(np.ones((1, 8), np.float32))["probs"]
        )


def test_closed_model_raises(data: Path) -> None:
    model = on_gpu(data / "mlp.tflite")
    model.close()
    model.close()

    with pytest.raises(litert.ClosedError, match="the model is closed"):
        model.run(np.ones((1, 8), np.float32))


def test_nothing_is_printed(data: Path) -> None:
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
import litert
for _ in range(2):
    with litert.Model({str(data / "conv.tflite")!r}, accelerator="gpu") as model:
        with model.bind() as runner:
            runner.run()
kept = litert.Model({str(data / "conv.tflite")!r}, accelerator="gpu")
""",
        ],
        capture_output=True, text=True, check=True, timeout=120, env=dict(os.environ),
    )  # fmt: skip
    assert (told.stdout, told.stderr) == ("", "")


def test_strict_takes_a_model_that_fits(data: Path) -> None:
    with on_gpu(data / "conv.tflite", strict=True) as model:
        assert model.placement.is_fully_accelerated


def test_part_of_a_model_stays_on_the_cpu_with_the_reason(partly_float: Path) -> None:
    with on_gpu(partly_float) as model, litert.Model(partly_float) as reference:
        placement = model.placement
        inputs = inputs_of(reference, next(iter(reference.signatures)))
        computed, expected = model.run(inputs), reference.run(inputs)

    assert [one.accelerator for one in placement.placed] == ["gpu", "cpu"]
    assert not placement.is_fully_accelerated
    assert any("INT64" in reason for reason in placement.reasons)
    for name, array in expected.items():
        np.testing.assert_allclose(computed[name], array, rtol=1e-4, atol=1e-5)


def test_strict_names_the_operators_that_do_not_fit(partly_float: Path) -> None:
    # GPU, some operator unsupported: 504 without a word.
    with pytest.raises(litert.AcceleratorError, match=r"strict=True: not all .*: 1 \w+: .*INT64"):
        on_gpu(partly_float, strict=True)


def test_model_that_does_not_fit_at_all_is_refused(data: Path) -> None:
    with pytest.raises(litert.AcceleratorError, match=r"takes none of .*: 1 ADD: .*INT64"):
        on_gpu(data / "elementwise_int64.tflite")


def test_custom_operator_is_refused(data: Path) -> None:
    # GPU with or without the CPU, unresolved custom operator: 3.
    with pytest.raises(litert.AcceleratorError, match=r"custom operators .*'LitertTestUnknownOp'"):
        on_gpu(data / "custom_op.tflite")


def test_output_of_unknown_shape_is_refused(data: Path) -> None:
    with pytest.raises(litert.AcceleratorError, match="output shape of WHERE depends on data"):
        on_gpu(data / "where_dynamic.tflite")


def test_model_with_weights_that_do_not_compile_is_refused(
    shared_model: Callable[[str], Path],
) -> None:
    # GPU with the CPU, an error while compiling: 3 and no fallback.
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int8_weight_only.tflite")

    with pytest.raises(litert.AcceleratorError, match=r"does not compile for it: .*Shape mismatch"):
        on_gpu(path)
    with litert.Model(path, accelerator=("gpu", "cpu")) as model:
        assert model.placement.accelerator == "cpu"
        assert "Shape mismatch" in model.placement.reasons[0]


def test_model_that_is_computed_wrongly_is_refused(shared_model: Callable[[str], Path]) -> None:
    # One of 66 operators goes to the GPU, and the results are wrong with status Ok.
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int16x8.tflite")

    with pytest.raises(litert.AcceleratorError, match="'probs' differs from the CPU's: by up to"):
        on_gpu(path)


def test_model_that_is_computed_wrongly_loses_in_auto(
    shared_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int16x8.tflite")
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path))
    times = iter([1.0])  # of the CPU; what computes wrongly is not timed, however fast it is
    monkeypatch.setattr(load, "median_run_s", lambda model: next(times))
    for _ in range(2):
        with litert.Model(path, accelerator="auto") as model:
            placement = model.placement
        assert placement.accelerator == "cpu"
        assert any("'probs' differs from the CPU's" in reason for reason in placement.reasons)


HALF = litert.GpuOptions(precision="fp16")


def test_garbage_of_float16_is_refused(large_conv: Path) -> None:
    # A device without float16: the shaders do not compile, and everything is Ok.
    with pytest.raises(litert.AcceleratorError, match="'y' differs from the CPU's"):
        on_gpu(large_conv, gpu=HALF)


def test_garbage_of_float16_falls_back(large_conv: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING, "litert"),
        litert.Model(large_conv, accelerator=("gpu", "cpu"), gpu=HALF) as model,
    ):
        placement = model.placement

    assert placement.accelerator == "cpu"
    assert "differs from the CPU's" in placement.reasons[0]
    assert "differs from the CPU's" in caplog.text


def test_garbage_of_float16_loses_in_auto(large_conv: Path) -> None:
    with litert.Model(large_conv, accelerator="auto", gpu=HALF) as model:
        placement = model.placement

    assert placement.accelerator == "cpu"
    assert any("differs from the CPU's" in reason for reason in placement.reasons)


def test_missing_driver_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Library registered, no driver: 3, also with the CPU beside it.
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")

    with pytest.raises(litert.AcceleratorError, match="'gpu' is not available: no Vulkan device"):
        on_gpu(data / "conv.tflite")
    with litert.Model(data / "conv.tflite", accelerator=("gpu", "cpu")) as model:
        assert "no Vulkan device" in model.placement.reasons[0]


def test_missing_library_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Library not found: 504, with the CPU beside it Ok and all on the CPU.
    monkeypatch.setattr(gpu, "_NAMES", ("libNothing.so", "libNothingEither.so"))

    with pytest.raises(litert.AcceleratorError, match=r"no GPU library \(libNothingEither\.so\)"):
        on_gpu(data / "conv.tflite")


def test_unknown_device_is_told(data: Path) -> None:
    # The library ignores a name that no device has.
    with pytest.raises(litert.AcceleratorError, match="no GPU is called 'Voodoo'; there is "):
        on_gpu(data / "conv.tflite", gpu=litert.GpuOptions(device="Voodoo"))


def test_kind_of_a_device_is_no_part_of_its_name(data: Path) -> None:
    with pytest.raises(litert.AcceleratorError, match="no GPU is called 'software'; there is "):
        on_gpu(data / "conv.tflite", gpu=litert.GpuOptions(device="software"))


def test_profile_is_refused(data: Path) -> None:
    # With profiling every run fails.
    with (
        on_gpu(data / "conv.tflite") as model,
        pytest.raises(litert.UnsupportedModelError, match="run on the GPU fails with it"),
        model.profile(),
    ):
        pass
