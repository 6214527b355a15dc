"""What litert computes on this CPU: ``arm_checks.py FOLDER MODEL...``

Runs by itself, in an emulator or not, needs no more than an installed wheel and starts no process.
Checks what can be checked here, and leaves FOLDER/outputs.npz and FOLDER/report.json, which
test_arm.py compares between CPUs.
"""

from __future__ import annotations

import json
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import litert
from litert.samples import digits_model_path, load_digits, speller_model_path

NUM_PROMPTS = 3


def check_digits() -> str:
    """Return the backend that classifies the sample digits, all but one of them rightly."""
    images, labels = load_digits()
    with litert.Model(digits_model_path()) as model:
        found = [model.run(image[None])["probabilities"].argmax() for image in images]
        num_right = sum(int(a) == b for a, b in zip(found, labels, strict=True))
        assert num_right >= len(labels) - 1, f"{num_right} of {len(labels)} digits"
        return f"{model.backend}: {model.backend_reason}"


def check_backends_agree() -> None:
    """The native core and the Interpreter give the same bytes."""
    images, _ = load_digits()
    outputs = []
    for backend in ("native", "reference"):
        with litert.Model(digits_model_path(), backend=backend) as model:
            outputs.append(np.stack([model.run(image[None])["probabilities"] for image in images]))
    np.testing.assert_array_equal(*outputs)


def check_zero_copy() -> None:
    """A runner's arrays are the memory that the library reads and writes, also a given one."""
    images, labels = load_digits()
    with litert.Model(digits_model_path()) as model, model.bind("classify") as runner:
        output = runner.outputs["probabilities"]
        frame = litert.empty_aligned(runner.inputs["image"].shape, "float32")
        runner.bind_input("image", frame)
        address = output.ctypes.data
        for image, label in list(zip(images, labels, strict=True))[:5]:
            frame[...] = image
            runner.run()
            assert output.argmax() == label, "the bound memory was not read"
        assert runner.outputs["probabilities"].ctypes.data == address
        assert np.shares_memory(runner.inputs["image"], frame)


def model_outputs(path: Path) -> tuple[str, dict[str, Any]]:
    """Run a model on seeded inputs; return its backend and the outputs by signature and name."""
    rng = np.random.default_rng(0)
    outputs = {}
    with litert.Model(path) as model:
        for key, signature in model.signatures.items():
            inputs = {}
            for name, info in signature.inputs.items():
                shape = tuple(max(dim, 1) for dim in info.shape)
                if info.dtype.kind in "iu":
                    limits = np.iinfo(info.dtype)
                    array = rng.integers(limits.min, limits.max, shape, info.dtype, endpoint=True)
                else:
                    array = rng.random(shape, np.float32).astype(info.dtype) * 2 - 1
                inputs[name] = array
            results = model.run(inputs, signature=key)
            outputs |= {f"{path.name}/{key}/{name}": array for name, array in results.items()}
        return model.backend, outputs


def generated_tokens() -> dict[str, list[int]]:
    """Return what the sample language model goes on with after some ids, greedily and sampled."""
    tokens = {}
    with litert.LanguageModel(speller_model_path(), backend="native") as model:
        for number in range(NUM_PROMPTS):
            ids = [2 + 7 * number + i for i in range(9)]  # as without a tokenizer
            for name, options in {
                "greedy": {"temperature": 0.0},
                "sampled": {"temperature": 3.0, "top_p": 0.98, "top_k": 50, "seed": 11},
            }.items():
                made = model.generate(ids, max_tokens=24, ignore_eos=True, **options)
                tokens[f"{name} {number}"] = list(made.tokens)
    return tokens


def main() -> int:
    """Write the outputs and the report."""
    folder, *models = map(Path, sys.argv[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", litert.BackendFallbackWarning)
        report: dict[str, Any] = {"python": platform.python_version(), "digits": check_digits()}
        backends, outputs = {}, {}
        for path in models:
            backends[path.name], made = model_outputs(path)
            outputs |= made
    report["backends"] = backends
    if report["digits"].startswith("native"):
        check_backends_agree()
        check_zero_copy()
        report["tokens"] = generated_tokens()
        info = litert.library_info()
        report["library"] = f"{info.version} {Path(info.path).name}"
        report["keeps_inputs_bound"] = info.keeps_inputs_bound
    else:
        from litert import _native  # it loads, though there is no library for it

        report["extension"] = Path(str(_native.__file__)).name
    np.savez(folder / "outputs.npz", **outputs)
    (folder / "report.json").write_text(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
