"""The layers of the C++ sources: what each folder may include, call and write to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CPP = ROOT / "cpp"
CORE = CPP / "litert"

if not CPP.is_dir():
    pytest.skip("the C++ sources are not here", allow_module_level=True)


def sources(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".cc", ".h"))
    assert found
    return found


def lines_with(pattern: str, paths: Iterable[Path]) -> list[str]:
    """Return ``file:line: text`` of each line outside comments that matches."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in _code_lines(path)
        if re.search(pattern, line)
    ]


def _code_lines(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = line.partition("//")[0]
        if code.strip():
            yield number, code


def test_core_includes_neither_python_nor_numpy() -> None:
    assert lines_with(r'#\s*include\s*[<"](Python\.h|pybind11|numpy)', sources(CORE)) == []


def test_core_includes_nothing_of_the_bindings() -> None:
    assert lines_with(r'#\s*include\s*[<"](bindings/|.*\b(bind_|numpy_array))', sources(CORE)) == []


def test_core_writes_to_no_standard_stream() -> None:
    others = [path for path in sources(CORE) if not path.stem.endswith("_capture")]
    pattern = r"\b(stderr|stdout|std::cerr|std::cout|std::clog|printf|fprintf|puts|fputs|perror)\b"
    assert lines_with(pattern, others) == []


def test_bindings_write_to_no_standard_stream() -> None:
    pattern = r"\b(stderr|stdout|std::cerr|std::cout|printf|fprintf|puts|perror|py::print)\b"
    assert lines_with(pattern, sources(CPP / "bindings")) == []


def test_c_functions_of_the_library_are_named_in_the_runtime_only() -> None:
    others = [path for path in sources(CPP) if CORE / "runtime" not in path.parents]
    # Types are LiteRtModel, LiteRtStatus ...; functions start with a verb.
    verbs = "Create|Destroy|Get|Set|Run|Add|Load|Lock|Unlock|Start|Stop|Reset|CompiledModel"
    assert lines_with(rf"\bLiteRt({verbs})\w*\s*[(;&,)]", others) == []


def test_c_functions_of_the_library_are_called_through_the_table_only() -> None:
    table = lines_with(r"^\s*X\(\w+,\s*LiteRt\w+\)", [CORE / "runtime" / "library.h"])
    functions = {re.search(r"LiteRt\w+", line)[0] for line in table}  # type: ignore[index]
    assert len(functions) > 20
    direct_call = rf"\b({'|'.join(functions)})\s*\("
    assert lines_with(direct_call, sources(CPP)) == []


def test_each_folder_has_its_namespace() -> None:
    for folder, namespace in (
        (CORE / "runtime", "runtime"),
        (CORE / "accelerate", "accelerate"),
        (CPP / "bindings", "bindings"),
    ):
        for path in sources(folder):
            text = path.read_text()
            has_namespace = f"namespace litert_native::{namespace}" in text
            is_module = path.name == "module.cc"
            assert has_namespace or is_module, path.relative_to(ROOT)


def test_headers_are_included_once() -> None:
    headers = [path for path in sources(CPP) if path.suffix == ".h"]
    assert [path.name for path in headers if "#pragma once" not in path.read_text()] == []


def test_nothing_is_owned_by_hand() -> None:
    pattern = r"(=\s*new\b|\bdelete\s+\w|\bmalloc\(|\bcalloc\()"
    assert lines_with(pattern, sources(CPP)) == []


def test_vendored_headers_have_their_licence() -> None:
    assert (ROOT / "third_party" / "litert" / "LICENSE").is_file()
