"""Where a search looks: ranges of twist and rise, or of subunits per turn and pitch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from helixnb.core.candidates import Candidate
from helixnb.errors import InputError

Range = tuple[float, float]
Axes = Literal["twist-rise", "pitch"]
Hand = Literal["right", "left"]

_NAMES = {
    "twist-rise": ("twist_deg", "rise_A"),
    "pitch": ("subunits_per_turn", "pitch_A"),
}
_SLACK = 1e-3


@dataclass(frozen=True)
class SearchWindow:
    """Range of a search over either pair of axes.

    Parameters
    ----------
    axes : "twist-rise" or "pitch"
        Twist and rise, or subunits per turn and pitch.
    first, second : tuple of float
        Ends along the first and the second axis.
    hand : "right", "left" or None
        None for both.
    points : tuple of int
        Of the score map.

    Raises
    ------
    InputError
        For a range that is empty or out of bounds.
    """

    axes: Axes
    first: Range
    second: Range
    hand: Hand | None
    points: tuple[int, int]

    def __post_init__(self) -> None:
        """Check both ranges; a hand leaves its half of the twists."""
        ranges = zip(_NAMES[self.axes], (self.first, self.second), strict=True)
        for name, (low, high) in ranges:
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise InputError(
                    f"{name} must go from a smaller to a larger number, got "
                    f"({low:g}, {high:g})."
                )
            if name != "twist_deg" and low <= 0:
                raise InputError(f"{name} must be greater than 0, got {low:g}.")
        low, high = self.first
        if self.axes == "pitch":
            if low < 1:
                raise InputError(
                    f"subunits_per_turn must be at least 1, got {low:g}; a helix with "
                    "fewer is one of the other hand with more."
                )
            return
        if high - low > 360:
            raise InputError("twist_deg must not go round more than once.")
        if self.hand is not None:
            right = self.hand == "right"
            ends = (max(low, 0.0), high) if right else (low, min(high, 0.0))
            if ends[0] >= ends[1]:
                raise InputError(
                    f"twist_deg from {low:g} to {high:g} holds no {self.hand}-handed "
                    "twist."
                )
            object.__setattr__(self, "first", ends)

    @property
    def hands(self) -> tuple[Hand, ...]:
        """Hands of the score maps in pitch mode."""
        return ("right", "left") if self.hand is None else (self.hand,)

    def boxes(self) -> list[tuple[Range, Range]]:
        """Ranges of twist and rise that hold all of the window."""
        if self.axes == "twist-rise":
            return [(self.first, self.second)]
        (few, many), (short, long) = self.first, self.second
        boxes = []
        for hand in self.hands:
            ends = sorted(sign(hand) * 360.0 / u for u in (few, many))
            boxes.append(((ends[0], ends[1]), (short / many, long / few)))
        return boxes

    def covers(
        self, twist_deg: NDArray[np.float64], rise_A: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Which points of one of the `boxes` lie in the window.

        Parameters
        ----------
        twist_deg : ndarray of float64, shape (n,)
            Of the rows.
        rise_A : ndarray of float64, shape (m,)
            Of the columns.

        Returns
        -------
        ndarray of bool, shape (n, m)
        """
        if self.axes == "twist-rise":
            return np.ones((len(twist_deg), len(rise_A)), bool)
        pitch = np.multiply.outer(360.0 / np.abs(twist_deg), rise_A)
        slack = _SLACK * (self.second[1] - self.second[0])
        inside: NDArray[np.bool_] = (pitch >= self.second[0] - slack) & (
            pitch <= self.second[1] + slack
        )
        return inside

    def holds(self, candidate: Candidate, cyclic: int) -> bool:
        """Whether a candidate lies in the window, to a part of a grid step.

        Parameters
        ----------
        candidate : Candidate
            To be looked up.
        cyclic : int
            Twists that differ by 360 / cyclic degrees are one.

        Returns
        -------
        bool
        """
        twists = [
            candidate.twist_deg + 360.0 / cyclic * k for k in range(-cyclic, cyclic + 1)
        ]
        if self.axes == "twist-rise":
            turned = any(_within(t, self.first) for t in twists)
            return turned and _within(candidate.rise_A, self.second)
        subunits = [
            360.0 / (sign(hand) * t)
            for hand in self.hands
            for t in twists
            if sign(hand) * t > 0
        ]
        return any(
            _within(u, self.first) and _within(u * candidate.rise_A, self.second)
            for u in subunits
        )


def sign(hand: Hand) -> int:
    """Sign of the twist of a hand.

    Parameters
    ----------
    hand : "right" or "left"
        Of the 1-start helix.

    Returns
    -------
    int
    """
    return 1 if hand == "right" else -1


def _within(value: float, ends: Range) -> bool:
    slack = _SLACK * (ends[1] - ends[0])
    return ends[0] - slack <= value <= ends[1] + slack
