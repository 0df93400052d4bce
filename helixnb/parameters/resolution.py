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
        "at high resolution; off, the resolution is that of the unmasked curve.",
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
    max_low_resolution_iterations: int = parameter(
        12,
        unit="iterations",
        low=1,
        high=1000,
        group=GROUP,
        doc="Iterations after which a refinement that has not come below 6 A ends; "
        "until then a standstill at low resolution does not end it.",
        when="More for asymmetric refinements, which converge slowly.",
        cryosparc="Maximum number of iterations below 6A",
    )
    extra_passes: int = parameter(
        0,
        unit="iterations",
        low=0,
        high=100,
        group=GROUP,
        doc="Iterations made after the resolution has stopped improving.",
        when="If twist and rise still move in the last iterations.",
        cryosparc="Number of extra final passes",
    )
    batch_images: int | None = parameter(
        None,
        unit="images",
        low=2,
        high=10_000_000,
        group=GROUP,
        doc="Images of the first iterations, whole filaments, doubled in each one "
        "after the bootstrap until all are used; None takes 5,000.",
        when="More for very noisy images; the number of images to use all at once.",
        cryosparc="Initial batch size",
    )
