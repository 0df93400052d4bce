"""Continuous filaments: smooth curves in three dimensions and the levels along them.

A filament is given by its direction at every arc length, as RELION's psi and tilt;
integrating the direction gives the axis, and rot follows from the twist. In image
coordinates (x, y down the rows, z along the beam) a map point r appears at A r with
RELION's A(rot, tilt, psi), so the helix axis points along
A e_z = (-cos psi sin tilt, sin psi sin tilt, cos tilt).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.integrate import cumulative_trapezoid

from helixnb.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.simulate.lattice import Lattice

_STEP_A = 2.0
# Bends are spread over the filament, but never sharper than over this length.
_SHORTEST_BEND_A = 1000.0


@dataclass(frozen=True)
class Filaments:
    """How many filaments, how they lie in the ice and how well they are picked.

    Parameters
    ----------
    n_filaments, segments_per_filament : int
        Two filaments share a micrograph.
    inter_box_A : float, optional
        Distance between boxes along the filament; by default the whole number of
        rises (at least one) nearest to a sixth of the box.
    bend_deg : float
        Root mean square departure of a filament's direction from a straight line in
        the image plane, spread over the filament's length (or 1000 A, if longer).
    tilt_sd_deg, tilt_wander_deg : float
        Out-of-plane tilt: standard deviation between filaments, and root mean square
        change along one.
    twist_disorder_deg : float
        Standard deviation of each step's twist; errors add up along the filament.
    pick_sd_A : float
        Standard deviation of the box centres' error in x and in y (before rounding
        to pixels).
    psi_error_deg : float
        Standard deviation of the psi priors' error, besides each filament's unknown
        polarity.

    Raises
    ------
    InputError
        If a count is less than 1, a spread negative or a distance not positive.
    """

    n_filaments: int = 16
    segments_per_filament: int = 16
    inter_box_A: float | None = None
    bend_deg: float = 2.0
    tilt_sd_deg: float = 4.0
    tilt_wander_deg: float = 1.5
    twist_disorder_deg: float = 0.0
    pick_sd_A: float = 3.0
    psi_error_deg: float = 1.5

    def __post_init__(self) -> None:
        for name in ("n_filaments", "segments_per_filament"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"{name} must be at least 1, got {getattr(self, name)!r}."
                )
        if self.inter_box_A is not None and not self.inter_box_A > 0:
            raise InputError(f"inter_box_A must be > 0, got {self.inter_box_A!r}.")
        for name in (
            "bend_deg",
            "tilt_sd_deg",
            "tilt_wander_deg",
            "twist_disorder_deg",
            "pick_sd_A",
            "psi_error_deg",
        ):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be >= 0, got {getattr(self, name)!r}.")

    def spacing_A(self, box_A: float, rise_A: float) -> float:
        """Distance between boxes: `inter_box_A`, or its default for this box."""
        if self.inter_box_A is not None:
            return self.inter_box_A
        return max(1, round(box_A / 6 / rise_A)) * rise_A


@dataclass(frozen=True)
class Filament:
    """One filament: its axis as a curve, and the levels of the helix along it.

    Parameters
    ----------
    arc_A : (m,) float64 array
        Arc length along the axis, towards the helix's +z.
    axis_A : (m, 3) float64 array
        Position of the axis (x, y, beam), in Angstrom; the middle is at the origin.
    psi_deg : (m,) float64 array
        Direction in the image plane.
    level_arc_A : (s,) float64 array
        Arc length of each level.
    level_euler_deg : (s, 3) float64 array
        RELION's rot, tilt, psi of each level, so that the level lies as level 0 of
        the map does in a straight helix of that pose.
    level_centre_A : (s, 3) float64 array
        Where the level's origin lies on the axis.
    """

    arc_A: NDArray[np.float64]
    axis_A: NDArray[np.float64]
    psi_deg: NDArray[np.float64]
    level_arc_A: NDArray[np.float64]
    level_euler_deg: NDArray[np.float64]
    level_centre_A: NDArray[np.float64]

    def axis_at(self, arc_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """Position of the axis at given arc lengths, (n, 3) in Angstrom."""
        return _interpolate(arc_A, self.arc_A, self.axis_A)

    def psi_at(self, arc_A: NDArray[np.float64]) -> NDArray[np.float64]:
        """RELION's psi of the axis at given arc lengths, in degrees, unwrapped."""
        return np.interp(arc_A, self.arc_A, self.psi_deg)


def euler_matrix(euler_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """RELION's matrix A(rot, tilt, psi): a map point r appears at A r in the image.

    Parameters
    ----------
    euler_deg : (..., 3) float64 array
        rot, tilt, psi in degrees.

    Returns
    -------
    (..., 3, 3) float64 array
        Rows are the image's x, y and beam axes in the map.
    """
    ca, cb, cg = np.moveaxis(np.cos(np.deg2rad(euler_deg)), -1, 0)
    sa, sb, sg = np.moveaxis(np.sin(np.deg2rad(euler_deg)), -1, 0)
    rows = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def draw_filament(
    length_A: float,
    psi_deg: float,
    lattice: Lattice,
    filaments: Filaments,
    rng: np.random.Generator,
) -> Filament:
    """Draw a bent filament with its middle at the origin.

    Parameters
    ----------
    length_A : float
        Arc length.
    psi_deg : float
        Mean direction in the image plane.
    lattice : Lattice
        Twist and rise of the helix.
    filaments : Filaments
        How much it bends and tilts.
    rng : numpy.random.Generator
        Source of the bends, the register and the azimuth.

    Returns
    -------
    Filament
    """
    arc = np.arange(0.0, length_A + _STEP_A, _STEP_A)
    psi = psi_deg + filaments.bend_deg * _wander(arc, rng)
    mean_tilt = 90.0 + filaments.tilt_sd_deg * rng.standard_normal()
    tilt = mean_tilt + filaments.tilt_wander_deg * _wander(arc, rng)
    no_rotation = np.stack([np.zeros_like(arc), tilt, psi], axis=1)
    tangent = euler_matrix(no_rotation)[:, :, 2]
    axis = cumulative_trapezoid(tangent, arc, axis=0, initial=0)
    axis -= _interpolate(np.array([length_A / 2]), arc, axis)
    # A curve's frame must not spin about its tangent: with these angles the spin is
    # -(rot' + psi' cos tilt), so psi' needs an answering change of rot.
    spin = -cumulative_trapezoid(np.cos(np.deg2rad(tilt)), psi, initial=0)

    level_arc = np.arange(rng.uniform(0, lattice.rise_A), length_A, lattice.rise_A)
    twist = lattice.twist_deg + filaments.twist_disorder_deg * rng.standard_normal(
        len(level_arc)
    )
    rot = rng.uniform(0, 360) - np.cumsum(twist)
    euler = _interpolate(level_arc, arc, np.stack([spin, tilt, psi], axis=1))
    euler[:, 0] += rot
    centre = _interpolate(level_arc, arc, axis)
    return Filament(arc, axis, psi, level_arc, euler, centre)


def _wander(
    arc_A: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a smooth function of arc length with expected mean square 1."""
    span = max(arc_A[-1], _SHORTEST_BEND_A)
    wavelength = span * rng.uniform(1, 3, size=3)
    amplitude = rng.standard_normal((2, 3)) / np.sqrt(3)
    phase = 2 * np.pi * arc_A[:, None] / wavelength
    wander = np.cos(phase) @ amplitude[0] + np.sin(phase) @ amplitude[1]
    return np.asarray(wander, dtype=np.float64)


def _interpolate(
    at: NDArray[np.float64], known: NDArray[np.float64], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear interpolation of each column of `values`."""
    return np.stack([np.interp(at, known, column) for column in values.T], axis=1)
