"""helixnb: refine helical assemblies from cryo-EM segments, interactively.

The package's public names are loaded when first used, so that ``import helixnb``
costs nothing in a notebook, in a batch job or in a shell completion: Panel, numba
and pandas are imported only by the part that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helixnb.errors import InputError
    from helixnb.map_search import search_symmetry
    from helixnb.parameters import Parameters
    from helixnb.particles import ParticleSet
    from helixnb.session import Session
    from helixnb.simulate import simulate_segments
    from helixnb.symmetry import HelicalSymmetry

__version__ = "0.1.0"

__all__ = [
    "HelicalSymmetry",
    "InputError",
    "Parameters",
    "ParticleSet",
    "Session",
    "__version__",
    "search_symmetry",
    "simulate_segments",
]

_HOME_OF = {
    "HelicalSymmetry": "helixnb.symmetry",
    "InputError": "helixnb.errors",
    "Parameters": "helixnb.parameters",
    "ParticleSet": "helixnb.particles",
    "Session": "helixnb.session",
    "search_symmetry": "helixnb.map_search",
    "simulate_segments": "helixnb.simulate",
}


def __getattr__(name: str) -> object:
    """Import a public name the first time it is asked for (PEP 562)."""
    if name == "dashboards":
        return import_module("helixnb.dashboards")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not loaded yet."""
    return sorted({*globals(), *__all__})
