"""Colours and fonts of the dashboards, and nothing else.

Line colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which stay
apart for colour-blind readers; colour maps are perceptually uniform.
"""

from __future__ import annotations

CORRECTED = "#0072B2"
MASKED = "#009E73"
LOOSE = "#CC79A7"
TIGHT = "#D55E00"
UNMASKED = "#56B4E9"
RANDOMISED = "#E69F00"
EARLIER = "#9AA5B1"

HALF_A = "#E69F00"
HALF_B = "#CC79A7"
JOINT = "#0072B2"
NEXT = "#D55E00"

INK = "#2B2F36"
QUIET = "#6B7280"
GRID = "#E5E7EB"
PANEL = "#F3F4F6"
EDITED = "#D55E00"
ERROR = "#B3261E"

DENSITY_MAP = "gray"
SCORE_MAP = "viridis"
COUNT_MAP = "cividis"

FONT_SIZES = {
    "title": "10.5pt",
    "labels": "9pt",
    "xticks": "8pt",
    "yticks": "8pt",
    "legend": "8pt",
}

EDITED_CSS = """
.bk-input { border: 2px solid #D55E00; background: #FFF6F0; }
label { color: #D55E00; font-weight: 600; }
"""
"""For a parameter that was changed and not yet used."""

HEADLINE_CSS = """
:host { font-size: 14px; color: #2B2F36; }
p { margin: 0; }
"""
