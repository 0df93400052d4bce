"""A state as labelled arrays with units, to plot and compare at will.

Everything a session shows goes through these functions. They are pure and copy what
they hand out, so a user's arithmetic never reaches into the refinement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from helixnb.core.fsc import resolution_A
from helixnb.core.postprocess import fsc_weight, scale_shells

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from helixnb.core.symmetry_search import SymmetryScore
    from helixnb.particles import ParticleSet
    from helixnb.state import State

HALVES = ("A", "B")
_SCORES = {"half_A": "half A", "half_B": "half B", "joint": "both halves"}


def _variable(dim: str, values: ArrayLike, unit: str, name: str) -> xr.Variable:
    """Copy of one column with its unit and its name in words."""
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
        ``unmasked``, ``masked``, ``randomised`` and ``corrected`` over
        ``spatial_frequency`` (1/angstrom). Attributes: ``resolution_0.143`` and
        ``resolution_0.5`` of the corrected curve, ``split_resolution_A`` beyond which
        the halves are independent, ``randomised_from_A``.
    """
    curves = state.fsc
    k_per_A = curves.frequency_per_A
    start = min(max(curves.randomised_from, 1), len(k_per_A) - 1)
    names = {
        "unmasked": "FSC without mask",
        "masked": "FSC in the mask",
        "randomised": "FSC in the mask, phases randomised",
        "corrected": "FSC corrected for the mask",
    }
    dim = "spatial_frequency"
    return xr.Dataset(
        {n: _variable(dim, getattr(curves, n), "", text) for n, text in names.items()},
        {dim: _variable(dim, k_per_A, "1/angstrom", "spatial frequency")},
        {
            "resolution_0.143": resolution_A(k_per_A, curves.corrected),
            "resolution_0.5": resolution_A(k_per_A, curves.corrected, 0.5),
            "split_resolution_A": state.parameters.split_resolution_A,
            "randomised_from_A": float(1 / k_per_A[start]),
            "iteration": state.iteration,
        },
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
        ``best_rise_A``, ``best_score`` and ``on_edge``. None if the iteration did
        not search.
    """
    if state.scores is None:
        return None
    joint = state.scores.joint

    def variable(score: SymmetryScore, name: str) -> xr.Variable:
        optimum = {
            "best_twist_deg": score.best_twist_deg,
            "best_rise_A": score.best_rise_A,
            "best_score": score.best_score,
            "on_edge": score.on_edge,
        }
        attrs = {"long_name": f"symmetry score of {name}", "units": "1"} | optimum
        return xr.Variable(("twist", "rise"), score.score.copy(), attrs)

    return xr.Dataset(
        {
            name: variable(getattr(state.scores, name), text)
            for name, text in _SCORES.items()
        },
        {
            "twist": _variable("twist", joint.twist_deg, "degree", "twist per subunit"),
            "rise": _variable("rise", joint.rise_A, "angstrom", "rise per subunit"),
        },
        {
            "used_twist_deg": state.parameters.twist_deg,
            "used_rise_A": state.parameters.rise_A,
            "next_twist_deg": state.symmetry.twist_deg,
            "next_rise_A": state.symmetry.rise_A,
            "iteration": state.iteration,
        },
    )


def _axes(box: int, pixel_size_A: float) -> dict[str, xr.Variable]:
    """Coordinates of a map, 0 on the helix axis and in the middle of the box."""
    place_A = (np.arange(box) - box // 2) * pixel_size_A
    return {axis: _variable(axis, place_A, "angstrom", axis) for axis in "zyx"}


def _map_facts(state: State, pixel_size_A: float) -> dict[str, Any]:
    return {
        "pixel_size_A": pixel_size_A,
        "twist_deg": state.parameters.twist_deg,
        "rise_A": state.parameters.rise_A,
        "point_group": state.parameters.point_group,
        "symmetry_order": state.symmetry_order,
        "resolution_A": state.resolution_A,
        "iteration": state.iteration,
    }


def filtered_map(state: State, pixel_size_A: float) -> xr.DataArray:
    """Average of the half-maps, weighted by the FSC and cut at the resolution.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.DataArray
        float32 over ``z``, ``y``, ``x`` in angstrom from the centre; not sharpened.
    """
    average = state.half_maps.mean(axis=0, dtype=np.float64).astype(np.float32)
    volume = scale_shells(average, fsc_weight(state.fsc.corrected))
    attrs = {"long_name": "density, FSC-weighted"} | _map_facts(state, pixel_size_A)
    return xr.DataArray(
        volume, _axes(len(volume), pixel_size_A), tuple("zyx"), "map", attrs
    )


def half_maps(state: State, pixel_size_A: float) -> xr.DataArray:
    """Raw half-maps: neither filtered nor masked.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.DataArray
        float32 over ``half`` ("A", "B"), ``z``, ``y``, ``x`` in angstrom.
    """
    box = state.half_maps.shape[-1]
    coords = {"half": list(HALVES), **_axes(box, pixel_size_A)}
    attrs = {"long_name": "density, unfiltered"} | _map_facts(state, pixel_size_A)
    dims = ("half", "z", "y", "x")
    return xr.DataArray(state.half_maps.copy(), coords, dims, "half_maps", attrs)


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
        polarity; ``position`` runs along the filament as it was picked.
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
    return xr.Dataset(
        {name: _variable("particle", *column) for name, column in columns.items()},
        {"particle": np.arange(len(particles))},
        {"iteration": state.iteration, "source": str(particles.source)},
    )


def wrapped_deg(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles in [-180, 180).

    Parameters
    ----------
    angle_deg : ndarray of float64
        Any angles.

    Returns
    -------
    ndarray of float64, same shape
    """
    return np.asarray((angle_deg + 180.0) % 360.0 - 180.0)


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
        {dim: _variable(dim, k_per_A, "1/angstrom", "spatial frequency")},
        (dim,),
        "noise",
        {"long_name": "noise power", "iteration": state.iteration},
    )
