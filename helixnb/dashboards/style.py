"""Colours and fonts of the dashboards, light and dark, and nothing else.

Line colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), the blue a
little lighter so that it reads on both grounds; they stay apart for colour-blind
readers. Colour maps are perceptually uniform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

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
OUTLIER = "#D55E00"

QUIET = "#7C8694"
"""Reads on both grounds."""

DENSITY_MAP = "gray"
SCORE_MAP = "viridis"
COUNT_MAP = "cividis"
SURFACE_MAP = [
    f"#{int(16 + 206 * t):02x}{int(30 + 203 * t):02x}{int(48 + 200 * t**0.9):02x}"
    for t in (i / 63 for i in range(64))
]

FONT_SIZES = {
    "title": "10.5pt",
    "labels": "9pt",
    "xticks": "8pt",
    "yticks": "8pt",
    "legend": "8pt",
}


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
    error, edited, flag : tuple of str
        Text and ground of messages.
    """

    page: str
    panel: str
    plot: str
    ink: str
    grid: str
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
        error=("#FFB4AB", "#4A1F1C"),
        edited=("#FFB68A", "#43291A"),
        flag=("#F2CF87", "#3B3018"),
    ),
}

EDITED_CSS = """
.bk-input { border: 2px solid var(--hx-edited); background: var(--hx-edited-ground); }
label { color: var(--hx-edited); font-weight: 600; }
"""
"""For a parameter that was changed and not yet used."""

TABLE_CSS = """
table { border-collapse: collapse; font-size: 12.5px; }
th, td { text-align: right; padding: 2px 9px; border-bottom: 1px solid var(--hx-grid); }
th:last-child, td:last-child { text-align: left; }
"""

HEADLINE_CSS = """
:host { font-size: 14px; color: var(--hx-ink); }
p { margin: 0; }
"""


def themed(name: str) -> Callable[[Any, Any], None]:
    """Make the HoloViews hook that colours a figure.

    Parameters
    ----------
    name : str
        Key of `THEMES`.

    Returns
    -------
    callable
        Called by HoloViews with each frame.
    """
    theme = THEMES[name]

    def hook(plot: Any, _: Any) -> None:
        figure = plot.state
        figure.update(
            background_fill_color=theme.plot,
            border_fill_color=theme.page,
            outline_line_color=theme.grid,
        )
        figure.title.text_color = theme.ink
        for axis in figure.axis:
            axis.update(
                axis_label_text_color=theme.ink,
                major_label_text_color=theme.ink,
                axis_line_color=QUIET,
                major_tick_line_color=QUIET,
                minor_tick_line_color=None,
                axis_label_text_font_style="normal",
            )
        for grid in figure.grid:
            if grid.grid_line_color is not None:  # None where none is wanted
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
                    background_fill_color=theme.page,
                    major_label_text_color=theme.ink,
                    title_text_color=theme.ink,
                )

    return hook
