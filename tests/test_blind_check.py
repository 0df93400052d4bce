"""The symmetry-blind check: 1 for a true symmetry, less for a false one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.blind_check import BlindCheck, blind_check
from helixnb.core.masks import cylinder
from helixnb.core.postprocess import symmetrise
from helixnb.session import Session
from helixnb.simulate import Filaments, Microscope, simulate_segments
from helixnb.symmetry import HelicalSymmetry
from tests.oracles import blobs, helix

BOX, TWIST, RISE = 48, 40.0, 4.0
MASK = cylinder(BOX, outer_radius_px=12.0, axial_fraction=0.7, axial_edge_px=5.0)


@pytest.fixture(scope="module")
def density() -> NDArray[np.float32]:
    unit = np.random.default_rng(3).uniform(-7, 7, (6, 3))
    return blobs(helix(unit, TWIST, RISE, 50.0), BOX)


def _check(
    density: NDArray[np.float32], twist_deg: float, noise: float, seed: int = 0
) -> BlindCheck:
    """Two noisy halves, symmetrised with a twist, against themselves."""
    rng = np.random.default_rng(seed)
    sd = noise * density.std()
    blind = density + sd * rng.standard_normal((2, *density.shape))
    symmetry = HelicalSymmetry(twist_deg, RISE)
    symmetric = np.stack(
        [
            symmetrise(
                half.astype(np.float32), symmetry, pixel_size_A=1.0, outer_radius_A=14.0
            )
            for half in blind
        ]
    )
    return blind_check(blind.astype(np.float32), symmetric, MASK, 2)


def test_true_symmetry_agrees_as_expected(density: NDArray[np.float32]) -> None:
    check = _check(density, TWIST, noise=2.0)
    assert check.overall == pytest.approx(1.0, abs=0.06)
    # Only if noise was independent is the ratio right where the halves differ much.
    assert check.blind[check.to_shell - 1] < 0.6 < check.blind[3]


@pytest.mark.parametrize("wrong_deg", [6.0, 25.0])
def test_false_symmetry_does_not(
    density: NDArray[np.float32], wrong_deg: float
) -> None:
    check = _check(density, TWIST + wrong_deg, noise=1.0)
    assert check.overall < 0.85
    # The halves themselves agree as well as ever: they share the error.
    assert check.symmetric[3:8].mean() > 0.9


def test_halves_that_do_not_agree_cannot_judge(rng: np.random.Generator) -> None:
    noise = rng.standard_normal((4, BOX, BOX, BOX)).astype(np.float32)
    check = blind_check(noise[:2], noise[2:], MASK, 4)
    judged = check.to_shell - check.from_shell
    assert judged < 4
    assert np.isfinite(check.agreement).sum() == judged


def test_a_reconstruction_of_one_copy_is_checked_with_more(tmp_path: Path) -> None:
    """By itself it would agree with the map without symmetry whatever that is."""
    data = simulate_segments(
        tmp_path,
        twist_deg=54.0,
        rise_A=16.5,
        box_px=32,
        pixel_size_A=5.0,
        filaments=Filaments(n_filaments=6, segments_per_filament=8),
        microscope=Microscope(snr=1.0),
        seed=1,
    )
    session = Session.from_file(
        data.particles_star,
        twist_deg=54.0,
        rise_A=16.5,
        symmetry_order=1,
        bootstrap_iterations=2,
        starts=1,
        progress=False,
    )
    session.run(2, background=False)
    check = session.symmetry_check
    assert session.state is not None
    assert session.state.symmetry_order == 1
    # Where halves agree at all, three copies of a true symmetry agree better than one.
    fine = check.sel(spatial_frequency=slice(0.02, 0.07))
    assert float(fine["symmetric"].mean()) > float(fine["blind"].mean()) + 0.01
