"""CryoSPARC particles in RELION's vocabulary, so that one code reads both.

Every column that helical refinement needs is translated into the RELION column of the
same meaning, with units and angles converted; the table itself is kept, so that all
its columns can be written back. Two things CryoSPARC does not fix are the axis that
`filament/filament_pose` is counted from and the direction of the y axis of
`location/`; both are found from the data where the data tell (see `PoseFrame`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.columns import Float64Array
from helixnb.io.cs_file import CsArray, read_cs, read_cs_array, texts
from helixnb.io.filament_pose import PoseFrame, find_frame
from helixnb.io.optics import SCOPE_COLUMNS, make_optics
from helixnb.io.relion import ParticleMetadata, particle_metadata
from helixnb.io.rotation_vectors import euler_from_rotation_vector

#: Required numbers: CryoSPARC's column, RELION's, factor.
_CTF = (
    ("ctf/accel_kv", "rlnVoltage", 1.0),
    ("ctf/cs_mm", "rlnSphericalAberration", 1.0),
    ("ctf/amp_contrast", "rlnAmplitudeContrast", 1.0),
    ("ctf/df1_A", "rlnDefocusU", 1.0),
    ("ctf/df2_A", "rlnDefocusV", 1.0),
    ("ctf/df_angle_rad", "rlnDefocusAngle", 180 / np.pi),
)
_PHASE_SHIFT = ("ctf/phase_shift_rad", "rlnPhaseShift", 180 / np.pi)
_IMAGES = ("blob/path", "blob/idx", "blob/psize_A", "blob/shape")
_FILAMENT = "filament/filament_uid"


def read_cs_metadata(
    path: Path,
    passthrough: Sequence[Path] | None = None,
    frame: PoseFrame | None = None,
) -> ParticleMetadata:
    """Read and check the particles of a CryoSPARC job.

    Parameters
    ----------
    path : Path
        `.cs` file with particles.
    passthrough : sequence of Path, optional
        Files with the columns that the job passed through; by default the one beside
        `path` that has them, if one is needed.
    frame : PoseFrame, optional
        How filament poses and locations are meant; by default found from the data.

    Returns
    -------
    ParticleMetadata
        As for a RELION file; `native` is CryoSPARC's table with all columns.

    Raises
    ------
    InputError
        Not particles, columns missing, or values that cannot be used.
    """
    given = passthrough is not None
    table = read_cs(path, passthrough or ())
    notes: tuple[str, ...] = ()
    if not given and _missing(table):
        found = _beside(path, table)
        if found is not None:
            table = read_cs(path, [found])
            notes = (f"Columns of {found.name} were joined by uid.",)
    if len(table) == 0:
        raise InputError(
            f"{path} has columns but no rows: it lists no particles. Give the output "
            "of a job that kept some."
        )
    _refuse_missing(path, table, given)
    rln, micrograph = _relion_columns(path, table)
    if "filament/filament_pose" in _names(table) or "rlnCoordinateX" in rln:
        frame, told = find_frame(
            filament=pd.factorize(_filament_key(table, micrograph))[0],
            pose_deg=_angles(path, table, "filament/filament_pose"),
            aligned_psi_deg=rln.get("rlnAnglePsi"),
            x_px=rln.get("rlnCoordinateX"),
            y_px=rln.get("rlnCoordinateY"),
            asked=frame or PoseFrame(),
        )
        notes += told
        _apply_frame(path, table, rln, frame)
    rln |= _tubes(path, table, micrograph)
    image_px = _image_size(path, table)
    rows, optics = make_optics(path, pd.DataFrame(rln))
    optics["rlnImageSize"] = image_px
    settings = [*SCOPE_COLUMNS, "rlnImagePixelSize"]
    return particle_metadata(
        path,
        rows.drop(columns=settings),
        optics,
        contrast=_contrast(path, table),
        native=table,
        notes=notes,
    )


def _names(table: CsArray) -> tuple[str, ...]:
    return table.dtype.names or ()


def _missing(table: CsArray) -> list[str]:
    """Columns without which nothing can be done."""
    needed = [*_IMAGES, *(column for column, *_ in _CTF), _FILAMENT]
    return [column for column in needed if column not in _names(table)]


def _beside(path: Path, table: CsArray) -> Path | None:
    """Return the passthrough file of the folder that has all the particles."""
    for other in sorted(path.parent.glob("*passthrough*.cs")):
        if other == path:
            continue
        try:
            uid = read_cs_array(other)["uid"]
        except InputError:
            continue
        if np.isin(table["uid"], uid).all():
            return other
    return None


def _refuse_missing(path: Path, table: CsArray, given: bool) -> None:
    """Refuse a table that lacks required columns, naming all at once."""
    missing = _missing(table)
    if not missing:
        return
    if missing == [_FILAMENT]:
        raise InputError(
            f"{path}: column {_FILAMENT} is missing, so nothing says which segments "
            "share a filament, and half-sets must keep filaments whole. Give the "
            "passthrough file of a job whose particles come from the Filament Tracer "
            "(passthrough=...), or segments with filament ids."
        )
    kinds = sorted({name.split("/")[0] for name in _names(table) if "/" in name})
    where = (
        "Also the passthrough files lack them; give those of the job that extracted "
        "the particles."
        if given
        else "Give the passthrough file of the same job (passthrough=...)."
    )
    raise InputError(
        f"{path}: required columns are missing: {', '.join(missing)}. Its columns "
        f"are of the kinds {', '.join(kinds)}. {where}"
    )


def _numbers(path: Path, table: CsArray, column: str) -> NDArray[np.float64]:
    """Return a column as finite numbers."""
    raw = table[column]
    if raw.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: column {column} holds {raw.dtype}, not numbers. Export the "
            "particles from CryoSPARC again."
        )
    values = raw.astype(np.float64)
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}: row {row + 1}, column {column}: {raw[row]} is not a finite "
            f"number ({int(bad.sum())} of {len(values)} rows are like this). Correct "
            "or remove these particles."
        )
    return values


def _shaped(path: Path, table: CsArray, column: str, width: int) -> Float64Array:
    """Return a column of finite vectors."""
    values = _numbers(path, table, column)
    if values.shape[1:] != (width,):
        raise InputError(
            f"{path}: column {column} has {values.shape[1:]} numbers a row instead of "
            f"{width}. The table is damaged, or not of particles."
        )
    return values


def _angles(path: Path, table: CsArray, column: str) -> Float64Array | None:
    """Return a column of angles in degrees, or None."""
    if column not in _names(table):
        return None
    return np.rad2deg(_numbers(path, table, column))


def _relion_columns(
    path: Path, table: CsArray
) -> tuple[dict[str, Any], NDArray[np.object_]]:
    """RELION's columns that need no filament frame, and the micrographs."""
    names = _names(table)
    rln: dict[str, Any] = {}
    scope = (*_CTF, _PHASE_SHIFT) if _PHASE_SHIFT[0] in names else _CTF
    for column, name, factor in scope:
        rln[name] = _numbers(path, table, column) * factor
    pixel_A = rln["rlnImagePixelSize"] = np.round(
        _numbers(path, table, "blob/psize_A"), 6
    )
    section = _numbers(path, table, "blob/idx").astype(np.int64) + 1
    stack = pd.Series(texts(path, table, "blob/path")).str.removeprefix(">")
    rln["rlnImageName"] = pd.Series(section).astype(str).str.zfill(6) + "@" + stack
    micrograph = texts(
        path,
        table,
        "location/micrograph_path"
        if "location/micrograph_path" in names
        else "blob/path",
    )
    rln["rlnMicrographName"] = pd.Series(micrograph).str.removeprefix(">")
    if "alignments3D/pose" in names:
        vector = _shaped(path, table, "alignments3D/pose", 3)
        rot, tilt, psi = euler_from_rotation_vector(vector)
        rln |= {"rlnAngleRot": rot, "rlnAngleTilt": tilt, "rlnAnglePsi": psi}
    if "alignments3D/shift" in names:
        shift_px = _shaped(path, table, "alignments3D/shift", 2)
        size_A = pixel_A
        if "alignments3D/psize_A" in names:
            size_A = _numbers(path, table, "alignments3D/psize_A")
        rln["rlnOriginXAngst"] = shift_px[:, 0] * size_A
        rln["rlnOriginYAngst"] = shift_px[:, 1] * size_A
    if "alignments3D/split" in names:
        rln["rlnRandomSubset"] = _numbers(path, table, "alignments3D/split") + 1
    wanted = {"location/center_x_frac", "location/center_y_frac"}
    if wanted | {"location/micrograph_shape"} <= set(names):
        shape = _shaped(path, table, "location/micrograph_shape", 2)
        rln["rlnCoordinateX"] = (
            _numbers(path, table, "location/center_x_frac") * shape[:, 1]
        )
        rln["rlnCoordinateY"] = (
            _numbers(path, table, "location/center_y_frac") * shape[:, 0]
        )
        if "location/micrograph_psize_A" in names:
            size_A = _numbers(path, table, "location/micrograph_psize_A")
            if (size_A > 0).all():
                rln["rlnMicrographPixelSize"] = size_A
    return rln, micrograph


def _apply_frame(
    path: Path, table: CsArray, rln: dict[str, Any], frame: PoseFrame
) -> None:
    """Add the priors of a filament, and turn coordinates the right way up."""
    pose_deg = _angles(path, table, "filament/filament_pose")
    if pose_deg is not None:
        rln["rlnAngleTiltPrior"] = np.full(len(table), 90.0)
        rln["rlnAnglePsiPrior"] = frame.psi_deg(pose_deg)
        rln["rlnAnglePsiFlipRatio"] = np.full(len(table), 0.5)
    if frame.flip_y and "rlnCoordinateY" in rln:
        height = _shaped(path, table, "location/micrograph_shape", 2)[:, 0]
        rln["rlnCoordinateY"] = height - rln["rlnCoordinateY"]


def _filament_key(table: CsArray, micrograph: NDArray[np.object_]) -> NDArray[Any]:
    """One number for each filament of each micrograph."""
    keys = pd.DataFrame({"m": micrograph, "f": table[_FILAMENT]})
    return np.asarray(keys.groupby(["m", "f"], sort=False).ngroup())


def _tubes(
    path: Path, table: CsArray, micrograph: NDArray[np.object_]
) -> dict[str, Any]:
    """RELION's tube number, from 1 in each micrograph, and track length."""
    key = _filament_key(table, micrograph)
    # Filaments of one micrograph need not be neighbours in the table.
    filaments = pd.DataFrame({"m": micrograph, "key": key}).drop_duplicates("key")
    rank = filaments.groupby("m", sort=False).cumcount().to_numpy() + 1
    tube = pd.Series(rank, index=filaments["key"])
    columns: dict[str, Any] = {"rlnHelicalTubeID": tube.loc[key].to_numpy()}
    if "filament/position_A" in _names(table):
        position = pd.Series(_numbers(path, table, "filament/position_A"))
        lowest = position.groupby(key).transform("min")
        columns["rlnHelicalTrackLengthAngst"] = (position - lowest).to_numpy()
    return columns


def _image_size(path: Path, table: CsArray) -> int:
    """Return the one box size of all images, which are square."""
    shape = _shaped(path, table, "blob/shape", 2)
    odd = np.flatnonzero((shape != shape[0, 0]).any(axis=1))
    if odd.size:
        row = int(odd[0])
        raise InputError(
            f"{path}: row {row + 1}, column blob/shape: {shape[row, 1]:g} x "
            f"{shape[row, 0]:g} pixels, but the first image is {shape[0, 1]:g} x "
            f"{shape[0, 0]:g}. Square boxes of one size are needed; extract again."
        )
    return int(shape[0, 0])


def _contrast(path: Path, table: CsArray) -> NDArray[np.float32]:
    """+1 where protein is white, -1 where it is dark."""
    if "blob/sign" not in _names(table):
        return np.ones(len(table), np.float32)
    sign = _numbers(path, table, "blob/sign")
    bad = np.flatnonzero(np.abs(sign) != 1)
    if bad.size:
        raise InputError(
            f"{path}: row {int(bad[0]) + 1}, column blob/sign: {sign[bad[0]]:g} is "
            "neither 1 (protein is white) nor -1 (protein is dark). Import the "
            "particles again with a data sign."
        )
    return sign.astype(np.float32)
