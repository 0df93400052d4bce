"""A little of what benchmarks/endurance.py does at length."""

from pathlib import Path

from benchmarks.endurance import cycled, grown, make_session


def test_steps_and_dashboards_leave_nothing_behind(tmp_path: Path) -> None:
    session = make_session(tmp_path)
    grown(session, 8)  # fills the states that are kept, and caches
    # A state has 515 kB: one that is not given up would show.
    assert grown(session, 12)["kB_per_step"] < 400
    left = cycled(session, 3)
    assert left["dashboards"] == 3
    assert left["threads_left"] <= 0
    # Documents are counted by the benchmark: in here the last are held a while longer.
    assert left["listeners_left"] == 0
