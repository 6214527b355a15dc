"""What others bring into the library: external delegates, and kernels of custom operators."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from litert._extension import native as _native
from litert.accelerate.python_kernel import PythonKernel, same_as_first_input
from litert.errors import ExecutionError, OptionError
from litert.file_format import check_source
from litert.model_file import as_buffer, read_model
from litert.options import checked_path, path_text

PathLike: TypeAlias = "str | os.PathLike[str]"
Shape: TypeAlias = "Sequence[int]"

_SYMBOL = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Delegate:
    """An external delegate: a shared object that runs operators in its own way.

    It exports ``tflite_plugin_create_delegate`` and ``tflite_plugin_destroy_delegate``
    (tflite/delegates/external/external_delegate.h), as for ``load_delegate`` of ai-edge-litert. It
    is asked before XNNPACK, once for each model.

    Attributes:
        library: The shared object's path.
        options: What it is given, as text.

    Raises:
        OptionError: A value has a wrong type.
    """

    library: PathLike
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_path("Delegate: library", self.library)
        if not isinstance(self.options, Mapping):
            raise OptionError(f"Delegate: options: expected a mapping, got {self.options!r}")
        for key, value in self.options.items():
            if not isinstance(key, str) or not key or not _is_c_text(key):
                raise OptionError(f"Delegate: options: expected names, got {key!r}")
            if not isinstance(value, (str, int, float)):
                raise OptionError(
                    f"Delegate: options[{key!r}]: expected text, a number or a bool, got {value!r}"
                )
            if not _is_c_text(str(value)):
                raise OptionError(
                    f"Delegate: options[{key!r}]: must not hold NULs or half characters, got "
                    f"{value!r}"
                )
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[object, ...]:
        # The options' read-only view can neither be pickled nor copied.
        return Delegate, (self.library, dict(self.options))


@dataclass(frozen=True, slots=True)
class CustomOp:
    """A kernel for a custom operator that the library does not have.

    Attributes:
        name: The operator's name in the model.
        kernel: The path of a shared object, or for prototyping a callable: it takes the inputs as
            NumPy arrays of its own and returns the output, or a tuple of them.
        symbol: Of a shared object, the variable of the type ``LiteRtCustomOpKernel``
            (litert/c/litert_custom_op_kernel.h): by default the name followed by ``_kernel``. Its
            functions are called with a null ``user_data``.
        output_shapes: Of a callable: gets the inputs' shapes, returns the outputs'; by default each
            output is like the first input.

    Raises:
        OptionError: A value has a wrong type.
    """

    name: str
    kernel: PathLike | Callable[..., Any]
    symbol: str | None = field(default=None, kw_only=True)
    output_shapes: Callable[[Sequence[Shape]], Sequence[Shape]] | None = field(
        default=None, kw_only=True
    )

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or "\0" in self.name:
            raise OptionError(f"CustomOp: expected an operator's name, got {self.name!r}")
        if callable(self.kernel):
            if self.symbol is not None:
                raise OptionError("CustomOp: symbol is a shared object's; a callable has none")
        else:
            if not path_text(self.kernel):
                raise OptionError(
                    f"CustomOp {self.name!r}: expected a shared object's path or a callable, got "
                    f"{self.kernel!r}"
                )
            checked_path(f"CustomOp {self.name!r}: kernel", self.kernel)
            if self.output_shapes is not None:
                raise OptionError(
                    "CustomOp: output_shapes is a callable's; a shared object has its own"
                )
        if self.output_shapes is not None and not callable(self.output_shapes):
            raise OptionError(
                f"CustomOp: output_shapes: expected a callable, got {self.output_shapes!r}"
            )
        if self.symbol is not None and (
            not isinstance(self.symbol, str) or _SYMBOL.fullmatch(self.symbol) is None
        ):
            raise OptionError(f"CustomOp: symbol: expected a C name, got {self.symbol!r}")
        if self.symbol is None and not callable(self.kernel) and not _SYMBOL.fullmatch(self.name):
            raise OptionError(
                f"CustomOp {self.name!r}: the name makes no C name; give the variable's as symbol="
            )


@dataclass(frozen=True, slots=True)
class Plugins:
    """The delegates and kernels of one model, checked. Immutable."""

    delegates: tuple[Delegate, ...]
    custom_ops: tuple[CustomOp, ...]

    def delegate_arguments(self) -> list[tuple[bytes, list[tuple[str, str]]]]:
        """Return the delegates as the core takes them: options as ``load_delegate`` gives them."""
        return [
            (
                os.fsencode(loader_name(delegate.library)),  # a path may hold what is no text
                [(key, str(value)) for key, value in delegate.options.items()],
            )
            for delegate in self.delegates
        ]

    def make_kernels(self) -> list[_native.CustomKernel]:
        """Return new kernels, which one compiled model uses.

        Raises:
            LibraryError: A shared object does not load, or has no such kernel.
            OptionError: A kernel is not complete.
        """
        return [_make_kernel(operator) for operator in self.custom_ops]


def _is_c_text(text: str) -> bool:
    """Whether C can be given a text as a whole: no NUL, and no half characters."""
    return not any(mark == "\0" or "\ud800" <= mark <= "\udfff" for mark in text)


def loader_name(library: PathLike) -> str:
    """Return what the system's loader is asked for: of a ``Path``, always the file.

    A ``Path`` has lost its "./", without which the loader would not look in the working folder.
    """
    return library if isinstance(library, str) else os.path.abspath(os.fspath(library))


def make_plugins(delegates: object, custom_ops: object, source: str | bytes) -> Plugins:
    """Check what ``litert.Model`` was given.

    Raises:
        OptionError: Something is no ``Delegate`` or ``CustomOp``, or the model has no operator of
            that name.
    """
    plugins = Plugins(
        _checked("delegates", delegates, Delegate), _checked("custom_ops", custom_ops, CustomOp)
    )
    if plugins.custom_ops:
        _check_names([operator.name for operator in plugins.custom_ops], source)
    return plugins


def _checked(name: str, given: object, kind: type[Any]) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise OptionError(f"{name}: expected a sequence of {kind.__name__}, got {given!r}")
    for one in given:
        if not isinstance(one, kind):
            raise OptionError(f"{name}: expected {kind.__name__}(...), got {one!r}")
    return tuple(given)


def _check_names(names: list[str], source: str | bytes) -> None:
    check_source(source)
    with as_buffer(source) as data:
        known = {
            operator.code.custom_code: None
            for subgraph in read_model(data).subgraphs
            for operator in subgraph.operators
            if operator.code.custom_code is not None
        }
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"custom_ops: expected each operator once, got {name!r} again")
        if name not in known:
            listed = ", ".join(map(repr, known)) or "none"
            raise OptionError(
                f"custom_ops: the model has no custom operator {name!r}; it has {listed}"
            )


def _make_kernel(operator: CustomOp) -> _native.CustomKernel:
    kernel = operator.kernel
    if not isinstance(kernel, (str, os.PathLike)):
        python_kernel = PythonKernel(
            operator.name, kernel, operator.output_shapes or same_as_first_input
        )
        return _native.python_kernel(operator.name, python_kernel.run, python_kernel.output_shapes)
    symbol = operator.symbol or f"{operator.name}_kernel"
    try:
        return _native.plugin_kernel(operator.name, os.fsencode(loader_name(kernel)), symbol)
    except ExecutionError as err:  # a function is missing
        raise OptionError(f"custom_ops: {err}", status=err.status) from err
