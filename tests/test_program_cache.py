"""The GPU's program cache: used again, never for another model, and never trusted when it changed.

The library itself checks neither whose programs a file has nor its bytes: it answers Ok with the
results of whatever it finds there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import litert
from gpu_programs import load, programs, seal_of
from litert.accelerate import program_cache, verdicts
from litert.cache import PROGRAMS_SUFFIX, clear_cache, list_programs

pytestmark = pytest.mark.usefixtures("software_gpu")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder, which is not there yet."""
    path = tmp_path / "cache"
    monkeypatch.setenv("LITERT_CACHE_DIR", str(path))
    return path


@pytest.fixture
def path(data: Path) -> Path:
    return data / "conv.tflite"


@pytest.fixture
def twin(path: Path, tmp_path: Path) -> Path:
    """The same graph with other weights."""
    weights = np.random.RandomState(1).standard_normal((8, 3, 3, 3)).astype(np.float32)
    content = path.read_bytes()
    assert content.count(weights.tobytes()) == 1
    twin = tmp_path / "twin.tflite"
    twin.write_bytes(content.replace(weights.tobytes(), (-weights).tobytes()))
    return twin


# Used again


def test_second_load_uses_what_the_first_has_kept(path: Path) -> None:
    assert not load(path)
    assert load(path)


def test_folder_that_is_asked_for_is_made_and_used(path: Path, folder: Path) -> None:
    asked = folder / "deeper" / "still"
    assert not load(path, asked)
    assert load(path, asked)
    assert programs(asked).stat().st_size > 0
    assert asked.stat().st_mode & 0o077 == 0


def test_folder_relative_to_the_current_one_is_used(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    load(path, "here")
    assert programs(tmp_path / "here").is_file()


def test_folder_with_marks_of_toml_is_used(path: Path, tmp_path: Path) -> None:
    asked = tmp_path / "a # b\\n = [c] 'd' é"
    assert not load(path, asked)
    assert load(path, asked)


def test_setting_none_keeps_no_programs(path: Path, folder: Path) -> None:
    load(path, None)
    assert not load(path, None)
    assert list_programs(folder) == []


def test_other_options_have_programs_of_their_own(path: Path, folder: Path) -> None:
    for precision in ("fp32", "fp16"):
        options = litert.GpuOptions(precision=precision, cache_dir=folder)
        with contextlib.suppress(litert.AcceleratorError):  # float16 may be computed wrongly
            litert.Model(path, accelerator="gpu", gpu=options).close()
    assert len(list_programs(folder)) == 2


# Never for another model


def test_models_of_one_graph_have_programs_of_their_own(path: Path, twin: Path) -> None:
    for _ in range(2):
        load(path)
        load(twin)
    assert load(path)
    assert load(twin)


def test_model_that_changes_under_its_name_is_compiled_anew(path: Path, twin: Path) -> None:
    load(twin)
    twin.write_bytes(path.read_bytes())
    assert not load(twin)


def test_programs_of_another_release_of_the_library_are_not_used(
    path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(path)
    other = dataclasses.replace(litert.library_info(), version="2.99.0")
    monkeypatch.setattr(verdicts, "library_info", lambda: other)
    assert not load(path)
    assert load(path)
    assert len(list_programs(folder)) == 2


@pytest.mark.parametrize("with_seals", [False, True], ids=["programs", "programs and seals"])
def test_programs_that_are_swapped_are_not_used(
    path: Path, twin: Path, folder: Path, with_seals: bool
) -> None:
    load(path)
    first = programs(folder)
    load(twin)
    (second,) = set(folder.glob(f"*{PROGRAMS_SUFFIX}")) - {first}
    pairs = [(first, second), (seal_of(first), seal_of(second))]
    for one, other in pairs if with_seals else pairs[:1]:
        between = folder / "between"
        one.rename(between)
        other.rename(one)
        between.rename(other)

    assert not load(path)
    assert not load(twin)
    assert load(path)


# Never when it changed

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda kept: b"",
    "first bytes": lambda kept: kept[:100],
    "half": lambda kept: kept[: len(kept) // 2],
    "last byte missing": lambda kept: kept[:-1],
    "longer": lambda kept: kept + b"0123456789",
    "flipped in the middle": lambda kept: (
        kept[: len(kept) // 2]
        + bytes(byte ^ 0xFF for byte in kept[len(kept) // 2 :][:64])
        + kept[len(kept) // 2 + 64 :]
    ),
    "text": lambda kept: b"notes of somebody else\n" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_programs_that_are_damaged_are_made_anew(path: Path, folder: Path, damage: str) -> None:
    load(path)
    file = programs(folder)
    kept = file.read_bytes()
    file.write_bytes(DAMAGES[damage](kept))

    assert not load(path)

    if litert.library_info().version != "2.1.6":  # whose files vary by some bytes
        assert len(file.read_bytes()) == len(kept)
    assert load(path)


@pytest.mark.parametrize("seal", [None, b"", b"no seal", b"\xff\xfe \xff", b"1 2 3 4 0123"])
def test_programs_without_their_seal_are_made_anew(
    path: Path, folder: Path, seal: bytes | None
) -> None:
    load(path)
    written = seal_of(programs(folder))
    written.unlink()
    if seal is not None:
        written.write_bytes(seal)

    assert not load(path)
    assert load(path)


@pytest.mark.parametrize("is_seal", [False, True], ids=["programs", "seal"])
def test_pipe_in_place_of_a_file_is_not_waited_for(path: Path, folder: Path, is_seal: bool) -> None:
    load(path)
    file = seal_of(programs(folder)) if is_seal else programs(folder)
    file.unlink()
    os.mkfifo(file)

    assert not load(path)
    assert file.exists()


def test_programs_that_are_copied_with_their_seal_are_used(path: Path, tmp_path: Path) -> None:
    # Another file by its inode and times, the same by its bytes.
    load(path, tmp_path / "one")
    (tmp_path / "two").mkdir()
    for file in (tmp_path / "one").iterdir():
        (tmp_path / "two" / file.name).write_bytes(file.read_bytes())

    assert load(path, tmp_path / "two")


def test_compilation_that_fails_seals_nothing(folder: Path) -> None:
    key = f"{0:032x}-{1:032x}"

    def fail_halfway() -> None:
        with program_cache.program_cache(folder, key):
            (folder / f"gpu-{key}{PROGRAMS_SUFFIX}").write_bytes(b"half of it")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        fail_halfway()
    assert len(list_programs(folder)) == 1

    with program_cache.program_cache(folder, key) as lines:
        assert len(lines) == 3
        assert list_programs(folder) == []


# Several at once


def test_programs_in_use_by_another_process_are_left_alone(path: Path, folder: Path) -> None:
    load(path)
    file = programs(folder)
    kept = file.read_bytes()
    with seal_of(file).with_suffix(".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not load(path)
    assert file.read_bytes() == kept
    assert load(path)


def test_processes_at_once_are_all_right(path: Path, folder: Path) -> None:
    code = f"""
import numpy as np, litert
image = np.ones((1, 16, 16, 3), np.float32)
with litert.Model({str(path)!r}, accelerator="gpu") as model:
    print(model.run(image)["features"].sum())
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    told = [process.communicate(timeout=120) for process in started]
    assert [errors for _, errors in told] == ["", "", ""]
    assert len({result for result, _ in told}) == 1
    assert load(path)


# How much is kept


def test_least_recently_used_programs_make_room(
    path: Path, twin: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(path)
    first = programs(folder)
    os.utime(seal_of(first), (1e9, 1e9))
    monkeypatch.setattr(program_cache, "_MAX_BYTES", first.stat().st_size + 10)

    load(twin)

    assert programs(folder) != first
    assert not seal_of(first).exists()


def test_use_counts_as_recent(path: Path, folder: Path) -> None:
    load(path)
    os.utime(seal_of(programs(folder)), (1e9, 1e9))
    load(path)
    assert list_programs(folder)[0].used_at > 1.1e9


def test_cleared_cache_has_nothing_left(path: Path, folder: Path) -> None:
    load(path)
    assert clear_cache(folder) > 0
    assert list(folder.iterdir()) == []
    assert not load(path)
