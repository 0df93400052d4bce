"""Live views of a session: one function for each, and one dashboard over them.

``fsc(session)`` and the others show one thing, follow the session and can be laid out
as one likes. Each is a module in `helixnb.dashboards.views` with a function from
labelled results to a chart besides. They are loaded when first used, for they bring
Panel.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helixnb.dashboards.app import dashboard
    from helixnb.dashboards.views.asymmetric_unit import view as asymmetric_unit
    from helixnb.dashboards.views.compare import view as compare
    from helixnb.dashboards.views.controls import view as controls
    from helixnb.dashboards.views.convergence import view as convergence
    from helixnb.dashboards.views.filaments import view as filaments
    from helixnb.dashboards.views.fsc import view as fsc
    from helixnb.dashboards.views.guinier import view as guinier
    from helixnb.dashboards.views.layer_lines import view as layer_lines
    from helixnb.dashboards.views.means import view as means
    from helixnb.dashboards.views.noise_spectrum import view as noise_spectrum
    from helixnb.dashboards.views.orientations import view as orientations
    from helixnb.dashboards.views.particles import view as particles
    from helixnb.dashboards.views.score_map import view as score_map
    from helixnb.dashboards.views.slices import view as slices
    from helixnb.dashboards.views.surface import view as surface
    from helixnb.dashboards.views.symmetry import view as symmetry
    from helixnb.dashboards.views.symmetry_check import view as symmetry_check

__all__ = [
    "asymmetric_unit",
    "compare",
    "controls",
    "convergence",
    "dashboard",
    "filaments",
    "fsc",
    "guinier",
    "layer_lines",
    "means",
    "noise_spectrum",
    "orientations",
    "particles",
    "score_map",
    "slices",
    "surface",
    "symmetry",
    "symmetry_check",
]


def __getattr__(name: str) -> object:
    """Import a view the first time it is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "dashboard":
        return import_module("helixnb.dashboards.app").dashboard
    return import_module(f"helixnb.dashboards.views.{name}").view


def __dir__() -> list[str]:
    """List the views, also those not loaded yet."""
    return sorted({*globals(), *__all__})
