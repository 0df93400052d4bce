"""Micrographs: filaments laid out, projected, imaged with noise, picked and boxed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import scipy.fft

from helixnb.simulate.filaments import (
    Filament,
    Filaments,
    draw_filament,
    euler_matrix,
)
from helixnb.simulate.microscope import (
    Microscope,
    coloured_noise,
    contrast_transfer,
    draw_defocus,
)
from helixnb.simulate.rendering import (
    OVERSAMPLING,
    atom_transfer,
    frequency_grid,
    project_atoms,
    spline_to_pixels,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.simulate.lattice import Lattice
    from helixnb.simulate.models import Subunit

FILAMENTS_PER_MICROGRAPH = 2
# Neighbours lie this many boxes apart, so that no box sees two filaments, and turn
# at most this much from each other.
_NEIGHBOUR_DISTANCE_BOXES = 1.6
_NEIGHBOUR_TURN_DEG = 2.0
# A filament goes on beyond its last box by a box and by what defocus spreads.
_DELOCALISATION_A = 100.0


class Specimen(NamedTuple):
    """What every micrograph of a simulation has in common.

    `level` holds the atoms of one level of the helix: the asymmetric unit and its
    copies under the point group.
    """

    level: Subunit
    lattice: Lattice
    filaments: Filaments
    microscope: Microscope
    box_px: int
    pixel_size_A: float

    @property
    def spacing_A(self) -> float:
        """Distance between boxes along a filament."""
        box_A = self.box_px * self.pixel_size_A
        return self.filaments.spacing_A(box_A, self.lattice.rise_A)


def image_micrograph(
    specimen: Specimen, n_filaments: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, NDArray[np.float32], NDArray[np.float32]]:
    """Draw one micrograph and cut its boxes.

    Parameters
    ----------
    specimen : Specimen
        What is imaged, and how.
    n_filaments : int
        How many filaments lie side by side.
    rng : numpy.random.Generator
        Source of all that varies.

    Returns
    -------
    table : pandas.DataFrame
        One row a box, RELION's columns, with the true poses.
    signal : (n, box_px, box_px) float32 array
        Boxes of the projected atoms after the CTF, in units of the atoms' weights.
    noise : (n, box_px, box_px) float32 array
        The same boxes of noise of variance 1.
    """
    placed, shape = _lay_out(specimen, n_filaments, rng)
    pixel_size_A = specimen.pixel_size_A
    defocus = draw_defocus(specimen.microscope, rng)
    fine = np.zeros([OVERSAMPLING * n for n in shape], dtype=np.float32)
    for filament, origin_px in placed:
        project_atoms(
            fine,
            specimen.level,
            euler_matrix(filament.level_euler_deg),
            filament.level_centre_A[:, :2] / pixel_size_A + origin_px,
            pixel_size_A,
        )
    spectrum = spline_to_pixels(fine)
    ky, kx = frequency_grid(shape, pixel_size_A)
    transfer = atom_transfer(kx**2 + ky**2, specimen.microscope.b_factor_A2)
    transfer *= contrast_transfer(shape, pixel_size_A, defocus, specimen.microscope)
    signal = scipy.fft.irfft2(spectrum * transfer.astype(np.float32), shape)
    noise = coloured_noise(shape, pixel_size_A, rng)

    tables = []
    for tube, (filament, origin_px) in enumerate(placed, start=1):
        rows = _pick(specimen, filament, origin_px, rng)
        rows["rlnHelicalTubeID"] = tube
        tables.append(rows)
    table = pd.concat(tables, ignore_index=True)
    table["rlnDefocusU"], table["rlnDefocusV"] = defocus.u_A, defocus.v_A
    table["rlnDefocusAngle"] = defocus.angle_deg
    centres = table[["rlnCoordinateX", "rlnCoordinateY"]].to_numpy(dtype=int)
    box_px = specimen.box_px
    return table, _cut(signal, centres, box_px), _cut(noise, centres, box_px)


def _lay_out(
    specimen: Specimen, n_filaments: int, rng: np.random.Generator
) -> tuple[list[tuple[Filament, NDArray[np.float64]]], tuple[int, int]]:
    """Nearly parallel filaments with their origins (x, y), and a shape to hold them."""
    box_px, pixel_size_A = specimen.box_px, specimen.pixel_size_A
    n_gaps = specimen.filaments.segments_per_filament - 1
    length_A = n_gaps * specimen.spacing_A
    length_A += 2 * (box_px * pixel_size_A + _DELOCALISATION_A)
    direction_deg = rng.uniform(0, 360)
    # The helix axis appears along (-cos psi, sin psi): this is across it.
    across = np.array(
        [np.sin(np.deg2rad(direction_deg)), np.cos(np.deg2rad(direction_deg))]
    )
    filaments, origins = [], []
    for index in range(n_filaments):
        turn_deg = rng.uniform(-_NEIGHBOUR_TURN_DEG, _NEIGHBOUR_TURN_DEG)
        psi_deg = direction_deg + turn_deg + 180.0 * rng.integers(2)
        filaments.append(
            draw_filament(length_A, psi_deg, specimen.lattice, specimen.filaments, rng)
        )
        origins.append(index * _NEIGHBOUR_DISTANCE_BOXES * box_px * across)
    extent = np.concatenate(
        [
            f.axis_A[:, :2] / pixel_size_A + o
            for f, o in zip(filaments, origins, strict=True)
        ]
    )
    low, high = extent.min(axis=0) - box_px, extent.max(axis=0) + box_px
    nx, ny = (2 * scipy.fft.next_fast_len(int(np.ceil(n / 2))) for n in high - low)
    return [(f, o - low) for f, o in zip(filaments, origins, strict=True)], (ny, nx)


def _pick(
    specimen: Specimen,
    filament: Filament,
    origin_px: NDArray[np.float64],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Boxes along one filament: where a picker put them, and the true poses."""
    shape, pixel_size_A = specimen.filaments, specimen.pixel_size_A
    steps = np.arange(shape.segments_per_filament) * specimen.spacing_A
    # Pickers do not know the polarity: the track may run against the helix's +z.
    against, flipped = rng.integers(2, size=2).astype(bool)
    arc_A = filament.arc_A[-1] / 2 + (steps - steps[-1] / 2) * (-1 if against else 1)
    errors = shape.pick_sd_A * rng.standard_normal((len(steps), 2))
    # Boxes stay in the micrograph however bad the picking is said to be.
    limit_A = 0.4 * specimen.box_px * pixel_size_A
    picked_A = filament.axis_at(arc_A)[:, :2] + np.clip(errors, -limit_A, limit_A)
    centre_px = np.rint(picked_A / pixel_size_A + origin_px)

    # Along the track or against it, as RELION's -atan2(dy, dx) is: both, by a toss.
    prior = filament.psi_at(arc_A) + 180.0 * flipped
    prior = prior + shape.psi_error_deg * rng.standard_normal(len(steps))
    rows = pd.DataFrame(
        {
            "rlnCoordinateX": centre_px[:, 0],
            "rlnCoordinateY": centre_px[:, 1],
            "rlnAngleTiltPrior": 90.0,
            "rlnAnglePsiPrior": _wrapped(prior),
            "rlnHelicalTrackLengthAngst": steps,
            "rlnAnglePsiFlipRatio": 0.5,
        }
    )
    # The level nearest to the box centre takes the part of the map's level 0.
    from_centre_A = (
        filament.level_centre_A[None, :, :2]
        - (pixel_size_A * (centre_px - origin_px))[:, None]
    )
    nearest = np.argmin((from_centre_A**2).sum(axis=-1), axis=1)
    euler = filament.level_euler_deg[nearest]
    rows["rlnAngleRot"] = _wrapped(euler[:, 0])
    rows["rlnAngleTilt"] = euler[:, 1]
    rows["rlnAnglePsi"] = _wrapped(euler[:, 2])
    # RELION's origin is the shift that brings the particle to the centre.
    offset_A = from_centre_A[np.arange(len(steps)), nearest]
    rows["rlnOriginXAngst"], rows["rlnOriginYAngst"] = -offset_A.T
    return rows


def _cut(
    micrograph: NDArray[np.float32], centres_px: NDArray[np.int64], box_px: int
) -> NDArray[np.float32]:
    """Boxes (n, box_px, box_px) whose pixel box_px // 2 lies at each (x, y)."""
    windows = np.lib.stride_tricks.sliding_window_view(micrograph, (box_px, box_px))
    corner = centres_px - box_px // 2
    return windows[corner[:, 1], corner[:, 0]]


def _wrapped(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle in (-180, 180]."""
    return 180.0 - np.mod(180.0 - angle_deg, 360.0)
