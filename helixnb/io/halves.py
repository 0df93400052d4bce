"""Half-sets that a file brings with it, if they keep filaments whole.

Neighbouring boxes share noise, so a filament split across half-sets makes the FSC
look better than the map is. Such half-sets are not used, and the user is told.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.io.columns import numbers

_COLUMN = "rlnRandomSubset"


def given_half_sets(
    table: pd.DataFrame, path: Path, filament: NDArray[np.int32]
) -> tuple[NDArray[np.int8] | None, tuple[str, ...]]:
    """Return the half-sets of rlnRandomSubset if they can be used.

    Parameters
    ----------
    table : DataFrame
        Particle block.
    path : Path
        STAR file, for messages.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    half : ndarray of int8, shape (n,), or None
        0 or 1, or None when the column is absent or not usable.
    notes : tuple of str
        Why it is not usable.
    """
    if _COLUMN not in table.columns:
        return None, ()
    subset = numbers(table, _COLUMN, path)
    if not np.isin(subset, (1, 2)).all():
        found = ", ".join(f"{value:g}" for value in np.unique(subset)[:5])
        return None, (f"{_COLUMN} has values {found}, not 1 and 2; not used.",)
    half = (subset - 1).astype(np.int8)
    return checked_half_sets(half, filament)


def checked_half_sets(
    half: NDArray[np.int8], filament: NDArray[np.int32]
) -> tuple[NDArray[np.int8] | None, tuple[str, ...]]:
    """Return `half` if no filament is split and no half is empty.

    Parameters
    ----------
    half : ndarray of int8, shape (n,)
        0 or 1.
    filament : ndarray of int32, shape (n,)
        Filament numbers.

    Returns
    -------
    half : ndarray of int8, shape (n,), or None
        The same array, or None when it is not usable.
    notes : tuple of str
        Why it is not usable.
    """
    if len(np.unique(half)) < 2:
        return None, (f"{_COLUMN} leaves one half-set empty; not used.",)
    count = np.bincount(filament)
    in_second = np.bincount(filament, half)
    split = int(((in_second > 0) & (in_second < count)).sum())
    if split:
        return None, (
            f"{_COLUMN} splits {split} of {len(count)} filaments across the half-sets, "
            "which share noise then; not used. New half-sets keep filaments whole.",
        )
    return half, ()
