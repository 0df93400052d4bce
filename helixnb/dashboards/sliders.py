"""Sliders in the colours of the page."""

from __future__ import annotations

from typing import Any

import panel as pn

from helixnb.dashboards import style


def slider(
    label: str, start: float, end: float, value: float, step: float, **options: Any
) -> pn.widgets.FloatSlider:
    """Make a slider of a number.

    Parameters
    ----------
    label : str
        Quantity and unit.
    start, end, value, step : float
        Range, what it shows first, and by how much it moves.
    **options
        Of Panel's slider: width, format and so on.

    Returns
    -------
    panel.widgets.FloatSlider
    """
    return pn.widgets.FloatSlider(
        label=label,
        start=start,
        end=end,
        value=value,
        step=step,
        stylesheets=[style.SLIDER_CSS],
        **options,
    )
