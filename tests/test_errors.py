"""Errors: the right class, a message that helps, and objects that stay usable."""

from __future__ import annotations

import inspect
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import litert
from litert import errors
from litert.options import Backend
from litert.samples import speller_model_path

ONES = np.ones((1, 4), np.float32)
ERRORS = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.LiteRTError)
]


# The tree


@pytest.mark.parametrize("cls", ERRORS)
def test_error_survives_pickling(cls: type[errors.LiteRTError]) -> None:
    error = cls("what failed", status=3, library_log=("line 1", "line 2"))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert (str(copy), copy.status, copy.library_log) == ("what failed", 3, ("line 1", "line 2"))


@pytest.mark.parametrize("cls", ERRORS)
def test_error_is_public_and_prints_its_message(cls: type[errors.LiteRTError]) -> None:
    assert getattr(litert, cls.__name__) is cls
    assert cls.__name__ in litert.__all__
    assert str(cls("tensor 'x': what failed")) == "tensor 'x': what failed"
    assert (cls("message").status, cls("message").library_log) == (None, ())


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (litert.LibraryError, OSError),
        (litert.ModelNotFoundError, FileNotFoundError),
        (litert.FileFormatError, ValueError),
        (litert.UnsupportedModelError, NotImplementedError),
        (litert.SignatureError, LookupError),
        (litert.TensorShapeError, ValueError),
        (litert.TensorTypeError, TypeError),
        (litert.TensorLayoutError, ValueError),
        (litert.AcceleratorError, RuntimeError),
        (litert.ExecutionError, RuntimeError),
        (litert.RunTimeoutError, TimeoutError),
        (litert.ClosedError, RuntimeError),
        (litert.OptionError, ValueError),
    ],
)
def test_error_is_the_builtin_that_fits(cls: type[Exception], builtin: type[Exception]) -> None:
    with pytest.raises(builtin, match="message"):
        raise cls("message")


def test_error_of_a_run_has_the_librarys_words_and_survives_pickling(
    data: Path, backend: Backend
) -> None:
    with litert.Model(data / "embedding_argmax.tflite", backend=backend) as model:
        for _ in range(2):
            with pytest.raises(litert.ExecutionError, match=r"GATHER|gather") as caught:
                model.run(np.full((1, 4), 1000, np.int32))
            error = pickle.loads(pickle.dumps(caught.value))
            assert error.library_log == caught.value.library_log
            assert any("gather" in line.lower() for line in error.library_log)
            assert str(error) == str(caught.value)
        assert model.run(np.zeros((1, 4), np.int32))["embeddings"].shape == (1, 4, 8)


def test_error_of_a_native_run_has_a_status(data: Path) -> None:
    with (
        litert.Model(data / "embedding_argmax.tflite", backend="native") as model,
        pytest.raises(litert.ExecutionError, match=r"\w") as caught,
    ):
        model.run(np.full((1, 4), 1000, np.int32))
    runtime_failure = 3
    assert caught.value.status == runtime_failure


# Names


@pytest.mark.parametrize(
    ("inputs", "signature", "match"),
    [
        ({"x": ONES, "Y": ONES}, "add", "unknown input 'Y'; the model has 'x', 'y'"),
        ({"image": ONES}, "scale", "unknown input 'image'; the model has 'x'"),
        ({"x": ONES}, "add", "signature 'add': missing 'y'; it takes 'x', 'y'"),
        ({}, "add", "signature 'add': missing 'x', 'y'; it takes 'x', 'y'"),
        ({"x": ONES, "y": ONES, "z": ONES}, "add", "unknown input 'z'"),
        (ONES, "add", "signature 'add' has 2 inputs; pass a dict with 'x', 'y'"),
        ({"x": ONES}, "scael", "unknown signature 'scael'; .*'add', 'scale'; did you mean 'scale'"),
        ({"x": ONES}, "", "unknown signature ''; the model has 'add', 'scale'"),
        ({1: ONES}, "scale", "unknown input 1; the model has 'x'"),
    ],
)
def test_names_that_do_not_fit_list_the_known_ones(
    data: Path, backend: Backend, inputs: object, signature: str, match: str
) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        with pytest.raises(litert.SignatureError, match=match):
            model.run(inputs, signature=signature)  # type: ignore[arg-type]
        assert model.run({"x": ONES}, signature="scale")["scaled"].tolist() == [[2.5] * 4]


def test_input_misspelt_suggests_the_nearest(data: Path, backend: Backend) -> None:
    with (
        litert.Model(data / "odd_names.tflite", backend=backend) as model,
        pytest.raises(litert.SignatureError, match="did you mean 'my input: 0'"),
    ):
        model.run({"my_input:0": np.zeros(2, np.float32)})


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        (np.ones(4, np.float32), litert.TensorShapeError, "got float32.4.; add a batch axis"),
        (np.ones((1, 5), np.float32), litert.TensorShapeError, r"'x': expected float32\[1, 4\]"),
        (np.ones((1, 4)), litert.TensorTypeError, r"got float64\[1, 4\]; convert with .astype"),
        ("text", litert.TensorTypeError, "tensor 'x': expected float32"),
        (object(), litert.TensorTypeError, "tensor 'x': expected float32"),
    ],
)
def test_array_that_does_not_fit_leaves_the_model_usable(
    data: Path, backend: Backend, x: object, error: type[Exception], match: str
) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        for _ in range(2):
            with pytest.raises(error, match=match):
                model.run({"x": x, "y": ONES})  # type: ignore[dict-item]
            assert model.run({"x": ONES, "y": ONES})["sum"].tolist() == [[2, 2, 2, 2]]


# Options


@pytest.mark.parametrize("num_threads", [0, -1, 1025, 1.5, "2", True])
def test_num_threads_out_of_range_is_an_option_error(data: Path, num_threads: object) -> None:
    with pytest.raises(litert.OptionError, match=r"num_threads: expected .*got"):
        litert.Model(data / "add.tflite", num_threads=num_threads)  # type: ignore[arg-type]


def test_num_threads_given_twice_is_an_option_error(data: Path) -> None:
    with pytest.raises(litert.OptionError, match=r"num_threads: .*not twice"):
        litert.Model(data / "add.tflite", num_threads=2, cpu=litert.CpuOptions())


@pytest.mark.parametrize("cpu", [{"num_threads": 1}, {}, 2, "xnnpack"])
def test_cpu_that_is_no_cpu_options_is_an_option_error(data: Path, cpu: object) -> None:
    with pytest.raises(litert.OptionError, match=r"^cpu: expected CpuOptions\(\.\.\.\), got "):
        litert.Model(data / "add.tflite", cpu=cpu)  # type: ignore[arg-type]
    with pytest.raises(litert.OptionError, match=r"^cpu: expected CpuOptions\(\.\.\.\), got "):
        litert.LanguageModel(speller_model_path(), cpu=cpu)  # type: ignore[arg-type]


def test_unknown_kernels_are_an_option_error() -> None:
    with pytest.raises(litert.OptionError, match="kernels: expected 'xnnpack' or 'builtin'"):
        litert.CpuOptions(kernels="gpu")  # type: ignore[arg-type]


# Files that are no models


def zip_file(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("inside.tflite", b"")


def saved_model(path: Path) -> None:
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"\x08\x01\x12")


def truncated_model(path: Path) -> None:
    content = (Path(__file__).parent / "data" / "mlp.tflite").read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda path: path.write_bytes(b""), "an empty file"),
        (lambda path: path.write_bytes(b"TFL3"), "only 4 bytes|text file"),
        (lambda path: path.write_bytes(bytes(range(256))), "identifier TFL3"),
        (truncated_model, r"damaged|truncated"),
        (Path.mkdir, "got a directory"),
        (saved_model, "TensorFlow SavedModel; convert it"),
        (lambda path: path.write_bytes(b"GGUF\x03" + bytes(60)), "GGUF model; take"),
        (
            lambda path: path.write_bytes(b'\x08\x08\x12\x07pytorch\x1a\x052.1:"\x0a' + bytes(99)),
            "ONNX model; convert it with onnx2tf",
        ),
        (lambda path: path.write_bytes(b"LITERTLM" + bytes(60)), ".litertlm language model; load"),
        (zip_file, "zip archive; unzip it"),
        (lambda path: path.write_text("<!DOCTYPE html>\n<html>"), "HTML page; the download"),
    ],
    ids=[
        "empty",
        "short",
        "garbage",
        "truncated",
        "directory",
        "SavedModel",
        "GGUF",
        "ONNX",
        "litertlm",
        "zip",
        "HTML",
    ],
)
def test_file_that_is_no_model_is_named(
    tmp_path: Path, backend: Backend, make: Callable[[Path], object], match: str
) -> None:
    path = tmp_path / "model.tflite"
    make(path)
    for chosen in (backend, "auto"):
        with pytest.raises(litert.FileFormatError, match=match) as caught:
            litert.Model(path, backend=chosen)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"GGUF" + bytes(60), bytes(range(256))])
def test_bytes_that_are_no_model_are_refused(backend: Backend, content: bytes) -> None:
    with pytest.raises(litert.FileFormatError, match=r"model bytes: expected a .tflite model"):
        litert.Model(content, backend=backend)


@pytest.mark.parametrize("name", ["missing.tflite", "no/such/folder.tflite"])
def test_file_that_is_missing_is_not_found(tmp_path: Path, backend: Backend, name: str) -> None:
    for chosen in (backend, "auto"):
        with pytest.raises(litert.ModelNotFoundError, match=f"{name}': no such file"):
            litert.Model(tmp_path / name, backend=chosen)


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "garbage",
        "text",
        "truncated",
        "no_identifier",
        "bad_operator_input",
        "bad_signature_index",
    ],
)
def test_damaged_model_is_a_format_error(data: Path, backend: Backend, name: str) -> None:
    with pytest.raises(litert.FileFormatError, match=r"\w"):
        litert.Model(data / f"invalid_{name}.tflite", backend=backend)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("bad_schema_version", "schema version"),
        ("incompatible_shapes", "failed to prepare|failed to reshape"),
        ("unknown_op_version", "ADD.*version.*99"),
    ],
)
def test_sound_file_that_cannot_be_prepared_is_a_model_error(
    data: Path, backend: Backend, name: str, match: str
) -> None:
    for chosen in (backend, "auto"):
        with pytest.raises(litert.ModelError, match=match):
            litert.Model(data / f"invalid_{name}.tflite", backend=chosen)


# Models that cannot run here


def test_unresolved_custom_operator_is_named(data: Path, backend: Backend) -> None:
    # The library compiles it for the CPU, and fails the first run.
    for chosen in (backend, "auto"):
        with pytest.raises(litert.UnsupportedModelError, match="LitertTestUnknownOp"):
            litert.Model(data / "custom_op.tflite", backend=chosen)


def test_unresolved_custom_operator_of_bytes_is_named(data: Path, backend: Backend) -> None:
    with pytest.raises(litert.UnsupportedModelError, match="LitertTestUnknownOp"):
        litert.Model((data / "custom_op.tflite").read_bytes(), backend=backend)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("simple_model_qualcomm_sm8650_precompiled", r"Qualcomm NPU \(chip SM8650\)"),
        ("simple_add_op.sm8750", r"Qualcomm NPU \(chip SM8750\)"),
        ("simple_model_npu_mediatek_mt6989_precompiled", r"MediaTek NPU \(chip mt6989\)"),
        ("simple_model_npu_google_tensor_precompiled", r"Google Tensor NPU \(chip rio_a0\)"),
    ],
)
def test_npu_model_names_vendor_and_chip(
    shared_model: Callable[[str], Path], backend: Backend, name: str, match: str
) -> None:
    path = shared_model(f"upstream/{name}.tflite")
    for chosen in (backend, "auto"):
        with pytest.raises(litert.UnsupportedModelError, match=match) as caught:
            litert.Model(path, backend=chosen)
        assert "load the plain .tflite" in str(caught.value)
