"""Everything a user can set, in one frozen and validated description.

The fields of `Parameters` are the single source for the constructor, the session's
editable parameters, the dashboard's widgets, the command line and the documentation:
each carries its unit, range, meaning and the names that CryoSPARC and RELION users
know it by. They are declared in one module for each heading of the job.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any

from helixnb.errors import InputError
from helixnb.parameters.alignment import AlignmentParameters
from helixnb.parameters.field import checked
from helixnb.parameters.filament import FilamentParameters
from helixnb.parameters.helical import HelicalParameters
from helixnb.parameters.initial import InitialParameters
from helixnb.parameters.masks import MaskParameters
from helixnb.parameters.regularisation import RegularisationParameters
from helixnb.parameters.resolution import ResolutionParameters
from helixnb.parameters.search import SearchParameters
from helixnb.symmetry import HelicalSymmetry, parse_point_group

__all__ = ["Parameters", "check_name", "field_defaults", "field_names"]


# A dataclass lists the fields of its last base first.
@dataclass(frozen=True, kw_only=True)
class Parameters(
    ResolutionParameters,
    RegularisationParameters,
    MaskParameters,
    AlignmentParameters,
    InitialParameters,
    FilamentParameters,
    SearchParameters,
    HelicalParameters,
):
    """Parameters of one refinement iteration.

    Every field has a unit and a range; values outside raise at once. Use
    `dataclasses.replace` or `Parameters.changed` for an edited copy; the page of
    parameters has the table of all fields.

    Raises
    ------
    InputError
        If a value is of the wrong type or outside its range.
    """

    def __post_init__(self) -> None:
        """Check every field against its type and range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, checked(field, value))
        object.__setattr__(self, "point_group", parse_point_group(self.point_group))
        if (self.twist_deg is None) != (self.rise_A is None):
            given, missing = ("twist_deg", "rise_A")[
                :: 1 if self.rise_A is None else -1
            ]
            raise InputError(
                f"{given} is given without {missing}. Give both, or neither for a "
                "refinement without helical symmetry."
            )
        outer = self.outer_diameter_A
        if outer is not None and self.inner_diameter_A >= outer:
            raise InputError(
                f"inner_diameter_A ({self.inner_diameter_A:g} A) must be smaller than "
                f"outer_diameter_A ({outer:g} A)."
            )
        searched = self.search_diameters_A(math.inf if outer is None else outer)
        if searched[0] >= searched[1]:
            raise InputError(
                "Twist and rise would be searched between diameters of "
                f"{searched[0]:g} and {searched[1]:g} A: search_inner_diameter_A must "
                "be smaller than search_outer_diameter_A."
            )
        if self.mask_near_A >= self.mask_far_A:
            raise InputError(
                f"mask_near_A ({self.mask_near_A:g} A) must be smaller than "
                f"mask_far_A ({self.mask_far_A:g} A): a soft edge lies between."
            )

    @property
    def symmetry(self) -> HelicalSymmetry | None:
        """Twist, rise and point group as one object; None if asymmetric."""
        if self.twist_deg is None or self.rise_A is None:
            return None
        return HelicalSymmetry(self.twist_deg, self.rise_A, self.point_group)

    def search_diameters_A(self, outer_A: float) -> tuple[float, float]:
        """Diameters of the density that twist and rise are searched in.

        Parameters
        ----------
        outer_A : float
            Outer diameter of the mask.

        Returns
        -------
        inner_A, outer_A : float
        """
        inner, outer = self.search_inner_diameter_A, self.search_outer_diameter_A
        return (
            self.inner_diameter_A if inner is None else inner,
            outer_A if outer is None else outer,
        )

    @property
    def cyclic(self) -> int:
        """Fold of the rotation axis along the helix, the n of Cn or Dn."""
        return int(self.point_group[1:])

    @property
    def dihedral(self) -> bool:
        """Whether a two-fold lies across the helix axis."""
        return self.point_group.startswith("D")

    def changed(self, **values: Any) -> Parameters:
        """Return a copy with some fields changed.

        Parameters
        ----------
        **values
            New values by field name.

        Returns
        -------
        copy : Parameters
            Checked like a new one.

        Raises
        ------
        InputError
            For an unknown name or a value out of range.
        """
        for name in values:
            check_name(name)
        return dataclasses.replace(self, **values)

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as plain Python values, in order."""
        return dataclasses.asdict(self)


_FROM_FILE = "it is read from the particles file"
ELSEWHERE = {
    "pixel_size_A": f"{_FROM_FILE} (rlnImagePixelSize of its optics group)",
    "box_px": f"{_FROM_FILE} and its images",
    "inter_box_A": f"{_FROM_FILE} (rlnHelicalTrackLengthAngst)",
    "resolution_A": "the FSC decides; max_align_resolution_A limits the alignment",
    "pitch_A": "give twist_deg and rise_A; pitch = 360 rise_A / |twist_deg|",
    "symmetry": "give twist_deg, rise_A and point_group",
}
"""Where what people look for among the parameters is found."""


def field_names() -> list[str]:
    """Names of all parameters, in order."""
    return [field.name for field in dataclasses.fields(Parameters)]


def field_defaults() -> dict[str, Any]:
    """Defaults of the parameters that have one."""
    return {
        field.name: field.default
        for field in dataclasses.fields(Parameters)
        if field.default is not dataclasses.MISSING
    }


def check_name(name: str) -> None:
    """Refuse a name that is not a parameter, suggesting the nearest.

    Parameters
    ----------
    name : str
        What the user wrote.

    Raises
    ------
    InputError
        If there is no such parameter.
    """
    known = field_names()
    if name in known:
        return
    if name in ELSEWHERE:
        raise InputError(f"There is no parameter {name!r}: {ELSEWHERE[name]}.")
    close = difflib.get_close_matches(name, known, n=1)
    # All forty would bury the one that was meant.
    hint = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."
    raise InputError(f"There is no parameter {name!r}. {hint}")
