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
from typing import Any, Protocol

import numpy as np


class Device(Protocol):
    """What a device does for arrays that lie on it, beside the array module."""

    xp: Any

    def __hash__(self) -> int:
        """Tell devices apart, where something is kept for each."""

    def sparse_product(self, matrix: tuple[Any, Any, Any], values: Any) -> Any:
        """Multiply a sparse matrix with each row of a complex array.

        Parameters
        ----------
        matrix : tuple of array
            Start of each row and columns (int32), and weights (float32).
        values : array of complex64, shape (n, n_columns)
            Rows to be multiplied.
        """

    def shell_products(self, first: Any, second: Any) -> Any:
        """Sum products of two transforms of cubic maps over shells, mates counted.

        Parameters
        ----------
        first, second : array of complex64, shape (box, box, box // 2 + 1)
            F and G, from `fourier.rfftn`.

        Returns
        -------
        array of float64, shape (5, box // 2 + 1)
            |F|^2, |G|^2, Re F conj(G), |F| |G| and (|F| |G|)^2.
        """

    def random_phases(self, spectrum: Any, start: int, seed: int) -> Any:
        """Give the components beyond a radius random phases; see `phases`."""

    def blurred_tables(self, tables: Any, modes: Any, axial_sd: float) -> Any:
        """Blur tables along the axis of the filament; see `coherence`.

        Parameters
        ----------
        tables : array of float32, shape (n, 2, n_axial, n_azimuth)
            Of segments and polarities.
        modes : object
            Of tables of that size, with its arrays on the device.
        axial_sd : float
            Pixels.
        """

    def filament_predictions(
        self, emission: Any, steps: Any, modes: Any, slip: Any
    ) -> tuple[Any, Any]:
        """Go along filaments both ways; see `coherence`.

        Parameters
        ----------
        emission : array of float32, shape (n, 2, n_axial, n_azimuth)
            Likelihood of each segment.
        steps : list of tuple
            Of arrays on the host.
        modes : object
            As for `blurred_tables`.
        slip : float32
            Chance that a segment says nothing about the next.

        Returns
        -------
        prediction : array of float32, shape (2 n, 2, n_axial, n_azimuth)
        sums : array of float64, shape (2 n, 2)
        """

    def group_sums(self, values: Any, group: Any, n_groups: int) -> Any:
        """Sum values by group; see `loops`."""


@dataclass(frozen=True)
class ArrayKind:
    """What goes with one type of array.

    Parameters
    ----------
    xp : module
        Its array functions, named as NumPy's.
    fft : module
        Its Fourier transforms, named as those of `scipy.fft`.
    ndimage : module
        Its image functions, named as those of `scipy.ndimage`.
    to_host : callable
        Copies an array into one of NumPy.
    device : callable
        The device that an array lies on.
    """

    xp: Any
    fft: Any
    ndimage: Any
    to_host: Callable[[Any], Any]
    device: Callable[[Any], Device]


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


def device_of(array: Any) -> Device | None:
    """Device that an array lies on; None for NumPy's arrays and plain numbers.

    Parameters
    ----------
    array : array
        Of any kind.
    """
    kind = kind_of(array)
    return None if kind is None else kind.device(array)


def send_sparse(matrix: Any, device: Device) -> tuple[Any, Any, Any]:
    """Send a sparse matrix, for `Device.sparse_product`.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array of float32
        Any matrix.
    device : Device
        Where to.

    Returns
    -------
    tuple of array
        Start of each row and columns (int32), and weights.
    """
    send = device.xp.asarray
    return (
        send(matrix.indptr.astype(np.int32)),
        send(matrix.indices.astype(np.int32)),
        send(matrix.data),
    )
