"""A state as labelled arrays with units, to plot and compare at will.

Everything a session shows goes through these functions. They are pure and copy what
they hand out, so a user's arithmetic never reaches into the refinement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from helixnb.core.fsc import resolution_A
from helixnb.core.places import places_of
from helixnb.euler import wrapped_deg
from helixnb.symmetry import HelicalSymmetry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from helixnb.core.candidates import Candidate
    from helixnb.core.symmetry_search import SymmetryScore
    from helixnb.iteration.state import State, SymmetryScores
    from helixnb.particles import ParticleSet

HALVES = ("A", "B")
_CANDIDATE_COLUMNS = [
    "twist_deg",
    "rise_A",
    "pitch_A",
    "subunits_per_turn",
    "hand",
    "score",
    "score_se",
    "lags",
    "relation",
]
SEARCHED = ("tilt", "transverse_shift", "axial_shift")
"""What is searched on a grid that images share; in-plane angles begin at their priors.
"""

_SCORES = {"half_A": "half A", "half_B": "half B", "joint": "both halves"}


def variable(dim: str, values: ArrayLike, unit: str, name: str) -> xr.Variable:
    """Copy of one column with its unit and its name in words.

    Parameters
    ----------
    dim : str
        Its dimension.
    values : array
        One-dimensional.
    unit : str
        Empty for a pure number.
    name : str
        For axis labels.
    """
    attrs = {"long_name": name} | ({"units": unit} if unit else {})
    return xr.Variable((dim,), np.array(values), attrs)


def fsc(state: State) -> xr.Dataset:
    """FSC curves of the half-maps.

    Parameters
    ----------
    state : State
        Any iteration.

    Returns
    -------
    xarray.Dataset
        Over ``spatial_frequency`` (1/angstrom): ``reported``, which the resolution
        is read from, ``unmasked``, ``cylinder``, ``loose`` and ``tight``; with noise
        substitution also ``corrected`` (of the cylinder), ``tight_corrected``,
        ``randomised`` and ``tight_randomised``. Each curve has its first crossings as
        attributes ``resolution_0.143`` and ``resolution_0.5``, and the dataset those
        of the reported one. Further attributes: ``resolution_A``, as far as it is
        claimed, ``split_resolution_A`` beyond which the halves are independent,
        ``randomised_from_A`` (nan without noise substitution), ``iteration``.
    """
    curves = state.fsc
    k_per_A = curves.frequency_per_A
    found = {
        "reported": (curves.reported, "FSC that is reported"),
        "unmasked": (curves.unmasked, "FSC without mask"),
        "cylinder": (curves.cylinder, "FSC in the cylinder"),
        "loose": (curves.loose, "FSC in the loose mask"),
        "tight": (curves.tight, "FSC in the tight mask"),
    }
    noise = curves.substitution
    start_A = float("nan")
    if noise is not None:
        start_A = float(1 / k_per_A[min(max(noise.from_shell, 1), len(k_per_A) - 1)])
        found |= {
            "corrected": (noise.corrected, "FSC in the cylinder, corrected"),
            "tight_corrected": (
                noise.tight_corrected,
                "FSC in the tight mask, corrected",
            ),
            "randomised": (noise.cylinder, "FSC in the cylinder, phases randomised"),
            "tight_randomised": (
                noise.tight,
                "FSC in the tight mask, phases randomised",
            ),
        }
    dim = "spatial_frequency"
    variables = {}
    for name, (curve, text) in found.items():
        variables[name] = variable(dim, curve, "", text)
        variables[name].attrs |= _crossings(state, curve)
    return xr.Dataset(
        variables,
        {dim: variable(dim, k_per_A, "1/angstrom", "spatial frequency")},
        _crossings(state, curves.reported)
        | {
            "split_resolution_A": state.parameters.split_resolution_A,
            "randomised_from_A": start_A,
            "resolution_A": state.resolution_A,
            "iteration": state.iteration,
        },
    )


def _crossings(state: State, curve: NDArray[np.float64]) -> dict[str, float]:
    """First crossings of a curve."""
    k_per_A = state.fsc.frequency_per_A
    return {f"resolution_{t:g}": resolution_A(k_per_A, curve, t) for t in (0.143, 0.5)}


def symmetry_check(state: State) -> xr.Dataset | None:
    """Agreement of the symmetric map with the one that no symmetry was imposed on.

    Parameters
    ----------
    state : State
        Any iteration.

    Returns
    -------
    xarray.Dataset or None
        Over ``spatial_frequency`` (1/angstrom): ``blind`` and ``symmetric``, the FSC
        between halves without and with symmetry, ``across``, that of one kind with
        the other, and ``agreement``, ``across`` over what a true symmetry gives (see
        `helixnb.core.blind_check`). Attribute ``overall``: its mean, near 1 if the
        map obeys the symmetry. None if no symmetry was imposed.
    """
    check = state.check
    if check is None:
        return None
    dim, k_per_A = "spatial_frequency", state.fsc.frequency_per_A
    found = {
        "blind": (check.blind, "FSC of the halves without symmetry"),
        "symmetric": (check.symmetric, "FSC of the symmetric halves"),
        "across": (check.across, "FSC of one kind with the other"),
        "agreement": (check.agreement, "agreement over that of a true symmetry"),
    }
    return xr.Dataset(
        {name: variable(dim, curve, "", text) for name, (curve, text) in found.items()},
        {dim: variable(dim, k_per_A, "1/angstrom", "spatial frequency")},
        {"overall": check.overall, "iteration": state.iteration},
    )


def score_map(state: State) -> xr.Dataset | None:
    """Twist-rise score maps of both halves and of their sum.

    Parameters
    ----------
    state : State
        Any iteration.

    Returns
    -------
    xarray.Dataset or None
        ``half_A``, ``half_B`` and ``joint`` over ``twist`` (degree) and ``rise``
        (angstrom); each has its optimum as attributes ``best_twist_deg``,
        ``best_rise_A``, ``best_score`` and ``on_edge``, the joint one also its
        standard errors ``twist_sd_deg`` and ``rise_sd_A``. None if the iteration did
        not search.
    """
    if state.scores is None:
        return None
    used = state.parameters
    return labelled_scores(
        state.scores,
        {
            "used_twist_deg": used.twist_deg,
            "used_rise_A": used.rise_A,
            "next_twist_deg": state.twist_deg,
            "next_rise_A": state.rise_A,
            "iteration": state.iteration,
        },
    )


def labelled_scores(scores: SymmetryScores, attrs: dict[str, Any]) -> xr.Dataset:
    """Score maps of any search, as `score_map` gives those of an iteration.

    Parameters
    ----------
    scores : SymmetryScores
        From `twist_rise.score`.
    attrs : dict
        Further attributes.

    Returns
    -------
    xarray.Dataset
    """
    joint = scores.joint

    def scored(score: SymmetryScore, name: str) -> xr.Variable:
        optimum = {
            "best_twist_deg": score.best_twist_deg,
            "best_rise_A": score.best_rise_A,
            "best_score": score.best_score,
            "on_edge": score.on_edge,
        }
        if score is joint:
            optimum["twist_sd_deg"] = scores.twist_sd_deg
            optimum["rise_sd_A"] = scores.rise_sd_A
        attrs = {"long_name": f"symmetry score of {name}", "units": "1"} | optimum
        return xr.Variable(("twist", "rise"), score.score.copy(), attrs)

    return xr.Dataset(
        {name: scored(getattr(scores, name), text) for name, text in _SCORES.items()},
        {
            "twist": variable("twist", joint.twist_deg, "degree", "twist per subunit"),
            "rise": variable("rise", joint.rise_A, "angstrom", "rise per subunit"),
        },
        {
            "resolution_A": scores.resolution_A,
            "inner_diameter_A": scores.inner_diameter_A,
            "outer_diameter_A": scores.outer_diameter_A,
            "extensions": scores.extensions,
            "used": scores.used,
            "dyad_score": scores.dyad.score,
            "suggested_point_group": scores.suggested_point_group,
        }
        | attrs,
    )


def candidates(found: Sequence[Candidate]) -> pd.DataFrame:
    """Candidate symmetries as a table, the best first.

    Parameters
    ----------
    found : sequence of Candidate
        As a search ranked them.

    Returns
    -------
    pandas.DataFrame
        ``twist_deg``, ``rise_A``, ``pitch_A``, ``subunits_per_turn``, ``hand``,
        ``score``, ``score_se`` (scatter of the lags), ``lags`` and ``relation`` to the
        best, indexed by ``rank`` from 1.
    """
    rows = []
    for candidate in found:
        symmetry = HelicalSymmetry(candidate.twist_deg, candidate.rise_A)
        rows.append(
            {
                "twist_deg": candidate.twist_deg,
                "rise_A": candidate.rise_A,
                "pitch_A": symmetry.pitch_A,
                "subunits_per_turn": symmetry.subunits_per_turn,
                "hand": symmetry.handedness,
                "score": candidate.score,
                "score_se": candidate.scatter,
                "lags": candidate.n_lags,
                "relation": candidate.relation,
            }
        )
    index = pd.RangeIndex(1, len(rows) + 1, name="rank")
    return pd.DataFrame(rows, index, columns=_CANDIDATE_COLUMNS)


def orientations(state: State, particles: ParticleSet) -> xr.Dataset:
    """Pose of every segment, in the order of the STAR file.

    Parameters
    ----------
    state : State
        Any iteration.
    particles : ParticleSet
        The segments it was made from.

    Returns
    -------
    xarray.Dataset
        Over ``particle``; angles in degrees by RELION's convention, shifts in
        angstrom. ``psi_deviation`` is what is left of psi after its prior and the
        polarity; ``position`` runs along the filament as it was picked. What was
        searched in steps that most images share has them as its attribute
        ``search_step``, and one of the places as ``search_place``, in its own unit.
    """
    poses, pixel = state.poses, particles.pixel_size_A
    deviation = poses.psi_deg - particles.psi_prior_deg - 180.0 * poses.polarity
    degree, angstrom = "degree", "angstrom"
    columns: dict[str, tuple[ArrayLike, str, str]] = {
        "rot": (poses.rot_deg, degree, "rot"),
        "tilt": (poses.tilt_deg, degree, "tilt"),
        "psi": (poses.psi_deg, degree, "psi"),
        "psi_deviation": (wrapped_deg(deviation), degree, "psi about its prior"),
        "transverse_shift": (
            poses.shift_px * pixel,
            angstrom,
            "shift across the filament",
        ),
        "axial_shift": (poses.axial_px * pixel, angstrom, "shift along the filament"),
        "polarity": (poses.polarity, "", "1 if psi is turned by 180 from its prior"),
        "polarity_probability": (
            poses.polarity_probability,
            "1",
            "probability of that polarity",
        ),
        "filament": (particles.filament, "", "filament"),
        "position": (particles.track_A, angstrom, "position along the filament"),
        "half": (np.array(HALVES)[state.survey.half], "", "half-set"),
        "effective_poses": (poses.effective_poses, "1", "poses that share the image"),
        "log_evidence": (poses.log_evidence, "1", "log evidence over pure noise"),
    }
    labelled = xr.Dataset(
        {name: variable("particle", *column) for name, column in columns.items()},
        {"particle": np.arange(len(particles))},
        {"iteration": state.iteration, "source": str(particles.source)},
    )
    for name in SEARCHED:
        places = places_of(labelled[name].to_numpy())
        if places is not None:
            labelled[name].attrs["search_step"] = places.step
            labelled[name].attrs["search_place"] = places.origin
    return labelled


def noise(state: State, pixel_size_A: float) -> xr.DataArray:
    """Noise power by spatial frequency, as the next alignment weights with it.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Pixel size.

    Returns
    -------
    xarray.DataArray
        Over ``spatial_frequency`` (1/angstrom).
    """
    box = state.half_maps.shape[-1]
    k_per_A = np.arange(len(state.noise_power)) / (box * pixel_size_A)
    dim = "spatial_frequency"
    return xr.DataArray(
        state.noise_power.copy(),
        {dim: variable(dim, k_per_A, "1/angstrom", "spatial frequency")},
        (dim,),
        "noise",
        {
            "long_name": "noise power",
            "units": "image units^2 pixels",
            "iteration": state.iteration,
        },
    )
