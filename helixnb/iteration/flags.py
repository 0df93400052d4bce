"""What a user should look at: scientific risks, each said in one sentence.

Flags travel with the state, so that they show in the notebook, the dashboard and the
report alike. They never stop a refinement.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helixnb.core.blind_check import BlindCheck
from helixnb.core.clustering import clustering
from helixnb.core.filament_sums import BELIEVED
from helixnb.core.fsc import HalfMapFSC
from helixnb.core.particle_scale import MOST_LEFT_OUT, left_out
from helixnb.core.poses import Poses
from helixnb.iteration.claim import LEAST_SIGMA, Claim
from helixnb.iteration.state import State, Survey, SymmetryScores
from helixnb.iteration.twist_rise import halves_agree
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.symmetry import HelicalSymmetry

_ALIKE_FSC = 0.3
_UNDECIDED = 0.95
_MIN_BOX_DIAMETERS = 1.5
_MIN_RISES = 5.0
_LEAST_AGREEMENT = 0.85
_EARLY_SEARCH_A = 10.0
_WIDE_SEARCH_DEG = 3.0
_ROTATIONS_A = 8.0
"""Rotations of the point group are judged on maps at least this fine."""

_DYAD_LOST = 0.8
"""Score of an imposed dyad, relative to the helix, below which the maps deny it; true
ones had 0.91 to 1.01, polar filaments refined without it 0.48 to 0.87."""

_CLUSTERED = 0.3
"""Clustering of azimuths; right maps had up to 0.16, collapsed ones 0.35 to 0.9."""

_NEAR_LIMIT, _PILED_UP = 0.85, 0.1
"""Where the end of a range of tilts begins, as part of it, and the share of the images
from which on they pile up there: of a normal distribution whose range is two standard
deviations 9 % do, of one of three 1 %."""

_NO_SYMMETRY = (
    "No helical symmetry is imposed: the map may settle on one of several symmetries "
    "that look alike at low resolution. Keep a box of at least 3 rises, search the "
    "symmetry of the map, and refine with each candidate."
)


def flags_of(
    made: State,
    particles: ParticleSet,
    claim: Claim,
    k_max: int,
    by_the_other_half: NDArray[np.int8] | None,
) -> list[str]:
    """All that is to be said about an iteration.

    Parameters
    ----------
    made : State
        What the iteration left behind, still without flags.
    particles : ParticleSet
        The data set.
    claim : Claim
        The resolution that may be claimed, and why.
    k_max : int
        Band of the reconstruction, Fourier pixels.
    by_the_other_half : ndarray of int8, shape (n,), or None
        As `polarity_flags` takes it.

    Returns
    -------
    list of str
    """
    parameters, poses, filament = made.parameters, made.poses, particles.filament
    said = data_flags(particles, parameters, made.survey, made.estimate)
    said += fsc_flags(made.fsc, k_max, claim)
    said += symmetry_flags(made.scores, parameters.point_group)
    said += check_flags(made.check)
    if not made.bootstrapping:
        said += azimuth_flags(poses, filament, made.used, parameters.cyclic)
        # Without signal tilts lie anywhere, at the limit as well.
        said += shared_flags(claim, parameters.split_resolution_A) or tilt_flags(
            poses, made.used, parameters
        )
    if not parameters.dihedral:
        said += polarity_flags(poses, filament, by_the_other_half)
    return said + scale_flags(poses, made.survey.half)


def data_flags(
    particles: ParticleSet,
    parameters: Parameters,
    survey: Survey,
    estimate: HelicalSymmetry | None,
) -> list[str]:
    """Risks that lie in the data set and its geometry.

    Parameters
    ----------
    particles : ParticleSet
        The data set.
    parameters : Parameters
        As they are for this iteration.
    survey : Survey
        Tells the radius of the filament.
    estimate : HelicalSymmetry or None
        Twist and rise that the user gave, released since or not.

    Returns
    -------
    list of str
    """
    flags = []
    box_A = particles.box_px * particles.pixel_size_A
    diameters = box_A / (2 * survey.outer_radius_A)
    if diameters < _MIN_BOX_DIAMETERS:
        flags.append(
            f"The box is only {diameters:.2f} filament diameters wide; use at least "
            f"{_MIN_BOX_DIAMETERS:g}, better 2 to 4."
        )
    if estimate is None:
        return [*flags, _NO_SYMMETRY]
    return flags + _symmetry_estimate_flags(particles, parameters, box_A)


def _symmetry_estimate_flags(
    particles: ParticleSet, parameters: Parameters, box_A: float
) -> list[str]:
    """Risks in the twist and rise that are imposed."""
    symmetry = parameters.symmetry
    if symmetry is None:
        return []  # released, once structure had grown with it
    flags = []
    rises = box_A / symmetry.rise_A
    if rises < _MIN_RISES:
        flags.append(
            f"The box holds only {rises:.1f} subunits along the axis; use a box of at "
            f"least {_MIN_RISES:g} rises."
        )
    if parameters.symmetry_order is None and not np.isfinite(particles.inter_box_A):
        flags.append(
            "The file does not tell the distance between boxes, so the reconstruction "
            "uses symmetry order 1; set symmetry_order to floor(distance / rise)."
        )
    early = parameters.search_symmetry and parameters.search_start_A > _EARLY_SEARCH_A
    if early and parameters.twist_extent_deg >= _WIDE_SEARCH_DEG:
        flags.append(
            f"Twist and rise are searched from {parameters.search_start_A:g} A on, "
            f"where maps have few features, over +-{parameters.twist_extent_deg:g} "
            "deg: narrow twist_extent_deg and rise_extent_percent, or start later."
        )
    if 4.5 < symmetry.rise_A < 5.0 and abs(symmetry.twist_deg) < 10:
        flags.append(
            "The rise is that of an amyloid: check for a 2_1 screw (twist near 180, "
            "half the rise) and do not trust the symmetry before strands separate."
        )
    return flags


def fsc_flags(fsc: HalfMapFSC, k_max: int, claim: Claim) -> list[str]:
    """Risks that the FSC curves show.

    Parameters
    ----------
    fsc : HalfMapFSC
        Curves of this iteration.
    k_max : int
        Last shell of the reconstruction.
    claim : Claim
        Resolution of this iteration.

    Returns
    -------
    list of str
    """
    flags = []
    if claim.crossing_A < claim.resolution_A:
        flags.append(
            f"The FSC falls below 0.143 at {claim.crossing_A:.1f} A, but beyond "
            f"{claim.resolution_A:.1f} A, where the halves are independent, they agree "
            f"no more than noise may ({claim.sigma:.1f} of {LEAST_SIGMA:g} standard "
            "deviations): nothing finer is claimed. More images would tell."
        )
    nyquist = len(fsc.reported) - 1
    tail = fsc.reported[max(k_max - 3, 1) : k_max + 1].mean()
    if k_max >= nyquist - 3 and tail >= _ALIKE_FSC:
        flags.append(
            f"The FSC is still {tail:.2f} at Nyquist: the pixel size limits the "
            "resolution, or the halves share noise (duplicated or overlapping "
            "segments)."
        )
    return flags


def shared_flags(claim: Claim, split_resolution_A: float) -> list[str]:
    """Tell a result that independent halves say nothing about.

    Parameters
    ----------
    claim : Claim
        Resolution of this iteration.
    split_resolution_A : float
        Resolution down to which the halves share their references.

    Returns
    -------
    list of str
    """
    if claim.resolution_A < split_resolution_A:
        return []
    return [
        f"Independent halves confirm nothing here: down to {split_resolution_A:g} A "
        "they share one reference. The map, polarities that look certain, and any "
        "symmetry may be those of noise, and the true resolution coarser."
    ]


def symmetry_flags(scores: SymmetryScores | None, point_group: str) -> list[str]:
    """Risks in the twist-rise score map.

    Parameters
    ----------
    scores : SymmetryScores or None
        Score maps; None where the symmetry was not searched.
    point_group : str
        As imposed.

    Returns
    -------
    list of str
    """
    if scores is None:
        return []
    flags = []
    joint = scores.joint
    found = f"({joint.best_twist_deg:.2f} deg, {joint.best_rise_A:.3f} A)"
    if joint.on_edge:
        flags.append(
            f"The best twist and rise lie on the edge of the search grid {found}, also "
            f"after its extents were doubled {scores.extensions} times; they are not "
            "used. Doubt the estimate, or widen twist_extent_deg or "
            "rise_extent_percent."
        )
    elif not scores.determined:
        flags.append(
            "The maps do not determine twist and rise (their score is a ridge, or too "
            "noisy): they stay as they were. A rise finer than the resolution cannot "
            "be told; what is imposed is then your estimate and no finding."
        )
    elif scores.extensions:
        what = "used" if scores.used else "not used, because the halves disagree"
        flags.append(
            f"The best twist and rise {found} lay beyond the extents, which were "
            f"doubled {scores.extensions} times to find them; they are {what}. Give "
            "them as the new estimate if you trust them."
        )
    if not halves_agree(scores.half_A, scores.half_B):
        twist = abs(scores.half_A.best_twist_deg - scores.half_B.best_twist_deg)
        rise = abs(scores.half_A.best_rise_A - scores.half_B.best_rise_A)
        flags.append(
            f"The halves prefer symmetries {twist:.2f} deg and {rise:.3f} A apart: the "
            "symmetry is not yet determined by the data."
        )
    obeyed = scores.suggested_point_group
    if point_group.startswith("D") and (
        scores.dyad.score >= _DYAD_LOST * joint.best_score
    ):
        obeyed = obeyed.replace("C", "D")
    if scores.resolution_A <= _ROTATIONS_A and obeyed != point_group:
        flags.append(
            f"The maps obey {obeyed} as well as their helical "
            f"symmetry (dyad {scores.dyad.score:.2f}, helix {joint.best_score:.2f}), "
            f"but point_group is {point_group}: check which of the two is right."
        )
    return flags


def check_flags(check: BlindCheck | None) -> list[str]:
    """Symmetry that the map without it does not show.

    Parameters
    ----------
    check : BlindCheck or None
        None where nothing was imposed.

    Returns
    -------
    list of str
    """
    if check is None or not check.overall < _LEAST_AGREEMENT:
        return []
    return [
        f"The map without helical symmetry agrees with the symmetric one only to "
        f"{check.overall:.2f} of what a true symmetry gives: twist, rise or point "
        "group may be wrong. Compare other candidates."
    ]


def azimuth_flags(
    poses: Poses, filament: NDArray[np.int32], used: NDArray[np.bool_], cyclic: int
) -> list[str]:
    """Tell views about the axis that cluster, as they do on a collapsed map.

    Parameters
    ----------
    poses : Poses
        Of all particles.
    filament : ndarray of int32, shape (n,)
        Filament of each particle.
    used : ndarray of bool, shape (n,)
        Images of this iteration.
    cyclic : int
        Order of the cyclic group.

    Returns
    -------
    list of str
    """
    found = clustering(poses.azimuth_deg[used], filament[used], cyclic)
    if found.strength < _CLUSTERED or found.power < BELIEVED:
        return []
    return [
        f"Azimuths cluster about {found.order * cyclic} directions "
        f"({found.strength:.2f}; even ones have 0): the map may have collapsed on to "
        "a flat picture, whose half-maps agree all the same, or the filaments lie on "
        "one side. Look at its cross-section, and start from a map, or from twist and "
        "rise where none were given."
    ]


def tilt_flags(
    poses: Poses, used: NDArray[np.bool_], parameters: Parameters
) -> list[str]:
    """Tell tilts that lie at the end of what is searched.

    Parameters
    ----------
    poses : Poses
        Of all particles.
    used : ndarray of bool, shape (n,)
        Images of this iteration.
    parameters : Parameters
        Largest tilt, and the spread about a prior, three of which are searched.

    Returns
    -------
    list of str
    """
    tilt = np.abs(poses.tilt_deg[used] - 90)
    end_deg = parameters.max_tilt_deg
    around_deg = 3 * parameters.tilt_sd_deg
    # Priors move along with neighbours: then some lie beyond three spreads of 90.
    if around_deg < end_deg and tilt.max() < around_deg / _NEAR_LIMIT:
        end_deg = around_deg
    share = float((tilt > _NEAR_LIMIT * end_deg).mean())
    if share <= _PILED_UP:
        return []
    return [
        f"{share:.0%} of the images lie at the end of the tilts searched "
        f"({end_deg:g} deg): filaments may be tilted more than that, which spoils "
        "their poses, the rise and the map. Raise max_tilt_deg and tilt_sd_deg, or "
        "leave these filaments out."
    ]


def polarity_flags(
    poses: Poses,
    filament: NDArray[np.int32],
    by_the_other_half: NDArray[np.int8] | None,
) -> list[str]:
    """Filaments whose direction is not settled, though the map tells directions apart.

    Parameters
    ----------
    poses : Poses
        Of all particles.
    filament : ndarray of int32, shape (n,)
        Filament of each particle.
    by_the_other_half : ndarray of int8, shape (n,), or None
        Polarity that the other half's map gives each particle, if it was asked.

    Returns
    -------
    list of str
    """
    counts = np.bincount(filament)
    certainty = np.bincount(filament, poses.polarity_probability) / counts
    undecided = int((certainty < _UNDECIDED).sum())
    flags = []
    if undecided:
        flags.append(
            f"The polarity of {undecided} of {len(counts)} filaments is undecided."
        )
    if by_the_other_half is None:
        return flags
    differs = np.bincount(filament, by_the_other_half != poses.polarity) / counts
    turned = int((differs > 0.5).sum())
    if turned:
        flags.append(
            f"The other half's map would turn {turned} of {len(counts)} filaments "
            "upside down: too few filaments, or too little signal, to settle their "
            "polarity. More filaments help, or polarities that are known."
        )
    return flags


def scale_flags(poses: Poses, half: NDArray[np.int8]) -> list[str]:
    """Images that do not show what the map shows.

    Parameters
    ----------
    poses : Poses
        Of all particles.
    half : ndarray of int8, shape (n,)
        Half-set of each particle.

    Returns
    -------
    list of str
    """
    share = left_out(poses.scale, half)
    if share <= MOST_LEFT_OUT:
        return []
    return [
        f"{share:.0%} of the images of a half-set fit the map no better than its "
        "negative, so none is left out for it: the images may hold no signal, or have "
        "the wrong contrast."
    ]
