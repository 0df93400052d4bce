"""Numbers out of table columns, with errors that name file, row and column."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.errors import InputError

Float64Array = NDArray[np.float64]


def numbers(
    table: pd.DataFrame,
    column: str,
    path: Path,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    block: str = "particles",
) -> Float64Array:
    """Return a column as finite numbers within bounds.

    Parameters
    ----------
    table : DataFrame
        Block of the STAR file.
    column : str
        Column name, which must exist.
    path : Path
        File, for messages.
    low, high : float
        Allowed range, ends included.
    block : str
        Block name, for messages.

    Returns
    -------
    ndarray of float64, shape (n,)
        The values.

    Raises
    ------
    InputError
        A value is missing, not a number, infinite, or outside the range. The first
        such row is named, counted from 1 at the block's first row.
    """
    raw = table[column]
    try:
        values = np.array(pd.to_numeric(raw, errors="coerce"), dtype=np.float64)
    except OverflowError:  # a whole number of hundreds of digits
        values = np.array([_float(value) for value in raw])
    bad = ~np.isfinite(values)
    reason = "is not a finite number"
    if not bad.any():
        bad = (values < low) | (values > high)
        reason = f"is outside {low:g} to {high:g}"
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}: row {row + 1} of data_{block}, column {column}: "
            f"{raw.iloc[row]} {reason} ({int(bad.sum())} of {len(values)} rows are "
            "like this). Correct or remove these rows."
        )
    return values


def _float(value: Any) -> float:
    """Return a number, or nan for what is none."""
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return float("nan")


def optional_numbers(
    table: pd.DataFrame, column: str, path: Path, default: float
) -> Float64Array:
    """Return a column as finite numbers, or `default` for every row without it.

    Parameters
    ----------
    table : DataFrame
        Block of the STAR file.
    column : str
        Column name, which may be absent.
    path : Path
        File, for messages.
    default : float
        Value of every row where the column is absent; nan is allowed.

    Returns
    -------
    ndarray of float64, shape (n,)
        The values.
    """
    if column in table.columns:
        return numbers(table, column, path)
    return np.full(len(table), default, dtype=np.float64)
