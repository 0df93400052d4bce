"""What a session can start from: particles of any program, or a RELION refinement."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.io.relion_run import is_relion_run, read_relion_run
from helixnb.parameters import Parameters, check_name
from helixnb.particles import ParticleSet

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

log = logging.getLogger("helixnb")


def starting_point(
    source: ParticleSet | str | os.PathLike[str], given: Mapping[str, Any]
) -> tuple[ParticleSet, Parameters]:
    """Read particles, and the parameters that a RELION refinement brings with it.

    Parameters
    ----------
    source : ParticleSet or path
        Particles, or RELION's optimiser or model file.
    given : mapping of str to object
        Parameters by name, which go before those of the file; without twist and rise
        from either the refinement is asymmetric.

    Returns
    -------
    particles : ParticleSet
    parameters : Parameters

    Raises
    ------
    InputError
        A file, name or value that cannot be used.
    """
    for name in given:
        check_name(name)
    symmetry = ("twist_deg", "rise_A")
    values = {n: v for n, v in given.items() if v is not None or n not in symmetry}
    if isinstance(source, ParticleSet):
        return source, Parameters(**values)
    path = Path(source)
    if not is_relion_run(path):
        return ParticleSet.from_file(path), Parameters(**values)
    run = read_relion_run(path)
    taken = {name: value for name, value in run.values.items() if name not in values}
    parameters = Parameters(**(taken | values))
    log.info(
        "From %s: %s", path, ", ".join(f"{n} {value}" for n, value in taken.items())
    )
    particles = ParticleSet.from_file(run.particles)
    return dataclasses.replace(particles, notes=run.notes + particles.notes), parameters
