"""What MkDocs does not see: links out of its folder, and names in the running text."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from helixnb import Session, cli
from helixnb.parameters import field_names
from tests import pages

REPOSITORY = Path(__file__).resolve().parent.parent
OUTSIDE = sorted(REPOSITORY.glob("*.md"))
PAGES = [*OUTSIDE, *sorted((REPOSITORY / "docs").rglob("*.md"))]
# Code is not read: `a[i](x)` is no link.
CODE = re.compile(r"^```.*?^```|^    .*?$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# A host with a dot, and nothing that a copied line break or bracket would leave behind.
HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+")
PATH = re.compile(r"[\w./~%&=?+,:;@()-]*")


def links(page: Path) -> list[str]:
    text = re.sub(r"`([^`\n]*)`(?=\]\()", r"\1", page.read_text(encoding="utf-8"))
    return LINK.findall(CODE.sub("", text))


def anchors(page: Path) -> set[str]:
    """Anchors of headings, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", title.lower()).strip() for title in titles)
    return {re.sub(r"[\s-]+", "-", title) for title in plain}


def broken(link: str, page: Path) -> str:
    """Say what is wrong with a link; empty if nothing is."""
    parts = urlsplit(link)
    if parts.scheme:
        well = HOST.fullmatch(parts.netloc) and PATH.fullmatch(parts.path)
        return "" if parts.scheme == "https" and well else "not a well-formed address"
    target = page if not parts.path else page.parent / parts.path
    if not target.exists():
        return "no such file"
    if parts.fragment and parts.fragment not in anchors(target):
        return "no such heading"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    wrong = [f"{x}: {why}" for x in links(page) if (why := broken(x, page))]
    assert not wrong


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A title\n[a](page.md#a-title) [b](page.md#another) [c](no.md)\n"
        "[d](https://doi.org/10.1/x) [e](https://doi,org/x) [f](http://a.org)\n"
        "`[g](no.md)` [`h`](no.md)\n"
    )
    wrong = [link for link in links(page) if broken(link, page)]
    assert wrong == [
        "page.md#another",
        "no.md",
        "https://doi,org/x",
        "http://a.org",
        "no.md",
    ]


# --- names ---------------------------------------------------------------------------


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from options(command)


OPTIONS = set(options(cli._parser()))
# These name options of RELION as well.
OF_OTHERS = ("comparison.md", "parameters.md")


def unknown_names(text: str, own_options: bool = True) -> list[str]:
    """Options, attributes of sessions and parameters that do not exist."""
    found = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    )
    wrong = []
    for code in found:
        option = re.match(r"--[\w-]+", code)
        if own_options and option and option[0] not in OPTIONS:
            wrong.append(code)
        name = re.match(r"session\.(parameters\.)?(\w+)", code)
        if name and name[1] and name[2] not in {*field_names(), "changes", "set"}:
            wrong.append(code)
        if name and not name[1] and not hasattr(Session, name[2]):
            wrong.append(code)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPOSITORY)))
def test_names_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not unknown_names(text, page.name not in OF_OTHERS)


def test_a_wrong_name_is_seen() -> None:
    right = "`session.fsc` `session.parameters.mask = 1` `--static-mask m.mrc`"
    wrong = ["session.fcs", "session.parameters.msk", "--static-msk m.mrc"]
    assert unknown_names(right + "".join(f" `{code}`" for code in wrong)) == wrong


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("helixnb refine a.star -o out --twist DEG --rise 2", "invalid float"),
        ("helixnb refine a.star -o out --twist-e 2", "unrecognized arguments"),
        ("make tset", "no target tset"),
        ("python benchmarks/nothing.py", "nothing.py"),
        ("rm -rf out", "nobody checks"),
    ],
)
def test_a_wrong_command_is_seen(command: str, told: str) -> None:
    with pytest.raises(AssertionError, match=told):
        pages.check_command(command.split())
