"""What a session tells of twist and rise, and how it searches its maps again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helixnb.errors import InputError
from helixnb.io.checkpoint import read_checkpoint, write_checkpoint
from helixnb.iteration import initial, refinement
from helixnb.session import Session
from tests.standins import (
    RISE_A,
    TWIST_DEG,
    StandinParticles,
    standin_initial_state,
    standin_parameters,
    standin_state,
    standin_step,
)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """Session after three iterations, whose maps hold the stand-ins' helix."""
    particles: Any = StandinParticles()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(initial, "initial_state", standin_initial_state)
        patch.setattr(refinement, "step", standin_step())
        yield Session(particles, standin_parameters(), progress=False).run(
            3, background=False
        )


def test_candidates_are_a_table(session: Session) -> None:
    table = session.candidates
    assert table.index.name == "rank"
    assert list(table.relation) == ["best", "2 x the best", ""]
    assert table.twist_deg[1] == TWIST_DEG
    assert table.pitch_A[1] == pytest.approx(360 * RISE_A / abs(TWIST_DEG))
    assert list(table.hand) == ["left", "left", "left"]


def test_errors_are_shown_wherever_the_symmetry_is(session: Session) -> None:
    joint = session.score_map["joint"].attrs
    assert (joint["twist_sd_deg"], joint["rise_sd_A"]) == (0.02, 0.01)
    last = session.history.iloc[-1]
    assert (last.twist_sd_deg, last.rise_sd_A) == (0.02, 0.01)
    assert "0.02 deg, 0.01 A" in repr(session)
    assert "0.02 deg, 0.01 A" in session._repr_html_()


def test_before_a_search_there_is_none(session: Session) -> None:
    first: Any = Session(
        session.particles, standin_parameters(search_symmetry=False), progress=False
    )
    with pytest.raises(InputError, match=r"session\.step"):
        _ = first.candidates
    first.step()
    for ask in (lambda: first.candidates, first.score_again):
        with pytest.raises(InputError, match="No score map yet"):
            ask()


def test_maps_are_scored_again_with_other_settings(session: Session) -> None:
    again = session.score_again(
        twist_extent_deg=6.0, search_twist_points=64, search_rise_points=32
    )
    assert again["joint"].shape == (64, 32)
    # The stand-ins' score maps are made up; these are of their maps.
    assert again["joint"].attrs["best_twist_deg"] == pytest.approx(TWIST_DEG, abs=1)
    assert again["joint"].attrs["best_rise_A"] == pytest.approx(RISE_A, abs=0.3)
    assert np.ptp(again["twist"].to_numpy()) == pytest.approx(12.0)
    coarse = session.score_again(search_resolution_A=25.0)
    assert coarse.attrs["resolution_A"] == 25.0
    thin = session.score_again(search_outer_diameter_A=50.0)
    assert thin.attrs["outer_diameter_A"] == 50.0
    moved = session.score_again(twist_deg=-58.0)
    assert float(moved["twist"].mean()) == pytest.approx(-58.0)
    assert session.parameters.changes == {}


def test_only_what_must_is_prepared_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from helixnb.iteration import twist_rise

    calls: list[object] = []
    original = twist_rise.prepare_state

    def counted(*args: Any) -> Any:
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(twist_rise, "prepare_state", counted)
    session.score_again(search_resolution_A=21.0)
    session.score_again(search_resolution_A=21.0, twist_extent_deg=2.0)
    session.score_again(search_resolution_A=21.0, rise_extent_percent=5.0)
    assert len(calls) == 1
    session.score_again(search_resolution_A=22.0)
    session.score_again(search_resolution_A=22.0, search_inner_diameter_A=10.0)
    assert len(calls) == 3


def test_a_saved_state_keeps_its_search(tmp_path: Path) -> None:
    state = standin_state(4)
    write_checkpoint(tmp_path / "state.npz", state)
    read = read_checkpoint(tmp_path / "state.npz")
    assert state.scores is not None
    assert read.scores.candidates == state.scores.candidates
    assert read.scores.dyad == state.scores.dyad
    np.testing.assert_array_equal(
        read.scores.joint.best.curvature, state.scores.joint.best.curvature
    )
    np.testing.assert_array_equal(read.blind_maps, state.blind_maps)
