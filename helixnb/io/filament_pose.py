"""What CryoSPARC's filament poses and locations are counted from, found from data.

Public converters disagree about `filament/filament_pose`: some take it as the angle of
the filament from the x axis of the image, psi = -pose (helicon, and the importer of
RELION forks), pyem as the angle from the y axis, psi = 90 - pose. A quarter of a turn
off, refinement finds nothing. Likewise `location/center_y_frac` may count rows from
either end of the micrograph. Neither has to be believed: refined in-plane angles, or
the direction in which the boxes of a filament follow each other, tell.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.columns import Float64Array

#: Agreement is the mean of cos(2 error): 1 for perfect, 0 for chance, -1 for 90 deg.
_SURE = 0.6
#: And the next best reading must be worse by this much.
_MARGIN = 0.3


@dataclass(frozen=True)
class PoseFrame:
    """How filament poses and locations are meant.

    Parameters
    ----------
    pose_from : str, optional
        ``"x"``: psi = -pose; ``"y"``: psi = 90 - pose; None lets the data decide.
    flip_y : bool, optional
        Whether `location/center_y_frac` counts from the last row; None lets the data
        decide.
    """

    pose_from: str | None = None
    flip_y: bool | None = None

    def __post_init__(self) -> None:
        if self.pose_from not in ("x", "y", None):
            raise InputError(
                f"pose_from is {self.pose_from!r}; 'x' takes filament poses from the x "
                "axis of the image (psi = -pose), 'y' from its y axis (90 - pose)."
            )

    def psi_deg(self, pose_deg: Float64Array) -> Float64Array:
        """In-plane angle of RELION for filament poses.

        Parameters
        ----------
        pose_deg : ndarray of float64, shape (n,)
            `filament/filament_pose` in degrees.

        Returns
        -------
        ndarray of float64, shape (n,)
            In [-180, 180).
        """
        psi = -pose_deg + (90.0 if self.pose_from == "y" else 0.0)
        return np.remainder(psi + 180.0, 360.0) - 180.0


def find_frame(
    *,
    filament: NDArray[np.integer],
    pose_deg: Float64Array | None,
    aligned_psi_deg: Float64Array | None,
    x_px: Float64Array | None,
    y_px: Float64Array | None,
    asked: PoseFrame,
) -> tuple[PoseFrame, tuple[str, ...]]:
    """Find what poses and locations are counted from.

    Parameters
    ----------
    filament : ndarray of int, shape (n,)
        Filament of each segment.
    pose_deg : ndarray of float64, shape (n,), or None
        Filament poses in degrees.
    aligned_psi_deg : ndarray of float64, shape (n,), or None
        In-plane angles of a refinement.
    x_px, y_px : ndarray of float64, shape (n,), or None
        Box centres, rows counted as in the file.
    asked : PoseFrame
        What it fixes is not questioned.

    Returns
    -------
    frame : PoseFrame
        As asked, as the data say, or from the x axis and the first row.
    notes : tuple of str
        What was chosen, and why.
    """
    axes = _track_axes(filament, x_px, y_px)
    agreement: dict[PoseFrame, float] = {}
    for candidate in _candidates(asked):
        psi = candidate.psi_deg(pose_deg) if pose_deg is not None else aligned_psi_deg
        score = 0.0
        if psi is not None and axes is not None:
            # A filament of +v = (-cos psi, sin psi) lies at -psi; conj mirrors rows.
            track = np.conj(axes) if candidate.flip_y else axes
            score += _mean(track * np.exp(2j * np.deg2rad(psi)))
        if pose_deg is not None and aligned_psi_deg is not None:
            apart = candidate.psi_deg(pose_deg) - aligned_psi_deg
            score += _mean(np.exp(2j * np.deg2rad(apart)))
        agreement[candidate] = score
    return _decided(agreement, asked, pose_deg is not None)


def _track_axes(
    filament: NDArray[np.integer],
    x_px: Float64Array | None,
    y_px: Float64Array | None,
) -> NDArray[np.complex128] | None:
    """Return exp(2i angle) of the line through each filament's boxes, or 0."""
    if x_px is None or y_px is None:
        return None
    place = np.asarray(x_px) + 1j * np.asarray(y_px)
    count = np.bincount(filament)
    mean = (
        np.bincount(filament, place.real) + 1j * np.bincount(filament, place.imag)
    ) / count
    square = (place - mean[filament]) ** 2
    axis = np.bincount(filament, square.real) + 1j * np.bincount(filament, square.imag)
    length = np.abs(axis)
    unit = axis / np.maximum(length, 1e-6)
    return np.asarray(unit[filament], dtype=np.complex128)


def _mean(values: NDArray[np.complex128]) -> float:
    """Mean cosine over the values that are not 0."""
    used = values[np.abs(values) > 0.5]
    return float(used.real.mean()) if used.size else 0.0


def _candidates(asked: PoseFrame) -> list[PoseFrame]:
    """Every frame that is as asked, the default first."""
    origins = ("x", "y") if asked.pose_from is None else (asked.pose_from,)
    flips = (False, True) if asked.flip_y is None else (asked.flip_y,)
    return [PoseFrame(origin, flip) for origin in origins for flip in flips]


def _decided(
    agreement: dict[PoseFrame, float], asked: PoseFrame, has_pose: bool
) -> tuple[PoseFrame, tuple[str, ...]]:
    """Return the frame that agrees best, if one does, and what to say about it."""
    default = next(iter(agreement))
    best = max(agreement, key=agreement.__getitem__)

    def ahead(name: str) -> bool:
        """Whether the best frame beats all that differ from it in one respect."""
        mine = getattr(best, name)
        others = [v for f, v in agreement.items() if getattr(f, name) != mine]
        lead = agreement[best] - max(others, default=-np.inf)
        return agreement[best] > _SURE and lead > _MARGIN

    pose_known, flip_known = ahead("pose_from"), ahead("flip_y")
    frame = PoseFrame(
        (best if pose_known else default).pose_from,
        (best if flip_known else default).flip_y,
    )
    notes: tuple[str, ...] = ()
    if has_pose and asked.pose_from is None:
        rule = "psi = -pose" if frame.pose_from == "x" else "psi = 90 - pose"
        reason = (
            "which agrees with positions or alignments along the filaments"
            if pose_known
            else "by default, since nothing in the file tells; if refinement finds no "
            "structure, read it from the other axis"
        )
        notes += (f"filament/filament_pose was read as {rule}, {reason}.",)
    if frame.flip_y and asked.flip_y is None:
        notes += (
            "location/center_y_frac was read from the last row, which agrees with the "
            "direction of the filaments.",
        )
    return frame, notes
