"""What the Python checks refuse, the native core refuses too, and says the same.

The rules stand twice, in Python for the reference backend and in C++ for the native one. Models
that a check refuses can end the process where the library gets them: they are opened in another.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import litert
from fuzz_models import damage
from litert.data_flow_check import find_broken_data_flow
from litert.model_file import read_model
from litert.naming import unique_names
from litert.quantization_check import find_fatal_quantization

test_quantization_check: Any = pytest.importorskip("test_quantization_check")
test_data_flow_check: Any = pytest.importorskip("test_data_flow_check")
schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")

load, pack = test_data_flow_check.load, test_data_flow_check.pack

_OPEN = """
import json, sys
import litert
from litert.backends.native import NativeModel
from litert.options import CpuOptions
for path in sys.argv[1:]:
    try:
        NativeModel.open(path, CpuOptions(), None).close()
        print(json.dumps(["opened", path]), flush=True)
    except litert.LiteRTError as err:
        print(json.dumps([type(err).__name__, str(err)]), flush=True)
"""


def native_errors(models: Mapping[str, bytes], folder: Path) -> dict[str, tuple[str, str]]:
    """Open the models in another process; return each one's error class and text."""
    paths = []
    for number, data in enumerate(models.values()):
        paths.append(folder / f"{number}.tflite")
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    answers = [tuple(json.loads(line)) for line in done.stdout.splitlines()]
    names = list(models)
    assert len(answers) == len(names), f"{names[len(answers)]} ended the process: {done.stderr}"
    return dict(zip(names, answers, strict=True))


def python_error(data: bytes) -> tuple[str, str] | None:
    """Return the error class and text that the Python checks have for a model."""
    try:
        model = read_model(data)
    except litert.FileFormatError:
        return None  # no matter of these checks
    fault = find_fatal_quantization(data, model)
    if fault is not None:
        return "UnsupportedModelError", fault
    fault = find_broken_data_flow(model)
    return None if fault is None else ("FileFormatError", f"damaged model: {fault}")


def is_refused_before(error: tuple[str, str]) -> bool:
    """Return whether the core had a reason before it came to these checks."""
    name, text = error
    earlier = r"damaged model: the library's verifier|expected schema version|damaged model: tensor"
    return name == "FileFormatError" and re.match(earlier, text) is not None


def comparable(error: tuple[str, str]) -> tuple[str, str]:
    """Leave out what the two sides may write in their own ways: operators' and tensors' names."""
    name, text = error
    text = re.sub(r"^operator \S+ \(", "operator (", text)
    return name, re.sub(r"^tensor .*?( in subgraph \d+: )", r"tensor\1", text, flags=re.DOTALL)


def disagreements(models: Mapping[str, bytes], folder: Path) -> tuple[int, list[Any]]:
    """Compare the models that Python refuses; return how many the checks met, and the others."""
    refused = {name: error for name, data in models.items() if (error := python_error(data))}
    errors = native_errors({name: models[name] for name in refused}, folder)
    compared = {name: error for name, error in errors.items() if not is_refused_before(error)}
    different = [
        (name, refused[name], error)
        for name, error in compared.items()
        if comparable(refused[name]) != comparable(error)
    ]
    return len(compared), different


BLOCKWISE: tuple[dict[str, int], ...] = (
    {"block_size": 0},
    {"block_size": -1},
    {"block_size": 31},
    {"num_scales": 16},
    {"scales_tensor": 1000},
    {"scales_tensor": -1},
    {"scales_tensor": 0},
    {"num_scales": 0},
)


def test_fatal_quantization_is_told_alike(tmp_path: Path) -> None:
    models = {
        f"{case}": test_quantization_check.binary_model(*case)
        for case in test_quantization_check.FATAL
    }
    assert disagreements(models, tmp_path) == (len(models), [])


def test_unreadable_blockwise_scales_are_told_alike(tmp_path: Path) -> None:
    models = {f"{o}": test_quantization_check.blockwise_model(**o) for o in BLOCKWISE}
    num_compared, different = disagreements(models, tmp_path)
    assert different == []
    assert num_compared > len(models) / 2  # the library's verifier refuses the others


def test_harmless_quantization_passes_natively_too(tmp_path: Path) -> None:
    cases = test_quantization_check.HARMLESS
    models = {f"{case}": test_quantization_check.binary_model(*case) for case in cases}
    models["blockwise"] = test_quantization_check.blockwise_model()
    assert all(python_error(data) is None for data in models.values())
    for name, error in native_errors(models, tmp_path).items():
        assert not re.search("missing or out of range|blockwise", error[1]), (name, error)


def test_broken_data_flow_is_told_alike(tmp_path: Path) -> None:
    models = {name: make() for name, (make, _) in test_data_flow_check.BROKEN.items()}
    assert disagreements(models, tmp_path) == (len(models), [])


def test_sound_data_flow_passes_natively_too(tmp_path: Path) -> None:
    models = {name: make() for name, make in test_data_flow_check.SOUND.items()}
    for name, error in native_errors(models, tmp_path).items():
        assert "damaged" not in error[1], (name, error)


def test_scales_beside_details_of_ones_own_are_read_alike(tmp_path: Path) -> None:
    model = load("int8_add")
    for tensor in model.subgraphs[0].tensors:
        tensor.quantization.detailsType = schema.QuantizationDetails.CustomQuantization
        tensor.quantization.details = schema.CustomQuantizationT()
        tensor.quantization.details.custom = [1]
    # What a kernel makes of scales beside custom details is not known: nobody is to find out.
    data = pack(model)
    assert disagreements({"custom details": data}, tmp_path)[1] == []
    assert python_error(data) is not None


def test_negative_dimension_under_blockwise_scales_is_told_alike(tmp_path: Path) -> None:
    data = test_quantization_check.blockwise_model()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == schema.TensorType.INT4:
            tensor.shape = [-1, 64]
    assert disagreements({"negative": pack(model)}, tmp_path) == (1, [])


def test_model_with_both_faults_raises_the_same_by_either_backend() -> None:
    data = test_quantization_check.binary_model("ADD", (None, None, None))
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
    model.subgraphs[0].inputs = [0]
    model.signatureDefs = []
    errors = []
    for backend in ("native", "reference"):
        with pytest.raises(litert.ModelError, match=r"number 0 of subgraph 0") as caught:
            litert.Model(pack(model), backend=backend)
        errors.append(comparable((type(caught.value).__name__, str(caught.value))))
    assert errors[0] == errors[1]


def test_flipped_bytes_are_told_alike(tmp_path: Path) -> None:
    models = {f"seed {seed}": damage(seed)[1] for seed in range(4000)}
    num_compared, different = disagreements(models, tmp_path)
    assert different == []
    assert num_compared > 20


def mutate(rng: random.Random) -> Iterator[bytes]:
    """Yield sound flatbuffers of damaged graphs, without end."""
    scales = (0.0, -1.0, 1.0, 0.1, 1e-30, 1e30, 3e38, float("nan"), float("inf"))
    stems = ("int8_add", "uint8_add", "add", "mlp", "dynamic_batch_reshape", "while_loop")
    bases = {stem: (DATA / f"{stem}.tflite").read_bytes() for stem in stems}
    while True:
        data = bases[rng.choice(stems)]
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))
        subgraph = rng.choice(model.subgraphs)
        for _ in range(rng.randint(1, 3)):
            tensor = rng.choice(subgraph.tensors)
            step = rng.choice(subgraph.operators)
            what = rng.randrange(7)
            if what == 0:
                tensor.type = rng.choice((0, 2, 3, 7, 9))
            elif what == 1 and tensor.quantization is not None:
                tensor.quantization.scale = rng.choices(scales, k=rng.choice((0, 1, 1, 2)))
                tensor.quantization.zeroPoint = [0] * rng.choice((0, 1, 1, 2))
            elif what == 2:
                step.inputs = [rng.randrange(-1, len(subgraph.tensors)) for _ in step.inputs]
            elif what == 3:
                step.outputs = [rng.randrange(len(subgraph.tensors)) for _ in step.outputs]
            elif what == 4:
                subgraph.outputs = [rng.randrange(len(subgraph.tensors))]
            elif what == 5:
                tensor.shape = [rng.choice((0, 1, 2))]
            else:
                code = rng.choice(model.operatorCodes)
                code.builtinCode = rng.choice((0, 22, 41, 43, 58, 70, 71, 99))
                code.deprecatedBuiltinCode = code.builtinCode
        yield pack(model)


DATA = test_data_flow_check.DATA


def test_damaged_graphs_are_told_alike(tmp_path: Path) -> None:
    mutants = mutate(random.Random(0))
    models = {f"mutant {number}": next(mutants) for number in range(600)}
    num_compared, different = disagreements(models, tmp_path)
    assert different == []
    assert num_compared > 100


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.sampled_from(["", "x", "x_1", "x_2", "input_0", "input_1", "output_0", "grün", "x y"]),
        min_size=3,
        max_size=3,
    )
)
def test_names_are_made_alike(names: list[str]) -> None:
    model = load("no_signature")
    for tensor, name in zip(model.subgraphs[0].tensors, names, strict=True):
        tensor.name = name.encode()
    subgraph = model.subgraphs[0]
    with litert.Model(pack(model), backend="native") as opened:
        signature = opened.signatures["main"]
        for prefix, indices, told in (
            ("input", subgraph.inputs, signature.inputs),
            ("output", subgraph.outputs, signature.outputs),
        ):
            assert list(told) == unique_names([names[index] for index in indices], prefix)
