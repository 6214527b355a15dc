"""The reference backend for language models: the tokens of PyTorch from every kind of file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litert import (
    ClosedError,
    ExecutionError,
    FileFormatError,
    OptionError,
    UnsupportedModelError,
)
from litert.backends.language_protocol import BackendLanguageModel, LoopRequest
from litert.backends.reference_language import ReferenceLanguageModel, ReferenceSession, _Executor
from litert.language.language_file import open_language_file
from litert.language.layout import find_layouts
from litert.tensor_info import Signature, TensorInfo

FindModel = Callable[[str], Path]

FILES = [
    "transposed_f32",
    "transposed_wi8",
    "transposed_wi4",
    "transposed_bool_f32",
    "transposed_two_f32",
    "reauthored_f32",
    "reauthored_wi8",
    "reauthored_mask_f32",
    "split_f32",
]
CACHE_LENGTH = 256


def open_small(shared_model: FindModel, kind: str, **options: Any) -> ReferenceLanguageModel:
    model = shared_model(f"llm/small_llama_{kind}.tflite").read_bytes()
    embedder = None
    if kind.startswith("split"):
        embedder = shared_model(f"llm/small_llama_{kind}.embedder.tflite").read_bytes()
    return ReferenceLanguageModel(model, embedder, **options)


def references(shared_model: FindModel) -> list[tuple[list[int], list[int]]]:
    """Return prompts and PyTorch's greedy tokens, with and without BOS."""
    text = shared_model("llm/small_llama.reference.json").read_text()
    return [
        (prompt[kind]["prompt_ids"], prompt[kind]["greedy"])
        for prompt in json.loads(text)["prompts"]
        for kind in ("with_bos", "without_bos")
    ]


def greedy(session: ReferenceSession, ids: Sequence[int], max_tokens: int) -> list[int]:
    session.append(ids)
    return list(session.start(LoopRequest(max_tokens=max_tokens), None).run().tokens)


@pytest.mark.parametrize("kind", FILES)
def test_generate_greedy_gives_the_tokens_of_pytorch(shared_model: FindModel, kind: str) -> None:
    model: BackendLanguageModel = open_small(shared_model, kind)
    assert (model.vocab_size, model.context_length) == (512, CACHE_LENGTH)
    for prompt, expected in references(shared_model):
        session = model.session()
        session.append(prompt)
        loop = session.start(LoopRequest(max_tokens=len(expected)), None)
        assert list(loop.run().tokens) == expected
        assert session.tokens == prompt + expected


@pytest.mark.parametrize("kind", [kind for kind in FILES if kind.endswith("f32")])
def test_logprobs_are_the_same_in_every_layout(shared_model: FindModel, kind: str) -> None:
    prompt, _ = references(shared_model)[2]
    request = LoopRequest(max_tokens=16, num_logprobs=8)
    logprobs = []
    for each in (kind, "reauthored_f32"):  # that one makes its mask itself
        session = open_small(shared_model, each).session()
        session.append(prompt)
        entries = session.start(request, None).run().logprobs
        logprobs.append([value for entry in entries for _, value in entry.top])
    np.testing.assert_allclose(logprobs[0], logprobs[1], atol=2e-4)


@pytest.mark.parametrize("kind", ["transposed_f32", "reauthored_f32", "split_f32"])
def test_prefill_in_chunks_gives_what_one_token_at_a_time_gives(
    shared_model: FindModel, kind: str
) -> None:
    model = open_small(shared_model, kind)
    prompt, expected = references(shared_model)[-1]
    prompt = (prompt + expected + prompt)[: CACHE_LENGTH - 3]
    slow = model.session()
    for length, token in enumerate(prompt[:-1]):
        greedy(slow, [token], 1)
        slow.truncate(length + 1)
    tokens = greedy(slow, prompt[-1:], 9)
    assert len(tokens) == 3
    quick = model.session()
    # From here on the longest prefill that covers the rest would end beyond the caches.
    greedy(quick, prompt[:10], 1)
    quick.truncate(10)
    assert greedy(quick, prompt[10:], 9) == tokens


def test_context_length_shorter_ends_there(shared_model: FindModel) -> None:
    prompt, expected = references(shared_model)[0]
    model = open_small(shared_model, "transposed_two_f32", context_length=len(prompt) + 5)
    assert model.context_length == len(prompt) + 5
    session = model.session()
    assert greedy(session, prompt, 32) == expected[:5]


def test_context_length_takes_the_shortest_caches_that_hold_it(shared_model: FindModel) -> None:
    prompt, expected = references(shared_model)[0]
    model = open_small(shared_model, "transposed_two_f32", context_length=64)
    assert model._layout.cache_length == 64
    assert greedy(model.session(), prompt, 32) == expected


def test_context_length_default_is_no_more_than_promised(shared_model: FindModel) -> None:
    model = open_small(shared_model, "transposed_f32", promised_length=100)
    assert model.context_length == 100
    model = open_small(shared_model, "transposed_f32", promised_length=1000)
    assert model.context_length == CACHE_LENGTH


def test_context_length_longer_than_the_caches_is_refused(shared_model: FindModel) -> None:
    with pytest.raises(OptionError, match=r"expected 1 to 256, since .* got 257"):
        open_small(shared_model, "transposed_f32", context_length=257)


@pytest.mark.parametrize("kind", ["reauthored_f32", "reauthored_mask_f32"])
def test_metadata_of_the_container_gives_the_same_tokens(
    shared_model: FindModel, kind: str
) -> None:
    path = shared_model(f"llm/small_llama_{kind}.litertlm")
    file = open_language_file(path)
    assert file.executor is not None
    model = path.read_bytes()[file.model.offset :][: file.model.size]
    opened = ReferenceLanguageModel(model, metadata=file.executor)
    prompt, expected = references(shared_model)[0]
    assert greedy(opened.session(), prompt, 32) == expected


def test_sessions_do_not_see_each_other(shared_model: FindModel) -> None:
    model = open_small(shared_model, "transposed_f32")
    pairs = references(shared_model)
    loops = []
    for prompt, _ in pairs:
        session = model.session()
        session.append(prompt)
        loops.append(session.start(LoopRequest(max_tokens=32), None))
    tokens: list[list[int]] = [[] for _ in loops]
    for _ in range(32):
        for loop, into in zip(loops, tokens, strict=True):
            chunk = loop.next()
            assert chunk is not None
            into.extend(chunk.tokens)
    assert tokens == [expected for _, expected in pairs]


def test_truncate_goes_back_without_reading_again(shared_model: FindModel) -> None:
    model = open_small(shared_model, "transposed_f32")
    prompt, expected = references(shared_model)[2]
    session = model.session()
    assert greedy(session, prompt, 32) == expected
    session.truncate(len(prompt))
    session.append([1, 2, 3])
    greedy(session, [4], 8)
    session.truncate(len(prompt))
    loop = session.start(LoopRequest(max_tokens=32), None)
    assert list(loop.run().tokens) == expected
    assert loop.metrics.cached_tokens == len(prompt) - 1


def test_session_goes_on_where_the_last_generation_ended(shared_model: FindModel) -> None:
    model = open_small(shared_model, "transposed_f32")
    prompt, expected = references(shared_model)[0]
    session = model.session()
    first = greedy(session, prompt, 10)
    assert first + greedy(session, [], 22) == expected


def test_close_ends_sessions_too(shared_model: FindModel) -> None:
    model = open_small(shared_model, "split_f32")
    session = model.session()
    session.append([1, 266])
    model.close()
    model.close()
    with pytest.raises(ClosedError, match="the model is closed"):
        session.start(LoopRequest(max_tokens=1), None).run()
    with pytest.raises(ClosedError, match="the model is closed"):
        model.session()


def test_closed_session_is_refused(shared_model: FindModel) -> None:
    session = open_small(shared_model, "transposed_f32").session()
    session.close()
    session.close()
    calls: list[Callable[[], object]] = [
        lambda: session.tokens,
        lambda: session.append([1]),
        lambda: session.truncate(0),
        lambda: session.start(LoopRequest(max_tokens=1), None),
    ]
    for call in calls:
        with pytest.raises(ClosedError, match="the session is closed"):
            call()


def test_session_changed_inside_a_hook_is_refused(shared_model: FindModel) -> None:
    session = open_small(shared_model, "transposed_f32").session()
    session.append([1, 266])
    request = LoopRequest(max_tokens=4, logits_hook=lambda logits, ids: session.append([5]))
    with pytest.raises(ExecutionError, match="the session is in use"):
        session.start(request, None).run()
    assert session.tokens == [1, 266]


def test_split_model_without_its_embedder_is_refused(shared_model: FindModel) -> None:
    model = shared_model("llm/small_llama_split_f32.tflite").read_bytes()
    with pytest.raises(UnsupportedModelError, match="there is no embedder"):
        ReferenceLanguageModel(model)


def test_model_that_is_no_language_model_is_refused(data: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="no language model: expected a signature"):
        ReferenceLanguageModel((data / "add.tflite").read_bytes())


def test_damaged_model_is_refused() -> None:
    with pytest.raises(FileFormatError, match="damaged model"):
        ReferenceLanguageModel(b"\x1c\0\0\0TFL3" + bytes(40))


class RecordingModel:
    """Stands in for a model: keeps what it is given, and returns zeros."""

    def __init__(self, mask_type: str) -> None:
        self.signatures: Mapping[str, Signature] = {
            key: _signature(key, num_tokens, mask_type)
            for key, num_tokens in {"prefill_2": 2, "prefill_4": 4, "decode": 1}.items()
        }
        self.runs: list[tuple[str, dict[str, Any]]] = []

    def run(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        self.runs.append((signature, inputs))
        infos = self.signatures[signature].inputs
        assert {name: (array.shape, array.dtype) for name, array in inputs.items()} == {
            name: (info.shape, info.dtype) for name, info in infos.items()
        }
        outputs = self.signatures[signature].outputs
        return {name: np.ones(info.shape, info.dtype) for name, info in outputs.items()}


def _signature(key: str, num_tokens: int, mask_type: str) -> Signature:
    infos = [
        TensorInfo("tokens", (1, num_tokens), "int32"),
        TensorInfo("positions", (1, num_tokens), "int32"),
        TensorInfo("mask", (1, 1, num_tokens, 6), mask_type),
        TensorInfo("param_tensor", (1, 1, 1, 7), "int32"),
    ]
    caches = [TensorInfo("k_cache_0", (1, 1, 6, 3), "int8")]
    outputs = [*caches, TensorInfo("logits", (1, 1, 9), "float32")]
    return Signature(
        key, {info.name: info for info in infos + caches}, {info.name: info for info in outputs}
    )


def recording_executor(mask_type: str = "float32") -> tuple[_Executor, RecordingModel]:
    model = RecordingModel(mask_type)
    (layout,) = find_layouts(model.signatures)
    executor = _Executor(model, None, layout, 6)  # type: ignore[arg-type]
    return executor, model


@pytest.mark.parametrize(
    ("mask_type", "keep", "drop"),
    [("float32", 0.0, -1e9), ("float16", 0.0, -45824.0), ("bool", True, False)],
)
def test_prefill_padded_fills_every_input(mask_type: str, keep: float, drop: float) -> None:
    executor, model = recording_executor(mask_type)
    assert executor.prefill([7, 8, 5], 1) == 3
    ((key, inputs),) = model.runs
    assert key == "prefill_4"
    assert inputs["tokens"].tolist() == [[7, 8, 5, 0]]
    assert inputs["positions"].tolist() == [[1, 2, 3, 4]]
    assert inputs["param_tensor"].tolist() == [[[[1, 4, 4, 0, 0, 0, 0]]]]
    expected = [[keep] * kept + [drop] * (6 - kept) for kept in (2, 3, 4, 5)]
    assert inputs["mask"].tolist() == [[np.array(expected, inputs["mask"].dtype).tolist()]]
    assert not inputs["k_cache_0"].any()


def test_step_takes_the_caches_of_the_run_before() -> None:
    executor, model = recording_executor()
    executor.step(3, 0)
    logits = executor.step(4, 1)
    assert (logits.shape, logits.dtype) == ((9,), np.dtype(np.float32))
    key, inputs = model.runs[1]
    assert (key, inputs["tokens"].tolist(), inputs["positions"].tolist()) == (
        "decode",
        [[4]],
        [[1]],
    )
    assert inputs["k_cache_0"].all()


@pytest.mark.parametrize(
    ("count", "position", "key", "num_read"),
    [
        (5, 0, "prefill_4", 4),
        (3, 0, "prefill_4", 3),
        (2, 0, "prefill_2", 2),
        (1, 0, "prefill_2", 1),
        (3, 3, "prefill_2", 2),  # four rows would not fit
        (1, 5, "decode", 1),  # two neither
    ],
)
def test_prefill_takes_a_chunk_that_fits(
    count: int, position: int, key: str, num_read: int
) -> None:
    executor, model = recording_executor()
    assert executor.prefill(list(range(count)), position) == num_read
    assert [run[0] for run in model.runs] == [key]
