"""Messages to the user: text on a ground that says how bad it is."""

from __future__ import annotations

import html


def message_html(text: str, kind: str) -> str:
    """Message in a coloured box.

    Parameters
    ----------
    text : str
        Plain.
    kind : str
        ``"error"``, ``"flag"`` or ``"edited"``.

    Returns
    -------
    str
    """
    return (
        f'<div class="hx-{kind}" style="color: var(--hx-{kind}); '
        f"background: var(--hx-{kind}-ground); "
        f"border-left: 3px solid var(--hx-{kind}); padding: 4px 8px; margin: 3px 0; "
        f'font-size: 12.5px; white-space: pre-wrap">{html.escape(text)}</div>'
    )
