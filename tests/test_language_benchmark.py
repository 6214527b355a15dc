"""The benchmark of language models, and the command that chooses it by the file."""

from __future__ import annotations

import json
import os
import statistics
from typing import Any

import pytest

import litert
from litert.cli.main import main
from litert.language.benchmark import benchmark_language_model
from litert.samples import speller_model_path

MODEL = str(speller_model_path())
QUICK = ("-p", "12", "-n", "5", "-r", "3")


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "weights"
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))


def benchmark_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["benchmark", *arguments, "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_rounds_read_and_generate_as_many_tokens_as_asked(backend):
    measured = benchmark_language_model(
        MODEL, num_prompt_tokens=12, num_generated_tokens=5, num_rounds=3, backend=backend
    )
    assert measured.backend == backend
    assert [
        (one.prompt_tokens, one.cached_tokens, one.generated_tokens) for one in measured.rounds
    ] == [(12, 0, 5)] * 3
    assert measured.load_s > 0
    assert measured.peak_memory_bytes > 2**20


def test_spread_is_that_of_the_rounds():
    measured = benchmark_language_model(MODEL, num_generated_tokens=8, num_rounds=4)
    rates = [one.decode_tokens_per_s for one in measured.rounds]
    spread = measured.decode_tokens_per_s
    assert (spread.median, spread.min, spread.max) == (
        statistics.median(rates),
        min(rates),
        max(rates),
    )
    assert spread.min > 0


def test_rounds_that_do_not_fit_raise():
    with pytest.raises(litert.ContextLengthError, match="304 together, the context holds 256"):
        benchmark_language_model(MODEL, num_prompt_tokens=256)


@pytest.mark.parametrize(
    ("option", "value"),
    [("num_prompt_tokens", 0), ("num_generated_tokens", 1), ("num_rounds", 0)],
)
def test_too_few_raise(option, value):
    with pytest.raises(litert.OptionError, match=f"{option}: expected an int, . or more"):
        benchmark_language_model(MODEL, **{option: value})


def test_command_measures_a_language_model(capsys):
    told = benchmark_json(capsys, MODEL, *QUICK, "--threads", "1", "--context-length", "128")
    assert (told["num_threads"], told["context_length"]) == (1, 128)
    assert (told["num_prompt_tokens"], told["num_generated_tokens"]) == (12, 5)
    assert len(told["rounds"]) == 3
    spread = told["time_to_first_token_s"]
    assert 0 < spread["min"] <= spread["median"] <= spread["max"]


def test_command_shows_a_table(capsys):
    assert main(["benchmark", "--model", MODEL, *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"model        {os.path.basename(MODEL)}, ")
    assert (
        "work         12 tokens in, 5 tokens out, 3 rounds after one that is not counted" in lines
    )
    assert [line.split(",")[0] for line in lines[-3:]] == [
        "time to first token",
        "prefill",
        "decode",
    ]


def test_command_knows_a_bare_language_model_by_its_signature(capsys, shared_model):
    told = benchmark_json(
        capsys, str(shared_model("llm/small_llama_transposed_f32.tflite")), *QUICK
    )
    assert len(told["rounds"]) == 3


def test_command_measures_another_model_as_ever(capsys, data):
    told = benchmark_json(capsys, str(data / "mlp.tflite"), "--runs", "5", "--warmup", "1")
    assert (told["num_threads"], told["num_runs"]) == (1, 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((MODEL, "--profile"), "--profile: has no meaning here"),
        ((MODEL, "--runs", "5"), "--runs: has no meaning here"),
        (("{data}/mlp.tflite", "-n", "5"), "-n: has no meaning here"),
        (("{data}/invalid_garbage.tflite",), "invalid_garbage.tflite"),
        (("nowhere.litertlm",), "no such file"),
        ((MODEL, "-r", "0"), "num_rounds: expected an int, 1 or more, got 0"),
    ],
)
def test_command_refuses_in_one_line(capsys, data, arguments, message):
    assert main(["benchmark", *(argument.format(data=data) for argument in arguments)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("arguments", [(), ("a.tflite", "--model", "b.tflite")])
def test_command_wants_one_model(capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(["benchmark", *arguments])
    assert "usage: litert-native benchmark" in capsys.readouterr().err
