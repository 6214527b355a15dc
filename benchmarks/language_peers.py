"""One peer in a process of its own: loads a model, then generates as it is told, line by line.

python benchmarks/language_peers.py PEER [--model FILE] [--threads N] [--cache FOLDER] ...

It writes a line of JSON once it is loaded, and one for each line it reads. Prompts are a word
again and again, as often as makes so many tokens, so that every peer reads the same.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Packages are imported by the peer that needs them: each has an environment of its own.

_WORD = " the"


def prompt_of(num_tokens: int, count: Callable[[str], int]) -> str:
    """Return a prompt of so many tokens by ``count``."""
    for repeats in range(num_tokens, 0, -1):
        if count(_WORD * repeats) == num_tokens:
            return _WORD * repeats
    raise ValueError(f"no number of {_WORD!r} makes {num_tokens} tokens")


def peak_memory() -> int:
    """Return the peak of the resident memory in bytes; getrusage counts the parent's too."""
    return _kilobytes("/proc/self/status", "VmHWM")


def own_memory() -> int:
    """Return resident memory in bytes, where what others map too counts by its share."""
    return _kilobytes("/proc/self/smaps_rollup", "Pss")


def _kilobytes(path: str, name: str) -> int:
    for line in Path(path).read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"{path} has no line {name}")


class NativePeer:
    """``LanguageModel``; with ``timed_library`` also what a step costs outside of the library."""

    def __init__(self, args: argparse.Namespace) -> None:
        import tokenizers  # noqa: F401

        import litert

        # Code is loaded before the clock starts, as importing litert_lm does with all of its own.
        import litert.backends.native_language
        import litert.language.huggingface_tokenizer

        litert.library_info()
        language_model = litert.LanguageModel
        start = time.perf_counter()
        self._model = language_model(
            args.model, num_threads=args.threads, weight_cache=args.cache, backend="native"
        )
        self.ready = {"load_s": time.perf_counter() - start, "peak_bytes": peak_memory()}
        self._timed = None
        if args.timed_library is not None:
            self._timed = ctypes.CDLL(str(args.timed_library))
            self._timed.timed_library_seconds.restype = ctypes.c_double
            self._timed.timed_library_seconds.argtypes = [ctypes.c_size_t]

    def answer(self, prompt_tokens: int, new_tokens: int) -> dict[str, Any]:
        """Generate greedily after a prompt."""
        model = self._model
        extra = model.bos_token is not None
        prompt = prompt_of(prompt_tokens, lambda text: len(model.tokenizer.encode(text)) + extra)
        made = model.generate(prompt, max_tokens=new_tokens, temperature=0, ignore_eos=True)
        metrics = made.metrics
        answer = {
            "num_tokens": [metrics.prompt_tokens, metrics.generated_tokens],
            "first_token_s": metrics.time_to_first_token_s,
            "prefill": metrics.prefill_tokens_per_s,
            "decode": metrics.decode_tokens_per_s,
            "peak_bytes": peak_memory(),
            "text": made.text,
        }
        if self._timed is not None:
            steps = metrics.generated_tokens - 1
            step_s = 1 / metrics.decode_tokens_per_s
            outside_s = step_s - self._timed.timed_library_seconds(steps) / steps
            answer |= {"outside_s": outside_s, "outside_share": outside_s / step_s}
        return answer


class LiteRtLmPeer:
    """litert-lm's ``Engine``: a session for each prompt, and its own count of the time."""

    def __init__(self, args: argparse.Namespace) -> None:
        import litert_lm

        self._package = litert_lm
        start = time.perf_counter()
        self._engine = litert_lm.Engine(
            str(args.model),
            backend=litert_lm.Backend.CPU(thread_count=args.threads),
            max_num_tokens=args.context_length,
            cache_dir=str(args.cache),
            enable_benchmark=True,
        )
        self.ready = {"load_s": time.perf_counter() - start, "peak_bytes": peak_memory()}

    def answer(self, prompt_tokens: int, new_tokens: int) -> dict[str, Any]:
        """Generate greedily after a prompt."""
        engine = self._engine
        extra = engine.bos_token_id is not None
        prompt = prompt_of(prompt_tokens, lambda text: len(engine.tokenize(text)) + extra)
        session = engine.create_session(
            sampler_config=self._package.SamplerConfig(top_k=1, temperature=0.0),
            apply_prompt_template=False,
            max_output_tokens=new_tokens,
        )
        with session:
            session.run_prefill([prompt])
            text = session.run_decode().texts[0]
            info = session.get_benchmark_info()
        return {
            "num_tokens": [info.last_prefill_token_count, info.last_decode_token_count],
            "first_token_s": info.time_to_first_token_in_second,
            "prefill": info.last_prefill_tokens_per_second,
            "decode": info.last_decode_tokens_per_second,
            "load_reported_s": info.init_time_in_second,
            "peak_bytes": peak_memory(),
            "text": text,
        }


class PythonPeer:
    """The loop in Python over ai_edge_litert; prompts are ids that do not matter."""

    def __init__(self, args: argparse.Namespace) -> None:
        from language_python_loop import PythonLoop

        start = time.perf_counter()
        self._loop = PythonLoop(args.model, args.threads)
        self.ready = {"load_s": time.perf_counter() - start, "peak_bytes": peak_memory()}

    def answer(self, prompt_tokens: int, new_tokens: int) -> dict[str, Any]:
        """Generate greedily after a prompt."""
        prompt = range(10, 10 + prompt_tokens)
        tokens, first_s, decode_s = self._loop.generate(prompt, new_tokens)
        return {
            "num_tokens": [len(prompt), len(tokens)],
            "first_token_s": first_s,
            "prefill": prompt_tokens / first_s,
            "decode": (new_tokens - 1) / decode_s,
            "peak_bytes": peak_memory(),
        }


class ReadPeer:
    """No model: threads that read as many bytes as a step has to, again and again."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._library = ctypes.CDLL(str(args.read_library))
        self._library.read_limit_open.restype = ctypes.c_void_p
        self._library.read_limit_open.argtypes = [ctypes.c_size_t]
        self._library.read_limit_run.restype = ctypes.c_double
        self._library.read_limit_run.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self._memory = self._library.read_limit_open(args.read_bytes)
        self._num_threads = args.threads
        self.ready: dict[str, float] = {}

    def answer(self, prompt_tokens: int, new_tokens: int) -> dict[str, Any]:
        """Read everything once for each new token."""
        seconds = self._library.read_limit_run(self._memory, self._num_threads, new_tokens)
        return {"num_tokens": [prompt_tokens, new_tokens], "decode": 1 / seconds}


class PairPeer:
    """Two models of one thread at once, and one model of all threads that takes them in turn."""

    def __init__(self, args: argparse.Namespace) -> None:
        import litert

        # Modules are no part of what a model takes.
        language_model = litert.LanguageModel

        def load(num_threads: int) -> Any:
            model = language_model(
                args.model, num_threads=num_threads, weight_cache=args.cache, backend="native"
            )
            _generate_ids(model, 64, 8)
            return model

        before = own_memory()
        first = load(1)
        with_first = own_memory()
        self._pair = (first, load(1))
        with_both = own_memory()
        self._alone = load(args.threads)
        self.ready = {
            "first_bytes": with_first - before,
            "second_bytes": with_both - with_first,
        }

    def answer(self, prompt_tokens: int, new_tokens: int) -> dict[str, Any]:
        """Generate twice each way; tokens a second of both together, prompts included."""
        start = time.perf_counter()
        threads = [
            threading.Thread(target=_generate_ids, args=(model, prompt_tokens, new_tokens))
            for model in self._pair
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        middle = time.perf_counter()
        for _ in self._pair:
            _generate_ids(self._alone, prompt_tokens, new_tokens)
        end = time.perf_counter()
        return {
            "num_tokens": [prompt_tokens, new_tokens],
            "at_once": 2 * new_tokens / (middle - start),
            "in_turn": 2 * new_tokens / (end - middle),
        }


def _generate_ids(model: Any, prompt_tokens: int, new_tokens: int) -> None:
    model.generate(
        range(10, 10 + prompt_tokens), max_tokens=new_tokens, temperature=0, ignore_eos=True
    )


PEERS: dict[str, Any] = {
    "litert-native": NativePeer,
    "litert-lm": LiteRtLmPeer,
    "python": PythonPeer,
    "read": ReadPeer,
    "pair": PairPeer,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, then answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="folder of packed weights")
    parser.add_argument("--context-length", type=int, help="what litert-lm is told to hold")
    parser.add_argument("--timed-library", type=Path, help="what LITERT_LIBRARY names too")
    parser.add_argument("--read-library", type=Path)
    parser.add_argument("--read-bytes", type=int, default=0)
    args = parser.parse_args(arguments)
    peer = PEERS[args.peer](args)
    print(json.dumps(peer.ready), flush=True)
    for line in sys.stdin:
        print(json.dumps(peer.answer(**json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
