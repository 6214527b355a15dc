"""The arguments that say what a model runs on."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypedDict

from litert.accelerate.names import AcceleratorName
from litert.accelerate.request import AcceleratorChoice
from litert.cli.output import printable

if TYPE_CHECKING:
    from litert.model import Model

_MAX_COLUMNS = 66
_ON_THE_CPU = "cpu"  # the default, of which nothing has to be said


class AcceleratorArguments(TypedDict):
    """Arguments of ``litert.Model``."""

    accelerator: AcceleratorChoice
    strict: bool


def add_accelerator_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what to run on; ``accelerator_arguments`` takes what is parsed."""
    parser.add_argument(
        "--accelerator", metavar="NAME", default=_ON_THE_CPU,
        help="cpu, gpu, npu, several in the order of preference (npu,gpu,cpu), or auto: the "
        "fastest, measured (cpu)",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true", help="refuse an accelerator that leaves work to the CPU"
    )


def is_accelerator_asked_for(args: argparse.Namespace) -> bool:
    """Whether a model is to run on more than the CPU."""
    return bool(args.accelerator != _ON_THE_CPU or args.strict)


def accelerator_arguments(args: argparse.Namespace) -> AcceleratorArguments:
    """Return what the model is opened with; names are checked by the model."""
    names: str = args.accelerator
    if "," not in names:
        return {"accelerator": names, "strict": args.strict}  # type: ignore[typeddict-item]
    order: list[AcceleratorName] = [name.strip() for name in names.split(",")]  # type: ignore[misc]
    return {"accelerator": order, "strict": args.strict}


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
