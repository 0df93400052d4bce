"""Segments read, cut into subsets and written back without losing anything.

The sign of the axial position is checked against the true poses of simulated
filaments: it is the one convention that no file states.
"""

import copy
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile

from helixnb.errors import InputError
from helixnb.euler import EulerPoses
from helixnb.particles import ParticleSet

BOX_PX = 16
OPTICS = pd.DataFrame(
    {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [2.0],
    }
)


def particles() -> pd.DataFrame:
    """Two filaments of three boxes; images alternate between two stacks."""
    place_px = np.tile([100.0, 115.0, 130.0], 2)
    return pd.DataFrame(
        {
            "rlnCoordinateX": place_px,
            "rlnCoordinateY": [80.0] * 6,
            "rlnHelicalTubeID": [1, 1, 1, 2, 2, 2],
            "rlnAnglePsiPrior": [0.0] * 6,
            "rlnHelicalTrackLengthAngst": 2 * (place_px - 100),
            "rlnImageName": [
                f"{1 + i // 2:06d}@Extract/{'ab'[i % 2]}.mrcs" for i in range(6)
            ],
            "rlnMicrographName": ["mic.mrc"] * 6,
            "rlnDefocusU": np.linspace(1e4, 2e4, 6),
            "rlnDefocusV": np.linspace(9e3, 2e4, 6),
            "rlnDefocusAngle": [10.0] * 6,
            "rlnOpticsGroup": [1] * 6,
        }
    )


def images(dtype: str = "float32") -> np.ndarray:
    """Six images whose pixels are all different."""
    numbers = np.arange(6 * BOX_PX**2).reshape(6, BOX_PX, BOX_PX)
    return (numbers % 120).astype(dtype) if dtype == "int8" else numbers.astype(dtype)


def write_stack(path: Path, data: np.ndarray, voxel_A: float = 2.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.voxel_size = voxel_A


def write_stacks(folder: Path, data: np.ndarray, voxel_A: float = 2.0) -> None:
    write_stack(folder / "Extract" / "a.mrcs", data[0::2], voxel_A)
    write_stack(folder / "Extract" / "b.mrcs", data[1::2], voxel_A)


def write_star(
    folder: Path, table: pd.DataFrame, optics: pd.DataFrame = OPTICS
) -> Path:
    path = folder / "particles.star"
    starfile.write({"optics": optics, "particles": table}, path)
    return path


@pytest.fixture
def star(tmp_path: Path) -> Path:
    """Write a STAR file with its stacks, as RELION lays them out."""
    write_stacks(tmp_path, images())
    return write_star(tmp_path, particles())


def poses(n: int, rng: np.random.Generator) -> EulerPoses:
    return EulerPoses(*rng.uniform(-180, 180, (5, n)))


@pytest.mark.parametrize(
    ("name", "n", "n_filaments", "box_px", "pixel_size_A", "inter_box_A"),
    [("actin", 1501, 48, 128, 2.0, 57.0), ("tmv", 902, 24, 144, 2.4, 56.4)],
)
def test_simulated_sets(
    shared_data: Path,
    name: str,
    n: int,
    n_filaments: int,
    box_px: int,
    pixel_size_A: float,
    inter_box_A: float,
) -> None:
    segments = ParticleSet.from_star(shared_data / name / "particles.star")
    assert (len(segments), segments.n_filaments) == (n, n_filaments)
    assert (segments.box_px, segments.pixel_size_A) == (box_px, pixel_size_A)
    assert segments.inter_box_A == pytest.approx(inter_box_A)
    assert segments.half is None
    assert segments.notes == ()
    chosen = segments.read([n - 1, 0, 7])
    assert chosen.dtype == np.float32
    with mrcfile.mmap(shared_data / name / "particles.mrcs") as mrc:
        np.testing.assert_array_equal(chosen[0], mrc.data[n - 1].astype(np.float32))


def coherence_error_A(
    segments: ParticleSet, truth: pd.DataFrame, symmetry: dict[str, float], sign: float
) -> np.ndarray:
    """Return how far neighbours are from obeying the helical lattice, in Angstrom.

    A box at t along +v, whose particle sits at s = -origin . v from the box centre,
    and azimuth rot obey s + t = c + k rise, rot + k twist = const on one filament.
    Among the k that explain the change of azimuth within 5 degrees, the one nearest
    in position is taken: 0 for perfect data, random up to half the distance between
    such k for wrong signs.
    """
    psi = np.deg2rad(truth["rlnAnglePsi"].to_numpy())
    shift_A = truth["rlnOriginXAngst"] * np.cos(psi) - truth[
        "rlnOriginYAngst"
    ] * np.sin(psi)
    # Where the prior has the other polarity, +v and with it t turn around.
    same = np.cos(psi - np.deg2rad(segments.psi_prior_deg)) > 0
    position_A = sign * np.where(same, 1, -1) * segments.axial_A + shift_A.to_numpy()
    neighbours = np.diff(segments.filament) == 0
    step_A = np.diff(position_A)[neighbours]
    step_deg = np.diff(truth["rlnAngleRot"].to_numpy())[neighbours]
    k = np.arange(-200, 201)
    turn = np.deg2rad(step_deg[:, None] + k * symmetry["twist"])
    miss_A = np.abs(step_A[:, None] - k * symmetry["rise"])
    miss_A[np.abs(np.angle(np.exp(1j * turn), deg=True)) > 5] = np.inf
    return np.asarray(miss_A.min(axis=1))


@pytest.mark.parametrize("name", ["actin", "tmv"])
def test_axial_sign_obeys_the_true_poses(shared_data: Path, name: str) -> None:
    folder = shared_data / name
    segments = ParticleSet.from_star(folder / "particles.star")
    truth = starfile.read(folder / "truth.star")["particles"]
    symmetry = json.loads((folder / "truth.json").read_text())
    turned = np.deg2rad(truth["rlnAnglePsi"].to_numpy() - segments.psi_prior_deg)
    neighbours = np.diff(segments.filament) == 0
    right = coherence_error_A(segments, truth, symmetry, +1)
    wrong = coherence_error_A(segments, truth, symmetry, -1)
    for polarity in (np.cos(turned) > 0, np.cos(turned) < 0):
        mine = polarity[1:][neighbours]
        assert mine.sum() > 100
        assert np.median(right[mine]) < 0.3
        assert np.median(wrong[mine]) > 2.0
    # Boxes were picked with an error of 3 A: the nominal track cannot do this.
    assert np.sqrt((right**2).mean()) < 0.4


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float32", "float16"])
def test_images_in_any_order_and_of_every_mode(star: Path, dtype: str) -> None:
    write_stacks(star.parent, images(dtype))
    segments = ParticleSet.from_star(star)
    order = np.array([5, 0, 3, 0])
    found = segments.read(order)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, images(dtype)[order].astype(np.float32))
    assert segments.read([]).shape == (0, BOX_PX, BOX_PX)


def test_a_single_image_file_is_a_stack_of_one(tmp_path: Path) -> None:
    for i in range(6):
        write_stack(tmp_path / f"{i}.mrc", images()[i])
    table = particles().assign(rlnImageName=[f"1@{i}.mrc" for i in range(6)])
    segments = ParticleSet.from_star(write_star(tmp_path, table))
    np.testing.assert_array_equal(segments.read([4, 2]), images()[[4, 2]])


def test_more_stacks_than_may_stay_open(tmp_path: Path) -> None:
    n = 300
    for i in range(n):
        image = i + np.arange(16, dtype=np.int16).reshape(1, 4, 4)
        write_stack(tmp_path / f"{i}.mrcs", image)
    table = pd.concat([particles().iloc[:1]] * n, ignore_index=True).assign(
        rlnImageName=[f"1@{i}.mrcs" for i in range(n)], rlnHelicalTubeID=np.arange(n)
    )
    segments = ParticleSet.from_star(write_star(tmp_path, table))
    for _ in range(2):
        found = segments.read(np.arange(n)[::-1])
        np.testing.assert_array_equal(found[:, 0, 0], np.arange(n)[::-1])
    open_files = Path("/proc/self/fd")
    if open_files.is_dir():
        names = [os.readlink(f) for f in open_files.iterdir() if f.is_symlink()]
        assert sum(str(tmp_path) in name for name in names) < n


def test_images_survive_copying_and_pickling(star: Path) -> None:
    segments = ParticleSet.from_star(star)
    segments.read([0])
    for twin in (copy.deepcopy(segments), pickle.loads(pickle.dumps(segments))):
        np.testing.assert_array_equal(twin.read([3]), images()[[3]])


def test_stacks_are_found_from_the_project_folder(
    star: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # In a job folder below the project, as RELION does.
    job = star.parent / "Refine3D" / "job020"
    job.mkdir(parents=True)
    shutil.copy(star, job)
    assert len(ParticleSet.from_star(job / star.name)) == 6
    # Somewhere else, with the project named.
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    moved = Path(shutil.copy(star, elsewhere))
    with pytest.raises(InputError, match="Looked for") as refusal:
        ParticleSet.from_star(moved)
    assert str(elsewhere / "Extract" / "a.mrcs") in str(refusal.value)
    assert "project_dir" in str(refusal.value)
    assert len(ParticleSet.from_star(moved, project_dir=star.parent)) == 6


@pytest.mark.parametrize(
    ("subset", "half", "note"),
    [
        ([1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1], None),
        ([1, 2, 1, 2, 2, 2], None, "splits 1 of 2 filaments"),
        ([1] * 6, None, "one half-set empty"),
        ([0, 0, 0, 1, 1, 1], None, "values 0, 1"),
    ],
)
def test_given_half_sets(
    star: Path, subset: list[int], half: list[int] | None, note: str | None
) -> None:
    write_star(star.parent, particles().assign(rlnRandomSubset=subset))
    segments = ParticleSet.from_star(star)
    if half is None:
        assert segments.half is None
        assert note is not None
        assert note in segments.notes[0]
    else:
        np.testing.assert_array_equal(segments.half, half)
        assert segments.notes == ()


def test_subset_cuts_every_array_and_renumbers_filaments(star: Path) -> None:
    table = particles().assign(rlnRandomSubset=[1, 1, 1, 2, 2, 2])
    segments = ParticleSet.from_star(write_star(star.parent, table))
    part = segments.subset([5, 3, 0])
    assert len(part) == 3
    np.testing.assert_array_equal(part.filament, [0, 0, 1])
    np.testing.assert_array_equal(part.half, [1, 1, 0])
    np.testing.assert_array_equal(part.defocus_u_A, segments.defocus_u_A[[5, 3, 0]])
    np.testing.assert_array_equal(part.read([0, 2]), images()[[5, 0]])
    assert list(part.table["rlnDefocusU"]) == list(part.defocus_u_A)
    # the middle box of the filament is gone
    assert part.inter_box_A == pytest.approx(60.0)
    one = segments.subset(segments.filament == 1)
    assert one.n_filaments == 1
    assert one.half is None
    assert "empty" in one.notes[-1]


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([], "no segment"),
        ([6], "Segment 6 does not exist"),
        ([-1], "Segment -1 does not exist"),
        ([1, 1], "twice"),
        ([0.5], "whole numbers"),
        ([True, False], "one bool for each of the 6"),
    ],
)
def test_senseless_subsets_are_refused(
    star: Path, indices: list[float], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ParticleSet.from_star(star).subset(indices)


def test_what_is_written_is_read_back(star: Path, rng: np.random.Generator) -> None:
    table = particles().assign(otherLabel=["a b", "0012", "c", "d", "e", "f"])
    segments = ParticleSet.from_star(write_star(star.parent, table))
    new = poses(6, rng)
    output = star.parent / "results" / "run 1" / "particles.star"
    segments.write_star(
        output,
        new,
        half=segments.filament,
        extra={"rlnMaxValueProbDistribution": np.full(6, 1.25e-9)},
    )
    back = ParticleSet.from_star(output)
    written = {
        "rlnAngleRot": new.rot_deg,
        "rlnAngleTilt": new.tilt_deg,
        "rlnAnglePsi": new.psi_deg,
        "rlnOriginXAngst": new.origin_x_A,
        "rlnOriginYAngst": new.origin_y_A,
        "rlnRandomSubset": segments.filament + 1,
        "rlnMaxValueProbDistribution": np.full(6, 1.25e-9),
    }
    for column, values in written.items():
        np.testing.assert_allclose(back.table[column], values, rtol=1e-9)
    assert list(back.table.columns[: table.shape[1]]) == list(table.columns)
    for column in table.columns.drop("rlnImageName"):
        assert list(back.table[column]) == list(segments.table[column])
    np.testing.assert_array_equal(back.half, segments.filament)
    np.testing.assert_array_equal(back.axial_A, segments.axial_A)
    np.testing.assert_array_equal(back.read(np.arange(6)), images())
    assert back.table["rlnImageName"].iloc[0] == "000001@../../Extract/a.mrcs"
    # what RELION will not read an optics block without
    assert back.optics["rlnImageSize"].iloc[0] == BOX_PX
    assert back.optics["rlnImageDimensionality"].iloc[0] == 2


@pytest.mark.parametrize("name", ["actin", "tmv"])
def test_simulated_sets_round_trip(
    shared_data: Path, tmp_path: Path, name: str, rng: np.random.Generator
) -> None:
    segments = ParticleSet.from_star(shared_data / name / "truth.star")
    n = len(segments)
    segments.write_star(tmp_path / "out.star", poses(n, rng))
    back = ParticleSet.from_star(tmp_path / "out.star")
    assert list(back.table.columns) == list(segments.table.columns)
    replaced = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnImageName")
    for column in segments.table.columns:
        if column in replaced or column.startswith("rlnOrigin"):
            continue
        assert list(back.table[column]) == list(segments.table[column])
    np.testing.assert_array_equal(back.read([n - 1]), segments.read([n - 1]))


def test_relion_30_lengths_in_pixels_follow_the_new_poses(
    star: Path, rng: np.random.Generator
) -> None:
    old = particles().drop(columns=["rlnOpticsGroup", "rlnHelicalTrackLengthAngst"])
    old = old.assign(
        rlnHelicalTrackLength=np.tile([0.0, 15.0, 30.0], 2),
        rlnOriginX=1.0,
        rlnOriginY=2.0,
        rlnVoltage=200.0,
        rlnSphericalAberration=2.0,
        rlnAmplitudeContrast=0.07,
        rlnMagnification=50000.0,
        rlnDetectorPixelSize=10.0,
    )
    starfile.write({"": old}, star)
    segments = ParticleSet.from_star(star)
    new = poses(6, rng)
    segments.write_star(star.parent / "new.star", new)
    back = ParticleSet.from_star(star.parent / "new.star")
    np.testing.assert_allclose(back.table["rlnOriginX"], new.origin_x_A / 2.0)
    np.testing.assert_allclose(
        back.table["rlnHelicalTrackLengthAngst"], np.tile([0.0, 30.0, 60.0], 2)
    )
    np.testing.assert_array_equal(back.voltage_kV, 200.0)
    np.testing.assert_allclose(back.axial_A, segments.axial_A)


def test_wrong_lengths_write_nothing(star: Path, rng: np.random.Generator) -> None:
    segments = ParticleSet.from_star(star)
    output = star.parent / "out.star"
    with pytest.raises(InputError, match="one value for each of the 6"):
        segments.write_star(output, poses(5, rng))
    with pytest.raises(InputError, match="half must be 0 or 1"):
        segments.write_star(output, poses(6, rng), half=np.full(6, 2))
    assert not output.exists()


def truncate(folder: Path) -> None:
    path = folder / "Extract" / "b.mrcs"
    path.write_bytes(path.read_bytes()[:-10])


BAD_STACKS: list[tuple[Callable[[Path], None], str]] = [
    (lambda p: (p / "Extract/b.mrcs").unlink(), "Extract/b.mrcs was not found"),
    (truncate, "b.mrcs is truncated"),
    (lambda p: (p / "Extract/b.mrcs").write_bytes(b"x" * 90), "b.mrcs could not be"),
    (
        lambda p: write_stack(p / "Extract/a.mrcs", images()[:2]),
        "row 5 .*section 3 of .*a.mrcs, which has only 2 sections",
    ),
    (
        lambda p: write_stack(p / "Extract/a.mrcs", images()[:3, :, :8]),
        "a.mrcs: images are 8 x 16 pixels",
    ),
    (
        lambda p: write_stack(p / "Extract/b.mrcs", images()[:3, :8, :8]),
        "b.mrcs: images are 8 pixels wide, but .*a.mrcs says 16",
    ),
    (lambda p: write_stacks(p, images(), 2.2), "pixel size is 2.2 A, but .* says 2 A"),
    (
        lambda p: write_stack(p / "Extract/a.mrcs", images().astype(np.complex64)),
        "mode 4",
    ),
]


@pytest.mark.parametrize(("damage", "message"), BAD_STACKS)
def test_stacks_that_do_not_fit_are_refused(
    star: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(star.parent)
    with pytest.raises(InputError, match=f"(?s){message}"):
        ParticleSet.from_star(star)


def test_box_size_of_the_optics_block_must_agree(star: Path) -> None:
    write_star(star.parent, particles(), OPTICS.assign(rlnImageSize=64))
    with pytest.raises(InputError, match=r"16 pixels wide, but rlnImageSize .*says 64"):
        ParticleSet.from_star(star)


def test_compressed_stacks_are_refused(star: Path) -> None:
    table = particles()
    table["rlnImageName"] += ".gz"
    for name in ("a", "b"):
        (star.parent / "Extract" / f"{name}.mrcs.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match="is compressed"):
        ParticleSet.from_star(write_star(star.parent, table))


@pytest.mark.parametrize("voxel_A", [0.0, 1.0, 2.05])
def test_headers_without_or_near_the_pixel_size_pass(
    star: Path, voxel_A: float
) -> None:
    write_stacks(star.parent, images(), voxel_A)
    assert ParticleSet.from_star(star).pixel_size_A == 2.0


def test_a_header_without_sampling_passes(star: Path) -> None:
    with mrcfile.open(star.parent / "Extract" / "a.mrcs", mode="r+") as mrc:
        mrc.header.mx = mrc.header.my = mrc.header.mz = 0
    np.testing.assert_array_equal(ParticleSet.from_star(star).read([2]), images()[[2]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:Data array contains", "ignore:invalid value")
def test_images_with_pixels_that_are_no_numbers(star: Path, value: float) -> None:
    data = images()
    data[3, 2, 1] = value  # the second image of b.mrcs
    write_stacks(star.parent, data)
    segments = ParticleSet.from_star(star)
    segments.read([0, 1, 2, 4, 5])
    with pytest.raises(InputError, match=r"b\.mrcs: section 2 has NaN or infinite"):
        segments.read([4, 3])


def test_particles_say_what_they_are(star: Path) -> None:
    found = ParticleSet.from_file(star)
    for fact in ("6 of 2 filaments", "16 x 16 px of 2 A", "30.0 A along"):
        assert fact in repr(found)
        assert fact in found._repr_html_()
    assert str(star) in repr(found)
