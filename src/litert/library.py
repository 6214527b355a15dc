"""Finding and loading the LiteRT library, without importing ``ai_edge_litert``."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from litert.errors import LibraryError

LIBRARY_NAME = "libLiteRt.so"
_INSTALL_HINT = "pip install 'ai-edge-litert>=2.1.6,<3'"

_load_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class LibraryInfo:
    """The LiteRT library in use.

    Attributes:
        path: Where it lies.
        version: The release, by the installed package or else by the symbols it has.
        keeps_inputs_bound: Whether inputs stay bound between runs, which saves a third of a small
            run. Tried once a process; ``LITERT_KEEP_INPUTS=0`` turns it off.
    """

    path: str
    version: str
    keeps_inputs_bound: bool


def find_library() -> str:
    """Return the path of the LiteRT library: ``LITERT_LIBRARY``, else ai-edge-litert's.

    Raises:
        LibraryError: There is none; the message lists where it was looked for.
    """
    chosen = os.environ.get("LITERT_LIBRARY")
    if chosen:
        if not os.path.isfile(chosen):
            raise LibraryError(f"LITERT_LIBRARY: there is no file {chosen}")
        return chosen
    spec = PathFinder.find_spec("ai_edge_litert")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    paths = [os.path.join(folder, LIBRARY_NAME) for folder in folders]
    for path in paths:
        if os.path.isfile(path):
            return path
    tried = ", ".join(paths) if paths else "the package ai_edge_litert is not installed"
    raise LibraryError(f"{LIBRARY_NAME} was not found: {tried}; {_INSTALL_HINT}")


def load_library(path: str | os.PathLike[str] | None = None) -> None:
    """Load the LiteRT library of this process; later calls for the same one do nothing.

    Args:
        path: The library to use in place of the one that is found; call this before the first
            model is loaded.

    Raises:
        LibraryError: It is missing, does not load, is older than 2.1.6, lacks a symbol, or
            another one is in use already; or the extension module is missing.
    """
    native = import_extension()
    # Without the lock where there is nothing to do: a fork may leave it locked in the child.
    if path is None and native.is_library_open():
        return
    with _load_lock:
        if path is not None:
            native.open_library(os.path.abspath(os.fspath(path)))
        elif not native.is_library_open():
            native.open_library(find_library())


def library_info() -> LibraryInfo:
    """Return which library is in use, loading it if none is yet.

    Raises:
        LibraryError: As ``load_library``.
    """
    load_library()
    native = import_extension()
    path = native.library_path()
    return LibraryInfo(
        path=path,
        version=_distribution_version(path) or native.library_version(),
        keeps_inputs_bound=native.keeps_inputs_bound(),
    )


def import_extension() -> ModuleType:
    """Return the extension module.

    Raises:
        LibraryError: It is not installed for this Python, or does not load.
    """
    try:
        from litert._extension import native
    except ImportError as err:
        raise LibraryError(f"the extension module litert._native does not load: {err}") from err
    return native


def _distribution_version(path: str) -> str | None:
    """Tell the version by the dist-info folder; importlib.metadata would cost 60 ms."""
    for folder in Path(path).parent.parent.glob("ai_edge_litert-*.dist-info"):
        match = re.fullmatch(r"ai_edge_litert-(.+)\.dist-info", folder.name)
        if match:
            return match[1]
    return None
