"""Compute an operator that the library does not have, in Python.

    python examples/custom_operator.py MODEL OPERATOR

For speed, a kernel in C takes the callable's place: see docs/accelerators.md.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

import litert


def softsign(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return x / (1 + |x|), for an array of any shape."""
    return x / (1 + np.abs(x))


def main(path: str, name: str) -> None:
    """Run a model whose custom operator ``name`` takes and gives one float32 tensor."""
    with litert.Model(path, custom_ops=[litert.CustomOp(name, softsign)]) as model:
        (info,) = next(iter(model.signatures.values())).inputs.values()
        x = np.linspace(-2, 2, int(np.prod(info.shape)), dtype=np.float32).reshape(info.shape)
        (y,) = model.run(x).values()
        print(f"{name}: {x.ravel()} -> {y.ravel()}")
        print(model.placement)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("custom_operator.py MODEL OPERATOR")
    main(*sys.argv[1:])
