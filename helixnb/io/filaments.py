"""Which segments share a filament, and where along it each one sits.

Everything later rests on this: half-sets keep filaments whole, and pooling evidence
along a filament needs the axial position of each box with the right sign. The sign is
the delicate part, because track length grows in the direction in which the tube was
drawn while the filament axis +v is set by psi, whose polarity may be either.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helixnb.errors import InputError
from helixnb.io.columns import Float64Array, numbers
from helixnb.io.relion import ParticleMetadata
from helixnb.io.tracks import (
    anchored,
    axis_sign,
    distance_along,
    inter_box_distance,
    one_polarity,
    projected,
    track_psi,
)

#: Spacing from coordinates and from track length may differ by this much (bending).
_SPACING_TOLERANCE = 0.1
_PSI_FROM_TRACK = (
    "There is no in-plane angle (rlnAnglePsiPrior); the direction from box to box "
    "along each filament was taken."
)


@dataclass(frozen=True, eq=False)
class FilamentGeometry:
    """Filament and axial position of every segment.

    Attributes
    ----------
    filament : ndarray of int32, shape (n,)
        Filament number, 0, 1, ... in order of first appearance.
    track_A : ndarray of float64, shape (n,)
        Distance from the start of the tube as the picker laid it out; nan if unknown.
    axial_A : ndarray of float64, shape (n,)
        Position along +v of the filament frame at `psi_deg`; each filament has its
        own zero. nan where the file does not tell.
    psi_deg : ndarray of float64, shape (n,)
        Psi priors with one polarity for each filament.
    notes : tuple of str
        What a user should know about how these were found.
    """

    filament: NDArray[np.int32]
    track_A: Float64Array
    axial_A: Float64Array
    psi_deg: Float64Array
    notes: tuple[str, ...]


def filament_ids(table: pd.DataFrame, path: Path) -> NDArray[np.int32]:
    """Return filament numbers by micrograph and tube.

    Parameters
    ----------
    table : DataFrame
        Particle block with rlnMicrographName and rlnHelicalTubeID.
    path : Path
        STAR file, for messages.

    Returns
    -------
    ndarray of int32, shape (n,)
        0, 1, ... in order of first appearance.

    Raises
    ------
    InputError
        There is only one filament.
    """
    tube = numbers(table, "rlnHelicalTubeID", path)
    keys = pd.DataFrame({"micrograph": table["rlnMicrographName"], "tube": tube})
    blank = keys["micrograph"].isna().to_numpy()
    if blank.any():
        row = int(np.flatnonzero(blank)[0])
        raise InputError(
            f"{path}: row {row + 1} of data_particles, column rlnMicrographName is "
            "empty. The micrograph tells which filament a segment belongs to: fill it "
            "in, or remove the row."
        )
    filament = keys.groupby(["micrograph", "tube"], sort=False).ngroup()
    if filament.max() == 0:
        raise InputError(
            f"{path}: all {len(table)} segments belong to one filament (micrograph "
            f"{keys['micrograph'].iloc[0]}, rlnHelicalTubeID {tube[0]:g}). Half-sets "
            "keep filaments whole, so at least two filaments are needed."
        )
    return np.asarray(filament, dtype=np.int32)


def filament_geometry(metadata: ParticleMetadata) -> FilamentGeometry:
    """Find filaments and axial positions.

    The +v axis of the filament frame, in micrograph coordinates (x = column,
    y = row), is (-cos psi, sin psi). Where coordinates are given, the direction of
    the track is compared with it. Without them RELION's convention psi = -atan2(dy, dx)
    says that +v runs against the track.

    Where coordinates and track length agree about the spacing, the axial position is
    the distance from box centre to box centre: track length is what the picker meant,
    the coordinates are where the box was cut, and re-centring moves only the latter.

    Parameters
    ----------
    metadata : ParticleMetadata
        Checked metadata.

    Returns
    -------
    FilamentGeometry
        Filaments, axial positions, psi of one polarity a filament.

    Raises
    ------
    InputError
        Only one filament, or columns that are not numbers.
    """
    filament = filament_ids(metadata.table, metadata.source)
    track_A = _track_length(metadata)
    place_A, calibrated = _coordinates(metadata)
    given_deg = metadata.psi_prior_deg
    notes: tuple[str, ...] = ()
    order_by_A = np.empty(0)
    if place_A is not None:
        order_by_A = track_A if track_A is not None else projected(place_A, filament)
        if np.isnan(given_deg).all():
            given_deg = track_psi(place_A, order_by_A, filament)
            notes = (_PSI_FROM_TRACK,)
    psi_deg, turned = one_polarity(given_deg, filament)
    notes += _polarity_note(turned, filament)
    if track_A is None and place_A is None:
        nowhere = np.full(len(filament), np.nan)
        notes += (
            "Neither rlnHelicalTrackLengthAngst nor rlnCoordinateX/Y are given: the "
            "order of segments along filaments is unknown.",
        )
        return FilamentGeometry(filament, nowhere, nowhere, psi_deg, notes)
    if place_A is None:
        assert track_A is not None
        axial_A = anchored(-track_A, filament)
        return FilamentGeometry(filament, track_A, axial_A, psi_deg, notes)
    distance_A = distance_along(place_A, order_by_A, filament)
    sign = axis_sign(place_A, order_by_A, psi_deg, filament)[filament]
    if track_A is None:
        track_A = distance_A
    disagree = _spacing_note(track_A, distance_A, filament)
    if disagree and calibrated:
        notes += disagree
    along_A = track_A if disagree else distance_A
    axial_A = anchored(sign * along_A, filament)
    return FilamentGeometry(filament, track_A, axial_A, psi_deg, notes)


def _polarity_note(
    turned: NDArray[np.bool_], filament: NDArray[np.int32]
) -> tuple[str, ...]:
    """Say how many psi priors were turned."""
    if not turned.any():
        return ()
    return (
        f"{int(turned.sum())} segments on {len(np.unique(filament[turned]))} filaments "
        "have a psi prior opposite to most of their filament; it was turned by 180 "
        "degrees.",
    )


def _track_length(metadata: ParticleMetadata) -> Float64Array | None:
    """Return the track length in Angstrom, or None."""
    table, path = metadata.table, metadata.source
    if "rlnHelicalTrackLengthAngst" in table.columns:
        return numbers(table, "rlnHelicalTrackLengthAngst", path)
    if "rlnHelicalTrackLength" in table.columns:
        return numbers(table, "rlnHelicalTrackLength", path) * metadata.pixel_size_A
    return None


def _coordinates(
    metadata: ParticleMetadata,
) -> tuple[NDArray[np.complex128] | None, bool]:
    """Return box centres x + iy in Angstrom and whether their scale is known."""
    table, path = metadata.table, metadata.source
    if not {"rlnCoordinateX", "rlnCoordinateY"} <= set(table.columns):
        return None, False
    place_px = np.empty(len(table), dtype=np.complex128)
    place_px.real = numbers(table, "rlnCoordinateX", path)
    place_px.imag = numbers(table, "rlnCoordinateY", path)
    for column in ("rlnMicrographOriginalPixelSize", "rlnMicrographPixelSize"):
        for block, name in ((metadata.optics, "optics"), (table, "particles")):
            if column in block.columns:
                sizes_A = numbers(block, column, path, low=1e-3, block=name)
                return place_px * float(np.median(sizes_A)), True
    return place_px * metadata.pixel_size_A, False


def _spacing_note(
    track_A: Float64Array, distance_A: Float64Array, filament: NDArray[np.int32]
) -> tuple[str, ...]:
    """Say so when coordinates and track length disagree about the spacing."""
    by_track = inter_box_distance(track_A, filament)
    by_place = inter_box_distance(distance_A, filament)
    if not by_track > 0 or abs(by_place / by_track - 1) <= _SPACING_TOLERANCE:
        return ()
    return (
        f"Neighbouring boxes are {by_track:.4g} A apart by rlnHelicalTrackLength but "
        f"{by_place:.4g} A by rlnCoordinateX/Y; the track length was used. Check the "
        "pixel sizes and rlnMicrographOriginalPixelSize.",
    )
