"""Which backend a model gets, and why. The only place that decides it."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING

from litert.backends.protocol import BackendModel
from litert.errors import (
    AcceleratorError,
    BackendFallbackWarning,
    FileFormatError,
    LibraryError,
    LiteRTError,
    ModelError,
    OptionError,
    UnsupportedModelError,
)
from litert.options import Backend, CpuOptions, check_backend

if TYPE_CHECKING:
    from litert.accelerate.load import Opened
    from litert.accelerate.plugins import Plugins
    from litert.accelerate.request import AcceleratorRequest

# Tried once: an import statement in the way of every load would cost a twentieth of a small one.
try:
    from litert.backends.native import NativeModel
except ImportError as err:
    NativeModel = None  # type: ignore[assignment,misc]
    _no_extension = str(err)

_log = logging.getLogger("litert")

_warned: set[str] = set()

# LiteRtStatus: the model is sound, the compiled model must not run it.
_UNSUPPORTED = 5


def open_model(
    source: str | bytes,
    options: CpuOptions,
    backend: Backend,
    release_gil: bool | None,
    plugins: Plugins | None = None,
) -> tuple[BackendModel, str, str]:
    """Open a model with the backend asked for, or the one that runs it rightly.

    Args:
        source: A path or the model's bytes.
        options: How to run it.
        backend: ``"auto"`` prefers native; ``LITERT_BACKEND`` stands in for it where it is set.
        release_gil: See ``NativeModel.open``.
        plugins: Delegates and kernels, which the native backend alone can use.

    Returns:
        The model, the backend's name, and why it was chosen.

    Raises:
        LiteRTError: The one that says why the model cannot be opened; it names the file.
    """
    try:
        return _choose(source, options, backend, release_gil, plugins)
    except ModelError as err:
        if isinstance(source, bytes) or repr(source) in str(err):
            raise
        raise type(err)(
            f"model {source!r}: {err}", status=err.status, library_log=err.library_log
        ) from err


def open_model_on(
    source: str | bytes,
    request: AcceleratorRequest,
    options: CpuOptions,
    backend: Backend,
    release_gil: bool | None,
) -> tuple[BackendModel, str, str, Opened]:
    """Open a model on the accelerator that is asked for, or on the CPU as ``open_model`` does.

    Args:
        source: A path or the model's bytes.
        request: Which accelerators may run it.
        options: How to run it on the CPU.
        backend: ``"reference"`` has the CPU alone.
        release_gil: See ``NativeModel.open``.

    Returns:
        What ``open_model`` returns, and what came of the request.

    Raises:
        AcceleratorError: No accelerator that was asked for takes the model, and the CPU was not
            asked for.
        LiteRTError: The one that says why the model cannot be opened.
    """
    from litert.accelerate.choice import open_as_requested
    from litert.accelerate.load import Opened

    wanted, chosen_by = chosen_backend(backend)
    if wanted == "reference" or NativeModel is None:
        lacks = (
            f"the reference backend, chosen by {chosen_by}, runs models on the CPU alone"
            if wanted == "reference"
            else f"accelerators need the native core: {_no_extension}"
        )
        if "cpu" not in request.order:
            raise AcceleratorError(f"accelerator {request.order[0]!r}: {lacks}")
        opened = Opened(None, None, None, (lacks,))
    else:
        opened = open_as_requested(source, request, options, release_gil)
    if opened.model is not None and opened.target is not None:
        return opened.model, "native", f"accelerator {opened.target.name!r}", opened
    return *open_model(source, options, backend, release_gil), opened


def chosen_backend(backend: Backend) -> tuple[Backend, str]:
    """Return the backend that was asked for, by ``LITERT_BACKEND`` in place of auto, and how."""
    named = os.environ.get("LITERT_BACKEND") if backend == "auto" else None
    if not named:
        return backend, f"backend={backend!r}"
    return check_backend(named, "LITERT_BACKEND"), f"LITERT_BACKEND={named}"


def _choose(
    source: str | bytes,
    options: CpuOptions,
    backend: Backend,
    release_gil: bool | None,
    plugins: Plugins | None,
) -> tuple[BackendModel, str, str]:
    backend, chosen_by = chosen_backend(backend)
    if plugins is not None:
        if backend == "reference":
            raise OptionError(
                "delegates and custom_ops need the native backend; the reference one is chosen by "
                f"{chosen_by}"
            )
        model = _open_native(source, options, release_gil, plugins)
        return model, "native", "it has delegates or custom operators of its own"
    if backend == "reference":
        return _open_reference(source, options), "reference", f"chosen by {chosen_by}"
    try:
        model = _open_native(source, options, release_gil)
    except LibraryError as err:
        if backend == "native":
            raise
        warn_once(err)
        return _open_reference(source, options), "reference", str(err)
    except LiteRTError as err:
        # A folder that cannot be used is no reason for another backend.
        if backend == "native" or isinstance(err, (FileFormatError, OptionError)):
            raise
        return _open_reference_instead(source, options, err)
    reason = "the default" if backend == "auto" else f"chosen by {chosen_by}"
    return model, "native", reason


def _open_native(
    source: str | bytes,
    options: CpuOptions,
    release_gil: bool | None,
    plugins: Plugins | None = None,
) -> BackendModel:
    if NativeModel is None:
        from litert.installation import explain_missing_extension

        raise LibraryError(explain_missing_extension(_no_extension))
    try:
        return NativeModel.open(source, options, release_gil, plugins=plugins)
    except FileFormatError:
        # Says what it is instead, where that is known: a directory, ONNX, a truncated file.
        from litert.file_format import check_source

        check_source(source)
        raise
    except (LibraryError, OptionError):
        raise
    except LiteRTError as err:
        if err.status == _UNSUPPORTED:
            raise  # the core has said why itself
        if plugins is not None:
            raise  # of theirs, the file tells nothing
        explained = _explained(source, err)
        if explained is err and not err.library_log:
            # The library refused it without a word; the Interpreter names the operator.
            explained = _refusal_of_reference(source, options) or err
        raise explained from err


def _refusal_of_reference(source: str | bytes, options: CpuOptions) -> LiteRTError | None:
    try:
        _open_reference(source, options).close()
    except LibraryError:
        return None
    except LiteRTError as err:
        return err
    return None


def _open_reference(source: str | bytes, options: CpuOptions) -> BackendModel:
    from litert.backends.reference import ReferenceModel
    from litert.file_format import check_source

    check_source(source)
    try:
        return ReferenceModel.open(source, options)
    except UnsupportedModelError as err:
        raise _explained(source, err) from err


def _open_reference_instead(
    source: str | bytes, options: CpuOptions, native_error: LiteRTError
) -> tuple[BackendModel, str, str]:
    """Open what the native core refused; if nobody can run it, the core's reason is the better."""
    try:
        model = _open_reference(source, options)
    except LibraryError:
        raise native_error from None
    except LiteRTError as err:
        # A model left to the reference on purpose fails with the reference's reason.
        raise (err if _is_left_to_reference(native_error) else native_error) from None
    _log.debug("%s runs on the reference backend: %s", _describe(source), native_error)
    return model, "reference", str(native_error)


def _is_left_to_reference(error: LiteRTError) -> bool:
    return isinstance(error, UnsupportedModelError) and error.status == _UNSUPPORTED


def _explained(source: str | bytes, err: LiteRTError) -> LiteRTError:
    """Return an error that says what the file tells of why it cannot run, else ``err`` itself."""
    from litert.model_file import as_buffer
    from litert.unrunnable import explain_unrunnable

    with as_buffer(source) as data:
        explanation = explain_unrunnable(data)
    if explanation is None:
        return err
    return UnsupportedModelError(explanation, status=err.status, library_log=err.library_log)


def _describe(source: str | bytes) -> str:
    return source if isinstance(source, str) else f"a model of {len(source)} bytes"


def warn_once(err: LibraryError) -> None:
    """Warn that the native core is not available, once for each reason."""
    text = str(err)
    if text in _warned:
        return
    _warned.add(text)
    warnings.warn(
        f"the native core is not available, ai-edge-litert's Python path is used: {text}",
        BackendFallbackWarning,
        stacklevel=5,
    )
