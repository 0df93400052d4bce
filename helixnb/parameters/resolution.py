"""Resolution and the end of a run."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter

GROUP = "Resolution"


@dataclass(frozen=True, kw_only=True)
class ResolutionParameters:
    """Resolution and the end of a run."""

    split_resolution_A: float = parameter(
        20.0,
        unit="A",
        low=5,
        high=100,
        group=GROUP,
        doc="Half-maps are independent only beyond this resolution.",
        when="13 to 15 for thin filaments or very small subunits.",
        cryosparc="GSFSC split resolution",
        relion="--low_resol_join_halves",
    )
    mask_z_fraction: float = parameter(
        0.7,
        unit="",
        low=0.1,
        high=0.95,
        group=GROUP,
        doc="Central part of the box inside the FSC mask.",
        when="Less if density fades towards the box ends.",
        cryosparc="Dynamic mask z-clip fraction",
    )
    max_iterations: int = parameter(
        40,
        unit="iterations",
        low=1,
        high=1000,
        group=GROUP,
        doc="Iterations after which a run ends even if not converged.",
        when="For long or short runs.",
        cryosparc="Maximum number of iterations",
    )
