"""``litert-native cache``: what is kept is listed, and cleared without touching anything else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import litert
from litert.cli.main import main
from litert.samples import speller_model_path

MODEL = "0123456789abcdef" * 2  # a hash


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The cache's folder, with the weights of two models and a file of someone else."""
    for number, name in enumerate((f"weights-{MODEL}-old", f"weights-{MODEL}-new")):
        path = tmp_path / f"{name}.weights"
        path.write_bytes(bytes(1000 * (number + 1)))
        os.utime(path, (1e9 + number, 1e9 + number))
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_list_shows_the_last_used_first(capsys, folder):
    assert main(["cache", "list"]) == 0
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title == f"{folder}  weights of 2 models, 3.0 kB"
    assert [row.split()[-1] for row in rows] == [
        f"weights-{MODEL}-new.weights",
        f"weights-{MODEL}-old.weights",
    ]
    assert rows[0].split()[:2] == ["2.0", "kB"]


def test_list_as_json_has_sizes_and_times(capsys, folder):
    assert main(["cache", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["size_bytes"]) == (str(folder), 3000)
    assert told["weights"][1] == {
        "path": str(folder / f"weights-{MODEL}-old.weights"),
        "size_bytes": 1000,
        "used_at": 1e9,
    }


def test_list_has_the_programs_of_the_gpu(capsys, folder):
    name = f"gpu-{MODEL}-def_mldrift_program_cache.bin"
    (folder / name).write_bytes(bytes(500))
    (folder / f"gpu-{MODEL}-def.seal").touch()
    os.utime(folder / f"gpu-{MODEL}-def.seal", (2e9, 2e9))

    assert main(["cache", "list"]) == 0
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title == f"{folder}  weights of 2 models, GPU programs of 1 model, 3.5 kB"
    assert rows[-1].split()[-1] == name

    assert main(["cache", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["size_bytes"] == 3500
    assert told["gpu_programs"] == [{"path": str(folder / name), "size_bytes": 500, "used_at": 2e9}]


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_list_of_nothing_says_so(capsys, tmp_path, name):
    (tmp_path / "empty").mkdir()
    assert main(["cache", "list", "--folder", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / name}  nothing is kept\n"


def test_clear_removes_what_is_ours_alone(capsys, folder):
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"removed 3.0 kB from {folder}\n"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_clear_removes_what_belongs_to_accelerators(capsys, folder):
    for name in (
        f"gpu-{MODEL}-def_mldrift_program_cache.bin",
        f"gpu-{MODEL}-def.seal",
        f"gpu-{MODEL}-def.lock",
        f"checked-{MODEL}-def",
        f"checked-{MODEL}-defxyz.tmp",
    ):
        (folder / name).touch()
    (folder / "gpu-notes.txt").touch()
    (folder / "checked-folder").mkdir()

    assert main(["cache", "clear"]) == 0
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["checked-folder", "gpu-notes.txt", "notes.txt"]


def test_clear_leaves_files_of_the_user_that_are_called_alike(capsys, folder):
    names = ["digest-2025", "gpu-notes", "length-table.bin", "weights-v2.bin"]
    for name in names:
        (folder / name).touch()

    assert main(["cache", "clear"]) == 0
    left = sorted(path.name for path in folder.iterdir())
    assert left == sorted([*names, "notes.txt"])


def test_list_of_a_folder_that_cannot_be_read_is_one_line(capsys):
    name = "x" * 300
    assert main(["cache", "list", "--folder", name]) == 1
    error = capsys.readouterr().err
    assert error == f"litert-native: cache '{name}': cannot be read: File name too long\n"


def test_clear_as_json_tells_the_bytes(capsys, folder):
    assert main(["cache", "clear", "--folder", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"folder": str(folder), "removed_bytes": 3000}


def test_clear_that_fails_is_one_line(capsys, folder, monkeypatch):
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert main(["cache", "clear"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"litert-native: cache '{folder}': cannot be cleared: ")
    assert captured.err.count("\n") == 1


def test_list_finds_what_a_model_has_left(capsys, tmp_path):
    pytest.importorskip("tokenizers", reason="the sample model needs the extra llm")
    with litert.LanguageModel(speller_model_path(), weight_cache=tmp_path, backend="native"):
        pass
    assert main(["cache", "list", "--folder", str(tmp_path), "--json"]) == 0
    (weights,) = json.loads(capsys.readouterr().out)["weights"]
    assert weights["size_bytes"] == Path(weights["path"]).stat().st_size > 0
