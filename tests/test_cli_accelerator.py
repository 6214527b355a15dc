"""``--accelerator``, ``--strict`` and the profile of ``run`` and ``benchmark``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import litert
from litert.cli.main import main


def fail(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line that a failing command prints."""
    assert main(list(map(str, arguments))) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("command", ["run", "benchmark"])
def test_placement_is_shown(
    capsys: pytest.CaptureFixture[str], data: Path, software_gpu: Path, command: str
) -> None:
    quick = ["--runs", "3", "--warmup", "1"] if command == "benchmark" else []

    assert (
        main([command, str(data / "conv.tflite"), "--accelerator", "gpu", "--strict", *quick]) == 0
    )

    assert "gpu (WebGPU): 3 operators, 100%" in capsys.readouterr().out


def test_order_that_falls_back_says_why(
    capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")

    assert main(["run", str(data / "conv.tflite"), "--accelerator", "gpu,cpu"]) == 0

    out = capsys.readouterr().out
    assert "placement  cpu (XNNPACK): 3 operators, 100%" in out
    assert "no Vulkan device" in out
    assert max(map(len, out.splitlines())) <= 80


def test_json_has_the_placement(
    capsys: pytest.CaptureFixture[str], data: Path, software_gpu: Path
) -> None:
    assert main(["run", str(data / "mlp.tflite"), "--accelerator", "gpu", "--json"]) == 0

    placement = json.loads(capsys.readouterr().out)["placement"]
    assert placement["accelerator"] == "gpu"
    assert placement["is_fully_accelerated"] is True


def test_nothing_is_said_of_the_default(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    assert main(["run", str(data / "mlp.tflite")]) == 0

    assert "placement" not in capsys.readouterr().out


def test_unknown_name_is_told(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    told = fail(capsys, "run", data / "mlp.tflite", "--accelerator", "coreml")

    assert "Core ML is for macOS and iOS only" in told


def test_missing_accelerator_is_told(
    capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")

    told = fail(capsys, "benchmark", data / "mlp.tflite", "--accelerator", "gpu")

    assert "accelerator 'gpu' is not available: no Vulkan device" in told


def test_profile_on_an_accelerator_is_refused(
    capsys: pytest.CaptureFixture[str], data: Path, software_gpu: Path
) -> None:
    told = fail(capsys, "run", data / "conv.tflite", "--accelerator", "gpu", "--profile")

    assert "open the model with accelerator='cpu'" in told


def test_compared_files_run_on_the_cpu(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    path = data / "mlp.tflite"

    told = fail(capsys, "benchmark", "--compare", path, path, "--accelerator", "auto")

    assert "--accelerator: has no meaning for files that are compared" in told


def test_language_models_run_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    from litert.samples import speller_model_path

    told = fail(capsys, "benchmark", speller_model_path(), "--accelerator", "gpu")

    assert "--accelerator: has no meaning here" in told


@pytest.mark.parametrize("command", ["run", "benchmark"])
def test_trace_is_saved(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "trace.json"

    assert main([command, str(data / "mlp.tflite"), "--trace", str(path)]) == 0

    assert json.loads(path.read_text())["traceEvents"]
    out = capsys.readouterr().out
    assert "\nprofile\n" in out
    assert out.endswith(f"\nsaved to {path}\n")


def test_plot_is_saved(capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "profile.svg"

    assert main(["run", str(data / "mlp.tflite"), "--plot", str(path), "--json"]) == 0

    assert "<svg" in path.read_text()
    assert json.loads(capsys.readouterr().out)["profile"]["num_runs"] > 0


@pytest.mark.parametrize("option", ["--trace", "--plot"])
def test_profile_that_cannot_be_saved_is_told(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, option: str
) -> None:
    if option == "--plot":
        pytest.importorskip("matplotlib")
    path = tmp_path / "none" / "file.svg"

    told = fail(capsys, "run", data / "mlp.tflite", option, path)

    assert f"{option} {path}: cannot be written: No such file or directory" in told


@pytest.mark.parametrize("option", ["--trace", "--plot"])
def test_compared_files_have_no_profile(
    capsys: pytest.CaptureFixture[str], data: Path, tmp_path: Path, option: str
) -> None:
    path = data / "mlp.tflite"

    told = fail(capsys, "benchmark", "--compare", path, path, option, tmp_path / "file")

    assert "--profile: has no meaning with --compare FILE" in told


def test_spaces_in_the_order_are_allowed(
    capsys: pytest.CaptureFixture[str], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")

    assert main(["run", str(data / "conv.tflite"), "--accelerator", "gpu, cpu"]) == 0

    assert "placement  cpu" in capsys.readouterr().out


def test_kernels_are_chosen(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    assert main(["run", str(data / "conv.tflite"), "--kernels", "builtin", "--strict"]) == 0

    assert "placement  cpu (builtin): 3 operators, 100%" in capsys.readouterr().out


def test_precision_of_the_gpu_is_chosen(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, software_gpu: Path
) -> None:
    accelerated = pytest.importorskip("data.model_kinds.accelerated")
    # Garbage in float16, right in float32.
    path = tmp_path / "large.tflite"
    path.write_bytes(accelerated.large_conv().to_bytes())

    told = fail(capsys, "run", path, "--accelerator", "gpu", "--precision", "fp16")

    assert "differs from the CPU's" in told
    assert main(["run", str(path), "--accelerator", "gpu", "--precision", "fp32"]) == 0


def test_device_that_stands_for_the_npu_is_chosen(
    capsys: pytest.CaptureFixture[str], data: Path, openvino_cpu: litert.NpuOptions
) -> None:
    assert (
        main(["run", str(data / "mlp.tflite"), "--accelerator", "npu", "--npu-device", "cpu"]) == 0
    )

    assert "on OpenVINO's CPU device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [("--precision", "fp16", "gpu"), ("--npu-device", "cpu", "npu")],
)
def test_option_of_an_accelerator_that_is_not_asked_for_is_refused(
    capsys: pytest.CaptureFixture[str], data: Path, option: str, value: str, name: str
) -> None:
    told = fail(capsys, "run", data / "mlp.tflite", option, value)

    assert f"{option}: has no meaning without --accelerator {name}" in told


def test_compared_files_run_on_xnnpack(capsys: pytest.CaptureFixture[str], data: Path) -> None:
    path = data / "mlp.tflite"

    told = fail(capsys, "benchmark", "--compare", path, path, "--kernels", "builtin")

    assert "--kernels: has no meaning for files that are compared" in told
