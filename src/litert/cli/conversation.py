"""A conversation that goes on when its context is full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litert.language.model import LanguageModel
    from litert.language.options import GenerationArguments
    from litert.language.stream import Stream

# Of the context, kept free for the next reply.
_REPLY_SHARE = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of the user and the reply to it. Immutable."""

    message: str
    reply: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What had to go so that a message fits. Immutable.

    Attributes:
        num_turns: The oldest turns that were dropped.
        num_tokens: Tokens of the conversation before that.
    """

    num_turns: int
    num_tokens: int


class Conversation:
    """The turns of a conversation, and the context that holds them.

    Args:
        model: Generates the replies; stays open as long as the conversation.
        options: How.
        system: System message, None for none.

    Raises:
        ChatTemplateError: The model has no chat template, or one that takes no system message.
        MissingExtraError: What templates or the tokenizer need is not installed.
    """

    def __init__(
        self, model: LanguageModel, options: GenerationArguments, system: str | None = None
    ) -> None:
        self.system = system
        self._model = model
        self._options = options
        self._turns: list[Turn] = []
        self._message = ""  # that waits for its reply
        self._encode([], "")
        self._session = model.session()

    @property
    def num_turns(self) -> int:
        """Messages of the user that have a reply."""
        return len(self._turns)

    @property
    def num_tokens(self) -> int:
        """Tokens in the context."""
        return len(self._session.tokens)

    def ask(self, message: str) -> tuple[Stream, Forgotten]:
        """Start the reply to a message; the oldest turns go where they do not fit any more.

        After the stream, ``keep`` adds message and reply to the conversation.

        Raises:
            ContextLengthError: The message does not fit even alone; nothing changes.
            ChatTemplateError: The template fails; nothing changes.
        """
        turns, ids, forgotten = self._fitting(message)
        self._session.replace(ids)
        self._turns, self._message = turns, message
        return self._session.stream(**self._options), forgotten

    def keep(self, reply: str) -> None:
        """Add the message that was asked last, and its reply."""
        self._turns.append(Turn(self._message, reply))

    def reset(self) -> None:
        """Forget all turns; the system message stays."""
        self._turns = []
        self._session.truncate(0)

    def close(self) -> None:
        """Release the context."""
        self._session.close()

    def _fitting(self, message: str) -> tuple[list[Turn], list[int], Forgotten]:
        """Return the turns that stay, the ids of all, and what went."""
        context_length = self._model.context_length
        free = context_length // _REPLY_SHARE
        if self._options.get("max_tokens") is not None:
            free = min(free, self._options["max_tokens"] or free)
        turns = list(self._turns)
        ids = self._encode(turns, message)
        num_tokens = len(ids)
        while turns and len(ids) + free > context_length:
            del turns[0]
            ids = self._encode(turns, message)
        return turns, ids, Forgotten(len(self._turns) - len(turns), num_tokens)

    def _encode(self, turns: Sequence[Turn], message: str) -> list[int]:
        messages = []
        if self.system is not None:
            messages.append({"role": "system", "content": self.system})
        for turn in turns:
            messages.append({"role": "user", "content": turn.message})
            messages.append({"role": "assistant", "content": turn.reply})
        return self._model.encode_chat([*messages, {"role": "user", "content": message}])
