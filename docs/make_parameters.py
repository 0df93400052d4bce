"""Writes docs/parameters.md from the declarations of the parameters.

From the repository's root: ``python docs/make_parameters.py``. A test fails while the
page is not up to date.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from helixnb.commands.options import option_of
from helixnb.parameters import Parameters

PAGE = Path(__file__).resolve().parent / "parameters.md"
SYMBOLS = {"A": "Å", "deg": "°"}
HEAD = """\
# Parameters

Every parameter of a refinement, by the headings of the dashboard. In Python they are
keywords of `Session.from_file` and attributes of `session.parameters`, which may be
changed between any two iterations; `helixnb refine` has an option for each. Ranges are
checked when a value is set. The last two columns give the name by which users of
CryoSPARC and RELION know it, or its nearest relative there.

This page is written by `docs/make_parameters.py` from the declarations in
`helixnb/parameters/`.
"""


def text() -> str:
    """Return the page as it should be."""
    groups: dict[str, list[dataclasses.Field[Any]]] = {}
    for field in dataclasses.fields(Parameters):
        groups.setdefault(field.metadata["group"], []).append(field)
    parts = [HEAD]
    for group, fields in groups.items():
        parts.append(f"## {group}\n")
        parts.append(
            "| parameter | unit | default | range | what it does | when to change it "
            "| option | CryoSPARC | RELION |"
        )
        parts.append("|" + "---|" * 9)
        parts.extend(_row(field) for field in fields)
        parts.append("")
    return "\n".join(parts)


def _row(field: dataclasses.Field[Any]) -> str:
    meta = field.metadata
    unit = SYMBOLS.get(meta["unit"], meta["unit"])
    cells = (
        f"`{field.name}`",
        unit,
        _default(field),
        _range(field),
        meta["doc"],
        meta["when"],
        f"`{option_of(field.name)}`",
        meta["cryosparc"],
        f"`{meta['relion']}`" if meta["relion"] else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is None:
        return "none" if field.name in ("twist_deg", "rise_A") else "automatic"
    if isinstance(field.default, bool):
        return "on" if field.default else "off"
    if isinstance(field.default, float):
        return f"{field.default:g}"
    return str(field.default)


def _range(field: dataclasses.Field[Any]) -> str:
    meta = field.metadata
    if meta["choices"]:
        return ", ".join(meta["choices"])
    if meta["low"] is None:
        return "Cn, Dn" if field.name == "point_group" else ""
    return f"{meta['low']:g} to {meta['high']:g}"


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
