"""STAR files: blocks in, blocks out, and what kind of STAR file this is.

This module finds the particle and optics blocks under the names that RELION has used
since 3.0, and refuses STAR files that hold something other than cut-out particle
images (coordinates, tomograms, job options, cisTEM tables).
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helixnb.errors import InputError
from helixnb.io.atomic import atomic_path
from helixnb.io.star_text import Block, read_star, write_star

#: Columns that hold names. Read as text, or a micrograph called 0012 becomes 12.
TEXT_COLUMNS = (
    "rlnImageName",
    "rlnImageOriginalName",
    "rlnMicrographName",
    "rlnOpticsGroupName",
    "rlnGroupName",
    "rlnBeamTiltClass",
    "rlnMtfFileName",
    "rlnTomoName",
    "rlnTomoParticleName",
)

#: Names of the particle block, newest format first. "" is `data_` (RELION <= 3.0).
PARTICLE_BLOCKS = ("particles", "images", "")


@dataclass(frozen=True, eq=False)
class ParticleBlocks:
    """The two blocks of a particle STAR file.

    Attributes
    ----------
    particles : DataFrame
        One row per image, columns in file order.
    optics : DataFrame or None
        One row per optics group; None for RELION 3.0 and older.
    """

    particles: pd.DataFrame
    optics: pd.DataFrame | None


def read_blocks(path: Path) -> dict[str, Block]:
    """Read every block of a STAR file.

    Parameters
    ----------
    path : Path
        STAR file.

    Returns
    -------
    dict
        Block name (without ``data_``) to DataFrame (loops) or dict (pairs).

    Raises
    ------
    InputError
        The file is missing, empty, a folder, or not a STAR file.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist. Check the path of the STAR file.")
    if not path.is_file():
        raise InputError(f"{path} is a folder; give the STAR file in it.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty. Write or copy the STAR file again.")
    try:
        blocks = read_star(path, _is_text)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} holds bytes that are no text, so it is no STAR file, or it is "
            "damaged. Give a STAR file of RELION or a .cs file of CryoSPARC."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path} could not be read: {error.strerror or error}. See that the disk "
            "is there and the file may be read."
        ) from error
    if not blocks:
        raise InputError(
            f"{path} holds no STAR block (no line starts with 'data_'). "
            "Give a STAR file of particles, for example Extract/job012/particles.star."
        )
    return blocks


def _is_text(column: str) -> bool:
    """Whether a column is kept as text: names, and all that RELION lacks.

    Columns of other programs (hashes, labels) are only passed through, and text is
    what survives that unchanged.
    """
    return column in TEXT_COLUMNS or not column.startswith("rln")


def read_particle_blocks(path: Path) -> ParticleBlocks:
    """Read the particle block, and the optics block if there is one.

    Parameters
    ----------
    path : Path
        STAR file written by RELION or in its format.

    Returns
    -------
    ParticleBlocks
        Tables as they are in the file.

    Raises
    ------
    InputError
        The file has no particle block, no rows, or another program's columns.
    """
    blocks = read_blocks(path)
    tables = {k: v for k, v in blocks.items() if isinstance(v, pd.DataFrame)}
    name = next((name for name in PARTICLE_BLOCKS if name in blocks), None)
    if name is None:
        found = ", ".join(f"data_{block}" for block in blocks)
        raise InputError(
            f"{path} has no particles: the blocks are {found}, and none is "
            "data_particles, data_images or data_. Give the particles STAR file of an "
            "extraction or refinement job."
        )
    particles = tables.get(name)
    if particles is None:
        # A block of pairs: one particle, not in a loop.
        particles = pd.DataFrame([blocks[name]])
    if len(particles) == 0:
        raise InputError(
            f"{path}: block data_{name} has columns but no rows. Give the file of a "
            "job that kept some particles."
        )
    _refuse_other_kinds(path, particles)
    return ParticleBlocks(particles, tables.get("optics"))


def _refuse_other_kinds(path: Path, particles: pd.DataFrame) -> None:
    """Refuse tables that are no list of cut-out two-dimensional images."""
    columns = [str(column) for column in particles.columns]
    if any(column.startswith("cisTEM") for column in columns):
        raise InputError(
            f"{path} is a cisTEM STAR file (columns {', '.join(columns[:3])}, ...). "
            "It has no filament ids. Give RELION helical particles instead."
        )
    if any(column.startswith("rlnTomo") for column in columns):
        raise InputError(
            f"{path} lists subtomograms (column rlnTomoName or the like). Only "
            "two-dimensional segments cut from micrographs can be used."
        )
    if "rlnImageName" in columns:
        return
    if "rlnCoordinateX" in columns:
        raise InputError(
            f"{path} holds coordinates only (no column rlnImageName). Extract the "
            "segments first, for example with RELION's Particle extraction with "
            "'Extract helical segments' on, and give the particles.star it writes."
        )
    raise InputError(
        f"{path}: required column rlnImageName is missing; the columns are "
        f"{', '.join(columns)}. Give the particles STAR file of an extraction or "
        "refinement job."
    )


def write_blocks(
    path: Path, blocks: dict[str, pd.DataFrame], *, comment: str = ""
) -> None:
    """Write blocks as a STAR file, in one step and without losing digits.

    Parameters
    ----------
    path : Path
        Output file; replaced if it exists.
    blocks : dict of str to DataFrame
        Block name (without ``data_``) to table.
    comment : str
        Put before the first block, every line as a comment.
    """
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(f"# {line}\n" for line in comment.splitlines())
        write_star(file, blocks)
