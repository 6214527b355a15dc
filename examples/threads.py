"""Run a model from several threads.

One ``litert.Model`` may be shared: it is always right, and its runs wait for each other. For runs
at the same time give each thread a model of its own; the pages of the file are shared, and runs
that take longer than some 20 us release the GIL.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

import litert
from litert.samples import digits_model_path, load_digits

NUM_THREADS = 4

_of_thread = threading.local()


def open_own_model() -> None:
    """Give this thread its model; the thread pool calls it once a thread."""
    _of_thread.model = litert.Model(digits_model_path())


def classify(image: npt.NDArray[np.float32]) -> int:
    """Return the class of an image, with the model of the thread that calls."""
    outputs = _of_thread.model.run({"image": image[np.newaxis]})
    return int(outputs["probabilities"].argmax())


def main() -> None:
    """Classify the samples with a shared model, then with one a thread."""
    images, labels = load_digits()
    with litert.Model(digits_model_path()) as shared, ThreadPoolExecutor(NUM_THREADS) as pool:
        results = pool.map(lambda image: shared.run(image[np.newaxis]), images)
        digits = np.array([result["probabilities"].argmax() for result in results])
        print(f"shared: {(digits == labels).sum()} of {len(labels)} right")
    with ThreadPoolExecutor(NUM_THREADS, initializer=open_own_model) as pool:
        digits = np.array(list(pool.map(classify, images)))
        print(f"one a thread: {(digits == labels).sum()} of {len(labels)} right")


if __name__ == "__main__":
    main()
