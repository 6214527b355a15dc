"""The arguments that say what a model runs on."""

from __future__ import annotations

import argparse
from typing import TypedDict

from litert.accelerate.names import AcceleratorName
from litert.accelerate.request import AcceleratorChoice


class AcceleratorArguments(TypedDict):
    """Arguments of ``litert.Model``."""

    accelerator: AcceleratorChoice
    strict: bool


def add_accelerator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to run on; ``accelerator_arguments`` takes what is parsed."""
    parser.add_argument(
        "--accelerator", metavar="NAME", default="cpu",
        help="cpu, gpu, npu, several in the order of preference (npu,gpu,cpu), or auto: the "
        "fastest, measured (cpu)",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true", help="refuse an accelerator that leaves work to the CPU"
    )


def accelerator_arguments(args: argparse.Namespace) -> AcceleratorArguments:
    """Return what the model is opened with; names are checked by the model."""
    names: str = args.accelerator
    if "," not in names:
        return {"accelerator": names, "strict": args.strict}  # type: ignore[typeddict-item]
    order: list[AcceleratorName] = names.split(",")  # type: ignore[assignment]
    return {"accelerator": order, "strict": args.strict}
