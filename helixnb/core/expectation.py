"""E-step: the posterior over poses of every image, coarse to fine.

Cells of the pose grid are scored (`scoring`), turned into probabilities together with
what the rest of the filament says (`coherence`), and dropped level by level where
they hold no posterior mass: of every image at most `pruned_mass` of the probability
is lost at each level, at those of a lower band by a flattened posterior.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import Backend
from helixnb.backend.arrays import array_module
from helixnb.core.coherence import (
    CoherenceModel,
    filament_messages,
    independent_messages,
    polarity_messages,
)
from helixnb.core.fan import Fan
from helixnb.core.scoring import (
    Chunk,
    Frames,
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

_TABLES_AT_WORK = 8
"""Tables of the size of its evidence that a pass along a filament holds a segment."""

PRUNING_POWER = 0.3
"""Exponent on the posterior by which levels of a lower band drop cells. The likelihood
changes by many nats from one coarse cell to the next, and the best pose may lie between
them: of 1,501 clear images at full resolution 3 lost its cell at this power, 9 at a
power of 0.4."""

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
    cells_scored, poses_scored : int
        Cells whose score was computed over all levels, and those times azimuths and
        axial shifts.
    flops : int
        Floating-point operations of the matrix products that took.
    """

    level: SearchLevel
    cells: Cells
    weights: NDArray[np.float32]
    mass: NDArray[np.float64]
    log_evidence: NDArray[np.float64]
    cells_scored: int = 0
    poses_scored: int = 0
    flops: int = 0


def expectation(
    chunk: Chunk,
    fans: list[Fan],
    noise_power: NDArray[np.float64],
    settings: SearchSettings,
    *,
    spacing_per_A: float,
    backend: Backend,
) -> tuple[Posterior, Frames]:
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
    posterior : Posterior
    frames : Frames
        Data of the posterior's cells.
    """
    level = fans[0].level
    xp = backend.xp
    cells = complete_grid(len(chunk), level, xp)
    near = near_priors(chunk, cells, level, settings.spread)
    cells = cells.take(xp.flatnonzero(near))
    scored = poses = flops = band = 0
    told = xp.empty(0)
    for fan, finer in zip(fans, [*fans[1:], None], strict=True):
        frames = make_frames(
            chunk, cells, fan.level, noise_power, spacing_per_A, backend
        )
        prior = log_prior(chunk, cells, fan.level, settings.spread)
        coarse = fan.level.k_max < fans[-1].level.k_max
        power = PRUNING_POWER if coarse else settings.likelihood_power
        tables, highest = score_cells(cells, frames, fan, prior, power, backend)
        scored += len(cells)
        poses += tables.size
        flops += len(cells) * fan.flops_per_cell
        state = cells.image * N_POLARITIES + cells.polarity
        height, peak = _to_likelihood(tables, highest, state, len(chunk), backend)
        if fan.level.k_max > band:
            band, told = fan.level.k_max, _finite(peak)
            messages, told_mass = _messages(
                chunk, state, tables, height, told, settings, backend
            )
        # Finer steps in a band tell a segment little more about its neighbours.
        height, log_mass = _rescaled(height, state, told_mass, peak - told)
        mass = backend.weigh_tables(tables, messages, state, height)
        if finer is None:
            kept = _heaviest(
                cells.image, mass, len(chunk), settings.pruned_mass, backend
            )
        else:
            kept = _survivors(state, mass, len(chunk), settings.pruned_mass, backend)
            cells = cells.take(kept).divided(fan.level, finer.level)
    # In the order of cells, which are sorted by tilt.
    kept = xp.sort(kept)
    found = _final_posterior(
        chunk, fans[-1], cells, tables, height, messages, mass, kept, log_mass, backend
    )
    found = replace(found, cells_scored=scored, poses_scored=poses, flops=flops)
    return found, replace(frames, of_cell=frames.of_cell[kept])


def _to_likelihood(
    tables: NDArray[np.float32],
    highest: NDArray[np.float32],
    state: NDArray[np.int32],
    n_images: int,
    backend: Backend,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Exponentiate in place, each cell relative to its own maximum.

    Cells too low to count in single precision get a height of 0 and stay as they are.

    Returns the height of each cell over the highest of its (image, polarity), and the
    logarithm of those maxima, shape (n_images, 2): minus infinity without cells.
    """
    n_states = n_images * N_POLARITIES
    height, peak = backend.exponentiate(tables, highest, state, n_states)
    return height, peak.astype(np.float64).reshape(n_images, N_POLARITIES)


def _finite(log_scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give a scale to polarities without cells.

    They were dropped for lack of mass at an earlier level. Their empty tables rule
    them out, and any finite scale will do.
    """
    xp = array_module(log_scale)
    scale = log_scale.max(1, keepdims=True)
    return xp.where(xp.isfinite(log_scale), log_scale, scale)


def _rescaled(
    height: NDArray[np.float32],
    state: NDArray[np.int32],
    log_mass: NDArray[np.float64],
    change: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Bring tables to the scale of messages, which may be of an earlier level.

    Parameters are the heights and states of cells, and for each image and polarity
    the log mass of the messages and by how much the logarithm of the maximum grew.
    """
    xp = array_module(height)
    most = change.max(1, keepdims=True)
    factor = xp.exp(change - most).astype(np.float32)
    return height * factor.ravel()[state], log_mass - most


def _final_posterior(
    chunk: Chunk,
    fan: Fan,
    cells: Cells,
    tables: NDArray[np.float32],
    height: NDArray[np.float32],
    messages: NDArray[np.float32],
    mass: NDArray[np.float64],
    kept: NDArray[np.int64],
    log_mass: NDArray[np.float64],
    backend: Backend,
) -> Posterior:
    """Keep the heaviest cells, normalised to probabilities."""
    xp = array_module(tables)
    total = backend.group_sums(mass[kept], cells.image[kept], len(chunk))
    cells_kept = cells.take(kept)
    state = cells_kept.image * N_POLARITIES + cells_kept.polarity
    share = (height[kept] / total[cells_kept.image]).astype(np.float32)
    weights = backend.weighted_tables(tables, kept, messages, state, share)
    return Posterior(
        level=fan.level,
        cells=cells_kept,
        weights=weights,
        mass=mass[kept] / total[cells_kept.image],
        log_evidence=xp.log(total) - xp.logaddexp(log_mass[:, 0], log_mass[:, 1]),
    )


def _messages(
    chunk: Chunk,
    state: NDArray[np.int32],
    tables: NDArray[np.float32],
    height: NDArray[np.float32],
    log_scale: NDArray[np.float64],
    settings: SearchSettings,
    backend: Backend,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Prior of every image over (polarity, axial shift, azimuth), and its log mass."""
    shape = (len(chunk), N_POLARITIES, *tables.shape[1:])
    pooled = backend.group_sums(
        tables.reshape(len(state), -1), state, len(chunk) * N_POLARITIES, height
    )
    evidence = pooled.reshape(shape)
    xp = array_module(tables)
    messages, log_mass = xp.empty(shape, np.float32), xp.empty(shape[:2])
    breaks = np.flatnonzero(np.diff(chunk.filament)) + 1
    starts = [0, *(int(i) for i in breaks), len(chunk)]
    prior = np.add.reduceat(chunk.polarity_prior, starts[:-1])
    prior /= np.diff(starts)[:, None]
    if settings.shared_polarity and settings.coherence is not None:
        most = int(np.diff(starts).max())
        bytes_each = _TABLES_AT_WORK * most * evidence[0].nbytes
        for some in backend.blocks(0, len(prior), bytes_each):
            first, last = starts[some.start], starts[some.stop]
            messages[first:last], log_mass[first:last] = filament_messages(
                evidence[first:last],
                log_scale[first:last],
                chunk.axial_px[first:last],
                prior[some],
                settings.coherence,
                [i - first for i in starts[some.start : some.stop + 1]],
            )
        return messages, log_mass
    for i, (first, last) in enumerate(pairwise(starts)):
        members = slice(first, last)
        messages[members], log_mass[members] = (
            polarity_messages(evidence[members], log_scale[members], prior[i])
            if settings.shared_polarity
            else independent_messages(log_scale[members], prior[i], tables.shape[1:])
        )
    return messages, log_mass


def _survivors(
    state: NDArray[np.int32],
    mass: NDArray[np.float64],
    n_images: int,
    pruned_mass: float,
    backend: Backend,
) -> NDArray[np.int64]:
    """Heaviest cells of each polarity, unless the polarity itself is ruled out.

    Low resolution says little about polarity, and small errors add up over a
    filament: so a polarity goes only when it is out of the question, or the finer
    levels could not put it right.
    """
    kept = _heaviest(state, mass, n_images * N_POLARITIES, pruned_mass, backend)
    by_state = backend.group_sums(mass, state, n_images * N_POLARITIES)
    by_image = by_state.reshape(n_images, N_POLARITIES).sum(1)
    possible = by_state > RULED_OUT * by_image.repeat(N_POLARITIES)
    if pruned_mass == 0:
        return kept
    return kept[possible[state[kept]]]


def _heaviest(
    image: NDArray[np.int32],
    mass: NDArray[np.float64],
    n_images: int,
    pruned_mass: float,
    backend: Backend,
) -> NDArray[np.int64]:
    """Fewest cells of each image that leave at most `pruned_mass` behind."""
    xp = array_module(mass)
    total = backend.group_sums(mass, image, n_images)
    # All cells this light together are less than that: most need not be sorted.
    share = pruned_mass * total / xp.maximum(xp.bincount(image, minlength=n_images), 1)
    heavy = xp.flatnonzero(mass >= share[image])
    order = heavy[xp.lexsort(xp.stack([-mass[heavy], image[heavy]]))]
    sorted_image, sorted_mass = image[order], mass[order]
    before = xp.cumsum(sorted_mass) - sorted_mass
    first = xp.searchsorted(sorted_image, sorted_image)
    before = before - before[first]
    # Rounding must not drop anything from a search that is to be exhaustive.
    keep = (before <= (1 - pruned_mass) * total[sorted_image]) | (pruned_mass == 0)
    return order[keep]
