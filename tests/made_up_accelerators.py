"""Accelerators that are made up: the CPU computes for them, and the tests say how fast they are and
what they do wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from litert.accelerate import load
from litert.accelerate.target import Target
from litert.backends.native import NativeModel

LOGS = {
    "gpu": "I0 0 a.cc:1] Initializing WebGPU-based API from graph.\n",
    "npu": "selected 3 ops, from a total of 3 ops. resulted in 1 partitions.\n"
    "1 compiler plugins were applied successfully: A\n",
}


class OnAccelerator(NativeModel):
    """A model on an accelerator that is made up."""

    __slots__ = ("is_closed", "log", "name")

    def compile_log(self) -> str:
        return self.log

    def close(self) -> None:
        super().close()
        self.is_closed = True


@dataclass
class Machine:
    """A machine with accelerators, all of which are at fault in the ways that a test says."""

    seconds: dict[str, float]
    devices: dict[str, str]
    logs: dict[str, str] = field(default_factory=lambda: dict(LOGS))
    problems: dict[str, Exception] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    timed: list[str] = field(default_factory=list)
    num_compared: int = 0
    driver_versions: tuple[int, ...] = (1,)
    opened: list[OnAccelerator] = field(default_factory=list)

    def target(self, name: Any, options: tuple[tuple[str, str], ...]) -> Target:
        if name not in self.devices:
            raise litert.AcceleratorError(f"accelerator {name!r} is not available: none here")
        return Target(
            name, "made up", 7, (self.devices[name],), self.driver_versions, options=options
        )

    def open(
        self, source: Any, cpu: Any, release_gil: Any, target: Target | None = None
    ) -> NativeModel:
        if target is None:
            return NativeModel.open(source, cpu, release_gil)
        if target.name in self.problems:
            raise self.problems[target.name]
        model = OnAccelerator.open(source, cpu, release_gil)
        assert isinstance(model, OnAccelerator)
        model.name, model.log = target.name, self.logs[target.name]
        model.is_closed = False
        self.opened.append(model)
        return model

    def median_run_s(self, model: NativeModel) -> float:
        name = model.name if isinstance(model, OnAccelerator) else "cpu"
        self.timed.append(name)
        took = self.seconds[name]
        if took < 0:
            raise litert.ExecutionError("the run failed: status 3")
        return took

    def difference(self, model: NativeModel, reference: NativeModel) -> str:
        assert isinstance(model, OnAccelerator)
        self.num_compared += 1
        return self.differences.get(model.name, "")


def install_machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Have a GPU and an NPU, both of which are slower than the CPU."""
    made = Machine({"cpu": 1.0, "gpu": 2.0, "npu": 3.0}, {"gpu": "Some GPU", "npu": "Some NPU"})
    monkeypatch.setattr(
        load,
        "gpu_target",
        lambda options, lines: made.target("gpu", (("gpu_options", "\n".join(options.lines())),)),
    )
    monkeypatch.setattr(load, "npu_target", lambda options, stamp: made.target("npu", ()))
    monkeypatch.setattr(load, "median_run_s", made.median_run_s)
    monkeypatch.setattr(load, "difference", made.difference)

    class Opener:
        open = staticmethod(made.open)

    monkeypatch.setattr(load, "NativeModel", Opener)
    return made


def chosen(path: Path | bytes, **options: Any) -> tuple[str, tuple[str, ...]]:
    """Load a model, run it, and say where it runs and why."""
    with litert.Model(path, **options) as model:
        model.run({"x": np.ones((1, 8), np.float32)})
        return model.placement.accelerator, model.placement.reasons
