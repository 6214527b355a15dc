"""What an import costs, each in a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from interleave import Samples, measure

from conftest import Bar

NUMPY = "import numpy"
STATEMENTS = {
    NUMPY: "import numpy",
    "import numpy, litert": "import numpy, litert",
    "import numpy, litert.Model": "import numpy; from litert import Model, Runner",
    "import numpy, Interpreter": "import numpy; from ai_edge_litert.interpreter import Interpreter",
    "import numpy, CompiledModel": (
        "import numpy; from ai_edge_litert.compiled_model import CompiledModel"
    ),
}
ROUNDS = 15
BARS = {
    "import numpy, litert": (Bar(NUMPY, 15e-3, "difference"),),
    # What the first use of a name imports, which the bar leaves out.
    "import numpy, litert.Model": (
        Bar(NUMPY, None, "difference"),
        Bar("import numpy, Interpreter", None, "difference"),
    ),
}


def seconds_of(statement: str) -> float:
    """Return the seconds that a new process takes for a statement."""
    program = f"from time import perf_counter as now; t = now(); {statement}; print(now() - t)"
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(finished.stdout)


def test_import_loads_nothing_of_ai_edge_litert():
    program = (
        "import sys, litert; from litert import Model; "
        "print([name for name in sys.modules if name.startswith('ai_edge_litert')])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert finished.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def samples() -> dict[str, Samples]:
    def in_processes(statement: str):
        return lambda count: sum(seconds_of(statement) for _ in range(count))

    runs = {name: in_processes(statement) for name, statement in STATEMENTS.items()}
    return measure(runs, rounds=ROUNDS, round_s=0)


@pytest.mark.parametrize("peer", STATEMENTS)
def test_import(samples, record, peer):
    record("import", peer, samples[peer], bars=BARS.get(peer, ()))
