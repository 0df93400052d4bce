"""Every file of every program is read right, or refused with what to do about it.

Counts, tubes and angles of the real files are taken from their text here, by other
code than the reader's.
"""

from pathlib import Path

import numpy as np
import pytest

from helixnb.errors import InputError
from helixnb.io.filaments import filament_geometry
from helixnb.io.formats import read_particles_metadata
from helixnb.io.tracks import inter_box_distance

#: End of the name, reason, what to do.
REFUSED = [
    ("MN_cistem.star", "cisTEM STAR file", "Give RELION helical particles"),
    ("PfCRT_relion30.star", "rlnAmplitudeContrast.*rlnHelicalTubeID", "Extract"),
    ("cryodrgn_relion31.star", "rlnHelicalTubeID is missing", "Extract"),
    ("J24_001_particles.cs", "filament/filament_uid is missing", "passthrough file"),
    ("cstools_4k_dataset.cs", "columns but no rows", "no particles"),
    ("frealign_13pf_2_r1.par", "Frealign or cisTEM .par file", "Give the RELION"),
    (".cbox", "crYOLO boxes, that is coordinates", "Import the coordinates"),
    (".box", "filament coordinates of EMAN2 or crYOLO", "Import the coordinates"),
    ("priors2star_particles.star", "coordinates only", "Extract the segments first"),
    ("ActinLifeAct_00072.star", "coordinates only", "Extract the segments first"),
    ("ActinLifeAct_000722.star", "coordinates only", "Extract the segments first"),
    ("class3d_run_it025_data.star", "lists subtomograms", "two-dimensional segments"),
    ("picks_particles.star", "lists subtomograms", "two-dimensional segments"),
    ("refine_job.star", "no particles: the blocks are data_job", "Give the particles"),
    ("refine_run_it050_data.star", "lists subtomograms", "two-dimensional segments"),
    ("tomo_tomograms.star", "no particles: the blocks are data_global", "Give the"),
]
#: End of the name, segments, tubes, first psi prior, last defocus.
READ = [
    ("clustersfailed_particles.star", 58, 11),
    ("group1_selected_filament_particles.star", 8397, 117),
]
PIXEL_SIZE_A = 2.908  # _rlnImagePixelSize of both
SPACING_A = 14.25  # 57 A / 4, the steps of _rlnHelicalTrackLengthAngst


def rows_of(path: Path) -> list[dict[str, str]]:
    """Rows of the last block, by splitting lines."""
    labels: list[str] = []
    rows: list[dict[str, str]] = []
    for line in path.read_text().splitlines():
        if line.startswith("data_"):
            labels, rows = [], []
        elif line.startswith("_"):
            labels.append(line.split()[0][1:])
        elif labels and line.strip() and not line.startswith(("loop_", "#")):
            rows.append(dict(zip(labels, line.split(), strict=True)))
    return rows


def real_files(shared_data: Path) -> list[Path]:
    return [path for path in (shared_data / "metadata").rglob("*") if path.is_file()]


def test_no_real_file_is_left_out(shared_data: Path) -> None:
    files = real_files(shared_data)
    assert len(files) > 20
    ends = [end for end, *_ in REFUSED] + [end for end, *_ in READ]
    assert not [path.name for path in files if not path.name.endswith(tuple(ends))]


@pytest.mark.parametrize(("end", "reason", "advice"), REFUSED)
def test_refused_with_reason_and_advice(
    shared_data: Path, end: str, reason: str, advice: str
) -> None:
    files = [path for path in real_files(shared_data) if path.name.endswith(end)]
    assert files
    for path in files:
        with pytest.raises(InputError, match=f"(?s){reason}.*{advice}") as refusal:
            read_particles_metadata(path)
        assert str(refusal.value).startswith(str(path))


@pytest.mark.parametrize(("end", "n", "tubes"), READ)
def test_read_as_the_text_says(shared_data: Path, end: str, n: int, tubes: int) -> None:
    [path] = [path for path in real_files(shared_data) if path.name.endswith(end)]
    rows = rows_of(path)
    metadata = read_particles_metadata(path)
    geometry = filament_geometry(metadata)
    assert len(metadata.table) == len(rows) == n
    keys = [(row["rlnMicrographName"], row["rlnHelicalTubeID"]) for row in rows]
    assert len(set(keys)) == geometry.filament.max() + 1 == tubes
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    np.testing.assert_array_equal(geometry.filament, [order[key] for key in keys])
    assert metadata.pixel_size_A == PIXEL_SIZE_A
    for name, values in (
        ("rlnAnglePsiPrior", metadata.psi_prior_deg),
        ("rlnAngleTiltPrior", metadata.tilt_prior_deg),
        ("rlnAnglePsiFlipRatio", metadata.flip_ratio),
        ("rlnHelicalTrackLengthAngst", geometry.track_A),
        ("rlnDefocusU", metadata.defocus_u_A),
        ("rlnDefocusAngle", metadata.defocus_angle_deg),
    ):
        np.testing.assert_array_equal(values, [float(row[name]) for row in rows])
    sections = [int(row["rlnImageName"].split("@")[0]) - 1 for row in rows]
    np.testing.assert_array_equal(metadata.section, sections)
    spacing_A = inter_box_distance(geometry.track_A, geometry.filament)
    assert spacing_A == pytest.approx(SPACING_A, abs=1e-3)
    assert metadata.notes + geometry.notes == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x94CSDAT....", "before 5.*cryosparc-tools"),
        (b"\x89HDF\r\n\x1a\n", "HDF5.*Convert"),
        (b"\x1f\x8b\x08", "gzip.*gunzip"),
        (b"PK\x03\x04", r"Session\.load"),
        (b"\0" * 208 + b"MAP " + b"\0" * 900, "MRC stack.*STAR"),
        (b"\0\x01\x02", "binary file of an unknown kind"),
        (b"\xff\xfe\xfa\n", "binary|could not be parsed|no STAR block"),
        (b"12 34 128 128\n20 34 128 128\n", "EMAN .box"),
        (b"hello\n", "no STAR block"),
    ],
)
def test_other_contents(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "particles.star"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s)particles.star.*(?:{message})"):
        read_particles_metadata(path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_particles_metadata(tmp_path / "none.star")
    with pytest.raises(InputError, match="is a folder"):
        read_particles_metadata(tmp_path)
    path = tmp_path / "a.star"
    path.write_text("data_\n\nloop_\n_rlnImageName #1\n1@a\n")
    with pytest.raises(InputError, match=r"no CryoSPARC \.cs file"):
        read_particles_metadata(path, passthrough=[path])
