"""Prints what a .litertlm file consists of."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from litert.cli.summary_text import INDENT, indented, signature_lines, weight_lines
from litert.inspection import ModelSummary
from litert.language.inspection import LanguageSummary
from litert.language.metadata import (
    ExecutorMetadata,
    LlmMetadata,
    SamplerParameters,
    StateBuffer,
    TokenUnion,
)
from litert.printing import aligned, count, printable, size

# What fits into a terminal of 100 columns: a line, a template's start, a section's items.
_WIDTH = 96
_MAX_TEXT = 44
_MAX_ITEMS = 60
_MAX_TOKENS = 8


def format_language_summary(summary: LanguageSummary) -> Iterator[str]:
    """Yield the lines of the summary as a person reads it."""
    version = ".".join(map(str, summary.container.version))
    yield f"{printable(summary.path)}  {size(summary.size_bytes)}"
    yield f"{INDENT}.litertlm format {version}"
    if summary.problem is not None:
        problem = f"litert.LanguageModel cannot load it: {printable(summary.problem)}"
        yield from indented(textwrap.wrap(problem, _WIDTH, subsequent_indent=INDENT))
    entries = summary.container.entries
    yield from indented(aligned([(printable(key), _value(text)) for key, text in entries.items()]))
    yield ""
    yield f"Sections  {len(summary.sections)}"
    yield from indented(aligned(_section_rows(summary), right=(0, 2)))
    for number, entry in enumerate(summary.sections):
        if isinstance(entry.content, LlmMetadata):
            yield from _titled(f"Metadata  section {number}", _llm_rows(entry.content))
        elif isinstance(entry.content, ExecutorMetadata):
            yield from _titled(f"Execution  section {number}", _executor_rows(entry.content))
    for number, entry in enumerate(summary.sections):
        if isinstance(entry.content, ModelSummary):
            model_type = printable(entry.section.item("model_type"))
            yield ""
            yield f"Model  section {number}  {model_type}".rstrip()
            yield from _model_lines(entry.content)


def _section_rows(summary: LanguageSummary) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for number, entry in enumerate(summary.sections):
        items = ", ".join(_item(key, text) for key, text in entry.section.items.items())
        first, *others = textwrap.wrap(items, _MAX_ITEMS) or [""]
        rows.append((str(number), entry.section.kind, size(entry.section.size), first))
        rows += [("", "", "", line) for line in others]
    return rows


def _item(key: str, text: str | None) -> str:
    # What a model is for says itself what it is.
    return _value(text) if key == "model_type" else f"{printable(key)} {_value(text)}"


def _titled(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield title
    yield from indented(aligned(rows))


def _llm_rows(metadata: LlmMetadata) -> list[tuple[str, str]]:
    rows = [
        ("model type", metadata.model_type),
        ("context length", metadata.context_length and count(metadata.context_length, "token")),
        ("start token", metadata.start_token and _token(metadata.start_token)),
        ("stop tokens", _listed([_token(token) for token in metadata.stop_tokens])),
        ("pad token", metadata.pad_token and _token(metadata.pad_token)),
        ("suppressed tokens", _listed([str(token) for token in metadata.suppressed_tokens])),
        ("chat template", metadata.chat_template and _template(metadata.chat_template)),
        ("channels", _listed([printable(channel.name) for channel in metadata.channels])),
        ("sampler", metadata.sampler and _sampler(metadata.sampler)),
        ("thinking", _yes_or_no(metadata.supports_thinking)),
        ("function calling", _yes_or_no(metadata.supports_function_calling)),
        ("needs LiteRT-LM", printable(metadata.min_runtime_version or "")),
    ]
    return [(name, text) for name, text in rows if text]


def _executor_rows(metadata: ExecutorMetadata) -> list[tuple[str, str]]:
    groups = Counter(_state(buffer) for buffer in metadata.state_buffers)
    rows = [("caches", f"{number} {text}") for text, number in groups.items()]
    if metadata.max_history_size is not None:
        rows.append(("history", count(metadata.max_history_size, "token")))
    for name, mask in (
        ("attention mask", metadata.attention_mask),
        ("local attention mask", metadata.local_attention_mask),
    ):
        if mask != "unspecified":
            rows.append((name, mask))
    if metadata.sliding_window_size is not None:
        rows.append(("sliding window", count(metadata.sliding_window_size, "token")))
    return rows


def _model_lines(model: ModelSummary) -> Iterator[str]:
    if model.description:
        yield f"{INDENT}{printable(model.description)}"
    for signature in model.signatures.values():
        yield from signature_lines(signature)
    yield ""
    yield f"Operators  {sum(model.operators.values()):,}"
    yield from weight_lines(model)


def _state(buffer: StateBuffer) -> str:
    parts = [buffer.kind]
    if buffer.sequence_axis is not None:
        parts.append(f"sequence axis {buffer.sequence_axis}")
    if buffer.max_sequence_length is not None:
        parts.append(f"up to {count(buffer.max_sequence_length, 'token')}")
    return ", ".join(parts)


def _sampler(sampler: SamplerParameters) -> str:
    text = f"{sampler.kind}, k {sampler.k}, p {sampler.p:g}, temperature {sampler.temperature:g}"
    return text if sampler.seed is None else f"{text}, seed {sampler.seed}"


def _token(token: TokenUnion) -> str:
    return _quoted(token.text) if token.text is not None else " ".join(map(str, token.ids))


def _template(template: str) -> str:
    lines = template.strip().splitlines() or [""]
    return f"{len(template):,} characters, {count(len(lines), 'line')}: {_quoted(lines[0])}"


def _quoted(text: str) -> str:
    short = text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
    return f"'{printable(short)}'"


def _listed(texts: Iterable[str]) -> str:
    texts = list(texts)
    more = f", … {len(texts):,} in all" if len(texts) > _MAX_TOKENS else ""
    return ", ".join(texts[:_MAX_TOKENS]) + more


def _yes_or_no(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _value(text: str | None) -> str:
    return "(not text)" if text is None else printable(text)
