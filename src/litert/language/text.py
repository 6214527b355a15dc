"""A model's tokenizer, special tokens and chat template, put together from its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from litert.backends.language_protocol import LoopRequest, TextDecoder
from litert.errors import ChatTemplateError, LiteRTError, TokenizerError
from litert.language.options import GenerationOptions
from litert.language.rendered_prompt import encode_prompt, with_bos

if TYPE_CHECKING:
    from litert.language.chat_template import AffixTemplate, ChatTemplate
    from litert.language.language_file import LanguageFile
    from litert.language.metadata import LlmMetadata, TokenUnion
    from litert.language.tokenizer import Tokenizer

# A vocabulary is padded to a multiple of some hundred, or has a few tokens for images more than the
# text model; anything beyond is another model's.
_MIN_SHARE_OF_VOCABULARY = 0.75
_MAX_EXTRA_TOKENS = 64


class ModelText:
    """Everything between a user's text and the ids of one model. Immutable.

    Args:
        file: The model's file, for metadata.
        tokenizer: None where there is none; ``problem`` says why, and is raised when text is used.
        problem: See there.
        vocab_size: Length of the model's logits.
        is_native: Whether ids are turned into text by the core.
        wait_for_decoder: Returns once the tokenizer is prepared for that.
    """

    def __init__(
        self,
        file: LanguageFile,
        tokenizer: Tokenizer | None,
        problem: LiteRTError | None,
        *,
        vocab_size: int,
        is_native: bool,
        wait_for_decoder: Callable[[], None],
    ) -> None:
        self._tokenizer = tokenizer
        self._wait_for_decoder = wait_for_decoder
        self._problem = problem
        self._vocab_size = vocab_size
        self._is_native = is_native
        self._metadata: LlmMetadata | None = file.metadata
        if tokenizer is not None:
            _check_vocabulary(tokenizer.vocab_size, vocab_size)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer.

        Raises:
            TokenizerError: There is none.
            MissingExtraError: What it needs is not installed.
        """
        if self._tokenizer is not None:
            return self._tokenizer
        raise self._problem or TokenizerError(
            "the model comes without a tokenizer; pass tokenizer= a tokenizer.json, a "
            "SentencePiece model or a folder with one, or give token ids in place of text"
        )

    @cached_property
    def bos_token(self) -> int | None:
        """The id that stands before each prompt, None for none."""
        if self._metadata is not None:
            start = self._metadata.start_token
            ids = () if start is None else self._ids_of(start)
            return ids[0] if ids else None
        return None if self._tokenizer is None else self._tokenizer.bos_token

    @cached_property
    def stop_tokens(self) -> tuple[tuple[int, ...], ...]:
        """The model's own: sequences of ids that end a generation."""
        if self._metadata is not None and self._metadata.stop_tokens:
            found = (self._ids_of(token) for token in self._metadata.stop_tokens)
            return tuple(ids for ids in found if ids)
        if self._tokenizer is not None and self._tokenizer.eos_token is not None:
            return ((self._tokenizer.eos_token,),)
        return ()

    @cached_property
    def chat_template(self) -> ChatTemplate | AffixTemplate:
        """The model's own template.

        Raises:
            ChatTemplateError: It has none, or one that does not compile.
            MissingExtraError: What it needs is not installed.
        """
        from litert.language.chat_template import AffixTemplate, ChatTemplate

        metadata = self._metadata
        source = metadata.chat_template if metadata is not None else None
        if source is None and metadata is not None and metadata.prompt_templates is not None:
            return AffixTemplate(metadata.prompt_templates, tokenizer=self.tokenizer)
        if source is None:
            source = self.tokenizer.chat_template
        if source is None:
            raise ChatTemplateError(
                "the model has no chat template; give generate() a prompt in the form it expects"
            )
        return ChatTemplate(
            source,
            tokenizer=self.tokenizer,
            bos_token=self._text_of(self.bos_token),
            eos_token=self._text_of(self.stop_tokens[0][-1] if self.stop_tokens else None),
        )

    def encode_prompt(self, text: str, *, is_first: bool) -> list[int]:
        """Encode text as text: what looks like a control token is none.

        Raises:
            TokenizerError: There is no tokenizer.
        """
        ids = self.check_ids(self.tokenizer.encode(text))
        return with_bos(ids, self.bos_token) if is_first else ids

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, Any],
    ) -> list[int]:
        """Encode a conversation through the template, up to where the reply begins.

        Raises:
            ChatTemplateError: The template fails, or a message is not what it takes.
            TokenizerError: There is no tokenizer.
        """
        rendered = self.chat_template.render(messages, tools=tools, **variables)
        ids = self.check_ids(encode_prompt(rendered, self.tokenizer))
        return with_bos(ids, self.bos_token)

    def check_ids(self, ids: Sequence[int]) -> list[int]:
        """Return the ids as a list.

        Raises:
            TokenizerError: One is outside of the vocabulary, or no integer.
        """
        checked = []
        for token in ids:
            try:
                number = token.__index__()
            except AttributeError:
                raise TokenizerError(f"expected token ids, got {token!r}") from None
            if not 0 <= number < self._vocab_size:
                raise TokenizerError(
                    f"token id {number} is outside of the model's vocabulary of {self._vocab_size}"
                )
            checked.append(number)
        return checked

    def decoder(self, *, is_continuation: bool) -> TextDecoder | None:
        """Return what turns the ids of one generation into text; None without a tokenizer."""
        if self._tokenizer is None:
            return None
        self._wait_for_decoder()
        return self._tokenizer.stream(native=self._is_native, is_continuation=is_continuation)

    def request(self, options: GenerationOptions, room: int) -> LoopRequest:
        """Resolve options against what the model's file says; ``room`` is what the context holds.

        Raises:
            OptionError: An option does not fit this model.
            TokenizerError: An id is outside of the vocabulary, or stop strings without a tokenizer.
        """
        own_stops = () if options.ignore_eos else self.stop_tokens
        suppressed = () if self._metadata is None else self._metadata.suppressed_tokens
        if options.stop_strings():
            _ = self.tokenizer  # stop strings are matched on text
        for sequence in options.stop_sequences():
            self.check_ids(sequence)
        temperature, top_k, top_p = self._sampling(options)
        return LoopRequest(
            max_tokens=min(room, options.max_tokens or room),
            min_tokens=options.min_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=options.min_p,
            typical_p=options.typical_p,
            seed=options.seed_or_new(),
            repetition_penalty=options.repetition_penalty,
            presence_penalty=options.presence_penalty,
            frequency_penalty=options.frequency_penalty,
            no_repeat_ngram=options.no_repeat_ngram,
            logit_bias=tuple(
                zip(
                    self.check_ids(list(options.logit_bias)),
                    options.logit_bias.values(),
                    strict=True,
                )
            ),
            suppressed_tokens=(*suppressed, *self.check_ids(options.suppressed_tokens)),
            stop_tokens=(*own_stops, *options.stop_sequences()),
            stop_strings=options.stop_strings(),
            num_logprobs=-1 if options.logprobs is None else options.logprobs,
            logits_hook=options.logits_hook,
            timeout_s=options.timeout_s,
        )

    def _sampling(self, options: GenerationOptions) -> tuple[float, int, float]:
        """Return temperature, top_k and top_p: as asked for, else as the file says."""
        sampler = None if self._metadata is None else self._metadata.sampler
        temperature, top_k, top_p = 0.0, 0, 1.0
        if sampler is not None and sampler.kind in ("top_k", "top_p"):
            temperature = sampler.temperature
            top_k = sampler.k
            top_p = sampler.p if sampler.kind == "top_p" and 0 < sampler.p < 1 else 1.0
        return (
            temperature if options.temperature is None else options.temperature,
            top_k if options.top_k is None else options.top_k,
            top_p if options.top_p is None else options.top_p,
        )

    def _ids_of(self, token: TokenUnion) -> tuple[int, ...]:
        """Return the ids of a token that the file may give as text."""
        if token.text is None:
            return tuple(token.ids)
        if self._tokenizer is None:
            return ()
        known = self._tokenizer.id_of(token.text)
        if known is not None:
            return (known,)
        return tuple(self._tokenizer.encode(token.text, allow_special=True))

    def _text_of(self, token: int | None) -> str:
        return "" if token is None else self.tokenizer.piece_of(token) or ""


def _check_vocabulary(of_tokenizer: int, of_model: int) -> None:
    is_too_large = of_tokenizer > of_model + _MAX_EXTRA_TOKENS
    if is_too_large or of_tokenizer < of_model * _MIN_SHARE_OF_VOCABULARY:
        raise TokenizerError(
            f"the tokenizer has {of_tokenizer} tokens, the model {of_model}: it is another model's"
        )
