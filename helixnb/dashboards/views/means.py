"""Images averaged like classes, beside the projection of the map they should show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards.later import Later
from helixnb.dashboards.pictures import picture
from helixnb.dashboards.sliders import slider
from helixnb.dashboards.stand_alone import stand_alone

if TYPE_CHECKING:
    import xarray as xr

    from helixnb.dashboards.chart import Chart
    from helixnb.dashboards.live import SessionView

TITLES = {"images": "Mean of {n} images", "model": "Projection of the model"}
FRAME_PX = 225


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Image means that follow a session, with a slider for the direction of view.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.means(session)  # doctest: +SKIP
    """
    imposed = follow.session.state.symmetry
    period = 360.0 / imposed.cyclic if imposed else 360.0
    azimuth = slider("Seen from azimuth (°)", 0.0, period, 0.0, 1.0, width=FRAME_PX)
    found = Later(
        follow,
        lambda s, azimuth_deg: s.image_mean(azimuth_deg),
        azimuth_deg=azimuth,
    )

    def pane(name: str) -> pn.viewable.Viewable:
        def draw(_: Any, found: xr.Dataset) -> Chart:
            title = TITLES[name].format(n=found.attrs["n_images"])
            return picture(found[name], title, frame_px=FRAME_PX)

        return found.chart(draw, flex="none")

    return pn.Column(found.pane(lambda: pn.Row(*map(pane, TITLES))), azimuth)
