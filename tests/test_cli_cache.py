"""``litert-native cache``: what is kept is listed, and cleared without touching anything else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import litert
from litert.cli.main import main
from litert.samples import speller_model_path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The cache's folder, with the weights of two models and a file of someone else."""
    for number, name in enumerate(("weights-old", "weights-new")):
        path = tmp_path / f"{name}.weights"
        path.write_bytes(bytes(1000 * (number + 1)))
        os.utime(path, (1e9 + number, 1e9 + number))
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_list_shows_the_last_used_first(capsys, folder):
    assert main(["cache", "list"]) == 0
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title == f"{folder}  2 files, 3.0 kB"
    assert [row.split()[-1] for row in rows] == ["weights-new.weights", "weights-old.weights"]
    assert rows[0].split()[:3] == ["weights", "2.0", "kB"]


def test_list_as_json_has_sizes_and_times(capsys, folder):
    assert main(["cache", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["size_bytes"]) == (str(folder), 3000)
    assert told["files"][1] == {
        "path": str(folder / "weights-old.weights"),
        "kind": "weights",
        "size_bytes": 1000,
        "used_at": 1e9,
    }


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_list_of_nothing_says_so(capsys, tmp_path, name):
    (tmp_path / "empty").mkdir()
    assert main(["cache", "list", "--folder", str(tmp_path / name)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / name}  0 files, 0 B\n"


def test_clear_removes_what_is_ours_alone(capsys, folder):
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"removed 3.0 kB from {folder}\n"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


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
    (weights,) = json.loads(capsys.readouterr().out)["files"]
    assert weights["kind"] == "weights"
    assert weights["size_bytes"] == Path(weights["path"]).stat().st_size > 0


# What a model on the GPU leaves: compiled programs, their seal and lock, and a verdict.


@pytest.fixture
def gpu_folder(tmp_path, monkeypatch, data, software_gpu) -> Path:
    """The cache's folder, with what is kept of a model on the GPU and files of someone else."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))
    with litert.Model(data / "mlp.tflite", accelerator="gpu"):
        pass
    for name in ("gpu-notes.txt", "gpu-log.bin", "checked-list.csv"):
        (folder / name).write_text("mine")
    return folder


def test_list_shows_the_programs_of_a_gpu(capsys, gpu_folder):
    assert main(["cache", "list"]) == 0
    title, heads, row = capsys.readouterr().out.splitlines()
    (programs,) = gpu_folder.glob("gpu-*_mldrift_program_cache.bin")
    assert title.startswith(f"{gpu_folder}  1 file, ")
    assert heads.split() == ["kind", "size", "last", "used", "file"]
    assert row.split()[:2] == ["gpu", "programs"]
    assert row.split()[-1] == programs.name


def test_list_as_json_tells_programs_from_weights(capsys, gpu_folder):
    (gpu_folder / "weights-new.weights").write_bytes(bytes(1000))
    assert main(["cache", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(file["kind"] for file in told["files"]) == ["gpu programs", "weights"]
    assert told["size_bytes"] == sum(Path(file["path"]).stat().st_size for file in told["files"])


def test_clear_removes_all_that_a_model_on_the_gpu_left(capsys, gpu_folder):
    kinds = ("gpu-*.bin", "gpu-*.seal", "gpu-*.lock", "checked-*")
    assert all(list(gpu_folder.glob(kind)) for kind in kinds)
    assert main(["cache", "clear"]) == 0
    assert sorted(path.name for path in gpu_folder.iterdir()) == [
        "checked-list.csv",
        "gpu-log.bin",
        "gpu-notes.txt",
    ]


def test_clear_under_a_model_on_the_gpu_does_not_change_its_results(capsys, gpu_folder, data):
    x = np.linspace(-0.5, 0.4, 8, dtype=np.float32)[None]
    with litert.Model(data / "mlp.tflite", accelerator="gpu") as model:
        expected = model.run(x)["probs"]
        assert main(["cache", "clear"]) == 0
        np.testing.assert_array_equal(model.run(x)["probs"], expected)
