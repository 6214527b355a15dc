"""Seeded random inputs for any model, as ``Model.run`` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import litert

Arrays = dict[str, npt.NDArray[Any]]


def random_array(
    info: litert.TensorInfo, shape: tuple[int, ...], rng: np.random.Generator
) -> npt.NDArray[Any]:
    """Return values that the type holds; integers stay small, as they may be indices."""
    if info.element_type == "string":
        return np.full(shape, b"abc", dtype=object)
    if info.type.is_packed:
        low, high = info.type.integer_range
        return rng.integers(low, high + 1, shape).astype(info.dtype)
    if info.dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if info.dtype.kind in "iu":
        return rng.integers(0, 4, shape).astype(info.dtype)
    real = rng.standard_normal(shape)
    if info.dtype.kind == "c":
        return (real + 1j * rng.standard_normal(shape)).astype(info.dtype)
    return real.astype(info.dtype)


def stored_shapes(model: litert.Model, key: str) -> dict[str, tuple[int, ...]]:
    """Return the input shapes that the file stores, which a Model does not show."""
    return dict(model._backend_model.default_shapes(key))


def with_open_dimensions_as(
    size: int, signature: litert.Signature, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Return ``shapes`` with each dimension that the model leaves open set to ``size``."""
    return {
        name: tuple(
            size if told == -1 else stored
            for told, stored in zip(info.shape, shapes[name], strict=True)
        )
        for name, info in signature.inputs.items()
    }


def random_inputs(
    signature: litert.Signature,
    shapes: Mapping[str, tuple[int, ...]],
    rng: np.random.Generator,
) -> Arrays:
    """Return an array for each input."""
    return {name: random_array(info, shapes[name], rng) for name, info in signature.inputs.items()}


def shapes_to_try(model: litert.Model, key: str) -> Iterator[dict[str, tuple[int, ...]]]:
    """Yield the stored shapes, then those with 2, 5 and 1 in the open dimensions, if it has any."""
    signature = model.signatures[key]
    shapes = stored_shapes(model, key)
    yield shapes
    if any(info.is_dynamic for info in signature.inputs.values()):
        for size in (2, 5, 1):
            yield with_open_dimensions_as(size, signature, shapes)
