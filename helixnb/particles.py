"""Helical segments as a refinement sees them: numbers in arrays, images on demand.

A `ParticleSet` joins what three readers find (metadata, filament geometry, stacks)
behind one immutable object. Everything that can be refused is refused when it is
made, so that code further down never has to ask whether a column exists.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from helixnb import listing
from helixnb.errors import InputError
from helixnb.euler import EulerPoses
from helixnb.io.columns import Float64Array
from helixnb.io.cs_export import new_table, with_poses
from helixnb.io.cs_file import write_cs
from helixnb.io.export import image_names, pose_columns, with_columns
from helixnb.io.filament_pose import PoseFrame
from helixnb.io.filaments import filament_geometry
from helixnb.io.formats import read_particles_metadata
from helixnb.io.halves import checked_half_sets, given_half_sets
from helixnb.io.mrc import Float32Array
from helixnb.io.optics import completed_optics
from helixnb.io.reading_options import ReadingOptions
from helixnb.io.stacks import StackReader, check_stacks, find_stacks
from helixnb.io.star import write_blocks
from helixnb.io.tracks import inter_box_distance


@dataclass(frozen=True, eq=False)
class ParticleSet:
    """A set of helical segments.

    Attributes
    ----------
    table : DataFrame
        Particle block, every column in file order, for writing back. For particles of
        CryoSPARC, what RELION has names for.
    optics : DataFrame
        Optics block (made from the rows for RELION 3.0 files).
    source : Path
        The STAR or `.cs` file.
    box_px : int
        Box size of the images.
    pixel_size_A : float
        Pixel size of the images.
    voltage_kV, cs_mm, amplitude_contrast : ndarray of float64, shape (n,)
        Microscope settings of each image.
    defocus_u_A, defocus_v_A, defocus_angle_deg, phase_shift_deg : ndarray, shape (n,)
        CTF of each image; underfocus is positive.
    psi_prior_deg, tilt_prior_deg, flip_ratio : ndarray of float64, shape (n,)
        In-plane angle (nan if unknown), tilt, and chance of the other polarity. All
        segments of a filament have psi priors of one polarity.
    filament : ndarray of int32, shape (n,)
        0, 1, ... by micrograph and tube in order of first appearance.
    axial_A : ndarray of float64, shape (n,)
        Position of the box along +v of the filament frame at `psi_prior_deg`, each
        filament with its own zero; nan if unknown.
    track_A : ndarray of float64, shape (n,)
        Distance from the start of the tube as the picker laid it out; nan if unknown.
    half : ndarray of int8, shape (n,), or None
        Half-set 0 or 1, if the file has usable ones.
    inter_box_A : float
        Median distance between neighbouring boxes along the track; nan if unknown.
    notes : tuple of str
        What a user should know about how the file was read.
    contrast : ndarray of float32, shape (n,)
        +1 where protein is white on disk, -1 where it is dark; `read` makes it white.
    native : structured ndarray, shape (n,), or None
        CryoSPARC's table with all its columns, if the particles come from there.
    read_with : ReadingOptions
        What `from_file` was told besides the path.
    rows : ndarray of int64, shape (n,), or None
        Row of the file that each segment is; None for all of them in their order.
    """

    table: pd.DataFrame = field(repr=False)
    optics: pd.DataFrame = field(repr=False)
    source: Path
    box_px: int
    pixel_size_A: float
    voltage_kV: Float64Array = field(repr=False)
    cs_mm: Float64Array = field(repr=False)
    amplitude_contrast: Float64Array = field(repr=False)
    defocus_u_A: Float64Array = field(repr=False)
    defocus_v_A: Float64Array = field(repr=False)
    defocus_angle_deg: Float64Array = field(repr=False)
    phase_shift_deg: Float64Array = field(repr=False)
    psi_prior_deg: Float64Array = field(repr=False)
    tilt_prior_deg: Float64Array = field(repr=False)
    flip_ratio: Float64Array = field(repr=False)
    filament: NDArray[np.int32] = field(repr=False)
    axial_A: Float64Array = field(repr=False)
    track_A: Float64Array = field(repr=False)
    half: NDArray[np.int8] | None = field(repr=False)
    inter_box_A: float
    notes: tuple[str, ...]
    contrast: NDArray[np.float32] = field(repr=False)
    native: NDArray[np.void] | None = field(repr=False)
    stack: NDArray[np.int32] = field(repr=False)
    section: NDArray[np.int64] = field(repr=False)
    reader: StackReader = field(repr=False)
    read_with: ReadingOptions = field(repr=False)
    rows: NDArray[np.int64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of segments."""
        return len(self.filament)

    def __repr__(self) -> str:
        return listing.as_text("ParticleSet", self._facts())

    def _repr_html_(self) -> str:
        return listing.as_html(self._facts())

    def _facts(self) -> list[tuple[str, str]]:
        """List what there is to know at a glance."""
        apart = f"{self.inter_box_A:.1f} A along the filament"
        halves = "not in the file: made by filament"
        return [
            ("particles", str(self.source)),
            ("segments", f"{len(self):,} of {self.n_filaments:,} filaments"),
            ("images", f"{self.box_px} x {self.box_px} px of {self.pixel_size_A:g} A"),
            ("boxes apart", apart if self.inter_box_A > 0 else "not in the file"),
            ("half-sets", halves if self.half is None else "as in the file"),
            *(("note", note) for note in self.notes),
        ]

    @property
    def n_filaments(self) -> int:
        """Number of filaments."""
        return int(self.filament.max()) + 1 if len(self) else 0

    @classmethod
    def from_file(
        cls,
        path: Path | str,
        *,
        project_dir: Path | str | None = None,
        passthrough: Sequence[Path | str] | None = None,
        frame: PoseFrame | None = None,
    ) -> "ParticleSet":
        """Read particles of RELION or CryoSPARC and check their image stacks.

        Which program wrote the file is seen from its content, not from its name.

        Parameters
        ----------
        path : Path or str
            STAR file of RELION 3.0, 3.1, 4 or 5 with helical columns, or `.cs` file of
            a CryoSPARC job with filaments.
        project_dir : Path or str, optional
            Folder that image names start from, if it is neither the file's folder, one
            of its parents, nor the working folder.
        passthrough : sequence of path, optional
            CryoSPARC's passthrough files; by default the one beside `path`, if needed.
        frame : PoseFrame, optional
            What CryoSPARC's filament poses and locations are counted from; by default
            what agrees with the data.

        Returns
        -------
        ParticleSet
            The segments. No image is read yet.

        Raises
        ------
        InputError
            Anything in the file or the stacks' headers that cannot be used.
        """
        metadata = read_particles_metadata(
            Path(path),
            passthrough=None if passthrough is None else [Path(p) for p in passthrough],
            frame=frame,
        )
        geometry = filament_geometry(metadata)
        paths, stack = find_stacks(metadata, Path(project_dir) if project_dir else None)
        box_px = check_stacks(metadata, paths, stack)
        half, half_notes = given_half_sets(
            metadata.table, metadata.source, geometry.filament
        )
        own = {own.name for own in fields(cls)}
        shared: dict[str, Any] = {
            item.name: getattr(metadata, item.name)
            for item in fields(metadata)
            if item.name in own
        }
        shared["optics"] = completed_optics(metadata.optics, box_px)
        shared["psi_prior_deg"] = geometry.psi_deg
        shared["notes"] = metadata.notes + geometry.notes + half_notes
        return cls(
            **shared,
            box_px=box_px,
            filament=geometry.filament,
            half=half,
            axial_A=geometry.axial_A,
            track_A=geometry.track_A,
            inter_box_A=inter_box_distance(geometry.track_A, geometry.filament),
            stack=stack,
            reader=StackReader(paths, box_px),
            read_with=ReadingOptions(
                str(Path(project_dir).absolute()) if project_dir else None,
                None
                if passthrough is None
                else tuple(str(Path(other).absolute()) for other in passthrough),
                frame,
            ),
        )

    #: The name under which most notebooks know it.
    from_star = from_file

    def read(self, indices: ArrayLike) -> Float32Array:
        """Read images from disk.

        Parameters
        ----------
        indices : array of int, shape (m,)
            Segments, in any order; repeats are allowed.

        Returns
        -------
        ndarray of float32, shape (m, box, box)
            Images with white protein, (y, x).

        Raises
        ------
        InputError
            An index out of range, or an image with NaN or infinite pixels.
        """
        chosen = self._chosen(indices)
        images = self.reader.read(self.stack[chosen], self.section[chosen])
        images *= self.contrast[chosen, None, None]
        return images

    def fingerprint(self) -> str:
        """Hash of which image of which filament each segment is.

        Returns
        -------
        str
            The same for the same images in the same order, wherever they lie.
        """
        digest = hashlib.blake2b(digest_size=16)
        for path in self.reader.paths:
            digest.update(path.name.encode() + b"\0")
        for values in (self.stack, self.section, self.filament):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def subset(self, indices: ArrayLike) -> "ParticleSet":
        """Return some of the segments as a set of their own.

        Filaments are numbered anew. Half-sets are kept if both still have segments.

        Parameters
        ----------
        indices : array of int, shape (m,), or of bool, shape (n,)
            Segments, in any order.

        Returns
        -------
        ParticleSet
            The chosen segments in the order asked for.

        Raises
        ------
        InputError
            No index, an index out of range, or one given twice.
        """
        chosen = self._chosen(indices)
        if len(chosen) == 0:
            raise InputError("subset: no segment was chosen.")
        if len(np.unique(chosen)) < len(chosen):
            raise InputError("subset: a segment was chosen twice; give each once.")
        # Every per-segment array is cut, whatever it is called.
        cut: dict[str, Any] = {
            item.name: value[chosen]
            for item in fields(self)
            if isinstance(value := getattr(self, item.name), np.ndarray)
        }
        filament = pd.factorize(cut["filament"])[0].astype(np.int32)
        notes = self.notes
        if self.half is not None:
            cut["half"], half_notes = checked_half_sets(cut["half"], filament)
            notes += half_notes
        cut["filament"] = filament
        cut.setdefault("rows", chosen.astype(np.int64))
        return replace(
            self,
            **cut,
            table=self.table.iloc[chosen].reset_index(drop=True),
            inter_box_A=inter_box_distance(cut["track_A"], filament),
            notes=notes,
        )

    def write_star(
        self,
        path: Path | str,
        poses: EulerPoses,
        *,
        half: ArrayLike | None = None,
        extra: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Write a RELION 3.1 STAR file with refined poses.

        All original columns are kept, in their order. Image names are written
        relative to the output folder.

        Parameters
        ----------
        path : Path or str
            Output file; replaced in one step if it exists.
        poses : EulerPoses
            One for each segment.
        half : array of int, shape (n,), optional
            Half-set 0 or 1, written as rlnRandomSubset 1 or 2; by default as it was.
        extra : mapping of str to array, shape (n,), optional
            More columns, by STAR name.

        Raises
        ------
        InputError
            An array of another length, or half-sets other than 0 and 1.
        """
        path = Path(path)
        columns: dict[str, ArrayLike] = {
            **pose_columns(self.table, poses, self.pixel_size_A)
        }
        if half is not None:
            subset = np.asarray(half)
            if not np.isin(subset, (0, 1)).all():
                raise InputError(
                    f"write_star: half must be 0 or 1, not {np.unique(subset)[:5]}."
                )
            columns["rlnRandomSubset"] = subset.astype(np.int64) + 1
        blocks = self.star_blocks(path.absolute().parent)
        particles = with_columns(blocks["particles"], columns | dict(extra or {}))
        write_blocks(path, blocks | {"particles": particles})

    def star_blocks(self, folder: Path) -> dict[str, pd.DataFrame]:
        """Optics and particles as read, to be written into a folder.

        Parameters
        ----------
        folder : Path
            Where the file will be; image names lead from there to the stacks.

        Returns
        -------
        dict of str to DataFrame
            ``optics`` and ``particles``.
        """
        names = image_names(self.reader.paths, self.stack, self.section, folder)
        particles = with_columns(self.table, {"rlnImageName": names})
        return {"optics": self.optics, "particles": particles}

    def write_cs(
        self,
        path: Path | str,
        poses: EulerPoses,
        *,
        half: ArrayLike | None = None,
    ) -> None:
        """Write a CryoSPARC table with refined poses.

        All columns of a CryoSPARC input are kept; otherwise the table has images, CTF,
        filaments and poses.

        Parameters
        ----------
        path : Path or str
            Output file; replaced in one step if it exists.
        poses : EulerPoses
            One for each segment.
        half : array of int, shape (n,), optional
            Half-set 0 or 1; by default as it was.
        """
        table = self.native
        if table is None:
            table = new_table(
                paths=self.reader.paths,
                stack=self.stack,
                section=self.section,
                box_px=self.box_px,
                pixel_size_A=self.pixel_size_A,
                contrast=self.contrast,
                ctf={
                    "accel_kv": self.voltage_kV,
                    "cs_mm": self.cs_mm,
                    "amp_contrast": self.amplitude_contrast,
                    "df1_A": self.defocus_u_A,
                    "df2_A": self.defocus_v_A,
                    "df_angle_rad": np.deg2rad(self.defocus_angle_deg),
                    "phase_shift_rad": np.deg2rad(self.phase_shift_deg),
                },
                filament=self.filament,
                psi_prior_deg=self.psi_prior_deg,
                track_A=self.track_A,
                inter_box_A=self.inter_box_A,
            )
        write_cs(Path(path), with_poses(table, poses, half, self.pixel_size_A))

    def _chosen(self, indices: ArrayLike) -> NDArray[np.intp]:
        """Return indices as whole numbers within range."""
        chosen = np.atleast_1d(np.asarray(indices))
        if chosen.dtype == bool and chosen.shape == (len(self),):
            return np.flatnonzero(chosen)
        if chosen.size == 0:
            return np.empty(0, dtype=np.intp)
        if not np.issubdtype(chosen.dtype, np.integer) or chosen.ndim != 1:
            raise InputError(
                "Segments are chosen by a list of whole numbers, or by one bool for "
                f"each of the {len(self)} segments; got {chosen.dtype} of shape "
                f"{chosen.shape}."
            )
        if chosen.min() < 0 or chosen.max() >= len(self):
            raise InputError(
                f"Segment {chosen.min() if chosen.min() < 0 else chosen.max()} does "
                f"not exist; segments are 0 to {len(self) - 1}."
            )
        return chosen.astype(np.intp)
