"""Run a model on one of ai-edge-litert's own paths: ``official_path.py PATH MODEL``.

PATH is ``Interpreter`` or ``CompiledModel``; in a process of its own, since it may end it.
"""

from __future__ import annotations

import sys

import numpy as np


def run_interpreter(path: str) -> None:
    """Run with zeros."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path)
    interpreter.allocate_tensors()
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    interpreter.invoke()


def run_compiled_model(path: str) -> None:
    """Run with what the buffers hold, on the CPU alone."""
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.hardware_accelerator import HardwareAccelerator

    model = CompiledModel.from_file(path, hardware_accel=HardwareAccelerator.CPU)
    model.run_by_index(0, model.create_input_buffers(0), model.create_output_buffers(0))


if __name__ == "__main__":
    {"Interpreter": run_interpreter, "CompiledModel": run_compiled_model}[sys.argv[1]](sys.argv[2])
