"""Finds quantization that the library answers by ending the process.

Some kernels check their rescaling factors with TFLITE_CHECK, which aborts, and take the indices of
blockwise scales as they are. A model with such parameters must not reach the library: neither
XNNPACK nor the plain kernels, neither the C API nor the Interpreter refuses it.
"""

from __future__ import annotations

import math

from litert.model_file import (
    Buffer,
    ModelFile,
    OperatorEntry,
    SubgraphEntry,
    TensorEntry,
    num_values,
    read_quantization,
)

_COMPARISONS = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
_EIGHT_BITS = ("int8", "uint8")
_MAX_FLOAT32 = 3.4028234663852886e38
# QuantizeMultiplier rounds to 31 bits; what it rounds up to 1 fails the check for "below 1".
_BELOW_ONE = 1 - 2**-32


def find_fatal_quantization(data: Buffer, model: ModelFile) -> str | None:
    """Name the first operator or tensor whose quantization would end the process.

    Args:
        data: The bytes that ``model`` was read from.
        model: The model.

    Returns:
        What is wrong, None where nothing is.
    """
    for number, subgraph in enumerate(model.subgraphs):
        for tensor in subgraph.tensors:
            fault = _blockwise_fault(model, subgraph, tensor)
            if fault is not None:
                return f"tensor {tensor.name!r} in subgraph {number}: {fault}"
        for place, operator in enumerate(subgraph.operators):
            if _aborts(data, subgraph, operator):
                return (
                    f"operator {operator.code.name} (number {place} of subgraph {number}): the "
                    "scales of its quantized tensors are missing or out of range"
                )
    return None


def _aborts(data: Buffer, subgraph: SubgraphEntry, operator: OperatorEntry) -> bool:
    """Return whether the kernel's checks of its rescaling factors fail."""
    indices = (*operator.inputs, *operator.outputs)
    # Another number of tensors is refused by the kernels without harm.
    if len(operator.inputs) != 2 or len(operator.outputs) != 1 or min(indices) < 0:
        return False
    first, second, output = (subgraph.tensors[index] for index in indices)
    name, element_type = operator.code.name, first.element_type
    if name in _COMPARISONS:
        # Of int16 tensors only those with quantization, and only by these two.
        is_wide = element_type == "int16" and name in ("EQUAL", "NOT_EQUAL")
        if element_type not in _EIGHT_BITS and not (is_wide and first.quantization):
            return False
        return not all(_is_comparable(_scale(data, tensor)) for tensor in (first, second))
    is_rescaled = {
        "ADD": element_type in _EIGHT_BITS
        or (element_type == "int16" and first.quantization is not None),
        "SUB": element_type in (*_EIGHT_BITS, "int16"),
        "SQUARED_DIFFERENCE": element_type == "int8",
    }
    if not is_rescaled.get(name, False):
        return False
    scales = (_scale(data, first), _scale(data, second), _scale(data, output))
    return not _is_addable(name, element_type, *scales)


def _scale(data: Buffer, tensor: TensorEntry) -> float:
    """Return the scale as kernels see it: 0 unless there is just one for the tensor."""
    entry = tensor.quantization
    if entry is None or entry.num_scales != 1 or entry.num_zero_points != 1:
        return 0.0
    quantization = read_quantization(data, tensor)
    return quantization.scale if quantization and isinstance(quantization.scale, float) else 0.0


def _is_addable(name: str, element_type: str, first: float, second: float, output: float) -> bool:
    """Return whether the three rescaling factors of a sum or difference are in their range."""
    twice_max = _float32(2 * max(first, second))
    if name == "SQUARED_DIFFERENCE":
        factor, divisor = twice_max * twice_max, _float32((1 << 14) * output)
    else:
        shift = 15 if element_type == "int16" else 20
        factor, divisor = twice_max, _float32((1 << shift) * output)
    if not twice_max > 0 or math.isinf(twice_max) or math.isnan(divisor):
        return False
    # Division by zero gives infinity there, which SUB happens to accept on some processors.
    rescaling = factor / divisor if divisor else math.inf
    limit = math.inf if name == "SUB" else _BELOW_ONE
    inputs = (first / twice_max, second / twice_max)
    return all(0 < value < _BELOW_ONE for value in inputs) and (
        0 < rescaling < limit and rescaling != 1
    )


def _is_comparable(scale: float) -> bool:
    """Return whether a comparison can rescale by ``scale``: it cannot by just 1."""
    return 0 < scale < _BELOW_ONE or 1 < scale < math.inf


def _float32(value: float) -> float:
    """Let ``value`` overflow where a float32 does."""
    return math.copysign(math.inf, value) if abs(value) > _MAX_FLOAT32 else value


def _blockwise_fault(model: ModelFile, subgraph: SubgraphEntry, tensor: TensorEntry) -> str | None:
    """Return what is wrong with blockwise scales, which are read without a check."""
    entry = tensor.quantization
    if entry is None or entry.kind != "blockwise":
        return None
    count = len(subgraph.tensors)
    if not 0 <= entry.scales_tensor < count or not -1 <= entry.zero_points_tensor < count:
        return "the tensor of its blockwise scales or zero points does not exist"
    if entry.block_size <= 0:
        return f"expected a positive block size, got {entry.block_size}"
    scales = subgraph.tensors[entry.scales_tensor]
    is_constant = model.buffers[scales.buffer].size > 0 or scales.external_buffer > 0
    num_scales = num_values(scales.shape)
    if not is_constant or num_scales == 0:
        return "its blockwise scales are no constant"
    if num_scales * entry.block_size != num_values(tensor.shape):
        return (
            f"expected {num_values(tensor.shape)} values in {num_scales} blocks, "
            f"got a block size of {entry.block_size}"
        )
    return None
