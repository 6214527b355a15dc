"""Run LiteRT (.tflite) models through a native, zero-copy core that releases the GIL.

Names are imported on first use: ``import litert`` loads neither NumPy nor the LiteRT library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litert.accelerate.machine import Accelerator, accelerators
    from litert.accelerate.options import GpuOptions, NpuOptions
    from litert.accelerate.placement import PlacedOperators, Placement
    from litert.accelerate.plugins import CustomOp, Delegate
    from litert.ahead_of_time.compilation import CompilationReport, compile_model
    from litert.arrays import empty_aligned
    from litert.errors import (
        AcceleratorError,
        BackendFallbackWarning,
        ChatTemplateError,
        ClosedError,
        ContextLengthError,
        ExecutionError,
        FileFormatError,
        GenerationError,
        LibraryError,
        LiteRTError,
        MissingExtraError,
        ModelError,
        ModelNotFoundError,
        OptionError,
        RunCancelledError,
        RunTimeoutError,
        SignatureError,
        TensorError,
        TensorLayoutError,
        TensorShapeError,
        TensorTypeError,
        TokenizerError,
        UnsupportedModelError,
    )
    from litert.language.generation import Chunk, Generation, Metrics, TokenLogprob
    from litert.language.model import LanguageModel
    from litert.language.options import GenerationOptions
    from litert.language.session import Session
    from litert.language.stream import Stream
    from litert.library import LibraryInfo, library_info, load_library
    from litert.manager import LiteRTManager
    from litert.model import Model
    from litert.options import CpuOptions
    from litert.profiling.profile import Profile
    from litert.profiling.rows import OperatorProfile
    from litert.runner import Runner
    from litert.tensor_info import Quantization, Signature, TensorInfo

__version__: str

_MODULE_OF = {
    "Model": "model",
    "Runner": "runner",
    "LiteRTManager": "manager",
    "LanguageModel": "language.model",
    "Session": "language.session",
    "Stream": "language.stream",
    "Generation": "language.generation",
    "Chunk": "language.generation",
    "Metrics": "language.generation",
    "TokenLogprob": "language.generation",
    "GenerationOptions": "language.options",
    "CpuOptions": "options",
    "GpuOptions": "accelerate.options",
    "NpuOptions": "accelerate.options",
    "Delegate": "accelerate.plugins",
    "CustomOp": "accelerate.plugins",
    "Placement": "accelerate.placement",
    "PlacedOperators": "accelerate.placement",
    "Profile": "profiling.profile",
    "OperatorProfile": "profiling.rows",
    "TensorInfo": "tensor_info",
    "Signature": "tensor_info",
    "Quantization": "tensor_info",
    "empty_aligned": "arrays",
    "LibraryInfo": "library",
    "library_info": "library",
    "load_library": "library",
    "Accelerator": "accelerate.machine",
    "accelerators": "accelerate.machine",
    "compile_model": "ahead_of_time.compilation",
    "CompilationReport": "ahead_of_time.compilation",
} | dict.fromkeys(
    (
        "LiteRTError",
        "LibraryError",
        "MissingExtraError",
        "ModelError",
        "ModelNotFoundError",
        "FileFormatError",
        "UnsupportedModelError",
        "SignatureError",
        "TensorError",
        "TensorShapeError",
        "TensorTypeError",
        "TensorLayoutError",
        "AcceleratorError",
        "ExecutionError",
        "RunCancelledError",
        "RunTimeoutError",
        "ClosedError",
        "OptionError",
        "GenerationError",
        "ContextLengthError",
        "TokenizerError",
        "ChatTemplateError",
        "BackendFallbackWarning",
    ),
    "errors",
)

__all__ = [
    "Model",
    "Runner",
    "LiteRTManager",
    "LanguageModel",
    "Session",
    "Stream",
    "Generation",
    "Chunk",
    "Metrics",
    "TokenLogprob",
    "GenerationOptions",
    "CpuOptions",
    "GpuOptions",
    "NpuOptions",
    "Delegate",
    "CustomOp",
    "Placement",
    "PlacedOperators",
    "Profile",
    "OperatorProfile",
    "TensorInfo",
    "Signature",
    "Quantization",
    "empty_aligned",
    "LibraryInfo",
    "library_info",
    "load_library",
    "Accelerator",
    "accelerators",
    "compile_model",
    "CompilationReport",
    "LiteRTError",
    "LibraryError",
    "MissingExtraError",
    "ModelError",
    "ModelNotFoundError",
    "FileFormatError",
    "UnsupportedModelError",
    "SignatureError",
    "TensorError",
    "TensorShapeError",
    "TensorTypeError",
    "TensorLayoutError",
    "AcceleratorError",
    "ExecutionError",
    "RunCancelledError",
    "RunTimeoutError",
    "ClosedError",
    "OptionError",
    "GenerationError",
    "ContextLengthError",
    "TokenizerError",
    "ChatTemplateError",
    "BackendFallbackWarning",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("litert-native")
        except PackageNotFoundError:
            value = "0.0.0"  # a source tree that is not installed
    elif name in _MODULE_OF:
        value = getattr(importlib.import_module(f"litert.{_MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'litert' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
