"""The small interface for those who want no more than load, generate, unload."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from litert.errors import AcceleratorError, ClosedError, SignatureError, TensorTypeError
from litert.language.language_file import is_language_model
from litert.model import Model
from litert.options import CpuOptions

if TYPE_CHECKING:
    from litert.language.model import LanguageModel


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
        self._model: Model | LanguageModel | None = None

    @property
    def model(self) -> Model:
        """The loaded model.

        Raises:
            ClosedError: None is loaded, or a language model.
        """
        loaded = self._loaded()
        if not isinstance(loaded, Model):
            raise ClosedError("a language model is loaded; take language_model")
        return loaded

    @property
    def language_model(self) -> LanguageModel:
        """The loaded language model.

        Raises:
            ClosedError: None is loaded, or another model.
        """
        loaded = self._loaded()
        if isinstance(loaded, Model):
            raise ClosedError("no language model is loaded; take model")
        return loaded

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
            path: A .tflite file, or a .litertlm file or .tflite that holds a language model.
            use_xnnpack: XNNPACK's kernels; False takes the library's plain ones.
            use_gpu: Run on the GPU, as ``Model(accelerator="gpu")``; language models run on the CPU
                alone.
            num_threads: Threads of one run, 1 to 1024.

        Returns:
            True.

        Raises:
            AcceleratorError: ``use_gpu``, and there is no GPU or it does not take the model.
            LiteRTError: As ``litert.Model``.
        """
        options = CpuOptions(
            num_threads=num_threads, kernels="xnnpack" if use_xnnpack else "builtin"
        )
        loaded: Model | LanguageModel
        if is_language_model(path):
            if use_gpu:
                raise AcceleratorError(
                    "use_gpu=True: language models run on the CPU alone; pass use_gpu=False"
                )
            from litert.language.model import LanguageModel

            loaded = LanguageModel(path, cpu=options)
        else:
            loaded = Model(path, cpu=options, accelerator="gpu" if use_gpu else "cpu")
        self.unload()
        self._model = loaded
        return True

    def generate(
        self, inputs: Mapping[str, Any], *, signature: str | None = None
    ) -> dict[str, Any]:
        """Run the model once; a language model to the end of its reply.

        Args:
            inputs: Arrays by input name. ``"input"`` stands for the only input of a model that
                has one. For a language model ``"input"`` (ids) or ``"prompt"`` (text), and any
                option of ``GenerationOptions`` beside it.
            signature: The signature's key; the first one where it is left out.

        Returns:
            New arrays by output name; the only output of a model that has one is under
            ``"output"`` too. Of a language model: ``"output"``, the generated ids as int32[n], and
            ``"text"``.

        Raises:
            ClosedError: No model is loaded.
            LiteRTError: As ``Model.run`` and ``LanguageModel.generate``.
        """
        model = self._loaded()
        if not isinstance(model, Model):
            return _generate_text(model, inputs, signature)
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
        model, self._model = self._model, None
        if model is not None:
            model.close()

    def _loaded(self) -> Model | LanguageModel:
        model = self._model  # read once: another thread may unload it
        if model is None:
            raise ClosedError("no model is loaded; call load_model first")
        return model

    def __enter__(self) -> LiteRTManager:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.unload()


def _generate_text(
    model: LanguageModel, inputs: Mapping[str, Any], signature: str | None
) -> dict[str, Any]:
    if signature is not None:
        raise SignatureError(f"a language model has no signatures to choose, got {signature!r}")
    options = dict(inputs)
    prompts = [options.pop(name) for name in ("input", "prompt") if name in options]
    if len(prompts) != 1:
        raise SignatureError(
            "a language model takes either 'input' (token ids) or 'prompt' (text), "
            f"got {', '.join(map(repr, inputs)) or 'nothing'}"
        )
    prompt = prompts[0]
    if "input" in inputs:
        prompt = np.asarray(prompt).reshape(-1).tolist()
    elif not isinstance(prompt, str):
        raise TensorTypeError(f"'prompt': expected text, got {type(prompt).__name__}")
    generation = model.generate(prompt, **options)
    return {"output": np.array(generation.tokens, np.int32), "text": generation.text}
