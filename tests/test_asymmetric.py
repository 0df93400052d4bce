"""Asymmetric refinement from nothing: twist and rise start it, and are not imposed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.truth import compare
from helixnb import Session
from helixnb.io.mrc import read_map
from helixnb.simulate import Filaments, Microscope, SimulatedData, simulate_segments

ITERATIONS, BOOTSTRAP = 7, 5
SPLIT_A = 20.0
"""Below it the halves share their average; only what lies beyond was found apart."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SimulatedData:
    return simulate_segments(
        tmp_path_factory.mktemp("data"),
        twist_deg=54.0,
        rise_A=16.5,
        box_px=40,
        pixel_size_A=4.5,
        filaments=Filaments(n_filaments=10, segments_per_filament=12),
        microscope=Microscope(snr=0.5),
        seed=1,
    )


def _resolution_to_truth_A(session: Session, path: Path) -> float:
    truth, pixel_A, _ = read_map(path)
    found = np.asarray(session.map, np.float32)
    return compare(found, truth, pixel_A, radius_A=45.0).at_half_A


def test_released_symmetry_leaves_a_right_map_where_none_leaves_a_wrong_one(
    data: SimulatedData,
) -> None:
    ended = {}
    for name, given in (
        ("released", {"twist_deg": 53.0, "rise_A": 16.8, "impose_symmetry": False}),
        ("nothing", {}),
    ):
        session = Session.from_file(
            data.particles_star,
            starts=1,
            seed=1,
            progress=False,
            bootstrap_iterations=BOOTSTRAP,
            **given,
        )
        session.run(ITERATIONS, background=False)
        ended[name] = _resolution_to_truth_A(session, data.truth_map)
        assert session.state is not None
        assert session.state.symmetry is None
        assert session.state.symmetry_order == 1
        if name == "released":
            imposed = session.history["parameter_twist_deg"].notna()
            assert list(imposed) == [True] * BOOTSTRAP + [False] * (
                ITERATIONS - BOOTSTRAP
            )
    assert ended["released"] < SPLIT_A < ended["nothing"]
