"""Rotations that a map has besides its helical symmetry: Cn, and dyads across the axis.

A rotation by 360 / n about the axis is a point of the self-correlation at no shift. A
dyad across the axis turns the map upside down: F_n(R, Z) and (-1)^n conj F_n(R, Z)
then differ by the phases of its azimuth and height, and their correlation over all
azimuths and heights is one FFT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.core.map_harmonics import MapHarmonics
from helixnb.core.self_correlation import (
    LayerPower,
    SelfCorrelation,
    dyad_spectrum,
    layer_power,
    periodic_table,
    score_grid,
)

MAX_FOLD = 12
"""Rotations up to this order are looked for."""

HOLDS = 0.93
"""A rotation holds if the map agrees with it this well, relative to its helix."""


@dataclass(frozen=True)
class Dyad:
    """Best two-fold axis across the helix axis.

    Parameters
    ----------
    score : float
        Correlation of the map with its copy turned about it: 1 for a true dyad; at low
        resolution also polar filaments score well above 0.
    azimuth_deg, height_A : float
        Where the axis lies: from x, in [0, 180 / cyclic), and from the middle of the
        map.
    """

    score: float
    azimuth_deg: float
    height_A: float


def cyclic_scores(correlation: SelfCorrelation) -> NDArray[np.float64]:
    """Agreement of a map with itself turned by 360 / n about the axis.

    Parameters
    ----------
    correlation : SelfCorrelation
        Prepared with no cyclic symmetry.

    Returns
    -------
    ndarray of float64, shape (MAX_FOLD - 1,)
        For n = 2 ... `MAX_FOLD`: the lowest correlation over the n - 1 rotations.
    """
    still = np.array([0.0])
    return np.array(
        [
            score_grid(
                correlation,
                np.arange(360.0 / n, 359.9, 360.0 / n),
                still,
                np.array([1]),
            ).min()
            for n in range(2, MAX_FOLD + 1)
        ]
    )


@dataclass(frozen=True)
class TurnedOver:
    """A map and its copy turned half way round x: what `best_dyad` needs of it.

    Parameters
    ----------
    layers : LayerPower
        Of the map, not averaged over any dyad.
    spectrum : ndarray of complex128, shape (n_orders, n_z)
        From `dyad_spectrum`.
    """

    layers: LayerPower
    spectrum: NDArray[np.complex128]

    @classmethod
    def of(cls, harmonics: MapHarmonics) -> TurnedOver:
        """Sum over radius, wherever the harmonics are.

        Parameters
        ----------
        harmonics : MapHarmonics
            The map.
        """
        return cls(layer_power(harmonics), dyad_spectrum(harmonics))


def best_dyad(turned: TurnedOver, rise_A: float) -> Dyad:
    """Find the two-fold axis across the helix that a map agrees with best.

    Parameters
    ----------
    turned : TurnedOver
        The map.
    rise_A : float
        Dyads repeat at half this distance, so they are sought within it.

    Returns
    -------
    Dyad
    """
    layers = turned.layers
    table = periodic_table(turned.spectrum, layers)
    length = 1 / (layers.z_per_A[1] - layers.z_per_A[0])
    n_theta, n_z = table.shape
    # Turned about a dyad at azimuth a and height h, theta and z become 2 a - theta
    # and 2 h - z.
    shift = np.fft.fftfreq(n_z, 1 / length)
    near = np.flatnonzero(np.abs(shift) <= max(rise_A, abs(shift[1])))
    value = table[:, near] / layers.overlap_at(shift[near])
    i, j = np.unravel_index(int(np.argmax(value)), value.shape)
    return Dyad(
        float(value[i, j] / layers.power.sum()),
        float(180.0 * i / (n_theta * layers.cyclic)),
        float(shift[near[j]] / 2),
    )


def suggested(cyclic: NDArray[np.float64], dyad: Dyad, helical_score: float) -> str:
    """Point group that the map obeys as well as its helical symmetry.

    Parameters
    ----------
    cyclic : ndarray of float64
        From `cyclic_scores`.
    dyad : Dyad
        From `best_dyad`.
    helical_score : float
        Score of the helical symmetry, by which the others are measured.

    Returns
    -------
    str
        "Cn" or "Dn" with the highest n that holds.
    """
    needed = HOLDS * helical_score
    holding = [n for n, score in enumerate(cyclic, start=2) if score >= needed]
    return f"{'D' if dyad.score >= needed else 'C'}{max(holding, default=1)}"
