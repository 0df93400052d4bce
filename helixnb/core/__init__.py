"""Numerics of helical refinement: pure array functions, no state, no plotting."""
