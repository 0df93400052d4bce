"""Filaments one by one: whether their segments agree on polarity and azimuth.

The azimuth of a helix grows evenly along it, so the segments of a filament lie on a
line; those that do not contradict it. A click on a filament shows its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Layer, Legend, line, points
from helixnb.dashboards.later import Later
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.pictures import montage
from helixnb.dashboards.stand_alone import stand_alone

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from helixnb.dashboards.live import SessionView

POLARITIES = {
    0: ("as its psi prior", style.JOINT),
    1: ("turned round", style.RANDOMISED),
}
MOST_PICTURES = 8
LOWPASS_A = 20.0
SIZE = {"min_width": 250, "height": 270}


def plot(filaments: pd.DataFrame, chosen: int = -1) -> Chart:
    """Draw how far each filament's segments are from one helix.

    Parameters
    ----------
    filaments : pandas.DataFrame
        As `Session.filaments`.
    chosen : int
        Filament to ring; -1 for none.

    Returns
    -------
    Chart
    """
    table = filaments.reset_index()
    worst, ring = table["outliers"] > 0, table["filament"] == chosen
    turned = int((table["polarity"] == 1).sum())
    highest = max(float(table["deviation_sd_deg"].fillna(0.0).max()), 5) * 1.3
    return Chart(
        [
            *(
                _of_polarity(table[table["polarity"] == polarity], *look)
                for polarity, look in POLARITIES.items()
            ),
            points(
                *_places(table[worst]),
                "has outliers",
                marker="x",
                color=style.OUTLIER,
                size=10,
                line_width=2,
            ),
            points(
                *_places(table[ring]),
                size=17,
                fill_alpha=0,
                color=style.NEXT,
                line_width=2.5,
            ),
        ],
        f"{len(table)} filaments, {turned} turned round",
        x=Axis("filament", (-0.8, len(table) - 0.2)),
        y=Axis("s.d. about one helix (°)", (0.0, highest)),
        legend=Legend("above", columns=3),
        size=SIZE,
    )


def _places(table: pd.DataFrame) -> tuple[Any, Any]:
    return table["filament"].to_numpy(), table["deviation_sd_deg"].to_numpy(float)


def _of_polarity(table: pd.DataFrame, label: str, color: str) -> Layer:
    """Filaments of one polarity; undecided ones are hollow."""
    probability = table["polarity_probability"].to_numpy(float)
    more = {
        "name": list(table["name"]),
        "segments": table["segments"].to_numpy(),
        "outliers": table["outliers"].to_numpy(),
        "twist_deg": table["twist_deg"].to_numpy(float),
        "probability": probability,
        "decided": 2 * probability - 1,
    }
    hover = (
        ("filament", "@x @name"),
        ("segments", "@segments, outliers @outliers"),
        ("deviation", "@y{0.0}°"),
        ("own twist", "@twist_deg{0.00}°"),
        ("polarity", "@probability{0.00} sure"),
    )
    return points(
        *_places(table),
        label,
        hover,
        more,
        color=color,
        size=8,
        fill_alpha="decided",
    )


def along(segments: xr.Dataset, filaments: pd.DataFrame, filament: int) -> Chart:
    """Draw the azimuth along one filament, and the helix that fits it.

    Parameters
    ----------
    segments : xarray.Dataset
        As `Session.continuity`.
    filaments : pandas.DataFrame
        As `Session.filaments`.
    filament : int
        Which one.

    Returns
    -------
    Chart
    """
    own = segments.isel(particle=segments["filament"].to_numpy() == filament)
    own = own.sortby("position")
    place, azimuth = own["position"].to_numpy(), own["azimuth_unwound"].to_numpy()
    fitted = azimuth - own["azimuth_deviation"].to_numpy()
    bad = own["outlier"].to_numpy()
    facts: dict[Any, Any] = filaments.loc[filament].to_dict()
    hover = (
        ("segment", "@segment"),
        ("position", "@x{0} Å"),
        ("azimuth", "@y{0.0}°"),
        ("off the helix", "@off{0.0}°"),
    )
    more = {
        "segment": own["particle"].to_numpy(),
        "off": own["azimuth_deviation"].to_numpy(),
    }
    return Chart(
        [
            line(place, fitted, "one helix", line_color=style.QUIET, line_width=1.2),
            *(
                points(
                    place[pick],
                    azimuth[pick],
                    label,
                    hover,
                    {name: column[pick] for name, column in more.items()},
                    color=color,
                    size=7,
                )
                for pick, label, color in (
                    (~bad, "segments", style.JOINT),
                    (bad, "outliers", style.OUTLIER),
                )
            ),
        ],
        f"Filament {filament}: twist {facts['twist_deg']:.2f}°, "
        f"outliers {int(facts['outliers'])} of {int(facts['segments'])}",
        x=Axis("position along the filament (Å)"),
        y=Axis("azimuth, unwound (°)"),
        legend=Legend("above", columns=3),
        size=SIZE,
    )


def deviations(segments: xr.Dataset, filament: int) -> Chart:
    """Draw the distance of all segments from their helix, one filament picked out.

    Parameters
    ----------
    segments : xarray.Dataset
        As `Session.continuity`.
    filament : int
        Drawn on top.

    Returns
    -------
    Chart
    """
    own = segments["filament"].to_numpy() == filament
    place = segments["position"].to_numpy()
    left = segments["azimuth_deviation"].to_numpy()
    limit = max(float(np.nanmax(np.abs(left), initial=0)), 5.0) * 1.1
    hover = (
        ("segment", "@segment"),
        ("position", "@x{0} Å"),
        ("off the helix", "@y{0.0}°"),
    )
    more = {"segment": segments["particle"].to_numpy()[own]}
    return Chart(
        [
            points(
                place[~own],
                left[~own],
                "others",
                color=style.EARLIER,
                fill_alpha=0.45,
                line_alpha=0.0,
                size=3,
            ),
            points(
                place[own],
                left[own],
                "this one",
                hover,
                more,
                color=style.JOINT,
                size=7,
            ),
        ],
        f"Off the helix: filament {filament} among all",
        x=Axis("position along the filament (Å)"),
        y=Axis("azimuth off the helix (°)", (-limit, limit)),
        legend=Legend("above", columns=2),
        size=SIZE,
    )


class _Choice(param.Parameterized):
    """Which filament is looked at."""

    filament = param.Integer(default=0, bounds=(0, None))


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Filaments that follow a session; a click shows the segments of one.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.filaments(session)  # doctest: +SKIP
    """
    n = follow.session.particles.n_filaments
    choice = _Choice()

    def pick(x: float, _: float) -> None:
        choice.filament = int(np.clip(round(x), 0, n - 1))

    def all_of(session: Any, filament: int) -> Chart:
        drawn = plot(session.filaments, filament)
        return replace(drawn, title=f"{drawn.title}; click one")

    def one_of(session: Any, filament: int) -> Chart:
        return along(session.continuity, session.filaments, filament)

    def off(session: Any, filament: int) -> Chart:
        return deviations(session.continuity, filament)

    chosen = choice.param.filament
    pictures = Later(follow, segments_of, filament=chosen)

    def build() -> pn.viewable.Viewable:
        return pictures.chart(lambda _, found: strip(*found), flex="none")

    def plots() -> pn.viewable.Viewable:
        return pn.Row(
            live_chart(follow, all_of, on_tap=pick, filament=chosen),
            live_chart(follow, one_of, filament=chosen),
            live_chart(follow, off, filament=chosen),
            sizing_mode="stretch_width",
            styles=style.WRAPPED,
        )

    # Without poses, or positions along filaments, there is a sentence instead.
    known = Later(follow, lambda s: s.filaments)
    return pn.Column(
        known.pane(plots),
        pictures.pane(build, styles=style.SCROLLED),
        sizing_mode="stretch_width",
    )


def segments_of(session: Any, filament: int) -> tuple[int, xr.Dataset, xr.Dataset]:
    """Read images of some segments of a filament, with what is known of them.

    Parameters
    ----------
    session : Session
        With poses.
    filament : int
        Which one.

    Returns
    -------
    filament : int
    seen : xarray.Dataset
        As `Session.particle_pictures`, from the first to the last along the filament.
    segments : xarray.Dataset
        Theirs of `Session.continuity`.
    """
    segments = session.continuity
    index = np.flatnonzero(segments["filament"].to_numpy() == filament)
    order = index[np.argsort(segments["position"].to_numpy()[index])]
    spread = np.linspace(0, len(order) - 1, min(len(order), MOST_PICTURES)).astype(int)
    some = order[spread]
    seen = session.particle_pictures(some.tolist(), lowpass_A=LOWPASS_A)
    return filament, seen, segments.isel(particle=seen["particle"].to_numpy())


def strip(filament: int, seen: xr.Dataset, segments: xr.Dataset) -> Chart:
    """Draw segments of a filament side by side, above the model at their poses.

    Parameters
    ----------
    filament, seen, segments
        From `segments_of`.

    Returns
    -------
    Chart
    """
    labels = [
        f"{round(place)} Å{', outlier' if bad else ''}"
        for place, bad in zip(
            segments["position"].to_numpy(),
            segments["outlier"].to_numpy(),
            strict=True,
        )
    ]
    return montage(
        [seen["image"].to_numpy(), seen["model"].to_numpy()],
        labels,
        f"Segments of filament {filament} along its axis, low-passed to "
        f"{LOWPASS_A:g} Å, and the model at their poses",
        row_names=["image", "model"],
    )
