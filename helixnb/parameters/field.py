"""One parameter: its default, range and meaning, and how a value is checked.

What every front end shows of a parameter (widgets, command line, documentation) is
in the metadata of its dataclass field, written once where the field is declared.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from helixnb.errors import InputError


def parameter(
    default: Any,
    *,
    unit: str,
    group: str,
    doc: str,
    when: str,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    cryosparc: str = "",
    relion: str = "",
) -> Any:
    """Declare a parameter as a dataclass field.

    Parameters
    ----------
    default : object
        Value if none is given.
    unit : str
        Unit of the value; empty for a pure number or a name.
    group : str
        Heading under which it is shown.
    doc : str
        What it does.
    when : str
        When to change it.
    low, high : float or None
        Range of a number.
    choices : tuple of str
        The values that a text may take; empty if any.
    cryosparc, relion : str
        What users of those programs know it by.
    """
    metadata = {
        "unit": unit,
        "group": group,
        "doc": doc,
        "when": when,
        "low": low,
        "high": high,
        "choices": choices,
        "cryosparc": cryosparc,
        "relion": relion,
    }
    return dataclasses.field(default=default, metadata=metadata)


def meaning(field: dataclasses.Field[Any]) -> str:
    """Say what a parameter means to readers who do not write Python.

    Parameters
    ----------
    field : dataclasses.Field
        Made by `parameter`.

    Returns
    -------
    str
        Its documentation, in which None is called automatic.
    """
    text = str(field.metadata["doc"])
    return text.replace(". None ", ". Automatic ").replace("None ", "automatic ")


def absence(field: dataclasses.Field[Any]) -> str:
    """Word for None as the value of a parameter.

    Parameters
    ----------
    field : dataclasses.Field
        Made by `parameter`.

    Returns
    -------
    str
        ``"automatic"`` where something else takes its place, else ``"none"``.
    """
    return "automatic" if "None " in field.metadata["doc"] else "none"


def checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """Convert a value to its field's type and check it against the range.

    Parameters
    ----------
    field : dataclasses.Field
        Made by `parameter`.
    value : object
        What the user gave.

    Returns
    -------
    object
        None, bool, str, int or float, as the field's annotation says.

    Raises
    ------
    InputError
        If the value is of the wrong type or outside its range.
    """
    kind = str(field.type)
    if value is None and "None" in kind:
        return None
    if "bool" in kind:
        if not isinstance(value, bool):
            raise InputError(f"{field.name} must be True or False, got {value!r}.")
        return value
    if "str" in kind:
        return _checked_text(field, value)
    return _checked_number(field, value, whole="int" in kind)


def _checked_text(field: dataclasses.Field[Any], value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{field.name} must be text, got {value!r}.")
    choices = field.metadata["choices"]
    if choices and value not in choices:
        named = ", ".join(repr(choice) for choice in choices)
        raise InputError(f"{field.name} must be one of {named}, got {value!r}.")
    return value


def _checked_number(
    field: dataclasses.Field[Any], value: Any, whole: bool
) -> float | int:
    unit, low, high = (field.metadata[key] for key in ("unit", "low", "high"))
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"{field.name} must be a number ({unit}), got {value!r}."
        ) from None
    if (
        isinstance(value, bool)
        or not math.isfinite(number)
        or not low <= number <= high
    ):
        raise InputError(
            f"{field.name} must be between {low:g} and {high:g} {unit}, got {value!r}."
        )
    if not whole:
        return number
    if number != int(number):
        raise InputError(f"{field.name} must be a whole number, got {value!r}.")
    return int(number)
