"""Sums up a .litertlm file for people and programs; nothing is loaded, run or unpacked."""

from __future__ import annotations

import dataclasses
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litert.errors import FileFormatError, UnsupportedModelError
from litert.file_format import check_language_source
from litert.inspection import ModelSummary, inspect_model
from litert.language.container import Container, Section, read_container
from litert.language.language_file import errors_named, find_parts, read_metadata
from litert.language.metadata import (
    ExecutorMetadata,
    LlmMetadata,
    read_executor_metadata,
    read_llm_metadata,
)


@dataclass(frozen=True, slots=True)
class SectionSummary:
    """One section. Immutable.

    Attributes:
        section: What it is and where it lies.
        content: What it holds, None for kinds that are not looked into.
    """

    section: Section
    content: ModelSummary | LlmMetadata | ExecutorMetadata | None


@dataclass(frozen=True, slots=True)
class LanguageSummary:
    """What a .litertlm file holds. Immutable.

    Attributes:
        path: Where it was read from.
        size_bytes: Size of the file.
        container: Its table of contents.
        sections: In the order of the file's header.
        problem: Why ``litert.LanguageModel`` does not load it; None where nothing is in the way.
    """

    path: str
    size_bytes: int
    container: Container
    sections: tuple[SectionSummary, ...]
    problem: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the summary as dicts, lists, strings and numbers for ``json.dumps``."""
        return {
            "path": self.path,
            "size_bytes": self.size_bytes,
            "format_version": ".".join(map(str, self.container.version)),
            "entries": dict(self.container.entries),
            "problem": self.problem,
            "sections": [_section_json(summary) for summary in self.sections],
        }


def inspect_language_file(path: str | os.PathLike[str]) -> LanguageSummary:
    """Sum up a language model without loading it.

    Args:
        path: A .litertlm file, also one that cannot be run here.

    Returns:
        Sections, metadata, and the signatures of each model; weights are not read.

    Raises:
        ModelNotFoundError: There is nothing at the path.
        FileFormatError: It is no .litertlm file, or a damaged one.
        UnsupportedModelError: It is of another major version of the format.

    Example:
        >>> inspect_language_file("gemma3-1b-it-int4.litertlm").problem is None
        True
    """
    path = Path(path)
    check_language_source(path)
    with (
        errors_named(path),
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
        memoryview(mapping) as data,
    ):
        container = read_container(data)
        return LanguageSummary(
            path=str(path),
            size_bytes=len(data),
            container=container,
            sections=tuple(
                SectionSummary(section, _read_content(data, number, section))
                for number, section in enumerate(container.sections)
            ),
            problem=_find_problem(data, container, path),
        )


def _read_content(
    data: memoryview, number: int, section: Section
) -> ModelSummary | LlmMetadata | ExecutorMetadata | None:
    try:
        if section.kind == "tflite_model":
            with data[section.begin : section.end] as model:
                return inspect_model(model)
        if section.kind == "llm_metadata":
            return read_llm_metadata(read_metadata(data, section))
        if section.kind == "executor_metadata":
            return read_executor_metadata(read_metadata(data, section))
    except FileFormatError as err:
        raise FileFormatError(f"section {number} ({section.kind}): {err}") from err
    return None


def _find_problem(data: memoryview, container: Container, path: Path) -> str | None:
    try:
        find_parts(data, container, path)
    except (FileFormatError, UnsupportedModelError) as err:
        return str(err)
    return None


def _section_json(summary: SectionSummary) -> dict[str, Any]:
    section, content = summary.section, summary.content
    described: dict[str, Any] = {
        "kind": section.kind,
        "begin": section.begin,
        "end": section.end,
        "items": dict(section.items),
    }
    if isinstance(content, ModelSummary):
        described["model"] = content.to_json()
    elif content is not None:
        described["metadata"] = dataclasses.asdict(content)
    return described
