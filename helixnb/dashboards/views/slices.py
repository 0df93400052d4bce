"""Three orthogonal slices and the projection of a map, with the outlines of its masks.

Grey values are fixed and symmetric about zero, so that iterations and slices can be
compared; white is protein.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.chart import (
    Axis,
    Chart,
    Colors,
    Layer,
    image,
    paths,
)
from helixnb.dashboards.live import live_chart
from helixnb.dashboards.pictures import decimated, picture
from helixnb.dashboards.sliders import slider
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.volumes import VOLUMES, Volumes, contrast_limit

if TYPE_CHECKING:
    import xarray as xr

    from helixnb.dashboards.live import SessionView

FRAME_PX = 186
AXIS_PX = 72
"""What the labels left of a frame take, so that sliders lie below it."""

PLANES = {"z": ("x", "y"), "y": ("x", "z"), "x": ("y", "z")}
"""Axis cut: horizontal and vertical axis of the slice."""

OUTLINES = {
    "refinement": ("#56B4E9", "dashed"),
    "fsc": ("#E69F00", "dotted"),
    "tight": ("#CC79A7", "dotted"),
}


def plot(
    volume: xr.DataArray,
    *,
    across: str = "z",
    position_A: float = 0.0,
    contrast: float | None = None,
    masks: xr.Dataset | None = None,
) -> Chart:
    """Draw one slice.

    Parameters
    ----------
    volume : xarray.DataArray
        Density over ``z``, ``y``, ``x`` in Angstrom; a quantity with units in
        Angstrom, such as local resolution, is drawn in colour.
    across : str
        Axis that the slice is perpendicular to.
    position_A : float
        Where on that axis, in Angstrom; the nearest plane is shown.
    contrast : float, optional
        Density shown white, its negative black; by default from the volume.
    masks : xarray.Dataset, optional
        Over ``z``, ``y``, ``x``; outlined where they are at half their height.

    Returns
    -------
    Chart
        The first layer is the slice.
    """
    plane = volume.sel({across: position_A}, method="nearest")
    horizontal, vertical = PLANES[across]
    title = f"{horizontal}{vertical} at {across} = {float(plane[across]):.1f} Å"
    values, bounds = decimated(plane.transpose(vertical, horizontal))
    if volume.attrs.get("units") == "angstrom":
        colors = Colors(style.RESOLUTION_MAP, _resolution_limits(volume), bar="")
        title += ": resolution (Å)"
    else:
        limit = contrast_limit(volume) if contrast is None else contrast
        colors = Colors(style.DENSITY_MAP, (-limit, limit))
    hover = (
        (horizontal, "$x{0.0} Å"),
        (vertical, "$y{0.0} Å"),
        ("value", "@image{0.000}"),
    )
    return Chart(
        [image(values, bounds, hover), *outlines(masks, across, position_A)],
        title,
        x=Axis(f"{horizontal} (Å)", (bounds[0], bounds[2])),
        y=Axis(f"{vertical} (Å)", (bounds[1], bounds[3])),
        colors=colors,
        size={"frame_width": FRAME_PX, "frame_height": FRAME_PX},
    )


def _resolution_limits(volume: xr.DataArray) -> tuple[float, float]:
    known = volume.to_numpy()[np.isfinite(volume.to_numpy())]
    if not len(known):
        return 0.0, 1.0
    # The coarsest stands for nothing resolved, as outside of the filament.
    resolved = known[known < known.max()]
    known = resolved if len(resolved) else known
    low, high = np.quantile(known, (0.02, 0.98))
    return float(low), float(max(high, low + 0.1))


def projection(volume: xr.DataArray) -> Chart:
    """Draw the sum of a map along y: what an untilted image would show.

    Parameters
    ----------
    volume : xarray.DataArray
        Density over ``z``, ``y``, ``x`` in Angstrom.

    Returns
    -------
    Chart
    """
    return picture(volume.sum("y"), "Sum along y", frame_px=FRAME_PX)


def outlines(masks: xr.Dataset | None, across: str, position_A: float) -> list[Layer]:
    """Draw where masks are at half their height.

    Parameters
    ----------
    masks : xarray.Dataset or None
        Over ``z``, ``y``, ``x``; None draws nothing, in as many elements.
    across : str
        Axis that the slice is perpendicular to.
    position_A : float
        Where on that axis.

    Returns
    -------
    list of Layer
        One for each of `OUTLINES`.
    """
    horizontal, vertical = PLANES[across]
    layers = []
    for name, (color, dash) in OUTLINES.items():
        lines: list[Any] = []
        if masks is not None and name in masks:
            plane = masks[name].sel({across: position_A}, method="nearest")
            lines = _contour(plane.transpose(vertical, horizontal))
        layers.append(
            paths(lines, name, line_color=color, line_dash=dash, line_width=1.4)
        )
    return layers


def _contour(plane: xr.DataArray) -> list[tuple[Any, Any]]:
    """Lines at one half, in the coordinates of the plane."""
    from contourpy import contour_generator

    vertical, horizontal = (plane[d].to_numpy() for d in plane.dims)
    lines = contour_generator(horizontal, vertical, plane.to_numpy()).lines(0.5)
    return [(line[:, 0], line[:, 1]) for line in map(np.asarray, lines)]


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Slices that follow a session, with a slider for each and a choice of map.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.slices(session)  # doctest: +SKIP
    """
    choice = pn.widgets.RadioButtonGroup(
        label="Map",
        options=list(VOLUMES),
        margin=(5, 10),
        stylesheets=[style.CHOICE_CSS],
    )
    gain = slider("Contrast", 0.3, 3.0, 1.0, 0.1, width=150)
    # Off at first: masks that follow the density take seconds in large boxes.
    show = pn.widgets.Checkbox(label="Outlines of masks", margin=(20, 8))
    volumes = Volumes()
    columns: list[Any] = [
        _slice_with_slider(follow, volumes, axis, choice, gain, show) for axis in PLANES
    ]
    columns.append(
        live_chart(
            follow,
            lambda s, name: _summed(volumes, s, name),
            flex="none",
            name=choice,
        )
    )
    return pn.Column(
        pn.FlexBox(choice, gain, show, align_items="center"),
        pn.Row(*columns, sizing_mode="stretch_width", styles=style.WRAPPED),
        sizing_mode="stretch_width",
    )


def _summed(volumes: Volumes, session: Any, name: str) -> Chart:
    """Sum of the map that is chosen; of the filtered one where a sum tells nothing."""
    volume = volumes.volume(session, name)
    if volume.attrs.get("units") == "angstrom":
        volume = volumes.volume(session, next(iter(VOLUMES)))
    return projection(volume)


def _slice_with_slider(
    follow: SessionView,
    volumes: Volumes,
    axis: str,
    choice: pn.widgets.RadioButtonGroup,
    gain: pn.widgets.FloatSlider,
    show: pn.widgets.Checkbox,
) -> pn.Column:
    """Slice across one axis above the slider that moves it."""
    coordinates = volumes.volume(follow.session, choice.value)[axis].to_numpy()
    position = slider(
        f"{axis} (Å)",
        float(coordinates[0]),
        float(coordinates[-1]),
        0.0,
        float(coordinates[1] - coordinates[0]),
        format="0.0",
        width=FRAME_PX,
        margin=(0, 0, 10, AXIS_PX),
    )

    def draw(
        session: Any, position_A: float, name: str, gain: float, outlined: bool
    ) -> Chart:
        return plot(
            volumes.volume(session, name),
            across=axis,
            position_A=position_A,
            contrast=volumes.contrast(session, name) / gain,
            masks=volumes.masks(session) if outlined else None,
        )

    drawn = live_chart(
        follow,
        draw,
        flex="none",
        position_A=position,
        name=choice,
        gain=gain,
        outlined=show,
    )
    return pn.Column(drawn, position)
