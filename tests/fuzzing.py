"""What the readers are fed to break them: real files, mutated.

Whatever the bytes, a reader returns a result or raises InputError, in a few seconds and
within a few hundred megabytes. `benchmarks/fuzz_readers.py` runs this for hours; the
suite replays what once broke something and tries a little more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import mrcfile
import numpy as np
from hypothesis import strategies as st

from helixnb.io.checkpoint import read_checkpoint, write_checkpoint
from helixnb.io.cs_file import read_cs_array, write_cs
from helixnb.io.filaments import filament_geometry
from helixnb.io.formats import read_particles_metadata
from helixnb.io.mrc import read_header, read_map
from helixnb.io.relion_run import is_relion_run, read_relion_run
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet

DATA = Path(__file__).parent / "data"
BOX_PX, N_IMAGES = 16, 6


@dataclass(frozen=True)
class Target:
    """One reader under attack.

    Attributes
    ----------
    name : str
        Also the folder of its corpus.
    suffix : str
        Of the files it is given.
    seeds : callable
        Makes valid files.
    read : callable
        The reader.
    """

    name: str
    suffix: str
    seeds: Callable[[], tuple[bytes, ...]]
    read: Callable[[Path], Any]


def _stack(path: Path) -> None:
    images = np.arange(N_IMAGES * BOX_PX**2, dtype=np.float32)
    mrcfile.write(path, images.reshape(N_IMAGES, BOX_PX, BOX_PX), voxel_size=2.0)


STAR_31 = """
# version 30001

data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
1 opticsGroup1 300.000000 2.700000 0.100000 2.000000 16

data_particles

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnHelicalTubeID #3
_rlnAnglePsiPrior #4
_rlnHelicalTrackLengthAngst #5
_rlnImageName #6
_rlnMicrographName #7
_rlnDefocusU #8
_rlnDefocusV #9
_rlnDefocusAngle #10
_rlnOpticsGroup #11
_rlnRandomSubset #12
_otherHash #13
100.0 80.0 1 0.0 0.0 000001@stack.mrcs mic.mrc 10000.0 9000.0 10.0 1 1 00ff
115.0 80.0 1 0.0 30.0 000002@stack.mrcs mic.mrc 12000.0 9000.0 10.0 1 1 "a b"
130.0 80.0 1 0.0 60.0 000003@stack.mrcs mic.mrc 14000.0 9000.0 10.0 1 1 1e5
50.0 10.0 2 -90.0 0.0 000004@stack.mrcs mic.mrc 16000.0 9000.0 10.0 1 2 nil
50.0 25.0 2 -90.0 30.0 000005@stack.mrcs mic.mrc 18000.0 9000.0 10.0 1 2 0012
50.0 40.0 2 -90.0 60.0 000006@stack.mrcs mic.mrc 20000.0 9000.0 10.0 1 2 x
"""
STAR_30 = """
data_images

loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnHelicalTubeID #3
_rlnDefocusU #4
_rlnDefocusV #5
_rlnDefocusAngle #6
_rlnVoltage #7
_rlnSphericalAberration #8
_rlnAmplitudeContrast #9
_rlnMagnification #10
_rlnDetectorPixelSize #11
_rlnHelicalTrackLength #12
1@stack.mrcs a.mrc 1 1e4 9e3 10 300 2.7 0.1 50000 10 0
2@stack.mrcs a.mrc 1 1e4 9e3 10 300 2.7 0.1 50000 10 15
3@stack.mrcs a.mrc 2 1e4 9e3 10 300 2.7 0.1 50000 10 0
4@stack.mrcs b.mrc 1 1e4 9e3 10 300 2.7 0.1 50000 10 0
"""
OTHER_TEXTS = (
    "#micrograph: a.mrc\n#helix: (1,2),(3,4),26\n1 2\n",
    "10\t20\t128\t128\n30\t40\t128\t128\n",
    "C           PSI   THETA     PHI       SHX       SHY     MAG  FILM      DF1\n"
    "      1  316.89   84.27  305.86     -1.09      2.28   10000     2  21194.4\n",
    "data_global\n\n_cbox_format_version 1.0\n\ndata_cryolo\n\nloop_\n_CoordinateX #1\n"
    "_CoordinateY #2\n1.0 2.0\n",
    "data_\n\nloop_\n_cisTEMAnglePsi #1\n_cisTEMScore #2\n1.0 2.0\n",
)


def _stars() -> tuple[bytes, ...]:
    return tuple(text.encode() for text in (*[STAR_31, STAR_30] * 4, *OTHER_TEXTS))


def _tables() -> tuple[bytes, ...]:
    return tuple(path.read_bytes() for path in sorted(DATA.glob("*.cs")))


def _runs() -> tuple[bytes, ...]:
    names = ("run_it001_model.star", "run_it001_optimiser.star")
    return tuple((DATA / "relion_run" / name).read_bytes() for name in names)


def _maps() -> tuple[bytes, ...]:
    made = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "map.mrc"
        for dtype in (np.float32, np.int16, np.int8, np.float16):
            with mrcfile.new(path, overwrite=True) as mrc:
                mrc.set_data(np.arange(4 * 4 * 4).reshape(4, 4, 4).astype(dtype))
                mrc.set_volume()
                mrc.voxel_size = 2.0
            made.append(path.read_bytes())
    return tuple(made)


def _checkpoints() -> tuple[bytes, ...]:
    value = {
        "a": np.arange(6.0).reshape(2, 3),
        "b": (1, "text", None, np.float32(2.5)),
        "c": Parameters(twist_deg=1.0, rise_A=2.0),
    }
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "session.npz"
        write_checkpoint(path, value)
        return (path.read_bytes(),)


def _read_particles(path: Path) -> None:
    """Everything up to the images themselves."""
    stack = path.parent / "stack.mrcs"
    if not stack.exists():
        _stack(stack)
    filament_geometry(read_particles_metadata(path))
    segments = ParticleSet.from_file(path)
    segments.read([0, len(segments) - 1])
    segments.subset([0])


def _read_table(path: Path) -> None:
    write_cs(path.with_suffix(".again"), read_cs_array(path))
    filament_geometry(read_particles_metadata(path))


def _read_run(path: Path) -> None:
    is_relion_run(path)
    for name in ("data", "model", "sampling"):
        source = DATA / "relion_run" / f"run_it001_{name}.star"
        path.with_name(source.name).write_bytes(source.read_bytes())
    path.with_name("input_data.star").write_text("")
    read_relion_run(path)


def _read_mrc(path: Path) -> None:
    read_header(path)
    read_map(path)


def _read_stack(path: Path) -> None:
    """Put a damaged stack under a sound list of particles."""
    star = path.parent / "particles.star"
    star.write_text(STAR_31)
    path.replace(path.parent / "stack.mrcs")
    segments = ParticleSet.from_file(star)
    segments.read(np.arange(len(segments)))


def _stacks() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as name:
        _stack(Path(name) / "stack.mrcs")
        return ((Path(name) / "stack.mrcs").read_bytes(),)


TARGETS = {
    target.name: target
    for target in (
        Target("star", ".star", _stars, _read_particles),
        Target("cs", ".cs", _tables, _read_table),
        Target("relion_run", "_model.star", _runs, _read_run),
        Target("mrc", ".mrc", _maps, _read_mrc),
        Target("stack", ".tmp", _stacks, _read_stack),
        Target("checkpoint", ".npz", _checkpoints, read_checkpoint),
    )
}


@cache
def seeds(name: str) -> tuple[bytes, ...]:
    """Return valid files of a target."""
    return TARGETS[name].seeds()


#: What tends to break parsers of these formats.
WORDS = tuple(
    word.encode("utf-8", "surrogateescape")
    for word in (
        "nan",
        "inf",
        "-inf",
        "1e400",
        "-1",
        "0",
        "1e-320",
        "99999999999999999999",
        "<NA>",
        "None",
        "''",
        '"',
        "'",
        "#",
        ";",
        "\\",
        "loop_",
        "data_",
        "data_particles",
        "data_optics",
        "_rlnImageName",
        "_rlnOpticsGroup",
        "_rlnHelicalTubeID",
        "\n\n",
        "\r\n",
        "\t",
        "\0",
        "\ufeff",
        "é",
        "@",
        "0@",
        "000001@../../etc/passwd",
        "1@/dev/zero",
        "1@stack.mrcs",
        "1@.",
        "{",
        "}",
        "[",
        "|O",
        "<f8",
        "<u8",
        "|S0",
        "9" * 400,
        "<script>alert(1)</script>",
        "MAP ",
        "DA\0\0",
        "\x7f\x7f\x7f\x7f",
    )
)


KINDS = (
    *["digit"] * 3,
    *["flip"] * 2,
    *["token"] * 3,
    "word",
    "cut",
    "copy",
    "drop",
    "number",
)


@st.composite
def inputs(draw: st.DrawFn, name: str) -> bytes:
    """Draw a valid file of a target with up to eight changes."""
    # Places are uniform, which integers drawn one by one would not be.
    random = Random(draw(st.integers(0, 2**64 - 1)))
    data = bytearray(random.choice(seeds(name)))
    for _ in range(random.choice([1, 1, 1, 2, 3, 8])):
        # Headers are short, and where the damage is done.
        reach = min(len(data), random.choice([1200, len(data)]))
        _change(data, random.randrange(reach) if reach else 0, random)
    return bytes(data)


def _change(data: bytearray, at: int, random: Random) -> None:
    """Damage a file in one way at one place."""
    kind = random.choice(KINDS)
    if kind == "flip":
        data[at : at + 1] = bytes([random.randrange(256)])
    elif kind == "digit":
        while at < len(data) and not 48 <= data[at] <= 57:
            at += 1
        data[at : at + 1] = random.choice([b"0", b"7", b"-", b".", b"e", b""])
    elif kind == "word":
        word = random.choice(WORDS)
        data[at : at + random.choice([0, len(word)])] = word
    elif kind == "token":
        space = b" \t\n"
        while at and data[at - 1] not in space:
            at -= 1
        end = at
        while end < len(data) and data[end] not in space and end < at + 80:
            end += 1
        data[at:end] = random.choice(WORDS)
    elif kind == "cut":
        del data[at:]
    elif kind == "copy":
        to = random.randrange(len(data) + 1)
        data[to:to] = data[at : at + random.randint(1, 200)]
    elif kind == "drop":
        del data[at : at + random.randint(1, 60)]
    else:
        data[at : at + 4] = random.randbytes(4)
