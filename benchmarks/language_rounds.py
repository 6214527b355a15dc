"""Rounds of the benchmarks of language models: peers in processes of their own, taking turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_PROGRAM = Path(__file__).with_name("language_peers.py")
_ANSWER_TIMEOUT_S = 240.0

NATIVE, LITERT_LM, PYTHON, READ, PAIR = "litert-native", "litert-lm", "python", "read", "pair"
# NATIVE with a clock inside of the library.
TIMED = "timed"

# Tokens of the prompt, and tokens to generate.
Case = tuple[int, int]
SHORT: Case = (64, 48)


class PeerError(Exception):
    """A peer cannot be measured; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What is measured with one model.

    Attributes:
        model: The files' name without a suffix.
        context_length: Tokens that litert-lm is told to hold.
        cases: The peers of each case, the shortest case first: memory is told after each.
        passes: Timed turns of each case in a round.
        has_cold_load: Whether the load with an empty cache folder is measured too.
    """

    model: str
    context_length: int
    cases: Mapping[Case, tuple[str, ...]]
    passes: int = 2
    has_cold_load: bool = False


@dataclass
class Setup:
    """Where everything is.

    Attributes:
        models: Folders with models, the first that has a file counts.
        litert_lm_python: The interpreter of an environment with litert-lm.
        num_threads: Threads of a run.
        folder: For caches and what is built; removed at the end.
        read_library: Built from read_limit.cc.
        timed_library: Built from timed_library.cc.
    """

    models: tuple[Path, ...]
    litert_lm_python: Path
    num_threads: int
    folder: Path
    read_library: Path | None = None
    timed_library: Path | None = None

    def cache(self, model: str, peer: str) -> Path:
        """Return the folder in which a peer keeps a model's packed weights."""
        folder = self.folder / f"{model}-{peer}"
        folder.mkdir(exist_ok=True)
        return folder


@dataclass
class Results:
    """Samples by ``model/peer/...``, and why there are none, by ``model/peer``."""

    samples: dict[str, list[float]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, values: Mapping[str, Any]) -> None:
        """Keep every number of an answer."""
        for name, value in values.items():
            if isinstance(value, (int, float)):
                self.samples.setdefault(f"{key}/{name}", []).append(value)


class Worker:
    """A peer in a process."""

    def __init__(self, setup: Setup, plan: Plan, peer: str, cache: Path | None = None) -> None:
        command = _command(setup, plan, peer, cache or setup.cache(plan.model, peer))
        self._log = setup.folder / f"{peer}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(setup, peer),
            )
        try:
            self.ready = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, case: Case) -> dict[str, Any]:
        """Generate; returns what the peer measured.

        Raises:
            PeerError: It failed, or did something else than it was told.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(
                json.dumps({"prompt_tokens": case[0], "new_tokens": case[1]}) + "\n"
            )
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; the answer says why
        answer = self._answer()
        if tuple(answer.pop("num_tokens")) != case:
            raise PeerError(f"it did not read {case[0]} tokens and generate {case[1]}")
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(timeout=30)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watchdog = threading.Timer(_ANSWER_TIMEOUT_S, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stdout:
                if line.startswith("{"):  # the rest is what a library prints
                    answer: dict[str, Any] = json.loads(line)
                    return answer
        finally:
            watchdog.cancel()
        last = self._log.read_text().strip().splitlines()[-1:]
        raise PeerError(last[0] if last else "the process ended without a word")


def _command(setup: Setup, plan: Plan, peer: str, cache: Path) -> list[str]:
    python = sys.executable
    options = ["--threads", str(setup.num_threads), "--cache", str(cache)]
    if peer == READ:
        if setup.read_library is None:
            raise PeerError("read_limit.cc was not built")
        packed = list(setup.cache(plan.model, NATIVE).glob("*.weights"))
        if not packed:
            raise PeerError("there are no packed weights to tell how many bytes to read")
        size = str(packed[0].stat().st_size)
        options += ["--read-library", str(setup.read_library), "--read-bytes", size]
        return [python, str(_PROGRAM), READ, *options]
    if peer == LITERT_LM:
        python = str(setup.litert_lm_python)
        if not setup.litert_lm_python.is_file():
            raise PeerError("needs the interpreter of an environment with litert-lm")
        options += ["--context-length", str(plan.context_length)]
    if peer == TIMED:
        if setup.timed_library is None:
            raise PeerError("timed_library.cc was not built")
        options += ["--timed-library", str(setup.timed_library)]
    model = _find(setup, plan.model + (".tflite" if peer == PYTHON else ".litertlm"))
    program = NATIVE if peer == TIMED else peer
    return [python, str(_PROGRAM), program, "--model", str(model), *options]


def _find(setup: Setup, name: str) -> Path:
    for folder in setup.models:
        if (folder / name).is_file():
            return folder / name
    raise PeerError(f"needs the model {name}")


def _environment(setup: Setup, peer: str) -> dict[str, str]:
    environment = dict(os.environ)
    environment.pop("LITERT_LIBRARY", None)
    if peer == LITERT_LM:
        environment.pop("PYTHONPATH", None)
    if peer == TIMED:
        environment["LITERT_LIBRARY"] = str(setup.timed_library)
    return environment


def prepare(setup: Setup, plan: Plan, results: Results) -> None:
    """Fill the caches: packed weights, and which shorter contexts are exact."""
    peers = dict.fromkeys(peer for of_case in plan.cases.values() for peer in of_case)
    for peer in (NATIVE, LITERT_LM):
        if peer not in peers:
            continue
        try:
            with closing(Worker(setup, plan, peer)) as worker:
                # litert-lm's is complete once it is loaded.
                for case in plan.cases if peer == NATIVE else ():
                    worker.ask(case)
        except PeerError as err:
            results.skipped[f"{plan.model}/{peer}"] = str(err)


def measure_round(setup: Setup, plan: Plan, results: Results, index: int) -> None:
    """Measure every case once over: a warm-up of each peer, then turns, the order alternating."""
    peers = list(dict.fromkeys(peer for of_case in plan.cases.values() for peer in of_case))
    if index % 2:
        peers.reverse()
    if plan.has_cold_load:
        _measure_cold_load(setup, plan, results, peers)
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for peer in peers:
            key = f"{plan.model}/{peer}"
            if key in results.skipped:
                continue
            try:
                worker = stack.enter_context(closing(Worker(setup, plan, peer)))
            except PeerError as err:
                results.skipped[key] = str(err)
                continue
            workers[peer] = worker
            results.add(f"{key}/warm", worker.ready)
        for case, of_case in plan.cases.items():
            _measure_case(plan, case, {p: w for p, w in workers.items() if p in of_case}, results)


def _measure_case(plan: Plan, case: Case, workers: dict[str, Worker], results: Results) -> None:
    texts: dict[str, str] = {}
    for turn in range(1 + plan.passes):
        for peer in list(workers)[:: -1 if turn % 2 else 1]:
            key = f"{plan.model}/{peer}"
            try:
                answer = workers[peer].ask(case)
            except PeerError as err:
                results.skipped[key] = str(err)
                del workers[peer]
                continue
            if turn > 0:
                results.add(f"{key}/{case[0]}", answer)
            elif "text" in answer:
                texts[peer] = answer["text"].strip()
    if len(texts) > 1:
        is_same = len(set(texts.values())) == 1
        results.add(f"{plan.model}/texts/{case[0]}", {"is_same": int(is_same)})


def _measure_cold_load(setup: Setup, plan: Plan, results: Results, peers: list[str]) -> None:
    for peer in peers:
        key = f"{plan.model}/{peer}"
        if peer not in (NATIVE, LITERT_LM) or key in results.skipped:
            continue
        with TemporaryDirectory(dir=setup.folder) as empty:
            try:
                with closing(Worker(setup, plan, peer, Path(empty))) as worker:
                    results.add(f"{key}/cold", worker.ready)
            except PeerError as err:
                results.skipped[key] = str(err)


def measure_alone(setup: Setup, plan: Plan, peer: str, results: Results, rounds: int) -> None:
    """Measure one peer in one process, in so many turns after a warm-up."""
    key = f"{plan.model}/{peer}"
    cache = setup.cache(plan.model, NATIVE) if peer == PAIR else None
    try:
        with closing(Worker(setup, plan, peer, cache)) as worker:
            results.add(f"{key}/warm", worker.ready)
            for case in plan.cases:
                worker.ask(case)
                for _ in range(rounds):
                    results.add(f"{key}/{case[0]}", worker.ask(case))
    except PeerError as err:
        results.skipped[key] = str(err)
