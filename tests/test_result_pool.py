"""Small results are given out again only where nobody can tell them from new ones."""

from __future__ import annotations

import gc
import threading
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert

DATA = Path(__file__).parent / "data"
# More than the pool keeps, so that each of its places comes round again.
ROUNDS = 4

Result = dict[str, np.ndarray]


class Sums:
    """A model of two inputs whose result tells which call it came from."""

    def __init__(self) -> None:
        self.model = litert.Model(DATA / "add.tflite", backend="native")

    def __call__(self, value: float) -> Result:
        x = np.full((1, 4), value, np.float32)
        return self.model.run({"x": x, "y": np.zeros((1, 4), np.float32)})


class Pairs:
    """The same with two outputs, total and difference."""

    def __init__(self) -> None:
        self.model = litert.Model(DATA / "swapped_order.tflite", backend="native")

    def __call__(self, value: float) -> Result:
        plus = np.full(2, value, np.float32)
        return self.model.run({"plus": plus, "minus": np.zeros(2, np.float32)})


@pytest.fixture
def sums() -> Sums:
    return Sums()


@pytest.fixture
def pairs() -> Pairs:
    return Pairs()


def check_new(result: Result, value: float) -> None:
    """Assert that it is what a new result of Sums would be."""
    assert type(result) is dict
    assert list(result) == ["sum"]
    check_array(result["sum"], (1, 4), value)


def check_pair(result: Result, value: float) -> None:
    assert type(result) is dict
    assert list(result) == ["difference", "total"]
    for array in result.values():
        check_array(array, (2,), value)


def check_array(array: np.ndarray, shape: tuple[int, ...], value: float) -> None:
    fresh = np.empty(shape, np.float32)
    assert type(array) is np.ndarray
    assert array.dtype is fresh.dtype
    assert array.shape == fresh.shape
    assert array.strides == fresh.strides
    assert array.base is None
    assert str(array.flags) == str(fresh.flags)
    np.testing.assert_array_equal(array, np.full(shape, value, np.float32))


def test_results_held_keep_their_values(sums: Sums) -> None:
    held = [sums(value) for value in range(5)]
    for value, result in enumerate(held):
        check_new(result, value)
    assert len({id(result["sum"]) for result in held}) == len(held)


def test_results_dropped_in_between_disturb_none_that_are_held(sums: Sums) -> None:
    held = {}
    for value in range(30):
        result = sums(value)
        if value % 3 == 0:
            held[value] = result
        check_new(result, value)
    for value, result in held.items():
        check_new(result, value)


HOLDERS: dict[str, Callable[[Result], Any]] = {
    "dict": lambda result: result,
    "array": lambda result: result["sum"],
    "list of values": lambda result: list(result.values()),
    "items view": lambda result: result.items(),
    "dict iterator": lambda result: iter(result.items()),
    "copy of the dict": dict,
    "slice": lambda result: result["sum"][:, 1:],
    "view": lambda result: result["sum"].view(np.int32),
    "reshape": lambda result: result["sum"].reshape(4),
    "transpose": lambda result: result["sum"].T,
    "view of a view": lambda result: result["sum"][0][1:],
    "flat": lambda result: result["sum"].flat,
    "memoryview": lambda result: memoryview(result["sum"]),
    "data": lambda result: result["sum"].data,
    "slice of a memoryview": lambda result: memoryview(result["sum"])[:1],
    "DLPack": lambda result: np.from_dlpack(result["sum"]),
    "array interface": lambda result: np.asarray(Interface(result["sum"])),
    "asarray": lambda result: np.asarray(result["sum"]),
    "nditer": lambda result: np.nditer(result["sum"]),
    "bound method": lambda result: result["sum"].tobytes,
}


class Interface:
    """Gives an array out by the array protocol, and keeps it."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.__array_interface__ = array.__array_interface__


def bytes_of(held: Any) -> bytes:
    """Return what can be seen through something that HOLDERS makes."""
    if callable(held):
        return bytes(held())
    if isinstance(held, dict):
        held = held["sum"]
    elif isinstance(held, np.nditer):
        held = held.operands[0]
    elif type(held).__name__ in ("dict_items", "dict_itemiterator"):
        held = dict(held)["sum"]
    elif isinstance(held, np.flatiter):
        held = held.copy()
    elif isinstance(held, list):
        held = held[0]
    return held.tobytes() if isinstance(held, (np.ndarray, memoryview)) else bytes(held)


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS.keys())
def test_whatever_holds_a_part_of_a_result_keeps_its_values(
    sums: Sums, hold: Callable[[Result], Any]
) -> None:
    seven = np.float32(7).tobytes()
    held = [hold(sums(7)) for _ in range(3)]
    for value in range(ROUNDS):
        check_new(sums(value), value)
    for part in held:
        seen = bytes_of(part)
        assert seen == seven * (len(seen) // 4)
        assert seen


@pytest.mark.parametrize("name", ["difference", "total"])
def test_one_array_held_keeps_its_values(pairs: Pairs, name: str) -> None:
    held = [pairs(7)[name] for _ in range(3)]
    for value in range(ROUNDS):
        check_pair(pairs(value), value)
    for array in held:
        check_array(array, (2,), 7)


@pytest.mark.parametrize("name", ["difference", "total"])
def test_array_moved_out_of_a_result_keeps_its_values(pairs: Pairs, name: str) -> None:
    held = [pairs(7).pop(name) for _ in range(3)]
    for value in range(ROUNDS):
        check_pair(pairs(value), value)
    for array in held:
        check_array(array, (2,), 7)


def test_array_behind_a_weak_reference_does_not_change(sums: Sums) -> None:
    references = [weakref.ref(sums(7)["sum"]) for _ in range(3)]
    for value in range(ROUNDS):
        check_new(sums(value), value)
        for reference in references:
            array = reference()
            assert array is None or (array == 7).all()


def test_weak_cache_of_results_holds_no_foreign_values(sums: Sums) -> None:
    cache: weakref.WeakValueDictionary[float, np.ndarray] = weakref.WeakValueDictionary()
    for value in range(ROUNDS):
        cache[value] = sums(value)["sum"]
        for key, array in cache.items():
            assert (array == key).all(), key


def swap_first(result: Result) -> None:
    name = next(iter(result))
    result[name] = result.pop(name)


def replace_by_text(result: Result) -> None:
    # Of an array's size, so that it may get its address.
    result["total"] = None  # type: ignore[assignment]
    result["total"] = "x" * 40  # type: ignore[assignment]


def rename(result: Result) -> None:
    array = result.pop("total")
    result["".join(["to", "tal"])] = array


DICT_CHANGES: dict[str, Callable[[Result], Any]] = {
    "add": lambda result: result.update(more=np.zeros(1)),
    "remove": lambda result: result.pop("total"),
    "remove all": lambda result: result.clear(),
    "replace": lambda result: result.update(total=np.full(2, 99, np.float32)),
    "replace by text": replace_by_text,
    "replace one by the other": lambda result: result.update(total=result["difference"]),
    "change the order": swap_first,
    "same names, another key object": rename,
    "remove and add": lambda result: (result.pop("total"), result.update(other=np.zeros(2))),
    "swap": lambda result: result.update(total=result["difference"], difference=result["total"]),
}


@pytest.mark.parametrize("change", DICT_CHANGES.values(), ids=DICT_CHANGES.keys())
def test_changed_dict_does_not_come_back(pairs: Pairs, change: Callable[[Result], Any]) -> None:
    for value in range(ROUNDS):
        result = pairs(value)
        check_pair(result, value)
        change(result)
        del result


def set_attribute(name: str, value: Any) -> Callable[[np.ndarray], None]:
    def change(array: np.ndarray) -> None:
        with warnings.catch_warnings():
            # NumPy 2 discourages some of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            setattr(array, name, value)

    return change


def resize(array: np.ndarray) -> None:
    array.resize((8, 4), refcheck=False)


ARRAY_CHANGES: dict[str, Callable[[np.ndarray], None]] = {
    "shape": set_attribute("shape", (4, 1)),
    "rank": set_attribute("shape", (4,)),
    "dtype": set_attribute("dtype", np.dtype(np.int32)),
    "byte order": set_attribute("dtype", np.dtype(">f4")),
    "dtype with metadata": set_attribute("dtype", np.dtype(np.float32, metadata={"a": 1})),
    "strides": set_attribute("strides", (4, 4)),
    "strides of 0": set_attribute("strides", (0, 0)),
    "read-only": lambda array: array.setflags(write=False),
    "not aligned": lambda array: array.setflags(align=False),
    "size": resize,
    "values": lambda array: array.fill(99),
    "all": lambda array: array.__setstate__((1, (2,), np.dtype(np.int8), False, b"ab")),
}


@pytest.mark.parametrize("change", ARRAY_CHANGES.values(), ids=ARRAY_CHANGES.keys())
def test_changed_array_does_not_come_back(sums: Sums, change: Callable[[np.ndarray], None]) -> None:
    for value in range(ROUNDS):
        result = sums(value)
        check_new(result, value)
        change(result["sum"])
        del result


class PlainSubclass(np.ndarray):
    """As large as an array itself, so that it may get the address of one that was freed."""

    __slots__ = ()


def test_array_of_another_class_does_not_come_back(sums: Sums) -> None:
    for value in range(50):
        result = sums(value)
        check_new(result, value)
        del result["sum"]
        result["sum"] = PlainSubclass((1, 4), np.float32)
        del result


def test_result_fed_back_is_read_before_it_is_written(sums: Sums) -> None:
    ones = np.ones((1, 4), np.float32)
    result = sums(0)
    for value in range(20):
        check_new(result, value)
        result = sums.model.run({"x": result["sum"], "y": ones})
    total = sums.model.run({"x": sums(3)["sum"], "y": sums(4)["sum"]})
    check_new(total, 7)


def test_result_as_its_own_input_dict_is_read_before_it_is_written() -> None:
    with litert.Model(DATA / "add.tflite", backend="native") as model:
        x = np.full((1, 4), 2, np.float32)
        for _ in range(ROUNDS):
            result = model.run({"x": x, "y": x})
            result["x"] = result.pop("sum")
            result["y"] = x
            check_new(model.run(result), 6)


def test_results_outlive_the_model() -> None:
    sums = Sums()
    held = [sums(1), sums(2)["sum"]]
    sums.model.close()
    del sums
    gc.collect()
    check_new(held[0], 1)
    check_array(held[1], (1, 4), 2)


def test_failed_run_in_between_leaves_results_alone(sums: Sums) -> None:
    held = sums(7)
    for value in range(ROUNDS):
        with pytest.raises(litert.TensorShapeError, match="tensor 'x'"):
            sums.model.run({"x": np.zeros(5, np.float32), "y": np.zeros((1, 4), np.float32)})
        check_new(sums(value), value)
    check_new(held, 7)


@pytest.mark.parametrize("release_gil", [True, False])
def test_threads_never_share_a_result(release_gil: bool) -> None:
    wrong: list[tuple[float, Result]] = []

    with litert.Model(DATA / "add.tflite", backend="native", release_gil=release_gil) as model:

        def work(number: int) -> None:
            zeros = np.zeros((1, 4), np.float32)
            held: list[tuple[float, Result]] = []
            for call in range(300):
                value = float(number * 1000 + call)
                x = np.full((1, 4), value, np.float32)
                held.append((value, model.run({"x": x, "y": zeros})))
                if call % 7 == 0:
                    del held[: call % 5]
                wrong.extend(each for each in held[-8:] if not (each[1]["sum"] == each[0]).all())
            wrong.extend(each for each in held if not (each[1]["sum"] == each[0]).all())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_many_outputs_are_right_again_and_again() -> None:
    with litert.Model(DATA / "many_io.tflite", backend="native") as model:
        names = list(model.signatures["serving_default"].outputs)
        expected: list[Result] = []
        for value in range(ROUNDS):
            inputs = {f"x{i:02}": np.full(2, i + value, np.float32) for i in range(40)}
            expected.append({n: a.copy() for n, a in model.run(inputs).items()})
            result = model.run(inputs)
            assert list(result) == names
            for name in names:
                np.testing.assert_array_equal(result[name], expected[-1][name])
    assert any((expected[0][name] != expected[1][name]).any() for name in names)


def test_results_of_different_shapes_do_not_mix() -> None:
    with litert.Model(DATA / "dynamic_batch.tflite", backend="native") as model:
        rows = np.random.default_rng(0).random((5, 4), np.float32)
        single = [model.run(rows[i : i + 1])["y"].copy() for i in range(5)]
        for _ in range(ROUNDS):
            for batch in (1, 3, 5, 2):
                y = model.run(rows[:batch])["y"]
                assert y.shape == (batch, 3)
                np.testing.assert_allclose(y, np.concatenate(single[:batch]), rtol=1e-5)


def test_large_results_are_always_new() -> None:
    with litert.Model(DATA / "dynamic_batch.tflite", backend="native") as model:
        batch = 64 * 1024 // (3 * 4) + 1
        x = np.ones((batch, 4), np.float32)
        for _ in range(ROUNDS):
            result = model.run(x)
            assert result["y"].nbytes > 64 * 1024
            dropped = weakref.ref(result["y"])
            del result
            # Nothing keeps it: the memory is the caller's to give back.
            assert dropped() is None
