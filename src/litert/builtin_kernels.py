"""Which operators XNNPACK leaves to the library's builtin kernels, and why as far as is known."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litert.model_file import ModelFile, OperatorEntry, SubgraphEntry, TensorEntry, read_model
from litert.options import CpuOptions
from litert.profiling import profile_operators

if TYPE_CHECKING:
    import numpy.typing as npt

_NUM_PROFILED_RUNS = 3
_MAX_LISTED = 4
_INT16 = "XNNPACK has no int16 kernels"
# Weights of these types go to XNNPACK only where the operator holds them itself.
_SMALL_TYPES = ("int4", "uint4", "int2")
# Their time includes that of the operators in their bodies.
_CONTROL_FLOW = ("WHILE", "IF", "CALL", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE")
_FLOATS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class BuiltinOperators:
    """The operators of a signature that run on builtin kernels. Immutable.

    Attributes:
        num_operators: All operators of the signature.
        counts: Those on builtin kernels by name, the most frequent first.
        time_share: Their share of a run's time, 0 to 1.
        reason: Why they are not on XNNPACK; empty where that is not known.
    """

    num_operators: int
    counts: Mapping[str, int]
    time_share: float
    reason: str

    def __str__(self) -> str:
        left = sum(self.counts.values())
        if left == self.num_operators:
            all_of_them = "the only operator" if left == 1 else f"all {left} operators"
            text = f"{all_of_them} on builtin kernels"
            return f"{text}: {self.reason}" if self.reason else text
        listed = [f"{number} {name}" for name, number in self.counts.items()]
        if len(listed) > _MAX_LISTED:
            listed = [*listed[:_MAX_LISTED], f"{len(listed) - _MAX_LISTED} other kinds"]
        share = f"{self.time_share:.0%}" if self.time_share >= 0.01 else "under 1%"
        return (
            f"{left} of {self.num_operators} operators on builtin kernels, "
            f"{share} of the time: {', '.join(listed)}"
            f"{f' ({self.reason})' if self.reason else ''}"
        )


def find_builtin_operators(
    path: str, inputs: Mapping[str, npt.NDArray[Any]], *, signature: str, num_threads: int
) -> BuiltinOperators:
    """Run a model on the native backend and see which operators XNNPACK did not take.

    Args:
        path: A .tflite file.
        inputs: An array for each input.
        signature: The signature's key.
        num_threads: Threads of a run.

    Raises:
        LiteRTError: The model cannot be compiled or run there.
    """
    with (
        Path(path).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        model = read_model(data)
    subgraphs = list(_subgraphs(model, signature))
    known = Counter(
        operator.code.label for subgraph in subgraphs for operator in subgraph.operators
    )
    called, time_share = _builtin_calls(path, inputs, signature, num_threads, known)
    # A loop's operators are called once a round.
    counts = {name: min(number, known[name]) for name, number in called.items()}
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    reasons = {
        reason: None
        for subgraph in subgraphs
        for operator in subgraph.operators
        if operator.code.label in ordered
        for reason in _reasons(model, subgraph, operator)
    }
    return BuiltinOperators(known.total(), ordered, time_share, "; ".join(reasons))


def _builtin_calls(
    path: str,
    inputs: Mapping[str, npt.NDArray[Any]],
    signature: str,
    num_threads: int,
    known: Mapping[str, int],
) -> tuple[dict[str, int], float]:
    """Return calls of builtin kernels by the operator's name, and their share of the time."""
    profile = profile_operators(
        path,
        inputs,
        signature=signature,
        cpu=CpuOptions(num_threads=num_threads),
        num_runs=_NUM_PROFILED_RUNS,
    )
    # XNNPACK's kernels have names of their own, "Convolution (NHWC, F32) DWConv".
    builtin = [operator for operator in profile.operators if operator.name in known]
    builtin_us = sum(operator.mean_us for operator in builtin if operator.name not in _CONTROL_FLOW)
    share = min(builtin_us / profile.run_us, 1.0) if profile.run_us else 0.0
    return {operator.name: operator.num_calls for operator in builtin}, share


def _subgraphs(model: ModelFile, signature: str) -> Iterator[SubgraphEntry]:
    """Yield what a signature runs: its subgraph and the bodies, which no signature names."""
    main = next((entry.subgraph for entry in model.signatures if entry.key == signature), 0)
    others = {entry.subgraph for entry in model.signatures} - {main}
    for index, subgraph in enumerate(model.subgraphs):
        if index not in others:
            yield subgraph


def _reasons(model: ModelFile, subgraph: SubgraphEntry, operator: OperatorEntry) -> Iterator[str]:
    """Yield why XNNPACK does not take an operator, as its tensors' types tell it."""
    name = operator.code.label
    operands = [subgraph.tensors[index] for index in operator.inputs if index >= 0]
    results = [subgraph.tensors[index] for index in operator.outputs]
    weights = [tensor for tensor in operands if _is_constant(model, tensor)]
    values = [tensor for tensor in operands if not _is_constant(model, tensor)] + results
    if any(tensor.element_type == "int16" for tensor in values):
        yield _INT16
    elif name == "DEQUANTIZE":
        for tensor in weights:
            if tensor.element_type in _SMALL_TYPES:
                yield f"XNNPACK does not take {tensor.element_type} weights out of a DEQUANTIZE"
    elif any(tensor.element_type in _FLOATS for tensor in results):
        for tensor in weights:
            if tensor.element_type not in (*_FLOATS, "int32", "int64", "bool"):
                yield (
                    f"XNNPACK does not take {name} of {results[0].element_type} values with "
                    f"{tensor.element_type} weights"
                )


def _is_constant(model: ModelFile, tensor: TensorEntry) -> bool:
    return tensor.external_buffer != 0 or model.buffers[tensor.buffer].size > 0
