"""From filaments to files: micrographs are drawn, boxes cut, data and truth written.

Every random number comes from one generator in a fixed order, so a seed fixes all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pandas as pd
import starfile
from tqdm import tqdm

from helixnb.errors import InputError
from helixnb.simulate.filaments import Filaments
from helixnb.simulate.lattice import Lattice
from helixnb.simulate.micrographs import (
    FILAMENTS_PER_MICROGRAPH,
    Specimen,
    image_micrograph,
)
from helixnb.simulate.microscope import Microscope
from helixnb.simulate.models import Subunit, load_subunit
from helixnb.simulate.rendering import render_map

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_TRUTH_COLUMNS = [
    "rlnAngleRot",
    "rlnAngleTilt",
    "rlnAnglePsi",
    "rlnOriginXAngst",
    "rlnOriginYAngst",
]


@dataclass(frozen=True)
class SimulatedData:
    """Where a simulation was written, and its answer.

    Parameters
    ----------
    particles_star : Path
        What a user has: no orientations, priors with unknown polarity.
    truth_star : Path
        The same with the true poses in RELION's convention.
    truth_map : Path
        Density (z, y, x) whose projections, times the CTF, are the signal.
    twist_deg, rise_A, point_group
        The symmetry.
    pixel_size_A, box_px
        The sampling.
    n_filaments, n_segments : int
        How much there is.
    """

    particles_star: Path
    truth_star: Path
    truth_map: Path
    twist_deg: float
    rise_A: float
    point_group: str
    pixel_size_A: float
    box_px: int
    n_filaments: int
    n_segments: int

    def __repr__(self) -> str:
        return (
            f"SimulatedData: {self.n_segments} segments of {self.n_filaments} "
            f"filaments, {self.box_px} px x {self.pixel_size_A:g} A, "
            f"twist {self.twist_deg:g} deg, rise {self.rise_A:g} A, "
            f"{self.point_group}\n"
            f"  particles_star: {self.particles_star}\n"
            f"  truth_star:     {self.truth_star}\n"
            f"  truth_map:      {self.truth_map}"
        )


def simulate_segments(
    out_dir: str | Path,
    *,
    twist_deg: float,
    rise_A: float,
    point_group: str = "C1",
    model: str | Path | ArrayLike | None = None,
    subunit_radius_A: float | None = None,
    box_px: int = 64,
    pixel_size_A: float = 3.0,
    filaments: Filaments | None = None,
    microscope: Microscope | None = None,
    seed: int = 0,
    progress: bool = False,
) -> SimulatedData:
    """Write segments of simulated filaments as RELION 3.1 files, with the truth.

    Parameters
    ----------
    out_dir : path
        Folder to write to; made if it is not there. Files of the same names are
        replaced.
    twist_deg : float
        Turn per level in degrees, positive = right-handed, in (-180, 180].
    rise_A : float
        Axial distance between levels in Angstrom, > 0.
    point_group : str
        ``"Cn"`` or ``"Dn"`` (dyad along x).
    model : path, (n, 3) array or None
        One asymmetric unit: PDB or mmCIF file, atom positions in Angstrom, or None
        for a toy subunit of helices. Positions are used as given, with the helix
        axis z through the origin.
    subunit_radius_A : float, optional
        Distance of the toy subunit's centre from the axis; by default the smallest
        at which neighbours only touch. Ignored with a model.
    box_px : int
        Side of the boxes and the map in pixels, even, at least 16.
    pixel_size_A : float
        Pixel size in Angstrom.
    filaments : Filaments, optional
        Numbers, shape and picking of the filaments; defaults of `Filaments`.
    microscope : Microscope, optional
        CTF, noise and B factor; defaults of `Microscope`.
    seed : int
        The same seed gives the same arrays.
    progress : bool
        Show a progress bar if it takes longer than a second.

    Returns
    -------
    SimulatedData
        Paths of ``particles.star`` (stack ``particles.mrcs``), ``truth.star`` and
        ``truth_map.mrc``. The stack is float32, scaled so that the noise has
        variance 1 (without noise, the signal); the map is scaled alike.

    Raises
    ------
    InputError
        If a value is out of range, the model cannot be used, or the filament does
        not fit in the box.

    Examples
    --------
    >>> from helixnb.simulate import Filaments, Microscope, simulate_segments
    >>> data = simulate_segments(
    ...     "demo",
    ...     twist_deg=54.0,
    ...     rise_A=16.5,
    ...     filaments=Filaments(n_filaments=8),
    ...     microscope=Microscope(snr=0.1),
    ... )  # doctest: +SKIP
    """
    _check_sampling(box_px, pixel_size_A)
    lattice = Lattice(twist_deg, rise_A, point_group)
    subunit = load_subunit(model, lattice, subunit_radius_A=subunit_radius_A)
    _check_width(subunit, box_px * pixel_size_A)
    specimen = Specimen(
        Subunit(
            lattice.expand_level(subunit.coordinates_A),
            np.tile(subunit.weights, len(lattice.point_operators())),
        ),
        lattice,
        filaments or Filaments(),
        microscope or Microscope(),
        box_px,
        pixel_size_A,
    )
    table, signal, noise = _image_all(specimen, np.random.default_rng(seed), progress)
    density = render_map(
        specimen.level,
        lattice,
        box_px=box_px,
        pixel_size_A=pixel_size_A,
        b_factor_A2=specimen.microscope.b_factor_A2,
    )
    snr = specimen.microscope.snr
    scale = np.sqrt((1.0 if snr is None else snr) / signal.var(axis=(1, 2)).mean())
    stack = signal * scale if snr is None else signal * scale + noise
    paths = _write(Path(out_dir), specimen, table, stack, density * scale)
    return SimulatedData(
        *paths,
        twist_deg=twist_deg,
        rise_A=rise_A,
        point_group=point_group,
        pixel_size_A=pixel_size_A,
        box_px=box_px,
        n_filaments=specimen.filaments.n_filaments,
        n_segments=len(table),
    )


def _check_sampling(box_px: int, pixel_size_A: float) -> None:
    """Refuse boxes and pixels nothing can be drawn in."""
    if box_px != int(box_px) or box_px % 2 or box_px < 16:
        raise InputError(
            f"box_px must be an even number of at least 16, got {box_px!r}."
        )
    if not (np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise InputError(f"pixel_size_A must be greater than 0, got {pixel_size_A!r}.")


def _check_width(subunit: Subunit, box_A: float) -> None:
    """Refuse filaments that leave no background in the box."""
    diameter_A = 2 * subunit.outer_radius_A
    if diameter_A > 0.9 * box_A:
        raise InputError(
            f"The filament is {diameter_A:.0f} A wide and must be at most 0.9 of the "
            f"box, which is {box_A:.0f} A. Use a larger box_px or pixel_size_A, or "
            "check that the model's helix axis is z through the origin."
        )


def _image_all(
    specimen: Specimen, rng: np.random.Generator, progress: bool
) -> tuple[pd.DataFrame, NDArray[np.float32], NDArray[np.float32]]:
    """Table, signal and unit noise of all boxes, micrograph by micrograph."""
    total = specimen.filaments.n_filaments
    tables, signals, noises = [], [], []
    firsts = range(0, total, FILAMENTS_PER_MICROGRAPH)
    bar = tqdm(firsts, desc="micrographs", delay=1.0, disable=not progress)
    for number, first in enumerate(bar, start=1):
        n_here = min(FILAMENTS_PER_MICROGRAPH, total - first)
        table, signal, noise = image_micrograph(specimen, n_here, rng)
        table["rlnMicrographName"] = f"micrographs/mic{number:04d}.mrc"
        tables.append(table)
        signals.append(signal)
        noises.append(noise)
    table = pd.concat(tables, ignore_index=True)
    return table, np.concatenate(signals), np.concatenate(noises)


def _write(
    out_dir: Path,
    specimen: Specimen,
    table: pd.DataFrame,
    stack: NDArray[np.float32],
    density: NDArray[np.float32],
) -> tuple[Path, Path, Path]:
    """Write stack, map and both star files; return particles, truth and map paths."""
    out_dir.mkdir(parents=True, exist_ok=True)
    microscope, pixel_size_A = specimen.microscope, specimen.pixel_size_A
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnVoltage": [microscope.voltage_kV],
            "rlnSphericalAberration": [microscope.cs_mm],
            "rlnAmplitudeContrast": [microscope.amplitude_contrast],
            "rlnImagePixelSize": [pixel_size_A],
            "rlnImageSize": [specimen.box_px],
            "rlnImageDimensionality": [2],
        }
    )
    numbers = range(1, len(table) + 1)
    table["rlnImageName"] = [f"{n:06d}@particles.mrcs" for n in numbers]
    table["rlnOpticsGroup"] = 1
    known = table.drop(columns=_TRUTH_COLUMNS)
    paths = tuple(
        out_dir / name for name in ("particles.star", "truth.star", "truth_map.mrc")
    )
    truth = known.join(table[_TRUTH_COLUMNS])
    for path, particles in ((paths[0], known), (paths[1], truth)):
        starfile.write({"optics": optics, "particles": particles}, path)
    for path, data in ((out_dir / "particles.mrcs", stack), (paths[2], density)):
        with mrcfile.new(path, data.astype(np.float32), overwrite=True) as file:
            file.voxel_size = pixel_size_A
            if path.suffix == ".mrcs":
                file.set_image_stack()
    return paths[0], paths[1], paths[2]
