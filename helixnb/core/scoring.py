"""Scores of pose cells: the log-likelihood in the azimuth-harmonic domain.

For one cell (polarity, psi, tilt, transverse shift) the log-likelihood at every
azimuth phi and axial shift s is

    A[n, v]   = sum_u conj(X C / noise) exp(-2 pi i u t / D) H_n(v, u)
    L(phi, s) = Re sum_{n, v} A[n, v] exp(i n phi - 2 pi i v s / D)
                - 1/2 sum_ring <C^2 / noise> |P_phi|^2

(components with v > 0 counted twice): a small matrix product for each row v over the
kept pairs, then row phases for s and waves over all azimuths (`pooling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.backend.arrays import array_module
from helixnb.core.fan import Fan
from helixnb.core.halfplane import HalfPlane
from helixnb.core.search import N_POLARITIES, Cells, PoseSpread, SearchLevel

_FEWEST_CELLS = 128
"""Cells of a block at least: each block reads the matrices of its tilt once, which at
high resolution are larger than what all cells of a small block take."""


@dataclass(frozen=True)
class Chunk:
    """Images of whole filaments with what the E-step needs to know of them.

    Images and what cells look up in their priors are where the computing is; what is
    read filament by filament stays with the host.

    Parameters
    ----------
    transforms : ndarray of complex64, shape (n, M, M // 2 + 1)
        From `images.padded_transforms` at the finest band.
    contrast : ndarray of float64, shape (n, 6)
        CTF coefficients.
    psi_prior_deg, tilt_prior_deg, shift_prior_px : ndarray of float64, shape (n,)
        Centres of the priors, seen at the first polarity.
    polarity_prior : ndarray of float64, shape (n, 2)
        Probability of psi near the prior, and of psi near the prior + 180; on the host.
    filament : ndarray of int32, shape (n,)
        Filament of each image, equal numbers adjacent; on the host.
    axial_px : ndarray of float64, shape (n,)
        Position along +v at the psi prior; on the host.
    scale : ndarray of float64, shape (n,)
        Contrast of the reference in each image; 0 leaves an image out; on the host.
    """

    transforms: NDArray[np.complex64]
    contrast: NDArray[np.float64]
    psi_prior_deg: NDArray[np.float64]
    tilt_prior_deg: NDArray[np.float64]
    shift_prior_px: NDArray[np.float64]
    polarity_prior: NDArray[np.float64]
    filament: NDArray[np.int32]
    axial_px: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.psi_prior_deg)


@dataclass(frozen=True)
class Frames:
    """Filament-frame data of the distinct (image, polarity, psi) of a cell list.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_frames, n_columns)
        conj(X) C / noise, conjugates not counted.
    power : ndarray of float32, same shape
        C^2 / noise.
    of_cell : ndarray of int64, shape (n_cells,)
        Frame of each cell.
    """

    data: NDArray[np.complex64]
    power: NDArray[np.float32]
    of_cell: NDArray[np.int64]

    def take(self, index: NDArray[np.integer]) -> Frames:
        """Return the frames of some cells, one for each, and no others."""
        frame = self.of_cell[index]
        xp = array_module(frame)
        # In the order of the axes, which an index would leave otherwise.
        data, power = (xp.take(part, frame, 1) for part in (self.data, self.power))
        return Frames(data, power, xp.arange(len(frame)))


def make_frames(
    chunk: Chunk,
    cells: Cells,
    level: SearchLevel,
    noise_power: NDArray[np.float64],
    spacing_per_A: float,
    backend: Backend,
) -> Frames:
    """Turn each image to every in-plane angle that the cells ask for.

    Parameters
    ----------
    chunk : Chunk
        Images to turn.
    cells : Cells
        Tell which angles are needed.
    level : SearchLevel
        Grid that the cells index.
    noise_power : ndarray of float64, shape (>= k_max + 1,)
        Noise power of each ring.
    spacing_per_A : float
        One Fourier pixel, 1/A.
    backend : Backend
        Where it runs.

    Returns
    -------
    Frames
    """
    xp = array_module(cells.image)
    key = (cells.image.astype(np.int64) * N_POLARITIES + cells.polarity) * (
        level.n_psi
    ) + cells.psi
    distinct, of_cell = xp.unique(key, return_inverse=True)
    psi = distinct % level.n_psi
    polarity = distinct // level.n_psi % N_POLARITIES
    image = distinct // (level.n_psi * N_POLARITIES)
    offset = xp.asarray(level.psi_offset_deg)[psi]
    angle = chunk.psi_prior_deg[image] + offset + 180.0 * polarity
    plane = HalfPlane(level.k_max)
    whitening = (plane.multiplicity > 0) / noise_power[plane.ring]
    data, power = backend.filament_frames(
        chunk.transforms,
        image.astype(np.int32),
        angle,
        chunk.contrast,
        xp.asarray(whitening.astype(np.float32)),
        level.k_max,
        spacing_per_A,
    )
    if (chunk.scale != 1).any():
        scale = xp.asarray(chunk.scale.astype(np.float32))[image]
        data *= scale[:, None]
        power *= scale[:, None] ** 2
    return Frames(data, power, of_cell)


def score_cells(
    cells: Cells,
    frames: Frames,
    fan: Fan,
    log_prior: NDArray[np.float32],
    power: float,
    backend: Backend,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Log of (likelihood times prior) to a power, for every cell.

    Parameters
    ----------
    cells : Cells
        Pose cells, sorted by tilt.
    frames : Frames
        Data of those cells, from `make_frames`.
    fan : Fan
        The reference at this level.
    log_prior : ndarray of float32, shape (n_cells,)
        Log prior of each cell, from `log_prior`.
    power : float
        Exponent; 1 for the posterior.
    backend : Backend
        Where it runs.

    Returns
    -------
    scores : ndarray of float32, shape (n_cells, n_axial, n_azimuth)
        Relative to pure noise, natural log; scratch of the backend.
    highest : ndarray of float32, shape (n_cells,)
        Maximum of each table.
    """
    level, xp = fan.level, array_module(frames.data)
    plane = HalfPlane(level.k_max)
    phase = np.exp(-2j * np.pi * np.outer(level.shift_px, plane.u) / fan.box_px)
    shift_phase = xp.asarray(phase.astype(np.complex64))
    ring_weight = _ring_means(frames.power, plane, backend)
    shape = (len(cells), level.n_axial, level.n_azimuth)
    out = backend.scratch("tables", shape)
    highest = xp.empty(len(cells), np.float32)
    starts = cells.tilt_starts(level.n_tilt)
    bytes_each = fan.rows.moved_bytes + 8 * fan.rows.n_amplitudes + 8 * out[0].size
    for tilt in range(level.n_tilt):
        if starts[tilt] == starts[tilt + 1]:
            continue
        matrices = backend.real_rows(fan.values[tilt], fan.rows)
        tilted = starts[tilt], starts[tilt + 1]
        for rows in backend.blocks(*tilted, bytes_each, _FEWEST_CELLS):
            frame = frames.of_cell[rows]
            amplitudes = backend.shifted_products(
                matrices, fan.rows, frames.data, frame, shift_phase, cells.shift[rows]
            )
            even, odd = fan.pooling.waves(amplitudes, backend)
            offset = ring_weight[frame] @ fan.ring_power[tilt]
            offset -= log_prior[rows, None]
            backend.unfold_azimuths(even, odd, offset, power, out[rows], highest[rows])
    return out, highest


def reference_power(
    cells: Cells, frames: Frames, fan: Fan, backend: Backend
) -> NDArray[np.float64]:
    """Half the whitened power of the reference as each cell would show it.

    Parameters
    ----------
    cells : Cells
        Pose cells, sorted by tilt.
    frames : Frames
        Data of those cells.
    fan : Fan
        The reference at this level.
    backend : Backend
        Where it runs.

    Returns
    -------
    ndarray of float64, shape (n_cells, n_azimuth)
        The term that `score_cells` subtracts.
    """
    xp = array_module(frames.power)
    ring_weight = _ring_means(frames.power, HalfPlane(fan.level.k_max), backend)
    starts = cells.tilt_starts(fan.level.n_tilt)
    return xp.concatenate(
        [
            ring_weight[frames.of_cell[first:last]] @ fan.ring_power[tilt]
            for tilt, (first, last) in enumerate(pairwise(starts))
        ]
    ).astype(np.float64)


def _ring_means(
    power: NDArray[np.float32], plane: HalfPlane, backend: Backend
) -> NDArray[np.float32]:
    """Mean of C^2 / noise over each ring, shape (n_frames, k_max + 1)."""
    xp = array_module(power)
    inside = np.nonzero(plane.multiplicity)
    row, column = (xp.asarray(index) for index in inside)
    sums = backend.group_sums(
        power[row, :, column],  # (components, frames)
        xp.asarray(plane.ring[inside]),
        plane.k_max + 1,
        xp.asarray(plane.multiplicity[inside]),
    )
    counts = xp.asarray(np.maximum(plane.ring_counts, 1))
    return (sums / counts[:, None]).T.astype(np.float32)


def log_prior(
    chunk: Chunk, cells: Cells, level: SearchLevel, spread: PoseSpread
) -> NDArray[np.float32]:
    """Gaussian log prior of each cell about the given angles.

    Parameters
    ----------
    chunk : Chunk
        Carries the given angles.
    cells : Cells
        Pose cells to weigh.
    level : SearchLevel
        Grid that the cells index.
    spread : PoseSpread
        Standard deviations of the priors.

    Returns
    -------
    ndarray of float32, shape (n_cells,)
    """
    xp = array_module(cells.psi)
    psi = xp.asarray(level.psi_offset_deg)[cells.psi] / spread.psi_deg
    tilt, shift = _from_priors(chunk, cells, level)
    tilt, shift = tilt / spread.tilt_deg, shift / spread.shift_px
    return (-0.5 * (psi**2 + tilt**2 + shift**2)).astype(np.float32)


def near_priors(
    chunk: Chunk, cells: Cells, level: SearchLevel, spread: PoseSpread
) -> NDArray[np.bool_]:
    """Mark the cells that reach within three standard deviations of their priors.

    Parameters
    ----------
    chunk : Chunk
        Carries the given angles.
    cells : Cells
        Pose cells to choose from.
    level : SearchLevel
        Grid that the cells index.
    spread : PoseSpread
        Standard deviations of the priors.

    Returns
    -------
    ndarray of bool, shape (n_cells,)
        Images without any such cell keep all of theirs.
    """
    tilt, shift = _from_priors(chunk, cells, level)
    xp = array_module(tilt)
    near = xp.abs(tilt) <= 3 * spread.tilt_deg + level.tilt_step_deg
    near &= xp.abs(shift) <= 3 * spread.shift_px + level.shift_step_px
    lost = xp.bincount(cells.image[near], minlength=len(chunk)) == 0
    marked: NDArray[np.bool_] = near | lost[cells.image]
    return marked


def _from_priors(
    chunk: Chunk, cells: Cells, level: SearchLevel
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tilt (degrees) and transverse shift (pixels) of cells from their priors.

    Seen from the other end, a tilt of 90 + d is one of 90 - d, and a shift changes
    sign.
    """
    sign = 1.0 - 2.0 * cells.polarity
    tilt = sign * (chunk.tilt_prior_deg[cells.image] - 90)
    shift = sign * chunk.shift_prior_px[cells.image]
    xp = array_module(cells.tilt)
    return (
        xp.asarray(level.tilt_offset_deg)[cells.tilt] - tilt,
        xp.asarray(level.shift_px)[cells.shift] - shift,
    )
