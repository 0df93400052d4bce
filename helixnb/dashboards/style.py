"""Colours and fonts of the dashboards, light and dark, and how rows meet a narrow page.

Line colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), the blue a
little lighter so that it reads on both grounds; they stay apart for colour-blind
readers. Colour maps are perceptually uniform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bokeh.palettes import (
    Blues256,
    Oranges256,
    cividis,
    diverging_palette,
    gray,
    viridis,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

CORRECTED = "#1A85CC"
MASKED = "#009E73"
LOOSE = "#CC79A7"
TIGHT = "#D55E00"
UNMASKED = "#56B4E9"
RANDOMISED = "#E69F00"
EARLIER = "#9AA5B1"
OTHERS = ("#CC79A7", "#D55E00", "#A6761D", "#7570B3", "#5F9E6E", "#888888")
"""For curves that a view does not know by name."""

HALF_A = "#E69F00"
HALF_B = "#CC79A7"
JOINT = "#1A85CC"
NEXT = "#D55E00"
CANDIDATE = "#F0E442"
OUTLIER = "#D55E00"

QUIET = "#7C8694"
"""Reads on both grounds."""

DENSITY_MAP = gray(256)
SCORE_MAP = viridis(256)
RESOLUTION_MAP = viridis(256)[::-1]
COUNT_MAP = cividis(256)
SURFACE_MAP = [
    f"#{int(16 + 206 * t):02x}{int(30 + 203 * t):02x}{int(48 + 200 * t**0.9):02x}"
    for t in (i / 63 for i in range(64))
]

ORDER_MAP = diverging_palette(Blues256[60:], Oranges256[60:], 25)
"""Bessel orders from -12 to 12."""

NO_WIDER = {"min-width": "0", "max-width": "100%"}
"""What is too wide does not widen what is above and below it."""

WRAPPED = {"flex-wrap": "wrap", **NO_WIDER}
"""A row goes on below where not all of it fits, as in a notebook beside its files."""

SCROLLED = {"overflow-x": "auto", **NO_WIDER}
"""Pictures that belong side by side are moved under a bar of their own."""

TITLE_SIZE, LABEL_SIZE, TICK_SIZE = "10.5pt", "9pt", "8pt"


@dataclass(frozen=True)
class Theme:
    """Colours of a page.

    Parameters
    ----------
    page, panel : str
        Ground of the page, and of boxes on it.
    plot : str
        Ground of plots.
    ink, grid : str
        Text, and thin lines.
    line, handle : str
        Edges of fields and sliders, and what is taken hold of.
    error, edited, flag : tuple of str
        Text and ground of messages.
    """

    page: str
    panel: str
    plot: str
    ink: str
    grid: str
    line: str
    handle: str
    error: tuple[str, str]
    edited: tuple[str, str]
    flag: tuple[str, str]

    @property
    def variables(self) -> dict[str, str]:
        """CSS variables of the page, which widgets inherit."""
        ours = {
            "page": self.page,
            "panel": self.panel,
            "ink": self.ink,
            "grid": self.grid,
            "line": self.line,
            "handle": self.handle,
            "accent": JOINT,
            "error": self.error[0],
            "error-ground": self.error[1],
            "edited": self.edited[0],
            "edited-ground": self.edited[1],
            "flag": self.flag[0],
            "flag-ground": self.flag[1],
        }
        panels = {
            "--design-background-color": self.page,
            "--design-background-text-color": self.ink,
            "--design-surface-color": self.panel,
            "--design-surface-text-color": self.ink,
            "--text-color": self.ink,
            "color": self.ink,
            "background": self.page,
        }
        return {f"--hx-{name}": color for name, color in ours.items()} | panels


THEMES = {
    "light": Theme(
        page="#FFFFFF",
        panel="#F3F4F6",
        plot="#FFFFFF",
        ink="#2B2F36",
        grid="#E5E7EB",
        line="#C3C9D1",
        handle="#FFFFFF",
        error=("#B3261E", "#FDECEA"),
        edited=("#B84A00", "#FFF6F0"),
        flag=("#7A4B00", "#FFF7E0"),
    ),
    "dark": Theme(
        page="#1B1F24",
        panel="#262B32",
        plot="#22272D",
        ink="#E2E6EA",
        grid="#3A414A",
        line="#555E69",
        handle="#AEB6C0",
        error=("#FFB4AB", "#4A1F1C"),
        edited=("#FFB68A", "#43291A"),
        flag=("#F2CF87", "#3B3018"),
    ),
}

WIDGET_CSS = """
:host { --color: var(--hx-ink); }
label { font-size: 12px; }
.bk-input { border-color: var(--hx-line); }
select.bk-input:not([size]) {
  background-image: url('data:image/svg+xml;utf8,<svg viewBox="0 0 25 20" \
xmlns="http://www.w3.org/2000/svg"><path d="M 0,0 25,0 12.5,20 Z" \
fill="%237C8694"/></svg>');
}
:host(.hx-changed) .bk-input {
  border-color: var(--hx-edited); background: var(--hx-edited-ground);
  box-shadow: 0 0 0 1px var(--hx-edited);
}
:host(.hx-changed) { --color: var(--hx-edited); }
:host(.hx-changed) label { color: var(--hx-edited); font-weight: 600; }
"""
"""For a parameter, marked while it is changed and not yet used."""

SLIDER_CSS = """
.noUi-target {
  background: var(--hx-panel); border-color: var(--hx-line); box-shadow: none;
}
.noUi-connect { background: var(--hx-accent) !important; }
.noUi-handle {
  background: var(--hx-handle); border-color: var(--hx-line); box-shadow: none;
}
"""
"""For sliders, whose own colours are for white pages."""

TOOLBAR_CSS = """
.bk-divider { background-color: var(--hx-grid, #E5E7EB); }
@media print { :host { visibility: hidden; } }
"""
"""For the lines between the tools of a plot, which paper does without."""

FIGURE_CSS = """
.bk-Canvas { --outline-style: solid; --highlight-color: var(--hx-line, #C3C9D1); }
"""
"""For the frame of a plot that was clicked at."""

CHOICE_CSS = """
.bk-btn:focus:not(:focus-visible) { outline: none; }
.bk-btn.bk-active {
  font-weight: 600 !important; color: var(--hx-ink) !important;
  background: var(--hx-grid) !important;
  box-shadow: inset 0 -3px 0 var(--hx-accent) !important;
}
"""
"""For tabs and other choices."""

TABLE_CSS = """
table { border-collapse: collapse; font-size: 12.5px; }
th, td { text-align: right; padding: 2px 9px; border-bottom: 1px solid var(--hx-grid); }
td:first-child { text-align: left; }
"""

ROWS_CSS = """
pre, .bk-btn { font: 12px/1.4 ui-monospace, monospace; white-space: pre; margin: 0; }
pre { padding: 0 9px; }
.bk-btn { text-align: left; padding: 2px 8px; border-radius: 0; }
"""
"""For a table of which each row is a button."""

HEADLINE_CSS = """
:host { font-size: 14px; color: var(--hx-ink); }
p { margin: 0; }
"""


def ground(name: str) -> dict[str, str]:
    """CSS of a page in a theme.

    Parameters
    ----------
    name : str
        Key of `THEMES`.

    Returns
    -------
    dict of str to str
    """
    # The browser draws boxes to tick, arrows and scroll bars by its own scheme.
    layout = {"padding": "4px", "border-radius": "4px", "color-scheme": name}
    return THEMES[name].variables | layout


def dress(figure: Any, theme: Theme) -> None:
    """Colour a figure's ground, text and lines.

    Parameters
    ----------
    figure : bokeh.plotting.figure
        As drawn.
    theme : Theme
        Its colours.
    """
    figure.update(
        background_fill_color=theme.plot,
        border_fill_color=None,  # the page's: a colour stays at the edges when changed
        outline_line_color=theme.grid,
    )
    figure.title.update(text_color=theme.ink, text_font_size=TITLE_SIZE)
    for axis in figure.axis:
        axis.update(
            axis_label_text_color=theme.ink,
            axis_label_text_font_size=LABEL_SIZE,
            axis_label_text_font_style="normal",
            major_label_text_color=theme.ink,
            major_label_text_font_size=TICK_SIZE,
            axis_line_color=QUIET,
            major_tick_line_color=QUIET,
            minor_tick_line_color=None,
        )
    for grid in figure.grid:
        grid.grid_line_color = theme.grid
    for legend in figure.legend:
        legend.update(
            background_fill_color=theme.page,
            label_text_color=theme.ink,
            border_line_color=theme.grid,
            inactive_fill_color=theme.page,
        )
    for bar in figure.right:
        if hasattr(bar, "color_mapper"):
            bar.update(
                background_fill_color=None,
                major_label_text_color=theme.ink,
                title_text_color=theme.ink,
            )


def colors_by_theme(figures: Iterable[Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Tell what is coloured otherwise in each theme, for pages without a kernel.

    Parameters
    ----------
    figures : iterable of bokeh.plotting.figure
        As drawn; left in the light theme.

    Returns
    -------
    dict
        By identifier of a model, then by theme, the colours that are not the same.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for figure in figures:
        models = figure.references()
        seen = {}
        for name in ("dark", "light"):
            dress(figure, THEMES[name])
            seen[name] = {model.id: _colors(model) for model in models}
        for model in models:
            light, dark = (seen[name][model.id] for name in ("light", "dark"))
            changed = [name for name in light if light[name] != dark[name]]
            if changed:
                found[model.id] = {
                    theme: {name: of[name] for name in changed}
                    for theme, of in (("light", light), ("dark", dark))
                }
    return found


def _colors(model: Any) -> dict[str, Any]:
    return {n: getattr(model, n) for n in model.properties() if n.endswith("_color")}
