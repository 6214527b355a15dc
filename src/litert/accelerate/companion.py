"""What is said about a file that should lie beside the LiteRT library and does not."""

from __future__ import annotations

from pathlib import Path

from litert.system import LIBRARY_REQUIREMENT, obstacle_to_ai_edge_litert


def explain_missing(what: str, library: str) -> str:
    """Say that something is not beside a LiteRT library, and how to get it.

    Args:
        what: The thing: ``"GPU library (libLiteRtWebGpuAccelerator.so)"``.
        library: The path of the LiteRT library in use.
    """
    package = Path(library).parent.name
    owner = "litert-lm-api's library" if package == "litert_lm" else "the LiteRT library"
    missing = f"{owner} ({library}) has no {what} beside it"
    if package == "ai_edge_litert":
        return f"{missing}; pip install --force-reinstall '{LIBRARY_REQUIREMENT}'"
    obstacle = obstacle_to_ai_edge_litert()
    if obstacle:
        return f"{missing}; ai-edge-litert's has one, but {obstacle}"
    return f"{missing}; use ai-edge-litert's: pip install '{LIBRARY_REQUIREMENT}'"
