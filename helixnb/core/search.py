"""The pose grid: what is searched, how finely, and in how many levels.

Azimuth and axial shift are always complete. The other three (in-plane angle with
both polarities, out-of-plane tilt, transverse shift) are searched from coarse to
fine: bands double, steps are halved, and only cells that hold posterior mass are kept
and divided. Steps follow from how far a wrong pose moves density at the rim of the
object, as a fraction of the resolution. The best pose lies between cells, and where
images are clear the likelihood falls by many nats from there to the nearest one; so
all bands but the last are searched in steps that suit the band after them. Where
images tell more than the steps of the last, it is divided once more (`oversampled`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module, to_host

COARSEST_RESOLUTION_A = 48.0
"""The lowest band reaches at least this far."""

LEAST_BAND = 4
"""Fourier pixels: below, a band is a handful of components."""

MAX_BANDS = 4
"""More save nothing: the lowest is already cheap."""

STEP_FRACTION = 0.35
"""Step of the divided axes, as movement at the rim over the resolution."""

AXIAL_FRACTION = 0.2
"""Step of the axial shift over the resolution; coarser ones stop convergence."""

N_POLARITIES = 2
"""psi near the prior, and psi + 180."""


@dataclass(frozen=True)
class PoseSpread:
    """Standard deviations of the Gaussian pose priors about the given angles.

    Parameters
    ----------
    psi_deg, tilt_deg : float
        In-plane angle about the psi prior, infinite if that is not known, and
        out-of-plane tilt about its prior.
    shift_px : float
        Transverse shift about its prior.
    """

    psi_deg: float
    tilt_deg: float
    shift_px: float


@dataclass(frozen=True)
class SearchLevel:
    """One grid of the coarse-to-fine search.

    Parameters
    ----------
    k_max : int
        Band limit of this level, Fourier pixels.
    n_psi, n_tilt, n_shift : int
        Cells along in-plane angle (per polarity), tilt and transverse shift.
    psi_step_deg, tilt_step_deg, shift_step_px : float
        Cell sizes.
    n_axial : int
        Axial shifts over the axial range.
    n_azimuth : int
        Azimuths over one sector of 360 / cyclic degrees.
    axial_range_px : float
        Length of the range of axial shifts, centred on zero.
    m_max : int
        Largest azimuthal harmonic index that the band can hold.
    """

    k_max: int
    n_psi: int
    n_tilt: int
    n_shift: int
    psi_step_deg: float
    tilt_step_deg: float
    shift_step_px: float
    n_axial: int
    n_azimuth: int
    axial_range_px: float
    m_max: int

    @cached_property
    def psi_offset_deg(self) -> NDArray[np.float64]:
        """Offsets from the psi prior, shape (n_psi,)."""
        return _centred(self.n_psi, self.psi_step_deg)

    @cached_property
    def tilt_offset_deg(self) -> NDArray[np.float64]:
        """Out-of-plane tilts minus 90, shape (n_tilt,)."""
        return _centred(self.n_tilt, self.tilt_step_deg)

    @cached_property
    def shift_px(self) -> NDArray[np.float64]:
        """Transverse shifts, shape (n_shift,)."""
        return _centred(self.n_shift, self.shift_step_px)

    @cached_property
    def axial_px(self) -> NDArray[np.float64]:
        """Axial shifts from minus half the range, shape (n_axial,)."""
        return self.axial_range_px * (np.arange(self.n_axial) / self.n_axial - 0.5)

    @property
    def cells_per_image(self) -> int:
        """Cells of the complete grid."""
        return N_POLARITIES * self.n_psi * self.n_tilt * self.n_shift


def _centred(n: int, step: float) -> NDArray[np.float64]:
    return (np.arange(n, dtype=np.float64) - (n - 1) / 2) * step


def harmonic_limit(k_max: int, box_px: int, radius_px: float, cyclic: int) -> int:
    """Largest harmonic index m that a map of given radius has inside a band.

    J_n(x) is negligible beyond n = x + about 3 x^(1/3), with x = 2 pi R k / box.

    Parameters
    ----------
    k_max : int
        Band limit, Fourier pixels.
    box_px : int
        Edge of the map, pixels.
    radius_px : float
        Outer radius of the map.
    cyclic : int
        Only orders n = cyclic * m occur.

    Returns
    -------
    int
    """
    argument = 2 * np.pi * radius_px * k_max / box_px
    return int(np.ceil((argument + 3 * np.cbrt(argument)) / cyclic))


def plan_levels(
    k_max: int,
    *,
    box_px: int,
    pixel_size_A: float,
    radius_px: float,
    axial_range_px: float,
    cyclic: int,
    spread: PoseSpread,
    tilt_limit_deg: float,
    fine_m_max: int,
    prior_tilt_deg: float = 0.0,
    prior_shift_px: float = 0.0,
) -> list[SearchLevel]:
    """Grids from coarse to fine that cover three standard deviations of the priors.

    Parameters
    ----------
    k_max : int
        Band limit of the finest level.
    box_px : int
        Edge of the images, pixels.
    pixel_size_A : float
        Edge of a pixel, Angstrom.
    radius_px : float
        Outer radius of the map.
    axial_range_px : float
        Length of the range of axial shifts.
    cyclic : int
        Order of the cyclic group.
    spread : PoseSpread
        Priors; the grid reaches three standard deviations.
    tilt_limit_deg : float
        Largest out-of-plane tilt searched.
    fine_m_max : int
        Harmonics that the finest posterior must resolve for the reconstruction.
    prior_tilt_deg : float
        Largest distance of a tilt prior from 90, which the grid covers as well.
    prior_shift_px : float
        Largest prior of the transverse shift, which the grid covers as well.

    Returns
    -------
    list of SearchLevel
        Finest last; each has the steps of the one before or halves them.
    """
    bands = _bands(k_max, box_px * pixel_size_A)
    last = len(bands) - 1
    movement_px = STEP_FRACTION * box_px / bands[min(1, last)]
    psi_step = np.rad2deg(movement_px / (box_px / 2))
    tilt_step = np.rad2deg(movement_px / radius_px)
    tilt_range = min(prior_tilt_deg + 3 * spread.tilt_deg, tilt_limit_deg)
    n_psi = _cells(min(3 * spread.psi_deg, 90.0), psi_step)
    n_tilt = _cells(tilt_range, tilt_step)
    n_shift = _cells(prior_shift_px + 3 * spread.shift_px, movement_px)
    levels = []
    for i, halvings in _order_of_search(len(bands)):
        band, finer = bands[i], 2**halvings
        m_max = harmonic_limit(band, box_px, radius_px, cyclic)
        axial_step = AXIAL_FRACTION * box_px / band
        resolved = max(m_max, fine_m_max) if i == last else m_max
        levels.append(
            SearchLevel(
                k_max=band,
                n_psi=n_psi * finer,
                n_tilt=n_tilt * finer,
                n_shift=n_shift * finer,
                psi_step_deg=psi_step / finer,
                tilt_step_deg=tilt_step / finer,
                shift_step_px=movement_px / finer,
                n_axial=max(1, int(np.ceil(axial_range_px / axial_step))),
                n_azimuth=fourier.next_fast_len(2 * resolved + 2, real=True),
                axial_range_px=axial_range_px,
                m_max=m_max,
            )
        )
    return levels


def _bands(k_max: int, box_A: float) -> list[int]:
    """Band limits, each half of the next, up to the one asked for."""
    n = 1
    while (
        n < MAX_BANDS
        and box_A * 2**n <= COARSEST_RESOLUTION_A * k_max
        and k_max >= LEAST_BAND * 2**n
    ):
        n += 1
    return [int(np.ceil(k_max / 2 ** (n - 1 - i))) for i in range(n)]


def _order_of_search(n_bands: int) -> list[tuple[int, int]]:
    """Which band is searched on which grid, by how often its steps are halved.

    The first grid suits the second band, or the only one. Bands in the middle go first
    through the cells they are given, few of which survive, and then divide them; the
    second does not, for which those cells are too coarse.
    """
    last = n_bands - 1
    order = [(0, 0)]
    for i in range(1, n_bands):
        if 1 < i < last:
            order.append((i, i - 1))
        order.append((i, min(i, last - 1)))
    return order


def _cells(half_range: float, step: float) -> int:
    return max(1, int(np.ceil(2 * half_range / step)))


def oversampled(level: SearchLevel) -> SearchLevel:
    """Halve the steps of a level along psi and transverse shift, at the same band.

    These two move density by up to half their step wherever it lies; a tilt does so at
    the rim alone, and dividing it as well gains nothing that could be measured.

    Parameters
    ----------
    level : SearchLevel
        The finest of `plan_levels`.

    Returns
    -------
    SearchLevel
    """
    return replace(
        level,
        n_psi=2 * level.n_psi,
        n_shift=2 * level.n_shift,
        psi_step_deg=level.psi_step_deg / 2,
        shift_step_px=level.shift_step_px / 2,
    )


@dataclass(frozen=True)
class Cells:
    """Pose cells under consideration, as parallel integer arrays.

    Parameters
    ----------
    image, polarity, psi, tilt, shift : ndarray of int32, shape (n,)
        Image of the chunk, polarity (0 or 1) and grid indices of the level.
        Sorted by tilt, so that each tilt is one slice.
    """

    image: NDArray[np.int32]
    polarity: NDArray[np.int32]
    psi: NDArray[np.int32]
    tilt: NDArray[np.int32]
    shift: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.image)

    def take(self, index: NDArray[np.integer]) -> Cells:
        """Return the cells at `index`, sorted by tilt."""
        xp = array_module(self.tilt)
        index = index[xp.argsort(self.tilt[index], kind="stable")]
        return Cells(
            self.image[index],
            self.polarity[index],
            self.psi[index],
            self.tilt[index],
            self.shift[index],
        )

    def divided(self, coarse: SearchLevel, fine: SearchLevel) -> Cells:
        """Split every cell into those of a finer level that tile it.

        Parameters
        ----------
        coarse : SearchLevel
            The level of these cells.
        fine : SearchLevel
            A level with a whole number of cells in each, along every axis.
        """
        xp, n = array_module(self.tilt), len(self)
        parts = (
            fine.n_psi // coarse.n_psi,
            fine.n_tilt // coarse.n_tilt,
            fine.n_shift // coarse.n_shift,
        )
        part = xp.indices(parts, dtype=np.int32).reshape(3, -1)
        each = part.shape[1]
        children = Cells(
            xp.repeat(self.image, each),
            xp.repeat(self.polarity, each),
            xp.repeat(parts[0] * self.psi, each) + xp.tile(part[0], n),
            xp.repeat(parts[1] * self.tilt, each) + xp.tile(part[1], n),
            xp.repeat(parts[2] * self.shift, each) + xp.tile(part[2], n),
        )
        return children.take(xp.arange(len(children)))

    def tilt_starts(self, n_tilt: int) -> list[int]:
        """Where the cells of each tilt begin, and where the last end, on the host.

        Parameters
        ----------
        n_tilt : int
            Tilts of the level.
        """
        xp = array_module(self.tilt)
        starts = xp.searchsorted(self.tilt, xp.arange(n_tilt + 1))
        return [int(start) for start in to_host(starts)]


def complete_grid(n_images: int, level: SearchLevel, xp: Any = np) -> Cells:
    """All cells of a level for every image of a chunk.

    Parameters
    ----------
    n_images : int
        Images in the chunk.
    level : SearchLevel
        Grid to fill.
    xp : module
        Array module that the cells belong to.

    Returns
    -------
    Cells
    """
    shape = (level.n_tilt, n_images, N_POLARITIES, level.n_psi, level.n_shift)
    tilt, image, polarity, psi, shift = (
        axis.ravel().astype(np.int32) for axis in xp.indices(shape)
    )
    return Cells(image, polarity, psi, tilt, shift)
