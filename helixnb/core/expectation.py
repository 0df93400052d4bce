"""E-step: the posterior over poses of every image, coarse to fine.

For one cell (polarity, psi, tilt, transverse shift) the log-likelihood at every
azimuth phi and axial shift s is

    A[n, v]   = sum_u conj(X C / noise) exp(-2 pi i u t / D) H_n(v, u)
    L(phi, s) = Re sum_{n, v} A[n, v] exp(i n phi - 2 pi i v s / D)
                - 1/2 sum_ring <C^2 / noise> |P_phi|^2

(components with v > 0 counted twice): a small matrix product for each row v over the
kept pairs, row phases for s, and one FFT over n for all azimuths. Cells that hold no
posterior mass are dropped level by level: of every image at most `pruned_mass` of
the probability is lost at each level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft as sfft
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.special import logsumexp

from helixnb.backend import Backend
from helixnb.core.coherence import (
    CoherenceModel,
    filament_messages,
    independent_messages,
)
from helixnb.core.fan import Fan
from helixnb.core.halfplane import HalfPlane
from helixnb.core.search import (
    N_POLARITIES,
    Cells,
    PoseSpread,
    SearchLevel,
    complete_grid,
)


_CACHE_BYTES = 4_000_000

_DROPPED_NATS = 20.0
"""How much less likely a polarity counts that an earlier level dropped."""


@dataclass(frozen=True)
class Chunk:
    """Images of whole filaments with what the E-step needs to know of them.

    Parameters
    ----------
    transforms : ndarray of complex64, shape (n, M, M // 2 + 1)
        From `images.padded_transforms` at the finest band.
    contrast : ndarray of float64, shape (n, 6)
        CTF coefficients.
    psi_prior_deg, tilt_prior_deg : ndarray of float64, shape (n,)
    polarity_prior : ndarray of float64, shape (n, 2)
        Probability of psi near the prior, and of psi near the prior + 180.
    filament : ndarray of int32, shape (n,)
        Filament of each image, equal numbers adjacent.
    axial_px : ndarray of float64, shape (n,)
        Position along +v at the psi prior.
    """

    transforms: NDArray[np.complex64]
    contrast: NDArray[np.float64]
    psi_prior_deg: NDArray[np.float64]
    tilt_prior_deg: NDArray[np.float64]
    polarity_prior: NDArray[np.float64]
    filament: NDArray[np.int32]
    axial_px: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.psi_prior_deg)


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
    coherence : CoherenceModel or None
        Ties between segments of a filament; None treats each on its own.
    """

    spread: PoseSpread
    likelihood_power: float
    pruned_mass: float
    coherence: CoherenceModel | None


@dataclass(frozen=True)
class Frames:
    """Filament-frame data of the distinct (image, polarity, psi) of a cell list.

    Parameters
    ----------
    data : ndarray of complex64, shape (n_rows, n_frames, n_columns)
        conj(X) C / noise, conjugates not counted.
    power : ndarray of float32, same shape
        C^2 / noise.
    of_cell : ndarray of int64, shape (n_cells,)
        Frame of each cell.
    """

    data: NDArray[np.complex64]
    power: NDArray[np.float32]
    of_cell: NDArray[np.int64]


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
    fans : list of Fan
        The reference at each search level, finest last.
    noise_power : ndarray of float64, shape (>= k_max + 1,)
        Noise power of each ring.
    settings : SearchSettings
    spacing_per_A : float
        One Fourier pixel in 1/A.
    backend : Backend

    Returns
    -------
    Posterior
    """
    cells = complete_grid(len(chunk), fans[0].level)
    scored = 0
    for fan in fans:
        frames = make_frames(
            chunk, cells, fan.level, noise_power, spacing_per_A, backend
        )
        prior = log_prior(chunk, cells, fan.level, settings.spread)
        tables = score_cells(
            cells, frames, fan, prior, settings.likelihood_power, backend
        )
        scored += len(cells)
        state = cells.image * N_POLARITIES + cells.polarity
        peak = _to_likelihood(tables, state, len(chunk))
        messages = _messages(chunk, state, tables, peak, settings)
        mass = backend.weigh_tables(tables, messages, state)
        kept = _heaviest(cells.image, mass, len(chunk), settings.pruned_mass)
        if fan is not fans[-1]:
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
    for rows in _blocks(len(tables), tables[0].nbytes):
        highest[rows] = tables[rows].max((1, 2))
    np.maximum.at(peak, state, highest)
    for rows in _blocks(len(tables), tables[0].nbytes):
        block = tables[rows]
        block -= peak[state[rows], None, None]
        np.exp(block, out=block)
    log_scale = peak.astype(np.float64).reshape(n_images, N_POLARITIES)
    # A polarity without cells was dropped for lack of mass at an earlier level.
    absent = log_scale.max(1, keepdims=True) - _DROPPED_NATS
    return np.where(np.isfinite(log_scale), log_scale, absent)


def _blocks(n: int, bytes_each: int, first: int = 0) -> Iterator[slice]:
    """Slices of first..n that each stay within the processor's cache."""
    size = max(1, _CACHE_BYTES // bytes_each)
    for start in range(first, n, size):
        yield slice(start, min(start + size, n))


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
    prior_mass = np.log(messages.sum((2, 3), dtype=np.float64) + 1e-300) - peak
    return Posterior(
        level=fan.level,
        cells=cells_kept,
        weights=weights,
        mass=mass[kept] / total[cells_kept.image],
        log_evidence=np.log(total) - logsumexp(prior_mass, axis=1),
        cells_scored=scored,
    )


def make_frames(
    chunk: Chunk,
    cells: Cells,
    level: SearchLevel,
    noise_power: NDArray[np.float64],
    spacing_per_A: float,
    backend: Backend,
) -> Frames:
    """Turn each image to every in-plane angle that the cells ask for.

    Parameters
    ----------
    chunk : Chunk
    cells : Cells
    level : SearchLevel
    noise_power : ndarray of float64, shape (>= k_max + 1,)
    spacing_per_A : float
    backend : Backend

    Returns
    -------
    Frames
    """
    key = (cells.image.astype(np.int64) * N_POLARITIES + cells.polarity) * (
        level.n_psi
    ) + cells.psi
    distinct, of_cell = np.unique(key, return_inverse=True)
    psi = distinct % level.n_psi
    polarity = distinct // level.n_psi % N_POLARITIES
    image = distinct // (level.n_psi * N_POLARITIES)
    angle = chunk.psi_prior_deg[image] + level.psi_offset_deg[psi] + 180.0 * polarity
    plane = HalfPlane(level.k_max)
    whitening = (plane.multiplicity > 0) / noise_power[plane.ring]
    data, power = backend.filament_frames(
        chunk.transforms,
        image.astype(np.int32),
        angle,
        chunk.contrast,
        whitening.astype(np.float32),
        level.k_max,
        spacing_per_A,
    )
    return Frames(data, power, of_cell)


def score_cells(
    cells: Cells,
    frames: Frames,
    fan: Fan,
    log_prior: NDArray[np.float32],
    power: float,
    backend: Backend,
) -> NDArray[np.float32]:
    """Log of (likelihood times prior) to a power, for every cell.

    Parameters
    ----------
    cells : Cells
    frames : Frames
    fan : Fan
    log_prior : ndarray of float32, shape (n_cells,)
    power : float
    backend : Backend

    Returns
    -------
    ndarray of float32, shape (n_cells, n_axial, n_azimuth)
        Relative to pure noise, natural log.
    """
    level = fan.level
    plane = HalfPlane(level.k_max)
    shift_phase = np.exp(
        -2j * np.pi * np.outer(level.shift_px, plane.u) / fan.box_px
    ).astype(np.complex64)
    ring_weight = _ring_means(frames.power, plane)
    out = np.empty((len(cells), level.n_axial, level.n_azimuth), np.float32)
    starts = np.searchsorted(cells.tilt, np.arange(level.n_tilt + 1))
    bytes_each = frames.data[:, 0].nbytes + 2 * out[:1].nbytes
    for tilt in range(level.n_tilt):
        for rows in _blocks(starts[tilt + 1], bytes_each, starts[tilt]):
            frame = frames.of_cell[rows]
            data = backend.shifted_frames(
                frames.data, frame, shift_phase, cells.shift[rows]
            )
            amplitudes = _row_products(data, fan, tilt, plane)
            spectra = backend.pool_rows(
                amplitudes, fan.harmonic, fan.row_phase, level.n_azimuth // 2 + 1
            )
            scores = sfft.irfft(
                spectra, level.n_azimuth, axis=-1, norm="forward"
            )
            offset = log_prior[rows, None] - ring_weight[frame] @ fan.ring_power[tilt]
            scores += offset[:, None, :]
            np.multiply(scores, np.float32(power), out=out[rows])
    return out


def _row_products(
    data: NDArray[np.complex64], fan: Fan, tilt: int, plane: HalfPlane
) -> NDArray[np.complex64]:
    """A[cell, pair] = multiplicity * sum_u data[v, cell, u] H[u, pair]."""
    amplitudes = np.empty((data.shape[1], len(fan.harmonic)), np.complex64)
    for v in range(plane.n_rows):
        first, last = fan.row_start[v], fan.row_start[v + 1]
        if first == last:
            continue
        columns = plane.columns_of_row(v)
        product = data[v, :, columns] @ fan.values[tilt][v]
        amplitudes[:, first:last] = product if v == 0 else 2 * product
    return amplitudes


def _ring_means(
    power: NDArray[np.float32], plane: HalfPlane
) -> NDArray[np.float32]:
    """Mean of C^2 / noise over each ring, shape (n_frames, k_max + 1)."""
    n_frames = power.shape[1]
    inside = plane.multiplicity > 0
    rings = plane.ring[inside]
    weight = plane.multiplicity[inside]
    selector = sparse.csr_matrix(
        (weight, (rings, np.arange(len(rings)))),
        shape=(plane.k_max + 1, len(rings)),
    )
    sums = selector @ power.swapaxes(1, 2)[inside].reshape(len(rings), n_frames)
    return (sums / np.maximum(plane.ring_counts, 1)[:, None]).T.astype(np.float32)


def log_prior(
    chunk: Chunk, cells: Cells, level: SearchLevel, spread: PoseSpread
) -> NDArray[np.float32]:
    """Gaussian log prior of each cell about the given angles.

    Parameters
    ----------
    chunk : Chunk
    cells : Cells
    level : SearchLevel
    spread : PoseSpread

    Returns
    -------
    ndarray of float32, shape (n_cells,)
    """
    psi = level.psi_offset_deg[cells.psi] / spread.psi_deg
    # Seen from the other end, a tilt of 90 + d is one of 90 - d.
    prior = chunk.tilt_prior_deg[cells.image] - 90
    prior = np.where(cells.polarity == 1, -prior, prior)
    off_prior = level.tilt_offset_deg[cells.tilt] - prior
    shift = level.shift_px[cells.shift] / spread.shift_px
    tilt = off_prior / spread.tilt_deg
    return (-0.5 * (psi**2 + tilt**2 + shift**2)).astype(np.float32)


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
        if settings.coherence is None:
            messages[members] = independent_messages(
                log_scale[members], prior, tables.shape[1:]
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
    first = np.searchsorted(sorted_image, np.arange(n_images))
    before = before - before[first][sorted_image]
    keep = before <= (1 - pruned_mass) * total[sorted_image]
    return order[keep]
