"""The token loop as one writes it best in Python over ai_edge_litert: greedy, at full length.

Over ``CompiledModel.run_by_index`` with every buffer made once and the caches written in place. The
Interpreter's signature runners copy each cache in and out; a loop over them has a third of the
speed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.options import Options

_MASKED = np.float32(-1e9)
_PREFILL = "prefill_"
_DECODE = "decode"


class PythonLoop:
    """One context of a model whose caches go in and out under one name.

    Args:
        path: A ``.tflite`` file.
        num_threads: Threads of a run.
    """

    def __init__(self, path: Path, num_threads: int) -> None:
        options = Options.create()
        options.cpu_options.num_threads = num_threads
        self._model = CompiledModel.from_file(str(path), options=options)
        self._signatures: dict[str, Any] = self._model.get_signature_list()
        self._prefills = sorted(
            (int(name.removeprefix(_PREFILL)), name)
            for name in self._signatures
            if name.startswith(_PREFILL)
        )
        details = self._model.get_input_tensor_details(_DECODE)
        self._mask_length = int(details["mask"]["shape"][-1]) if "mask" in details else 0
        made = self._buffers(_DECODE, "inputs", self._model.create_input_buffers)
        self._caches = {name: made[name] for name in made if name.startswith("kv_cache")}
        for name, buffer in self._caches.items():
            buffer.write(np.zeros(details[name]["shape"], np.float32))
        self._bound = {name: self._bind(name) for name in self._signatures}
        logits = self._model.get_output_tensor_details(_DECODE)["logits"]
        self._vocab_size = int(logits["shape"][-1])

    def generate(self, prompt: Sequence[int], num_tokens: int) -> tuple[list[int], float, float]:
        """Return the tokens, the seconds to the first one, and those of all others."""
        start = time.perf_counter()
        position, last = 0, len(prompt) - 1
        while position < last:
            left = last - position
            # The shortest that holds what is left, else the longest.
            length, name = next(
                (one for one in self._prefills if one[0] >= left), self._prefills[-1]
            )
            chunk = list(prompt[position : position + min(length, left)])
            self._run(name, chunk + [0] * (length - len(chunk)), position)
            position += len(chunk)
        tokens = [prompt[last]]
        first_s = 0.0
        for step in range(num_tokens):
            tokens.append(self._step(tokens[-1], last + step))
            first_s = first_s or time.perf_counter() - start
        return tokens[1:], first_s, time.perf_counter() - start - first_s

    def _step(self, token: int, position: int) -> int:
        self._run(_DECODE, [token], position)
        logits = self._bound[_DECODE][3]["logits"]
        return int(logits.read(self._vocab_size, np.float32).argmax())

    def _run(self, signature: str, tokens: list[int], position: int) -> None:
        index, inputs, outputs, named = self._bound[signature]
        positions = np.arange(position, position + len(tokens), dtype=np.int32)
        named["tokens"].write(np.array([tokens], np.int32))
        named["input_pos"].write(positions)
        if self._mask_length:
            is_ahead = np.arange(self._mask_length) > positions[:, None]
            named["mask"].write(np.where(is_ahead, _MASKED, np.float32(0)))
        self._model.run_by_index(index, inputs, outputs)

    def _bind(self, signature: str) -> tuple[int, list[Any], list[Any], dict[str, Any]]:
        inputs = self._buffers(signature, "inputs", self._model.create_input_buffers)
        outputs = self._buffers(signature, "outputs", self._model.create_output_buffers)
        index = list(self._signatures).index(signature)
        named = inputs | outputs
        return (
            index,
            [self._caches.get(name, buffer) for name, buffer in inputs.items()],
            [self._caches.get(name, buffer) for name, buffer in outputs.items()],
            named,
        )

    def _buffers(self, signature: str, kind: str, create: Any) -> dict[str, Any]:
        index = list(self._signatures).index(signature)
        return dict(zip(self._signatures[signature][kind], create(index), strict=True))
