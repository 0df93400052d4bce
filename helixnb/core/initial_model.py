"""The first density: every image at its in-plane angle and a random azimuth.

Random azimuths give the cylindrical average of the filament with a trace of
structure, as CryoSPARC's helical refinement starts. It is expressed as a posterior,
so that the ordinary M-step reconstructs it.
"""

from __future__ import annotations

import numpy as np

from helixnb.core.expectation import Posterior
from helixnb.core.scoring import Chunk
from helixnb.core.search import Cells, SearchLevel


def random_posterior(
    chunk: Chunk,
    level: SearchLevel,
    rng: np.random.Generator,
) -> Posterior:
    """Put every image at its priors, with random azimuth and polarity.

    Parameters
    ----------
    chunk : Chunk
        Images to place.
    level : SearchLevel
        With one cell along psi, tilt and transverse shift, and one axial shift.
    rng : numpy.random.Generator
        Draws azimuths and polarities.

    Returns
    -------
    Posterior
    """
    n = len(chunk)
    zero = np.zeros(n, np.int32)
    flipped = rng.random(n) < chunk.polarity_prior[:, 1]
    cells = Cells(
        np.arange(n, dtype=np.int32), flipped.astype(np.int32), zero, zero, zero
    )
    weights = np.zeros((n, level.n_axial, level.n_azimuth), np.float32)
    weights[np.arange(n), 0, rng.integers(level.n_azimuth, size=n)] = 1
    return Posterior(
        level=level,
        cells=cells,
        weights=weights,
        mass=np.ones(n),
        log_evidence=np.zeros(n),
        cells_scored=0,
    )
