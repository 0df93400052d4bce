"""Slices of a reference at every tilt of a search level, ready to be scored.

A symmetric map has slice harmonics H_n(v, u) only near its layer lines, so of all
pairs (n, v) a few per cent carry the signal. Pairs are kept by what they can change:
the smallest are dropped while the expected log-likelihood they carry,
1/2 sum |H|^2 <C^2> / noise, stays under a tolerance in nats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend, fourier
from helixnb.backend.arrays import array_module, to_host
from helixnb.backend.rows import PairRows
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.halfplane import HalfPlane
from helixnb.core.pooling import Pooling
from helixnb.core.search import SearchLevel

PAIR_TOLERANCE_NATS = 0.2
"""Expected log-likelihood that dropped pairs may carry, per image and on average over
the tilts: at the ends of their range they carry more (of F-actin, 15 degrees from
perpendicular, half as much again)."""

_NO_INFORMATION = 1e-30
"""Of an empty reference, about a shift; 1 / px^2."""


@dataclass(frozen=True)
class Fan:
    """Kept pairs of slice harmonics at each tilt of a level.

    Parameters
    ----------
    level : SearchLevel
    box_px : int
    harmonic : ndarray of int32, shape (n_pairs,)
        Harmonic index m of each pair, pairs sorted by row.
    rows : PairRows
        Where each row begins, among the pairs and in the values of a tilt.
    values : list of ndarray of complex64
        Of each tilt, row after row: (columns of the row, pairs of the row), flat.
    pooling : Pooling
        How amplitudes of the pairs become score tables.
    ring_power : ndarray of float32, shape (n_tilt, k_max + 1, n_azimuth)
        1/2 sum of |P_phi|^2 over each ring, conjugates counted.
    shift_sd_px : float
        Standard error of the transverse shift of one image at a known pose, by its
        Fisher information: 1 / sqrt(sum |H|^2 <C^2> / noise (2 pi u / D)^2).
    """

    level: SearchLevel
    box_px: int
    harmonic: NDArray[np.int32]
    rows: PairRows
    values: list[NDArray[np.complex64]]
    pooling: Pooling
    ring_power: NDArray[np.float32]
    shift_sd_px: float

    @cached_property
    def flops_per_cell(self) -> int:
        """Floating-point operations of the matrix products that score one cell."""
        plane = HalfPlane(self.level.k_max)
        lengths = [plane.columns_of_row(v) for v in range(plane.n_rows)]
        columns = np.array([c.stop - c.start for c in lengths])
        rows = int((np.diff(self.rows.row_start) * columns).sum())
        return 8 * rows + self.pooling.flops_per_cell


def keep_pairs(nats: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the pairs to keep: the rest carry at most `PAIR_TOLERANCE_NATS`.

    Parameters
    ----------
    nats : ndarray of float64
        Expected log-likelihood of each pair, >= 0.

    Returns
    -------
    ndarray of bool, same shape
    """
    order = np.argsort(nats, axis=None)
    lost = np.cumsum(nats.ravel()[order])
    kept = np.ones(nats.size, bool)
    kept[order[lost <= PAIR_TOLERANCE_NATS]] = False
    return kept.reshape(nats.shape)


def build_fan(
    harmonics: NDArray[np.complex64],
    grid: CylinderGrid,
    level: SearchLevel,
    signal_weight: NDArray[np.float64],
    likelihood_power: float,
    backend: Backend,
) -> Fan:
    """Slice a reference for one search level.

    Parameters
    ----------
    harmonics : ndarray of complex64, shape `grid.shape`
        The reference F_n(R, Z).
    grid : CylinderGrid
        Sampling of `harmonics`.
    level : SearchLevel
        Tilts, shifts and band limit to prepare.
    signal_weight : ndarray of float64, shape (k_max + 1,)
        Mean C^2 / noise power of each ring over the images.
    likelihood_power : float
        Exponent on the likelihood, which scales what a pair can change.
    backend : Backend
        Where it runs.

    Returns
    -------
    Fan
    """
    plane = HalfPlane(level.k_max)
    m_max = min(level.m_max, grid.m_max)
    first = grid.m_max - m_max
    xp = array_module(harmonics)
    used = xp.ascontiguousarray(harmonics[..., first : first + 2 * m_max + 1])
    weight = 0.5 * plane.multiplicity * signal_weight[plane.ring]
    of_rows = xp.asarray(weight[:, None, :].astype(np.float32))

    def sliced(tilt: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        h = backend.gather_fan(
            used, grid.oversampling, grid.cyclic, tilt, level.k_max
        )  # (v, u, m)
        nats = (of_rows @ _power(h))[:, 0]
        return h, nats, _ring_power(h, plane, level.n_azimuth, backend)

    slices, nats, ring_power = zip(
        *backend.each(sliced, level.tilt_offset_deg), strict=True
    )
    mean = to_host(xp.stack(nats).mean(0)).astype(np.float64)
    kept = keep_pairs(likelihood_power * mean)
    row, index = np.nonzero(kept)
    row_start = np.searchsorted(row, np.arange(plane.n_rows + 1))
    value_start, component = _rows_of_pairs(plane, index, row_start, 2 * m_max + 1)
    rows = backend.arrange_rows(row_start, value_start)
    sent = xp.asarray(component)
    values = [h.ravel()[sent] for h in slices]
    box = grid.box_px
    middle = slices[len(slices) // 2]
    along_u = xp.asarray((2 * (2 * np.pi * plane.u / box) ** 2).astype(np.float32))
    by_row = (of_rows * along_u) @ _power(middle)
    information = by_row.sum(dtype=np.float64)
    phase = np.exp(-2j * np.pi * np.outer(row, level.axial_px) / box)
    harmonic = (index - m_max).astype(np.int32)
    return Fan(
        level=level,
        box_px=grid.box_px,
        harmonic=xp.asarray(harmonic),
        rows=rows,
        values=values,
        pooling=Pooling.of_pairs(harmonic, rows, phase, level.n_azimuth, xp),
        ring_power=xp.stack(ring_power),
        shift_sd_px=1 / max(float(to_host(information)), _NO_INFORMATION) ** 0.5,
    )


def _rows_of_pairs(
    plane: HalfPlane,
    harmonic: NDArray[np.int64],
    row_start: NDArray[np.int64],
    n_m: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start of each row among the values of kept pairs, and their place in a slice."""
    components = []
    for v in range(plane.n_rows):
        columns = np.arange(plane.n_columns)[plane.columns_of_row(v)]
        pairs = harmonic[row_start[v] : row_start[v + 1]]
        first = (v * plane.n_columns + columns) * n_m
        components.append((first[:, None] + pairs).ravel())
    ends = np.cumsum([len(component) for component in components])
    return np.concatenate([[0], ends]), np.concatenate(components)


def _power(values: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Squared moduli, without the square root that `abs` takes."""
    power: NDArray[np.float32] = values.real**2 + values.imag**2
    return power


def _ring_power(
    slice_harmonics: NDArray[np.complex64],
    plane: HalfPlane,
    n_azimuth: int,
    backend: Backend,
) -> NDArray[np.float32]:
    """1/2 sum over rings of |P_phi|^2, shape (k_max + 1, n_azimuth)."""
    xp, m_max = array_module(slice_harmonics), slice_harmonics.shape[-1] // 2
    inside = np.nonzero(plane.multiplicity)
    row, column = (xp.asarray(index) for index in inside)
    harmonics = slice_harmonics[row, column]
    spectrum = xp.zeros((len(row), n_azimuth), np.complex64)
    spectrum[:, : m_max + 1] = harmonics[:, m_max:]
    spectrum[:, n_azimuth - m_max :] = harmonics[:, :m_max]
    slices = fourier.ifft(spectrum, axis=-1, norm="forward", overwrite_x=True)
    return backend.group_sums(
        _power(slices),
        xp.asarray(plane.ring[inside]),
        plane.k_max + 1,
        xp.asarray(0.5 * plane.multiplicity[inside]),
    )
