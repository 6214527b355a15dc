"""Folders of the GPU's program cache that cannot be used: refused where they were asked for, and
done without where they are the user's own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import litert
from gpu_programs import load, programs, seal_of
from litert.cache import list_programs

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
def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no folder be writable, also for root."""
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)


def test_folder_that_cannot_be_written_is_refused(
    path: Path, tmp_path: Path, unwritable: None
) -> None:
    with pytest.raises(litert.OptionError, match=r"cache_dir: .* cannot be written; pass another"):
        load(path, tmp_path)


def test_users_folder_that_cannot_be_written_is_done_without(
    path: Path, folder: Path, unwritable: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "litert"):
        load(path)
    assert list_programs(folder) == []
    assert f"no GPU programs are kept: cache_dir: {str(folder)!r} cannot be written" in caplog.text


def test_file_in_place_of_the_folder_is_refused(path: Path) -> None:
    with pytest.raises(litert.OptionError, match=r"cache_dir: .*File exists"):
        load(path, path)


def test_file_in_place_of_the_users_folder_is_done_without(
    path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("no folder")
    with caplog.at_level(logging.INFO, "litert"):
        load(path)
    assert "no GPU programs are kept: cache_dir: " in caplog.text


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ('a"b', "must not hold a quote"),
        ("a\nb", "must not hold a quote"),
        (os.fsdecode(b"a\xffb"), "the path must be UTF-8"),
    ],
    ids=["quote", "newline", "not UTF-8"],
)
def test_folder_that_the_library_cannot_be_told_is_refused(
    path: Path, tmp_path: Path, name: str, match: str
) -> None:
    with pytest.raises(litert.OptionError, match=f"cache_dir: .*{match}"):
        load(path, tmp_path / name)


@pytest.mark.parametrize("name", ['a"b', "a\nb", os.fsdecode(b"a\xffb")])
def test_users_folder_that_the_library_cannot_be_told_is_done_without(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    monkeypatch.setenv("LITERT_CACHE_DIR", str(tmp_path / name))
    with caplog.at_level(logging.INFO, "litert"):
        load(path)
    assert "no GPU programs are kept: cache_dir: the path must" in caplog.text


def test_folder_under_the_files_name_is_done_without(path: Path, folder: Path) -> None:
    load(path)
    file = programs(folder)
    file.unlink()
    (file / "mine").mkdir(parents=True)

    assert not load(path)
    assert (file / "mine").is_dir()


def test_link_under_the_locks_name_is_not_followed(path: Path, folder: Path) -> None:
    load(path)
    lock = seal_of(programs(folder)).with_suffix(".lock")
    lock.unlink()
    lock.symlink_to(folder / "elsewhere")

    assert not load(path)
    assert not (folder / "elsewhere").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("is_full_of_files", [False, True])
def test_full_disk_is_done_without(path: Path, small_disk: Path, is_full_of_files: bool) -> None:
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    if is_full_of_files:
        with contextlib.suppress(OSError):
            for number in range(10_000):
                (small_disk / str(number)).touch()

    assert not load(path, small_disk)
    assert not load(path, small_disk)
    assert list_programs(small_disk) == []
