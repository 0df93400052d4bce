"""Sliders in the colours of the page."""

from __future__ import annotations

from typing import Any, ClassVar

import panel as pn

from helixnb.dashboards import style


class _Slider(pn.widgets.FloatSlider):
    """Panel's, handed on sooner.

    Panel waits for 50 ms for more changes; those that come while a picture is drawn
    wait anyway, and only the last of them is drawn next.
    """

    _debounce: ClassVar[int] = 10


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
    return _Slider(
        label=label,
        start=start,
        end=end,
        value=value,
        step=step,
        stylesheets=[style.SLIDER_CSS],
        **options,
    )
