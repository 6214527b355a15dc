"""The reference backend for language models: the Interpreter, and the token loop in Python.

Correct and plain: the caches have their full length, and each run copies them in and out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from litert.backends.language_protocol import LoopRequest, TextDecoder
from litert.backends.protocol import Arrays
from litert.backends.reference import ReferenceModel
from litert.errors import ClosedError, OptionError
from litert.language.layout import (
    EmbedderRoles,
    Layout,
    check_embedder,
    find_embedder,
    find_layouts,
)
from litert.language.metadata import ExecutorMetadata
from litert.language.python_loop import Context, PythonLoop
from litert.language.signature_roles import SignatureRoles
from litert.model_file import Buffer
from litert.options import CpuOptions

# What the mask adds to a score to drop it: large, but finite still with the score.
_DROP = {"float32": -1e9, "float16": -45824.0}


class ReferenceLanguageModel:
    """A language model in an ``Interpreter``. Thread-safe: sessions' runs wait for each other.

    Example:
        >>> model = ReferenceLanguageModel(Path("llama.tflite").read_bytes())
        >>> session = model.session()
        >>> session.append([1, 266, 305])
        >>> session.start(LoopRequest(max_tokens=8), None).run().tokens
    """

    def __init__(
        self,
        model: Buffer,
        embedder: Buffer | None = None,
        *,
        metadata: ExecutorMetadata | None = None,
        cpu: CpuOptions = CpuOptions(),  # noqa: B008 (immutable)
        context_length: int | None = None,
        promised_length: int = 0,
    ) -> None:
        """Load a model and find the roles of its tensors.

        Args:
            model: The .tflite bytes of the model; copied.
            embedder: Those of the model that turns ids into embeddings, where that is another one.
            metadata: What the file says about its caches.
            cpu: How to run it.
            context_length: Tokens that a context can hold at most. By default as many as the caches
                hold, but no more than ``promised_length``.
            promised_length: For how many tokens the model was made; 0 where the file does not say.

        Raises:
            FileFormatError: A model is damaged, or the two do not fit.
            UnsupportedModelError: It is no language model, or one that cannot be run rightly.
            OptionError: ``context_length`` is longer than the model's caches.
            LibraryError: There is no Interpreter.
        """
        self._model = ReferenceModel.open(model, cpu)
        self._embedder = None
        state_buffers = metadata.state_buffers if metadata is not None else ()
        layouts = find_layouts(self._model.signatures, state_buffers)
        longest = layouts[-1].cache_length
        self._context_length = context_length or min(promised_length or longest, longest)
        self._layout = _choose_layout(layouts, self._context_length)
        embedder_roles = None
        if embedder is not None:
            embedder_model = ReferenceModel.open(embedder, cpu)
            embedder_roles = find_embedder(embedder_model.signatures)
            self._embedder = _Embedder(embedder_model, embedder_roles)
        check_embedder(self._layout, embedder_roles)
        self._is_closed = False

    @property
    def vocab_size(self) -> int:
        """Length of the logits."""
        return self._layout.vocab_size

    @property
    def context_length(self) -> int:
        """Tokens that a context can hold at most."""
        return self._context_length

    def session(self) -> ReferenceSession:
        """Make an empty context.

        Raises:
            ClosedError: The model is closed.
        """
        if self._is_closed:
            raise ClosedError("the model is closed")
        executor = _Executor(self._model, self._embedder, self._layout, self._context_length)
        return ReferenceSession(Context(executor))

    def close(self) -> None:
        """Release the model once a run under way has ended; idempotent."""
        self._is_closed = True
        self._model.close()
        if self._embedder is not None:
            self._embedder.close()


class ReferenceSession:
    """One context. One thread at a time: a second one is refused."""

    def __init__(self, context: Context) -> None:
        """Take over an empty context."""
        self._context = context

    @property
    def tokens(self) -> list[int]:
        """A copy of the ids in the context.

        Raises:
            ClosedError: The session is closed.
        """
        self._context.check_open()
        return list(self._context.tokens)

    def append(self, tokens: Sequence[int]) -> None:
        """Add ids, checked and fitting; they are read when the next loop runs.

        Raises:
            ExecutionError: Another thread uses the session.
            ClosedError: The session is closed.
        """
        with self._context.in_use():
            self._context.tokens.extend(int(token) for token in tokens)

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` ids.

        Raises:
            ExecutionError: Another thread uses the session.
            ClosedError: The session is closed.
        """
        with self._context.in_use():
            self._context.truncate(length)

    def start(self, request: LoopRequest, decoder: TextDecoder | None) -> PythonLoop:
        """Start generating after the ids in the context.

        Raises:
            OptionError: A value of the request is out of its range.
            ClosedError: The session is closed.
        """
        self._context.check_open()
        return PythonLoop(self._context, request, decoder)

    def close(self) -> None:
        """Release the caches; idempotent. A loop under way fails at its next step."""
        self._context.close()


class _Embedder:
    """Turns ids into embeddings. Thread-safe."""

    def __init__(self, model: ReferenceModel, roles: EmbedderRoles) -> None:
        self._model = model
        self._roles = roles

    def embed(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return float32[1, len(ids), hidden_size]."""
        pieces = []
        start = 0
        while start < len(ids):
            rest = len(ids) - start
            fitting = [role for role in self._roles.signatures if role.num_tokens <= rest]
            role = fitting[-1] if fitting else self._roles.signatures[0]
            taken = ids[start : start + role.num_tokens]
            outputs = self._model.run(role.key, {role.tokens: _row(taken, role.num_tokens)})
            pieces.append(outputs[role.embeddings][:, : len(taken)])
            start += len(taken)
        return np.concatenate(pieces, axis=1)

    def close(self) -> None:
        self._model.close()


class _Executor:
    """One context's caches, and how the model runs on them. One thread at a time."""

    def __init__(
        self, model: ReferenceModel, embedder: _Embedder | None, layout: Layout, context_length: int
    ) -> None:
        self._model = model
        self._embedder = embedder
        self._layout = layout
        self._context_length = context_length
        inputs = model.signatures[layout.decode.key].inputs
        # Zeros, as what is dropped by the mask must be finite all the same.
        self._caches: dict[str, npt.NDArray[Any]] = {
            cache.name: np.zeros(inputs[cache.input].shape, inputs[cache.input].dtype)
            for cache in layout.decode.caches
        }

    @property
    def vocab_size(self) -> int:
        return self._layout.vocab_size

    @property
    def context_length(self) -> int:
        return self._context_length

    def prefill(self, ids: Sequence[int], position: int) -> int:
        """Read the first of ``ids``; return how many."""
        roles = self._choose_prefill(len(ids), position)
        taken = ids[: roles.num_tokens]
        self._run(roles, taken, position)
        return len(taken)

    def step(self, token: int, position: int) -> npt.NDArray[np.float32]:
        """Read one id; return the logits of the next one, float32[vocab]."""
        decode = self._layout.decode
        logits: npt.NDArray[np.float32] = self._run(decode, [token], position)[decode.logits]
        return logits.reshape(-1)

    def _choose_prefill(self, count: int, position: int) -> SignatureRoles:
        """Return the signature to read the next of ``count`` ids with.

        A run costs about the same for each row, padded or not, and a good deal by itself.
        """
        # The model would move a chunk that ends beyond its caches, over what is there.
        room = self._layout.cache_length - position
        fitting = [roles for roles in self._layout.prefills if roles.num_tokens <= room]
        whole = [roles for roles in fitting if roles.num_tokens <= count]
        covering = [roles for roles in fitting if roles.num_tokens >= count]
        if covering and (not whole or covering[0].num_tokens <= 2 * count):
            return covering[0]
        return whole[-1] if whole else self._layout.decode

    def _run(self, roles: SignatureRoles, ids: Sequence[int], position: int) -> Arrays:
        """Run a signature, and keep the caches that it returns."""
        inputs = {cache.input: self._caches[cache.name] for cache in roles.caches}
        outputs = self._model.run(roles.key, inputs | self._inputs(roles, ids, position))
        self._caches = {cache.name: outputs[cache.output] for cache in roles.caches}
        return outputs

    def _inputs(self, roles: SignatureRoles, ids: Sequence[int], position: int) -> Arrays:
        """Return all inputs but the caches; rows behind the ids are padded with id 0."""
        infos = self._model.signatures[roles.key].inputs
        positions = np.arange(position, position + roles.num_tokens, dtype=np.int32)
        inputs: Arrays = {roles.positions: positions.reshape(infos[roles.positions].shape)}
        if roles.tokens is not None:
            inputs[roles.tokens] = _row(ids, roles.num_tokens)
        if roles.embeddings is not None and self._embedder is not None:
            padded = [*ids, *[0] * (roles.num_tokens - len(ids))]
            inputs[roles.embeddings] = self._embedder.embed(padded)
        if roles.mask is not None:
            inputs[roles.mask] = _mask(roles, positions)
        if roles.param_tensor is not None:
            end = position + len(ids)
            params = np.array([position, end, end, 0, 0, 0, 0], dtype=np.int32)
            inputs[roles.param_tensor] = params.reshape(infos[roles.param_tensor].shape)
        return inputs


def _choose_layout(layouts: Sequence[Layout], context_length: int) -> Layout:
    """Return the layout with the shortest caches that hold the context."""
    for layout in layouts:
        if 0 < context_length <= layout.cache_length:
            return layout
    raise OptionError(
        f"context_length: expected 1 to {layouts[-1].cache_length}, since the reference backend "
        f"cannot lengthen the model's caches, got {context_length}"
    )


def _row(ids: Sequence[int], length: int) -> npt.NDArray[np.int32]:
    """Return ids as int32[1, length], padded with 0."""
    row = np.zeros((1, length), dtype=np.int32)
    row[0, : len(ids)] = ids
    return row


def _mask(roles: SignatureRoles, positions: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Return the mask that lets each row look at its own position and those before."""
    keep = np.arange(roles.cache_length) <= positions[:, None]
    if roles.mask_kind not in _DROP:
        return keep[None, None]
    mask = np.where(keep, 0.0, _DROP[roles.mask_kind]).astype(roles.mask_kind)
    return mask[None, None]
