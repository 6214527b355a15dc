"""Quantization that ends the process is found before the library sees it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from litert.model_file import read_model
from litert.quantization_check import find_fatal_quantization

schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated")
flatbuffers: Any = pytest.importorskip("flatbuffers")

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parent.parent.parent / "shared" / "models"

Scale = float | None


def load(stem: str) -> Any:
    data = (DATA / f"{stem}.tflite").read_bytes()
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(data))


def pack(model: Any) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def binary_model(name: str, scales: Sequence[Scale], element_type: str = "INT8") -> bytes:
    """Build z = x <operator> y with a scale for each tensor, None for no quantization."""
    model = load("int8_add")
    code = model.operatorCodes[0]
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 2
    operator = model.subgraphs[0].operators[0]
    if name != "ADD":
        operator.builtinOptionsType, operator.builtinOptions = 0, None
    for tensor, scale in zip(model.subgraphs[0].tensors, scales, strict=True):
        tensor.type = getattr(schema.TensorType, element_type)
        if scale is None:
            tensor.quantization = None
        else:
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [0]
    if name in ("EQUAL", "LESS"):
        model.subgraphs[0].tensors[2].type = schema.TensorType.BOOL
    return pack(model)


def blockwise_model(
    *, block_size: int = 32, num_scales: int = 32, scales_tensor: int | None = None
) -> bytes:
    """Build a dense layer of int4[16, 64] weights with blockwise scales."""
    model = load("int4_weights_dense")
    subgraph = model.subgraphs[0]
    weights = next(t for t in subgraph.tensors if t.type == schema.TensorType.INT4)
    scales, buffer = schema.TensorT(), schema.BufferT()
    scales.name, scales.type, scales.shape = "scales", schema.TensorType.FLOAT16, [num_scales]
    buffer.data = np.full(num_scales, 0.05, np.float16).view(np.uint8)
    scales.buffer = len(model.buffers)
    model.buffers.append(buffer)
    details = schema.BlockwiseQuantizationT()
    details.scales = len(subgraph.tensors) if scales_tensor is None else scales_tensor
    details.zeroPoints, details.blockSize = -1, block_size
    subgraph.tensors.append(scales)
    quantization = schema.QuantizationParametersT()
    quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    quantization.details = details
    weights.quantization = quantization
    return pack(model)


def fault(data: bytes) -> str | None:
    return find_fatal_quantization(data, read_model(data))


nan, inf = float("nan"), float("inf")

FATAL: list[tuple[str, tuple[Scale, Scale, Scale], str]] = [
    ("ADD", (None, None, None), "INT8"),
    ("ADD", (0.1, None, 0.1), "INT8"),
    ("ADD", (0.1, 0.1, None), "UINT8"),
    ("ADD", (0.0, 0.1, 0.1), "INT8"),
    ("ADD", (nan, 0.1, 0.1), "INT8"),
    ("ADD", (0.1, inf, 0.1), "INT8"),
    ("ADD", (-0.1, 0.1, 0.1), "INT8"),
    ("ADD", (0.1, 0.1, 1e-30), "INT8"),
    ("ADD", (0.1, 0.1, 1e38), "INT8"),
    ("ADD", (0.3, None, 0.3), "INT16"),
    ("SUB", (None, None, None), "INT8"),
    ("SUB", (0.1, 0.1, nan), "INT8"),
    ("SUB", (None, None, None), "INT16"),
    ("SQUARED_DIFFERENCE", (None, None, None), "INT8"),
    ("SQUARED_DIFFERENCE", (10.0, 10.0, 0.001), "INT8"),
    ("LESS", (None, None, None), "INT8"),
    ("LESS", (0.5, 1.0, None), "INT8"),
    ("EQUAL", (1.0, 1.0, None), "UINT8"),
    ("EQUAL", (1.0, 1.0, None), "INT16"),
]
HARMLESS: list[tuple[str, tuple[Scale, Scale, Scale], str]] = [
    ("ADD", (0.1, 0.2, 0.3), "INT8"),
    ("ADD", (1e-30, 0.1, 0.1), "INT8"),
    ("ADD", (0.1, 0.1, 1e30), "INT8"),
    ("ADD", (None, None, None), "INT16"),
    ("SUB", (0.1, 0.1, 0.1), "INT8"),
    ("SUB", (1.0, 1.0, 1e-9), "INT8"),
    ("SQUARED_DIFFERENCE", (0.1, 0.1, 0.1), "INT8"),
    ("LESS", (0.5, 0.5, None), "INT8"),
    ("LESS", (2.0, 2.0, None), "INT8"),
    ("EQUAL", (None, None, None), "INT16"),
    ("MAXIMUM", (None, None, None), "INT8"),
    ("MUL", (None, None, None), "INT8"),
]


@pytest.mark.parametrize(("name", "scales", "element_type"), FATAL)
def test_scale_that_aborts_is_found(
    name: str, scales: tuple[Scale, Scale, Scale], element_type: str
) -> None:
    found = fault(binary_model(name, scales, element_type))
    assert found is not None
    assert f"operator {name} (number 0 of subgraph 0)" in found


@pytest.mark.parametrize(("name", "scales", "element_type"), HARMLESS)
def test_harmless_scale_passes(
    name: str, scales: tuple[Scale, Scale, Scale], element_type: str
) -> None:
    assert fault(binary_model(name, scales, element_type)) is None


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (blockwise_model(block_size=0), "positive block size, got 0"),
        (blockwise_model(num_scales=16), "got a block size of 32"),
        (blockwise_model(scales_tensor=1000), "does not exist"),
        (blockwise_model(scales_tensor=-1), "does not exist"),
        (blockwise_model(scales_tensor=0), "no constant"),
        (blockwise_model(num_scales=0), "no constant"),
    ],
)
def test_blockwise_scales_that_cannot_be_read_are_found(data: bytes, match: str) -> None:
    assert match in (fault(data) or "")


def test_blockwise_model_passes() -> None:
    assert fault(blockwise_model()) is None


def test_upstream_blockwise_model_is_found_by_its_add() -> None:
    path = SHARED / "upstream" / "blockwise_quantized.tflite"
    if not path.exists():
        pytest.skip("../shared/models is missing")
    assert "operator ADD" in (fault(path.read_bytes()) or "")


def test_all_other_models_pass() -> None:
    paths = [*DATA.glob("*.tflite"), *SHARED.glob("*/*.tflite")]
    for path in paths:
        if not path.stem.startswith("invalid_") and path.stem != "blockwise_quantized":
            assert fault(path.read_bytes()) is None, path


_RUN = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
for kind in (OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
    for path in sys.argv[1:]:
        try:
            interpreter = Interpreter(path, experimental_op_resolver_type=kind)
            interpreter.allocate_tensors()
            for detail in interpreter.get_input_details():
                interpreter.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
            interpreter.invoke()
        except (RuntimeError, ValueError) as err:
            print(err)
print("survived")
"""


def test_what_passes_does_not_end_the_process(tmp_path: Path) -> None:
    models = [binary_model(*case) for case in HARMLESS]
    models.append(blockwise_model())
    paths = []
    for number, data in enumerate(models):
        paths.append(tmp_path / f"{number}.tflite")
        paths[-1].write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.endswith("survived\n"), done.stderr
