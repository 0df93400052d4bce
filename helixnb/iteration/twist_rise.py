"""Twist and rise of an iteration, from half-maps that the symmetry was not imposed on.

Maps are prepared once for a resolution and a pair of radii (`prepare`); scoring them
over any extents and grid then costs milliseconds (`score`), so that an interface can
do it again while a slider moves. `refine_symmetry` is what an iteration does with
both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from helixnb.core.candidates import candidates_of
from helixnb.core.map_harmonics import MapHarmonics, map_harmonics
from helixnb.core.masks import AXIAL_EDGE, axial_window
from helixnb.core.point_group import (
    TurnedOver,
    best_dyad,
    cyclic_scores,
    suggested,
)
from helixnb.core.self_correlation import (
    SelfCorrelation,
    layer_power,
    self_correlation,
    usable_lags,
)
from helixnb.core.symmetry_error import is_peak, standard_errors
from helixnb.core.symmetry_search import (
    SearchRange,
    SymmetryScore,
    search,
    search_extending,
)
from helixnb.iteration.job import Job
from helixnb.iteration.state import State, Survey, SymmetryScores
from helixnb.parameters import Parameters
from helixnb.symmetry import HelicalSymmetry

AXIAL_FRACTION = 0.8
"""Central part of the axis that is searched."""

HALVES_APART = 0.05
"""Largest difference between the halves' optima, as part of the grid, to call them
one."""

LARGEST_ERROR = 0.25
"""Largest standard error of an optimum that is used, as part of the extents: beyond,
the estimate is better."""


@dataclass(frozen=True)
class PreparedHalves:
    """Both half-maps and their sum at one resolution and pair of radii; on the host.

    Parameters
    ----------
    half_A, half_B, joint : SelfCorrelation
    turned : TurnedOver
        The sum, for its dyads.
    resolution_A : float
    inner_diameter_A, outer_diameter_A : float
    """

    half_A: SelfCorrelation
    half_B: SelfCorrelation
    joint: SelfCorrelation
    turned: TurnedOver
    resolution_A: float
    inner_diameter_A: float
    outer_diameter_A: float


def search_range(parameters: Parameters, estimate: HelicalSymmetry) -> SearchRange:
    """Grid that the parameters ask for.

    Parameters
    ----------
    parameters : Parameters
        Extents, points, and whether the grid follows the current symmetry.
    estimate : HelicalSymmetry
        The user's estimate.

    Returns
    -------
    SearchRange
    """
    current = parameters.symmetry
    centre = current if current and parameters.recentre_search else estimate
    margin = centre.rise_A * parameters.rise_extent_percent / 100
    return SearchRange(
        (centre.twist_deg, parameters.twist_extent_deg),
        (centre.rise_A, margin),
        (parameters.search_twist_points, parameters.search_rise_points),
    )


def prepare(
    blind_maps: NDArray[np.float32],
    pixel_size_A: float,
    parameters: Parameters,
    *,
    outer_radius_A: float,
    reached_A: float,
) -> PreparedHalves:
    """Transform both half-maps as the parameters ask for.

    Parameters
    ----------
    blind_maps : ndarray of float32, shape (2, box, width, width)
        `State.blind_maps`, or whole half-maps.
    pixel_size_A : float
        Edge of a voxel.
    parameters : Parameters
        Resolution and diameters of the search, and the point group.
    outer_radius_A : float
        Radius of the mask, taken where the parameters give none.
    reached_A : float
        Resolution that the FSC supports.

    Returns
    -------
    PreparedHalves
    """
    resolution_A = max(reached_A, parameters.search_resolution_A or 0.0)
    inner, outer = parameters.search_diameters_A(2 * outer_radius_A)
    box = blind_maps.shape[1]
    window = axial_window(box, AXIAL_FRACTION, AXIAL_EDGE * box)
    half_A, half_B = (
        map_harmonics(
            volume,
            window,
            pixel_size_A=pixel_size_A,
            resolution_A=resolution_A,
            outer_radius_A=outer / 2,
            inner_radius_A=inner / 2,
            cyclic=parameters.cyclic,
        )
        for volume in blind_maps
    )

    def correlation(harmonics: MapHarmonics) -> SelfCorrelation:
        return self_correlation(layer_power(harmonics, dihedral=parameters.dihedral))

    both = half_A + half_B
    return PreparedHalves(
        correlation(half_A),
        correlation(half_B),
        correlation(both),
        TurnedOver.of(both),
        resolution_A,
        inner,
        outer,
    )


def preparation(parameters: Parameters) -> tuple[object, ...]:
    """Return the values that maps must be prepared again for when they change.

    Parameters
    ----------
    parameters : Parameters
        Of a search.

    Returns
    -------
    tuple
        To be compared.
    """
    return (
        parameters.search_resolution_A,
        parameters.search_inner_diameter_A,
        parameters.search_outer_diameter_A,
        parameters.inner_diameter_A,
        parameters.point_group,
    )


def prepare_state(
    state: State, parameters: Parameters, pixel_size_A: float
) -> PreparedHalves:
    """Prepare the maps that an iteration searched, for searching them otherwise.

    Parameters
    ----------
    state : State
        With `State.blind_maps`.
    parameters : Parameters
        Of the new search. A diameter beyond the maps' is that of the maps.
    pixel_size_A : float
        Edge of a voxel.

    Returns
    -------
    PreparedHalves
    """
    assert state.blind_maps is not None
    return prepare(
        state.blind_maps,
        pixel_size_A,
        parameters,
        outer_radius_A=state.survey.outer_radius_A,
        reached_A=state.resolution_A,
    )


def score(
    prepared: PreparedHalves, where: SearchRange, *, with_candidates: bool = True
) -> SymmetryScores:
    """Score both halves and their sum, on one grid that the sum may extend.

    Parameters
    ----------
    prepared : PreparedHalves
        The maps.
    where : SearchRange
        Grid to begin with.
    with_candidates : bool
        Rank what else the symmetry may be, which takes longer than all the rest.

    Returns
    -------
    SymmetryScores
        ``used`` tells whether the joint optimum can be: it lies inside the grid, the
        maps determine it, and where the grid had to be extended, both halves found it.
    """
    joint, extensions = search_extending(prepared.joint, where)
    extents = np.array([where.twist_deg[1], where.rise_A[1]])
    for _ in range(extensions):
        where = where.doubled()
    half_A, half_B = (search(h, where) for h in (prepared.half_A, prepared.half_B))
    best, layers = joint.best, prepared.joint.layers
    lags = usable_lags(layers, float(joint.rise_A[-1]))
    twist_sd_deg, rise_sd_A = standard_errors(
        prepared.half_A.layers,
        prepared.half_B.layers,
        float(layers.power.sum()),
        best,
        lags,
    )
    radius_A = prepared.outer_diameter_A / 2
    determined = is_peak(best, int(lags.max()), prepared.resolution_A, radius_A)
    determined &= bool(([twist_sd_deg, rise_sd_A] <= LARGEST_ERROR * extents).all())
    dyad = best_dyad(prepared.turned, best.rise_A)
    return SymmetryScores(
        half_A=half_A,
        half_B=half_B,
        joint=joint,
        extensions=extensions,
        determined=determined,
        used=determined
        and not joint.on_edge
        and (extensions == 0 or halves_agree(half_A, half_B)),
        twist_sd_deg=twist_sd_deg,
        rise_sd_A=rise_sd_A,
        candidates=candidates_of(prepared.joint, joint) if with_candidates else (),
        dyad=dyad,
        suggested_point_group=suggested(
            cyclic_scores(prepared.joint), dyad, best.score
        ),
        resolution_A=prepared.resolution_A,
        inner_diameter_A=prepared.inner_diameter_A,
        outer_diameter_A=prepared.outer_diameter_A,
    )


def halves_agree(half_A: SymmetryScore, half_B: SymmetryScore) -> bool:
    """Whether two score maps on one grid have the same optimum.

    Parameters
    ----------
    half_A, half_B : SymmetryScore
        Scores of either half.

    Returns
    -------
    bool
    """
    twist = abs(half_A.best_twist_deg - half_B.best_twist_deg)
    rise = abs(half_A.best_rise_A - half_B.best_rise_A)
    return bool(
        twist <= HALVES_APART * np.ptp(half_A.twist_deg)
        and rise <= HALVES_APART * np.ptp(half_A.rise_A)
    )


def refine_symmetry(
    job: Job,
    survey: Survey,
    blind_maps: NDArray[np.float32] | None,
    estimate: HelicalSymmetry | None,
    reached_A: float,
) -> tuple[SymmetryScores | None, HelicalSymmetry | None]:
    """Score twist and rise on maps that the symmetry was not imposed on.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the filament's radius.
    blind_maps : ndarray of float32, shape (2, box, width, width), or None
        From `maps.blind_half_maps`; None where there are none yet.
    estimate : HelicalSymmetry or None
        The user's estimate; None in an asymmetric refinement, which searches none.
    reached_A : float
        Resolution of the maps.

    Returns
    -------
    scores : SymmetryScores or None
        None while the symmetry is not searched.
    symmetry : HelicalSymmetry or None
        The joint optimum; the current symmetry where that cannot be used.
    """
    parameters, current = job.parameters, job.parameters.symmetry
    if estimate is None or current is None or blind_maps is None:
        return None, current
    if not parameters.search_symmetry or reached_A > parameters.search_start_A:
        return None, current
    with job.clock("symmetry search"):
        prepared = prepare(
            blind_maps,
            job.pixel_size_A,
            parameters,
            outer_radius_A=survey.outer_radius_A,
            reached_A=reached_A,
        )
        scores = score(prepared, search_range(parameters, estimate))
    if not scores.used:
        return scores, current
    found = replace(
        current,
        twist_deg=scores.joint.best_twist_deg,
        rise_A=scores.joint.best_rise_A,
    )
    return scores, found
