"""The GPU's compiled programs and converted weights, kept in files.

The library trusts the name that it is given and the bytes that it finds: another model under the
same name is answered with the first one's results. So the name is a hash of all that the content
depends on, a seal beside the file tells what it was when it was finished, and one process at a time
uses it for compiling.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from litert.cache import PROGRAMS_PREFIX, PROGRAMS_SUFFIX, cache_folder, open_regular
from litert.errors import OptionError
from litert.options import CacheSetting, check_cache_setting

_MAX_BYTES = 2 << 30
_MIN_FREE_BYTES = 1 << 20
_MAX_SEAL_BYTES = 4096

_log = logging.getLogger("litert")


@contextlib.contextmanager
def program_cache(setting: CacheSetting, key: str) -> Iterator[list[str]]:
    """Prepare the cache of one model for the time of its compilation.

    Args:
        setting: ``GpuOptions.cache_dir``.
        key: A hash of all that the programs depend on.

    Yields:
        What the library is told: nothing where there is no cache, another process uses this file
        now, or it cannot be written.

    Raises:
        OptionError: The folder that was asked for cannot be used.
    """
    folder = _folder(setting)
    name = f"{PROGRAMS_PREFIX}{key}"
    lock = None if folder is None else _lock(folder / f"{name}.lock")
    if folder is None or lock is None:
        yield []
        return
    try:
        file, seal = folder / f"{name}{PROGRAMS_SUFFIX}", folder / f"{name}.seal"
        if not _is_ready(file, seal):
            yield []
            return
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
    try:
        folder = cache_folder() if setting == "auto" else Path(setting)
        folder = Path(os.path.abspath(folder))
        # The user's folder may be one that the library cannot be told, too.
        check_cache_setting("cache_dir", folder)
        str(folder).encode()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{str(folder)!r} cannot be written")
    except UnicodeEncodeError:
        problem = f"cache_dir: the path must be UTF-8, got {str(folder)!r}"
    except OptionError as err:
        problem = str(err)
    except OSError as err:
        problem = f"cache_dir: {err}; pass another folder or None"
    else:
        return folder
    if setting != "auto":
        raise OptionError(problem)
    _log.info("no GPU programs are kept: %s", problem)
    return None


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock; None where it is held, or cannot be made."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as err:  # a full disk, for one
        _log.info("no GPU programs are kept: %s", err)
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def _is_ready(file: Path, seal: Path) -> bool:
    """Leave a file that can be trusted, or none; False where that cannot be."""
    try:
        if _is_sealed(file, seal):
            os.utime(seal)  # when it was used last
        else:
            file.unlink(missing_ok=True)
    except OSError as err:
        _log.info("no GPU programs are kept: %s", err)
        return False
    return True


def _is_sealed(file: Path, seal: Path) -> bool:
    """Whether the file is what it was when it was finished."""
    try:
        with open_regular(seal) as opened:
            identity, digest = opened.read(_MAX_SEAL_BYTES).decode().rsplit(" ", 1)
        if identity == _identity(file):
            return True
        if digest != _digest(file):
            return False
        _write_seal(seal, f"{_identity(file)} {digest}")
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
            _write_seal(seal, f"{_identity(file)} {_digest(file)}")
        _bound(folder, file)
    except OSError as err:
        _log.info("no GPU programs are kept: %s", err)


def _write_seal(seal: Path, text: str) -> None:
    """Put a seal in place as a whole, whatever is there."""
    unfinished = seal.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    unfinished.write_text(text)
    os.replace(unfinished, seal)


def _bound(folder: Path, kept: Path) -> None:
    """Remove the files that were used least recently until all are small enough together."""
    found = []
    for path in folder.glob(f"{PROGRAMS_PREFIX}*{PROGRAMS_SUFFIX}"):
        seal = path.with_name(path.name.removesuffix(PROGRAMS_SUFFIX) + ".seal")
        used = seal if seal.exists() else path
        found.append((used.stat().st_mtime, path.stat().st_size, path, seal))
    total = sum(size for _, size, _, _ in found)
    for _, size, path, seal in sorted(found):
        if total <= _MAX_BYTES:
            return
        if path != kept:
            total -= size
            path.unlink(missing_ok=True)
            seal.unlink(missing_ok=True)


def _identity(file: Path) -> str:
    found = file.stat()
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _digest(file: Path) -> str:
    # With the name, so that a file and its seal are worth nothing under another model's.
    digest = hashlib.blake2b(file.name.encode("utf-8", "surrogateescape"), digest_size=16)
    with open_regular(file) as opened:
        while piece := opened.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
