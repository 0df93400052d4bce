"""Image stacks: found, checked at the door, and read image by image when needed.

A data set may be thousands of stacks and larger than memory. Only headers are read
at first; images come from memory maps, of which the most recent few stay open.
"""

import mmap
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.mrc import COMPRESSED, Float32Array, MrcHeader, read_header
from helixnb.io.relion import ParticleMetadata

#: Each open stack takes two file handles, and 1024 is a common limit.
_OPEN_STACKS = 128
_VOXEL_TOLERANCE = 0.05
#: The squares of larger ones do not fit into float32.
_LARGEST_PIXEL = 1e15
#: And the squares of smaller ones lose their digits.
_LEAST_CONTRAST = 1e-15


def find_stack(name: str, star: Path, project_dir: Path | None) -> Path:
    """Find an image file named in a STAR file.

    Tried in turn: the STAR file's folder, `project_dir`, the working folder, and the
    STAR file's parent folders (RELION writes names relative to the project).

    Parameters
    ----------
    name : str
        File name as written.
    star : Path
        The STAR file.
    project_dir : Path or None
        RELION project folder, if the user gave one.

    Returns
    -------
    Path
        Absolute path of an existing file.

    Raises
    ------
    InputError
        It is nowhere; the message lists the places.
    """
    candidates = places(name, star, project_dir)
    for candidate in candidates:
        if is_there(candidate):
            return candidate
    looked = "\n  ".join(str(candidate) for candidate in candidates)
    raise InputError(
        f"{star}: the image file {name} was not found. Looked for\n  {looked}\nPass "
        "project_dir= (the folder that names in the STAR file start from), or copy the "
        "stack beside the STAR file."
    )


def is_there(path: Path) -> bool:
    """Whether a file exists, also for names that no file system would take.

    Parameters
    ----------
    path : Path
        Any path.

    Returns
    -------
    bool
    """
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def places(name: str, star: Path, project_dir: Path | None) -> list[Path]:
    """Return where a file named in a STAR file may lie, likeliest first.

    Parameters
    ----------
    name : str
        File name as written.
    star : Path
        The STAR file.
    project_dir : Path or None
        RELION project folder, if the user gave one.

    Returns
    -------
    list of Path
        Absolute paths, each once.
    """
    folder = star.resolve().parent
    roots = [folder, *([project_dir] if project_dir else []), Path.cwd()]
    roots += list(folder.parents)
    # An absolute name makes every candidate the same path.
    return list(dict.fromkeys((root / name).absolute() for root in roots))


def find_stacks(
    metadata: ParticleMetadata, project_dir: Path | None
) -> tuple[tuple[Path, ...], NDArray[np.int32]]:
    """Find every stack of a STAR file.

    Parameters
    ----------
    metadata : ParticleMetadata
        Checked metadata.
    project_dir : Path or None
        RELION project folder, if the user gave one.

    Returns
    -------
    paths : tuple of Path
        The stacks.
    stack : ndarray of int32, shape (n,)
        Index into `paths` for each image.
    """
    stack, names = pd.factorize(metadata.stack_name)
    paths = tuple(find_stack(str(n), metadata.source, project_dir) for n in names)
    return paths, stack.astype(np.int32)


def check_stacks(
    metadata: ParticleMetadata, paths: Sequence[Path], stack: NDArray[np.int32]
) -> int:
    """Check the stacks' headers against the STAR file.

    Parameters
    ----------
    metadata : ParticleMetadata
        Checked metadata.
    paths : sequence of Path
        The stacks.
    stack : ndarray of int32, shape (n,)
        Index into `paths` for each image.

    Returns
    -------
    int
        Box size in pixels.

    Raises
    ------
    InputError
        A stack is damaged, too short, not square, or contradicts the STAR file.
    """
    box_px = metadata.image_size_px
    promise = f"rlnImageSize of {metadata.source}"
    for index, path in enumerate(paths):
        if path.suffix in COMPRESSED:
            raise InputError(
                f"{path} is compressed; single images cannot be read from it. "
                "Decompress it and change the name in the STAR file."
            )
        header = read_header(path)
        _, ny, nx = header.shape
        if nx != ny:
            raise InputError(
                f"{path}: images are {nx} x {ny} pixels; square boxes are needed. "
                "Extract the segments again with a square box."
            )
        if box_px is None:
            box_px, promise = nx, str(path)
        if nx != box_px:
            raise InputError(
                f"{path}: images are {nx} pixels wide, but {promise} says {box_px}. "
                "STAR file and stack do not belong together, or boxes are mixed: "
                "extract all segments with one box."
            )
        _check_voxel(metadata, path, header)
        _check_length(metadata, path, header, stack == index)
    assert box_px is not None
    return box_px


def _check_voxel(metadata: ParticleMetadata, path: Path, header: MrcHeader) -> None:
    """Refuse a stack whose header has another pixel size than the STAR file."""
    voxel_A = header.voxel_size_A[0]
    # 0 and 1 are what programs write that do not know the pixel size.
    unset = not np.isfinite(voxel_A) or voxel_A <= 0 or abs(voxel_A - 1.0) < 1e-6
    if not unset and abs(voxel_A / metadata.pixel_size_A - 1) > _VOXEL_TOLERANCE:
        raise InputError(
            f"{path}: the header's pixel size is {voxel_A:g} A, but "
            f"{metadata.source} says {metadata.pixel_size_A:g} A. Find out which is "
            "right and correct the other (a header value of 0 is ignored)."
        )


def _check_length(
    metadata: ParticleMetadata,
    path: Path,
    header: MrcHeader,
    mine: NDArray[np.bool_],
) -> None:
    """Refuse rows that name sections beyond the end of their stack."""
    rows = np.flatnonzero(mine)
    beyond = rows[metadata.section[rows] >= header.shape[0]]
    if beyond.size:
        row = int(beyond[0])
        raise InputError(
            f"{metadata.source}: row {row + 1} of data_particles, column rlnImageName: "
            f"section {metadata.section[row] + 1} of {path}, which has only "
            f"{header.shape[0]} sections ({beyond.size} rows are like this). The STAR "
            "file and the stack do not belong together, or the stack is incomplete."
        )


class StackReader:
    """Images out of many stacks through memory maps; safe to use from threads.

    Parameters
    ----------
    paths : sequence of Path
        The stacks, checked before.
    box_px : int
        Box size of all of them.
    """

    def __init__(self, paths: Sequence[Path], box_px: int) -> None:
        self.paths = tuple(paths)
        self.box_px = box_px
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type["StackReader"], tuple[tuple[Path, ...], int]]:
        """Pickle and copy without the open files."""
        return StackReader, (self.paths, self.box_px)

    def read(
        self, stack: NDArray[np.int32], section: NDArray[np.int64]
    ) -> Float32Array:
        """Read images.

        Parameters
        ----------
        stack : ndarray of int32, shape (m,)
            Index of the stack of each image.
        section : ndarray of int64, shape (m,)
            Section of each image, from 0.

        Returns
        -------
        ndarray of float32, shape (m, box, box)
            The images in the order asked for.

        Raises
        ------
        InputError
            An image has NaN or infinite pixels or is blank, or a stack can no longer
            be read.
        """
        images = np.empty((len(stack), self.box_px, self.box_px), dtype=np.float32)
        # In file order, so that a disk reads forward.
        order = np.lexsort((section, stack))
        groups = np.split(order, np.flatnonzero(np.diff(stack[order])) + 1)
        for rows in groups if len(order) else []:
            index = int(stack[rows[0]])
            with self._lock:
                data = self._sections(index)
                for row in rows:
                    images[row] = data[section[row]]
                self._release(index)
        finite = np.isfinite(images.sum(axis=(1, 2), dtype=np.float64))
        if not finite.all():
            raise self._unusable(~finite, stack, section, "NaN or infinite pixels")
        lowest = images.min(axis=(1, 2), initial=np.inf)
        highest = images.max(axis=(1, 2), initial=-np.inf)
        absurd = np.maximum(highest, -lowest) > _LARGEST_PIXEL
        if absurd.any():
            what = (
                f"pixels beyond {_LARGEST_PIXEL:g} (damaged, or of another byte order)"
            )
            raise self._unusable(absurd, stack, section, what)
        # Normalised, a blank image would be rounding errors: signal to a refinement.
        blank = highest - lowest < _LEAST_CONTRAST
        if blank.any():
            what = f"the same value in every pixel (to {_LEAST_CONTRAST:g})"
            raise self._unusable(blank, stack, section, what)
        return images

    def _unusable(
        self,
        bad: NDArray[np.bool_],
        stack: NDArray[np.int32],
        section: NDArray[np.int64],
        what: str,
    ) -> InputError:
        """Error that names the first of some images."""
        first = int(np.flatnonzero(bad)[0])
        number, path = section[first] + 1, self.paths[stack[first]]
        return InputError(
            f"{path}: section {number} has {what}, as have {int(bad.sum()) - 1} others "
            f"of {len(bad)} just read. Extract again, or remove the row whose image "
            f"name is {number:06d}@{path.name} from the particles."
        )

    def _sections(self, index: int) -> NDArray[Any]:
        """Return a stack's data as (sections, rows, columns), opening it if needed."""
        if index not in self._open:
            try:
                self._open[index] = mrcfile.mmap(self.paths[index], mode="r")
            except (ValueError, OSError) as error:
                raise InputError(
                    f"{self.paths[index]} can no longer be read: {error}. See that the "
                    "disk is there and the stack was not moved."
                ) from error
            if len(self._open) > _OPEN_STACKS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(index)
        data: NDArray[Any] = self._open[index].data
        return data.reshape(-1, self.box_px, self.box_px)

    def _release(self, index: int) -> None:
        """Give the pages of a stack back; else a whole large stack becomes resident.

        The system keeps them as long as it has room, so reading again costs little.
        """
        mapped = self._open[index].data.base
        if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
