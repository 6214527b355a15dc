"""``model.placement``: which operators run where, and why not elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

import litert

pytest.importorskip("flatbuffers", reason="building a model needs the flatbuffers package")
pytest.importorskip("ai_edge_litert", reason="needs the schema")

from data.model_kinds import accelerated


def test_float_model_is_on_xnnpack_alone(data: Path) -> None:
    with litert.Model(data / "mlp.tflite") as model:
        placement = model.placement

    assert placement.accelerator == "cpu"
    assert placement.placed == (litert.PlacedOperators("cpu", "XNNPACK", 3, 1.0),)
    assert placement.is_fully_accelerated
    assert placement.reasons == ()


def test_operators_that_xnnpack_lacks_are_told_with_the_reason(data: Path) -> None:
    with litert.Model(data / "int16x8_dense.tflite") as model:
        placement = model.placement

    assert placement.placed == (litert.PlacedOperators("cpu", "builtin", 1, 1.0),)
    assert not placement.is_fully_accelerated
    assert placement.reasons == (
        "the only operator on builtin kernels: XNNPACK has no int16 kernels",
    )


def test_model_on_both_kernels_is_told_with_both(data: Path) -> None:
    with litert.Model(data / "kv_step.tflite") as model:
        placed = model.placement.placed

    assert [one.kernels for one in placed] == ["XNNPACK", "builtin"]
    assert sum(one.share or 0.0 for one in placed) == pytest.approx(1.0)


def test_operators_of_both_branches_are_counted(data: Path) -> None:
    with litert.Model(data / "if_else.tflite") as model:
        placed = model.placement.placed

    assert [(one.kernels, one.num_operators) for one in placed] == [("XNNPACK", 2), ("builtin", 1)]


def test_branch_that_no_run_enters_is_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litert.accelerate.builtin_kernels._NUM_BRANCHING_RUNS", 1)
    with litert.Model(data / "if_else.tflite") as model:
        placement = model.placement

    placed = [(one.kernels, one.num_operators) for one in placement.placed]
    assert placed == [("XNNPACK", 1), ("builtin", 1), ("XNNPACK or builtin", 1)]
    assert not placement.is_fully_accelerated
    assert placement.reasons[-1] == "no run on random values has come to 1 MUL"


def test_builtin_kernels_that_were_chosen_are_the_reason(data: Path) -> None:
    with litert.Model(data / "mlp.tflite", cpu=litert.CpuOptions(kernels="builtin")) as model:
        placement = model.placement

    assert placement.placed == (litert.PlacedOperators("cpu", "builtin", 3, 1.0),)
    assert not placement.is_fully_accelerated
    assert placement.reasons == ("chosen by kernels='builtin'",)


def test_model_from_bytes_has_a_placement(data: Path) -> None:
    with litert.Model((data / "mlp.tflite").read_bytes()) as model:
        assert model.placement.is_fully_accelerated


def test_placement_reads_as_text(data: Path) -> None:
    with litert.Model(data / "mlp.tflite") as model:
        assert str(model.placement) == "cpu (XNNPACK): 3 operators, 100%"


def test_placement_is_made_once(data: Path) -> None:
    with litert.Model(data / "mlp.tflite") as model:
        assert model.placement is model.placement


def test_reference_backend_has_no_placement(data: Path) -> None:
    with (
        litert.Model(data / "mlp.tflite", backend="reference") as model,
        pytest.raises(litert.UnsupportedModelError, match="placement needs the native backend"),
    ):
        _ = model.placement


def test_placement_of_a_closed_model_raises(data: Path) -> None:
    model = litert.Model(data / "mlp.tflite")
    model.close()

    with pytest.raises(litert.ClosedError, match="the model is closed"):
        _ = model.placement


def test_refused_accelerator_is_a_reason(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_DRIVER_FILES", "/no/driver.json")

    with litert.Model(data / "mlp.tflite", accelerator=("gpu", "cpu")) as model:
        placement = model.placement

    assert placement.accelerator == "cpu"
    assert placement.is_fully_accelerated
    assert "accelerator 'gpu' is not available: no Vulkan" in placement.reasons[0]


def test_model_on_the_gpu_is_fully_there(data: Path, software_gpu: Path) -> None:
    with litert.Model(data / "conv.tflite", accelerator="gpu") as model:
        placement = model.placement

    assert placement.accelerator == "gpu"
    assert placement.placed == (litert.PlacedOperators("gpu", "WebGPU", 3, 1.0),)
    assert placement.is_fully_accelerated


def test_all_signatures_count() -> None:
    with litert.Model(accelerated.two_signatures().to_bytes()) as model:
        placement = model.placement

    assert placement.placed == (
        litert.PlacedOperators("cpu", "XNNPACK", 3, 0.75),
        litert.PlacedOperators("cpu", "builtin", 1, 0.25),
    )
    assert not placement.is_fully_accelerated


def test_model_that_takes_no_random_values_says_so() -> None:
    with litert.Model(accelerated.only_row().to_bytes(), backend="native") as model:
        placement = model.placement

    assert placement.placed == (litert.PlacedOperators("cpu", "XNNPACK or builtin", None, None),)
    assert not placement.is_fully_accelerated
    assert "a trial run on random values fails" in placement.reasons[0]


def test_signature_that_the_gpu_takes_whole_counts(software_gpu: Path) -> None:
    with litert.Model(accelerated.two_signatures().to_bytes(), accelerator="gpu") as model:
        placement = model.placement

    assert placement.placed == (
        litert.PlacedOperators("gpu", "WebGPU", 2, 0.5),
        litert.PlacedOperators("cpu", "XNNPACK or builtin", 2, 0.5),
    )


def test_signature_that_the_gpu_refuses_leaves_it_the_others(software_gpu: Path) -> None:
    with litert.Model(accelerated.int64_beside_conv().to_bytes(), accelerator="gpu") as model:
        placement = model.placement

    assert [one.num_operators for one in placement.placed] == [1, 1]
    assert placement.reasons[-1].startswith("1 ADD: ")


def test_model_without_operators_says_so(data: Path) -> None:
    with litert.Model(data / "only_passthrough.tflite") as model:
        assert str(model.placement) == "cpu: no operators"
