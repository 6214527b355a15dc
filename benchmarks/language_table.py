"""The rows of the table of language models, each with its bar, and the table made of samples."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

SMOLLM, REAUTHORED, INT4 = "smollm_135m_wi8", "smollm_135m_re_wi8", "smollm_135m_wi4"
GEMMA, TOY = "gemma3_270m_wi8", "small_llama_transposed_f32"

Samples = Mapping[str, list[float]]

_HEADER = ("work", "ours", "peer", "peer's", "ours / peer", "bar", "")


@dataclass(frozen=True)
class Row:
    """One line: a figure of ours against a peer's, or alone.

    Attributes:
        work: What is measured.
        ours: Key of our samples.
        show: Name of how to write a figure, see ``_SHOWN``.
        bar: What the ratio, or the figure alone, must reach; None for one that is only told.
        better: Whether more is better or less.
        peer: Key of the peer's samples; empty for a figure alone.
        peer_name: How the table calls the peer.
    """

    work: str
    ours: str
    show: str
    bar: float | None
    better: Literal["more", "less"]
    peer: str = ""
    peer_name: str = "litert-lm"


def _against_litert_lm(
    work: str,
    model: str,
    figure: str,
    show: str,
    bar: float | None,
    better: Literal["more", "less"],
) -> Row:
    ours, theirs = f"{model}/litert-native/{figure}", f"{model}/litert-lm/{figure}"
    return Row(work, ours, show, bar, better, theirs)


def _rows() -> Iterable[Row]:
    def decode(work: str, model: str, prompt: int, bar: float) -> Row:
        figure = f"{prompt}/decode"
        return _against_litert_lm(f"decode, {work}", model, figure, "speed", bar, "more")

    yield decode("64 tokens in, 48 out", SMOLLM, 64, 2.0)
    yield decode("200 in, 48 out", SMOLLM, 200, 1.85)
    yield decode("500 in, 48 out", SMOLLM, 500, 1.4)
    yield decode("1200 in, 48 out", SMOLLM, 1200, 1.1)
    yield decode("64 in, re-authored layout", REAUTHORED, 64, 2.0)
    yield decode("64 in, 4-bit weights", INT4, 64, 2.0)
    yield decode("64 in, Gemma3-270M shape", GEMMA, 64, 1.35)
    ours = f"{SMOLLM}/litert-native/64/decode"
    yield Row(
        *("decode as a share of reading the packed weights", ours, "speed", 0.62, "more"),
        *(f"{SMOLLM}/read/64/decode", "2 threads that read, no model"),
    )
    yield Row(
        *("decode, 64 in, against Python", ours, "speed", 2.0, "more"),
        *(f"{SMOLLM}/python/64/decode", "a loop over CompiledModel"),
    )
    for prompt, bar in ((64, 2.6), (200, 2.8), (500, 2.1)):
        work, figure = f"prefill of {prompt} tokens", f"{prompt}/prefill"
        yield _against_litert_lm(work, SMOLLM, figure, "speed", bar, "more")
    for prompt, bar in ((64, 0.33), (1200, 0.93)):
        work, figure = f"time to first token, {prompt} in", f"{prompt}/first_token_s"
        yield _against_litert_lm(work, SMOLLM, figure, "time", bar, "less")
    for kind, bar in (("warm", 0.5), ("cold", 0.65)):
        work, figure = f"load, weight cache {kind}", f"{kind}/load_s"
        yield _against_litert_lm(work, SMOLLM, figure, "time", bar, "less")
    yield Row(
        *("load, weight cache warm", f"{SMOLLM}/litert-native/warm/load_s", "time", None, "less"),
        *(f"{SMOLLM}/litert-lm/64/load_reported_s", "litert-lm's own count"),
    )
    for prompt, work, bar in ((64, "64 in", 0.70), (1200, "full context", 0.82)):
        work, figure = f"peak resident memory, {work}", f"{prompt}/peak_bytes"
        yield _against_litert_lm(work, SMOLLM, figure, "memory", bar, "less")
    pair = f"{SMOLLM}/pair"
    yield Row(
        *("two generations at once, 1 thread each", f"{pair}/64/at_once", "speed", 1.2, "more"),
        *(f"{pair}/64/in_turn", "ours, 2 threads, in turn"),
    )
    yield Row(
        *("memory of the second model", f"{pair}/warm/second_bytes", "memory", 0.35, "less"),
        *(f"{pair}/warm/first_bytes", "of the first"),
    )
    outside = "a step outside of the library"
    yield Row(outside, f"{SMOLLM}/timed/64/outside_share", "share", 0.01, "less")
    yield Row(f"{outside}, 2-layer toy", f"{TOY}/timed/32/outside_s", "time", 5e-6, "less")
    loop = "a token without the model, vocabulary of 262,144,"
    yield Row(f"{loop} greedy", "loop/greedy", "time", 60e-6, "less")
    yield Row(f"{loop} top-k, top-p, temperature", "loop/top_k_top_p", "time", 150e-6, "less")
    yield Row(f"{loop} top-p alone, peaked", "loop/top_p", "time", 700e-6, "less")
    yield Row(f"{loop} the detokenizer", "loop/detokenizer", "time", 0.1e-6, "less")


ROWS = tuple(_rows())


def as_markdown(measured: Mapping[str, Any]) -> str:
    """Return the table and what stands under it."""
    samples, skipped = measured["samples"], measured["skipped"]
    lines = [_line(_HEADER), _line("---" for _ in _HEADER)]
    lines += [_line(_cells(row, samples, skipped)) for row in ROWS]
    return "\n".join([*lines, "", _conditions(measured)]) + "\n"


def _cells(row: Row, samples: Samples, skipped: Mapping[str, str]) -> tuple[str, ...]:
    for key in (row.ours, row.peer):
        if key and not samples.get(key):
            whose = "/".join(key.split("/")[:2])
            reason = skipped.get(whose) or skipped.get(key.split("/")[0]) or "not measured"
            return (row.work, "", row.peer and row.peer_name, "", "", "", f"skipped: {reason}")
    show = _SHOWN[row.show]
    ours = statistics.median(samples[row.ours])
    ours_shown = _with_spread(samples[row.ours], show)
    sign = "≥" if row.better == "more" else "≤"
    if not row.peer:
        bar = "" if row.bar is None else f"{sign} {show(row.bar)}"
        return (row.work, ours_shown, "", "", "", bar, _verdict(row, ours))
    ratio = ours / statistics.median(samples[row.peer])
    bar = "" if row.bar is None else f"{sign} {row.bar:.2f}"
    theirs_shown = _with_spread(samples[row.peer], show)
    verdict = _verdict(row, ratio)
    return (row.work, ours_shown, row.peer_name, theirs_shown, f"{ratio:.2f}", bar, verdict)


def _verdict(row: Row, value: float) -> str:
    if row.bar is None:
        return ""
    is_met = value >= row.bar if row.better == "more" else value <= row.bar
    return "met" if is_met else "**missed**"


def _with_spread(samples: list[float], show: Callable[[float], str]) -> str:
    """Write the median, and half the distance between the quartiles."""
    middle = show(statistics.median(samples))
    if len(samples) < 2:
        return middle
    first, _, third = statistics.quantiles(samples, n=4, method="inclusive")
    return f"{middle} ± {show((third - first) / 2)}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


_SHOWN: dict[str, Callable[[float], str]] = {
    "speed": lambda per_s: f"{per_s:.3g} /s" if per_s < 1000 else f"{per_s:.0f} /s",
    "time": _time,
    "memory": lambda size_bytes: f"{size_bytes / 1e6:.0f} MB",
    "share": lambda share: f"{share * 100:.2g} %",
}


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _conditions(measured: Mapping[str, Any]) -> str:
    machine, samples = measured["machine"], measured["samples"]
    same = [value for key, values in samples.items() if "/texts/" in key for value in values]
    texts = (
        f"Both generated the same text in {sum(same):.0f} of {len(same)} cases. " if same else ""
    )
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        "SmolLM-135M's shape with int8 weights and caches of 1280 tokens, where nothing else is "
        f"said; {machine['num_threads']} threads. {texts}"
        f"{machine['cpu']}, {machine['num_cores']} cores, load {machine['load']}; "
        f"Linux {machine['release']}, Python {machine['python_version']}, {packages}; "
        f"{machine['date']}. Each peer is a process of its own, a new one in each of "
        f"{measured['rounds']} rounds, and warmed; peers take turns of one generation, the order "
        "alternating. Medians ± half the distance between the quartiles. Made by "
        "`benchmarks/language_report.py`."
    )
