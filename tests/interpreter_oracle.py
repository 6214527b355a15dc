"""The oracle of the tests: a plain ``Interpreter``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (without it the Interpreter refuses bfloat16 tensors)
import numpy as np
import numpy.typing as npt
import pytest

from litert._quiet import captured_library_output

Arrays = dict[str, npt.NDArray[Any]]


def run_interpreter(
    path: Path, inputs: Mapping[str, npt.NDArray[Any]], signature: str | None = None
) -> Arrays:
    """Run a model once and return copies of its outputs by name.

    A model without signatures takes the inputs in their order, and its outputs are called as the
    file calls them. float8 tensors go in and come out as int8, as the Interpreter has them. Skips
    the test where there is no Interpreter.
    """
    package = pytest.importorskip("ai_edge_litert.interpreter")
    inputs = {name: _as_interpreter_has_it(array) for name, array in inputs.items()}
    with captured_library_output():
        interpreter = package.Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        keys = list(interpreter.get_signature_list())
        if keys:
            runner = interpreter.get_signature_runner(keys[0] if signature is None else signature)
            return {name: np.array(value) for name, value in runner(**inputs).items()}
        for detail, array in zip(interpreter.get_input_details(), inputs.values(), strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        return {
            detail["name"]: interpreter.get_tensor(detail["index"])
            for detail in interpreter.get_output_details()
        }


def _as_interpreter_has_it(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.view(np.int8) if array.dtype.name.startswith("float8") else array
