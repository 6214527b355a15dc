"""Write the test models: python tests/data/make_models.py OUT_DIR [NAME...]

Needs numpy, flatbuffers and ai-edge-litert (for its schema only). Deterministic: the same
versions give the same bytes. ``--list`` prints the names.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from model_kinds import basic, dynamic, element_types, invalid, quantized, stateful, wiring


def models() -> dict[str, Callable[[], bytes]]:
    """Return what makes each file, by its name without ".tflite"."""
    files: dict[str, Callable[[], bytes]] = {}
    for module in (basic, wiring, element_types, dynamic, stateful, quantized):
        for name, make in module.MODELS.items():
            files[name] = lambda make=make: make().to_bytes()
    return files | invalid.FILES


def main() -> None:
    """Write the models that the command line names, all of them by default."""
    files = models()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out_dir", type=Path, nargs="?")
    parser.add_argument("names", nargs="*", help="only these")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    args = parser.parse_args()
    if args.list:
        print("\n".join(sorted(files)))
        return
    if args.out_dir is None:
        parser.error("OUT_DIR is needed")
    if unknown := set(args.names) - set(files):
        parser.error(f"unknown names: {', '.join(sorted(unknown))}; --list prints the known ones")
    args.out_dir.mkdir(parents=True, exist_ok=True)
    for name in args.names or files:
        (args.out_dir / f"{name}.tflite").write_bytes(files[name]())


if __name__ == "__main__":
    main()
