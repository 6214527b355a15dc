"""Ways to run a model, ours and others', each over the same inputs.

Each peer has ``in_place`` (a call that runs on inputs that are in place already),
``loop_on_arrays`` (runs so many times, arrays in and arrays out, written as a user would write it:
no function around the calls), and ``outputs`` (what the last run made, by name). An Interpreter
with a live signature runner refuses to invoke, so that runner has an Interpreter of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.options import Options

import litert

Arrays = Mapping[str, npt.NDArray[Any]]

NATIVE = "litert-native"
INTERPRETER = "Interpreter"
SIGNATURE_RUNNER = "Interpreter signature runner"
COMPILED_MODEL = "CompiledModel"


def random_inputs(path: Path, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Return seeded inputs for the first signature: floats in 0..1, integers over their range."""
    generator = np.random.default_rng(seed)
    inputs: dict[str, npt.NDArray[Any]] = {}
    with litert.Model(path) as model:
        for info in next(iter(model.signatures.values())).inputs.values():
            if info.dtype.kind == "f":
                values = generator.random(info.shape)
            else:
                limits = np.iinfo(info.dtype)
                values = generator.integers(limits.min, limits.max, info.shape, endpoint=True)
            inputs[info.name] = values.astype(info.dtype)
    return inputs


class NativePeer:
    """A runner and ``Model.run`` on the native backend, and nothing else."""

    def __init__(self, path: Path, inputs: Arrays, num_threads: int = 1) -> None:
        self.model = litert.Model(path, num_threads=num_threads, backend="native")
        self.runner = self.model.bind()
        for name, array in inputs.items():
            self.runner.inputs[name][...] = array
        self.in_place = self.runner.run
        self._inputs = inputs

    def loop_on_arrays(self, count: int) -> None:
        """Call ``Model.run`` with a dict."""
        model, inputs = self.model, self._inputs
        for _ in repeat(None, count):
            model.run(inputs)

    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the runner made."""
        return {name: array.copy() for name, array in self.runner.outputs.items()}


class InterpreterPeer:
    """``invoke``, and set_tensor, invoke, get_tensor."""

    def __init__(self, path: Path, inputs: Arrays, num_threads: int = 1) -> None:
        self._interpreter = interpreter = Interpreter(str(path), num_threads=num_threads)
        interpreter.allocate_tensors()
        signature = interpreter.get_signature_runner()
        self._given = [
            (signature.get_input_details()[name]["index"], array) for name, array in inputs.items()
        ]
        self._output_of = {
            name: details["index"] for name, details in signature.get_output_details().items()
        }
        del signature
        for index, array in self._given:
            interpreter.set_tensor(index, array)
        self.in_place = interpreter.invoke
        self.in_place()

    def loop_on_arrays(self, count: int) -> None:
        """Set every input, invoke, get every output."""
        interpreter, given, outputs = self._interpreter, self._given, self._output_of.values()
        if len(given) == len(outputs) == 1:
            (index, array), (output,) = given[0], outputs
            for _ in repeat(None, count):
                interpreter.set_tensor(index, array)
                interpreter.invoke()
                interpreter.get_tensor(output)
        elif len(given) == 2 and len(outputs) == 1:
            (index, array), (second_index, second), (output,) = *given, outputs
            for _ in repeat(None, count):
                interpreter.set_tensor(index, array)
                interpreter.set_tensor(second_index, second)
                interpreter.invoke()
                interpreter.get_tensor(output)
        else:
            raise NotImplementedError("one or two inputs, one output")

    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the last run made."""
        return {
            name: self._interpreter.get_tensor(index) for name, index in self._output_of.items()
        }


class SignatureRunnerPeer:
    """The callable of ``get_signature_runner``."""

    def __init__(self, path: Path, inputs: Arrays, num_threads: int = 1) -> None:
        self._interpreter = Interpreter(str(path), num_threads=num_threads)
        self._runner = self._interpreter.get_signature_runner()
        self._inputs = inputs

    def loop_on_arrays(self, count: int) -> None:
        """Call it with the inputs by name."""
        runner, inputs = self._runner, self._inputs
        for _ in repeat(None, count):
            runner(**inputs)

    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Run, and return what that made."""
        outputs: dict[str, npt.NDArray[Any]] = self._runner(**self._inputs)
        return outputs


class CompiledModelPeer:
    """``run_by_index``, and write, run_by_index, read. Raises ValueError for a dtype it lacks."""

    def __init__(self, path: Path, inputs: Arrays, num_threads: int = 1) -> None:
        options = Options.create()
        options.cpu_options.num_threads = num_threads
        self._model = model = CompiledModel.from_file(str(path), options=options)
        key = next(iter(model.get_signature_list()))
        signature = model.get_signature_list()[key]
        self._names = signature["outputs"]
        self._inputs = model.create_input_buffers(0)
        self._outputs = model.create_output_buffers(0)
        self._arrays = [inputs[name] for name in signature["inputs"]]
        details = model.get_output_tensor_details(key)
        self._read_as = [
            (int(np.prod(details[name]["shape"])), np.dtype(details[name]["dtype"]).type)
            for name in self._names
        ]
        self._shapes = [tuple(details[name]["shape"]) for name in self._names]
        for buffer, array in zip(self._inputs, self._arrays, strict=True):
            buffer.write(array)
        inputs_, outputs = self._inputs, self._outputs
        self.in_place = lambda: model.run_by_index(0, inputs_, outputs)
        self.in_place()

    def loop_on_arrays(self, count: int) -> None:
        """Write every input, run, read every output."""
        model, buffers, targets = self._model, self._inputs, self._outputs
        (target,), ((size, dtype),) = targets, self._read_as
        if len(buffers) == 1:
            (buffer,), (array,) = buffers, self._arrays
            for _ in repeat(None, count):
                buffer.write(array)
                model.run_by_index(0, buffers, targets)
                target.read(size, dtype)
        elif len(buffers) == 2:
            (buffer, second_buffer), (array, second) = buffers, self._arrays
            for _ in repeat(None, count):
                buffer.write(array)
                second_buffer.write(second)
                model.run_by_index(0, buffers, targets)
                target.read(size, dtype)
        else:
            raise NotImplementedError("one or two inputs, one output")

    def loop_in_place(self, count: int) -> None:
        """Run on what the buffers hold."""
        model, buffers, targets = self._model, self._inputs, self._outputs
        for _ in repeat(None, count):
            model.run_by_index(0, buffers, targets)

    def _read(self) -> list[npt.NDArray[Any]]:
        return [
            buffer.read(*read_as)
            for buffer, read_as in zip(self._outputs, self._read_as, strict=True)
        ]

    def outputs(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the last run made."""
        return {
            name: array.reshape(shape)
            for name, array, shape in zip(self._names, self._read(), self._shapes, strict=True)
        }


def assert_same(ours: Arrays, others: Arrays) -> None:
    """Assert that outputs are equal in every bit."""
    assert set(ours) == set(others)
    for name, array in ours.items():
        other = np.asarray(others[name])
        assert array.dtype == other.dtype
        assert array.shape == other.shape
        assert array.tobytes() == other.tobytes(), f"output {name!r} differs"
