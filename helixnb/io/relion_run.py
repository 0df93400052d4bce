"""Where a RELION refinement stands: symmetry, spreads and noise, to go on from there.

An optimiser file names the others (model, sampling, particles); a model file alone has
the symmetry, and its particles are found beside it. Only what has a counterpart here is
taken. The particle list itself is read like any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helixnb.errors import InputError
from helixnb.io.columns import Float64Array, numbers
from helixnb.io.stacks import is_there, places
from helixnb.io.star import read_blocks

_OPTIMISER = "optimiser_general"
_MODEL = "model_general"


@dataclass(frozen=True)
class RelionRun:
    """What a RELION refinement says about its helix.

    Attributes
    ----------
    source : Path
        Optimiser or model file.
    particles : Path
        Particle list of the same iteration.
    values : dict
        Parameters of a refinement here, by name: twist_deg, rise_A and, where RELION
        knows them, point_group, symmetry_order, diameters and standard deviations.
    sigma2_noise : ndarray of float64, shape (shells,), or None
        RELION's noise power of each Fourier shell, mean over its groups, in its units.
        For comparison: a refinement here measures its own.
    notes : tuple of str
        What was taken from where.
    """

    source: Path
    particles: Path
    values: dict[str, Any]
    sigma2_noise: Float64Array | None = field(repr=False)
    notes: tuple[str, ...]


def is_relion_run(path: Path) -> bool:
    """Whether a file is RELION's optimiser or model file, by its first block.

    Parameters
    ----------
    path : Path
        Any existing file.

    Returns
    -------
    bool
    """
    try:
        with path.open("rb") as file:
            head = file.read(8192)
    except OSError:
        return False
    blocks = (f"\ndata_{name}".encode() for name in (_OPTIMISER, _MODEL))
    return b"\0" not in head and any(block in b"\n" + head for block in blocks)


def read_relion_run(path: Path) -> RelionRun:
    """Read an optimiser or model file and what it refers to.

    Parameters
    ----------
    path : Path
        ``run_it025_optimiser.star``, ``run_it025_half1_model.star`` or the like.

    Returns
    -------
    RelionRun

    Raises
    ------
    InputError
        Files that are missing or damaged, or a refinement without helical symmetry.
    """
    blocks = read_blocks(path)
    optimiser = _pairs(path, blocks.get(_OPTIMISER, {}))
    model_path = path
    if optimiser:
        model_path = _named(path, optimiser, "rlnModelStarFile")
        blocks = read_blocks(model_path)
    general = _pairs(model_path, blocks.get(_MODEL, {}))
    classes = blocks.get("model_classes")
    if not general or classes is None:
        raise InputError(
            f"{model_path} is no complete RELION model file: data_model_general or "
            "data_model_classes is missing. RELION may have been stopped while it "
            "wrote it; give the file of the iteration before."
        )
    values, notes = _symmetry(model_path, general, classes)
    values |= _spreads(model_path, general)
    if optimiser:
        values |= _diameters(path, optimiser)
        values |= _point_group(path, optimiser)
        particles = _named(path, optimiser, "rlnExperimentalDataStarFile")
    else:
        particles = _beside(path)
    noise = _sigma2_noise(model_path, blocks)
    return RelionRun(path, particles, values, noise, notes)


def _pairs(path: Path, block: Any) -> dict[str, Any]:
    """Return a block of names and values."""
    if isinstance(block, pd.DataFrame):
        raise InputError(
            f"{path}: a block of names and values is written as a table. Give a file "
            "as RELION wrote it."
        )
    return dict(block)


def _named(path: Path, optimiser: Mapping[str, Any], label: str) -> Path:
    """File that the optimiser names; RELION's names start from the project."""
    name = str(optimiser.get(label, "")).strip()
    if not name:
        raise InputError(
            f"{path} lacks {label}; RELION may have been stopped while it wrote it. "
            "Give the file of the iteration before."
        )
    # A run that was copied elsewhere still has its files beside each other.
    candidates = [*places(name, path, None), path.resolve().parent / Path(name).name]
    for candidate in candidates:
        if is_there(candidate):
            return candidate
    looked = "\n  ".join(dict.fromkeys(map(str, candidates)))
    raise InputError(
        f"{path} names {name} ({label}), which was not found. Looked for\n  {looked}\n"
        "Copy the files of the iteration together, or start in the project folder."
    )


def _beside(path: Path) -> Path:
    """Particles of the same iteration as a model file."""
    stem = path.stem.removesuffix("_model")
    for half in ("_half1", "_half2"):
        stem = stem.removesuffix(half)
    particles = path.with_name(f"{stem}_data.star")
    if not particles.is_file():
        raise InputError(
            f"{path} tells the symmetry, but its particles ({particles.name}) are not "
            "beside it. Give the optimiser file, or the particles with twist and rise."
        )
    return particles


def _number(path: Path, pairs: Mapping[str, Any], label: str) -> float:
    """One number; nan where it is absent."""
    if label not in pairs:
        return float("nan")
    try:
        return float(pairs[label])
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path}: {label} is {pairs[label]!r}, not a number. Correct it."
        ) from error


def _symmetry(
    path: Path, general: Mapping[str, Any], classes: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Twist, rise and order of the most populated class."""
    if not isinstance(classes, pd.DataFrame):
        classes = pd.DataFrame([classes])
    wanted = ("rlnHelicalTwist", "rlnHelicalRise")
    missing = [column for column in wanted if column not in classes.columns]
    if missing or not _number(path, general, "rlnIsHelix") == 1:
        raise InputError(
            f"{path} is of a refinement without helical symmetry (rlnIsHelix is "
            f"{general.get('rlnIsHelix', 'absent')}). Give its particles with twist "
            "and rise instead."
        )
    block = "model_classes"
    twist = numbers(classes, "rlnHelicalTwist", path, block=block)
    rise = numbers(classes, "rlnHelicalRise", path, block=block)
    best = 0
    if "rlnClassDistribution" in classes.columns:
        share = numbers(classes, "rlnClassDistribution", path, block=block)
        best = int(np.argmax(share))
    values: dict[str, Any] = {
        "twist_deg": float(twist[best]),
        "rise_A": float(rise[best]),
    }
    order = _number(path, general, "rlnNrHelicalAsymUnits")
    if 1 < order < np.inf:  # 1 is RELION's default and says nothing
        values["symmetry_order"] = int(order)
    which = f" (class {best + 1} of {len(twist)})" if len(twist) > 1 else ""
    note = f"Twist and rise were taken from {path.name}{which}."
    return values, (note,)


def _spreads(path: Path, general: Mapping[str, Any]) -> dict[str, float]:
    """Return standard deviations of priors, where RELION used them."""
    shift_A = _number(path, general, "rlnSigmaOffsetsAngst")
    if np.isnan(shift_A):  # before 3.1 in pixels
        pixel_A = _number(path, general, "rlnPixelSize")
        shift_A = _number(path, general, "rlnSigmaOffsets") * pixel_A
    found = {
        "tilt_sd_deg": _number(path, general, "rlnSigmaPriorTiltAngle"),
        "psi_sd_deg": _number(path, general, "rlnSigmaPriorPsiAngle"),
        "shift_sd_A": shift_A,
    }
    return {name: value for name, value in found.items() if value > 0}


def _diameters(path: Path, optimiser: Mapping[str, Any]) -> dict[str, float]:
    """Diameters of the tube's mask; RELION writes -1 for none."""
    found = {
        "outer_diameter_A": _number(path, optimiser, "rlnHelicalMaskTubeOuterDiameter"),
        "inner_diameter_A": _number(path, optimiser, "rlnHelicalMaskTubeInnerDiameter"),
    }
    return {name: value for name, value in found.items() if value > 0}


def _point_group(path: Path, optimiser: Mapping[str, Any]) -> dict[str, str]:
    """Point group from the sampling file, if that is there."""
    try:
        sampling_path = _named(path, optimiser, "rlnOrientSamplingStarFile")
    except InputError:
        return {}
    sampling = _pairs(
        sampling_path, read_blocks(sampling_path).get("sampling_general", {})
    )
    group = str(sampling.get("rlnSymmetryGroup", "")).upper()
    return {"point_group": group} if group else {}


def _sigma2_noise(path: Path, blocks: Mapping[str, Any]) -> Float64Array | None:
    """Mean noise power of all groups, shell by shell."""
    # "group_" before RELION 3.1 and "optics_group_" in RELION 4.
    spectra = [
        numbers(table, "rlnSigma2Noise", path, block=name)
        for name, table in blocks.items()
        if name.startswith(("model_group_", "model_optics_group_"))
        and isinstance(table, pd.DataFrame)
        and "rlnSigma2Noise" in table.columns
    ]
    if not spectra or len({len(spectrum) for spectrum in spectra}) > 1:
        return None
    return np.asarray(np.mean(spectra, axis=0), dtype=np.float64)
