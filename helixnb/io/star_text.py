"""The text of STAR files: blocks of pairs and tables, read and written at any size.

Tables go through pandas' C parser straight from the file, and columns that repeat a few
names hold each name once, so that a million rows take seconds and little memory. Every
row must have as many values as the table has columns: a row cut short by a full disk
or an interrupted copy is refused by its number.
"""

import io
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import pandas as pd

from helixnb.errors import InputError

_NOT_A_NUMBER = ["nan", "NaN", "-nan", "<NA>"]
_ROWS_AT_ONCE = 20_000
#: RELION 3.1 and newer look for this line.
_VERSION = "# version 30001"

Block = pd.DataFrame | dict[str, Any]


@dataclass
class _Place:
    """Where a block lies in the file.

    Attributes
    ----------
    name : str
        Without ``data_``.
    labels : list of str
        Columns of a table, without the underscore.
    pairs : list of bytes
        Lines of names and values.
    start : int
        Byte at which the rows of the table begin; -1 without any.
    first_line : int
        Number of that line in the file, from 1.
    gaps : bool
        Whether comments or blank lines lie between the rows.
    rows : int
        Number of rows.
    """

    name: str
    is_table: bool = False
    labels: list[str] = field(default_factory=list)
    pairs: list[bytes] = field(default_factory=list)
    start: int = -1
    first_line: int = 0
    gaps: bool = False
    rows: int = 0


def read_star(path: Path, is_text: Any) -> dict[str, Block]:
    """Read every block of a STAR file.

    Parameters
    ----------
    path : Path
        Existing file.
    is_text : callable
        Tells of a column's name whether its values are kept as text.

    Returns
    -------
    dict
        Block name (without ``data_``) to DataFrame (tables) or dict (pairs).

    Raises
    ------
    InputError
        A row with too many or too few values, or a block that cannot be understood.
    ValueError
        Bytes that are no text.
    """
    with path.open("rb") as file:
        places = list(_scan(file))
        blocks: dict[str, Block] = {}
        for place in places:
            if place.name in blocks:
                raise InputError(
                    f"{path}: data_{place.name} is there twice. Keep one of them."
                )
            if not (place.labels or place.pairs):
                raise InputError(
                    f"{path}: data_{place.name} has neither columns nor values. The "
                    "file was probably cut short; copy or write it again."
                )
            if place.is_table:
                blocks[place.name] = _table(path, file, place, is_text)
            else:
                blocks[place.name] = _pairs(path, place, is_text)
    return blocks


def _scan(file: BinaryIO) -> Iterator[_Place]:
    """Find the blocks, without looking into rows."""
    place: _Place | None = None
    waiting = False
    at = 0
    for number, line in enumerate(file, start=1):
        start, at = at, at + len(line)
        bare = line.strip()
        if bare.startswith(b"data_"):
            if place is not None:
                yield place
            place, waiting = _Place(bare[5:].decode()), False
        elif place is None:
            continue
        elif not bare or bare.startswith(b"#"):
            waiting = place.rows > 0
        elif place.rows == 0 and bare == b"loop_":
            place.is_table = True
        elif place.rows == 0 and bare.startswith(b"_"):
            if place.is_table:
                place.labels.append(bare.split()[0][1:].decode())
            else:
                place.pairs.append(bare)
        elif place.is_table:
            if place.rows == 0:
                place.start, place.first_line = start, number
            place.gaps = place.gaps or waiting
            place.rows += 1
    if place is not None:
        yield place


def _pairs(path: Path, place: _Place, is_text: Any) -> dict[str, Any]:
    """Values of a block of pairs, as numbers where they are."""
    values: dict[str, Any] = {}
    for line in place.pairs:
        parts = _values(line.decode())
        if len(parts) != 2:
            raise InputError(
                f"{path}: data_{place.name} has the line {line.decode()!r} where one "
                "name and one value were expected. Correct it, or write the file again."
            )
        name = parts[0][1:]
        values[name] = parts[1] if is_text(name) else _number(parts[1])
    return values


def _values(line: str) -> list[str]:
    """Values of one line; quotes hold spaces together."""
    if '"' not in line and "'" not in line:
        return line.split()
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _number(text: str) -> Any:
    """Return a number if it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _table(path: Path, file: BinaryIO, place: _Place, is_text: Any) -> pd.DataFrame:
    """Rows of a table; every column as numbers or as text."""
    labels = place.labels
    if len(set(labels)) < len(labels):
        twice = next(name for name in labels if labels.count(name) > 1)
        raise InputError(
            f"{path}: column {twice} of data_{place.name} is there twice. Keep one."
        )
    if place.rows == 0 or not labels:
        return pd.DataFrame({name: [] for name in labels})
    file.seek(place.start)
    first = file.readline().decode()
    if len(_values(first)) != len(labels):
        raise _wrong_width(path, place, 0, place.first_line, first)
    source: Any = file
    file.seek(place.start)
    if place.gaps:
        # pandas' own comments would cut a name with a '#' in it.
        source = io.StringIO("".join(line for *_, line in _rows(file, place)))
    text = [i for i, name in enumerate(labels) if is_text(name)]
    numbers: Any = {i: _NOT_A_NUMBER for i in range(len(labels)) if i not in text}
    try:
        table = pd.read_csv(
            source,
            sep=r"\s+",
            header=None,
            nrows=place.rows,
            # Each name is held once; see below.
            dtype=dict.fromkeys(text, "category"),
            keep_default_na=False,
            na_values=numbers,
            encoding="utf-8",
        )
    except pd.errors.ParserError as error:
        raise _explained(path, file, place, error) from error
    if table.shape != (place.rows, len(labels)):
        raise InputError(
            f"{path}: data_{place.name} has {place.rows} rows, of which "
            f"{len(table)} could be understood. A quote that is not closed joins rows; "
            "correct it, or write the file again."
        )
    table.columns = pd.Index(labels)
    _refuse_short(path, file, place, table)
    for i in text:
        table[labels[i]] = table[labels[i]].astype(object)
    return table


def _refuse_short(
    path: Path, file: BinaryIO, place: _Place, table: pd.DataFrame
) -> None:
    """Refuse rows with too few values, which pandas fills up."""
    last = table.iloc[:, -1]
    blank = last.isna().to_numpy()
    if not pd.api.types.is_numeric_dtype(last):
        blank = blank | (last == "").to_numpy(dtype=bool)
    empty = np.flatnonzero(blank)
    if not empty.size:
        return
    wanted = set(empty.tolist())
    for row, number, line in _rows(file, place):
        if row in wanted and len(_values(line)) != len(place.labels):
            raise _wrong_width(path, place, row, number, line)


def _explained(
    path: Path, file: BinaryIO, place: _Place, error: Exception
) -> InputError:
    """Find the row that the parser stumbled over."""
    for row, number, line in _rows(file, place):
        if len(_values(line)) != len(place.labels):
            return _wrong_width(path, place, row, number, line)
    return InputError(
        f"{path}: data_{place.name} could not be parsed ({str(error).strip()}). A "
        "quote that is not closed joins rows; correct it, or write the file again."
    )


def _rows(file: BinaryIO, place: _Place) -> Iterator[tuple[int, int, str]]:
    """Row, line number and text of each row of a table."""
    file.seek(place.start)
    row = 0
    for number, line in enumerate(file, start=place.first_line):
        bare = line.strip()
        if bare and not bare.startswith(b"#"):
            yield row, number, line.decode("utf-8", "replace")
            row += 1
        if row == place.rows:
            return


def _wrong_width(
    path: Path, place: _Place, row: int, number: int, line: str
) -> InputError:
    """Error for a row of too many or too few values."""
    n = len(_values(line))
    last = row == place.rows - 1
    return InputError(
        f"{path}: row {row + 1} of data_{place.name} (line {number}) has {n} values, "
        f"but there are {len(place.labels)} columns. "
        + (
            "It is the last row: the file was probably cut short. Copy or write it "
            "again."
            if last and n < len(place.labels)
            else "A name with a space needs quotes. Correct the row, or write the file "
            "again."
        )
    )


# --- writing ---------------------------------------------------------------------


def write_star(file: TextIO, blocks: Mapping[str, pd.DataFrame]) -> None:
    """Write tables, numbers with twelve digits.

    Twelve digits hold all that RELION writes (six decimals of 123456.789012).

    Parameters
    ----------
    file : text file
        Open for writing.
    blocks : mapping of str to DataFrame
        Block name (without ``data_``) to table.
    """
    for name, table in blocks.items():
        file.write(f"\n{_VERSION}\n\ndata_{name}\n\nloop_\n")
        for i, label in enumerate(table.columns):
            file.write(f"_{label} #{i + 1}\n")
        columns = [_written(table[label]) for label in table.columns]
        form = " ".join(code for code, _ in columns) + "\n"
        for start in range(0, len(table), _ROWS_AT_ONCE):
            part = [
                values[start : start + _ROWS_AT_ONCE].tolist() for _, values in columns
            ]
            file.writelines(form % row for row in zip(*part, strict=True))
        file.write("\n")


def _written(column: pd.Series) -> tuple[str, Any]:
    """Format code and values of a column."""
    if pd.api.types.is_bool_dtype(column):
        return "%d", column.to_numpy()
    if pd.api.types.is_integer_dtype(column):
        return "%d", column.to_numpy()
    if pd.api.types.is_float_dtype(column):
        return "%.12g", column.to_numpy()
    index, unique = pd.factorize(column.astype(object), use_na_sentinel=False)
    quoted = np.array([_quoted(value) for value in unique], dtype=object)
    return "%s", quoted[index]


def _quoted(value: Any) -> str:
    """Text as one value of a row."""
    if isinstance(value, float):
        return f"{value:.12g}"
    text = str(value)
    if text and not any(character.isspace() for character in text):
        return text
    return f'"{text}"'
