"""Models on an NPU, with OpenVINO's CPU device in its place, and what is said where none is."""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import subprocess
import sys
import textwrap
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
from litert.accelerate import load, target
from litert.accelerate.openvino import DISPATCH_LIBRARY, openvino_folders
from litert.random_values import random_values
from random_inputs import stored_shapes

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or litert.accelerate.openvino.machine() != "x86_64",
    reason="LiteRT has an NPU plugin for Linux on x86-64 alone",
)

COMPILER_PLUGIN = "libLiteRtCompilerPlugin_IntelOpenvino.so"
PLUGIN_FAILED = (
    r"^accelerator 'npu': it takes none of the model's operators: IntelOpenVINO compiler plugin "
    r"\(ver [\d.]+\) failed in compiling it, and does not say why$"
)
STAMP = r"an Intel NPU \(chip PTL\)"


def inputs_of(model: litert.Model) -> dict[str, Any]:
    key, signature = next(iter(model.signatures.items()))
    shapes, generator = stored_shapes(model, key), np.random.default_rng(3)
    return {
        name: random_values(info, shapes[name], generator)
        for name, info in signature.inputs.items()
    }


def results(path: Path, **options: Any) -> dict[str, Any]:
    with litert.Model(path, **options) as model:
        return model.run(inputs_of(model))


def assert_equals_cpu(path: Path, npu: litert.NpuOptions, num_steps: int = 0) -> None:
    """Compare with the CPU: floats to 1e-4 of the largest, integers to ``num_steps``."""
    expected = results(path)
    computed = results(path, accelerator="npu", npu=npu)
    assert list(computed) == list(expected)
    for name, array in expected.items():
        assert computed[name].dtype == array.dtype
        tolerance = num_steps if array.dtype.kind in "iu" else 1e-4 * np.abs(array).max(initial=0)
        difference = np.abs(computed[name].astype(np.float64) - array.astype(np.float64))
        assert difference.max(initial=0) <= tolerance


@pytest.fixture(scope="session")
def compiled_models(
    openvino_cpu: litert.NpuOptions, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Compile a model for OpenVINO's CPU device ahead of time, once."""
    folder = tmp_path_factory.mktemp("compiled")
    data = Path(__file__).parent / "data"

    def compiled(name: str) -> Path:
        output = folder / f"{name}.tflite"
        if not output.exists():
            litert.compile_model(
                data / output.name, target="intel:PTL", output=output, device="cpu"
            )
        return output

    return compiled


@pytest.fixture
def no_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have no NPU, whatever this machine has."""
    monkeypatch.setattr(litert.accelerate.npu, "_ACCEL", tmp_path / "none")


def in_new_process(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process that has loaded no dispatch library yet."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
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


# Models that are compiled ahead of time


@pytest.mark.parametrize("strict", [False, True])
def test_compiled_model_runs(
    compiled_models: Callable[[str], Path], data: Path, strict: bool
) -> None:
    path = compiled_models("mlp")
    with litert.Model(path, accelerator="npu", strict=strict) as model:
        (computed,) = model.run(inputs_of(model)).values()
        placement = model.placement
    (expected,) = results(data / "mlp.tflite").values()
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)
    assert placement.is_fully_accelerated


def test_compiled_model_names_its_npu_where_there_is_one(
    compiled_models: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(litert.accelerate.target, "npu_devices", lambda: ("Intel NPU",))
    with litert.Model(compiled_models("mlp"), accelerator="npu") as model:
        reasons = model.placement.reasons
    assert reasons == ("on the device of an Intel NPU (chip PTL), as it was compiled",)


@pytest.mark.usefixtures("no_device")
def test_compiled_model_says_that_it_is_not_on_an_npu_where_there_is_none(
    compiled_models: Callable[[str], Path],
) -> None:
    with litert.Model(compiled_models("mlp"), accelerator="npu") as model:
        (device,) = model.placement.reasons
    assert device == (
        "on OpenVINO's CPU or GPU device, as it was compiled: it is for an Intel NPU (chip PTL), "
        "but no Intel NPU is here"
    )


@pytest.mark.parametrize("accelerator", ["auto", ("npu", "cpu"), ("gpu", "npu", "cpu")])
def test_compiled_model_is_for_the_npu_alone(
    compiled_models: Callable[[str], Path], accelerator: Any
) -> None:
    with litert.Model(compiled_models("mlp"), accelerator=accelerator) as model:
        assert model.placement.accelerator == "npu"


def test_compiled_model_with_operators_for_the_cpu_runs(
    compiled_models: Callable[[str], Path], data: Path
) -> None:
    path = compiled_models("kv_step")
    expected = results(data / "kv_step.tflite")
    with litert.Model(path, accelerator="npu") as model:
        computed = model.run(inputs_of(model))
        placement = model.placement
    for name, array in expected.items():
        np.testing.assert_allclose(computed[name], array, rtol=1e-4, atol=1e-5)
    assert not placement.is_fully_accelerated
    assert [one.num_operators for one in placement.placed] == [2, 1]
    assert placement.reasons[-1] == "1 DYNAMIC_UPDATE_SLICE: not compiled for the NPU"


def test_compiled_model_with_operators_for_the_cpu_is_refused_when_strict(
    compiled_models: Callable[[str], Path],
) -> None:
    with pytest.raises(litert.AcceleratorError, match=r"strict=True: not all operators .*: 1 "):
        litert.Model(compiled_models("kv_step"), accelerator="npu", strict=True)


@pytest.mark.parametrize("options", [{}, {"accelerator": ("gpu", "cpu")}])
def test_compiled_model_on_the_cpu_says_where_it_runs(
    compiled_models: Callable[[str], Path], options: dict[str, Any]
) -> None:
    # On the CPU alone: Ok, and the first run fails.
    message = (
        rf"mlp\.tflite': the model is compiled ahead of time for {STAMP} and cannot run on the CPU;"
        ' load it with accelerator="npu" where that NPU and OpenVINO are, or load the plain '
        r"\.tflite that it was compiled from$"
    )
    with pytest.raises(litert.UnsupportedModelError, match=message):
        litert.Model(compiled_models("mlp"), **options)


def test_compiled_model_on_the_gpu_says_what_it_is_compiled_for(
    compiled_models: Callable[[str], Path],
) -> None:
    message = rf"^accelerator 'gpu': the model is compiled for {STAMP}$"
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(compiled_models("mlp"), accelerator="gpu")


def test_compiled_model_with_another_vendors_options_is_refused(
    compiled_models: Callable[[str], Path], tmp_path: Path
) -> None:
    npu = litert.NpuOptions(vendor="qualcomm", dispatch_dir=tmp_path)
    message = rf"^accelerator 'npu': the model is compiled for {STAMP}, not for one of Qualcomm"
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(compiled_models("mlp"), accelerator="npu", npu=npu)


OTHERS = [
    ("precompiled_mediatek_model", "mediatek", r"a MediaTek NPU \(chip mt6989\)"),
    ("simple_model_npu_mediatek_mt6989_precompiled", "mediatek", r"a MediaTek NPU"),
    ("shared_input_cpu_npu_google_tensor_precompiled", "google_tensor", r"a Google Tensor NPU"),
    ("simple_add_op_google_tensor_p25_precompiled", "google_tensor", r"a Google Tensor NPU"),
    ("simple_model_npu_google_tensor_precompiled", "google_tensor", r"a Google Tensor NPU"),
    ("simple_add_op_qc_v75_precompiled", "qualcomm", r"a Qualcomm NPU \(chip V75\)"),
    ("simple_model_qualcomm_sm8650_precompiled", "qualcomm", r"a Qualcomm NPU \(chip SM8650\)"),
    ("simple_add_op.sm8750", "qualcomm", r"a Qualcomm NPU \(chip SM8750\)"),
]


@pytest.mark.parametrize(("name", "vendor", "stamp"), OTHERS)
def test_model_compiled_for_another_vendor_says_what_it_needs(
    shared_model: Callable[[str], Path],
    openvino_cpu: litert.NpuOptions,
    tmp_path: Path,
    name: str,
    vendor: str,
    stamp: str,
) -> None:
    path = shared_model(f"upstream/{name}.tflite")
    with pytest.raises(
        litert.AcceleratorError,
        match=rf"^accelerator 'npu': the model is compiled for {stamp}.*, not for one of Intel; it "
        r"needs NpuOptions\(vendor=\.\.\., dispatch_dir=\.\.\.\)",
    ):
        litert.Model(path, accelerator="npu")
    for accelerator in ("cpu", ("npu", "cpu")):
        with pytest.raises(litert.UnsupportedModelError, match=rf"{stamp}.* cannot run on the CPU"):
            litert.Model(path, accelerator=accelerator)  # type: ignore[arg-type]
    with pytest.raises(litert.AcceleratorError, match="dispatch library is in no package"):
        litert.Model(path, accelerator="npu", npu=litert.NpuOptions(vendor=vendor))
    npu = litert.NpuOptions(vendor=vendor, dispatch_dir=tmp_path)
    with pytest.raises(litert.AcceleratorError, match=r"holds no libLiteRtDispatch\*\.so"):
        litert.Model(path, accelerator="npu", npu=npu)


@pytest.mark.parametrize("vendor", ["qualcomm", "mediatek", "google_tensor", "samsung"])
def test_plain_model_for_another_vendor_has_to_be_compiled(
    data: Path, tmp_path: Path, vendor: str
) -> None:
    (tmp_path / "libLiteRtDispatch_Some.so").touch()
    npu = litert.NpuOptions(vendor=vendor, dispatch_dir=tmp_path)
    with pytest.raises(
        litert.AcceleratorError,
        match=rf"are compiled ahead of time: litert-native compile MODEL --target {vendor}:CHIP",
    ):
        litert.Model(data / "mlp.tflite", accelerator="npu", npu=npu)


# What is missing


def test_without_a_device_it_is_not_available(
    openvino_cpu: litert.NpuOptions, no_device: None, data: Path
) -> None:
    message = (
        r"^accelerator 'npu' is not available: no NPU device: the kernel drives no Intel NPU .*; "
        r'NpuOptions\(device="cpu"\) runs models on OpenVINO\'s CPU device, for tests$'
    )
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(data / "mlp.tflite", accelerator="npu")


def test_without_a_device_an_order_goes_on_to_the_cpu(no_device: None, data: Path) -> None:
    with litert.Model(data / "mlp.tflite", accelerator=("npu", "cpu")) as model:
        placement = model.placement
    assert placement.accelerator == "cpu"
    assert placement.is_fully_accelerated
    assert placement.reasons[0].startswith("accelerator 'npu' is not available: ")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Have the LiteRT library and the plugin's files in packages of this test's, no OpenVINO."""
    info = litert.library_info()
    package = tmp_path / "site" / "ai_edge_litert"
    vendor = package / "vendors" / "intel_openvino"
    (vendor / "compiler").mkdir(parents=True)
    (vendor / "dispatch").mkdir()
    (vendor / "compiler" / COMPILER_PLUGIN).touch()
    (vendor / "dispatch" / DISPATCH_LIBRARY).write_bytes(b"\x7fELF\0libopenvino.so.2631\0")
    moved = dataclasses.replace(info, path=str(package / "libLiteRt.so"))
    monkeypatch.setattr(target, "library_info", lambda: moved)
    monkeypatch.setattr(litert.accelerate.openvino, "_other_folder", lambda packages: "")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    return package.parent


def refused(data: Path, **options: Any) -> str:
    """Return what is said of the NPU alone, which an order that ends on the CPU says as well."""
    npu = litert.NpuOptions(device="cpu", **options)
    with pytest.raises(litert.AcceleratorError, match=r"^accelerator 'npu'") as raised:
        litert.Model(data / "mlp.tflite", accelerator="npu", npu=npu)
    with litert.Model(data / "mlp.tflite", accelerator=("npu", "cpu"), npu=npu) as model:
        assert model.placement.accelerator == "cpu"
        assert model.placement.reasons == (str(raised.value),)
    return str(raised.value)


@pytest.mark.parametrize("missing", [["compiler"], ["dispatch"], ["compiler", "dispatch"]])
def test_without_the_plugins_folders_it_says_to_reinstall(
    site: Path, data: Path, missing: list[str]
) -> None:
    # No compiler folder, or neither: 504, with the CPU beside it Ok, silently on the CPU.
    for name in missing:
        shutil.rmtree(site / "ai_edge_litert" / "vendors" / "intel_openvino" / name)
    said = refused(data)
    assert "has no OpenVINO plugin (vendors/intel_openvino) beside it" in said
    assert "pip install --force-reinstall 'ai-edge-litert" in said


def test_without_openvino_it_says_what_to_install(site: Path, data: Path) -> None:
    # OpenVINO absent: 504, with the CPU beside it Ok, silently on the CPU.
    assert refused(data) == (
        "accelerator 'npu' is not available: OpenVINO 2026.3.1 is not installed: pip install "
        "'litert-native[openvino]'"
    )


def test_with_openvino_of_another_release_it_says_which_one_is_needed(
    site: Path, data: Path
) -> None:
    # The same, though an OpenVINO is there.
    (site / "openvino" / "libs").mkdir(parents=True)
    (site / "openvino" / "libs" / "libopenvino.so.2540").touch()
    (site / "openvino-2025.4.0.dist-info").mkdir()
    assert refused(data) == (
        "accelerator 'npu' is not available: OpenVINO 2025.4.0 is installed, the plugin needs "
        "2026.3.1: pip install 'openvino==2026.3.1'"
    )


@pytest.mark.parametrize("kind", ["plain", "compiled"])
def test_empty_dispatch_folder_is_named(
    openvino_cpu: litert.NpuOptions,
    compiled_models: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    # No dispatch library: 504, with the CPU beside it Ok, and a model whose runs fail.
    path = data / "mlp.tflite" if kind == "plain" else compiled_models("mlp")
    npu = dataclasses.replace(openvino_cpu, dispatch_dir=tmp_path)
    with pytest.raises(
        litert.AcceleratorError,
        match=rf"^accelerator 'npu': '{tmp_path}' holds no libLiteRtDispatch\*\.so, Intel's ",
    ):
        litert.Model(path, accelerator="npu", npu=npu)


def test_dispatch_folder_is_told_whole(
    openvino_cpu: litert.NpuOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a folder in its name, the loader would not look for the library in this one.
    (_, dispatch) = openvino_folders(litert.library_info().path)
    (tmp_path / "here").symlink_to(dispatch)
    monkeypatch.chdir(tmp_path / "here")
    found = target.npu_target(dataclasses.replace(openvino_cpu, dispatch_dir="."), None)
    assert os.path.isabs(found.dispatch_folder)
    assert os.path.samefile(found.dispatch_folder, dispatch)


def test_dispatch_folder_may_have_a_name_that_is_no_text(
    openvino_cpu: litert.NpuOptions, data: Path, tmp_path: Path
) -> None:
    (_, dispatch) = openvino_folders(litert.library_info().path)
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    os.symlink(dispatch, folder)
    npu = dataclasses.replace(openvino_cpu, dispatch_dir=folder)
    with litert.Model(data / "conv.tflite", accelerator="npu", npu=npu) as model:
        assert model.placement.accelerator == "npu"


LOAD = """
    import sys, litert
    _, path, folder, vendor = sys.argv
    device = {"device": "cpu"} if vendor == "intel" else {}
    npu = litert.NpuOptions(vendor=vendor, dispatch_dir=folder, **device)
    try:
        litert.Model(path, accelerator="npu", npu=npu)
    except litert.AcceleratorError as err:
        print(err)
    """


@pytest.mark.parametrize("kind", ["plain", "compiled"])
def test_dispatch_library_that_does_not_load_is_told_by_the_loader(
    openvino_cpu: litert.NpuOptions,
    compiled_models: Callable[[str], Path],
    data: Path,
    tmp_path: Path,
    kind: str,
) -> None:
    # Registered all the same. A compiled model is Ok, "fully accelerated", and fails its first run.
    path = data / "mlp.tflite" if kind == "plain" else compiled_models("mlp")
    (tmp_path / DISPATCH_LIBRARY).write_text("no library")
    done = in_new_process(LOAD, path, tmp_path, "intel")
    assert done.stderr == ""
    assert done.stdout.startswith("accelerator 'npu': Could not load shared library ")
    assert f"Could not load shared library {tmp_path / DISPATCH_LIBRARY}" in done.stdout
    assert "file too short" in done.stdout


def test_dispatch_library_without_its_openvino_is_told_by_the_loader(
    openvino_cpu: litert.NpuOptions, compiled_models: Callable[[str], Path], tmp_path: Path
) -> None:
    _, folder = openvino_folders(litert.library_info().path)
    shutil.copy(folder / DISPATCH_LIBRARY, tmp_path)
    done = in_new_process(LOAD, compiled_models("mlp"), tmp_path, "intel")
    assert done.stderr == ""
    assert "libopenvino.so.2631: cannot open shared object file" in done.stdout


def test_dispatch_library_of_another_vendor_that_does_not_load_is_told_by_the_loader(
    shared_model: Callable[[str], Path], tmp_path: Path
) -> None:
    path = shared_model("upstream/simple_model_qualcomm_sm8650_precompiled.tflite")
    library = tmp_path / "libLiteRtDispatch_Qualcomm.so"
    library.write_text("no library")
    done = in_new_process(LOAD, path, tmp_path, "qualcomm")
    assert done.stderr == ""
    assert f"Could not load shared library {library}" in done.stdout


def test_compiler_plugin_that_does_not_load_is_told(
    openvino_cpu: litert.NpuOptions, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Plugin not loadable: 504, with the CPU beside it Ok, silently on the CPU.
    _, dispatch = openvino_folders(litert.library_info().path)
    (tmp_path / COMPILER_PLUGIN).write_text("no library")
    monkeypatch.setattr(target, "openvino_folders", lambda library: (tmp_path, dispatch))
    assert "file too short" in refused(data)
