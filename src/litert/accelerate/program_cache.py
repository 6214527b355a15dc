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

from litert.cache import cache_folder
from litert.errors import OptionError
from litert.options import CacheSetting

PREFIX = "gpu-"
SUFFIX = "_mldrift_program_cache.bin"  # the library's own

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
    name = f"{PREFIX}{key}"
    file, seal = folder / f"{name}{SUFFIX}", folder / f"{name}.seal"
    lock = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield []
            return
        if not _is_sealed(file, seal):
            file.unlink(missing_ok=True)
        yield [
            f'serialization_dir = "{folder}"',
            f'model_cache_key = "{name}"',
            "serialize_program_cache = true",
        ]
        _finish(folder, file, seal)
    finally:
        os.close(lock)


def _folder(setting: CacheSetting) -> Path | None:
    if setting is None:
        return None
    folder = cache_folder() if setting == "auto" else Path(setting).absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{str(folder)!r} cannot be written")
        return folder
    except OSError as err:
        if setting != "auto":
            raise OptionError(f"cache_dir: {err}") from err
        _log.info("%s: no GPU programs are kept: %s", folder, err)
        return None


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
        _bound(folder, file)
    except OSError as err:
        _log.info("%s: no GPU programs are kept: %s", folder, err)


def _bound(folder: Path, kept: Path) -> None:
    """Remove the files that were used least recently until all are small enough together."""
    files = sorted(folder.glob(f"{PREFIX}*{SUFFIX}"), key=lambda path: path.stat().st_atime)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total <= _MAX_BYTES:
            return
        if path != kept:
            total -= path.stat().st_size
            path.unlink(missing_ok=True)


def _identity(file: Path) -> str:
    found = file.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _digest(file: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
