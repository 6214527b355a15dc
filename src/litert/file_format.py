"""Tells what a file is before it is loaded."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from litert.errors import FileFormatError, ModelError, ModelNotFoundError
from litert.model_file import FILE_IDENTIFIER, Buffer

HEAD_BYTES = 4096
# The identifier ends at byte 8; a model needs a root table behind it.
_MIN_MODEL_BYTES = 16
_LITERTLM_MAGIC = b"LITERTLM"
_A_MODEL = "a .tflite model"
_A_LANGUAGE_MODEL = "a .litertlm or .tflite language model"

LanguageFileKind = Literal["litertlm", "tflite"]

_TORCH = "convert it with litert-torch"
_TENSORFLOW = "convert it with tf.lite.TFLiteConverter"
_DOWNLOAD = "the download did not bring the model; fetch the file itself"


@dataclass(frozen=True, slots=True)
class Format:
    """A file format that is not a .tflite model. Immutable.

    Attributes:
        name: With its article, as it stands in a message: ``"an ONNX model"``.
        advice: What to do with such a file.
    """

    name: str
    advice: str


LITERTLM = Format("a .litertlm language model", "load it with litert.LanguageModel")
TASK = Format(
    "a .task bundle (a zip archive)",
    "load the .litertlm release of a language model with litert.LanguageModel; "
    "of another bundle, unzip it and load the .tflite inside",
)
ZIP = Format("a zip archive", "unzip it and load the .tflite inside")
KERAS = Format("a Keras model", f"{_TENSORFLOW}.from_keras_model")
TORCH = Format("a PyTorch file", _TORCH)
SAVED_MODEL = Format("a TensorFlow SavedModel", f"{_TENSORFLOW}.from_saved_model")
GRAPH_DEF = Format("a TensorFlow GraphDef (frozen graph)", _TENSORFLOW)
ONNX = Format("an ONNX model", "convert it with onnx2tf")
CORE_ML = Format("a Core ML model", "convert the model it was made from")
GGUF = Format("a GGUF model", "take the model's .litertlm or .tflite release")
SAFETENSORS = Format("a safetensors file (weights without a model)", _TORCH)

# What a file starts with, at which byte.
_MAGIC: tuple[tuple[int, bytes, Format], ...] = (
    (0, _LITERTLM_MAGIC, LITERTLM),
    (0, b"GGUF", GGUF),
    (0, b"\x89HDF\r\n\x1a\n", KERAS),
    (0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", TORCH),
    (0, b"\x1f\x8b", Format("gzip data", "unpack it with gunzip")),
    (0, b"\xfd7zXZ\x00", Format("xz data", "unpack it with unxz")),
    (0, b"BZh", Format("bzip2 data", "unpack it with bunzip2")),
    (0, b"\x28\xb5\x2f\xfd", Format("zstd data", "unpack it with unzstd")),
    (0, b"\x93NUMPY", Format("a NumPy array", "pass it as an input; the model is another file")),
    (0, b"version https://git-lfs", Format("a Git LFS pointer", "fetch the file: git lfs pull")),
    (4, b"ORTM", Format("an ONNX Runtime model", ONNX.advice)),
    (4, b"ET12", Format("an ExecuTorch model", _TORCH)),
)


def identify(head: bytes, path: str = "") -> Format | None:
    """Name the format of a file that is no .tflite model.

    Args:
        head: Its first bytes, ``HEAD_BYTES`` where it has as many.
        path: Its path or name; the extension decides between formats that start alike.

    Returns:
        The format, None where it is not known or a .tflite model.

    Example:
        >>> identify(b"GGUF\\x03\\x00\\x00\\x00").name
        'a GGUF model'
    """
    if head[4:8] == FILE_IDENTIFIER:
        return None
    for offset, magic, file_format in _MAGIC:
        if head.startswith(magic, offset):
            return file_format
    suffix = os.path.splitext(path)[1].lower()
    for guess in (_zip, _safetensors, _pickle, _protobuf, _text):
        found = guess(head, suffix)
        if found is not None:
            return found
    return None


def check_source(source: str | os.PathLike[str] | Buffer) -> None:
    """Raise unless the source can be a .tflite model, from its first bytes alone.

    Args:
        source: A path, or the model itself.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is a directory, empty, too short or of another format; the message
            names the format where it is known.
        ModelError: The file cannot be read.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        check_head(_read_head(path, _A_MODEL), str(path))
        return
    with memoryview(source) as view, view.cast("B") as flat:
        head = bytes(flat[:HEAD_BYTES])
    check_head(head)


def check_head(head: bytes, path: str = "") -> None:
    """Raise unless a file that starts so can be a .tflite model.

    Args:
        head: Its first bytes, ``HEAD_BYTES`` where it has as many.
        path: Its path, empty for bytes that came from none.

    Raises:
        FileFormatError: It is empty, too short or of another format; the message names the format
            where it is known.
    """
    if not _is_model(head):
        raise FileFormatError(_describe(head, path, _A_MODEL))


def check_language_source(path: str | os.PathLike[str]) -> LanguageFileKind:
    """Raise unless a file can be a language model, from its first bytes alone.

    Args:
        path: The file.

    Returns:
        What it is by its content, whatever its name.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is a directory, empty, too short or of another format; the message
            names the format where it is known.
        ModelError: The file cannot be read.
    """
    head = _read_head(Path(path), _A_LANGUAGE_MODEL)
    if head.startswith(_LITERTLM_MAGIC):
        return "litertlm"
    if _is_model(head):
        return "tflite"
    raise FileFormatError(_describe(head, os.fspath(path), _A_LANGUAGE_MODEL))


def _is_model(head: bytes) -> bool:
    return len(head) >= _MIN_MODEL_BYTES and head[4:8] == FILE_IDENTIFIER


def _describe(head: bytes, path: str, expected: str) -> str:
    """Say why a file that starts so is not what was expected."""
    what = f"model {path!r}: expected" if path else "model bytes: expected"
    if not head:
        return f"{what} {expected}, got an empty file"
    found = identify(head, path)
    if found is not None:
        return f"{what} {expected}, got {found.name}; {found.advice}"
    if len(head) < _MIN_MODEL_BYTES:
        return f"{what} {expected}, got only {len(head)} bytes"
    return (
        f"{what} {expected} with the identifier TFL3 at byte 4, "
        f"got {head[4:8]!r}; the file is damaged or of another format"
    )


def _read_head(path: Path, expected: str) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise FileFormatError(_describe_directory(path, expected))
        # Opening a pipe would wait for its other end.
        if not stat.S_ISREG(mode):
            raise FileFormatError(f"model {str(path)!r}: expected a file, got a device or pipe")
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (FileNotFoundError, NotADirectoryError) as err:
        raise ModelNotFoundError(f"model {str(path)!r}: no such file") from err
    except (OSError, ValueError) as err:
        if isinstance(err, ModelError):
            raise
        # ValueError: a NUL character in the path.
        raise ModelError(f"model {str(path)!r}: cannot be read: {err}") from err


def _describe_directory(path: Path, expected: str) -> str:
    if (path / "saved_model.pb").exists():
        kind: Format | None = SAVED_MODEL
    elif path.suffix == ".mlpackage":
        kind = CORE_ML
    else:
        kind = None
    if kind is None:
        return f"model {str(path)!r}: expected {expected}, got a directory"
    return f"model {str(path)!r}: expected {expected}, got {kind.name}; {kind.advice}"


def _zip(head: bytes, suffix: str) -> Format | None:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return None
    if suffix == ".task" or b"TF_LITE_PREFILL_DECODE" in head:
        return TASK
    if suffix == ".keras" or b"model.weights.h5" in head[:HEAD_BYTES]:
        return KERAS
    first_name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    is_torch = first_name.endswith((b"/data.pkl", b"/.format_version", b"/byteorder"))
    if is_torch or suffix in (".pt", ".pth", ".ptl", ".pt2"):
        return TORCH
    if suffix == ".npz" or first_name.endswith(b".npy"):
        return Format("a NumPy archive", "pass its arrays as inputs; the model is another file")
    return ZIP


def _safetensors(head: bytes, suffix: str) -> Format | None:
    has_header = re.match(rb'.{4}\x00{4}\{\s*"', head, re.DOTALL)
    return SAFETENSORS if has_header or suffix == ".safetensors" else None


def _pickle(head: bytes, suffix: str) -> Format | None:
    if not re.match(rb"\x80[\x02-\x05]", head):
        return None
    if suffix in (".pt", ".pth", ".bin", ".ckpt"):
        return TORCH
    return Format("a Python pickle", "convert the model it holds; .tflite is a FlatBuffer")


def _protobuf(head: bytes, suffix: str) -> Format | None:
    """Tell the protocol buffers apart, which have no magic number: by extension, then by fields."""
    by_suffix = {".onnx": ONNX, ".mlmodel": CORE_ML}
    # ir_version, specificationVersion and saved_model_schema_version all are varint field 1.
    if re.match(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]", head):
        if suffix in by_suffix:
            return by_suffix[suffix]
        # ONNX goes on with the producer's name, the others with a message.
        if re.match(rb"\x08.[\x12\x1a]([\x01-\x7f])[ -~]{2}", head, re.DOTALL):
            return ONNX
        if head[2] in b"\x3a\x42":
            return ONNX
        # A SavedModel is of version 1, a Core ML model of the iOS release that it needs.
        return SAVED_MODEL if suffix == ".pb" or head[1] == 1 else CORE_ML
    # GraphDef: node { name: "..." op: "Placeholder" ...
    if re.match(rb"\x0a.{1,3}\x0a.[ -~]+\x12.[A-Z][A-Za-z0-9]+", head, re.DOTALL):
        return GRAPH_DEF
    return by_suffix.get(suffix)


def _text(head: bytes, suffix: str) -> Format | None:
    start = head[:HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")[:64].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return Format("an HTML page", _DOWNLOAD)
    if start.startswith(b"<?xml"):
        return Format("an XML file", _DOWNLOAD)
    if start.startswith((b"{", b"[")):
        return Format("a JSON file", "the model is another file")
    if head and re.fullmatch(rb"[\t\r\n\x20-\x7e]+", head):
        return Format("a text file", _DOWNLOAD)
    return None
