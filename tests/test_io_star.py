"""Metadata of every dialect is read, without images, or refused with a reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import starfile

from helixnb.errors import InputError
from helixnb.io.filaments import FilamentGeometry, filament_geometry
from helixnb.io.relion import read_metadata
from helixnb.io.star import read_blocks, write_blocks
from helixnb.io.tracks import inter_box_distance, one_polarity

Edit = Callable[[pd.DataFrame], pd.DataFrame]
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
    """Two straight filaments of three boxes 30 A apart, tracks along +x and +y."""
    step_px = np.array([0.0, 15.0, 30.0])
    return pd.DataFrame(
        {
            "rlnCoordinateX": np.concatenate([100 + step_px, np.full(3, 50.0)]),
            "rlnCoordinateY": np.concatenate([np.full(3, 80.0), 10 + step_px]),
            "rlnHelicalTubeID": [1, 1, 1, 2, 2, 2],
            "rlnAnglePsiPrior": [0.0, 0.0, 0.0, -90.0, -90.0, -90.0],
            "rlnHelicalTrackLengthAngst": np.tile(2 * step_px, 2),
            "rlnImageName": [f"{i:06d}@stack.mrcs" for i in range(1, 7)],
            "rlnMicrographName": ["mic.mrc"] * 6,
            "rlnDefocusU": np.linspace(1e4, 2e4, 6),
            "rlnDefocusV": np.linspace(9e3, 2e4, 6),
            "rlnDefocusAngle": [10.0] * 6,
            "rlnOpticsGroup": [1] * 6,
        }
    )


def write(
    folder: Path, table: pd.DataFrame, optics: pd.DataFrame | None = OPTICS
) -> Path:
    path = folder / "particles.star"
    blocks = {} if optics is None else {"optics": optics}
    starfile.write({**blocks, "particles": table}, path)
    return path


def geometry(folder: Path, table: pd.DataFrame) -> FilamentGeometry:
    return filament_geometry(read_metadata(write(folder, table)))


def relion_30(table: pd.DataFrame) -> pd.DataFrame:
    """Return the same particles as RELION 3.0 wrote them."""
    return table.drop(columns=["rlnOpticsGroup", "rlnHelicalTrackLengthAngst"]).assign(
        rlnHelicalTrackLength=table["rlnHelicalTrackLengthAngst"] / 2.0,
        rlnVoltage=300.0,
        rlnSphericalAberration=2.7,
        rlnAmplitudeContrast=0.1,
        rlnMagnification=25000.0,
        rlnDetectorPixelSize=5.0,
    )


@pytest.mark.parametrize("block", ["", "images", "particles"])
def test_relion_30_says_the_same_as_31(tmp_path: Path, block: str) -> None:
    new = read_metadata(write(tmp_path, particles()))
    path = tmp_path / "old.star"
    starfile.write({block: relion_30(particles())}, path)
    old = read_metadata(path)
    assert old.pixel_size_A == new.pixel_size_A == 2.0
    for name in ("voltage_kV", "cs_mm", "amplitude_contrast", "defocus_v_A", "section"):
        np.testing.assert_array_equal(getattr(old, name), getattr(new, name))
    np.testing.assert_allclose(
        filament_geometry(old).axial_A, filament_geometry(new).axial_A
    )
    np.testing.assert_allclose(
        filament_geometry(old).track_A, [0, 30, 60, 0, 30, 60], atol=1e-9
    )


def test_settings_come_from_the_optics_group_of_each_row(tmp_path: Path) -> None:
    optics = pd.concat([OPTICS, OPTICS], ignore_index=True)
    optics["rlnOpticsGroup"] = [7, 3]
    optics["rlnSphericalAberration"] = [2.7, 0.01]
    optics["rlnVoltage"] = [300.0, 200.0]
    optics["rlnAmplitudeContrast"] = [0.1, 0.07]
    table = particles().assign(rlnOpticsGroup=[3, 7, 3, 7, 7, 7])
    metadata = read_metadata(write(tmp_path, table, optics))
    for found, first, second in (
        (metadata.cs_mm, 2.7, 0.01),
        (metadata.voltage_kV, 300.0, 200.0),
        (metadata.amplitude_contrast, 0.1, 0.07),
    ):
        of_row = [second, first, second, first, first, first]
        np.testing.assert_array_equal(found, of_row)


def test_numbers_of_a_row_come_each_from_its_own_column(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    columns = {
        "rlnDefocusU": "defocus_u_A",
        "rlnDefocusV": "defocus_v_A",
        "rlnDefocusAngle": "defocus_angle_deg",
        "rlnPhaseShift": "phase_shift_deg",
        "rlnAnglePsiPrior": "psi_prior_deg",
        "rlnAngleTiltPrior": "tilt_prior_deg",
        "rlnAnglePsiFlipRatio": "flip_ratio",
    }
    given = {name: rng.uniform(0.1, 0.9, 6).round(4) for name in columns}
    metadata = read_metadata(write(tmp_path, particles().assign(**given)))
    for name, found in columns.items():
        np.testing.assert_array_equal(getattr(metadata, found), given[name])


def test_absent_priors_have_neutral_values(tmp_path: Path) -> None:
    table = particles().drop(columns="rlnAnglePsiPrior")
    metadata = read_metadata(write(tmp_path, table))
    assert np.isnan(metadata.psi_prior_deg).all()
    assert (metadata.tilt_prior_deg == 90.0).all()
    assert (metadata.flip_ratio == 0.5).all()
    assert (metadata.phase_shift_deg == 0.0).all()
    refined = table.assign(rlnAnglePsi=33.0)
    assert (read_metadata(write(tmp_path, refined)).psi_prior_deg == 33.0).all()


def test_axial_position_runs_along_v_for_either_polarity(tmp_path: Path) -> None:
    # +v = (-cos psi, sin psi): psi = 0 points to -x, psi = 180 to +x.
    against = geometry(tmp_path, particles())
    np.testing.assert_allclose(against.axial_A, [60, 30, 0, 60, 30, 0])
    turned = particles()
    turned["rlnAnglePsiPrior"] += 180.0
    along = geometry(tmp_path, turned)
    np.testing.assert_allclose(along.axial_A, [0, 30, 60, 0, 30, 60])


@pytest.mark.parametrize(
    "dropped",
    [
        ["rlnHelicalTrackLengthAngst"],
        ["rlnCoordinateX", "rlnCoordinateY"],
        ["rlnAnglePsiPrior"],
    ],
)
def test_axial_position_from_less(tmp_path: Path, dropped: list[str]) -> None:
    # All three agree in a file that keeps RELION's psi = -atan2(dy, dx).
    full = geometry(tmp_path, particles()).axial_A
    less = geometry(tmp_path, particles().drop(columns=dropped))
    np.testing.assert_allclose(less.axial_A, full, atol=1e-9)
    assert inter_box_distance(less.track_A, less.filament) == pytest.approx(30.0)


def test_unknown_order_is_nan_and_said(tmp_path: Path) -> None:
    columns = ["rlnHelicalTrackLengthAngst", "rlnCoordinateX", "rlnCoordinateY"]
    found = geometry(tmp_path, particles().drop(columns=columns))
    assert np.isnan(found.axial_A).all()
    assert np.isnan(inter_box_distance(found.track_A, found.filament))
    assert "unknown" in found.notes[0]


def test_coordinates_of_unbinned_micrographs(tmp_path: Path) -> None:
    # Micrograph pixels of 0.5 A: four times the numbers, the same distances.
    table = particles().drop(columns="rlnHelicalTrackLengthAngst")
    table[["rlnCoordinateX", "rlnCoordinateY"]] *= 4.0
    optics = OPTICS.assign(rlnMicrographOriginalPixelSize=0.5)
    found = filament_geometry(read_metadata(write(tmp_path, table, optics)))
    np.testing.assert_allclose(found.axial_A, [60, 30, 0, 60, 30, 0], atol=1e-9)


def test_contradicting_spacings_use_the_track_and_say_so(tmp_path: Path) -> None:
    optics = OPTICS.assign(rlnMicrographOriginalPixelSize=0.5)
    found = filament_geometry(read_metadata(write(tmp_path, particles(), optics)))
    np.testing.assert_allclose(found.axial_A, [60, 30, 0, 60, 30, 0])
    assert "30 A apart by rlnHelicalTrackLength but 7.5 A" in found.notes[0]


def test_a_gap_and_shuffled_rows_change_nothing(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    table = particles()
    table.loc[[2, 5], "rlnHelicalTrackLengthAngst"] = 120.0
    table.loc[2, "rlnCoordinateX"] = 160.0
    table.loc[5, "rlnCoordinateY"] = 70.0
    order = rng.permutation(6)
    found = geometry(tmp_path, table.iloc[order])
    expected = np.array([120, 90, 0, 120, 90, 0.0])[order]
    np.testing.assert_allclose(found.axial_A, expected, atol=1e-9)


def test_filaments_are_micrograph_and_tube_by_first_appearance(tmp_path: Path) -> None:
    table = particles().assign(
        rlnMicrographName=["b", "a", "b", "a", "b", "a"],
        rlnHelicalTubeID=[2, 2, 1, 1, 2, 2],
    )
    found = geometry(tmp_path, table)
    np.testing.assert_array_equal(found.filament, [0, 1, 2, 3, 0, 1])
    assert found.filament.dtype == np.int32
    # a filament of one segment sits at its own zero
    assert found.axial_A[2] == 0.0


def test_one_polarity_a_filament() -> None:
    filament = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    psi_deg = np.array([178.0, -179.0, 3.0, 60.0, -121.0, 61.0])
    turned_deg, turned = one_polarity(psi_deg, filament)
    np.testing.assert_array_equal(turned, [False, False, True, False, True, False])
    assert turned_deg[2] % 360 == pytest.approx(183.0)
    assert turned_deg[4] % 360 == pytest.approx(59.0)


def test_unknown_columns_and_long_numbers_survive(tmp_path: Path) -> None:
    table = particles().assign(
        filamentHash=["0012", "1e5", "00ff", "12345678901234567890", "x y", "nil"],
        rlnSmall=np.array([1e-9, 2.5e-7, 123456.789012, -1e20, 0.0, 3.0]),
    )
    path = tmp_path / "out.star"
    write_blocks(path, {"optics": OPTICS, "particles": table})
    back = read_blocks(path)["particles"]
    assert list(back.columns) == list(table.columns)
    assert list(back["filamentHash"]) == list(table["filamentHash"])
    np.testing.assert_allclose(back["rlnSmall"], table["rlnSmall"], rtol=1e-9)


def test_a_file_that_changed_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, particles())
    assert read_metadata(path).voltage_kV[0] == 300.0
    path.write_text(path.read_text().replace("300.000000", "200.000000"))
    assert read_metadata(path).voltage_kV[0] == 200.0


def test_relion_itself_lays_v_against_the_track(shared_data: Path) -> None:
    # Real extraction jobs: the rule used without coordinates must hold in all of them.
    name = "relion_tau_SL251-2_job007_run_it045_group1_selected_filament_particles.star"
    found = filament_geometry(read_metadata(shared_data / "metadata" / name))
    frame = pd.DataFrame(
        {"f": found.filament, "sum": found.axial_A + found.track_A}
    ).groupby("f")["sum"]
    assert (frame.max() - frame.min()).max() < 0.01


BAD_ROWS: list[tuple[Edit, str]] = [
    (
        lambda t: t.assign(rlnDefocusU="abc"),
        r"row 1 .*rlnDefocusU: abc is not a finite",
    ),
    (
        lambda t: t.assign(rlnDefocusV=[1, 2, 3, np.nan, 5, 6]),
        r"row 4 .*rlnDefocusV: nan is not a finite",
    ),
    (
        lambda t: t.assign(rlnHelicalTrackLengthAngst=[0, np.inf, 2, 3, 4, 5]),
        r"row 2 .*rlnHelicalTrackLengthAngst: inf",
    ),
    (lambda t: t.assign(rlnAnglePsiPrior="none"), "row 1 .*rlnAnglePsiPrior: none"),
    (lambda t: t.assign(rlnCoordinateX="?"), "row 1 .*rlnCoordinateX"),
    (lambda t: t.assign(rlnHelicalTubeID=4), "belong to one filament.*at least two"),
    (
        lambda t: t.assign(rlnOpticsGroup=[1, 1, 1, 1, 1, 9]),
        "row 6 .*group 9 is not in",
    ),
    (
        lambda t: t.drop(columns=["rlnDefocusU", "rlnMicrographName"]),
        "missing: rlnMicrographName, rlnDefocusU.*Columns found: rlnCoordinateX",
    ),
    (lambda t: t.drop(columns="rlnHelicalTubeID"), "Extract helical segments"),
    (lambda t: t.drop(columns="rlnImageName"), "coordinates only"),
    (lambda t: t.assign(rlnTomoName="TS_1"), "subtomograms"),
    (lambda t: t.iloc[:0], "columns but no rows"),
]


@pytest.mark.parametrize(("edit", "message"), BAD_ROWS)
def test_bad_particles_are_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    path = write(tmp_path, edit(particles()))
    with pytest.raises(InputError, match=f"(?s)particles.star.*{message}"):
        filament_geometry(read_metadata(path))


@pytest.mark.parametrize(
    "name", ["000000@stack.mrcs", "stack.mrcs", "x@stack.mrcs", "-1@stack.mrcs", "3@"]
)
def test_absurd_image_names_are_refused(tmp_path: Path, name: str) -> None:
    table = particles()
    table.loc[3, "rlnImageName"] = name
    with pytest.raises(InputError, match=f"row 4 .*rlnImageName: '{name}'"):
        read_metadata(write(tmp_path, table))


def test_an_image_named_twice_is_refused_with_both_rows(tmp_path: Path) -> None:
    table = particles()
    table.loc[1, "rlnImageName"] = "000005@other.mrcs"
    table.loc[5, "rlnImageName"] = "3@stack.mrcs"  # zeros in front do not matter
    with pytest.raises(InputError, match=r"rows 3 and 6 .* 000003@stack\.mrcs"):
        read_metadata(write(tmp_path, table))


BAD_OPTICS: list[tuple[Edit, str]] = [
    (lambda o: o.assign(rlnImageDimensionality=3), "subtomograms"),
    (lambda o: o.assign(rlnVoltage="high"), "row 1 of data_optics, .*rlnVoltage"),
    (lambda o: o.assign(rlnVoltage=300000.0), "outside 10 to 2000"),
    (lambda o: o.assign(rlnAmplitudeContrast=10.0), "outside 0 to 1"),
    (lambda o: o.assign(rlnImagePixelSize=0.0), "rlnImagePixelSize: 0"),
    (
        lambda o: o.drop(columns=["rlnVoltage", "rlnImagePixelSize"]),
        r"missing: rlnVoltage \(data_optics\), rlnImagePixelSize \(data_optics\)",
    ),
    (lambda o: pd.concat([o, o]), "defined twice"),
    (
        lambda o: pd.concat([o, o.assign(rlnOpticsGroup=2, rlnImagePixelSize=1.5)]),
        "group 1: 2 A, group 2: 1.5 A",
    ),
]


@pytest.mark.parametrize(("edit", "message"), BAD_OPTICS)
def test_bad_optics_are_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    path = write(tmp_path, particles(), edit(OPTICS))
    with pytest.raises(InputError, match=f"(?s){message}"):
        read_metadata(path)


@pytest.mark.parametrize(
    ("column", "neutral", "value"),
    [
        ("rlnBeamTiltX", 0.0, -0.3),
        ("rlnMagMat00", 1.0, 1.02),
        ("rlnOddZernike", "[0,0,0]", "[0,0.1,0]"),
    ],
)
def test_aberrations_that_are_not_corrected_for_are_told(
    tmp_path: Path, column: str, neutral: float | str, value: float | str
) -> None:
    optics = pd.concat([OPTICS, OPTICS], ignore_index=True)
    optics["rlnOpticsGroup"] = [1, 2]
    without = read_metadata(write(tmp_path, particles(), optics))
    optics[column] = [neutral, neutral]
    flat = read_metadata(write(tmp_path, particles(), optics))
    assert flat.notes == without.notes == ()
    optics[column] = [neutral, value]
    [note] = read_metadata(write(tmp_path, particles(), optics)).notes
    assert f"({column} of data_optics)" in note


def test_rows_of_optics_groups_without_their_block(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the whole block data_optics"):
        read_metadata(write(tmp_path, particles(), None))


def test_files_that_are_no_star_files(tmp_path: Path) -> None:
    path = tmp_path / "broken.star"
    with pytest.raises(InputError, match="does not exist"):
        read_metadata(path)
    with pytest.raises(InputError, match="is a folder"):
        read_metadata(tmp_path)
    path.write_text("")
    with pytest.raises(InputError, match="is empty"):
        read_metadata(path)
    path.write_text("data_particles\n\n")
    with pytest.raises(InputError, match="neither columns nor values"):
        read_metadata(path)
    path.write_text("data_particles\n\nloop_\n_rlnA #1\n_rlnB #2\n1 2\n1 2 3\n")
    with pytest.raises(InputError, match=r"row 2 .*line 7.* 3 values.* 2 columns"):
        read_metadata(path)


# --- the text of STAR files ------------------------------------------------------


def test_starfile_reads_the_same(shared_data: Path) -> None:
    # The starfile package parses independently, slower and with more memory.
    for path in [
        shared_data / "tmv" / "truth.star",
        *(shared_data / "metadata").glob("relion_tau*.star"),
        Path(__file__).parent / "data" / "relion_run" / "run_it001_model.star",
    ]:
        ours = read_blocks(path)
        theirs = starfile.read(path, always_dict=True)
        assert list(ours) == list(theirs)
        for name, block in theirs.items():
            mine = ours[name]
            if isinstance(block, dict):
                assert mine == block
                continue
            assert list(mine.columns) == list(block.columns)
            for column in block.columns:
                if pd.api.types.is_numeric_dtype(mine[column]):
                    np.testing.assert_allclose(mine[column], block[column], rtol=1e-14)
                else:
                    assert list(map(str, block[column])) == list(map(str, mine[column]))


def test_starfile_reads_what_is_written(tmp_path: Path) -> None:
    table = particles().assign(note=["", "a b", "#x", 'q"q', "_y", "nan"])
    path = tmp_path / "out.star"
    write_blocks(path, {"optics": OPTICS, "particles": table})
    assert list(read_blocks(path)["particles"]["note"]) == list(table["note"])
    theirs = starfile.read(path, always_dict=True)["particles"]
    for column in particles().columns:
        assert list(theirs[column]) == list(table[column])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n4 5\n6 7 8\n", r"row 2 .*\(line 8\) has 2 values.*needs quotes"),
        ("1 2 3\n4 5 6\n6 7\n", r"row 3 .*\(line 9\) has 2 values.*cut short"),
        ("1 2 3\n4 5 6 7\n6 7 8\n", r"row 2 .*\(line 8\) has 4 values"),
        ("1 2 3 4\n4 5 6\n", r"row 1 .*\(line 7\) has 4 values"),
        ('1 2 "x\n4 5 6\n', "could not be parsed|not closed|has"),
    ],
)
def test_rows_of_another_width(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cut.star"
    path.write_text(f"\ndata_\nloop_\n_rlnA #1\n_rlnB #2\n_rlnC #3\n{text}")
    with pytest.raises(InputError, match=rf"cut\.star: .*(?:{message})"):
        read_blocks(path)


def test_a_file_cut_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    table = particles()
    path = tmp_path / "cut.star"
    write_blocks(path, {"optics": OPTICS, "particles": table})
    whole = path.read_bytes()
    body = whole.index(b"000001@")
    refused = 0
    for size in range(body, len(whole) - 2, 3):
        path.write_bytes(whole[:size])
        try:
            found = read_blocks(path)["particles"]
        except InputError:
            refused += 1
            continue
        # Cut at the end of a row, or in the last value of one.
        assert whole[:size].rstrip().count(b"@") == len(found)
        names = table["rlnImageName"][: len(found)]
        assert list(found["rlnImageName"]) == list(names)
    assert refused > 100


def test_comments_and_blank_lines_between_rows(tmp_path: Path) -> None:
    path = tmp_path / "gaps.star"
    path.write_text(
        "# made by hand\ndata_particles\n\nloop_\n_rlnA #1\n_name #2\n"
        "1 mic#1.mrc\n\n2 b\n# half way\n3 c\n\n"
    )
    table = read_blocks(path)["particles"]
    assert list(table["rlnA"]) == [1, 2, 3]
    assert list(table["name"]) == ["mic#1.mrc", "b", "c"]
    path.write_text("data_\nloop_\n_rlnA\n_name\n1 mic#1.mrc\n2 b\n\n# the end\n")
    assert list(read_blocks(path)[""]["name"]) == ["mic#1.mrc", "b"]
