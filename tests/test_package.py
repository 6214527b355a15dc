"""The package itself: its names, and what importing it costs."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

import litert

IMPORTED = """
import json, sys
before = set(sys.modules)
import litert
{use}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def modules_after(use: str = "") -> set[str]:
    """Import litert in a new process and return what that imported."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(use=use)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", litert.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(litert, name).__doc__
    assert name in dir(litert)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'litert' has no attribute 'Interpreter'"):
        _ = litert.Interpreter


def test_version_is_a_version() -> None:
    try:
        version = litert.__version__
    except ImportError:
        pytest.skip("the package is not installed")
    assert re.match(r"\d+\.\d+\.\d+", version)


def test_import_loads_no_numpy_and_no_library() -> None:
    modules = modules_after()
    assert "litert" in modules
    assert not {"numpy", "litert._native", "ai_edge_litert", "asyncio"} & modules


def test_model_imports_no_ai_edge_litert_and_no_asyncio() -> None:
    modules = modules_after("litert.Model")
    assert "litert.model" in modules
    assert not {"ai_edge_litert", "asyncio", "concurrent.futures", "ml_dtypes"} & modules
