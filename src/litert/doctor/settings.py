"""The environment variables that are set, and what the cache folder holds."""

from __future__ import annotations

import os
from pathlib import Path

from litert.cache import cache_folder, list_programs, list_weights
from litert.doctor.finding import Finding

_VARIABLES = (
    "LITERT_LIBRARY",
    "LITERT_BACKEND",
    "LITERT_KEEP_INPUTS",
    "LITERT_CACHE_DIR",
    "LITERT_CACHE_USER_ID",
    "LITERT_GUARD_BUFFERS",
)


def examine_variables() -> list[Finding]:
    """Show every variable that is read, and judge its value."""
    findings = []
    for name in _VARIABLES:
        value = os.environ.get(name)
        advice = "" if value is None else _judge_variable(name, value)
        findings.append(Finding("environment", name, value or "not set", advice))
    return findings


def examine_cache() -> list[Finding]:
    """Tell where packed weights and GPU programs are kept and how much of them."""
    folder = cache_folder()
    return [
        Finding("cache", "folder", str(folder), _judge_cache_folder(folder)),
        Finding("cache", "kept", _describe_kept(folder)),
    ]


def _describe_kept(folder: Path) -> str:
    try:
        found = {"weights": list_weights(folder), "GPU programs": list_programs(folder)}
    except OSError as err:
        return f"not known: {err.strerror}"
    parts = [
        f"{what} of {'1 model' if len(files) == 1 else f'{len(files)} models'}"
        for what, files in found.items()
        if files
    ]
    if not parts:
        return "nothing"
    size_mb = sum(one.size_bytes for files in found.values() for one in files) / 1e6
    return f"{', '.join(parts)}, {size_mb:,.1f} MB (litert-native cache list)"


def _judge_cache_folder(folder: Path) -> str:
    """Tell whether packed weights can be kept there; the folder is made when the first are."""
    existing = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    if os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK):
        return ""
    return (
        f"{existing} is no folder that can be written to, so large models and models on the GPU "
        "load slowly each time; set LITERT_CACHE_DIR to one"
    )


def _judge_variable(name: str, value: str) -> str:
    if name == "LITERT_BACKEND" and value not in ("", "auto", "native", "reference"):
        return "expected 'auto', 'native' or 'reference'; correct or unset it"
    if name == "LITERT_GUARD_BUFFERS" and value == "1":
        return "guard pages are for tests: they cost time and memory; unset it in production"
    return ""
