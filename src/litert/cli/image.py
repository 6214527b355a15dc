"""Images as inputs, by Pillow (the extra ``vision``)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from litert.errors import MissingExtraError, OptionError, TensorShapeError, TensorTypeError
from litert.tensor_info import TensorInfo

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_MAX_BYTE = 255.0


class _Place(NamedTuple):
    """Where a tensor has an image's dimensions; ``channels`` is None for a gray image without."""

    height: int
    width: int
    channels: int | None


def read_image(path: str, info: TensorInfo) -> npt.NDArray[Any]:
    """Read an image as a tensor.

    It is turned as its EXIF data say, made gray or RGB as the tensor has 1 or 3 channels (RGBA for
    4), and resized to the tensor's height and width without keeping its proportions; an open
    height or width takes the image's own. Float tensors get 0..1, uint8 tensors the bytes 0..255
    as they are, other quantized tensors 0..1 by ``TensorInfo.quantize``.

    Args:
        path: A file that Pillow can read.
        info: The tensor: [1, height, width, channels], [1, channels, height, width], or the same
            without the first or without the channels.

    Returns:
        An array of the tensor's dtype and shape.

    Raises:
        MissingExtraError: Pillow is not installed.
        OptionError: The file is no image that Pillow can read.
        TensorShapeError: The tensor cannot hold one image.
        TensorTypeError: The tensor's type cannot.
    """
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            f"{path}: images need Pillow: pip install 'litert-native[vision]'"
        ) from err
    place = _find_place(info)
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image = image.convert("L" if place.channels is None else _MODES[_size(info, place)])
    except (OSError, ValueError, Image.DecompressionBombError) as err:
        raise OptionError(f"{path}: cannot be read as an image: {err}") from err
    wanted_width, wanted_height = info.shape[place.width], info.shape[place.height]
    size = (
        image.width if wanted_width < 0 else wanted_width,
        image.height if wanted_height < 0 else wanted_height,
    )
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    if place.channels is not None:
        pixels = pixels.reshape(image.height, image.width, -1)
        if place.channels < place.height:
            pixels = np.moveaxis(pixels, -1, 0)
    return _as_type(info, pixels.reshape(*[1] * (len(info.shape) - pixels.ndim), *pixels.shape))


def _size(info: TensorInfo, place: _Place) -> int:
    return 3 if place.channels is None else info.shape[place.channels]


def _find_place(info: TensorInfo) -> _Place:
    shape = info.shape
    rank = len(shape)
    if rank >= 3 and shape[-1] in _MODES and all(size in (1, -1) for size in shape[:-3]):
        return _Place(rank - 3, rank - 2, rank - 1)
    if rank >= 3 and shape[-3] in _MODES and all(size in (1, -1) for size in shape[:-3]):
        return _Place(rank - 2, rank - 1, rank - 3)
    if rank >= 2 and all(size in (1, -1) for size in shape[:-2]):
        return _Place(rank - 2, rank - 1, None)
    raise TensorShapeError(f"tensor {info.name!r}: expected the shape of one image, got {info}")


def _as_type(info: TensorInfo, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    if info.element_type == "uint8":
        return np.ascontiguousarray(pixels)
    scaled = pixels.astype(np.float32) / np.float32(_MAX_BYTE)
    if info.element_type.startswith(("float", "bfloat")):
        return np.ascontiguousarray(scaled.astype(info.dtype))
    if info.quantization is not None:
        return np.ascontiguousarray(info.quantize(scaled))
    raise TensorTypeError(
        f"tensor {info.name!r}: an image cannot become {info} without quantization; "
        "pass a .npy file"
    )
