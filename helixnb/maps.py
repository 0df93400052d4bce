"""From the sums of an iteration to maps: half-maps, references, symmetry scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helixnb.core.fsc import HalfMapFSC
from helixnb.core.masks import axial_window
from helixnb.core.maximization import Accumulator, joined, symmetrised
from helixnb.core.reconstruction import shell_noise, solve
from helixnb.core.symmetry_search import layer_power, search
from helixnb.job import Job
from helixnb.state import Survey, SymmetryScores
from helixnb.symmetry import HelicalSymmetry


def _symmetric(job: Job, sums: Accumulator) -> Accumulator:
    return symmetrised(sums, job.parameters.symmetry, job.order(), job.pixel)


def raw_half_maps(
    job: Job, sums: tuple[Accumulator, Accumulator]
) -> NDArray[np.float32]:
    """Symmetrised, unregularised half-maps.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    sums : tuple of Accumulator
        Of both halves.

    Returns
    -------
    ndarray of float32, shape (2, box, box, box)
    """
    return np.stack([s.grid.to_volume(solve(_symmetric(job, s))) for s in sums])


def references(
    job: Job,
    survey: Survey,
    sums: tuple[Accumulator, Accumulator],
    fsc: HalfMapFSC,
    bootstrapping: bool,
) -> NDArray[np.float32]:
    """Wiener-filtered and masked maps for the next alignment.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the filament's radius.
    sums : tuple of Accumulator
        Of both halves, joined at low resolution.
    fsc : HalfMapFSC
        Gives the signal-to-noise ratio of each shell.
    bootstrapping : bool
        Whether both halves get the same reference.

    Returns
    -------
    ndarray of float32, shape (2, box, box, box)
    """
    mask = job.mask(survey, 1.0)
    if bootstrapping:
        whole = joined(*sums)
        sums = (whole, whole)
    out = []
    for half in sums[: 1 if bootstrapping else 2]:
        symmetric = _symmetric(job, half)
        k_max = half.grid.k_max
        curve = np.clip(fsc.corrected[: k_max + 1], 1e-3, 0.999)
        if bootstrapping:
            curve = 2 * curve / (1 + curve)
        inverse_snr = (1 - curve) / curve
        inverse_signal = inverse_snr / shell_noise(symmetric)
        out.append(half.grid.to_volume(solve(symmetric, inverse_signal)) * mask)
    return np.stack([out[0], out[-1]])


def search_symmetry(
    job: Job,
    survey: Survey,
    sums: tuple[Accumulator, Accumulator],
    estimate: HelicalSymmetry,
    reached: float,
) -> tuple[SymmetryScores | None, HelicalSymmetry]:
    """Score twist and rise on maps that the symmetry was not imposed on.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the filament's radius.
    sums : tuple of Accumulator
        Of both halves, before symmetrisation.
    estimate : HelicalSymmetry
        Centre of the search.
    reached : float
        Resolution of the maps, Angstrom.

    Returns
    -------
    scores : SymmetryScores or None
        None while the symmetry is not searched.
    symmetry : HelicalSymmetry
        The joint optimum; the current symmetry if that lies on the edge of the grid.
    """
    parameters = job.parameters
    if not parameters.search_symmetry or reached > parameters.search_start_A:
        return None, parameters.symmetry
    with job.clock("symmetry search"):
        grid = job.grid(job.band(reached), survey.outer_radius_A, 2)
        mask = job.mask(survey, 1.0)
        window = axial_window(job.box, 0.8, 0.1 * job.box)
        twist, rise = estimate.twist_deg, estimate.rise_A
        twists = (
            twist - parameters.twist_extent_deg,
            twist + parameters.twist_extent_deg,
        )
        margin = rise * parameters.rise_extent_percent / 100
        found = []
        blind = [s.grid.to_volume(solve(s)) for s in sums]
        for volume in (*blind, blind[0] + blind[1]):
            layers = layer_power(volume * mask, grid, window, job.pixel)
            found.append(
                search(
                    layers,
                    twists,
                    (rise - margin, rise + margin),
                    parameters.search_grid,
                )
            )
    best = found[2]
    if best.on_edge:
        return SymmetryScores(*found), parameters.symmetry
    symmetry = replace(
        parameters.symmetry, twist_deg=best.best_twist_deg, rise_A=best.best_rise_A
    )
    return SymmetryScores(*found), symmetry
