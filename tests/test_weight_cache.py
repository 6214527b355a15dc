"""Packed weights that are kept: the results are those without, whatever happens to the files."""

from __future__ import annotations

import contextlib
import os
import re
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
import litert.cache

FIRST_WEIGHT = struct.pack("<f", 1.6243454)  # of mlp.tflite


@pytest.fixture
def model_path(data: Path) -> Path:
    """A model with weights to pack."""
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
    """Where weights are kept; made on first use."""
    return tmp_path / "weights"


def load_and_run(source: Path | bytes, folder: Any, **options: Any) -> tuple[str, bytes]:
    """Return what loading did with the cache, and the result."""
    cpu = litert.CpuOptions(weight_cache=folder, **options)
    with litert.Model(source, cpu=cpu) as model:
        return model.weight_cache, result_of(model)


def result_of(model: litert.Model) -> bytes:
    inputs = {"x": np.linspace(-0.5, 0.4, 8, dtype=np.float32)[None]}
    (output,) = model.run(inputs).values()
    return output.tobytes()


def weights_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.weights"))


# What is kept


@pytest.mark.parametrize("as_bytes", [False, True])
def test_weights_are_built_and_then_reused(model_path: Path, folder: Path, as_bytes: bool) -> None:
    source = model_path.read_bytes() if as_bytes else model_path
    _, expected = load_and_run(source, None)
    assert load_and_run(source, folder) == ("built", expected)
    assert load_and_run(source, folder) == ("reused", expected)
    assert len(weights_in(folder)) == 1


def test_path_and_bytes_share_their_weights(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, folder)
    assert load_and_run(model_path.read_bytes(), folder) == ("reused", expected)


def test_folder_may_be_relative(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_and_run(model_path.resolve(), "a folder")[0] == "built"
    assert len(weights_in(tmp_path / "a folder")) == 1


@pytest.mark.parametrize("setting", [None, "auto"])
def test_small_model_keeps_nothing_unless_it_shall(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path / "cache"))
    assert load_and_run(model_path, setting)[0] == "none"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("options", [{"kernels": "builtin"}])
def test_builtin_kernels_have_nothing_to_keep(
    model_path: Path, folder: Path, options: dict[str, Any]
) -> None:
    assert load_and_run(model_path, folder, **options)[0] == "none"
    assert not folder.exists()


def test_reference_backend_keeps_nothing(model_path: Path, folder: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    cpu = litert.CpuOptions(weight_cache=folder)
    with litert.Model(model_path, cpu=cpu, backend="reference") as model:
        assert model.weight_cache == "none"


def test_model_with_the_same_graph_has_its_own(
    model_path: Path, other_model: Path, folder: Path
) -> None:
    _, expected = load_and_run(other_model, None)
    first = load_and_run(model_path, folder)[1]
    assert load_and_run(other_model, folder) == ("built", expected)
    assert load_and_run(other_model, folder) == ("reused", expected)
    assert first != expected
    assert len(weights_in(folder)) == 2


@pytest.mark.parametrize("flag", ["latest_operators", "slow_consistent_arithmetic"])
def test_flags_have_files_of_their_own(model_path: Path, folder: Path, flag: str) -> None:
    load_and_run(model_path, folder)
    _, expected = load_and_run(model_path, None, xnnpack_flags=(flag,))
    assert load_and_run(model_path, folder, xnnpack_flags=(flag,)) == ("built", expected)
    assert load_and_run(model_path, folder, xnnpack_flags=(flag,)) == ("reused", expected)
    assert len(weights_in(folder)) == 2


def test_threads_share_their_file(model_path: Path, folder: Path) -> None:
    load_and_run(model_path, folder, num_threads=1)
    assert load_and_run(model_path, folder, num_threads=2)[0] == "reused"


def test_two_models_at_once_use_the_same_weights(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, folder)
    cpu = litert.CpuOptions(weight_cache=folder)
    with litert.Model(model_path, cpu=cpu) as one, litert.Model(model_path, cpu=cpu) as other:
        assert one.weight_cache == other.weight_cache == "reused"
        assert result_of(one) == result_of(other) == expected


def test_state_after_close_is_not_told(model_path: Path, folder: Path) -> None:
    model = litert.Model(model_path, cpu=litert.CpuOptions(weight_cache=folder))
    model.close()
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        _ = model.weight_cache


# Files that are not what they were


def flip(content: bytes) -> bytes:
    """Change a byte in the middle, where the weights are."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:16],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        flip,
        lambda content: b"a text in its place\n" * 100,
        lambda content: bytes(len(content)),
    ],
    ids=["empty", "header", "half", "one less", "one more", "flipped", "text", "zeros"],
)
def test_damaged_file_is_built_again(
    model_path: Path, folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    _, expected = load_and_run(model_path, folder)
    (kept,) = weights_in(folder)
    kept.write_bytes(damage(kept.read_bytes()))
    assert load_and_run(model_path, folder) == ("built", expected)
    assert load_and_run(model_path, folder) == ("reused", expected)


def test_file_of_another_model_is_not_used(
    model_path: Path, other_model: Path, folder: Path
) -> None:
    _, expected = load_and_run(model_path, folder)
    (mine,) = weights_in(folder)
    load_and_run(other_model, folder)
    (other,) = set(weights_in(folder)) - {mine}
    shutil.copy(other, mine)
    assert load_and_run(model_path, folder) == ("built", expected)


def test_files_that_were_swapped_are_not_used(
    model_path: Path, other_model: Path, folder: Path, tmp_path: Path
) -> None:
    expected = [load_and_run(path, folder)[1] for path in (model_path, other_model)]
    one, other = weights_in(folder)
    one.rename(tmp_path / "kept")
    other.rename(one)
    (tmp_path / "kept").rename(other)
    found = [load_and_run(path, folder) for path in (model_path, other_model)]
    assert found == [("built", result) for result in expected]


@pytest.mark.parametrize("suffix", [".weights", ".seal"])
def test_file_that_is_gone_is_made_again(model_path: Path, folder: Path, suffix: str) -> None:
    _, expected = load_and_run(model_path, folder)
    (gone,) = folder.glob(f"*{suffix}")
    gone.unlink()
    used, result = load_and_run(model_path, folder)
    assert (used in ("built", "reused"), result) == (True, expected)
    assert load_and_run(model_path, folder) == ("reused", expected)


@pytest.mark.parametrize("suffix", [".weights", ".seal"])
def test_pipe_in_place_of_a_file_is_not_waited_for(
    model_path: Path, folder: Path, suffix: str
) -> None:
    _, expected = load_and_run(model_path, folder)
    (file,) = folder.glob(f"*{suffix}")
    file.unlink()
    os.mkfifo(file)
    with process(model_path, folder) as other:
        said, _ = other.communicate("run\n", timeout=60)
    assert said == f"built\n{expected.hex()}\n"


def test_folder_in_place_of_the_file_keeps_nothing_and_says_so(
    model_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, expected = load_and_run(model_path, folder)
    (file,) = weights_in(folder)
    file.unlink()
    (file / "mine").mkdir(parents=True)
    assert load_and_run(model_path, folder) == (f"failed: {file}: Is a directory", expected)
    assert caplog.messages == [f"packed weights are not kept: {file}: Is a directory"]
    assert (file / "mine").is_dir()


def test_link_under_the_locks_name_is_not_followed(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, folder)
    (lock,) = folder.glob("*.lock")
    for file in folder.iterdir():
        file.unlink()
    lock.symlink_to(folder / "elsewhere")
    used, result = load_and_run(model_path, folder)
    assert (used, result) == (f"failed: {lock}: Too many levels of symbolic links", expected)
    assert not (folder / "elsewhere").exists()


# Folders that cannot be used


@pytest.fixture
def users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The user's own cache folder, which nobody has asked for, for models of any size."""
    monkeypatch.setattr(litert.cache, "_MIN_AUTO_BYTES", 0)
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_users_folder_is_made_and_used(model_path: Path, users_folder: Path) -> None:
    assert load_and_run(model_path, "auto")[0] == "built"
    assert load_and_run(model_path, "auto")[0] == "reused"
    assert len(weights_in(users_folder)) == 1


def test_users_folder_that_cannot_be_used_is_done_without_and_told(
    model_path: Path, users_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, expected = load_and_run(model_path, None)
    users_folder.write_text("a file")
    problem = f"the cache folder {users_folder} cannot be used"
    assert load_and_run(model_path, "auto") == (f"failed: {problem}", expected)
    assert caplog.messages == [f"packed weights are not kept: {problem}"]


def test_file_in_place_of_the_folder_is_refused(model_path: Path, folder: Path) -> None:
    folder.write_text("a file")
    message = rf"^weight_cache: '{re.escape(str(folder))}' cannot be made: File exists$"
    with pytest.raises(litert.OptionError, match=message):
        load_and_run(model_path, folder)


def test_folder_below_a_file_is_refused(model_path: Path, folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(litert.OptionError, match=r"^weight_cache: .*: Not a directory$"):
        load_and_run(model_path, folder / "below")


def test_folder_that_cannot_be_written_is_refused(
    model_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(litert.OptionError, match="cannot be written; pass another folder or None"):
        load_and_run(model_path, folder)


@contextlib.contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """Mount a small file system there and fill it, or skip."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    try:
        is_mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        is_mounted = False
    if not is_mounted:
        pytest.skip("needs the right to mount a file system")
    try:
        with open(folder / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_keeps_nothing_and_says_so(
    model_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, expected = load_and_run(model_path, None)
    with full_disk(folder):
        used, result = load_and_run(model_path, folder)
        assert weights_in(folder) == []
    assert used.startswith("failed: ")
    assert "No space left on device" in used
    assert result == expected
    assert caplog.messages == [f"packed weights are not kept: {used.removeprefix('failed: ')}"]


# Several processes

LOAD = """
    import sys, numpy, litert
    path, folder = sys.argv[1:]
    with litert.Model(path, cpu=litert.CpuOptions(weight_cache=folder)) as model:
        print(model.weight_cache, flush=True)
        sys.stdin.readline()
        inputs = {"x": numpy.linspace(-0.5, 0.4, 8, dtype=numpy.float32)[None]}
        (output,) = model.run(inputs).values()
        print(output.tobytes().hex(), flush=True)
    """


@contextlib.contextmanager
def process(model_path: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Load the model in another process, which runs it once it is sent a line."""
    command = [sys.executable, "-c", textwrap.dedent(LOAD), str(model_path), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def test_eight_processes_at_once_give_the_same_results(model_path: Path, folder: Path) -> None:
    _, expected = load_and_run(model_path, None)
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(process(model_path, folder)) for _ in range(8)]
        for each in processes:
            assert each.stdin is not None
            each.stdin.write("run\n")
            each.stdin.flush()
        said = [each.communicate(timeout=60)[0].splitlines() for each in processes]
    assert [result for _, result in said] == [expected.hex()] * 8
    assert {used for used, _ in said} <= {"built", "reused", "in memory"}
    assert [used for used, _ in said].count("built") == 1
    assert load_and_run(model_path, folder) == ("reused", expected)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: os.truncate(path, 0),
        lambda path: os.truncate(path, path.stat().st_size // 2),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.unlink(),
    ],
    ids=["truncated", "half", "overwritten", "removed"],
)
def test_file_that_changes_under_a_process_does_not_change_its_results(
    model_path: Path, folder: Path, damage: Callable[[Path], None]
) -> None:
    _, expected = load_and_run(model_path, folder)
    (kept,) = weights_in(folder)
    with process(model_path, folder) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "reused\n"
        damage(kept)
        said, _ = other.communicate("run\n", timeout=60)
    assert (other.returncode, said) == (0, f"{expected.hex()}\n")
    assert load_and_run(model_path, folder) == ("built", expected)
