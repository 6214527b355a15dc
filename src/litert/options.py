"""Options of a model, validated when they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from litert.errors import OptionError

Backend = Literal["auto", "native", "reference"]
Kernels = Literal["xnnpack", "builtin"]

_MAX_THREADS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuOptions:
    """How a model runs on the CPU.

    Attributes:
        num_threads: Threads of one run, 1 to 1024. The default is the library's: one.
        kernels: ``"xnnpack"`` (fast, the default) or ``"builtin"`` (the library's plain kernels).

    Raises:
        OptionError: A value is out of its range.
    """

    num_threads: int = 1
    kernels: Kernels = "xnnpack"

    def __post_init__(self) -> None:
        if isinstance(self.num_threads, bool) or not isinstance(self.num_threads, int):
            raise OptionError(f"num_threads: expected an int, got {self.num_threads!r}")
        if not 1 <= self.num_threads <= _MAX_THREADS:
            raise OptionError(f"num_threads: expected 1 to {_MAX_THREADS}, got {self.num_threads}")
        if self.kernels not in ("xnnpack", "builtin"):
            raise OptionError(f"kernels: expected 'xnnpack' or 'builtin', got {self.kernels!r}")


def check_backend(backend: str, name: str = "backend") -> Backend:
    """Return ``backend`` if it names one; ``name`` is where it came from.

    Raises:
        OptionError: It does not.
    """
    if backend not in ("auto", "native", "reference"):
        raise OptionError(f"{name}: expected 'auto', 'native' or 'reference', got {backend!r}")
    return backend  # type: ignore[return-value]
