"""The output folder: what is in it, whose it is, and that nothing is lost."""

import html
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile

from helixnb import Session
from helixnb.core.poses import Poses
from helixnb.dashboards import style
from helixnb.errors import InputError
from helixnb.io.mrc import read_map
from helixnb.io.output import RESULT_FILES, claim_folder, write_summary
from helixnb.iteration import initial, refinement
from helixnb.iteration.state import State
from helixnb.particles import ParticleSet
from helixnb.report import plots
from helixnb.simulate import Filaments, SimulatedData, simulate_segments
from tests.standins import standin_state

FILAMENTS, SEGMENTS = 10, 12  # as many as the stand-in has


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimulatedData:
    return simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=40,
        pixel_size_A=3.0,
        filaments=Filaments(n_filaments=FILAMENTS, segments_per_filament=SEGMENTS),
    )


@pytest.fixture(scope="module")
def truth(data: SimulatedData) -> State:
    """State with the true poses of the simulated particles."""
    particles = starfile.read(data.truth_star)["particles"]
    psi = np.deg2rad(particles["rlnAnglePsi"].to_numpy())
    x = -particles["rlnOriginXAngst"].to_numpy() / data.pixel_size_A
    y = -particles["rlnOriginYAngst"].to_numpy() / data.pixel_size_A
    n = len(particles)
    poses = Poses(
        polarity=np.zeros(n, np.int8),
        polarity_probability=np.ones(n),
        psi_deg=particles["rlnAnglePsi"].to_numpy(),
        tilt_deg=particles["rlnAngleTilt"].to_numpy(),
        azimuth_deg=particles["rlnAngleRot"].to_numpy() + 90,
        # The filament frame of docs/conventions.md.
        shift_px=x * np.sin(psi) + y * np.cos(psi),
        axial_px=-x * np.cos(psi) + y * np.sin(psi),
        effective_poses=np.full(n, 2.0),
        log_evidence=np.full(n, 10.0),
        scale=np.ones(n),
        scale_information=np.full(n, 100.0),
    )
    return replace(standin_state(4), poses=poses, flags=("look at this",))


@pytest.fixture(scope="module")
def out(
    data: SimulatedData, truth: State, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder with all results of a session whose poses are the true ones."""
    with pytest.MonkeyPatch.context() as patch:
        start = standin_state(0)
        patch.setattr(initial, "initial_state", lambda *args: start)
        patch.setattr(refinement, "step", lambda *args: truth)
        session = Session.from_star(
            data.particles_star, twist_deg=-59.5, rise_A=14.2, seed=7, progress=False
        )
        folder = tmp_path_factory.mktemp("out") / "deep" / "run"
        session.step().save_results(folder)
        with pytest.raises(InputError, match="results of another run"):
            session.save_results(folder)
        session.save_results(folder, overwrite=True)
    return folder


def test_all_promised_files_are_there(out: Path) -> None:
    assert sorted(p.name for p in out.iterdir()) == sorted(RESULT_FILES)


@pytest.mark.parametrize("name", [n for n in RESULT_FILES if n.endswith(".mrc")])
def test_maps_open_at_one_place_with_the_voxel_size(out: Path, name: str) -> None:
    volume, pixel_size_A, origin_A = read_map(out / name)
    assert volume.shape == (40, 40, 40)
    assert pixel_size_A == 3.0
    assert not origin_A.any()
    with mrcfile.open(out / name) as mrc:
        assert mrc.data.dtype == np.float32
        assert mrc.is_volume()


def test_map_is_the_mean_of_the_written_half_maps(out: Path) -> None:
    volume, a, b = (
        read_map(out / f"{n}.mrc")[0] for n in ("map", "half_map_A", "half_map_B")
    )
    assert np.allclose(volume, (a + b) / 2, atol=1e-6)


def test_written_poses_are_the_true_ones(out: Path, data: SimulatedData) -> None:
    written = starfile.read(out / "particles.star")["particles"]
    true = starfile.read(data.truth_star)["particles"]
    for name in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"):
        turn = (written[name] - true[name] + 180) % 360 - 180
        assert np.abs(turn).max() < 1e-3, name
    for name in ("rlnOriginXAngst", "rlnOriginYAngst"):
        assert np.abs(written[name] - true[name]).max() < 1e-3, name


def test_written_particles_can_be_read_with_their_half_sets(
    out: Path, data: SimulatedData, truth: State
) -> None:
    again = ParticleSet.from_star(out / "particles.star")
    assert again.half is not None
    assert np.array_equal(again.half, truth.survey.half)
    original = ParticleSet.from_star(data.particles_star)
    assert np.array_equal(again.read([5]), original.read([5]))


def test_symmetry_file_has_errors_and_candidates(out: Path, truth: State) -> None:
    blocks = starfile.read(out / "symmetry.star", always_dict=True)
    assert truth.scores is not None
    [used] = blocks["helical_symmetry"].to_dict("records")
    assert used["rlnHelicalTwist"] == pytest.approx(truth.symmetry.twist_deg)
    assert used["helixnbTwistSd"] == pytest.approx(truth.scores.twist_sd_deg)
    assert used["helixnbRiseSd"] == pytest.approx(truth.scores.rise_sd_A)
    listed = blocks["candidates"]
    expected = [c.rise_A for c in truth.scores.candidates]
    np.testing.assert_allclose(listed["rlnHelicalRise"], expected)
    assert listed["helixnbRelation"][1] == "2 x the best"


def test_fsc_table_ends_at_nyquist(out: Path) -> None:
    table = pd.read_csv(out / "fsc.csv")
    assert table["resolution_A"].iloc[-1] == pytest.approx(6.0)
    assert {"corrected", "cylinder", "loose", "tight", "unmasked", "randomised"} <= set(
        table.columns
    )


def test_history_table_has_the_iteration(out: Path) -> None:
    table = pd.read_csv(out / "history.csv")
    assert table["iteration"].tolist() == [4]
    assert table["parameter_twist_deg"].tolist() == [-59.5]


def test_summary_has_the_headline_facts(out: Path, truth: State) -> None:
    summary = json.loads((out / "summary.json").read_text())
    assert summary["twist_deg"] == truth.symmetry.twist_deg
    assert summary["rise_A"] == truth.symmetry.rise_A
    assert summary["resolution_A"] == truth.resolution_A
    assert summary["resolution_0.5_A"] >= summary["resolution_A"]
    assert summary["iterations"] == 4
    assert summary["symmetry_order"] == 2
    assert summary["converged"] is False
    assert summary["flags"] == ["look at this"]
    assert summary["n_segments"] == FILAMENTS * SEGMENTS
    assert summary["n_filaments"] == FILAMENTS
    assert summary["parameters"]["max_tilt_deg"] == 15.0
    assert (summary["seed"], summary["device"]) == (7, "cpu")
    assert summary["seconds"] > 0
    assert summary["peak_memory_MB"] > 50
    assert set(summary["versions"]) == {"helixnb", "numpy", "python"}


def test_report_needs_no_network_and_shows_the_facts(out: Path) -> None:
    text = (out / "report.html").read_text()
    assert len(text) < 8e6
    scripts = re.compile(r"(<script[^>]*>).*?</script>", re.DOTALL)
    page = scripts.sub(r"\1", text)
    assert not re.search(r"https?:|src=|<link|@import", page)
    for fact in ("Symmetry score", "look at this", "rlnAngle", "max_tilt_deg", "14.0"):
        assert (fact in text) is (fact != "rlnAngle")


def test_a_report_is_dark_where_pages_are(out: Path) -> None:
    text = (out / "report.html").read_text()
    colors = json.loads(re.search("const colors = (.*)", text).group(1))  # type: ignore[union-attr]
    for theme, other in (("light", "dark"), ("dark", "light")):
        inks = {of[theme].get("text_color") for of in colors.values()} - {None}
        assert inks == {style.THEMES[theme].ink}
        # Every colour of a theme has one of the other.
        assert all(of[theme].keys() == of[other].keys() for of in colors.values())
        assert f"--hx-ink: {style.THEMES[theme].ink};" in text


def test_the_report_has_every_section_and_repeats_the_run(out: Path) -> None:
    scripts = re.compile("<script.*?</script>", re.DOTALL)
    text = html.unescape(scripts.sub("", (out / "report.html").read_text()))
    drawn = [group.title for group in plots.GROUPS]
    told = ["Candidate symmetries", "Parameters of this iteration"]
    told += ["Python that repeats this run", "Provenance"]
    assert re.findall(r"<h2>(.*?)</h2>", text) == drawn + told
    # The stand-in has no symmetry-blind check.
    n = sum(len(group.names) for group in plots.GROUPS) - 1 + len(told)
    assert len(re.findall('<div class="card[ "]', text)) == n
    assert "session = Session.from_file(" in text
    assert "session.step()" in text


def test_report_escapes_what_came_from_files(
    truth: State, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.standins import StandinParticles, standin_parameters

    monkeypatch.setattr(initial, "initial_state", lambda *args: standin_state(0))
    odd = replace(standin_state(4), flags=("<script>alert(1)</script>",))
    monkeypatch.setattr(refinement, "step", lambda *args: odd)
    particles: Any = StandinParticles()
    particles.source = Path("<img src=x>.star")
    particles.notes = ("a < b & c",)
    session = Session(particles, standin_parameters()).step()
    text = session.report(tmp_path / "r.html").read_text()
    assert "<script>alert" not in text
    assert "<img" not in text
    assert "a &lt; b &amp; c" in text


# --- whose folder -------------------------------------------------------------------


def test_folder_of_other_files_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    claim_folder(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_input_is_never_overwritten(tmp_path: Path) -> None:
    star = tmp_path / "particles.star"
    star.write_text("precious")
    with pytest.raises(InputError, match="replace the input"):
        claim_folder(tmp_path, overwrite=True, protected=[star])


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file"):
        claim_folder(tmp_path / "out")
    with pytest.raises(InputError, match="cannot be written"):
        claim_folder(tmp_path / "out" / "deeper")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="the administrator may write anywhere",
)
def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        claim_folder(tmp_path)


def test_summary_is_strict_json(tmp_path: Path) -> None:
    write_summary(tmp_path / "s.json", {"a": float("nan"), "b": [float("inf"), 1.5]})
    text = (tmp_path / "s.json").read_text()
    assert json.loads(text) == {"a": None, "b": [None, 1.5]}
