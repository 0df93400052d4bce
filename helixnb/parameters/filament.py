"""The filament and the masks around it."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter

GROUP = "Filament"


@dataclass(frozen=True, kw_only=True)
class FilamentParameters:
    """The filament and the masks around it."""

    outer_diameter_A: float | None = parameter(
        None,
        unit="A",
        low=1,
        high=5000,
        group=GROUP,
        doc="Outer diameter of the filament; None measures it from the images.",
        when="If the measured diameter shown with iteration 0 is wrong.",
        cryosparc="Filament outer diameter",
        relion="--helical_outer_diameter",
    )
    inner_diameter_A: float = parameter(
        0.0,
        unit="A",
        low=0,
        high=5000,
        group=GROUP,
        doc="Diameter of the empty channel along the axis, masked out.",
        when="For tubes, to keep noise out of the channel.",
        cryosparc="Filament inner diameter",
        relion="--helical_inner_diameter",
    )
