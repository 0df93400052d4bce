"""Live views of a session: one module for each, and one dashboard over them.

Every view module has `plot`, from labelled results to a HoloViews object, and `view`,
which follows a session. Modules are loaded when first used, for they bring Panel.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helixnb.dashboards import (
        asymmetric_unit,
        controls,
        convergence,
        filaments,
        fsc,
        guinier,
        layer_lines,
        means,
        noise_spectrum,
        orientations,
        particles,
        score_map,
        slices,
        surface,
        symmetry,
        symmetry_check,
        volumes,
    )
    from helixnb.dashboards.app import dashboard

__all__ = [
    "asymmetric_unit",
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
    "volumes",
]


def __getattr__(name: str) -> object:
    """Import a view the first time it is asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "dashboard":
        return import_module("helixnb.dashboards.app").dashboard
    return import_module(f"helixnb.dashboards.{name}")


def __dir__() -> list[str]:
    """List the views, also those not loaded yet."""
    return sorted({*globals(), *__all__})
