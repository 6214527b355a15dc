"""What trial runs have found out: kept as long as all is the same that it depends on."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import litert
from litert.accelerate import verdicts
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


# Equal results


def test_comparison_is_remembered(machine: Machine, model_path: Path) -> None:
    for _ in range(2):
        chosen(model_path, accelerator="gpu")
    assert machine.num_compared == 1


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


# The fastest


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
