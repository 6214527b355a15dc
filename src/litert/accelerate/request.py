"""What a model is asked to run on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from litert.accelerate.names import NAMES, AcceleratorName, check_name
from litert.accelerate.options import GpuOptions, NpuOptions
from litert.errors import OptionError

AcceleratorChoice: TypeAlias = "Literal['auto'] | AcceleratorName | Sequence[AcceleratorName]"


@dataclass(frozen=True, slots=True)
class AcceleratorRequest:
    """Where a model may run, in the order of preference. Immutable.

    Attributes:
        order: Accelerators, the preferred one first.
        is_auto: Whether the fastest of them is to be found by trying.
        strict: Whether all operators have to run on the accelerator.
        gpu: Options of the GPU.
        npu: Options of the NPU.
    """

    order: tuple[AcceleratorName, ...]
    is_auto: bool
    strict: bool
    gpu: GpuOptions
    npu: NpuOptions

    @property
    def is_required(self) -> bool:
        """Whether there is nothing to fall back to."""
        return len(self.order) == 1


def make_request(
    accelerator: AcceleratorChoice,
    strict: bool,
    gpu: GpuOptions | None,
    npu: NpuOptions | None,
) -> AcceleratorRequest:
    """Check what ``litert.Model`` was given.

    Raises:
        OptionError: A name is no accelerator's, or options are of one that is not asked for.
    """
    if not isinstance(strict, bool):
        raise OptionError(f"strict: expected True or False, got {strict!r}")
    is_auto = isinstance(accelerator, str) and accelerator == "auto"
    order = NAMES if is_auto else _order(accelerator)
    for name, options, kind in (("gpu", gpu, GpuOptions), ("npu", npu, NpuOptions)):
        if options is None:
            continue
        if not isinstance(options, kind):
            raise OptionError(f"{name}: expected {kind.__name__}(...), got {options!r}")
        if name not in order:
            raise OptionError(
                f"{name}: has no meaning with accelerator={accelerator!r}; give accelerator="
                f"{name!r}"
            )
    return AcceleratorRequest(order, is_auto, strict, gpu or GpuOptions(), npu or NpuOptions())


def _order(accelerator: object) -> tuple[AcceleratorName, ...]:
    if isinstance(accelerator, str):
        if "," in accelerator:
            names = tuple(name.strip() for name in accelerator.split(","))
            raise OptionError(f"accelerator {accelerator!r}: several are a tuple: {names!r}")
        return (check_name(accelerator),)
    if not isinstance(accelerator, Sequence) or not accelerator:
        raise OptionError(
            f"accelerator: expected 'auto', {', '.join(map(repr, NAMES))} or several of these in "
            f"the order of preference, got {accelerator!r}"
        )
    given = tuple(accelerator)
    if "auto" in given:
        raise OptionError(f"accelerator: 'auto' stands alone, got {accelerator!r}")
    order = tuple(check_name(name) for name in given)
    if len(set(order)) != len(order):
        raise OptionError(f"accelerator: expected each name once, got {accelerator!r}")
    return order
