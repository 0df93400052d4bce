"""Particles out of a file of any program: what it is, by its content, and who reads it.

Suffixes lie (CryoSPARC writes `.cs` and `.csg`, EMAN2 and crYOLO both write `.box`), so
the first bytes decide. What holds no particles is refused with what to do about it.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from helixnb.errors import InputError
from helixnb.io.cryosparc import read_cs_metadata
from helixnb.io.cs_file import NUMPY_MAGIC, OLD_STREAM_MAGIC, STREAM_MAGIC
from helixnb.io.filament_pose import PoseFrame
from helixnb.io.relion import ParticleMetadata, read_metadata

_HEAD_BYTES = 4096
_EXTRACT = (
    "Import the coordinates and extract the segments as helical, in RELION (Import, "
    "then Particle extraction with 'Extract helical segments' on), and give the "
    "particles.star it writes"
)
#: Start of a file, what it is, what to do.
_OTHER_BINARIES = (
    (
        OLD_STREAM_MAGIC,
        "a CryoSPARC stream of a version before 5",
        "Export the particles from CryoSPARC again, or save them as a NumPy array with "
        "cryosparc-tools: Dataset.load(path).save(path)",
    ),
    (b"\x89HDF", "an HDF5 file, as EMAN2 writes", "Convert it to RELION's STAR format"),
    (
        b"\x1f\x8b",
        "compressed with gzip",
        "Decompress it with gunzip and give the result",
    ),
    (
        b"PK\x03\x04",
        "a zip archive or a saved session",
        "Give particles (.star or .cs); a session goes on with Session.load()",
    ),
)


def read_particles_metadata(
    path: Path,
    *,
    passthrough: Sequence[Path] | None = None,
    frame: PoseFrame | None = None,
) -> ParticleMetadata:
    """Read the metadata of particles, whatever program wrote them.

    Parameters
    ----------
    path : Path
        STAR file of RELION 3.0 to 5, or `.cs` file of CryoSPARC.
    passthrough, frame
        For CryoSPARC, as in `read_cs_metadata`.

    Returns
    -------
    ParticleMetadata
        The checked metadata.

    Raises
    ------
    InputError
        Another kind of file, or particles that cannot be used.
    """
    head = _head(path)
    if head.startswith((NUMPY_MAGIC, STREAM_MAGIC)):
        return read_cs_metadata(path, passthrough, frame)
    if passthrough or frame is not None:
        raise InputError(
            f"{path} is no CryoSPARC .cs file; passthrough files and pose frames "
            "belong to those only."
        )
    _refuse_binary(path, head)
    _refuse_other_text(path, head.decode("utf-8", "replace"))
    return read_metadata(path)


def _head(path: Path) -> bytes:
    """First bytes of a file that must exist and hold something."""
    if not path.exists():
        raise InputError(f"{path} does not exist. Check the path of the particles.")
    if not path.is_file():
        raise InputError(f"{path} is a folder; give the particles file in it.")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise InputError(
            f"{path} could not be read: {error.strerror or error}. See that the disk "
            "is there and the file may be read."
        ) from error
    if not head:
        raise InputError(f"{path} is empty. Write or copy the particles file again.")
    return head


def _refuse_binary(path: Path, head: bytes) -> None:
    """Refuse binary files, by name where they are known."""
    for magic, kind, advice in _OTHER_BINARIES:
        if head.startswith(magic):
            raise InputError(f"{path} is {kind}, not a list of particles. {advice}.")
    if head[208:212] in (b"MAP ", b"MAP\0"):
        raise InputError(
            f"{path} is an MRC stack or map, not a list of particles. Give the STAR or "
            ".cs file that lists its images."
        )
    if b"\0" in head:
        raise InputError(
            f"{path} is a binary file of an unknown kind. Give a STAR file of RELION "
            "or a .cs file of CryoSPARC."
        )


def _refuse_other_text(path: Path, head: str) -> None:
    """Refuse text files that other programs write and that hold no segments."""
    lines = [line for line in head.splitlines() if line.strip()]
    first = lines[0] if lines else ""
    if re.search(r"\bPSI\s+THETA\s+PHI\b", head) and not _has_block(lines):
        raise InputError(
            f"{path} is a Frealign or cisTEM .par file: it names neither image files "
            "nor filaments, so half-sets could not keep filaments whole. Give the "
            "RELION STAR file that its particles were exported from."
        )
    if any(line.startswith("data_cryolo") for line in lines):
        raise InputError(
            f"{path} holds crYOLO boxes, that is coordinates and no images. {_EXTRACT}."
        )
    if first.startswith(("#micrograph:", "#segment length:")):
        raise InputError(
            f"{path} holds filament coordinates of EMAN2 or crYOLO, no images. "
            f"{_EXTRACT}."
        )
    numbers = r"[-+.\deE]+"
    if re.fullmatch(rf"\s*{numbers}(?:\s+{numbers}){{3,4}}\s*", first):
        raise InputError(
            f"{path} looks like an EMAN .box file: coordinates and no images. "
            f"{_EXTRACT}."
        )


def _has_block(lines: list[str]) -> bool:
    return any(line.startswith("data_") for line in lines)
