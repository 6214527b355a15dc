"""Models on an NPU, with OpenVINO's CPU device in its place."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
import litert.accelerate.npu
import litert.accelerate.openvino
import litert.accelerate.target
from litert.accelerate import load
from npu_runs import (
    PLUGIN_FAILED,
    assert_equals_cpu,
    in_new_process,
    inputs_of,
    results,
)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or litert.accelerate.openvino.machine() != "x86_64",
    reason="LiteRT has an NPU plugin for Linux on x86-64 alone",
)

# Models that it takes


@pytest.mark.parametrize(
    "name",
    ["mlp", "conv", "float16_weights_dense", "many_io", "rank4", "no_inputs", "odd_names"],
)
def test_float_model_gives_the_results_of_the_cpu(
    openvino_cpu: litert.NpuOptions, data: Path, name: str
) -> None:
    assert_equals_cpu(data / f"{name}.tflite", openvino_cpu)


@pytest.mark.parametrize("name", ["int8_add", "uint8_add", "int8_per_channel_conv"])
def test_int8_model_gives_the_results_of_the_cpu(
    openvino_cpu: litert.NpuOptions, data: Path, name: str
) -> None:
    assert_equals_cpu(data / f"{name}.tflite", openvino_cpu, num_steps=1)


@pytest.mark.parametrize("kind", ["f32", "int8"])
def test_mobilenet_gives_the_results_of_the_cpu(
    openvino_cpu: litert.NpuOptions, shared_model: Callable[[str], Path], kind: str
) -> None:
    path = shared_model(f"mobilenet/mobilenet_v2_1.0_224_{kind}.tflite")
    # As far as XNNPACK and the builtin kernels are from each other.
    assert_equals_cpu(path, openvino_cpu, num_steps=8)


def test_model_is_placed_on_the_npu(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    with litert.Model(data / "mlp.tflite", accelerator="npu", npu=openvino_cpu) as model:
        assert repr(model) == "<litert.Model backend='native' accelerator='npu'>"
        placement = model.placement
    assert placement.accelerator == "npu"
    assert placement.placed == (litert.PlacedOperators("npu", "OpenVINO", 3, 1.0),)
    assert placement.is_fully_accelerated
    assert placement.reasons == ("on OpenVINO's CPU device",)


def test_model_from_bytes_runs(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    path = data / "mlp.tflite"
    with litert.Model(path.read_bytes(), accelerator="npu", npu=openvino_cpu) as model:
        (computed,) = model.run(inputs_of(model)).values()
    (expected,) = results(path).values()
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)


def test_runner_runs_in_place(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    path = data / "mlp.tflite"
    (expected,) = results(path).values()
    with litert.Model(path, accelerator="npu", npu=openvino_cpu) as model:
        runner = model.bind()
        for _ in range(3):
            for name, array in inputs_of(model).items():
                runner.inputs[name][...] = array
            runner.run()
            (computed,) = runner.outputs.values()
            np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)
            computed[...] = 0


def test_model_runs_in_several_threads(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    path = data / "conv.tflite"
    (expected,) = results(path).values()
    wrong: list[Any] = []
    with litert.Model(path, accelerator="npu", npu=openvino_cpu) as model:
        inputs = inputs_of(model)

        def work() -> None:
            for _ in range(20):
                (computed,) = model.run(inputs).values()
                if not np.allclose(computed, expected, rtol=1e-4, atol=1e-5):
                    wrong.append(computed)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_closed_model_raises(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    model = litert.Model(data / "mlp.tflite", accelerator="npu", npu=openvino_cpu)
    inputs = inputs_of(model)
    model.close()
    model.close()
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        model.run(inputs)


@pytest.mark.parametrize("size", [2, 5])
def test_shapes_that_it_was_not_compiled_for_are_refused(
    openvino_cpu: litert.NpuOptions, data: Path, size: int
) -> None:
    path = data / "dynamic_batch.tflite"
    message = rf"^accelerator 'npu': the model is compiled there for x=\[1, 4\], got x=\[{size}, 4"
    with litert.Model(path, accelerator="npu", npu=openvino_cpu) as model:
        with pytest.raises(litert.TensorShapeError, match=message):
            model.run({"x": np.ones((size, 4), np.float32)})
        assert model.run({"x": np.ones((1, 4), np.float32)})["y"].shape == (1, 3)


@pytest.mark.parametrize("mode", ["latency", "throughput", "cumulative_throughput"])
def test_performance_mode_and_properties_are_taken(
    openvino_cpu: litert.NpuOptions, data: Path, mode: Any
) -> None:
    options = dataclasses.replace(
        openvino_cpu, performance_mode=mode, properties={"INFERENCE_PRECISION_HINT": "f32"}
    )
    assert_equals_cpu(data / "mlp.tflite", options)


def test_every_signature_runs(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    path = data / "add.tflite"
    with (
        litert.Model(path, accelerator="npu", npu=openvino_cpu) as model,
        litert.Model(path) as reference,
    ):
        assert len(reference.signatures) == 2
        for key, signature in reference.signatures.items():
            inputs = {name: np.ones((1, 4), np.float32) for name in signature.inputs}
            expected = reference.run(inputs, signature=key)
            for name, array in model.run(inputs, signature=key).items():
                np.testing.assert_allclose(array, expected[name], rtol=1e-4)


def test_profile_is_refused(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    with (
        litert.Model(data / "mlp.tflite", accelerator="npu", npu=openvino_cpu) as model,
        pytest.raises(litert.UnsupportedModelError, match=r"^profile: .*accelerator='cpu'$"),
        model.profile(),
    ):
        pass


def test_nothing_is_printed(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    code = """
        import sys, numpy, litert
        npu = litert.NpuOptions(device="cpu")
        with litert.Model(sys.argv[1], accelerator="npu", npu=npu) as model:
            model.run({"x": numpy.ones((1, 8), numpy.float32)})
            assert model.placement.accelerator == "npu"
            model.bind().run()
        """
    done = in_new_process(code, data / "mlp.tflite")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_auto_measures_it_and_remembers(
    openvino_cpu: litert.NpuOptions,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")
    reasons = []
    for _ in range(2):
        with litert.Model(data / "mlp.tflite", accelerator="auto", npu=openvino_cpu) as model:
            reasons.append(model.placement.reasons)
            (computed,) = model.run(inputs_of(model)).values()
        monkeypatch.setattr(load, "median_run_s", lambda model: pytest.fail("it measured again"))
    (expected,) = results(data / "mlp.tflite").values()
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)
    assert reasons[0] == reasons[1]
    assert any(reason.startswith("measured, a run: cpu ") for reason in reasons[0])


INT8 = """
    import sys, litert
    try:
        litert.Model(sys.argv[1], accelerator="npu", npu=litert.NpuOptions(device="cpu")).close()
        print("taken")
    except litert.AcceleratorError as err:
        print(err)
    """


def test_int8_model_is_refused_where_the_instructions_make_it_wrong(
    openvino_cpu: litert.NpuOptions,
    shared_model: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Also after a process with other instructions has found the model to be right.
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int8.tflite")
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path))
    assert in_new_process(INT8, path).stdout == "taken\n"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    said = in_new_process(INT8, path).stdout
    assert said.startswith("accelerator 'npu': output 'probs' differs from the CPU's: by up to ")


# Models that it takes in part, or not


@pytest.mark.parametrize(("name", "taken", "total"), [("while_loop", 3, 4), ("if_else", 2, 3)])
def test_model_that_it_takes_in_part_runs_on_both(
    openvino_cpu: litert.NpuOptions, data: Path, name: str, taken: int, total: int
) -> None:
    path = data / f"{name}.tflite"
    assert_equals_cpu(path, openvino_cpu)
    with litert.Model(path, accelerator="npu", npu=openvino_cpu) as model:
        placement = model.placement
    assert not placement.is_fully_accelerated
    places = [(one.accelerator, one.kernels, one.num_operators) for one in placement.placed]
    assert places == [("npu", "OpenVINO", taken), ("cpu", "XNNPACK or builtin", total - taken)]
    assert placement.placed[0].share == pytest.approx(taken / total)
    operator = {"while_loop": "WHILE", "if_else": "IF"}[name]
    assert placement.reasons == (
        "on OpenVINO's CPU device",
        f"1 {operator}: OpenVINO's compiler plugin does not take it",
    )


def test_model_that_it_takes_in_part_is_refused_when_strict(
    openvino_cpu: litert.NpuOptions, data: Path
) -> None:
    with pytest.raises(
        litert.AcceleratorError,
        match=r"^accelerator 'npu' with strict=True: not all operators can run on it: 1 WHILE: ",
    ):
        litert.Model(data / "while_loop.tflite", accelerator="npu", npu=openvino_cpu, strict=True)


def test_bytes_that_it_takes_in_part_are_refused_with_the_operator_when_strict(
    openvino_cpu: litert.NpuOptions, data: Path
) -> None:
    model = (data / "if_else.tflite").read_bytes()
    with pytest.raises(litert.AcceleratorError, match=r"not all operators .*: 1 IF: "):
        litert.Model(model, accelerator="npu", npu=openvino_cpu, strict=True)


def test_refused_operators_are_not_named_without_the_compilers_tool(
    openvino_cpu: litert.NpuOptions, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("litert.ahead_of_time.compiler_tool._TOOL", Path("none"))
    with litert.Model(data / "if_else.tflite", accelerator="npu", npu=openvino_cpu) as model:
        placement = model.placement
    assert not placement.is_fully_accelerated
    assert placement.reasons == ("on OpenVINO's CPU device",)


def test_model_that_it_takes_whole_is_taken_when_strict(
    openvino_cpu: litert.NpuOptions, data: Path
) -> None:
    path = data / "mlp.tflite"
    with litert.Model(path, accelerator="npu", npu=openvino_cpu, strict=True) as model:
        assert model.placement.is_fully_accelerated


def test_custom_operator_is_named(openvino_cpu: litert.NpuOptions, data: Path) -> None:
    with pytest.raises(litert.AcceleratorError, match=r"'npu': .*custom operators.*'LitertTestU"):
        litert.Model(data / "custom_op.tflite", accelerator="npu", npu=openvino_cpu)


def test_custom_operator_is_named_after_the_cpu_was_tried_too(
    openvino_cpu: litert.NpuOptions, data: Path
) -> None:
    with pytest.raises(
        litert.UnsupportedModelError, match=r"custom_op\.tflite': .*custom operators"
    ):
        litert.Model(data / "custom_op.tflite", accelerator=("npu", "cpu"), npu=openvino_cpu)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("string_lookup", "string tensor 'words'"),
        ("counter_variable", "resource variable"),
        ("zero_size", "zero-size tensor"),
        ("where_dynamic", "depends on data"),
    ],
)
def test_model_that_the_core_cannot_run_is_refused_with_the_reason(
    openvino_cpu: litert.NpuOptions, data: Path, name: str, message: str
) -> None:
    with pytest.raises(litert.AcceleratorError, match=rf"^accelerator 'npu': .*{message}"):
        litert.Model(data / f"{name}.tflite", accelerator="npu", npu=openvino_cpu)


@pytest.mark.parametrize("strict", [False, True])
def test_model_whose_compilation_fails_is_refused(
    openvino_cpu: litert.NpuOptions, shared_model: Callable[[str], Path], strict: bool
) -> None:
    # A plugin that fails to compile: 504, with the CPU beside it Ok, silently on the CPU.
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int4_weights.tflite")
    with pytest.raises(litert.AcceleratorError, match=PLUGIN_FAILED):
        litert.Model(path, accelerator="npu", npu=openvino_cpu, strict=strict)


@pytest.mark.parametrize("strict", [False, True])
def test_property_that_openvino_does_not_know_fails(
    openvino_cpu: litert.NpuOptions, data: Path, strict: bool
) -> None:
    options = dataclasses.replace(openvino_cpu, properties={"NO_SUCH_PROPERTY": "1"})
    with pytest.raises(litert.AcceleratorError, match=PLUGIN_FAILED) as raised:
        litert.Model(data / "mlp.tflite", accelerator="npu", npu=options, strict=strict)
    assert any("Plugin errs" in line for line in raised.value.library_log)


def test_order_goes_on_to_the_cpu_where_the_compilation_fails(
    openvino_cpu: litert.NpuOptions, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = dataclasses.replace(openvino_cpu, properties={"NO_SUCH_PROPERTY": "1"})
    with litert.Model(data / "mlp.tflite", accelerator=("npu", "cpu"), npu=options) as model:
        placement = model.placement
    assert placement.accelerator == "cpu"
    assert "failed in compiling it" in placement.reasons[0]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
