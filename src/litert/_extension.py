"""The extension module, or an ImportError that says why there is none."""

from __future__ import annotations

import sys

if sys.version_info < (3, 12):
    # Later ones refuse by themselves; these would wait for ever for the main interpreter's GIL.
    import _xxsubinterpreters

    if _xxsubinterpreters.get_current() != _xxsubinterpreters.get_main():
        raise ImportError("the extension module litert._native loads in the main interpreter alone")

from litert import _native as native

__all__ = ["native"]
