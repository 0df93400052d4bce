"""The claimed resolution: what the halves show beyond chance, and no more."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.core.chance import agreement_sigma, layer_line_concentration
from helixnb.core.fsc import FSCMasks, carriers, half_map_fsc
from helixnb.core.masks import cylinder
from helixnb.iteration.claim import LEAST_SIGMA, Claim, claim, independent_share
from helixnb.iteration.flags import fsc_flags
from helixnb.parameters import Parameters
from helixnb.symmetry import HelicalSymmetry

BOX_PX, PIXEL_A, RADIUS_A = 40, 4.0, 44.0
SPLIT = int(BOX_PX * PIXEL_A / 20)


def _job(**parameters: Any) -> Any:
    given = {"twist_deg": 30.0, "rise_A": 14.0} | parameters
    return SimpleNamespace(
        box_px=BOX_PX,
        pixel_size_A=PIXEL_A,
        box_A=BOX_PX * PIXEL_A,
        parameters=Parameters(**given),
    )


SURVEY: Any = SimpleNamespace(outer_radius_A=RADIUS_A)


def _mask() -> NDArray[np.float32]:
    return cylinder(BOX_PX, outer_radius_px=RADIUS_A / PIXEL_A, axial_fraction=0.4)


def _curves(seed: int, shared: float) -> Any:
    """FSC of two noisy maps with some smooth density in common."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((3, BOX_PX, BOX_PX, BOX_PX)).astype(np.float32)
    halves = maps[:2] + shared * maps[2]
    mask = _mask()
    return half_map_fsc(
        *halves, FSCMasks(mask, mask, mask), PIXEL_A, rng, get_backend("cpu")
    )


def test_carriers_equal_the_sums_over_the_full_transform(
    rng: np.random.Generator,
) -> None:
    box = 9
    maps = rng.standard_normal((2, box, box, box))
    first, second = (np.fft.fftn(m) for m in maps)
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.sqrt(sum(q**2 for q in np.meshgrid(k, k, k)))).astype(int)
    expected = []
    for s in range(box // 2 + 1):
        weight = np.abs(first * second)[shell == s]
        expected.append(weight.sum() ** 2 / (weight**2).sum())
    found = carriers(*(np.fft.rfftn(m) for m in maps), box)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_unrelated_halves_agree_by_about_one_standard_deviation() -> None:
    share = np.full(BOX_PX // 2 + 1, (_mask() > 0.5).mean())
    sigma = [
        agreement_sigma(_curves(seed, 0.0), SPLIT + 1, SPLIT + 6, share)
        for seed in range(25)
    ]
    assert abs(np.mean(sigma)) < 0.5
    assert 0.5 < np.std(sigma) < 1.3
    assert max(sigma) < LEAST_SIGMA


@pytest.mark.parametrize("turns", [0, 1])
def test_copies_in_the_box_are_no_evidence(turns: int) -> None:
    """A slab of noise stacked along the box, turned or not, strays no further."""
    rng = np.random.default_rng(3)
    mask = _mask()
    symmetry = {"twist_deg": 90.0 * turns, "rise_A": 10 * PIXEL_A}
    share = independent_share(_job(**symmetry), SURVEY)
    sigma = []
    for seed in range(60):
        slabs = rng.standard_normal((2, 10, BOX_PX, BOX_PX)).astype(np.float32)
        halves = [
            np.concatenate([np.rot90(slab, k * turns, (1, 2)) for k in range(4)])
            for slab in slabs
        ]
        curves = half_map_fsc(
            *halves,
            FSCMasks(mask, mask, mask),
            PIXEL_A,
            np.random.default_rng(seed),
            get_backend("cpu"),
        )
        sigma.append(agreement_sigma(curves, SPLIT + 1, SPLIT + 6, share))
    assert 0.4 < np.std(sigma) < 1.3


def test_layer_lines_of_a_flat_stack_are_planes(rng: np.random.Generator) -> None:
    """Slabs without twist: power on every fourth plane, as their transform has it."""
    box, slab_px = 32, 8
    slab = rng.standard_normal((slab_px, box, box))
    power = np.abs(np.fft.fftn(np.tile(slab, (box // slab_px, 1, 1)))) ** 2
    kept = power > 1e-9 * power.max()
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.sqrt(sum(q**2 for q in np.meshgrid(k, k, k, indexing="ij"))))
    expected = [kept[shell == s].mean() for s in range(4, 13)]
    found = layer_line_concentration(
        box,
        HelicalSymmetry(0.0, slab_px * 1.0, "C1"),
        pixel_size_A=1.0,
        radius_A=16.0,
        length_A=box * 1.0,
    )
    np.testing.assert_allclose(found[4:13], expected, atol=0.08)


def test_noise_claims_the_split_and_says_so() -> None:
    job = _job()
    claims = [claim(job, SURVEY, _curves(seed, 0.0), 18) for seed in range(40)]
    crossed = [c for c in claims if c.crossing_A < 0.95 * c.resolution_A]
    assert crossed, "the test would see a lucky curve"
    assert {c.resolution_A for c in claims} == {BOX_PX * PIXEL_A / SPLIT}
    [flag] = fsc_flags(_curves(0, 0.0), 18, crossed[0])
    assert f"{crossed[0].crossing_A:.1f} A" in flag


def test_alike_halves_are_flagged_whatever_is_claimed() -> None:
    """One risk does not hide the other: both texts, and each alone where it holds."""
    nyquist = BOX_PX // 2
    alike, apart = _curves(0, 2.0), _curves(0, 0.0)
    little = Claim(resolution_A=20.0, crossing_A=9.0, sigma=1.0)
    enough = Claim(resolution_A=9.0, crossing_A=9.0, sigma=9.0)
    unsure, same = fsc_flags(alike, nyquist, little)
    assert "nothing finer is claimed" in unsure
    assert "at Nyquist" in same
    assert fsc_flags(alike, nyquist, enough) == [same]
    assert fsc_flags(apart, nyquist, little) == [unsure]
    assert fsc_flags(apart, nyquist, enough) == []


def test_signal_is_claimed_to_its_crossing() -> None:
    found = claim(_job(), SURVEY, _curves(0, 2.0), 18)
    assert found.sigma > LEAST_SIGMA
    assert found.resolution_A == found.crossing_A == BOX_PX * PIXEL_A / 18


def test_point_group_and_inner_radius_take_from_the_unit() -> None:
    plain = independent_share(_job(), SURVEY)[1:]
    dihedral = independent_share(_job(point_group="D1"), SURVEY)[1:]
    np.testing.assert_allclose(dihedral, plain / 2)
    hollow = independent_share(_job(inner_diameter_A=RADIUS_A), SURVEY)[1:]
    np.testing.assert_allclose(hollow, plain * 0.75)
    # Without symmetry nothing repeats, and the mask's length counts.
    asymmetric = _job(twist_deg=None, rise_A=None, fsc_z_fraction=0.35)
    expected = np.pi * RADIUS_A**2 * 0.35 * (BOX_PX * PIXEL_A) ** -2
    np.testing.assert_allclose(independent_share(asymmetric, SURVEY), expected)
