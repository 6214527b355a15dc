"""The small interface for those who want no more than load, generate, unload."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from litert.errors import AcceleratorError, ClosedError
from litert.model import Model
from litert.options import CpuOptions


class LiteRTManager:
    """Holds one model at a time.

    Safe in several threads as far as ``Model`` is; do not unload while another thread generates.

    Example:
        >>> import numpy as np
        >>> manager = LiteRTManager()
        >>> manager.load_model("mlp.tflite", num_threads=2)
        True
        >>> result = manager.generate({"input": np.zeros((1, 8), np.float32)})
        >>> result["output"].shape
        (1, 3)
        >>> manager.unload()
    """

    def __init__(self) -> None:
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """The loaded model.

        Raises:
            ClosedError: None is loaded.
        """
        if self._model is None:
            raise ClosedError("no model is loaded; call load_model first")
        return self._model

    @property
    def is_loaded(self) -> bool:
        """Whether a model is loaded."""
        return self._model is not None

    def load_model(
        self,
        path: str | os.PathLike[str],
        use_xnnpack: bool = True,
        use_gpu: bool = False,
        num_threads: int = 4,
    ) -> bool:
        """Load a model in place of the one held now, which stays if this fails.

        Args:
            path: A .tflite file.
            use_xnnpack: XNNPACK's kernels; False takes the library's plain ones.
            use_gpu: Not available in this release.
            num_threads: Threads of one run, 1 to 1024.

        Returns:
            True.

        Raises:
            AcceleratorError: ``use_gpu`` was asked for.
            LiteRTError: As ``litert.Model``.
        """
        if use_gpu:
            raise AcceleratorError(
                "use_gpu=True: this release runs models on the CPU alone; pass use_gpu=False"
            )
        options = CpuOptions(
            num_threads=num_threads, kernels="xnnpack" if use_xnnpack else "builtin"
        )
        loaded = Model(path, cpu=options)
        self.unload()
        self._model = loaded
        return True

    def generate(
        self, inputs: Mapping[str, npt.ArrayLike], *, signature: str | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Run the model once.

        Args:
            inputs: Arrays by input name. ``"input"`` stands for the only input of a model that
                has one.
            signature: The signature's key; the first one where it is left out.

        Returns:
            New arrays by output name; the only output of a model that has one is under
            ``"output"`` too.

        Raises:
            ClosedError: No model is loaded.
            LiteRTError: As ``Model.run``.
        """
        model = self.model
        signatures = model.signatures
        chosen = signatures.get(signature) if signature else next(iter(signatures.values()))
        if chosen is not None and len(chosen.inputs) == 1 and set(inputs) == {"input"}:
            inputs = {next(iter(chosen.inputs)): inputs["input"]}
        outputs = model.run(inputs, signature=signature)
        if len(outputs) == 1:
            outputs.setdefault("output", next(iter(outputs.values())))
        return outputs

    def unload(self) -> None:
        """Release the model; idempotent."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def __enter__(self) -> LiteRTManager:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.unload()
