"""Which backend a model gets, and how the choice is said."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from interpreter_oracle import run_interpreter

pytest.importorskip("ai_edge_litert.interpreter", reason="the choice is between two backends")

# Models that the compiled model cannot run rightly, and a word of the reason.
LEFT_TO_REFERENCE = {
    "copy_complex128": "complex128",
    "copy_string": "string tensor 'x'",
    "counter_variable": "READ_VARIABLE",
    "dynamic_batch_reshape": "RESHAPE",
    "dynamic_batch_reshape_cast": "RESHAPE",
    "dynamic_batch_reshape_mul": "RESHAPE",
    "dynamic_batch_stale_shape": "RESHAPE",
    "elementwise_string": "string tensor 'x'",
    "range_dynamic": "RANGE",
    "rank9": "rank 9",
    "string_lookup": "string tensor 'words'",
    "svdf_state": "variable tensor 'state'",
    "tile_dynamic": "TILE",
    "unique_dynamic": "UNIQUE",
    "where_dynamic": "WHERE",
    "zero_size": "zero-size tensor 'x'",
    "zero_size_cast": "zero-size tensor 'x'",
}


def test_default_is_native(data: Path) -> None:
    with litert.Model(data / "add.tflite") as model:
        assert (model.backend, model.backend_reason) == ("native", "the default")
        assert "native" in repr(model)


def test_backend_asked_for_is_taken(data: Path, backend: Any) -> None:
    with litert.Model(data / "add.tflite", backend=backend) as model:
        assert model.backend == backend
        assert model.backend_reason == f"chosen by backend={backend!r}"


def test_unknown_backend_is_an_option_error(data: Path) -> None:
    with pytest.raises(litert.OptionError, match="'auto', 'native' or 'reference', got 'gpu'"):
        litert.Model(data / "add.tflite", backend="gpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LEFT_TO_REFERENCE)
def test_model_left_to_the_reference_says_why(
    data: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    path = data / f"{name}.tflite"
    with caplog.at_level(logging.DEBUG, "litert"), litert.Model(path) as model:
        assert model.backend == "reference"
        assert LEFT_TO_REFERENCE[name] in model.backend_reason
    (record,) = [entry for entry in caplog.records if "reference backend" in entry.getMessage()]
    assert record.levelno == logging.DEBUG
    assert str(path) in record.getMessage()
    assert LEFT_TO_REFERENCE[name] in record.getMessage()


@pytest.mark.parametrize("name", LEFT_TO_REFERENCE)
def test_model_left_to_the_reference_is_refused_by_native(data: Path, name: str) -> None:
    with pytest.raises(litert.UnsupportedModelError, match=LEFT_TO_REFERENCE[name]):
        litert.Model(data / f"{name}.tflite", backend="native")


def test_model_of_bytes_left_to_the_reference_says_why(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = (data / "where_dynamic.tflite").read_bytes()
    with caplog.at_level(logging.DEBUG, "litert"), litert.Model(content) as model:
        assert model.backend == "reference"
    assert f"a model of {len(content)} bytes runs on the reference backend" in caplog.text


# What they compute there


def test_strings_come_back_as_bytes(data: Path) -> None:
    with litert.Model(data / "copy_string.tflite") as model:
        outputs = model.run([["a", "", "zwölf"], ["d", b"e", "f"]])
    assert outputs["y"].dtype == object
    assert outputs["y"].tolist() == [[b"a", b""], ["zwölf".encode(), b"d"], [b"e", b"f"]]


def test_strings_looked_up_and_compared(data: Path) -> None:
    with litert.Model(data / "string_lookup.tflite") as model:
        words = model.run(np.array([3, 2, 1], np.int32))["words"]
    assert words.tolist() == [b"three", "zwölf".encode(), b""]
    with litert.Model(data / "elementwise_string.tflite") as model:
        x = np.array([["a", "b", "c"], ["d", "e", "f"]], dtype=object)
        z = model.run({"x": x, "y": np.where(x == "c", "other", x)})["z"]
    assert z.tolist() == [[True, True, False], [True, True, True]]


def test_where_has_as_many_rows_as_there_are(data: Path) -> None:
    with litert.Model(data / "where_dynamic.tflite") as model:
        assert model.signatures["serving_default"].outputs["indices"].shape == (-1, 1)
        for mask in ([0, 1, 0, 1, 1, 0], [0] * 6, [1] * 6, [1, 0, 0, 0, 0, 0]):
            indices = model.run(np.array(mask, bool))["indices"]
            np.testing.assert_array_equal(indices, np.argwhere(mask), strict=True)


def test_range_tile_and_unique_follow_the_data(data: Path) -> None:
    with litert.Model(data / "range_dynamic.tflite") as model:
        for limit in (3, 7, 0):
            values = model.run({"start": 0, "limit": limit, "delta": 1})["values"]
            assert values.tolist() == list(range(limit))
    with litert.Model(data / "tile_dynamic.tflite") as model:
        for times in (1, 4, 2):
            y = model.run({"x": [1, 2], "times": [times]})["y"]
            assert y.tolist() == [1, 2] * times
    with litert.Model(data / "unique_dynamic.tflite") as model:
        outputs = model.run([5, 5, 7, 5, 9, 7])
    assert outputs["values"].tolist() == [5, 7, 9]
    assert outputs["index"].tolist() == [0, 0, 1, 0, 2, 1]


@pytest.mark.parametrize(("name", "output"), [("zero_size", "z"), ("zero_size_cast", "y")])
def test_zero_size_tensors_run(data: Path, name: str, output: str) -> None:
    with litert.Model(data / f"{name}.tflite") as model:
        (signature,) = model.signatures.values()
        value = model.run({key: np.empty(i.shape, i.dtype) for key, i in signature.inputs.items()})
    assert value[output].shape == signature.outputs[output].shape
    assert value[output].dtype == signature.outputs[output].dtype


def test_rank_9_and_complex128_run(data: Path) -> None:
    x = np.full((1,) * 9, 2, np.float32)
    with litert.Model(data / "rank9.tflite") as model:
        np.testing.assert_array_equal(model.run({"x": x, "y": x})["z"], 2 * x, strict=True)
    c = np.array([[1 + 2j, 1e300j, 0], [1, 2, 3]])
    with litert.Model(data / "copy_complex128.tflite") as model:
        np.testing.assert_array_equal(model.run(c)["y"], c.reshape(3, 2), strict=True)


def test_variable_tensor_keeps_its_state(data: Path) -> None:
    path = data / "svdf_state.tflite"
    x = np.ones((1, 4), np.float32)
    with litert.Model(path) as model:
        first, second = model.run(x)["y"], model.run(x)["y"]
    np.testing.assert_array_equal(first, run_interpreter(path, {"x": x})["y"])
    assert not np.array_equal(first, second)


# LITERT_BACKEND, and a native core that is not there: each in a process of its own

REPORT = """
import json, sys, warnings
{setup}
import litert
result = {{"warnings": []}}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        for path in sys.argv[1:]:
            with litert.Model(path{options}) as model:
                result["backend"], result["reason"] = model.backend, model.backend_reason
                ones = [[1.0] * 4]
                result["sum"] = model.run({{"x": ones, "y": ones}})["sum"].tolist()
    except litert.LiteRTError as err:
        result["error"], result["message"] = type(err).__name__, str(err)
for entry in caught:
    result["warnings"].append([entry.category.__name__, str(entry.message), entry.filename])
result["modules"] = [name for name in sys.modules if name.startswith("ai_edge_litert")]
print(json.dumps(result))
"""


def report(
    data: Path, tmp_path: Path, options: str = "", setup: str = "", **environment: str
) -> dict[str, Any]:
    """Load and run add.tflite twice in a new process and say what came of it."""
    script = tmp_path / "script.py"
    script.write_text(REPORT.format(options=options, setup=setup))
    model = str(data / "add.tflite")
    done = subprocess.run(
        [sys.executable, str(script), model, model],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    return result


NO_EXTENSION = "sys.modules['litert._native'] = None"
NO_LIBRARY = {"LITERT_LIBRARY": "/nowhere/libLiteRt.so"}


def test_environment_variable_chooses_the_backend(data: Path, tmp_path: Path, backend: str) -> None:
    result = report(data, tmp_path, LITERT_BACKEND=backend)
    assert result["backend"] == backend
    assert result["reason"] == f"chosen by LITERT_BACKEND={backend}"
    assert result["sum"] == [[2, 2, 2, 2]]
    assert result["warnings"] == []


def test_environment_variable_gives_way_to_the_argument(data: Path, tmp_path: Path) -> None:
    result = report(data, tmp_path, ", backend='native'", LITERT_BACKEND="reference")
    assert result["reason"] == "chosen by backend='native'"


def test_environment_variable_of_no_backend_names_itself(data: Path, tmp_path: Path) -> None:
    result = report(data, tmp_path, LITERT_BACKEND="gpu")
    assert result["error"] == "OptionError"
    assert "LITERT_BACKEND" in result["message"]
    assert "'gpu'" in result["message"]


def test_native_imports_nothing_of_ai_edge_litert(data: Path, tmp_path: Path) -> None:
    result = report(data, tmp_path)
    assert (result["backend"], result["modules"]) == ("native", [])


@pytest.mark.parametrize(
    ("setup", "environment", "reason"),
    [
        (NO_EXTENSION, {}, "litert._native does not load"),
        ("", NO_LIBRARY, "LITERT_LIBRARY: there is no file /nowhere/libLiteRt.so"),
    ],
    ids=["no extension", "no library"],
)
def test_missing_core_falls_back_with_one_warning(
    data: Path, tmp_path: Path, setup: str, environment: dict[str, str], reason: str
) -> None:
    result = report(data, tmp_path, setup=setup, **environment)
    assert result["backend"] == "reference"
    assert reason in result["reason"]
    assert result["sum"] == [[2, 2, 2, 2]]
    ((category, message, filename),) = result["warnings"]
    assert category == "BackendFallbackWarning"
    assert reason in message
    assert filename == str(tmp_path / "script.py"), "the warning points at the caller"


@pytest.mark.parametrize(
    ("setup", "environment"), [(NO_EXTENSION, {}), ("", NO_LIBRARY)], ids=["extension", "library"]
)
def test_missing_core_is_no_matter_for_reference(
    data: Path, tmp_path: Path, setup: str, environment: dict[str, str]
) -> None:
    result = report(data, tmp_path, ", backend='reference'", setup, **environment)
    assert (result["backend"], result["warnings"]) == ("reference", [])
    assert result["sum"] == [[2, 2, 2, 2]]


@pytest.mark.parametrize(
    ("setup", "environment"), [(NO_EXTENSION, {}), ("", NO_LIBRARY)], ids=["extension", "library"]
)
def test_missing_core_is_an_error_for_native(
    data: Path, tmp_path: Path, setup: str, environment: dict[str, str]
) -> None:
    result = report(data, tmp_path, ", backend='native'", setup, **environment)
    assert (result["error"], result["warnings"]) == ("LibraryError", [])
