"""Every model at hand gives the Interpreter's bits, or an error that says why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import litert
from model_table import SHARED, TESTS, Oracle, is_equal, row_of
from random_inputs import random_inputs, stored_shapes

pytestmark = pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")


def models_in(folder: Path) -> list[object]:
    paths = sorted(folder.glob("*.tflite"))
    missing = pytest.mark.skip(reason=f"needs the models in ../shared/models/{folder.name}")
    return [*paths] or [pytest.param(folder, marks=missing)]


def is_ours(result: str, detail: str) -> bool:
    """Whether an error is of a class that the tree has for models that cannot be run."""
    name = detail.partition(":")[0]
    return result == "error" and issubclass(
        getattr(litert, name), (litert.ModelError, litert.ExecutionError)
    )


@pytest.mark.parametrize(
    "path",
    [*models_in(TESTS / "data"), *models_in(SHARED / "tiny"), *models_in(SHARED / "upstream")],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_model_equals_the_interpreter_or_says_why_not(path: Path) -> None:
    row = row_of(path)
    if path.stem == "segment_sum_invalid_buffer":
        # Its operator reads a tensor that has no data; the Interpreter makes something of it.
        assert row.detail.startswith("FileFormatError"), str(row)
        return
    assert row.result in ("equal", "no oracle") or is_ours(row.result, row.detail), str(row)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("path", models_in(SHARED / "mobilenet"), ids=lambda path: path.stem)
def test_mobilenet_equals_the_interpreter_natively(path: Path, num_threads: int) -> None:
    # The threads of operators that XNNPACK leaves to the plain kernels differ between releases and
    # between the two paths, and with them the order in which those operators add up.
    is_left_to_plain_kernels = path.stem.endswith("int4_weights")
    oracles = {1, num_threads} if is_left_to_plain_kernels else {num_threads}
    rows = [row_of(path, num_threads=num_threads, oracle_threads=oracle) for oracle in oracles]
    row = next((row for row in rows if row.result == "equal"), rows[0])
    assert (row.backend, row.result) == ("native", "equal"), str(row)


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("name", ["conv", "int8_per_channel_conv", "int4_weights_dense"])
def test_threads_change_no_bit(data: Path, name: str, num_threads: int) -> None:
    path = data / f"{name}.tflite"
    with litert.Model(path, backend="native", num_threads=num_threads) as model:
        key, signature = next(iter(model.signatures.items()))
        inputs = random_inputs(signature, stored_shapes(model, key), np.random.default_rng(1))
        outputs = model.run(inputs)
    expected = Oracle(path, num_threads).run(signature, inputs)
    assert [is_equal(outputs[name], expected[name]) for name in expected] == [True] * len(expected)


@pytest.mark.parametrize(
    ("stem", "error", "message"),
    [
        ("custom_op", litert.UnsupportedModelError, "LitertTestUnknownOp"),
        ("invalid_unknown_op_version", litert.UnsupportedModelError, "ADD"),
        ("invalid_incompatible_shapes", litert.ModelError, "prepare"),
        ("invalid_bad_operator_input", litert.FileFormatError, "damaged"),
        ("invalid_bad_signature_index", litert.FileFormatError, "damaged"),
        ("invalid_bad_schema_version", litert.FileFormatError, "schema version 3, got 99"),
        ("invalid_empty", litert.FileFormatError, "empty"),
        ("invalid_garbage", litert.FileFormatError, "TFL3"),
        ("invalid_truncated", litert.FileFormatError, "damaged"),
        ("invalid_text", litert.FileFormatError, "text"),
    ],
)
def test_model_that_cannot_run_is_refused_at_load(
    data: Path, stem: str, error: type[litert.LiteRTError], message: str
) -> None:
    with pytest.raises(error, match=message):
        litert.Model(data / f"{stem}.tflite")


@pytest.mark.parametrize(
    ("stem", "message"),
    [("cast_float32_to_uint64", "UINT64"), ("elementwise_bfloat16", "BFLOAT16")],
)
def test_operator_without_a_kernel_for_its_type_says_so_at_the_run(
    data: Path, stem: str, message: str
) -> None:
    with litert.Model(data / f"{stem}.tflite") as model:
        key, signature = next(iter(model.signatures.items()))
        inputs = random_inputs(signature, stored_shapes(model, key), np.random.default_rng(0))
        with pytest.raises(litert.ExecutionError, match=message):
            model.run(inputs)
