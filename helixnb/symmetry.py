"""The symmetry of a helix: twist, rise and point group, and what follows from them.

One frozen value object states the convention everything else relies on, so that no
other module has to think about signs or ranges: the map obeys
``rho(r, phi + twist, z + rise) = rho(r, phi, z)``, a positive twist is a right-handed
1-start helix, and the rise is positive. This is RELION's convention too
(``rlnHelicalTwist``, ``rlnHelicalRise``).
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from helixnb.errors import InputError

_POINT_GROUP = re.compile(r"([CD])([1-9][0-9]*)")

# A spacing of n rises must still count as n when the rise is a little off, or the
# order would flicker while the rise is refined.
_SPACING_TOLERANCE = 0.02


@dataclass(frozen=True)
class HelicalSymmetry:
    """Helical symmetry operator, with the point group about the helix axis.

    Attributes
    ----------
    twist_deg : float
        Rotation per subunit in degrees, positive for a right-handed 1-start helix.
        Any finite value is accepted and stored wrapped into (-180, 180].
    rise_A : float
        Translation per subunit along the axis in Angstrom, > 0.
    point_group : str
        ``"Cn"`` (n-fold about z) or ``"Dn"`` (also a two-fold about x, as RELION
        places it); stored in upper case.

    Raises
    ------
    InputError
        If a value is not a finite number, the rise is not positive, or the point
        group is neither Cn nor Dn.

    Examples
    --------
    >>> actin = HelicalSymmetry(twist_deg=-166.65, rise_A=28.11)
    >>> actin.handedness
    'left'
    >>> round(actin.subunits_per_turn, 3)
    2.16
    """

    twist_deg: float
    rise_A: float
    point_group: str = "C1"

    def __post_init__(self) -> None:
        twist_deg = _finite(self.twist_deg, "twist_deg", "degrees per subunit")
        rise_A = _finite(self.rise_A, "rise_A", "Angstrom per subunit")
        if rise_A <= 0:
            raise InputError(
                f"rise_A must be > 0 Angstrom, got {rise_A:g}. "
                "Give the rise as a positive number; the sign of the twist carries "
                "the hand."
            )
        object.__setattr__(self, "twist_deg", wrap_twist_deg(twist_deg))
        object.__setattr__(self, "rise_A", rise_A)
        object.__setattr__(self, "point_group", parse_point_group(self.point_group))

    def __str__(self) -> str:
        return f"{self.twist_deg:g} deg, {self.rise_A:g} A, {self.point_group}"

    @property
    def cyclic(self) -> int:
        """Fold n of the rotation axis along z, the n of Cn or Dn."""
        return int(self.point_group[1:])

    @property
    def dihedral(self) -> bool:
        """Whether a two-fold perpendicular to z makes both polarities the same."""
        return self.point_group.startswith("D")

    @property
    def pitch_A(self) -> float:
        """Length of one turn of the 1-start helix in Angstrom; inf at zero twist."""
        return self.subunits_per_turn * self.rise_A

    @property
    def subunits_per_turn(self) -> float:
        """Subunits in one turn of the 1-start helix, 360/abs(twist); inf at zero."""
        return 360.0 / abs(self.twist_deg) if self.twist_deg else math.inf

    @property
    def handedness(self) -> Literal["right", "left", "none"]:
        """Hand of the 1-start helix; ``"none"`` at twists of 0 and 180 degrees."""
        if self.twist_deg in (0.0, 180.0):
            return "none"
        return "right" if self.twist_deg > 0 else "left"

    def order_from_spacing(self, inter_box_A: float) -> int:
        """Symmetry order that uses each subunit of the specimen about once.

        Parameters
        ----------
        inter_box_A : float
            Distance between neighbouring boxes along the filament in Angstrom.

        Returns
        -------
        int
            ``max(1, floor(inter_box_A / rise_A))``, a ratio within 0.02 below a whole
            number counting as that number: the number of new subunits each image
            brings. More copies than that would count the same data again.

        Raises
        ------
        InputError
            If the distance is not a positive finite number.
        """
        distance_A = _finite(inter_box_A, "inter_box_A", "Angstrom")
        if distance_A <= 0:
            raise InputError(
                f"inter_box_A must be > 0 Angstrom, got {distance_A:g}. It is the "
                "distance between neighbouring boxes of one filament."
            )
        return max(1, math.floor(distance_A / self.rise_A + _SPACING_TOLERANCE))

    def copies(self, order: int) -> npt.NDArray[np.int64]:
        """Powers k of the operator that a symmetry order stands for.

        Parameters
        ----------
        order : int
            Number of copies, >= 1.

        Returns
        -------
        ndarray of int64, shape (order,)
            Consecutive k with 0 among them; for an even order the extra copy is at
            the negative end, as in RELION (``backprojector.cpp``,
            ``applyHelicalSymmetry``): 4 gives -2..1 and 5 gives -2..2.

        Raises
        ------
        InputError
            If the order is not a whole number >= 1.
        """
        if int(order) != order or order < 1:
            raise InputError(
                f"The helical symmetry order must be a whole number >= 1, got {order}."
            )
        first = -(int(order) // 2)
        return np.arange(first, first + int(order), dtype=np.int64)


def wrap_twist_deg(angle_deg: float) -> float:
    """Wrap an angle in degrees into (-180, 180].

    Parameters
    ----------
    angle_deg : float
        Any finite angle in degrees.

    Returns
    -------
    float
        The same rotation, in (-180, 180]; values already there are returned
        unchanged to the last bit.
    """
    if -180.0 < angle_deg <= 180.0:
        return angle_deg
    wrapped = math.remainder(angle_deg, 360.0)
    return 180.0 if wrapped == -180.0 else wrapped


def _finite(value: float, name: str, unit: str) -> float:
    """Return value as a finite float or say which field was wrong."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} must be a finite number ({unit}), got {value!r}.")
    return number


def parse_point_group(name: str) -> str:
    """Check the name of a point group.

    Parameters
    ----------
    name : str
        Cn or Dn, in either case.

    Returns
    -------
    str
        In upper case.

    Raises
    ------
    InputError
        If a helix cannot have it.
    """
    text = str(name).strip().upper()
    if not _POINT_GROUP.fullmatch(text):
        raise InputError(
            f"point_group must be Cn or Dn with n >= 1, such as 'C1', 'C3' or 'D2', "
            f"got {name!r}. Other point groups have no unique axis for a helix."
        )
    return text
