"""A map from anywhere: its symmetry from nothing, in both modes, and as a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

import helixnb
from helixnb.cli import main
from helixnb.errors import InputError
from helixnb.io.mrc import write_map
from helixnb.map_search import candidate_table
from helixnb.simulate.lattice import Lattice
from helixnb.simulate.models import Subunit, load_subunit
from helixnb.simulate.rendering import render_map

BOX, PIXEL_A = 56, 3.0


def _map(
    twist: float,
    rise_A: float,
    point_group: str = "C1",
    noise: float = 1.0,
    box: int = BOX,
    pixel_size_A: float = PIXEL_A,
) -> NDArray[np.float32]:
    """Protein-like subunits with noise; shares no code with the search."""
    lattice = Lattice(twist, rise_A, point_group)
    subunit = load_subunit(None, lattice)
    copies = len(lattice.point_operators())
    level = Subunit(
        lattice.expand_level(subunit.coordinates_A), np.tile(subunit.weights, copies)
    )
    density = render_map(
        level, lattice, box_px=box, pixel_size_A=pixel_size_A, b_factor_A2=100.0
    )
    scale = noise * density[:, 20:36, 20:36].std()
    rng = np.random.default_rng(0)
    return (density + scale * rng.standard_normal(density.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def actin_like() -> NDArray[np.float32]:
    return _map(-166.6, 28.1)


@pytest.fixture(scope="module")
def found(actin_like: NDArray[np.float32]) -> xr.Dataset:
    return helixnb.search_symmetry(actin_like, PIXEL_A)


def test_a_part_that_agrees_at_every_second_copy_is_not_preferred() -> None:
    """Of a blurred map: where few copies fit, the scatter excuses a wrong part."""
    blurred = helixnb.search_symmetry(
        _map(-166.7, 27.5, noise=0.3, box=64, pixel_size_A=3.6),
        3.6,
        resolution_A=20.0,
    )
    assert blurred.attrs["best_twist_deg"] == pytest.approx(-166.7, abs=1.0)


@pytest.mark.parametrize(
    ("twist", "rise_A", "group"),
    [
        (-166.6, 28.1, "C1"),
        (-101.1, 5.13, "C1"),
        (22.03, 1.408, "C1"),
        (54.0, 16.5, "C3"),
        (30.0, 20.0, "D1"),
    ],
)
def test_symmetry_and_point_group_are_found_from_nothing(
    twist: float, rise_A: float, group: str
) -> None:
    found = helixnb.search_symmetry(_map(twist, rise_A, group), PIXEL_A)
    turn = 360 / int(group[1:])
    off = (found.attrs["best_twist_deg"] - twist + turn / 2) % turn - turn / 2
    assert abs(off) < 0.3
    assert found.attrs["best_rise_A"] == pytest.approx(rise_A, rel=0.01)
    assert found.attrs["suggested_point_group"] == group
    assert found.attrs["point_group"] == f"C{group[1:]}"
    assert found.attrs["on_edge"] == 0


def test_what_comes_back_is_labelled(found: xr.Dataset) -> None:
    assert found["score"].dims == ("twist", "rise")
    assert found["score"].shape == (128, 128)
    assert found["twist"].attrs["units"] == "degree"
    table = candidate_table(found)
    assert list(table.index) == list(range(1, len(table) + 1))
    assert table.relation.iloc[0] == "best"
    best = table.iloc[0]
    assert best.pitch_A == pytest.approx(360 * best.rise_A / abs(best.twist_deg))
    assert best.hand == "left"
    assert found.attrs["best_score"] == best.score


def test_pitch_mode_finds_the_same(
    actin_like: NDArray[np.float32], found: xr.Dataset
) -> None:
    pitch = helixnb.search_symmetry(actin_like, PIXEL_A, mode="pitch", points=(40, 48))
    assert pitch["score"].dims == ("hand", "subunits_per_turn", "pitch")
    assert pitch["score"].shape == (2, 40, 48)
    for name in ("best_twist_deg", "best_rise_A"):
        assert pitch.attrs[name] == pytest.approx(found.attrs[name], abs=1e-3)


def test_a_point_of_the_pitch_map_is_that_of_its_twist_and_rise(
    actin_like: NDArray[np.float32],
) -> None:
    pitch = helixnb.search_symmetry(
        actin_like,
        PIXEL_A,
        mode="pitch",
        subunits_per_turn=(2.0, 2.4),
        pitch_A=(56.0, 64.0),
        hand="left",
        points=(9, 9),
    )
    subunits, height = 2.15, 61.0
    twist, rise_A = -360 / subunits, height / subunits
    near = helixnb.search_symmetry(
        actin_like,
        PIXEL_A,
        twist_deg=(twist - 4, twist + 4),
        rise_A=(rise_A - 3, rise_A + 3),
        points=(9, 9),
    )
    value = pitch["score"].sel(hand="left", subunits_per_turn=2.15, pitch=61.0)
    centre = near["score"].isel(twist=4, rise=4)
    # Both compare as many copies.
    assert float(value) == pytest.approx(float(centre), abs=1e-4)


def test_without_a_peak_the_best_of_a_pitch_range_still_lies_in_it(
    actin_like: NDArray[np.float32],
) -> None:
    """A range of twists and rises that holds that of pitches is wider."""
    pitch = helixnb.search_symmetry(
        actin_like,
        PIXEL_A,
        mode="pitch",
        subunits_per_turn=(10.0, 24.0),
        pitch_A=(20.0, 26.0),
        hand="right",
        points=(40, 40),
    )
    best = candidate_table(pitch).iloc[0]
    assert pitch.attrs["on_edge"]
    assert 10 <= 360 / best.twist_deg <= 24
    assert 20 - 0.2 <= best.pitch_A <= 26 + 0.2


def test_a_hand_can_be_chosen(actin_like: NDArray[np.float32]) -> None:
    right = helixnb.search_symmetry(actin_like, PIXEL_A, hand="right")
    assert right.attrs["best_twist_deg"] > 0
    assert float(right["twist"].min()) == 0
    # The axis stays in voxel n // 2.
    other_hand = np.roll(actin_like[:, :, ::-1], 1, axis=2)
    mirrored = helixnb.search_symmetry(other_hand, PIXEL_A, hand="right")
    assert mirrored.attrs["best_twist_deg"] == pytest.approx(166.6, abs=0.3)


def test_each_setting_matters(actin_like: NDArray[np.float32]) -> None:
    near: dict[str, Any] = {
        "twist_deg": (-170.0, -163.0),
        "rise_A": (25.0, 31.0),
        "points": (32, 32),
    }
    plain = helixnb.search_symmetry(actin_like, PIXEL_A, **near)
    for change in (
        {"resolution_A": 14.0},
        {"outer_diameter_A": 50.0},
        {"inner_diameter_A": 30.0},
        {"z_fraction": 0.6},
        {"point_group": "C2"},
    ):
        other = helixnb.search_symmetry(actin_like, PIXEL_A, **(near | change))
        assert np.abs(other["score"] - plain["score"]).max() > 0.01
        name, value = next(iter(change.items()))
        assert other.attrs[name] == value
    doubled = helixnb.search_symmetry(actin_like, 2 * PIXEL_A, twist_deg=(-180, -150))
    assert doubled.attrs["best_rise_A"] == pytest.approx(56.2, rel=0.01)


def test_equivalent_twists_are_found_in_the_range_asked_for() -> None:
    """With C3, 174 degrees is 54."""
    found = helixnb.search_symmetry(
        _map(54.0, 16.5, "C3"),
        PIXEL_A,
        twist_deg=(165.0, 180.0),
        rise_A=(15.0, 18.0),
        point_group="C3",
    )
    assert found.attrs["best_twist_deg"] == pytest.approx(174.0, abs=0.3)
    assert found.attrs["on_edge"] == 0


def test_an_optimum_beyond_the_range_is_told(actin_like: NDArray[np.float32]) -> None:
    found = helixnb.search_symmetry(
        actin_like, PIXEL_A, twist_deg=(-165.9, -150.0), rise_A=(26.0, 30.0)
    )
    assert found.attrs["on_edge"] == 1


def test_maps_from_a_session_tell_their_voxel_size(
    actin_like: NDArray[np.float32], found: xr.Dataset
) -> None:
    labelled = xr.DataArray(
        actin_like, dims=("z", "y", "x"), name="map", attrs={"pixel_size_A": PIXEL_A}
    )
    again = helixnb.search_symmetry(labelled)
    assert again.attrs["source"] == "map"
    assert again.attrs["best_twist_deg"] == found.attrs["best_twist_deg"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pixel_size_A": None}, "pixel_size_A"),
        ({"pixel_size_A": -1.0}, "pixel_size_A"),
        ({"twist_deg": (10.0, -10.0)}, "twist_deg"),
        ({"twist_deg": (-200.0, 200.0)}, "more than once"),
        ({"rise_A": (0.0, 10.0)}, "rise_A"),
        ({"mode": "layer"}, "mode"),
        ({"hand": "up"}, "hand"),
        ({"hand": "left", "twist_deg": (10.0, 20.0)}, "left-handed"),
        ({"mode": "pitch", "subunits_per_turn": (0.5, 4.0)}, "subunits_per_turn"),
        ({"points": (4, 4)}, "points"),
        ({"z_fraction": 2.0}, "z_fraction"),
        ({"inner_diameter_A": 500.0}, "inner_diameter_A"),
        ({"point_group": "I1"}, "point_group"),
    ],
)
def test_what_cannot_be_searched_is_refused(
    values: dict[str, Any], message: str, actin_like: NDArray[np.float32]
) -> None:
    given: dict[str, Any] = {"pixel_size_A": PIXEL_A} | values
    with pytest.raises(InputError, match=message):
        helixnb.search_symmetry(actin_like, **given)


def test_a_map_without_structure_is_refused() -> None:
    with pytest.raises(InputError, match="constant"):
        helixnb.search_symmetry(np.ones((32, 32, 32), np.float32), 2.0)
    with pytest.raises(InputError, match="square"):
        helixnb.search_symmetry(np.zeros((32, 32, 24), np.float32), 2.0)
    with pytest.raises(InputError, match="16 voxels"):
        helixnb.search_symmetry(np.zeros((8, 8, 8), np.float32), 2.0)


def test_the_command_prints_and_writes(
    tmp_path: Path,
    actin_like: NDArray[np.float32],
    found: xr.Dataset,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, actin_like, PIXEL_A)
    files = [tmp_path / f"found{suffix}" for suffix in (".nc", ".csv", ".html")]
    options = [text for file in files for text in ("-o", str(file))]
    assert main(["search", str(path), *options]) == 0
    printed = capsys.readouterr().out
    first = next(line for line in printed.splitlines() if line.endswith("  best"))
    assert f"{found.attrs['best_twist_deg']:.3f}" in first
    assert f"{found.attrs['best_rise_A']:.3f}" in first
    with xr.open_dataset(files[0]) as read:
        np.testing.assert_allclose(read["score"], found["score"])
        assert read.attrs["suggested_point_group"] == "C1"
    table = pd.read_csv(files[1])
    assert table.twist_deg[0] == pytest.approx(found.attrs["best_twist_deg"])
    page = files[2].read_text()
    assert "map.mrc" in page
    assert "https://" not in page.split("</style>")[0][:2000]


def test_the_command_searches_by_pitch(
    tmp_path: Path,
    actin_like: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, page = tmp_path / "map.mrc", tmp_path / "pitch.html"
    write_map(path, actin_like, PIXEL_A)
    ranges = ["--pitch", "40", "80", "--subunits", "2", "3", "--hand", "left"]
    points = ["--points", "32", "32"]
    assert main(["search", str(path), *ranges, *points, "-o", str(page)]) == 0
    assert "-166." in capsys.readouterr().out
    assert page.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--twist", "1", "2", "--pitch", "3", "4"], "one pair of axes"),
        (["-o", "found.xlsx"], "suffixes"),
        (["-o", "nowhere/found.csv"], "folder"),
        (["--rise", "5", "4"], "rise_A"),
    ],
)
def test_the_command_refuses(
    options: list[str],
    message: str,
    tmp_path: Path,
    actin_like: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, actin_like, PIXEL_A)
    assert main(["search", str(path), *options]) == 2
    assert message in capsys.readouterr().err
