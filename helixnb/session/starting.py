"""What a session can start from: particles of any program, or a RELION refinement."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.errors import InputError
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
        Parameters by name, which go before those of the file; twist and rise may
        be None.

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
        return source, _parameters(values)
    path = Path(source)
    if not is_relion_run(path):
        return ParticleSet.from_file(path), _parameters(values)
    run = read_relion_run(path)
    taken = {name: value for name, value in run.values.items() if name not in values}
    parameters = _parameters(taken | values)
    log.info(
        "From %s: %s", path, ", ".join(f"{n} {value}" for n, value in taken.items())
    )
    particles = ParticleSet.from_file(run.particles)
    return dataclasses.replace(particles, notes=run.notes + particles.notes), parameters


def _parameters(values: Mapping[str, Any]) -> Parameters:
    """Return parameters from values that may lack the symmetry."""
    missing = [name for name in ("twist_deg", "rise_A") if name not in values]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} must be given: the twist (degrees) and rise "
            "(Angstrom) per subunit, near the truth. RELION's optimiser or model file "
            "of a helical refinement brings them along."
        )
    return Parameters(**values)
