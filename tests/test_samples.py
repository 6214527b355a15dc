"""The sample model: good enough, small enough, reproducible, and shown by its command."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import litert
from litert.samples import digits_model_path, load_digits, load_speller_questions
from litert.samples._ask_speller import ask_speller

TRAIN_SCRIPT = Path(__file__).parents[1] / "examples" / "train_digits.py"
STATED_TEST_ACCURACY = 0.9844  # samples/README.md


@pytest.fixture(scope="module")
def train_script() -> ModuleType:
    """Return the training script as a module."""
    pytest.importorskip("sklearn", reason="training needs scikit-learn")
    pytest.importorskip("flatbuffers", reason="training needs the flatbuffers package")
    spec = importlib.util.spec_from_file_location("train_digits", TRAIN_SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_load_digits_gives_two_of_each_digit():
    images, labels = load_digits()
    assert images.shape == (20, 8, 8, 1)
    assert images.dtype == np.float32
    assert images.min() == 0.0
    assert images.max() == 1.0
    assert labels.dtype == np.int64
    assert labels.tolist() == [digit for digit in range(10) for _ in range(2)]


def test_sample_files_are_small():
    folder = digits_model_path().parent
    size_bytes = sum(path.stat().st_size for path in folder.glob("digits*"))
    assert size_bytes < 64 * 1024


def test_digits_model_classifies_the_samples(backend):
    images, labels = load_digits()
    with litert.Model(digits_model_path(), backend=backend) as model:
        probabilities = np.concatenate(
            [model.run({"image": image[np.newaxis]})["probabilities"] for image in images]
        )
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    assert np.mean(probabilities.argmax(axis=1) == labels) >= 0.9


def test_digits_model_runs_in_the_plain_interpreter():
    interpreter_module = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="ai-edge-litert's Interpreter is the reference"
    )
    images, labels = load_digits()
    interpreter = interpreter_module.Interpreter(model_path=str(digits_model_path()))
    classify = interpreter.get_signature_runner("classify")
    predicted = [classify(image=image[np.newaxis])["probabilities"].argmax() for image in images]
    assert np.mean(np.array(predicted) == labels) >= 0.9


def test_samples_command_shows_predictions_and_placement():
    command = [sys.executable, "-m", "litert.samples"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    _, labels = load_digits()
    assert f"  label      {' '.join(map(str, labels))}" in lines
    for start in ("  predicted ", "  accuracy ", "  runner.run() ", "  backend ", "  library "):
        assert any(line.startswith(start) for line in lines), start
    # The library's path is as long as it is.
    assert [line for line in lines if len(line) > 80 and "/" not in line] == []


@pytest.mark.parametrize("package", ["tokenizers", "minijinja"])
def test_samples_without_the_extra_leave_the_language_model_out(capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert ask_speller()
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line.startswith("language model left out: ")
    assert "pip install 'litert-native[llm]'" in line


def test_samples_show_answers_and_speed(capsys):
    pytest.importorskip("tokenizers", reason="text needs the extra llm")
    pytest.importorskip("minijinja", reason="chat templates need the extra llm")
    assert ask_speller()
    lines = capsys.readouterr().out.splitlines()
    asked = [number for number, line in enumerate(lines) if line.startswith("  > ")]
    answers = dict(load_speller_questions())
    assert len(asked) == 3
    for number in asked:
        assert lines[number + 1] == f"  {answers[lines[number][4:]]}"
        assert re.fullmatch(
            r"    \d+ tokens, the first after [\d.]+ ms, then [\d,]+ tokens/s", lines[number + 2]
        )
    assert "  backend    native (the default)" in lines


def test_samples_tell_wrong_answers(capsys, monkeypatch):
    pytest.importorskip("tokenizers", reason="text needs the extra llm")
    pytest.importorskip("minijinja", reason="chat templates need the extra llm")
    questions = [(question, "wrong") for question, _ in load_speller_questions()]
    monkeypatch.setattr("litert.samples._ask_speller.load_speller_questions", lambda: questions)
    assert not ask_speller()
    assert "  (wrong: wrong)" in capsys.readouterr().out


def test_samples_were_not_trained_on(train_script):
    train_digits, test_digits = train_script.split_digits()
    samples = train_script.choose_samples(test_digits)
    images, labels = load_digits()
    np.testing.assert_array_equal(images, samples.values)
    np.testing.assert_array_equal(labels, samples.labels)
    trained_on = {image.tobytes() for image in train_digits.images}
    assert [
        label for image, label in zip(*samples, strict=True) if image.tobytes() in trained_on
    ] == []


def test_digits_model_has_the_stated_accuracy(train_script):
    _, test_digits = train_script.split_digits()
    shipped = train_script.accuracy(digits_model_path().read_bytes(), test_digits)
    assert shipped == pytest.approx(STATED_TEST_ACCURACY, abs=0.003)


@pytest.mark.slow
def test_training_again_gives_the_same_accuracy(train_script):
    train_digits, test_digits = train_script.split_digits()
    model = train_script.write_model(train_script.train(train_digits))
    accuracy = train_script.accuracy(model, test_digits)
    assert accuracy == pytest.approx(STATED_TEST_ACCURACY, abs=0.01)
