"""Arrays that behave like a GPU's: nothing goes to or from NumPy unasked.

A `Strict` array wraps one of NumPy and refuses what CuPy refuses, and more: NumPy's
functions, operands and indices that are NumPy arrays, and everything that would wait
for the device to tell Python a number (`bool`, `float`, `int`, items of a row). The
array module knows only names that CuPy has, and their functions only the parameters
that they have there. `asarray` sends, `to_host` fetches. A `Watch` is told of all that
a GPU would have to do.
"""

from __future__ import annotations

import ast
import inspect
import operator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import scipy.fft
import scipy.ndimage

NAMES = Path(__file__).with_name("cupy_names.txt")
_PLAIN = (bool, int, float, complex, np.generic, type(None), str, type, np.dtype)
_ATTRIBUTES = {"shape", "dtype", "ndim", "size", "nbytes", "itemsize"}
_UNINITIALISED = {"f": np.nan, "c": np.nan, "i": -77, "u": 77, "b": True}
_WAITING = {
    "unique",
    "flatnonzero",
    "nonzero",
    "argwhere",
    "bincount",
    "label",
    "binary_fill_holes",
}
"""Functions of CuPy that wait for the device, to know the size of their result."""

_SCATTERING = {"add", "subtract", "maximum", "minimum"}
"""Functions that have `at` in CuPy, of those that are of use here."""


class Watch:
    """Told what the device does; this one takes no notice."""

    def made(self, values: np.ndarray) -> None:
        """Write an array that is new."""

    def took(self, values: np.ndarray) -> None:
        """Take memory for an array, without writing to it."""

    def read(self, values: np.ndarray) -> None:
        """Read an array."""

    def wrote(self, values: np.ndarray) -> None:
        """Write to an array that was there."""

    def launched(self, kernel: str, changed: list[np.ndarray]) -> None:
        """Run one of our kernels, which writes to some arrays."""

    def waited(self, reason: str) -> None:
        """Wait until the device has done what it was given."""

    def sent(self, n_bytes: int) -> None:
        """Copy from the host."""

    def staged(self, source: np.ndarray) -> None:
        """Begin to copy from memory of the host, which must stay as it is."""

    def fetched(self, n_bytes: int) -> None:
        """Copy to the host."""

    def place(self, values: np.ndarray) -> int:
        """Tell the device that an array lies on."""
        return 0


watch = Watch()


@lru_cache(maxsize=1)
def cupy_names() -> dict[str, str]:
    """Public names of CuPy as dotted paths, with what stands behind each in the list.

    That is "(a, axis=...)" for a function, and nothing where it has no parameters or
    they are not known.
    """
    lines = [s for s in NAMES.read_text().splitlines() if not s.startswith("#")]
    parts = [line.partition("(") for line in lines]
    return {name: bracket + rest for name, bracket, rest in parts}


@lru_cache(maxsize=1024)
def cupy_signature(path: str) -> inspect.Signature | None:
    """Signature of a function of CuPy; None where it is not known."""
    text = cupy_names()[path]
    if not text:
        return None
    arguments = ast.parse(f"def f{text}: pass").body[0].args  # type: ignore[attr-defined]
    kind, absent = inspect.Parameter, inspect.Parameter.empty
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    found = [
        kind(
            a.arg,
            kind.POSITIONAL_ONLY
            if i < len(arguments.posonlyargs)
            else kind.POSITIONAL_OR_KEYWORD,
            default=absent if i < required else ...,
        )
        for i, a in enumerate(positional)
    ]
    if arguments.vararg:
        found.append(kind(arguments.vararg.arg, kind.VAR_POSITIONAL))
    found += [kind(a.arg, kind.KEYWORD_ONLY, default=...) for a in arguments.kwonlyargs]
    if arguments.kwarg:
        found.append(kind(arguments.kwarg.arg, kind.VAR_KEYWORD))
    return inspect.Signature(found)


def check_call(path: str, arguments: Any, options: Any) -> None:
    """Refuse a call that CuPy's function of that name would refuse."""
    signature = cupy_signature(path)
    if signature is None:
        return
    try:
        signature.bind(*arguments, **options)
    except TypeError as error:
        raise TypeError(f"{path}{signature}: {error}") from None
    if path.endswith("sort") and options.get("kind") not in (None, "stable"):
        raise ValueError("CuPy sorts stably and knows no other kind")


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
        index = _index(key)
        if _is_mask(index):
            watch.waited("an index that is a mask")
        watch.read(self._values)
        return _wrapped(self._values[index])

    def __setitem__(self, key: Any, value: Any) -> None:
        self._values[_index(key)] = _plain(value)
        watch.wrote(self._values)

    def set(self, source: np.ndarray) -> None:
        """Begin to copy from pinned memory of the host."""
        assert source.dtype == self._values.dtype
        assert source.shape == self._values.shape
        self._values[...] = source
        watch.staged(source)
        watch.wrote(self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or f"cupy.ndarray.{name}" not in cupy_names():
            raise AttributeError(f"cupy.ndarray has no attribute {name!r}")
        if name == "device":
            return SimpleNamespace(id=watch.place(self._values))
        found = getattr(self._values, name)
        if name in _ATTRIBUTES:
            return found
        watch.read(self._values)
        if not callable(found):
            return _wrapped(found)
        if name in {"item", "tolist", "tobytes", "tofile", "get", "dump"}:
            self._refuse()
        return _Function(f"cupy.ndarray.{name}", found)


def _operators() -> None:
    names = "add sub mul truediv floordiv mod pow matmul and or xor"
    for name in names.split():
        function = getattr(operator, f"{name}_" if name in {"and", "or"} else name)

        def forward(self: Strict, other: Any, function: Any = function) -> Any:
            return _wrapped(function(_plain(self), _plain(other)))

        def backward(self: Strict, other: Any, function: Any = function) -> Any:
            return _wrapped(function(_plain(other), _plain(self)))

        def in_place(self: Strict, other: Any, name: str = name) -> Any:
            getattr(operator, f"i{name}")(_plain(self), _plain(other))
            watch.wrote(self._values)
            return self

        setattr(Strict, f"__{name}__", forward)
        setattr(Strict, f"__r{name}__", backward)
        setattr(Strict, f"__i{name}__", in_place)
    for name in "eq ne lt le gt ge".split():
        function = getattr(operator, name)
        setattr(
            Strict,
            f"__{name}__",
            lambda self, other, f=function: _wrapped(f(_plain(self), _plain(other))),
        )
    for name in "neg pos abs invert".split():
        function = getattr(operator, name)
        setattr(
            Strict, f"__{name}__", lambda self, f=function: _wrapped(f(_plain(self)))
        )


_operators()


def _plain(value: Any) -> Any:
    """NumPy's view of an argument; refuses NumPy arrays among those of the device."""
    if isinstance(value, Strict):
        watch.read(value._values)
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


def _is_mask(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(p, np.ndarray) and p.dtype == bool for p in parts)


def _wrapped(value: Any) -> Any:
    """Wrap a result as arrays of the device; numbers are arrays of no dimension."""
    if isinstance(value, np.ndarray | np.generic):
        values = np.asarray(value)
        if values.base is None:
            watch.made(values)
        return Strict(values)
    if isinstance(value, tuple | list):
        return type(value)(map(_wrapped, value))
    return value


def to_host(array: Strict) -> np.ndarray:
    """Fetch an array."""
    watch.read(array._values)
    watch.fetched(array.nbytes)
    return array._values.copy()


class _Function:
    """A function or ufunc of the device's array module, or a method of its arrays."""

    def __init__(self, path: str, function: Any) -> None:
        self._path, self._function = path, function
        self._name = path.rpartition(".")[2]

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        check_call(self._path, arguments, options)
        if self._name in _WAITING:
            watch.waited(self._name)
        result = self._function(*map(_plain, arguments), **_plain(options))
        if options.get("out") is not None:
            watch.wrote(options["out"]._values)
            return options["out"]
        return _wrapped(result)

    def at(self, array: Strict, *arguments: Any) -> None:
        assert self._name in _SCATTERING, f"cupy.{self._name} has no at"
        check_call("cupy.ufunc.at", (array, *arguments), {})
        self._function.at(_plain(array), *map(_plain, arguments))
        watch.wrote(array._values)


class _Module:
    """A module of CuPy, computed by the same names of another one."""

    def __init__(self, path: str, stands_for: Any) -> None:
        self._path, self._module = path, stands_for

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}.{name}"
        if path not in cupy_names():
            raise AttributeError(f"{self._path} has no {name!r}")
        found = getattr(self._module, name)
        return found if isinstance(found, _PLAIN) else _Function(path, found)


class Arrays(_Module):
    """CuPy's main module: what it makes or takes otherwise than NumPy."""

    def __init__(self) -> None:
        super().__init__("cupy", np)

    @staticmethod
    def asarray(values: Any, dtype: Any = None) -> Strict:
        """Send an array; one of the device stays where it is."""
        if isinstance(values, Strict):
            values = _plain(values)
            return _wrapped(values if dtype is None else np.asarray(values, dtype))
        sent = np.array(values, dtype)
        watch.sent(sent.nbytes)
        return _wrapped(sent)

    @staticmethod
    def empty(shape: Any, dtype: Any = float) -> Strict:
        """Take memory, what is in which must not matter."""
        values = np.full(shape, _UNINITIALISED[np.dtype(dtype).kind], dtype)
        watch.took(values)
        return Strict(values)

    @staticmethod
    def empty_like(array: Strict) -> Strict:
        """Take memory for the shape and type of an array."""
        return Arrays.empty(array.shape, array.dtype)

    @staticmethod
    def lexsort(keys: Any) -> Strict:
        """Sort by rows of one array, the last first."""
        assert isinstance(keys, Strict), "cupy.lexsort takes one array of keys"
        return _wrapped(np.lexsort(_plain(keys)))


xp = Arrays()
fft = _Module("cupyx.scipy.fft", scipy.fft)
ndimage: Any = _Module("cupyx.scipy.ndimage", scipy.ndimage)
