"""Kernels of custom operators: shared objects, and Python callables."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import litert
from in_threads import in_threads

NAME = "LitertTestUnknownOp"
X = np.float32([1, -2, 3, 0.5])


@pytest.fixture
def path(data: Path) -> Path:
    """A model of one custom operator, float32[4] to float32[4]."""
    return data / "custom_op.tflite"


def opened(path: Path, kernel: Any, **options: Any) -> litert.Model:
    return litert.Model(path, custom_ops=[litert.CustomOp(NAME, kernel, **options)])


def test_callable_computes_the_operator(path: Path) -> None:
    with opened(path, np.sinh) as model:
        np.testing.assert_array_equal(model.run(X)["y"], np.sinh(X))


def test_callable_computes_in_a_runner(path: Path) -> None:
    with opened(path, np.sinh) as model, model.bind() as runner:
        for scale in (1, 2):
            runner.inputs["x"][...] = scale * X
            runner.run()
            np.testing.assert_array_equal(runner.outputs["y"], np.sinh(scale * X))


def test_shared_object_computes_the_operator(
    path: Path, sample_plugin: Callable[[str], Path]
) -> None:
    with opened(path, sample_plugin("sample_custom_op")) as model:
        np.testing.assert_allclose(model.run(X)["y"], np.sinh(X), rtol=1e-6)


def test_exception_of_a_callable_is_the_cause(path: Path) -> None:
    failure = ValueError("boom")

    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        raise failure

    with (
        opened(path, kernel) as model,
        pytest.raises(litert.ExecutionError, match=rf"'{NAME}': .*ValueError: boom") as caught,
    ):
        model.run(X)

    assert caught.value.__cause__ is failure


def test_model_runs_again_after_its_kernel_has_failed(path: Path) -> None:
    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if x[0] < 0:
            raise ValueError("negative")
        return 2 * x

    with opened(path, kernel) as model, model.bind() as runner:
        for run in (lambda: model.run(-X), runner_run(runner, -X)):
            with pytest.raises(litert.ExecutionError, match="negative"):
                run()
            np.testing.assert_array_equal(model.run(X)["y"], 2 * X)


def runner_run(runner: litert.Runner, x: npt.NDArray[np.float32]) -> Callable[[], None]:
    def run() -> None:
        runner.inputs["x"][...] = x
        runner.run()

    return run


def test_interrupt_in_a_callable_comes_through(path: Path) -> None:
    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        raise KeyboardInterrupt

    with opened(path, kernel) as model, pytest.raises(KeyboardInterrupt):
        model.run(X)


@pytest.mark.parametrize(
    ("returned", "match"),
    [
        (lambda x: x[:2], r"output 0: expected float32\[4\], got float32\[2\]"),
        (lambda x: x.astype(complex), r"expected float32\[4\], got complex128\[4\]"),
        (lambda x: None, r"expected float32\[4\], got object\[\]"),
        (lambda x: (x, x), "expected 1 output, got 2"),
    ],
    ids=["shape", "dtype", "None", "too many"],
)
def test_result_that_does_not_fit_raises(path: Path, returned: Any, match: str) -> None:
    with opened(path, returned) as model, pytest.raises(litert.ExecutionError, match=match):
        model.run(X)


def test_output_shapes_decide_the_output(path: Path) -> None:
    with opened(path, lambda x: x[:2], output_shapes=lambda shapes: [(2,)]) as model:
        np.testing.assert_array_equal(model.run(X)["y"], X[:2])


def test_output_shapes_that_fail_are_told_at_load(path: Path) -> None:
    def shapes(inputs: Any) -> Any:
        raise ZeroDivisionError("no shape")

    with pytest.raises(litert.ExecutionError, match=r"output_shapes fails: Zero.*no shape"):
        opened(path, np.sinh, output_shapes=shapes)


def test_output_shapes_of_another_number_are_refused(path: Path) -> None:
    with pytest.raises(litert.ExecutionError, match=r"expected 1 shapes .*, got \[\]"):
        opened(path, np.sinh, output_shapes=lambda shapes: [])


def test_arrays_that_a_callable_keeps_do_not_change(path: Path) -> None:
    kept: list[npt.NDArray[np.float32]] = []

    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        kept.append(x)
        return x

    with opened(path, kernel) as model:
        model.run(X)
        model.run(2 * X)

    np.testing.assert_array_equal(kept[0], X)
    np.testing.assert_array_equal(kept[1], 2 * X)


def test_runs_of_many_threads_are_right(path: Path) -> None:
    with opened(path, np.sinh) as model:

        def check(index: int) -> None:
            for step in range(50):
                x = X * np.float32((index + step) / 50)
                np.testing.assert_array_equal(model.run(x)["y"], np.sinh(x))

        in_threads(check)


def test_callable_may_use_another_thread(path: Path) -> None:
    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        results: list[npt.NDArray[np.float32]] = []
        thread = threading.Thread(target=lambda: results.append(np.cosh(x)))
        thread.start()
        thread.join()
        return results[0]

    with litert.Model(path, custom_ops=[litert.CustomOp(NAME, kernel)], release_gil=True) as model:
        np.testing.assert_array_equal(model.run(X)["y"], np.cosh(X))


def test_callable_that_uses_its_own_model_is_refused(path: Path) -> None:
    models: list[litert.Model] = []

    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return models[0].run(x)["y"]

    with opened(path, kernel) as model:
        models.append(model)
        with pytest.raises(litert.ExecutionError, match="would wait for itself"):
            model.run(X)


def test_callable_that_binds_an_input_of_its_own_model_is_refused(path: Path) -> None:
    runners: list[litert.Runner] = []

    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        runners[0].bind_input("x", litert.empty_aligned((4,), np.float32))
        return x

    with opened(path, kernel) as model, model.bind() as other, model.bind() as runner:
        runners.append(other)
        with pytest.raises(litert.ExecutionError, match="would wait for itself"):
            runner.run()


def test_callable_that_closes_its_own_model_inside_a_profile_is_refused(path: Path) -> None:
    models: list[litert.Model] = []

    def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        models[0].close()
        return x

    model = opened(path, kernel)
    models.append(model)
    with model.profile(), pytest.raises(litert.ExecutionError, match="would wait for itself"):
        model.run(X)


def test_error_of_a_result_keeps_no_view_of_the_memory(path: Path) -> None:
    """Whoever shows a traceback with its variables would read memory that is gone."""
    with (
        opened(path, lambda x: np.zeros(3, np.float32)) as model,
        pytest.raises(litert.ExecutionError, match="output 0: expected") as caught,
    ):
        model.run(X)

    arrays = [
        value
        for entry in caught.traceback
        for value in entry.locals.values()
        if isinstance(value, np.ndarray) and isinstance(value.base, memoryview | np.ndarray)
    ]
    assert arrays == []


def test_callable_may_run_another_model(path: Path, data: Path) -> None:
    with litert.Model(data / "mlp.tflite") as other:

        def kernel(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return x * other.run(np.ones((1, 8), np.float32))["probs"].sum()

        with opened(path, kernel) as model:
            np.testing.assert_allclose(model.run(X)["y"], X, rtol=1e-6)


def test_callable_is_let_go_with_the_model(path: Path) -> None:
    class Kernel:
        def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return x

    kernel = Kernel()
    alive = weakref.ref(kernel)
    model = opened(path, kernel)
    model.run(X)
    model.close()
    del model, kernel
    gc.collect()

    assert alive() is None


def test_profile_and_placement_name_the_operator(path: Path) -> None:
    with opened(path, np.sinh) as model:
        with model.profile() as profile:
            model.run(X)
        placed = model.placement.placed

    assert [one.name for one in profile.operators] == [NAME]
    assert placed == (litert.PlacedOperators("cpu", "custom", 1, 1.0),)


def test_placement_on_builtin_kernels_names_the_operator(path: Path) -> None:
    kernels = [litert.CustomOp(NAME, np.sinh)]
    with litert.Model(path, custom_ops=kernels, cpu=litert.CpuOptions(kernels="builtin")) as model:
        placed = model.placement.placed

    assert placed == (litert.PlacedOperators("cpu", "custom", 1, 1.0),)


@pytest.mark.parametrize(
    ("symbol", "match"),
    [
        ("init_fails_kernel", r"Init failed: status 5 \(ErrorUnsupported\)"),
        ("layouts_fail_kernel", r"GetOutputLayouts failed: status 1"),
    ],
)
def test_kernel_that_fails_at_load_is_told(
    path: Path, sample_plugin: Callable[[str], Path], symbol: str, match: str
) -> None:
    with pytest.raises(litert.ModelError, match=match):
        opened(path, sample_plugin("sample_custom_op"), symbol=symbol)


def test_status_of_a_run_is_told_and_the_next_run_is_right(
    path: Path, sample_plugin: Callable[[str], Path]
) -> None:
    kernel = sample_plugin("sample_custom_op")
    with opened(path, kernel, symbol="fails_below_zero_kernel") as model:
        with pytest.raises(litert.ExecutionError, match=rf"'{NAME}': Run failed: status 3"):
            model.run(-X)
        np.testing.assert_allclose(model.run(X)["y"], np.sinh(X), rtol=1e-6)


def test_exception_of_a_shared_object_is_told(
    path: Path, sample_plugin: Callable[[str], Path]
) -> None:
    with (
        opened(path, sample_plugin("sample_custom_op"), symbol="throws_kernel") as model,
        pytest.raises(litert.ExecutionError, match="Run has thrown: the sum does not converge"),
    ):
        model.run(X)


def test_kernel_without_a_function_is_refused(
    path: Path, sample_plugin: Callable[[str], Path]
) -> None:
    with pytest.raises(litert.OptionError, match="incomplete_kernel has no function Destroy"):
        opened(path, sample_plugin("sample_custom_op"), symbol="incomplete_kernel")


def test_missing_symbol_is_named(path: Path, sample_plugin: Callable[[str], Path]) -> None:
    with pytest.raises(litert.LibraryError, match="has no symbol nothing_here"):
        opened(path, sample_plugin("sample_custom_op"), symbol="nothing_here")


def test_shared_object_that_does_not_load_tells_the_loaders_reason(
    path: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.so"
    broken.write_text("no shared object")

    with pytest.raises(litert.LibraryError, match=r"cannot load .*broken\.so: .*file too short"):
        opened(path, broken)
    with pytest.raises(litert.LibraryError, match="No such file or directory"):
        opened(path, tmp_path / "missing.so")


def test_operator_that_the_model_lacks_is_refused(path: Path, data: Path) -> None:
    with pytest.raises(litert.OptionError, match=f"no custom operator 'Other'; it has '{NAME}'"):
        litert.Model(path, custom_ops=[litert.CustomOp("Other", np.sinh)])
    with pytest.raises(litert.OptionError, match="no custom operator 'Other'; it has none"):
        litert.Model(data / "mlp.tflite", custom_ops=[litert.CustomOp("Other", np.sinh)])


def test_operator_given_twice_is_refused(path: Path) -> None:
    twice = [litert.CustomOp(NAME, np.sinh), litert.CustomOp(NAME, np.cosh)]

    with pytest.raises(litert.OptionError, match="expected each operator once"):
        litert.Model(path, custom_ops=twice)


def test_reference_backend_is_refused(path: Path) -> None:
    with pytest.raises(litert.OptionError, match="custom_ops need the native backend"):
        litert.Model(path, custom_ops=[litert.CustomOp(NAME, np.sinh)], backend="reference")


def test_accelerators_are_refused(path: Path) -> None:
    with pytest.raises(litert.OptionError, match="custom_ops are for the CPU"):
        litert.Model(path, custom_ops=[litert.CustomOp(NAME, np.sinh)], accelerator="gpu")


@pytest.mark.parametrize(
    ("arguments", "options", "match"),
    [
        (("", np.sinh), {}, "expected an operator's name, got ''"),
        ((7, np.sinh), {}, "expected an operator's name, got 7"),
        ((NAME, 7), {}, "expected a shared object's path or a callable, got 7"),
        ((NAME, ""), {}, "expected a shared object's path or a callable"),
        ((NAME, "x\0.so"), {}, r"kernel: expected a path, got 'x\\x00\.so'"),
        ((NAME, "\ud800.so"), {}, r"kernel: expected a path, got '\\ud800\.so'"),
        ((NAME, np.sinh), {"symbol": "x"}, "a callable has none"),
        ((NAME, "x\0.so"), {}, "kernel: "),
        ((NAME, "x.so"), {"symbol": True}, "symbol: expected a C name, got True"),
        ((NAME, "x.so"), {"symbol": "a-b"}, "symbol: expected a C name, got 'a-b'"),
        (("a b", "x.so"), {}, "the name makes no C name; give the variable's as symbol="),
        ((NAME, "x.so"), {"output_shapes": len}, "output_shapes is a callable's"),
        ((NAME, np.sinh), {"output_shapes": 7}, "output_shapes: expected a callable, got 7"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, options: Any, match: str) -> None:
    with pytest.raises(litert.OptionError, match=match):
        litert.CustomOp(*arguments, **options)


def test_what_is_no_custom_op_is_refused(path: Path) -> None:
    with pytest.raises(litert.OptionError, match=r"custom_ops: expected CustomOp\(\.\.\.\), got"):
        litert.Model(path, custom_ops=[np.sinh])  # type: ignore[list-item]


def test_close_lets_go_of_a_callable_that_refers_to_its_model(path: Path) -> None:
    class Kernel:
        model: litert.Model

        def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            return x

    kernel = Kernel()
    kernel.model = opened(path, kernel)
    kernel.model.run(X)
    kernel.model.close()
    gone = weakref.ref(kernel)
    del kernel
    gc.collect()
    assert gone() is None


def test_more_dimensions_than_a_tensor_can_have_are_refused(path: Path) -> None:
    with pytest.raises(litert.ExecutionError, match="expected 1 shapes of up to 8 positive sizes"):
        opened(path, np.sinh, output_shapes=lambda shapes: [(1,) * 9])


def test_missing_model_is_not_found_with_a_kernel_too(tmp_path: Path) -> None:
    with pytest.raises(litert.ModelNotFoundError, match="no_such"):
        opened(tmp_path / "no_such.tflite", np.sinh)


def test_path_object_means_the_file_in_the_working_folder(
    path: Path, sample_plugin: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = sample_plugin("sample_custom_op")
    monkeypatch.chdir(library.parent)
    with opened(path, Path(library.name)) as model:
        np.testing.assert_allclose(model.run(X)["y"], np.sinh(X), rtol=1e-6)


def test_layouts_of_a_shared_object_that_are_none_are_refused(
    path: Path, sample_plugin: Callable[[str], Path]
) -> None:
    with pytest.raises(litert.ModelError, match="its kernel gave a layout that is none"):
        opened(path, sample_plugin("sample_custom_op"), symbol="layouts_too_wide_kernel")
