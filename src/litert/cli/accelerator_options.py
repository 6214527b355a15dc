"""The arguments that say what a model runs on."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict, get_args

from litert.accelerate.options import GpuOptions, GpuPrecision, NpuDevice, NpuOptions
from litert.accelerate.request import AcceleratorChoice
from litert.errors import OptionError
from litert.options import CpuOptions, Kernels
from litert.printing import printable

if TYPE_CHECKING:
    from litert.model import Model

_MAX_COLUMNS = 66
_ON_THE_CPU = "cpu"  # the default, of which nothing has to be said


class ModelArguments(TypedDict):
    """Arguments of ``litert.Model``."""

    accelerator: AcceleratorChoice
    strict: bool
    cpu: CpuOptions
    gpu: GpuOptions | None
    npu: NpuOptions | None


def add_accelerator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to run on; ``model_arguments`` takes what is parsed."""
    parser.add_argument(
        "--accelerator", metavar="NAME", default=_ON_THE_CPU,
        help="cpu, gpu, npu, several in the order of preference (npu,gpu,cpu), or auto: the "
        "fastest, measured (cpu)",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true", help="refuse an accelerator that leaves work to the CPU"
    )
    parser.add_argument(
        "--kernels", choices=get_args(Kernels), default="xnnpack",
        help="what computes on the CPU (xnnpack)",
    )  # fmt: skip
    parser.add_argument("--precision", choices=get_args(GpuPrecision), help="of the GPU (fp32)")
    parser.add_argument(
        "--npu-device", choices=get_args(NpuDevice),
        help="which of OpenVINO's devices is the NPU (npu); cpu to try it without one",
    )  # fmt: skip


def is_accelerator_asked_for(args: argparse.Namespace) -> bool:
    """Whether a model is to run on more than the CPU."""
    return bool(args.accelerator != _ON_THE_CPU or args.strict)


def model_arguments(args: argparse.Namespace) -> ModelArguments:
    """Return what the model is opened with; names are checked by the model.

    Raises:
        OptionError: An option is of an accelerator that is not asked for.
    """
    names = [name.strip() for name in args.accelerator.split(",")]
    for option, name, value in (
        ("--precision", "gpu", args.precision),
        ("--npu-device", "npu", args.npu_device),
    ):
        if value is not None and not {name, "auto"} & set(names):
            raise OptionError(f"{option}: has no meaning without --accelerator {name}")
    return {
        # One name is required, a list may fall back.
        "accelerator": names[0] if len(names) == 1 else names,
        "strict": args.strict,
        "cpu": CpuOptions(num_threads=args.threads, kernels=args.kernels),
        "gpu": None if args.precision is None else GpuOptions(precision=args.precision),
        "npu": None if args.npu_device is None else NpuOptions(device=args.npu_device),
    }


def placement_lines(args: argparse.Namespace, model: Model) -> list[tuple[str, str]]:
    """Return rows of a listing: where the operators are, if an accelerator was asked for."""
    if not is_accelerator_asked_for(args) or model.backend != "native":
        return []
    told = (printable(line) for line in model.placement.lines())
    lines = [part for line in told for part in textwrap.wrap(line, _MAX_COLUMNS)]
    return [("placement" if place == 0 else "", line) for place, line in enumerate(lines)]


def placement_json(args: argparse.Namespace, model: Model) -> dict[str, Any]:
    """Return the same for JSON."""
    if not is_accelerator_asked_for(args) or model.backend != "native":
        return {}
    return {"placement": asdict(model.placement)}
