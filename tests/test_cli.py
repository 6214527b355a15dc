"""The command line: what ``run`` reads, prints and saves, and how failures end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from litert.cli.main import COMMANDS, main
from litert.cli.run import _save
from litert.samples import digits_model_path, load_digits

SOURCE = Path(litert.__file__).resolve().parents[1]  # of the package that is tested


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    assert main(["run", *map(str, arguments), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    return result


def fail(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line that a failing command prints."""
    assert main(list(map(str, arguments))) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("litert-native: ")
    assert captured.err.count("\n") == 1
    return captured.err


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the command as a process."""
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(
        [sys.executable, "-m", "litert", *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_run_shows_outputs_latency_and_backend(capsys, backend):
    assert main(["run", str(digits_model_path()), "--backend", backend]) == 0
    out = capsys.readouterr().out
    for expected in ("classify", backend, "first run", "float32[1, 8, 8, 1]", "largest at 4 ("):
        assert expected in out
    assert max(map(len, out.splitlines())) <= 120


def test_run_says_why_it_fell_back(capsys, data):
    assert main(["run", str(data / "svdf_state.tflite")]) == 0
    assert "reference: variable tensor 'state'" in capsys.readouterr().out


def test_run_gives_what_the_model_gives(capsys, tmp_path, data, backend):
    rng = np.random.default_rng(7)
    x, y = rng.random((2, 1, 4), np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "other.npz", y=y, unused=x)
    given = [f"--input=x={tmp_path / 'x.npy'}", f"--input=y={tmp_path / 'other.npz'}"]
    result = run_json(capsys, data / "add.tflite", *given, "--backend", backend, "--threads", 2)
    assert result["backend"] == backend
    assert result["num_threads"] == 2
    (output,) = result["outputs"]
    assert output["first_values"] == (x + y).ravel().tolist()
    assert output["max"] == (x + y).max()
    assert [entry["source"] for entry in result["inputs"]] == [
        str(tmp_path / "x.npy"),
        str(tmp_path / "other.npz"),
    ]


def test_run_takes_all_inputs_of_an_npz(capsys, tmp_path, data):
    np.savez(tmp_path / "all.npz", x=np.full((1, 4), 2, np.float32), y=np.ones((1, 4), np.float32))
    result = run_json(capsys, data / "add.tflite", "--input", tmp_path / "all.npz")
    assert result["outputs"][0]["first_values"] == [3.0] * 4


def test_run_takes_the_only_input_without_a_name(capsys, tmp_path):
    images, labels = load_digits()
    np.save(tmp_path / "a=b.npy", images[3:4])
    result = run_json(capsys, digits_model_path(), "--input", tmp_path / "a=b.npy")
    assert result["outputs"][0]["largest"][0]["index"] == labels[3]


def test_random_inputs_depend_on_the_seed_alone(capsys):
    first, again, other = (
        run_json(capsys, digits_model_path(), "--seed", seed)["outputs"] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    "name",
    ["copy_bool", "copy_int2", "copy_uint4", "copy_uint64", "copy_bfloat16", "copy_complex64",
     "copy_complex128", "copy_string", "copy_float16", "rank0", "rank9", "zero_size", "no_inputs",
     "embedding_argmax", "while_loop", "dynamic_batch", "odd_names", "many_io"],
)  # fmt: skip
def test_run_finds_random_inputs_for_any_model(capsys, data, name):
    pytest.importorskip("ml_dtypes")
    assert run_json(capsys, data / f"{name}.tflite")["outputs"]
    assert main(["run", str(data / f"{name}.tflite")]) == 0
    assert "latency" in capsys.readouterr().out


def test_random_shape_fills_open_dimensions(capsys, data):
    result = run_json(capsys, data / "dynamic_batch.tflite", "--input", "x=random:3x4")
    assert result["inputs"][0]["shape"] == [3, 4]
    assert result["outputs"][0]["shape"] == [3, 3]


def test_json_has_no_nan(capsys, tmp_path, data):
    x = np.array([[np.nan, np.inf, 1], [2, 3, 4]], np.float32)
    np.save(tmp_path / "x.npy", x)
    (output,) = run_json(capsys, data / "copy_float32.tflite", "--input", tmp_path / "x.npy")[
        "outputs"
    ]
    assert output["first_values"] == [None, None, 1.0, 2.0, 3.0, 4.0]
    assert output["min"] is None


def test_quantize_takes_and_shows_floats(capsys, tmp_path, data):
    np.save(tmp_path / "x.npy", np.full((1, 8), 0.5, np.float32))
    given = [f"--input={name}={tmp_path / 'x.npy'}" for name in "xy"]
    (output,) = run_json(capsys, data / "int8_add.tflite", *given, "--quantize")["outputs"]
    assert output["dtype"] == "float32"
    assert output["first_values"][0] == pytest.approx(1.0, abs=0.1)


def test_output_saves_what_came_out(capsys, tmp_path, data):
    path = tmp_path / "out.npz"
    result = run_json(capsys, data / "add.tflite", "--output", path)
    with np.load(path, allow_pickle=False) as saved:
        assert list(saved) == ["sum"]
        assert saved["sum"].ravel().tolist() == result["outputs"][0]["first_values"]
    assert main(["run", str(data / "copy_string.tflite"), "--output", str(path)]) == 0
    assert f"saved to {path}" in capsys.readouterr().out
    with np.load(path, allow_pickle=False) as saved:
        assert saved["y"].dtype.kind == "S"


def test_bfloat16_goes_through_files_as_float32(capsys, tmp_path, data):
    pytest.importorskip("ml_dtypes")
    x = np.array([[1, 2, 3], [4, 5, 0.5]], np.float32)
    np.save(tmp_path / "x.npy", x)
    given = ["--input", tmp_path / "x.npy", "--output", tmp_path / "out.npz"]
    (output,) = run_json(capsys, data / "copy_bfloat16.tflite", *given)["outputs"]
    assert output["dtype"] == "bfloat16"
    with np.load(tmp_path / "out.npz") as saved:
        assert saved["y"].dtype == np.float32
        assert saved["y"].ravel().tolist() == x.ravel().tolist()


def test_output_named_like_a_parameter_is_saved(tmp_path):
    outputs = {"file": np.arange(3), "a/b:0": np.float32(1.5) * np.ones(())}
    _save(str(tmp_path / "out"), outputs)
    with np.load(tmp_path / "out") as saved:
        assert saved["file"].tolist() == [0, 1, 2]
        assert saved["a/b:0"] == 1.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "z=random"], "unknown input 'z'; the model has 'x', 'y'"),
        (["--input", "random"], "say which input it is for"),
        (["--input", "x=random", "--input", "x=random"], "'x' is given twice"),
        (["--input", "x=missing.npy"], "missing.npy: cannot be read as a NumPy array: No such"),
        (["--input", "x=missing.png"], "missing.png: cannot be read as an image"),
        (["--input", "x=random:2x2"], "expected float32[1, 4], got float32[2, 2]"),
        (["--input", "one.npz"], "unknown input 'q'"),
        (["--input", "x=two.npz"], "no array 'x'; it has 'p', 'q'"),
        (["--input", "x=broken.npz"], "cannot be read as a NumPy archive"),
        (["--input", "x=array.npz"], "cannot be read as a NumPy archive"),
        (["--input", "x=object.npy"], "cannot be read as a NumPy array"),
        (["--signature", "sum"], "unknown signature 'sum'; the model has 'add', 'scale'"),
        (["--threads", "0"], "num_threads: expected 1 to 1024, got 0"),
        (["--output", "no/such/folder.npz"], "cannot be written"),
    ],
)
def test_run_refuses_in_one_line(capsys, data, tmp_path, monkeypatch, arguments, message):
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    np.savez("one.npz", q=np.ones(4))
    np.savez("two.npz", p=np.ones(4), q=np.ones(4))
    np.save("object.npy", np.array([{}], dtype=object), allow_pickle=True)
    Path("broken.npz").write_bytes(b"PK\x03\x04 and no more")
    with open("array.npz", "wb") as file:
        np.save(file, np.ones(4))
    if arguments[-1] == "x=missing.png":
        # The tensor is judged first; one that can hold an image is needed to reach the file.
        model, arguments = digits_model_path(), ["--input", "missing.png"]
    else:
        model = data / "add.tflite"
    assert message in fail(capsys, "run", model, *arguments)


def test_run_with_profile_shows_the_operators(capsys, data):
    assert main(["run", str(data / "add.tflite"), "--profile"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = lines[lines.index("profile") + 1 :]
    assert re.match(r"\d+ runs on 1 thread: mean ", shown[0])
    assert [line.split()[:4] for line in shown if "XNNPACK" in line][-1] == [
        "Add", "(ND)", "XNNPACK", "p0.0"
    ]  # fmt: skip
    assert max(map(len, shown)) <= 80


def test_run_with_profile_has_it_in_json(capsys, data):
    profile = run_json(capsys, data / "add.tflite", "--profile")["profile"]
    assert [(row["name"], row["num_calls"]) for row in profile["operators"]] == [("Add (ND)", 1)]


def test_run_with_profile_needs_the_native_backend(capsys, data):
    message = fail(capsys, "run", data / "svdf_state.tflite", "--profile")
    assert "profile: needs the native backend" in message


@pytest.mark.parametrize("command", ["run", "inspect"])
def test_missing_and_wrong_files_are_named(capsys, tmp_path, command):
    assert "no such file" in fail(capsys, command, tmp_path / "nothing.tflite")
    wrong = tmp_path / "wrong.tflite"
    wrong.write_bytes(b"GGUF" + bytes(40))
    assert "got a GGUF model" in fail(capsys, command, wrong)


# Images


def make_image(path: Path, pixels: Any) -> Path:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def read(path: Path, shape: tuple[int, ...], element_type: str, **kwargs: Any) -> Any:
    from litert.cli.image import read_image

    return read_image(str(path), litert.TensorInfo("image", shape, element_type, **kwargs))


def test_image_becomes_floats_from_0_to_1(tmp_path):
    path = make_image(tmp_path / "a.png", [[[255, 0, 51], [0, 102, 0]]])
    pixels = read(path, (1, 1, 2, 3), "float32")
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels, [[[[1, 0, 0.2], [0, 0.4, 0]]]], rtol=1e-6)
    np.testing.assert_array_equal(read(path, (1, 3, 1, 2), "float32"), pixels.transpose(0, 3, 1, 2))
    assert read(path, (1, 1, 2, 3), "float16").dtype == np.float16


def test_image_keeps_its_bytes_for_uint8(tmp_path):
    path = make_image(tmp_path / "a.png", [[[255, 0, 51]]])
    quantization = litert.Quantization(0.5, 3)
    pixels = read(path, (1, 1, 1, 3), "uint8", quantization=quantization)
    assert pixels.tolist() == [[[[255, 0, 51]]]]


def test_image_is_quantized_for_int8(tmp_path):
    path = make_image(tmp_path / "a.png", [[[255, 0, 51]]])
    quantization = litert.Quantization(1 / 255, -128)
    pixels = read(path, (1, 1, 1, 3), "int8", quantization=quantization)
    assert pixels.dtype == np.int8
    assert pixels.tolist() == [[[[127, -128, -77]]]]
    with pytest.raises(litert.TensorTypeError, match="without quantization"):
        read(path, (1, 1, 1, 3), "int8")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 4, 6, 3), (1, 4, 6, 3)),
        ((4, 6, 1), (4, 6, 1)),
        ((4, 6), (4, 6)),
        ((1, 4, 6), (1, 4, 6)),
        ((3, 4, 6), (3, 4, 6)),
        ((-1, 4, 6, 4), (1, 4, 6, 4)),
        ((-1, -1, -1, 3), (1, 5, 10, 3)),
        ((1, 1, -1, -1), (1, 1, 5, 10)),
    ],
)
def test_image_fits_the_tensor(tmp_path, shape, expected):
    path = make_image(tmp_path / "a.png", np.full((5, 10, 3), 128))
    pixels = read(path, shape, "uint8")
    assert pixels.shape == expected
    assert pixels.flags.c_contiguous
    assert pixels[..., 0].flat[0] == 128


@pytest.mark.parametrize("shape", [(), (8,), (2, 4, 6, 3), (1, 5, 6, 5)])
def test_image_is_refused_where_it_has_no_place(tmp_path, shape):
    path = make_image(tmp_path / "a.png", np.zeros((5, 10, 3)))
    with pytest.raises(litert.TensorShapeError, match="expected the shape of one image"):
        read(path, shape, "uint8")


def test_image_is_turned_as_its_camera_says(tmp_path):
    image = pytest.importorskip("PIL.Image")
    turned = image.fromarray(np.array([[0, 255]], np.uint8))
    exif = image.Exif()
    exif[0x0112] = 3  # upside down
    turned.save(tmp_path / "a.png", exif=exif)
    assert read(tmp_path / "a.png", (1, 1, 2, 1), "uint8").ravel().tolist() == [255, 0]


def test_image_without_pillow_names_the_extra(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    message = fail(capsys, "run", digits_model_path(), "--input", "a.png")
    assert "pip install 'litert-native[vision]'" in message


def test_digit_image_runs(capsys, tmp_path):
    images, labels = load_digits()
    path = make_image(tmp_path / "digit.png", np.rint(images[9, :, :, 0] * 255))
    result = run_json(capsys, digits_model_path(), f"--input=image={path}")
    assert result["outputs"][0]["largest"][0]["index"] == labels[9]


# The program


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(capsys, command):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert out.startswith(f"usage: litert-native {command}")
    assert max(map(len, out.splitlines())) <= 100


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n    {name}" not in out] == []


@pytest.mark.parametrize(
    "arguments", [[], ["walk"], ["run"], ["run", "a", "--seed", "x"], ["--no"]]
)
def test_wrong_usage_ends_with_2(capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: litert-native" in capsys.readouterr().err


def test_version_is_printed(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out.startswith("litert-native ")


def test_module_is_the_command(data):
    process = start("run", data / "add.tflite", "--json")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["backend"] == "native"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("command", [["accelerators"], ["compile", "--list-targets"]])
def test_output_that_cannot_be_written_is_told_in_one_line(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "litert", *command],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "litert-native: [Errno 28] No space left on device\n"


def test_closed_pipe_is_quiet():
    with start("inspect", digits_model_path(), "--json") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_output_that_cannot_be_encoded_is_escaped(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with start("cache", "list", "--folder", tmp_path / "\u00e9") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"{tmp_path}/\\xe9  nothing is kept")


def test_interrupt_ends_a_long_run_at_once(data, tmp_path):
    values = {"n": np.array([20_000_000], np.int32), "x": np.zeros((32, 128), np.float32)}
    np.savez(tmp_path / "long.npz", **values)
    with start("run", data / "slow_loop.tflite", "--input", tmp_path / "long.npz") as process:
        maps = Path(f"/proc/{process.pid}/maps")
        while "libLiteRt" not in maps.read_text():
            time.sleep(0.05)
        time.sleep(0.5)  # the load takes a few milliseconds, the run minutes
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT  # a shell says 130
    assert err == ""


@pytest.fixture
def terminal_output(data: Path) -> Callable[[dict[str, str]], str]:
    """Run the command on a terminal and return what it writes there."""
    import pty

    def run_on_terminal(variables: dict[str, str]) -> str:
        controller, terminal = pty.openpty()
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment |= {"PYTHONPATH": str(SOURCE), "TERM": "xterm-256color", **variables}
        process = subprocess.Popen(
            [sys.executable, "-m", "litert", "run", str(data / "add.tflite")],
            env=environment,
            stdout=terminal,
        )
        os.close(terminal)
        written = b""
        try:
            while chunk := os.read(controller, 4096):
                written += chunk
        except OSError:
            pass  # the other end is closed
        os.close(controller)
        assert process.wait(timeout=60) == 0
        return written.decode()

    return run_on_terminal


def test_terminal_gets_colours_unless_they_are_unwanted(terminal_output):
    pytest.importorskip("rich")
    assert "\x1b[" in terminal_output({})
    assert "\x1b[" not in terminal_output({"NO_COLOR": "1"})
