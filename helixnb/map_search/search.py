"""From a map to its symmetries: read, check, prepare, follow peaks, label.

The correlation of the filament with its turned and moved copies is computed once; its
peaks at the first lag are followed to all lags that fit and ranked. If no point group
is given, the highest rotation that the map obeys is then imposed, and the search is
done again with what it leaves.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from helixnb.core.candidates import (
    Candidate,
    followed,
    peaks,
    ranked,
    seeds,
)
from helixnb.core.map_harmonics import MapHarmonics, map_harmonics
from helixnb.core.masks import AXIAL_EDGE, FILAMENT_EDGE_A, axial_window
from helixnb.core.point_group import (
    HOLDS,
    TurnedOver,
    best_dyad,
    cyclic_scores,
    suggested,
)
from helixnb.core.self_correlation import (
    SelfCorrelation,
    layer_power,
    score_grid,
    self_correlation,
    usable_lags,
)
from helixnb.errors import InputError
from helixnb.io.mrc import read_map
from helixnb.iteration.survey import filament_radius_px
from helixnb.map_search.labelled import labelled
from helixnb.map_search.window import Axes, Hand, Range, SearchWindow
from helixnb.symmetry import HelicalSymmetry

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

DEFAULT_RESOLUTION_A = 5.0
FINEST_VOXELS = 2.5
"""The default resolution is no finer than this many voxels."""

SMALLEST_RISE_A = 1.0
DEFAULT_SUBUNITS = (2.0, 50.0)

_GRID_PEAKS = 12


def search_symmetry(
    volume: NDArray[np.floating[Any]] | xr.DataArray | str | os.PathLike[str],
    pixel_size_A: float | None = None,
    *,
    twist_deg: Range = (-180.0, 180.0),
    rise_A: Range | None = None,
    mode: Axes = "twist-rise",
    subunits_per_turn: Range = DEFAULT_SUBUNITS,
    pitch_A: Range | None = None,
    hand: Hand | None = None,
    point_group: str | None = None,
    resolution_A: float | None = None,
    inner_diameter_A: float = 0.0,
    outer_diameter_A: float | None = None,
    z_fraction: float = 0.8,
    points: tuple[int, int] = (128, 128),
) -> xr.Dataset:
    """Find the helical symmetry of a map.

    Parameters
    ----------
    volume : array, DataArray or path
        Map (z, y, x) with the helix axis along z, through voxel n // 2, or an MRC
        file.
    pixel_size_A : float, optional
        Edge of a voxel; by default from the file's header or the array's attributes.
    twist_deg, rise_A : tuple of float
        First and last to look at. By default all twists, and rises from 1 Angstrom to
        what repeats in the map: about half of its length.
    mode : "twist-rise" or "pitch"
        Axes of the search: twist and rise, or subunits per turn and pitch.
    subunits_per_turn, pitch_A : tuple of float
        First and last in pitch mode; by default 2 to 50, and 5 Angstrom to twice the
        length of the map.
    hand : "right" or "left", optional
        By default both. The hand is the map's own: projections do not tell whether
        that is the specimen's.
    point_group : str, optional
        Cn to impose ("Dn" imposes its Cn); by default the highest that the map obeys.
    resolution_A : float, optional
        Frequencies beyond are left out; by default 5 Angstrom, or 2.5 voxels.
    inner_diameter_A, outer_diameter_A : float
        Of the density looked at; the outer one is measured if not given.
    z_fraction : float
        Central part of the map that is used.
    points : tuple of int
        Of the score map, along its two axes.

    Returns
    -------
    xarray.Dataset
        ``score`` over ``twist`` and ``rise``, or over ``hand``, ``subunits_per_turn``
        and ``pitch``; and over ``rank``, from 1, ``candidate_twist_deg``,
        ``candidate_rise_A``, ``candidate_pitch_A``, ``candidate_subunits_per_turn``,
        ``candidate_hand``, ``candidate_score``, ``candidate_score_se``,
        ``candidate_lags`` and ``candidate_relation``. `candidate_table` makes a table
        of them. Attributes tell the best (``best_twist_deg``, ``best_rise_A``,
        ``best_score``), whether the score map has its maximum ``on_edge``, the
        agreement with rotations (``point_group`` used, ``suggested_point_group``,
        ``dyad_score``, ``dyad_azimuth_deg``, ``dyad_height_A``) and what was searched.
        The score map compares as many copies as fit at its largest rise, candidates as
        many as fit at their own.

    Raises
    ------
    InputError
        For a map or a range that cannot be searched.

    Examples
    --------
    >>> found = search_symmetry("map.mrc")  # doctest: +SKIP
    >>> candidate_table(found)  # doctest: +SKIP
    """
    density, pixel, source = _density(volume, pixel_size_A)
    _check(z_fraction, points, mode, hand)
    length_A = len(density) * pixel
    first, second = twist_deg, rise_A or (SMALLEST_RISE_A, 0.5 * length_A)
    if mode == "pitch":
        first = subunits_per_turn
        second = pitch_A or (DEFAULT_RESOLUTION_A, 2 * length_A)
    where = SearchWindow(mode, first, second, hand, points)
    finest = max(DEFAULT_RESOLUTION_A, FINEST_VOXELS * pixel)
    resolution_A = finest if resolution_A is None else max(resolution_A, 2 * pixel)
    outer_A = _outer_diameter(density, pixel, inner_diameter_A, outer_diameter_A)

    def searched(
        cyclic: int,
    ) -> tuple[MapHarmonics, SelfCorrelation, tuple[Candidate, ...]]:
        harmonics = map_harmonics(
            density,
            axial_window(len(density), z_fraction, AXIAL_EDGE * len(density)),
            pixel_size_A=pixel,
            resolution_A=resolution_A,
            outer_radius_A=outer_A / 2,
            inner_radius_A=inner_diameter_A / 2,
            cyclic=cyclic,
        )
        correlation = self_correlation(layer_power(harmonics))
        return harmonics, correlation, _candidates(correlation, where)

    given_fold = 1 if point_group is None else _fold(point_group)
    harmonics, correlation, found = searched(given_fold)
    if point_group is None and (fold := _obeyed_fold(correlation, found[0].score)) > 1:
        harmonics, correlation, found = searched(fold)
    return labelled(correlation, where, found).assign_attrs(
        source=source,
        axes=mode,
        pixel_size_A=pixel,
        resolution_A=resolution_A,
        inner_diameter_A=inner_diameter_A,
        outer_diameter_A=outer_A,
        z_fraction=z_fraction,
        **_rotations(harmonics, correlation, found[0]),
    )


def _density(
    volume: NDArray[np.floating[Any]] | xr.DataArray | str | os.PathLike[str],
    pixel_size_A: float | None,
) -> tuple[NDArray[np.float32], float, str]:
    """Map, voxel size and a name for it."""
    source = "array"
    if isinstance(volume, xr.DataArray):
        pixel_size_A = pixel_size_A or volume.attrs.get("pixel_size_A")
        source = str(volume.name or source)
        density = volume.to_numpy()
    elif isinstance(volume, np.ndarray):
        density = volume
    else:
        source = str(Path(volume))
        density, header_A, _ = read_map(Path(volume))
        pixel_size_A = pixel_size_A or header_A
    if pixel_size_A is None:
        raise InputError("Give pixel_size_A: an array does not tell its voxel size.")
    if not (math.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise InputError(f"pixel_size_A must be > 0, got {pixel_size_A!r}.")
    if density.ndim != 3 or min(density.shape) < 16:
        raise InputError(
            f"A map (z, y, x) of at least 16 voxels a side is needed; {source} has "
            f"shape {density.shape}. Give a volume, or one of finer voxels."
        )
    if density.shape[1] != density.shape[2]:
        raise InputError(
            f"{source} has sections of {density.shape[1]} x {density.shape[2]} voxels; "
            "the helix axis must run along z through square sections. Crop or pad "
            "them."
        )
    density = np.ascontiguousarray(density, np.float32)
    if not np.isfinite(density).all() or not np.ptp(density):
        raise InputError(
            f"{source} is constant or holds values that are not finite. Give another "
            "map."
        )
    return density, float(pixel_size_A), source


def _outer_diameter(
    density: NDArray[np.float32],
    pixel_size_A: float,
    inner_A: float,
    given_A: float | None,
) -> float:
    """Outer diameter of the density looked at: as given, or measured."""
    if given_A is None:
        given_A = 2 * pixel_size_A * filament_radius_px(density)
    # The mask's soft edge must still fit into the map.
    widest = 2 * ((density.shape[-1] // 2 - 1) * pixel_size_A - FILAMENT_EDGE_A)
    outer_A = float(min(given_A, widest))
    if not 0 <= inner_A < outer_A:
        raise InputError(
            f"inner_diameter_A ({inner_A:g} A) must be at least 0 and smaller than the "
            f"outer diameter ({outer_A:.0f} A)."
        )
    return outer_A


def _check(
    z_fraction: float, points: tuple[int, int], mode: str, hand: str | None
) -> None:
    if not 0.1 <= z_fraction <= 0.9:
        raise InputError(f"z_fraction must be between 0.1 and 0.9, got {z_fraction}.")
    if len(points) != 2 or not all(8 <= n <= 2048 for n in points):
        raise InputError(f"points must be two numbers from 8 to 2048, got {points}.")
    if mode not in ("twist-rise", "pitch"):
        raise InputError(f"mode must be 'twist-rise' or 'pitch', got {mode!r}.")
    if hand not in (None, "right", "left"):
        raise InputError(f"hand must be 'right', 'left' or None, got {hand!r}.")


def _fold(point_group: str) -> int:
    return HelicalSymmetry(1.0, 1.0, point_group).cyclic


def _candidates(
    correlation: SelfCorrelation, where: SearchWindow
) -> tuple[Candidate, ...]:
    """Follow the peaks of the first lag, and those of the score map, and rank them."""
    found, highest = [], []
    for twists, rises in where.boxes():
        places = seeds(correlation, twists, rises)
        found += [followed(correlation, t, r) for t, r in places]
        twist = np.linspace(*twists, where.points[0])
        rise = np.linspace(*rises, where.points[1])
        lags = usable_lags(correlation.layers, float(rises[1]))
        score = score_grid(correlation, twist, rise, lags)
        for i, j in peaks(score)[:_GRID_PEAKS]:
            place = float(twist[i]), float(rise[j])
            found.append(followed(correlation, *place, first_lag=int(lags[-1])))
        score = np.where(where.covers(twist, rise), score, -np.inf)
        i, j = np.unravel_index(int(np.argmax(score)), score.shape)
        highest.append(
            Candidate(
                float(twist[i]), float(rise[j]), float(score[i, j]), np.nan, len(lags)
            )
        )
    inside = [
        c for c in found if where.holds(c, correlation.layers.cyclic) and c.score > 0
    ]
    # Without a peak the highest point stands, which lies on the edge of the window.
    return ranked(correlation, inside or [max(highest, key=lambda c: c.score)])


def _obeyed_fold(correlation: SelfCorrelation, helical_score: float) -> int:
    """Highest rotation about the axis that holds as well as the helix."""
    holding = cyclic_scores(correlation) >= HOLDS * helical_score
    return int(np.flatnonzero(holding).max(initial=-1)) + 2 if holding.any() else 1


def _rotations(
    harmonics: MapHarmonics, correlation: SelfCorrelation, best: Candidate
) -> dict[str, Any]:
    """Agreement with the rotations of a point group."""
    dyad = best_dyad(TurnedOver.of(harmonics), best.rise_A)
    cyclic = cyclic_scores(correlation)
    return {
        "point_group": f"C{correlation.layers.cyclic}",
        "suggested_point_group": suggested(cyclic, dyad, best.score),
        "dyad_score": dyad.score,
        "dyad_azimuth_deg": dyad.azimuth_deg,
        "dyad_height_A": dyad.height_A,
    }
