"""The reference backend against a plain ``Interpreter``."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from litert._quiet import captured_library_output
from litert.backends.protocol import BackendModel
from litert.backends.reference import ReferenceModel
from litert.errors import (
    ClosedError,
    ExecutionError,
    FileFormatError,
    LibraryError,
    ModelError,
    SignatureError,
    TensorShapeError,
    TensorTypeError,
    UnsupportedModelError,
)
from litert.options import CpuOptions
from litert.tensor_info import TensorInfo

Interpreter: Any = pytest.importorskip("ai_edge_litert.interpreter").Interpreter

DATA = Path(__file__).resolve().parent / "data"
UPSTREAM = DATA.parents[2] / "shared" / "models" / "upstream"

# A plain Interpreter aborts on its ADD.
ABORTS = {"blockwise_quantized"}
# What a plain Interpreter cannot do: it sets no int2 inputs, reads no tensor that became empty, and
# takes an object array of rank 0 for its address.
CURED = {"cast_int2_to_float32", "copy_int2", "range_dynamic", "string_scalar"}
CURED |= {"tile_with_bool_input"}
Arrays = Mapping[str, npt.NDArray[Any]]


def data(name: str) -> str:
    return str(DATA / f"{name}.tflite")


def open_model(path: str, **options: Any) -> ReferenceModel:
    return ReferenceModel.open(path, CpuOptions(**options))


def random_array(info: TensorInfo, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return values that most operators can take, open dimensions being 2."""
    shape = tuple(2 if size == -1 else size for size in info.shape)
    if info.element_type == "string":
        words = np.array([b"", b"a", b"\xc3\xa9t\xc3\xa9", b"long " * 9], dtype=object)
        return np.asarray(words[rng.integers(0, 4, shape)], dtype=object)
    if info.dtype.kind in "fcV":
        return np.asarray(rng.uniform(-2, 2, shape)).astype(info.dtype)
    return np.asarray(rng.integers(0, 2, shape)).astype(info.dtype)


def interpreter_results(path: str, key: str, inputs: Arrays) -> list[npt.NDArray[Any]]:
    """Run a plain Interpreter once; the outputs are in the order of their names."""
    with captured_library_output():
        interpreter = Interpreter(model_path=path)
        interpreter.allocate_tensors()
    if key in interpreter.get_signature_list() and key:
        results = interpreter.get_signature_runner(key)(**inputs)
        return [results[name] for name in sorted(results)]
    details = interpreter.get_input_details()
    for detail, array in zip(details, inputs.values(), strict=True):
        interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    for detail, array in zip(details, inputs.values(), strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def models(folder: Path) -> list[str]:
    return [
        path.stem for path in sorted(folder.glob("*.tflite")) if path.stem not in ABORTS | CURED
    ]


def as_interpreter_takes(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    return {
        name: array.view(np.int8) if array.dtype.name.startswith("float8") else array
        for name, array in arrays.items()
    }


def assert_equals_interpreter(path: str) -> None:
    try:
        model = open_model(path)
    except ModelError:
        with pytest.raises((ValueError, RuntimeError), match=r"\w"):
            interpreter_results(path, "", {})
        return
    rng = np.random.default_rng(7)
    for key, signature in model.signatures.items():
        inputs = {name: random_array(info, rng) for name, info in signature.inputs.items()}
        try:
            expected = interpreter_results(path, key, as_interpreter_takes(inputs))
        except (ValueError, RuntimeError) as err:
            reason = str(err)[:12]
            with pytest.raises((ExecutionError, TensorShapeError), match=re.escape(reason)):
                model.run(key, inputs)
            continue
        got = model.run(key, inputs)
        names = list(got) if key in ("main", "") else sorted(got)
        for name, want in zip(names, expected, strict=True):
            result = got[name]
            assert result.dtype == signature.outputs[name].dtype, name
            assert result.shape == np.shape(want), name
            assert result.tobytes() == np.asarray(want).tobytes() or (
                result.dtype == object and result.tolist() == np.asarray(want).tolist()
            ), name


@pytest.mark.parametrize("name", models(DATA))
def test_run_equals_interpreter(name: str) -> None:
    assert_equals_interpreter(data(name))


@pytest.mark.parametrize("name", models(UPSTREAM))
def test_run_upstream_model_equals_interpreter(name: str) -> None:
    assert_equals_interpreter(str(UPSTREAM / f"{name}.tflite"))


def test_run_from_bytes_equals_run_from_path() -> None:
    content = Path(data("mlp")).read_bytes()
    x = {"x": np.linspace(-1, 1, 8, dtype=np.float32)[None]}
    expected = open_model(data("mlp")).run("serving_default", x)["probs"]
    for source in (content, bytearray(content), memoryview(content)):
        model = ReferenceModel.open(source, CpuOptions(kernels="builtin", num_threads=2))
        got = model.run("serving_default", x)["probs"]
        np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_open_path_that_is_no_text_runs(tmp_path: Path) -> None:
    path = f"{tmp_path}/\udcff.tflite"
    Path(path).write_bytes(Path(data("rank1")).read_bytes())
    ones = np.ones(2, np.float32)
    got = open_model(path).run("serving_default", {"x": ones, "y": ones})
    assert list(got["z"]) == [2, 2]


# Signatures


def test_signatures_are_in_the_order_of_the_model() -> None:
    signature = open_model(data("swapped_order")).signatures["serving_default"]
    assert list(signature.inputs) == ["plus", "minus"]
    assert list(open_model(data("add")).signatures) == ["add", "scale"]


def test_signatures_of_model_without_any_is_main() -> None:
    signatures = open_model(data("no_signature_same_names")).signatures
    assert list(signatures) == ["main"]
    assert list(signatures["main"].inputs) == ["t", "t_1"]
    assert list(signatures["main"].outputs) == ["output_0"]


@pytest.mark.parametrize("name", ["dynamic_batch", "dynamic_batch_no_has_rank"])
def test_signatures_open_dimension_is_minus_one(name: str) -> None:
    signature = open_model(data(name)).signatures["serving_default"]
    assert signature.inputs["x"].shape == (-1, 4)


@pytest.mark.parametrize(
    "element_type",
    ["int4", "uint4", "int2", "bfloat16", "float8_e4m3fn", "float8_e5m2", "string", "complex128"],
)
def test_signatures_tell_the_true_element_type(element_type: str) -> None:
    info = open_model(data(f"copy_{element_type}")).signatures["serving_default"].inputs["x"]
    assert info.element_type == element_type


def test_signatures_tell_quantization_per_channel() -> None:
    path = data("per_channel_io")
    got = open_model(path).signatures["serving_default"].inputs["x"].quantization
    with captured_library_output():
        want = Interpreter(model_path=path).get_input_details()[0]["quantization_parameters"]
    assert got is not None
    assert got.scale == pytest.approx(tuple(want["scales"]))
    assert got.zero_point == tuple(want["zero_points"])
    assert got.axis == want["quantized_dimension"]


def test_default_shapes_have_no_open_dimension() -> None:
    model = open_model(data("dynamic_two_dims"))
    assert model.default_shapes("serving_default") == {"x": (1, 1, 2)}


def test_run_unknown_signature_lists_the_known() -> None:
    with pytest.raises(SignatureError, match="no signature 'sum'; the model has 'add', 'scale'"):
        open_model(data("add")).run("sum", {})


# Values


def test_run_int2_equals_the_values_given() -> None:
    x = np.array([[-2, -1, 0], [1, -2, 1]], np.int8)
    model = open_model(data("copy_int2"))
    assert model.run("serving_default", {"x": x})["y"].tolist() == [[-2, -1], [0, 1], [-2, 1]]


def test_run_empty_key_adds() -> None:
    x, y = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    got = open_model(data("empty_key")).run("", {"x": x, "y": y})
    assert got["z"].tolist() == [4, 6]


def test_run_outputs_that_are_the_input_or_twins() -> None:
    x = np.arange(4, dtype=np.float32)
    got = open_model(data("output_is_input")).run("serving_default", {"x": x})
    assert got["same"].tolist() == x.tolist()
    assert not np.shares_memory(got["same"], x)
    twins = open_model(data("output_twice")).run("serving_default", {"x": x})
    assert twins["first"].tolist() == twins["second"].tolist()
    assert not np.shares_memory(twins["first"], twins["second"])


@pytest.mark.parametrize(
    "x",
    [
        np.array([["a", "é", "c"], ["", "x", "y"]]),
        np.array([[b"a", "é".encode(), b"c"], [b"", b"x", b"y"]]),
        np.array([["a", b"\xc3\xa9", "c"], ["", b"x", "y"]], dtype=object),
    ],
    ids=["str", "bytes", "object"],
)
def test_run_strings_come_back_as_bytes(x: npt.NDArray[Any]) -> None:
    y = open_model(data("copy_string")).run("serving_default", {"x": x})["y"]
    assert y.dtype == object
    assert y.tolist() == [[b"a", "é".encode()], [b"c", b""], [b"x", b"y"]]


def test_run_string_of_another_type_is_a_type_error() -> None:
    model = open_model(data("copy_string"))
    x = np.array([["a", "b", "c"], ["d", "e", 6]], dtype=object)
    with pytest.raises(TensorTypeError, match="tensor 'x': expected str or bytes, got int"):
        model.run("serving_default", {"x": x})


@pytest.mark.parametrize("text", ["hey", b"hey"])
def test_run_string_of_rank_0_is_the_text(text: str | bytes) -> None:
    path = UPSTREAM / "string_scalar.tflite"
    if not path.exists():
        pytest.skip("../shared/models is not beside this checkout")
    model = open_model(str(path))
    (name,) = model.signatures["main"].inputs
    (output,) = model.run("main", {name: np.array(text, dtype=object)}).values()
    assert output.tolist() == [b"hey"]
    with pytest.raises(TensorTypeError, match="cannot end in a NUL"):
        model.run("main", {name: np.array(b"hey\0", dtype=object)})


def test_run_data_dependent_shape_follows_the_data() -> None:
    model = open_model(data("where_dynamic"))
    for mask in ([1, 0, 1, 0, 0, 1], [0] * 6, [1] * 6):
        got = model.run("serving_default", {"mask": np.array(mask, bool)})["indices"]
        assert got.shape[1] == 1
        assert got.ravel().tolist() == np.flatnonzero(mask).tolist()
    model = open_model(data("range_dynamic"))
    for limit in (3, 0, 5):
        inputs = {"start": 0, "limit": limit, "delta": 1}
        got = model.run("serving_default", {n: np.array(v, np.int32) for n, v in inputs.items()})
        assert got["values"].tolist() == list(range(limit))


def test_run_returns_arrays_of_their_own() -> None:
    model = open_model(data("mlp"))
    ones = {"x": np.ones((1, 8), np.float32)}
    first = model.run("serving_default", ones)["probs"]
    kept = first.copy()
    model.run("serving_default", {"x": -ones["x"]})
    assert first.tolist() == kept.tolist()


def test_run_changing_shapes_give_right_answers() -> None:
    model = open_model(data("dynamic_batch_stale_shape"))
    for batch in (1, 3, 2, 5, 1):
        x = np.arange(batch * 4, dtype=np.float32).reshape(batch, 2, 2, 1)
        (want,) = interpreter_results(
            data("dynamic_batch_stale_shape"), "serving_default", {"x": x}
        )
        got = model.run("serving_default", {"x": x})["y"]
        assert got.tolist() == want.tolist()


# State


def test_variable_tensor_keeps_its_state_between_runs() -> None:
    rng = np.random.default_rng(3)
    steps = rng.standard_normal((5, 1, 4)).astype(np.float32)
    with captured_library_output():
        interpreter = Interpreter(model_path=data("svdf_state"))
        interpreter.allocate_tensors()
    model = open_model(data("svdf_state"))
    runner = model.bind("serving_default", {"x": (1, 4)})
    for number, x in enumerate(steps):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        want = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        if number % 2:
            got = model.run("serving_default", {"x": x})["y"]
        else:
            runner.inputs["x"][...] = x
            runner.run()
            got = runner.outputs["y"]
        assert got.tolist() == want.tolist()


def test_resource_variable_is_shared_by_signatures() -> None:
    model = open_model(data("counter_variable"))
    runners = [model.bind("add", {"x": (2,)}) for _ in range(2)]
    start = model.run("add", {"x": np.zeros(2, np.float32)})["total"]
    for runner in runners:
        runner.inputs["x"][...] = [1, 2]
        runner.run()
    assert (runners[1].outputs["total"] - start).tolist() == [2, 4]
    model.run("reset", {"x": np.full(2, 7, np.float32)})
    assert (
        open_model(data("counter_variable"))
        .run("add", {"x": np.zeros(2, np.float32)})["total"]
        .tolist()
        == start.tolist()
    )


# Errors


def test_open_unresolved_operator_is_named() -> None:
    with pytest.raises(UnsupportedModelError, match="operator LitertTestUnknownOp,") as info:
        open_model(data("custom_op"))
    assert any("LitertTestUnknownOp" in line for line in info.value.library_log)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("invalid_bad_operator_input", FileFormatError),
        ("invalid_bad_signature_index", FileFormatError),
        ("invalid_empty", FileFormatError),
        ("invalid_garbage", FileFormatError),
        ("invalid_no_identifier", FileFormatError),
        ("invalid_truncated", FileFormatError),
        ("invalid_unknown_op_version", UnsupportedModelError),
        ("invalid_bad_schema_version", FileFormatError),
        ("invalid_incompatible_shapes", ModelError),
    ],
)
def test_open_invalid_model_raises(name: str, error: type[ModelError]) -> None:
    for source in (data(name), Path(data(name)).read_bytes()):
        with pytest.raises(error, match=r"\w"):
            ReferenceModel.open(source, CpuOptions())


def test_open_missing_file_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        open_model(str(tmp_path / "none.tflite"))


def test_open_damaged_bytes_raise_litert_errors_only() -> None:
    content = Path(data("mlp")).read_bytes()
    rng = np.random.default_rng(11)
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        try:
            model = ReferenceModel.open(damaged, CpuOptions())
            for key, signature in model.signatures.items():
                inputs = {n: random_array(i, rng) for n, i in signature.inputs.items()}
                model.run(key, inputs)
        except (ModelError, ExecutionError, TensorShapeError):
            continue


def test_run_failing_operator_says_why_and_leaves_the_model_usable() -> None:
    model = open_model(data("embedding_argmax"))
    bad, good = np.full((1, 4), 99, np.int32), np.zeros((1, 4), np.int32)
    with pytest.raises(ExecutionError, match="signature 'serving_default': run failed: ") as info:
        model.run("serving_default", {"ids": bad})
    assert info.value.library_log
    expected = interpreter_results(data("embedding_argmax"), "serving_default", {"ids": good})
    got = model.run("serving_default", {"ids": good})
    assert [got[n].tolist() for n in sorted(got)] == [w.tolist() for w in expected]


def test_shapes_the_model_cannot_take_leave_it_usable() -> None:
    model = open_model(data("dynamic_rank1"))
    two, three = np.ones(2, np.float32), np.ones(3, np.float32)
    with pytest.raises(TensorShapeError, match=r"cannot take 'x' \[2\], 'y' \[3\]"):
        model.run("serving_default", {"x": two, "y": three})
    with pytest.raises(TensorShapeError, match="the model cannot take"):
        model.bind("serving_default", {"x": (2,), "y": (3,)})
    assert model.run("serving_default", {"x": three, "y": three})["z"].tolist() == [2, 2, 2]


def test_shapes_beyond_int32_are_a_shape_error() -> None:
    model = open_model(data("dynamic_two_dims"))
    with pytest.raises(TensorShapeError, match="the model cannot take"):
        model.run("serving_default", {"x": np.empty((0, 2**31, 2), np.float32)})


def test_interpreter_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_edge_litert", "tflite_runtime"):
        monkeypatch.setitem(sys.modules, f"{name}.interpreter", None)
    with pytest.raises(LibraryError, match="pip install 'ai-edge-litert"):
        open_model(data("add"))


# Threads and lifetime


def test_run_from_eight_threads_is_right() -> None:
    model = open_model(data("dynamic_batch"))
    wrong: list[int] = []

    def work(batch: int) -> None:
        x = np.full((batch, 4), batch, np.float32)
        want = expected[batch]
        for _ in range(50):
            got = model.run("serving_default", {"x": x})["y"]
            if got.shape != want.shape or not np.array_equal(got, want):
                wrong.append(batch)

    expected = {
        batch: model.run("serving_default", {"x": np.full((batch, 4), batch, np.float32)})["y"]
        for batch in range(1, 9)
    }
    threads = [threading.Thread(target=work, args=(batch,)) for batch in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_run_releases_the_gil() -> None:
    model = open_model(data("slow_loop"))
    inputs = {"n": np.array([8000], np.int32), "x": np.ones((32, 128), np.float32)}
    thread = threading.Thread(target=model.run, args=("serving_default", inputs))
    thread.start()
    count = 0
    while thread.is_alive():
        count += 1
    assert count > 1000


def test_close_twice_and_use_after_close_raise_closed() -> None:
    model: BackendModel = open_model(data("add"))
    x = np.ones((1, 4), np.float32)
    runner = model.bind("scale", {"x": (1, 4)})
    kept = runner.outputs["scaled"]
    model.close()
    model.close()
    model.cancel()
    with pytest.raises(ClosedError, match="the model is closed"):
        model.run("scale", {"x": x})
    with pytest.raises(ClosedError, match="the model is closed"):
        model.bind("scale", {"x": (1, 4)})
    with pytest.raises(ClosedError, match="the model is closed"):
        runner.run()
    assert kept.tolist() == [[0, 0, 0, 0]]
    assert "scale" in model.signatures


def test_runner_close_leaves_the_model_usable() -> None:
    model = open_model(data("add"))
    runner = model.bind("scale", {"x": (1, 4)})
    runner.close()
    runner.close()
    with pytest.raises(ClosedError, match="the runner is closed"):
        runner.run()
    with pytest.raises(ClosedError, match="the runner is closed"):
        runner.bind_input("x", np.ones((1, 4), np.float32))
    assert model.run("scale", {"x": np.ones((1, 4), np.float32)})["scaled"].shape == (1, 4)


# Silence


def test_load_run_and_failures_write_nothing() -> None:
    code = """
import sys
import numpy as np
from litert.backends.reference import ReferenceModel
from litert.errors import LiteRTError
from litert.options import CpuOptions

for path in sys.argv[1:]:
    try:
        model = ReferenceModel.open(path, CpuOptions(num_threads=2))
        model.run("serving_default", {"ids": np.full((1, 4), 99, np.int32)})
    except LiteRTError:
        pass
"""
    names = ("embedding_argmax", "custom_op", "invalid_garbage", "invalid_incompatible_shapes")
    result = subprocess.run(
        [sys.executable, "-c", code, *map(data, names)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
