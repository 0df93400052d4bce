"""Images beside what the model says they should look like, upright and low-passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from helixnb.core.filament_frame import (
    FrameImages,
    centred_mean,
    model_frames,
    pictures,
)
from helixnb.core.images import window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.backend import Backend
    from helixnb.inspection.sample import Model, Sample
    from helixnb.iteration.state import State

MOST_AWAY = 0.2
"""Images are moved along the axis by at most this part of the box for a mean."""

WIDEST_DEG = 6.0
"""Images within this azimuth, times the cyclic order, may join a mean."""


def particle_pictures(
    state: State, sample: Sample, model: Model, lowpass_A: float, backend: Backend
) -> xr.Dataset:
    """Images of segments and model projections at their poses, with their CTFs.

    Parameters
    ----------
    state : State
        Tells how well each image is explained.
    sample : Sample
        Which images.
    model : Model
        What is projected.
    lowpass_A : float
        Resolution of the pictures.
    backend : Backend
        Where it runs.

    Returns
    -------
    xarray.Dataset
        ``image`` and ``model`` over ``particle``, ``along`` and ``across`` the
        filament (angstrom); ``correlation`` of the two, and ``log_evidence``.
    """
    frames = sample.frames
    cut = 1 / (lowpass_A * sample.spacing_per_A)
    projected = model_frames(frames, model.harmonics, model.grid, backend)
    # Images end in a soft circle, and so does what they are compared with.
    circle = window(frames.box_px)
    seen, expected = (
        pictures(part, frames.box_px, cut) * circle for part in (frames.data, projected)
    )
    dims = ("particle", "along", "across")
    return xr.Dataset(
        {
            "image": (dims, seen),
            "model": (dims, expected),
            "correlation": ("particle", _correlation(seen, expected)),
            "log_evidence": ("particle", state.poses.log_evidence[sample.index]),
        },
        {"particle": sample.index, **_axes(sample)},
        {"lowpass_A": lowpass_A, "iteration": state.iteration},
    )


def _correlation(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Correlation coefficient of each pair of pictures."""
    a, b = (x - x.mean((1, 2), keepdims=True) for x in (first, second))
    cross = np.einsum("nyx,nyx->n", a, b, dtype=np.float64)
    power = np.einsum("nyx,nyx->n", a, a) * np.einsum("nyx,nyx->n", b, b)
    return np.asarray(cross / np.sqrt(np.maximum(power, 1e-30)), np.float64)


def _axes(sample: Sample) -> dict[str, Any]:
    box = sample.frames.box_px
    place = (np.arange(box) - box // 2) * sample.pixel_size_A
    unit = {"units": "angstrom"}
    return {"along": ("along", place, unit), "across": ("across", place, unit)}


def image_mean(
    state: State,
    sample: Sample,
    model: Model,
    azimuth_deg: float,
    lowpass_A: float,
    backend: Backend,
) -> xr.Dataset:
    """Mean of the images seen from one azimuth, beside the model's projection.

    A pose (phi, s) is also (phi + k twist, s - k rise), so that images from other
    azimuths join in after a move along the axis by some subunits.

    Parameters
    ----------
    state : State
        Tells the symmetry.
    sample : Sample
        Images to choose from.
    model : Model
        What is projected.
    azimuth_deg : float
        phi of the filament frame.
    lowpass_A : float
        Resolution of the pictures.
    backend : Backend
        Where it runs.

    Returns
    -------
    xarray.Dataset
        ``images`` and ``model`` over ``along`` and ``across`` (angstrom); the
        attribute ``n_images`` tells how many there are in the mean.
    """
    frames = sample.frames
    copy, away_deg = _nearest_copy(state, sample, azimuth_deg)
    near = np.flatnonzero(away_deg <= WIDEST_DEG / state.parameters.cyclic)
    cut = 1 / (lowpass_A * sample.spacing_per_A)
    shape = (frames.plane.n_rows, 1, frames.plane.n_columns)
    mean = np.zeros(shape, np.complex64)
    if len(near):
        rise_A = state.symmetry.rise_A if state.symmetry else 0.0
        moved_px = -rise_A / sample.pixel_size_A * copy[near].astype(np.float64)
        mean = centred_mean(frames.take(near), moved_px)
    one = FrameImages(
        data=np.zeros(shape, np.complex64),
        contrast=np.ones(shape, np.float32),
        tilt_deg=np.array([90.0]),
        azimuth_deg=np.array([azimuth_deg]),
        shift_px=np.zeros(1),
        axial_px=np.zeros(1),
        box_px=frames.box_px,
    )
    projected = model_frames(one, model.harmonics, model.grid, backend)
    dims = ("along", "across")
    return xr.Dataset(
        {
            "images": (dims, pictures(mean, frames.box_px, cut)[0]),
            "model": (dims, pictures(projected, frames.box_px, cut)[0]),
        },
        _axes(sample),
        {
            "n_images": len(near),
            "azimuth_deg": azimuth_deg,
            "iteration": state.iteration,
        },
    )


def _nearest_copy(
    state: State, sample: Sample, azimuth_deg: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Copy of each image nearest to an azimuth, and how far away it is in degrees."""
    symmetry, frames = state.symmetry, sample.frames
    copies, twist_deg = np.zeros(1, np.int64), 0.0
    if symmetry is not None:
        box_A = frames.box_px * sample.pixel_size_A
        reach = int(MOST_AWAY * box_A / symmetry.rise_A)
        copies, twist_deg = np.arange(-reach, reach + 1), symmetry.twist_deg
    period = 360.0 / state.parameters.cyclic
    turned = frames.azimuth_deg[:, None] + copies * twist_deg - azimuth_deg
    away = np.abs((turned + period / 2) % period - period / 2)
    best = away.argmin(1)
    return copies[best], away[np.arange(len(away)), best]
