"""What the segments of one filament tell each other.

Segments of a filament share its polarity, and their azimuths and axial shifts are
tied: with t the position of a box along the filament, the pattern at s + t is the
same helix for every box, up to the picking error in s and slow twist disorder. Each
segment's likelihood over (polarity, azimuth, axial shift) is therefore evidence for
its neighbours. A forward-backward pass along the filament turns it into a prior for
every segment from all the others, and decides polarity for the filament as a whole.

The helix makes (azimuth, axial shift) a twisted torus, f(phi, s + rise) =
f(phi + twist, s), whose Fourier modes exp(i n phi + i omega s) obey the selection
rule omega rise = n twist + 2 pi q. A range of several rises is a torus too, with as
many times the twist. Moving along the track and blurring by picking error or
disorder are diagonal in these modes, so the pass is a few FFTs a step. Without a
known symmetry only the polarity is shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module

_TINY = 1e-30
"""Stands for zero where a logarithm is taken; safe in single precision."""

_LEAST = np.float32(1e-20)
"""Least prior of a state, the most probable one of its segment having 1."""


@dataclass(frozen=True)
class CoherenceModel:
    """How tightly neighbouring segments are tied.

    Parameters
    ----------
    period_px : float
        Range of the axial shift, a whole number of rises.
    period_twist_deg : float
        Turn of the helix over that range.
    cyclic : int
        Order of the cyclic group.
    picking_sd_px : float
        Standard deviation of a box position along the filament.
    drift_deg : float
        Standard deviation of the azimuth gained between neighbouring boxes, from
        twist disorder and from error in the symmetry.
    slip_probability : float
        Chance that a segment says nothing about the next, which keeps one bad
        segment from breaking a filament.
    """

    period_px: float
    period_twist_deg: float
    cyclic: int
    picking_sd_px: float
    drift_deg: float
    slip_probability: float = 0.02


@dataclass(frozen=True)
class _Modes:
    """Orders n and axial frequencies omega of the modes of one table size."""

    demodulation: NDArray[np.complex64]  # (n_axial, n_orders)
    omega: NDArray[np.float64]  # (n_axial, n_orders), radians per pixel
    order: NDArray[np.float64]  # (n_orders,)
    n_azimuth: int

    def forward(self, tables: NDArray[np.float32]) -> NDArray[np.complex64]:
        spectrum = fourier.rfft(tables, axis=-1)
        return fourier.fft(spectrum * self.demodulation, axis=-2)

    def inverse(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        rows = fourier.ifft(spectrum, axis=-2)
        xp = array_module(rows)
        rows = rows * xp.conj(self.demodulation)
        tables = fourier.irfft(rows, self.n_azimuth, axis=-1)
        return xp.maximum(tables, 0, dtype=np.float32)

    def kernel(
        self, shift_px: NDArray[np.float64], axial_sd: float, turn_sd: float
    ) -> NDArray[np.complex64]:
        """Transfer function of a move along +s and a Gaussian blur."""
        xp = array_module(self.omega)
        blur = xp.exp(
            -0.5 * (self.omega * axial_sd) ** 2 - 0.5 * (self.order * turn_sd) ** 2
        )
        shift = xp.asarray(shift_px)[..., None, None]
        move = xp.exp(1j * self.omega * shift)
        transfer: NDArray[np.complex128] = blur * move
        return transfer.astype(np.complex64)


def _modes(model: CoherenceModel, n_axial: int, n_azimuth: int, xp: Any) -> _Modes:
    """Modes of one table size, in the array module of the tables."""
    order = model.cyclic * np.arange(n_azimuth // 2 + 1, dtype=float)
    turns = order * model.period_twist_deg / 360.0  # of the phase over the period
    row = np.arange(n_axial)[:, None] / n_axial
    q = fourier.fftfreq(n_axial, 1 / n_axial)[:, None]
    total = (q + turns + n_axial / 2) % n_axial - n_axial / 2
    return _Modes(
        demodulation=xp.asarray(np.exp(-2j * np.pi * row * turns).astype(np.complex64)),
        omega=xp.asarray(2 * np.pi * total / model.period_px),
        order=xp.asarray(order),
        n_azimuth=n_azimuth,
    )


def filament_messages(
    evidence: NDArray[np.float32],
    log_scale: NDArray[np.float64],
    axial_px: NDArray[np.float64],
    polarity_prior: NDArray[np.float64],
    model: CoherenceModel,
) -> NDArray[np.float32]:
    """Prior of every segment of one filament from all its other segments.

    Parameters
    ----------
    evidence : ndarray of float32, shape (n, 2, n_axial, n_azimuth)
        Likelihood of each segment over polarity, axial shift and azimuth, divided
        by exp(log_scale).
    log_scale : ndarray of float64, shape (n, 2)
        Logarithm of the scale of each segment and polarity.
    axial_px : ndarray of float64, shape (n,)
        Position of each box along +v at the first polarity; NaN where unknown. On the
        host, as the next.
    polarity_prior : ndarray of float64, shape (2,)
        Prior probability of each polarity for the filament.
    model : CoherenceModel
        How tightly neighbouring segments are tied.

    Returns
    -------
    ndarray of float32, shape (n, 2, n_axial, n_azimuth)
        Prior probability of each state, multiplied by exp(log_scale) so that its
        product with `evidence` is the posterior; the overall scale of each segment
        is arbitrary.
    """
    xp = array_module(evidence)
    track = np.argsort(axial_px, kind="stable")
    known = np.isfinite(axial_px[track])
    position = np.where(known, axial_px[track], 0.0)
    along = xp.asarray(track)
    modes = _modes(model, evidence.shape[2], evidence.shape[3], xp)
    picking = modes.kernel(np.zeros(()), model.picking_sd_px, 0.0)
    emission = modes.inverse(modes.forward(evidence[along]) * picking)
    # Each table is scaled to a maximum of 1 so that products stay in range.
    highest = xp.maximum(emission.max((2, 3)), _TINY)
    emission = xp.maximum(emission / highest[..., None, None], _TINY)
    log_emission = xp.log(highest.astype(np.float64))
    forward, left = _pass(emission, position, known, modes, model)
    backward, _ = _pass(emission[::-1], position[::-1], known[::-1], modes, model)
    joint = forward * backward[::-1]
    # Evidence of the whole filament for each polarity, less the segment's own.
    own = xp.log((joint * emission).sum((2, 3), dtype=np.float64)) + log_emission
    prior = xp.asarray(_log_or_never(polarity_prior))
    whole = (left + log_emission + log_scale[along]).sum(0) + prior
    least = np.where(polarity_prior > 0, _LEAST, np.float32(0))[:, None, None]
    spread = modes.inverse(modes.forward(joint) * picking)
    highest = xp.maximum(spread.max((2, 3)), _TINY)
    level = whole - own + xp.log(highest)
    weight = xp.exp(level - level.max(1, keepdims=True)) / highest
    spread *= weight[..., None, None].astype(np.float32)
    messages = xp.empty_like(evidence)
    # A segment that contradicts the rest of its filament still keeps a pose.
    messages[along] = xp.maximum(spread, xp.asarray(least))
    return messages


def _pass(
    emission: NDArray[np.float32],
    position: NDArray[np.float64],
    known: NDArray[np.bool_],
    modes: _Modes,
    model: CoherenceModel,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Predictions from the left with mean 1, and log evidence of each segment."""
    xp, n = array_module(emission), len(emission)
    states = emission[0, 0].size
    prediction = xp.ones_like(emission)
    log_evidence = xp.zeros((n, 2))
    gaps = np.abs(np.diff(position[known]))
    typical = np.median(gaps[gaps > 0]) if np.any(gaps > 0) else 1.0
    drift = np.deg2rad(model.drift_deg)
    for i in range(n):
        filtered = prediction[i] * emission[i]
        total = filtered.sum((1, 2), dtype=np.float64)
        log_evidence[i] = xp.log(total / states)
        if i + 1 == n or not (known[i] and known[i + 1]):
            continue
        filtered *= (states / total)[:, None, None].astype(np.float32)
        step = position[i + 1] - position[i]
        # The second polarity runs the other way, so its positions change sign.
        kernel = modes.kernel(
            np.array([step, -step]), 0.0, drift * np.sqrt(abs(step) / typical)
        )
        moved = modes.inverse(modes.forward(filtered) * kernel)
        slip = np.float32(model.slip_probability)
        prediction[i + 1] = (1 - slip) * moved + slip
    return prediction, log_evidence


def _log_or_never(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm, minus infinity at 0: what is excluded no evidence brings back."""
    with np.errstate(divide="ignore"):
        return np.log(probability)


def polarity_messages(
    evidence: NDArray[np.float32],
    log_scale: NDArray[np.float64],
    polarity_prior: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Priors with which segments share their polarity and nothing else.

    Parameters
    ----------
    evidence : ndarray of float32, shape (n, 2, n_axial, n_azimuth)
        As in `filament_messages`.
    log_scale : ndarray of float64, shape (n, 2)
        As in `filament_messages`.
    polarity_prior : ndarray of float64, shape (2,)
        Prior probability of each polarity for the filament.

    Returns
    -------
    ndarray of float32, shape (n, 2, n_axial, n_azimuth)
        As from `filament_messages`.
    """
    xp = array_module(evidence)
    total = evidence.sum((2, 3), dtype=np.float64)
    own = log_scale + xp.log(xp.maximum(total, _TINY))
    others = own.sum(0) - own + xp.asarray(_log_or_never(polarity_prior))
    # Tables carry their own scale, which the weights give back.
    level = others + log_scale
    weight = xp.exp(level - level.max(1, keepdims=True))
    least = xp.asarray(np.where(polarity_prior > 0, _LEAST, 0.0))
    weight = xp.maximum(weight, least).astype(np.float32)
    return xp.broadcast_to(weight[..., None, None], evidence.shape).copy()


def independent_messages(
    log_scale: NDArray[np.float64],
    polarity_prior: NDArray[np.float64],
    table_shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Flat priors that keep every segment on its own.

    Parameters
    ----------
    log_scale : ndarray of float64, shape (n, 2)
        As in `filament_messages`.
    polarity_prior : ndarray of float64, shape (2,)
        Prior probability of each polarity.
    table_shape : tuple of int
        (n_axial, n_azimuth).

    Returns
    -------
    ndarray of float32, shape (n, 2, n_axial, n_azimuth)
    """
    xp = array_module(log_scale)
    weight = log_scale + xp.asarray(_log_or_never(polarity_prior))
    weight = xp.exp(weight - weight.max(1, keepdims=True))
    return xp.broadcast_to(
        weight[..., None, None].astype(np.float32), (*weight.shape, *table_shape)
    ).copy()
