"""How well the halves of a helix agree by chance.

A shell of a small or highly symmetric helix has few independent components: the box
holds copies of one asymmetric unit, and only the share of the unit's volume in the box
counts (van Heel and Schatz 2005, doi:10.1016/j.jsb.2005.05.009, for point groups).
What power there is stands on few of them (`helixnb.core.fsc.carriers`). Sharp layer
lines are copies seen as concentration, which must not be counted twice: they are
compared with those of noise under the same symmetry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import diric

from helixnb.core.fsc import HalfMapFSC
from helixnb.symmetry import HelicalSymmetry


def agreement_sigma(
    fsc: HalfMapFSC, from_shell: int, to_shell: int, share: NDArray[np.float64]
) -> float:
    """How far the halves agree over a band of shells beyond what chance gives.

    Parameters
    ----------
    fsc : HalfMapFSC
        Curves of one pair of half-maps.
    from_shell, to_shell : int
        First shell of the band, and the first beyond it.
    share : ndarray of float64, shape (n_shells,)
        Independent components of each shell over its carriers.

    Returns
    -------
    float
        Mean FSC, weighted by the independent components, in standard deviations of
        unrelated halves; 0 for an empty band.
    """
    band = slice(from_shell, max(to_shell, from_shell))
    independent = fsc.carriers[band] * share[band]
    if not independent.sum() > 0:
        return 0.0
    agreement = np.clip(fsc.reported[band], -1, 1)
    return float(independent @ agreement / np.sqrt(independent.sum()))


def layer_line_concentration(
    box_px: int,
    symmetry: HelicalSymmetry,
    *,
    pixel_size_A: float,
    radius_A: float,
    length_A: float,
) -> NDArray[np.float64]:
    """Share of each shell that noise under helical symmetry stands on.

    In a piece of C copies, order n at height Z keeps the power
    |sum_k exp(i k (n twist + 2 pi Z rise)) / C|^2, and orders up to 2 pi R r_max reach
    the radius R (selection rule, Klug, Crick and Wyckoff 1958). With P(R, Z) their sum,
    the share is (sum P)^2 / (N sum P^2) over a shell of N components.

    Parameters
    ----------
    box_px : int
        Edge of the map, pixels.
    symmetry : HelicalSymmetry
        Twist, rise and point group.
    pixel_size_A : float
        Edge of a voxel.
    radius_A, length_A : float
        Of the piece of filament that is compared.

    Returns
    -------
    ndarray of float64, shape (box_px // 2 + 1,)
        From 0 to 1, where 1 is power without layer lines.
    """
    k_max = box_px // 2
    box_A = box_px * pixel_size_A
    r, z = np.arange(k_max + 1), np.arange(-k_max, k_max + 1)
    copies = max(1, round(length_A / symmetry.rise_A))
    highest = (2 * np.pi * radius_A / box_A * r / symmetry.cyclic).astype(int)
    orders = symmetry.cyclic * np.arange(-highest[-1], highest[-1] + 1)
    x = np.add.outer(
        orders * np.deg2rad(symmetry.twist_deg),
        2 * np.pi * z * symmetry.rise_A / box_A,
    )
    kept = (diric(x, copies) ** 2).reshape(len(orders), len(z))
    pairs = kept[highest[-1] :] + kept[highest[-1] :: -1]
    pairs[0] /= 2
    power = pairs.cumsum(0)[highest]
    shell = np.rint(np.hypot(r[:, None], z)).astype(int).ravel()
    # Components on a ring; the axis itself is a disc of half a pixel.
    ring = np.repeat(np.where(r > 0, 2 * np.pi * r, np.pi / 4), len(z))

    def total(weight: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(shell, ring * weight.ravel())[: k_max + 1]
        return np.asarray(sums, np.float64)

    return total(power) ** 2 / (total(np.ones(power.shape)) * total(power**2))
