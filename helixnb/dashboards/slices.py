"""Three orthogonal slices of the map or of one half.

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

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView

MAX_PIXELS = 512
"""Larger slices are averaged down: a screen shows no more."""

FRAME_PX = 210
CONTRAST_QUANTILE = 0.999
MAPS = {"Filtered map": None, "Half A": "A", "Half B": "B"}
PLANES = {"z": ("x", "y"), "y": ("x", "z"), "x": ("y", "z")}
"""Axis cut: horizontal and vertical axis of the slice."""


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
        Density over ``z``, ``y``, ``x`` in Angstrom.
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
    limit = contrast_limit(volume) if contrast is None else contrast
    return hv.Image(
        values[::-1],
        bounds=bounds,
        kdims=[hv.Dimension(axis, unit="Å") for axis in (horizontal, vertical)],
        vdims=["density"],
    ).opts(
        title=f"{horizontal}{vertical} at {across} = {float(plane[across]):.1f} Å",
        cmap=style.DENSITY_MAP,
        clim=(-limit, limit),
        tools=["hover"],
        fontsize=style.FONT_SIZES,
        frame_width=FRAME_PX,
        frame_height=FRAME_PX,
        toolbar=None,
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


def contrast_limit(volume: xr.DataArray) -> float:
    """Density that only one voxel in a thousand exceeds.

    Parameters
    ----------
    volume : xarray.DataArray
        Any map.

    Returns
    -------
    float
    """
    limit = float(np.quantile(np.abs(volume.to_numpy()), CONTRAST_QUANTILE))
    return limit if limit > 0 else 1.0


def chosen_map(session: Any, name: str) -> xr.DataArray:
    """Map of a session by the name shown to the user.

    Parameters
    ----------
    session : Session
        What is shown.
    name : str
        Key of `MAPS`.

    Returns
    -------
    xarray.DataArray
    """
    half = MAPS[name]
    chosen: xr.DataArray
    chosen = session.map if half is None else session.half_maps.sel(half=half)
    return chosen


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
        label="Map", options=list(MAPS), value="Filtered map", margin=(5, 10)
    )
    columns = (_slice_with_slider(follow, axis, choice) for axis in PLANES)
    return pn.Column(
        choice,
        pn.FlexBox(*columns, sizing_mode="stretch_width", gap="4px"),
        sizing_mode="stretch_width",
    )


def _slice_with_slider(
    follow: SessionView, axis: str, choice: pn.widgets.RadioButtonGroup
) -> pn.Column:
    """Slice across one axis above the slider that moves it."""
    coordinates = follow.session.map[axis].to_numpy()
    slider = pn.widgets.FloatSlider(
        label=f"{axis} (Å)",
        start=float(coordinates[0]),
        end=float(coordinates[-1]),
        step=float(coordinates[1] - coordinates[0]),
        value=0.0,
        format="0.0",
        width=FRAME_PX + 40,
    )

    def draw(session: Any, position_A: float, name: str) -> hv.Image:
        volume = chosen_map(session, name)
        return plot(volume, across=axis, position_A=position_A)

    plotted = live_plot(follow, draw, position_A=slider, name=choice)
    return pn.Column(pn.pane.HoloViews(plotted, linked_axes=False), slider)
