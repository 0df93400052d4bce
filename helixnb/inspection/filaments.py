"""Whether the segments of each filament describe one continuous helix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from helixnb.core.continuity import OUTLIER_DEG, fit_screw, screw_phase_deg
from helixnb.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.iteration.state import State
    from helixnb.particles import ParticleSet

_NAMES = ("rlnMicrographName", "rlnHelicalTubeID")


def continuity(state: State, particles: ParticleSet) -> tuple[xr.Dataset, pd.DataFrame]:
    """Fit each filament with one helix, and tell which segments contradict it.

    Parameters
    ----------
    state : State
        Holds poses and symmetry.
    particles : ParticleSet
        Tell filaments and positions along them.

    Returns
    -------
    segments : xarray.Dataset
        Over ``particle``: ``filament``, ``position`` (angstrom along +v of the
        filament, from its first segment in that direction), ``azimuth_unwound``
        (degree, continuous along the filament), ``azimuth_deviation`` from the fitted
        helix (degree), and ``outlier``: far from it, or of the other polarity than most
        of its filament.
    filaments : pandas.DataFrame
        Indexed by filament: segments, half-set, ``polarity`` and the mean
        ``polarity_probability``, ``twist_deg`` of the filament itself, its
        ``concentration`` about the helix (1 is perfect), ``outliers``.

    Raises
    ------
    InputError
        Without poses, or if the file does not tell positions along the filament.
    """
    poses = state.poses
    if not np.isfinite(poses.azimuth_deg).any():
        raise InputError("No poses yet: call session.step() first.")
    if not np.isfinite(particles.axial_A).any():
        raise InputError(
            "The file does not tell where segments lie along their filament, so "
            "continuity cannot be judged. Extract them with coordinates or track "
            "lengths."
        )
    n = len(particles)
    columns = {
        name: np.full(n, np.nan)
        for name in ("position", "azimuth_unwound", "azimuth_deviation")
    }
    outlier = np.zeros(n, bool)
    rows = []
    members = np.argsort(particles.filament, kind="stable")
    ends = np.cumsum(np.bincount(particles.filament))[:-1]
    for index in np.split(members, ends):
        rows.append(_one_filament(state, particles, index, columns, outlier))
    units = {"position": "angstrom"}
    segments = xr.Dataset(
        {
            name: ("particle", values, {"units": units.get(name, "degree")})
            for name, values in columns.items()
        }
        | {
            "outlier": ("particle", outlier),
            "filament": ("particle", particles.filament.copy()),
        },
        {"particle": np.arange(n)},
        {"iteration": state.iteration, "outlier_deg": OUTLIER_DEG},
    )
    return segments, pd.DataFrame(rows).rename_axis("filament")


def _one_filament(
    state: State,
    particles: ParticleSet,
    index: NDArray[np.intp],
    columns: dict[str, NDArray[np.float64]],
    outlier: NDArray[np.bool_],
) -> dict[str, object]:
    """Fill the columns of one filament's segments; return its row of the table."""
    poses, symmetry = state.poses, state.parameters.symmetry
    polarity = int(2 * poses.polarity[index].sum() > len(index))
    # +v turns round with the polarity.
    position = particles.axial_A[index] * (-1.0 if polarity else 1.0)
    placed = np.isfinite(position)
    position -= position[placed].min() if placed.any() else 0.0
    known = placed & np.isfinite(poses.azimuth_deg[index])
    row: dict[str, object] = {
        "segments": len(index),
        "half": "AB"[int(state.survey.half[index[0]])],
        "polarity": polarity,
        "polarity_probability": float(poses.polarity_probability[index].mean()),
        "twist_deg": np.nan,
        "concentration": np.nan,
        "deviation_sd_deg": np.nan,
        "outliers": 0,
        "name": _name(particles, index[0]),
    }
    columns["position"][index] = position
    if symmetry is None or not known.any():
        outlier[index] = poses.polarity[index] != polarity
        return row | {"outliers": int(outlier[index].sum())}
    used = index[known]
    # A filament that leans out of the image looks shorter than it is.
    shortened = float(np.sin(np.deg2rad(poses.tilt_deg[used])).mean())
    place = position[known] / shortened
    ratio = symmetry.twist_deg / symmetry.rise_A
    phase = screw_phase_deg(
        poses.azimuth_deg[used],
        poses.axial_px[used] * particles.pixel_size_A / shortened,
        place,
        symmetry.twist_deg,
        symmetry.rise_A,
    )
    fit = fit_screw(phase, place, symmetry.cyclic)
    expected = fit.offset_deg + (fit.slope_deg_per_A - ratio) * place
    columns["azimuth_unwound"][used] = expected + fit.deviation_deg
    columns["azimuth_deviation"][used] = fit.deviation_deg
    far = np.abs(fit.deviation_deg) > OUTLIER_DEG / symmetry.cyclic
    outlier[used] = far | (poses.polarity[used] != polarity)
    inside = fit.deviation_deg[~outlier[used]]
    return row | {
        "twist_deg": symmetry.twist_deg - fit.slope_deg_per_A * symmetry.rise_A,
        "concentration": fit.concentration,
        "deviation_sd_deg": float(np.sqrt(np.mean(inside**2))) if len(inside) else 0.0,
        "outliers": int(outlier[used].sum()),
    }


def _name(particles: ParticleSet, segment: int) -> str:
    """Micrograph and tube, as far as the file tells."""
    row = particles.table.iloc[segment]
    return " ".join(str(row[name]) for name in _NAMES if name in row.index)
