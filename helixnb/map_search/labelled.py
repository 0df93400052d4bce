"""The result of a search with names and units: score map and candidates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from helixnb import results
from helixnb.core.candidates import Candidate, peak_width
from helixnb.core.self_correlation import SelfCorrelation, score_grid, usable_lags
from helixnb.map_search.window import SearchWindow, sign

if TYPE_CHECKING:
    from numpy.typing import NDArray


def candidate_table(found: xr.Dataset) -> Any:
    """Candidates of a search as a table.

    Parameters
    ----------
    found : xarray.Dataset
        From `search_symmetry`.

    Returns
    -------
    pandas.DataFrame
        One row for each candidate, indexed by ``rank``.
    """
    names = [str(n) for n in found.data_vars if str(n).startswith("candidate_")]
    table = found[names].to_dataframe()
    return table.rename(columns=lambda n: n.removeprefix("candidate_"))


def labelled(
    correlation: SelfCorrelation, where: SearchWindow, found: tuple[Candidate, ...]
) -> xr.Dataset:
    """Put score map and candidates into one labelled set.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    where : SearchWindow
        What was searched.
    found : tuple of Candidate
        Ranked.

    Returns
    -------
    xarray.Dataset
        As `helixnb.search_symmetry` describes it.
    """
    if where.axes == "twist-rise":
        score = _twist_rise_map(correlation, where)
    else:
        score = _pitch_map(correlation, where)
    table = results.candidates(found)
    columns = {
        f"candidate_{name}": ("rank", table[name].to_numpy()) for name in table.columns
    }
    data = xr.Dataset({"score": score, **columns}, {"rank": table.index.to_numpy()})
    values = score.to_numpy().reshape(-1, *where.points)
    return data.assign_attrs(
        best_twist_deg=found[0].twist_deg,
        best_rise_A=found[0].rise_A,
        best_score=found[0].score,
        on_edge=int(_on_edge(correlation, values, where)),
    )


def _on_edge(
    correlation: SelfCorrelation, score: NDArray[np.float64], where: SearchWindow
) -> bool:
    """Whether a score map is highest on an edge that a symmetry may lie beyond.

    A whole turn has no edge in twist; a wide range of rises or pitches ends at the
    length of the map; and next to no turn and no rise lies what is no symmetry, the
    overlap of a subunit with itself.
    """
    hand, i, j = np.unravel_index(int(np.argmax(score)), score.shape)
    first, second = where.first, where.second
    at_first = i in (0, where.points[0] - 1)
    at_second = j in (0, where.points[1] - 1)
    if where.axes == "twist-rise":
        at_first &= first[1] - first[0] < 360
    at_second &= second[1] < 2 * second[0]
    a = np.linspace(*first, where.points[0])[i]
    b = np.linspace(*second, where.points[1])[j]
    if where.axes == "pitch":
        a, b = sign(where.hands[int(hand)]) * 360 / a, b / a
    width_deg, width_A = peak_width(correlation)
    near_itself = abs((a + 180) % 360 - 180) < 4 * width_deg and b < 2 * width_A
    return bool((at_first or at_second) and not near_itself)


def _twist_rise_map(correlation: SelfCorrelation, where: SearchWindow) -> xr.DataArray:
    twist = np.linspace(*where.first, where.points[0])
    rise = np.linspace(*where.second, where.points[1])
    return xr.DataArray(
        score_grid(correlation, twist, rise),
        {
            "twist": ("twist", twist, {"units": "degree", "long_name": "twist"}),
            "rise": ("rise", rise, {"units": "angstrom", "long_name": "rise"}),
        },
        ("twist", "rise"),
        attrs={"units": "1", "long_name": "symmetry score"},
    )


def _pitch_map(correlation: SelfCorrelation, where: SearchWindow) -> xr.DataArray:
    """Row by row: all pitches of a number of subunits per turn have one twist."""
    subunits = np.linspace(*where.first, where.points[0])
    pitch = np.linspace(*where.second, where.points[1])
    lags = usable_lags(correlation.layers, float(pitch[-1] / subunits[0]))
    score = np.array(
        [
            [
                score_grid(correlation, np.array([sign(h) * 360 / u]), pitch / u, lags)[
                    0
                ]
                for u in subunits
            ]
            for h in where.hands
        ]
    )
    units = {"units": "angstrom", "long_name": "pitch"}
    return xr.DataArray(
        score,
        {
            "hand": list(where.hands),
            "subunits_per_turn": (
                "subunits_per_turn",
                subunits,
                {"units": "1", "long_name": "subunits per turn"},
            ),
            "pitch": ("pitch", pitch, units),
        },
        ("hand", "subunits_per_turn", "pitch"),
        attrs={"units": "1", "long_name": "symmetry score"},
    )
