"""E-step: the posterior over poses of every image, coarse to fine.

Cells of the pose grid are scored (`scoring`), turned into probabilities together with
what the rest of the filament says (`coherence`), and dropped level by level where
they hold no posterior mass: of every image at most `pruned_mass` of the probability
is lost at each level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.special import logsumexp

from helixnb.backend import Backend
from helixnb.core.coherence import (
    CoherenceModel,
    filament_messages,
    independent_messages,
    polarity_messages,
)
from helixnb.core.fan import Fan
from helixnb.core.scoring import (
    Chunk,
    cache_blocks,
    log_prior,
    make_frames,
    near_priors,
    score_cells,
)
from helixnb.core.search import (
    N_POLARITIES,
    Cells,
    PoseSpread,
    SearchLevel,
    complete_grid,
)

RULED_OUT = 1e-15
"""Probability below which a coarse level drops a polarity."""


@dataclass(frozen=True)
class SearchSettings:
    """How the posterior is formed.

    Parameters
    ----------
    spread : PoseSpread
        Gaussian priors of psi, tilt and transverse shift.
    likelihood_power : float
        Exponent on the likelihood: 1 is the posterior, large is the best pose only.
    pruned_mass : float
        Posterior mass that may be dropped at each level; 0 keeps every cell.
    shared_polarity : bool
        Whether segments of a filament have one polarity.
    coherence : CoherenceModel or None
        Ties between azimuths and axial shifts along a filament, which the helical
        symmetry makes; None without them.
    """

    spread: PoseSpread
    likelihood_power: float
    pruned_mass: float
    shared_polarity: bool
    coherence: CoherenceModel | None


@dataclass(frozen=True)
class Posterior:
    """Posterior of a chunk on the finest level.

    Parameters
    ----------
    level : SearchLevel
    cells : Cells
        Cells that hold posterior mass, sorted by tilt.
    weights : ndarray of float32, shape (n_cells, n_axial, n_azimuth)
        Posterior probability; sums to 1 over the cells of an image.
    mass : ndarray of float64, shape (n_cells,)
        Sum of `weights` over azimuth and axial shift.
    log_evidence : ndarray of float64, shape (n_images,)
        Log of the marginal likelihood relative to pure noise, with the prior from
        the rest of the filament.
    cells_scored : int
        Cells whose score was computed, over all levels.
    """

    level: SearchLevel
    cells: Cells
    weights: NDArray[np.float32]
    mass: NDArray[np.float64]
    log_evidence: NDArray[np.float64]
    cells_scored: int


def expectation(
    chunk: Chunk,
    fans: list[Fan],
    noise_power: NDArray[np.float64],
    settings: SearchSettings,
    *,
    spacing_per_A: float,
    backend: Backend,
) -> Posterior:
    """Posterior of every image of a chunk, from the coarsest fan to the finest.

    Parameters
    ----------
    chunk : Chunk
        Images of whole filaments.
    fans : list of Fan
        The reference at each search level, finest last.
    noise_power : ndarray of float64, shape (>= k_max + 1,)
        Noise power of each ring.
    settings : SearchSettings
        How the posterior is formed.
    spacing_per_A : float
        One Fourier pixel in 1/A.
    backend : Backend
        Where it runs.

    Returns
    -------
    Posterior
    """
    level = fans[0].level
    cells = complete_grid(len(chunk), level)
    near = near_priors(chunk, cells, level, settings.spread)
    cells = cells.take(np.flatnonzero(near))
    scored = 0
    for fan in fans:
        frames = make_frames(
            chunk, cells, fan.level, noise_power, spacing_per_A, backend
        )
        prior = log_prior(chunk, cells, fan.level, settings.spread)
        # Coarse levels prune by the true posterior, however hard the last one is.
        power = settings.likelihood_power if fan is fans[-1] else 1.0
        tables = score_cells(cells, frames, fan, prior, power, backend)
        scored += len(cells)
        state = cells.image * N_POLARITIES + cells.polarity
        peak = _to_likelihood(tables, state, len(chunk))
        messages = _messages(chunk, state, tables, peak, settings)
        mass = backend.weigh_tables(tables, messages, state)
        if fan is fans[-1]:
            kept = _heaviest(cells.image, mass, len(chunk), settings.pruned_mass)
        else:
            kept = _survivors(state, mass, len(chunk), settings.pruned_mass)
            cells = cells.take(kept).divided()
    return _final_posterior(
        chunk, fans[-1], cells, tables, messages, mass, kept, peak, scored
    )


def _to_likelihood(
    tables: NDArray[np.float32], state: NDArray[np.int32], n_images: int
) -> NDArray[np.float64]:
    """Exponentiate in place, each (image, polarity) relative to its maximum.

    Returns the logarithm of those maxima, shape (n_images, 2).
    """
    peak = np.full(n_images * N_POLARITIES, -np.inf, np.float32)
    highest = np.empty(len(tables), np.float32)
    for rows in cache_blocks(len(tables), tables[0].nbytes):
        highest[rows] = tables[rows].max((1, 2))
    np.maximum.at(peak, state, highest)
    for rows in cache_blocks(len(tables), tables[0].nbytes):
        block = tables[rows]
        block -= peak[state[rows], None, None]
        np.exp(block, out=block)
    log_scale = peak.astype(np.float64).reshape(n_images, N_POLARITIES)
    # A polarity without cells was dropped for lack of mass at an earlier level: its
    # empty table rules it out, and any finite scale will do.
    scale = log_scale.max(1, keepdims=True)
    return np.where(np.isfinite(log_scale), log_scale, scale)


def _final_posterior(
    chunk: Chunk,
    fan: Fan,
    cells: Cells,
    tables: NDArray[np.float32],
    messages: NDArray[np.float32],
    mass: NDArray[np.float64],
    kept: NDArray[np.int64],
    peak: NDArray[np.float64],
    scored: int,
) -> Posterior:
    """Keep the heaviest cells, normalised to probabilities."""
    kept = np.sort(kept)
    total = np.bincount(cells.image[kept], mass[kept], len(chunk))
    cells_kept = cells.take(kept)
    state = cells_kept.image * N_POLARITIES + cells_kept.polarity
    weights = tables[kept]
    weights *= messages.reshape(-1, *tables.shape[1:])[state]
    weights /= total[cells_kept.image, None, None].astype(np.float32)
    # Messages carry the scale of the tables; the prior itself does not.
    with np.errstate(divide="ignore"):
        prior_mass = np.log(messages.sum((2, 3), dtype=np.float64)) - peak
    return Posterior(
        level=fan.level,
        cells=cells_kept,
        weights=weights,
        mass=mass[kept] / total[cells_kept.image],
        log_evidence=np.log(total) - logsumexp(prior_mass, axis=1),
        cells_scored=scored,
    )


def _messages(
    chunk: Chunk,
    state: NDArray[np.int32],
    tables: NDArray[np.float32],
    log_scale: NDArray[np.float64],
    settings: SearchSettings,
) -> NDArray[np.float32]:
    """Prior of every image over (polarity, axial shift, azimuth)."""
    n_states = len(chunk) * N_POLARITIES
    shape = (len(chunk), N_POLARITIES, *tables.shape[1:])
    pool = sparse.csr_matrix(
        (np.ones(len(state), np.float32), (state, np.arange(len(state)))),
        shape=(n_states, len(state)),
    )
    evidence = (pool @ tables.reshape(len(state), -1)).reshape(shape)
    messages = np.empty(shape, np.float32)
    for filament in np.unique(chunk.filament):
        members = np.flatnonzero(chunk.filament == filament)
        prior = chunk.polarity_prior[members].mean(0)
        if not settings.shared_polarity:
            messages[members] = independent_messages(
                log_scale[members], prior, tables.shape[1:]
            )
        elif settings.coherence is None:
            messages[members] = polarity_messages(
                evidence[members], log_scale[members], prior
            )
        else:
            messages[members] = filament_messages(
                evidence[members],
                log_scale[members],
                chunk.axial_px[members],
                prior,
                settings.coherence,
            )
    return messages


def _survivors(
    state: NDArray[np.int32],
    mass: NDArray[np.float64],
    n_images: int,
    pruned_mass: float,
) -> NDArray[np.int64]:
    """Heaviest cells of each polarity, unless the polarity itself is ruled out.

    Low resolution says little about polarity, and small errors add up over a
    filament: so a polarity goes only when it is out of the question, or the finer
    levels could not put it right.
    """
    kept = _heaviest(state, mass, n_images * N_POLARITIES, pruned_mass)
    by_state = np.bincount(state, mass, n_images * N_POLARITIES)
    by_image = by_state.reshape(n_images, N_POLARITIES).sum(1)
    possible = by_state > RULED_OUT * np.repeat(by_image, N_POLARITIES)
    if pruned_mass == 0:
        return kept
    return kept[possible[state[kept]]]


def _heaviest(
    image: NDArray[np.int32],
    mass: NDArray[np.float64],
    n_images: int,
    pruned_mass: float,
) -> NDArray[np.int64]:
    """Fewest cells of each image that leave at most `pruned_mass` behind."""
    order = np.lexsort((-mass, image))
    sorted_image, sorted_mass = image[order], mass[order]
    total = np.bincount(image, mass, n_images)
    before = np.cumsum(sorted_mass) - sorted_mass
    first = np.searchsorted(sorted_image, sorted_image)
    before = before - before[first]
    # Rounding must not drop anything from a search that is to be exhaustive.
    keep = (before <= (1 - pruned_mass) * total[sorted_image]) | (pruned_mass == 0)
    return order[keep]
