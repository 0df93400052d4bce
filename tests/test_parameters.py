"""Parameters: what is declared, and what is refused."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from helixnb.errors import InputError
from helixnb.parameters import Parameters
from helixnb.parameters.field import checked, parameter

REPOSITORY = Path(__file__).resolve().parent.parent
FIELDS = {field.name: field for field in dataclasses.fields(Parameters)}


@pytest.mark.parametrize("name", FIELDS)
def test_every_parameter_says_what_it_does_and_when_to_change_it(name: str) -> None:
    metadata = FIELDS[name].metadata
    for key in ("group", "doc", "when"):
        assert metadata[key].strip()
    assert metadata["doc"].endswith(".")
    assert metadata["when"].endswith(".")


@pytest.mark.parametrize("name", FIELDS)
def test_every_number_has_a_range_with_the_default_inside(name: str) -> None:
    field = FIELDS[name]
    if "bool" in str(field.type) or "str" in str(field.type):
        return
    low, high = field.metadata["low"], field.metadata["high"]
    assert low < high
    if field.default not in (None, dataclasses.MISSING):
        assert low <= field.default <= high


def test_a_choice_is_checked() -> None:
    shape = parameter(
        "round", unit="", group="G", doc="D.", when="W.", choices=("round", "square")
    )
    example = dataclasses.make_dataclass("Example", [("shape", "str", shape)])
    (field,) = dataclasses.fields(example)
    assert checked(field, "square") == "square"
    with pytest.raises(InputError, match=r"one of 'round', 'square', got 'oval'"):
        checked(field, "oval")


def test_the_page_of_parameters_is_up_to_date() -> None:
    script = runpy.run_path(str(REPOSITORY / "docs" / "make_parameters.py"))
    assert script["PAGE"].read_text(encoding="utf-8") == script["text"](), (
        "run python docs/make_parameters.py"
    )
