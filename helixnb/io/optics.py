"""The optics block: pixel size, box and microscope settings of groups of images.

RELION 3.1 introduced it. For older files the block is made from the rows, so that
everything else needs to know one form only.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.columns import numbers

#: Microscope settings, in the optics block since RELION 3.1 and in the rows before.
SCOPE_COLUMNS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")

_ABERRATIONS = (
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnOddZernike",
    "rlnEvenZernike",
    "rlnMagMat00",
    "rlnMagMat01",
    "rlnMagMat10",
    "rlnMagMat11",
)
_NEUTRAL = {"rlnMagMat00": 1.0, "rlnMagMat11": 1.0}


def make_optics(path: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the optics block of a RELION 3.0 table and point its rows to it.

    Parameters
    ----------
    path : Path
        STAR file, for messages.
    table : DataFrame
        Particle block.

    Returns
    -------
    table : DataFrame
        The particle block with a column rlnOpticsGroup.
    optics : DataFrame
        One row for each combination of settings.
    """
    if "rlnImagePixelSize" in table.columns:
        pixel_size_A = numbers(table, "rlnImagePixelSize", path)
    else:
        micron_to_A = 1e4
        magnification = numbers(table, "rlnMagnification", path, low=1.0)
        detector_um = numbers(table, "rlnDetectorPixelSize", path)
        # Rounded so that the last bits of the division do not make another group.
        pixel_size_A = np.round(detector_um * micron_to_A / magnification, 6)
    settings = pd.DataFrame(
        {column: numbers(table, column, path) for column in SCOPE_COLUMNS}
    )
    settings["rlnImagePixelSize"] = pixel_size_A
    group = settings.groupby(list(settings.columns), sort=False).ngroup() + 1
    optics = settings.drop_duplicates(ignore_index=True)
    names = [f"opticsGroup{i + 1}" for i in range(len(optics))]
    optics.insert(0, "rlnOpticsGroupName", names)
    optics.insert(0, "rlnOpticsGroup", np.arange(1, len(optics) + 1))
    if "rlnImageSize" in table.columns:
        first = ~group.duplicated().to_numpy()
        optics["rlnImageSize"] = table["rlnImageSize"].to_numpy()[first]
    return table.assign(rlnOpticsGroup=group.to_numpy()), optics


def optics_rows(
    path: Path, table: pd.DataFrame, optics: pd.DataFrame
) -> NDArray[np.intp]:
    """Return the optics row of each particle.

    Parameters
    ----------
    path : Path
        STAR file, for messages.
    table : DataFrame
        Particle block.
    optics : DataFrame
        Optics block.

    Returns
    -------
    ndarray of int, shape (n,)
        Row of `optics`, from 0.

    Raises
    ------
    InputError
        A group is not in the optics block, or is there twice.
    """
    groups = pd.Index(numbers(optics, "rlnOpticsGroup", path, block="optics"))
    if groups.has_duplicates:
        twice = groups[groups.duplicated()][0]
        raise InputError(
            f"{path}: optics group {twice:g} is defined twice in data_optics. Keep one."
        )
    wanted = numbers(table, "rlnOpticsGroup", path)
    rows = groups.get_indexer(pd.Index(wanted))
    if (rows < 0).any():
        row = int(np.flatnonzero(rows < 0)[0])
        raise InputError(
            f"{path}: row {row + 1} of data_particles, column rlnOpticsGroup: group "
            f"{wanted[row]:g} is not in data_optics, which has "
            f"{', '.join(f'{group:g}' for group in groups)}. Add the group there, or "
            "correct the row."
        )
    return rows


def refuse_volumes(path: Path, optics: pd.DataFrame) -> None:
    """Refuse subtomograms.

    Parameters
    ----------
    path : Path
        STAR file, for messages.
    optics : DataFrame
        Optics block.

    Raises
    ------
    InputError
        Images of a group are not two-dimensional.
    """
    column = "rlnImageDimensionality"
    if column not in optics.columns:
        return
    dimensions = numbers(optics, column, path, block="optics")
    if (dimensions != 2).any():
        value = dimensions[dimensions != 2][0]
        raise InputError(
            f"{path}: {column} is {value:g} in data_optics: these are subtomograms. "
            "Only two-dimensional segments can be used."
        )


def pixel_size(path: Path, optics: pd.DataFrame) -> float:
    """Return the one pixel size of all groups.

    Parameters
    ----------
    path : Path
        STAR file, for messages.
    optics : DataFrame
        Optics block.

    Returns
    -------
    float
        Angstrom.

    Raises
    ------
    InputError
        Groups have different pixel sizes.
    """
    sizes = numbers(optics, "rlnImagePixelSize", path, low=1e-3, block="optics")
    if np.ptp(sizes) > 1e-4 * sizes[0]:
        groups = ", ".join(
            f"group {group}: {size:g} A"
            for group, size in zip(optics["rlnOpticsGroup"], sizes, strict=True)
        )
        raise InputError(
            f"{path}: the optics groups have different pixel sizes ({groups}). Extract "
            "all segments with one pixel size, or refine the groups one by one."
        )
    return float(sizes[0])


def image_size(path: Path, optics: pd.DataFrame) -> int | None:
    """Return the box size the optics block promises, or None.

    Parameters
    ----------
    path : Path
        STAR file, for messages.
    optics : DataFrame
        Optics block.

    Returns
    -------
    int or None
        Pixels; None when the block does not tell.

    Raises
    ------
    InputError
        Groups have different boxes.
    """
    if "rlnImageSize" not in optics.columns:
        return None
    sizes = numbers(optics, "rlnImageSize", path, low=1, block="optics")
    if (sizes != sizes[0]).any():
        raise InputError(
            f"{path}: data_optics has images of several sizes "
            f"({', '.join(f'{size:g}' for size in np.unique(sizes))} pixels). Extract "
            "all segments with one box size."
        )
    return int(sizes[0])


def aberration_note(optics: pd.DataFrame) -> tuple[str, ...]:
    """Tell the aberrations of the optics block that are not corrected for.

    Parameters
    ----------
    optics : DataFrame
        Optics block.

    Returns
    -------
    tuple of str
        One sentence, or none where all are neutral or not given.
    """
    present = []
    for column in (c for c in _ABERRATIONS if c in optics.columns):
        # Coefficients of Zernike polynomials are written as [1.2,-0.3].
        words = optics[column].astype(str).str.findall(r"[^\[\],\s]+").explode()
        values = pd.to_numeric(words, errors="coerce").dropna()
        if (values != _NEUTRAL.get(column, 0.0)).any():
            present.append(column)
    if not present:
        return ()
    return (
        f"Aberrations are not corrected for ({', '.join(present)} of data_optics): "
        "they cost resolution where they are strong.",
    )


def completed_optics(optics: pd.DataFrame, box_px: int) -> pd.DataFrame:
    """Add the columns without which RELION does not read an optics block.

    Parameters
    ----------
    optics : DataFrame
        Optics block.
    box_px : int
        Box size of the images.

    Returns
    -------
    DataFrame
        The block with rlnImageSize and rlnImageDimensionality.
    """
    needed = {"rlnImageSize": box_px, "rlnImageDimensionality": 2}
    missing = {name: n for name, n in needed.items() if name not in optics.columns}
    return optics.assign(**missing)
