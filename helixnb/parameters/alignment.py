"""Alignment of the images."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter

GROUP = "Alignment"


@dataclass(frozen=True, kw_only=True)
class AlignmentParameters:
    """Alignment of the images."""

    max_tilt_deg: float = parameter(
        15.0,
        unit="deg",
        low=0,
        high=45,
        group=GROUP,
        doc="Largest out-of-plane tilt searched.",
        when="Less for filaments in thin ice, more if the tilts pile up at the limit.",
        cryosparc="Maximum out-of-plane tilt angle",
        relion="--sigma_tilt",
    )
    tilt_sd_deg: float = parameter(
        5.0,
        unit="deg",
        low=0.1,
        high=30,
        group=GROUP,
        doc="Initial standard deviation of the tilt about its prior; re-estimated.",
        when="With max_tilt_deg.",
        relion="--sigma_tilt",
    )
    psi_sd_deg: float = parameter(
        3.0,
        unit="deg",
        low=0.1,
        high=30,
        group=GROUP,
        doc="Initial standard deviation of the in-plane angle about its prior; "
        "re-estimated.",
        when="If in-plane angles were picked roughly.",
        relion="--sigma_psi",
    )
    shift_sd_A: float = parameter(
        6.0,
        unit="A",
        low=0.1,
        high=200,
        group=GROUP,
        doc="Initial standard deviation of the transverse shift; re-estimated.",
        when="If boxes were centred roughly.",
        relion="--offset_range",
    )
    max_align_resolution_A: float | None = parameter(
        None,
        unit="A",
        low=1,
        high=50,
        group=GROUP,
        doc="Finest resolution used for alignment; None lets the FSC decide.",
        when="To see what alignment does without fine detail.",
        cryosparc="Maximum align resolution",
        relion="--strict_highres_exp",
    )
    coherence: bool = parameter(
        True,
        unit="",
        group=GROUP,
        doc="Let segments of a filament inform each other on polarity, azimuth and "
        "axial register.",
        when="Off to compare, or if filament ids are wrong.",
    )
    picking_sd_A: float = parameter(
        3.0,
        unit="A",
        low=0.1,
        high=100,
        group=GROUP,
        doc="Standard deviation of box positions along the filament.",
        when="If boxes were placed by hand or re-centred one by one.",
    )
    drift_deg: float = parameter(
        8.0,
        unit="deg",
        low=0,
        high=90,
        group=GROUP,
        doc="Standard deviation of the azimuth gained between neighbouring boxes, "
        "from twist disorder and error in the symmetry.",
        when="More for filaments with strong twist disorder.",
    )
    filament_averaging_A: float | None = parameter(
        None,
        unit="A",
        low=0,
        high=5000,
        group=GROUP,
        doc="Distance along a filament over which in-plane angles, tilts and shifts "
        "across it are averaged into the priors of each segment; None takes twice "
        "the distance between boxes, 0 keeps the given priors.",
        when="Longer for stiff filaments in noisy images, 0 for kinked ones.",
        relion="--helical_sigma_distance",
    )
    particle_scale: bool = parameter(
        True,
        unit="",
        group=GROUP,
        doc="Weigh each image by how strongly it shows the reference; images that "
        "show its opposite are left out.",
        when="Off to compare.",
        cryosparc="Per-particle scale optimization",
    )
