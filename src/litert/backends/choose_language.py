"""Which backend a language model gets, and why."""

from __future__ import annotations

import logging
import mmap
from typing import TYPE_CHECKING

from litert.backends.choose import chosen_backend, warn_once
from litert.errors import LibraryError, ModelError, UnsupportedModelError
from litert.language.language_file import LanguageFile, errors_named
from litert.options import Backend, CpuOptions

if TYPE_CHECKING:
    from litert._flatbuffer import Span
    from litert.backends.language_protocol import BackendLanguageModel

_log = logging.getLogger("litert")


def open_language_model(
    file: LanguageFile,
    options: CpuOptions,
    backend: Backend,
    *,
    cache_folder: str,
    context_length: int | None,
) -> tuple[BackendLanguageModel, str, str]:
    """Open a language model with the backend asked for, or the one that runs it rightly.

    Args:
        file: Where its parts lie.
        options: How to run it.
        backend: ``"auto"`` prefers native; ``LITERT_BACKEND`` stands in for it where it is set.
        cache_folder: Where packed weights are kept; empty keeps them in memory.
        context_length: Tokens that a context can hold at most; None as the file says.

    Returns:
        The model, the backend's name, and why it was chosen.

    Raises:
        LiteRTError: The one that says why the model cannot be opened; it names the file.
    """
    backend, chosen_by = chosen_backend(backend)
    try:
        if backend == "reference":
            reference = _open_reference(file, options, context_length)
            return reference, "reference", f"chosen by {chosen_by}"
        try:
            model = _open_native(file, options, cache_folder, context_length)
        except (LibraryError, UnsupportedModelError) as err:
            if backend == "native":
                raise
            if isinstance(err, LibraryError):
                warn_once(err)
            reference = _open_reference(file, options, context_length)
            _log.debug("%s runs on the reference backend: %s", file.path, err)
            return reference, "reference", str(err)
    except ModelError as err:
        if str(file.path) in str(err):
            raise
        raise type(err)(
            f"model {str(file.path)!r}: {err}", status=err.status, library_log=err.library_log
        ) from err
    reason = "the default" if backend == "auto" else f"chosen by {chosen_by}"
    return model, "native", reason


def _open_native(
    file: LanguageFile, options: CpuOptions, cache_folder: str, context_length: int | None
) -> BackendLanguageModel:
    try:
        from litert.backends.native_language import NativeLanguageModel
    except ImportError as err:
        from litert.installation import explain_missing_extension

        raise LibraryError(explain_missing_extension(str(err))) from err
    return NativeLanguageModel.open(file, options, cache_folder, context_length)


def _open_reference(
    file: LanguageFile, options: CpuOptions, context_length: int | None
) -> BackendLanguageModel:
    from litert.backends.reference_language import ReferenceLanguageModel

    with (
        errors_named(file.path),
        file.path.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
        memoryview(mapping) as data,
    ):
        # Copies: the model must not hold the mapping open.
        model = _part(data, file.model)
        embedder = None if file.embedder is None else _part(data, file.embedder)
    promised = file.metadata.context_length if file.metadata is not None else 0
    return ReferenceLanguageModel(
        model,
        embedder,
        metadata=file.executor,
        cpu=options,
        context_length=context_length,
        promised_length=promised,
    )


def _part(data: memoryview, span: Span) -> bytes:
    return bytes(data[span.offset : span.offset + span.size])
