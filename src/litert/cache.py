"""What is kept on disk between processes: packed weights, and what was found out about models.

The core writes it (packed weights belong to one model, library and CPU, by hash); here it is found,
listed and cleared. It can be removed at any time: nothing but time is lost.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

WEIGHTS_SUFFIX = ".weights"

# Of files that the core writes.
_SUFFIXES = (WEIGHTS_SUFFIX, ".seal", ".lock", ".new", ".tmp")
_PREFIXES = ("weights-", "length-", "digest-")


@dataclass(frozen=True, slots=True)
class CachedWeights:
    """The packed weights of one model. Immutable.

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


def list_weights(folder: Path | None = None) -> list[CachedWeights]:
    """Return the packed weights that are kept, the last used ones first."""
    found = []
    for path in _own_files(folder or cache_folder()):
        if path.suffix != WEIGHTS_SUFFIX:
            continue
        try:
            seal = path.with_suffix(".seal")
            used = seal if seal.exists() else path
            found.append(CachedWeights(path, path.stat().st_size, used.stat().st_mtime))
        except OSError:
            continue  # removed by another process meanwhile
    return sorted(found, key=lambda weights: weights.used_at, reverse=True)


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
    """Return what the core has written there, and nothing else."""
    try:
        files = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [
        path
        for path in files
        if path.name.startswith(_PREFIXES)
        and (not path.suffix or path.suffix in _SUFFIXES)
        and path.is_file()
        and not path.is_symlink()
    ]
