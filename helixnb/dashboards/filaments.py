"""Filaments one by one: whether their segments agree on polarity and azimuth.

The azimuth of a helix grows evenly along it, so the segments of a filament lie on a
line; those that do not contradict it. A click on a filament shows its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn
import param

from helixnb.dashboards import style
from helixnb.dashboards.later import Later
from helixnb.dashboards.live import as_view, live_plot
from helixnb.dashboards.pictures import montage

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from helixnb.dashboards.live import SessionView

POLARITIES = {0: ("along psi", style.JOINT), 1: ("against psi", style.RANDOMISED)}
MOST_PICTURES = 9
LOWPASS_A = 20.0
PLOT_PX = 325


def plot(filaments: pd.DataFrame, chosen: int = -1) -> hv.Overlay:
    """Draw how far each filament's segments are from one helix.

    Parameters
    ----------
    filaments : pandas.DataFrame
        As `Session.filaments`.
    chosen : int
        Filament to ring; -1 for none.

    Returns
    -------
    holoviews.Overlay
    """
    table = filaments.reset_index()
    names = ["filament", "deviation_sd_deg"]
    more = ["polarity_probability", "outliers", "segments", "twist_deg", "name"]
    elements: list[hv.Element] = []
    for polarity, (label, color) in POLARITIES.items():
        part = table[table["polarity"] == polarity]
        elements.append(
            hv.Points(part[[*names, *more]], names, more, label=label).opts(
                color=color,
                size=8,
                # Undecided filaments are hollow.
                fill_alpha=hv.dim("polarity_probability").norm((0.5, 1.0)),
                tools=["hover"],
                hover_tooltips=[
                    ("filament", "@filament @name"),
                    ("segments", "@segments, outliers @outliers"),
                    ("deviation", "@deviation_sd_deg{0.0}°"),
                    ("own twist", "@twist_deg{0.00}°"),
                    ("polarity", "@polarity_probability{0.00} sure"),
                ],
            )
        )
    worst = table["outliers"] > 0
    elements.append(
        hv.Points(table[worst][names], names, label="has outliers").opts(
            marker="x", color=style.OUTLIER, size=10, line_width=2
        )
    )
    ring = table[table["filament"] == chosen][names]
    elements.append(
        hv.Points(ring, names).opts(
            size=17, fill_alpha=0, line_color=style.NEXT, line_width=2.5
        )
    )
    turned = int((table["polarity"] == 1).sum())
    return hv.Overlay(elements).opts(
        title=f"{len(table)} filaments, {turned} against their psi; click one",
        xlabel="filament",
        ylabel="deviation from one helix (° s.d.)",
        xlim=(-0.8, len(table) - 0.2),
        ylim=(0, max(float(table["deviation_sd_deg"].fillna(0.0).max()), 5) * 1.3),
        legend_position="top_right",
        legend_opts={"background_fill_alpha": 0.7, "padding": 4, "spacing": 0},
        fontsize=style.FONT_SIZES,
        frame_width=PLOT_PX,
        frame_height=190,
        toolbar=None,
        framewise=True,
    )


def along(segments: xr.Dataset, filaments: pd.DataFrame, filament: int) -> hv.Overlay:
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
    holoviews.Overlay
    """
    own = segments.isel(particle=segments["filament"].to_numpy() == filament)
    own = own.sortby("position")
    place, azimuth = own["position"].to_numpy(), own["azimuth_unwound"].to_numpy()
    fitted = azimuth - own["azimuth_deviation"].to_numpy()
    bad = own["outlier"].to_numpy()
    dims = (hv.Dimension("position", unit="Å"), hv.Dimension("azimuth", unit="°"))
    facts: dict[Any, Any] = filaments.loc[filament].to_dict()
    curve = hv.Curve((place, fitted), *dims, label="one helix").opts(
        color=style.QUIET, line_width=1.2
    )
    points = [
        hv.Scatter((place[pick], azimuth[pick]), *dims, label=label).opts(
            color=color, size=7, tools=["hover"]
        )
        for pick, label, color in (
            (~bad, "segments", style.JOINT),
            (bad, "outliers", style.OUTLIER),
        )
    ]
    return hv.Overlay([curve, *points]).opts(
        title=f"Filament {filament}: own twist {facts['twist_deg']:.2f}°, "
        f"{int(facts['outliers'])} outliers of {int(facts['segments'])}",
        xlabel="position along the filament (Å)",
        ylabel="azimuth, unwound (°)",
        legend_position="bottom_left",
        fontsize=style.FONT_SIZES,
        frame_width=PLOT_PX,
        frame_height=190,
        toolbar=None,
        padding=0.08,
        framewise=True,
    )


def deviations(segments: xr.Dataset, filament: int) -> hv.Overlay:
    """Draw the distance of all segments from their helix, one filament picked out.

    Parameters
    ----------
    segments : xarray.Dataset
        As `Session.continuity`.
    filament : int
        Drawn on top.

    Returns
    -------
    holoviews.Overlay
    """
    dims = (hv.Dimension("position", unit="Å"), hv.Dimension("deviation", unit="°"))
    own = segments["filament"].to_numpy() == filament
    place = segments["position"].to_numpy()
    left = segments["azimuth_deviation"].to_numpy()
    limit = max(float(np.nanmax(np.abs(left), initial=0)), 5.0) * 1.1
    return hv.Overlay(
        [
            hv.Scatter((place[~own], left[~own]), *dims).opts(
                color=style.EARLIER, alpha=0.45, size=3
            ),
            hv.Scatter((place[own], left[own]), *dims).opts(
                color=style.JOINT, size=7, tools=["hover"]
            ),
        ]
    ).opts(
        title=f"Deviation from the helix: filament {filament} among all",
        xlabel="position along the filament (Å)",
        ylabel="azimuth off the helix (°)",
        ylim=(-limit, limit),
        fontsize=style.FONT_SIZES,
        frame_width=PLOT_PX,
        frame_height=190,
        toolbar=None,
        framewise=True,
    )


class _Choice(param.Parameterized):
    """Which filament is looked at."""

    filament = param.Integer(default=0, bounds=(0, None))


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Filaments that follow a session; a click shows the segments of one.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    follow = as_view(session)
    n = follow.session.particles.n_filaments
    choice = _Choice()
    listening: set[str] = set()

    def listen(plot: Any, _: Any) -> None:
        # Called for every frame.
        if plot.state.id not in listening:
            listening.add(plot.state.id)
            plot.state.on_event("tap", lambda event: pick(event.x))

    def pick(x: float) -> None:
        choice.filament = int(np.clip(round(x), 0, n - 1))

    def all_of(session: Any, filament: int) -> hv.Overlay:
        return plot(session.filaments, filament)

    def one_of(session: Any, filament: int) -> hv.Overlay:
        return along(session.continuity, session.filaments, filament)

    def off(session: Any, filament: int) -> hv.Overlay:
        return deviations(session.continuity, filament)

    chosen = choice.param.filament
    pictures = Later(follow, _pictures, filament=chosen)

    def build() -> pn.viewable.Viewable:
        drawn = live_plot(
            follow, lambda _, found: _strip(*found), found=pictures.param.value
        )
        return _pane(drawn)

    def plots() -> pn.viewable.Viewable:
        # Not a FlexBox: plots in one are misplaced if another plot follows it.
        return pn.Row(
            _pane(live_plot(follow, all_of, hooks=[listen], filament=chosen)),
            _pane(live_plot(follow, one_of, filament=chosen)),
            _pane(live_plot(follow, off, filament=chosen)),
        )

    # Without poses, or positions along filaments, there is a sentence instead.
    known = Later(follow, lambda s: s.filaments)
    return pn.Column(
        known.pane(plots),
        pictures.pane(build),
        sizing_mode="stretch_width",
    )


def _pane(plotted: hv.DynamicMap) -> pn.pane.HoloViews:
    return pn.pane.HoloViews(plotted, linked_axes=False)


def _pictures(session: Any, filament: int) -> tuple[int, Any, Any]:
    """Images of some segments of a filament, with what is known of them."""
    segments = session.continuity
    index = np.flatnonzero(segments["filament"].to_numpy() == filament)
    order = index[np.argsort(segments["position"].to_numpy()[index])]
    spread = np.linspace(0, len(order) - 1, min(len(order), MOST_PICTURES)).astype(int)
    some = order[spread]
    seen = session.particle_pictures(some.tolist(), lowpass_A=LOWPASS_A)
    return filament, seen, segments.isel(particle=seen["particle"].to_numpy())


def _strip(filament: int, seen: xr.Dataset, segments: xr.Dataset) -> hv.Overlay:
    labels = [
        f"{place:.0f} Å{', outlier' if bad else ''}"
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
