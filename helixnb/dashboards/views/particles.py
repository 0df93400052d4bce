"""Worst and best images, each above what the model says it should look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.later import Later
from helixnb.dashboards.pictures import montage
from helixnb.dashboards.sliders import slider
from helixnb.dashboards.stand_alone import stand_alone

if TYPE_CHECKING:
    import xarray as xr

    from helixnb.dashboards.chart import Chart
    from helixnb.dashboards.live import SessionView

SHOWN = 8
ENDS = {"best": "Best explained images", "worst": "Worst explained images"}


def plot(pictures: xr.Dataset, title: str) -> Chart:
    """Draw images above their projections.

    Parameters
    ----------
    pictures : xarray.Dataset
        As `Session.particle_pictures`.
    title : str
        Above all.

    Returns
    -------
    Chart
    """
    labels = [
        f"{segment}: cc {cc:.2f}"
        for segment, cc in zip(
            pictures["particle"].to_numpy(),
            pictures["correlation"].to_numpy(),
            strict=True,
        )
    ]
    lowpass_A = pictures.attrs["lowpass_A"]
    return montage(
        [pictures["image"].to_numpy(), pictures["model"].to_numpy()],
        labels,
        f"{title}, low-passed to {lowpass_A:g} Å, and the model at their poses",
        row_names=["image", "model"],
    )


def ranked(session: Any, end: str, n: int = SHOWN) -> list[int]:
    """Segments that the model explains best or worst.

    Parameters
    ----------
    session : Session
        With poses.
    end : str
        ``"best"`` or ``"worst"``.
    n : int
        How many.

    Returns
    -------
    list of int
        By log evidence; the most extreme first.
    """
    evidence = session.orientations["log_evidence"].to_numpy()
    known = np.flatnonzero(np.isfinite(evidence))
    order = known[np.argsort(evidence[known], kind="stable")]
    return [int(i) for i in (order[:n] if end == "worst" else order[::-1][:n])]


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Worst and best images that follow a session.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.particles(session)  # doctest: +SKIP
    """
    lowpass = slider(
        "Low-pass filter of the pictures (Å)",
        5.0,
        40.0,
        15.0,
        1.0,
        width=260,
        value_throttled=15.0,
    )

    def compute(session: Any, lowpass_A: float) -> dict[str, Any]:
        return {
            end: session.particle_pictures(ranked(session, end), lowpass_A=lowpass_A)
            for end in ENDS
        }

    found = Later(follow, compute, lowpass_A=lowpass.param.value_throttled)

    def pane(end: str) -> pn.viewable.Viewable:
        def draw(_: Any, found: dict[str, Any]) -> Chart:
            return plot(found[end], ENDS[end])

        return found.chart(draw, flex="none")

    return pn.Column(
        lowpass,
        found.pane(lambda: pn.Column(*map(pane, ENDS)), styles=style.SCROLLED),
        sizing_mode="stretch_width",
    )
