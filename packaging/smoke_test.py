"""Show that an installed wheel works: the sample model, alike on both backends.

Needs nothing but the wheel and what it depends on. Free-threaded Python has no reference backend.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np

import litert
from litert.samples import digits_model_path, load_digits


def main() -> int:
    """Run the sample model on both backends; return 0 if all is well."""
    images, labels = load_digits()
    outputs = {}
    has_reference = importlib.util.find_spec("ai_edge_litert") is not None
    for backend in ("native", "reference") if has_reference else ("native",):
        with litert.Model(digits_model_path(), backend=backend) as model:
            if model.backend != backend:
                raise AssertionError(f"{backend}: {model.backend_reason}")
            outputs[backend] = [next(iter(model.run(image[None]).values())) for image in images]
    for output in outputs.values():
        np.testing.assert_array_equal(outputs["native"], output)
    num_right = sum(
        int(output.argmax()) == label
        for output, label in zip(outputs["native"], labels, strict=True)
    )
    if num_right < len(labels) - 1:
        raise AssertionError(f"only {num_right} of {len(labels)} digits are right")
    for module in ("litert", "litert.samples"):
        subprocess.run(
            [sys.executable, "-I", "-m", module, *(["--help"] if module == "litert" else [])],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    info = litert.library_info()
    print(f"smoke test passed: {num_right} of {len(labels)} digits, library {info.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
