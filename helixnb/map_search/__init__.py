"""Twist and rise of a map from any program, near an estimate or from nothing.

    found = helixnb.search_symmetry("map.mrc")
    helixnb.map_search.candidate_table(found)

looks through every twist, and every rise that repeats in the map.
"""

from helixnb.map_search.labelled import candidate_table
from helixnb.map_search.search import search_symmetry

__all__ = ["candidate_table", "search_symmetry"]
