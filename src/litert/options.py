"""Options of a model, validated when they are made."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from litert.cpu import num_physical_cores
from litert.errors import OptionError

Backend = Literal["auto", "native", "reference"]
Kernels = Literal["xnnpack", "builtin"]
XnnpackFlag = Literal[
    "force_fp16",
    "dynamic_fully_connected",
    "variable_operators",
    "transient_indirection_buffer",
    "latest_operators",
    "subgraph_reshaping",
    "slow_consistent_arithmetic",
    "disable_subgraph_reshaping",
]
CacheSetting: TypeAlias = "Literal['auto'] | str | os.PathLike[str] | None"

_MAX_THREADS = 1024

# Bits of the delegate's options (xnnpack_delegate.h).
_FLAG_BITS: dict[str, int] = {
    "force_fp16": 0x4,
    "dynamic_fully_connected": 0x8,
    "variable_operators": 0x10,
    "transient_indirection_buffer": 0x20,
    "latest_operators": 0x40,
    "subgraph_reshaping": 0x80,
    "slow_consistent_arithmetic": 0x200,
    "disable_subgraph_reshaping": 0x400,
}
# Flags that are given replace the library's own, without which int8 models are five times as slow:
# QS8 and QU8 are always among them.
_DEFAULT_BITS = 0x3
_CONTRADICTIONS = (
    ("subgraph_reshaping", "disable_subgraph_reshaping"),
    ("force_fp16", "slow_consistent_arithmetic"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuOptions:
    """How a model runs on the CPU.

    Attributes:
        num_threads: Threads of one run, 1 to 1024. By default the physical cores that this process
            may use, by its affinity and its cgroup's limit; operators that are too small to share
            run in one.
        kernels: ``"xnnpack"`` (fast, the default) or ``"builtin"`` (the library's plain kernels).
        xnnpack_flags: What XNNPACK does otherwise than by default. ``"force_fp16"`` computes
            float32 models in float16, which is faster on CPUs that have it and less exact.
        weight_cache: Where the weights that XNNPACK has packed are kept, so that the next load
            takes no time for it and all processes share one copy. ``"auto"``: in the user's cache
            folder, for models of 16 MB and more; a path: in that folder, for any model; None:
            nowhere.

    Raises:
        OptionError: A value is out of its range, or contradicts another.
    """

    num_threads: int | None = None
    kernels: Kernels = "xnnpack"
    xnnpack_flags: Sequence[XnnpackFlag] = ()
    weight_cache: CacheSetting = "auto"

    def __post_init__(self) -> None:
        if self.num_threads is not None:
            _check_num_threads(self.num_threads)
        if not isinstance(self.kernels, str) or self.kernels not in ("xnnpack", "builtin"):
            raise OptionError(f"kernels: expected 'xnnpack' or 'builtin', got {self.kernels!r}")
        if not isinstance(self.xnnpack_flags, tuple) or self.xnnpack_flags:
            object.__setattr__(self, "xnnpack_flags", _checked_flags(self.xnnpack_flags))
            if self.xnnpack_flags and self.kernels == "builtin":
                raise OptionError("xnnpack_flags: have no meaning with kernels='builtin'")
        if not isinstance(self.weight_cache, str) or self.weight_cache != "auto":
            check_cache_setting("weight_cache", self.weight_cache)
            if self.weight_cache is not None and "force_fp16" in self.xnnpack_flags:
                raise OptionError(
                    "weight_cache: XNNPACK cannot keep weights packed for float16; leave it out "
                    "with xnnpack_flags=('force_fp16',)"
                )

    @property
    def threads(self) -> int:
        """``num_threads``, or its default where it is None."""
        if self.num_threads is not None:
            return self.num_threads
        return min(num_physical_cores(), _MAX_THREADS)

    @property
    def xnnpack_bits(self) -> int:
        """The flags as the library takes them; 0 for its own."""
        if not self.xnnpack_flags:
            return 0
        return _DEFAULT_BITS | sum(_FLAG_BITS[flag] for flag in self.xnnpack_flags)

    @property
    def keeps_weights(self) -> bool:
        """Whether packed weights may be kept; those in float16 the library cannot keep."""
        return (
            self.weight_cache is not None
            and self.kernels == "xnnpack"
            and "force_fp16" not in self.xnnpack_flags
        )


def check_backend(backend: str, name: str = "backend") -> Backend:
    """Return ``backend`` if it names one; ``name`` is where it came from.

    Raises:
        OptionError: It does not.
    """
    if not isinstance(backend, str) or backend not in ("auto", "native", "reference"):
        raise OptionError(f"{name}: expected 'auto', 'native' or 'reference', got {backend!r}")
    return backend  # type: ignore[return-value]


def check_cache_setting(name: str, value: object) -> None:
    """Check an option that says where something is kept: ``"auto"``, None or a folder.

    Raises:
        OptionError: It is nothing of these, or a path that the library cannot be told.
    """
    if value is None:
        return
    path = path_text(value)
    if not path:
        raise OptionError(f"{name}: expected 'auto', None or a folder's path, got {value!r}")
    if any(mark in path for mark in '"\n\0'):
        raise OptionError(
            f"{name}: the path must not hold a quote, a newline or a NUL, got {value!r}"
        )


def checked_path(name: str, value: object) -> str:
    """Return a path that the system can be asked for.

    Raises:
        OptionError: It is none; the message begins with ``name``.
    """
    path = path_text(value)
    try:
        is_possible = bool(path) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half a character
        is_possible = False
    if not is_possible:
        # Not just any value: it may be a whole model.
        told = repr(value) if isinstance(value, (str, os.PathLike)) else type(value).__name__
        raise OptionError(f"{name}: expected a path, got {told}")
    return path


def path_text(value: object) -> str:
    """Return a path that is text, or that says itself that it is; empty for anything else."""
    if not isinstance(value, (str, os.PathLike)):
        return ""
    try:
        path = os.fspath(value)
    except TypeError:  # of no type that a path has
        return ""
    return path if isinstance(path, str) else ""


def _check_num_threads(num_threads: object) -> None:
    if isinstance(num_threads, bool) or not isinstance(num_threads, int):
        raise OptionError(f"num_threads: expected an int, got {num_threads!r}")
    if not 1 <= num_threads <= _MAX_THREADS:
        raise OptionError(f"num_threads: expected 1 to {_MAX_THREADS}, got {num_threads}")


def _checked_flags(flags: object) -> tuple[XnnpackFlag, ...]:
    if isinstance(flags, (str, bytes)) or not isinstance(flags, Sequence):
        raise OptionError(f"xnnpack_flags: expected a sequence of names, got {flags!r}")
    for flag in flags:
        if not isinstance(flag, str) or flag not in _FLAG_BITS:
            raise OptionError(f"xnnpack_flags: expected some of {list(_FLAG_BITS)}, got {flag!r}")
    for first, second in _CONTRADICTIONS:
        if first in flags and second in flags:
            raise OptionError(f"xnnpack_flags: {first!r} and {second!r} contradict each other")
    return tuple(dict.fromkeys(flags))
