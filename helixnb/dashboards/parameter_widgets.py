"""One widget for each parameter, made from its metadata and kept equal to the session.

An edited value is marked until an iteration has used it.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards import style
from helixnb.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from helixnb.dashboards.live import SessionView

UNIT_SUFFIXES = ("_deg", "_A", "_percent")
SYMBOLS = {"deg": "°", "A": "Å"}
OPEN_GROUP = "Helical symmetry"
WIDGET_PX = 140
GROUP_PX = 100
ECHO_SECONDS = 5.0


def label_of(name: str, unit: str) -> str:
    """Name of a parameter as it is read on screen.

    Parameters
    ----------
    name, unit : str
        As in `Parameters`.

    Returns
    -------
    str

    Examples
    --------
    >>> label_of("rise_extent_percent", "%")
    'Rise extent (%)'
    """
    for suffix in UNIT_SUFFIXES:
        name = name.removesuffix(suffix)
    words = name.replace("_", " ")
    text = words[:1].upper() + words[1:]
    return f"{text} ({SYMBOLS.get(unit, unit)})" if unit else text


def help_of(field: dataclasses.Field[Any]) -> str:
    """Meaning, range and other programs' names of a parameter.

    Parameters
    ----------
    field : dataclasses.Field
        Of `Parameters`.

    Returns
    -------
    str
    """
    meta = field.metadata
    lines = [meta["doc"]]
    if meta["low"] is not None:
        unit = SYMBOLS.get(meta["unit"], meta["unit"])
        lines.append(f"Range: {meta['low']:g} to {meta['high']:g} {unit}".rstrip())
    lines.append(f"Change it: {meta['when'][0].lower()}{meta['when'][1:]}")
    lines.append(f"In Python: session.parameters.{field.name}")
    if meta["cryosparc"]:
        lines.append(f"CryoSPARC: {meta['cryosparc']}")
    if meta["relion"]:
        lines.append(f"RELION: {meta['relion']}")
    return "\n\n".join(lines)


def make_widget(field: dataclasses.Field[Any], value: Any) -> pn.widgets.Widget:
    """Widget of one parameter.

    Parameters
    ----------
    field : dataclasses.Field
        Of `Parameters`.
    value
        Shown first.

    Returns
    -------
    panel.widgets.Widget
        An empty number stands for None.
    """
    meta, kind = field.metadata, str(field.type)
    common: dict[str, Any] = {
        "label": label_of(field.name, meta["unit"]),
        "value": value,
        "margin": (2, 6),
        "sizing_mode": "stretch_width",
    }
    if "bool" in kind:
        return pn.widgets.Checkbox(**common)
    common["description"] = help_of(field)
    if meta["choices"]:
        return pn.widgets.Select(options=list(meta["choices"]), **common)
    if "str" in kind:
        return pn.widgets.TextInput(**common)
    if "None" in kind:
        common["placeholder"] = "automatic"
    if "int" in kind:
        return pn.widgets.IntInput(step=1, **common)
    return pn.widgets.FloatInput(step=_step(field), format="0.[0000]", **common)


def _step(field: dataclasses.Field[Any]) -> float:
    """Increment of the arrows: fine for the symmetry, else a part of the range."""
    if field.metadata["group"] == "Helical symmetry":
        return 0.01
    return 0.05 if field.metadata["high"] <= 1 else 0.5


def _in_a_row(least_px: int) -> dict[str, Any]:
    """Layout of something that shares a row and wraps when the page is narrow."""
    return {
        "sizing_mode": "stretch_width",
        "min_width": least_px,
        "styles": {"flex": f"1 1 {least_px}px"},
    }


def _card(title: str, widgets: list[pn.widgets.Widget]) -> pn.Card:
    """Group of parameters, folded away until wanted."""
    row = _in_a_row(GROUP_PX)
    row["styles"] = {
        "flex": f"1 1 {8 * len(title) + 52}px",
        "border": "1px solid var(--hx-grid)",
        "box-shadow": "none",
    }
    text = {"font-size": "13px", "font-weight": "600", "white-space": "nowrap"}
    return pn.Card(
        *widgets,
        header=pn.pane.HTML(title, styles=text),
        collapsed=True,
        margin=3,
        header_background="var(--hx-panel)",
        header_color="var(--hx-ink)",
        **row,
    )


class ParameterWidgets:
    """All parameter widgets: the first group in a row, the others folded below it.

    Parameters
    ----------
    follow : SessionView
        What is shown.

    Attributes
    ----------
    widgets : dict of str to panel.widgets.Widget
        By name of the parameter.
    layout : panel.Column
    """

    def __init__(self, follow: SessionView) -> None:
        self._follow = follow
        self._session = follow.session
        self._refreshing_thread = 0
        self._shown: dict[str, dict[Any, float]] = {}
        self.widgets: dict[str, pn.widgets.Widget] = {}
        groups: dict[str, list[pn.widgets.Widget]] = {}
        for field in dataclasses.fields(Parameters):
            widget = make_widget(field, getattr(self._session.parameters, field.name))
            widget.stylesheets = [style.WIDGET_CSS]
            widget.param.watch(self._setter(field.name), "value")
            self.widgets[field.name] = widget
            groups.setdefault(field.metadata["group"], []).append(widget)
        first = groups.pop(OPEN_GROUP)
        for widget in first:
            widget.param.update(**_in_a_row(WIDGET_PX))
        self.layout = pn.Column(
            pn.FlexBox(*first, sizing_mode="stretch_width"),
            pn.FlexBox(
                *(_card(*group) for group in groups.items()),
                sizing_mode="stretch_width",
                align_items="flex-start",
            ),
            sizing_mode="stretch_width",
        )
        follow.param.watch(lambda _: self.refresh(), "event")
        self.refresh()

    def _setter(self, name: str) -> Callable[[Any], None]:
        """Make the callback that gives a widget's value to the session."""

        def on_value(change: Any) -> None:
            if threading.get_ident() == self._refreshing_thread:
                return
            if not self._is_echo(name, change.new):
                self._follow.attempt(
                    lambda: setattr(self._session.parameters, name, change.new)
                )
            self._follow.changed()

        return on_value

    def _is_echo(self, name: str, value: Any) -> bool:
        """Whether a page repeats, late, what an iteration put there before."""
        shown = self._shown.get(name, {}).get(value, -math.inf)
        return time.monotonic() - shown < ECHO_SECONDS

    def refresh(self) -> None:
        """Show the session's values and mark those edited."""
        marked = self._session.parameters.changes
        # Only this thread's changes come from the session: a user may be typing.
        self._refreshing_thread = threading.get_ident()
        try:
            for name, widget in self.widgets.items():
                value = getattr(self._session.parameters, name)
                if widget.value != value:
                    self._shown.setdefault(name, {})[value] = time.monotonic()
                    widget.value = value
                widget.css_classes = ["hx-changed"] if name in marked else []
        finally:
            self._refreshing_thread = 0
