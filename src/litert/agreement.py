"""Whether two models compute the same: which tensors belong together, how far results differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.arrays import list_names
from litert.errors import OptionError
from litert.tensor_info import Signature, TensorInfo

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the outputs of two models agree on the same inputs. Immutable.

    Attributes:
        num_inputs: How many inputs both have run on.
        difference: Largest absolute difference over the first model's largest magnitude, of the
            output where that is most; infinite where only one gave NaN or infinity, or texts
            differ.
        cosine: Cosine similarity over all inputs, of the output where that is least; NaN where
            nothing can be compared.
        num_same_top: For how many inputs the largest entry of the scores is the same; None for a
            model without an output ``[1, n]``.
    """

    num_inputs: int
    difference: float
    cosine: float
    num_same_top: int | None


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which tensors of a second model belong to those of the first one. Immutable.

    Attributes:
        signature: Of the second model.
        inputs: Its names by the first model's.
        outputs: The same.
    """

    signature: Signature
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def pair(first: Signature, second: Signature, first_path: str, second_path: str) -> Pairing:
    """Find the tensors that belong together: by name, else by position.

    Args:
        first: The signature that is compared with.
        second: The one that is compared.
        first_path: Its file, for the message.
        second_path: Likewise.

    Raises:
        OptionError: They take or give something else; the message says what.
    """
    found = []
    for what, ours, theirs in (
        ("input", first.inputs, second.inputs),
        ("output", first.outputs, second.outputs),
    ):
        if len(ours) != len(theirs):
            raise OptionError(
                f"--compare: {second_path!r} has {len(theirs)} {what}s ({list_names(theirs)}), "
                f"but {first_path!r} has {len(ours)} ({list_names(ours)}); compare variants of "
                "one model"
            )
        names = dict(zip(ours, ours if set(ours) == set(theirs) else theirs, strict=True))
        for name, other in names.items():
            if not _fit(ours[name], theirs[other]):
                raise OptionError(
                    f"--compare: {what} {other!r} of {second_path!r} is {_shown(theirs[other])}, "
                    f"but {name!r} of {first_path!r} is {_shown(ours[name])}; compare variants "
                    "of one model"
                )
        found.append(names)
    return Pairing(second, *found)


def real_values(info: TensorInfo, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what an array of a tensor stands for: real numbers for a quantized one."""
    return info.dequantize(array) if _is_quantized(info) else array


def fitted(info: TensorInfo, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return real values as an array of a tensor, quantized where it is."""
    if _is_quantized(info) and values.dtype.kind == "f":
        return info.quantize(values)
    return values.astype(info.dtype)


def agreement(
    first: Sequence[Arrays], second: Sequence[Arrays], outputs: Mapping[str, str]
) -> Agreement:
    """Compare real outputs.

    Args:
        first: Outputs of the model that is compared with, one dict for each input.
        second: Those of the other model, as many.
        outputs: The second model's names by the first one's.

    Raises:
        OptionError: An output has another shape than the one that it is compared with.
    """
    differences, cosines = [0.0], []
    scores = None
    for name, other in outputs.items():
        if any(run[name].dtype.kind in "OSU" for run in first):
            are_same = all(
                np.array_equal(one[name], two[other])
                for one, two in zip(first, second, strict=True)
            )
            differences.append(0.0 if are_same else math.inf)
            continue
        ours = [_numbers(run[name]) for run in first]
        theirs = [_numbers(run[other]) for run in second]
        for one, two in zip(ours, theirs, strict=True):
            if one.shape != two.shape:
                raise OptionError(
                    f"--compare: output {other!r} came out as {list(two.shape)}, but {name!r} of "
                    f"the first file as {list(one.shape)}"
                )
        one = np.concatenate([array.ravel() for array in ours])
        two = np.concatenate([array.ravel() for array in theirs])
        differences.append(_difference(one, two))
        cosines.append(_cosine(one, two))
        if scores is None and ours[0].ndim == 2 and ours[0].shape[0] == 1 < ours[0].shape[1]:
            scores = sum(_have_same_top(*pair) for pair in zip(ours, theirs, strict=True))
    known = [cosine for cosine in cosines if not math.isnan(cosine)]
    return Agreement(len(first), max(differences), min(known, default=math.nan), scores)


def _is_quantized(info: TensorInfo) -> bool:
    return info.quantization is not None and info.dtype.kind in "iu"


def _kind(info: TensorInfo) -> str:
    """Return what values a tensor holds; variants may differ in how they are stored."""
    if info.dtype.kind == "f" or _is_quantized(info) or info.element_type == "bfloat16":
        return "real"
    return "index" if info.element_type in ("int32", "int64") else info.element_type


def _fit(one: TensorInfo, two: TensorInfo) -> bool:
    # Open dimensions are run at 1.
    shapes = (tuple(abs(size) for size in info.shape) for info in (one, two))
    return _kind(one) == _kind(two) and len(set(shapes)) == 1


def _shown(info: TensorInfo) -> str:
    return f"{info}{' (quantized)' if _is_quantized(info) else ''}"


def _numbers(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def _difference(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> float:
    is_finite = np.isfinite(one) & np.isfinite(two)
    if not np.array_equal(one[~is_finite], two[~is_finite], equal_nan=True):
        return math.inf
    if not is_finite.any():
        return 0.0
    largest = float(np.abs(one[is_finite] - two[is_finite]).max())
    if largest == 0:
        return 0.0
    # A model that gives nothing but zeros has no magnitude to compare with.
    magnitude = float(np.abs(one[is_finite]).max()) or float(np.abs(two[is_finite]).max())
    return largest / magnitude


def _cosine(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> float:
    is_finite = np.isfinite(one) & np.isfinite(two)
    one, two = one[is_finite], two[is_finite]
    norms = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(np.vdot(one, two).real) / norms if norms else math.nan


def _have_same_top(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> bool:
    """Tell whether one entry is largest in both; quantized scores may have several such."""
    return bool(((one == one.max()) & (two == two.max())).any())
