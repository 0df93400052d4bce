"""MRC maps in and out, and the header checks that maps and stacks share.

Volumes are (z, y, x) in memory whatever the axis order in the file. Maps are written
with origin (0, 0, 0), so that every map of one run, and a model fitted into one of
them, open in the same place in ChimeraX and Coot.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.atomic import atomic_path

Float32Array = NDArray[np.float32]

#: Bytes of one value, by MRC mode: int8, int16, float32, uint16, float16.
MODE_BYTES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}
_HEADER_BYTES = 1024
#: Suffixes of files that must be unpacked as a whole.
COMPRESSED = {".gz", ".bz2"}


@dataclass(frozen=True)
class MrcHeader:
    """What an MRC header says, after it was checked against the file's size.

    Attributes
    ----------
    shape : tuple of int
        Sections, rows, columns.
    mode : int
        Data type, one of `MODE_BYTES`.
    voxel_size_A : tuple of float
        Voxel size along x, y, z; 0 where the header does not tell.
    """

    shape: tuple[int, int, int]
    mode: int
    voxel_size_A: tuple[float, float, float]


def read_header(path: Path) -> MrcHeader:
    """Read an MRC header and check that the data it promises are there.

    Parameters
    ----------
    path : Path
        MRC map or stack.

    Returns
    -------
    MrcHeader
        The checked header.

    Raises
    ------
    InputError
        Not an MRC file, a mode that cannot be used, or a truncated file.
    """
    try:
        with mrcfile.open(path, mode="r", header_only=True) as mrc:
            header = mrc.header
            shape = (int(header.nz), int(header.ny), int(header.nx))
            mode = int(header.mode)
            extended_bytes = int(header.nsymbt)
            cell_A = (header.cella.x, header.cella.y, header.cella.z)
            intervals = (header.mx, header.my, header.mz)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path} could not be read as an MRC file: {error}. Copy it again, or give "
            "another file."
        ) from error
    if mode not in MODE_BYTES:
        raise InputError(
            f"{path} has MRC mode {mode}; modes 0 (int8), 1 (int16), 2 (float32), "
            "6 (uint16) and 12 (float16) can be read. Convert it, for example with "
            "relion_image_handler or e2proc2d.py."
        )
    if min(shape) < 1:
        raise InputError(
            f"{path} is empty: its header says {shape} (z, y, x). Copy it again."
        )
    promised = _HEADER_BYTES + extended_bytes + MODE_BYTES[mode] * int(np.prod(shape))
    actual = path.stat().st_size
    if path.suffix not in COMPRESSED and actual < promised:
        raise InputError(
            f"{path} is truncated: its header ({shape[0]} sections of {shape[1]} x "
            f"{shape[2]}, mode {mode}) promises {promised} bytes, the file has "
            f"{actual}. Copy it again."
        )
    x_A, y_A, z_A = (
        float(length_A) / int(n) if n > 0 else 0.0
        for length_A, n in zip(cell_A, intervals, strict=True)
    )
    return MrcHeader(shape, mode, (x_A, y_A, z_A))


def read_map(path: Path | str) -> tuple[Float32Array, float, NDArray[np.float64]]:
    """Read a density map.

    Parameters
    ----------
    path : Path or str
        MRC or CCP4 map, also compressed with gzip or bzip2.

    Returns
    -------
    volume : ndarray of float32, shape (nz, ny, nx)
        Density with axes (z, y, x).
    pixel_size_A : float
        Voxel size.
    origin_A : ndarray of float64, shape (3,)
        Position (x, y, z) of the first voxel.

    Raises
    ------
    InputError
        The file is missing, not a map, not isotropic, without a voxel size, or holds
        values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Map {path} does not exist (or is a folder). Check the path.")
    header = read_header(path)
    if header.shape[0] == 1:
        raise InputError(
            f"{path} is an image of one section, not a map. Give a volume."
        )
    try:
        with mrcfile.open(path, mode="r") as mrc:
            volume = np.array(mrc.data, dtype=np.float32)
            fields = mrc.header.copy()
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path} could not be read: {error}. Copy it again."
        ) from error
    # mapc, mapr, maps name the axis (1 = x, 2 = y, 3 = z) of columns, rows, sections.
    names = [int(fields.maps), int(fields.mapr), int(fields.mapc)]
    if sorted(names) == [1, 2, 3]:
        volume = np.transpose(volume, [names.index(axis) for axis in (3, 2, 1)])
    if not np.isfinite(volume).all():
        raise InputError(
            f"{path}: {int((~np.isfinite(volume)).sum())} voxels are NaN or infinite. "
            "Give a map without them."
        )
    pixel_size_A = _isotropic(path, header)
    origin_A = _origin(fields, names, pixel_size_A)
    return np.ascontiguousarray(volume), pixel_size_A, origin_A


def _isotropic(path: Path, header: MrcHeader) -> float:
    """Return the voxel size, which must be given and the same along all axes."""
    sizes_A = np.array(header.voxel_size_A)
    if not (np.isfinite(sizes_A) & (sizes_A > 0)).all():
        raise InputError(
            f"{path}: the header gives no voxel size ({sizes_A[0]:g}, {sizes_A[1]:g}, "
            f"{sizes_A[2]:g} A). Set it, for example with relion_image_handler "
            "--angpix, and try again."
        )
    if np.ptp(sizes_A) > 1e-3 * sizes_A[0]:
        raise InputError(
            f"{path}: the voxel size differs along x, y, z ({sizes_A[0]:g}, "
            f"{sizes_A[1]:g}, {sizes_A[2]:g} A). Resample the map to cubic voxels."
        )
    return round(float(sizes_A[0]), 6)


def _origin(fields: Any, names: list[int], pixel_size_A: float) -> NDArray[np.float64]:
    """Return the origin (x, y, z): the ORIGIN fields, or else the start indices."""
    origin_A = np.array([fields.origin.x, fields.origin.y, fields.origin.z])
    if origin_A.any() or sorted(names) != [1, 2, 3]:
        return origin_A.astype(np.float64)
    starts = [int(fields.nzstart), int(fields.nystart), int(fields.nxstart)]
    by_axis = dict(zip(names, starts, strict=True))
    return np.array([by_axis[axis] for axis in (1, 2, 3)]) * pixel_size_A


def write_map(
    path: Path | str,
    volume: NDArray[np.floating[Any]],
    pixel_size_A: float,
    label: str = "helixnb",
) -> None:
    """Write a density map as float32 MRC, complete or not at all.

    Parameters
    ----------
    path : Path or str
        Output file; replaced if it exists.
    volume : ndarray, shape (nz, ny, nx)
        Density with axes (z, y, x).
    pixel_size_A : float
        Voxel size.
    label : str
        Text for the header, cut to 80 ASCII characters.

    Raises
    ------
    InputError
        The volume is not three-dimensional, or the pixel size is not positive.
    """
    if volume.ndim != 3:
        raise InputError(f"A map has three axes (z, y, x); this has {volume.ndim}.")
    if not (np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise InputError(f"pixel_size_A is {pixel_size_A}; it must be positive.")
    text = label.encode("ascii", "replace").decode()[:80]
    with (
        atomic_path(Path(path)) as temporary,
        mrcfile.new(temporary, overwrite=True) as mrc,
    ):
        mrc.set_data(np.ascontiguousarray(volume, dtype=np.float32))
        mrc.set_volume()
        mrc.voxel_size = pixel_size_A
        mrc.header.origin = (0.0, 0.0, 0.0)
        mrc.add_label(text)
