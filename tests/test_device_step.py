"""Whole iterations with the code that runs on a GPU, without one.

Arrays refuse to mix with NumPy, kernels run on the host, and CuPy is a stand-in that
knows its signatures, counts memory and sees races between streams (`tests.gpu`).
Results must be those of the CPU backend to rounding.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from helixnb.backend import get_backend
from helixnb.backend.arrays import to_host
from helixnb.core import maximization
from helixnb.core.masks import cylinder
from helixnb.core.nonuniform import cutoffs_A, filter_locally
from helixnb.iteration import refinement, twist_rise
from helixnb.iteration.initial import initial_state
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.progress import Stopwatch
from helixnb.simulate import Filaments, Microscope, simulate_segments
from tests.gpu import strict
from tests.gpu.fake_cupy import Machine, fake_device
from tests.gpu.host_cuda import compile_kernels

TWIST_DEG, RISE_A = -62.0, 21.8

FETCHES, WAITS, LAUNCHES = 44, 76, 3600
"""Most of an iteration of two chunks; lower them where they become fewer."""

PLANS = 4
"""Most new plans in later iterations, where the band and the mask may change."""


def _quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def particles(tmp_path_factory: pytest.TempPathFactory) -> ParticleSet:
    """Twenty-four segments of four filaments."""
    data = simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=24,
        pixel_size_A=8.0,
        filaments=Filaments(n_filaments=4, segments_per_filament=6, inter_box_A=44.0),
        microscope=Microscope(snr=0.5),
        seed=4,
    )
    return ParticleSet.from_file(data.particles_star)


@dataclass
class Standin:
    """A backend of the real class on a machine that is none."""

    backend: Any
    machine: Machine


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standin]:
    """Make a GPU of 1 GiB."""
    machine = Machine()
    library = compile_kernels(tmp_path_factory.mktemp("kernels"))
    with fake_device(machine, library) as module:
        yield Standin(module.CUDA(0), machine)
        assert not machine.races


@pytest.fixture(scope="module")
def start(particles: ParticleSet) -> Callable[..., State]:
    """State of the CPU after the bootstrap, from which one step is compared."""
    done: dict[Parameters, State] = {}

    def state(parameters: Parameters) -> State:
        if parameters not in done:
            cpu = get_backend("cpu")
            first = initial_state(particles, parameters, cpu, 1, _quiet)
            first = refinement.step(first, particles, parameters, cpu, _quiet)
            done[parameters] = first
        return done[parameters]

    return state


def _parameters(**values: object) -> Parameters:
    given = {
        "twist_deg": TWIST_DEG,
        "rise_A": RISE_A,
        "bootstrap_iterations": 1,
        "shift_sd_A": 6.0,
        # Small boxes do not get far, and what comes late is to be part of it.
        "search_start_A": 30.0,
        "mask": "dynamic",
        "mask_start_A": 30.0,
    }
    return Parameters(**(given | {"starts": 1} | values))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"point_group": "D1", "coherence": False, "particle_scale": False},
        {"twist_deg": None, "rise_A": None, "point_group": "C2"},
    ],
    ids=["helix", "dihedral without coherence", "asymmetric C2"],
)
def test_a_step_gives_what_it_gives_on_the_cpu(
    particles: ParticleSet,
    standin: Standin,
    start: Callable[..., State],
    values: dict[str, object],
) -> None:
    parameters = _parameters(**values)
    before = start(parameters)
    cpu = get_backend("cpu")
    expected = refinement.step(before, particles, parameters, cpu, _quiet)
    found = refinement.step(before, particles, parameters, standin.backend, _quiet)
    assert (found.device, expected.device) == ("cuda:0", "cpu")
    # The device's polar transform is good to 1e-4, as FINUFFT is told to be.
    for name in ("half_maps", "references"):
        a, b = getattr(found, name), getattr(expected, name)
        assert type(a) is np.ndarray
        assert a.dtype == np.float32
        assert np.abs(a - b).max() < 2e-3 * np.abs(b).max(), name
    np.testing.assert_allclose(found.noise_power, expected.noise_power, rtol=1e-4)
    assert found.resolution_A == pytest.approx(expected.resolution_A, rel=1e-3)
    assert found.symmetry_order == expected.symmetry_order
    _same_poses(found, expected)
    assert (found.scores is None) == (parameters.symmetry is None)
    if found.scores is not None and expected.scores is not None:
        a, b = (s.scores.joint.best for s in (found, expected))
        assert a.twist_deg == pytest.approx(b.twist_deg, abs=0.05)
        assert a.score == pytest.approx(b.score, abs=1e-3)


def _stepped(
    start: Callable[..., State], particles: ParticleSet, standin: Standin
) -> State:
    parameters = _parameters()
    return refinement.step(
        start(parameters), particles, parameters, standin.backend, _quiet
    )


def _same_poses(found: State, expected: State) -> None:
    """Poses of both agree; near ties between poses may be decided otherwise."""
    for field in dataclasses.fields(found.poses):
        a, b = (getattr(s.poses, field.name) for s in (found, expected))
        assert type(a) is np.ndarray
        assert np.mean(np.isclose(a, b, rtol=1e-3, atol=2e-2)) > 0.97, field.name


@pytest.mark.parametrize("values", [{}, {"cylindrical_model": True}])
def test_the_first_density_is_that_of_the_cpu(
    particles: ParticleSet, standin: Standin, values: dict[str, object]
) -> None:
    """From the images, and a cylinder on their scale; with what was surveyed for it."""
    parameters = _parameters(**values)
    cpu = initial_state(particles, parameters, get_backend("cpu"), 3, _quiet)
    device = initial_state(particles, parameters, standin.backend, 3, _quiet)
    np.testing.assert_allclose(
        device.survey.image_power, cpu.survey.image_power, rtol=1e-5
    )
    scale = np.abs(cpu.half_maps).max()
    assert np.abs(device.half_maps - cpu.half_maps).max() < 1e-3 * scale
    np.testing.assert_allclose(
        device.survey.outer_radius_A, cpu.survey.outer_radius_A, rtol=1e-6
    )


@pytest.mark.parametrize("box", [15, 18])
def test_local_filters_are_those_of_the_cpu(
    standin: Standin, rng: np.random.Generator, box: int
) -> None:
    shared, halves = rng.standard_normal((2, 2, box, box, box)).astype(np.float32)
    # What the halves share fades along x, so filters must differ along it.
    halves += np.linspace(0, 3, box, dtype=np.float32) * shared[0]
    maps = halves.copy()
    support = cylinder(box, outer_radius_px=5, axial_fraction=0.7)
    cutoffs = cutoffs_A(20.0, 9.0)
    expected, chosen = filter_locally(maps, halves, support, cutoffs, 4.0)
    send = standin.backend.xp.asarray
    found, on_device = filter_locally(
        send(maps), send(halves), send(support), cutoffs, 4.0
    )
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(on_device.chosen, chosen.chosen)
    assert len(np.unique(chosen.chosen)) > 2


def test_an_iteration_fetches_what_is_shown_and_no_more(
    particles: ParticleSet, standin: Standin, start: Callable[..., State]
) -> None:
    """Maps, and beside them curves and poses; not once for each image or row."""
    machine = standin.machine
    machine.forget_counts()
    state = _stepped(start, particles, standin)
    assert state.blind_maps is not None
    maps = (state.half_maps, state.references, state.blind_maps)
    searched = twist_rise.prepare_state(state, _parameters(), particles.pixel_size_A)
    tables = [p.layers.power for p in (searched.half_A, searched.half_B)]
    tables += [searched.joint.layers.power, searched.turned.layers.power]
    tables += [searched.turned.spectrum]
    # Eleven numbers of a pose, and a few curves for each shell and row of the search.
    small = 11 * 8 * len(particles) + 30_000
    assert machine.fetched_bytes < sum(m.nbytes for m in (*maps, *tables)) + small
    # Two chunks on four search levels: one more for every image would be 24 or more.
    assert machine.fetches <= FETCHES
    assert sum(machine.launches.values()) <= LAUNCHES
    assert sum(machine.waits.values()) <= WAITS


def test_iterations_use_the_plans_of_those_before(
    particles: ParticleSet, standin: Standin, whole_and_most: tuple[State, int]
) -> None:
    """What varies, as the numbers of cells kept, comes in few lengths."""
    machine, parameters = standin.machine, _parameters()
    state, _ = whole_and_most
    state = refinement.step(state, particles, parameters, standin.backend, _quiet)
    machine.plans.clear()
    for _ in range(2):
        state = refinement.step(state, particles, parameters, standin.backend, _quiet)
    assert len(machine.plans) <= PLANS


def test_the_work_of_the_m_step_is_counted_as_it_is_done(
    particles: ParticleSet,
    standin: Standin,
    start: Callable[..., State],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Operations of its matrix products, from the shapes that are multiplied."""
    inside, done = threading.local(), []
    product, sums = strict.Strict.__matmul__, maximization.fan_sums  # type: ignore[attr-defined]

    def counted(left: Any, right: Any) -> Any:
        out = product(left, right)
        if getattr(inside, "fan_sums", False):
            each = 8 if left.dtype.kind == right.dtype.kind == "c" else 2
            done.append(each * out.size * left.shape[-1])
        return out

    def entered(*arguments: Any) -> Any:
        inside.fan_sums = True
        out = sums(*arguments)
        inside.fan_sums = False
        return out

    monkeypatch.setattr(strict.Strict, "__matmul__", counted)
    monkeypatch.setattr(maximization, "fan_sums", entered)
    clock, parameters = Stopwatch(), _parameters()
    before = start(parameters)
    refinement.step(before, particles, parameters, standin.backend, _quiet, clock=clock)
    assert clock.counts["M-step flops"] == sum(done) > 0


@pytest.fixture(scope="module")
def whole_and_most(
    particles: ParticleSet, standin: Standin, start: Callable[..., State]
) -> tuple[State, int]:
    """One iteration with memory for all, and how much it took."""
    machine = standin.machine
    held = machine.used[0]
    machine.forget_counts()
    machine.refused = 0
    whole = _stepped(start, particles, standin)
    assert machine.refused == 0
    return whole, machine.peak - held


def test_chunks_are_planned_for_the_memory_there_is(
    particles: ParticleSet,
    standin: Standin,
    start: Callable[..., State],
    whole_and_most: tuple[State, int],
) -> None:
    whole, most = whole_and_most
    machine = standin.machine
    machine.refused = 0
    machine.limit = machine.used[0] + int(0.6 * most)
    try:
        parts = _stepped(start, particles, standin)
    finally:
        machine.limit = 0
    assert machine.refused == 0
    _same_sums(parts, whole)


def test_chunks_that_do_not_fit_are_halved_between_filaments(
    particles: ParticleSet,
    standin: Standin,
    start: Callable[..., State],
    whole_and_most: tuple[State, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planned for far more memory than there is when it is used."""
    whole, most = whole_and_most
    machine, backend = standin.machine, standin.backend
    monkeypatch.setattr(backend, "free_bytes", lambda: 10 * machine.total_bytes)
    machine.refused = 0
    machine.limit = machine.used[0] + int(0.6 * most)
    try:
        parts = _stepped(start, particles, standin)
        assert 1 / 8 <= backend._shrunk <= 1 / 2
    finally:
        machine.limit, backend._shrunk = 0, 1.0
    assert machine.refused > 0
    _same_sums(parts, whole)


def _same_sums(found: State, expected: State) -> None:
    """Results do not depend on how images were parted into chunks."""
    np.testing.assert_allclose(
        found.poses.log_evidence, expected.poses.log_evidence, rtol=1e-4, atol=1e-3
    )
    scale = np.abs(expected.half_maps).max()
    assert np.abs(found.half_maps - expected.half_maps).max() < 1e-4 * scale
