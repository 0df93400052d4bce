"""Synthetic helical data with a known answer, for tests, notebooks and first trials.

`simulate_segments` writes what a user would have (``particles.star`` and a stack)
beside what only a simulation can know (``truth.star`` with the exact poses and
``truth_map.mrc``). Filaments are continuous, bent three-dimensional curves of atoms;
whole micrographs are projected, imaged with an astigmatic CTF and given coloured
noise before boxes are cut, so that overlapping boxes share signal and noise as real
ones do. Nothing here uses the refinement's own code: the data is an independent check
of it, conventions included.
"""

from helixnb.simulate.filaments import Filaments
from helixnb.simulate.microscope import Microscope
from helixnb.simulate.segments import SimulatedData, simulate_segments

__all__ = ["Filaments", "Microscope", "SimulatedData", "simulate_segments"]
