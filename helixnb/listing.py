"""Named facts as an object shows them: lines of text, or a table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence

Facts = Sequence[tuple[str, str]]

WARNING_COLOR = "var(--jp-error-color1, #D13438)"
"""Read on light and on dark pages."""


def as_text(title: str, facts: Facts) -> str:
    """Facts as lines of text.

    Parameters
    ----------
    title : str
        First line.
    facts : sequence of (name, text)
        The others.

    Returns
    -------
    str
    """
    return "\n".join([title, *(f"  {name:<15} {text}" for name, text in facts)])


def as_html(facts: Facts, warnings: Collection[int] = ()) -> str:
    """Facts as a table, in the colours of the page.

    Parameters
    ----------
    facts : sequence of (name, text)
        Rows.
    warnings : collection of int
        Those to be seen first.

    Returns
    -------
    str
        HTML; names and texts are escaped.
    """
    left = "text-align: left"
    rows = [
        f'<tr><th style="{left}">{html.escape(name)}</th>'
        f'<td style="{left}{f"; color: {WARNING_COLOR}" if i in warnings else ""}">'
        f"{html.escape(text)}</td></tr>"
        for i, (name, text) in enumerate(facts)
    ]
    return f"<table>{''.join(rows)}</table>"
