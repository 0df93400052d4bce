"""Everything a user can set, in one frozen and validated description.

The fields of `Parameters` are the single source for the constructor, the session's
editable parameters, the dashboard's widgets and the command line: each carries its
unit, range, meaning and the names that CryoSPARC and RELION users know it by.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any

from helixnb.errors import InputError
from helixnb.symmetry import HelicalSymmetry


def _field(
    default: Any,
    *,
    unit: str,
    group: str,
    doc: str,
    low: float | None = None,
    high: float | None = None,
    cryosparc: str = "",
    relion: str = "",
) -> Any:
    """Dataclass field with the metadata that every front end reads."""
    metadata = {
        "unit": unit,
        "group": group,
        "doc": doc,
        "low": low,
        "high": high,
        "cryosparc": cryosparc,
        "relion": relion,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Parameters of one refinement iteration.

    Every field has a unit and a range; values outside raise at once. Use
    `dataclasses.replace` or `Parameters.changed` for an edited copy, and
    `Parameters.describe` for the table of all fields.

    Raises
    ------
    InputError
        If a value is of the wrong type or outside its range.
    """

    twist_deg: float = _field(
        dataclasses.MISSING,
        unit="deg",
        low=-180,
        high=180,
        group="Symmetry",
        doc="Helical twist per subunit; positive is right-handed.",
        cryosparc="Helical twist estimate",
        relion="--helical_twist_initial",
    )
    rise_A: float = _field(
        dataclasses.MISSING,
        unit="A",
        low=0.01,
        high=1000,
        group="Symmetry",
        doc="Helical rise per subunit.",
        cryosparc="Helical rise estimate",
        relion="--helical_rise_initial",
    )
    point_group: str = _field(
        "C1",
        unit="",
        group="Symmetry",
        doc="Point group: Cn about the helix axis, or Dn with a dyad across it.",
        cryosparc="Point group symmetry",
        relion="--sym",
    )
    symmetry_order: int | None = _field(
        None,
        unit="copies",
        low=1,
        high=10000,
        group="Symmetry",
        doc="Copies of each image in the reconstruction; None takes "
        "floor(inter-box distance / rise), 1 applies no helical symmetry there.",
        cryosparc="Maximum symmetry order to apply during reconstruction",
        relion="--helical_nr_asu",
    )
    real_space_symmetry_A: float = _field(
        8.0,
        unit="A",
        low=0,
        high=50,
        group="Symmetry",
        doc="Resolution from which alignment references are re-grown over the whole "
        "box by the symmetry, once twist and rise have settled; 0 never.",
        cryosparc="Resolution to begin real-space symmetrization",
        relion="--helical_z_percentage",
    )
    search_symmetry: bool = _field(
        True,
        unit="",
        group="Symmetry search",
        doc="Refine twist and rise from the score map of each iteration.",
        cryosparc="Local searches of helical symmetry",
        relion="--helical_symmetry_search",
    )
    search_start_A: float = _field(
        10.0,
        unit="A",
        low=3,
        high=30,
        group="Symmetry search",
        doc="Resolution at which twist and rise start to be refined.",
        cryosparc="Resolution to begin local searches of helical symmetry",
    )
    twist_extent_deg: float = _field(
        3.0,
        unit="deg",
        low=0.01,
        high=90,
        group="Symmetry search",
        doc="Half width of the twist search about the given estimate.",
        cryosparc="Minimum / maximum helical twist to search",
        relion="--helical_twist_min / max",
    )
    rise_extent_percent: float = _field(
        10.0,
        unit="%",
        low=0.01,
        high=50,
        group="Symmetry search",
        doc="Half width of the rise search, per cent of the given estimate.",
        cryosparc="Minimum / maximum helical rise to search",
        relion="--helical_rise_min / max",
    )
    search_grid: int = _field(
        128,
        unit="points",
        low=8,
        high=512,
        group="Symmetry search",
        doc="Points of the score map along twist and along rise.",
        cryosparc="Twist / rise grid size",
    )
    outer_diameter_A: float | None = _field(
        None,
        unit="A",
        low=1,
        high=5000,
        group="Filament",
        doc="Outer diameter of the filament; None measures it from the images.",
        cryosparc="Filament outer diameter",
        relion="--helical_outer_diameter",
    )
    inner_diameter_A: float = _field(
        0.0,
        unit="A",
        low=0,
        high=5000,
        group="Filament",
        doc="Diameter of the empty channel along the axis, masked out.",
        cryosparc="Filament inner diameter",
        relion="--helical_inner_diameter",
    )
    initial_lowpass_A: float = _field(
        20.0,
        unit="A",
        low=5,
        high=100,
        group="Initial model",
        doc="Resolution of the initial density.",
        cryosparc="Initial lowpass resolution",
        relion="--ini_high",
    )
    initial_images: int = _field(
        5000,
        unit="images",
        low=1,
        high=10_000_000,
        group="Initial model",
        doc="Images in the initial density, each at a random azimuth.",
        cryosparc="Number of images for initial density",
    )
    bootstrap_iterations: int = _field(
        6,
        unit="iterations",
        low=0,
        high=100,
        group="Initial model",
        doc="First iterations, with one reference for both halves and almost hard "
        "assignments, in which structure grows out of the featureless density.",
    )
    max_tilt_deg: float = _field(
        15.0,
        unit="deg",
        low=0,
        high=45,
        group="Alignment",
        doc="Largest out-of-plane tilt searched.",
        cryosparc="Maximum out-of-plane tilt angle",
        relion="--sigma_tilt",
    )
    tilt_sd_deg: float = _field(
        5.0,
        unit="deg",
        low=0.1,
        high=30,
        group="Alignment",
        doc="Initial standard deviation of the tilt about its prior; re-estimated.",
        relion="--sigma_tilt",
    )
    psi_sd_deg: float = _field(
        3.0,
        unit="deg",
        low=0.1,
        high=30,
        group="Alignment",
        doc="Initial standard deviation of the in-plane angle about its prior; "
        "re-estimated.",
        relion="--sigma_psi",
    )
    shift_sd_A: float = _field(
        6.0,
        unit="A",
        low=0.1,
        high=200,
        group="Alignment",
        doc="Initial standard deviation of the transverse shift; re-estimated.",
        relion="--offset_range",
    )
    max_align_resolution_A: float | None = _field(
        None,
        unit="A",
        low=1,
        high=50,
        group="Alignment",
        doc="Finest resolution used for alignment; None lets the FSC decide.",
        cryosparc="Maximum align resolution",
        relion="--strict_highres_exp",
    )
    coherence: bool = _field(
        True,
        unit="",
        group="Alignment",
        doc="Let segments of a filament inform each other on polarity, azimuth and "
        "axial register.",
    )
    picking_sd_A: float = _field(
        3.0,
        unit="A",
        low=0.1,
        high=100,
        group="Alignment",
        doc="Standard deviation of box positions along the filament.",
    )
    drift_deg: float = _field(
        8.0,
        unit="deg",
        low=0,
        high=90,
        group="Alignment",
        doc="Standard deviation of the azimuth gained between neighbouring boxes, "
        "from twist disorder and error in the symmetry.",
    )
    split_resolution_A: float = _field(
        20.0,
        unit="A",
        low=5,
        high=100,
        group="Resolution",
        doc="Half-maps are independent only beyond this resolution.",
        cryosparc="GSFSC split resolution",
        relion="--low_resol_join_halves",
    )
    mask_z_fraction: float = _field(
        0.7,
        unit="",
        low=0.1,
        high=0.95,
        group="Resolution",
        doc="Central part of the box inside the FSC mask.",
        cryosparc="Dynamic mask z-clip fraction",
    )
    max_iterations: int = _field(
        40,
        unit="iterations",
        low=1,
        high=1000,
        group="Resolution",
        doc="Iterations after which a run ends even if not converged.",
        cryosparc="Maximum number of iterations",
    )

    def __post_init__(self) -> None:
        """Check every field against its type and range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, _checked(field, value))
        _ = self.symmetry
        outer = self.outer_diameter_A
        if outer is not None and self.inner_diameter_A >= outer:
            raise InputError(
                f"inner_diameter_A ({self.inner_diameter_A:g} A) must be smaller than "
                f"outer_diameter_A ({outer:g} A)."
            )

    @property
    def symmetry(self) -> HelicalSymmetry:
        """Twist, rise and point group as one object."""
        return HelicalSymmetry(self.twist_deg, self.rise_A, self.point_group)

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


def field_names() -> list[str]:
    """Names of all parameters, in order."""
    return [field.name for field in dataclasses.fields(Parameters)]


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
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise InputError(
        f"There is no parameter {name!r}.{hint} Parameters are: {', '.join(known)}."
    )


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """Value converted to the field's type and inside its range, or an error."""
    kind = str(field.type)
    unit = field.metadata["unit"]
    if value is None and "None" in kind:
        return None
    if "bool" in kind:
        if not isinstance(value, bool):
            raise InputError(f"{field.name} must be True or False, got {value!r}.")
        return value
    if "str" in kind:
        if not isinstance(value, str):
            raise InputError(f"{field.name} must be text, got {value!r}.")
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"{field.name} must be a number ({unit}), got {value!r}."
        ) from None
    low, high = field.metadata["low"], field.metadata["high"]
    if (
        isinstance(value, bool)
        or not math.isfinite(number)
        or not low <= number <= high
    ):
        raise InputError(
            f"{field.name} must be between {low:g} and {high:g} {unit}, got {value!r}."
        )
    if "int" in kind:
        if number != int(number):
            raise InputError(f"{field.name} must be a whole number, got {value!r}.")
        return int(number)
    return number
