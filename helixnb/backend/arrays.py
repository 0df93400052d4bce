"""Which array module an array belongs to, so that the core is plain array code.

A function of the core asks for the module of what it was given and goes on as with
NumPy:

    xp = array_module(images)
    mean = xp.einsum("nyx,yx->n", images, soft)

Nothing is converted on the way. Arrays come to a device by ``xp.asarray`` of a NumPy
array and back by `to_host`, and by nothing else: where a loop needs a number, the code
says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ArrayKind:
    """What goes with one type of array.

    Parameters
    ----------
    xp : module
        Its array functions, named as NumPy's.
    fft : module
        Its Fourier transforms, named as those of `scipy.fft`.
    to_host : callable
        Copies an array into one of NumPy.
    place : callable
        Number of the device that an array lies on.
    sparse_product : callable
        Sparse matrix, as row starts, columns and weights, times each row of a
        complex array.
    """

    xp: Any
    fft: Any
    to_host: Callable[[Any], Any]
    place: Callable[[Any], int]
    sparse_product: Callable[[tuple[Any, Any, Any], Any], Any]


_KINDS: dict[type, ArrayKind] = {}


def register(array_type: type, kind: ArrayKind) -> None:
    """Make a type of array known; NumPy's own needs no registering.

    Parameters
    ----------
    array_type : type
        Class of the arrays.
    kind : ArrayKind
        What goes with it.
    """
    _KINDS[array_type] = kind


def kind_of(array: Any) -> ArrayKind | None:
    """Return what goes with an array; None for NumPy's arrays and plain numbers.

    Parameters
    ----------
    array : array
        Of any kind.
    """
    return _KINDS.get(type(array))


def array_module(array: Any) -> Any:
    """Array module that an array belongs to.

    Parameters
    ----------
    array : array
        Of NumPy or of a device.

    Returns
    -------
    module
        `numpy`, or one with the same function names.
    """
    kind = kind_of(array)
    return np if kind is None else kind.xp


def to_host(array: Any) -> Any:
    """Array as one of NumPy; no copy if it is one already.

    Parameters
    ----------
    array : array
        Of NumPy or of a device.

    Returns
    -------
    ndarray
    """
    kind = kind_of(array)
    return array if kind is None else kind.to_host(array)
