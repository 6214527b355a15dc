"""``Model.profile``: what is recorded inside the block."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import litert
from in_threads import in_threads
from profiled_runs import ONES, SUMMANDS, loop_inputs, profiled

pytest.importorskip("litert._native", reason="needs the extension module")

HAS_PROC = Path("/proc/self/status").exists()


@pytest.fixture
def adder(data):
    with litert.Model(data / "add.tflite") as model:
        yield model


def image(dtype: str) -> Any:
    return np.random.default_rng(0).integers(0, 2, (1, 224, 224, 3)).astype(dtype)


# What is recorded


def test_profile_has_the_operator_and_its_kernels(adder):
    with adder.profile() as profile:
        for _ in range(3):
            adder.run(SUMMANDS)
    (operator,) = profile.operators
    assert dataclasses.astuple(operator)[:7] == ("Add (ND)", "XNNPACK", 0, 0, 0, 0, 1)
    assert profile.num_runs == len(profile.runs_us) == 3
    assert 0 <= operator.min_us <= operator.mean_us <= operator.max_us <= max(profile.runs_us)


def test_results_inside_the_block_are_those_outside(data):
    x = np.linspace(-1, 1, 8, dtype=np.float32)[None]
    with litert.Model(data / "mlp.tflite") as model:
        outside = model.run(x)
        with model.profile():
            inside = model.run(x)
        again = model.run(x)
    for name, array in outside.items():
        assert array.tobytes() == inside[name].tobytes() == again[name].tobytes()


def test_model_of_bytes_is_profiled(data):
    content = (data / "add.tflite").read_bytes()
    with litert.Model(content) as model, model.profile() as profile:
        model.run(SUMMANDS)
    assert [operator.name for operator in profile.operators] == ["Add (ND)"]


def test_options_of_the_model_are_kept(data):
    cpu = litert.CpuOptions(num_threads=2, kernels="builtin")
    profile = profiled(data / "add.tflite", SUMMANDS, cpu=cpu)
    (operator,) = profile.operators
    assert (operator.name, operator.kernels, operator.partition) == ("ADD", "builtin", None)
    assert profile.num_threads == 2


def test_file_replaced_since_loading_does_not_matter(data, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes((data / "add.tflite").read_bytes())
    with litert.Model(path) as model:
        path.unlink()
        with model.profile() as profile:
            model.run(SUMMANDS)
    assert profile.num_runs == 1


def test_warmup_runs_do_not_count(adder):
    with adder.profile(num_warmup_runs=2) as profile:
        for _ in range(5):
            adder.run(SUMMANDS)
    assert profile.num_runs == 3


def test_runs_after_the_block_are_not_recorded(adder):
    with adder.profile() as profile:
        adder.run(SUMMANDS)
    adder.run(SUMMANDS)
    assert profile.num_runs == 1


def test_runs_of_a_runner_bound_inside_are_recorded(adder):
    with adder.profile() as profile:
        runner = adder.bind("add")
        for _ in range(4):
            runner.run()
    assert profile.num_runs == 4


def test_runner_bound_inside_ends_with_the_block(adder):
    with adder.profile():
        runner = adder.bind("add")
    with pytest.raises(litert.ClosedError, match="closed"):
        runner.run()
    runner.close()


def test_runner_bound_before_is_not_recorded_and_stays(adder):
    runner = adder.bind("add")
    with adder.profile() as profile:
        runner.run()
    runner.run()
    assert profile.num_runs == 0


def test_runs_of_other_threads_are_recorded(adder):
    with adder.profile() as profile:
        in_threads(lambda _: [adder.run(SUMMANDS) for _ in range(10)], num_threads=4)
    assert profile.num_runs == 40


def test_runs_of_other_threads_go_on_over_the_end_of_the_block(adder):
    """A thread may have the profiled model in hand when the block ends."""
    is_over = threading.Event()

    def run_on(number: int) -> int:
        if number == 0:
            for _ in range(20):
                with adder.profile():
                    adder.run(SUMMANDS)
            is_over.set()
            return 0
        count = 0
        while not is_over.is_set():
            assert adder.run(SUMMANDS, signature="add")["sum"][0, 0] == 2
            adder.run(SUMMANDS)
            count += 1
        return count

    assert min(in_threads(run_on, num_threads=3)[1:]) > 0


def test_two_signatures_are_told_apart(adder):
    with adder.profile() as profile:
        adder.run(SUMMANDS)
        adder.run(SUMMANDS)
        adder.run(ONES, signature="scale")
        adder.run(ONES, signature="scale")
    rows = {(one.name, one.subgraph): one.num_calls for one in profile.operators}
    assert rows == {("Add (ND)", 0): 0.5, ("Multiply (ND)", 1): 0.5}


def test_operators_of_a_loop_are_counted_each_call(data):
    cpu = litert.CpuOptions(kernels="builtin")
    profile = profiled(data / "slow_loop.tflite", loop_inputs(3), cpu=cpu)
    calls = {operator.name: operator.num_calls for operator in profile.operators}
    assert (calls["WHILE"], calls["GREATER"], calls["TANH"]) == (1, 4, 3)


def test_time_of_a_loop_is_without_that_of_its_body(data):
    profile = profiled(data / "slow_loop.tflite", loop_inputs(100))
    assert sum(operator.run_us for operator in profile.operators) <= profile.run_us
    shares = [row.share for row in profile.placement]
    assert sum(shares) == pytest.approx(1)
    times = [operator.run_us for operator in profile.operators]
    assert times == sorted(times, reverse=True)


def test_operators_of_several_parts_on_xnnpack_are_told_apart(shared_model):
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_int8_dynamic.tflite")
    with litert.Model(path) as model:
        (name,) = next(iter(model.signatures.values())).inputs
        with model.profile() as profile:
            model.run({name: image("float32")})
    on_xnnpack, on_builtin, _ = profile.placement
    assert (on_xnnpack.num_operators, on_builtin.num_operators) == (50, 17)
    assert {one.name for one in profile.operators if one.kernels == "builtin"} == {
        "DEPTHWISE_CONV_2D"
    }
    assert {one.num_calls for one in profile.operators} == {1}
    assert len({one.partition for one in profile.operators if one.partition is not None}) == 18


@pytest.mark.parametrize(
    ("variant", "expected"), [("f32", (66, 0)), ("int8", (65, 1)), ("int16x8", (0, 66))]
)
def test_placement_of_mobilenet(shared_model, variant, expected):
    with litert.Model(shared_model(f"mobilenet/mobilenet_v2_1.0_224_{variant}.tflite")) as model:
        (info,) = next(iter(model.signatures.values())).inputs.values()
        with model.profile() as profile:
            model.run({info.name: image(info.dtype.name)})
    assert tuple(row.num_operators for row in profile.placement)[:2] == expected


def test_kinds_sum_up_their_operators(data):
    profile = profiled(data / "mlp.tflite", {"x": np.zeros((1, 8), np.float32)})
    dense = next(kind for kind in profile.by_kind if kind.name.startswith("Fully Connected"))
    assert (dense.kernels, dense.num_operators, dense.num_calls) == ("XNNPACK", 2, 2)
    assert sum(kind.run_us for kind in profile.by_kind) == pytest.approx(
        sum(operator.run_us for operator in profile.operators)
    )


@pytest.mark.skipif(not HAS_PROC, reason="memory is read from /proc")
def test_memory_is_told_before_after_and_at_most(adder):
    with adder.profile() as profile:
        adder.run(SUMMANDS)
    memory = profile.memory
    assert 2**20 < memory.before_bytes <= memory.peak_bytes
    assert memory.after_bytes <= memory.peak_bytes


@pytest.mark.skipif(not HAS_PROC, reason="memory is read from /proc")
def test_memory_goes_back_at_the_end(adder):
    before = []
    for _ in range(4):
        with adder.profile() as profile:
            adder.run(SUMMANDS)
        before.append(profile.memory.before_bytes)
    assert before[3] - before[1] < 20e6


# The block


def test_block_that_raises_leaves_the_model_as_it_was(adder):
    adder.run(SUMMANDS)
    backend_model, fast = adder._backend_model, adder._fast
    taken = []

    def fail_inside() -> None:
        with adder.profile() as profile:
            taken.append(profile)
            adder.run(SUMMANDS)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail_inside()
    assert (adder._backend_model, adder._fast) == (backend_model, fast)
    assert taken[0].num_runs == 1
    assert adder.run(SUMMANDS)["sum"][0, 0] == 2


def test_second_block_inside_is_refused(adder):
    with adder.profile() as profile:
        with pytest.raises(litert.ExecutionError, match="already"), adder.profile():
            pass
        adder.run(SUMMANDS)
    assert profile.num_runs == 1


def test_second_block_after_the_first_has_its_own_runs(adder):
    with adder.profile():
        adder.run(SUMMANDS)
    with adder.profile() as profile:
        adder.run(SUMMANDS)
        adder.run(SUMMANDS)
    assert profile.num_runs == 2


def test_model_closed_inside_keeps_what_was_recorded(data):
    model = litert.Model(data / "add.tflite")
    with model.profile() as profile:
        model.run(SUMMANDS)
        model.close()
        with pytest.raises(litert.ClosedError, match="closed"):
            model.run(SUMMANDS)
    assert profile.num_runs == 1
    with pytest.raises(litert.ClosedError, match="closed"):
        model.run(SUMMANDS)


def test_runner_from_before_ends_with_a_model_closed_inside(data):
    model = litert.Model(data / "add.tflite")
    runner = model.bind("add")
    with model.profile():
        model.close()
    with pytest.raises(litert.ClosedError, match="closed"):
        runner.run()


def test_model_closed_inside_waits_for_a_run_under_way(data):
    model = litert.Model(data / "slow_loop.tflite")
    results = []
    has_begun = threading.Event()

    def run() -> None:
        model.run(loop_inputs(1))
        has_begun.set()
        results.append(model.run(loop_inputs(5000))["n_out"])

    with model.profile() as profile:
        thread = threading.Thread(target=run)
        thread.start()
        has_begun.wait()
        time.sleep(0.02)  # the run takes some hundreds of milliseconds
        model.close()
        thread.join()
    assert profile.num_runs == 2 or profile.is_full  # release 2.1.6 keeps few events
    assert results[0][0] == 0


def test_runner_that_runs_at_the_end_of_the_block_ends_after_it(data):
    with litert.Model(data / "slow_loop.tflite") as model:
        with model.profile() as profile:
            runner = model.bind()
            runner.inputs["n"][...] = 5000
            thread = threading.Thread(target=runner.run)
            thread.start()
            time.sleep(0.05)  # the run takes some hundreds of milliseconds
        thread.join()
        assert profile.num_runs == 1 or profile.is_full  # release 2.1.6 keeps few events
        assert runner.outputs["n_out"][0] == 0
        with pytest.raises(litert.ClosedError, match="closed"):
            runner.run()


def test_failed_and_refused_runs_do_not_count(adder):
    with adder.profile() as profile:
        with pytest.raises(litert.TensorShapeError, match="expected"):
            adder.run({"x": ONES, "y": ONES[:, :3]})
        adder.run(SUMMANDS)
    assert profile.num_runs == 1


def test_profile_on_the_reference_backend_says_why_not(data):
    pytest.importorskip("ai_edge_litert")
    with (
        litert.Model(data / "add.tflite", backend="reference") as model,
        pytest.raises(litert.UnsupportedModelError, match="chosen by backend='reference'"),
    ):
        model.profile()


def test_profile_of_a_closed_model_raises(data):
    model = litert.Model(data / "add.tflite")
    model.close()
    with pytest.raises(litert.ClosedError, match="closed"):
        model.profile()


@pytest.mark.parametrize("count", [-1, 1.5, True])
def test_warmup_that_is_no_count_is_refused(adder, count):
    with pytest.raises(litert.OptionError, match="num_warmup_runs"):
        adder.profile(num_warmup_runs=count)


@pytest.mark.parametrize(
    "ask",
    [
        lambda profile: profile.num_runs,
        lambda profile: profile.operators,
        lambda profile: profile.by_kind,
        lambda profile: profile.memory,
        lambda profile: profile.table(),
        lambda profile: profile.to_json(),
        lambda profile: profile.to_chrome_trace(),
        lambda profile: profile.plot("a.png"),
    ],
)
def test_profile_before_the_end_of_the_block_has_no_numbers(adder, ask):
    with (
        adder.profile() as profile,
        pytest.raises(litert.ExecutionError, match="leave the block"),
    ):
        ask(profile)
    assert "runs=0" in repr(profile)
