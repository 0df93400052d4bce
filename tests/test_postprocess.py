"""Final maps against maps whose fall-off, resolution and symmetry are known."""

import numpy as np
import pytest
import scipy.fft as sfft
from numpy.typing import NDArray

from helixnb.core.fsc import shell_correlation
from helixnb.core.masks import cylinder
from helixnb.core.postprocess import (
    final_maps,
    fsc_weight,
    guinier,
    scale_shells,
    symmetrise,
)
from helixnb.symmetry import HelicalSymmetry

BOX = 48
PIXEL_A = 2.0
K_PER_A = np.arange(BOX // 2 + 1) / (BOX * PIXEL_A)


def _blobs(
    points_px: NDArray[np.float64], sigma_px: float = 1.5
) -> NDArray[np.float32]:
    """Sum of Gaussians at (x, y, z) from the box centre."""
    axis = np.arange(BOX) - BOX // 2
    x, y, z = (
        np.exp(-((axis - p[:, None]) ** 2) / (2 * sigma_px**2)) for p in points_px.T
    )
    return np.einsum("nz,ny,nx->zyx", z, y, x).astype(np.float32)


def _helix(
    symmetry: HelicalSymmetry, azimuth_deg: float, z_px: float
) -> NDArray[np.float64]:
    """Positions of one subunit's copies along the whole box and beyond."""
    k = np.arange(-60, 61)
    phi = np.deg2rad(azimuth_deg + k * symmetry.twist_deg)
    z = z_px + k * symmetry.rise_A / PIXEL_A
    points = np.stack([11 * np.cos(phi), 11 * np.sin(phi), z], axis=1)
    return points[np.abs(z) < BOX]


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_weight_is_one_for_perfect_maps_and_zero_beyond_the_crossing() -> None:
    fsc = np.array([1.0, 1.0, 0.5, 0.1, 0.9, 0.0])
    weight = fsc_weight(fsc)
    assert weight[:2] == pytest.approx(1.0)
    assert weight[2] == pytest.approx(np.sqrt(2 / 3))
    assert not weight[3:].any(), "shells after the first crossing carry no signal"


def test_weight_accepts_a_curve_that_never_crosses() -> None:
    assert fsc_weight(np.ones(7)) == pytest.approx(1.0)


def test_scaling_shells_by_one_keeps_a_band_limited_map() -> None:
    volume = _blobs(np.array([[3.0, -4.0, 5.0]]), sigma_px=2.0)
    same = scale_shells(volume, np.ones(BOX // 2 + 1))
    assert np.abs(same - volume).max() < 1e-4 * volume.max()


@pytest.mark.parametrize("b_factor_A2", [60.0, 150.0])
def test_guinier_recovers_the_fall_off(
    rng: np.random.Generator, b_factor_A2: float
) -> None:
    white = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    damped = scale_shells(white, np.exp(-b_factor_A2 * K_PER_A**2 / 4))
    found = guinier(damped, np.ones_like(K_PER_A), PIXEL_A)
    assert found.b_factor_A2 == pytest.approx(b_factor_A2, rel=0.05)


def test_amplitudes_that_rise_are_not_sharpened(rng: np.random.Generator) -> None:
    white = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    rising = scale_shells(white, np.exp(40 * K_PER_A**2 / 4))
    found = guinier(rising, np.ones_like(K_PER_A), PIXEL_A)
    assert found.b_factor_A2 == 0
    fitted = found.ln_fit[np.isfinite(found.ln_fit)]
    assert fitted[-1] > fitted[0]


def test_guinier_does_not_fit_a_band_of_three_shells(rng: np.random.Generator) -> None:
    white = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    fsc = np.where(K_PER_A < 1 / 7.9, 1.0, 0.0)
    found = guinier(white, fsc, PIXEL_A)
    assert np.isnan(found.b_factor_A2)
    assert np.isnan(found.ln_fit).all()


def test_guinier_plot_is_the_logarithm_of_the_shells_and_a_line(
    rng: np.random.Generator,
) -> None:
    volume = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    volume = scale_shells(volume, np.exp(-60 * K_PER_A**2 / 4))
    fsc = np.linspace(1.1, -0.1, BOX // 2 + 1)
    found = guinier(volume, fsc, PIXEL_A)
    spectrum = np.abs(np.fft.fftn(volume.astype(float))) ** 2
    k = np.fft.fftfreq(BOX, 1 / BOX)
    shell = np.rint(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2))
    for r in (3, 11, 20):
        expected = 0.5 * np.log(spectrum[shell == r].mean())
        assert found.ln_amplitude[r] == pytest.approx(expected, abs=1e-4)
        c = min(fsc[r], 1)
        weighted = found.ln_weighted[r] - found.ln_amplitude[r]
        if c > 0.143:
            assert weighted == pytest.approx(0.5 * np.log(2 * c / (1 + c)))
        else:
            assert np.isnan(weighted)
    fitted = np.isfinite(found.ln_fit)
    assert K_PER_A[fitted][0] >= 1 / 10 > K_PER_A[fitted][0] - K_PER_A[1]
    assert not (fitted & (fsc < 0.143)).any()
    slopes = np.diff(found.ln_fit[fitted]) / np.diff(K_PER_A[fitted] ** 2)
    np.testing.assert_allclose(slopes, -found.b_factor_A2 / 4, rtol=1e-6)


def test_given_b_factor_replaces_the_fit(rng: np.random.Generator) -> None:
    volume = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    sharpened = {
        b: final_maps(
            np.stack([volume, volume]),
            np.ones(BOX // 2 + 1),
            np.ones_like(volume),
            HelicalSymmetry(38.0, 5.0),
            pixel_size_A=PIXEL_A,
            outer_radius_A=36,
            b_factor_A2=b,
        ).sharpened
        for b in (0.0, 90.0)
    }
    np.testing.assert_allclose(
        sharpened[0.0], scale_shells(volume, np.ones(BOX // 2 + 1)), atol=1e-4
    )
    amplitude = {b: np.abs(sfft.rfftn(m))[0, 0, 20] for b, m in sharpened.items()}
    assert amplitude[90.0] / amplitude[0.0] == pytest.approx(
        np.exp(90 * K_PER_A[20] ** 2 / 4), rel=1e-3
    )


def test_symmetrising_completes_a_helix_from_its_middle() -> None:
    symmetry = HelicalSymmetry(38.0, 5.0)
    whole = _blobs(_helix(symmetry, 10.0, 1.3))
    damaged = whole.copy()
    damaged[:8] = damaged[-8:] = 0
    grown = symmetrise(damaged, symmetry, pixel_size_A=PIXEL_A, outer_radius_A=36)
    middle = slice(3, -3)
    assert _correlation(grown[middle], whole[middle]) > 0.995


def test_symmetrising_with_another_twist_destroys_the_helix() -> None:
    whole = _blobs(_helix(HelicalSymmetry(38.0, 5.0), 10.0, 1.3))
    wrong = HelicalSymmetry(-38.0, 5.0)
    grown = symmetrise(whole, wrong, pixel_size_A=PIXEL_A, outer_radius_A=36)
    assert _correlation(grown[8:-8], whole[8:-8]) < 0.8


def test_symmetrised_map_obeys_the_operator_exactly() -> None:
    # A quarter turn and two voxels up map the grid onto itself: no interpolation.
    symmetry = HelicalSymmetry(90.0, 2 * PIXEL_A)
    noise = np.random.default_rng(3).standard_normal((BOX,) * 3).astype(np.float32)
    noise = scale_shells(noise, (np.arange(BOX // 2 + 1) < 10).astype(float))
    grown = symmetrise(noise, symmetry, pixel_size_A=PIXEL_A, outer_radius_A=30)
    centred = grown[:, 1:, 1:]  # odd sections turn about their middle voxel
    # rho(phi + 90, z + 2) = rho(phi, z); rot90 from x (last axis) to y.
    turned = np.rot90(centred, axes=(2, 1))
    moved = np.roll(turned, 2, axis=0)
    assert _correlation(moved[6:-6], centred[6:-6]) > 0.999


def test_dihedral_symmetry_has_its_dyad_along_x() -> None:
    symmetry = HelicalSymmetry(38.0, 6.0, "D1")
    points = _helix(symmetry, 25.0, 1.0)
    both = np.concatenate([points, points * [1, -1, -1]])
    whole = _blobs(both)
    half = _blobs(points)
    grown = symmetrise(half, symmetry, pixel_size_A=PIXEL_A, outer_radius_A=36)
    assert _correlation(grown[4:-4], whole[4:-4]) > 0.99


def test_sharpened_map_ends_at_the_resolution_and_undoes_the_fall_off(
    rng: np.random.Generator,
) -> None:
    white = rng.standard_normal((BOX, BOX, BOX)).astype(np.float32)
    damped = scale_shells(white, np.exp(-80.0 * K_PER_A**2 / 4))
    fsc = np.where(np.arange(BOX // 2 + 1) < 20, 1.0, 0.0)
    maps = final_maps(
        np.stack([damped, damped]),
        fsc,
        np.ones_like(damped),
        HelicalSymmetry(38.0, 5.0),
        pixel_size_A=PIXEL_A,
        outer_radius_A=36,
    )
    assert maps.b_factor_A2 == pytest.approx(80, rel=0.1)
    spectra = [sfft.rfftn(m) for m in (white, maps.sharpened)]
    assert np.abs(spectra[1][0, 0, 21:]).max() < 1e-3 * np.abs(spectra[1]).max()
    assert shell_correlation(spectra[0], spectra[1], BOX)[:20] == pytest.approx(1.0)
    ratio = np.abs(spectra[1][0, 0, 10:19]) / np.abs(spectra[0][0, 0, 10:19])
    assert ratio.max() / ratio.min() < 1.1
    assert np.allclose(maps.average, damped, atol=1e-6)
    for volume in (maps.average, maps.sharpened, maps.symmetrised):
        assert volume.dtype == np.float32
    # The symmetrised map is sharpened alike.
    plain, sharp = (
        np.abs(sfft.rfftn(m))[0, 0]
        for m in (maps.symmetrised, maps.symmetrised_sharpened)
    )
    expected = plain[:20] * np.exp(maps.b_factor_A2 * K_PER_A[:20] ** 2 / 4)
    np.testing.assert_allclose(sharp[:20], expected, rtol=1e-3, atol=1e-3 * sharp[0])
    assert sharp[21:].max() < 1e-3 * sharp.max()


def test_the_fall_off_is_that_inside_the_mask(rng: np.random.Generator) -> None:
    white, other = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    damped = scale_shells(white, np.exp(-80.0 * K_PER_A**2 / 4))
    mask = cylinder(BOX, outer_radius_px=14, edge_px=6.0)
    volume = mask * damped + (1 - mask) * other
    maps = final_maps(
        np.stack([volume, volume]),
        np.ones(BOX // 2 + 1),
        mask**2,
        None,
        pixel_size_A=PIXEL_A,
        outer_radius_A=36,
    )
    assert maps.b_factor_A2 == pytest.approx(80, rel=0.15)
    assert maps.symmetrised is maps.symmetrised_sharpened is None
