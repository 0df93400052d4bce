"""Three orthogonal slices and the projection of a map, with the outlines of its masks.

Grey values are fixed and symmetric about zero, so that iterations and slices can be
compared; white is protein.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.live import as_view, live_plot
from helixnb.dashboards.pictures import picture
from helixnb.dashboards.volumes import VOLUMES, Volumes, contrast_limit

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView

MAX_PIXELS = 512
"""Larger slices are averaged down: a screen shows no more."""

FRAME_PX = 225
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
) -> hv.Image:
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

    Returns
    -------
    holoviews.Image
    """
    plane = volume.sel({across: position_A}, method="nearest")
    horizontal, vertical = PLANES[across]
    values, bounds = decimated(plane.transpose(vertical, horizontal))
    if volume.attrs.get("units") == "angstrom":
        colors: dict[str, Any] = {
            "cmap": "viridis_r",
            "clim": _resolution_limits(volume),
            "colorbar": True,
            "clabel": "Å",
            "clipping_colors": {"NaN": (0, 0, 0, 0)},
        }
    else:
        limit = contrast_limit(volume) if contrast is None else contrast
        colors = {"cmap": style.DENSITY_MAP, "clim": (-limit, limit)}
    return hv.Image(
        values[::-1],
        bounds=bounds,
        kdims=[hv.Dimension(axis, unit="Å") for axis in (horizontal, vertical)],
        vdims=["density"],
    ).opts(
        title=f"{horizontal}{vertical} at {across} = {float(plane[across]):.1f} Å",
        tools=["hover"],
        fontsize=style.FONT_SIZES,
        frame_width=FRAME_PX,
        frame_height=FRAME_PX,
        toolbar=None,
        **colors,
    )


def decimated(
    plane: xr.DataArray,
) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
    """Plane averaged over blocks until it has at most `MAX_PIXELS` on a side.

    Parameters
    ----------
    plane : xarray.DataArray
        Over (vertical, horizontal) in Angstrom, evenly spaced.

    Returns
    -------
    values : ndarray of float32, shape (vertical, horizontal)
    bounds : tuple of float
        Left, bottom, right and top edge in Angstrom.
    """
    block = -(-max(plane.shape) // MAX_PIXELS)
    trimmed = plane[tuple(slice(n - n % block) for n in plane.shape)]
    rows, columns = (n // block for n in trimmed.shape)
    values = trimmed.to_numpy().reshape(rows, block, columns, block).mean((1, 3))
    vertical, horizontal = (trimmed[d].to_numpy() for d in trimmed.dims)
    half = float(horizontal[1] - horizontal[0]) / 2
    bounds = (
        float(horizontal[0]) - half,
        float(vertical[0]) - half,
        float(horizontal[-1]) + half,
        float(vertical[-1]) + half,
    )
    return values.astype(np.float32), bounds


def _resolution_limits(volume: xr.DataArray) -> tuple[float, float]:
    known = volume.to_numpy()[np.isfinite(volume.to_numpy())]
    if not len(known):
        return 0.0, 1.0
    low, high = np.quantile(known, (0.02, 0.98))
    return float(low), float(max(high, low + 0.1))


def projection(volume: xr.DataArray) -> hv.Image:
    """Draw the sum of a map along y: what an untilted image would show.

    Parameters
    ----------
    volume : xarray.DataArray
        Density over ``z``, ``y``, ``x`` in Angstrom.

    Returns
    -------
    holoviews.Image
    """
    return picture(volume.sum("y"), "sum along y", frame_px=FRAME_PX)


def outlines(
    masks: xr.Dataset | None, across: str, position_A: float
) -> list[hv.Element]:
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
    list of holoviews.Element
        One for each of `OUTLINES`.
    """
    horizontal, vertical = PLANES[across]
    elements = []
    for name, (color, dash) in OUTLINES.items():
        paths: list[Any] = []
        if masks is not None and name in masks:
            plane = masks[name].sel({across: position_A}, method="nearest")
            paths = _contour(plane.transpose(vertical, horizontal))
        elements.append(
            hv.Path(paths, [horizontal, vertical], label=name).opts(
                color=color, line_dash=dash, line_width=1.4
            )
        )
    return elements


def _contour(plane: xr.DataArray) -> list[NDArray[np.float64]]:
    """Lines at one half, in the coordinates of the plane."""
    from contourpy import contour_generator

    vertical, horizontal = (plane[d].to_numpy() for d in plane.dims)
    lines = contour_generator(horizontal, vertical, plane.to_numpy()).lines(0.5)
    return [np.asarray(line) for line in lines]


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Slices that follow a session, with a slider for each and a choice of map.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    follow = as_view(session)
    choice = pn.widgets.RadioButtonGroup(
        label="Map", options=list(VOLUMES), margin=(5, 10)
    )
    gain = pn.widgets.FloatSlider(
        label="Contrast", start=0.3, end=3.0, step=0.1, value=1.0, width=150
    )
    # Off at first: masks that follow the density take seconds in large boxes.
    show = pn.widgets.Checkbox(label="Outlines of masks", margin=(20, 8))
    volumes = Volumes()
    columns = [
        _slice_with_slider(follow, volumes, axis, choice, gain, show) for axis in PLANES
    ]
    summed = live_plot(
        follow, lambda s, name: projection(volumes.volume(s, name)), name=choice
    )
    columns.append(pn.Column(pn.pane.HoloViews(summed, linked_axes=False)))
    return pn.Column(
        pn.FlexBox(choice, gain, show, align_items="center"),
        pn.Row(*columns),
        sizing_mode="stretch_width",
    )


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
    slider = pn.widgets.FloatSlider(
        label=f"{axis} (Å)",
        start=float(coordinates[0]),
        end=float(coordinates[-1]),
        step=float(coordinates[1] - coordinates[0]),
        value=0.0,
        format="0.0",
        width=FRAME_PX + 30,
    )

    def draw(
        session: Any, position_A: float, name: str, gain: float, outlined: bool
    ) -> hv.Overlay:
        volume = volumes.volume(session, name)
        image = plot(
            volume,
            across=axis,
            position_A=position_A,
            contrast=volumes.contrast(session, name) / gain,
        )
        masks = volumes.masks(session) if outlined else None
        return hv.Overlay([image, *outlines(masks, axis, position_A)]).opts(
            title=hv.Store.lookup_options("bokeh", image, "plot").kwargs["title"],
            show_legend=False,
            framewise=True,
        )

    plotted = live_plot(
        follow, draw, position_A=slider, name=choice, gain=gain, outlined=show
    )
    return pn.Column(pn.pane.HoloViews(plotted, linked_axes=False), slider)
