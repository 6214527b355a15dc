"""Model.run gives the same results and errors by its short way in C as by its long one in Python.

A call with the inputs alone and by place tries the short way; any keyword leads to the long one.
"""

from __future__ import annotations

import gc
import inspect
import pydoc
import re
import subprocess
import sys
import sysconfig
import weakref
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import litert

DATA = Path(__file__).parent / "data"


@pytest.fixture
def add() -> litert.Model:
    """Float32[1, 4]: x + y = sum."""
    return litert.Model(DATA / "add.tflite", backend="native")


@pytest.fixture
def dynamic() -> litert.Model:
    """Float32[batch, 4] to float32[batch, 3], row by row."""
    return litert.Model(DATA / "dynamic_batch.tflite", backend="native")


def arrays() -> dict[str, np.ndarray]:
    return {
        "x": np.array([[1, 2, 3, 4]], np.float32),
        "y": np.array([[10, 20, 30, 40]], np.float32),
    }


SUM = np.array([[11, 22, 33, 44]], np.float32)


def outcome(call: Callable[[], Mapping[str, np.ndarray]]) -> Any:
    """Return what a call gives or raises, in a form that can be compared."""
    try:
        result = call()
    except Exception as err:
        return type(err), str(err)
    return type(result), [(n, a.dtype, a.shape, a.tobytes()) for n, a in result.items()]


def check_same(model: litert.Model, inputs: Any) -> Any:
    """Assert that every way of calling has the same outcome; return it."""
    key = next(iter(model.signatures))
    long_way = outcome(lambda: model.run(inputs=inputs))
    for _ in range(2):
        assert outcome(lambda: model.run(inputs)) == long_way
        assert outcome(lambda: litert.Model.run(model, inputs)) == long_way
        assert outcome(lambda: model.run(inputs, signature=key)) == long_way
        assert outcome(lambda: model.run(inputs, quantize=False)) == long_way
    return long_way


def check_sum(model: litert.Model, inputs: Any) -> None:
    kind, outputs = check_same(model, inputs)
    assert (kind, outputs) == (dict, [("sum", SUM.dtype, SUM.shape, SUM.tobytes())])


class Text(str):
    """A key that is not quite a str."""

    __slots__ = ()


class Doubling(dict[str, np.ndarray]):
    """Holds one thing and gives out another, as lazily loading dicts do."""

    def __getitem__(self, key: str) -> np.ndarray:
        return super().__getitem__(key) * 2


class Lazy(Mapping[str, np.ndarray]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> np.ndarray:
        return arrays()[key]

    def __iter__(self) -> Any:
        return iter(arrays())

    def __len__(self) -> int:
        return 2


def made_at_run_time(name: str) -> str:
    made = "".join([name, "z"])[:-1] if len(name) > 1 else str(name.encode(), "ascii")
    assert made == name
    return made


MAPPINGS: dict[str, Callable[[], Any]] = {
    "dict": arrays,
    "OrderedDict": lambda: OrderedDict(arrays()),
    "defaultdict": lambda: defaultdict(list, arrays()),
    "MappingProxyType": lambda: MappingProxyType(arrays()),
    "UserDict": lambda: UserDict(arrays()),
    "Mapping": Lazy,
    "another order": lambda: dict(reversed(arrays().items())),
    "keys of a subclass of str": lambda: {Text(n): a for n, a in arrays().items()},
    "keys made at run time": lambda: {made_at_run_time(n): a for n, a in arrays().items()},
    "keys that took the place of others": lambda: {
        n: a for n, a in [("z", 0), *arrays().items()] if n != "z"
    },
}


@pytest.mark.parametrize("make", MAPPINGS.values(), ids=MAPPINGS.keys())
def test_mapping_of_any_kind_is_taken(add: litert.Model, make: Callable[[], Any]) -> None:
    check_sum(add, make())


def test_dict_with_a_hole_before_its_items_is_taken(add: litert.Model) -> None:
    inputs = {"gone": np.zeros(1, np.float32), **arrays()}
    del inputs["gone"]
    check_sum(add, inputs)


def test_order_changed_by_ordered_dict_is_followed(add: litert.Model) -> None:
    inputs = OrderedDict(arrays())
    inputs.move_to_end("x")
    check_sum(add, inputs)


def test_subclass_of_dict_that_gives_out_other_values_is_asked(add: litert.Model) -> None:
    kind, outputs = check_same(add, Doubling(arrays()))
    assert outputs[0][3] == (2 * SUM).tobytes(), kind


def test_default_of_a_missing_key_is_not_made(add: litert.Model) -> None:
    inputs = defaultdict(lambda: np.zeros((1, 4), np.float32), x=arrays()["x"])
    kind, text = check_same(add, inputs)
    assert kind is litert.SignatureError
    assert "missing 'y'" in text
    assert list(inputs) == ["x"]


def unaligned(array: np.ndarray) -> np.ndarray:
    memory = np.empty(array.nbytes + 1, np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


class Subclass(np.ndarray):
    """An array all the same."""


def masked(array: np.ndarray) -> np.ndarray:
    return np.ma.MaskedArray(array, mask=array > 2)


SAME_VALUES: dict[str, Callable[[np.ndarray], Any]] = {
    "Fortran order": np.asfortranarray,
    "not contiguous": lambda array: np.repeat(array, 2, axis=1)[:, ::2],
    "reversed": lambda array: array[:, ::-1].copy()[:, ::-1],
    "stride of 0": lambda array: np.broadcast_to(array[None, 0], (1, 4)),
    "read-only": read_only,
    "unaligned": unaligned,
    "subclass": lambda array: array.view(Subclass),
    "masked": masked,
    "memoryview": memoryview,
    "list": lambda array: array.tolist(),
    "copied dtype": lambda array: array.astype(np.dtype("f4", copy=True)),
    "dtype with metadata": lambda array: array.view(np.dtype("f4", metadata={"a": 1})),
    "memory of ours": lambda array: np.add(array, 0, out=litert.empty_aligned((1, 4), "float32")),
}


@pytest.mark.parametrize("convert", SAME_VALUES.values(), ids=SAME_VALUES.keys())
@pytest.mark.parametrize("name", ["x", "y"])
def test_array_of_any_layout_is_taken(
    add: litert.Model, name: str, convert: Callable[[np.ndarray], Any]
) -> None:
    inputs: dict[str, Any] = arrays()
    inputs[name] = convert(inputs[name])
    check_sum(add, inputs)


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "missing": (lambda: {"x": arrays()["x"]}, litert.SignatureError, "missing 'y'"),
    "extra": (lambda: {**arrays(), "z": 0}, litert.SignatureError, "'z'"),
    "empty": (dict, litert.SignatureError, "missing 'x', 'y'"),
    "another name": (
        lambda: {"x": arrays()["x"], "Y": arrays()["y"]},
        litert.SignatureError,
        "'Y'",
    ),
    "a number as name": (lambda: {**arrays(), 1: 0}, litert.SignatureError, "1"),
    "bytes as names": (
        lambda: {b"x": arrays()["x"], b"y": arrays()["y"]},
        litert.SignatureError,
        "b'x'",
    ),
    "no mapping": (lambda: arrays()["x"], litert.SignatureError, "2 inputs"),
    "None": (lambda: None, litert.SignatureError, "2 inputs"),
    "value None": (lambda: {**arrays(), "y": None}, litert.TensorTypeError, "tensor 'y'"),
    "float64": (
        lambda: {**arrays(), "y": np.zeros((1, 4))},
        litert.TensorTypeError,
        "tensor 'y': expected float32",
    ),
    "int32": (
        lambda: {**arrays(), "x": np.zeros((1, 4), np.int32)},
        litert.TensorTypeError,
        "tensor 'x': expected float32",
    ),
    "another byte order": (
        lambda: {**arrays(), "x": arrays()["x"].astype(">f4")},
        litert.TensorTypeError,
        "tensor 'x': expected float32",
    ),
    "records": (
        lambda: {**arrays(), "x": np.zeros((1, 4), [("a", np.float32)])},
        litert.TensorTypeError,
        "tensor 'x'",
    ),
    "rank 0": (
        lambda: {**arrays(), "y": np.array(1, np.float32)},
        litert.TensorShapeError,
        "tensor 'y'",
    ),
    "no batch axis": (
        lambda: {**arrays(), "y": np.zeros(4, np.float32)},
        litert.TensorShapeError,
        "add a batch axis",
    ),
    "transposed": (
        lambda: {**arrays(), "y": arrays()["y"].T},
        litert.TensorShapeError,
        "tensor 'y'",
    ),
    "another size": (
        lambda: {**arrays(), "y": np.zeros((1, 5), np.float32)},
        litert.TensorShapeError,
        "tensor 'y'",
    ),
    "no values": (
        lambda: {**arrays(), "y": np.zeros((1, 0), np.float32)},
        litert.TensorShapeError,
        "tensor 'y'",
    ),
    "unknown mapping value": (
        lambda: {**arrays(), "y": object()},
        litert.TensorTypeError,
        "tensor 'y'",
    ),
}


@pytest.mark.parametrize(("make", "error", "text"), REFUSED.values(), ids=REFUSED.keys())
def test_refusal_is_the_same_and_leaves_the_model_usable(
    add: litert.Model, make: Callable[[], Any], error: type[Exception], text: str
) -> None:
    kind, message = check_same(add, make())
    assert kind is error
    assert text in message
    check_sum(add, arrays())


def test_error_of_a_keys_comparison_comes_out(add: litert.Model) -> None:
    class Refusing(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError("this key compares with nothing")

    inputs = {"x": arrays()["x"], Refusing("y"): arrays()["y"]}
    assert check_same(add, inputs)[0] is ZeroDivisionError


def test_comparison_that_changes_the_dict_frees_nothing_in_use(add: litert.Model) -> None:
    taken: list[np.ndarray] = []

    class Removing(str):
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            # The freed array's memory goes to one of the others.
            if inputs.pop("x", None) is not None:
                taken.extend(np.full((1, 4), 777, np.float32) for _ in range(1000))
            return str.__eq__(self, other)

    inputs = {"x": arrays()["x"], Removing("y"): arrays()["y"]}
    try:
        result = add.run(inputs)
    except (litert.SignatureError, RuntimeError):
        return
    np.testing.assert_array_equal(result["sum"], SUM)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4), (7, 4)])
def test_single_array_runs_as_the_dict_does(dynamic: litert.Model, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random(shape, np.float32)
    assert check_same(dynamic, x) == check_same(dynamic, {"x": x})
    assert check_same(dynamic, x.view(Subclass)) == check_same(dynamic, x)


def test_shape_of_the_call_counts_not_that_of_the_last(dynamic: litert.Model) -> None:
    rows = np.random.default_rng(0).random((6, 4), np.float32)
    expected = dynamic.run(inputs=rows)["y"]
    for batch in (1, 6, 2, 2, 5, 1, 1, 6):
        y = dynamic.run({"x": rows[:batch]})["y"]
        np.testing.assert_allclose(y, expected[:batch], rtol=1e-5)
        np.testing.assert_array_equal(dynamic.run({"x": rows[:batch]})["y"], y)
        np.testing.assert_array_equal(dynamic.run(inputs={"x": rows[:batch]})["y"], y)


def test_shape_refused_leaves_the_last_one_right(dynamic: litert.Model) -> None:
    rows = np.random.default_rng(0).random((3, 4), np.float32)
    expected = dynamic.run(rows)["y"].copy()
    for wrong in (np.zeros((3, 5), np.float32), np.zeros(4, np.float32), np.zeros((0, 4), "f4")):
        with pytest.raises(litert.TensorShapeError, match=r"tensor 'x'|model cannot take"):
            dynamic.run(wrong)
        np.testing.assert_array_equal(dynamic.run(rows)["y"], expected)


def test_second_signature_repeated_is_equal_and_leaves_the_first_alone(add: litert.Model) -> None:
    x = arrays()["x"]
    first = add.run({"x": x}, signature="scale")["scaled"].copy()
    for _ in range(3):
        check_sum(add, arrays())
        again = add.run({"x": x}, signature="scale")
        assert list(again) == ["scaled"]
        np.testing.assert_array_equal(again["scaled"], first)
        np.testing.assert_array_equal(add.run(x, signature="scale")["scaled"], first)
    with pytest.raises(litert.SignatureError, match="'y'"):
        add.run(arrays(), signature="scale")
    with pytest.raises(litert.TensorShapeError, match="tensor 'x'"):
        add.run({"x": x[0]}, signature="scale")


@pytest.mark.parametrize("name", ["rank0", "no_inputs", "no_signature", "copy_bool", "copy_int4"])
def test_models_of_other_kinds_run_alike(name: str) -> None:
    with litert.Model(DATA / f"{name}.tflite") as model:
        signature = next(iter(model.signatures.values()))
        inputs = {info.name: np.ones(info.shape, info.dtype) for info in signature.inputs.values()}
        assert check_same(model, inputs)[0] is dict


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.run(arrays()),
        lambda model: model.run(inputs=arrays()),
        lambda model: model.run(arrays(), signature="add"),
        lambda model: model.run(arrays(), signature="scale"),
        lambda model: model.run(arrays(), quantize=True),
        lambda model: litert.Model.run(model, arrays()),
        lambda model: model.run(Lazy()),
        lambda model: model.run(None),
    ],
)
@pytest.mark.parametrize("has_run", [False, True])
def test_run_after_close_raises_by_every_way(
    add: litert.Model, has_run: bool, call: Callable[[litert.Model], Any]
) -> None:
    run = add.run
    if has_run:
        run(arrays())
        add.run({"x": arrays()["x"]}, signature="scale")
    add.close()
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        call(add)
    with pytest.raises(litert.ClosedError, match="the model is closed"):
        run(arrays())


def test_subclass_may_override_run_and_call_the_base() -> None:
    class Counting(litert.Model):
        calls = 0

        def run(self, inputs: Any, **options: Any) -> dict[str, np.ndarray]:
            self.calls += 1
            return {name: -array for name, array in super().run(inputs, **options).items()}

    model = Counting(DATA / "add.tflite", backend="native")
    for _ in range(3):
        np.testing.assert_array_equal(model.run(arrays())["sum"], -SUM)
    np.testing.assert_array_equal(model.run(arrays(), signature="add")["sum"], -SUM)
    assert model.calls == 4


def test_subclass_without_run_has_the_bases() -> None:
    class Named(litert.Model):
        name = "mine"

    check_sum(Named(DATA / "add.tflite", backend="native"), arrays())


def test_reference_model_runs_by_the_same_method() -> None:
    pytest.importorskip("ai_edge_litert.interpreter")
    check_sum(litert.Model(DATA / "add.tflite", backend="reference"), arrays())


def test_bound_method_is_one_as_any_other(add: litert.Model) -> None:
    run = add.run
    assert run == add.run
    assert run.__self__ is add
    assert inspect.ismethod(run)
    assert inspect.isroutine(litert.Model.run)
    np.testing.assert_array_equal(list(map(run, [arrays()] * 3))[2]["sum"], SUM)


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        ((), {}, "missing 1 required positional argument: 'inputs'"),
        (({}, {}), {}, "takes 2 positional arguments but 3 were given"),
        (({},), {"inputs": {}}, "multiple values for argument 'inputs'"),
        (({},), {"signatures": "add"}, "unexpected keyword argument 'signatures'"),
    ],
)
def test_wrong_call_is_told_as_of_any_method(
    add: litert.Model, arguments: tuple[Any, ...], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        add.run(*arguments, **options)


@pytest.mark.parametrize("instance", [None, 3, object(), litert.Model])
def test_unbound_call_on_something_else_is_refused(instance: Any) -> None:
    with pytest.raises((AttributeError, TypeError), match=r"attribute|argument"):
        litert.Model.run(instance, arrays())


def test_method_describes_itself() -> None:
    parameters = inspect.signature(litert.Model.run).parameters
    assert list(parameters) == ["self", "inputs", "signature", "quantize"]
    assert parameters["signature"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["quantize"].default is False
    run = litert.Model.run
    assert (run.__name__, run.__qualname__) == ("run", "Model.run")
    assert (inspect.getdoc(run) or "").startswith("Run once: copy the inputs in")
    shown = pydoc.plain(pydoc.render_doc(litert.Model))
    assert re.search(r"run\([\s|]*self,[\s|]*inputs:", shown)  # 3.13 breaks the line
    assert "Run once: copy the inputs in" in shown


def test_method_belongs_to_the_module_of_its_class() -> None:
    assert litert.Model.run.__module__ == "litert.model"


def test_signature_of_the_bound_method_has_no_self(add: litert.Model) -> None:
    assert list(inspect.signature(add.run).parameters) == ["inputs", "signature", "quantize"]


def test_garbage_collector_sees_through_the_method(add: litert.Model) -> None:
    method = vars(litert.Model)["run"]
    assert method.__wrapped__ in gc.get_referents(method)
    assert gc.is_tracked(method)
    gc.collect()
    check_sum(add, arrays())


def test_model_in_a_cycle_is_collected() -> None:
    class Holder(litert.Model):
        pass

    model = Holder(DATA / "add.tflite", backend="native")
    model.run(arrays())
    model.itself = model  # type: ignore[attr-defined]
    model.method = model.run  # type: ignore[attr-defined]
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(
    sys.version_info < (3, 14) and bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="free-threaded Python 3.13 never frees a class once a thread has been started",
)
def test_class_in_a_cycle_is_collected() -> None:
    from litert._extension import native

    def make() -> weakref.ref[type]:
        class Own:
            def run(self, inputs: Any) -> Any:
                return inputs, Own

            run = native.fast_method(run)

        assert Own().run(3) == (3, Own)
        return weakref.ref(Own)

    gone = make()
    gc.collect()
    assert gone() is None


_BARE_METHOD = """
import litert
method_type = type(vars(litert.Model)["run"])
for make in (method_type, lambda: method_type.__new__(method_type)):
    try:
        method = make()
    except TypeError:
        continue
    for use in (lambda: method(1), lambda: method.__doc__, lambda: method.anything):
        try:
            use()
        except (AttributeError, TypeError):
            pass
print("survived")
"""


def test_method_made_without_a_function_does_no_harm() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BARE_METHOD], capture_output=True, text=True, check=False
    )
    assert done.stdout == "survived\n", done.stderr
