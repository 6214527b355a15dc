"""External delegates in compiled models."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from in_threads import in_threads

ONES = {"x": np.ones((1, 4), np.float32), "y": np.ones((1, 4), np.float32)}


@pytest.fixture
def delegate(sample_plugin: Callable[[str], Path]) -> Callable[..., litert.Delegate]:
    """The sample, which takes ADDs and adds its option ``offset`` to every sum."""
    library = sample_plugin("sample_delegate")
    return lambda **options: litert.Delegate(library, options)


def opened(data: Path, *delegates: litert.Delegate, **options: Any) -> litert.Model:
    return litert.Model(data / "add.tflite", delegates=delegates, **options)


def test_delegate_runs_before_xnnpack(data: Path, delegate: Callable[..., Any]) -> None:
    with opened(data, delegate(offset=10)) as model:
        np.testing.assert_array_equal(model.run(ONES, signature="add")["sum"], [[12] * 4])


def test_operators_that_it_does_not_take_are_run_as_ever(
    data: Path, delegate: Callable[..., Any]
) -> None:
    with opened(data, delegate(offset=10)) as model, litert.Model(data / "add.tflite") as plain:
        x = {"x": ONES["x"]}
        ours, theirs = model.run(x, signature="scale"), plain.run(x, signature="scale")

    np.testing.assert_array_equal(ours["scaled"], theirs["scaled"])


def test_first_delegate_is_asked_first(data: Path, delegate: Callable[..., Any]) -> None:
    with opened(data, delegate(offset=1), delegate(offset=2)) as model:
        np.testing.assert_array_equal(model.run(ONES)["sum"], [[3] * 4])


def test_delegate_computes_in_a_runner(data: Path, delegate: Callable[..., Any]) -> None:
    with opened(data, delegate(offset=10)) as model, model.bind("add") as runner:
        for value in (1, 2):
            runner.inputs["x"][...] = value
            runner.inputs["y"][...] = value
            runner.run()
            np.testing.assert_array_equal(runner.outputs["sum"], [[2 * value + 10] * 4])


def test_same_file_gives_the_same_in_the_interpreter(
    data: Path, sample_plugin: Callable[[str], Path]
) -> None:
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    library = sample_plugin("sample_delegate")
    interpreter = interpreter_module.Interpreter(
        str(data / "add.tflite"),
        experimental_delegates=[interpreter_module.load_delegate(str(library), {"offset": 10})],
    )
    expected = interpreter.get_signature_runner("add")(**ONES)["sum"]

    with opened(data, litert.Delegate(library, {"offset": 10})) as model:
        np.testing.assert_array_equal(model.run(ONES)["sum"], expected)


@pytest.mark.parametrize(("kernels", "rest"), [("xnnpack", "XNNPACK"), ("builtin", "builtin")])
def test_placement_tells_what_it_took_and_what_it_left(
    data: Path, delegate: Callable[..., Any], kernels: Any, rest: str
) -> None:
    options = litert.CpuOptions(kernels=kernels)
    path = data / "swapped_order.tflite"
    with litert.Model(path, delegates=[delegate()], cpu=options) as model:
        placement = model.placement

    assert placement.placed == (
        litert.PlacedOperators("delegate", "libsample_delegate.so", 1, 0.5),
        litert.PlacedOperators("cpu", rest, 1, 0.5),
    )
    assert placement.is_fully_accelerated == (kernels == "xnnpack")
    assert placement.reasons[-1] == "delegates run 1 part of the graph"


def test_delegate_that_takes_nothing_is_told(data: Path, delegate: Callable[..., Any]) -> None:
    with opened(data, delegate(mode="idle")) as model:
        np.testing.assert_array_equal(model.run(ONES)["sum"], [[2] * 4])
        assert "no operator was taken by libsample_delegate.so" in model.placement.reasons


def test_profile_names_the_delegate(data: Path, delegate: Callable[..., Any]) -> None:
    with opened(data, delegate()) as model, model.profile() as profile:
        model.run(ONES)

    assert [one.name for one in profile.operators] == ["SampleDelegate"]


@pytest.mark.parametrize(
    ("mode", "match"),
    [
        ("fail", r"libsample_delegate\.so gave none: unknown option mode=fail"),
        ("silent", r"libsample_delegate\.so gave none$"),
        ("throw", r"libsample_delegate\.so has thrown: no such chip"),
    ],
)
def test_delegate_that_is_not_made_says_why(
    data: Path, delegate: Callable[..., Any], mode: str, match: str
) -> None:
    with pytest.raises(litert.ModelError, match=match):
        opened(data, delegate(mode=mode))


def test_model_loads_after_a_delegate_has_failed(data: Path, delegate: Callable[..., Any]) -> None:
    with pytest.raises(litert.ModelError, match="gave none"):
        opened(data, delegate(mode="fail"))

    with opened(data, delegate(offset=1)) as model:
        np.testing.assert_array_equal(model.run(ONES)["sum"], [[3] * 4])


def test_library_that_does_not_load_tells_the_loaders_reason(data: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.so"
    broken.write_text("no shared object")

    with pytest.raises(litert.LibraryError, match=r"cannot load .*broken\.so: .*file too short"):
        opened(data, litert.Delegate(broken))
    with pytest.raises(litert.LibraryError, match="No such file or directory"):
        opened(data, litert.Delegate(tmp_path / "missing.so"))


def test_bare_name_is_not_looked_for_in_the_working_folder(data: Path) -> None:
    with pytest.raises(litert.LibraryError, match=r"No such file.*: write \./libmissing\.so$"):
        opened(data, litert.Delegate("libmissing.so"))


def test_library_that_is_no_delegate_is_told(
    data: Path, sample_plugin: Callable[[str], Path]
) -> None:
    with pytest.raises(litert.LibraryError, match="no symbol tflite_plugin_create_delegate"):
        opened(data, litert.Delegate(sample_plugin("sample_custom_op")))


def test_each_model_has_a_delegate_of_its_own_that_ends_with_it(
    data: Path, sample_plugin: Callable[[str], Path]
) -> None:
    library = sample_plugin("sample_delegate")
    num_alive = ctypes.CDLL(str(library)).sample_delegate_num_alive
    before = num_alive()
    models = [opened(data, litert.Delegate(library)) for _ in range(3)]
    assert num_alive() == before + 3

    for model in models:
        model.close()

    assert num_alive() == before


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_delegate_that_fails_leaves_no_weights_open(
    data: Path, delegate: Callable[..., Any], tmp_path: Path
) -> None:
    options = litert.CpuOptions(weight_cache=tmp_path)

    def fail() -> int:
        with pytest.raises(litert.ModelError, match="gave none"):
            opened(data, delegate(mode="fail"), cpu=options)
        return len(os.listdir("/proc/self/fd"))

    assert fail() == fail()


def test_models_are_opened_in_many_threads(data: Path, delegate: Callable[..., Any]) -> None:
    def check(index: int) -> None:
        for _ in range(5):
            with opened(data, delegate(offset=index)) as model:
                np.testing.assert_array_equal(model.run(ONES)["sum"], [[2 + index] * 4])

    in_threads(check)


def test_reference_backend_is_refused(data: Path, delegate: Callable[..., Any]) -> None:
    with pytest.raises(litert.OptionError, match="delegates and custom_ops need the native"):
        opened(data, delegate(), backend="reference")


def test_accelerators_are_refused(data: Path, delegate: Callable[..., Any]) -> None:
    with pytest.raises(litert.OptionError, match="leave accelerator='gpu' out"):
        opened(data, delegate(), accelerator="gpu")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("",), "library: expected a path, got ''"),
        ((7,), "library: expected a path, got int"),
        (("d\0.so",), "library: "),
        (("d.so", {"a\0b": 1}), "options: expected names"),
        (("d.so", {"a": "\udcff"}), r"options\['a'\]: expected text"),
        (("d.so", 7), "options: expected a mapping, got 7"),
        (("d.so", {1: "x"}), "options: expected names, got 1"),
        (("d.so", {"a": None}), r"options\['a'\]: expected text, a number or a bool, got None"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, match: str) -> None:
    with pytest.raises(litert.OptionError, match=match):
        litert.Delegate(*arguments)


def test_path_that_is_no_text_reaches_the_loader(data: Path) -> None:
    missing = litert.Delegate(os.fsdecode(b"/no/\xff.so"))
    with pytest.raises(litert.LibraryError, match=r"cannot load /no/\\xff\.so: .*No such file"):
        opened(data, missing)


def test_what_is_no_delegate_is_refused(data: Path) -> None:
    with pytest.raises(litert.OptionError, match=r"delegates: expected Delegate\(\.\.\.\), got"):
        litert.Model(data / "add.tflite", delegates=["d.so"])  # type: ignore[list-item]
