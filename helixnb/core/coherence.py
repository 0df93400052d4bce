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

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helixnb.backend import fourier
from helixnb.backend.arrays import array_module, device_of

_TINY = 1e-30
"""Stands for zero where a logarithm is taken; safe in single precision."""

_LEAST = np.float32(1e-20)
"""Least prior of a state, the most probable one of its segment having 1."""

_AT_ONCE = 8
"""Segments blurred together, whose spectra stay in the cache."""

_LOST = 5.5
"""Order times blur in radians beyond which less than 1e-6 of a mode is left."""


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
    twiddle: NDArray[np.complex64]  # (n_axial,), exp(-2 pi i k / n_axial)
    n_azimuth: int

    def left_by(self, turn_sd: float) -> _Modes:
        """Those that a blur in azimuth by `turn_sd` radians leaves something of."""
        n = int(np.searchsorted(self.order * turn_sd, _LOST, side="right"))
        return replace(
            self,
            demodulation=self.demodulation[:, :n],
            omega=self.omega[:, :n],
            order=self.order[:n],
        )

    def forward(self, tables: NDArray[np.float32]) -> NDArray[np.complex64]:
        spectrum = fourier.rfft(tables, axis=-1)[..., : len(self.order)]
        return fourier.fft(spectrum * self.demodulation, axis=-2)

    def inverse(self, spectrum: NDArray[np.complex64]) -> NDArray[np.float32]:
        rows = fourier.ifft(spectrum, axis=-2)
        rows *= np.conj(self.demodulation)
        tables: NDArray[np.float32] = fourier.irfft(rows, self.n_azimuth, axis=-1)
        return np.maximum(tables, 0, out=tables)

    def blurred(
        self, tables: NDArray[np.float32], axial_sd: float
    ) -> NDArray[np.float32]:
        """Blur tables along the axis."""
        device = device_of(tables)
        if device is not None:
            on_device: NDArray[np.float32] = device.blurred_tables(
                tables, self, axial_sd
            )
            return on_device
        transfer = self.transfer(np.zeros(1), axial_sd, np.zeros(1))
        blurred = np.empty_like(tables)
        for i in range(0, len(tables), _AT_ONCE):
            some = slice(i, i + _AT_ONCE)
            blurred[some] = self.inverse(self.forward(tables[some]) * transfer)
        return blurred

    def transfer(
        self,
        shift_px: NDArray[np.float64],
        axial_sd: float,
        turn_sd: NDArray[np.float64],
    ) -> NDArray[np.complex64]:
        """Transfer functions of moves along +s with Gaussian blurs.

        Shifts of shape (n,) give (n, n_axial, n_orders).
        """
        shift, turn = shift_px[:, None, None], turn_sd[:, None, None]
        along = np.exp(-0.5 * (self.omega * axial_sd) ** 2).astype(np.float32)
        around = np.exp(-0.5 * (self.order * turn) ** 2).astype(np.float32)
        # Many times faster than the exponential of a complex number.
        phase = (self.omega * shift).astype(np.float32)
        transfer = np.empty(phase.shape, np.complex64)
        transfer.real, transfer.imag = np.cos(phase), np.sin(phase)
        transfer *= along * around
        return transfer


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
        twiddle=xp.asarray(np.exp(-2j * np.pi * row[:, 0]).astype(np.complex64)),
        n_azimuth=n_azimuth,
    )


def filament_messages(
    evidence: NDArray[np.float32],
    log_scale: NDArray[np.float64],
    axial_px: NDArray[np.float64],
    polarity_prior: NDArray[np.float64],
    model: CoherenceModel,
    starts: list[int] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Prior of every segment from all other segments of its filament.

    Several filaments are gone through side by side, segment by segment.

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
    polarity_prior : ndarray of float64, shape (n_filaments, 2) or (2,)
        Prior probability of each polarity for each filament.
    model : CoherenceModel
        How tightly neighbouring segments are tied.
    starts : list of int, length n_filaments + 1
        Where each filament begins, and n; None for one filament.

    Returns
    -------
    messages : ndarray of float32, shape (n, 2, n_axial, n_azimuth)
        Prior probability of each state, multiplied by exp(log_scale) so that its
        product with `evidence` is the posterior; the overall scale of each segment
        is arbitrary.
    log_mass : ndarray of float64, shape (n, 2)
        Logarithm of the sum of the prior over each polarity, in that scale. Messages
        do not tell it where they are as small as single precision can be.
    """
    xp = array_module(evidence)
    track = _Track.of(axial_px, starts or [0, len(evidence)])
    along = xp.asarray(track.segment)
    modes = _modes(model, evidence.shape[2], evidence.shape[3], xp)

    emission = modes.blurred(evidence[along], model.picking_sd_px)
    # Each table is scaled to a maximum of 1 so that products stay in range.
    highest = xp.maximum(emission.max((2, 3)), _TINY)
    emission = xp.maximum(emission / highest[..., None, None], _TINY)
    log_emission = xp.log(highest.astype(np.float64))
    (joint, right), left = _passes(emission, track, modes, model)
    joint *= right
    # Evidence of the whole filament for each polarity, less the segment's own.
    own = xp.log((joint * emission).sum((2, 3), dtype=np.float64)) + log_emission
    terms = left + log_emission + log_scale[along]
    whole = xp.stack([terms[a:b].sum(0) for a, b in pairwise(track.starts)])
    whole = whole + xp.asarray(_log_or_never(polarity_prior))
    spread = modes.blurred(joint, model.picking_sd_px)
    highest = xp.maximum(spread.max((2, 3)), _TINY)
    filament = xp.asarray(track.filament)
    total = spread.sum((2, 3), dtype=np.float64)
    level = whole[filament] - own
    level -= (level + xp.log(highest)).max(1, keepdims=True)
    log_mass = xp.empty_like(log_scale)
    log_mass[along] = level + xp.log(xp.maximum(total, _TINY)) - log_scale[along]
    spread *= xp.exp(level)[..., None, None].astype(np.float32)
    # A segment that contradicts the rest of its filament still keeps a pose.
    least = np.where(np.atleast_2d(polarity_prior) > 0, _LEAST, np.float32(0))
    messages = xp.empty_like(evidence)
    messages[along] = xp.maximum(spread, xp.asarray(least)[filament][..., None, None])
    return messages, log_mass


@dataclass(frozen=True)
class _Track:
    """Segments in their order along each of several filaments, on the host."""

    starts: list[int]  # of each filament, and the end of the last
    segment: NDArray[np.int64]  # (n,), which is at each place
    filament: NDArray[np.int64]  # (n,)
    position: NDArray[np.float64]  # (n,), pixels
    known: NDArray[np.bool_]  # (n,), whether the position is
    typical: NDArray[np.float64]  # (n_filaments,), distance of neighbours

    @classmethod
    def of(cls, axial_px: NDArray[np.float64], starts: list[int]) -> _Track:
        """Sort the segments of each filament."""
        segment = np.concatenate(
            [a + np.argsort(axial_px[a:b], kind="stable") for a, b in pairwise(starts)]
        )
        place = axial_px[segment]
        known = np.isfinite(place)
        filament = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        position = np.where(known, place, 0.0)
        typical = []
        for a, b in pairwise(starts):
            gaps = np.abs(np.diff(position[a:b][known[a:b]]))
            gaps = gaps[gaps > 0]
            typical.append(float(np.median(gaps)) if len(gaps) else 1.0)
        return cls(starts, segment, filament, position, known, np.array(typical))

    def steps(self, drift_deg: float) -> Iterator[Step]:
        """Step along every filament at a time, both ways, with its twist disorder."""
        n = len(self.segment)
        first, last = np.array(self.starts[:-1]), np.array(self.starts[1:])
        begin = np.concatenate([first, n + last - 1])
        length, way = np.tile(last - first, 2), np.repeat([1, -1], len(first))
        for i in range(int(length.max(initial=0))):
            under_way = length > i
            here = (begin + way * i)[under_way]
            there = here + way[under_way]
            further = np.flatnonzero((length > i + 1)[under_way])
            known = self.known[here[further] % n] & self.known[there[further] % n]
            further = further[known]
            there = there[further]
            move = self.position[there % n] - self.position[here[further] % n]
            gaps = np.abs(move) / self.typical[self.filament[there % n]]
            turn_sd = np.deg2rad(drift_deg) * np.sqrt(gaps)
            yield Step(here, further, there, move, turn_sd)


class Step(NamedTuple):
    """Places that a pass reaches together, one or two of each filament; on the host.

    Places are counted from the first segment of the first filament on, and those of the
    way back from n on.

    Parameters
    ----------
    here : ndarray of int64, shape (m,)
        The places.
    further : ndarray of int64, shape (k,)
        Those of them that lead further, as indices into `here`.
    there : ndarray of int64, shape (k,)
        Where these lead.
    move_px : ndarray of float64, shape (k,)
        How far that is along the first polarity; the second one runs back.
    turn_sd : ndarray of float64, shape (k,)
        Disorder gained on the way, radians.
    """

    here: NDArray[np.int64]
    further: NDArray[np.int64]
    there: NDArray[np.int64]
    move_px: NDArray[np.float64]
    turn_sd: NDArray[np.float64]


def _passes(
    emission: NDArray[np.float32],
    track: _Track,
    modes: _Modes,
    model: CoherenceModel,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Predictions from either side with mean 1, and log evidence from the first.

    Returns arrays of shape (2, n, 2, n_axial, n_azimuth) and (n, 2).
    """
    xp, n, device = array_module(emission), len(emission), device_of(emission)
    steps, slip = list(track.steps(model.drift_deg)), np.float32(model.slip_probability)
    predicted = _predictions if device is None else device.filament_predictions
    prediction, sums = predicted(emission, steps, modes, slip)
    return (
        prediction.reshape(2, *emission.shape),
        xp.log(sums[:n] / emission[0, 0].size),
    )


def _predictions(
    emission: NDArray[np.float32], steps: list[Step], modes: _Modes, slip: np.float32
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Prediction at each place, and the sum of its product with the emission there."""
    n, states = len(emission), emission[0, 0].size
    prediction = np.ones((2 * n, *emission.shape[1:]), np.float32)
    sums = np.zeros((2 * n, 2))
    move_px = np.concatenate([step.move_px for step in steps])
    turn_sd = np.concatenate([step.turn_sd for step in steps])
    few = modes.left_by(turn_sd.min(initial=np.pi))
    moved = few.transfer(move_px, 0.0, turn_sd)
    # The second polarity runs back.
    both = np.stack([moved, np.conj(moved)], axis=1)
    done = 0
    for here, further, there, *_ in steps:
        filtered = prediction[here] * emission[here % n]
        total = filtered.sum((2, 3), dtype=np.float64)
        sums[here] = total
        if not len(further):
            continue
        if len(further) < len(here):
            filtered, total = filtered[further], total[further]
        filtered *= (states / total)[..., None, None].astype(np.float32)
        spectrum = few.forward(filtered)
        spectrum *= both[done : done + len(further)]
        done += len(further)
        predicted = few.inverse(spectrum)
        predicted *= 1 - slip
        predicted += slip
        prediction[there] = predicted
    return prediction, sums


def _log_or_never(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm, minus infinity at 0: what is excluded no evidence brings back."""
    with np.errstate(divide="ignore"):
        return np.log(probability)


def polarity_messages(
    evidence: NDArray[np.float32],
    log_scale: NDArray[np.float64],
    polarity_prior: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
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
    messages, log_mass
        As from `filament_messages`.
    """
    xp = array_module(evidence)
    total = evidence.sum((2, 3), dtype=np.float64)
    own = log_scale + xp.log(xp.maximum(total, _TINY))
    others = own.sum(0) - own + xp.asarray(_log_or_never(polarity_prior))
    # Tables carry their own scale, which the weights give back.
    least = np.where(polarity_prior > 0, _LEAST, 0.0)
    return _flat(others, log_scale, least, evidence.shape[2:])


def independent_messages(
    log_scale: NDArray[np.float64],
    polarity_prior: NDArray[np.float64],
    table_shape: tuple[int, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
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
    messages, log_mass
        As from `filament_messages`.
    """
    xp = array_module(log_scale)
    prior = xp.asarray(_log_or_never(polarity_prior)) + xp.zeros_like(log_scale)
    return _flat(prior, log_scale, np.zeros(2), table_shape)


def _flat(
    log_prior: NDArray[np.float64],
    log_scale: NDArray[np.float64],
    least: NDArray[np.float64],
    table_shape: tuple[int, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Messages that tell polarities apart and nothing else."""
    xp = array_module(log_scale)
    highest = (log_prior + log_scale).max(1, keepdims=True)
    weight = xp.exp(log_prior + log_scale - highest)
    weight = xp.maximum(weight, xp.asarray(least)).astype(np.float32)
    shape = (*weight.shape, *table_shape)
    log_mass = log_prior - highest + np.log(np.prod(table_shape))
    return xp.broadcast_to(weight[..., None, None], shape).copy(), log_mass
