"""What a model runs on: the accelerator asked for, the first of several, or the fastest.

The accelerators here are made up: the CPU computes for them, and the tests say how fast they are
and what they do wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from litert.accelerate.names import _ELSEWHERE, _SAME
from made_up_accelerators import Machine, chosen, install_machine


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep what is found out in a folder of this test's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Machine]:
    """Have accelerators that are made up; in the end all that was opened on them is closed."""
    made = install_machine(monkeypatch)
    yield made
    assert all(model.is_closed for model in made.opened)


@pytest.fixture
def model_path(data: Path) -> Path:
    """A model that every accelerator takes here."""
    return data / "mlp.tflite"


# Requests


@pytest.mark.parametrize("name", sorted({*_ELSEWHERE, *_SAME}))
def test_name_from_elsewhere_is_refused_with_what_to_use(name: str, model_path: Path) -> None:
    with pytest.raises(litert.OptionError, match=rf"^accelerator '{name}': .{{20}}") as raised:
        litert.Model(model_path, accelerator=name)  # type: ignore[arg-type]
    said = str(raised.value)
    assert any(word in said for word in ("use '", "or 'cpu'", "convert the model"))
    assert not said.endswith(".")


@pytest.mark.parametrize("name", ["CoreML", "Core ML", "core_ml", "Google-Tensor", "OpenGL ES"])
def test_name_from_elsewhere_may_be_written_in_any_way(name: str, model_path: Path) -> None:
    with pytest.raises(litert.OptionError, match=r"(Core ML|Pixel|OpenGL)"):
        litert.Model(model_path, accelerator=name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accelerator", "message"),
    [
        ("abacus", "^accelerator 'abacus': expected 'cpu', 'gpu', 'npu' or 'auto'$"),
        ("gpus", "did you mean 'gpu'"),
        ("atuo", "did you mean 'auto'"),
        ("gpu, cpu", r"^accelerator 'gpu, cpu': several are a tuple: \('gpu', 'cpu'\)$"),
        ("", "^accelerator '': expected 'cpu', 'gpu', 'npu' or 'auto'$"),
        ((), r"^accelerator: expected 'auto', 'cpu', .* or several of these .*got \(\)$"),
        ([], r"^accelerator: expected 'auto'.*got \[\]$"),
        (None, "^accelerator: expected 'auto'.*got None$"),
        (7, "^accelerator: expected 'auto'.*got 7$"),
        ({"gpu", "cpu"}, "^accelerator: expected 'auto'"),
        (np.array(["gpu", "cpu"]), "^accelerator: expected 'auto'"),
        (b"gpu", "^accelerator 103: expected 'cpu'"),
        (("gpu", 7), "^accelerator 7: expected 'cpu'"),
        (("gpu", ["cpu"]), r"^accelerator \['cpu'\]: expected 'cpu'"),
        (("gpu", "coreml"), "^accelerator 'coreml': Core ML is for macOS"),
        (("gpu", "gpu"), r"^accelerator: expected each name once, got \('gpu', 'gpu'\)$"),
        (("gpu", "auto"), r"^accelerator: 'auto' stands alone, got \('gpu', 'auto'\)$"),
        (["auto"], r"^accelerator: 'auto' stands alone, got \['auto'\]$"),
    ],
)
def test_accelerator_that_is_none_is_refused(
    model_path: Path, accelerator: Any, message: str
) -> None:
    with pytest.raises(litert.OptionError, match=message):
        litert.Model(model_path, accelerator=accelerator)


@pytest.mark.parametrize("accelerator", ["cpu", "gpu", "auto", ("gpu", "cpu")])
@pytest.mark.parametrize("strict", ["yes", 1, None])
def test_strict_that_is_no_bool_is_refused(model_path: Path, accelerator: Any, strict: Any) -> None:
    with pytest.raises(litert.OptionError, match=r"^strict: expected True or False, got"):
        litert.Model(model_path, accelerator=accelerator, strict=strict)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"gpu": litert.GpuOptions()},
            "^gpu: has no meaning with accelerator='cpu'; give accelerator='gpu'$",
        ),
        (
            {"accelerator": "gpu", "npu": litert.NpuOptions()},
            "^npu: has no meaning with accelerator='gpu'; give accelerator='npu'$",
        ),
        (
            {"accelerator": ("npu", "cpu"), "gpu": litert.GpuOptions()},
            r"^gpu: has no meaning with accelerator=\('npu', 'cpu'\)",
        ),
        (
            {"accelerator": "gpu", "gpu": {"precision": "fp16"}},
            r"^gpu: expected GpuOptions\(...\), got {'precision': 'fp16'}$",
        ),
        (
            {"accelerator": "npu", "npu": litert.GpuOptions()},
            r"^npu: expected NpuOptions\(...\), got GpuOptions",
        ),
    ],
)
def test_options_of_what_is_not_asked_for_are_refused(
    model_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(litert.OptionError, match=message):
        litert.Model(model_path, **options)


# The reference backend


@pytest.fixture
def reference() -> dict[str, Any]:
    """Options for the reference backend, or skip."""
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    return {"backend": "reference"}


@pytest.mark.parametrize("accelerator", ["gpu", "npu", ("gpu", "npu")])
def test_reference_backend_has_no_accelerators(
    model_path: Path, reference: dict[str, Any], accelerator: Any
) -> None:
    message = (
        r"^accelerator '[gn]pu': the reference backend, chosen by backend='reference', runs models "
        "on the CPU alone$"
    )
    with pytest.raises(litert.AcceleratorError, match=message):
        litert.Model(model_path, accelerator=accelerator, **reference)


@pytest.mark.parametrize("accelerator", ["auto", ("gpu", "cpu"), ("cpu",)])
def test_reference_backend_stands_in_on_the_cpu(
    model_path: Path, reference: dict[str, Any], accelerator: Any
) -> None:
    with litert.Model(model_path, accelerator=accelerator, **reference) as model:
        assert model.backend == "reference"
        assert repr(model) == "<litert.Model backend='reference' accelerator='cpu'>"


# The one asked for, and the first of several


def test_accelerator_that_takes_the_model_runs_it(machine: Machine, model_path: Path) -> None:
    assert chosen(model_path, accelerator="gpu")[0] == "gpu"


def test_accelerator_that_is_not_here_is_refused(machine: Machine, model_path: Path) -> None:
    machine.devices.clear()
    with pytest.raises(litert.AcceleratorError, match=r"^accelerator 'gpu' is not available"):
        litert.Model(model_path, accelerator="gpu")


def test_accelerator_that_computes_something_else_is_refused(
    machine: Machine, model_path: Path
) -> None:
    machine.differences["gpu"] = "output 'y' differs from the CPU's: by up to 4 where ..."
    with pytest.raises(litert.AcceleratorError, match=r"^accelerator 'gpu': output 'y' differs"):
        litert.Model(model_path, accelerator="gpu")


def test_accelerator_that_takes_no_operator_is_refused(machine: Machine, model_path: Path) -> None:
    machine.logs["npu"] = "ERROR: [a.cc:1] Plugin errs: none loaded\n"
    message = "^accelerator 'npu': it takes none of the model's operators: Plugin errs: none loaded"
    with pytest.raises(litert.AcceleratorError, match=message) as raised:
        litert.Model(model_path, accelerator="npu")
    assert raised.value.library_log == (machine.logs["npu"].strip(),)


def test_accelerator_that_does_not_compile_gives_status_and_log(
    machine: Machine, model_path: Path
) -> None:
    machine.problems["gpu"] = litert.ModelError("no", status=3, library_log=["ERROR: [a.cc:1] why"])
    with pytest.raises(
        litert.AcceleratorError,
        match=r"^accelerator 'gpu': the model does not compile for it: why$",
    ) as raised:
        litert.Model(model_path, accelerator="gpu")
    assert (raised.value.status, raised.value.library_log) == (3, ("ERROR: [a.cc:1] why",))


def test_order_goes_on_to_the_next(
    machine: Machine, model_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.differences["npu"] = "its run fails: status 3"
    accelerator, reasons = chosen(model_path, accelerator=("npu", "gpu", "cpu"))
    assert accelerator == "gpu"
    assert "accelerator 'npu': its run fails: status 3" in reasons
    assert caplog.messages == ["accelerator 'npu': its run fails: status 3"]


def test_order_that_ends_on_the_cpu_says_why(machine: Machine, model_path: Path) -> None:
    machine.devices.clear()
    accelerator, reasons = chosen(model_path, accelerator=["gpu", "npu", "cpu"])
    assert accelerator == "cpu"
    assert [reason.split(":")[0] for reason in reasons] == [
        "accelerator 'gpu' is not available",
        "accelerator 'npu' is not available",
    ]


def test_order_without_the_cpu_fails_with_all_reasons(machine: Machine, model_path: Path) -> None:
    machine.devices.clear()
    with pytest.raises(litert.AcceleratorError, match=r"'gpu' is not .*; accelerator 'npu' is not"):
        litert.Model(model_path, accelerator=("gpu", "npu"))


def test_order_that_begins_with_the_cpu_tries_nothing_else(
    machine: Machine, model_path: Path
) -> None:
    assert chosen(model_path, accelerator=("cpu", "gpu")) == ("cpu", ())
    assert machine.opened == []


def test_model_that_is_none_is_no_fault_of_an_accelerator(machine: Machine, data: Path) -> None:
    with pytest.raises(litert.FileFormatError, match=r"expected a \.tflite model"):
        litert.Model(data / "invalid_garbage.tflite", accelerator=("gpu", "cpu"))
    with pytest.raises(litert.ModelNotFoundError, match=r"no\.tflite"):
        litert.Model("no.tflite", accelerator="auto")


def test_accelerator_without_memory_leaves_the_model_to_the_next(
    machine: Machine, model_path: Path
) -> None:
    machine.problems["gpu"] = MemoryError("compile the model failed")
    name, reasons = chosen(model_path, accelerator=("gpu", "cpu"))
    assert name == "cpu"
    assert reasons[0].startswith("accelerator 'gpu': no memory: compile the model failed")


def test_another_gpu_than_the_one_asked_for_is_refused(machine: Machine, model_path: Path) -> None:
    machine.logs["gpu"] = f"{machine.logs['gpu']}Selected adapter: Other GPU, vendor=other\n"
    with pytest.raises(litert.AcceleratorError, match="takes Other GPU, not 'some'"):
        litert.Model(model_path, accelerator="gpu", gpu=litert.GpuOptions(device="some"))


@pytest.mark.parametrize("size", [2, 5])
def test_gpu_refuses_shapes_that_it_was_not_compiled_for(
    data: Path, software_gpu: Path, size: int
) -> None:
    message = (
        r"^accelerator 'gpu': the model is compiled there for x=\[1, 4\], got "
        rf"x=\[{size}, 4\]; other shapes need accelerator='cpu'$"
    )
    with litert.Model(data / "dynamic_batch.tflite", accelerator="gpu") as model:
        with pytest.raises(litert.TensorShapeError, match=message):
            model.run({"x": np.ones((size, 4), np.float32)})
        with pytest.raises(litert.TensorShapeError, match=message):
            model.bind(shapes={"x": (size, 4)})
        assert model.run({"x": np.ones((1, 4), np.float32)})["y"].shape == (1, 3)


# The fastest


@pytest.mark.parametrize(
    ("gpu", "npu", "expected"),
    [(2.0, 3.0, "cpu"), (0.5, 3.0, "gpu"), (2.0, 0.5, "npu"), (0.5, 0.4, "npu"), (1.0, 1.0, "cpu")],
)
def test_auto_takes_the_fastest(
    machine: Machine, model_path: Path, gpu: float, npu: float, expected: str
) -> None:
    machine.seconds.update(gpu=gpu, npu=npu)
    accelerator, reasons = chosen(model_path, accelerator="auto")
    assert accelerator == expected
    assert f"measured, a run: cpu 1e+03 ms, gpu {gpu * 1000:.3g} ms" in str(reasons)


def test_auto_never_takes_what_computes_something_else(machine: Machine, model_path: Path) -> None:
    machine.seconds["gpu"] = 0.001
    machine.differences["gpu"] = "output 'y' differs"
    accelerator, reasons = chosen(model_path, accelerator="auto")
    assert accelerator == "cpu"
    assert "accelerator 'gpu': output 'y' differs" in reasons


def test_auto_leaves_a_model_of_open_dimensions_on_the_cpu(machine: Machine, data: Path) -> None:
    machine.seconds["gpu"] = 0.5
    with litert.Model(data / "dynamic_batch.tflite", accelerator="auto") as model:
        assert model.run(np.ones((4, 4), np.float32))["y"].shape == (4, 3)
        assert "takes inputs of several shapes" in model.placement.reasons[0]


def test_auto_never_takes_what_does_not_compile(machine: Machine, model_path: Path) -> None:
    machine.seconds["npu"] = 0.001
    machine.problems["npu"] = litert.ModelError("status 504", status=504)
    accelerator, reasons = chosen(model_path, accelerator="auto")
    assert accelerator == "cpu"
    assert (
        "accelerator 'npu': the model does not compile for it: status 504, and the library does "
        "not say why"
    ) in reasons


def test_auto_never_takes_what_fails_when_it_is_timed(machine: Machine, model_path: Path) -> None:
    machine.seconds["gpu"] = -1.0
    accelerator, reasons = chosen(model_path, accelerator="auto")
    assert accelerator == "cpu"
    assert "accelerator 'gpu': its run fails: the run failed: status 3" in reasons


def test_auto_leaves_a_model_that_the_core_cannot_run_to_the_reference_backend(
    machine: Machine, data: Path
) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
    with litert.Model(data / "string_lookup.tflite", accelerator="auto") as model:
        assert model.backend == "reference"


def test_auto_of_a_model_that_nobody_runs_says_why(machine: Machine, data: Path) -> None:
    with pytest.raises(litert.UnsupportedModelError, match="custom operators that the library may"):
        litert.Model(data / "custom_op.tflite", accelerator="auto")


def test_auto_without_accelerators_is_the_cpu_and_keeps_nothing(
    machine: Machine, model_path: Path, cache: Path
) -> None:
    machine.devices.clear()
    accelerator, reasons = chosen(model_path, accelerator="auto")
    assert accelerator == "cpu"
    assert [reason.split(":")[0] for reason in reasons] == [
        "accelerator 'gpu' is not available",
        "accelerator 'npu' is not available",
    ]
    assert machine.timed == []
    assert not cache.exists()
