"""MkDocs hook: formulas become MathML while the site is built.

Browsers draw MathML themselves, so pages need neither a script nor a network. Pages are
written with the dollar signs that GitHub reads as well.
"""

import html
import re
from typing import Any

from latex2mathml.converter import convert

# What pymdownx.arithmatex, in its generic mode, makes of $...$ and $$...$$.
_FORMULA = re.compile(
    r'<(span|div) class="arithmatex">\\[(\[](.+?)\\[)\]]</\1>', re.DOTALL
)


def on_page_content(content: str, **_: Any) -> str:
    """Put MathML in the place of every formula of a page."""
    return _FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    kind, latex = found.groups()
    display = "block" if kind == "div" else "inline"
    return str(convert(html.unescape(latex).strip(), display=display))
