"""What a language-model file says about its model: tokens, templates, sampling, caches.

Field numbers are those of LiteRT-LM's protocol buffers, package ``litert.lm.proto``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from litert.errors import FileFormatError
from litert.language._protobuf import Message

# Templates have some ten thousand characters.
MAX_METADATA_BYTES = 1 << 22

_MODEL_TYPES = {
    1: "generic",
    2: "gemma3n",
    3: "function_gemma",
    4: "gemma3",
    5: "qwen3",
    7: "qwen2p5",
    8: "gemma4",
    9: "fast_vlm",
    11: "lfm2",
    12: "minicpm5",
    13: "minicpmv4",
}
_SAMPLERS = ("unspecified", "top_k", "top_p", "greedy")
_STATES = (
    *("unspecified", "global_key", "global_value", "local_key", "local_value"),
    "linear_attention",
)
_MASKS = ("unspecified", "causal", "bidirectional", "vision_bidirectional")


@dataclass(frozen=True, slots=True)
class TokenUnion:
    """A token, or a sequence of them, given as ids or as text. Immutable.

    Attributes:
        ids: The ids; empty where the file gives text.
        text: To be encoded with the tokenizer; None where the file gives ids.
    """

    ids: tuple[int, ...]
    text: str | None = None


@dataclass(frozen=True, slots=True)
class PromptAffixes:
    """What stands before and after a message of one role. Immutable."""

    prefix: str
    suffix: str


@dataclass(frozen=True, slots=True)
class PromptTemplates:
    """The affixes of each role, for files without a chat template. Immutable."""

    user: PromptAffixes
    model: PromptAffixes
    system: PromptAffixes


@dataclass(frozen=True, slots=True)
class SamplerParameters:
    """How the model's author samples. Immutable.

    Attributes:
        kind: ``"top_k"``, ``"top_p"``, ``"greedy"``, ``"unspecified"``, or ``"type_9"`` for a
            number that is not known.
        k: Tokens to choose from, 0 where the file does not say.
        p: Probability to choose from, 0 where the file does not say.
        temperature: 0 where the file does not say.
        seed: None where the file does not say.
    """

    kind: str
    k: int
    p: float
    temperature: float
    seed: int | None


@dataclass(frozen=True, slots=True)
class OutputChannel:
    """A part of the output that is set apart by two texts, such as thinking. Immutable."""

    name: str
    start: str
    end: str
    is_reasoning: bool


@dataclass(frozen=True, slots=True)
class LlmMetadata:
    """What the file says about text. Immutable.

    Attributes:
        start_token: Stands before each prompt; None for none.
        stop_tokens: Each ends a generation.
        pad_token: None where the file does not say.
        suppressed_tokens: Ids that are never to be sampled.
        chat_template: Jinja source; None where the file has none.
        prompt_templates: The older form of a template; None where the file has none.
        channels: Parts of the output that are no answer.
        sampler: None where the file does not say.
        context_length: Tokens, prompt and generated ones together; 0 where the file does not say.
        model_type: Such as ``"gemma3"``; ``"type_99"`` for a number that is not known, None where
            the file does not say.
        cache_init_value: What caches are filled with before the first token.
        supports_thinking: None where the file does not say.
        supports_function_calling: None where the file does not say.
        min_runtime_version: Of LiteRT-LM; None where the file does not say.
    """

    start_token: TokenUnion | None = None
    stop_tokens: tuple[TokenUnion, ...] = ()
    pad_token: TokenUnion | None = None
    suppressed_tokens: tuple[int, ...] = ()
    chat_template: str | None = None
    prompt_templates: PromptTemplates | None = None
    channels: tuple[OutputChannel, ...] = ()
    sampler: SamplerParameters | None = None
    context_length: int = 0
    model_type: str | None = None
    cache_init_value: int = 0
    supports_thinking: bool | None = None
    supports_function_calling: bool | None = None
    min_runtime_version: str | None = None


@dataclass(frozen=True, slots=True)
class StateBuffer:
    """One cache: its names in the signatures, and its shape's meaning. Immutable.

    Attributes:
        prefill_input: Name in ``prefill_*``.
        prefill_output: Name there of what it becomes.
        decode_input: Name in ``decode``.
        decode_output: Name there of what it becomes.
        kind: ``"global_key"``, ``"global_value"``, ``"local_key"``, ``"local_value"``,
            ``"linear_attention"``, ``"unspecified"``, or ``"type_9"`` for a number that is not
            known.
        sequence_axis: The dimension that counts tokens; None where the file does not say.
        min_sequence_length: Tokens; None where the file does not say.
        max_sequence_length: Tokens; None where the file does not say.
    """

    prefill_input: str
    prefill_output: str
    decode_input: str
    decode_output: str
    kind: str
    sequence_axis: int | None
    min_sequence_length: int | None
    max_sequence_length: int | None


@dataclass(frozen=True, slots=True)
class ExecutorMetadata:
    """What the file says about running the model. Immutable.

    Attributes:
        state_buffers: The caches.
        max_history_size: Tokens; None where the file does not say.
        attention_mask: ``"causal"``, ``"bidirectional"``, ``"vision_bidirectional"``,
            ``"unspecified"``, or ``"type_9"`` for a number that is not known.
        local_attention_mask: The same of the layers with a sliding window.
        sliding_window_size: Tokens; None where the file does not say.
    """

    state_buffers: tuple[StateBuffer, ...] = ()
    max_history_size: int | None = None
    attention_mask: str = "unspecified"
    local_attention_mask: str = "unspecified"
    sliding_window_size: int | None = None


def read_llm_metadata(data: bytes) -> LlmMetadata:
    """Read the content of a section of kind ``"llm_metadata"``.

    Raises:
        FileFormatError: The bytes are no sound LlmMetadata.

    Example:
        >>> read_llm_metadata(bytes([0x28, 64])).context_length
        64
    """
    message = _root(data, "LlmMetadata")
    suppressed = message.message(9, "suppress_tokens")
    return LlmMetadata(
        start_token=_token(message.message(1, "start_token")),
        stop_tokens=tuple(
            token for entry in message.messages(2, "stop_tokens") if (token := _token(entry))
        ),
        pad_token=_token(message.message(13, "pad_token")),
        suppressed_tokens=() if suppressed is None else suppressed.integers(1),
        chat_template=message.text(7) or None,
        prompt_templates=_prompt_templates(message.message(3, "prompt_templates")),
        channels=tuple(_channel(entry) for entry in message.messages(8, "channels")),
        sampler=_sampler(message.message(4, "sampler_params")),
        context_length=_count(message, 5, "max_num_tokens") or 0,
        model_type=_model_type(message.message(6, "llm_model_type")),
        cache_init_value=message.integer(10, bits=64) or 0,
        supports_thinking=message.boolean(11),
        supports_function_calling=message.boolean(12),
        min_runtime_version=message.text(14),
    )


def read_executor_metadata(data: bytes) -> ExecutorMetadata:
    """Read the content of a section of kind ``"executor_metadata"``.

    Raises:
        FileFormatError: The bytes are no sound ExecutorMetadata.
    """
    message = _root(data, "ExecutorMetadata").message(1, "llm_executor_metadata")
    if message is None:
        return ExecutorMetadata()
    masks = message.message(3, "attention_mask_settings")
    return ExecutorMetadata(
        state_buffers=tuple(_state_buffer(entry) for entry in message.messages(2, "state_buffers")),
        max_history_size=message.integer(1),
        attention_mask=_MASKS[0] if masks is None else _name(_MASKS, masks.integer(1)),
        local_attention_mask=_MASKS[0] if masks is None else _name(_MASKS, masks.integer(2)),
        sliding_window_size=None if masks is None else masks.integer(3),
    )


def _root(data: bytes, name: str) -> Message:
    if len(data) > MAX_METADATA_BYTES:
        raise FileFormatError(
            f"damaged {name}: expected {MAX_METADATA_BYTES} bytes at most, got {len(data)}"
        )
    return Message(data, name)


def _token(message: Message | None) -> TokenUnion | None:
    """Return a token, None where there are neither ids nor text."""
    if message is None:
        return None
    if message.last((1, 2)) == 2:
        text = message.text(2)
        return TokenUnion((), text) if text else None
    token_ids = message.message(1, "token_ids")
    ids = () if token_ids is None else token_ids.integers(1)
    return TokenUnion(ids) if ids else None


def _prompt_templates(message: Message | None) -> PromptTemplates | None:
    if message is None:
        return None
    user, model, system = (
        _affixes(message.message(number, role))
        for number, role in ((1, "user"), (2, "model"), (3, "system"))
    )
    return PromptTemplates(user, model, system)


def _affixes(message: Message | None) -> PromptAffixes:
    if message is None:
        return PromptAffixes("", "")
    return PromptAffixes(message.text(1) or "", message.text(2) or "")


def _channel(message: Message) -> OutputChannel:
    return OutputChannel(
        name=message.text(1) or "",
        start=message.text(2) or "",
        end=message.text(3) or "",
        is_reasoning=message.boolean(4) or False,
    )


def _sampler(message: Message | None) -> SamplerParameters | None:
    if message is None:
        return None
    p, temperature = message.floating(3) or 0.0, message.floating(4) or 0.0
    if not (math.isfinite(p) and math.isfinite(temperature)):
        raise FileFormatError(
            f"damaged sampler_params: expected finite numbers, got p {p} and temperature "
            f"{temperature}"
        )
    return SamplerParameters(
        kind=_name(_SAMPLERS, message.integer(1)),
        k=_count(message, 2, "k") or 0,
        p=p,
        temperature=temperature,
        seed=message.integer(5),
    )


def _model_type(message: Message | None) -> str | None:
    number = None if message is None else message.last()
    return None if number is None else _MODEL_TYPES.get(number, f"type_{number}")


def _state_buffer(message: Message) -> StateBuffer:
    prefill_input, prefill_output, decode_input, decode_output = (
        message.text(number) or "" for number in range(1, 5)
    )
    return StateBuffer(
        prefill_input=prefill_input,
        prefill_output=prefill_output,
        decode_input=decode_input,
        decode_output=decode_output,
        kind=_name(_STATES, message.integer(6)),
        sequence_axis=message.integer(7),
        min_sequence_length=message.integer(8),
        max_sequence_length=message.integer(9),
    )


def _count(message: Message, number: int, name: str) -> int | None:
    """Read a number that counts something."""
    value = message.integer(number)
    if value is not None and value < 0:
        raise FileFormatError(f"damaged metadata: expected {name} of 0 or more, got {value}")
    return value


def _name(names: tuple[str, ...], number: int | None) -> str:
    number = number or 0
    return names[number] if 0 <= number < len(names) else f"type_{number}"
