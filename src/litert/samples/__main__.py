"""Run the sample models and show how fast and where: ``python -m litert.samples``."""

from __future__ import annotations

import statistics
import sys
import textwrap
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

import litert
from litert.samples import digits_model_path, load_digits
from litert.samples._ask_speller import ask_speller

_MIN_ACCURACY = 0.9
_ROUNDS = 200
_CALLS_PER_ROUND = 20  # one call is too short for the clock
_DRAWN = (0, 6, 12, 18)  # one sample each of 0, 3, 6 and 9
_INK = " .:+#@"

Images = npt.NDArray[np.float32]


def main() -> int:
    """Print predictions, latency and placement, then answers of the language model.

    Returns:
        The exit status: 1 where too many digits or answers were wrong.
    """
    images, labels = load_digits()
    with litert.Model(digits_model_path(), num_threads=1) as model:
        probabilities = np.concatenate(
            [model.run({"image": image[np.newaxis]})["probabilities"] for image in images]
        )
        is_right = probabilities.argmax(axis=1) == labels
        print(f"litert {litert.__version__}: {len(labels)} digits it was not trained on\n")
        print(_drawings(images, probabilities))
        print(_predictions(labels, probabilities))
        print(_comparison(model, images[:1]))
        print(_placement(model))
    is_good = is_right.mean() >= _MIN_ACCURACY
    return 0 if ask_speller() and is_good else 1


def _drawings(images: Images, probabilities: npt.NDArray[np.float32]) -> str:
    """Draw a few digits side by side, two characters a pixel."""
    drawn = images[list(_DRAWN), :, :, 0]
    levels = np.rint(drawn * (len(_INK) - 1)).astype(int)
    lines = [
        "  ".join("".join(_INK[level] * 2 for level in row) for row in rows)
        for rows in levels.transpose(1, 0, 2)
    ]
    captions = (f"{row.argmax()} ({row.max():.1%})" for row in probabilities[list(_DRAWN)])
    lines.append("  ".join(caption.center(16) for caption in captions))
    return "".join(f"  {line}".rstrip() + "\n" for line in lines)


def _predictions(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float32]) -> str:
    """Return labels over predictions, with a mark under those that differ."""
    predicted = probabilities.argmax(axis=1)
    is_right = predicted == labels
    lines = [
        f"  label      {' '.join(map(str, labels))}",
        f"  predicted  {' '.join(map(str, predicted))}",
        f"             {' '.join(' ' if right else '^' for right in is_right)}".rstrip(),
        f"  accuracy   {is_right.mean():.0%} ({is_right.sum()} of {len(labels)})",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def _comparison(model: litert.Model, image: Images) -> str:
    """Compare with the reference backend, where there is one: not on free-threaded Python."""
    try:
        reference = litert.Model(digits_model_path(), num_threads=1, backend="reference")
    except litert.LibraryError as err:
        return f"  latency    not compared: {err}\n"
    with reference:
        return _latency(model, reference, image)


def _latency(model: litert.Model, reference: litert.Model, image: Images) -> str:
    """Time a bare run and a run with arrays in and out on both backends, and return a table."""
    inputs = {"image": image}
    with model.bind("classify") as ours, reference.bind("classify") as theirs:
        for runner in (ours, theirs):
            runner.inputs["image"][...] = image
        latencies_us = {
            "runner.run()": _medians_us(ours.run, theirs.run),
            "model.run(dict)": _medians_us(
                lambda: model.run(inputs), lambda: reference.run(inputs)
            ),
        }
    lines = [f"  median us, 1 thread    {model.backend:>10} {reference.backend:>10}    ratio"]
    for name, (our_us, their_us) in latencies_us.items():
        lines.append(
            f"  {name:<22} {our_us:>10.2f} {their_us:>10.2f}    {our_us / their_us:>4.2f}x"
        )
    return "\n".join(lines) + "\n"


def _medians_us(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Return the median time of one call in microseconds, each, measured in turn."""
    our_us, their_us = [], []
    for _ in range(_ROUNDS):
        our_us.append(_time_us(ours))
        their_us.append(_time_us(theirs))
    return statistics.median(our_us), statistics.median(their_us)


def _time_us(call: Callable[[], object]) -> float:
    """Return the mean time of a call over a few calls, in microseconds."""
    start_ns = time.perf_counter_ns()
    for _ in range(_CALLS_PER_ROUND):
        call()
    return (time.perf_counter_ns() - start_ns) / _CALLS_PER_ROUND / 1000


def _placement(model: litert.Model) -> str:
    """Say which backend ran the model, why, and with which library."""
    library = litert.library_info()
    backend = textwrap.fill(
        f"  backend    {model.backend} ({model.backend_reason})", 80, subsequent_indent=" " * 13
    )
    return f"{backend}\n  library    {library.version}\n             {library.path}"


if __name__ == "__main__":
    sys.exit(main())
