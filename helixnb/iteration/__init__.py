"""One iteration of helical refinement: what is fixed, what is left behind, its parts.

`refinement.step` is a pure function from one `state.State` to the next. `schedule` says
what an iteration does, `alignment` passes the images, `maps`, `claim` and `twist_rise`
make its densities, resolution and symmetry, `flags` says what to beware of. The session
keeps the states.
"""
