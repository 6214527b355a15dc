"""Every model against the plain Interpreter: which backend runs it, and whether bit for bit alike.

    python tests/model_table.py [FOLDER_OR_FILE...]

The default are the models beside the repository, else tests/data.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import litert
from random_inputs import Arrays, random_inputs, shapes_to_try

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parent.parent / "shared" / "models"
FOLDERS = tuple(SHARED / name for name in ("tiny", "mobilenet", "upstream"))

# Quantization without scales, over which the Interpreter ends the whole process.
FATAL_FOR_THE_INTERPRETER = ("blockwise_quantized.tflite",)


@dataclass(frozen=True)
class Row:
    """One model's line of the table.

    Attributes:
        file: The file's name.
        backend: ``"native"``, ``"reference"``, or ``"-"`` for a model that did not load.
        reason: Why it has that backend.
        result: ``"equal"``, ``"error"`` (both refuse), ``"no oracle"`` (only litert runs it),
            ``"DIFFERENT"`` or ``"REFUSED"`` (only the Interpreter runs it).
        detail: The error's class and message, or what differs.
    """

    file: str
    backend: str
    reason: str
    result: str
    detail: str = ""

    @property
    def is_wrong(self) -> bool:
        return self.result in ("DIFFERENT", "REFUSED")

    def __str__(self) -> str:
        reason = "" if self.backend == "native" else self.reason[:70]
        result = f"{self.result}: {self.detail}" if self.detail else self.result
        return f"{self.file:52s} {self.backend:9s} {result[:150]}" + (
            f"  [{reason}]" if reason else ""
        )


class Oracle:
    """The plain Interpreter behind ``Model.run``'s shape of arguments.

    Kept apart from the reference backend, which is itself under test: a name is looked up in the
    signature, and of a model without signatures by position.
    """

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        import ml_dtypes  # noqa: F401  the Interpreter knows bfloat16 only with it
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter: Any = Interpreter(model_path=str(path), num_threads=num_threads)
        self._has_signatures = bool(self._interpreter.get_signature_list())

    def run(self, signature: litert.Signature, inputs: Arrays) -> Arrays:
        values = {name: _shown(array) for name, array in inputs.items()}
        if self._has_signatures:
            results = self._interpreter.get_signature_runner(signature.key)(**values)
            return {name: _typed(results[name], info) for name, info in signature.outputs.items()}
        return self._run_by_position(signature, list(values.values()))

    def _run_by_position(self, signature: litert.Signature, values: list[Any]) -> Arrays:
        indices = [detail["index"] for detail in self._interpreter.get_input_details()]
        for index, value in zip(indices, values, strict=True):
            self._interpreter.resize_tensor_input(index, value.shape)
        self._interpreter.allocate_tensors()
        for index, value in zip(indices, values, strict=True):
            self._interpreter.set_tensor(index, value)
        self._interpreter.invoke()
        outputs = self._interpreter.get_output_details()
        return {
            info.name: _typed(self._interpreter.get_tensor(detail["index"]), info)
            for info, detail in zip(signature.outputs.values(), outputs, strict=True)
        }


def _shown(array: Any) -> Any:
    """Return an input as the Interpreter takes it: float8 as int8, strings as fixed-size ones.

    Of an array of objects without dimensions it would take the pointer for the text.
    """
    if array.dtype.hasobject:
        return array.astype(bytes)
    return array.view(np.int8) if array.dtype.name.startswith("float8") else array


def _typed(array: Any, info: litert.TensorInfo) -> Any:
    """Return an output in the dtype it has: the Interpreter shows float8 as int8."""
    is_shown_otherwise = array.dtype != info.dtype and array.dtype.itemsize == info.dtype.itemsize
    return array.view(info.dtype) if is_shown_otherwise else array


def table(paths: Iterable[Path]) -> Iterator[Row]:
    """Yield a row for each .tflite file of the folders and files given."""
    for path in paths:
        for file in sorted(path.glob("*.tflite")) if path.is_dir() else [path]:
            yield row_of(file)


def row_of(path: Path, *, num_threads: int = 1, oracle_threads: int = 1) -> Row:
    """Run every signature of a model on seeded random inputs, and the Interpreter on the same."""
    try:
        model = litert.Model(path, num_threads=num_threads)
    except litert.LiteRTError as err:
        return _row_of_unloadable(path, err)
    with model:
        verdict, detail = _compare(model, path, oracle_threads)
        return Row(path.name, model.backend, model.backend_reason, verdict, detail)


def _row_of_unloadable(path: Path, err: litert.LiteRTError) -> Row:
    """Say whether the Interpreter refuses the model too, at the latest when it is prepared."""
    detail = _described(err)
    if path.name in FATAL_FOR_THE_INTERPRETER:
        return Row(path.name, "-", "", "error", detail)
    try:
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        interpreter.allocate_tensors()
        for key in interpreter.get_signature_list():
            interpreter.get_signature_runner(key).get_input_details()
    except (ValueError, RuntimeError):
        return Row(path.name, "-", "", "error", detail)
    return Row(path.name, "-", "", "REFUSED", detail)


def _compare(model: litert.Model, path: Path, oracle_threads: int) -> tuple[str, str]:
    """Return the verdict over all signatures and shapes, and what is to say about it."""
    oracle: Oracle | None = None
    verdicts: dict[str, str] = {}
    rng = np.random.default_rng(0)
    for key, signature in model.signatures.items():
        for shapes in shapes_to_try(model, key):
            inputs = random_inputs(signature, shapes, rng)
            outputs, error = _attempt(lambda: model.run(inputs, signature=key))  # noqa: B023
            oracle = oracle or Oracle(path, oracle_threads)
            expected, refusal = _attempt(lambda: oracle.run(signature, inputs))  # noqa: B023
            verdict, detail = _verdict(outputs, error, expected, refusal)
            verdicts.setdefault(verdict, detail)
    worst_first = ("DIFFERENT", "REFUSED", "equal", "no oracle", "error")
    verdict = next(known for known in worst_first if known in verdicts)
    return verdict, verdicts[verdict]


def _attempt(run: Any) -> tuple[Arrays | None, Exception | None]:
    try:
        return run(), None
    except (litert.LiteRTError, ValueError, RuntimeError, TypeError) as err:
        return None, err


def _verdict(
    outputs: Arrays | None,
    error: Exception | None,
    expected: Arrays | None,
    refusal: Exception | None,
) -> tuple[str, str]:
    if outputs is None:
        assert error is not None
        is_ours = isinstance(error, litert.LiteRTError)
        return "error" if expected is None and is_ours else "REFUSED", _described(error)
    if expected is None:
        return "no oracle", f"the Interpreter says: {refusal}"
    differing = [name for name in expected if not is_equal(outputs[name], expected[name])]
    if list(outputs) != list(expected) or differing:
        return "DIFFERENT", f"outputs {differing or list(outputs)}"
    return "equal", ""


def is_equal(left: Any, right: Any) -> bool:
    """Whether two arrays are alike to the last bit, of any NaN too."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.hasobject:
        return bool((left == right).all())
    return bool(left.tobytes() == right.tobytes())


def _described(err: Exception) -> str:
    return f"{type(err).__name__}: {err}".replace("\n", " ")


def main() -> int:
    paths = [Path(argument) for argument in sys.argv[1:]]
    paths = paths or [folder for folder in FOLDERS if folder.is_dir()] or [TESTS / "data"]
    rows = []
    for row in table(paths):
        print(row, flush=True)
        rows.append(row)
    counts = Counter(f"{row.backend} {row.result}" for row in rows)
    print(
        f"{len(rows)} models: "
        + ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    )
    return 1 if any(row.is_wrong for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
