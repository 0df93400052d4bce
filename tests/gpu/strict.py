"""Arrays that behave like a GPU's: nothing goes to or from NumPy unasked.

A `Strict` array wraps one of NumPy and refuses what CuPy refuses, and more: NumPy's
functions, operands and indices that are NumPy arrays, and everything that would wait
for the device to tell Python a number (`bool`, `float`, `int`, items of a row). The
array module knows only names that CuPy has. `asarray` sends, `to_host` fetches.
"""

from __future__ import annotations

import operator
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import scipy.fft

NAMES = Path(__file__).with_name("cupy_names.txt")
_PLAIN = (bool, int, float, complex, np.generic, type(None), str, type, np.dtype)
_ATTRIBUTES = {"shape", "dtype", "ndim", "size", "nbytes", "itemsize"}
_UNINITIALISED = {"f": np.nan, "c": np.nan, "i": -77, "u": 77, "b": True}


@lru_cache(maxsize=1)
def cupy_names() -> frozenset[str]:
    """Public names of CuPy as dotted paths, from the list kept with the tests."""
    lines = NAMES.read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


class Strict:
    """An array on a device that does not exist."""

    __array_ufunc__ = None

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("implicit copy to the host")

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:
        raise TypeError(f"numpy.{function.__name__} of an array of the device")

    def _refuse(self, *_: Any) -> NoReturn:
        raise TypeError("the host may not wait for one number: fetch it with to_host")

    __bool__ = __float__ = __int__ = __complex__ = __index__ = _refuse

    def __iter__(self) -> Any:
        if self._values.ndim < 2:
            self._refuse()
        return map(_wrapped, self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, key: Any) -> Any:
        return _wrapped(self._values[_index(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[_index(key)] = _plain(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or f"cupy.ndarray.{name}" not in cupy_names():
            raise AttributeError(f"cupy.ndarray has no attribute {name!r}")
        found = getattr(self._values, name)
        if name in _ATTRIBUTES:
            return found
        if not callable(found):
            return _wrapped(found)
        if name in {"item", "tolist", "tobytes", "tofile", "get", "dump"}:
            self._refuse()
        return lambda *a, **k: _wrapped(found(*map(_plain, a), **_plain(k)))


def _operators() -> None:
    names = "add sub mul truediv floordiv mod pow matmul and or xor"
    for name in names.split():
        function = getattr(operator, f"{name}_" if name in {"and", "or"} else name)

        def forward(self: Strict, other: Any, function: Any = function) -> Any:
            return _wrapped(function(self._values, _plain(other)))

        def backward(self: Strict, other: Any, function: Any = function) -> Any:
            return _wrapped(function(_plain(other), self._values))

        def in_place(self: Strict, other: Any, name: str = name) -> Any:
            getattr(operator, f"i{name}")(self._values, _plain(other))
            return self

        setattr(Strict, f"__{name}__", forward)
        setattr(Strict, f"__r{name}__", backward)
        setattr(Strict, f"__i{name}__", in_place)
    for name in "eq ne lt le gt ge".split():
        function = getattr(operator, name)
        setattr(
            Strict,
            f"__{name}__",
            lambda self, other, f=function: _wrapped(f(self._values, _plain(other))),
        )
    for name in "neg pos abs invert".split():
        function = getattr(operator, name)
        setattr(
            Strict, f"__{name}__", lambda self, f=function: _wrapped(f(self._values))
        )


_operators()


def _plain(value: Any) -> Any:
    """NumPy's view of an argument; refuses NumPy arrays among those of the device."""
    if isinstance(value, Strict):
        return value._values
    if isinstance(value, _PLAIN) or value is Ellipsis or isinstance(value, slice):
        return value
    if isinstance(value, tuple | list):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} among arrays of the device")


def _index(key: Any) -> Any:
    """Index that CuPy takes."""
    parts = key if isinstance(key, tuple) else (key,)
    if any(isinstance(part, list) for part in parts):
        raise TypeError("a list as an index")
    return tuple(map(_plain, parts)) if isinstance(key, tuple) else _plain(key)


def _wrapped(value: Any) -> Any:
    """Wrap a result as arrays of the device; numbers are arrays of no dimension."""
    if isinstance(value, np.ndarray | np.generic):
        return Strict(np.asarray(value))
    if isinstance(value, tuple | list):
        return type(value)(map(_wrapped, value))
    return value


def to_host(array: Strict) -> np.ndarray:
    """Fetch an array."""
    return array._values.copy()


class _Function:
    """A function or ufunc of the device's array module."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if options.get("out") is not None:
            self._function(*map(_plain, arguments), **_plain(options))
            return options["out"]
        return _wrapped(self._function(*map(_plain, arguments), **_plain(options)))

    def at(self, *arguments: Any) -> None:
        self._function.at(*map(_plain, arguments))


class _Module:
    """A module of CuPy, computed by the same names of another one."""

    def __init__(self, path: str, stands_for: Any) -> None:
        self._path, self._module = path, stands_for

    def __getattr__(self, name: str) -> Any:
        if f"{self._path}.{name}" not in cupy_names():
            raise AttributeError(f"{self._path} has no {name!r}")
        found = getattr(self._module, name)
        return found if isinstance(found, _PLAIN) else _Function(found)


class _Arrays(_Module):
    """CuPy's main module: what it makes or takes otherwise than NumPy."""

    @staticmethod
    def asarray(values: Any, dtype: Any = None) -> Strict:
        if isinstance(values, Strict):
            return Strict(np.asarray(values._values, dtype))
        return Strict(np.array(values, dtype))

    @staticmethod
    def empty(shape: Any, dtype: Any = float) -> Strict:
        # What is in new memory must not matter.
        return Strict(np.full(shape, _UNINITIALISED[np.dtype(dtype).kind], dtype))

    @staticmethod
    def empty_like(array: Strict) -> Strict:
        return _Arrays.empty(array.shape, array.dtype)

    @staticmethod
    def lexsort(keys: Any) -> Strict:
        assert isinstance(keys, Strict), "cupy.lexsort takes one array of keys"
        return Strict(np.lexsort(keys._values))


xp = _Arrays("cupy", np)
fft = _Module("cupyx.scipy.fft", scipy.fft)
