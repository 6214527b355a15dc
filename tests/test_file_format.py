"""What a file is, told from its first bytes, and the message that a wrong one gives."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from litert.errors import FileFormatError, ModelError, ModelNotFoundError
from litert.file_format import check_source, identify

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parent.parent.parent / "shared" / "models"


def zip_of(*names: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, b"x" * 64)
    return archive.getvalue()


def field(number: int, content: bytes) -> bytes:
    """Encode a protocol buffer field of bytes."""
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


ONNX = b"\x08\x08" + field(2, b"pytorch") + field(3, b"2.3.0") + field(7, b"\x0a\x05\x0a\x01x")
ONNX_BARE = b"\x08\x0a" + field(7, b"\x0a\x05\x0a\x01x") + field(8, b"\x10\x0d")
SAVED_MODEL = b"\x08\x01" + field(2, field(1, b"\x12\x05serve") + field(2, b"\x0a\x00"))
GRAPH_DEF = field(1, field(1, b"input") + field(2, b"Placeholder"))
CORE_ML = b"\x08\x04" + field(2, field(1, field(1, b"image")))
SAFETENSORS_HEADER = json.dumps({"w": {"dtype": "F32", "shape": [1]}}).encode()
SAFETENSORS = struct.pack("<Q", len(SAFETENSORS_HEADER)) + SAFETENSORS_HEADER + bytes(4)
OLD_TORCH = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
NPY = b"\x93NUMPY\x01\x00" + bytes(64)

FOREIGN = [
    ("x.onnx", ONNX, "an ONNX model", "onnx2tf"),
    ("x", ONNX, "an ONNX model", "onnx2tf"),
    ("x", ONNX_BARE, "an ONNX model", "onnx2tf"),
    ("x.onnx", CORE_ML, "an ONNX model", "onnx2tf"),
    ("x.ort", b"\x00\x00\x00\x00ORTM" + bytes(32), "an ONNX Runtime model", "onnx2tf"),
    ("x.gguf", b"GGUF\x03" + bytes(32), "a GGUF model", "litertlm"),
    ("saved_model.pb", SAVED_MODEL, "a TensorFlow SavedModel", "from_saved_model"),
    ("x", SAVED_MODEL, "a TensorFlow SavedModel", "from_saved_model"),
    ("frozen.pb", GRAPH_DEF, "a TensorFlow GraphDef", "TFLiteConverter"),
    ("x.h5", b"\x89HDF\r\n\x1a\n" + bytes(32), "a Keras model", "from_keras_model"),
    ("x.keras", zip_of("metadata.json"), "a Keras model", "from_keras_model"),
    ("x", zip_of("model.weights.h5", "config.json"), "a Keras model", "from_keras_model"),
    ("x.pt", zip_of("x/data.pkl", "x/version"), "a PyTorch file", "litert-torch"),
    ("x", zip_of("x/data.pkl", "x/version"), "a PyTorch file", "litert-torch"),
    ("x.bin", OLD_TORCH, "a PyTorch file", "litert-torch"),
    ("x.pth", pickle.dumps({"w": 1}), "a PyTorch file", "litert-torch"),
    ("x.pkl", pickle.dumps({"w": 1}), "a Python pickle", "convert"),
    ("x.pte", b"\x00\x00\x00\x00ET12" + bytes(32), "an ExecuTorch model", "litert-torch"),
    ("x.safetensors", SAFETENSORS, "a safetensors file", "litert-torch"),
    ("x", SAFETENSORS, "a safetensors file", "litert-torch"),
    ("x.mlmodel", CORE_ML, "a Core ML model", "convert"),
    ("x", CORE_ML, "a Core ML model", "convert"),
    ("x.litertlm", b"LITERTLM" + bytes(32), "a .litertlm language model", "litert.LanguageModel"),
    ("x.task", zip_of("model.tflite"), "a .task bundle", "unzip it"),
    ("x.tflite", zip_of("TF_LITE_PREFILL_DECODE"), "a .task bundle", "unzip it"),
    ("x.zip", zip_of("model.tflite"), "a zip archive", "unzip it"),
    ("x.npz", zip_of("a.npy"), "a NumPy archive", "inputs"),
    ("x.npy", NPY, "a NumPy array", "input"),
    ("x.tflite.gz", gzip.compress(b"x" * 64), "gzip data", "gunzip"),
    ("x.tflite", b"version https://git-lfs.example/spec/v1\n", "a Git LFS pointer", "lfs pull"),
    ("x.tflite", b"\n<!DOCTYPE html><html>", "an HTML page", "download"),
    ("x.tflite", b'<?xml version="1.0"?><net>', "an XML file", "download"),
    ("x.json", b'{"model": "this is the other one"}', "a JSON file", "another file"),
    ("x.tflite", b"404: Not Found\n", "a text file", "download"),
]


@pytest.mark.parametrize(("name", "content", "what", "advice"), FOREIGN)
def test_foreign_format_is_named_with_advice(
    tmp_path: Path, name: str, content: bytes, what: str, advice: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"expected a .tflite model, got") as caught:
        check_source(path)
    message = str(caught.value)
    assert message.startswith(f"model {str(path)!r}: ")
    assert f"got {what}" in message
    assert advice in message
    assert not message.endswith(".")


def test_npy_from_numpy_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(FileFormatError, match="a NumPy array"):
        check_source(tmp_path / "x.npy")


def test_foreign_bytes_are_named_too() -> None:
    with pytest.raises(FileFormatError, match=r"^model bytes: .*a GGUF model"):
        check_source(b"GGUF\x03" + bytes(32))


def test_every_litertlm_file_is_named() -> None:
    paths = sorted(SHARED.glob("llm/*.litertlm"))
    if not paths:
        pytest.skip("../shared/models is missing")
    for path in paths:
        with pytest.raises(FileFormatError, match=r"load it with litert.LanguageModel$"):
            check_source(path)


def test_missing_path_is_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tflite", str(tmp_path / "none.tflite")):
        with pytest.raises(ModelNotFoundError, match=r"none.tflite': no such file") as caught:
            check_source(path)
        assert isinstance(caught.value, FileNotFoundError)


def test_path_below_a_file_is_not_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ModelNotFoundError, match="no such file"):
        check_source(tmp_path / "file" / "model.tflite")


def test_path_with_nul_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        check_source("a\0b")


def test_unreadable_file_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "secret.tflite"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ModelError, match="cannot be read"):
        check_source(path)


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"got a directory$"):
        check_source(tmp_path)


def test_saved_model_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(SAVED_MODEL)
    with pytest.raises(FileFormatError, match=r"got a TensorFlow SavedModel; .*from_saved_model"):
        check_source(tmp_path)


def test_core_ml_package_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.mlpackage"
    path.mkdir()
    with pytest.raises(FileFormatError, match="got a Core ML model"):
        check_source(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a Unix thing")
def test_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFormatError, match="device or pipe"):
        check_source(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "got an empty file"),
        (b"\x1c\x00\x00", "got only 3 bytes"),
        (b"\x1c\x00\x00\x00TFL3", "got only 8 bytes"),
        (bytes(64), "identifier TFL3 at byte 4, got b'.x00"),
        (b"\x1c\x00\x00\x00TFL2" + bytes(64), "got b'TFL2'"),
    ],
)
def test_damaged_content_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=match):
        check_source(path)
    with pytest.raises(FileFormatError, match=match):
        check_source(content)


def test_every_model_passes() -> None:
    paths = [*DATA.glob("*.tflite"), *SHARED.glob("*/*.tflite")]
    refused = {"invalid_empty", "invalid_garbage", "invalid_no_identifier", "invalid_text"}
    for path in paths:
        if path.stem not in refused:
            check_source(path)
            check_source(path.read_bytes())
            assert identify(path.read_bytes()[:4096], path.name) is None


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200), st.sampled_from(["", "x.onnx", "x.pb", "x.pt", "x.tflite"]))
def test_identify_takes_any_bytes(head: bytes, path: str) -> None:
    found = identify(head, path)
    assert found is None or found.name


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(FOREIGN), st.integers(0, 64))
def test_identify_takes_any_truncation(foreign: tuple[str, bytes, str, str], size: int) -> None:
    name, content, _, _ = foreign
    with pytest.raises(FileFormatError, match=r"expected a .tflite model"):
        check_source(content[:size])
    identify(content[:size], name)
