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
    noise_substitution: bool = parameter(
        True,
        unit="",
        group=GROUP,
        doc="Correct the FSC for its mask by randomising the phases of both half-maps "
        "at high resolution, once all particles are in; off, the resolution is that "
        "of the unmasked curve.",
        when="Off to see the resolution without any mask.",
        cryosparc="Do high-resolution noise substitution in FSC computation",
        relion="--solvent_correct_fsc",
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
