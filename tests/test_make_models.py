"""The committed test models are what their script writes."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

# Earlier releases lay out some tables in another order.
FLATBUFFERS_VERSION = "25.12.19"

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[1] / ".." / "shared" / "models" / "tiny"


def write_models(out_dir: Path, *names: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("flatbuffers", reason="the script needs the flatbuffers package")
    pytest.importorskip(
        "ai_edge_litert.schema_py_generated", reason="the script needs ai-edge-litert's schema"
    )
    command = [sys.executable, "-B", str(DATA / "make_models.py"), str(out_dir), *names]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tflite")}


def test_make_models_writes_the_committed_bytes(tmp_path):
    result = write_models(tmp_path)
    assert result.returncode == 0, result.stderr
    version = importlib.metadata.version("flatbuffers")
    if version != FLATBUFFERS_VERSION:
        pytest.skip(f"the models were written by flatbuffers {FLATBUFFERS_VERSION}, not {version}")
    written, committed = contents(tmp_path), contents(DATA)
    assert sorted(written) == sorted(committed)
    assert [name for name in written if written[name] != committed[name]] == []


def test_make_models_with_names_writes_only_those(tmp_path):
    result = write_models(tmp_path, "mlp", "invalid_text")
    assert result.returncode == 0, result.stderr
    assert sorted(contents(tmp_path)) == ["invalid_text.tflite", "mlp.tflite"]


def test_make_models_with_unknown_name_names_it(tmp_path):
    result = write_models(tmp_path, "no_such_model")
    assert result.returncode == 2
    assert "no_such_model" in result.stderr


def test_committed_models_equal_the_shared_ones():
    if not SHARED.is_dir():
        pytest.skip("../shared/models is not beside this checkout")
    shared = contents(SHARED)
    committed = contents(DATA)
    assert committed
    assert [name for name in committed if shared.get(name) != committed[name]] == []
