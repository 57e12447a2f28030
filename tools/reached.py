"""The content of everything that a function reaches: what its compiled form depends on."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GenericAlias,
    MethodType,
    ModuleType,
    UnionType,
)
from typing import Any

import numpy as np

__all__ = ["UnknownContentError", "content_of"]

# Packages that are known by their versions alone.
_VERSIONED = {"numba", "llvmlite", "numpy", "ml_dtypes", *sys.stdlib_module_names}
_PLAIN = (type(None), type(Ellipsis), bool, int, float, complex, str, bytes, GenericAlias,
          UnionType)


class UnknownContentError(TypeError):
    """A function reaches an object whose content nobody can tell."""


def content_of(function: Any) -> str:
    """A hash of a function and of all that it reaches by the names in it.

    That is: its bytecode and constants; the values of the globals, defaults and closures that it
    and the functions inside it name; and the same of every function, compiled function, intrinsic
    and class among them, in whatever file. Of NumPy, Numba and the standard library only names
    count. Line numbers and comments do not. The same in every process.

    Raises
    ------
    UnknownContentError
        Something is reached that is none of these, nor a number, text, array or container.
    """
    content = _Content()
    content.add(function, ())
    return content.hash.hexdigest()


class _Content:
    """What was reached so far, as a hash; functions and classes count once."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._numbers: dict[tuple[int, tuple[str, ...]], int] = {}
        self._kept: list[Any] = []   # their addresses are in use above

    def add(self, value: Any, names: tuple[str, ...]) -> None:
        """Add ``value``, which a function names that also has ``names``."""
        kind = type(value)
        if isinstance(value, (FunctionType, type, ModuleType)) or _python_function(value):
            self._add_once(value, names)
        elif kind in _PLAIN:
            self._write(kind.__name__, repr(value))
        elif kind in (tuple, list):
            self._add_all(kind.__name__, value, names)
        elif kind in (set, frozenset):
            self._write(kind.__name__, *sorted(_alone(each, names) for each in value))
        elif kind is dict:
            self._add_all("dict", [each for item in value.items() for each in item], names)
        elif kind is np.ndarray and value.dtype != object:
            self._write("array", str(value.dtype.descr), str(value.shape))
            self.hash.update(np.ascontiguousarray(value).data.cast("B"))
        elif kind is CodeType:
            self._add_code(value, names)
        else:
            self._add_object(value, names)

    def _write(self, *texts: str) -> None:
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            self.hash.update(len(data).to_bytes(8, "little") + data)

    def _add_all(self, kind: str, values: Any, names: tuple[str, ...]) -> None:
        self._write(kind, str(len(values)))
        for value in values:
            self.add(value, names)

    def _add_once(self, value: Any, names: tuple[str, ...]) -> None:
        """Functions, classes and modules, which may name each other in a circle."""
        home = value.__name__ if isinstance(value, ModuleType) else value.__module__
        name = getattr(value, "__qualname__", "")
        self._write(type(value).__name__, str(home), name)
        if str(home).partition(".")[0] in _VERSIONED:
            return
        named = names if isinstance(value, ModuleType) else ()
        number = self._numbers.setdefault((id(value), named), len(self._numbers))
        self._write(str(number))
        if number == len(self._kept):
            self._kept.append(value)
            if isinstance(value, ModuleType):
                self._add_module(value, names)
            elif isinstance(value, type):
                self._add_class(value)
            else:
                self._add_function(value)

    def _add_module(self, module: ModuleType, names: tuple[str, ...]) -> None:
        for name in names:
            if name in vars(module):
                self._write("attribute", name)
                self.add(vars(module)[name], names)

    def _add_function(self, value: Any) -> None:
        if (options := getattr(value, "targetoptions", None)) is not None:
            self._add_all("options", sorted(options.items(), key=lambda item: item[0]), ())
        function = value
        while not isinstance(function, FunctionType):
            function = _python_function(function)
        names = tuple(sorted(set(_names(function.__code__))))
        self._add_code(function.__code__, names)
        self._add_all("defaults", [function.__defaults__, function.__kwdefaults__], names)
        for cell in function.__closure__ or ():
            self.add(cell.cell_contents, names)
        for name in names:
            if name in function.__globals__:
                self._write("global", name)
                self.add(function.__globals__[name], names)

    def _add_class(self, value: type) -> None:
        self._add_all("bases", list(value.__bases__), ())
        for name, part in sorted(vars(value).items()):
            function = getattr(part, "fget", None) or getattr(part, "__func__", part)
            known = isinstance(function, (FunctionType, functools.partial, *_PLAIN, tuple))
            if known and name not in ("__doc__", "__module__", "__firstlineno__"):
                self._write(name)
                self.add(function, ())

    def _add_code(self, code: CodeType, names: tuple[str, ...]) -> None:
        self._write(code.co_name, repr((
            code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames,
            code.co_freevars, code.co_cellvars, code.co_argcount, code.co_posonlyargcount,
            code.co_kwonlyargcount, code.co_flags)))
        self._add_all("constants", code.co_consts, names)

    def _add_object(self, value: Any, names: tuple[str, ...]) -> None:
        kind = type(value)
        home = str(kind.__module__).partition(".")[0]
        self._write(f"{kind.__module__}.{kind.__qualname__}")
        if isinstance(value, (BuiltinFunctionType, np.ufunc)):
            self._write(value.__name__)
        elif isinstance(value, Enum):
            self._write(value.name)
        elif isinstance(value, np.generic):
            self._write(str(value.dtype.descr), value.tobytes().hex())
        elif isinstance(value, np.dtype):
            self._write(str(value.descr))
        elif isinstance(value, tuple):   # with names, which compiled code takes apart by them
            self._add_all("names", getattr(kind, "_fields", ()), names)
            self._add_all("items", list(value), names)
        elif isinstance(value, functools.partial):
            self._add_all("partial", [value.func, value.args, value.keywords], names)
        elif isinstance(value, MethodType):
            self._add_all("method", [value.__self__, value.__func__], names)
        elif is_dataclass(value) and home not in _VERSIONED:
            self.add(kind, ())
            self._add_all("fields", [getattr(value, each.name) for each in fields(value)], names)
        elif home in ("numba", "llvmlite", "typing"):   # types and constants, which print all
            self._write(_printed(value))
        else:
            raise UnknownContentError(f"the content of {value!r} is not known")


def _python_function(value: Any) -> Any:
    """The Python function inside a compiled function, an intrinsic or a cached function."""
    for name in ("py_func", "_defn", "__wrapped__"):
        if callable(inner := getattr(value, name, None)) and not isinstance(value, type):
            return inner
    return None


def _names(code: CodeType) -> Iterator[str]:
    """The names of globals and attributes in a function and the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _alone(value: Any, names: tuple[str, ...]) -> str:
    content = _Content()
    content.add(value, names)
    return content.hash.hexdigest()


def _printed(value: Any) -> str:
    text = str(value)
    if " at 0x" in text:
        raise UnknownContentError(f"the content of {text} is not known")
    return text
