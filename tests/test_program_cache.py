"""GPU programs that are kept: the results are those without, whatever happens to the files."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from litert.accelerate import program_cache

FIRST_WEIGHT = struct.pack("<f", 1.6243454)  # of mlp.tflite

pytestmark = pytest.mark.usefixtures("software_gpu")


@pytest.fixture
def model_path(data: Path) -> Path:
    """A model with weights."""
    return data / "mlp.tflite"


@pytest.fixture
def other_model(model_path: Path, tmp_path: Path) -> Path:
    """A model with the same graph and another weight."""
    content = model_path.read_bytes()
    assert content.count(FIRST_WEIGHT) == 1
    path = tmp_path / "other" / model_path.name
    path.parent.mkdir()
    path.write_bytes(content.replace(FIRST_WEIGHT, struct.pack("<f", -5.0)))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where programs are kept; made on first use."""
    return tmp_path / "programs"


def load_and_run(source: Path | bytes, folder: Any, **options: Any) -> tuple[bool, bytes]:
    """Return whether the programs were there already, and the result."""
    gpu = litert.GpuOptions(cache_dir=folder, **options)
    with litert.Model(source, accelerator="gpu", gpu=gpu) as model:
        (output,) = model.run({"x": np.linspace(-0.5, 0.4, 8, dtype=np.float32)[None]}).values()
        log = model._backend_model.compile_log()
        return "Initialized InferenceContext from serialized data" in log, output.tobytes()


def programs_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("gpu-*_mldrift_program_cache.bin"))


# What is kept


@pytest.mark.parametrize("as_bytes", [False, True])
def test_programs_are_kept_and_then_used(model_path: Path, folder: Path, as_bytes: bool) -> None:
    source = model_path.read_bytes() if as_bytes else model_path
    _, expected = load_and_run(source, None)
    assert load_and_run(source, folder) == (False, expected)
    assert load_and_run(source, folder) == (True, expected)
    assert len(programs_in(folder)) == 1


def test_missing_folder_is_made_for_the_user_alone(model_path: Path, folder: Path) -> None:
    load_and_run(model_path, folder / "a" / "b")
    assert (folder / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert len(programs_in(folder / "a" / "b")) == 1


def test_folder_may_be_relative(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_and_run(model_path.resolve(), "a folder")[0] is False
    assert load_and_run(model_path.resolve(), tmp_path / "a folder")[0] is True


def test_folder_may_have_any_name_that_the_library_can_be_told(
    model_path: Path, folder: Path
) -> None:
    odd = folder / r"it's # [a] = \n folder é"
    _, expected = load_and_run(model_path, odd)
    assert load_and_run(model_path, odd) == (True, expected)
    assert len(programs_in(odd)) == 1


def test_auto_keeps_programs_in_the_users_folder(
    model_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))
    load_and_run(model_path, "auto")
    assert load_and_run(model_path, "auto")[0] is True
    assert len(programs_in(folder)) == 1


def test_none_keeps_nothing(
    model_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))
    assert [load_and_run(model_path, None)[0] for _ in range(2)] == [False, False]
    assert programs_in(folder) == []


def test_model_with_the_same_graph_has_its_own(
    model_path: Path, other_model: Path, folder: Path
) -> None:
    _, expected = load_and_run(other_model, None)
    _, first = load_and_run(model_path, folder)
    assert load_and_run(other_model, folder) == (False, expected)
    assert load_and_run(other_model, folder) == (True, expected)
    assert load_and_run(model_path, folder) == (True, first)
    assert first != expected


def test_precision_has_a_file_of_its_own(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, folder)
    assert load_and_run(model_path, folder, precision="fp16")[0] is False
    assert load_and_run(model_path, folder) == (True, expected)
    assert len(programs_in(folder)) == 2


def test_two_models_at_once_share_their_programs(model_path: Path, folder: Path) -> None:
    load_and_run(model_path, folder)
    gpu = litert.GpuOptions(cache_dir=folder)
    with litert.Model(model_path, accelerator="gpu", gpu=gpu):
        assert load_and_run(model_path, folder)[0] is True


def test_too_much_drops_what_was_used_least_recently(
    model_path: Path, other_model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_and_run(model_path, folder)
    (old,) = programs_in(folder)
    load_and_run(other_model, folder)
    (kept,) = set(programs_in(folder)) - {old}
    os.utime(old.with_name(old.name.replace(program_cache.PROGRAMS_SUFFIX, ".seal")), (1e9, 1e9))
    monkeypatch.setattr(program_cache, "_MAX_BYTES", kept.stat().st_size)

    assert load_and_run(other_model, folder)[0] is True
    assert programs_in(folder) == [kept]
    assert [path.name for path in folder.glob("*.seal")] == [f"{kept.name.split('_')[0]}.seal"]


# Files that are not what they were


def flip(content: bytes) -> bytes:
    """Change a byte in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        flip,
        lambda content: b"a text in its place\n" * 100,
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "half", "one less", "one more", "flipped", "text", "zeros"],
)
def test_damaged_file_is_made_again(
    model_path: Path, folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    _, expected = load_and_run(model_path, folder)
    (kept,) = programs_in(folder)
    kept.write_bytes(damage(kept.read_bytes()))
    assert load_and_run(model_path, folder) == (False, expected)
    assert load_and_run(model_path, folder) == (True, expected)


def test_weights_that_were_changed_are_not_used(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, folder)
    (kept,) = programs_in(folder)
    content = kept.read_bytes()
    assert FIRST_WEIGHT in content  # the library would take any other value from there
    kept.write_bytes(content.replace(FIRST_WEIGHT, struct.pack("<f", -5.0)))
    assert load_and_run(model_path, folder) == (False, expected)


def test_file_of_another_model_is_not_used(
    model_path: Path, other_model: Path, folder: Path
) -> None:
    _, expected = load_and_run(model_path, folder)
    (mine,) = programs_in(folder)
    load_and_run(other_model, folder)
    (other,) = set(programs_in(folder)) - {mine}
    shutil.copy(other, mine)
    assert load_and_run(model_path, folder) == (False, expected)


def test_files_that_were_swapped_are_not_used(
    model_path: Path, other_model: Path, folder: Path, tmp_path: Path
) -> None:
    expected = [load_and_run(path, folder)[1] for path in (model_path, other_model)]
    one, other = programs_in(folder)
    one.rename(tmp_path / "kept")
    other.rename(one)
    (tmp_path / "kept").rename(other)
    found = [load_and_run(path, folder) for path in (model_path, other_model)]
    assert found == [(False, result) for result in expected]


def test_file_that_was_copied_is_used(model_path: Path, folder: Path, tmp_path: Path) -> None:
    _, expected = load_and_run(model_path, folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert load_and_run(model_path, tmp_path / "copy") == (True, expected)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"one", b"1 2 3 4 5"])
def test_damaged_seal_makes_the_file_again(model_path: Path, folder: Path, content: bytes) -> None:
    _, expected = load_and_run(model_path, folder)
    (seal,) = folder.glob("*.seal")
    seal.write_bytes(content)
    assert load_and_run(model_path, folder) == (False, expected)
    assert load_and_run(model_path, folder) == (True, expected)


@pytest.mark.parametrize("name", ["*.bin", "*.seal", "*.lock"])
def test_file_that_is_gone_is_made_again(model_path: Path, folder: Path, name: str) -> None:
    _, expected = load_and_run(model_path, folder)
    (gone,) = folder.glob(name)
    gone.unlink()
    assert load_and_run(model_path, folder)[1] == expected
    assert load_and_run(model_path, folder) == (True, expected)


@pytest.mark.parametrize("suffix", ["_mldrift_program_cache.bin", ".lock"])
def test_folder_in_place_of_a_file_keeps_nothing(
    model_path: Path, folder: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    _, expected = load_and_run(model_path, folder)
    (path,) = folder.glob(f"*{suffix}")
    path.unlink()
    path.mkdir()
    with caplog.at_level(logging.INFO, "litert"):
        assert load_and_run(model_path, folder) == (False, expected)
    assert str(folder) in caplog.text


# Folders that cannot be used


def test_file_in_place_of_the_folder_is_refused(model_path: Path, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(litert.OptionError, match=r"^cache_dir: .*File exists: '.*programs'$"):
        load_and_run(model_path, folder)


def test_folder_below_a_file_is_refused(model_path: Path, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(litert.OptionError, match=r"^cache_dir: .*Not a directory: '.*below'$"):
        load_and_run(model_path, folder / "below")


def test_folder_that_cannot_be_written_is_refused(
    model_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(litert.OptionError, match=r"^cache_dir: '.*programs' cannot be written"):
        load_and_run(model_path, folder)


def test_folder_with_a_quote_is_refused(folder: Path) -> None:
    with pytest.raises(litert.OptionError, match="must not hold a quote"):
        litert.GpuOptions(cache_dir=f'{folder}"quoted"')


@pytest.mark.parametrize("name", ['a "quoted" folder', "two\nlines", os.fsdecode(b"\xff")])
def test_relative_folder_below_one_that_the_library_cannot_be_told_is_refused(
    model_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    below = folder / name
    below.mkdir(parents=True)
    source = model_path.resolve()
    monkeypatch.chdir(below)
    with pytest.raises(litert.OptionError, match="which the library cannot be told"):
        load_and_run(source, "cache")


@pytest.mark.parametrize(
    "name", ["a file", 'a "quoted" folder', "two\nlines", os.fsdecode(b"\xff")]
)
def test_auto_without_a_usable_folder_keeps_nothing(
    model_path: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    folder.mkdir()
    (folder / "a file").touch()
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder / name))
    _, expected = load_and_run(model_path, None)
    with caplog.at_level(logging.INFO, "litert"):
        assert load_and_run(model_path, "auto") == (False, expected)
    assert "no GPU programs are kept: " in caplog.text
    assert list(folder.rglob("*.bin")) == []


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a file system there that is too small for the programs, or skip."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    try:
        is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("needs the right to mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("num_filled", [0, 16])
def test_full_disk_keeps_nothing(data: Path, folder: Path, num_filled: int) -> None:
    image = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    with litert.Model(data / "conv.tflite") as reference:
        expected = reference.run(image)["features"]
    with small_disk(folder):
        (folder / "filler").write_bytes(bytes(4096 * num_filled))
        gpu = litert.GpuOptions(cache_dir=folder)
        for _ in range(2):
            with litert.Model(data / "conv.tflite", accelerator="gpu", gpu=gpu) as model:
                computed = model.run(image)["features"]
            np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-5)
            assert programs_in(folder) == []


# Several processes


def test_file_that_another_process_writes_is_left_alone(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, folder)
    (lock,) = folder.glob("*.lock")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert load_and_run(model_path, folder) == (False, expected)
    assert load_and_run(model_path, folder) == (True, expected)


LOAD = """
    import sys, numpy, litert
    path, folder = sys.argv[1:]
    sys.stdin.readline()
    gpu = litert.GpuOptions(cache_dir=folder)
    with litert.Model(path, accelerator="gpu", gpu=gpu) as model:
        inputs = {"x": numpy.linspace(-0.5, 0.4, 8, dtype=numpy.float32)[None]}
        (output,) = model.run(inputs).values()
        print(output.tobytes().hex())
    """


def test_processes_at_once_give_the_same_results(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, None)
    command = [sys.executable, "-c", textwrap.dedent(LOAD), str(model_path), str(folder)]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            for _ in range(3)
        ]
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("load\n")
            each.stdin.flush()
        said = [each.communicate(timeout=60)[0] for each in processes]
    assert said == [f"{expected.hex()}\n"] * 3
    assert load_and_run(model_path, folder) == (True, expected)
