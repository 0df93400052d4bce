"""Power spectrum of the images against the model's, with the layer lines on top.

Images on the left of the meridian and the model on the right, on one scale: where they
differ, the map explains too little or too much. The lines are those that the selection
rule allows for the twist and rise of the sliders, starting at their first Bessel
maximum; a twist or rise that fits puts them on the bands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np
import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.fsc import resolution_ticks
from helixnb.dashboards.later import Later
from helixnb.dashboards.live import as_view, live_plot
from helixnb.dashboards.pictures import bounds_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from helixnb.dashboards.live import SessionView

MOST_ORDERS = 12
LABELLED_ORDERS = 4
TICK_PER_A = 0.012
WIDTH_PX, HEIGHT_PX = 460, 390
BRIGHTEST_QUANTILE = 0.993
EQUATOR_PX = 1.5


def plot(
    spectrum: xr.Dataset, lines: pd.DataFrame, *, title: str = "Layer lines"
) -> hv.Overlay:
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
    holoviews.Overlay
    """
    z = spectrum["axial_frequency"].to_numpy()
    r = spectrum["radial_frequency"].to_numpy()
    # Noise has power 1 in the images and none in the model.
    left = np.sqrt(np.maximum(spectrum["images"].to_numpy() - 1, 0))
    right = np.sqrt(spectrum["model"].to_numpy())
    both = np.where(r[None, :] < 0, left, right)
    off_equator = np.abs(z) > EQUATOR_PX * (z[1] - z[0])
    seen = both[off_equator]
    brightest = float(np.quantile(seen, BRIGHTEST_QUANTILE)) if seen.any() else 1.0
    edge, top = float(r[-1]), float(z[-1])
    dims = [hv.Dimension("R", unit="1/Å"), hv.Dimension("Z", unit="1/Å")]
    image = hv.Image(both[::-1], bounds=bounds_of(z, r), kdims=dims, vdims=["A"]).opts(
        cmap="gray", clim=(0, max(brightest, 1e-6))
    )
    ticks = [(0.0, "∞"), *resolution_ticks(top)]
    sides = [(-place, text) for place, text in reversed(resolution_ticks(edge))]
    return hv.Overlay(
        [
            image,
            hv.VLines([0.0]).opts(color=style.QUIET),
            *_drawn(lines),
        ]
    ).opts(
        title=title,
        xlabel="across, 1/R (Å): images left, model right",
        ylabel="along the axis, 1/Z (Å)",
        xticks=[*sides, *resolution_ticks(edge)],
        yticks=ticks,
        xlim=(-edge, edge),
        ylim=(0, top),
        fontsize=style.FONT_SIZES,
        frame_width=WIDTH_PX,
        frame_height=HEIGHT_PX,
        toolbar="above",
        show_legend=False,
        framewise=True,
    )


def _drawn(lines: pd.DataFrame) -> list[hv.Element]:
    """Ticks from the first maximum outward on both sides, with their order."""
    columns = ["order", "branch", "spacing_A"]
    rows = []
    marks = []
    line: dict[Any, Any]
    for line in lines.to_dict("records"):
        facts, z = [line[name] for name in columns], line["z_per_A"]
        for side in (-1, 1):
            start = side * line["first_maximum_per_A"]
            end = start + side * TICK_PER_A
            rows.append((start, z, end, z, *facts))
            if abs(line["order"]) <= LABELLED_ORDERS:
                marks.append((end, z, f"{line['order']:+d}"))
    segments = hv.Segments(rows, ["R", "Z", "R1", "Z1"], columns).opts(
        color="order",
        cmap="coolwarm",
        clim=(-MOST_ORDERS, MOST_ORDERS),
        line_width=2,
        tools=["hover"],
        hover_tooltips=[
            ("n", "@order"),
            ("m", "@branch"),
            ("1/Z", "@spacing_A{0.0} Å"),
        ],
    )
    labels = hv.Labels(marks, ["R", "Z"], "text").opts(
        text_font_size="7pt", text_color="#F0C000", text_baseline="bottom"
    )
    return [segments, labels]


def view(session: Any | SessionView) -> pn.viewable.Viewable:
    """Layer lines that follow a session, with sliders for twist and rise.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable
    """
    follow = as_view(session)
    target = follow.session
    used = target.state.parameters
    if used.symmetry is None:
        return pn.pane.HTML("No helical symmetry: no layer lines to expect.")
    rise_half = used.rise_A * used.rise_extent_percent / 100
    twist = _slider("Twist (°)", used.twist_deg, used.twist_extent_deg, 0.01)
    rise = _slider("Rise (Å)", used.rise_A, rise_half, 0.005)
    orders = pn.widgets.IntSlider(
        label="Orders |n| up to", start=0, end=MOST_ORDERS, value=6, width=170
    )
    use = pn.widgets.Button(label="Use for the next iteration", width=190)
    spectrum = Later(follow, lambda s: s.power_spectrum)

    def choose(_: Any) -> None:
        values = {"twist_deg": twist.value, "rise_A": rise.value}
        follow.attempt(lambda: target.parameters.set(**values))
        follow.changed()

    def back(change: Any) -> None:
        for widget, value in zip((twist, rise), change.new, strict=True):
            if np.isfinite(value):
                widget.value = min(max(value, widget.start), widget.end)

    use.on_click(choose)
    follow.param.watch(back, "next_symmetry")

    def draw(
        session: Any, found: xr.Dataset, twist_deg: float, rise_A: float, most: int
    ) -> hv.Overlay:
        lines = session.layer_lines(twist_deg=twist_deg, rise_A=rise_A, max_order=most)
        n = found.attrs["n_images"]
        return plot(found, lines, title=f"Layer lines: {n} images and the model")

    def build() -> pn.viewable.Viewable:
        plotted = live_plot(
            follow,
            draw,
            found=spectrum.param.value,
            twist_deg=twist,
            rise_A=rise,
            most=orders,
        )
        return pn.pane.HoloViews(plotted, linked_axes=False)

    return pn.Column(
        spectrum.pane(build, min_height=HEIGHT_PX, min_width=WIDTH_PX),
        pn.FlexBox(twist, rise, orders, use, align_items="center"),
        max_width=WIDTH_PX + 40,
    )


def _slider(label: str, middle: float, half: float, step: float) -> Any:
    return pn.widgets.FloatSlider(
        label=label,
        start=middle - half,
        end=middle + half,
        step=step,
        value=middle,
        format="0.000",
        width=200,
    )
