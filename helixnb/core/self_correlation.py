"""How well a map agrees with itself, turned and moved along the axis.

The overlap-weighted correlation of the windowed filament with its copy turned by
theta and moved by z is

    C(theta, z) = sum_{n, Z} E[n, Z] cos(n theta + 2 pi Z z) / overlap(z)

with E[n, Z] the power in azimuthal order n and axial frequency Z, summed over radius.
A helical symmetry (twist, rise) is a row of peaks of C at (k twist, k rise), and its
score is their mean height over C(0, 0). Division by the overlap keeps large rises,
which have fewer copies in the map, from winning by having fewer.

C is one FFT, kept as the coefficients of a cubic B-spline on a grid four times finer
than its highest frequency: reading it anywhere costs sixteen products, so a score map
costs milliseconds once this has been made, whatever its extents and grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft as sfft
from numpy.typing import NDArray

from helixnb.backend.arrays import array_module, to_host
from helixnb.backend.kernels import sum_over_lags
from helixnb.core.map_harmonics import MapHarmonics

MIN_OVERLAP = 0.4
"""Lags are used while the map overlaps its copy by this fraction."""

MAX_LAGS = 24
"""Lags used when more would fit: short ones exclude aliases, long ones are sharp."""

_FINER = 4
_SPLINE_REACH = 3


@dataclass(frozen=True)
class LayerPower:
    """Power of a windowed map over azimuthal order and axial frequency.

    Parameters
    ----------
    power : ndarray of float64, shape (n_orders, n_z)
        E[n, Z] for Z >= 0, conjugates counted.
    orders : ndarray of int64, shape (n_orders,)
        n, symmetric about 0, multiples of `cyclic`.
    z_per_A : ndarray of float64, shape (n_z,)
        Equally spaced from 0.
    overlap : ndarray of float64, shape (length,)
        Part of the map that it shares with its copy moved by 0, 1, 2 ... voxels.
    pixel_size_A : float
    cyclic : int
        Order of the point group about the axis.
    """

    power: NDArray[np.float64]
    orders: NDArray[np.int64]
    z_per_A: NDArray[np.float64]
    overlap: NDArray[np.float64]
    pixel_size_A: float
    cyclic: int

    @property
    def reach_A(self) -> float:
        """Longest shift at which the map still overlaps its copy enough."""
        kept = np.flatnonzero(self.overlap >= MIN_OVERLAP)
        return self.pixel_size_A * float(max(kept.max(initial=0), 1))

    def overlap_at(self, shift_A: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Part of the map shared with its moved copy, linear between voxels.

        Parameters
        ----------
        shift_A : ndarray of float, any shape
            Shifts of either sign, Angstrom.

        Returns
        -------
        ndarray of float64, same shape
        """
        voxels = np.abs(shift_A) / self.pixel_size_A
        steps = np.arange(len(self.overlap))
        return np.asarray(np.interp(voxels, steps, self.overlap, right=0.0))


@dataclass(frozen=True)
class SelfCorrelation:
    """A map prepared for scoring at one resolution and pair of radii.

    Parameters
    ----------
    layers : LayerPower
        What it was made from.
    table : ndarray of float32, shape (n_theta + 3, n_z)
        Spline coefficients of C over C(0, 0), before the division by the overlap; the
        first row and column lie one step before the origin.
    theta_step_deg, z_step_A : float
        Steps of the table.
    """

    layers: LayerPower
    table: NDArray[np.float32]
    theta_step_deg: float
    z_step_A: float


def layer_power(harmonics: MapHarmonics, *, dihedral: bool = False) -> LayerPower:
    """Sum the power of a map over radius.

    Parameters
    ----------
    harmonics : MapHarmonics
        The map.
    dihedral : bool
        First average the map with its copy turned half way round x.

    Returns
    -------
    LayerPower
    """
    values = harmonics.values
    if dihedral:
        xp = array_module(values)
        sign = xp.asarray(_alternating(harmonics.orders))
        values = xp.asarray((values + sign * values.conj()) / 2, np.complex64)
    squares = values.real**2 + values.imag**2
    return LayerPower(
        _summed_over_radius(squares, harmonics),
        harmonics.orders,
        harmonics.z_per_A,
        harmonics.overlap,
        harmonics.pixel_size_A,
        harmonics.cyclic,
    )


def dyad_spectrum(harmonics: MapHarmonics) -> NDArray[np.complex128]:
    """Spectrum of the correlation of a map with its copy turned half way round x.

    A dyad along x makes F_n equal to (-1)^n conj(F_n), so the correlation is the
    real part of the sum of (-1)^n F_n^2, and a dyad elsewhere shifts its phases.

    Parameters
    ----------
    harmonics : MapHarmonics
        The map.

    Returns
    -------
    ndarray of complex128, shape (n_orders, n_z)
        On the scale of `layer_power`.
    """
    values = harmonics.values
    sign = array_module(values).asarray(_alternating(harmonics.orders))
    return _summed_over_radius(sign * values**2, harmonics)


def _summed_over_radius(
    products: NDArray[Any], harmonics: MapHarmonics
) -> NDArray[Any]:
    """Integrate over R in double precision, conjugates counted; on the host."""
    xp = array_module(products)
    weight = xp.asarray(harmonics.r_per_A)
    total: NDArray[Any] = to_host(xp.einsum("rnz,r->nz", products, weight))
    total[:, 1:] *= 2
    return total


def _alternating(orders: NDArray[np.int64]) -> NDArray[np.float32]:
    """(-1)^n to multiply harmonics with."""
    return (1 - 2 * (orders % 2)).astype(np.float32)[:, None]


def self_correlation(layers: LayerPower) -> SelfCorrelation:
    """Prepare a map for scoring.

    Parameters
    ----------
    layers : LayerPower
        Power of the map.

    Returns
    -------
    SelfCorrelation
    """
    total = float(layers.power.sum())
    n_theta, n_z = _table_size(layers.power.shape)
    m = np.abs(layers.orders // layers.cyclic)
    z = np.arange(len(layers.z_per_A))
    smooth = np.outer(_spline(m / n_theta), _spline(z / n_z))
    periodic = periodic_table(layers.power / (smooth * total), layers)
    z_step = _table_length_A(layers) / n_z
    rows = np.arange(-1, n_theta + _SPLINE_REACH - 1) % n_theta
    last = int(layers.reach_A / z_step) + 1 + _SPLINE_REACH
    table = periodic[rows][:, np.arange(-1, last) % n_z]
    return SelfCorrelation(
        layers,
        np.ascontiguousarray(table, np.float32),
        360.0 / (n_theta * layers.cyclic),
        z_step,
    )


def periodic_table(spectrum: NDArray[Any], layers: LayerPower) -> NDArray[np.float32]:
    """Real part of sum_{n, Z} spectrum exp(i (n theta + 2 pi Z z)) on a fine grid.

    Parameters
    ----------
    spectrum : ndarray, shape (n_orders, n_z)
        Over the orders and Z >= 0 of `layers`; conjugates counted.
    layers : LayerPower
        Tells the sampling.

    Returns
    -------
    ndarray of float32, shape (n_theta, n_heights)
        theta over 360 / cyclic degrees, z over the inverse of the step of Z; both
        from 0, negative ones at the end.
    """
    n_theta, n_z = _table_size(spectrum.shape)
    wide = np.zeros((n_theta, spectrum.shape[1]), np.complex64)
    wide[(layers.orders // layers.cyclic) % n_theta] = spectrum
    wide[:, 1:] *= 0.5
    turned = sfft.ifft(wide, axis=0, norm="forward", workers=-1)
    turned[:, 0] = turned[:, 0].real
    table: NDArray[np.float32] = sfft.irfft(
        turned, n_z, axis=1, norm="forward", workers=-1
    )
    return table


def _table_size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the samples of theta and z for a number of orders and of Z."""
    n_orders, n_z = shape
    return (
        sfft.next_fast_len(_FINER * n_orders),
        sfft.next_fast_len(2 * _FINER * n_z, real=True),
    )


def _table_length_A(layers: LayerPower) -> float:
    return float(1 / (layers.z_per_A[1] - layers.z_per_A[0]))


def _spline(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform of cubic B-spline samples, at cycles per step."""
    return np.asarray((2 + np.cos(2 * np.pi * frequency)) / 3)


def usable_lags(layers: LayerPower, rise_A: float) -> NDArray[np.int64]:
    """Lags at which the map overlaps its copy enough, thinned evenly.

    Parameters
    ----------
    layers : LayerPower
        Tells the length of the map.
    rise_A : float
        Largest rise to be scored with them.

    Returns
    -------
    ndarray of int64
        1 at least, ascending, `MAX_LAGS` at most.
    """
    most = max(1, int(layers.reach_A / rise_A))
    return np.unique(np.rint(np.linspace(1, most, min(most, MAX_LAGS))).astype(int))


def score_grid(
    correlation: SelfCorrelation,
    twist_deg: NDArray[np.float64],
    rise_A: NDArray[np.float64],
    lags: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Score of every twist and rise.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared map.
    twist_deg : ndarray of float64, shape (n_twist,)
        Twists to score, degrees per subunit.
    rise_A : ndarray of float64, shape (n_rise,)
        Rises to score, Angstrom, > 0, ascending.
    lags : ndarray of int64, optional
        Multiples of twist and rise compared; by default `usable_lags` of the largest
        rise, so that all points of the grid are judged by the same number.

    Returns
    -------
    ndarray of float64, shape (n_twist, n_rise)
        Mean over the lags of C(lag twist, lag rise) / C(0, 0): 1 for perfect
        symmetry, about 0 for none.
    """
    layers = correlation.layers
    if lags is None:
        lags = usable_lags(layers, float(np.max(rise_A)))
    turn = np.outer(lags, twist_deg) / correlation.theta_step_deg
    shift_A = np.outer(lags, rise_A)
    shared = layers.overlap_at(shift_A)
    weight = np.where(shared > 0, 1 / (np.maximum(shared, 1e-3) * len(lags)), 0)
    # Beyond the table there is no overlap left, and the weight is 0.
    furthest = correlation.table.shape[1] - _SPLINE_REACH - 1
    climb = np.minimum(shift_A / correlation.z_step_A, furthest)
    weight[shift_A / correlation.z_step_A > furthest] = 0
    total = np.zeros((len(twist_deg), len(rise_A)))
    n_theta = len(correlation.table) - _SPLINE_REACH
    sum_over_lags(correlation.table, turn % n_theta, climb, weight, total)
    return total
