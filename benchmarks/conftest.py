"""What the benchmarks share: where the models are, and rows of pytest-benchmark from samples.

pytest-benchmark measures one peer after the other, minutes apart; on a machine that others use that
compares the times of day. So each module measures its peers in turns first (``interleave.py``), and
its tests hand the samples over: a row's clock replays what was measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from report import machine_facts

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared" / "models"


@dataclass(frozen=True)
class Bar:
    """What a row must reach against a peer of its group.

    Attributes:
        peer: The peer's name.
        limit: The bar; None for a comparison that is only told.
        kind: ``"ratio"``: our median over the peer's, at most ``limit``; ``"speed"``: the peer's
            over ours, at least ``limit``; ``"difference"``: ours less the peer's, in seconds, at
            most ``limit``.
    """

    peer: str
    limit: float | None
    kind: str = "ratio"


class ReplayClock:
    """A clock that goes on by what was measured, not by itself."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


CLOCK = ReplayClock()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "benchmark" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=CLOCK, disable_gc=False))


@pytest.fixture
def record(benchmark: Any) -> Callable[..., None]:
    """Make the test's row: ``record(group, peer, samples, bars)``."""

    def add(
        group: str, peer: str, samples: list[float], *, bars: tuple[Bar, ...] = (), note: str = ""
    ) -> None:
        benchmark.group = group
        benchmark.extra_info |= {
            "peer": peer,
            "bars": [asdict(bar) for bar in bars],
            "note": note,
        }
        left = iter(samples)
        benchmark.pedantic(lambda: CLOCK.go_on(next(left)), rounds=len(samples), iterations=1)

    return add


def find_model(name: str) -> Path:
    """Return a model's path: one that the repository ships, or one beside it; else skip."""
    for path in (DATA / Path(name).name, SHARED / name):
        if path.is_file():
            return path
    pytest.skip(f"needs the model ../shared/models/{name}")


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info |= machine_facts()
