"""From a conversation to the prompt that a model was trained on.

Models bring a template in the Jinja language, older files just what stands before and after each
message. Only a template writes control tokens: where a caller's text has one written out, the
prompt is cut inside of it. Of what a model has said before, tags that its replies show, such as
``<think>``, are left whole, so that they become the tokens that they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from litert.errors import ChatTemplateError, MissingExtraError
from litert.language.messages import Message, join_parts, map_texts, read_messages, to_plain
from litert.language.rendered_prompt import RenderedPrompt, encode_prompt, with_bos

if TYPE_CHECKING:
    import minijinja

    from litert.language.metadata import PromptAffixes, PromptTemplates
    from litert.language.tokenizer import Tokenizer

__all__ = ["AffixTemplate", "ChatTemplate", "RenderedPrompt", "encode_prompt", "with_bos"]

# Steps of a template; a long conversation needs some thousand.
_FUEL = 10_000_000
_NAME = "chat_template"
# Private use: in no text but by agreement.
_PRIVATE_USE = range(0xF0000, 0x10FFFE)
_ESCAPED_CHARACTER = re.compile("[^\x00-\x7f\U000f0000-\U0010fffd]")
_MODEL_ROLES = ("assistant", "model")
# Marks what a model is trained on, and does nothing when a prompt is written.
_GENERATION = re.compile(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}")


class ChatTemplate:
    """A template in the Jinja language. Immutable; any number of threads may use it.

    Example:
        >>> template = ChatTemplate(
        ...     "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", tokenizer=None
        ... )
        >>> template.render([{"role": "user", "content": "Hi"}]).text
        '<user>Hi'
    """

    def __init__(
        self,
        source: str,
        *,
        tokenizer: Tokenizer | None,
        bos_token: str = "",
        eos_token: str = "",
    ) -> None:
        """Compile it.

        Args:
            source: The template, as ``chat_template.jinja`` holds it.
            tokenizer: Tells which texts are control tokens. None where nothing is to be kept from
                becoming one: prompts are shown, not encoded.
            bos_token: Text of the token that starts a text.
            eos_token: Text of the token that ends one.

        Raises:
            ChatTemplateError: It does not compile.
            MissingExtraError: minijinja is not installed.
        """
        self._source = source
        self._tokenizer = tokenizer
        self._special = {"bos_token": bos_token, "eos_token": eos_token}
        self._environment = _make_environment(source)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> RenderedPrompt:
        """Write the prompt of a conversation.

        Args:
            messages: Each with ``role`` and ``content``: a text, or a list of parts
                ``{"type": "text", "text": "..."}``. Parts are joined to one text unless the
                template writes a list of one text as it writes the text.
            tools: Descriptions of functions.
            add_generation_prompt: End with what a reply begins with.
            **variables: Other variables of the template.

        Raises:
            ChatTemplateError: A message is none that a template takes, the template refuses the
                conversation, fails, or does not come to an end.
        """
        if not self._special.keys().isdisjoint(variables):
            raise ChatTemplateError("bos_token and eos_token are given with the template")
        conversation = read_messages(messages)
        has_parts = any(isinstance(message["content"], list) for message in conversation)
        if has_parts and not self._takes_parts:
            conversation = [join_parts(message) for message in conversation]
        context = {
            **to_plain(variables, "variables"),
            "tools": to_plain(tools, "tools"),
            "add_generation_prompt": bool(add_generation_prompt),
        }
        if self._tokenizer is None:
            return RenderedPrompt((self._render({**context, "messages": conversation}),))
        marker = _Marker(self._tokenizer, self._source, [conversation, context])
        marked = {
            **marker.mark(context),
            "messages": [
                marker.mark(message, keep_tags=message["role"] in _MODEL_ROLES)
                for message in conversation
            ],
        }
        return RenderedPrompt(tuple(self._render(marked).split(marker.character)))

    @cached_property
    def _takes_parts(self) -> bool:
        text = "What is a part?"
        try:
            in_parts = self._render(_probe([{"type": "text", "text": text}]))
        except ChatTemplateError:
            return False
        try:
            return in_parts == self._render(_probe(text))
        except ChatTemplateError:
            return True

    def _render(self, context: Mapping[str, Any]) -> str:
        import minijinja

        try:
            return self._environment.render_template(_NAME, **self._special, **context)
        except ChatTemplateError:
            raise
        except minijinja.TemplateError as err:
            raise _error("fails", err) from err
        # From the filters and functions below, and from numbers out of minijinja's range.
        except (ArithmeticError, RecursionError, TypeError, ValueError) as err:
            raise ChatTemplateError(f"the chat template fails: {_first_line(err)}") from err


class AffixTemplate:
    """What stands before and after each message, by role. Immutable; any threads may use it."""

    def __init__(self, affixes: PromptTemplates, *, tokenizer: Tokenizer | None) -> None:
        """Take the affixes.

        Args:
            affixes: Of user, model and system.
            tokenizer: Tells which texts are control tokens. None where nothing is to be kept from
                becoming one: prompts are shown, not encoded.
        """
        self._tokenizer = tokenizer
        self._affixes = {
            **dict.fromkeys(("system", "developer"), affixes.system),
            **dict.fromkeys(_MODEL_ROLES, affixes.model),
            "user": affixes.user,
        }
        self._reply = affixes.model

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> RenderedPrompt:
        """Write the prompt of a conversation.

        Args:
            messages: As ``ChatTemplate.render`` takes them; parts are joined to one text.
            tools: None: such models take no tools.
            add_generation_prompt: End with what a reply begins with.
            **variables: None: there is no template to use them.

        Raises:
            ChatTemplateError: A message is none that this template takes, or something else is
                given.
        """
        if tools or variables:
            given = "tools" if tools else ", ".join(variables)
            raise ChatTemplateError(
                f"the model's template takes messages alone, got {given}; it only puts text before "
                "and after each message"
            )
        parts = [""]
        for place, message in enumerate(map(join_parts, read_messages(messages))):
            affixes = self._affixes_of(message, f"messages[{place}]")
            first, *others = self._split(message)
            parts[-1] += affixes.prefix + first
            parts += others
            parts[-1] += affixes.suffix
        if add_generation_prompt:
            parts[-1] += self._reply.prefix
        return RenderedPrompt(tuple(parts))

    def _affixes_of(self, message: dict[str, Any], name: str) -> PromptAffixes:
        role, content = message["role"], message["content"]
        if role not in self._affixes or content is None:
            given = f"role {role!r}" if role not in self._affixes else "no content"
            raise ChatTemplateError(
                f"{name}: the model's template takes a content and a role of "
                f"{', '.join(self._affixes)}, got {given}"
            )
        return self._affixes[role]

    def _split(self, message: dict[str, Any]) -> list[str]:
        content: str = message["content"]
        if self._tokenizer is None:
            return [content]
        return self._tokenizer.split_control(content, keep_tags=message["role"] in _MODEL_ROLES)


class _Marker:
    """Puts a character that occurs nowhere else where a text is to be cut."""

    def __init__(self, tokenizer: Tokenizer, source: str, values: object) -> None:
        used = set(source)

        def take(text: str) -> str:
            used.update(text)
            return text

        map_texts(values, take)
        unused = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
        self.character = next(unused, "")
        if not self.character:
            raise ChatTemplateError("the messages use every private-use character of Unicode")
        self._tokenizer = tokenizer

    def mark(self, value: Any, *, keep_tags: bool = False) -> Any:
        """Copy a plain value with every text in it marked."""

        def mark_text(text: str) -> str:
            return self.character.join(self._tokenizer.split_control(text, keep_tags=keep_tags))

        return map_texts(value, mark_text)


def _make_environment(source: str) -> minijinja.Environment:
    """Return an environment that writes what transformers' Jinja environment does."""
    try:
        import minijinja
    except ModuleNotFoundError as err:
        raise MissingExtraError(
            "chat templates need minijinja: pip install 'litert-native[llm]'"
        ) from err
    environment = minijinja.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        pycompat=True,
        auto_escape_callback=lambda name: False,
        fuel=_FUEL,
    )
    # The built-in filter escapes for HTML, the one for None gives "null", None counts as iterable.
    environment.add_filter("tojson", _to_json)
    environment.add_filter("string", lambda value: value if isinstance(value, str) else str(value))
    environment.add_test("iterable", _is_iterable)
    environment.add_global("raise_exception", _refuse)
    environment.add_global("strftime_now", lambda layout: datetime.now().strftime(layout))
    try:
        environment.add_template(_NAME, _GENERATION.sub(_without_generation, source))
    except minijinja.TemplateError as err:
        raise _error("does not compile", err) from err
    return environment


def _without_generation(match: re.Match[str]) -> str:
    return f"{{%{match[1]} {'endif' if match[2] else 'if true'} {match[3]}%}}"


def _probe(content: object) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return {"messages": messages, "tools": None, "add_generation_prompt": True}


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Sequence[str] | None = None,
    sort_keys: bool = False,
) -> str:
    pair = None if separators is None else (separators[0], separators[1])
    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=pair, sort_keys=sort_keys
    )
    if ensure_ascii:
        # But for private use: marks must be found again.
        text = _ESCAPED_CHARACTER.sub(lambda match: json.dumps(match[0])[1:-1], text)
    return text


def _is_iterable(value: object) -> bool:
    return isinstance(value, (str, Sequence, Mapping))


def _refuse(reason: object) -> None:
    raise ChatTemplateError(f"the chat template refuses the conversation: {reason}")


def _error(what: str, error: minijinja.TemplateError) -> ChatTemplateError:
    if error.kind == "OutOfFuel":
        return ChatTemplateError(
            f"the chat template did not come to an end within {_FUEL} steps: it loops, or the "
            "conversation is too long"
        )
    return ChatTemplateError(f"the chat template {what}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    # What follows is a listing of the template.
    return str(error).partition("\n")[0]
