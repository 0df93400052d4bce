"""The folder that a refinement leaves behind: who may write there, and how.

A folder is claimed before the work, so that hours of refinement do not end at a
read-only disk, and results of another run are never replaced unasked.
"""

from __future__ import annotations

import json
import math
import tempfile
from typing import TYPE_CHECKING, Any

from helixnb.errors import InputError
from helixnb.io.atomic import atomic_path
from helixnb.io.mrc import write_map

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

MAP_FILES = (
    "map.mrc",
    "map_sharpened.mrc",
    "map_symmetrized.mrc",
    "map_symmetrized_sharpened.mrc",
    "half_map_A.mrc",
    "half_map_B.mrc",
    "local_resolution.mrc",
    "mask_refinement.mrc",
    "mask_fsc.mrc",
    "mask_fsc_tight.mrc",
)
RESULT_FILES = (
    *MAP_FILES,
    "particles.star",
    "symmetry.star",
    "fsc.csv",
    "guinier.csv",
    "history.csv",
    "report.html",
    "summary.json",
)

#: Written as well for particles that came from CryoSPARC.
CRYOSPARC_FILE = "particles.cs"


def claim_folder(
    out_dir: Path,
    *,
    overwrite: bool = False,
    protected: Collection[Path] = (),
    names: Collection[str] = (*RESULT_FILES, CRYOSPARC_FILE),
) -> None:
    """Make an output folder and see that results can be written there.

    Parameters
    ----------
    out_dir : Path
        Folder, made with its parents if it does not exist.
    overwrite : bool
        Accept a folder with results of another run, which will be replaced.
    protected : collection of Path
        Files that must not be replaced in any case: the input.
    names : collection of str
        Files that will be written.

    Raises
    ------
    InputError
        Not a folder, not writable, holding results, or holding the input.
    """
    if out_dir.exists() and not out_dir.is_dir():
        raise InputError(f"{out_dir} is a file; give a folder for the results.")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out_dir):
            pass
    except OSError as error:
        raise InputError(
            f"Results cannot be written to {out_dir}: {error.strerror or error}. "
            "Give another folder."
        ) from error
    present = [name for name in names if (out_dir / name).exists()]
    inputs = {path.resolve() for path in protected}
    for name in present:
        if (out_dir / name).resolve() in inputs:
            raise InputError(
                f"The results would replace the input {out_dir / name}. Give another "
                "folder."
            )
    if present and not overwrite:
        raise InputError(
            f"{out_dir} holds the results of another run ({', '.join(present[:3])}"
            f"{', ...' if len(present) > 3 else ''}). Give another folder, or ask to "
            "overwrite them."
        )


def write_maps(
    out_dir: Path,
    maps: Mapping[str, NDArray[np.float32]],
    pixel_size_A: float,
    label: str,
) -> None:
    """Write maps by file name.

    Parameters
    ----------
    out_dir : Path
        Folder.
    maps : mapping of str to ndarray of float32, shape (box, box, box)
        Volumes (z, y, x) by file name.
    pixel_size_A : float
        Voxel size.
    label : str
        Put into every header.
    """
    for name, volume in maps.items():
        write_map(out_dir / name, volume, pixel_size_A, label)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, complete or not at all.

    Parameters
    ----------
    path : Path
        Output file.
    table : pandas.DataFrame
        Written without its index; numbers with all their digits.
    """
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write facts as strict JSON: what is not a finite number becomes null.

    Parameters
    ----------
    path : Path
        Output file.
    summary : mapping of str to object
        Plain values, lists and mappings.
    """
    text = json.dumps(_strict(summary), indent=2, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _strict(value: Any) -> Any:
    """Value without nan and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
