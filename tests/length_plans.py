"""What the tests of other context lengths share: plans, and results to compare."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from data.model_kinds.attention import LENGTH
from litert._native import LengthPlan

Arrays = dict[str, npt.NDArray[Any]]
Ports = list[tuple[str, list[tuple[str, str, int]], str]]


def axis_of(name: str, is_transposed: bool) -> int:
    """Return the dimension of a cache that is the context."""
    if not is_transposed:
        return 1
    return 3 if "_v_" in name else 2


def ports_of(content: Any, *, is_transposed: bool = True, suffix: str = "") -> Ports:
    """Return what ``LengthPlan.analyse`` asks for, of the signatures that end in ``suffix``."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=bytes(content))
    ports = []
    for key, names in interpreter.get_signature_list().items():
        if key.endswith(suffix):
            caches = [
                (name, name, axis_of(name, is_transposed))
                for name in names["inputs"]
                if name.startswith("kv_cache")
            ]
            ports.append((key, caches, "mask" if "mask" in names["inputs"] else ""))
    return ports


def plan_of(content: Any, length: int = LENGTH, **which: Any) -> LengthPlan:
    return LengthPlan.analyse(content, ports_of(content, **which), length)


def rewritten(content: bytes, length: int, new_length: int) -> bytes:
    copy = bytearray(content)
    plan_of(content, length).apply(copy, new_length)
    return bytes(copy)


def generate(
    content: Any, length: int, *, is_transposed: bool = True, prefill: str, suffix: str = ""
) -> npt.NDArray[Any]:
    """Return the results of some steps after a prefill, with caches of ``length`` slots.

    The Interpreter resizes inputs that have another shape than in the file.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=bytes(content))
    random = np.random.default_rng(0)
    caches: Arrays = {}
    logits = []
    position = 0
    for key in (prefill + suffix, *["decode" + suffix] * 3):
        runner = interpreter.get_signature_runner(key)
        inputs: Arrays = {}
        details = runner.get_input_details()
        num_tokens = int(details["input_pos"]["shape"][-1])
        rows = np.arange(position, position + num_tokens, dtype=np.int32)
        for name, detail in details.items():
            shape, dtype = [int(size) for size in detail["shape"]], detail["dtype"]
            if name.startswith("kv_cache"):
                shape[axis_of(name, is_transposed)] = length
                inputs[name] = caches.get(name, np.zeros(shape, dtype))
            elif name == "mask":
                keep = np.arange(length) <= rows[:, None]
                hidden = keep if dtype == np.bool_ else np.where(keep, 0, np.float32(-1e9))
                inputs[name] = hidden.astype(dtype)[None, None]
            elif name == "input_pos":
                inputs[name] = rows.reshape(shape)
            elif dtype == np.int32:
                inputs[name] = random.integers(1, 500, shape, np.int32)
            else:
                inputs[name] = random.standard_normal(shape).astype(dtype)
        results = runner(**inputs)
        caches = {name: results[name] for name in results if name.startswith("kv_cache")}
        if "logits" in results:
            logits.append(results["logits"].ravel())
        position += num_tokens
    return np.concatenate(logits)
