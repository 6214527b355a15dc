"""``litert-native run``: run a model once and show what comes out."""

from __future__ import annotations

import argparse
import json
import statistics
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from litert.arrays import unknown_name
from litert.cli.accelerator_options import (
    add_accelerator_arguments,
    model_arguments,
    placement_json,
    placement_lines,
)
from litert.cli.inputs import Input, is_extension_dtype, read_inputs
from litert.cli.profile_options import (
    add_profile_arguments,
    asks_for_profile,
    profile_lines,
    save_profile,
)
from litert.errors import OptionError
from litert.model import Model
from litert.printing import aligned, printable, show
from litert.tensor_info import Signature, TensorInfo

if TYPE_CHECKING:
    from litert.profiling.profile import Profile

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]
    Arrays = Mapping[str, npt.NDArray[Any]]

_MAX_REPEATS = 20
_REPEAT_BUDGET_S = 0.5
_NUM_FIRST_VALUES = 8
_NUM_TOP = 5

_EPILOG = """\
VALUE of --input is one of
  FILE.npy      an array
  FILE.npz      the array of that name, or the only one; without NAME, arrays by input name
  IMAGE         a file that Pillow reads (pip install 'litert-native[vision]'): resized to the
                tensor's height and width, gray, RGB or RGBA by its channels; 0..1 for float
                tensors, 0..255 for uint8, 0..1 quantized for other quantized tensors
  random        seeded random values; open dimensions are 1
  random:2x3    the same with a shape
In files float32 stands for bfloat16 and float8, which they cannot hold.
Inputs that are not given are random. NAME= may be left out for a model with one input.
"""


@dataclass(frozen=True, slots=True)
class _Latency:
    """Milliseconds of the first ``Model.run``, and the median of those after it."""

    first_ms: float
    median_ms: float
    num_repeats: int


def add_parser(subparsers: Subparsers) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "run",
        help="run a model and show its outputs",
        description="Run a .tflite model on files, an image or random numbers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="path of a .tflite file")
    parser.add_argument(
        "--input", metavar="[NAME=]VALUE", action="append", default=[],
        help="an input, see below; may be repeated",
    )  # fmt: skip
    parser.add_argument("--signature", metavar="KEY", help="signature to run (the first one)")
    parser.add_argument("--output", metavar="FILE", help="save the outputs as an .npz file")
    parser.add_argument("--threads", metavar="N", type=int, default=1, help="threads of a run (1)")
    parser.add_argument(
        "--backend", choices=("auto", "native", "reference"), default="auto",
        help="what runs the model (auto)",
    )  # fmt: skip
    add_accelerator_arguments(parser)
    parser.add_argument("--seed", metavar="N", type=_seed, default=0, help="of random values (0)")
    parser.add_argument(
        "--quantize", action="store_true", help="take and show quantized tensors as floats"
    )
    add_profile_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run ``args.model`` once, print and save what comes out, then time some more runs.

    Raises:
        LiteRTError: The model, an input or an option is at fault; the message says how.
    """
    with Model(args.model, backend=args.backend, **model_arguments(args)) as model:
        signature = _choose_signature(model, args.signature)
        inputs = read_inputs(args.input, signature, args.seed)
        arrays = {name: given.array for name, given in inputs.items()}
        outputs, latency = _run_timed(model, arrays, signature.key, args.quantize)
        profile = None
        if asks_for_profile(args):
            profile = _profile(model, arrays, signature.key, args.quantize)
            save_profile(args, profile)
        if args.output is not None:
            _save(args.output, outputs)
        if args.json:
            described = _describe_json(args, model, signature, inputs, outputs, latency)
            if profile is not None:
                described["profile"] = profile.to_dict()
            print(json.dumps(described, indent=2))
        else:
            lines = _describe(args, model, signature, inputs, outputs, latency)
            show([*lines, *profile_lines(args, profile)])
    return 0


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, got {text!r}")
    return int(text)


def _choose_signature(model: Model, key: str | None) -> Signature:
    if key is None:
        return next(iter(model.signatures.values()))
    if key not in model.signatures:
        raise unknown_name("signature", key, model.signatures)
    return model.signatures[key]


def _run_timed(
    model: Model, arrays: dict[str, npt.NDArray[Any]], signature: str, quantize: bool
) -> tuple[dict[str, npt.NDArray[Any]], _Latency]:
    """Return the outputs of the first run, and how long it and some more took."""
    start = time.perf_counter()
    outputs = model.run(arrays, signature=signature, quantize=quantize)
    first_ms = (time.perf_counter() - start) * 1000
    latencies_ms = _repeated_ms(model, arrays, signature, quantize)
    return outputs, _Latency(first_ms, statistics.median(latencies_ms), len(latencies_ms))


def _repeated_ms(
    model: Model, arrays: dict[str, npt.NDArray[Any]], signature: str, quantize: bool
) -> list[float]:
    """Return the milliseconds of as many more runs as there is time for."""
    latencies_ms: list[float] = []
    deadline = time.perf_counter() + _REPEAT_BUDGET_S
    while not latencies_ms or (len(latencies_ms) < _MAX_REPEATS and time.perf_counter() < deadline):
        start = time.perf_counter()
        model.run(arrays, signature=signature, quantize=quantize)
        latencies_ms.append((time.perf_counter() - start) * 1000)
    return latencies_ms


def _profile(
    model: Model, arrays: dict[str, npt.NDArray[Any]], signature: str, quantize: bool
) -> Profile:
    with model.profile(num_warmup_runs=1) as profile:
        model.run(arrays, signature=signature, quantize=quantize)
        _repeated_ms(model, arrays, signature, quantize)
    return profile


def _save(path: str, outputs: Arrays) -> None:
    """Write an .npz file. Not by ``np.savez``: that cannot take an output named ``file``."""
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, array in outputs.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, _as_storable(array), allow_pickle=False)
    except OSError as err:
        raise OptionError(f"--output {path}: cannot be written: {err.strerror}") from err


def _as_storable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what a file can hold: text as bytes of one length, bfloat16 and float8 as float32."""
    if array.dtype == object:
        return array.astype("S")
    return array.astype(np.float32) if is_extension_dtype(array.dtype) else array


def _describe(
    args: argparse.Namespace,
    model: Model,
    signature: Signature,
    inputs: Mapping[str, Input],
    outputs: Arrays,
    latency: _Latency,
) -> Iterator[str]:
    reason = "" if model.backend == "native" else f": {model.backend_reason}"
    yield from aligned(
        [
            ("model", printable(args.model)),
            ("signature", printable(signature.key) or "''"),
            ("backend", printable(f"{model.backend}{reason}")),
            *placement_lines(args, model),
            ("threads", str(args.threads)),
            (
                "latency",
                f"{latency.first_ms:.3g} ms the first run, then {latency.median_ms:.3g} ms "
                f"(median of {latency.num_repeats})",
            ),
        ]
    )
    rows = [
        ("input", printable(name), _type_of(given.array, signature.inputs[name]),
         printable(given.source))
        for name, given in inputs.items()
    ]  # fmt: skip
    rows += [
        ("output", printable(name), _type_of(array, signature.outputs[name]),
         _spread(array))
        for name, array in outputs.items()
    ]  # fmt: skip
    tables = aligned(rows) if rows else []
    if inputs:
        yield ""
        yield from tables[: len(inputs)]
    for line, array in zip(tables[len(inputs) :], outputs.values(), strict=True):
        yield ""
        yield line
        yield f"  {_first_values(array)}"
        top = _top(array)
        if top:
            pairs = ", ".join(f"{index} ({value:.4g})" for index, value in top)
            yield f"  largest at {pairs}"
    if args.output is not None:
        yield ""
        yield f"saved to {printable(args.output)}"


def _describe_json(
    args: argparse.Namespace,
    model: Model,
    signature: Signature,
    inputs: Mapping[str, Input],
    outputs: Arrays,
    latency: _Latency,
) -> dict[str, Any]:
    return {
        "model": args.model,
        "signature": signature.key,
        "backend": model.backend,
        "backend_reason": model.backend_reason,
        **placement_json(args, model),
        "num_threads": args.threads,
        "latency_ms": {
            "first": latency.first_ms,
            "median": latency.median_ms,
            "num_repeats": latency.num_repeats,
        },
        "inputs": [
            {
                "name": name,
                "dtype": _dtype_of(given.array, signature.inputs[name]),
                "shape": list(given.array.shape),
                "source": given.source,
            }
            for name, given in inputs.items()
        ],
        "outputs": [
            {
                "name": name,
                "dtype": _dtype_of(array, signature.outputs[name]),
                "shape": list(array.shape),
                **_statistics_json(array),
                "first_values": [_to_json(value) for value in array.ravel()[:_NUM_FIRST_VALUES]],
                "largest": [
                    {"index": index, "value": _to_json(value)} for index, value in _top(array)
                ],
            }
            for name, array in outputs.items()
        ],
    }


def _type_of(array: npt.NDArray[Any], info: TensorInfo) -> str:
    return f"{_dtype_of(array, info)}{list(array.shape)}"


def _dtype_of(array: npt.NDArray[Any], info: TensorInfo) -> str:
    """Return the tensor's type, or the array's where ``--quantize`` makes it another."""
    is_real = info.quantization is not None and array.dtype.kind == "f"
    return array.dtype.name if is_real else info.element_type


def _real(array: npt.NDArray[Any]) -> npt.NDArray[np.float64] | None:
    """Return real numbers as float64, None for text, complex numbers and empty arrays."""
    if array.dtype.kind in "OSUc" or array.size == 0:
        return None
    return array.astype(np.float64)


def _spread(array: npt.NDArray[Any]) -> str:
    real = _real(array)
    if real is None:
        return ""
    return f"min {real.min():.5g}  max {real.max():.5g}  mean {real.mean():.5g}"


def _statistics_json(array: npt.NDArray[Any]) -> dict[str, Any]:
    real = _real(array)
    if real is None:
        return {"min": None, "max": None, "mean": None}
    return {
        "min": _to_json(real.min()),
        "max": _to_json(real.max()),
        "mean": _to_json(real.mean()),
    }


def _first_values(array: npt.NDArray[Any]) -> str:
    flat = array.ravel()
    shown = " ".join(_format(value) for value in flat[:_NUM_FIRST_VALUES])
    return f"{shown} ..." if flat.size > _NUM_FIRST_VALUES else shown or "(no values)"


def _format(value: Any) -> str:
    if isinstance(value, (bytes, str)):
        return printable(repr(value))
    if isinstance(value, (np.integer, np.bool_)):
        return str(value)
    if isinstance(value, np.complexfloating):
        return f"{complex(value):.4g}"
    return f"{float(value):.4g}"


def _top(array: npt.NDArray[Any]) -> list[tuple[int, float]]:
    """Return places and values of the largest, where that may be classes: [n] or [1, n]."""
    is_vector = array.ndim in (1, 2) and array.size == array.shape[-1] > _NUM_TOP
    real = _real(array)
    if not is_vector or real is None or not np.isfinite(real).all():
        return []
    flat = real.ravel()
    order = np.argsort(-flat, kind="stable")[:_NUM_TOP]
    return [(int(index), float(flat[index])) for index in order]


def _to_json(value: Any) -> Any:
    """Return what JSON can hold: no NaN and no infinity there, text as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value
    if isinstance(value, np.complexfloating):
        return [_to_json(value.real), _to_json(value.imag)]
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    real = float(value)
    return real if np.isfinite(real) else None
