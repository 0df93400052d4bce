"""What only a GPU can show: refinements, memory, streams, two devices.

Each test says why it is skipped where there is none. Kernels are compared with those of
the CPU in test_cuda_kernels.py, on a GPU as well.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from helixnb import Session
from helixnb.backend import get_backend
from helixnb.backend.arrays import to_host
from helixnb.backend.cuda.staging import STAGED_BYTES
from helixnb.errors import InputError
from helixnb.iteration import refinement
from helixnb.iteration.initial import initial_state
from helixnb.parameters import Parameters
from helixnb.particles import ParticleSet
from helixnb.simulate import Filaments, Microscope, simulate_segments
from tests.gpu.devices import cuda

pytestmark = pytest.mark.gpu
TWIST_DEG, RISE_A = -62.0, 21.8


@pytest.fixture(scope="module")
def gpu() -> Any:
    return cuda()


@pytest.fixture(scope="module")
def particles(gpu: Any, tmp_path_factory: pytest.TempPathFactory) -> ParticleSet:
    data = simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=64,
        pixel_size_A=3.0,
        filaments=Filaments(n_filaments=20, segments_per_filament=12, inter_box_A=44.0),
        microscope=Microscope(snr=0.3),
        seed=4,
    )
    return ParticleSet.from_file(data.particles_star)


def _quiet(*_: object) -> None:
    pass


def test_one_step_gives_what_it_gives_on_the_cpu(
    gpu: Any, particles: ParticleSet
) -> None:
    """From the survey on, with a mask that follows the density and the search."""
    parameters = Parameters(
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        starts=1,
        mask="dynamic",
        mask_start_A=30.0,
        search_start_A=30.0,
    )
    cpu = get_backend("cpu")
    state = initial_state(particles, parameters, cpu, 1, _quiet)
    begun = initial_state(particles, parameters, gpu, 1, _quiet)
    np.testing.assert_allclose(
        begun.survey.image_power, state.survey.image_power, rtol=1e-4
    )
    for _ in range(3):
        state = refinement.step(state, particles, parameters, cpu, _quiet)
    expected = refinement.step(state, particles, parameters, cpu, _quiet)
    found = refinement.step(state, particles, parameters, gpu, _quiet)
    assert found.device == gpu.name
    scale = np.abs(expected.half_maps).max()
    assert np.abs(found.half_maps - expected.half_maps).max() < 2e-3 * scale
    np.testing.assert_allclose(found.noise_power, expected.noise_power, rtol=1e-3)
    assert found.scores is not None
    assert expected.scores is not None
    best, of_cpu = found.scores.joint.best, expected.scores.joint.best
    assert best.twist_deg == pytest.approx(of_cpu.twist_deg, abs=0.02)
    evidence = found.poses.log_evidence - expected.poses.log_evidence
    assert np.nanmax(np.abs(evidence)) < 0.05


def test_a_whole_refinement_finds_the_symmetry(particles: ParticleSet) -> None:
    values = {"twist_deg": TWIST_DEG + 0.4, "rise_A": RISE_A * 1.01}
    resolutions = []
    for device in ("cpu", "cuda"):
        session = Session.from_file(particles, device=device, seed=2, **values)
        session.run(12, background=False)
        state = session.state
        assert state is not None
        assert state.twist_deg == pytest.approx(TWIST_DEG, abs=0.1)
        resolutions.append(state.resolution_A)
    assert resolutions[1] == pytest.approx(resolutions[0], rel=0.1)


def test_little_memory_gives_small_chunks_and_the_same_result(
    gpu: Any, particles: ParticleSet
) -> None:
    """A limit on the pool, first of a size to halve chunks, is lifted afterwards."""
    import cupy

    parameters = Parameters(twist_deg=TWIST_DEG, rise_A=RISE_A, starts=1)
    state = initial_state(particles, parameters, gpu, 1, _quiet)
    whole = refinement.step(state, particles, parameters, gpu, _quiet)
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    shrunk = gpu._shrunk
    try:
        pool.set_limit(size=pool.used_bytes() + 256 * 2**20)
        parts = refinement.step(state, particles, parameters, gpu, _quiet)
    finally:
        pool.set_limit(size=0)
        gpu._shrunk = shrunk
    scale = np.abs(whole.half_maps).max()
    assert np.abs(parts.half_maps - whole.half_maps).max() < 1e-3 * scale


def test_memory_is_given_back_between_iterations(
    gpu: Any, particles: ParticleSet
) -> None:
    import cupy

    meet = threading.Barrier(2, timeout=60)

    def forget_plans(wait: bool) -> None:
        if wait:
            meet.wait()  # or one thread would take both
        cupy.fft.config.get_plan_cache().clear()

    parameters = Parameters(twist_deg=TWIST_DEG, rise_A=RISE_A, starts=1)
    state = initial_state(particles, parameters, gpu, 1, _quiet)
    used = []
    for _ in range(3):
        # The same one again: matrices of a band and plans are kept on purpose.
        refinement.step(state, particles, parameters, gpu, _quiet)
        with gpu.active():
            list(gpu.map(forget_plans, [True, True]))
            forget_plans(False)
        used.append(cupy.get_default_memory_pool().used_bytes())
    assert used[2] <= used[0] + 2**20


def test_chunks_in_flight_do_not_share_memory(gpu: Any) -> None:
    """Results of one stream are read by another before their memory is used again."""

    def work(i: int) -> Any:
        sent = gpu.upload(np.full((1000, 1000), i, np.float32))
        for _ in range(20):
            sent = sent @ gpu.xp.eye(1000, dtype=np.float32)
        return sent

    with gpu.active():
        total = gpu.xp.zeros((1000, 1000), np.float32)
        for result in gpu.map(work, range(40)):
            total += result
        np.testing.assert_array_equal(to_host(total), sum(range(40)))


def test_images_longer_than_a_buffer_arrive(gpu: Any) -> None:
    """In pieces, side by side in both threads; what was sent is changed at once."""

    def work(seed: int) -> bool:
        values = np.random.default_rng(seed).random((7, 1300, 1300), np.float32)
        sent, kept = gpu.upload(values), values.copy()
        values[:] = -1
        return bool((to_host(sent) == kept).all())

    assert 7 * 1300**2 * 4 > STAGED_BYTES
    with gpu.active():
        assert all(gpu.map(work, range(6)))


def test_maps_that_do_not_fit_are_told(gpu: Any) -> None:
    """A limit on the pool that holds nothing, lifted afterwards."""
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()

    def fill() -> None:
        with gpu.active():
            gpu.xp.zeros(2**28, np.uint8)

    try:
        pool.set_limit(size=pool.used_bytes() + 2**20)
        with pytest.raises(InputError, match="does not hold"):
            fill()
    finally:
        pool.set_limit(size=0)


def test_a_session_runs_in_a_thread_of_its_own(particles: ParticleSet) -> None:
    session = Session.from_file(
        particles, twist_deg=TWIST_DEG, rise_A=RISE_A, device="cuda", starts=1
    )
    session.run(2).wait()
    assert list(session.history["device"]) == ["cuda:0", "cuda:0"]


def test_two_devices_at_once_give_the_same(particles: ParticleSet) -> None:
    import cupy

    n = cupy.cuda.runtime.getDeviceCount()
    if n < 2:
        pytest.skip("one GPU only")
    found: dict[str, np.ndarray] = {}

    def refine(device: str) -> None:
        session = Session.from_file(
            particles, twist_deg=TWIST_DEG, rise_A=RISE_A, device=device, starts=1
        )
        session.run(3, background=False)
        found[device] = session.state.half_maps  # type: ignore[union-attr]

    names = ("cuda:0", "cuda:1")
    threads = [threading.Thread(target=refine, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scale = np.abs(found["cuda:0"]).max()
    assert np.abs(found["cuda:0"] - found["cuda:1"]).max() < 1e-3 * scale
