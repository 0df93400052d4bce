"""One iteration of helical refinement, as a pure function from state to state.

`initial_state` measures the data and builds the first reference; `step` aligns every
image, reconstructs both halves, measures their FSC, prepares the next references and
updates the symmetry. Nothing here remembers anything: the session keeps the states.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from helixnb.alignment import align_half, new_pass, sum_at_random_azimuths
from helixnb.backend import Backend
from helixnb.core.coherence import CoherenceModel
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.expectation import SearchSettings
from helixnb.core.fan import Fan, build_fan
from helixnb.core.fsc import HalfMapFSC, half_map_fsc, resolution_A
from helixnb.core.halfplane import HalfPlane
from helixnb.core.halves import split_by_filament
from helixnb.core.masks import axial_window, cylinder
from helixnb.core.maximization import Accumulator, joined, symmetrised
from helixnb.core.noise import residual_power
from helixnb.core.poses import Poses
from helixnb.core.reconstruction import join_low_resolution, shell_noise, solve
from helixnb.core.references import reference_harmonics
from helixnb.core.search import PoseSpread, SearchLevel, harmonic_limit, plan_levels
from helixnb.core.symmetry_search import layer_power, search
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Progress, Stopwatch
from helixnb.state import State, Survey, SymmetryScores
from helixnb.survey import filament_radius_px, mean_ctf_power, mean_image_power

__all__ = ["State", "Survey", "SymmetryScores", "initial_state", "step"]

PRUNED_MASS = 1e-3
"""Posterior mass that each search level may drop, per image."""

BOOTSTRAP_POWER = 25.0
"""Likelihood exponent while structure grows: nearly hard assignments. With soft
posteriors the cylindrical average is a saddle point that is never left."""

BOOTSTRAP_RESOLUTION_A = (16.0, 10.0)
"""Alignment resolution at the start and the end of the bootstrap."""

RESOLUTION_GROWTH = 1.25
"""Most that the alignment band may widen in one iteration."""

RECONSTRUCTION_MARGIN = 1.4
"""Band of the reconstruction over that of the alignment."""

MASK_EDGE_A = 8.0
"""Width of the soft edge of masks across the axis."""

_ALIGN_THRESHOLD = 0.143
_PATIENCE = 3
_GAIN = 0.01


@dataclass(frozen=True)
class _Job:
    """The fixed inputs of one iteration."""

    particles: ParticleSet
    parameters: Parameters
    backend: Backend
    progress: Progress
    clock: Stopwatch

    @property
    def box(self) -> int:
        return self.particles.box_px

    @property
    def pixel(self) -> float:
        return self.particles.pixel_size_A

    def band(self, resolution: float) -> int:
        """Fourier radius of a resolution, inside Nyquist."""
        finest = self.box // 2 - 2
        wanted = int(np.ceil(self.box * self.pixel / resolution))
        return int(np.clip(wanted, 4, finest))

    def grid(self, k_max: int, radius_A: float, oversampling: int) -> CylinderGrid:
        cyclic = self.parameters.symmetry.cyclic
        m_max = harmonic_limit(k_max, self.box, radius_A / self.pixel, cyclic)
        return CylinderGrid(self.box, k_max, m_max, cyclic, oversampling)

    def order(self) -> int:
        given = self.parameters.symmetry_order
        if given is not None:
            return given
        spacing = self.particles.inter_box_A
        if not np.isfinite(spacing):
            return 1
        return self.parameters.symmetry.order_from_spacing(spacing)


def initial_state(
    particles: ParticleSet,
    parameters: Parameters,
    backend: Backend,
    seed: int,
    progress: Progress,
) -> State:
    """Survey the images and build the first reference from random azimuths.

    Parameters
    ----------
    particles : ParticleSet
    parameters : Parameters
    backend : Backend
    seed : int
        Draws the half-sets and the azimuths.
    progress : callable
        Told what is being done.

    Returns
    -------
    State
        Iteration 0.
    """
    job = _Job(particles, parameters, backend, progress, Stopwatch())
    rng = np.random.default_rng(seed)
    half = particles.half
    if half is None:
        half = split_by_filament(particles.filament, rng)
    with job.clock("survey"):
        image_power = mean_image_power(particles, rng, progress)
        ctf_power = mean_ctf_power(particles)
    diameter = parameters.outer_diameter_A
    radius = 0.45 * job.box * job.pixel if diameter is None else diameter / 2
    survey = Survey(half, image_power, ctf_power, radius)
    sums = _random_sums(job, survey, rng)
    raw = _raw_volumes(job, sums)
    if diameter is None:
        radius = filament_radius_px(raw.mean(0)) * job.pixel
        survey = replace(survey, outer_radius_A=radius)
    mask = refinement_mask_of(job, survey)
    whole = (joined(*sums).grid.to_volume(solve(_symmetric(job, joined(*sums)))) * mask)
    fsc = half_map_fsc(raw[0], raw[1], fsc_mask_of(job, survey), job.pixel, rng)
    return State(
        iteration=0,
        seed=seed,
        parameters=parameters,
        symmetry=parameters.symmetry,
        symmetry_order=job.order(),
        bootstrapping=parameters.bootstrap_iterations > 0,
        survey=survey,
        half_maps=raw,
        references=np.stack([whole, whole]),
        fsc=fsc,
        resolution_A=parameters.initial_lowpass_A,
        align_resolution_A=parameters.initial_lowpass_A,
        next_align_resolution_A=BOOTSTRAP_RESOLUTION_A[0],
        noise_power=image_power,
        spread=PoseSpread(
            parameters.psi_sd_deg,
            parameters.tilt_sd_deg,
            parameters.shift_sd_A / job.pixel,
        ),
        poses=Poses.empty(len(particles)),
        seconds=job.clock.seconds,
    )


def step(
    state: State,
    particles: ParticleSet,
    parameters: Parameters,
    backend: Backend,
    progress: Progress,
) -> State:
    """Run one iteration.

    Parameters
    ----------
    state : State
        From `initial_state` or an earlier step.
    particles : ParticleSet
    parameters : Parameters
        May differ from those of `state`.
    backend : Backend
    progress : callable

    Returns
    -------
    State
    """
    job = _Job(particles, parameters, backend, progress, Stopwatch())
    iteration = state.iteration + 1
    bootstrapping = iteration <= parameters.bootstrap_iterations
    align_k = _align_band(job, state, bootstrapping)
    sums, poses, noise, cells = _align(job, state, align_k, bootstrapping)
    with job.clock("reconstruct"):
        shared = join_low_resolution(
            sums, job.box * job.pixel / parameters.split_resolution_A
        )
        raw = _raw_volumes(job, sums)
    rng = np.random.default_rng([state.seed, iteration])
    with job.clock("FSC"):
        fsc = half_map_fsc(
            raw[0], raw[1], fsc_mask_of(job, state.survey), job.pixel, rng
        )
        reached = resolution_A(fsc.frequency_per_A, fsc.corrected)
    with job.clock("references"):
        references = _references(job, state.survey, shared, fsc, bootstrapping)
    scores, symmetry = _search_symmetry(job, state, sums, raw, reached)
    stalled = 0 if reached < state.resolution_A * (1 - _GAIN) else state.stalled + 1
    return State(
        iteration=iteration,
        seed=state.seed,
        parameters=parameters,
        symmetry=symmetry,
        symmetry_order=job.order(),
        bootstrapping=bootstrapping,
        survey=state.survey,
        half_maps=raw,
        references=references,
        fsc=fsc,
        resolution_A=reached,
        align_resolution_A=job.box * job.pixel / align_k,
        next_align_resolution_A=_next_resolution(job, align_k, reached),
        noise_power=noise,
        spread=_updated_spread(job, poses, state.spread),
        poses=poses,
        scores=scores,
        stalled=0 if bootstrapping else stalled,
        converged=not bootstrapping and stalled >= _PATIENCE,
        flags=(),
        seconds=job.clock.seconds,
        cells_per_image=cells,
    )


def _align_band(job: _Job, state: State, bootstrapping: bool) -> int:
    """Fourier radius of this iteration's alignment."""
    if bootstrapping:
        coarse, fine = BOOTSTRAP_RESOLUTION_A
        n = max(job.parameters.bootstrap_iterations - 1, 1)
        wanted = coarse * (fine / coarse) ** (state.iteration / n)
    else:
        wanted = state.next_align_resolution_A
    limit = job.parameters.max_align_resolution_A
    return job.band(wanted if limit is None else max(wanted, limit))


def _next_resolution(job: _Job, align_k: int, reached: float) -> float:
    """Widen the band gradually towards the FSC's crossing."""
    widest = job.box * job.pixel / (align_k * RESOLUTION_GROWTH)
    return max(reached, widest)


def _random_sums(
    job: _Job, survey: Survey, rng: np.random.Generator
) -> tuple[Accumulator, Accumulator]:
    """Sums of both halves at random azimuths."""
    k_max = job.band(job.parameters.initial_lowpass_A)
    grid = job.grid(k_max, survey.outer_radius_A, 1)
    m_max = grid.m_max
    level = SearchLevel(
        k_max, 1, 1, 1, 1.0, 1.0, 1.0, 1, 2 * m_max + 2, 0.0, m_max
    )
    run = new_pass(job.particles, survey.image_power, grid, job.backend, job.clock)
    chosen = rng.permutation(len(job.particles))[: job.parameters.initial_images]
    first, second = (
        sum_at_random_azimuths(
            run, np.sort(chosen[survey.half[chosen] == h]), level, rng, job.progress
        )
        for h in (0, 1)
    )
    return first, second


def _align(
    job: _Job, state: State, align_k: int, bootstrapping: bool
) -> tuple[tuple[Accumulator, Accumulator], Poses, NDArray[np.float64], float]:
    """E-step and M-step over both halves."""
    parameters, survey = job.parameters, state.survey
    finest = job.box // 2 - 2
    wide_k = min(int(np.ceil(RECONSTRUCTION_MARGIN * align_k)) + 2, finest)
    grid = job.grid(wide_k, survey.outer_radius_A, 1)
    levels = plan_levels(
        align_k,
        box_px=job.box,
        pixel_size_A=job.pixel,
        radius_px=survey.outer_radius_A / job.pixel,
        rise_px=parameters.rise_A / job.pixel,
        cyclic=grid.cyclic,
        spread=state.spread,
        tilt_limit_deg=parameters.max_tilt_deg,
        fine_m_max=grid.m_max,
    )
    settings = _settings(job, state, bootstrapping)
    weight = survey.ctf_power / state.noise_power
    fine = job.grid(align_k, survey.outer_radius_A, 2)
    run = new_pass(job.particles, state.noise_power, grid, job.backend, job.clock)
    poses = Poses.empty(len(job.particles))
    sums, references, scored = [], [], 0
    fans: list[Fan] = []
    for h in (0, 1):
        if h == 0 or not np.array_equal(state.references[0], state.references[1]):
            with job.clock("fan"):
                harmonics = reference_harmonics(
                    state.references[h], fine, parameters.symmetry, job.pixel
                )
                fans = [
                    build_fan(
                        harmonics,
                        fine,
                        level,
                        weight,
                        settings.likelihood_power,
                        job.backend,
                    )
                    for level in levels
                ]
        members = np.flatnonzero(survey.half == h)
        total, cells = align_half(run, members, fans, settings, poses, job.progress)
        sums.append(total)
        references.append(_on_sum_grid(harmonics, fine, grid))
        scored += cells
    rings = HalfPlane(wide_k).ring_counts
    noise = state.noise_power.copy()
    noise[: wide_k + 1] = residual_power(
        survey.image_power, state.noise_power, sums, references, rings
    )
    return (sums[0], sums[1]), poses, noise, scored / len(job.particles)


def _on_sum_grid(
    harmonics: NDArray[np.complex64], fine: CylinderGrid, grid: CylinderGrid
) -> NDArray[np.complex64]:
    """A reference on the (wider, coarser) grid of the sums."""
    out = np.zeros(grid.shape, np.complex64)
    coarse = harmonics[:: fine.oversampling, :: fine.oversampling]
    n_z, n_r, _ = coarse.shape
    margin = grid.m_max - fine.m_max
    out[:n_z, :n_r, margin : margin + fine.n_m] = coarse
    return out


def _settings(job: _Job, state: State, bootstrapping: bool) -> SearchSettings:
    parameters = job.parameters
    coherence = CoherenceModel(
        twist_deg=parameters.twist_deg,
        rise_px=parameters.rise_A / job.pixel,
        cyclic=parameters.symmetry.cyclic,
        picking_sd_px=parameters.picking_sd_A / job.pixel,
        drift_deg=parameters.drift_deg,
    )
    return SearchSettings(
        spread=state.spread,
        likelihood_power=BOOTSTRAP_POWER if bootstrapping else 1.0,
        pruned_mass=PRUNED_MASS,
        coherence=coherence if parameters.coherence else None,
    )


def _symmetric(job: _Job, sums: Accumulator) -> Accumulator:
    return symmetrised(sums, job.parameters.symmetry, job.order(), job.pixel)


def _raw_volumes(
    job: _Job, sums: tuple[Accumulator, Accumulator]
) -> NDArray[np.float32]:
    """Symmetrised, unregularised half-maps."""
    return np.stack([s.grid.to_volume(solve(_symmetric(job, s))) for s in sums])


def _references(
    job: _Job,
    survey: Survey,
    sums: tuple[Accumulator, Accumulator],
    fsc: HalfMapFSC,
    bootstrapping: bool,
) -> NDArray[np.float32]:
    """Wiener-filtered and masked maps for the next alignment."""
    mask = refinement_mask_of(job, survey)
    if bootstrapping:
        whole = joined(*sums)
        sums = (whole, whole)
    out = []
    for half in sums[: 1 if bootstrapping else 2]:
        symmetric = _symmetric(job, half)
        k_max = half.grid.k_max
        curve = np.clip(fsc.corrected[: k_max + 1], 1e-3, 0.999)
        if bootstrapping:
            curve = 2 * curve / (1 + curve)
        inverse_snr = (1 - curve) / curve
        inverse_signal = inverse_snr / shell_noise(symmetric)
        out.append(half.grid.to_volume(solve(symmetric, inverse_signal)) * mask)
    return np.stack([out[0], out[-1]])


def _search_symmetry(
    job: _Job,
    state: State,
    sums: tuple[Accumulator, Accumulator],
    raw: NDArray[np.float32],
    reached: float,
) -> tuple[SymmetryScores | None, object]:
    parameters = job.parameters
    if not parameters.search_symmetry or reached > parameters.search_start_A:
        return None, parameters.symmetry
    with job.clock("symmetry search"):
        grid = job.grid(job.band(reached), state.survey.outer_radius_A, 2)
        mask = refinement_mask_of(job, state.survey)
        window = axial_window(job.box, 0.8, 0.1 * job.box)
        twist, rise = parameters.twist_deg, parameters.rise_A
        twists = (twist - parameters.twist_extent_deg, twist + parameters.twist_extent_deg)
        margin = rise * parameters.rise_extent_percent / 100
        found = []
        blind = [s.grid.to_volume(solve(s)) for s in sums]
        for volume in (*blind, blind[0] + blind[1]):
            layers = layer_power(volume * mask, grid, window, job.pixel)
            found.append(
                search(layers, twists, (rise - margin, rise + margin), parameters.search_grid)
            )
    best = found[2]
    symmetry = replace(
        parameters.symmetry, twist_deg=best.best_twist_deg, rise_A=best.best_rise_A
    )
    return SymmetryScores(*found), symmetry


def _updated_spread(job: _Job, poses: Poses, old: PoseSpread) -> PoseSpread:
    """Standard deviations of the poses about their priors, never widening."""
    particles = job.particles
    psi = poses.psi_deg - particles.psi_prior_deg - 180.0 * poses.polarity
    psi = (psi + 180) % 360 - 180
    prior = particles.tilt_prior_deg - 90
    tilt = poses.tilt_deg - 90 - np.where(poses.polarity == 1, -prior, prior)

    def spread(values: NDArray[np.float64], limit: float) -> float:
        return float(np.clip(1.2 * np.sqrt(np.mean(values**2)), 0.25 * limit, limit))

    parameters = job.parameters
    return PoseSpread(
        spread(psi, parameters.psi_sd_deg),
        spread(tilt, parameters.tilt_sd_deg),
        spread(poses.shift_px, parameters.shift_sd_A / job.pixel),
    )


def refinement_mask_of(job: _Job, survey: Survey) -> NDArray[np.float32]:
    """Soft cylinder around the filament, open at the ends."""
    return _cylinder(job.particles, job.parameters, survey, 1.0)


def fsc_mask_of(job: _Job, survey: Survey) -> NDArray[np.float32]:
    """Soft cylinder that stays away from the box ends."""
    return _cylinder(job.particles, job.parameters, survey, job.parameters.mask_z_fraction)


def _cylinder(
    particles: ParticleSet, parameters: Parameters, survey: Survey, fraction: float
) -> NDArray[np.float32]:
    pixel = particles.pixel_size_A
    return cylinder(
        particles.box_px,
        outer_radius_px=survey.outer_radius_A / pixel,
        inner_radius_px=parameters.inner_diameter_A / 2 / pixel,
        axial_fraction=fraction,
        edge_px=MASK_EDGE_A / pixel,
        axial_edge_px=0.1 * particles.box_px,
    )
