"""Helical symmetry and where it is applied."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter

GROUP = "Helical symmetry"


@dataclass(frozen=True, kw_only=True)
class HelicalParameters:
    """Helical symmetry and where it is applied."""

    twist_deg: float | None = parameter(
        None,
        unit="deg",
        low=-180,
        high=180,
        group=GROUP,
        doc="Helical twist per subunit, positive if right-handed. Without it and the "
        "rise no helical symmetry is imposed.",
        when="Whenever known; leave out (with the rise) for an asymmetric refinement.",
        cryosparc="Helical twist estimate",
        relion="--helical_twist_initial",
    )
    rise_A: float | None = parameter(
        None,
        unit="A",
        low=0.01,
        high=1000,
        group=GROUP,
        doc="Helical rise per subunit. Without it and the twist no helical symmetry is "
        "imposed.",
        when="Whenever known; leave out (with the twist) for an asymmetric refinement.",
        cryosparc="Helical rise estimate",
        relion="--helical_rise_initial",
    )
    impose_symmetry: bool = parameter(
        True,
        unit="",
        group=GROUP,
        doc="Impose twist and rise in every iteration; off, only while structure grows "
        "(the bootstrap, or one iteration from a given map): the refinement then goes "
        "on without helical symmetry.",
        when="Off for an asymmetric refinement of which twist and rise are roughly "
        "known, such as one with pseudo-symmetry.",
    )
    point_group: str = parameter(
        "C1",
        unit="",
        group=GROUP,
        doc="Point group: Cn about the helix axis, or Dn with a dyad across it.",
        when="If rotations about the axis or a dyad across it map the "
        "filament to itself.",
        cryosparc="Point group symmetry",
        relion="--sym",
    )
    symmetry_order: int | None = parameter(
        None,
        unit="copies",
        low=1,
        high=10000,
        group=GROUP,
        doc="Copies of each image in the reconstruction; None takes "
        "floor(inter-box distance / rise), 1 applies no helical symmetry there.",
        when="If the file does not tell the distance between boxes; 2 or 3 "
        "give a doubtful symmetry more room.",
        cryosparc="Maximum symmetry order to apply during reconstruction",
        relion="--helical_nr_asu",
    )
    real_space_symmetry_A: float = parameter(
        8.0,
        unit="A",
        low=0,
        high=50,
        group=GROUP,
        doc="Resolution from which alignment references are re-grown over the whole "
        "box by the symmetry, once twist and rise have settled; until then only over "
        "ten subunits or so; 0 not at all once structure has grown.",
        when="4 to 5 while twist and rise are doubtful; 0 for flexible filaments.",
        cryosparc="Resolution to begin real-space symmetrization",
        relion="--helical_z_percentage",
    )
    limit_shifts: str = parameter(
        "always",
        unit="",
        choices=("always", "final", "never"),
        group=GROUP,
        doc="When shifts along the axis are limited to half a rise, so that each "
        "subunit of the specimen counts once: in every iteration, in a last one "
        "after the others have converged, or never. Needed for symmetry expansion.",
        when="'final' or 'never' to let images find their place further along the "
        "axis; references are symmetric, so this seldom changes the result.",
        cryosparc="Limit shifts along the helical axis",
        relion="--helical_offset_step",
    )
    axial_range_A: float | None = parameter(
        None,
        unit="A",
        low=0.1,
        high=1000,
        group=GROUP,
        doc="Largest shift along the axis where it is not limited to half a rise; "
        "None takes half the distance between boxes.",
        when="In asymmetric refinement: at least half of the true rise.",
        relion="--offset_range",
    )
