"""Run a model on every frame of a camera without copying a frame.

The camera writes into memory that the model reads: ``litert.empty_aligned`` makes such memory and
``runner.bind_input`` hands it over once. After that a frame costs one call.

    python examples/camera_loop.py [model.tflite] [number of frames]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

import litert
from litert.samples import digits_model_path


def read_frames(frame: npt.NDArray[Any], num_frames: int) -> Iterator[int]:
    """Stand in for a camera: fill ``frame`` in place, as drivers do that take a buffer.

    With OpenCV that is ``capture.read(frame)``, with V4L2 or GStreamer a buffer of your own.
    """
    generator = np.random.default_rng(0)
    for number in range(num_frames):
        values = generator.random(frame.shape)  # 0..1 for float models
        frame[...] = values if frame.dtype.kind == "f" else (values * 255).astype(frame.dtype)
        yield number


def main() -> None:
    """Print the strongest class of each frame, then how long the runs took."""
    path = sys.argv[1] if len(sys.argv) > 1 else digits_model_path()
    num_frames = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with litert.Model(path) as model, model.bind() as runner:
        image = next(iter(runner.signature.inputs.values()))
        scores = next(iter(runner.outputs.values()))  # a view: shows each run's result in turn
        frame = litert.empty_aligned(runner.inputs[image.name].shape, image.dtype)
        runner.bind_input(image.name, frame)
        spent_s = 0.0
        for number in read_frames(frame, num_frames):
            start = time.perf_counter()
            runner.run()
            spent_s += time.perf_counter() - start
            print(f"frame {number}: class {scores.argmax()}")
        print(f"{spent_s / num_frames * 1e3:.3f} ms a frame, none copied")


if __name__ == "__main__":
    main()
