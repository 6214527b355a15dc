"""A context that is kept between calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from litert.errors import ClosedError, ContextLengthError, GenerationError
from litert.language.generation import Generation
from litert.language.options import GenerationArguments, make_options
from litert.language.stream import Stream

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from litert.backends.language_protocol import BackendSession
    from litert.language.text import ModelText


class Session:
    """The tokens of one context, and what the model has read of them.

    Several sessions of one model live side by side and take turns. One thread at a time: a call
    while another thread is in one raises.

    Example:
        >>> from litert.samples import speller_model_path
        >>> lm = litert.LanguageModel(speller_model_path(), num_threads=1)
        >>> session = lm.session()
        >>> session.append([7, 11, 13])
        >>> first = session.generate(max_tokens=4, ignore_eos=True)
        >>> second = session.generate(max_tokens=4, ignore_eos=True)  # goes on
        >>> session.tokens == (7, 11, 13, *first.tokens, *second.tokens)
        True
        >>> lm.close()
    """

    def __init__(
        self, backend_session: BackendSession, text: ModelText, context_length: int
    ) -> None:
        self._session = backend_session
        self._text = text
        self._context_length = context_length
        self._ends_with_text = False
        self._is_closed = False

    @property
    def tokens(self) -> tuple[int, ...]:
        """The ids in the context, prompts and generated ones, in order."""
        self._check_open()
        return tuple(self._session.tokens)

    @property
    def context_length(self) -> int:
        """Tokens that the context can hold at most."""
        return self._context_length

    def append(self, prompt: str | Sequence[int]) -> None:
        """Add text or ids to the context; they are read when the next generation begins.

        Text is encoded as it is: what looks like a control token stays text. The first text of a
        context gets the model's start token before it, ids never do.

        Raises:
            ContextLengthError: They do not fit.
            TokenizerError: There is no tokenizer, or an id is outside of the vocabulary.
        """
        self._check_open()
        num_held = len(self._session.tokens)
        if isinstance(prompt, str):
            ids = self._text.encode_prompt(prompt, is_first=num_held == 0)
        else:
            ids = self._text.check_ids(prompt)
        check_fits(num_held + len(ids), self._context_length)
        self._session.append(ids)
        self._ends_with_text = isinstance(prompt, str)

    def truncate(self, length: int) -> None:
        """Keep the first ``length`` tokens; nothing of them is read again."""
        self._check_open()
        self._session.truncate(length)

    def replace(self, ids: Sequence[int]) -> int:
        """Make ``ids`` the context; what it has in common with them at its start is kept.

        Returns:
            How many tokens were kept, and need not be read again.

        Raises:
            ContextLengthError: They do not fit; the context stays as it was.
            TokenizerError: An id is outside of the vocabulary.
        """
        self._check_open()
        ids = self._text.check_ids(ids)
        check_fits(len(ids), self._context_length)
        held = self._session.tokens
        num_kept = 0
        for old, new in zip(held, ids, strict=False):
            if old != new:
                break
            num_kept += 1
        self._session.truncate(num_kept)
        self._session.append(ids[num_kept:])
        self._ends_with_text = False
        return num_kept

    def generate(self, **options: Unpack[GenerationArguments]) -> Generation:
        """Generate after what is in the context, and add it to the context.

        Args:
            **options: See ``GenerationOptions``.

        Raises:
            OptionError: An option is out of its range.
            GenerationError: The context is empty.
            ContextLengthError: The context is full.
            ExecutionError: The library failed; the context stays usable.
        """
        return self.stream(**options).rest()

    def stream(self, **options: Unpack[GenerationArguments]) -> Stream:
        """Do what ``generate`` does, piece by piece."""
        return self.start(options)

    def start(
        self, arguments: GenerationArguments, on_end: Callable[[], None] | None = None
    ) -> Stream:
        """Start a generation; ``on_end`` is called when it is over."""
        self._check_open()
        options = make_options(arguments)
        num_held = len(self._session.tokens)
        if num_held == 0:
            raise GenerationError("the context is empty; append a prompt first")
        if num_held >= self._context_length:
            raise ContextLengthError(
                f"the context of {self._context_length} tokens is full; there is no room to "
                "generate; load the model with a larger context_length= or append less"
            )
        request = self._text.request(options, self._context_length - num_held)
        decoder = self._text.decoder(is_continuation=self._ends_with_text)
        self._ends_with_text = True  # what follows continues the reply
        return Stream(
            self._session.start(request, decoder),
            has_logprobs=options.logprobs is not None,
            on_end=on_end or _nothing,
        )

    def close(self) -> None:
        """Release the caches; idempotent."""
        self._is_closed = True
        self._session.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the session is closed")


def check_fits(num_tokens: int, context_length: int) -> None:
    """Raise unless a prompt leaves room for one token to generate.

    Raises:
        ContextLengthError: It does not.
    """
    if num_tokens >= context_length:
        raise ContextLengthError(
            f"the prompt has {num_tokens} tokens, the context holds {context_length}: at most "
            f"{context_length - 1} fit, since one at least is to be generated"
        )


def _nothing() -> None:
    pass
