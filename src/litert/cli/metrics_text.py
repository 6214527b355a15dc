"""The lines that tell a person how fast a generation was."""

from __future__ import annotations

from litert.language.generation import Generation
from litert.printing import count

SEPARATOR = " · "


def metrics_line(generation: Generation) -> str:
    """Say everything in one line."""
    metrics = generation.metrics
    cached = f" ({metrics.cached_tokens:,} kept)" if metrics.cached_tokens else ""
    return SEPARATOR.join(
        (
            f"prompt {count(metrics.prompt_tokens, 'token')}{cached}",
            f"generated {count(metrics.generated_tokens, 'token')}",
            f"first token {duration(metrics.time_to_first_token_s)}",
            f"prefill {rate(metrics.prefill_tokens_per_s)}",
            f"decode {rate(metrics.decode_tokens_per_s)}",
            generation.finish_reason,
        )
    )


def rate(tokens_per_s: float) -> str:
    """Say a speed: ``"7.3 tok/s"``, ``"1,250 tok/s"``."""
    return f"{tokens_per_s:.1f} tok/s" if tokens_per_s < 10 else f"{tokens_per_s:,.0f} tok/s"


def duration(seconds: float) -> str:
    """Say a time: ``"0.4 ms"``, ``"85 ms"``, ``"1.24 s"``."""
    if seconds >= 1:
        return f"{seconds:.2f} s"
    milliseconds = seconds * 1000
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
