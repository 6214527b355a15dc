"""What a model runs on: the accelerator asked for, the first of several, or the fastest.

The accelerators here are made up: the CPU computes for them, and the tests say how fast they are
and what they do wrong.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from litert.accelerate import load, verdicts
from litert.accelerate.names import _ELSEWHERE, _SAME
from litert.accelerate.target import Target
from litert.backends.native import NativeModel

LOGS = {
    "gpu": "I0 0 a.cc:1] Initializing WebGPU-based API from graph.\n",
    "npu": "selected 3 ops, from a total of 3 ops. resulted in 1 partitions.\n"
    "1 compiler plugins were applied successfully: A\n",
}


class OnAccelerator(NativeModel):
    """A model on an accelerator that is made up."""

    __slots__ = ("is_closed", "log", "name")

    def compile_log(self) -> str:
        return self.log

    def close(self) -> None:
        super().close()
        self.is_closed = True


@dataclass
class Machine:
    """A machine with accelerators, all of which are at fault in the ways that a test says."""

    seconds: dict[str, float]
    devices: dict[str, str]
    logs: dict[str, str] = field(default_factory=lambda: dict(LOGS))
    problems: dict[str, Exception] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    timed: list[str] = field(default_factory=list)
    num_compared: int = 0
    driver_versions: tuple[int, ...] = (1,)
    opened: list[OnAccelerator] = field(default_factory=list)

    def target(self, name: Any, options: tuple[tuple[str, str], ...]) -> Target:
        if name not in self.devices:
            raise litert.AcceleratorError(f"accelerator {name!r} is not available: none here")
        return Target(
            name, "made up", 7, (self.devices[name],), self.driver_versions, options=options
        )

    def open(
        self, source: Any, cpu: Any, release_gil: Any, target: Target | None = None
    ) -> NativeModel:
        if target is None:
            return NativeModel.open(source, cpu, release_gil)
        if target.name in self.problems:
            raise self.problems[target.name]
        model = OnAccelerator.open(source, cpu, release_gil)
        assert isinstance(model, OnAccelerator)
        model.name, model.log = target.name, self.logs[target.name]
        model.is_closed = False
        self.opened.append(model)
        return model

    def median_run_s(self, model: NativeModel) -> float:
        name = model.name if isinstance(model, OnAccelerator) else "cpu"
        self.timed.append(name)
        took = self.seconds[name]
        if took < 0:
            raise litert.ExecutionError("the run failed: status 3")
        return took

    def difference(self, model: NativeModel, reference: NativeModel) -> str:
        assert isinstance(model, OnAccelerator)
        self.num_compared += 1
        return self.differences.get(model.name, "")


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep what is found out in a folder of this test's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("LITERT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[Machine]:
    """Have a GPU and an NPU, both of which are slower than the CPU; in the end all is closed."""
    made = Machine({"cpu": 1.0, "gpu": 2.0, "npu": 3.0}, {"gpu": "Some GPU", "npu": "Some NPU"})
    monkeypatch.setattr(
        load,
        "gpu_target",
        lambda options, lines: made.target("gpu", (("gpu_options", "\n".join(options.lines())),)),
    )
    monkeypatch.setattr(load, "npu_target", lambda options, stamp: made.target("npu", ()))
    monkeypatch.setattr(load, "median_run_s", made.median_run_s)
    monkeypatch.setattr(load, "difference", made.difference)

    class Opener:
        open = staticmethod(made.open)

    monkeypatch.setattr(load, "NativeModel", Opener)
    yield made
    assert all(model.is_closed for model in made.opened)


@pytest.fixture
def model_path(data: Path) -> Path:
    """A model that every accelerator takes here."""
    return data / "mlp.tflite"


def chosen(path: Path | bytes, **options: Any) -> tuple[str, tuple[str, ...]]:
    """Load a model, run it, and say where it runs and why."""
    with litert.Model(path, **options) as model:
        model.run({"x": np.ones((1, 8), np.float32)})
        return model.placement.accelerator, model.placement.reasons


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


def test_comparison_is_remembered(machine: Machine, model_path: Path) -> None:
    for _ in range(2):
        chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 1


def test_accelerator_without_memory_leaves_the_model_to_the_next(
    machine: Machine, model_path: Path
) -> None:
    machine.problems["gpu"] = MemoryError("compile the model failed")
    name, reasons = chosen(model_path, accelerator=("gpu", "cpu"))
    assert name == "cpu"
    assert reasons[0].startswith("accelerator 'gpu': no memory: compile the model failed")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"is_same": 1}', b"\xff", b"[" * 60000])
def test_comparison_is_done_again_where_what_is_kept_is_damaged(
    machine: Machine, model_path: Path, cache: Path, content: bytes
) -> None:
    chosen(model_path, accelerator="gpu")
    (kept,) = cache.glob("checked-*")
    kept.write_bytes(content)
    chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 2


def test_comparison_is_done_again_with_another_driver(machine: Machine, model_path: Path) -> None:
    chosen(model_path, accelerator="gpu")
    machine.driver_versions = (2,)
    chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 2


def test_comparison_is_done_again_with_another_build_of_the_library(
    machine: Machine, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = tmp_path / "libLiteRt.so"
    here = dataclasses.replace(litert.library_info(), path=str(build))
    monkeypatch.setattr(verdicts, "library_info", lambda: here)
    for text in ("first", "second build"):
        build.write_text(text)
        chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 2


@pytest.mark.parametrize(
    "options", [litert.GpuOptions(precision="fp16"), litert.GpuOptions(device="some")]
)
def test_comparison_is_done_again_with_other_options(
    machine: Machine, model_path: Path, options: litert.GpuOptions
) -> None:
    for _ in range(2):
        chosen(model_path, accelerator="gpu")
        chosen(model_path, accelerator="gpu", gpu=options)
    assert machine.num_compared == 2


def test_comparison_is_done_again_on_another_device(machine: Machine, model_path: Path) -> None:
    for device in ("Some GPU", "Another GPU", "Some GPU"):
        machine.devices["gpu"] = device
        chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 2


def test_comparison_is_done_again_with_other_kernels_for_the_rest(
    machine: Machine, model_path: Path
) -> None:
    for kernels in ("xnnpack", "builtin"):
        chosen(model_path, accelerator="gpu", cpu=litert.CpuOptions(kernels=kernels))
    assert machine.num_compared == 2


def test_another_gpu_than_the_one_asked_for_is_refused(machine: Machine, model_path: Path) -> None:
    machine.logs["gpu"] = f"{machine.logs['gpu']}Selected adapter: Other GPU, vendor=other\n"
    with pytest.raises(litert.AcceleratorError, match="takes Other GPU, not 'some'"):
        litert.Model(model_path, accelerator="gpu", gpu=litert.GpuOptions(device="some"))


def test_comparison_is_done_again_for_another_content(machine: Machine, model_path: Path) -> None:
    content = model_path.read_bytes()
    for source in (model_path, content + b"\0", content):
        chosen(source, accelerator="gpu")
    assert machine.num_compared == 2


def test_comparison_is_done_again_with_another_release(
    machine: Machine, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(model_path, accelerator="gpu")
    other = dataclasses.replace(litert.library_info(), version="2.99.0")
    monkeypatch.setattr(verdicts, "library_info", lambda: other)
    chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 2


def test_comparison_is_done_again_with_other_instructions(
    machine: Machine, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenVINO's CPU device computes 8-bit models wrongly with some of these.
    for instructions in ("AVX512_CORE_VNNI", "AVX2", "AVX512_CORE_VNNI"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", instructions)
        chosen(model_path, accelerator="npu")
    assert machine.num_compared == 2
    monkeypatch.setattr(verdicts, "cpu_features", lambda: ["avx2"])
    chosen(model_path, accelerator="npu")
    assert machine.num_compared == 3


def test_pipe_in_place_of_what_is_kept_is_not_waited_for(
    machine: Machine, model_path: Path, cache: Path
) -> None:
    chosen(model_path, accelerator="gpu")
    (kept,) = cache.glob("checked-*")
    kept.unlink()
    os.mkfifo(kept)
    chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 2


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


@pytest.mark.parametrize("gpu", [0.5, 2.0])
def test_auto_measures_once(machine: Machine, model_path: Path, gpu: float) -> None:
    machine.seconds["gpu"] = gpu
    first = chosen(model_path, accelerator="auto")
    assert machine.timed == ["cpu", "gpu", "npu"]
    assert chosen(model_path, accelerator="auto") == first
    assert machine.timed == ["cpu", "gpu", "npu"]


def test_auto_knows_a_model_by_its_content(machine: Machine, model_path: Path) -> None:
    chosen(model_path, accelerator="auto")
    chosen(model_path.read_bytes(), accelerator="auto")
    assert len(machine.timed) == 3


def test_auto_measures_another_content_anew(
    machine: Machine, model_path: Path, tmp_path: Path
) -> None:
    chosen(model_path, accelerator="auto")
    other = tmp_path / model_path.name
    other.write_bytes(model_path.read_bytes() + b"\0")
    chosen(other, accelerator="auto")
    assert len(machine.timed) == 6


@pytest.mark.parametrize(
    "options",
    [{"gpu": litert.GpuOptions(precision="fp16")}, {"strict": True}],
)
def test_auto_measures_other_options_anew(
    machine: Machine, model_path: Path, options: dict[str, Any]
) -> None:
    chosen(model_path, accelerator="auto")
    chosen(model_path, accelerator="auto", **options)
    assert len(machine.timed) == 6


@pytest.mark.parametrize("cpu", [litert.CpuOptions(num_threads=1, kernels="builtin")])
def test_auto_measures_other_options_of_the_cpu_anew(
    machine: Machine, model_path: Path, cpu: litert.CpuOptions
) -> None:
    chosen(model_path, accelerator="auto")
    chosen(model_path, accelerator="auto", cpu=cpu)
    assert len(machine.timed) == 6


def test_auto_measures_another_device_anew(machine: Machine, model_path: Path) -> None:
    chosen(model_path, accelerator="auto")
    machine.devices["gpu"] = "Another GPU"
    chosen(model_path, accelerator="auto")
    assert len(machine.timed) == 6


def test_auto_measures_another_release_of_the_library_anew(
    machine: Machine, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(model_path, accelerator="auto")
    other = dataclasses.replace(litert.library_info(), version="2.99.0")
    monkeypatch.setattr(verdicts, "library_info", lambda: other)
    chosen(model_path, accelerator="auto")
    assert len(machine.timed) == 6


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b'"cpu"',
        b'{"accelerator": "cpu"}',
        b'{"accelerator": "cpu", "reasons": "none"}',
        b'{"accelerator": "tpu", "reasons": []}',
        b'{"accelerator": ["gpu"], "reasons": []}',
        b'{"reasons": []}',
        b'{"accelerator": "cpu", "reasons": [',
        b"[" * 60000,
    ],
)
def test_auto_measures_anew_where_what_is_kept_is_damaged(
    machine: Machine, model_path: Path, cache: Path, content: bytes
) -> None:
    chosen(model_path, accelerator="auto")
    for kept in cache.glob("checked-*"):
        if "reasons" in json.loads(kept.read_text()):
            kept.write_bytes(content)
    assert chosen(model_path, accelerator="auto")[0] == "cpu"
    assert len(machine.timed) == 6


def test_auto_measures_anew_where_the_fastest_no_longer_works(
    machine: Machine, model_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine.seconds["gpu"] = 0.5
    chosen(model_path, accelerator="auto")
    machine.problems["gpu"] = litert.ModelError("status 3", status=3)
    assert chosen(model_path, accelerator="auto")[0] == "cpu"
    assert "no longer as it was measured: accelerator 'gpu': the model does not" in caplog.text


def test_auto_without_a_folder_to_remember_in_measures_every_time(
    machine: Machine, model_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.write_text("a file in the folder's place")
    machine.seconds["gpu"] = 0.5
    with caplog.at_level(logging.INFO, "litert"):
        for _ in range(2):
            assert chosen(model_path, accelerator="auto")[0] == "gpu"
    assert len(machine.timed) == 6
    assert f"{cache}: nothing is kept of the trial runs" in caplog.text


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
