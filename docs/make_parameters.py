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
from helixnb.parameters.field import absence

PAGE = Path(__file__).resolve().parent / "parameters.md"
SYMBOLS = {"A": "Å", "A^2": "Å²", "deg": "°"}
HEAD = """\
# Parameters

Every parameter of a refinement, by the headings of the dashboard. In Python they are
keywords of `Session.from_file` and attributes of `session.parameters`, which may be
changed between any two iterations; `helixnb refine` has an option for each. Ranges are
checked when a value is set. The names in CryoSPARC and RELION are those of the same
parameter there, or of its nearest relative.

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
        parts.extend(_entry(field) for field in fields)
    return "\n".join(parts)


def _entry(field: dataclasses.Field[Any]) -> str:
    meta = field.metadata
    unit = SYMBOLS.get(meta["unit"], meta["unit"])
    unit = unit if unit in ("", "°") else f" {unit}"
    facts = {
        "default": _default(field) + (unit if _has_number(field) else ""),
        "range": _range(field) + (unit if meta["low"] is not None else ""),
        "option": f"`{option_of(field.name)}`",
        "CryoSPARC": meta["cryosparc"],
        "RELION": f"`{meta['relion']}`" if meta["relion"] else "",
    }
    shown = {name: fact for name, fact in facts.items() if fact}
    rows = (shown, ["---"] * len(shown), shown.values())
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return "\n\n".join(
        (
            f"### {field.name}",
            meta["doc"],
            f"*When to change it:* {meta['when']}",
            table + "\n",
        )
    )


def _has_number(field: dataclasses.Field[Any]) -> bool:
    return isinstance(field.default, int | float) and not isinstance(
        field.default, bool
    )


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is None:
        return absence(field)
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
