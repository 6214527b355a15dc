"""The hand-written stub says what the extension module has."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import litert

ROOT = Path(__file__).resolve().parent.parent
ALLOWLIST = ROOT / "packaging" / "stubtest_allowlist.txt"


@pytest.fixture
def native() -> ModuleType:
    """Return the extension module."""
    return pytest.importorskip("litert._native", reason="needs the extension module")


def public_names(names: list[str]) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def test_stub_names_every_class_and_function(native: ModuleType) -> None:
    stub = ast.parse((Path(litert.__file__).parent / "_native.pyi").read_text())
    declared = {
        node.name for node in stub.body if isinstance(node, ast.ClassDef | ast.FunctionDef)
    } | {
        node.target.id
        for node in stub.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    assert public_names(list(declared)) == public_names(dir(native))
    for node in stub.body:
        if isinstance(node, ast.ClassDef):
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            assert public_names(list(methods)) == public_names(dir(getattr(native, node.name)))


@pytest.mark.slow
def test_stub_agrees_with_the_extension(native: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", native.__name__, "--allowlist", str(ALLOWLIST)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
