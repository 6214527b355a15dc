"""A language model and the ways to generate with it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from litert.backends.choose_language import open_language_model
from litert.cache import cache_folder
from litert.cpu import num_usable_cores
from litert.errors import (
    ClosedError,
    LiteRTError,
    MissingExtraError,
    OptionError,
    TokenizerError,
)
from litert.language.generation import Chunk, Generation
from litert.language.language_file import LanguageFile, open_language_file
from litert.language.options import GenerationArguments
from litert.language.session import Session
from litert.language.stream import Stream, read_async
from litert.language.text import ModelText
from litert.options import (
    Backend,
    CacheSetting,
    CpuOptions,
    check_backend,
    check_cpu_options,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from litert.language.tokenizer import Tokenizer

Prompt: TypeAlias = "str | Sequence[int]"
Message: TypeAlias = "Mapping[str, Any]"

# More threads than this rarely help one generation.
_MAX_DEFAULT_THREADS = 4


class LanguageModel:
    """A language model, loaded and ready to generate.

    Safe to use from several threads: each generation has its own context, and they take turns. For
    generations in parallel open the model several times with fewer threads each; the packed weights
    are shared.

    Args:
        path: A ``.litertlm`` file, or the ``.tflite`` of a language model as litert-torch exports
            it.
        tokenizer: A ``tokenizer.json``, a SentencePiece model, or a folder with one; for a
            ``.tflite``, which has none, or in place of the file's own.
        num_threads: Threads of one run; by default the cores this process may use, at most 4.
        cpu: How to run on the CPU, in place of ``num_threads`` and ``weight_cache``.
        context_length: Tokens that a context holds at most, prompt and generated ones together; by
            default what the file says. More than the model was exported with only where its graph
            allows it, never more than its metadata says.
        weight_cache: ``"auto"`` keeps packed weights in the user's cache folder, so that the next
            load is quick and processes share them; a path keeps them in that folder; None keeps
            nothing on disk. Short for ``cpu=CpuOptions(weight_cache=...)``.
        warmup: Make the first run a part of loading, so that the first token comes as soon as
            later ones.
        backend: ``"native"`` (the C++ core), ``"reference"`` (ai-edge-litert's Interpreter, slow),
            or ``"auto"``; see ``Model``.

    Raises:
        ModelNotFoundError: There is no such file.
        FileFormatError: It is damaged or of another format.
        UnsupportedModelError: It is no language model that runs here; the message says why.
        TokenizerError: The tokenizer is damaged, or another model's.
        LibraryError: No LiteRT library is usable, and neither is the fallback.
        OptionError: An option has a wrong value.

    Example:
        >>> from litert.samples import speller_model_path
        >>> with litert.LanguageModel(speller_model_path()) as lm:
        ...     print(lm.chat([{"role": "user", "content": "12 + 30"}]).text)
        42
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        tokenizer: str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        cpu: CpuOptions | None = None,
        context_length: int | None = None,
        weight_cache: CacheSetting = "auto",
        warmup: bool = False,
        backend: Backend = "auto",
    ) -> None:
        self._is_closed = True  # until everything below has succeeded
        options = _cpu_options(num_threads, weight_cache, cpu)
        self._file = open_language_file(path, tokenizer=tokenizer)
        _check_context_length(context_length, self._file)
        reading = _TokenizerReading(self._file, is_native=backend != "reference")
        try:
            self._model, self._backend, self._backend_reason = open_language_model(
                self._file,
                options,
                check_backend(backend),
                cache_folder=_folder(options.weight_cache),
                context_length=context_length,
            )
        finally:
            loaded, problem = reading.wait()
        try:
            self._text = ModelText(
                self._file,
                loaded,
                problem,
                vocab_size=self._model.vocab_size,
                is_native=self._backend == "native",
                wait_for_decoder=reading.wait_for_decoder,
            )
        except LiteRTError:
            self._model.close()
            raise
        self._spare: Session | None = None
        self._lock = threading.Lock()
        self._is_closed = False
        if warmup:
            self._warm_up()

    @property
    def backend(self) -> str:
        """``"native"`` or ``"reference"``."""
        return self._backend

    @property
    def backend_reason(self) -> str:
        """Why that backend was chosen."""
        return self._backend_reason

    @property
    def context_length(self) -> int:
        """Tokens that a context holds at most, prompt and generated ones together."""
        return self._model.context_length

    @property
    def vocab_size(self) -> int:
        """Length of the logits."""
        return self._model.vocab_size

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer: ``encode``, ``decode`` and the special tokens.

        Raises:
            TokenizerError: There is none.
            MissingExtraError: What it needs is not installed.
        """
        return self._text.tokenizer

    @property
    def bos_token(self) -> int | None:
        """Id of the token that stands before the text of a prompt, None for none."""
        return self._text.bos_token

    @property
    def stop_tokens(self) -> tuple[tuple[int, ...], ...]:
        """The model's own: sequences of ids that end a generation, most of one id."""
        return self._text.stop_tokens

    def generate(self, prompt: Prompt, **options: Unpack[GenerationArguments]) -> Generation:
        """Generate after a prompt, in a context of its own.

        Args:
            prompt: Text, which gets the model's start token before it and never becomes a control
                token, or ids, which are taken as they are.
            **options: See ``GenerationOptions``.

        Raises:
            ContextLengthError: The prompt does not fit; the message says how many tokens do.
            TokenizerError: Text without a tokenizer, or an id outside of the vocabulary.
            OptionError: An option is out of its range.
            ExecutionError: The library failed; the model stays usable.
            ClosedError: After ``close``.
        """
        return self.stream(prompt, **options).rest()

    def stream(self, prompt: Prompt, **options: Unpack[GenerationArguments]) -> Stream:
        """Do what ``generate`` does, piece by piece, as the stream is read."""
        self._check_open()
        session = self._take_session()
        try:
            session.truncate(0)
            session.append(prompt)
            return session.start(options, on_end=lambda: self._give_back(session))
        except BaseException:
            self._give_back(session)
            raise

    async def astream(
        self, prompt: Prompt, **options: Unpack[GenerationArguments]
    ) -> AsyncIterator[Chunk]:
        """Do what ``stream`` does off the event loop; closing the iterator ends the generation."""
        async for chunk in read_async(lambda: self.stream(prompt, **options)):
            yield chunk

    def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_variables: Mapping[str, Any] | None = None,
        **options: Unpack[GenerationArguments],
    ) -> Generation:
        """Generate the next reply of a conversation through the model's own template.

        What the conversation has in common with the last one is not read again.

        Args:
            messages: ``{"role": "user", "content": "..."}`` and so on; content is a text or a list
                of ``{"type": "text", "text": "..."}``.
            tools: Descriptions of functions, for templates that take them.
            template_variables: Other variables of the template.
            **options: See ``GenerationOptions``.

        Raises:
            ChatTemplateError: There is no template, it fails, or a message is not what it takes.
            ContextLengthError: The conversation does not fit.
            OptionError: An option is out of its range.
            ExecutionError: The library failed; the model stays usable.
            ClosedError: After ``close``.
        """
        ids = self.encode_chat(messages, tools=tools, template_variables=template_variables)
        session = self._take_session()
        try:
            session.replace(ids)
            return session.generate(**options)
        finally:
            self._give_back(session)

    def encode_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Return the ids of a conversation, up to where the next reply begins.

        For ``stream``, ``astream`` and ``Session.append`` or ``replace``. Contents never become
        control tokens.

        Raises:
            ChatTemplateError: As for ``chat``.
        """
        self._check_open()
        return self._text.encode_chat(messages, tools, template_variables or {})

    def session(self) -> Session:
        """Make an empty context that is kept between calls."""
        self._check_open()
        return Session(self._model.session(), self._text, self.context_length)

    def close(self) -> None:
        """Release the model; idempotent. Generations under way end with ClosedError."""
        if self._is_closed:
            return
        self._is_closed = True
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()
        self._model.close()

    def __enter__(self) -> LanguageModel:
        self._check_open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{self._backend}, {self.context_length} tokens"
        return f"<litert.LanguageModel {str(self._file.path)!r}: {state}>"

    def _take_session(self) -> Session:
        """Return the session of the last call, whose caches are at hand, or a new one."""
        with self._lock:
            spare, self._spare = self._spare, None
        return self.session() if spare is None else spare

    def _give_back(self, session: Session) -> None:
        with self._lock:
            if self._spare is None and not self._is_closed:
                self._spare = session
                return
        session.close()

    def _warm_up(self) -> None:
        """Run everything once that the first generation needs."""
        num_tokens = min(8, self.context_length - 1)
        self.generate([0] * num_tokens, max_tokens=1, ignore_eos=True)

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the language model is closed")


def default_num_threads() -> int:
    """Return how many threads a model runs with where nobody asks for another number."""
    return min(num_usable_cores(), _MAX_DEFAULT_THREADS)


class _TokenizerReading:
    """Reads a tokenizer in a thread of its own, beside the loading of the model.

    It is there when ``wait`` returns; the thread goes on to build what decoding needs.
    """

    def __init__(self, file: LanguageFile, *, is_native: bool) -> None:
        self._file = file
        self._is_native = is_native
        self._loaded: Tokenizer | None = None
        self._problem: BaseException | None = None
        self._is_read = threading.Event()
        self._thread = threading.Thread(target=self._run, name="litert-tokenizer", daemon=True)
        self._thread.start()

    def wait(self) -> tuple[Tokenizer | None, LiteRTError | None]:
        """Return the tokenizer, or what stands in the way of using text."""
        self._is_read.wait()
        if self._problem is None or isinstance(self._problem, MissingExtraError):
            return self._loaded, self._problem
        raise self._problem

    def wait_for_decoder(self) -> None:
        """Return once decoding is prepared."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loaded = self._read()
        except BaseException as err:  # raised again by wait()
            self._problem = err
        self._is_read.set()
        if self._loaded is not None:
            # What fails here fails again, and is told, when text is decoded.
            with contextlib.suppress(ImportError, TokenizerError):
                self._loaded.stream(self._is_native)

    def _read(self) -> Tokenizer | None:
        from litert.language.load_tokenizer import load_tokenizer

        if self._file.tokenizer_path is not None:
            return load_tokenizer(self._file.tokenizer_path)
        content = self._file.tokenizer_bytes()
        return None if content is None else load_tokenizer(content)


def _cpu_options(
    num_threads: int | None, weight_cache: CacheSetting, cpu: CpuOptions | None
) -> CpuOptions:
    check_cpu_options(cpu)
    if cpu is None:
        cpu = CpuOptions(num_threads=num_threads, weight_cache=weight_cache)
    elif num_threads is not None:
        raise OptionError("num_threads: give it inside cpu=CpuOptions(...), not twice")
    elif weight_cache != "auto":
        raise OptionError("weight_cache: give it inside cpu=CpuOptions(...), not twice")
    if cpu.xnnpack_flags:
        raise OptionError("xnnpack_flags: have no meaning for a language model")
    if cpu.num_threads is None:
        return dataclasses.replace(cpu, num_threads=default_num_threads())
    return cpu


def _check_context_length(wanted: int | None, file: LanguageFile) -> None:
    if wanted is None:
        return
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 2:
        raise OptionError(f"context_length: expected an int, 2 or more, got {wanted!r}")
    promised = 0 if file.metadata is None else file.metadata.context_length
    if promised and wanted > promised:
        raise OptionError(
            f"context_length: the model was made for {promised} tokens at most, got {wanted}"
        )


def _folder(weight_cache: CacheSetting) -> str:
    if weight_cache is None:
        return ""
    return str(cache_folder()) if weight_cache == "auto" else os.path.abspath(weight_cache)
