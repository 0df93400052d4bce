"""The symmetry-blind check: 1 for a true symmetry, less for a false one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.blind_check import BlindCheck, blind_check
from helixnb.core.masks import cylinder
from helixnb.core.postprocess import symmetrise
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
