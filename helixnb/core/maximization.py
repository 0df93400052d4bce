"""M-step: the adjoint of scoring, summed into cylindrical harmonics.

With posterior weights g(phi, s) of a cell, the expected data term is

    D_n(v, u) += sum_{phi, s} g exp(-i n phi) exp(2 pi i (u t + v s) / D) X C / noise

and the weight W_n the same with C^2 / noise and no phase. Cells are taken one tilt at
a time, so that each row v is one matrix product over all cells, and the result is
scattered once per tilt into F_n(R, Z). Symmetry is then a factor on (n, Z). The cost
of everything after the sums does not depend on the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend, fourier
from helixnb.backend.arrays import array_module
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import Posterior
from helixnb.core.halfplane import HalfPlane
from helixnb.core.scoring import Frames
from helixnb.core.search import SearchLevel
from helixnb.symmetry import HelicalSymmetry

WEIGHT_HARMONICS = 16
"""Azimuthal harmonics kept of the weights, which vary slowly with azimuth."""

_FEWEST_CELLS = 256
"""Cells of a block at least: fewer make the products too thin."""


@dataclass
class Accumulator:
    """Sums over images of data and weights on a cylindrical grid.

    Parameters
    ----------
    grid : CylinderGrid
        At one sample per Fourier pixel.
    data : ndarray of complex64, shape grid.shape
        Sum of CTF-multiplied, noise-weighted data.
    weight : ndarray of complex64, shape (n_z, n_r, 2 n_w + 1)
        Sum of C^2 / noise; the central order is real.
    n_images : int
    """

    grid: CylinderGrid
    data: NDArray[np.complex64]
    weight: NDArray[np.complex64]
    n_images: int = 0

    @classmethod
    def empty(cls, grid: CylinderGrid, xp: Any = np) -> Accumulator:
        """Return an accumulator of zeros.

        Parameters
        ----------
        grid : CylinderGrid
            Sampling of the sums.
        xp : module
            Array module that they belong to.
        """
        n_w = min(WEIGHT_HARMONICS, grid.m_max)
        return cls(
            grid,
            xp.zeros(grid.shape, np.complex64),
            xp.zeros((grid.n_z, grid.n_r, 2 * n_w + 1), np.complex64),
        )

    def cost_of_cell(self, level: SearchLevel) -> tuple[int, int]:
        """Floating-point operations and bytes that one cell takes in `fan_sums`.

        Operations are those of the matrix products. Bytes count its weights once, and
        what is made of them and of its frame as written once and read once.

        Parameters
        ----------
        level : SearchLevel
            Of the cells.
        """
        plane, n_w = HalfPlane(self.grid.k_max), self.weight.shape[-1] // 2
        n_rows, components = plane.n_rows, plane.n_rows * plane.n_columns
        waves = level.n_axial * (self.grid.m_max + 1)
        flops = 8 * n_rows * 2 * waves  # gains of either sign of m
        flops += 8 * components * self.grid.n_m + 4 * components * (n_w + 1)
        moved = 4 * level.n_axial * level.n_azimuth
        moved += 2 * 8 * (waves + n_rows * self.grid.n_m) + 2 * (8 + 4) * components
        return flops, moved

    def __iadd__(self, other: Accumulator) -> Accumulator:
        """Add the sums of other images."""
        self.data += other.data
        self.weight += other.weight
        self.n_images += other.n_images
        return self

    def add(
        self, posterior: Posterior, frames: Frames, n_images: int, backend: Backend
    ) -> None:
        """Add the images of a chunk with their posterior weights.

        Parameters
        ----------
        posterior : Posterior
            Weights of the poses, sorted by tilt.
        frames : Frames
            Data of the posterior's cells, to the band limit of the grid.
        n_images : int
            Images in the chunk.
        backend : Backend
            Where it runs.
        """
        level = posterior.level
        starts = posterior.cells.tilt_starts(level.n_tilt)
        for tilt in range(level.n_tilt):
            if starts[tilt] == starts[tilt + 1]:
                continue
            data, weight = fan_sums(
                posterior, frames, starts[tilt], starts[tilt + 1], self, backend
            )
            offset = level.tilt_offset_deg[tilt]
            cyclic = self.grid.cyclic
            backend.scatter_fan(self.data, data, cyclic, offset)
            backend.scatter_fan(self.weight, weight, cyclic, offset)
        self.n_images += n_images


def joined(first: Accumulator, second: Accumulator) -> Accumulator:
    """Add the sums of both halves.

    Parameters
    ----------
    first, second : Accumulator
        On the same grid.
    """
    return Accumulator(
        first.grid,
        first.data + second.data,
        first.weight + second.weight,
        first.n_images + second.n_images,
    )


def fan_sums(
    posterior: Posterior,
    frames: Frames,
    first: int,
    last: int,
    accumulator: Accumulator,
    backend: Backend,
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Sum data and weights of all cells at one tilt.

    Parameters
    ----------
    posterior : Posterior
        Weights of the poses, sorted by tilt.
    frames : Frames
        Data of the posterior's cells.
    first, last : int
        The cells of the tilt.
    accumulator : Accumulator
        Tells the grid.
    backend : Backend
        Where it runs.

    Returns
    -------
    data : ndarray of complex64, shape (n_rows, n_columns, n_m)
    weight : ndarray of complex64, shape (n_rows, n_columns, 2 n_w + 1)
    """
    level, grid, xp = posterior.level, accumulator.grid, backend.xp
    plane = HalfPlane(grid.k_max)
    n_w = accumulator.weight.shape[-1] // 2
    along = np.exp(2j * np.pi * np.outer(plane.v, level.axial_px) / grid.box_px)
    across = np.exp(2j * np.pi * np.outer(level.shift_px, plane.u) / grid.box_px)
    row_phase = xp.asarray(along.astype(np.complex64))
    column_phase = xp.asarray(across.astype(np.complex64))

    def of_block(
        block: slice,
    ) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
        frame = frames.of_cell[block]
        spectrum = fourier.rfft(posterior.weights[block], axis=-1)
        spectrum = spectrum[..., : grid.m_max + 1]  # (cells, axial, m >= 0)
        images = frames.data[:, frame]
        xp.conj(images, out=images)
        images *= column_phase[posterior.cells.shift[block]]
        gains = _row_gains(spectrum, row_phase)  # (v, cells, m)
        data = images.swapaxes(1, 2) @ gains
        azimuth = spectrum.sum(1)[:, : n_w + 1]
        positive = _real_times_complex(frames.power[:, frame].swapaxes(1, 2), azimuth)
        negative = xp.conj(positive[..., :0:-1])
        return data, xp.concatenate([negative, positive], axis=-1)

    # Images, gains of either sign and weights of a cell.
    bytes_each = 8 * plane.n_rows * (2 * plane.n_columns + 3 * grid.n_m)
    bytes_each += 8 * level.n_axial * level.n_azimuth
    # Most often there is one block.
    sums = map(of_block, backend.blocks(first, last, bytes_each, _FEWEST_CELLS))
    data, weight = next(sums)
    for more_data, more_weight in sums:
        data += more_data
        weight += more_weight
    return data, weight


def _row_gains(
    spectrum: NDArray[np.complex64], row_phase: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Sum over axial shifts of g_m(s) exp(2 pi i v s / D), for m of either sign."""
    xp = array_module(spectrum)
    n_cells, n_axial, n_positive = spectrum.shape
    flat = spectrum.swapaxes(0, 1).reshape(n_axial, -1)
    shape = (len(row_phase), n_cells, n_positive)
    positive = (row_phase @ flat).reshape(shape)
    negative = (row_phase @ xp.conj(flat)).reshape(shape)
    return xp.concatenate([negative[..., :0:-1], positive], axis=-1)


def _real_times_complex(
    left: NDArray[np.float32], right: NDArray[np.complex64]
) -> NDArray[np.complex64]:
    """Product of a real stack of matrices and a complex matrix, in real BLAS."""
    parts = array_module(right).ascontiguousarray(right).view(np.float32)
    return (left @ parts).view(np.complex64)


def symmetrised(
    accumulator: Accumulator,
    symmetry: HelicalSymmetry,
    order: int,
    pixel_size_A: float,
) -> Accumulator:
    """Sum of the copies of data and weights under the helical operator.

    Copy k of the operator multiplies F_n(R, Z) by exp(-i k x), x = n twist +
    2 pi Z rise (exact for any twist and rise), and weights by exp(-i k n twist).
    A dyad along x makes F_n equal to (-1)^n conj(F_n). The sums are divided by the
    number of copies, so that weights still count images.

    Parameters
    ----------
    accumulator : Accumulator
        Sums before symmetrisation; left as they are.
    symmetry : HelicalSymmetry
        Twist, rise and point group.
    order : int
        Number of copies; which they are is `HelicalSymmetry.copies`.
    pixel_size_A : float
        Edge of a voxel, Angstrom.

    Returns
    -------
    Accumulator
    """
    grid = accumulator.grid
    copies = symmetry.copies(order)
    twist = np.deg2rad(symmetry.twist_deg)
    rise = 2 * np.pi * symmetry.rise_A / (grid.box_px * pixel_size_A)
    n_w = accumulator.weight.shape[-1] // 2
    weight_orders = grid.cyclic * np.arange(-n_w, n_w + 1)
    x = grid.orders[None, :] * twist + grid.z[:, None] * rise
    factor = np.exp(-1j * copies[:, None, None] * x).mean(0).astype(np.complex64)
    turn = np.exp(-1j * copies[:, None] * weight_orders * twist).mean(0)
    xp = array_module(accumulator.data)
    data = accumulator.data * xp.asarray(factor)[:, None, :]
    weight = accumulator.weight * xp.asarray(turn.astype(np.complex64))
    out = Accumulator(grid, data, weight, accumulator.n_images)
    return dyad_averaged(out) if symmetry.dihedral else out


def dyad_averaged(accumulator: Accumulator) -> Accumulator:
    """Average the sums with their copy under the dyad along x.

    Parameters
    ----------
    accumulator : Accumulator
        Left as it is.

    Returns
    -------
    Accumulator
    """
    grid = accumulator.grid
    n_w = accumulator.weight.shape[-1] // 2
    return Accumulator(
        grid,
        _dyad_average(accumulator.data, grid.orders),
        _dyad_average(accumulator.weight, grid.cyclic * np.arange(-n_w, n_w + 1)),
        accumulator.n_images,
    )


def _dyad_average(
    harmonics: NDArray[np.complex64], orders: NDArray[np.int64]
) -> NDArray[np.complex64]:
    """Average with the copy turned by 180 degrees about x."""
    xp = array_module(harmonics)
    sign = xp.asarray(((-1.0) ** orders).astype(np.float32))
    return 0.5 * (harmonics + sign * xp.conj(harmonics))
