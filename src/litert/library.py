"""Choosing and loading the LiteRT library; the packages that bring one are not imported."""

from __future__ import annotations

import logging
import os
import re
import threading
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from litert.errors import LibraryError

# Package, module and file, in the order in which they are tried.
_SOURCES = (
    ("ai-edge-litert", "ai_edge_litert", "libLiteRt.so"),
    ("litert-lm-api", "litert_lm", "liblitert-lm.so"),
)

_log = logging.getLogger("litert")

_load_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class LibraryInfo:
    """The LiteRT library in use.

    Attributes:
        path: Where it lies.
        version: The release, by ai-edge-litert beside it or else by the symbols it has.
        keeps_inputs_bound: Whether inputs stay bound between runs, which saves a third of a small
            run. Tried once a process; ``LITERT_KEEP_INPUTS=0`` turns it off.
        package: The package that it was found in, and its version: ``"ai-edge-litert 2.3.0"``;
            empty for a path that was given.
        reason: Why this one was taken.
    """

    path: str
    version: str
    keeps_inputs_bound: bool
    package: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """Where the library in use came from. Immutable."""

    package: str
    reason: str


# Written once, under _load_lock, when the library is loaded.
_choice = _Choice("", "")


def find_library() -> str:
    """Return the path of the library that is tried first: ``LITERT_LIBRARY``, else a package's.

    Raises:
        LibraryError: There is none; the message lists where it was looked for.
    """
    located = [_locate(*source) for source in _SOURCES]
    path = _given_library() or next((path for path, _ in located if path), "")
    if not path:
        raise _nothing_loads([failure for _, failure in located])
    return path


def load_library(path: str | os.PathLike[str] | None = None) -> None:
    """Load the LiteRT library of this process; later calls for the same one do nothing.

    The first that there is of: ``path``, ``LITERT_LIBRARY``, ai-edge-litert's and litert-lm-api's.
    One that was given has to load; of the packages the second is taken where the first is missing
    or does not load.

    Args:
        path: The library to use in place of the one that is found; call this before the first
            model is loaded.

    Raises:
        LibraryError: It is missing, does not load, is older than 2.1.6, lacks a symbol, needs what
            this CPU lacks, or another one is in use already; or the extension module is missing.
    """
    global _choice
    native = import_extension()
    # Without the lock where there is nothing to do: a fork may leave it locked in the child.
    if path is None and native.is_library_open():
        return
    with _load_lock:
        if path is not None:
            was_open = native.is_library_open()
            native.open_library(os.path.abspath(os.fspath(path)))
            if not was_open:
                _choice = _Choice("", "load_library")
        elif not native.is_library_open():
            _choice = _load_found(native)


def library_info() -> LibraryInfo:
    """Return which library is in use, loading it if none is yet.

    Raises:
        LibraryError: As ``load_library``.
    """
    load_library()
    native = import_extension()
    path = native.library_path()
    version = native.library_version()
    # litert-lm-api has version numbers of its own.
    if os.path.basename(os.path.dirname(path)) == "ai_edge_litert":
        version = _distribution_version(path, "ai-edge-litert") or version
    package = _choice.package
    return LibraryInfo(
        path=path,
        version=version,
        keeps_inputs_bound=native.keeps_inputs_bound(),
        package=f"{package} {_distribution_version(path, package) or ''}".strip(),
        reason=_choice.reason,
    )


def import_extension() -> ModuleType:
    """Return the extension module.

    Raises:
        LibraryError: It is not installed for this Python, or does not load.
    """
    try:
        from litert._extension import native
    except ImportError as err:
        from litert.installation import explain_missing_extension

        raise LibraryError(explain_missing_extension(str(err))) from err
    return native


def _load_found(native: ModuleType) -> _Choice:
    """Load the library that was named, or the first of a package's that loads."""
    given = _given_library()
    if given:
        native.open_library(given)
        return _Choice("", "LITERT_LIBRARY")
    failures: list[str] = []
    for package, module, file in _SOURCES:
        path, failure = _locate(package, module, file)
        if path:
            try:
                native.open_library(path)
            except LibraryError as err:
                failure = f"{package}'s does not load: {err}"
            else:
                return _Choice(package, _describe_choice(package, failures))
        failures.append(failure)
    raise _nothing_loads(failures)


def _given_library() -> str:
    path = os.environ.get("LITERT_LIBRARY", "")
    if path and not os.path.isfile(path):
        raise LibraryError(f"LITERT_LIBRARY: there is no file {path}")
    return path


def _locate(package: str, module: str, file: str) -> tuple[str, str]:
    """Return the path of a package's library, or else an empty one and what is missing."""
    spec = PathFinder.find_spec(module)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    paths = [os.path.join(folder, file) for folder in folders]
    for path in paths:
        if os.path.isfile(path):
            return path, ""
    if paths:
        return "", f"{package}'s is missing: there is no file {', '.join(paths)}"
    return "", f"{package} is not installed"


def _describe_choice(package: str, failures: list[str]) -> str:
    if not failures:
        return f"found with {package}"
    reason = f"{package}'s, since {'; '.join(failures)}"
    _log.info("the LiteRT library is %s", reason)
    return reason


def _nothing_loads(failures: list[str]) -> LibraryError:
    """Build the error that lists what was tried, and says what to do about it."""
    text = "; ".join(failures)
    return LibraryError(f"no LiteRT library was found that loads: {text}; {_advise(failures)}")


def _advise(failures: list[str]) -> str:
    from litert.system import LIBRARY_REQUIREMENT, how_to_get_library, libc_name, obstacle_to_litert

    is_lm_tried = "litert-lm-api is not installed" not in failures
    # The loader names GLIBC_ or GLIBCXX_ with a version, both of which come with the system.
    too_new = [failure.partition(" ")[0] for failure in failures if "GLIBC" in failure]
    if too_new:
        advice = f"this system's C library ({libc_name()}) is too old for {' and '.join(too_new)}: "
        if not is_lm_tried:
            advice += "pip install litert-lm-api, whose library needs glibc 2.27, or "
        return f"{advice}use a newer system"
    if "ai-edge-litert is not installed" in failures or obstacle_to_litert():
        return how_to_get_library(is_lm_tried)
    return f"pip install --force-reinstall '{LIBRARY_REQUIREMENT}'"


def _distribution_version(path: str, package: str) -> str | None:
    """Tell the version by the dist-info folder; importlib.metadata would cost 60 ms."""
    name = package.replace("-", "_")
    for folder in Path(path).parent.parent.glob(f"{name}-*.dist-info"):
        match = re.fullmatch(rf"{name}-(.+)\.dist-info", folder.name)
        if match:
            return match[1]
    return None
