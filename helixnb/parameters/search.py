"""The search of twist and rise."""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.parameters.field import parameter

GROUP = "Symmetry search"


@dataclass(frozen=True, kw_only=True)
class SearchParameters:
    """The search of twist and rise."""

    search_symmetry: bool = parameter(
        True,
        unit="",
        group=GROUP,
        doc="Refine twist and rise from the score map of each iteration.",
        when="Off once twist and rise are known better than the data can tell.",
        cryosparc="Local searches of helical symmetry",
        relion="--helical_symmetry_search",
    )
    search_start_A: float = parameter(
        10.0,
        unit="A",
        low=3,
        high=30,
        group=GROUP,
        doc="Resolution at which twist and rise start to be refined.",
        when="Finer (5) if small errors of the estimate mislead the search early on.",
        cryosparc="Resolution to begin local searches of helical symmetry",
    )
    twist_extent_deg: float = parameter(
        3.0,
        unit="deg",
        low=0.01,
        high=90,
        group=GROUP,
        doc="Half width of the twist search about the given estimate.",
        when="Wider for a rough estimate, narrower if wrong optima are close.",
        cryosparc="Minimum / maximum helical twist to search",
        relion="--helical_twist_min / max",
    )
    rise_extent_percent: float = parameter(
        10.0,
        unit="%",
        low=0.01,
        high=50,
        group=GROUP,
        doc="Half width of the rise search, per cent of the given estimate.",
        when="Wider for a rough estimate, narrower if wrong optima are close.",
        cryosparc="Minimum / maximum helical rise to search",
        relion="--helical_rise_min / max",
    )
    search_twist_points: int = parameter(
        128,
        unit="points",
        low=8,
        high=512,
        group=GROUP,
        doc="Points of the score map along twist.",
        when="More with wide extents, so that no peak falls between points.",
        cryosparc="Helical twist grid size",
    )
    search_rise_points: int = parameter(
        128,
        unit="points",
        low=8,
        high=512,
        group=GROUP,
        doc="Points of the score map along rise.",
        when="More with wide extents, so that no peak falls between points.",
        cryosparc="Helical rise grid size",
    )
    recentre_search: bool = parameter(
        False,
        unit="",
        group=GROUP,
        doc="Centre the search on the latest twist and rise; otherwise it stays on "
        "the given estimate and cannot walk away from it.",
        when="If twist and rise should be free to leave a rough estimate.",
    )
    search_resolution_A: float | None = parameter(
        None,
        unit="A",
        low=2,
        high=30,
        group=GROUP,
        doc="Finest resolution of the maps searched; None takes all that the FSC "
        "supports.",
        when="To see whether an optimum rests on fine detail.",
    )
    search_outer_diameter_A: float | None = parameter(
        None,
        unit="A",
        low=1,
        high=5000,
        group=GROUP,
        doc="Outer diameter of the density searched; None takes the mask's.",
        when="Smaller to leave out flexible parts at the rim.",
        cryosparc="Symmetry search outer diameter",
    )
    search_inner_diameter_A: float | None = parameter(
        None,
        unit="A",
        low=0,
        high=5000,
        group=GROUP,
        doc="Inner diameter of the density searched; None takes the mask's.",
        when="Larger to leave out density at the axis that obeys another symmetry.",
        cryosparc="Symmetry search inner diameter",
    )
