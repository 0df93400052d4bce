"""Rows of a reference multiplied in batches: few products in place of one for each row.

Rows lie in order of their numbers of pairs and are parted into batches, within which
matrices get zeros up to the largest of them. A batch ends where more zeros would cost
more than another launch is worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.rows import PairRows

PADDING = 1 / 32
"""Zeros of a batch at most, as part of all values; one row always makes a batch."""

FREE_ZEROS = 2048
"""Zeros that a batch may have in any case: to multiply as many with the data of some
thousand cells takes no longer than a launch."""

COLUMNS_AT_ONCE = 16
"""Columns of a row that one block of threads of `shift_frames` moves."""


class Batch(NamedTuple):
    """Rows whose products are made at once; starts count from those of all batches."""

    n_rows: int
    pairs: int
    columns: int
    first_value: int
    first_line: int
    first_amplitude: int


@dataclass(frozen=True, eq=False)
class BatchedRows(PairRows):
    """Rows in batches, and what kernels look up in them.

    Parameters
    ----------
    batches : list of Batch
        Those with pairs.
    places : array of int64, shape (5, n_rows + 1)
        Of each row: `row_start`, `value_start`, the first of its values with zeros, and
        the pairs and columns with zeros.
    tiles : array of int64, shape (n_tiles, 4)
        Parts of the rows that are moved by one block: row of the data, first column,
        number of columns, and the line of the result that the first of them goes to.
    n_values, n_lines : int
        Values with zeros, and lines of moved data, over all batches.
    """

    batches: list[Batch]
    places: Any
    tiles: Any
    n_values: int
    n_lines: int

    @property
    def moved_bytes(self) -> int:
        """Memory that the rows of one moved frame take: all of them at once."""
        return 8 * self.n_lines

    @classmethod
    def arranged(
        cls, row_start: NDArray[np.int64], value_start: NDArray[np.int64], xp: Any
    ) -> BatchedRows:
        """Part the rows into batches.

        Parameters
        ----------
        row_start, value_start : ndarray of int64, shape (n_rows + 1,)
            As of `PairRows`.
        xp : module
            Array module of what kernels look up.
        """
        n_rows, pairs = len(row_start) - 1, np.diff(row_start)
        columns = np.diff(value_start) // np.maximum(pairs, 1)
        used = np.argsort(-pairs, kind="stable")[: np.count_nonzero(pairs)]
        places = np.zeros((5, n_rows + 1), np.int64)
        places[:2] = row_start, value_start
        real, imaginary = (np.empty(row_start[-1], np.int64) for _ in range(2))
        batches, tiles = [], []
        value = line = amplitude = 0
        for some in alike(pairs[used], columns[used]):
            rows = used[some]
            most, widest = int(pairs[rows].max()), int(columns[rows].max())
            batches.append(Batch(len(rows), most, widest, value, line, amplitude))
            for v in rows:
                places[2:, v] = value, most, widest
                of_row = slice(row_start[v], row_start[v + 1])
                real[of_row] = amplitude + np.arange(pairs[v])
                imaginary[of_row] = real[of_row] + most
                first = n_rows - 1 - widest // 2  # rows of the data are widest
                for begin in range(0, widest, COLUMNS_AT_ONCE):
                    n = min(COLUMNS_AT_ONCE, widest - begin)
                    tiles.append((v, first + begin, n, line + begin))
                value += most * widest
                line += widest
                amplitude += 2 * most
        return cls(
            row_start,
            value_start,
            real,
            imaginary,
            amplitude,
            batches,
            xp.asarray(places),
            xp.asarray(np.array(tiles, np.int64).reshape(-1, 4)),
            value,
            line,
        )


def alike(pairs: NDArray[np.int64], columns: NDArray[np.int64]) -> list[slice]:
    """Part rows in order of their pairs into batches that need few zeros.

    Parameters
    ----------
    pairs, columns : ndarray of int64, shape (n,)
        Of each row, most pairs first.

    Returns
    -------
    list of slice
    """
    allowed = max(PADDING * int((pairs * columns).sum()), FREE_ZEROS)
    found, first, widest, own = [], 0, 0, 0
    for i, (n, width) in enumerate(zip(pairs.tolist(), columns.tolist(), strict=True)):
        wider = max(widest, width)
        zeros = (i + 1 - first) * int(pairs[first]) * wider - own - n * width
        if i > first and zeros > allowed:
            found.append(slice(first, i))
            first, wider, own = i, width, 0
        widest, own = wider, own + n * width
    if len(pairs):
        found.append(slice(first, len(pairs)))
    return found
