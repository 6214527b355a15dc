"""Finds the parts of a language-model file that a loader needs, and refuses what cannot run."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from litert._flatbuffer import Reader, Span
from litert.errors import FileFormatError, ModelError, UnsupportedModelError
from litert.file_format import LanguageFileKind, check_language_source
from litert.language.compressed_tokenizer import MAX_TOKENIZER_BYTES, inflate_tokenizer
from litert.language.container import Container, Section, read_container
from litert.language.metadata import (
    MAX_METADATA_BYTES,
    ExecutorMetadata,
    LlmMetadata,
    read_executor_metadata,
    read_llm_metadata,
)
from litert.model_file import FILE_IDENTIFIER

TokenizerKind = Literal["huggingface", "sentencepiece"]

MAIN_MODEL = "tf_lite_prefill_decode"
EMBEDDER = "tf_lite_embedder"
_PER_LAYER_EMBEDDER = "tf_lite_per_layer_embedder"
_ARTISAN_DECODER = "tf_lite_artisan_text_decoder"

_TOKENIZERS: dict[str, TokenizerKind] = {
    "huggingface_tokenizer": "huggingface",
    "sentencepiece_tokenizer": "sentencepiece",
}
# Fields of the TFLite schema: of the model, of a signature, of a named tensor.
_SIGNATURES = 7
_SIGNATURE_INPUTS, _SIGNATURE_KEY = 0, 2
_NAME = 0
# Constants of a model are used where they lie; kernels need this alignment.
_MODEL_ALIGNMENT = 16
# Characters that a message takes from the file.
_MAX_LISTED = 500


@dataclass(frozen=True, slots=True)
class LanguageFile:
    """Where the parts of a language model lie in its file. Immutable; holds no file open.

    Attributes:
        path: The file.
        kind: ``"litertlm"``, or ``"tflite"`` for a model without anything beside it.
        model: The model with the signatures ``prefill_*`` and ``decode``.
        embedder: The model that makes embeddings of tokens; None where the main model does.
        metadata: None where the file has none.
        executor: None where the file has none.
        tokenizer_kind: Of the tokenizer in the file, None where it has none.
        tokenizer: Where that lies, as it is stored.
        tokenizer_path: File or folder that was given with the file; it counts before the one in
            the file.
        unused_models: Types of the models that are in the file and play no part in text.
    """

    path: Path
    kind: LanguageFileKind
    model: Span
    embedder: Span | None = None
    metadata: LlmMetadata | None = None
    executor: ExecutorMetadata | None = None
    tokenizer_kind: TokenizerKind | None = None
    tokenizer: Span | None = None
    tokenizer_path: Path | None = None
    unused_models: tuple[str, ...] = ()

    def context_length(self, cache_length: int) -> int:
        """Return how many tokens a context holds where nobody asks for another number.

        Args:
            cache_length: Tokens that the model's caches hold, as exported.
        """
        promised = 0 if self.metadata is None else self.metadata.context_length
        return min(promised, cache_length) if promised else cache_length

    def tokenizer_bytes(self) -> bytes | None:
        """Read the tokenizer in the file.

        Returns:
            A ``tokenizer.json`` or a SentencePiece model, as ``tokenizer_kind`` says; None where
            the file has none.

        Raises:
            FileFormatError: It is damaged or too large, or the file is another one by now.
            ModelError: The file cannot be read any more.
        """
        if self.tokenizer is None:
            return None
        with errors_named(self.path):
            if self.tokenizer.size > MAX_TOKENIZER_BYTES:
                raise FileFormatError(
                    f"damaged tokenizer: expected {MAX_TOKENIZER_BYTES} bytes at most, "
                    f"got {self.tokenizer.size}"
                )
            with self.path.open("rb") as file:
                file.seek(self.tokenizer.offset)
                stored = file.read(self.tokenizer.size)
            if len(stored) < self.tokenizer.size:
                raise FileFormatError("it became shorter since it was opened; open it again")
            return inflate_tokenizer(stored) if self.tokenizer_kind == "huggingface" else stored


def open_language_file(
    path: str | os.PathLike[str], *, tokenizer: str | os.PathLike[str] | None = None
) -> LanguageFile:
    """Find the parts of a language model.

    Args:
        path: A ``.litertlm`` file, or the ``.tflite`` of a language model.
        tokenizer: File or folder of its tokenizer; for a ``.tflite``, which has none, or to be
            used in place of the file's own.

    Returns:
        The parts. Models and tokenizer are not read, and nothing is written.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is damaged or of another format.
        UnsupportedModelError: It is sound, but no model that runs here; the message says why.
        ModelError: The file cannot be read.

    Example:
        >>> open_language_file("gemma3-1b-it-int4.litertlm").tokenizer_kind
        'sentencepiece'
    """
    path = Path(path)
    kind = check_language_source(path)
    given = None if tokenizer is None else Path(tokenizer)
    with (
        errors_named(path),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
        memoryview(mapping) as data,
    ):
        if kind == "tflite":
            return LanguageFile(path, kind, Span(0, len(data)), tokenizer_path=given)
        return find_parts(data, read_container(data), path, given)


def is_language_model(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is for ``LanguageModel``, by its first bytes and its signatures.

    Args:
        path: A ``.litertlm`` or ``.tflite`` file.

    Returns:
        Whether it is a container, or a model with a signature ``decode`` that has caches. False
        for files that are damaged or of another format.
    """
    path = Path(path)
    try:
        if check_language_source(path) == "litertlm":
            return True
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
            memoryview(mapping) as data,
        ):
            return _has_decode_with_caches(data)
    except (ModelError, OSError):
        return False


def _has_decode_with_caches(data: memoryview) -> bool:
    """Look at the signatures alone; the graph may have thousands of operators."""
    for signature in Reader(data).root().tables(_SIGNATURES):
        if re.fullmatch("decode(_cache_[0-9]+)?", signature.string(_SIGNATURE_KEY) or ""):
            names = [entry.string(_NAME) or "" for entry in signature.tables(_SIGNATURE_INPUTS)]
            return any(re.fullmatch("(kv_cache_[kv]|[kv]_cache)_[0-9]+", name) for name in names)
    return False


def find_parts(
    data: memoryview, container: Container, path: Path, tokenizer: Path | None = None
) -> LanguageFile:
    """Find the parts of a language model among the sections of its file.

    Args:
        data: The whole file, uint8; no view of it is kept.
        container: What was read from it.
        path: Its path.
        tokenizer: Path of a tokenizer that was given with it.

    Raises:
        FileFormatError: A part is damaged, or one that can only be there once comes twice.
        UnsupportedModelError: The model does not run here.
    """
    main = _main_model(container)
    embedder = _only(_models(container, EMBEDDER), "embedder")
    _check_runnable(container, [main] if embedder is None else [main, embedder])
    tokenizers = [section for section in container.sections if section.kind in _TOKENIZERS]
    if tokenizer is not None and len(tokenizers) > 1:
        tokenizers = []
    own = _only(tokenizers, "tokenizer", "pass tokenizer= to choose one")
    llm = _metadata_bytes(data, container, "llm_metadata")
    execution = _metadata_bytes(data, container, "executor_metadata")
    used = (MAIN_MODEL, EMBEDDER)
    return LanguageFile(
        path=path,
        kind="litertlm",
        model=_model_span(data, main),
        embedder=None if embedder is None else _model_span(data, embedder),
        metadata=None if llm is None else read_llm_metadata(llm),
        executor=None if execution is None else read_executor_metadata(execution),
        tokenizer_kind=None if own is None else _TOKENIZERS[own.kind],
        tokenizer=None if own is None else Span(own.begin, own.size),
        tokenizer_path=tokenizer,
        unused_models=tuple(
            model_type(section)
            for section in container.of_kind("tflite_model")
            if model_type(section) not in used
        ),
    )


def read_metadata(data: memoryview, section: Section) -> bytes:
    """Return the content of a metadata section; one byte too much where it is too long."""
    return bytes(data[section.begin : min(section.end, section.begin + MAX_METADATA_BYTES + 1)])


def model_type(section: Section) -> str:
    """Return what a model is for, such as ``"tf_lite_embedder"``."""
    return section.item("model_type") or "no model_type"


def _main_model(container: Container) -> Section:
    models = _models(container, MAIN_MODEL)
    if len(models) == 1:
        return models[0]
    if models:
        raise UnsupportedModelError(
            f"expected one prefill/decode model, got {len(models)}; "
            "take a release of the model for one kind of device"
        )
    if _models(container, _ARTISAN_DECODER):
        raise UnsupportedModelError(
            f"its main model is a {_ARTISAN_DECODER}, for the GPU or the web only; "
            "take the model's release for the CPU, which has no -web or -gpu in its name"
        )
    found = [
        model_type(section) if section.kind == "tflite_model" else section.kind
        for section in container.sections
    ]
    listed = _clipped(", ".join(found)) or "no sections"
    raise UnsupportedModelError(
        f"expected a model of type {MAIN_MODEL}, found {listed}; "
        "take the file that has the language model"
    )


def _check_runnable(container: Container, models: Sequence[Section]) -> None:
    """Raise for what is sound but not supported."""
    for section in models:
        constraint = section.item("backend_constraint")
        backends = [name for part in constraint.split(",") if (name := part.strip())]
        if backends and "cpu" not in backends:
            raise UnsupportedModelError(
                f"its {model_type(section)} runs on {_clipped(' or '.join(backends))} only "
                "(backend_constraint); take the model's release for the CPU"
            )
    if _models(container, _PER_LAYER_EMBEDDER):
        raise UnsupportedModelError(
            f"it has a {_PER_LAYER_EMBEDDER} (Gemma 3n and Gemma 4), which is not supported yet; "
            "take a model without one, such as Gemma 3"
        )
    # One without a type can belong to any model.
    owners = ("", *(section.item("model_type") for section in models))
    if any(part.item("model_type") in owners for part in container.of_kind("tflite_weights")):
        raise UnsupportedModelError(
            "the weights of its model lie in a section of their own, which is not supported; "
            "take or make a release with the weights in the model"
        )


def _model_span(data: memoryview, section: Section) -> Span:
    start = bytes(data[section.begin : min(section.begin + 16, section.end)])
    what = f"damaged container: its {model_type(section)} at byte {section.begin}"
    if len(start) < 16 or start[4:8] != FILE_IDENTIFIER:
        raise FileFormatError(
            f"{what} is no .tflite model: expected the identifier TFL3 at byte 4, "
            f"got {start[4:8]!r}"
        )
    if section.begin % _MODEL_ALIGNMENT:
        raise FileFormatError(f"{what} does not start at a multiple of {_MODEL_ALIGNMENT}")
    return Span(section.begin, section.size)


def _models(container: Container, kind: str) -> list[Section]:
    return [
        section
        for section in container.of_kind("tflite_model")
        if section.item("model_type") == kind
    ]


def _metadata_bytes(data: memoryview, container: Container, kind: str) -> bytes | None:
    section = _only(container.of_kind(kind), f"{kind} section")
    return None if section is None else read_metadata(data, section)


def _clipped(text: str) -> str:
    """Shorten what a hostile file could make endless."""
    return text if len(text) <= _MAX_LISTED else f"{text[:_MAX_LISTED]}…"


def _only(
    sections: Sequence[Section], what: str, advice: str = "take another release of the model"
) -> Section | None:
    """Return the one section there may be, None for none."""
    if len(sections) > 1:
        raise FileFormatError(f"expected one {what} at most, got {len(sections)}; {advice}")
    return sections[0] if sections else None


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Put the file's name before the messages of errors raised inside."""
    try:
        yield
    except (FileFormatError, UnsupportedModelError) as err:
        raise type(err)(f"model {str(path)!r}: {err}") from err
    except OSError as err:
        raise ModelError(f"model {str(path)!r}: cannot be read: {err}") from err
