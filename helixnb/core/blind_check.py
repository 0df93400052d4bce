"""Whether a map obeys the symmetry that was imposed on it.

The same poses give a second pair of half-maps without helical symmetry, which know of
it only through the alignment. With S the power of what both kinds of map share and N
their noise, halves A (blind, b) and B (symmetric, s) correlate as

    FSC(A_b, B_s) = sqrt(FSC(A_b, B_b) FSC(A_s, B_s))    if the symmetry is true,

because all noise is independent between halves. Where symmetrisation has averaged what
is not alike, the left side falls below the right one. The ratio, shell by shell and as
one number, is a check that the FSC of symmetric half-maps cannot give: they share the
symmetry, right or wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.core.fsc import shell_correlations, shell_index

LEAST_FSC = 0.143
"""Shells in which the blind halves agree less cannot judge."""


@dataclass(frozen=True)
class BlindCheck:
    """Agreement of symmetric maps with those without symmetry.

    Parameters
    ----------
    blind, symmetric : ndarray of float64, shape (n_shells,)
        FSC between the halves of either kind.
    across : ndarray of float64, shape (n_shells,)
        FSC of each half's blind map with the other half's symmetric map, averaged.
    agreement : ndarray of float64, shape (n_shells,)
        ``across`` over what a true symmetry gives; nan where the blind halves do not
        agree well enough to judge.
    overall : float
        Mean of ``agreement`` over the judged shells, weighted by their components.
    from_shell, to_shell : int
        First judged shell and the one after the last.
    """

    blind: NDArray[np.float64]
    symmetric: NDArray[np.float64]
    across: NDArray[np.float64]
    agreement: NDArray[np.float64]
    overall: float
    from_shell: int
    to_shell: int


def blind_check(
    blind_maps: NDArray[np.float32],
    symmetric_maps: NDArray[np.float32],
    mask: NDArray[np.float32],
    from_shell: int,
) -> BlindCheck:
    """Compare half-maps with and without symmetry inside a mask.

    Parameters
    ----------
    blind_maps, symmetric_maps : ndarray of float32, shape (2, box, box, box)
        Raw half-maps of the same poses.
    mask : ndarray of float32, shape (box, box, box)
        Where they are compared.
    from_shell : int
        First shell that judges: below it the halves are not independent.

    Returns
    -------
    BlindCheck
        ``overall`` is nan if no shell can judge.
    """
    box = len(mask)
    blind = [fourier.rfftn(volume * mask, workers=-1) for volume in blind_maps]
    symmetric = [fourier.rfftn(volume * mask, workers=-1) for volume in symmetric_maps]
    pairs = [(blind[0], blind[1]), (symmetric[0], symmetric[1])]
    pairs += [(blind[0], symmetric[1]), (blind[1], symmetric[0])]
    of_blind, of_symmetric, *one_of_each = shell_correlations(pairs, box)
    across = 0.5 * (one_of_each[0] + one_of_each[1])
    below = np.flatnonzero(of_blind[from_shell:] < LEAST_FSC)
    to_shell = from_shell + int(below[0]) if len(below) else len(of_blind)
    judged = slice(from_shell, to_shell)
    agreement = np.full(len(of_blind), np.nan)
    expected = np.sqrt(of_blind[judged] * np.maximum(of_symmetric[judged], LEAST_FSC))
    agreement[judged] = across[judged] / expected
    counts = np.bincount(shell_index(box).ravel(), minlength=len(of_blind))[judged]
    overall = np.average(agreement[judged], weights=counts) if counts.sum() else np.nan
    return BlindCheck(
        of_blind,
        of_symmetric,
        across,
        agreement,
        float(overall),
        from_shell,
        to_shell,
    )
