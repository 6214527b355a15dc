"""Trial runs: when an accelerator's results count as the CPU's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from litert.accelerate import trial
from litert.backends.native import NativeModel


def described(computed: Any, expected: Any) -> str:
    return trial._describe_difference(np.asarray(computed), np.asarray(expected))


FLOATS = np.array([1.0, -2.0, 0.5], np.float32)


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        (FLOATS, FLOATS),
        (FLOATS + np.float32(0.07), FLOATS),
        (np.float32([np.nan, 1]), np.float32([np.nan, 1])),
        (np.float32([np.inf]), np.float32([np.inf])),
        (np.float32([np.nan, np.inf]), np.float32([np.inf, np.nan])),
        (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32)),
        (np.zeros(3, np.float32), np.zeros(3, np.float32)),
        (np.int8([1, 127]), np.int8([9, 120])),
        (np.uint8([255, 3]), np.uint8([247, 11])),
        (np.int16([1000, 32000]), np.int16([0, 32700])),
        (np.int64([7, 3]), np.int64([7, 3])),
        (np.array([True, False]), np.array([True, False])),
        (np.array([b"a"], object), np.array([b"a"], object)),
        (np.complex64([1 + 1j]), np.complex64([1.01 + 1j])),
        (np.float32(3.0), np.float32(3.0)),
    ],
)
def test_results_that_are_nearly_equal_are_equal(computed: Any, expected: Any) -> None:
    assert described(computed, expected) == ""


@pytest.mark.parametrize(
    ("computed", "expected", "message"),
    [
        (-FLOATS, FLOATS, "by up to 4 where the largest is 2"),
        (
            FLOATS + np.float32(0.1),
            FLOATS,
            r"by up to 0.1 where the largest is 2 \(0\.08 is tolerated\)",
        ),
        (np.zeros(3, np.float32), FLOATS, "by up to 2 where the largest is 2"),
        (np.float32([1e-30]), np.float32([0.0]), "by up to 1e-30 where the largest is 0"),
        (np.float32([np.nan, 1]), np.float32([0, 1]), "values that are not finite"),
        (np.float32([0, 1]), np.float32([np.inf, 1]), "values that are not finite"),
        (FLOATS[:2], FLOATS, r"shape \[2\], not \[3\]"),
        (FLOATS[None], FLOATS, r"shape \[1, 3\], not \[3\]"),
        (np.zeros((0, 3), np.float32), np.zeros((3, 0), np.float32), r"shape \[0, 3\], not"),
        (
            np.int8([0, 127]),
            np.int8([9, 127]),
            r"by up to 9 where the largest is 127 \(8 is tolerated\)",
        ),
        (np.uint8([0]), np.uint8([255]), "by up to 255 where the largest is 255"),
        (np.int32([7, 3]), np.int32([7, 4]), "1 of 2 values"),
        (np.int64([7, 3]), np.int64([8, 4]), "2 of 2 values"),
        (np.array([True, False]), np.array([True, True]), "1 of 2 values"),
        (np.array([b"a"], object), np.array([b"b"], object), "1 of 1 values"),
        (np.complex64([1 + 1j]), np.complex64([1 - 1j]), "by up to 2 where the largest is 1"),
    ],
)
def test_results_that_are_off_are_told(computed: Any, expected: Any, message: str) -> None:
    with np.errstate(all="raise"):
        assert re.fullmatch(f"{message}.*", described(computed, expected)) is not None


class Answers:
    """A model in place of a compiled one, which answers what it is told to, the last for ever."""

    def __init__(self, real: NativeModel, *answers: Any) -> None:
        self._answers = list(answers)
        self.keys: list[str] = []
        self.signatures = real.signatures
        self.default_shapes = real.default_shapes

    def run(self, key: str, inputs: Any) -> Any:
        self.keys.append(key)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> None:
        pass


@pytest.fixture
def real(data: Path) -> Iterator[NativeModel]:
    """The model on the CPU."""
    model = NativeModel.open(str(data / "mlp.tflite"), litert.CpuOptions(), None)
    yield model
    model.close()


def test_trial_of_the_same_model_finds_no_difference(real: NativeModel) -> None:
    assert trial.difference(real, real) == ""


def test_trial_names_the_output_that_differs(real: NativeModel) -> None:
    (output,) = next(iter(real.signatures.values())).outputs
    wrong: Any = Answers(real, {output: np.full((1, 4), 1e6, np.float32)})
    assert trial.difference(wrong, real).startswith(f"output '{output}' differs from the CPU's: ")


def test_trial_runs_twice_as_some_fail_with_used_buffers(real: NativeModel) -> None:
    (output,) = next(iter(real.signatures.values())).outputs
    key = next(iter(real.signatures))
    right = real.run(key, trial._inputs(real, key))
    wrong = {output: right[output] + np.float32(1e6)}
    assert trial.difference(Answers(real, right), real) == ""  # type: ignore[arg-type]
    for second in (wrong, litert.ExecutionError("status 3")):
        assert trial.difference(Answers(real, right, second), real)  # type: ignore[arg-type]


def test_trial_compares_every_signature(data: Path) -> None:
    model = NativeModel.open(str(data / "add.tflite"), litert.CpuOptions(), None)
    try:
        keys = list(model.signatures)
        rights = [model.run(key, trial._inputs(model, key)) for key in keys]
        wrong = {name: array + np.float32(1e6) for name, array in rights[1].items()}
        same: Any = Answers(model, rights[0], rights[0], rights[1])
        other: Any = Answers(model, rights[0], rights[0], rights[1], wrong)
        assert trial.difference(same, model) == ""
        assert same.keys == [keys[0], keys[0], keys[1], keys[1]]
        assert trial.difference(other, model).startswith(f"output '{next(iter(wrong))}' differs")
    finally:
        model.close()


def test_trial_that_fails_on_the_accelerator_is_a_difference(real: NativeModel) -> None:
    failing: Any = Answers(real, litert.ExecutionError("status 3"))
    assert trial.difference(failing, real) == "its run fails: status 3"


def test_trial_that_fails_on_the_cpu_is_no_comparison(real: NativeModel) -> None:
    failing: Any = Answers(real, litert.ExecutionError("status 3"))
    assert trial.difference(real, failing).startswith("its results cannot be compared with the")
