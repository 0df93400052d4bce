"""The history of a session: one flat row for each iteration, and the table of them.

A row holds what was used, what was found and how long it took, every parameter
included, so that a run can be told from its table alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helixnb.core.fsc import resolution_A
from helixnb.euler import wrapped_deg

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from helixnb.iteration.state import State
    from helixnb.session.timeline import Moment

_SCORES = ("half_A", "half_B", "joint")
_SYMMETRY = ("twist_deg", "rise_A")


def history_row(
    state: State,
    pixel_size_A: float,
    *,
    seconds: float,
    stages: Mapping[str, float] | None = None,
    previous: State | None = None,
) -> dict[str, Any]:
    """One iteration as a flat row of plain Python values.

    Parameters
    ----------
    state : State
        The iteration.
    pixel_size_A : float
        Pixel size.
    seconds : float
        Wall time.
    stages : mapping of str to float, optional
        Time by stage, by default the state's own. Stages may run side by side, so
        their sum may exceed the wall time.
    previous : State, optional
        The iteration before, from which changes in the poses are counted.

    Returns
    -------
    dict
        Columns of `history`.
    """
    stages = state.seconds if stages is None else stages
    used = state.parameters
    curves = state.fsc
    row: dict[str, Any] = {
        "iteration": state.iteration,
        "resolution_A": state.resolution_A,
        "resolution_0.5_A": resolution_A(curves.frequency_per_A, curves.reported, 0.5),
        "align_resolution_A": state.align_resolution_A,
        "next_align_resolution_A": state.next_align_resolution_A,
        "twist_deg": np.nan if used.twist_deg is None else used.twist_deg,
        "rise_A": np.nan if used.rise_A is None else used.rise_A,
        "next_twist_deg": state.twist_deg,
        "next_rise_A": state.rise_A,
        **_found_symmetry(state),
        "symmetry_order": state.symmetry_order,
        "symmetry_agreement": state.check.overall if state.check else np.nan,
        "bootstrapping": state.bootstrapping,
        "images": int(state.used.sum()),
        "outer_diameter_A": 2 * state.survey.outer_radius_A,
        "psi_sd_deg": state.spread.psi_deg,
        "tilt_sd_deg": state.spread.tilt_deg,
        "shift_sd_A": state.spread.shift_px * pixel_size_A,
        "effective_poses": _median(state.poses.effective_poses),
        "polarity_probability": _median(state.poses.polarity_probability),
        **_changes(state, previous, pixel_size_A),
        "cells_per_image": state.cells_per_image,
        "device": state.device,
        "stalled": state.stalled,
        "converged": state.converged,
        "flags": "; ".join(state.flags),
        "seconds": seconds,
        **{f"seconds_{_word(stage)}": spent for stage, spent in stages.items()},
        **{f"parameter_{name}": value for name, value in used.as_dict().items()},
    }
    # NumPy numbers would not survive a checkpoint as plain JSON.
    return {n: v.item() if isinstance(v, np.generic) else v for n, v in row.items()}


def _found_symmetry(state: State) -> dict[str, float]:
    """Twist and rise as found by each half and by both; nan without a search."""
    found = {}
    for name in _SCORES:
        score = getattr(state.scores, name) if state.scores else None
        found[f"found_twist_deg_{name}"] = score.best_twist_deg if score else np.nan
        found[f"found_rise_A_{name}"] = score.best_rise_A if score else np.nan
        found[f"score_{name}"] = score.best_score if score else np.nan
    scores = state.scores
    found["twist_sd_deg"] = scores.twist_sd_deg if scores else np.nan
    found["rise_sd_A"] = scores.rise_sd_A if scores else np.nan
    return found


def _changes(
    state: State, previous: State | None, pixel_size_A: float
) -> dict[str, float]:
    """Median changes of the poses; nan where there were none before.

    Azimuths count after unwinding the axial shift, as both together are one pose.
    """
    names = ("change_azimuth_deg", "change_psi_deg", "change_shift_A")
    if previous is None:
        return dict.fromkeys(names, np.nan)
    now, before, symmetry = state.poses, previous.poses, state.symmetry
    azimuth = now.azimuth_deg - before.azimuth_deg
    cyclic = state.parameters.cyclic
    if symmetry is not None:
        pitch = symmetry.twist_deg / symmetry.rise_A * pixel_size_A
        azimuth = azimuth + pitch * (now.axial_px - before.axial_px)
    same = now.polarity == before.polarity
    azimuth = np.where(same, azimuth, np.nan)
    return {
        names[0]: _median(np.abs(wrapped_deg(cyclic * azimuth)) / cyclic),
        names[1]: _median(np.abs(wrapped_deg(now.psi_deg - before.psi_deg))),
        names[2]: _median(np.abs(now.shift_px - before.shift_px) * pixel_size_A),
    }


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _word(stage: str) -> str:
    return stage.replace(" ", "_").replace("-", "_")


def history(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """All iterations as a table.

    Parameters
    ----------
    rows : iterable of mapping
        From `history_row`, in order.

    Returns
    -------
    pandas.DataFrame
        One row for each iteration. ``twist_deg`` and ``rise_A`` are those used in
        it, ``found_...`` what each half and both together then found,
        ``parameter_...`` every parameter as used.
    """
    table = pd.DataFrame([dict(row) for row in rows])
    stages = [name for name in table.columns if name.startswith("seconds_")]
    # A stage that an iteration did not have took no time in it.
    table[stages] = table[stages].fillna(0.0)
    return table


def compared(this: Moment, other: Moment) -> pd.DataFrame:
    """Set two branches side by side.

    Parameters
    ----------
    this, other : Moment
        With states.

    Returns
    -------
    pandas.DataFrame
        Columns ``this`` and ``other``: parameters that differ by their names, results,
        twist and rise of the next iteration, and what else it will do differently
        from the last.
    """
    states = [moment.states[-1] for moment in (this, other)]
    used = [state.parameters.as_dict() for state in states]
    following = [moment.parameters.as_dict() for moment in (this, other)]
    rows: dict[str, list[Any]] = {}
    for name in used[0]:
        values = [one[name] for one in used]
        if values[0] != values[1]:
            rows[name] = values
    for name in ("iteration", "resolution_A", "symmetry_order", "converged"):
        rows[name] = [getattr(state, name) for state in states]
    for name in _SYMMETRY:
        values = [one[name] for one in following]
        rows[f"next_{name}"] = [np.nan if value is None else value for value in values]
    for name in used[0]:
        values = [one[name] for one in following]
        is_edited = values != [one[name] for one in used]
        if name not in _SYMMETRY and is_edited and values[0] != values[1]:
            rows[f"next_{name}"] = values
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["this", "other"])
    return table.rename_axis("quantity")
