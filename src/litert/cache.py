"""What is kept on disk between processes: packed weights, GPU programs, and what was found out.

All of it belongs to one model, library and device, by hash. Here it is found, listed and cleared;
the core writes packed weights, the library GPU programs. It can be removed at any time: nothing but
time is lost.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from litert.errors import OptionError

WEIGHTS_SUFFIX = ".weights"
PROGRAMS_PREFIX = "gpu-"
PROGRAMS_SUFFIX = "_mldrift_program_cache.bin"  # the library's own
VERDICT_PREFIX = "checked-"

_MIN_AUTO_BYTES = 16 << 20

# Names of files that are ours: of a model by its hash, or of a file by its device and inode. The
# folder may be one in which the user has files called weights-v2.bin.
_OWN_NAME = re.compile(
    rf"(?:(?:weights|length|{PROGRAMS_PREFIX[:-1]}|{VERDICT_PREFIX[:-1]})-[0-9a-f]{{32}}-"
    r"|digest-\d+-\d+(?![\w-]))"
)


@dataclass(frozen=True, slots=True)
class CachedFile:
    """The packed weights or the GPU programs of one model. Immutable.

    Attributes:
        path: The file.
        size_bytes: Its size.
        used_at: When it was used last, in seconds since 1970.
    """

    path: Path
    size_bytes: int
    used_at: float


def cache_folder() -> Path:
    """Return the folder: ``LITERT_CACHE_DIR``, else ``litert-native`` in the user's cache."""
    chosen = os.environ.get("LITERT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if base and os.path.isabs(base):
        return Path(base) / "litert-native"
    try:
        return Path.home() / ".cache" / "litert-native"
    except RuntimeError:  # no home
        return Path(f"/tmp/litert-native-{os.getuid()}")


def weight_cache_folder(source: str | bytes, setting: str | os.PathLike[str]) -> str:
    """Return where the packed weights of a model are kept; empty for nowhere.

    Args:
        source: The model's path or bytes.
        setting: ``CpuOptions.weight_cache``: ``"auto"`` keeps those of large models alone, which
            is where it saves more time than it takes.

    Raises:
        OptionError: A folder that was asked for cannot be used.
    """
    if setting == "auto":
        try:
            size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
        except (OSError, ValueError):
            return ""  # whoever opens the model says so
        return str(cache_folder()) if size >= _MIN_AUTO_BYTES else ""
    folder = os.path.abspath(setting)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as err:
        raise OptionError(f"weight_cache: {folder!r} cannot be made: {err.strerror}") from err
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OptionError(
            f"weight_cache: {folder!r} cannot be written; pass another folder or None"
        )
    return folder


def open_regular(path: Path) -> BinaryIO:
    """Open a file of the folder for reading, without waiting if it is somebody's pipe.

    Raises:
        OSError: It is no regular file, or cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return open(descriptor, "rb")


def list_weights(folder: Path | None = None) -> list[CachedFile]:
    """Return the packed weights that are kept, the last used ones first.

    Raises:
        OSError: The folder cannot be read.
    """
    return _list("weights-", WEIGHTS_SUFFIX, folder)


def list_programs(folder: Path | None = None) -> list[CachedFile]:
    """Return the GPU programs that are kept, the last used ones first.

    Raises:
        OSError: The folder cannot be read.
    """
    return _list(PROGRAMS_PREFIX, PROGRAMS_SUFFIX, folder)


def _list(prefix: str, suffix: str, folder: Path | None) -> list[CachedFile]:
    found = []
    for path in _own_files(folder or cache_folder()):
        if not path.name.startswith(prefix) or not path.name.endswith(suffix):
            continue
        try:
            seal = path.with_name(path.name.removesuffix(suffix) + ".seal")
            used = seal if seal.exists() else path
            found.append(CachedFile(path, path.stat().st_size, used.stat().st_mtime))
        except OSError:
            continue  # removed by another process meanwhile
    return sorted(found, key=lambda file: file.used_at, reverse=True)


def clear_cache(folder: Path | None = None) -> int:
    """Remove everything that is kept; models that are loaded go on.

    Returns:
        Bytes that were removed.

    Raises:
        OSError: A file cannot be removed.
    """
    removed = 0
    for path in _own_files(folder or cache_folder()):
        try:
            size = path.stat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        removed += size
    return removed


def _own_files(folder: Path) -> list[Path]:
    """Return what was written there by us, and nothing else."""
    try:
        files = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        path
        for path in files
        if _OWN_NAME.match(path.name) is not None and path.is_file() and not path.is_symlink()
    ]
