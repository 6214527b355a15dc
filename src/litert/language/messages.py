"""Conversations as callers give them, made plain for templates.

A template comes with a model, from whoever made it, and can call the methods of what it is given.
It gets copies of plain types, so that it changes and reaches nothing of the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litert.errors import ChatTemplateError

Message = Mapping[str, Any]

# Far more than the description of a function needs.
_MAX_DEPTH = 64


def to_plain(value: object, name: str) -> Any:
    """Copy a value into dict, list, str, int, float, bool and None.

    Args:
        value: Mappings with keys of type str, sequences, and those plain types.
        name: What errors call it.

    Raises:
        ChatTemplateError: It holds something else, or is nested too deeply.
    """
    return _copy(value, name, 0)


def read_messages(messages: object) -> list[dict[str, Any]]:
    """Check a conversation and copy it.

    Args:
        messages: Mappings with ``role`` and ``content``: a text, or a list of
            ``{"type": "text", "text": "..."}``; without content where there are ``tool_calls``.
            Other keys are kept.

    Returns:
        The messages, plain; ``content`` is a text, such a list, or None.

    Raises:
        ChatTemplateError: A message is something else; says which and what.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise ChatTemplateError(
            'messages: expected a list of {"role": ..., "content": ...}, '
            f"got {type(messages).__name__}"
        )
    if not messages:
        raise ChatTemplateError("messages: expected one or more, got none")
    return [_read_message(message, f"messages[{place}]") for place, message in enumerate(messages)]


def join_parts(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message whose content is one text where it was a list of parts."""
    content = message["content"]
    if not isinstance(content, list):
        return message
    return {**message, "content": "".join(part["text"] for part in content)}


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Copy a plain value with every text in it changed, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [map_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): map_texts(item, change) for key, item in value.items()}
    return value


def _read_message(message: object, name: str) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise ChatTemplateError(
            f'{name}: expected {{"role": ..., "content": ...}}, got {type(message).__name__}'
        )
    plain: dict[str, Any] = to_plain(message, name)
    role = plain.get("role")
    if not isinstance(role, str) or not role:
        raise ChatTemplateError(f"{name}: expected a role, such as 'user', got {role!r}")
    content = plain.setdefault("content", None)
    if isinstance(content, list):
        for place, part in enumerate(content):
            _check_part(part, f"{name}.content[{place}]")
    elif not isinstance(content, str) and not (content is None and plain.get("tool_calls")):
        raise ChatTemplateError(
            f"{name}.content: expected a text or a list of parts, got {type(content).__name__}"
        )
    return plain


def _check_part(part: object, name: str) -> None:
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    if kind != "text":
        raise ChatTemplateError(
            f'{name}: only parts {{"type": "text", "text": ...}} are supported, got type {kind!r}'
        )
    if not isinstance(part, dict) or not isinstance(part.get("text"), str):
        raise ChatTemplateError(f"{name}: expected a text under 'text'")


def _copy(value: object, name: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ChatTemplateError(f"{name}: nested more than {_MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    # These give the plain value of a subclass too.
    if isinstance(value, str):
        return _check_text(str.__str__(value), name)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {
            _copy_key(key, name): _copy(item, f"{name}.{key}", depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_copy(item, f"{name}[{place}]", depth + 1) for place, item in enumerate(value)]
    raise ChatTemplateError(
        f"{name}: expected text, numbers, lists and mappings, got {type(value).__name__}"
    )


def _copy_key(key: object, name: str) -> str:
    if not isinstance(key, str):
        raise ChatTemplateError(f"{name}: expected keys of type str, got {key!r}")
    return _check_text(str.__str__(key), name)


def _check_text(text: str, name: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as err:
        raise ChatTemplateError(
            f"{name}: half of a surrogate pair at character {err.start}; it has no UTF-8 form"
        ) from err
    return text
