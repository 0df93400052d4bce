"""From the sums of an iteration to maps: half-maps and references.

Maps stay where the computing is; what a state keeps of them is fetched from there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.arrays import to_host
from helixnb.core.blind_check import BlindCheck, blind_check
from helixnb.core.fsc import HalfMapFSC
from helixnb.core.map_harmonics import filament_crop
from helixnb.core.maximization import Accumulator, dyad_averaged, joined, symmetrised
from helixnb.core.nonuniform import cutoffs_A, filter_locally
from helixnb.core.reconstruction import shell_noise, solve
from helixnb.iteration.job import Job
from helixnb.iteration.state import Survey

CHECKED_COPIES = 3
"""Copies that a symmetry is checked with where the reconstruction uses only one."""


def _symmetric(job: Job, sums: Accumulator) -> Accumulator:
    """Apply what symmetry there is; without twist and rise only the point group."""
    symmetry = job.parameters.symmetry
    with job.clock("symmetrise"):
        if symmetry is not None:
            return symmetrised(sums, symmetry, job.order(), job.pixel_size_A)
        return dyad_averaged(sums) if job.parameters.dihedral else sums


def _map(
    sums: Accumulator, inverse_signal: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Map that sums describe."""
    return sums.grid.to_volume(solve(sums, inverse_signal))


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
    symmetric = [_symmetric(job, s) for s in sums]
    halves: NDArray[np.float32] = job.backend.xp.stack(
        job.backend.each(_map, symmetric)
    )
    return halves


def blind_half_maps(
    job: Job, survey: Survey, sums: tuple[Accumulator, Accumulator]
) -> NDArray[np.float32]:
    """Half-maps that the helical symmetry was not imposed on, cut to the filament.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the filament's radius.
    sums : tuple of Accumulator
        Of both halves, before symmetrisation.

    Returns
    -------
    ndarray of float32, shape (2, box, width, width)
    """
    _, outer_A = job.parameters.search_diameters_A(2 * survey.outer_radius_A)
    reach_A = max(outer_A / 2, survey.outer_radius_A)
    halves: NDArray[np.float32] = job.backend.xp.stack(
        job.backend.each(
            lambda s: filament_crop(_map(s), job.pixel_size_A, reach_A), sums
        )
    )
    return halves


def check_symmetry(
    job: Job,
    survey: Survey,
    sums: tuple[Accumulator, Accumulator],
    blind_maps: NDArray[np.float32],
    half_maps: NDArray[np.float32],
) -> BlindCheck:
    """Compare the half-maps with those that the symmetry was not imposed on.

    A reconstruction of symmetry order 1 imposes no helical symmetry either, and would
    agree with itself whatever the symmetry: maps of three copies then take its place.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the filament's radius.
    sums : tuple of Accumulator
        Of both halves, before symmetrisation.
    blind_maps : ndarray of float32, shape (2, box, width, width)
        From `blind_half_maps`.
    half_maps : ndarray of float32, shape (2, box, box, box)
        Raw and symmetric.

    Returns
    -------
    BlindCheck
    """
    with job.clock("symmetry check"):
        symmetry, xp = job.parameters.symmetry, job.backend.xp
        if symmetry is not None and job.order() == 1:
            copied = (
                symmetrised(s, symmetry, CHECKED_COPIES, job.pixel_size_A) for s in sums
            )
            half_maps = xp.stack(job.backend.each(_map, copied))
        whole = xp.zeros_like(half_maps)
        width = blind_maps.shape[-1]
        first = job.box_px // 2 - width // 2
        inside = slice(first, first + width)
        whole[:, :, inside, inside] = blind_maps
        mask = job.mask(survey, job.parameters.fsc_z_fraction)
        # Below the split the references of both halves were one.
        split = int(job.box_A / job.parameters.split_resolution_A)
        return blind_check(whole, half_maps, mask, max(split, 1))


def references(
    job: Job,
    survey: Survey,
    sums: tuple[Accumulator, Accumulator],
    fsc: HalfMapFSC,
    bootstrapping: bool,
    raw: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Regularised maps for the next alignment, inside the cylinder.

    A Wiener filter weights every shell by the FSC; where the raw half-maps are given,
    a local low-pass filter then takes from every place what they do not support there.

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
    raw : ndarray of float32, shape (2, box, box, box), or None
        Independent half-maps to choose local filters by; None filters by the FSC only.

    Returns
    -------
    ndarray of float32, shape (2, box, box, box)
        On the host.
    """
    mask, xp = job.mask(survey, 1.0), job.backend.xp
    if bootstrapping:
        whole = joined(*sums)
        sums = (whole, whole)
    curve = np.clip(fsc.reported[: sums[0].grid.k_max + 1], 1e-3, 0.999)
    if bootstrapping:
        curve = 2 * curve / (1 + curve)
    inverse_snr = (1 - curve) / curve

    def filtered(symmetric: Accumulator) -> NDArray[np.float32]:
        return _map(symmetric, inverse_snr / shell_noise(symmetric))

    symmetric = [_symmetric(job, s) for s in sums[: 1 if bootstrapping else 2]]
    out = job.backend.each(filtered, symmetric)
    maps = xp.stack([out[0], out[-1]])
    if raw is not None:
        finest_A = job.box_A / sums[0].grid.k_max
        # Below the split the halves share their average and predict nothing.
        cutoffs = cutoffs_A(job.parameters.split_resolution_A, finest_A)
        maps, _ = filter_locally(maps, raw, mask, cutoffs, job.pixel_size_A)
    maps *= mask
    return np.asarray(to_host(maps))
