"""Parameters that can be edited at any time, each edit checked at once.

The frozen `Parameters` stay the only truth: an edit makes new ones, so an iteration
that is running keeps those it started with.
"""

from __future__ import annotations

import dataclasses
import html
from typing import TYPE_CHECKING, Any

from helixnb.errors import InputError
from helixnb.parameters import Parameters, check_name, field_names
from helixnb.parameters.field import absence, meaning

if TYPE_CHECKING:
    from collections.abc import Callable


class EditableParameters:
    """View of a session's parameters: read, assign, and see what was changed.

    Parameters
    ----------
    read : callable
        Returns the current parameters.
    write : callable
        Takes new values by name and checks them.
    expected : callable
        Returns what the parameters would be without edits since the last step.

    Examples
    --------
    >>> session.parameters.twist_deg = -166.6  # doctest: +SKIP
    >>> session.parameters.set(rise_A=28.1, coherence=False)  # doctest: +SKIP
    """

    __slots__ = ("_expected", "_read", "_write")

    _read: Callable[[], Parameters]
    _write: Callable[[dict[str, Any]], None]
    _expected: Callable[[], Parameters]

    def __init__(
        self,
        read: Callable[[], Parameters],
        write: Callable[[dict[str, Any]], None],
        expected: Callable[[], Parameters],
    ) -> None:
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_write", write)
        object.__setattr__(self, "_expected", expected)

    def __getattr__(self, name: str) -> Any:
        try:
            check_name(name)
        except InputError as error:
            # Not InputError: hasattr() and Jupyter's displays rely on this type.
            raise AttributeError(str(error)) from None
        return getattr(self._read(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.set(**{name: value})

    def __dir__(self) -> list[str]:
        return [*field_names(), "changes", "frozen", "set"]

    def set(self, **values: Any) -> None:
        """Change several parameters together; none if one of them is refused.

        Parameters
        ----------
        **values
            New values by name.

        Raises
        ------
        InputError
            An unknown name, a value out of range, or one that does not fit the
            particles.
        """
        self._write(values)

    @property
    def frozen(self) -> Parameters:
        """The current values, which later edits leave alone."""
        return self._read()

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """Edits since the last step: value before and now, by name."""
        before, now = self._expected(), self._read()
        pairs = {n: (getattr(before, n), getattr(now, n)) for n in field_names()}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def __repr__(self) -> str:
        changed = self.changes
        lines = []
        for name, value, unit, _ in parameter_rows(self._read()):
            mark = f"  (was {changed[name][0]})" if name in changed else ""
            lines.append(f"{name:<24}{value:>10} {unit}{mark}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        changed = self.changes
        rows = []
        for name, value, unit, told in parameter_rows(self._read()):
            note = f"was {changed[name][0]}" if name in changed else ""
            style = ' style="font-weight:600;color:#D55E00"' if note else ""
            cells = "".join(
                f'<td style="text-align:left">{html.escape(text)}</td>'
                for text in (name, value, unit, told, note)
            )
            rows.append(f"<tr{style}>{cells}</tr>")
        names = ("parameter", "value", "unit", "meaning", "changed since last step")
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in names)
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def parameter_rows(parameters: Parameters) -> list[tuple[str, str, str, str]]:
    """Parameters as text, for tables in a notebook and in reports.

    Parameters
    ----------
    parameters : Parameters
        Any parameters.

    Returns
    -------
    list of (name, value, unit, meaning)
        In the order of the fields.
    """
    rows = []
    for field in dataclasses.fields(Parameters):
        value = getattr(parameters, field.name)
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        unit = field.metadata["unit"]
        if value is None:
            text, unit = absence(field), ""
        rows.append((field.name, text, unit, meaning(field)))
    return rows
