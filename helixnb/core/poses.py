"""From posteriors to the poses that are written, plotted and compared.

The polarity of an image is the more probable one; within it, in-plane angle, tilt and
transverse shift are posterior means, and azimuth and axial shift the posterior mode
refined between grid points. Poses are kept in the filament frame and turned into
RELION's angles and origins on request.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.backend.arrays import array_module, to_host
from helixnb.core.expectation import Posterior
from helixnb.core.particle_scale import ScaleFit
from helixnb.core.scoring import Chunk
from helixnb.core.search import N_POLARITIES
from helixnb.euler import EulerPoses, wrapped_deg

_ONE_AXIS_DEG = 45.0
"""In-plane angles further apart are not averaged."""


@dataclass(frozen=True)
class Poses:
    """Poses of images, arrays of shape (n,).

    Parameters
    ----------
    polarity : ndarray of int8
        0 if psi is near its prior, 1 if near the prior + 180.
    polarity_probability : ndarray of float64
        Posterior probability of that polarity.
    psi_deg, tilt_deg : ndarray of float64
        RELION's psi and tilt.
    azimuth_deg : ndarray of float64
        phi, 90 more than RELION's rot.
    shift_px, axial_px : ndarray of float64
        Displacement of the particle across and along the filament.
    effective_poses : ndarray of float64
        1 / sum of squared posterior probabilities over all pose cells.
    log_evidence : ndarray of float64
        Log marginal likelihood relative to pure noise.
    scale : ndarray of float64
        Contrast of the reference in the image, by least squares at the best pose.
    scale_information : ndarray of float64
        1 / variance of `scale`.
    """

    polarity: NDArray[np.int8]
    polarity_probability: NDArray[np.float64]
    psi_deg: NDArray[np.float64]
    tilt_deg: NDArray[np.float64]
    azimuth_deg: NDArray[np.float64]
    shift_px: NDArray[np.float64]
    axial_px: NDArray[np.float64]
    effective_poses: NDArray[np.float64]
    log_evidence: NDArray[np.float64]
    scale: NDArray[np.float64]
    scale_information: NDArray[np.float64]

    @classmethod
    def empty(cls, n: int) -> Poses:
        """Poses of n images, all NaN until they are set.

        Parameters
        ----------
        n : int
            Number of images.
        """
        values = {f.name: np.full(n, np.nan) for f in fields(cls)}
        values["polarity"] = np.zeros(n, np.int8)
        return cls(**values)

    def copy(self) -> Poses:
        """Poses whose arrays can be written without touching these."""
        return Poses(**{f.name: getattr(self, f.name).copy() for f in fields(self)})

    def put(self, index: NDArray[np.integer], poses: Poses) -> None:
        """Write the poses of some images, in place.

        Parameters
        ----------
        index : ndarray of int
            Where each of the poses goes.
        poses : Poses
            Poses to write.
        """
        for f in fields(self):
            getattr(self, f.name)[index] = getattr(poses, f.name)

    def mean_log_evidence(self, used: NDArray[np.bool_]) -> float:
        """Mean log evidence of some images; nan for none.

        Parameters
        ----------
        used : ndarray of bool, shape (n,)
            Marks the images.
        """
        return float(self.log_evidence[used].mean()) if used.any() else float("nan")

    @property
    def rot_deg(self) -> NDArray[np.float64]:
        """RELION's rot, in (-180, 180]."""
        return wrapped_deg(self.azimuth_deg - 90)

    def euler(self, pixel_size_A: float) -> EulerPoses:
        """Return the poses in RELION's convention.

        Parameters
        ----------
        pixel_size_A : float
            Pixel size of the images.
        """
        psi = np.deg2rad(self.psi_deg)
        x = np.sin(psi) * self.shift_px - np.cos(psi) * self.axial_px
        y = np.cos(psi) * self.shift_px + np.sin(psi) * self.axial_px
        return EulerPoses(
            self.rot_deg,
            self.tilt_deg,
            self.psi_deg,
            -x * pixel_size_A,
            -y * pixel_size_A,
        )


def summarise(
    chunk: Chunk,
    posterior: Posterior,
    fit: ScaleFit,
    cyclic: int,
    backend: Backend,
) -> Poses:
    """Best pose of every image of a chunk, with its certainty.

    Parameters
    ----------
    chunk : Chunk
        Images that the posterior belongs to.
    posterior : Posterior
        On the finest level.
    fit : ScaleFit
        Scales at the best pose.
    cyclic : int
        Order of the cyclic group, which sets the range of azimuths.
    backend : Backend
        Where it runs.

    Returns
    -------
    Poses
        On the host.
    """
    xp = array_module(posterior.mass)
    n, level, cells = len(chunk), posterior.level, posterior.cells
    state = cells.image * N_POLARITIES + cells.polarity
    by_state = backend.group_sums(posterior.mass, state, n * N_POLARITIES)
    by_polarity = by_state.reshape(n, N_POLARITIES)
    polarity = by_polarity.argmax(1)
    used = cells.polarity == polarity[cells.image]
    # Without a prior for psi, an axis near the ends of its range is at both of them.
    psi = xp.asarray(level.psi_offset_deg)[cells.psi]
    first = psi[_heaviest(posterior, used, n)]
    used &= xp.abs(psi - first[cells.image]) < _ONE_AXIS_DEG
    weight = xp.where(used, posterior.mass, 0)
    total = backend.group_sums(weight, cells.image, n)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return backend.group_sums(weight * values, cells.image, n) / total

    flat = posterior.weights.reshape(len(cells), -1)
    tables = backend.group_sums(flat, cells.image, n, used.astype(np.float32))
    axial, azimuth = _modes(tables.reshape(n, level.n_axial, level.n_azimuth))
    squares = xp.einsum("csa,csa->c", posterior.weights, posterior.weights)
    spread = backend.group_sums(squares.astype(np.float64), cells.image, n)
    found = Poses(
        polarity=polarity.astype(np.int8),
        polarity_probability=by_polarity.max(1),
        psi_deg=wrapped_deg(chunk.psi_prior_deg + mean(psi) + 180.0 * polarity),
        tilt_deg=90 + mean(xp.asarray(level.tilt_offset_deg)[cells.tilt]),
        azimuth_deg=azimuth * 360.0 / cyclic / level.n_azimuth,
        shift_px=mean(xp.asarray(level.shift_px)[cells.shift]),
        axial_px=level.axial_range_px * (axial / level.n_axial - 0.5),
        effective_poses=1 / spread,
        log_evidence=posterior.log_evidence,
        scale=fit.scale,
        scale_information=fit.information,
    )
    columns = {f.name: getattr(found, f.name) for f in fields(Poses)}
    # One table, or a device would be waited for column by column.
    table = to_host(xp.stack([c.astype(np.float64) for c in columns.values()]))
    return Poses(
        **{
            name: row.astype(column.dtype)
            for (name, column), row in zip(columns.items(), table, strict=True)
        }
    )


def _heaviest(
    posterior: Posterior, used: NDArray[np.bool_], n: int
) -> NDArray[np.int64]:
    """Cell of each image that holds the most mass of those used, shape (n,)."""
    image = posterior.cells.image
    xp = array_module(image)
    order = xp.lexsort(xp.stack([xp.where(used, posterior.mass, -1.0), image]))
    last = xp.searchsorted(image[order], xp.arange(n), side="right") - 1
    return xp.asarray(order[last], np.int64)


def _modes(
    tables: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractional indices of the maximum of each (axial, azimuth) table."""
    xp = array_module(tables)
    n, n_axial, n_azimuth = tables.shape
    peak = tables.reshape(n, -1).argmax(1)
    row, column = peak // n_azimuth, peak % n_azimuth
    image = xp.arange(n)

    def offset(
        before: NDArray[np.float32], at: NDArray[np.float32], after: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        # A Gaussian posterior is a parabola in the logarithm.
        low, mid, high = (xp.log(xp.maximum(t, 1e-30)) for t in (before, at, after))
        curvature = xp.minimum(low + high - 2 * mid, -1e-6)
        step: NDArray[np.float32] = xp.clip(0.5 * (low - high) / curvature, -0.5, 0.5)
        return step

    highest = tables[image, row, column]
    turn = offset(
        tables[image, row, (column - 1) % n_azimuth],
        highest,
        tables[image, row, (column + 1) % n_azimuth],
    )
    inner = (row > 0) & (row < n_axial - 1)
    climb = xp.where(
        inner,
        offset(
            tables[image, xp.maximum(row - 1, 0), column],
            highest,
            tables[image, xp.minimum(row + 1, n_axial - 1), column],
        ),
        0.0,
    )
    return row + climb, column + turn
