"""The GPU's compiled programs and converted weights, kept in files.

The library trusts the name that it is given and the bytes that it finds: another model under the
same name is answered with the first one's results. So the name is a hash of all that the content
depends on, a seal beside the file tells what it was when it was finished, and one process at a time
writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from litert.cache import PROGRAMS_PREFIX, PROGRAMS_SUFFIX, cache_folder, list_cached, seal_of
from litert.errors import OptionError
from litert.options import CacheSetting

_MAX_BYTES = 2 << 30
_MIN_FREE_BYTES = 1 << 20

_log = logging.getLogger("litert")


@contextlib.contextmanager
def program_cache(setting: CacheSetting, key: str) -> Iterator[list[str]]:
    """Prepare the cache of one model for the time of its compilation.

    Args:
        setting: ``GpuOptions.cache_dir``.
        key: A hash of all that the programs depend on.

    Yields:
        What the library is told: nothing where there is no cache, or another process writes this
        file now.

    Raises:
        OptionError: The folder that was asked for cannot be used.
    """
    folder = _folder(setting)
    if folder is None:
        yield []
        return
    name = f"{PROGRAMS_PREFIX}{key}"
    file = folder / f"{name}{PROGRAMS_SUFFIX}"
    seal = seal_of(file)
    with _locked(folder / f"{name}.lock") as is_ours:
        if not is_ours or not _is_fit(file, seal):
            yield []
            return
        yield [
            f'serialization_dir = "{folder}"',
            f'model_cache_key = "{name}"',
            "serialize_program_cache = true",
        ]
        _finish(folder, file, seal)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Take a lock if nobody has it; yields whether it was taken."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        _log.info("%s: no GPU programs are kept: %s", path.parent, err)
        yield False
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            is_ours = False
        else:
            is_ours = True
        yield is_ours
    finally:
        os.close(lock)


def _folder(setting: CacheSetting) -> Path | None:
    if setting is None:
        return None
    folder = cache_folder() if setting == "auto" else Path(setting).absolute()
    try:
        if any(mark in '"\n' or "\ud800" <= mark <= "\udfff" for mark in str(folder)):
            raise OSError(
                f"{str(folder)!r} holds a quote, a newline or bytes that are no UTF-8, which the "
                "library cannot be told"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{str(folder)!r} cannot be written")
        return folder
    except OSError as err:
        if setting != "auto":
            raise OptionError(f"cache_dir: {err}") from err
        _log.info("%s: no GPU programs are kept: %s", folder, err)
        return None


def _is_fit(file: Path, seal: Path) -> bool:
    """Whether the library may be given the file's name: the file is sealed, or it is gone."""
    if _is_sealed(file, seal):
        return True
    try:
        file.unlink(missing_ok=True)
    except OSError as err:
        _log.info("%s: cannot be used and not be removed: %s", file, err)
        return False
    return True


def _is_sealed(file: Path, seal: Path) -> bool:
    """Whether the file is what it was when it was finished."""
    try:
        identity, digest = seal.read_text().rsplit(" ", 1)
        if identity == _identity(file):
            return True
        if digest != _digest(file):
            return False
        seal.write_text(f"{_identity(file)} {digest}")
    except (OSError, ValueError):
        return False
    return True


def _finish(folder: Path, file: Path, seal: Path) -> None:
    """Seal what the library has written, unless the disk is full and it may be half a file."""
    try:
        free = os.statvfs(folder)
        if free.f_bavail * free.f_frsize < _MIN_FREE_BYTES:
            file.unlink(missing_ok=True)
        if file.exists() and not _is_sealed(file, seal):
            seal.write_text(f"{_identity(file)} {_digest(file)}")
        if file.exists():
            os.utime(seal)  # when it was used last
        _bound(folder, file)
    except OSError as err:
        _log.info("%s: no GPU programs are kept: %s", folder, err)


def _bound(folder: Path, kept: Path) -> None:
    """Remove the files that were used least recently until all are small enough together."""
    files = [one for one in list_cached(folder) if one.kind == "gpu programs"]
    total = sum(one.size_bytes for one in files)
    for one in reversed(files):
        if total <= _MAX_BYTES:
            return
        if one.path != kept:
            total -= one.size_bytes
            one.path.unlink(missing_ok=True)
            seal_of(one.path).unlink(missing_ok=True)


def _identity(file: Path) -> str:
    found = file.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _digest(file: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
