"""Classify handwritten digits: the shortest useful program.

python examples/classify_digits.py            # the samples that come with the package
python examples/classify_digits.py digit.png  # a picture of a dark digit on light paper
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

import litert
from litert.samples import digits_model_path, load_digits


def read_picture(path: str) -> npt.NDArray[np.float32]:
    """Return a picture as the model takes it: float32[1, 8, 8, 1] in 0..1, 1 is ink."""
    from PIL import Image  # pip install 'litert-native[vision]'

    gray = Image.open(path).convert("L").resize((8, 8), Image.Resampling.BILINEAR)
    ink = 1.0 - np.asarray(gray, np.float32) / 255.0
    return ink.reshape(1, 8, 8, 1)


def main() -> None:
    """Print what is recognised, and how sure that is."""
    with litert.Model(digits_model_path()) as model:
        if len(sys.argv) > 1:
            for path in sys.argv[1:]:
                probabilities = model.run(read_picture(path))["probabilities"][0]
                print(f"{path}: {probabilities.argmax()} ({probabilities.max():.0%})")
            return
        images, labels = load_digits()
        for image, label in zip(images, labels, strict=True):
            probabilities = model.run({"image": image[np.newaxis]})["probabilities"][0]
            mark = "" if probabilities.argmax() == label else f"  (is {label})"
            print(f"{probabilities.argmax()} ({probabilities.max():.0%}){mark}")


if __name__ == "__main__":
    main()
