"""``--compare`` with files: variants of one model side by side, and why one of them is slow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from litert import OptionError, Signature, SignatureError, TensorInfo
from litert.agreement import agreement, fitted, pair, real_values
from litert.benchmark import main as benchmark_main
from litert.cli.compare import settle_compare
from litert.cli.comparison_text import comparison_table, cut_middle
from litert.cli.main import main
from litert.comparison import NUM_INPUTS, Variant, compare_variants
from litert.peak_memory import measure_peak_memory
from litert.tensor_info import Quantization

QUICK = ("--runs", "5", "--warmup", "1")
on_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="there is no /proc to measure memory by"
)


def compared(data: Path, *names: str) -> list[Variant]:
    return compare_variants([str(data / f"{name}.tflite") for name in names], num_runs=3)


def one_input(info: TensorInfo) -> Signature:
    return Signature("main", {info.name: info}, {"y": TensorInfo("y", (1, 2), "float32")})


def test_model_compared_with_itself_agrees_in_everything(data):
    first, second = compared(data, "mlp", "mlp")
    assert first.agreement is None
    assert first.time_ratio == 1
    assert second.agreement is not None
    assert second.agreement.difference == 0
    assert second.agreement.cosine == pytest.approx(1)
    assert second.agreement.num_same_top == second.agreement.num_inputs == NUM_INPUTS
    assert second.latency.median_us > 0


def test_variants_of_other_weights_differ(data):
    first, second, third = compared(
        data, "int8_dynamic_dense", "int4_weights_dense", "int2_weights_dense"
    )
    assert first.size_bytes > second.size_bytes > third.size_bytes
    for variant in (second, third):
        assert variant.agreement is not None
        assert variant.agreement.difference > 0.01
        assert variant.agreement.cosine < 0.999


def test_quantized_variants_are_compared_as_real_numbers(data):
    _, unsigned = compared(data, "int8_add", "uint8_add")
    assert unsigned.agreement is not None
    # Their zero points are 127 steps apart; the values that these stand for are one at most.
    assert unsigned.agreement.difference < 0.02


def test_float_variant_is_compared_with_a_quantized_one(data):
    _, quantized = compared(data, "float16_weights_dense", "int16x8_dense")
    assert quantized.agreement is not None
    assert math.isfinite(quantized.agreement.difference)


def test_builtin_kernels_are_told_with_the_reason(data):
    delegated, _ = compared(data, "mlp", "mlp")
    assert delegated.builtin is not None
    assert not delegated.builtin.counts
    _, left = compared(data, "float16_weights_dense", "int16x8_dense")
    assert left.builtin is not None
    assert left.builtin.counts == {"FULLY_CONNECTED": 1}
    assert left.builtin.reason == "XNNPACK has no int16 kernels"
    assert "the only operator on builtin kernels: XNNPACK has no int16 kernels" in left.note


def test_operators_of_a_loop_are_counted_once(data):
    looped, _ = compared(data, "while_loop", "while_loop")
    assert looped.builtin is not None
    assert looped.builtin.counts["WHILE"] == 1
    assert sum(looped.builtin.counts.values()) <= looped.builtin.num_operators
    assert 0 <= looped.builtin.time_share <= 1


def test_reference_backend_is_noted(data):
    first, _ = compared(data, "copy_string", "copy_string")
    assert first.builtin is None
    assert first.note == "on the reference backend: string tensor 'x'"


def test_slow_mobilenets_say_which_operators_are_left(shared_model):
    paths = [
        str(shared_model(f"mobilenet/mobilenet_v2_1.0_224_{precision}.tflite"))
        for precision in ("f32", "int8_dynamic", "int4_weights")
    ]
    single, dynamic, small = compare_variants(paths, num_runs=2, num_warmup=1)
    assert single.note == ""
    assert "17 of 66 operators on builtin kernels" in dynamic.note
    assert "DEPTHWISE_CONV_2D of float32 values with int8 weights" in dynamic.note
    assert "72 of 102 operators on builtin kernels" in small.note
    assert "int4 weights out of a DEQUANTIZE" in small.note
    assert max(map(len, comparison_table([single, dynamic, small]))) <= 80


@on_linux
def test_peak_memory_is_that_of_the_model_alone(data, shared_model):
    small = compared(data, "mlp", "mlp")[0].peak_memory_bytes
    path = shared_model("mobilenet/mobilenet_v2_1.0_224_f32.tflite")
    large = measure_peak_memory(path, signature="serving_default", num_threads=1, backend="native")
    assert small is not None
    assert large is not None
    assert small < path.stat().st_size < large < 100 * 2**20


def test_peak_memory_without_proc_is_not_available(data, monkeypatch):
    monkeypatch.setattr("litert.peak_memory._STATUS", data / "missing")
    variants = compared(data, "mlp", "mlp")
    assert variants[0].peak_memory_bytes is None
    assert "n/a" in list(comparison_table(variants))[1]


def test_peak_memory_of_a_model_that_fails_is_not_available(data):
    assert (
        measure_peak_memory(
            data / "invalid_garbage.tflite", signature="main", num_threads=1, backend="native"
        )
        is None
    )


def test_table_fits_eighty_columns_with_long_names(data, tmp_path, capsys):
    paths = [tmp_path / f"{'a_long_name_' * 8}{end}.tflite" for end in ("one", "other")]
    for path in paths:
        path.write_bytes((data / "int16x8_dense.tflite").read_bytes())
    assert main(["benchmark", "--compare", *map(str, paths), *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 80
    header = next(line for line in lines if "median" in line)
    assert header.split()[:3] == ["model", "size", "median,"]
    rows = [line.split() for line in lines if line.startswith(("1  a", "2  a"))]
    assert [row[1].endswith(end) for row, end in zip(rows, ("_one", "_other"), strict=True)]
    assert [row[1].count("…") for row in rows] == [1, 1]


def test_json_has_every_variant(data, capsys):
    model, other = (str(data / f"{name}.tflite") for name in ("mlp", "../data/mlp"))
    assert main(["benchmark", model, "--compare", other, *QUICK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["num_threads"], told["num_runs"]) == (1, 5)
    assert [variant["path"] for variant in told["variants"]] == [model, other]
    assert told["variants"][0]["agreement"] is None
    assert told["variants"][1]["agreement"]["num_same_top"] == NUM_INPUTS
    assert told["variants"][1]["latency"]["median_us"] > 0


def test_json_has_null_for_what_has_no_number(data, capsys):
    path = str(data / "copy_string.tflite")
    assert benchmark_main(["--compare", path, path, *QUICK, "--json"]) == 0
    agreed = json.loads(capsys.readouterr().out)["variants"][1]["agreement"]
    assert (agreed["difference"], agreed["cosine"], agreed["num_same_top"]) == (0, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--compare", "mlp"), "expected two files or more, got only"),
        (("mlp", "--compare", "missing"), "missing.tflite': no such file"),
        (("mlp", "--compare", "invalid_garbage"), "expected a .tflite model"),
        (("mlp", "--compare", "kv_step"), "kv_step.tflite' has"),
        (("mlp", "--compare", "int8_dynamic_dense"), "is float32[1, 64], but 'x' of"),
        (("copy_int32", "--compare", "copy_float32"), "compare variants of one model"),
        (("mlp", "--compare", "mlp", "--profile"), "--profile: has no meaning with --compare"),
        (("mlp", "--compare", "mlp", "-n", "4"), "-n: has no meaning here"),
        (("mlp", "--compare", "mlp", "--signature", "other"), "unknown signature 'other'"),
    ],
)
def test_what_cannot_be_compared_is_one_line_and_status_1(data, capsys, arguments, message):
    paths = [
        argument
        if argument[0] == "-" or argument in ("4", "other")
        else f"{data}/{argument}.tflite"
        for argument in arguments
    ]
    assert main(["benchmark", *paths]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_language_model_among_the_files_raises(data):
    from litert.samples import speller_model_path

    with pytest.raises(OptionError, match="is a language model"):
        compare_variants([str(data / "mlp.tflite"), str(speller_model_path())])


def test_signature_that_only_the_first_has_raises(data):
    paths = [str(data / "mlp.tflite"), str(data / "add.tflite")]
    with pytest.raises(OptionError, match=r"has no signature 'serving_default'; it has 'add'"):
        compare_variants(paths, signature="serving_default")
    with pytest.raises(SignatureError, match="unknown signature 'add'"):
        compare_variants(paths, signature="add")


@pytest.mark.parametrize(
    ("model", "compare", "expected"),
    [
        (None, None, (None, [])),
        ("a", None, ("a", [])),
        ("a", ["reference"], ("a", [])),
        (None, ["reference"], (None, [])),
        (None, ["reference", "a"], ("a", [])),
        (None, ["a"], ("a", ["a"])),
        (None, ["a", "b"], ("a", ["a", "b"])),
        ("a", ["b", "./reference"], ("a", ["a", "b", "./reference"])),
    ],
)
def test_compare_takes_the_reference_or_files(model, compare, expected):
    assert settle_compare(model, compare) == expected


@pytest.mark.parametrize(
    ("model", "compare"),
    [("a", ["reference", "b"]), (None, ["a", "reference"]), ("a", ["reference", "reference"])],
)
def test_reference_among_files_raises(model, compare):
    with pytest.raises(OptionError, match=r"a file of that name is \./reference"):
        settle_compare(model, compare)


@pytest.mark.parametrize("program", [benchmark_main, lambda given: main(["benchmark", *given])])
@pytest.mark.parametrize("arguments", [(), ("--compare", "reference"), ("--compare",)])
def test_missing_model_is_wrong_usage(program: Callable[..., int], arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        program(list(arguments))
    assert "usage:" in capsys.readouterr().err


def test_tensors_of_other_names_are_paired_by_position():
    first = one_input(TensorInfo("image", (1, 4), "float32"))
    second = one_input(TensorInfo("args_0", (-1, 4), "int8", Quantization(0.5, 1)))
    found = pair(first, second, "a", "b")
    assert found.inputs == {"image": "args_0"}
    assert found.outputs == {"y": "y"}


def test_tensors_in_another_order_are_paired_by_name():
    infos = [TensorInfo(name, (2,), "float32") for name in "xy"]
    first, second = (
        Signature("main", {info.name: info for info in ordered}, {})
        for ordered in (infos, infos[::-1])
    )
    assert pair(first, second, "a", "b").inputs == {"x": "x", "y": "y"}


def test_float_and_unquantized_integer_do_not_fit():
    first = one_input(TensorInfo("x", (1, 4), "float32"))
    second = one_input(TensorInfo("x", (1, 4), "uint8"))
    with pytest.raises(OptionError, match=r"'x' of 'b' is uint8\[1, 4\], but 'x' of 'a' is float"):
        pair(first, second, "a", "b")


def test_real_values_fit_a_quantized_tensor():
    info = TensorInfo("x", (3,), "int8", Quantization(0.5, 1))
    quantized = fitted(info, np.array([0.0, 1.0, 100.0], np.float32))
    assert quantized.tolist() == [1, 3, 127]
    assert real_values(info, quantized).tolist() == [0, 1, 63]


def test_agreement_of_known_outputs():
    first = [{"y": np.array([[0.0, 4.0]])}, {"y": np.array([[2.0, 0.0]])}]
    second = [{"z": np.array([[0.0, 3.0]])}, {"z": np.array([[0.0, 1.0]])}]
    agreed = agreement(first, second, {"y": "z"})
    assert agreed.num_inputs == 2
    assert agreed.difference == 0.5
    assert agreed.cosine == pytest.approx(12 / math.sqrt(20 * 10))
    assert agreed.num_same_top == 1


def test_scores_that_share_the_top_count_as_the_same():
    first, second = [{"y": np.array([[1.0, 3.0, 0.0]])}], [{"y": np.array([[3.0, 3.0, 0.0]])}]
    assert agreement(first, second, {"y": "y"}).num_same_top == 1


def test_nan_in_one_output_alone_is_an_infinite_difference():
    first, second = [{"y": np.array([1.0, 2.0])}], [{"y": np.array([1.0, np.nan])}]
    assert agreement(first, second, {"y": "y"}).difference == math.inf
    assert agreement(second, second, {"y": "y"}).difference == 0


def test_outputs_of_other_shapes_raise():
    first, second = [{"y": np.zeros(2)}], [{"y": np.zeros(3)}]
    with pytest.raises(OptionError, match=r"came out as \[3\], but 'y' of the first file as \[2\]"):
        agreement(first, second, {"y": "y"})


@pytest.mark.parametrize(
    ("columns", "expected"), [(20, "mobilenet_int8"), (14, "mobilenet_int8"), (9, "m…et_int8")]
)
def test_long_name_is_cut_in_the_middle(columns, expected):
    assert cut_middle("mobilenet_int8", columns) == expected
