"""Power spectrum of the images against the model's, with the layer lines on top.

Images on the left of the meridian and the model on the right, on one scale: where they
differ, the map explains too little or too much. The lines are those that the selection
rule allows for the twist and rise of the sliders, starting at their first Bessel
maximum; a twist or rise that fits puts them on the bands.
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
    bounds_of,
    image,
    texts,
    upright,
)
from helixnb.dashboards.later import Later
from helixnb.dashboards.sliders import slider
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.dashboards.views import score_map
from helixnb.dashboards.views.fsc import resolution_ticks
from helixnb.inspection.spectra import above_noise

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from helixnb.dashboards.live import SessionView

MOST_ORDERS = 12
TICK_PER_A = 0.009
LABEL_ROOM = 0.032
"""Height of a label, as a part of the axis."""

WIDTH_PX, HEIGHT_PX = 400, 360
BRIGHTEST_QUANTILE = 0.975
EQUATOR_PX = 1.5


def plot(
    spectrum: xr.Dataset, lines: pd.DataFrame, *, title: str = "Layer lines"
) -> Chart:
    """Draw spectra of images (left) and model (right) under the allowed lines.

    Parameters
    ----------
    spectrum : xarray.Dataset
        ``images`` and ``model`` over ``axial_frequency`` and ``radial_frequency`` in
        1/A, in units of the noise power.
    lines : pandas.DataFrame
        ``order``, ``branch``, ``z_per_A``, ``spacing_A`` and ``first_maximum_per_A``.
    title : str
        Above the plot.

    Returns
    -------
    Chart
    """
    z = spectrum["axial_frequency"].to_numpy()
    r = spectrum["radial_frequency"].to_numpy()
    seen = above_noise(spectrum)
    left, right = seen["images"].to_numpy(), seen["model"].to_numpy()
    both = np.where(r < 0, left, right)
    off_equator = np.abs(z) > EQUATOR_PX * (z[1] - z[0])
    lines_only = both[off_equator]
    brightest = float(np.quantile(lines_only, BRIGHTEST_QUANTILE))
    edge, top = float(r[-1]), float(z[-1])
    axial, radial = spectrum["axial_frequency"], spectrum["radial_frequency"]
    # Both sides share the axis, and leave room about the meridian.
    sides = tuple(t for t in resolution_ticks(2 * edge) if 0.1 * edge < t[0] <= edge)
    left_sides = tuple((-place, text) for place, text in reversed(sides))
    hover = (
        ("R, Z", "$x{0.0000}, $y{0.0000} 1/Å"),
        ("amplitude over noise", "@image{0.00}"),
    )
    return Chart(
        [
            image(both, bounds_of(axial, radial), hover),
            upright([0.0], line_color=style.QUIET),
            *_drawn(lines, edge, top),
        ],
        title,
        x=Axis(
            "across, 1/R (Å): images left, model right",
            (-edge, edge),
            (*left_sides, *sides),
        ),
        y=Axis(
            "along the axis, 1/Z (Å)",
            (0.0, top),
            ((0.0, "∞"), *resolution_ticks(top)),
        ),
        colors=Colors(style.DENSITY_MAP, (0.0, max(brightest, 1e-6))),
        size={"frame_width": WIDTH_PX, "frame_height": HEIGHT_PX},
        tools=True,
    )


def _drawn(lines: pd.DataFrame, edge: float, top: float) -> list[Layer]:
    """Ticks from the first maximum outward on both sides; orders at the right edge."""
    both = lines.loc[lines.index.repeat(2)]
    side = np.tile([-1.0, 1.0], len(lines))
    start = side * both["first_maximum_per_A"].to_numpy()
    z, order = both["z_per_A"].to_numpy(), both["order"].to_numpy(int)
    columns = {
        "x0": start,
        "y0": z,
        "x1": start + side * TICK_PER_A,
        "y1": z,
        "order": order,
        "branch": both["branch"].to_numpy(),
        "spacing_A": both["spacing_A"].to_numpy(),
        "color": [style.ORDER_MAP[n + MOST_ORDERS] for n in order],
    }
    look = {"line_color": "color", "line_width": 2}
    hover = (("n", "@order"), ("m", "@branch"), ("1/Z", "@spacing_A{0.0} Å"))
    named = lines[labelled(lines, top)]
    orders = named["order"].to_numpy(int)
    marks = texts(
        np.full(len(named), 0.985 * edge),
        named["z_per_A"].to_numpy(),
        [f"{n:+d}" if n else "0" for n in orders],
        more={"color": [style.ORDER_MAP[n + MOST_ORDERS] for n in orders]},
        text_font_size="7.5pt",
        text_color="color",
        text_align="right",
        text_baseline="middle",
    )
    return [Layer("segment", columns, look, hover=hover), marks]


def labelled(lines: pd.DataFrame, top: float) -> NDArray[np.bool_]:
    """Choose the layer lines whose order is written: those with room around them.

    Parameters
    ----------
    lines : pandas.DataFrame
        As for `plot`.
    top : float
        End of the axis in 1/A.

    Returns
    -------
    ndarray of bool, shape (lines,)
        Low orders come first, and low resolution among them; what the frame would cut
        is left out.
    """
    z, order = lines["z_per_A"].to_numpy(), lines["order"].to_numpy(int)
    room = LABEL_ROOM * top
    mask = np.zeros(len(lines), bool)
    for i in np.lexsort((z, np.abs(order))):
        is_whole = room / 2 < z[i] < top - room / 2
        mask[i] = is_whole and not (np.abs(z[mask] - z[i]) < room).any()
    return mask


@stand_alone()
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Layer lines that follow a session, with sliders for twist and rise.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.layer_lines(session)  # doctest: +SKIP
    """
    target = follow.session
    used = target.state.parameters
    if used.symmetry is None:
        return pn.pane.HTML("No helical symmetry: no layer lines to expect.")
    rise_half = used.rise_A * used.rise_extent_percent / 100
    twist = _slider("Twist (°)", used.twist_deg, used.twist_extent_deg, 0.01)
    rise = _slider("Rise (Å)", used.rise_A, rise_half, 0.005)
    orders = slider("Orders |n| up to", 0, MOST_ORDERS, 6, 1, format="0", width=170)
    use = pn.widgets.Button(label="Use for the next iteration", width=190)
    spectrum = Later(follow, lambda s: s.power_spectrum)

    def choose(_: Any) -> None:
        score_map.choose(follow, twist.value, rise.value)

    def back(*_: Any) -> None:
        for widget, value in zip((twist, rise), follow.next_symmetry, strict=True):
            if np.isfinite(value):
                ends = {
                    "start": min(widget.start, value),
                    "end": max(widget.end, value),
                }
                widget.param.update(value=value, **ends)

    use.on_click(choose)
    follow.param.watch(back, "next_symmetry")
    back()

    def draw(
        session: Any, found: xr.Dataset, twist_deg: float, rise_A: float, most: float
    ) -> Chart:
        lines = session.layer_lines(
            twist_deg=twist_deg, rise_A=rise_A, max_order=int(most)
        )
        n = found.attrs["n_images"]
        return plot(found, lines, title=f"Layer lines: {n} images and the model")

    def build() -> pn.viewable.Viewable:
        return spectrum.chart(
            draw, flex="none", twist_deg=twist, rise_A=rise, most=orders
        )

    return pn.Column(
        spectrum.pane(build, min_height=HEIGHT_PX, min_width=WIDTH_PX),
        pn.FlexBox(twist, rise, orders, use, align_items="center"),
        width=WIDTH_PX + 100,
    )


def _slider(label: str, middle: float, half: float, step: float) -> Any:
    return slider(
        label, middle - half, middle + half, middle, step, format="0.000", width=200
    )
