"""The Fourier half plane on which filament-frame images and slices are compared.

A real image has conjugate-symmetric Fourier components, so rows v >= 0 carry all of
it. Every array of the likelihood core is laid out on this grid: rows v = 0..k_max
along the filament, columns u = -k_max..k_max across it, in Fourier pixels of
1 / (box_px * pixel_size_A).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class HalfPlane:
    """Components with v >= 0 inside the resolution circle of radius `k_max`.

    Parameters
    ----------
    k_max : int
        Resolution radius in Fourier pixels, at least 1.
    """

    k_max: int

    @property
    def n_rows(self) -> int:
        """Number of rows v, k_max + 1."""
        return self.k_max + 1

    @property
    def n_columns(self) -> int:
        """Number of columns u, 2 k_max + 1."""
        return 2 * self.k_max + 1

    @cached_property
    def v(self) -> NDArray[np.int64]:
        """Row frequencies, shape (n_rows,)."""
        return np.arange(self.n_rows)

    @cached_property
    def u(self) -> NDArray[np.int64]:
        """Column frequencies, shape (n_columns,)."""
        return np.arange(-self.k_max, self.k_max + 1)

    @cached_property
    def radius(self) -> NDArray[np.float64]:
        """Distance from the origin, shape (n_rows, n_columns), Fourier pixels."""
        return np.hypot(self.v[:, None], self.u[None, :])

    @cached_property
    def ring(self) -> NDArray[np.int64]:
        """Nearest integer radius, clipped to k_max, shape (n_rows, n_columns)."""
        return np.minimum(np.rint(self.radius).astype(np.int64), self.k_max)

    @cached_property
    def multiplicity(self) -> NDArray[np.float32]:
        """How often each component stands for itself and its conjugate.

        2 for v > 0, 1 on the row v = 0 (which holds u and -u), 0 outside the
        resolution circle and at the origin, whose value is the arbitrary mean.
        """
        count = np.where(self.v[:, None] > 0, 2.0, 1.0)
        inside = (self.radius <= self.k_max) & (self.radius > 0)
        return (count * inside).astype(np.float32)

    def columns_of_row(self, v: int) -> slice:
        """Columns of row `v` that lie inside the resolution circle."""
        half = int(np.sqrt(max(self.k_max**2 - v**2, 0)))
        return slice(self.k_max - half, self.k_max + half + 1)

    def ring_sums(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Sum `values` (n_rows, n_columns) over rings, weighted by multiplicity.

        Returns
        -------
        ndarray of float64, shape (k_max + 1,)
        """
        weighted = (self.multiplicity * values).ravel().astype(np.float64)
        sums = np.bincount(self.ring.ravel(), weighted, minlength=self.k_max + 1)
        return np.asarray(sums, np.float64)

    @cached_property
    def ring_counts(self) -> NDArray[np.float64]:
        """Number of components in each ring of the full plane, shape (k_max + 1,)."""
        return self.ring_sums(np.ones((self.n_rows, self.n_columns)))
