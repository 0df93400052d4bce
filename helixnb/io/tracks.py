"""Geometry along filaments, from box centres and in-plane angles alone.

Pure array code: complex numbers x + iy are box centres, one pass of sorting and
cumulative sums serves all filaments at once, however many there are.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.io.columns import Float64Array

Complex128Array = NDArray[np.complex128]
Int32Array = NDArray[np.int32]


def inter_box_distance(position_A: Float64Array, filament: Int32Array) -> float:
    """Return the median distance between neighbours on filaments.

    Parameters
    ----------
    position_A : ndarray of float64, shape (n,)
        Positions along the filaments.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    float
        Angstrom; nan when no filament has two segments of known position.
    """
    order = np.lexsort((position_A, filament))
    steps = np.diff(position_A[order])[np.diff(filament[order]) == 0]
    steps = steps[np.isfinite(steps)]
    return float(np.median(steps)) if steps.size else float("nan")


def one_polarity(
    psi_deg: Float64Array, filament: Int32Array
) -> tuple[Float64Array, NDArray[np.bool_]]:
    """Turn the minority of each filament by 180 degrees.

    A position along +v means nothing when +v points both ways on one filament.

    Parameters
    ----------
    psi_deg : ndarray of float64, shape (n,)
        In-plane angles; nan is left alone.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    psi_deg : ndarray of float64, shape (n,)
        Angles of one polarity on each filament.
    turned : ndarray of bool, shape (n,)
        Segments that were turned.
    """
    # Doubled angles average the axis without its direction.
    doubled = np.exp(2j * np.deg2rad(np.nan_to_num(psi_deg)))
    axis_rad = np.angle(_complex_sums(doubled, filament)) / 2
    along = np.cos(np.deg2rad(psi_deg) - axis_rad[filament])
    votes = np.bincount(filament, np.sign(np.nan_to_num(along)))
    turned = along * np.where(votes < 0, -1.0, 1.0)[filament] < 0
    opposite = np.remainder(psi_deg + 360.0, 360.0) - 180.0
    return np.where(turned, opposite, psi_deg), turned


def projected(place_A: Complex128Array, filament: Int32Array) -> Float64Array:
    """Return the position of each box on its filament's principal direction.

    Parameters
    ----------
    place_A : ndarray of complex128, shape (n,)
        Box centres x + iy.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    ndarray of float64, shape (n,)
        Positions that put the boxes in order; the direction is arbitrary.
    """
    centred = (
        place_A - (_complex_sums(place_A, filament) / np.bincount(filament))[filament]
    )
    # The argument of sum (x + iy)^2 is twice the angle of the principal axis.
    axis = np.exp(0.5j * np.angle(_complex_sums(centred**2, filament)))
    return np.asarray((centred * np.conj(axis[filament])).real, dtype=np.float64)


def distance_along(
    place_A: Complex128Array,
    order_by_A: Float64Array,
    filament: Int32Array,
) -> Float64Array:
    """Return the distance covered from the first box of each filament.

    Parameters
    ----------
    place_A : ndarray of complex128, shape (n,)
        Box centres x + iy.
    order_by_A : ndarray of float64, shape (n,)
        Values that put the boxes of a filament in order.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    ndarray of float64, shape (n,)
        Sum of the steps from box centre to box centre.
    """
    order = np.lexsort((order_by_A, filament))
    total = np.cumsum(np.abs(np.diff(place_A[order], prepend=place_A[order[0]])))
    counts = np.bincount(filament)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    distance = np.empty(len(place_A))
    distance[order] = total - np.repeat(total[first], counts)
    return distance


def track_psi(
    place_A: Complex128Array, order_by_A: Float64Array, filament: Int32Array
) -> Float64Array:
    """Return in-plane angles along the track, for files without priors.

    Each is the direction from the box before to the box after, under RELION's rule
    psi = -atan2(dy, dx), which lays +v against the track.

    Parameters
    ----------
    place_A : ndarray of complex128, shape (n,)
        Box centres x + iy.
    order_by_A : ndarray of float64, shape (n,)
        Values that put the boxes of a filament in order.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    ndarray of float64, shape (n,)
        Degrees; nan for filaments of one box.
    """
    order = np.lexsort((order_by_A, filament))
    place, number = place_A[order], filament[order]
    joined = np.diff(number) == 0
    step = np.where(joined, np.diff(place), 0)
    # Chord over two steps in the middle, one step at the ends.
    chord = np.concatenate([[0], step]) + np.concatenate([step, [0]])
    psi = np.full(len(place), np.nan)
    known = np.abs(chord) > 0
    psi[order[known]] = -np.rad2deg(np.angle(chord[known]))
    return psi


def axis_sign(
    place_A: Complex128Array,
    order_by_A: Float64Array,
    psi_deg: Float64Array,
    filament: Int32Array,
) -> Float64Array:
    """Return +1 where the track runs along +v, -1 where against, per filament.

    Parameters
    ----------
    place_A : ndarray of complex128, shape (n,)
        Box centres x + iy, x = column and y = row of the micrograph.
    order_by_A : ndarray of float64, shape (n,)
        Values that put the boxes of a filament in order.
    psi_deg : ndarray of float64, shape (n,)
        In-plane angles of one polarity on each filament.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    ndarray of float64, shape (n_filaments,)
        Signs. Where psi is unknown, -1: RELION's psi = -atan2(dy, dx) puts +v
        against the track.
    """
    order = np.lexsort((order_by_A, filament))
    same = np.diff(filament[order]) == 0
    step = np.diff(place_A[order])[same]
    psi = np.deg2rad(psi_deg[order][1:][same])
    along = -step.real * np.cos(psi) + step.imag * np.sin(psi)
    total = np.bincount(
        filament[order][1:][same], along, minlength=int(filament.max()) + 1
    )
    return np.where(total > 0, 1.0, -1.0)


def anchored(position_A: Float64Array, filament: Int32Array) -> Float64Array:
    """Shift each filament so that its lowest position is 0.

    Parameters
    ----------
    position_A : ndarray of float64, shape (n,)
        Positions along the filaments.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    ndarray of float64, shape (n,)
        Shifted positions.
    """
    lowest = pd.Series(position_A).groupby(filament).transform("min").to_numpy()
    return np.asarray(position_A - lowest, dtype=np.float64)


def _complex_sums(values: Complex128Array, filament: Int32Array) -> Complex128Array:
    """Sum complex values over each filament."""
    return np.bincount(filament, values.real) + 1j * np.bincount(filament, values.imag)
