"""Compiling for NPUs ahead of time: what comes out, what is refused, and what a failure leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import litert
from litert.accelerate.openvino import openvino_problem
from litert.ahead_of_time import compiler_tool
from litert.ahead_of_time.npu_targets import VENDORS, list_targets, parse_target
from litert.cli.main import main
from litert.errors import (
    AcceleratorError,
    FileFormatError,
    ModelNotFoundError,
    OptionError,
    UnsupportedModelError,
)
from litert.inspection import inspect_model
from litert.model_file import read_model
from litert.unrunnable import CompiledFor

SOURCE = Path(litert.__file__).resolve().parents[1]
PTL = CompiledFor("Intel", "PTL")


def _package() -> Path | None:
    folders = compiler_tool.package_folders("ai_edge_litert")
    return next((path for path in folders if (path / "tools/apply_plugin_main").is_file()), None)


needs_tool = pytest.mark.skipif(_package() is None, reason="ai-edge-litert has no compiler here")


def _openvino_problem() -> str:
    package = _package()
    return "no compiler" if package is None else openvino_problem(str(package / "libLiteRt.so"))


needs_openvino = pytest.mark.skipif(
    bool(_openvino_problem()), reason=f"needs OpenVINO: {_openvino_problem()}"
)
needs_no_sdk = pytest.mark.skipif(
    any(map(compiler_tool.has_sdk_package, VENDORS)), reason="an SDK is installed"
)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose packages are found first."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A file to write in a folder that has nothing else."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "compiled.tflite"


@pytest.fixture
def scripted_tool(site: Path) -> Callable[[str], None]:
    """Put a shell script in the tool's place; ``$output`` is what it is to write."""

    def write(script: str) -> None:
        tool = site / "ai_edge_litert" / "tools" / "apply_plugin_main"
        tool.parent.mkdir(parents=True)
        (site / "ai_edge_litert" / "__init__.py").touch()
        tool.write_text(
            '#!/bin/sh\nfor a; do case "$a" in --o=*) output="${a#--o=}";; esac; done\n' + script
        )
        tool.chmod(0o755)

    return write


def make_package(site: Path, name: str, content: str = "", version: str = "") -> Path:
    folder = site / name
    folder.mkdir()
    (folder / "__init__.py").write_text(content)
    if version:
        metadata = site / f"{name}-{version}.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return folder


def copy_compiler(site: Path, vendor: str) -> None:
    """Copy the tool and one plugin away from what is installed beside them."""
    package = _package()
    assert package is not None
    folder = make_package(site, "ai_edge_litert")
    for name in ("tools/apply_plugin_main", f"vendors/{vendor}/compiler"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (package / name).is_dir() else shutil.copy2
        copy(package / name, folder / name)


def refuse(source: Path, output: Path, target: str, **kwargs: str) -> AcceleratorError:
    """Return the error of a compilation that fails, and leaves the folder as it was."""
    before = {path: path.read_bytes() for path in output.parent.iterdir()}
    with pytest.raises(AcceleratorError, match="cannot be compiled for") as caught:
        litert.compile_model(source, target=target, output=output, **kwargs)  # type: ignore[arg-type]
    assert {path: path.read_bytes() for path in output.parent.iterdir()} == before
    return caught.value


# What comes out


@needs_openvino
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_whole_model_becomes_one_compiled_operator(data: Path, output: Path, name: str) -> None:
    report = litert.compile_model(
        data / f"{name}.tflite", target="intel:PTL", output=output, device="cpu"
    )
    assert (report.target, report.output) == ("intel:PTL", str(output))
    assert (report.num_compiled, report.num_operators, report.num_partitions) == (3, 3, 1)
    assert report.cpu_operators == {}
    assert report.compiled_for == inspect_model(output).compiled_for == PTL
    model = read_model(output.read_bytes())
    assert [op.code.custom_code for op in model.subgraphs[0].operators] == ["DISPATCH_OP"]
    assert report.size_bytes == output.stat().st_size
    assert list(output.parent.iterdir()) == [output]
    assert any("Compiling partition 0 for device CPU" in line for line in report.log)


@needs_openvino
def test_signature_stays_as_it_was(data: Path, output: Path) -> None:
    litert.compile_model(data / "mlp.tflite", target="intel:LNL", output=output, device="cpu")
    assert inspect_model(output).signatures == inspect_model(data / "mlp.tflite").signatures


@needs_openvino
def test_operators_left_to_the_cpu_are_told(data: Path, output: Path) -> None:
    report = litert.compile_model(
        data / "kv_step.tflite", target="intel:PTL", output=output, device="cpu"
    )
    assert (report.num_compiled, report.num_operators, report.num_partitions) == (2, 3, 2)
    assert report.cpu_operators == {"DYNAMIC_UPDATE_SLICE": 1}


@needs_openvino
def test_operators_of_all_subgraphs_are_counted(data: Path, output: Path) -> None:
    report = litert.compile_model(
        data / "while_loop.tflite", target="intel:PTL", output=output, device="cpu"
    )
    assert (report.num_compiled, report.num_operators, report.num_partitions) == (3, 4, 2)
    assert report.cpu_operators == {"WHILE": 1}


@needs_openvino
def test_existing_output_is_replaced_behind_a_link(data: Path, output: Path) -> None:
    real = output.with_name("real.tflite")
    real.write_bytes(b"older")
    output.symlink_to(real)
    litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=output, device="cpu")
    assert output.is_symlink()
    assert inspect_model(real).compiled_for == PTL


@needs_openvino
def test_compiled_model_says_what_it_is_compiled_for(
    data: Path, output: Path, backend: str
) -> None:
    litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=output, device="cpu")
    with pytest.raises(UnsupportedModelError, match=r"compiled .* for an Intel NPU \(chip PTL\)"):
        litert.Model(output, backend=backend)  # type: ignore[arg-type]


@needs_openvino
def test_compiled_model_is_not_compiled_again(data: Path, output: Path) -> None:
    litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=output, device="cpu")
    with pytest.raises(UnsupportedModelError, match=r"already compiled for an Intel NPU"):
        litert.compile_model(output, target="intel:PTL", output=output.with_name("again.tflite"))


# What is refused before the compiler starts


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("intel", "the chip is missing; expected vendor:chip"),
        ("nvidia:H100", "vendor 'nvidia' is not known; .* intel, qualcomm, mediatek"),
        ("intel:MTL", "Intel has no chip 'MTL'; expected one of LNL, PTL"),
    ],
)
def test_unknown_target_lists_what_there_is(target: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_target(target)


def test_target_is_found_in_any_case() -> None:
    assert str(parse_target("Google_Tensor:g4")) == "google_tensor:G4"


def test_each_target_is_found_by_its_name() -> None:
    assert [parse_target(str(target)) for target in list_targets()] == list_targets()


@pytest.mark.parametrize(
    ("target", "spelt"),
    [("mediatek:MT6989", "mt6989"), ("google_tensor:G4", "Tensor_G4"), ("intel:PTL", "PTL")],
)
def test_chip_is_spelt_as_the_tool_does(target: str, spelt: str) -> None:
    assert parse_target(target).soc_model == spelt


def test_missing_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no such file"):
        litert.compile_model(tmp_path / "no.tflite", target="intel:PTL", output=tmp_path / "out")


@pytest.mark.parametrize("name", ["invalid_text", "invalid_truncated", "invalid_empty"])
def test_file_that_is_no_model_is_refused(data: Path, output: Path, name: str) -> None:
    with pytest.raises(FileFormatError, match=name):
        litert.compile_model(data / f"{name}.tflite", target="intel:PTL", output=output)


def test_model_itself_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    model = shutil.copy(data / "mlp.tflite", tmp_path)
    link = tmp_path / "link.tflite"
    link.symlink_to(model)
    with pytest.raises(OptionError, match="this is the model itself"):
        litert.compile_model(model, target="intel:PTL", output=link)


@pytest.mark.parametrize(
    ("name", "message"),
    [("no/out.tflite", "there is no folder"), (".", "a folder"), ("/dev/null", "a special file")],
)
def test_output_that_cannot_be_written_is_refused(
    data: Path, tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=tmp_path / name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 3}, r"^target: expected vendor:chip such as 'intel:PTL', got 3$"),
        ({"output": None}, "^output: expected a path, got NoneType$"),
        ({"output": ""}, "^output: expected a path, got ''$"),
        ({"source_path": b"TFL3"}, "^source_path: expected a path, got bytes$"),
    ],
)
def test_arguments_of_wrong_types_are_told(
    data: Path, output: Path, arguments: dict[str, object], message: str
) -> None:
    sound = {"source_path": data / "mlp.tflite", "target": "intel:PTL", "output": output}
    with pytest.raises(OptionError, match=message):
        litert.compile_model(**sound | arguments)


@pytest.mark.parametrize(
    ("target", "device", "message"),
    [
        ("qualcomm:SM8650", "cpu", "for targets of Intel"),
        ("intel:PTL", "gpu", "expected 'npu' or 'cpu'"),
    ],
)
def test_device_has_to_fit_the_target(
    data: Path, output: Path, target: str, device: str, message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        litert.compile_model(
            data / "mlp.tflite",
            target=target,
            output=output,
            device=device,  # type: ignore[arg-type]
        )


# Compilers that are missing


def test_missing_ai_edge_litert_is_told(
    data: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler_tool, "package_folders", lambda module: [])
    monkeypatch.setattr(compiler_tool, "obstacle_to_ai_edge_litert", lambda: "")
    with pytest.raises(AcceleratorError, match="not installed; pip install 'ai-edge-litert"):
        litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=output)


def test_wheel_without_the_tool_is_told(data: Path, output: Path, site: Path) -> None:
    make_package(site, "ai_edge_litert")
    with pytest.raises(AcceleratorError, match=r"has no compiler for NPUs: .* Linux x86_64"):
        litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=output)


@needs_tool
@needs_no_sdk
@pytest.mark.parametrize(
    ("target", "library", "package"),
    [
        ("qualcomm:SM8650", "libQnnHtp.so", "qualcomm"),
        ("mediatek:MT6989", "NeuronAdapter", "mediatek"),
        ("mediatek:MT6993", "NeuronAdapter", "mediatek"),
        ("google_tensor:G4", "liblitert_plugin_compiler.so", "google-tensor"),
    ],
)
def test_missing_sdk_is_named(
    data: Path, output: Path, target: str, library: str, package: str
) -> None:
    output.write_bytes(b"what was there")
    err = refuse(data / "conv.tflite", output, target)
    version = compiler_tool.package_version("ai-edge-litert")
    assert f"({library}) is not installed" in str(err)
    assert f"pip install ai-edge-litert-sdk-{package}=={version}" in str(err)
    assert any(library in line for line in err.library_log)


@needs_tool
@needs_no_sdk
def test_folders_of_mediateks_plugin_are_removed(data: Path, output: Path) -> None:
    err = refuse(data / "conv.tflite", output, "mediatek:MT6989")
    left = re.findall(r"tmp/tempdir_dla\.\w+", "\n".join(err.library_log))
    assert left
    assert [name for name in left if Path("/", name).exists()] == []


@needs_openvino
@needs_no_sdk
def test_missing_compiler_of_intels_npu_is_named(data: Path, output: Path) -> None:
    err = refuse(data / "conv.tflite", output, "intel:PTL")
    assert "libopenvino_intel_npu_compiler_loader.so) is not installed" in str(err)
    assert "pip install ai-edge-litert-sdk-intel==" in str(err)


@needs_openvino
def test_sdk_that_was_installed_without_its_libraries_is_told(
    data: Path, output: Path, site: Path
) -> None:
    make_package(site, "ai_edge_litert_sdk_intel", "def path_to_sdk_libs(): return None\n")
    err = refuse(data / "conv.tflite", output, "intel:PTL")
    assert "missing though ai-edge-litert-sdk-intel is installed" in str(err)
    assert "--force-reinstall --no-cache-dir ai-edge-litert-sdk-intel==" in str(err)


@needs_tool
@pytest.mark.skipif(
    compiler_tool.package_version("ai-edge-litert") != "2.3.0", reason="seen in 2.3.0"
)
def test_broken_plugin_of_samsung_is_told(data: Path, output: Path) -> None:
    err = refuse(data / "conv.tflite", output, "samsung:E9965")
    assert "plugin for Samsung of ai-edge-litert 2.3.0 is broken" in str(err)
    assert "ai-edge-litert-sdk-samsung-nightly" in str(err)


@needs_tool
@needs_openvino
def test_other_version_of_openvino_is_told(data: Path, output: Path, site: Path) -> None:
    copy_compiler(site, "intel_openvino")
    make_package(site, "openvino", version="2025.4.0")
    err = refuse(data / "conv.tflite", output, "intel:PTL", device="cpu")
    assert "needs OpenVINO 20" in str(err)
    assert "and openvino 2025.4.0 is installed; pip install openvino==20" in str(err)


@needs_openvino
def test_openvino_of_another_folder_is_found(data: Path, output: Path, site: Path) -> None:
    copy_compiler(site, "intel_openvino")
    report = litert.compile_model(
        data / "mlp.tflite", target="intel:PTL", output=output, device="cpu"
    )
    assert report.num_compiled == 3


@pytest.mark.parametrize(("chip", "version"), [("MT6989", "v8"), ("MT6993", "v9")])
def test_sdk_is_asked_for_the_libraries_of_the_chip(site: Path, chip: str, version: str) -> None:
    content = f"def path_to_sdk_libs(version='v8'): return {str(site)!r} + '/' + version\n"
    make_package(site, "ai_edge_litert_sdk_mediatek", content)
    (site / version).mkdir()
    folders = compiler_tool.sdk_folders(parse_target(f"mediatek:{chip}"))
    assert folders == [site / version]


# Compilers that fail


@needs_openvino
def test_model_without_a_fitting_operator_is_refused(data: Path, output: Path) -> None:
    err = refuse(data / "custom_op.tflite", output, "intel:PTL", device="cpu")
    assert "Intel's compiler takes none of the model's operators (custom:" in str(err)


@needs_openvino
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("copy_string", "Memory has not been allocated"),
        ("svdf_state", "Variable tensors not yet supported"),
    ],
)
def test_reason_of_the_compiler_is_told(data: Path, output: Path, name: str, reason: str) -> None:
    err = refuse(data / f"{name}.tflite", output, "intel:PTL", device="cpu")
    assert str(err).endswith(f"Intel's compiler failed: {reason}")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -SEGV $$", r"the compiler crashed \(SIGSEGV\)"),
        ("exit 7", "Intel's compiler failed: it ended with 7"),
        ("echo 'ERROR: [a.cc:1] no luck.' >&2; exit 1", "Intel's compiler failed: no luck"),
        ("echo half > $output; exit 1", "it ended with 1"),
        ("echo half > $output", "wrote no compiled model"),
        ("exit 0", "wrote no compiled model"),
    ],
)
def test_failed_compiler_leaves_nothing(
    data: Path, output: Path, scripted_tool: Callable[[str], None], script: str, message: str
) -> None:
    scripted_tool(script)
    output.write_bytes(b"what was there")
    err = refuse(data / "mlp.tflite", output, "intel:PTL")
    with pytest.raises(AcceleratorError, match=message):
        raise err


def test_plain_model_as_result_is_no_success(
    data: Path, output: Path, scripted_tool: Callable[[str], None]
) -> None:
    scripted_tool(f"cp '{data / 'mlp.tflite'}' $output")
    assert "wrote no compiled model" in str(refuse(data / "mlp.tflite", output, "intel:PTL"))


def test_tool_that_does_not_start_is_told(
    data: Path, output: Path, site: Path, scripted_tool: Callable[[str], None]
) -> None:
    scripted_tool("")
    (site / "ai_edge_litert" / "tools" / "apply_plugin_main").chmod(0o644)
    with pytest.raises(AcceleratorError, match=r"cannot be started: .*Permission denied"):
        litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=output)


# The command


@needs_openvino
def test_command_says_what_was_compiled(
    capsys: pytest.CaptureFixture[str], data: Path, output: Path
) -> None:
    arguments = ["--target", "intel:PTL", "-o", str(output), "--device", "cpu"]
    assert main(["compile", str(data / "kv_step.tflite"), *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{output}  5.9 kB\n")
    for expected in (
        "compiled for an Intel NPU (chip PTL)",
        "OpenVINO's CPU device",
        "2 of 3 operators in 2 partitions",
        "left to the CPU: DYNAMIC_UPDATE_SLICE",
    ):
        assert expected in captured.out
    assert captured.err == ""


@needs_openvino
def test_command_gives_json(capsys: pytest.CaptureFixture[str], data: Path, output: Path) -> None:
    arguments = ["--target", "intel:PTL", "-o", str(output), "--device", "cpu", "--json"]
    assert main(["compile", str(data / "mlp.tflite"), *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["compiled_for"] == {"vendor": "Intel", "chip": "PTL"}
    assert (report["num_compiled"], report["num_operators"]) == (3, 3)


@needs_openvino
def test_inspect_shows_what_a_model_is_compiled_for(
    capsys: pytest.CaptureFixture[str], data: Path, output: Path
) -> None:
    litert.compile_model(data / "mlp.tflite", target="intel:PTL", output=output, device="cpu")
    assert main(["inspect", str(output)]) == 0
    assert "\n  compiled for an Intel NPU (chip PTL)\n" in capsys.readouterr().out
    assert main(["inspect", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["compiled_for"]["vendor"] == "Intel"


def test_command_fails_in_one_line(
    capsys: pytest.CaptureFixture[str],
    data: Path,
    output: Path,
    scripted_tool: Callable[[str], None],
) -> None:
    scripted_tool("echo some progress; exit 3")
    arguments = ["compile", str(data / "mlp.tflite"), "--target", "intel:PTL", "-o", str(output)]
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert err.startswith("litert-native: model ")
    assert err.count("\n") == 1
    assert main([*arguments, "--verbose"]) == 1
    assert capsys.readouterr().err == f"some progress\n{err}"


def test_command_lists_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", "--list-targets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["intel:LNL", "intel:PTL", "qualcomm:SA8255"]
    assert len(lines) == len(list_targets())


@pytest.mark.parametrize("order", [("--list-targets", "--json"), ("--json", "--list-targets")])
def test_command_lists_targets_as_json(
    capsys: pytest.CaptureFixture[str], order: tuple[str, str]
) -> None:
    assert main(["compile", *order]) == 0
    assert json.loads(capsys.readouterr().out) == list(map(str, list_targets()))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), "MODEL, --target, -o/--output"),
        (("model.tflite", "--target", "intel:PTL"), "-o/--output"),
        (("model.tflite", "-o", "out.tflite"), "--target"),
    ],
)
def test_command_names_what_is_missing(
    capsys: pytest.CaptureFixture[str], given: tuple[str, ...], missing: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compile", *given])
    assert capsys.readouterr().err.endswith(f"arguments are required: {missing}\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt_leaves_nothing(
    data: Path,
    output: Path,
    site: Path,
    scripted_tool: Callable[[str], None],
    number: signal.Signals,
    status: int,
) -> None:
    started = site / "started"
    scripted_tool(f"echo $$ > {started}.new; mv {started}.new {started}; exec sleep 60")
    arguments = [str(data / "mlp.tflite"), "--target", "intel:PTL", "-o", str(output)]
    with subprocess.Popen(
        [sys.executable, "-m", "litert", "compile", *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(SOURCE)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while not started.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (status, b"", b"")
    assert list(output.parent.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)  # the compiler has ended, too
