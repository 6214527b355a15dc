"""Packed weights that many processes use at once: one copy and right results, come what may."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert

pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
pytest.importorskip("ai_edge_litert", reason="needs the schema")

from data.model_kinds.builder import Model, Op, schema

CHANNELS = 512
LAYERS = 3

# Tells when it is ready, and again after each command that it is sent: load, run, memory.
CHILD = """
    import sys, numpy, litert
    from pathlib import Path

    path, small, folder = sys.argv[1:]
    with litert.Model(small):  # what only the first load of a process does
        pass
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "load\\n":
            cpu = litert.CpuOptions(num_threads=1, weight_cache=folder or None)
            model = litert.Model(path, cpu=cpu)
            print(model.weight_cache, flush=True)
        elif line == "run\\n":
            (signature,) = model.signatures.values()
            inputs = {
                name: numpy.linspace(-1, 1, numpy.prod(info.shape), dtype="f4").reshape(info.shape)
                for name, info in signature.inputs.items()
            }
            (output,) = model.run(inputs).values()
            print(output.tobytes().hex(), flush=True)
        else:
            rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
            print(next(row.split()[1] for row in rows if row.startswith("Pss:")), flush=True)
    """


class Child:
    """Another process that loads a model when it is told to."""

    def __init__(self, path: Path, folder: Any, data: Path, **variables: str) -> None:
        arguments = [str(path), str(data / "mlp.tflite"), str(folder)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=dict(os.environ, **variables),
        )  # fmt: skip

    def answer(self) -> str:
        """Return the line that it says next; it ends where the process has died."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip()

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.answer()


Start = Callable[..., Child]


@pytest.fixture
def start(data: Path) -> Iterator[Start]:
    """Start a process that is ready to load a model; in the end all are gone."""
    with contextlib.ExitStack() as stack:

        def start_one(path: Path, folder: Any, **variables: str) -> Child:
            child = Child(path, folder, data, **variables)
            stack.enter_context(child.process)
            stack.callback(child.process.kill)
            return child

        yield start_one


@pytest.fixture(scope="module")
def large_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 28 MB of weights, which take a while to pack."""
    model = Model()
    graph = model.graph()
    generator = np.random.default_rng(0)
    image = hidden = graph.tensor("image", [1, 4, 4, CHANNELS])
    bias = np.zeros(CHANNELS, np.float32)
    for layer in range(LAYERS):
        weights = generator.standard_normal((CHANNELS, 3, 3, CHANNELS), np.float32) * 0.02
        hidden = graph.op1(
            Op.CONV_2D,
            [hidden, graph.const(f"w{layer}", weights), graph.const(f"b{layer}", bias)],
            graph.tensor(f"h{layer}", [1, 4, 4, CHANNELS]),
            schema.Conv2DOptionsT(strideW=1, strideH=1),
        )
    graph.serve({"image": image}, {"features": hidden})
    path = tmp_path_factory.mktemp("large") / "convolutions.tflite"
    path.write_bytes(model.to_bytes())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where weights are kept; made on first use."""
    return tmp_path / "weights"


def result_without_a_cache(start: Start, path: Path) -> str:
    child = start(path, "")
    assert (child.answer(), child.ask("load")) == ("ready", "none")
    return child.ask("run")


def test_eight_processes_that_load_at_the_same_moment_build_once(
    start: Start, large_model: Path, folder: Path
) -> None:
    expected = result_without_a_cache(start, large_model)
    children = [start(large_model, folder) for _ in range(8)]
    assert [child.answer() for child in children] == ["ready"] * 8

    for child in children:
        child.tell("load")
    used = [child.answer() for child in children]

    assert used.count("built") == 1
    assert set(used) <= {"built", "reused", "in memory"}
    assert [child.ask("run") for child in children] == [expected] * 8
    assert len(list(folder.glob("*.weights"))) == 1


def test_further_process_costs_a_twentieth_of_the_weights_at_most(
    start: Start, large_model: Path, folder: Path
) -> None:
    size_kb = large_model.stat().st_size / 1024
    children = [start(large_model, folder) for _ in range(3)]
    assert [child.answer() for child in children] == ["ready"] * 3
    assert children[0].ask("load") == "built"
    children[0].ask("run")

    for child in children[1:]:
        # Of all together: what they share is counted in parts, which another user makes smaller.
        before = sum(int(each.ask("memory")) for each in children)
        assert child.ask("load") == "reused"
        child.ask("run")
        after = sum(int(each.ask("memory")) for each in children)
        assert after - before <= 0.05 * size_kb


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: os.truncate(path, 4096),
        lambda path: path.write_bytes(b"a text in its place"),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
    ],
    ids=["truncated", "text", "zeros"],
)
def test_large_file_that_changes_under_many_runs_does_not_change_their_results(
    start: Start, large_model: Path, folder: Path, damage: Callable[[Path], Any]
) -> None:
    children = [start(large_model, folder) for _ in range(2)]
    assert [child.answer() for child in children] == ["ready"] * 2
    assert [child.ask("load") for child in children] == ["built", "reused"]
    expected = children[0].ask("run")

    for child in children:  # in the middle of these
        for _ in range(20):
            child.tell("run")
    (kept,) = folder.glob("*.weights")
    damage(kept)

    assert [[child.answer() for _ in range(20)] for child in children] == [[expected] * 20] * 2
    assert children[0].ask("load") == "built"
    assert children[0].ask("run") == expected


STORM = """
    import logging, sys, numpy, litert

    logging.disable()
    path, folder, num_loads = sys.argv[1:]
    inputs = {"x": numpy.linspace(-0.5, 0.4, 8, dtype=numpy.float32)[None]}
    cpu = litert.CpuOptions(weight_cache=folder)
    for _ in range(int(num_loads)):
        with litert.Model(path, cpu=cpu, backend="native") as model:
            results = {model.run(inputs)["probs"].tobytes().hex() for _ in range(20)}
            print(*results, flush=True)
    """


def test_files_that_change_all_the_time_do_not_change_results(
    data: Path, folder: Path, tmp_path: Path
) -> None:
    # Also between a file's being written and its being sealed.
    path, generator = data / "mlp.tflite", random.Random(1)
    with litert.Model(path) as model:
        x = np.linspace(-0.5, 0.4, 8, dtype=np.float32)[None]
        expected = model.run({"x": x})["probs"].tobytes().hex()
    num_loads = 1500
    command = [sys.executable, "-c", textwrap.dedent(STORM), str(path), str(folder), str(num_loads)]
    said = [tmp_path / str(number) for number in range(3)]
    with contextlib.ExitStack() as stack:
        children = []
        for file in said:
            output = stack.enter_context(file.open("wb"))
            children.append(subprocess.Popen(command, stdout=output, stderr=output))
            stack.callback(children[-1].kill)
        while any(child.poll() is None for child in children):
            for file in folder.glob("*.*"):
                damage_at_random(file, generator)
        assert [child.wait(timeout=60) for child in children] == [0, 0, 0]
    assert [file.read_text().split() for file in said] == [[expected] * num_loads] * 3


def damage_at_random(file: Path, generator: random.Random) -> None:
    with contextlib.suppress(FileNotFoundError):
        size = file.stat().st_size
        kind = generator.randrange(8)
        if kind < 5:
            os.truncate(file, generator.randrange(size + 1))
        elif kind == 5:
            file.write_bytes(generator.randbytes(size))
        elif kind == 6:
            file.unlink()
        else:
            with file.open("r+b") as opened:
                opened.seek(generator.randrange(size + 1))
                opened.write(b"\xff\xfe")


@pytest.fixture
def other_library(tmp_path: Path) -> Path:
    """The library with other bytes, as an update brings them; the same by what it does."""
    copy = tmp_path / "updated" / "libLiteRt.so"
    copy.parent.mkdir()
    shutil.copy(litert.library_info().path, copy)
    with copy.open("ab") as file:
        file.write(b"\0")
    return copy


def test_weights_that_another_library_has_packed_are_not_used(
    start: Start, data: Path, folder: Path, other_library: Path
) -> None:
    path = data / "mlp.tflite"
    before = start(path, folder)
    assert [before.answer(), before.ask("load")] == ["ready", "built"]

    updated = [start(path, folder, LITERT_LIBRARY=str(other_library)) for _ in range(2)]
    assert [child.answer() for child in updated] == ["ready"] * 2

    assert [child.ask("load") for child in updated] == ["built", "reused"]
    assert updated[1].ask("run") == before.ask("run")
    assert len(list(folder.glob("*.weights"))) == 2
