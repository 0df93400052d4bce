"""Some of the images, upright and with their poses, and the model to hold them to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from helixnb.core import ctf, images
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.filament_frame import FrameImages, upright
from helixnb.core.references import reference_harmonics
from helixnb.core.search import harmonic_limit
from helixnb.errors import InputError
from helixnb.iteration.schedule import reference_reach

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.backend import Backend
    from helixnb.iteration.state import State
    from helixnb.particles import ParticleSet

COARSEST_A = 12.0
"""Pictures reach at least this resolution, however young the refinement is."""

MAX_BAND = 80
"""Most Fourier pixels of a picture: more is not seen at a glance."""

_READ_AT_ONCE = 64
_MARGIN = 3


@dataclass(frozen=True)
class Sample:
    """Images of some segments beside their poses.

    Parameters
    ----------
    index : ndarray of int64, shape (n,)
        Which segments.
    frames : FrameImages
    pixel_size_A : float
    """

    index: NDArray[np.int64]
    frames: FrameImages
    pixel_size_A: float

    @property
    def spacing_per_A(self) -> float:
        """One Fourier pixel, 1/A."""
        return 1 / (self.frames.box_px * self.pixel_size_A)


@dataclass(frozen=True)
class Model:
    """Harmonics of a reference.

    Parameters
    ----------
    harmonics : ndarray of complex64, shape grid.shape
    grid : CylinderGrid
    """

    harmonics: NDArray[np.complex64]
    grid: CylinderGrid


def band(state: State, particles: ParticleSet) -> int:
    """Fourier radius of the pictures of a state.

    Parameters
    ----------
    state : State
        Tells the resolution reached.
    particles : ParticleSet
        Tell the sampling.

    Returns
    -------
    int
    """
    finest = min(state.resolution_A, COARSEST_A)
    box = particles.box_px
    wanted = int(box * particles.pixel_size_A / finest) + 1
    return int(np.clip(wanted, 4, min(box // 2 - 2, MAX_BAND)))


def evenly(n: int, wanted: int) -> NDArray[np.int64]:
    """Choose up to `wanted` of n things, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, wanted)).astype(np.int64))


def read_sample(
    state: State, particles: ParticleSet, index: NDArray[np.int64], backend: Backend
) -> Sample:
    """Read images and turn them upright by their poses.

    Parameters
    ----------
    state : State
        Holds the poses.
    particles : ParticleSet
        The segments.
    index : ndarray of int64, shape (n,)
        Which of them.
    backend : Backend
        Where it runs.

    Returns
    -------
    Sample

    Raises
    ------
    InputError
        If there are no poses yet.
    """
    poses = state.poses
    index = index[np.isfinite(poses.azimuth_deg[index])]
    if len(index) == 0:
        raise InputError("No poses yet: call session.step() first.")
    k_max, pixel = band(state, particles), particles.pixel_size_A
    box = particles.box_px
    coefficients = ctf.coefficients(particles)

    def load(
        members: NDArray[np.int64],
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        stack = images.normalise(particles.read(members))
        return upright(
            images.padded_transforms(stack, k_max),
            coefficients[members],
            poses.psi_deg[members],
            k_max,
            1 / (box * pixel),
            backend,
        )

    blocks = [index[i : i + _READ_AT_ONCE] for i in range(0, len(index), _READ_AT_ONCE)]
    parts = list(backend.map(load, blocks))
    frames = FrameImages(
        data=np.concatenate([data for data, _ in parts], axis=1),
        contrast=np.concatenate([contrast for _, contrast in parts], axis=1),
        tilt_deg=poses.tilt_deg[index],
        azimuth_deg=poses.azimuth_deg[index],
        shift_px=poses.shift_px[index],
        axial_px=poses.axial_px[index],
        box_px=box,
    )
    return Sample(index, frames, pixel)


def model_of(state: State, particles: ParticleSet) -> Model:
    """Harmonics of both references together, as the next alignment would use them.

    A dynamic or static mask is left out: it need not surround what is looked at.

    Parameters
    ----------
    state : State
        Holds the references.
    particles : ParticleSet
        Tell the sampling.

    Returns
    -------
    Model
    """
    box, pixel = particles.box_px, particles.pixel_size_A
    k_max = min(band(state, particles) + _MARGIN, box // 2)
    cyclic = state.parameters.cyclic
    m_max = harmonic_limit(k_max, box, state.survey.outer_radius_A / pixel, cyclic)
    grid = CylinderGrid(box, k_max, m_max, cyclic, oversampling=2)
    reach = reference_reach(
        state.parameters, state.symmetry_order, state.bootstrapping, state.regrown
    )
    volume = state.references.mean(0)
    harmonics = reference_harmonics(
        volume,
        grid,
        state.symmetry,
        pixel,
        z_fraction=state.parameters.mask_z_fraction,
        reach=reach,
    )
    return Model(harmonics, grid)
