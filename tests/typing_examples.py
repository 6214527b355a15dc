"""What the public API looks like to a type checker: each comment is what mypy must reveal.

Never run. ``...`` in a comment stands for anything, as NumPy writes its arrays in several ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import litert

if TYPE_CHECKING:
    from typing_extensions import reveal_type


def models(path: Path, content: bytes, x: npt.NDArray[np.float32]) -> None:
    reveal_type(litert.Model(path))  # litert.model.Model
    reveal_type(litert.Model(content, num_threads=2, backend="reference"))  # litert.model.Model
    with litert.Model(str(path), cpu=litert.CpuOptions(kernels="builtin")) as model:
        reveal_type(model)  # litert.model.Model
        reveal_type(model.run({"x": x}))  # dict[str, numpy.ndarray[...]]
        reveal_type(model.run(x)["y"].shape)  # tuple[...]
        reveal_type(model.run([[1.0, 2.0]], quantize=True))  # dict[str, ...]
        reveal_type(model.signatures)  # typing.Mapping[str, litert.tensor_info.Signature]
        reveal_type(model.backend)  # str
        reveal_type(model.backend_reason)  # str
        reveal_type(model.bind("a", shapes={"x": (1, 4)}))  # litert.runner.Runner


def profiles(model: litert.Model, path: Path) -> None:
    with model.profile(num_warmup_runs=1) as profile:
        reveal_type(profile)  # litert.profiling.profile.Profile
    reveal_type(profile.operators)  # tuple[litert.profiling.rows.OperatorProfile, ...]
    reveal_type(profile.operators[0].partition)  # int | None
    reveal_type(profile.runs_us)  # tuple[int, ...]
    reveal_type(profile.to_json(path))  # str
    profile.plot(path)


async def awaited(model: litert.Model, x: npt.NDArray[np.float32]) -> None:
    reveal_type(await model.arun({"x": x}))  # dict[str, numpy.ndarray[...]]


def runners(runner: litert.Runner, x: npt.NDArray[np.float32], frame: bytearray) -> None:
    reveal_type(runner.inputs)  # typing.Mapping[str, numpy.ndarray[...]]
    reveal_type(runner.outputs["y"])  # numpy.ndarray[...]
    reveal_type(runner.signature)  # litert.tensor_info.Signature
    reveal_type(runner.run)  # def ()
    runner.bind_input("x", x)
    runner.bind_input("x", frame)
    with runner as opened:
        reveal_type(opened)  # litert.runner.Runner


def infos(signature: litert.Signature, info: litert.TensorInfo) -> None:
    reveal_type(signature.inputs["x"])  # litert.tensor_info.TensorInfo
    reveal_type(info.shape)  # tuple[int, ...]
    reveal_type(info.dtype)  # numpy.dtype[Any]
    reveal_type(info.quantization)  # litert.tensor_info.Quantization | None
    reveal_type(info.quantize([1.0]))  # numpy.ndarray[...]
    reveal_type(info.dequantize([1]))  # numpy.ndarray[...floating[...]]...


def small_api(manager: litert.LiteRTManager, inputs: Mapping[str, npt.NDArray[Any]]) -> None:
    reveal_type(manager.load_model("model.tflite", num_threads=4))  # bool
    reveal_type(manager.generate(inputs))  # dict[str, Any]
    reveal_type(manager.model)  # litert.model.Model


def language(lm: litert.LanguageModel, messages: list[dict[str, str]]) -> None:
    reveal_type(lm.generate("text", max_tokens=3))  # litert.language.generation.Generation
    reveal_type(lm.generate([1, 2], stop=["a"]).tokens)  # tuple[int, ...]
    reveal_type(lm.chat(messages, temperature=0.5).text)  # str
    with lm.stream("text", top_k=3) as stream:
        reveal_type(next(stream).logprobs)  # tuple[litert.language.generation.TokenLogprob, ...]
    reveal_type(lm.astream("text"))  # typing.AsyncIterator[litert.language.generation.Chunk]
    with lm.session() as session:
        reveal_type(session.append("text"))  # None
        reveal_type(session.generate(seed=1).finish_reason)  # Literal[...]...


def the_rest(error: litert.LiteRTError) -> None:
    reveal_type(litert.empty_aligned((2, 3), "uint8"))  # numpy.ndarray[...]
    reveal_type(litert.library_info().version)  # str
    reveal_type(error.status)  # int | None
    reveal_type(error.library_log)  # tuple[str, ...]
