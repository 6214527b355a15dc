"""What ``--input`` says: arrays from files, images or random numbers."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.arrays import list_names, unknown_name
from litert.cli.image import read_image
from litert.errors import OptionError, SignatureError
from litert.random_values import random_values
from litert.tensor_info import Signature, TensorInfo

_RANDOM = re.compile(r"random(?::(\d+(?:x\d+)*))?")


@dataclass(frozen=True, slots=True)
class Input:
    """An array for an input, and where it came from. Immutable."""

    array: npt.NDArray[Any]
    source: str


def read_inputs(values: Sequence[str], signature: Signature, seed: int) -> dict[str, Input]:
    """Return an array for every input; those that no value names are random.

    Args:
        values: ``NAME=VALUE``, or ``VALUE`` for the only input or for an .npz file with all of
            them. A value is the path of a .npy or .npz file or of an image, or ``random``, or
            ``random:2x3`` with a shape.
        signature: What the inputs are for.
        seed: Of the random numbers.

    Raises:
        SignatureError: An unknown name.
        OptionError: A file that cannot be read, a name twice, a value that fits no input.
        MissingExtraError: An image without Pillow.
    """
    generator = np.random.default_rng(seed)
    chosen: dict[str, Input] = {}
    for value in values:
        for name, found in _read(value, signature, generator).items():
            if name in chosen:
                raise OptionError(f"--input: {name!r} is given twice")
            chosen[name] = Input(_restore(found.array, signature.inputs[name]), found.source)
    return {
        name: chosen[name] if name in chosen else _random(info, None, generator)
        for name, info in signature.inputs.items()
    }


def _read(text: str, signature: Signature, generator: np.random.Generator) -> dict[str, Input]:
    known = signature.inputs
    name, value = _split(text, signature)
    if name is None and value.endswith(".npz"):
        arrays = _load_npz(value)
        for found in arrays:
            if found not in known:
                raise unknown_name("input", found, known)
        return {found: Input(array, value) for found, array in arrays.items()}
    if name is None:
        if len(known) != 1:
            raise SignatureError(
                f"--input {value}: say which input it is for, NAME={value}; the model has "
                f"{list_names(known)}"
            )
        name = next(iter(known))
    return {name: _read_value(value, known[name], generator)}


def _split(text: str, signature: Signature) -> tuple[str | None, str]:
    """Take ``NAME=`` off; names and paths may hold ``=`` themselves."""
    names = [name for name in signature.inputs if text.startswith(f"{name}=")]
    if names:
        name = max(names, key=len)
        return name, text[len(name) + 1 :]
    if "=" in text and not os.path.exists(text):
        raise unknown_name("input", text.partition("=")[0], signature.inputs)
    return None, text


def _read_value(value: str, info: TensorInfo, generator: np.random.Generator) -> Input:
    random = _RANDOM.fullmatch(value)
    if random is not None:
        shape = None if random[1] is None else tuple(map(int, random[1].split("x")))
        return _random(info, shape, generator)
    if value.endswith(".npy"):
        return Input(_load_npy(value), value)
    if value.endswith(".npz"):
        arrays = _load_npz(value)
        if info.name in arrays:
            return Input(arrays[info.name], value)
        if len(arrays) == 1:
            return Input(next(iter(arrays.values())), value)
        raise OptionError(f"{value}: no array {info.name!r}; it has {list_names(arrays)}")
    return Input(read_image(value, info), value)


def _load_npy(path: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as err:
        raise OptionError(f"{path}: cannot be read as a NumPy array: {_reason(err)}") from err
    return array


def _load_npz(path: str) -> dict[str, npt.NDArray[Any]]:
    try:
        # Opened here, since NumPy leaves a file open that it cannot read.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as err:
        # AttributeError, TypeError: a single array under the name of an archive.
        raise OptionError(f"{path}: cannot be read as a NumPy archive: {_reason(err)}") from err


def _restore(array: npt.NDArray[Any], info: TensorInfo) -> npt.NDArray[Any]:
    """Return float32 as what it stands for: files cannot hold the types of ml_dtypes."""
    if array.dtype == np.float32 and is_extension_dtype(info.dtype):
        return array.astype(info.dtype)
    return array


def is_extension_dtype(dtype: np.dtype[Any]) -> bool:
    """Return whether a package other than NumPy (ml_dtypes) defines a dtype."""
    registered_by_user = 2
    return dtype.isbuiltin == registered_by_user


def _reason(err: Exception) -> str:
    return str(err.strerror) if isinstance(err, OSError) and err.strerror else str(err)


def _random(
    info: TensorInfo, shape: tuple[int, ...] | None, generator: np.random.Generator
) -> Input:
    """Make random values; without a shape, open dimensions are 1."""
    dimensions = shape or tuple(1 if size < 0 else size for size in info.shape)
    source = "random" if shape is None else f"random:{'x'.join(map(str, shape))}"
    return Input(random_values(info, dimensions, generator), source)
