"""Twist-rise score maps and their optima.

A search scores a grid of twists and rises on a prepared map
(`self_correlation.SelfCorrelation`) and refines the best point below the grid step. A
symmetry found twice as far out as it was looked for should be seen, not missed: where
the optimum lies on the edge the extents are doubled, a limited number of times, and
the result tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.core.optimum import Optimum, refined
from helixnb.core.self_correlation import SelfCorrelation, score_grid

MAX_EXTENSIONS = 2
"""Times that the extents are doubled while the optimum lies on the edge."""


@dataclass(frozen=True)
class SearchRange:
    """Grid of a search.

    Parameters
    ----------
    twist_deg, rise_A : tuple of float
        Centre and half width.
    points : tuple of int
        Points along twist and along rise.
    """

    twist_deg: tuple[float, float]
    rise_A: tuple[float, float]
    points: tuple[int, int] = (128, 128)

    @classmethod
    def between(
        cls,
        twist_deg: tuple[float, float],
        rise_A: tuple[float, float],
        points: tuple[int, int] = (128, 128),
    ) -> SearchRange:
        """Range from the first to the last twist and rise.

        Parameters
        ----------
        twist_deg, rise_A : tuple of float
            First and last.
        points : tuple of int
            Points along twist and along rise.

        Returns
        -------
        SearchRange
        """
        (a, b), (c, d) = twist_deg, rise_A
        return cls(((a + b) / 2, (b - a) / 2), ((c + d) / 2, (d - c) / 2), points)

    @property
    def twists(self) -> NDArray[np.float64]:
        """Twists of the grid, degrees."""
        centre, half = self.twist_deg
        return np.linspace(centre - half, centre + half, self.points[0])

    @property
    def rises(self) -> NDArray[np.float64]:
        """Rises of the grid, Angstrom."""
        centre, half = self.rise_A
        return np.linspace(centre - half, centre + half, self.points[1])

    def doubled(self) -> SearchRange:
        """Range of twice the extents; rises stay above a tenth of their centre."""
        rise, half = self.rise_A
        return SearchRange(
            (self.twist_deg[0], min(2 * self.twist_deg[1], 180.0)),
            (rise, min(2 * half, 0.9 * rise)),
            self.points,
        )


@dataclass(frozen=True)
class SymmetryScore:
    """Score map with its optimum.

    Parameters
    ----------
    twist_deg : ndarray of float64, shape (n_twist,)
    rise_A : ndarray of float64, shape (n_rise,)
    score : ndarray of float64, shape (n_twist, n_rise)
        1 for perfect symmetry, about 0 for none.
    best : Optimum
        Refined below the grid step.
    on_edge : bool
        The optimum lies on the border of the grid.
    """

    twist_deg: NDArray[np.float64]
    rise_A: NDArray[np.float64]
    score: NDArray[np.float64]
    best: Optimum
    on_edge: bool

    @property
    def best_twist_deg(self) -> float:
        """Twist of the optimum, degrees."""
        return self.best.twist_deg

    @property
    def best_rise_A(self) -> float:
        """Rise of the optimum, Angstrom."""
        return self.best.rise_A

    @property
    def best_score(self) -> float:
        """Score of the optimum."""
        return self.best.score


def search(correlation: SelfCorrelation, where: SearchRange) -> SymmetryScore:
    """Score a grid and refine its optimum.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    where : SearchRange
        Grid.

    Returns
    -------
    SymmetryScore
    """
    twist, rise = where.twists, where.rises
    score = score_grid(correlation, twist, rise)
    i, j = np.unravel_index(int(np.argmax(score)), score.shape)
    on_edge = bool(i in (0, len(twist) - 1) or j in (0, len(rise) - 1))
    best = refined(
        correlation,
        (float(twist[i]), float(rise[j])),
        (float(np.ptp(twist)), float(np.ptp(rise))),
    )
    return SymmetryScore(twist, rise, score, best, on_edge)


def search_extending(
    correlation: SelfCorrelation, where: SearchRange
) -> tuple[SymmetryScore, int]:
    """Search, doubling the extents while the optimum lies on the edge.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    where : SearchRange
        Grid to begin with.

    Returns
    -------
    score : SymmetryScore
        Of the last grid, whose optimum may still lie on the edge.
    extensions : int
        Doublings, `MAX_EXTENSIONS` at most.
    """
    found = search(correlation, where)
    extensions = 0
    while found.on_edge and extensions < MAX_EXTENSIONS:
        where = where.doubled()
        extensions += 1
        found = search(correlation, where)
    return found, extensions
