"""What trial runs have found out, kept for later processes.

A verdict holds for one content of a model, one release of the library, one CPU, one device and one
set of options, all of which are in its name. Whatever goes wrong with the folder costs time and
nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from litert.cache import VERDICT_PREFIX, cache_folder, open_regular
from litert.cpu import cpu_features, cpu_model
from litert.library import library_info

PREFIX = VERDICT_PREFIX

_FORMAT = 2
_MAX_BYTES = 65536
# Which instructions OpenVINO's CPU device may use, on which its results depend.
_SETTINGS = tuple(
    f"{prefix}_{name}"
    for prefix in ("ONEDNN", "DNNL")
    for name in ("MAX_CPU_ISA", "DEFAULT_FPMATH_MODE")
)

_log = logging.getLogger("litert")


def verdict_name(content_hash: str, *parts: object) -> str:
    """Return the name of the file for what a verdict depends on.

    Args:
        content_hash: Of the model.
        parts: What else: options, devices. Their ``repr`` counts.
    """
    info = library_info()
    machine = (cpu_model(), cpu_features(), [os.environ.get(name) for name in _SETTINGS])
    library = (info.version, info.package, _identity(info.path))
    depends = repr((_FORMAT, library, machine, parts))
    digest = hashlib.sha256(depends.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{PREFIX}{content_hash}-{digest[:32]}"


def _identity(library: str) -> tuple[object, ...]:
    """Tell one build of a library from another, which may have the same version."""
    try:
        found = os.stat(library)
    except OSError:
        return (library,)
    return library, found.st_size, found.st_mtime_ns


def read_verdict(name: str) -> dict[str, Any] | None:
    """Return what was found out, None where nothing is kept that can be read."""
    try:
        with open_regular(cache_folder() / name) as file:
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_verdict(name: str, verdict: dict[str, Any]) -> None:
    """Keep what was found out; a reader sees all of it or nothing."""
    folder = cache_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=name, suffix=".tmp", dir=folder)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(verdict, file)
            os.replace(temporary, folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as err:
        _log.info("%s: nothing is kept of the trial runs: %s", folder, err)
