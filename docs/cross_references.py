"""MkDocs hook: parameters and attributes of a session link to where they are explained.

Pages name them as code, `twist_deg` or `session.fsc`, and need no addresses.
"""

import dataclasses
import re
from typing import Any

from helixnb import Parameters, Session

PARAMETERS = {field.name for field in dataclasses.fields(Parameters)}
# What is a link, a heading or a block of code already is matched first and left alone.
_CODE = re.compile(
    r"<(?P<kept>a|h\d|pre)\b.*?</(?P=kept)>|<code>(?P<code>[^<]+)</code>", re.DOTALL
)
_NAME = re.compile(r"(session\.)?(?:parameters\.)?(\w+)")
_OWN_PAGES = ("parameters.html", "api.html", "api-dashboards.html")


def on_page_content(content: str, *, page: Any, **_: Any) -> str:
    """Link names on all pages but those that explain them."""
    if page.url in _OWN_PAGES:
        return content
    up = "../" * page.url.count("/")

    def linked(found: re.Match[str]) -> str:
        address = found["code"] and _address(found["code"])
        whole = found[0]
        return f'<a href="{up}{address}">{whole}</a>' if address else whole

    return _CODE.sub(linked, content)


def _address(code: str) -> str | None:
    """Place of the first name in a piece of code; None if it is not explained."""
    found = _NAME.match(code)
    if found is None:
        return None
    of_session, name = found.groups()
    if name in PARAMETERS:
        return f"parameters.html#{name.lower()}"  # as MkDocs makes anchors
    if of_session and hasattr(Session, name):
        return f"api.html#helixnb.session.Session.{name}"
    return None
