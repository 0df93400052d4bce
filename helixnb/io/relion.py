"""RELION particle metadata of every dialect, in one form and without touching images.

RELION 3.0 keeps voltage, magnification and detector pixel in every row and lengths in
pixels; RELION 3.1, 4 and 5 keep microscope settings in an optics block and lengths in
Angstrom. `read_metadata` hides the difference. Image stacks are not opened here, so
that metadata can be inspected where the images are not.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.columns import Float64Array, numbers, optional_numbers
from helixnb.io.optics import (
    SCOPE_COLUMNS,
    aberration_note,
    image_size,
    make_optics,
    optics_rows,
    pixel_size,
    refuse_volumes,
)
from helixnb.io.star import read_particle_blocks

_ROW_COLUMNS = (
    "rlnImageName",
    "rlnMicrographName",
    "rlnDefocusU",
    "rlnDefocusV",
    "rlnDefocusAngle",
)
_TUBE = "rlnHelicalTubeID"


@dataclass(frozen=True, eq=False)
class ParticleMetadata:
    """What a particle STAR file says, in one form for all RELION versions.

    Attributes
    ----------
    source : Path
        The STAR file.
    table : DataFrame
        Particle block as read, every column in file order.
    optics : DataFrame
        Optics block, made from the rows for RELION 3.0 files.
    pixel_size_A : float
        Pixel size of the images.
    image_size_px : int or None
        Box size the optics block promises, if it does.
    voltage_kV, cs_mm, amplitude_contrast : ndarray of float64, shape (n,)
        Microscope settings of each image.
    defocus_u_A, defocus_v_A, defocus_angle_deg, phase_shift_deg : ndarray, shape (n,)
        CTF of each image; underfocus is positive.
    psi_prior_deg, tilt_prior_deg, flip_ratio : ndarray of float64, shape (n,)
        In-plane angle (nan if unknown), tilt, and chance of the other polarity.
    stack_name : Series of str, length n
        Image file as written in the STAR file.
    section : ndarray of int64, shape (n,)
        Section in that file, counted from 0.
    contrast : ndarray of float32, shape (n,)
        +1 where protein is white in the image, -1 where it is dark.
    native : structured ndarray, shape (n,), or None
        The table of another program this was translated from, with all its columns.
    notes : tuple of str
        What a user should know about how the file was read.
    """

    source: Path
    table: pd.DataFrame
    optics: pd.DataFrame
    pixel_size_A: float
    image_size_px: int | None
    voltage_kV: Float64Array
    cs_mm: Float64Array
    amplitude_contrast: Float64Array
    defocus_u_A: Float64Array
    defocus_v_A: Float64Array
    defocus_angle_deg: Float64Array
    phase_shift_deg: Float64Array
    psi_prior_deg: Float64Array
    tilt_prior_deg: Float64Array
    flip_ratio: Float64Array
    stack_name: pd.Series
    section: NDArray[np.int64]
    contrast: NDArray[np.float32]
    native: NDArray[np.void] | None
    notes: tuple[str, ...]


def read_metadata(path: Path) -> ParticleMetadata:
    """Read and check the metadata of a helical particle STAR file.

    Parameters
    ----------
    path : Path
        STAR file of RELION 3.0, 3.1, 4 or 5.

    Returns
    -------
    ParticleMetadata
        The checked metadata.

    Raises
    ------
    InputError
        Not a particle file, columns missing, or values that cannot be used.
    """
    blocks = read_particle_blocks(path)
    table = blocks.particles
    _refuse_missing(path, table, blocks.optics)
    if blocks.optics is None:
        table, optics = make_optics(path, table)
    else:
        optics = blocks.optics
    return particle_metadata(path, table, optics)


def particle_metadata(
    path: Path,
    table: pd.DataFrame,
    optics: pd.DataFrame,
    *,
    contrast: NDArray[np.float32] | None = None,
    native: NDArray[np.void] | None = None,
    notes: tuple[str, ...] = (),
) -> ParticleMetadata:
    """Check tables that have all required columns and take the numbers out.

    Parameters
    ----------
    path : Path
        File they come from.
    table : DataFrame
        Particle block.
    optics : DataFrame
        Optics block.
    contrast : ndarray of float32, shape (n,), optional
        +1 or -1; protein is white by default, as RELION has it.
    native : structured ndarray, shape (n,), optional
        Table of another program.
    notes : tuple of str
        How it was read.

    Returns
    -------
    ParticleMetadata
        The checked metadata.

    Raises
    ------
    InputError
        Values that cannot be used.
    """
    row_group = optics_rows(path, table, optics)
    refuse_volumes(path, optics)
    stack_name, section = _split_image_names(path, table)
    psi_column = _first_present(table, "rlnAnglePsiPrior", "rlnAnglePsi")
    flip_ratio = optional_numbers(table, "rlnAnglePsiFlipRatio", path, 0.5)
    numbers(table, _TUBE, path)
    scope = {
        column: numbers(optics, column, path, low=low, high=high, block="optics")
        for column, low, high in zip(
            SCOPE_COLUMNS, (10.0, 0.0, 0.0), (2000.0, 100.0, 1.0), strict=True
        )
    }
    return ParticleMetadata(
        source=path,
        table=table,
        optics=optics,
        pixel_size_A=pixel_size(path, optics),
        image_size_px=image_size(path, optics),
        voltage_kV=scope["rlnVoltage"][row_group],
        cs_mm=scope["rlnSphericalAberration"][row_group],
        amplitude_contrast=scope["rlnAmplitudeContrast"][row_group],
        defocus_u_A=numbers(table, "rlnDefocusU", path),
        defocus_v_A=numbers(table, "rlnDefocusV", path),
        defocus_angle_deg=numbers(table, "rlnDefocusAngle", path),
        phase_shift_deg=optional_numbers(table, "rlnPhaseShift", path, 0.0),
        psi_prior_deg=optional_numbers(table, psi_column, path, np.nan),
        tilt_prior_deg=optional_numbers(table, "rlnAngleTiltPrior", path, 90.0),
        flip_ratio=flip_ratio,
        stack_name=stack_name,
        section=section,
        contrast=np.ones(len(table), np.float32) if contrast is None else contrast,
        native=native,
        notes=notes + aberration_note(optics),
    )


def _first_present(table: pd.DataFrame, *columns: str) -> str:
    """Return the first of `columns` in the table, or the first of all."""
    return next((column for column in columns if column in table.columns), columns[0])


def _refuse_missing(
    path: Path, table: pd.DataFrame, optics: pd.DataFrame | None
) -> None:
    """Refuse a file that lacks required columns, naming all of them at once."""
    missing = [column for column in _ROW_COLUMNS if column not in table.columns]
    scope_table, where = (table, "") if optics is None else (optics, " (data_optics)")
    missing += [f"{c}{where}" for c in SCOPE_COLUMNS if c not in scope_table.columns]
    if optics is not None:
        for column, block, name in (
            ("rlnOpticsGroup", table, "particles"),
            ("rlnOpticsGroup", optics, "optics"),
            ("rlnImagePixelSize", optics, "optics"),
        ):
            if column not in block.columns:
                missing.append(f"{column} (data_{name})")
    elif "rlnOpticsGroup" in table.columns:
        missing = [*missing, "the whole block data_optics"]
    elif "rlnImagePixelSize" not in table.columns:
        missing += [
            column
            for column in ("rlnMagnification", "rlnDetectorPixelSize")
            if column not in table.columns
        ]
    no_tube = _TUBE not in table.columns
    if not missing and not no_tube:
        return
    parts = []
    if missing:
        parts.append(f"Required columns are missing: {', '.join(missing)}.")
    if no_tube:
        parts.append(
            f"Column {_TUBE} is missing. Half-sets must keep filaments whole, and "
            "this column says which segments share one. Extract the segments again "
            "with 'Extract helical segments' on."
        )
    raise InputError(
        f"{path}: {' '.join(parts)} Columns found: "
        f"{', '.join(map(str, table.columns))}."
    )


def _split_image_names(
    path: Path, table: pd.DataFrame
) -> tuple[pd.Series, NDArray[np.int64]]:
    """Return file and section (from 0) of names like `000012@folder/stack.mrcs`."""
    names = table["rlnImageName"].astype(str)
    parts = names.str.extract(r"^\s*(\d{1,12})@(.*\S)\s*$")
    section = pd.to_numeric(parts[0], errors="coerce").fillna(0).astype(np.int64)
    bad = (section < 1).to_numpy()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"{path}: row {row + 1} of data_particles, column rlnImageName: "
            f"{names.iloc[row]!r} is not of the form 000001@stack.mrcs (sections count "
            f"from 1; {int(bad.sum())} of {len(names)} rows are like this)."
        )
    twice = pd.DataFrame({"name": parts[1], "section": section}).duplicated(keep=False)
    if twice.any():
        first = int(np.flatnonzero(twice)[0])
        image = names.iloc[first]
        same = (section == section.iloc[first]) & (parts[1] == parts[1].iloc[first])
        rows = np.flatnonzero(same)[:2] + 1
        raise InputError(
            f"{path}: rows {rows[0]} and {rows[1]} of data_particles both name image "
            f"{image}. An image counted twice can sit in both half-sets; remove "
            "duplicates."
        )
    return parts[1], np.asarray(section, dtype=np.int64) - 1
