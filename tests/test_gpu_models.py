"""Which models the GPU takes: what it takes it computes right, and the rest is told and runs."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert

pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
pytest.importorskip("ai_edge_litert", reason="needs the schema")

from data.model_kinds import accelerated
from litert.accelerate import gpu
from random_inputs import random_inputs, stored_shapes

pytestmark = pytest.mark.usefixtures("software_gpu")

HALF = litert.GpuOptions(precision="fp16")

# Names that are not the signature's, outputs that are inputs, constants or twins, scalars, types
# that are converted on the way, weights that are unpacked there.
TAKEN = (
    "cast_bool_to_float32",
    "cast_float32_to_int16",
    "constant_output",
    "dynamic_two_dims",
    "elementwise_float16",
    "elementwise_int32",
    "embedding_argmax",
    "float16_weights_dense",
    "int8_add",
    "int8_per_channel_conv",
    "many_io",
    pytest.param(
        "no_inputs",
        marks=pytest.mark.skipif(
            litert.library_info().version in ("2.1.6", "2.2.0"),
            reason="releases before 2.3.0 take no ADD of two constants",
        ),
    ),
    "no_signature_same_names",
    "odd_names",
    "output_is_input",
    "output_twice",
    "quantize_dequantize",
    "rank0",
    "rank4",
    "shared_weights",
    "swapped_order",
    "uint8_add",
    "unused_input",
)

REFUSED = {
    "cast_int4_to_float32": "the model does not compile for it: Validation error: ",
    "copy_float64": r"takes none of the model's operators: 1 RESHAPE: .*FLOAT64\) is not supported",
    "copy_string": "string tensor 'x'",
    "counter_variable": r"shape of a resource variable \(READ_VARIABLE\)",
    "dynamic_batch_reshape": "the output shape of RESHAPE is computed at run time",
    "elementwise_bfloat16": "its results cannot be compared with the CPU's, where a trial run ",
    "elementwise_int16": "takes none of the model's operators: 1 BITWISE_XOR: ",
    "int16x8_dense": r"takes none of the model's operators: 1 FULLY_CONNECTED: .*INT16",
    "only_passthrough": "takes none of the model's operators$",
    "rank5": "takes none of the model's operators: 1 ADD: Tensor dimensions must be less than 5",
    "svdf_state": "the native core does not run the model: variable tensor 'state'",
    "while_loop": "takes none of the model's operators: 1 WHILE: Operation is not supported",
    "zero_size": "zero-size tensor 'x'",
}


def assert_same_results(model: litert.Model, reference: litert.Model) -> None:
    """Compare one run of each signature on the same random inputs."""
    for key, signature in reference.signatures.items():
        shapes = stored_shapes(reference, key)
        inputs = random_inputs(signature, shapes, np.random.default_rng(3))
        expected = reference.run(inputs, signature=key)
        computed = model.run(inputs, signature=key)
        assert list(computed) == list(expected)
        for name, array in expected.items():
            assert_same(computed[name], array)


def assert_same(computed: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> None:
    assert (computed.dtype, computed.shape) == (expected.dtype, expected.shape)
    if expected.dtype.kind == "f":
        largest = float(np.abs(expected).max(initial=0))
        np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5 * max(largest, 1))
    else:
        np.testing.assert_array_equal(computed, expected)


@pytest.mark.parametrize("name", TAKEN)
def test_model_that_is_taken_gives_the_results_of_the_cpu(data: Path, name: str) -> None:
    path = data / f"{name}.tflite"
    with litert.Model(path, accelerator="gpu") as model, litert.Model(path) as reference:
        assert model.placement.placed[0].accelerator == "gpu"
        assert_same_results(model, reference)


@pytest.mark.parametrize("name", REFUSED)
def test_model_that_is_refused_says_why(data: Path, name: str) -> None:
    with pytest.raises(litert.AcceleratorError, match=f"^accelerator 'gpu': .*{REFUSED[name]}"):
        litert.Model(data / f"{name}.tflite", accelerator="gpu")


# The CPU cannot run elementwise_bfloat16 either.
@pytest.mark.parametrize("name", [name for name in REFUSED if name != "elementwise_bfloat16"])
def test_model_that_is_refused_runs_on_the_cpu_where_it_may(data: Path, name: str) -> None:
    path = data / f"{name}.tflite"
    with litert.Model(path, accelerator=("gpu", "cpu")) as model, litert.Model(path) as reference:
        assert (model.backend, model.backend_reason) == (
            reference.backend,
            reference.backend_reason,
        )
        assert_same_results(model, reference)


@pytest.mark.parametrize("accelerator", ["gpu", ("gpu", "cpu")])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("invalid_text", "expected a .tflite model, got a text file"),
        ("invalid_truncated", "damaged FlatBuffer: "),
        ("invalid_bad_schema_version", "expected schema version 3, got 99"),
    ],
)
def test_file_that_is_no_model_is_no_fault_of_the_gpu(
    data: Path, name: str, message: str, accelerator: Any
) -> None:
    with pytest.raises(litert.FileFormatError, match=message):
        litert.Model(data / f"{name}.tflite", accelerator=accelerator)


@pytest.mark.parametrize("accelerator", ["gpu", ("gpu", "cpu")])
def test_file_that_is_missing_is_no_fault_of_the_gpu(data: Path, accelerator: Any) -> None:
    with pytest.raises(litert.ModelNotFoundError, match=r"no_such\.tflite"):
        litert.Model(data / "no_such.tflite", accelerator=accelerator)


@pytest.mark.parametrize("strict", [False, True])
def test_composite_is_refused_before_it_ends_the_process(tmp_path: Path, strict: bool) -> None:
    path = tmp_path / "composite.tflite"
    path.write_bytes(accelerated.rms_norm_composite().to_bytes())
    program = f"""
import litert
try:
    litert.Model({str(path)!r}, accelerator="gpu", strict={strict})
except litert.AcceleratorError as err:
    print(err)
with litert.Model({str(path)!r}, accelerator="auto") as model:
    print(model.placement.accelerator)
"""
    assert run_python(program).stdout.splitlines() == [
        "accelerator 'gpu': the model has STABLEHLO_COMPOSITE operators, over which the GPU's "
        "delegate ends the process",
        "cpu",
    ]


# Part of a model


@pytest.fixture
def conv_between_lrn(tmp_path: Path) -> Path:
    """A chain in the middle of which the GPU lacks an operator."""
    path = tmp_path / "chain.tflite"
    path.write_bytes(accelerated.conv_between_lrn().to_bytes())
    return path


def test_chain_goes_on_on_the_cpu_after_what_the_gpu_lacks(conv_between_lrn: Path) -> None:
    with (
        litert.Model(conv_between_lrn, accelerator="gpu") as model,
        litert.Model(conv_between_lrn) as reference,
    ):
        placement = model.placement
        assert_same_results(model, reference)
    assert [(place.accelerator, place.num_operators) for place in placement.placed] == [
        ("gpu", 1),
        ("cpu", 2),
    ]
    assert placement.reasons[1:] == ("1 LOCAL_RESPONSE_NORMALIZATION: Operation is not supported",)


def test_chain_is_refused_by_strict_with_the_operator(conv_between_lrn: Path) -> None:
    message = "with strict=True: .*: 1 LOCAL_RESPONSE_NORMALIZATION: Operation is not supported$"
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(conv_between_lrn, accelerator="gpu", strict=True)


def test_chain_that_strict_refuses_runs_on_the_cpu_where_it_may(conv_between_lrn: Path) -> None:
    with litert.Model(conv_between_lrn, accelerator=("gpu", "cpu"), strict=True) as model:
        placement = model.placement
    assert placement.accelerator == "cpu"
    assert "LOCAL_RESPONSE_NORMALIZATION" in placement.reasons[0]


# Half precision where the device has none


@pytest.fixture
def large_conv(tmp_path: Path) -> Path:
    """A model that the GPU computes wrongly in float16."""
    path = tmp_path / "large.tflite"
    path.write_bytes(accelerated.large_conv().to_bytes())
    return path


def test_garbage_of_float16_has_its_cause_in_the_librarys_log(large_conv: Path) -> None:
    # Alone in its process: 2.1.6 tells it of the first compilation of a shader in a process only.
    program = f"""
import litert
try:
    gpu = litert.GpuOptions(precision="fp16")
    litert.Model({str(large_conv)!r}, accelerator="gpu", gpu=gpu)
except litert.AcceleratorError as err:
    assert "differs from the CPU's" in str(err)
    print(*err.library_log, sep="\\n")
"""
    assert "'f16' type used without 'f16' extension" in run_python(program).stdout


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )


def test_float32_is_right_where_float16_is_garbage(large_conv: Path) -> None:
    for _ in range(2):
        with pytest.raises(litert.AcceleratorError, match="differs from the CPU's"):
            litert.Model(large_conv, accelerator="gpu", gpu=HALF)
        with (
            litert.Model(large_conv, accelerator="gpu") as model,
            litert.Model(large_conv) as reference,
        ):
            assert_same_results(model, reference)


def test_garbage_of_float16_prints_nothing(large_conv: Path) -> None:
    # A logger that nobody has set up prints warnings.
    program = f"""
import logging
import litert
logging.disable()
for accelerator in ("gpu", ("gpu", "cpu"), "auto"):
    try:
        gpu = litert.GpuOptions(precision="fp16")
        litert.Model({str(large_conv)!r}, accelerator=accelerator, gpu=gpu).close()
    except litert.AcceleratorError:
        pass
"""
    told = run_python(program)
    assert (told.stdout, told.stderr) == ("", "")


def test_small_error_of_float16_is_taken(data: Path) -> None:
    path = data / "conv.tflite"
    with litert.Model(path, accelerator="gpu", gpu=HALF) as model, litert.Model(path) as reference:
        image = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
        computed, expected = model.run(image)["features"], reference.run(image)["features"]
        np.testing.assert_allclose(computed, expected, atol=0.02 * float(abs(expected).max()))


# What is missing on the machine


def on_the_cpu_because(path: Path, caplog: pytest.LogCaptureFixture, message: str) -> None:
    with (
        caplog.at_level(logging.WARNING, "litert"),
        litert.Model(path, accelerator=("gpu", "cpu")) as model,
    ):
        placement = model.placement
        assert "accelerator='cpu'" in repr(model)
    assert placement.accelerator == "cpu"
    assert message in placement.reasons[0]
    assert caplog.messages == [placement.reasons[0]]


def test_without_a_driver_the_cpu_is_taken_and_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")
    on_the_cpu_because(data / "mlp.tflite", caplog, "no Vulkan device")


def test_without_the_library_the_cpu_is_taken_and_told(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gpu, "_NAMES", ("libNothing.so",))
    on_the_cpu_because(data / "mlp.tflite", caplog, "no GPU library (libNothing.so)")


def test_a_driver_that_comes_back_is_used(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("VK_DRIVER_FILES", "/no/driver.json")
        with pytest.raises(litert.AcceleratorError, match="no Vulkan device"):
            litert.Model(data / "mlp.tflite", accelerator="gpu")
    with litert.Model(data / "mlp.tflite", accelerator="gpu") as model:
        assert model.placement.is_fully_accelerated
