"""The errors that litert raises, in one tree.

Each class also inherits the built-in exception that fits, so that ``except FileNotFoundError`` or
``except ValueError`` works where a caller does not care about litert's own names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class LiteRTError(Exception):
    """Base of every error of this package.

    Attributes:
        status: The LiteRtStatus number of the failing library call, None where no call failed.
        library_log: What the library said about the failure, line by line; may be empty.
    """

    status: int | None
    library_log: tuple[str, ...]

    def __init__(
        self, message: str = "", *, status: int | None = None, library_log: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.library_log = tuple(library_log)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.status, self.library_log)


def _rebuild(
    cls: type[LiteRTError], message: str, status: int | None, library_log: tuple[str, ...]
) -> LiteRTError:
    return cls(message, status=status, library_log=library_log)


class LibraryError(LiteRTError, OSError):
    """The LiteRT library was not found, is too old, or lacks a symbol."""


class MissingExtraError(LiteRTError, ImportError):
    """An optional dependency is missing; the message names the extra to install."""


class ModelError(LiteRTError):
    """A model could not be loaded."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """There is no file at the given path."""


class FileFormatError(ModelError, ValueError):
    """The bytes are no valid .tflite model; the message says what they are where that is known."""


class UnsupportedModelError(ModelError, NotImplementedError):
    """The model is valid, but the chosen backend cannot run it rightly."""


class SignatureError(LiteRTError, LookupError):
    """An unknown signature, input or output name; the message lists the known ones."""


class TensorError(LiteRTError):
    """An array does not fit its tensor."""


class TensorShapeError(TensorError, ValueError):
    """An array has another shape than its tensor."""


class TensorTypeError(TensorError, TypeError):
    """An array has another dtype than its tensor."""


class TensorLayoutError(TensorError, ValueError):
    """Memory cannot be bound as it is: not contiguous, not aligned, read-only or too small."""


class AcceleratorError(LiteRTError, RuntimeError):
    """A required accelerator is missing or refused the model; the message says why."""


class ExecutionError(LiteRTError, RuntimeError):
    """A run failed in the library."""


class RunCancelledError(LiteRTError, RuntimeError):
    """A run was cancelled."""


class RunTimeoutError(LiteRTError, TimeoutError):
    """A run took longer than the given time."""


class ClosedError(LiteRTError, RuntimeError):
    """The object was used after its ``close()``."""


class OptionError(LiteRTError, ValueError):
    """An option has a wrong value or contradicts another."""


class GenerationError(LiteRTError, RuntimeError):
    """Text could not be generated; the message says what stood in the way."""


class ContextLengthError(GenerationError, ValueError):
    """A prompt does not fit the context; the message says how many tokens there are and fit."""


class TokenizerError(GenerationError, ValueError):
    """A tokenizer is missing, damaged, or does not fit the model."""


class ChatTemplateError(GenerationError, ValueError):
    """A chat template is missing, does not compile, fails, or does not come to an end."""


class BackendFallbackWarning(UserWarning):
    """The native core is not available; ai-edge-litert's Python path is used in its place."""


# LiteRtStatus numbers that say more than "the call failed" (litert_common.h).
_CLASS_OF_STATUS: dict[int, type[LiteRTError]] = {
    4: TensorError,
    5: UnsupportedModelError,
    6: SignatureError,
    7: RunTimeoutError,
    8: LibraryError,
    100: RunCancelledError,
    500: FileFormatError,
    501: FileFormatError,
    502: LibraryError,
    503: ModelError,
    504: ModelError,
    4000: LibraryError,
    4001: LibraryError,
    4002: ModelError,
    5000: UnsupportedModelError,
}


def error_from_status(
    status: int, message: str, library_log: Sequence[str] = ()
) -> LiteRTError | MemoryError:
    """Build the error that stands for a LiteRtStatus.

    Args:
        status: LiteRtStatus of the failed call, not 0.
        message: What failed, what was given, what was expected.
        library_log: Lines that the library wrote about it.

    Returns:
        The error, to be raised by the caller; status 2 is Python's own MemoryError.
    """
    if status == 2:
        return MemoryError(message)
    cls = _CLASS_OF_STATUS.get(status, ExecutionError)
    return cls(message, status=status, library_log=library_log)
