"""The command line: options, exit statuses, and one refinement from end to end."""

import dataclasses
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile

from helixnb import cli, report
from helixnb.commands import demo
from helixnb.commands.options import option_of
from helixnb.core.masks import cylinder
from helixnb.io.mrc import read_map, write_map
from helixnb.io.output import RESULT_FILES
from helixnb.iteration import initial, refinement
from helixnb.iteration.state import State
from helixnb.parameters import Parameters
from helixnb.simulate import Filaments, simulate_segments
from tests.standins import standin_state

SYMMETRY = ["--twist", "-60", "--rise", "14"]


@pytest.fixture(scope="module")
def star(tmp_path_factory: pytest.TempPathFactory) -> str:
    """As many segments as the stand-in states have poses."""
    data = simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=40,
        pixel_size_A=3.0,
        filaments=Filaments(n_filaments=10, segments_per_filament=12),
    )
    return str(data.particles_star)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[Parameters]:
    """Replace the refinement; returns the list of parameters it was run with."""
    used: list[Parameters] = []

    def step(state: State, particles: Any, parameters: Parameters, *rest: Any) -> State:
        used.append(parameters)
        now = state.iteration + 1
        ended = 0 if now == 3 else None
        return replace(standin_state(now, parameters), passes_left=ended)

    monkeypatch.setattr(initial, "initial_state", lambda *args: standin_state(0))
    monkeypatch.setattr(refinement, "step", step)
    # Tested with the other outputs; drawing takes seconds.
    monkeypatch.setattr(report, "write_report", lambda session, path: path.touch())
    return used


def test_refine_runs_to_convergence_and_tells_the_result(
    star: str,
    fake: list[Parameters],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["refine", star, "-o", str(tmp_path), *SYMMETRY]) == 0
    written = capsys.readouterr()
    assert "iterations  3, converged" in written.out
    assert "iteration 1: resolution" in written.err
    assert "symmetrization degree of 2 enforced" in written.err
    assert "iteration" not in written.out.replace("iterations", "")
    assert json.loads((tmp_path / "summary.json").read_text())["iterations"] == 3


def test_options_reach_the_refinement(
    star: str, fake: list[Parameters], tmp_path: Path
) -> None:
    options = "--iterations 1 --outer-diameter 90 --no-coherence --rise-extent 5"
    status = cli.main(
        ["refine", star, "-o", str(tmp_path), *SYMMETRY, *options.split()]
    )
    assert status == 0
    assert len(fake) == 1
    wanted = Parameters(
        twist_deg=-60,
        rise_A=14,
        max_iterations=1,
        outer_diameter_A=90,
        coherence=False,
        rise_extent_percent=5,
    )
    assert fake[0] == wanted


def test_static_mask_is_used_from_the_first_iteration(
    star: str, fake: list[Parameters], tmp_path: Path
) -> None:
    mask = cylinder(40, outer_radius_px=9)
    write_map(tmp_path / "mask.mrc", mask, 3.0)
    out = tmp_path / "out"
    options = ["--static-mask", str(tmp_path / "mask.mrc"), "--iterations", "1"]
    assert cli.main(["refine", star, "-o", str(out), *SYMMETRY, *options]) == 0
    assert fake[0].mask == "static"
    # What a mask was not given for is refused before the work.
    options = ["--mask", "static", "--overwrite"]
    assert cli.main(["refine", star, "-o", str(out), *SYMMETRY, *options]) == 2
    assert len(fake) == 1


def test_every_parameter_has_an_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["refine", "--help"])
    assert end.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(Parameters):
        option = option_of(field.name)
        assert f"{option} " in text or f"{option}," in text
        assert field.metadata["doc"].split("(")[0].replace("-", "")[
            :30
        ] in text.replace("-", "")


def test_checkpoint_is_left_for_resuming(
    star: str, fake: list[Parameters], tmp_path: Path
) -> None:
    from helixnb import Session

    command = ["refine", star, "-o", str(tmp_path), *SYMMETRY, "--checkpoint"]
    assert cli.main([*command, "--iterations", "2"]) == 0
    assert Session.load(tmp_path / "session.npz").iteration == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.star", *SYMMETRY], "nowhere.star"),
        (["STAR", "--twist", "-60", "--rise", "100"], "more than half of the box"),
        (["STAR", "--twist", "200", "--rise", "14"], "twist_deg must be between"),
        (["STAR", *SYMMETRY, "--point-group", "T"], "point_group"),
        (["STAR", *SYMMETRY, "--device", "abacus"], "device 'abacus'"),
        (["STAR", *SYMMETRY, "--seed", "-1"], "seed"),
    ],
)
def test_unusable_input_ends_with_its_message_alone(
    star: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    given = [star if a == "STAR" else a for a in arguments]
    assert cli.main(["refine", *given, "-o", str(tmp_path)]) == 2
    written = capsys.readouterr()
    assert message in written.err
    assert "Traceback" not in written.err
    assert not written.out


def test_occupied_folder_is_refused_before_the_work(
    star: str,
    fake: list[Parameters],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "map.mrc").write_text("another run's")
    command = ["refine", star, "-o", str(tmp_path), *SYMMETRY]
    assert cli.main(command) == 2
    assert "another run" in capsys.readouterr().err
    assert not fake
    assert cli.main([*command, "--overwrite"]) == 0


def test_other_failures_have_their_own_status(
    star: str,
    fake: list[Parameters],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError("out of memory")

    monkeypatch.setattr(refinement, "step", fail)
    assert cli.main(["refine", star, "-o", str(tmp_path), *SYMMETRY]) == 1
    assert "out of memory" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["--twist", "--rise", "-o"])
def test_required_options(
    star: str, missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--twist": "1", "--rise": "14", "-o": str(tmp_path / "out")}
    del given[missing]
    command = ["refine", star, *(x for pair in given.items() for x in pair)]
    if missing == "-o":
        with pytest.raises(SystemExit) as end:
            cli.main(command)
        assert end.value.code == 2
        return
    # Not an option's fault: RELION's optimiser file may bring them, or none is meant.
    assert cli.main(command) == 2
    assert "Give both, or neither" in capsys.readouterr().err


def test_simulate_writes_data_that_refine_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = "--box 32 --pixel-size 4 --filaments 3 --segments 4 --snr 0.5"
    command = ["simulate", "-o", str(tmp_path), *SYMMETRY, *sizes.split()]
    assert cli.main(command) == 0
    assert "12 segments of 3 filaments" in capsys.readouterr().out
    assert cli.main(command) == 2, "data are not replaced unasked"
    assert (tmp_path / "truth_map.mrc").exists()


def test_a_reader_that_has_gone_is_no_failure() -> None:
    """As in `helixnb ... | head`, which reads some lines and closes the pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "helixnb", "--version"]
    # Unbuffered, or with more text, argparse meets the broken pipe and says nothing.
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}
    try:
        ended = subprocess.run(
            command, stdout=writing, stderr=subprocess.PIPE, env=buffered
        )
    finally:
        os.close(writing)
    assert ended.returncode == cli.NOBODY_READS
    assert not ended.stderr


def test_a_command_whose_reader_has_gone_ends_quietly(
    star: str, fake: list[Parameters], tmp_path: Path
) -> None:
    """The results are written all the same; only the summary finds no reader."""
    reading, writing = os.pipe()
    os.close(reading)
    terminal = os.dup(1)
    os.dup2(writing, 1)
    os.close(writing)
    try:
        with open(1, "w", closefd=False) as broken, redirect_stdout(broken):
            status = cli.main(["refine", star, "-o", str(tmp_path), *SYMMETRY])
    finally:
        os.dup2(terminal, 1)
        os.close(terminal)
    assert status == cli.NOBODY_READS
    assert (tmp_path / "summary.json").exists()


def test_demo_compares_with_the_truth_and_can_be_repeated(
    fake: list[Parameters],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import helixnb.simulate as simulate

    def small(out_dir: Path, **options: Any) -> simulate.SimulatedData:
        few = Filaments(n_filaments=10, segments_per_filament=12)
        sizes = {"filaments": few, "box_px": 40, "pixel_size_A": 4.0}
        return simulate_segments(out_dir, **(options | sizes))

    monkeypatch.setattr(simulate, "simulate_segments", small)
    for _ in range(2):
        assert cli.main(["demo", "-o", str(tmp_path)]) == 0
        told = capsys.readouterr().out
        assert f"truth       twist {demo.TWIST_DEG:.3f} deg" in told
    assert fake[0].twist_deg != demo.TWIST_DEG, "the demo must not know the answer"


def test_refinement_from_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing replaced: the real iterations, the real files, a real report."""
    data, out = tmp_path / "data", tmp_path / "out"
    sizes = "--twist -27 --rise 12 --box 48 --pixel-size 4 --filaments 6 --segments 10"
    command = ["simulate", "-o", str(data), *sizes.split(), "--snr", "0.5"]
    assert cli.main([*command, "--inter-box", "40"]) == 0
    options = (
        "--twist -26.5 --rise 12.2 --iterations 3 --bootstrap-iterations 2 --starts 1"
    )
    star = str(data / "particles.star")
    assert cli.main(["refine", star, "-o", str(out), *options.split()]) == 0
    assert "resolution" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == set(RESULT_FILES)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["iterations"] == 3
    assert summary["symmetry_order"] == 3
    assert 8.0 <= summary["resolution_A"] < 60
    found = starfile.read(out / "particles.star")["particles"]
    true = starfile.read(data / "truth.star")["particles"]
    # Priors have one polarity each; the axis must lie along them whichever it is.
    turn = (found["rlnAnglePsi"] - true["rlnAnglePsi"] + 90) % 180 - 90
    assert np.abs(turn).median() < 3
    symmetrised = read_map(out / "map_symmetrized.mrc")[0]
    average = read_map(out / "map.mrc")[0]
    middle = slice(16, 32)
    assert np.corrcoef(symmetrised[middle].ravel(), average[middle].ravel())[0, 1] > 0.3
