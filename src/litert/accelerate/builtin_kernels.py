"""Which operators XNNPACK leaves to the library's builtin kernels, and why as far as is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from litert.accelerate.profile import Profile
from litert.accelerate.profile_session import record_runs
from litert.accelerate.trial import time_limit
from litert.backends.native import NativeModel
from litert.model_file import (
    ModelFile,
    OperatorEntry,
    SubgraphEntry,
    TensorEntry,
    as_buffer,
    read_model,
)
from litert.random_values import random_values
from litert.tensor_info import Signature

_NUM_PROFILED_RUNS = 3
_MAX_LISTED = 4
_INT16 = "XNNPACK has no int16 kernels"
# Weights of these types go to XNNPACK only where the operator holds them itself.
_SMALL_TYPES = ("int4", "uint4", "int2")
_FLOATS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class BuiltinOperators:
    """The operators of some signatures that run on builtin kernels. Immutable.

    Attributes:
        num_operators: All operators of the signatures.
        counts: Those on builtin kernels by name, the most frequent first.
        time_share: Their share of a run's time, 0 to 1.
        reason: Why they are not on XNNPACK; empty where that is not known.
        num_custom: How many operators run on custom kernels.
        num_delegate_parts: In how many parts external delegates run what they have taken.
        uses_xnnpack: Whether XNNPACK runs any.
        num_not_run: How many operators are in branches that the trial did not take, so that nobody
            knows what runs them.
    """

    num_operators: int
    counts: Mapping[str, int]
    time_share: float
    reason: str
    num_custom: int = 0
    num_delegate_parts: int = 0
    uses_xnnpack: bool = True
    num_not_run: int = 0

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
    loaded: NativeModel, source: str | bytes, signatures: Sequence[str] | None = None
) -> BuiltinOperators:
    """Run a twin of a model on random values and see which operators XNNPACK did not take.

    Args:
        loaded: The model.
        source: Its path or bytes.
        signatures: The signatures' keys; all where they are left out.

    Raises:
        LiteRTError: It cannot be run.
    """
    with as_buffer(source) as data:
        model = read_model(data)
    chosen = list(loaded.signatures) if signatures is None else signatures
    profile = _profile(loaded, [loaded.signatures[key] for key in chosen])
    numbered = dict(_subgraphs(model, signatures))
    subgraphs = list(numbered.values())
    have_run = {one.subgraph for one in profile.operators}
    known = Counter(
        operator.code.label for subgraph in subgraphs for operator in subgraph.operators
    )
    seen = Counter(one.name for one in profile.operators if one.kernels == "builtin")
    # A delegate's parts, and what the library has made of composites, have names of their own.
    counts = {name: min(number, known[name]) for name, number in seen.items() if name in known}
    num_custom = sum(number for name, number in seen.items() if f"custom:{name}" in known)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    reasons = {
        reason: None
        for subgraph in subgraphs
        for operator in subgraph.operators
        if operator.code.label in ordered
        for reason in _reasons(model, subgraph, operator)
    }
    return BuiltinOperators(
        num_operators=known.total(),
        counts=ordered,
        time_share=sum(one.share for one in profile.operators if one.name in ordered),
        reason="; ".join(reasons),
        num_custom=num_custom,
        num_delegate_parts=seen.total() - sum(counts.values()) - num_custom,
        uses_xnnpack=any(one.kernels == "XNNPACK" for one in profile.operators),
        num_not_run=sum(
            len(subgraph.operators) for index, subgraph in numbered.items() if index not in have_run
        ),
    )


def _profile(loaded: NativeModel, signatures: Sequence[Signature]) -> Profile:
    """Record some runs of a twin on random values."""
    generator = np.random.default_rng(0)
    inputs = {
        signature.key: {
            name: random_values(info, loaded.default_shapes(signature.key)[name], generator)
            for name, info in signature.inputs.items()
        }
        for signature in signatures
    }

    def run(twin: NativeModel) -> None:
        with time_limit(twin):
            for _ in range(_NUM_PROFILED_RUNS):
                for key, arrays in inputs.items():
                    twin.run(key, arrays)

    return record_runs(loaded, run)


def _subgraphs(
    model: ModelFile, signatures: Sequence[str] | None
) -> Iterator[tuple[int, SubgraphEntry]]:
    """Yield what signatures run: their subgraphs and the bodies, which no signature names."""
    others: set[int] = set()
    if signatures is not None:
        chosen = {entry.subgraph for entry in model.signatures if entry.key in signatures} or {0}
        others = {entry.subgraph for entry in model.signatures} - chosen
    for index, subgraph in enumerate(model.subgraphs):
        if index not in others:
            yield index, subgraph


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
