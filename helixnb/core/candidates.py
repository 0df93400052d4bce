"""Symmetries that a map may have: found anywhere, told apart, ranked.

Every operator that maps the lattice on to itself is a peak of the self-correlation:
peaks at the first lag are where to look, and as lags are added one by one each is
followed to its optimum, which sharpens in step. Multiples of a true symmetry are
symmetries too, and score as high; fractions of it are not, but half their lags agree.
A multiple therefore ranks behind what it is a multiple of unless that scores lower by
more than the lags scatter, and multiples and fractions of the best are named and
listed even where no peak was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from helixnb.core.optimum import Optimum, refined
from helixnb.core.self_correlation import (
    SelfCorrelation,
    score_grid,
    usable_lags,
)
from helixnb.core.symmetry_search import SymmetryScore
from helixnb.symmetry import wrap_twist_deg

_MOST_SEEDS = 300
_MOST_LISTED = 12
_MOST_MULTIPLES = 3
_FRACTIONS = (2, 3)
_SAME_SCORE = 0.02
"""Scores closer than this are not told apart, however little the lags scatter."""
_FAR_SCORE = 0.05
"""The same for a repeat that only just fits, scored on what little overlaps."""
_NOISE_PART = 0.1
"""Nor are those closer than this part of what noise takes from them: too few lags fit
into a map to tell their scatter."""


@dataclass(frozen=True)
class Candidate:
    """A symmetry with its score.

    Parameters
    ----------
    twist_deg, rise_A : float
    score : float
        Mean over its lags of the correlation of the map with its copies.
    scatter : float
        Standard error of that mean, from the scatter of the lags; nan for one lag.
    n_lags : int
    relation : str
        To the first candidate: "best", "2 x the best", "best / 2", "other hand" or
        empty.
    """

    twist_deg: float
    rise_A: float
    score: float
    scatter: float
    n_lags: int
    relation: str = ""


def candidates_of(
    correlation: SelfCorrelation, score: SymmetryScore
) -> tuple[Candidate, ...]:
    """Optimum of a score map, its other peaks, and multiples and fractions of it.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    score : SymmetryScore
        Its score map.

    Returns
    -------
    tuple of Candidate
        As of `ranked`, the optimum first.
    """
    lags = usable_lags(correlation.layers, float(score.rise_A[-1]))
    best = _candidate(correlation, score.best, lags)
    others = [
        followed(
            correlation, score.twist_deg[i], score.rise_A[j], first_lag=int(lags[-1])
        )
        for i, j in peaks(score.score)[:_MOST_LISTED]
    ]
    return ranked(correlation, others, best)


def peaks(score: NDArray[np.float64], *, wrapped: bool = False) -> NDArray[np.int64]:
    """Local maxima of a score map inside its border, the highest first.

    Parameters
    ----------
    score : ndarray of float64, shape (n_twist, n_rise)
        Scores.
    wrapped : bool
        The twists go once round, so that first and last row are neighbours.

    Returns
    -------
    ndarray of int64, shape (n_peaks, 2)
        Row and column; `_MOST_SEEDS` at most.
    """
    # Rows beyond the ends of a whole turn are those of the other end; of any other
    # range, first and last row are left out below.
    around = maximum_filter(np.concatenate([score[-1:], score, score[:1]]), 3)[1:-1]
    top = (score == around) & (score > 0)
    top[:, [0, -1]] = False
    if not wrapped:
        top[[0, -1]] = False
    rows, columns = np.nonzero(top)
    order = np.argsort(score[rows, columns])[::-1][:_MOST_SEEDS]
    return np.column_stack([rows[order], columns[order]])


def seeds(
    correlation: SelfCorrelation,
    twist_deg: tuple[float, float],
    rise_A: tuple[float, float],
) -> NDArray[np.float64]:
    """Peaks of the correlation at the first lag in a range of any size.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    twist_deg, rise_A : tuple of float
        First and last.

    Returns
    -------
    ndarray of float64, shape (n_seeds, 2)
        Twist in degrees and rise in Angstrom, the highest first.
    """
    step, climb = 2 * correlation.theta_step_deg, correlation.z_step_A
    low, high = twist_deg
    turn = 360 / correlation.layers.cyclic
    whole = high - low >= turn * (1 - 1e-9)
    if whole:
        low, high = -turn / 2, turn / 2
    n = max(int(np.ceil((high - low) / step)), 3)
    # A peak at the end of the range is seen only if the map goes on beyond it.
    beyond = 0 if whole else 2
    twists = low + (np.arange(-beyond, n + beyond)) * (high - low) / n
    last = min(rise_A[1], correlation.layers.reach_A)
    rises = np.arange(max(rise_A[0] - 2 * climb, climb / 4), last + 2 * climb, climb)
    score = score_grid(correlation, twists, rises, np.array([1]))
    found = peaks(score, wrapped=whole)
    places = np.column_stack([twists[found[:, 0]], rises[found[:, 1]]])
    inside = (
        (places[:, 0] >= low - step)
        & (places[:, 0] <= high + step)
        & (places[:, 1] >= rise_A[0] - climb)
        & (places[:, 1] <= rise_A[1] + climb)
    )
    return places[inside]


def followed(
    correlation: SelfCorrelation, twist_deg: float, rise_A: float, first_lag: int = 1
) -> Candidate:
    """Follow a peak to its optimum over all lags that fit, doubling their number.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    twist_deg, rise_A : float
        Where it is to the accuracy of `first_lag`.
    first_lag : int
        Longest lag to begin with.

    Returns
    -------
    Candidate
    """
    width = peak_width(correlation)
    place = (twist_deg, rise_A)
    longest = first_lag
    while True:
        lags = usable_lags(correlation.layers, place[1])
        most = int(lags[-1])
        longest = min(longest, most)
        if longest < most:
            lags = np.unique(np.rint(np.linspace(1, longest, min(longest, 24)))).astype(
                int
            )
        # The first zoom looks at an eighth of the extent given.
        extent = (8 * width[0] / longest, 8 * width[1] / longest)
        best = refined(correlation, place, extent, lags)
        place = best.twist_deg, max(best.rise_A, correlation.z_step_A / 4)
        if longest == most:
            return _candidate(correlation, best, lags)
        longest *= 2


def peak_width(correlation: SelfCorrelation) -> tuple[float, float]:
    """Distances over which the finest detail passes through half a period.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.

    Returns
    -------
    twist_deg, rise_A : float
        At the first lag; at others, divided by it.
    """
    layers = correlation.layers
    return 180.0 / float(layers.orders[-1]), 0.5 / float(layers.z_per_A[-1])


def _candidate(
    correlation: SelfCorrelation, best: Optimum, lags: NDArray[np.int64]
) -> Candidate:
    n = len(lags)
    each = _lag_scores(correlation, best, lags)
    spread = float(np.std(each, ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    twist_deg = wrap_twist_deg(best.twist_deg)
    return Candidate(twist_deg, best.rise_A, best.score, spread, n)


def _lag_scores(
    correlation: SelfCorrelation, at: Optimum | Candidate, lags: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Score of each lag by itself."""
    twist, rise = np.array([at.twist_deg]), np.array([at.rise_A])
    each = [score_grid(correlation, twist, rise, lag) for lag in lags[:, None]]
    return np.ravel(each)


def ranked(
    correlation: SelfCorrelation, found: list[Candidate], best: Candidate | None = None
) -> tuple[Candidate, ...]:
    """Drop repeats, name relations, add multiples and fractions of the best, rank.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    found : list of Candidate
        From `followed`, in any order.
    best : Candidate, optional
        To be the first, as the choice of a search; by default chosen here.

    Returns
    -------
    tuple of Candidate
        The best first, then by score; `_MOST_LISTED` at most.
    """
    apart = _distinct(correlation, found)
    if not apart and best is None:
        return ()
    first = best or _simplest(correlation, apart)
    others = _distinct(correlation, [first, *apart])[1:]
    reach = correlation.layers.reach_A
    turn = 360.0 / correlation.layers.cyclic
    derived = [
        ((first.twist_deg + turn * j) / q, first.rise_A / q)
        for q in _FRACTIONS
        for j in range(q)
    ]
    derived += [
        (m * first.twist_deg, m * first.rise_A)
        for m in range(2, 2 + _MOST_MULTIPLES)
        if m * first.rise_A <= reach
    ]
    # As sharp as the best is known, or the zoom would leave for a neighbour.
    lag = int(usable_lags(correlation.layers, first.rise_A)[-1])
    others += [followed(correlation, *place, first_lag=lag) for place in derived]
    named = [
        replace(c, relation=_relation(correlation, c, first))
        for c in _distinct(correlation, [first, *others])[1:]
    ]
    # A lattice has a multiple at every rise: the smallest few stand for the others.
    multiples = [c for c in named if c.relation.endswith("x the best")]
    smallest = sorted(multiples, key=lambda c: c.rise_A)[:_MOST_MULTIPLES]
    # Fractions are told however low they score: that they do is the news.
    listed = smallest + [c for c in named if c.relation.startswith("best / ")]
    rest = [c for c in named if c not in multiples and c not in listed]
    rest.sort(key=lambda c: -c.score)
    listed += rest[: max(_MOST_LISTED - 1 - len(listed), 0)]
    listed.sort(key=lambda c: -c.score)
    return (replace(first, relation="best"), *listed)


def _distinct(
    correlation: SelfCorrelation, candidates: list[Candidate]
) -> list[Candidate]:
    """Leave out those that another one, earlier in the list, stands for."""
    width = peak_width(correlation)
    turn = 360.0 / correlation.layers.cyclic
    out: list[Candidate] = []
    for c in candidates:
        near = (
            abs(_wrapped(c.twist_deg - o.twist_deg, turn)) < width[0] / 4
            and abs(c.rise_A - o.rise_A) < width[1] / 4
            for o in out
        )
        if not any(near):
            out.append(c)
    return out


def _wrapped(angle_deg: float, turn_deg: float) -> float:
    return (angle_deg + turn_deg / 2) % turn_deg - turn_deg / 2


def _simplest(correlation: SelfCorrelation, candidates: list[Candidate]) -> Candidate:
    """Highest score, or what it is a multiple of if that holds at all its lags."""
    best = max(candidates, key=lambda c: c.score)
    for c in sorted(candidates, key=lambda c: c.rise_A):
        factor = _factor(correlation, best, c)
        if factor > 1 and _holds_between(correlation, c, best, factor):
            return c
    return best


def _holds_between(
    correlation: SelfCorrelation, part: Candidate, whole: Candidate, factor: int
) -> bool:
    """Whether copies of a part between those of the whole agree as these do.

    At the multiples a part of a symmetry agrees however wrong it is, so its mean says
    little, and the scatter of all its lags is largest if it is wrong: each kind has
    to be set against its own.
    """
    lags = usable_lags(correlation.layers, part.rise_A)
    each = _lag_scores(correlation, part, lags)
    # A part of what repeats agrees at the multiples of a divisor already.
    for divisor in (d for d in range(2, factor + 1) if factor % d == 0):
        multiples, least = each[lags % divisor == 0], _SAME_SCORE
        if not len(multiples):
            multiples, least = np.array([min(whole.score, 1.0)]), _FAR_SCORE
        if not _alike(multiples, each[lags % divisor > 0], least):
            return False
    return True


def _alike(
    multiples: NDArray[np.float64], between: NDArray[np.float64], least: float
) -> bool:
    """Whether scores are no lower between the multiples, within their scatter."""
    freedom = len(multiples) + len(between) - 2
    squares = sum(len(g) * float(np.var(g)) for g in (multiples, between))
    variance = squares / freedom if freedom else 0.0
    error = np.sqrt(variance * (1 / len(multiples) + 1 / len(between)))
    noise = _NOISE_PART * (1 - multiples.mean())
    close = max(least, noise, 2 * error)
    return bool(multiples.mean() - between.mean() <= close)


def _factor(correlation: SelfCorrelation, c: Candidate, unit: Candidate) -> int:
    """Return k if a candidate is k times another, and 0 otherwise."""
    k = round(c.rise_A / unit.rise_A)
    if k < 1:
        return 0
    width = peak_width(correlation)
    turn = 360.0 / correlation.layers.cyclic
    off = abs(_wrapped(c.twist_deg - k * unit.twist_deg, turn)) / width[0]
    climb = abs(c.rise_A - k * unit.rise_A) / width[1]
    return k if max(off, climb) < 0.5 else 0


def _relation(correlation: SelfCorrelation, c: Candidate, best: Candidate) -> str:
    """Name what a candidate is to the best, if it is anything simple."""
    if (k := _factor(correlation, c, best)) > 1:
        return f"{k} x the best"
    if (k := _factor(correlation, best, c)) > 1:
        return f"best / {k}"
    mirrored = replace(c, twist_deg=-c.twist_deg)
    if _factor(correlation, mirrored, best) == 1:
        return "other hand"
    return ""
