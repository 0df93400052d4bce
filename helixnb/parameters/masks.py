"""Masks of references and of the FSC."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter

GROUP = "Masks"


@dataclass(frozen=True, kw_only=True)
class MaskParameters:
    """Masks of references and of the FSC."""

    mask: str = parameter(
        "cylinder",
        unit="",
        choices=("cylinder", "dynamic", "static"),
        group=GROUP,
        doc="What references are masked with, inside the filament's cylinder: "
        "nothing more, a mask that follows the density, or one that was given.",
        when="dynamic where much of the cylinder is solvent; static to leave out a "
        "part on purpose.",
        cryosparc="Mask (dynamic, static)",
        relion="--solvent_mask",
    )
    mask_threshold: float = parameter(
        0.3,
        unit="",
        low=0.01,
        high=0.95,
        group=GROUP,
        doc="Density that a dynamic mask surrounds, as a fraction of the bright "
        "density (its 99th percentile inside the filament).",
        when="Less if weak parts are cut off.",
        cryosparc="Dynamic mask threshold",
    )
    mask_near_A: float = parameter(
        6.0,
        unit="A",
        low=0,
        high=100,
        group=GROUP,
        doc="Distance from that density to which a dynamic mask is 1.",
        when="More to be generous.",
        cryosparc="Dynamic mask near",
        relion="--extend_inimask",
    )
    mask_far_A: float = parameter(
        14.0,
        unit="A",
        low=1,
        high=200,
        group=GROUP,
        doc="Distance beyond which a dynamic mask is 0; a soft edge lies between.",
        when="With mask_near_A.",
        cryosparc="Dynamic mask far",
        relion="--width_soft_edge",
    )
    mask_start_A: float = parameter(
        12.0,
        unit="A",
        low=3,
        high=40,
        group=GROUP,
        doc="Resolution from which a dynamic mask is used, and to which maps are "
        "smoothed to draw masks.",
        when="Less if the mask wavers in early iterations.",
        cryosparc="Dynamic mask start resolution",
    )
    mask_z_fraction: float = parameter(
        0.9,
        unit="",
        low=0.1,
        high=1.0,
        group=GROUP,
        doc="Central part of the box that references fill; the rest is softly set to "
        "zero.",
        when="Less for flexible filaments, whose box ends blur.",
        cryosparc="Dynamic mask z-clip fraction",
    )
    fsc_z_fraction: float = parameter(
        0.7,
        unit="",
        low=0.1,
        high=0.95,
        group=GROUP,
        doc="Central part of the box in which the FSC is taken.",
        when="Less if density fades towards the box ends.",
        relion="--helical_z_percentage",
    )
