"""A static mask: checked when given, used from the first iteration, never lost."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb import Session
from helixnb.core.masks import cylinder
from helixnb.errors import InputError
from helixnb.io.mrc import write_map
from helixnb.iteration import initial, refinement
from helixnb.simulate import Filaments, simulate_segments
from tests.fakes import FakeRefinement
from tests.standins import (
    BOX_PX,
    PIXEL_SIZE_A,
    StandinParticles,
    standin_parameters,
    standin_state,
)

MASK = cylinder(BOX_PX, outer_radius_px=9)


class _Recorder(FakeRefinement):
    """Remembers the static mask of every step."""

    def __init__(self) -> None:
        super().__init__(standin_state(1))
        self.masks: list[NDArray | None] = []

    def step(self, *args: Any) -> Any:
        self.masks.append(args[-1])
        return super().step(*args)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> _Recorder:
    fake = _Recorder()
    monkeypatch.setattr(initial, "initial_state", fake.initial_state)
    monkeypatch.setattr(refinement, "step", fake.step)
    return fake


@pytest.fixture
def session(fake: _Recorder) -> Session:
    particles: Any = StandinParticles()
    return Session(particles, standin_parameters(), progress=False)


def test_mask_is_used_from_the_first_iteration(
    session: Session, fake: _Recorder
) -> None:
    assert session.use_mask(MASK) is session
    session.step()
    assert session.state is not None
    assert session.state.parameters.mask == "static"
    np.testing.assert_array_equal(fake.masks[0], MASK)
    np.testing.assert_array_equal(
        session.masks["refinement"], session.masks["refinement"] * (MASK > 0)
    )


def test_mask_of_a_file_is_that_of_its_array(session: Session, tmp_path: Path) -> None:
    write_map(tmp_path / "mask.mrc", MASK, PIXEL_SIZE_A)
    session.use_mask(tmp_path / "mask.mrc").step()
    from_file = session.masks["refinement"]
    session.use_mask(MASK)
    np.testing.assert_array_equal(from_file, session.masks["refinement"])


def test_the_callers_array_is_not_kept(session: Session, fake: _Recorder) -> None:
    mine = MASK.copy()
    session.use_mask(mine)
    mine[:] = 0
    session.step()
    np.testing.assert_array_equal(fake.masks[0], MASK)


def test_static_without_a_mask_is_refused_and_says_how(session: Session) -> None:
    session.parameters.mask = "static"
    with pytest.raises(InputError, match=r"session\.use_mask\('mask\.mrc'\)"):
        session.step()
    session.use_mask(MASK).step()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((20, 20, 20)), "20 x 20 x 20 voxels, the particles have a box of 40"),
        (np.zeros((40, 40)), "40 x 40 voxels"),
        (np.full((40,) * 3, np.nan), "64000 voxels are NaN"),
        (3 * MASK, "values from 0 to 3"),
        (MASK - 0.5, "values from -0.5"),
        (np.zeros((40,) * 3), "keeps nothing"),
    ],
)
def test_unusable_mask_is_refused_and_nothing_changes(
    session: Session, mask: NDArray, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        session.use_mask(mask)
    assert session.parameters.mask == "cylinder"
    session.step()


def test_other_pixel_size_is_refused(session: Session, tmp_path: Path) -> None:
    write_map(tmp_path / "mask.mrc", MASK, 1.5)
    with pytest.raises(InputError, match=r"voxels of 1\.5 A.*pixels of 3 A"):
        session.use_mask(tmp_path / "mask.mrc")


def test_hard_edges_are_warned_of(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.use_mask(MASK)
    assert not caplog.records
    session.use_mask(MASK > 0.5)
    assert "hard edges" in caplog.text


def test_mask_survives_undo_and_branches(session: Session, fake: _Recorder) -> None:
    session.use_mask(MASK).step().step().back()
    session.step()
    session.fork().step()
    assert all(np.array_equal(mask, MASK) for mask in fake.masks)
    assert len(fake.masks) == 4


def test_mask_survives_saving(fake: _Recorder, tmp_path: Path) -> None:
    data = simulate_segments(
        tmp_path,
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=BOX_PX,
        pixel_size_A=PIXEL_SIZE_A,
        filaments=Filaments(n_filaments=2, segments_per_filament=3),
    )
    session = Session.from_star(
        data.particles_star, twist_deg=-59.5, rise_A=14.2, progress=False
    )
    session.use_mask(MASK).step().save(tmp_path / "s.npz")
    again = Session.load(tmp_path / "s.npz", progress=False)
    assert again.parameters.mask == "static"
    again.step()
    np.testing.assert_array_equal(fake.masks[-1], MASK)


def test_script_gives_the_mask(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "mask.mrc"
    write_map(path, MASK, PIXEL_SIZE_A)
    session.step().use_mask(path).step()
    lines = session.to_script().splitlines()
    start = lines.index(f"session.use_mask({str(path)!r})")
    assert lines[start + 1 :] == [
        "session.parameters.mask = 'cylinder'",
        "session.step()",
        "session.parameters.set(mask='static')",
        "session.step()",
    ]
