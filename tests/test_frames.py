"""Images in the filament frame: window, turning, CTF, and all conventions at once."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import mrcfile
import numpy as np
import pytest
import starfile
from numpy.typing import NDArray

from helixnb.backend import get_backend
from helixnb.core import ctf, images
from helixnb.core.cylinder import CylinderGrid
from helixnb.core.halfplane import HalfPlane
from helixnb.particles import ParticleSet
from tests.oracles import (
    blobs,
    contrast,
    image_transform,
    projection,
    rms_error,
    slice_points,
    transform,
)

BACKEND = get_backend("cpu")
PIXEL_A = 2.5
FLAT = np.array([[0, 0, 0, 0, 0, np.pi / 2]])  # a CTF of 1 everywhere


def _optics(**values: float) -> NDArray[np.float64]:
    """Coefficients of one image from microscope settings."""
    settings = {
        "voltage_kV": 300.0,
        "cs_mm": 2.7,
        "amplitude_contrast": 0.1,
        "defocus_u_A": 15000.0,
        "defocus_v_A": 15000.0,
        "defocus_angle_deg": 0.0,
        "phase_shift_deg": 0.0,
    } | values
    arrays = {name: np.array([value]) for name, value in settings.items()}
    return ctf.coefficients(SimpleNamespace(**arrays))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("voltage_kV", "picometre"), [(100, 3.701), (200, 2.508), (300, 1.969)]
)
def test_electron_wavelength(voltage_kV: float, picometre: float) -> None:
    found = ctf.electron_wavelength_A(np.array([voltage_kV]))
    assert found == pytest.approx(picometre / 100, abs=1e-5)


@pytest.mark.parametrize(
    ("u", "v", "angle", "shift"),
    [(12000, 12000, 0, 0), (18000, 14000, 37, 0), (5000, 4000, -60, 90)],
)
def test_ctf_equals_the_textbook(
    u: float, v: float, angle: float, shift: float, rng: np.random.Generator
) -> None:
    kx, ky = rng.uniform(-0.3, 0.3, (2, 500))
    optics = _optics(
        defocus_u_A=u, defocus_v_A=v, defocus_angle_deg=angle, phase_shift_deg=shift
    )
    found = ctf.evaluate(optics[0], kx, ky)
    expected = contrast(
        kx,
        ky,
        defocus_u_A=u,
        defocus_v_A=v,
        angle_deg=angle,
        phase_shift_deg=shift,
    )
    # RELION's rounded constants are followed, worth some 5e-6 of 130 radians.
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_ctf_is_positive_for_white_protein_under_focus() -> None:
    low = ctf.evaluate(_optics()[0], np.array([0.0, 0.005]), np.zeros(2))
    assert low[0] == pytest.approx(0.1)  # the amplitude contrast
    assert low[1] > low[0]


@pytest.mark.parametrize("box", [32, 33])
def test_normalised_images_have_no_mean_and_unit_variance(
    box: int, rng: np.random.Generator
) -> None:
    soft = images.window(box)
    assert soft[box // 2, box // 2] == 1
    assert max(soft[0].max(), soft[:, 0].max()) < 0.1
    stack = (7 + 3 * rng.standard_normal((4, box, box))).astype(np.float32)
    found = images.normalise(stack)
    bare = np.divide(found, soft, out=np.zeros_like(found), where=soft > 1e-3)
    for image in bare.astype(float):
        mean = (soft * image).sum() / soft.sum()
        assert mean == pytest.approx(0, abs=1e-3)
        assert (soft * image**2).sum() / soft.sum() == pytest.approx(1, rel=1e-2)
    # Contrast and brightness of the detector do not matter.
    np.testing.assert_allclose(images.normalise(5 * stack - 40), found, atol=2e-4)


def test_a_blank_image_stays_finite() -> None:
    assert np.isfinite(images.normalise(np.full((1, 24, 24), 3.0, np.float32))).all()


@pytest.mark.parametrize(
    ("box", "k_max", "tolerance"), [(32, 14, 2e-3), (40, 9, 0.08), (33, 12, 0.08)]
)
def test_frames_equal_the_direct_transform_of_the_turned_image(
    box: int, k_max: int, tolerance: float, rng: np.random.Generator
) -> None:
    """conj(X) C / noise at k = u (sin psi, cos psi) + v (-cos psi, sin psi).

    White noise is the hardest image: where its band is cropped for speed, the
    interpolation misses a few per cent of its amplitude, 0.3 per cent of its power.
    """
    stack = images.normalise(rng.standard_normal((2, box, box)).astype(np.float32))
    optics = np.concatenate(
        [
            _optics(defocus_u_A=9000.0, defocus_v_A=8000.0, defocus_angle_deg=25.0),
            _optics(defocus_u_A=16000.0, defocus_v_A=16500.0, defocus_angle_deg=-70.0),
        ]
    )
    plane = HalfPlane(k_max)
    noise = rng.uniform(0.5, 2, k_max + 1)
    whitening = ((plane.multiplicity > 0) / noise[plane.ring]).astype(np.float32)
    which = np.array([1, 0, 0, 1], np.int32)
    psi_deg = np.array([90.0, -12.3, 171.0, 63.7])
    data, power = BACKEND.filament_frames(
        images.padded_transforms(stack, k_max),
        which,
        psi_deg,
        optics,
        whitening,
        k_max,
        1 / (box * PIXEL_A),
    )
    v, u = np.meshgrid(plane.v, plane.u, indexing="ij")
    for f, (image, angle) in enumerate(zip(which, np.deg2rad(psi_deg), strict=True)):
        kx = np.sin(angle) * u - np.cos(angle) * v
        ky = np.cos(angle) * u + np.sin(angle) * v
        scale = 1 / (box * PIXEL_A)
        c = ctf.evaluate(optics[image], kx * scale, ky * scale)
        expected = np.conj(image_transform(stack[image], kx, ky)) * c * whitening
        np.testing.assert_allclose(power[:, f], c**2 * whitening, atol=2e-5)
        assert rms_error(data[:, f], expected) < tolerance


def test_turning_upright_by_90_degrees_is_the_image_itself(
    rng: np.random.Generator,
) -> None:
    box, k_max = 32, 10
    stack = images.normalise(rng.standard_normal((1, box, box)).astype(np.float32))
    plane = HalfPlane(k_max)
    used = (plane.multiplicity > 0).astype(np.float32)
    data, _ = BACKEND.filament_frames(
        images.padded_transforms(stack, k_max),
        np.zeros(1, np.int32),
        np.array([90.0]),
        FLAT,
        used,
        k_max,
        1.0,
    )
    v, u = np.meshgrid(plane.v, plane.u, indexing="ij")
    expected = image_transform(stack[0], u, v) * used
    assert rms_error(np.conj(data[:, 0]), expected) < 1e-3


@pytest.mark.parametrize("psi_deg", [90.0, -35.0, 160.0])
@pytest.mark.parametrize("tilt_deg", [90.0, 80.0, 97.0])
def test_a_projection_is_a_slice_in_the_filament_frame(
    psi_deg: float, tilt_deg: float, rng: np.random.Generator
) -> None:
    """RELION's pose is the slice at phi = rot + 90, d = tilt - 90, moved."""
    box, k_max, rot_deg = 40, 12, 23.0
    points = rng.uniform(-6, 6, (20, 3))
    origin = (1.7, -2.4)
    image = projection(points, box, (rot_deg, tilt_deg, psi_deg), origin)
    plane = HalfPlane(k_max)
    used = (plane.multiplicity > 0).astype(np.float32)
    data, _ = BACKEND.filament_frames(
        images.padded_transforms(image[None].astype(np.float32), k_max),
        np.zeros(1, np.int32),
        np.array([psi_deg]),
        FLAT,
        used,
        k_max,
        1.0,
    )
    v, u = np.meshgrid(plane.v, plane.u, indexing="ij")
    k = slice_points(rot_deg + 90, tilt_deg - 90, v, u)
    psi = np.deg2rad(psi_deg)
    # The particle sits at minus its origins; across is (sin, cos), along (-cos, sin).
    across = -(np.sin(psi) * origin[0] + np.cos(psi) * origin[1])
    along = -(-np.cos(psi) * origin[0] + np.sin(psi) * origin[1])
    phase = np.exp(-2j * np.pi * (u * across + v * along) / box)
    expected = transform(blobs(points, box), k) * phase * used
    assert rms_error(np.conj(data[:, 0]), expected) < 4e-3


class _Actin(NamedTuple):
    """A few real-looking segments in the frames of their true in-plane angles."""

    box: int
    pixel_A: float
    stack: NDArray[np.float32]
    optics: NDArray[np.float64]
    poses: NDArray[np.float64]  # rot, tilt, psi, origin x, origin y (pixels)
    harmonics: NDArray[np.complex64]
    grid: CylinderGrid


@pytest.fixture(scope="module")
def actin(shared_data: Path) -> _Actin:
    folder = shared_data / "actin"
    particles = ParticleSet.from_star(folder / "truth.star")
    table = starfile.read(folder / "truth.star")["particles"]
    chosen = np.arange(0, len(particles), len(particles) // 24)
    rows = table.iloc[chosen]
    angles = rows[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    origins = rows[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()
    with mrcfile.open(folder / "truth_map.mrc") as file:
        volume = file.data.astype(np.float32)
    pixel_A = json.loads((folder / "truth.json").read_text())["apix"]
    grid = CylinderGrid(particles.box_px, 24, 40, 1, 2)
    return _Actin(
        particles.box_px,
        pixel_A,
        images.normalise(particles.read(chosen)),
        ctf.coefficients(particles)[chosen],
        np.column_stack([angles, origins / pixel_A]),
        grid.from_volume(volume),
        grid,
    )


def _agreement(
    data: _Actin, poses: NDArray[np.float64], optics: NDArray[np.float64]
) -> float:
    """Mean correlation of images with C P exp(-2 pi i (u t + v s) / D) at 12 A."""
    k_max = 21
    plane = HalfPlane(k_max)
    # Leave out the lowest rings, where any rod resembles any other.
    used = ((plane.radius > 4) & (plane.radius <= k_max)).astype(np.float32)
    frames, power = BACKEND.filament_frames(
        images.padded_transforms(data.stack, k_max),
        np.arange(len(poses), dtype=np.int32),
        poses[:, 2],
        optics,
        used,
        k_max,
        1 / (data.box * data.pixel_A),
    )
    total = []
    for i, (rot, tilt, psi, x, y) in enumerate(poses):
        fan = BACKEND.gather_fan(data.harmonics, 2, 1, tilt - 90, k_max)
        p = fan @ np.exp(1j * np.deg2rad(rot + 90) * data.grid.orders)
        a = np.deg2rad(psi)
        t, s = np.sin(a) * x + np.cos(a) * y, -np.cos(a) * x + np.sin(a) * y
        phase = np.exp(2j * np.pi * (plane.u * t + plane.v[:, None] * s) / data.box)
        overlap = (plane.multiplicity * frames[:, i] * p * phase).real.sum()
        size = (plane.multiplicity * power[:, i] * np.abs(p) ** 2).sum()
        total.append(overlap / np.sqrt(size))
    return float(np.mean(total))


@pytest.mark.parametrize(
    ("wrong", "change"),
    [
        ("rot sign", lambda p: p * [-1, 1, 1, 1, 1]),
        ("rot + 90", lambda p: p + np.array([90, 0, 0, 0, 0])),
        ("psi sign", lambda p: p * [1, 1, -1, 1, 1]),
        ("psi + 180", lambda p: p + np.array([0, 0, 180, 0, 0])),
        ("origin signs", lambda p: p * [1, 1, 1, -1, -1]),
        ("x and y exchanged", lambda p: p[:, [0, 1, 2, 4, 3]]),
    ],
)
def test_conventions_agree_with_independent_data(actin: _Actin, wrong, change) -> None:  # type: ignore[no-untyped-def]
    truth = _agreement(actin, actin.poses, actin.optics)
    assert truth > 0
    assert truth > 1.7 * _agreement(actin, change(actin.poses), actin.optics), wrong


def test_tilt_and_defocus_signs_agree_with_independent_data(actin: _Actin) -> None:
    truth = _agreement(actin, actin.poses, actin.optics)
    other_tilt = actin.poses.copy()
    other_tilt[:, 1] = 180 - other_tilt[:, 1]
    assert truth > 1.02 * _agreement(actin, other_tilt, actin.optics)
    over_focus = actin.optics * [-1, -1, 1, 1, 1, 1]
    assert _agreement(actin, actin.poses, over_focus) < 0
