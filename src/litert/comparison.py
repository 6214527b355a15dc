"""Compares variants of one model: size, latency, memory, agreement, and why one is slow."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from litert.accelerate.builtin_kernels import BuiltinOperators, find_builtin_operators
from litert.agreement import Agreement, Pairing, agreement, fitted, pair, real_values
from litert.arrays import list_names, unknown_name
from litert.cli.inputs import read_inputs
from litert.errors import OptionError
from litert.file_format import check_source
from litert.language.language_file import is_language_model
from litert.latency import Latency, bind_filled, take_turns
from litert.model import Model
from litert.options import Backend
from litert.peak_memory import measure_peak_memory
from litert.tensor_info import Signature

Arrays = dict[str, npt.NDArray[Any]]

# Inputs that the agreement is over.
NUM_INPUTS = 8
# From here on a variant counts as slower than the first one.
_SLOWER = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What was measured of one file. Immutable.

    Attributes:
        path: The file.
        size_bytes: Its size.
        signature: The key of the signature that ran.
        backend: What ran it.
        backend_reason: Why.
        latency: Of runs on inputs that are in place already.
        spread_us: Half the distance between the quartiles of these runs.
        time_ratio: Its median over the first file's.
        peak_memory_bytes: What loading and running it takes at most, None where that cannot be
            measured; see ``measure_peak_memory``.
        agreement: With the first file; None for that one.
        builtin: The operators that XNNPACK did not take; None for the reference backend, which
            does not tell.
        note: What there is to know about its speed, may be empty.
    """

    path: str
    size_bytes: int
    signature: str
    backend: str
    backend_reason: str
    latency: Latency
    spread_us: float
    time_ratio: float
    peak_memory_bytes: int | None
    agreement: Agreement | None
    builtin: BuiltinOperators | None
    note: str


@dataclass(frozen=True, slots=True)
class _Opened:
    path: str
    model: Model
    pairing: Pairing
    runs: list[Arrays]
    """Its inputs, as the model takes them."""

    @property
    def key(self) -> str:
        return self.pairing.signature.key


def compare_variants(
    paths: Sequence[str],
    *,
    signature: str | None = None,
    num_threads: int = 1,
    num_runs: int = 50,
    num_warmup: int = 5,
    seed: int = 0,
    backend: Backend = "auto",
) -> list[Variant]:
    """Measure variants of one model on the same random inputs, taking turns.

    Quantized inputs and outputs stand for real numbers, by the parameters in the file. Peak memory
    is measured afterwards, each model in a process of its own.

    Args:
        paths: Two .tflite files or more; the others are compared with the first.
        signature: The signature's key; the first one where it is left out.
        num_threads: Threads of a run.
        num_runs: Timed runs of each.
        num_warmup: Runs of each before those.
        seed: Of the inputs.
        backend: What runs the models.

    Raises:
        ModelNotFoundError: There is no such file.
        OptionError: There is only one file, a language model among them, or they do not take or
            give the same.
        SignatureError: The first file has no such signature.
        LiteRTError: A model cannot be opened or run.

    Example:
        >>> first, second = compare_variants(["mlp.tflite", "mlp.tflite"])
        >>> second.agreement.difference
        0.0
    """
    _check_paths(paths)
    with ExitStack() as stack:
        models = [
            stack.enter_context(Model(path, num_threads=num_threads, backend=backend))
            for path in paths
        ]
        opened = _prepare(paths, models, signature, seed)
        # Before the timed runs: all have run equally often, which counts where a model has state.
        agreements = _agreements(opened)
        runners = [bind_filled(one.model, one.key, one.runs[0]) for one in opened]
        samples = take_turns([runner.run for runner in runners], num_runs, num_warmup)
        builtin = [_builtin(one) for one in opened]
        first_us = Latency.of(samples[0]).median_us
        return [
            _summarize(one, own_samples, first_us, agreed, left, num_threads)
            for one, own_samples, agreed, left in zip(
                opened, samples, agreements, builtin, strict=True
            )
        ]


def _check_paths(paths: Sequence[str]) -> None:
    if len(paths) < 2:
        raise OptionError(
            f"--compare: expected two files or more, got only {', '.join(map(repr, paths))}; name "
            "another variant, or 'reference' for ai-edge-litert's Interpreter"
        )
    for path in paths:
        if is_language_model(path):
            raise OptionError(
                f"--compare: {path!r} is a language model, which is not compared with other "
                "files; measure it by itself"
            )
        check_source(path)


def _prepare(
    paths: Sequence[str], models: Sequence[Model], key: str | None, seed: int
) -> list[_Opened]:
    first = _signature(models[0].signatures, key)
    real = [
        {
            name: real_values(first.inputs[name], given.array)
            for name, given in read_inputs((), first, seed + index).items()
        }
        for index in range(NUM_INPUTS)
    ]
    opened = []
    for path, model in zip(paths, models, strict=True):
        own = _matching_signature(model.signatures, first.key, key is not None, path)
        pairing = pair(first, own, paths[0], path)
        runs = [
            {
                other: fitted(own.inputs[other], values[name])
                for name, other in pairing.inputs.items()
            }
            for values in real
        ]
        opened.append(_Opened(path, model, pairing, runs))
    return opened


def _signature(signatures: Mapping[str, Signature], key: str | None) -> Signature:
    if key is None:
        return next(iter(signatures.values()))
    if key not in signatures:
        raise unknown_name("signature", key, signatures)
    return signatures[key]


def _matching_signature(
    signatures: Mapping[str, Signature], key: str, is_asked_for: bool, path: str
) -> Signature:
    """Return the signature of that key, else the first one where no other can be meant."""
    if key not in signatures and is_asked_for and len(signatures) > 1:
        raise OptionError(
            f"--compare: {path!r} has no signature {key!r}; it has {list_names(signatures)}"
        )
    return signatures[key] if key in signatures else next(iter(signatures.values()))


def _agreements(opened: Sequence[_Opened]) -> list[Agreement | None]:
    expected, *others = ([_run(one, inputs) for inputs in one.runs] for one in opened)
    return [
        None,
        *(
            agreement(expected, outputs, one.pairing.outputs)
            for one, outputs in zip(opened[1:], others, strict=True)
        ),
    ]


def _run(one: _Opened, inputs: Arrays) -> Arrays:
    return one.model.run(inputs, signature=one.key, quantize=True)


def _builtin(one: _Opened) -> BuiltinOperators | None:
    from litert.backends.native import NativeModel  # imports the extension

    loaded = one.model._backend_model
    if not isinstance(loaded, NativeModel):
        return None
    return find_builtin_operators(loaded, one.path, [one.key])


def _summarize(
    one: _Opened,
    samples: Sequence[int],
    first_us: float,
    agreed: Agreement | None,
    builtin: BuiltinOperators | None,
    num_threads: int,
) -> Variant:
    latency = Latency.of(samples)
    ratio = latency.median_us / first_us if first_us else 1.0
    backend = one.model.backend
    return Variant(
        path=one.path,
        size_bytes=os.path.getsize(one.path),
        signature=one.key,
        backend=backend,
        backend_reason=one.model.backend_reason,
        latency=latency,
        spread_us=_spread_us(samples),
        time_ratio=ratio,
        peak_memory_bytes=measure_peak_memory(
            one.path, signature=one.key, num_threads=num_threads, backend=backend
        ),
        agreement=agreed,
        builtin=builtin,
        note=_note(ratio, builtin, one.model.backend_reason),
    )


def _spread_us(samples: Sequence[int]) -> float:
    if len(samples) < 2:
        return 0.0
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return (high - low) / 2e3


def _note(ratio: float, builtin: BuiltinOperators | None, backend_reason: str) -> str:
    slower = f"{ratio:.3g} times as long as the first" if ratio >= _SLOWER else ""
    if builtin is None:
        reason = f"on the reference backend: {backend_reason}"
    elif builtin.counts:
        reason = str(builtin)
    else:
        reason = "though all operators are on XNNPACK" if slower else ""
    return "; ".join(filter(None, (slower, reason)))
