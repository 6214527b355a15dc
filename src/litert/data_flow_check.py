"""Finds graphs whose operators do not fit together, which the library runs all the same.

It checks neither that a tensor is computed before it is read, nor that RESHAPE keeps the type: it
reads memory that nobody wrote, or past a tensor's end.
"""

from __future__ import annotations

import sys

from litert.model_file import ModelFile, SubgraphEntry

# Operators whose kernels take a left-out operand (index -1), and which of theirs; the others read
# through a null pointer.
_FROM_THE_SECOND = range(1, sys.maxsize)
_OPTIONAL_OPERANDS = {
    "CONV_2D": range(2, 3),
    "DEPTHWISE_CONV_2D": range(2, 3),
    "FULLY_CONNECTED": range(2, 3),
    "LSTM": _FROM_THE_SECOND,
    "RNN": _FROM_THE_SECOND,
    "SVDF": range(3, 4),
    "CUSTOM": range(sys.maxsize),
    "UNIDIRECTIONAL_SEQUENCE_RNN": _FROM_THE_SECOND,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _FROM_THE_SECOND,
    "BIDIRECTIONAL_SEQUENCE_RNN": _FROM_THE_SECOND,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _FROM_THE_SECOND,
    "TRANSPOSE_CONV": range(3, 4),
    "CONV_3D": range(2, 3),
    "CONV_3D_TRANSPOSE": range(3, 4),
}

_KEEP_TYPE = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


def find_broken_data_flow(model: ModelFile) -> str | None:
    """Return what is wrong with the first operator or output, None where nothing is."""
    for index, subgraph in enumerate(model.subgraphs):
        fault = _check_subgraph(model, subgraph, index)
        if fault is not None:
            return fault
    return None


def _check_subgraph(model: ModelFile, subgraph: SubgraphEntry, index: int) -> str | None:
    tensors = subgraph.tensors
    known = set(subgraph.inputs)
    for number, tensor in enumerate(tensors):
        has_data = model.buffers[tensor.buffer].size > 0 or tensor.external_buffer > 0
        # A constant without values needs no data.
        if has_data or tensor.is_variable or 0 in tensor.shape:
            known.add(number)
    for number, operator in enumerate(subgraph.operators):
        place = f"operator number {number} of subgraph {index}"
        is_custom = operator.code.custom_code is not None
        optional = _OPTIONAL_OPERANDS.get("CUSTOM" if is_custom else operator.code.name, ())
        for operand, tensor_index in enumerate(operator.inputs):
            if tensor_index < 0 and operand not in optional:
                return f"{place} lacks operand {operand}"
            if tensor_index >= 0 and tensor_index not in known:
                return f"{place} reads tensor {tensor_index}, which nothing has computed before"
        first = (*operator.inputs[:1], *operator.outputs[:1])
        if operator.code.name in _KEEP_TYPE and len(first) == 2 and min(first) >= 0:
            source, target = (tensors[i].element_type for i in first)
            if source != target:
                return f"{place} changes the type of its tensor, which it cannot"
        known.update(operator.outputs)
    for tensor_index in subgraph.outputs:
        if tensor_index not in known:
            return f"nothing computes the output tensor {tensor_index} of subgraph {index}"
    return None
