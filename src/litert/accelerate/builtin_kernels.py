"""Which operators XNNPACK leaves to the library's builtin kernels, and why as far as is known."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
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
from litert.options import CpuOptions
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
    """The operators of a signature that run on builtin kernels. Immutable.

    Attributes:
        num_operators: All operators of the signature.
        counts: Those on builtin kernels by name, the most frequent first.
        time_share: Their share of a run's time, 0 to 1.
        reason: Why they are not on XNNPACK; empty where that is not known.
        num_custom: How many operators run on custom kernels.
        num_delegate_parts: In how many parts external delegates run what they have taken.
        num_delegated: How many operators those are.
    """

    num_operators: int
    counts: Mapping[str, int]
    time_share: float
    reason: str
    num_custom: int = 0
    num_delegate_parts: int = 0
    num_delegated: int = 0

    @property
    def num_xnnpack(self) -> int:
        """How many operators XNNPACK runs: all that nobody else does."""
        others = sum(self.counts.values()) + self.num_custom + self.num_delegated
        return self.num_operators - others

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
    loaded: NativeModel, source: str | bytes, signature: str | None = None
) -> BuiltinOperators:
    """Run a twin of a model on random values and see which operators XNNPACK did not take.

    Args:
        loaded: The model.
        source: Its path or bytes.
        signature: The signature's key; the first one where it is left out.

    Raises:
        LiteRTError: It cannot be run.
    """
    with as_buffer(source) as data:
        model = read_model(data)
    chosen = loaded.signatures[signature or next(iter(loaded.signatures))]
    subgraphs = list(_subgraphs(model, chosen.key))
    known = Counter(
        operator.code.label for subgraph in subgraphs for operator in subgraph.operators
    )
    profile = _profile(loaded, chosen)
    counts, num_custom, num_parts = _count(profile, known)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    reasons = {
        reason: None
        for subgraph in subgraphs
        for operator in subgraph.operators
        if operator.code.label in ordered
        for reason in _reasons(model, subgraph, operator)
    }
    num_delegated = 0
    if num_parts:
        # Delegates choose before XNNPACK does. Without it, builtin kernels run what they leave.
        plain = _profile(loaded, chosen, dataclasses.replace(loaded.options, kernels="builtin"))
        left, _, _ = _count(plain, known)
        num_delegated = known.total() - sum(left.values()) - num_custom
    return BuiltinOperators(
        num_operators=known.total(),
        counts=ordered,
        time_share=sum(one.share for one in profile.operators if one.name in ordered),
        reason="; ".join(reasons),
        num_custom=num_custom,
        num_delegate_parts=num_parts,
        num_delegated=num_delegated,
    )


def _count(profile: Profile, known: Counter[str]) -> tuple[dict[str, int], int, int]:
    """Count what XNNPACK did not run: builtin kernels by name, custom kernels, delegates' parts."""
    seen = Counter(one.name for one in profile.operators if one.kernels == "builtin")
    # A delegate's parts, and what the library has made of composites, have names of their own.
    counts = {name: min(number, known[name]) for name, number in seen.items() if name in known}
    num_custom = sum(number for name, number in seen.items() if f"custom:{name}" in known)
    return counts, num_custom, seen.total() - sum(counts.values()) - num_custom


def _profile(
    loaded: NativeModel, signature: Signature, options: CpuOptions | None = None
) -> Profile:
    """Record some runs of a twin on random values."""
    generator = np.random.default_rng(0)
    shapes = loaded.default_shapes(signature.key)
    inputs = {
        name: random_values(info, shapes[name], generator)
        for name, info in signature.inputs.items()
    }

    def run(twin: NativeModel) -> None:
        with time_limit(twin):
            for _ in range(_NUM_PROFILED_RUNS):
                twin.run(signature.key, inputs)

    return record_runs(loaded, run, options)


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
