"""The native backend for language models: the C++ token loop behind the protocol."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from litert._extension import native as _native
from litert.backends.language_protocol import LoopRequest, TextDecoder
from litert.element_types import ELEMENT_TYPE_BY_NUMBER
from litert.errors import ClosedError, ExecutionError, ModelError, OptionError
from litert.language.generation import Chunk, Metrics, TokenLogprob, make_metrics
from litert.language.layout import check_embedder, find_embedder, find_layouts
from litert.library import load_library
from litert.options import CpuOptions
from litert.tensor_info import Signature, TensorInfo

if TYPE_CHECKING:
    from litert.language.language_file import LanguageFile

_log = logging.getLogger("litert")

# LiteRtStatus of an argument that the core refuses.
_INVALID_ARGUMENT = 1


class NativeLoop:
    """A generation in the C++ loop."""

    __slots__ = ("_loop", "_model")

    def __init__(self, loop: _native.TokenLoop, model: NativeLanguageModel) -> None:
        self._loop = loop
        self._model = model

    def next(self) -> Chunk | None:
        """See ``BackendLoop``."""
        return self._to_chunk(self._loop.next())

    def run(self) -> Chunk:
        """See ``BackendLoop``."""
        chunk = self._to_chunk(self._loop.run())
        if chunk is None:
            raise ClosedError("the generation is over")
        return chunk

    def cancel(self) -> None:
        """See ``BackendLoop``."""
        self._loop.cancel()

    @property
    def metrics(self) -> Metrics:
        """See ``BackendLoop``."""
        prompt, cached, generated, prefill_s, first_s, decode_s = self._loop.metrics()
        return make_metrics(prompt, cached, generated, prefill_s, first_s, decode_s)

    def _to_chunk(self, raw: _native._RawChunk | None) -> Chunk | None:
        self._model.log_notes()
        if raw is None:
            return None
        text, tokens, details, reason = raw
        logprobs = tuple(
            TokenLogprob(token, logprob, top)
            for token, (logprob, top) in zip(tokens, details, strict=bool(details))
        )
        return Chunk(text, tokens, logprobs, reason)


class NativeSession:
    """One context in the core."""

    __slots__ = ("_model", "_session")

    def __init__(self, session: _native.Session, model: NativeLanguageModel) -> None:
        self._session = session
        self._model = model

    @property
    def tokens(self) -> list[int]:
        """See ``BackendSession``."""
        return self._session.tokens

    def append(self, tokens: Sequence[int]) -> None:
        """See ``BackendSession``."""
        self._session.append(tokens)

    def truncate(self, length: int) -> None:
        """See ``BackendSession``."""
        self._session.truncate(length)

    def start(self, request: LoopRequest, decoder: TextDecoder | None) -> NativeLoop:
        """See ``BackendSession``."""
        return NativeLoop(self._session.start(request, decoder), self._model)

    def close(self) -> None:
        """See ``BackendSession``."""
        self._session.close()


class NativeLanguageModel:
    """A language model in the core. Safe in several threads: its sessions take turns."""

    __slots__ = ("_model",)

    def __init__(self, model: _native.LanguageModel) -> None:
        self._model = model
        self.log_notes()

    @classmethod
    def open(
        cls, file: LanguageFile, options: CpuOptions, cache_folder: str, context_length: int | None
    ) -> NativeLanguageModel:
        """Load a model and compile it at the shortest length of its context.

        Args:
            file: Where its parts lie.
            options: How to run it.
            cache_folder: Where packed weights are kept; empty keeps them in memory.
            context_length: Tokens that a context can hold at most; None as the file says.

        Raises:
            LibraryError: The library is not usable.
            FileFormatError: A model is damaged.
            UnsupportedModelError: The compiled model cannot run it rightly.
            ModelError: It does not compile.
            OptionError: It cannot have that context length.
        """
        if not _native.is_library_open():
            load_library()
        opened = _native.OpenFile(os.fsencode(file.path))
        layout = find_layouts(
            _signatures(opened, file.model),
            file.executor.state_buffers if file.executor is not None else (),
        )[-1]
        embedder = (
            None if file.embedder is None else find_embedder(_signatures(opened, file.embedder))
        )
        check_embedder(layout, embedder)
        try:
            model = _native.LanguageModel.load(
                opened,
                file.model,
                file.embedder,
                layout,
                () if embedder is None else embedder.signatures,
                options.threads,
                options.kernels == "xnnpack",
                os.fsencode(cache_folder),
                context_length or file.context_length(layout.cache_length),
            )
        except ExecutionError as err:
            if err.status == _INVALID_ARGUMENT:
                raise OptionError(str(err), status=err.status) from err
            # The library has no status of its own for "this model cannot be prepared".
            raise ModelError(str(err), status=err.status, library_log=err.library_log) from err
        return cls(model)

    @property
    def vocab_size(self) -> int:
        """See ``BackendLanguageModel``."""
        return self._model.vocab_size

    @property
    def context_length(self) -> int:
        """See ``BackendLanguageModel``."""
        return self._model.context_length

    def session(self) -> NativeSession:
        """See ``BackendLanguageModel``."""
        return NativeSession(self._model.session(), self)

    def close(self) -> None:
        """See ``BackendLanguageModel``."""
        self._model.close()

    def log_notes(self) -> None:
        """Log what the core decided since the last time."""
        for line in self._model.take_notes():
            _log.debug("%s", line)


def _signatures(file: _native.OpenFile, section: tuple[int, int]) -> dict[str, Signature]:
    return {
        key: Signature(key, _infos(inputs), _infos(outputs))
        for key, inputs, outputs in file.read_signatures(section)
    }


def _infos(described: list[tuple[str, int, tuple[int, ...]]]) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(name, shape, ELEMENT_TYPE_BY_NUMBER[number].name, None)
        for name, number, shape in described
    }
