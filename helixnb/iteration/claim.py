"""The resolution that an iteration may claim.

It is where the FSC of the half-maps first falls below 0.143, counted from the split
on, below which the halves share their average. A helix has few independent
components: in pure noise so few of them carry a shell that its FSC strays by +-0.3 and
crosses wherever chance lets it. So what lies beyond the split must also be more than
unrelated halves show; else the claim is the split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.core.chance import agreement_sigma, layer_line_concentration
from helixnb.core.fsc import THRESHOLD, HalfMapFSC, first_below, resolution_A
from helixnb.iteration.job import Job
from helixnb.iteration.state import Survey

LEAST_SIGMA = 3.0
"""Agreement beyond the split that is taken for signal, standard deviations."""


@dataclass(frozen=True)
class Claim:
    """A resolution and what it rests on.

    Parameters
    ----------
    resolution_A : float
        What is claimed.
    crossing_A : float
        Where the FSC crosses the threshold, to which the next iteration may align.
    sigma : float
        Agreement of the halves between the split and there, in standard deviations of
        unrelated halves.
    """

    resolution_A: float
    crossing_A: float
    sigma: float


def claim(job: Job, survey: Survey, fsc: HalfMapFSC, k_max: int) -> Claim:
    """Read the resolution off an FSC curve.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the filament's radius.
    fsc : HalfMapFSC
        Curves of the raw half-maps.
    k_max : int
        Last shell of the reconstruction: beyond it nothing could agree.

    Returns
    -------
    Claim
    """
    split = max(int(job.box_A / job.parameters.split_resolution_A), 1)
    crossing_A = resolution_A(fsc.frequency_per_A, fsc.reported, THRESHOLD, split)
    crossing_A = max(crossing_A, job.box_A / k_max)
    crossing = split + first_below(fsc.reported[split:], THRESHOLD)
    share = independent_share(job, survey)
    sigma = agreement_sigma(fsc, split + 1, crossing, share)
    supported = sigma >= LEAST_SIGMA
    return Claim(crossing_A if supported else job.box_A / split, crossing_A, sigma)


def independent_share(job: Job, survey: Survey) -> NDArray[np.float64]:
    """Independent components of each shell over those that carry it.

    Parameters
    ----------
    job : Job
        Fixed inputs of the iteration.
    survey : Survey
        Tells the filament's radius.

    Returns
    -------
    ndarray of float64, shape (box // 2 + 1,)
        Volume of the asymmetric unit over that of the box, by the share of a shell
        that layer lines take. Without helical symmetry the unit is all of the
        filament that the FSC looks at.
    """
    parameters, radius_A = job.parameters, survey.outer_radius_A
    area_A2 = np.pi * (radius_A**2 - (parameters.inner_diameter_A / 2) ** 2)
    length_A = unit_A = parameters.fsc_z_fraction * job.box_A
    lines = np.ones(job.box_px // 2 + 1)
    if parameters.symmetry is not None:
        unit_A = min(length_A, parameters.symmetry.rise_A)
        lines = layer_line_concentration(
            job.box_px,
            parameters.symmetry,
            pixel_size_A=job.pixel_size_A,
            radius_A=radius_A,
            length_A=length_A,
        )
    copies = parameters.cyclic * (2 if parameters.dihedral else 1)
    return area_A2 * unit_A / copies / job.box_A**3 / lines
