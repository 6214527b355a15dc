"""Feeds libFuzzer's bytes to the readers of a language model's metadata.

``python tests/fuzz/fuzz_metadata.py WORK tests/fuzz/corpus/metadata`` starts from the seeds,
keeps what it learns in the folder WORK, and runs until it finds something; options of libFuzzer may
follow. Needs the package atheris.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["litert"]):
    from litert.errors import FileFormatError
    from litert.language.metadata import (
        ExecutorMetadata,
        LlmMetadata,
        read_executor_metadata,
        read_llm_metadata,
    )


def test_one_input(data: bytes) -> None:
    """Read both kinds of metadata; nothing but errors of ours may come out."""
    for read in (read_llm_metadata, read_executor_metadata):
        try:
            metadata = read(data)
        except FileFormatError:
            continue
        if isinstance(metadata, LlmMetadata):
            assert metadata.context_length >= 0
            assert all(-(2**31) <= token < 2**31 for token in metadata.suppressed_tokens)
        else:
            assert isinstance(metadata, ExecutorMetadata)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
