"""Maps survive a round trip, open in place, and damaged files are refused."""

import gzip
import re
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from helixnb.errors import InputError
from helixnb.io.mrc import read_header, read_map, write_map


@pytest.fixture
def volume(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(6, 8, 10)).astype(np.float32)


def test_map_round_trip_keeps_every_bit_and_the_voxel_size(
    tmp_path: Path, volume: np.ndarray
) -> None:
    path = tmp_path / "new folder" / "map.mrc"
    write_map(path, volume, 1.347, label="iteration 3")
    back, pixel_size_A, origin_A = read_map(path)
    np.testing.assert_array_equal(back, volume)
    assert back.dtype == np.float32
    assert pixel_size_A == pytest.approx(1.347, abs=1e-6)
    np.testing.assert_array_equal(origin_A, 0.0)


def test_written_map_is_a_valid_volume_with_label_and_statistics(
    tmp_path: Path, volume: np.ndarray
) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, volume, 2.0, label="naïve " + "x" * 200)
    assert mrcfile.validate(path)
    with mrcfile.open(path) as mrc:
        assert mrc.is_volume()
        assert any("na?ve" in label for label in mrc.get_labels())
        assert mrc.header.dmax == pytest.approx(volume.max())
        assert int(mrc.header.nxstart) == 0


def test_axes_follow_the_numpy_order_z_y_x(tmp_path: Path) -> None:
    # One bright voxel at x = 9, y = 5, z = 2, checked against MRC's own layout:
    # x is fastest in the file, so its byte offset is known without any reader.
    volume = np.zeros((6, 8, 10), dtype=np.float32)
    volume[2, 5, 9] = 7.0
    path = tmp_path / "map.mrc"
    write_map(path, volume, 1.0)
    raw = np.frombuffer(path.read_bytes()[1024:], dtype="<f4")
    assert raw[2 * 80 + 5 * 10 + 9] == 7.0


def test_a_map_with_permuted_axes_is_turned(tmp_path: Path, volume: np.ndarray) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, volume.transpose(2, 0, 1), 1.5)
    with mrcfile.open(path, mode="r+") as mrc:
        # sections run along x, rows along z, columns along y
        mrc.header.maps, mrc.header.mapr, mrc.header.mapc = 1, 3, 2
    back, _, _ = read_map(path)
    np.testing.assert_array_equal(back, volume)


def test_start_indices_are_an_origin_when_none_is_given(
    tmp_path: Path, volume: np.ndarray
) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, volume, 2.0)
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.nstart = (-5, -4, -3)
    np.testing.assert_allclose(read_map(path)[2], (-10.0, -8.0, -6.0))


def test_compressed_maps_are_read(tmp_path: Path, volume: np.ndarray) -> None:
    path, packed = tmp_path / "map.mrc", tmp_path / "map.mrc.gz"
    write_map(path, volume, 2.0)
    with path.open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    np.testing.assert_array_equal(read_map(packed)[0], volume)


def test_truth_map_of_the_test_data(shared_data: Path) -> None:
    volume, pixel_size_A, _ = read_map(shared_data / "actin" / "truth_map.mrc")
    assert volume.shape == (128, 128, 128)
    assert pixel_size_A == pytest.approx(2.0)


def test_a_failed_write_leaves_the_old_map(tmp_path: Path, volume: np.ndarray) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, volume, 2.0)
    before = path.read_bytes()
    with pytest.raises(InputError, match="three axes"):
        write_map(path, volume[0], 2.0)
    with pytest.raises(ValueError, match="complex"):
        write_map(path, np.array([[["complex"]]]), 2.0)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["map.mrc"]


@pytest.mark.parametrize("pixel_size_A", [0.0, -1.0, np.nan])
def test_a_senseless_pixel_size_is_refused(
    tmp_path: Path, volume: np.ndarray, pixel_size_A: float
) -> None:
    with pytest.raises(InputError, match="must be positive"):
        write_map(tmp_path / "map.mrc", volume, pixel_size_A)


@pytest.mark.filterwarnings("ignore:Data array contains")
def test_unusable_maps_are_refused(tmp_path: Path, volume: np.ndarray) -> None:
    path = tmp_path / "map.mrc"
    with pytest.raises(InputError, match="does not exist"):
        read_map(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="could not be read as an MRC file"):
        read_map(path)
    path.write_bytes(b"not a map " * 200)
    with pytest.raises(InputError, match="could not be read as an MRC file"):
        read_map(path)
    write_map(path, volume[:1], 2.0)
    with pytest.raises(InputError, match="one section"):
        read_map(path)
    bad = volume.copy()
    bad[1, 2, 3] = np.nan
    write_map(path, bad, 2.0)
    with pytest.raises(InputError, match="1 voxels are NaN"):
        read_map(path)


@pytest.mark.parametrize(
    ("voxel", "message"),
    [((0.0, 0.0, 0.0), "no voxel size"), ((1.0, 1.0, 2.0), "differs along x, y, z")],
)
def test_voxel_sizes_that_cannot_be_used(
    tmp_path: Path,
    volume: np.ndarray,
    voxel: tuple[float, float, float],
    message: str,
) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, volume, 2.0)
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.voxel_size = voxel
    with pytest.raises(InputError, match=message):
        read_map(path)


def test_truncated_file_says_both_sizes(tmp_path: Path, volume: np.ndarray) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, volume, 2.0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    sizes = f"promises {len(whole)} bytes, the file has {len(whole) - 100}"
    with pytest.raises(InputError, match=re.escape(sizes)):
        read_header(path)


def test_complex_modes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "transform.mrc"
    with mrcfile.new(path) as mrc:
        mrc.set_data(np.ones((4, 4, 4), dtype=np.complex64))
    with pytest.raises(InputError, match="mode 4"):
        read_map(path)
