"""Feeds libFuzzer's bytes to the reader of .litertlm files.

``python tests/fuzz/fuzz_container.py WORK tests/fuzz/corpus/container`` starts from the seeds,
keeps what it learns in the folder WORK, and runs until it finds something; options of libFuzzer may
follow. Needs the package atheris.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["litert"]):
    from litert.errors import FileFormatError, UnsupportedModelError
    from litert.language.compressed_tokenizer import inflate_tokenizer
    from litert.language.container import read_container
    from litert.language.language_file import find_parts


def test_one_input(data: bytes) -> None:
    """Read a file and its parts; nothing but errors of ours may come out."""
    view = memoryview(data)
    try:
        container = read_container(view)
        last_end = 0
        for section in sorted(container.sections, key=lambda part: (part.begin, part.end)):
            assert last_end <= section.begin <= section.end <= len(data)
            last_end = section.end
        file = find_parts(view, container, Path("fuzz.litertlm"))
        assert file.model.offset + file.model.size <= len(data)
        if file.tokenizer is not None and file.tokenizer_kind == "huggingface":
            stored = data[file.tokenizer.offset : file.tokenizer.offset + file.tokenizer.size]
            assert len(inflate_tokenizer(stored, max_bytes=1 << 20)) <= 1 << 20
    except (FileFormatError, UnsupportedModelError):
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
