"""CryoSPARC's tables: both formats, joining, translation, and everything written back.

The two small tables under tests/data were written by cryosparc-tools 5.0.3.
"""

import shutil
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from helixnb.errors import InputError
from helixnb.euler import EulerPoses
from helixnb.io.cryosparc import read_cs_metadata
from helixnb.io.cs_file import read_cs_array, table_of, write_cs
from helixnb.io.filament_pose import PoseFrame
from helixnb.io.filaments import filament_geometry
from helixnb.io.rotation_vectors import (
    euler_from_rotation_vector,
    rotation_vector_from_euler,
)
from helixnb.particles import ParticleSet
from tests.oracles import euler_matrix

DATA = Path(__file__).parent / "data"
FORMATS = ("segments_numpy.cs", "segments_stream.cs")


def rodrigues(vector: np.ndarray) -> np.ndarray:
    """Rotation matrix of a rotation vector by Rodrigues' formula."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def columns(name: str = FORMATS[0]) -> dict[str, Any]:
    """Return the columns of a table, for a test to change."""
    table = read_cs_array(DATA / name)
    return {column: table[column].copy() for column in table.dtype.names or ()}


def written(folder: Path, changed: dict[str, Any], name: str = "particles.cs") -> Path:
    path = folder / name
    write_cs(path, table_of(changed))
    return path


def stacks(folder: Path) -> np.ndarray:
    """Write the stacks that the tables name; return the images in row order."""
    images = np.random.default_rng(1).normal(size=(6, 16, 16)).astype(np.float32)
    for name, part in (("a.mrc", images[:3]), ("µ b.mrc", images[3:])):
        path = folder / "J1" / "extract" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        mrcfile.write(path, part, voxel_size=2.0, overwrite=True)
    return images


# --- angles ----------------------------------------------------------------------


def test_rotation_vectors_are_the_transpose_of_relions_matrix(
    rng: np.random.Generator,
) -> None:
    vectors = rng.normal(size=(200, 3)) * 1.5
    rot, tilt, psi = euler_from_rotation_vector(vectors)
    for i, vector in enumerate(vectors):
        np.testing.assert_allclose(
            euler_matrix(rot[i], tilt[i], psi[i]), rodrigues(vector).T, atol=1e-12
        )


@pytest.mark.parametrize("tilt_deg", [0.0, 1e-6, 90.0, 179.9999, 180.0])
def test_angles_go_both_ways_at_every_tilt(
    tilt_deg: float, rng: np.random.Generator
) -> None:
    rot, psi = rng.uniform(-180, 180, (2, 50))
    vectors = rotation_vector_from_euler(rot, tilt_deg, psi)
    back = euler_from_rotation_vector(vectors)
    for i in range(50):
        np.testing.assert_allclose(
            euler_matrix(*(angle[i] for angle in back)),
            euler_matrix(rot[i], tilt_deg, psi[i]),
            atol=1e-9,
        )


# --- formats ---------------------------------------------------------------------


def test_both_formats_hold_the_same() -> None:
    one, other = (read_cs_array(DATA / name) for name in FORMATS)
    assert one.dtype.names == other.dtype.names
    for name in one.dtype.names or ():
        np.testing.assert_array_equal(one[name], other[name])
    assert one["blob/path"][4].decode() == "J1/extract/µ b.mrc"


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_cut_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    whole = (DATA / name).read_bytes()
    path = tmp_path / "cut.cs"
    # The stream ends in a heap of texts, of which the last may lose its end unnoticed.
    for size in range(0, len(whole) - 40, 13):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=r"cut\.cs could not be read"):
            read_cs_array(path)


def test_promises_beyond_the_file_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "greedy.cs"
    whole = (DATA / "segments_stream.cs").read_bytes()
    path.write_bytes(whole.replace(b'"length": 6', b'"length": 900000000'))
    with pytest.raises(InputError, match="could not be read"):
        read_cs_array(path)
    whole = (DATA / "segments_numpy.cs").read_bytes()
    path.write_bytes(whole.replace(b"'shape': (6,)", b"'shape': (9999999999,)"))
    with pytest.raises(InputError, match="could not be read"):
        read_cs_array(path)


def test_pickled_objects_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "evil.cs"
    with path.open("wb") as file:
        np.save(file, np.array([print, 1], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="could not be read"):
        read_cs_array(path)


# --- translation -----------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_quantity_by_hand(name: str) -> None:
    metadata = read_cs_metadata(DATA / name)
    assert metadata.pixel_size_A == 2.0
    assert metadata.image_size_px == 16
    np.testing.assert_allclose(metadata.defocus_u_A, 10000 + np.arange(6))
    np.testing.assert_allclose(metadata.defocus_angle_deg, 30, atol=1e-5)
    np.testing.assert_allclose(metadata.phase_shift_deg, 90, atol=1e-5)
    np.testing.assert_array_equal(metadata.section, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(metadata.contrast, -1)
    np.testing.assert_allclose(metadata.psi_prior_deg, [-30] * 3 + [50] * 3, atol=1e-5)
    np.testing.assert_array_equal(metadata.flip_ratio, 0.5)
    geometry = filament_geometry(metadata)
    np.testing.assert_array_equal(geometry.filament, [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(geometry.track_A, [0, 30, 60] * 2, atol=1e-5)
    assert "nothing in the file tells" in metadata.notes[0]


def test_images_come_with_white_protein(tmp_path: Path) -> None:
    images = stacks(tmp_path)
    job = tmp_path / "J5"
    job.mkdir()
    shutil.copy(DATA / FORMATS[1], job / "particles.cs")
    segments = ParticleSet.from_file(job / "particles.cs")
    np.testing.assert_array_equal(segments.read([4, 0]), -images[[4, 0]])


def test_columns_of_the_passthrough_are_joined_by_uid(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    whole = columns()
    own = {n: v for n, v in whole.items() if not n.startswith(("filament", "location"))}
    passed = {n: v for n, v in whole.items() if n not in own} | {"uid": whole["uid"]}
    order = rng.permutation(6)
    path = written(tmp_path, own)
    other = written(
        tmp_path, {n: v[order] for n, v in passed.items()}, "J5_passthrough.cs"
    )
    joined = read_cs_metadata(path)
    assert "J5_passthrough.cs" in joined.notes[0]
    direct = read_cs_metadata(DATA / FORMATS[0])
    np.testing.assert_array_equal(joined.psi_prior_deg, direct.psi_prior_deg)
    np.testing.assert_array_equal(
        joined.table["rlnHelicalTubeID"], direct.table["rlnHelicalTubeID"]
    )
    assert read_cs_metadata(path, [other]).psi_prior_deg[0] == direct.psi_prior_deg[0]
    fewer = written(tmp_path, {n: v[:4] for n, v in passed.items()}, "fewer.cs")
    with pytest.raises(
        InputError, match=r"fewer\.cs lacks 2 of the 6 .*row 5, uid 105"
    ):
        read_cs_metadata(path, [fewer])


def test_shifts_are_in_pixels_of_the_alignment(tmp_path: Path) -> None:
    shift = np.arange(12.0).reshape(6, 2)
    table = columns() | {"alignments3D/shift": shift.astype("<f4")}
    # Where the alignment does not tell its pixels, they are those of the images.
    for told, size_A in (({}, 2.0), ({"alignments3D/psize_A": np.full(6, 3.0)}, 3.0)):
        table.pop("alignments3D/psize_A", None)
        found = read_cs_metadata(written(tmp_path, table | told)).table
        for column, name in enumerate(("rlnOriginXAngst", "rlnOriginYAngst")):
            np.testing.assert_allclose(found[name], shift[:, column] * size_A)


# --- what the filament pose is counted from --------------------------------------


def straight(pose_from: str, flip_y: bool) -> dict[str, Any]:
    """Filaments in all directions, written by a program with these conventions."""
    rng = np.random.default_rng(3)
    n, per = 8, 6
    psi_deg = np.repeat(rng.uniform(-180, 180, n), per)
    # +v = (-cos psi, sin psi) in image coordinates, x right and rows down.
    along = np.tile(np.arange(per) * 20.0, n)
    x = 500 - along * np.cos(np.deg2rad(psi_deg))
    y = 400 + along * np.sin(np.deg2rad(psi_deg))
    pose_deg = -psi_deg if pose_from == "x" else 90 - psi_deg
    frac_y = 1 - y / 800 if flip_y else y / 800
    row = read_cs_array(DATA / FORMATS[0])
    base = {m: np.repeat(row[m][:1], n * per, axis=0) for m in row.dtype.names or ()}
    half = np.repeat(rng.integers(0, 2, n), per) * 180
    euler = (rng.uniform(-180, 180, n * per), 90.0, psi_deg + half)
    return base | {
        "uid": np.arange(n * per, dtype="<u8"),
        "blob/idx": np.arange(n * per, dtype="<u4"),
        "filament/filament_uid": np.repeat(np.arange(n), per).astype("<u8"),
        "filament/filament_pose": np.deg2rad(pose_deg).astype("<f4"),
        "filament/position_A": (along * 2).astype("<f4"),
        "location/center_x_frac": (x / 1000).astype("<f4"),
        "location/center_y_frac": frac_y.astype("<f4"),
        "location/micrograph_shape": np.tile(np.array([800, 1000], "<u4"), (48, 1)),
        "location/micrograph_psize_A": np.full(n * per, 2.0, "<f4"),
        "alignments3D/pose": rotation_vector_from_euler(*euler).astype("<f4"),
        "psi": psi_deg,
    }


@pytest.mark.parametrize("pose_from", ["x", "y"])
@pytest.mark.parametrize("flip_y", [False, True])
@pytest.mark.parametrize("without", ["", "alignments3D", "location/c"])
def test_the_frame_is_found_from_the_data(
    tmp_path: Path, pose_from: str, flip_y: bool, without: str
) -> None:
    table = straight(pose_from, flip_y)
    psi_deg = table.pop("psi")
    if without:
        table = {n: v for n, v in table.items() if not n.startswith(without)}
    metadata = read_cs_metadata(written(tmp_path, table))
    error = np.remainder(metadata.psi_prior_deg - psi_deg + 180, 360) - 180
    np.testing.assert_allclose(error, 0, atol=1e-3)
    assert "agrees with" in metadata.notes[0]
    if without != "location/c":
        geometry = filament_geometry(metadata)
        # Boxes lie along +v, so that positions grow with the track, for any reading.
        np.testing.assert_allclose(
            geometry.axial_A, np.tile(np.arange(6) * 40.0, 8), atol=0.2
        )


@pytest.mark.parametrize("flip_y", [False, True])
def test_places_are_pixels_of_the_micrograph(tmp_path: Path, flip_y: bool) -> None:
    table = straight("x", flip_y)
    psi = np.deg2rad(table.pop("psi"))
    found = read_cs_metadata(written(tmp_path, table)).table
    along = np.tile(np.arange(6) * 20.0, 8)
    x, y = 500 - along * np.cos(psi), 400 + along * np.sin(psi)
    np.testing.assert_allclose(found["rlnCoordinateX"], x, atol=1e-3)
    np.testing.assert_allclose(found["rlnCoordinateY"], y, atol=1e-3)


def test_the_frame_can_be_fixed(tmp_path: Path) -> None:
    table = straight("x", False)
    psi_deg = table.pop("psi")
    path = written(tmp_path, table)
    turned = read_cs_metadata(path, frame=PoseFrame("y"))
    error = np.remainder(turned.psi_prior_deg - psi_deg, 360)
    np.testing.assert_allclose(error, 90, atol=1e-3)
    with pytest.raises(InputError, match="pose_from is 'z'"):
        PoseFrame("z")


# --- refusals --------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"ctf/df1_A": np.full(6, np.nan)}, "row 1, column ctf/df1_A: nan"),
    ({"blob/sign": np.array([1, 1, 0, 1, 1, 1.0])}, "row 3, column blob/sign: 0"),
    (
        {"blob/shape": np.array([[16, 16]] * 5 + [[16, 18]])},
        r"row 6, column blob/shape: 18 x 16 pixels",
    ),
    ({"blob/path": np.zeros(6)}, "column blob/path holds float64, not texts"),
    ({"blob/psize_A": np.array([2, 2, 2, 3, 3, 3.0])}, "different pixel sizes"),
    ({"ctf/cs_mm": np.full(6, b"x")}, "column ctf/cs_mm holds .S1, not numbers"),
    ({"blob/idx": np.zeros(6, int)}, "rows 1 and 2 .* both name image"),
    ({"alignments3D/pose": np.zeros((6, 2))}, "instead of 3"),
]


@pytest.mark.parametrize(("edit", "message"), BAD)
def test_bad_values_are_refused_by_row_and_column(
    tmp_path: Path, edit: dict[str, Any], message: str
) -> None:
    path = written(tmp_path, columns() | edit)
    with pytest.raises(InputError, match=f"(?s)particles.cs.*{message}"):
        read_cs_metadata(path)


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    table = columns()
    del table["ctf/df1_A"], table["blob/idx"]
    message = r"missing: blob/idx, ctf/df1_A\..*passthrough"
    with pytest.raises(InputError, match=message):
        read_cs_metadata(written(tmp_path, table))
    table = columns()
    del table["filament/filament_uid"]
    with pytest.raises(InputError, match=r"share a filament.*passthrough"):
        read_cs_metadata(written(tmp_path, table))
    nothing = {name: values[:0] for name, values in columns().items()}
    with pytest.raises(InputError, match="no rows"):
        read_cs_metadata(written(tmp_path, nothing))


# --- writing ---------------------------------------------------------------------


def poses(n: int, rng: np.random.Generator) -> EulerPoses:
    angles = rng.uniform(-180, 180, (2, n))
    shifts = rng.normal(0, 5, (2, n))
    tilt = rng.uniform(70, 110, n)
    return EulerPoses(angles[0], tilt, angles[1], *shifts)


@pytest.mark.parametrize("name", FORMATS)
def test_every_column_comes_back_with_new_poses(
    tmp_path: Path, name: str, rng: np.random.Generator
) -> None:
    stacks(tmp_path)
    shutil.copy(DATA / name, tmp_path / "in.cs")
    refined, half = poses(6, rng), np.arange(6) // 3 % 2
    segments = ParticleSet.from_file(tmp_path / "in.cs")
    segments.subset([5, 0, 3, 1, 2, 4]).subset([1, 3, 4, 2, 5, 0]).write_cs(
        tmp_path / "out.cs", refined, half=half
    )
    before, after = read_cs_array(DATA / name), np.load(tmp_path / "out.cs")
    for column in before.dtype.names or ():
        np.testing.assert_array_equal(after[column], before[column])
    metadata = read_cs_metadata(tmp_path / "out.cs")
    for i in range(6):
        row = metadata.table.iloc[i]
        np.testing.assert_allclose(
            euler_matrix(row["rlnAngleRot"], row["rlnAngleTilt"], row["rlnAnglePsi"]),
            euler_matrix(refined.rot_deg[i], refined.tilt_deg[i], refined.psi_deg[i]),
            atol=1e-6,
        )
    np.testing.assert_allclose(
        metadata.table["rlnOriginXAngst"], refined.origin_x_A, atol=1e-5
    )
    np.testing.assert_array_equal(metadata.table["rlnRandomSubset"] - 1, half)


@pytest.mark.parametrize("name", ["actin", "tmv"])
def test_a_relion_file_goes_to_cryosparc_and_back(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    segments = ParticleSet.from_file(shared_data / name / "truth.star")
    table = segments.table
    refined = EulerPoses(
        *(table[c].to_numpy() for c in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")),
        *(table[c].to_numpy() for c in ("rlnOriginXAngst", "rlnOriginYAngst")),
    )
    segments.write_cs(tmp_path / "out.cs", refined)
    back = ParticleSet.from_file(tmp_path / "out.cs")
    for field in ("defocus_u_A", "defocus_angle_deg", "voltage_kV"):
        np.testing.assert_allclose(
            getattr(back, field), getattr(segments, field), rtol=1e-6
        )
    np.testing.assert_array_equal(back.filament, segments.filament)
    np.testing.assert_array_equal(back.section, segments.section)
    np.testing.assert_allclose(
        np.exp(1j * np.deg2rad(back.psi_prior_deg - segments.psi_prior_deg)),
        1,
        atol=1e-6,
    )
    # CryoSPARC's numbers are float32.
    np.testing.assert_allclose(
        back.table["rlnOriginXAngst"], table["rlnOriginXAngst"], atol=1e-5
    )
    assert len(np.unique(back.native["uid"])) == len(back)
    assert back.inter_box_A == pytest.approx(segments.inter_box_A, rel=1e-5)
