"""Sees that the built pages are complete and load nothing from elsewhere.

``python docs/check_site.py site`` lists every script, style, picture, font or frame
that a page would fetch from another host, every formula left as text, every link
between pages that leads nowhere, and every public name that the API pages miss, and
fails if there is one. Links to other hosts are no resources: a reader may click them.
"""

import importlib
import inspect
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

_FETCHED_LINKS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "manifest"}
_ELSEWHERE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
_STYLE_URL = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]+)")


class _Resources(HTMLParser):
    """Collects what a page makes a browser fetch from another host, and its links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes that fetch."""
        values = {name: value or "" for name, value in attrs}
        self.anchors.add(values.get("id", ""))
        if tag == "a" and not urlsplit(values.get("href", "")).scheme:
            self.links.append(values.get("href", ""))
        urls = [] if tag == "a" else [values.get("src", ""), values.get("data", "")]
        urls += [part.strip() for part in values.get("srcset", "").split(",")]
        if tag == "link" and _FETCHED_LINKS & set(values.get("rel", "").split()):
            urls.append(values.get("href", ""))
        urls += _STYLE_URL.findall(values.get("style", ""))
        self.found += [url for url in urls if _ELSEWHERE.match(url)]


def public_names() -> list[str]:
    """List what the API pages have to have: names of the package, methods, views."""
    package = importlib.import_module("helixnb")
    names = []
    for name in package.__all__:
        value = getattr(package, name)
        if name.startswith("__"):
            continue
        home = package._HOME_OF[name]
        names.append(f"{home}.{name}")
        if inspect.isclass(value) and not issubclass(value, Exception):
            names += [
                f"{home}.{name}.{member}"
                for member, what in inspect.getmembers(value)
                if not member.startswith("_") and getattr(what, "__doc__", None)
                if callable(what) or isinstance(what, property)
                if getattr(what, "__name__", member) == member
            ]
    views = importlib.import_module("helixnb.dashboards")
    modules = (getattr(views, name) for name in views.__all__)
    for module in filter(inspect.ismodule, modules):
        drawn = (name for name in ("plot", "view") if hasattr(module, name))
        names += [f"{module.__name__}.{name}" for name in drawn]
    return names


def problems(site: Path) -> list[str]:
    """List what is wrong, one line each.

    Parameters
    ----------
    site : Path
        Folder that MkDocs built.
    """
    wrong = []
    pages = sorted(site.rglob("*.html"))
    if not pages:
        wrong.append(f"{site} has no pages")
    read = {page.resolve(): _Resources() for page in pages}
    for page, resources in read.items():
        text = page.read_text(encoding="utf-8")
        resources.feed(text)
        wrong += [f"{page}: loads {url}" for url in resources.found]
        if 'class="arithmatex"' in text:
            wrong.append(f"{page}: a formula was not made into MathML")
    for page, resources in read.items():
        for link in resources.links:
            parts = urlsplit(link)
            folder = site if parts.path.startswith("/") else page.parent
            place = folder / parts.path.lstrip("/")
            target = place.resolve() if parts.path else page
            known = read.get(target)
            if not target.exists() or (known and parts.fragment not in known.anchors):
                wrong.append(f"{page}: links to {link}, which is not there")
    written = "".join(page.read_text("utf-8") for page in site.glob("api*.html"))
    wrong += [
        f"no API page has {name}"
        for name in public_names()
        if f'id="{name}"' not in written
    ]
    for style in sorted(site.rglob("*.css")):
        found = _STYLE_URL.findall(style.read_text(encoding="utf-8"))
        wrong += [f"{style}: loads {url}" for url in found]
    return wrong


if __name__ == "__main__":
    found = problems(Path(sys.argv[1]))
    print("\n".join(found) or "complete, and nothing is loaded from elsewhere")
    sys.exit(bool(found))
