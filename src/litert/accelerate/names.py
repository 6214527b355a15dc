"""The accelerators' names, and what to use in place of others that people know."""

from __future__ import annotations

import difflib
from typing import Literal

from litert.errors import OptionError

AcceleratorName = Literal["cpu", "gpu", "npu"]

NAMES: tuple[AcceleratorName, ...] = ("cpu", "gpu", "npu")
_AUTO = "auto"  # stands for all of them

_ANDROID = "its LiteRT library is built for Android alone and in no package for Linux; use 'cpu'"
_VULKAN = "use 'gpu', which runs models over Vulkan"
_INTEL = "use 'npu', with NpuOptions(device=...) to choose among OpenVINO's devices"
_EXTERNAL = "load it as an external delegate, or use 'cpu'"

# Written as _normalized leaves them.
_ELSEWHERE = {
    "armnn": f"Arm NN is a TFLite delegate (libarmnnDelegate.so): {_EXTERNAL}",
    "coral": f"the Coral Edge TPU is driven by a TFLite delegate (libedgetpu.so): {_EXTERNAL}",
    "coreml": "Core ML is for macOS and iOS only, and no LiteRT package has it; use 'gpu' or 'cpu'",
    "cuda": f"LiteRT has no CUDA accelerator; on an NVIDIA GPU {_VULKAN}",
    "directml": f"LiteRT has no DirectML accelerator, which is for Windows only; {_VULKAN}",
    "flex": "no LiteRT package has TensorFlow's operators (Flex); convert the model without them",
    "googletensor": f"Google Tensor's TPU is in Pixel phones: {_ANDROID}",
    "hexagon": f"Hexagon is Qualcomm's NPU: {_ANDROID}",
    "intel": f"Intel's NPU is driven through OpenVINO; {_INTEL}",
    "mediatek": f"MediaTek's NPU is driven through NeuroPilot: {_ANDROID}",
    "metal": "Metal is for macOS and iOS only, and the native core is for Linux; use 'gpu' (over "
    "Vulkan) or 'cpu'",
    "nnapi": "NNAPI is for Android only, deprecated there, and LiteRT has no accelerator for it; "
    "use 'gpu' or 'cpu'",
    "opencl": f"LiteRT's OpenCL library is in no package for Linux; {_VULKAN}",
    "opengl": f"LiteRT's OpenGL library is built for Android alone; {_VULKAN}",
    "openvino": f"OpenVINO is what drives Intel's NPU; {_INTEL}",
    "qualcomm": f"Qualcomm's NPU is driven through QNN: {_ANDROID}",
    "rknn": "Rockchip's NPU runs .rknn files with Rockchip's own runtime, and LiteRT has no "
    "accelerator for it; use 'gpu' or 'cpu'",
    "rocm": f"LiteRT has no ROCm accelerator; on an AMD GPU {_VULKAN}",
    "samsung": f"Samsung's NPU is in Exynos phones: {_ANDROID}",
    "tensorrt": f"LiteRT has no TensorRT accelerator; on an NVIDIA GPU {_VULKAN}",
    "tpu": "Cloud TPUs run no .tflite models, and the Coral Edge TPU is driven by a TFLite "
    f"delegate (libedgetpu.so): {_EXTERNAL}",
    "vulkan": "Vulkan is what 'gpu' runs models over; use 'gpu'",
    "webgpu": "WebGPU, over Vulkan, is what 'gpu' runs models with; use 'gpu'",
    "xnnpack": "XNNPACK is what 'cpu' runs models with; use 'cpu'",
}
_SAME = {
    "amd": "rocm",
    "edgetpu": "coral",
    "exynos": "samsung",
    "htp": "hexagon",
    "neuropilot": "mediatek",
    "nvidia": "cuda",
    "opengles": "opengl",
    "qnn": "qualcomm",
    "rockchip": "rknn",
}


def check_name(name: object) -> AcceleratorName:
    """Return ``name`` if it is an accelerator's.

    Raises:
        OptionError: It is not; the message says what to use in its place.
    """
    for known in NAMES:
        if name == known:
            return known
    raise OptionError(f"accelerator {name!r}: {explain_unknown(name)}")


def explain_unknown(name: object) -> str:
    """Say where an accelerator of another name exists and what to use here.

    Args:
        name: What was given for an accelerator, not one of ``NAMES``.

    Returns:
        One sentence; for a name that nobody knows, the known ones and the nearest.
    """
    normalized = _normalized(name)
    explanation = _ELSEWHERE.get(_SAME.get(normalized, normalized))
    if explanation is not None:
        return explanation
    expected = f"expected {', '.join(map(repr, NAMES))} or {_AUTO!r}"
    nearest = difflib.get_close_matches(normalized, [*NAMES, _AUTO, *_ELSEWHERE, *_SAME], n=1)
    if not nearest:
        return expected
    elsewhere = _ELSEWHERE.get(_SAME.get(nearest[0], nearest[0]))
    hint = f"did you mean {nearest[0]!r}?"
    return f"{expected}; {hint} {elsewhere}" if elsewhere else f"{expected}; {hint}"


def _normalized(name: object) -> str:
    """Return a name without case and what separates its words."""
    return "".join(char for char in str(name).lower() if char.isalnum())
