"""Simulated segments: conventions against an independent projector, and the physics.

Projections are made here by brute force in real space (rotate the map, sum along the
beam), the CTF is written out a second time, and the same check is run on data from
another simulator, so that agreement means the convention and not a shared mistake.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import gemmi
import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial.transform import Rotation

from helixnb.errors import InputError
from helixnb.simulate import (
    Filaments,
    Microscope,
    SimulatedData,
    simulate_segments,
)
from helixnb.simulate.filaments import draw_filament, euler_matrix
from helixnb.simulate.lattice import Lattice
from helixnb.simulate.microscope import Defocus, contrast_transfer
from helixnb.simulate.models import Subunit
from helixnb.simulate.rendering import project_atoms, spline_to_pixels

SYMMETRIES = [
    (-166.65, 28.11, "C1"),
    (-101.1, 5.13, "C1"),
    (22.03, 1.408, "C1"),
    (54.0, 16.5, "C1"),
    (35.0, 15.0, "C3"),
    (30.0, 20.0, "D1"),
    (40.0, 15.0, "D2"),
]
EULER = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGIN = ["rlnOriginXAngst", "rlnOriginYAngst"]
CENTRE = ["rlnCoordinateX", "rlnCoordinateY"]


class Loaded(NamedTuple):
    """Truth of a data set, as read from its files."""

    poses: pd.DataFrame
    optics: pd.Series
    images: NDArray[np.float32]
    volume: NDArray[np.float32]


def load(folder: Path) -> Loaded:
    blocks = starfile.read(folder / "truth.star", always_dict=True)
    with mrcfile.mmap(folder / "particles.mrcs") as stack:
        images = stack.data.astype(np.float32)
    optics = blocks["optics"].iloc[0]
    volume = mrcfile.read(folder / "truth_map.mrc")
    return Loaded(blocks["particles"], optics, images, volume)


def project(
    volume: NDArray[np.floating], euler_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rotate a map into the image's frame and sum along the beam."""
    # RELION's A turns coordinates, so it is the inverse of an intrinsic rotation.
    to_image = Rotation.from_euler("ZYZ", euler_deg, degrees=True).inv().as_matrix()
    to_map = to_image.T[::-1, ::-1]
    centre = np.full(3, volume.shape[0] // 2)
    turned = ndimage.affine_transform(
        volume, to_map, centre - to_map @ centre, order=1, output=np.float64
    )
    return np.asarray(turned.sum(axis=0))


def relion_ctf(
    row: pd.Series, optics: pd.Series, pixel_size_A: float, n: int
) -> NDArray[np.float64]:
    """CTF as RELION's source has it: -sin(K1 df u^2 + K2 u^4 - K3), df = -defocus."""
    y, x = np.meshgrid(
        fft.fftfreq(n, pixel_size_A), fft.fftfreq(n, pixel_size_A), indexing="ij"
    )
    angle = np.deg2rad(row["rlnDefocusAngle"])
    along = x * np.cos(angle) + y * np.sin(angle)
    across = -x * np.sin(angle) + y * np.cos(angle)
    defocus_u2 = -row["rlnDefocusU"] * along**2 - row["rlnDefocusV"] * across**2
    volts = optics["rlnVoltage"] * 1e3
    wavelength = 12.2643247 / np.sqrt(volts * (1 + volts * 0.978466e-6))
    cs_A, w = optics["rlnSphericalAberration"] * 1e7, optics["rlnAmplitudeContrast"]
    k2 = np.pi / 2 * cs_A * wavelength**3
    k3 = np.arctan(w / np.sqrt(1 - w**2))
    u4 = (x**2 + y**2) ** 2
    return np.asarray(-np.sin(np.pi * wavelength * defocus_u2 + k2 * u4 - k3))


def agreement(
    data: Loaded,
    *,
    volume: NDArray[np.floating] | None = None,
    rows: range,
    resolution_A: float,
    euler_sign: tuple[int, int, int] = (1, 1, 1),
    euler_shift: tuple[float, float, float] = (0, 0, 0),
    origin_sign: int = 1,
) -> float:
    """Mean correlation of images with projections at the poses (varied on request)."""
    volume = data.volume if volume is None else volume
    pixel_size_A, n = data.optics["rlnImagePixelSize"], data.images.shape[-1]
    y, x = np.meshgrid(fft.fftfreq(n), fft.fftfreq(n), indexing="ij")
    low = np.hypot(y, x) < pixel_size_A / resolution_A
    inside = np.hypot(*(np.mgrid[:n, :n] - n // 2)) < 0.35 * n
    values = []
    for index in rows:
        row = data.poses.iloc[index]
        # Turns are about the untilted filament: tilt varies as tilt - 90.
        rot, tilt, psi = row[EULER] - np.array([0, 90, 0])
        euler = np.array([rot, tilt, psi]) * euler_sign + euler_shift + [0, 90, 0]
        shift = -origin_sign * row[ORIGIN].to_numpy(dtype=float) / pixel_size_A
        filter_ = relion_ctf(row, data.optics, pixel_size_A, n) * low
        filter_ = filter_ * np.exp(-2j * np.pi * (x * shift[0] + y * shift[1]))
        spectra = [
            fft.fft2(project(volume, euler)) * filter_,
            fft.fft2(data.images[index]) * low,
        ]
        seen = [fft.ifft2(s).real[inside] for s in spectra]
        values.append(np.corrcoef(*seen)[0, 1])
    return float(np.mean(values))


@pytest.fixture(scope="module")
def noise_free(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Bent, tilted filaments of chiral and polar subunits, without noise."""
    folder = tmp_path_factory.mktemp("noise_free")
    simulate_segments(
        folder,
        twist_deg=54.0,
        rise_A=16.5,
        filaments=Filaments(
            n_filaments=4, segments_per_filament=3, tilt_sd_deg=8.0, pick_sd_A=6.0
        ),
        microscope=Microscope(snr=None, astigmatism_A=4000),
    )
    return load(folder)


def test_images_are_projections_at_the_true_poses(noise_free: Loaded) -> None:
    found = agreement(noise_free, rows=range(12), resolution_A=9)
    assert found > 0.97


@pytest.mark.parametrize(
    "wrong",
    [
        {"euler_sign": (-1, 1, 1)},
        {"euler_sign": (1, -1, 1)},
        {"euler_sign": (1, 1, -1)},
        {"euler_shift": (0, 0, 180)},
        {"euler_shift": (10, 0, 0)},
        {"origin_sign": -1},
    ],
    ids=["rot", "tilt", "psi", "polarity", "azimuth", "origin"],
)
def test_every_wrong_sign_is_worse(noise_free: Loaded, wrong: dict[str, Any]) -> None:
    rows = range(12)
    right = agreement(noise_free, rows=rows, resolution_A=9)
    assert agreement(noise_free, rows=rows, resolution_A=9, **wrong) < right - 0.1


def test_map_and_images_have_one_scale(noise_free: Loaded) -> None:
    """Projections times the CTF are the signal in value too, not only in shape."""
    row, n = noise_free.poses.iloc[0], 64
    y, x = np.meshgrid(fft.fftfreq(n), fft.fftfreq(n), indexing="ij")
    shift = -row[ORIGIN].to_numpy(dtype=float) / 3.0
    filter_ = relion_ctf(row, noise_free.optics, 3.0, n)
    filter_ = filter_ * np.exp(-2j * np.pi * (x * shift[0] + y * shift[1]))
    projection = project(noise_free.volume, row[EULER].to_numpy(dtype=float))
    low = np.hypot(y, x) < 3.0 / 15
    expected = fft.ifft2(fft.fft2(projection) * filter_ * low).real[16:48, 16:48]
    found = fft.ifft2(fft.fft2(noise_free.images[0]) * low).real[16:48, 16:48]
    slope = np.polyfit(expected.ravel(), found.ravel(), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.08)


def test_mirrored_map_is_worse(noise_free: Loaded) -> None:
    mirrored = np.roll(noise_free.volume[:, :, ::-1], 1, axis=2)
    right = agreement(noise_free, rows=range(6), resolution_A=9)
    found = agreement(noise_free, rows=range(6), resolution_A=9, volume=mirrored)
    assert found < right - 0.1


@pytest.mark.parametrize(("twist_deg", "rise_A", "point_group"), SYMMETRIES[1:6:2])
def test_poses_hold_for_other_symmetries(
    tmp_path: Path, twist_deg: float, rise_A: float, point_group: str
) -> None:
    simulate_segments(
        tmp_path,
        twist_deg=twist_deg,
        rise_A=rise_A,
        point_group=point_group,
        filaments=Filaments(n_filaments=2, segments_per_filament=2),
        microscope=Microscope(snr=None),
    )
    assert agreement(load(tmp_path), rows=range(4), resolution_A=9) > 0.95


def test_another_simulator_agrees_on_the_convention(shared_data: Path) -> None:
    data = load(shared_data / "actin")
    options: dict[str, Any] = {"rows": range(0, 1501, 300), "resolution_A": 20.0}
    right = agreement(data, **options)
    assert right > 0.5
    assert right > 2 * agreement(data, origin_sign=-1, **options)
    assert right > 2 * agreement(data, euler_shift=(0, 0, 180), **options)
    assert right > 2 * agreement(data, euler_sign=(-1, 1, 1), **options)


@pytest.mark.parametrize(("twist_deg", "rise_A", "point_group"), SYMMETRIES)
def test_truth_map_has_its_symmetry_and_fits(
    tmp_path: Path, twist_deg: float, rise_A: float, point_group: str
) -> None:
    data = simulate_segments(
        tmp_path,
        twist_deg=twist_deg,
        rise_A=rise_A,
        point_group=point_group,
        filaments=Filaments(n_filaments=1, segments_per_filament=1),
        microscope=Microscope(b_factor_A2=500),
    )
    volume = mrcfile.read(data.truth_map).astype(np.float64)
    operators = [(Rotation.from_euler("z", twist_deg, degrees=True), rise_A)]
    fold = int(point_group[1:])
    operators.append((Rotation.from_euler("z", 360 / fold, degrees=True), 0.0))
    if point_group.startswith("D"):
        operators.append((Rotation.from_euler("x", 180, degrees=True), 0.0))
    for rotation, rise in operators:
        moved = _moved(volume, rotation, rise / data.pixel_size_A)
        assert _middle_correlation(volume, moved) > 0.99
    assert (
        _middle_correlation(volume, _moved(volume, operators[0][0].inv(), rise_A / 3))
        < 0.9
    )
    assert _radius_of_power(volume) < 0.33 * 64


def _moved(
    volume: NDArray[np.float64], rotation: Rotation, up_px: float
) -> NDArray[np.float64]:
    """Turn a map and move it along +z."""
    backwards = rotation.inv().as_matrix()[::-1, ::-1]
    centre = np.full(3, volume.shape[0] // 2)
    lifted = centre + np.array([up_px, 0, 0])
    return ndimage.affine_transform(
        volume, backwards, centre - backwards @ lifted, order=3
    )


def _middle_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    third = slice(len(a) // 3, -(len(a) // 3))
    return float(np.corrcoef(a[third].ravel(), b[third].ravel())[0, 1])


def _radius_of_power(volume: NDArray[np.float64]) -> float:
    """Radius in pixels that holds 99 % of the map's power."""
    n = volume.shape[0]
    y, x = np.mgrid[:n, :n] - n // 2
    order = np.argsort(np.hypot(y, x).ravel())
    power = np.cumsum((volume**2).sum(axis=0).ravel()[order])
    last = np.searchsorted(power, 0.99 * power[-1])
    return float(np.hypot(y, x).ravel()[order][last])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> SimulatedData:
    """Enough filaments for statistics, small boxes."""
    return simulate_segments(
        tmp_path_factory.mktemp("many"),
        twist_deg=-101.1,
        rise_A=5.13,
        box_px=32,
        pixel_size_A=6.0,
        filaments=Filaments(n_filaments=80, segments_per_filament=6),
    )


def test_psi_priors_follow_the_track_with_unknown_polarity(many: SimulatedData) -> None:
    table = starfile.read(many.truth_star)["particles"]
    by_tube = table.groupby(["rlnMicrographName", "rlnHelicalTubeID"], sort=False)
    assert by_tube.ngroups == 80
    flipped, along = [], []
    for _, tube in by_tube:
        error = np.deg2rad(tube["rlnAnglePsiPrior"] - tube["rlnAnglePsi"])
        is_flipped = np.cos(error) < 0
        assert is_flipped.all() or not is_flipped.any()
        assert np.abs(np.rad2deg(np.arcsin(np.sin(error)))).max() < 6 * 1.5
        flipped.append(is_flipped.iloc[0])

        assert (np.diff(tube["rlnHelicalTrackLengthAngst"]) > 0).all()
        dx, dy = tube[CENTRE].iloc[-1] - tube[CENTRE].iloc[0]
        track = np.deg2rad(tube["rlnAnglePsiPrior"].iloc[2]) + np.arctan2(dy, dx)
        assert abs(np.sin(track)) < np.sin(np.deg2rad(12))
        along.append(np.cos(track) > 0)
    # 80 tosses: three standard deviations are 13.4.
    assert abs(sum(flipped) - 40) <= 13
    assert abs(sum(along) - 40) <= 13


def test_picking_errors_and_track_length_are_as_asked(many: SimulatedData) -> None:
    table = starfile.read(many.truth_star)["particles"]
    psi = np.deg2rad(table["rlnAnglePsi"])
    across_A = table[ORIGIN[0]] * np.sin(psi) + table[ORIGIN[1]] * np.cos(psi)
    # Picking adds rounding to 6 A pixels: sd 6 / sqrt 12 = 1.7 A.
    assert np.std(across_A) == pytest.approx(np.hypot(3.0, 1.73), rel=0.15)
    one = table.iloc[:6]
    walked_A = np.hypot(*one[CENTRE].diff().iloc[1:].sum()) * 6.0
    assert walked_A == pytest.approx(one["rlnHelicalTrackLengthAngst"].iloc[-1], abs=20)
    # A sixth of 192 A in whole rises.
    assert one["rlnHelicalTrackLengthAngst"].iloc[1] == pytest.approx(6 * 5.13)


def test_user_file_holds_no_answers(many: SimulatedData) -> None:
    blocks = starfile.read(many.particles_star)
    particles, optics = blocks["particles"], blocks["optics"]
    assert not set(EULER + ORIGIN) & set(particles.columns)
    assert (particles["rlnAngleTiltPrior"] == 90).all()
    assert (particles["rlnAnglePsiFlipRatio"] == 0.5).all()
    assert optics["rlnImagePixelSize"].tolist() == [6.0]
    assert optics["rlnImageSize"].tolist() == [32]
    with mrcfile.open(many.particles_star.with_suffix(".mrcs")) as stack:
        assert stack.is_image_stack()
        assert stack.data.shape == (480, 32, 32)
        assert float(stack.voxel_size.x) == pytest.approx(6.0)
    assert "480 segments of 80 filaments" in repr(many)


def test_overlapping_boxes_share_noise(tmp_path: Path) -> None:
    """Boxes of one filament hold the same pixels, moved by whole pixels."""
    simulate_segments(
        tmp_path,
        twist_deg=54.0,
        rise_A=16.5,
        filaments=Filaments(n_filaments=1, segments_per_filament=2),
        microscope=Microscope(snr=1e-6),
    )
    first, second = mrcfile.read(tmp_path / "particles.mrcs")
    table = starfile.read(tmp_path / "truth.star")["particles"]
    dx, dy = table[CENTRE].diff().iloc[1].astype(int)
    moved = np.roll(second, (dy, dx), axis=(0, 1))
    inner = (slice(20, 44), slice(20, 44))
    np.testing.assert_array_equal(first[inner], moved[inner])


def test_noise_has_the_power_asked_for_and_is_coloured(tmp_path: Path) -> None:
    filaments = Filaments(n_filaments=8, segments_per_filament=8)
    stacks = []
    for snr in (None, 0.05):
        simulate_segments(
            tmp_path,
            twist_deg=54.0,
            rise_A=16.5,
            filaments=filaments,
            microscope=Microscope(snr=snr),
        )
        stacks.append(mrcfile.read(tmp_path / "particles.mrcs").astype(np.float64))
    signal, noisy = stacks
    noise = noisy - signal * np.sqrt(0.05)
    assert noise.var() == pytest.approx(1.0, rel=0.05)
    assert signal.var(axis=(1, 2)).mean() == pytest.approx(1.0, rel=1e-3)
    power = (np.abs(fft.fft2(noise)) ** 2).mean(axis=0)
    k = np.hypot(*np.meshgrid(fft.fftfreq(64), fft.fftfreq(64)))
    assert power[(k > 0) & (k < 0.05)].mean() > 1.8 * power[k > 0.4].mean()


def test_same_seed_same_data(tmp_path: Path) -> None:
    def run(name: str, seed: int) -> tuple[NDArray[np.float32], pd.DataFrame]:
        simulate_segments(
            tmp_path / name,
            twist_deg=54.0,
            rise_A=16.5,
            box_px=32,
            pixel_size_A=6.0,
            filaments=Filaments(n_filaments=3, segments_per_filament=2),
            seed=seed,
        )
        loaded = load(tmp_path / name)
        return loaded.images, loaded.poses

    images, poses = run("a", 5)
    again, poses_again = run("b", 5)
    other, _ = run("c", 6)
    np.testing.assert_array_equal(images, again)
    pd.testing.assert_frame_equal(poses, poses_again)
    assert np.abs(images - other).max() > 1


def test_twist_disorder_adds_up_along_the_filament(tmp_path: Path) -> None:
    """Rot departs from the ideal helix as a random walk does."""
    simulate_segments(
        tmp_path,
        twist_deg=54.0,
        rise_A=16.5,
        box_px=32,
        pixel_size_A=6.0,
        filaments=Filaments(
            n_filaments=60,
            segments_per_filament=20,
            inter_box_A=33.0,
            twist_disorder_deg=2.0,
            bend_deg=0,
            tilt_wander_deg=0,
            pick_sd_A=0,
        ),
    )
    table = starfile.read(tmp_path / "truth.star")["particles"]
    rot = table["rlnAngleRot"].to_numpy().reshape(60, 20)
    for gap in (1, 9):
        turn = rot[:, gap::gap] - rot[:, :-gap:gap][:, : rot[:, gap::gap].shape[1]]
        # Tracks run either way, and rounding can take the next level but one.
        steps = np.arange(2 * gap - 1, 2 * gap + 2)
        ideal = np.concatenate([54.0 * steps, -54.0 * steps])
        departure = np.mod(turn[..., None] - ideal + 180, 360) - 180
        nearest = np.abs(departure).min(axis=-1)
        rms = np.sqrt(np.mean(nearest**2))
        assert rms == pytest.approx(2.0 * np.sqrt(2 * gap), rel=0.3)


def test_projected_atoms_are_exact_to_nyquist(rng: np.random.Generator) -> None:
    """Against the Fourier sum over the atoms: 1e-3 at half Nyquist, 2 % near it."""
    atoms = Subunit(rng.uniform(-20, 20, (30, 3)), rng.uniform(1, 8, 30))
    turn = Rotation.random(random_state=3).as_matrix()
    n, pixel_size_A, centre_px = 32, 2.0, np.array([15.3, 16.8])
    fine = np.zeros((2 * n, 2 * n), dtype=np.float32)
    project_atoms(fine, atoms, turn[None], centre_px[None], pixel_size_A)
    found = spline_to_pixels(fine)

    at_px = (atoms.coordinates_A @ turn.T)[:, :2] / pixel_size_A + centre_px
    ky, kx = np.meshgrid(fft.fftfreq(n), fft.rfftfreq(n), indexing="ij")
    phase = kx[..., None] * at_px[:, 0] + ky[..., None] * at_px[:, 1]
    exact = np.exp(-2j * np.pi * phase) @ atoms.weights
    error = np.abs(found - exact) / np.linalg.norm(atoms.weights)
    k = np.maximum(np.abs(kx), np.abs(ky))
    assert error[k <= 0.25].max() < 4e-3
    assert np.sqrt(np.mean(error[k < 0.5] ** 2)) < 0.02


def test_ctf_is_relions() -> None:
    microscope = Microscope(voltage_kV=200, cs_mm=2.0, amplitude_contrast=0.07)
    defocus = Defocus(15000.0, 12000.0, 25.0)
    found = contrast_transfer((64, 64), 1.2, defocus, microscope)
    columns = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]
    optics = pd.Series(
        {
            "rlnVoltage": 200.0,
            "rlnSphericalAberration": 2.0,
            "rlnAmplitudeContrast": 0.07,
        }
    )
    expected = relion_ctf(pd.Series(defocus, index=columns), optics, 1.2, 64)
    # The Nyquist column has no sign of its own.
    np.testing.assert_allclose(found[:, :32], expected[:, :32], atol=2e-3)
    assert found[0, 0] == pytest.approx(0.07)


def test_bending_does_not_spin_the_helix(rng: np.random.Generator) -> None:
    """Without its twist, a level's frame turns about the axis no more than a ribbon."""
    lattice = Lattice(54.0, 16.5)
    bent = Filaments(bend_deg=60, tilt_sd_deg=30, tilt_wander_deg=30)
    filament = draw_filament(1000.0, 20.0, lattice, bent, rng)
    levels = Rotation.from_matrix(euler_matrix(filament.level_euler_deg))
    number = np.arange(len(filament.level_arc_A))
    untwisted = levels * Rotation.from_euler("z", -54.0 * number[:, None], degrees=True)
    turns_deg = np.rad2deg((untwisted[1:] * untwisted[:-1].inv()).as_rotvec())
    axis = np.diff(filament.level_centre_A, axis=0)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    assert np.linalg.norm(turns_deg, axis=1).sum() > 20
    assert np.abs((turns_deg * axis).sum(axis=1)).max() < 0.02
    helix_z = levels.as_matrix()[:, :, 2]
    halfway = (helix_z[1:] + helix_z[:-1]) / 2
    np.testing.assert_allclose(axis, halfway, atol=0.01)


def test_model_files_give_their_atoms(tmp_path: Path) -> None:
    """A PDB file, its mmCIF twin and the bare coordinates draw the same helix."""
    positions = np.array([[30.0, 0, 0], [30, 8, 3], [22, 2, -6]])
    structure = gemmi.Structure()
    structure.add_model(gemmi.Model(1))
    chain = structure[0].add_chain(gemmi.Chain("A"))
    for name, element, points in (
        ("GLY", "C", positions),
        ("GLY", "H", positions + 20),
        ("HOH", "O", positions - 10),
    ):
        residue = gemmi.Residue()
        residue.name, residue.seqid = name, gemmi.SeqId(len(chain) + 1, " ")
        for point in points:
            atom = gemmi.Atom()
            atom.name, atom.element = element, gemmi.Element(element)
            atom.pos = gemmi.Position(*point)
            residue.add_atom(atom)
        chain.add_residue(residue)
    structure.setup_entities()
    structure.write_pdb(str(tmp_path / "model.pdb"))
    structure.make_mmcif_document().write_file(str(tmp_path / "model.cif"))

    maps = []
    for model in (tmp_path / "model.pdb", str(tmp_path / "model.cif"), positions):
        data = simulate_segments(
            tmp_path,
            twist_deg=54.0,
            rise_A=16.5,
            model=model,
            filaments=Filaments(n_filaments=1, segments_per_filament=1),
            microscope=Microscope(b_factor_A2=200),
        )
        maps.append(mrcfile.read(data.truth_map))
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-5 * maps[0].max())
    np.testing.assert_allclose(maps[0], maps[2], atol=1e-5 * maps[0].max())
    # The first atom lies 30 A along +x from the axis: 10 pixels.
    blob = maps[0][32, 28:37]
    assert np.unravel_index(blob.argmax(), blob.shape)[1] == pytest.approx(42, abs=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rise_A": 0.0}, "rise_A must be greater than 0"),
        ({"rise_A": -5.0}, "negate the twist"),
        ({"twist_deg": 193.35}, "twist_deg"),
        ({"point_group": "T"}, "point_group"),
        ({"box_px": 63}, "even number"),
        ({"pixel_size_A": 0.0}, "pixel_size_A"),
        ({"box_px": 16}, "wide"),
        ({"model": "absent.pdb"}, "does not exist"),
        ({"model": np.zeros((4, 2))}, "shape"),
        ({"rise_A": 0.01}, "No toy subunit fits"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    good = {"twist_deg": 54.0, "rise_A": 16.5}
    with pytest.raises(InputError, match=message):
        simulate_segments(tmp_path / "out", **{**good, **wrong})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("group", "wrong"),
    [
        (Filaments, {"n_filaments": 0}),
        (Filaments, {"inter_box_A": 0.0}),
        (Filaments, {"pick_sd_A": -1.0}),
        (Microscope, {"snr": 0.0}),
        (Microscope, {"defocus_A": (2e4, 1e4)}),
        (Microscope, {"amplitude_contrast": 10}),
        (Microscope, {"b_factor_A2": float("nan")}),
    ],
)
def test_bad_groups_are_refused(group: type, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        dataclasses.replace(group(), **wrong)
