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
from helixnb.parameters.field import absence, meaning

if TYPE_CHECKING:
    from collections.abc import Callable

    from helixnb.dashboards.live import SessionView

UNIT_SUFFIXES = ("_deg", "_A", "_A2", "_percent")
SYMBOLS = {"deg": "°", "A": "Å", "A^2": "Å²", "%": "%"}
WORDS = {"fsc": "FSC", "sd": "s.d.", "nonuniform": "non-uniform"}
"""Parts of names that are read differently."""

SHORT = {"real_space_symmetry": "real_space_from"}
"""Names that would not fit above their field."""

OPEN_GROUP = "Helical symmetry"
WIDGET_PX = 152
GROUP_PX = 175
HELP_PX = 20
ECHO_SECONDS = 5.0
HEADING = {"font-size": "13px", "font-weight": "600", "white-space": "nowrap"}
GROUP_OF = {f.name: f.metadata["group"] for f in dataclasses.fields(Parameters)}


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
    >>> label_of("max_iterations", "iterations")
    'Max iterations'
    """
    for suffix in UNIT_SUFFIXES:
        name = name.removesuffix(suffix)
    name = SHORT.get(name, name)
    words = [WORDS.get(word, word) for word in name.split("_")]
    text = " ".join(words)
    text = text[:1].upper() + text[1:]
    # What is counted is in the name already.
    return f"{text} ({SYMBOLS[unit]})" if unit in SYMBOLS else text


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
    lines = [meaning(field)]
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
        return pn.widgets.Checkbox(**common | {"sizing_mode": None})
    common["description"] = help_of(field)
    if meta["choices"]:
        return pn.widgets.Select(options=list(meta["choices"]), **common)
    if "str" in kind:
        return pn.widgets.TextInput(**common)
    if "None" in kind:
        common["placeholder"] = absence(field)
    if "int" in kind:
        return pn.widgets.IntInput(step=1, **common)
    return pn.widgets.FloatInput(step=_step(field), format="0.[0000]", **common)


def _step(field: dataclasses.Field[Any]) -> float:
    """Increment of the arrows: fine for the symmetry, else a part of the range."""
    if field.metadata["group"] == "Helical symmetry":
        return 0.01
    return 0.05 if field.metadata["high"] <= 1 else 0.5


def _placed(
    widget: pn.widgets.Widget, field: dataclasses.Field[Any]
) -> pn.viewable.Viewable:
    """Widget with its help; that of a box to tick is beside it, level with fields."""
    if not isinstance(widget, pn.widgets.Checkbox):
        return widget
    meaning = pn.widgets.TooltipIcon(value=help_of(field), width=HELP_PX, margin=0)
    return pn.Row(widget, meaning, margin=(22, 0, 0, 0), align="start")


def _in_columns(placed: list[pn.viewable.Viewable], least_px: int) -> pn.Column:
    """Lay out in columns of one width, as many as the page is wide."""
    columns = f"repeat(auto-fill, minmax({least_px}px, 1fr))"
    grid = {"display": "grid", "grid-template-columns": columns}
    inner = pn.Column(*placed, sizing_mode="stretch_width", styles=grid)
    # What folds away sets how its content is displayed: not the grid itself.
    return pn.Column(inner, sizing_mode="stretch_width")


def _card(title: str, placed: list[pn.viewable.Viewable]) -> pn.Card:
    """Group of parameters, folded away until wanted; open, it takes the whole row."""
    look = {"border": "1px solid var(--hx-grid)", "box-shadow": "none"}
    folded = look | {"flex": f"0 1 {8 * len(title) + 56}px"}
    card = pn.Card(
        header=pn.pane.HTML(title, styles=HEADING),
        collapsed=True,
        margin=3,
        header_background="var(--hx-panel)",
        header_color="var(--hx-ink)",
        sizing_mode="stretch_width",
        styles=folded,
    )

    def widen(change: Any) -> None:
        if not len(card):
            # Not before: with all groups the page takes a third longer to appear.
            card.append(_in_columns(placed, GROUP_PX))
        card.styles = folded if change.new else look | {"flex": "1 1 100%"}

    card.param.watch(widen, "collapsed")
    return card


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
        groups: dict[str, list[pn.viewable.Viewable]] = {}
        for field in dataclasses.fields(Parameters):
            widget = make_widget(field, getattr(self._session.parameters, field.name))
            widget.stylesheets = [style.WIDGET_CSS]
            widget.param.watch(self._setter(field.name), "value")
            self.widgets[field.name] = widget
            groups.setdefault(field.metadata["group"], []).append(
                _placed(widget, field)
            )
        first = groups.pop(OPEN_GROUP)
        self._cards = {title: _card(title, group) for title, group in groups.items()}
        self.layout = pn.Column(
            _in_columns(first, WIDGET_PX),
            pn.FlexBox(
                *self._cards.values(),
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
                # Echoes come before what is entered after them.
                self._shown.pop(name, None)
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
                _put(widget, "css_classes", ["hx-changed"] if name in marked else [])
            edited = {GROUP_OF[name] for name in marked}
            for title, card in self._cards.items():
                # Not header_color: for that the whole card is laid out again.
                ink = "edited" if title in edited else "ink"
                _put(card.header, "styles", HEADING | {"color": f"var(--hx-{ink})"})
        finally:
            self._refreshing_thread = 0


def _put(target: Any, name: str, value: Any) -> None:
    """Set what is not so already: Panel takes its time for that, too."""
    if getattr(target, name) != value:
        setattr(target, name, value)
