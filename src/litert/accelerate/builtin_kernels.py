"""Which operators XNNPACK leaves to the library's builtin kernels, and why as far as is known."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

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
from litert.profiling.profile import Profile
from litert.profiling.session import record_runs
from litert.random_values import random_values

_NUM_RUNS = 3
_NUM_BRANCHING_RUNS = 12  # of a model with branches, to enter each
_MAX_LISTED = 4
_INT16 = "XNNPACK has no int16 kernels"
# Weights of these types go to XNNPACK only where the operator holds them itself.
_SMALL_TYPES = ("int4", "uint4", "int2")
_CONTROL_FLOW = {"CALL", "CALL_ONCE", "IF", "STABLEHLO_CASE", "STABLEHLO_WHILE", "WHILE"}
_FLOATS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True, slots=True)
class BuiltinOperators:
    """The operators of a model that run on builtin kernels. Immutable.

    Attributes:
        num_operators: All operators of the signatures that were run.
        counts: Those on builtin kernels by name, the most frequent first.
        time_share: Their share of a run's time, 0 to 1.
        reason: Why they are not on XNNPACK; empty where that is not known.
        num_custom: How many operators run on custom kernels.
        num_delegate_parts: In how many parts external delegates run what they have taken.
        num_delegated: How many operators those are.
        unreached: Those in branches and loops that no run has entered, by name.
    """

    num_operators: int
    counts: Mapping[str, int]
    time_share: float
    reason: str
    num_custom: int = 0
    num_delegate_parts: int = 0
    num_delegated: int = 0
    unreached: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_xnnpack(self) -> int:
        """How many operators XNNPACK runs: all that nobody else does."""
        elsewhere = sum(self.counts.values()) + sum(self.unreached.values())
        return self.num_operators - elsewhere - self.num_custom - self.num_delegated

    def __str__(self) -> str:
        left = sum(self.counts.values())
        if left == self.num_operators:
            all_of_them = "the only operator" if left == 1 else f"all {left} operators"
            text = f"{all_of_them} on builtin kernels"
            return f"{text}: {self.reason}" if self.reason else text
        share = f"{self.time_share:.0%}" if self.time_share >= 0.01 else "under 1%"
        return (
            f"{left} of {self.num_operators} operators on builtin kernels, "
            f"{share} of the time: {_listed(self.counts)}"
            f"{f' ({self.reason})' if self.reason else ''}"
        )

    def unreached_text(self) -> str:
        """Return which operators no run has come to."""
        return f"no run on random values has come to {_listed(self.unreached)}"


def _listed(counts: Mapping[str, int]) -> str:
    listed = [f"{number} {name}" for name, number in counts.items()]
    if len(listed) > _MAX_LISTED:
        listed = [*listed[:_MAX_LISTED], f"{len(listed) - _MAX_LISTED} other kinds"]
    return ", ".join(listed)


def find_builtin_operators(
    loaded: NativeModel, source: str | bytes, signatures: Collection[str]
) -> BuiltinOperators:
    """Run a twin of a model on random values and see which operators XNNPACK did not take.

    Args:
        loaded: The model.
        source: Its path or bytes.
        signatures: The keys of those to run.

    Raises:
        LiteRTError: It cannot be run.
    """
    with as_buffer(source) as data:
        model = read_model(data)
    subgraphs = _subgraphs(model, signatures)
    known = _labels(subgraphs.values())
    num_runs = _NUM_BRANCHING_RUNS if _CONTROL_FLOW & known.keys() else _NUM_RUNS
    profile = _profile(loaded, signatures, num_runs)
    counts, num_custom, num_parts = _count(profile, known)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    reasons = {
        reason: None
        for subgraph in subgraphs.values()
        for operator in subgraph.operators
        if operator.code.label in ordered
        for reason in _reasons(model, subgraph, operator)
    }
    unreached = _unreached(profile, subgraphs, known)
    num_delegated = 0
    if num_parts:
        # Delegates choose before XNNPACK does. Without it, builtin kernels run what they leave.
        plain = dataclasses.replace(loaded.options, kernels="builtin")
        left, _, _ = _count(_profile(loaded, signatures, num_runs, plain), known)
        num_delegated = known.total() - sum(left.values()) - num_custom - unreached.total()
    return BuiltinOperators(
        num_operators=known.total(),
        counts=ordered,
        time_share=sum(one.share for one in profile.operators if one.name in ordered),
        reason="; ".join(reasons),
        num_custom=num_custom,
        num_delegate_parts=num_parts,
        num_delegated=num_delegated,
        unreached=dict(unreached.most_common()),
    )


def _labels(subgraphs: Iterable[SubgraphEntry]) -> Counter[str]:
    """Count the operators by name."""
    return Counter(operator.code.label for subgraph in subgraphs for operator in subgraph.operators)


def _unreached(
    profile: Profile, subgraphs: Mapping[int, SubgraphEntry], known: Counter[str]
) -> Counter[str]:
    """Count the operators of subgraphs that were not entered.

    Other than by control flow, a subgraph is what a composite stands for, which has no events.
    """
    if not _CONTROL_FLOW & known.keys():
        return Counter()
    reached = {one.subgraph for one in profile.operators}
    return _labels(subgraph for index, subgraph in subgraphs.items() if index not in reached)


def _count(profile: Profile, known: Counter[str]) -> tuple[dict[str, int], int, int]:
    """Count what XNNPACK did not run: builtin kernels by name, custom kernels, delegates' parts."""
    seen = Counter(one.name for one in profile.operators if one.kernels == "builtin")
    # A delegate's parts, and what the library has made of composites, have names of their own.
    counts = {name: min(number, known[name]) for name, number in seen.items() if name in known}
    num_custom = sum(number for name, number in seen.items() if f"custom:{name}" in known)
    return counts, num_custom, seen.total() - sum(counts.values()) - num_custom


def _profile(
    loaded: NativeModel,
    signatures: Collection[str],
    num_runs: int,
    options: CpuOptions | None = None,
) -> Profile:
    """Record some runs of a twin on random values, others each time: they may choose a branch."""
    generator = np.random.default_rng(0)

    def run(twin: NativeModel) -> None:
        for key in signatures:
            shapes = loaded.default_shapes(key)
            inputs = loaded.signatures[key].inputs
            with time_limit(twin):
                for _ in range(num_runs):
                    values = {
                        name: random_values(info, shapes[name], generator)
                        for name, info in inputs.items()
                    }
                    twin.run(key, values)

    return record_runs(loaded, run, options)


def _subgraphs(model: ModelFile, signatures: Collection[str]) -> dict[int, SubgraphEntry]:
    """Return what signatures run, by index: their subgraphs, and the bodies, which none names."""
    others = {entry.subgraph for entry in model.signatures if entry.key not in signatures}
    return {index: one for index, one in enumerate(model.subgraphs) if index not in others}


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
