"""Pose grids: what they cover, how fine they are, and that children tile parents."""

import itertools

import numpy as np
import pytest

from helixnb.core.search import (
    AXIAL_FRACTION,
    COARSEST_RESOLUTION_A,
    STEP_FRACTION,
    Cells,
    PoseSpread,
    SearchLevel,
    complete_grid,
    harmonic_limit,
    oversampled,
    plan_levels,
)

SPREAD = PoseSpread(psi_deg=3.0, tilt_deg=4.0, shift_px=2.5)
BOX, RADIUS = 128, 22.0


def _plan(k_max: int = 30, cyclic: int = 1, **values: float) -> list[SearchLevel]:
    settings = {
        "box_px": BOX,
        "pixel_size_A": 2.0,
        "radius_px": RADIUS,
        "axial_range_px": 14.0,
        "cyclic": cyclic,
        "spread": SPREAD,
        "tilt_limit_deg": 15.0,
        "fine_m_max": 0,
    } | values
    return plan_levels(k_max, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("k_max", [6, 16, 23, 48])
def test_every_level_reaches_three_standard_deviations(k_max: int) -> None:
    for level in _plan(k_max):
        for offsets, step, sd in (
            (level.psi_offset_deg, level.psi_step_deg, SPREAD.psi_deg),
            (level.tilt_offset_deg, level.tilt_step_deg, SPREAD.tilt_deg),
            (level.shift_px, level.shift_step_px, SPREAD.shift_px),
        ):
            # A cell stands for half a step on either side of its centre.
            assert offsets[-1] + step / 2 >= 3 * sd - 1e-9
            np.testing.assert_allclose(offsets, -offsets[::-1], atol=1e-12)
            if len(offsets) > 1:
                np.testing.assert_allclose(np.diff(offsets), step)


def test_every_level_reaches_as_far_about_the_farthest_prior() -> None:
    for level in _plan(30, prior_tilt_deg=7.0, prior_shift_px=6.0, tilt_limit_deg=40.0):
        tilt = level.tilt_offset_deg[-1] + level.tilt_step_deg / 2
        shift = level.shift_px[-1] + level.shift_step_px / 2
        assert tilt >= 7 + 3 * SPREAD.tilt_deg - 1e-9
        assert shift >= 6 + 3 * SPREAD.shift_px - 1e-9


def test_tilt_stays_within_its_limit() -> None:
    for level in _plan(30, tilt_limit_deg=5.0):
        edge = level.tilt_offset_deg[-1] + level.tilt_step_deg / 2
        assert 5.0 <= edge < 5.0 + _plan(30)[0].tilt_step_deg


@pytest.mark.parametrize("k_max", [6, 16, 23, 48])
def test_steps_move_density_by_a_fraction_of_the_resolution(k_max: int) -> None:
    levels = _plan(k_max)
    assert levels[-1].k_max == k_max
    for level in levels:
        wavelength = BOX / level.k_max
        allowed = STEP_FRACTION * wavelength * 1.1  # bands are whole pixels
        assert np.deg2rad(level.psi_step_deg) * BOX / 2 <= allowed
        assert np.deg2rad(level.tilt_step_deg) * RADIUS <= allowed
        assert level.shift_step_px <= allowed
        assert (
            level.axial_range_px / level.n_axial <= AXIAL_FRACTION * wavelength + 1e-9
        )
        # The azimuths resolve every order in the band.
        assert level.n_azimuth >= 2 * level.m_max + 1


@pytest.mark.parametrize("k_max", [16, 21, 40, 64, 100])
def test_levels_double_the_band_or_halve_the_steps(k_max: int) -> None:
    levels = _plan(k_max)
    assert len(levels) > 1
    for coarse, fine in itertools.pairwise(levels):
        assert fine.k_max in (coarse.k_max, 2 * coarse.k_max - 1, 2 * coarse.k_max)
        finer = fine.n_psi // coarse.n_psi
        assert finer in (1, 2)
        for n in ("n_psi", "n_tilt", "n_shift"):
            assert getattr(fine, n) == finer * getattr(coarse, n)
        for step in ("psi_step_deg", "tilt_step_deg", "shift_step_px"):
            assert getattr(fine, step) == getattr(coarse, step) / finer


@pytest.mark.parametrize("k_max", [16, 21, 40, 64, 100])
def test_bands_below_the_last_are_searched_in_steps_of_the_next(k_max: int) -> None:
    levels = _plan(k_max)
    finest_of_band = {level.k_max: level for level in levels}
    *coarse, last = finest_of_band.values()
    assert coarse
    for level in coarse:
        moved = np.deg2rad(level.psi_step_deg) * BOX / 2
        assert moved <= STEP_FRACTION / 2 * BOX / level.k_max * 1.1
        assert level.shift_step_px <= STEP_FRACTION / 2 * BOX / level.k_max * 1.1
    # The last is as fine as it has to be, and no finer.
    least = STEP_FRACTION * BOX / last.k_max * 0.8
    assert last.shift_step_px > least
    assert np.deg2rad(last.psi_step_deg) * BOX / 2 > least
    assert np.deg2rad(last.tilt_step_deg) * RADIUS > least


def test_the_lowest_band_still_tells_poses_apart() -> None:
    pixel_A = 2.0
    for k_max in range(4, 60):
        lowest = _plan(k_max, pixel_size_A=pixel_A)[0].k_max
        assert lowest >= 4
        assert BOX * pixel_A / lowest <= max(
            COARSEST_RESOLUTION_A, BOX * pixel_A / k_max
        )


def test_azimuths_of_the_finest_level_serve_the_reconstruction() -> None:
    levels = _plan(40, fine_m_max=90)
    assert levels[-1].n_azimuth >= 181
    assert levels[0].n_azimuth < 181


def test_axial_shifts_cover_one_rise_once() -> None:
    level = _plan(30)[-1]
    assert level.axial_px[0] == -level.axial_range_px / 2
    spacing = np.diff(level.axial_px)
    np.testing.assert_allclose(spacing, level.axial_range_px / level.n_axial)
    assert level.axial_px[-1] + spacing[0] == pytest.approx(level.axial_range_px / 2)


@pytest.mark.parametrize("cyclic", [1, 3, 17])
def test_harmonic_limit_holds_what_a_point_at_the_rim_shows(cyclic: int) -> None:
    from scipy.special import jv

    for k in (5, 20, 50):
        m = harmonic_limit(k, BOX, RADIUS, cyclic)
        x = 2 * np.pi * RADIUS * k / BOX
        orders = cyclic * np.arange(m + 1, 4 * m + 8)
        assert (jv(orders, x) ** 2).sum() < 1e-3
        # And it is not needlessly generous.
        assert cyclic * m < 1.6 * x + 10 + cyclic


def test_complete_grid_holds_every_cell_once() -> None:
    level = _plan(12)[0]
    cells = complete_grid(3, level)
    assert len(cells) == 3 * level.cells_per_image
    rows = np.stack([cells.image, cells.polarity, cells.psi, cells.tilt, cells.shift])
    assert len(np.unique(rows, axis=1).T) == len(cells)
    assert (np.diff(cells.tilt) >= 0).all()
    assert cells.polarity.max() == 1
    assert cells.psi.max() == level.n_psi - 1
    assert cells.shift.max() == level.n_shift - 1


def _rows(cells: Cells, *, sort: bool = True) -> list[tuple[int, ...]]:
    columns = (cells.image, cells.polarity, cells.psi, cells.tilt, cells.shift)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return sorted(rows) if sort else rows


@pytest.mark.parametrize("oversampling", [False, True])
def test_children_tile_their_parent(oversampling: bool) -> None:
    coarse, fine = _plan(40)[:2]
    if oversampling:
        fine = oversampled(coarse)
    parents = complete_grid(2, coarse)
    children = parents.divided(coarse, fine)
    # All of them together are the whole finer grid, each cell once.
    each = 4 if oversampling else 8
    assert len(children) == each * len(parents)
    assert _rows(children) == _rows(complete_grid(2, fine))
    one = Cells(*(np.array([v], np.int32) for v in (1, 1, 1, 2, 0)))
    own = one.divided(coarse, fine)
    assert len(own) == each
    assert (np.diff(own.tilt) >= 0).all()
    assert set(own.image) == set(own.polarity) == {1}
    for axis, offset, step in (
        ("psi", "psi_offset_deg", "psi_step_deg"),
        ("tilt", "tilt_offset_deg", "tilt_step_deg"),
        ("shift", "shift_px", "shift_step_px"),
    ):
        centre = getattr(coarse, offset)[getattr(one, axis)]
        found = getattr(fine, offset)[getattr(own, axis)] - centre
        kept = oversampling and axis == "tilt"
        quarter = 0.0 if kept else getattr(coarse, step) / 4
        expected = quarter * np.repeat([-1.0, 1.0], each // 2)
        np.testing.assert_allclose(np.sort(found), expected, atol=1e-9)


def test_taken_cells_are_sorted_by_tilt() -> None:
    cells = complete_grid(2, _plan(12)[0])
    index = np.array([50, 3, len(cells) - 1, 17, 3])
    taken = cells.take(index)
    assert (np.diff(taken.tilt) >= 0).all()

    assert _rows(taken) == sorted(_rows(cells, sort=False)[i] for i in index)
