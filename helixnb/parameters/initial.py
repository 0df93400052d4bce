"""The first density."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter

GROUP = "Initial model"


@dataclass(frozen=True, kw_only=True)
class InitialParameters:
    """The first density."""

    initial_lowpass_A: float = parameter(
        20.0,
        unit="A",
        low=5,
        high=100,
        group=GROUP,
        doc="Resolution of the initial density.",
        when="15 to 45 make no difference with symmetry; without, coarser is "
        "less biased.",
        cryosparc="Initial lowpass resolution",
        relion="--ini_high",
    )
    initial_images: int = parameter(
        5000,
        unit="images",
        low=1,
        high=10_000_000,
        group=GROUP,
        doc="Images in the initial density, each at a random azimuth.",
        when="Without symmetry: fewer leave more structure in the first density.",
        cryosparc="Number of images for initial density",
    )
    bootstrap_iterations: int = parameter(
        6,
        unit="iterations",
        low=0,
        high=100,
        group=GROUP,
        doc="First iterations, with one reference for both halves and almost hard "
        "assignments, in which structure grows out of the featureless density.",
        when="More for very noisy images; the start from a given map needs none.",
    )
    cylindrical_model: bool = parameter(
        False,
        unit="",
        group=GROUP,
        doc="Start from a plain cylinder with the filament's diameters instead of a "
        "density made from the images.",
        when="If the in-plane angles of the filaments are not known.",
        cryosparc="Use cylindrical model",
    )
    starts: int | None = parameter(
        None,
        unit="starts",
        low=1,
        high=100,
        group=GROUP,
        doc="First densities that are tried, each with other azimuths, on some of the "
        "images; the refinement goes on from the one that explains them best. None "
        "tries 3 with a dyad or with fewer than 800 images, else 1.",
        when="More if runs from different seeds end in different maps.",
    )
