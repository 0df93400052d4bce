"""Views of layer lines, filaments, particles, means, surface, symmetry and Guinier.

What each plot draws is compared with hand-made data or with sums over subunits; every
view must follow a new state and survive a refinement without poses or symmetry.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import pytest
import xarray as xr
from bokeh.document import Document

from helixnb import Session
from helixnb.dashboards import dashboard
from helixnb.dashboards.chart import Chart, Layer, value_at
from helixnb.dashboards.drawing import ChartPane, Drawing
from helixnb.dashboards.live import SessionView
from helixnb.dashboards.views import (
    filaments,
    guinier,
    layer_lines,
    means,
    particles,
    surface,
    symmetry,
)
from helixnb.iteration import initial, refinement
from helixnb.iteration.state import State
from tests.standins import (
    PIXEL_SIZE_A,
    RISE_A,
    StandinParticles,
    standin_parameters,
    standin_state,
)

VIEWS = (layer_lines, filaments, particles, means, surface, symmetry, guinier)


def _session(monkeypatch: pytest.MonkeyPatch, *states: State) -> Session:
    """Session whose steps hand out these states, one after the other."""
    coming = iter(states)
    first = standin_state(0)
    monkeypatch.setattr(initial, "initial_state", lambda *_: first)
    monkeypatch.setattr(refinement, "step", lambda *_: next(coming))
    images: Any = StandinParticles()
    session = Session(images, standin_parameters(), progress=False)
    session.step()
    return session


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield _session(monkeypatch, standin_state(4))


def shown(page: Any) -> list[Chart]:
    """Charts that a page shows now."""
    return [pane.object for pane in pn.panel(page).select(ChartPane)]


def picture(chart: Chart) -> Any:
    """Pixels of the first picture of a chart."""
    return next(x for x in chart.layers if x.glyph == "image").columns["image"][0]


def points(layer: Layer) -> list[tuple[float, float]]:
    return list(zip(layer.columns["x"], layer.columns["y"], strict=True))


def slider(page: Any, label: str) -> pn.widgets.FloatSlider:
    (found,) = (w for w in page.select(pn.widgets.FloatSlider) if w.label == label)
    return found


# --- layer lines ----------------------------------------------------------------------


@pytest.fixture
def spectrum(rng: np.random.Generator) -> xr.Dataset:
    """Random power of 9 rows and 13 columns."""
    dims = ("axial_frequency", "radial_frequency")
    coords = {dims[0]: np.arange(9) * 0.01, dims[1]: np.arange(-6, 7) * 0.01}
    values = {n: (dims, rng.uniform(0, 9, (9, 13))) for n in ("images", "model")}
    return xr.Dataset(values, coords)


def test_images_are_left_above_their_noise_and_the_model_right(
    spectrum: xr.Dataset, session: Session
) -> None:
    image = layer_lines.plot(spectrum, session.layer_lines()).layers[0]
    for z, r in ((0.03, -0.04), (0.08, -0.01), (0.03, 0.02), (0.0, 0.05)):
        row = spectrum.sel(axial_frequency=z, method="nearest")
        near = row.sel(radial_frequency=slice(r - 0.011, r + 0.011)).mean()
        power = max(float(near["images"]) - 1, 0) if r < 0 else float(near["model"])
        assert value_at(image, r, z) == pytest.approx(np.sqrt(power))


def test_ticks_are_where_all_subunits_scatter_in_phase(
    spectrum: xr.Dataset, session: Session
) -> None:
    twist_deg, rise_A = 27.3, 11.0
    lines = session.layer_lines(twist_deg=twist_deg, rise_A=rise_A, max_order=5)
    segments = layer_lines.plot(spectrum, lines).layers[2].columns
    order, z = segments["order"], segments["y0"]
    assert set(order) == set(range(-5, 6))
    k = np.arange(40)
    phase = order[:, None] * np.deg2rad(twist_deg) * k + 2 * np.pi * rise_A * np.outer(
        z, k
    )
    np.testing.assert_allclose(np.abs(np.exp(1j * phase).mean(1)), 1, atol=1e-6)
    # The same as the usual rule, Z = m / rise + n / pitch; n is negative to the left.
    branch, pitch_A = segments["branch"], rise_A * 360 / -twist_deg
    np.testing.assert_allclose(z, branch / rise_A + order / pitch_A, atol=1e-9)
    # Each on both sides, from its first maximum outwards.
    start, end = segments["x0"], segments["x1"]
    np.testing.assert_allclose(start[0::2], -start[1::2])
    assert (np.abs(end) > np.abs(start)).all()


def test_orders_are_written_where_they_can_be_read(session: Session) -> None:
    lines = session.layer_lines(twist_deg=-166.67, rise_A=28.1, max_order=6)
    lines = lines[lines["z_per_A"] < 0.2]
    chosen = lines[layer_lines.labelled(lines, 0.2)]
    gaps = np.diff(np.sort(chosen["z_per_A"]))
    assert gaps.min() >= layer_lines.LABEL_ROOM * 0.2
    # Meridional lines are 1/28.1 apart: there is room for all but the equator's.
    assert (lines["order"] == 0).sum() == (chosen["order"] == 0).sum() + 1 > 2


# --- filaments ------------------------------------------------------------------------


TABLE = pd.DataFrame(
    {
        "deviation_sd_deg": [2.0, 9.0, np.nan, 4.0],
        "polarity": [0, 1, 0, 1],
        "polarity_probability": [1.0, 0.9, 0.6, 1.0],
        "outliers": [0, 2, 0, 1],
        "segments": [5, 6, 7, 8],
        "twist_deg": [-60.0, -59.0, np.nan, -60.5],
        "name": list("abcd"),
    },
    index=pd.Index(range(4), name="filament"),
)
SEGMENTS = xr.Dataset(
    {
        name: ("particle", np.array(values))
        for name, values in {
            "filament": [0, 1, 1, 1, 1],
            "position": [0.0, 60.0, 0.0, 20.0, 40.0],
            "azimuth_unwound": [5.0, 64.0, 1.0, 19.0, 80.0],
            "azimuth_deviation": [0.0, 4.0, 1.0, -1.0, 40.0],
            "outlier": [False, False, False, False, True],
        }.items()
    },
    {"particle": np.arange(5)},
)


def test_filaments_with_outliers_are_crossed_and_the_chosen_ringed() -> None:
    same, opposite, crossed, ring = filaments.plot(TABLE, chosen=3).layers
    assert points(same)[0] == (0, 2.0)
    assert [x for x, _ in points(same)] == [0, 2]
    assert points(opposite) == points(crossed) == [(1, 9.0), (3, 4.0)]
    assert points(ring) == [(3, 4.0)]
    np.testing.assert_allclose(same.columns["decided"], [1.0, 0.2])
    assert filaments.plot(TABLE).title.startswith("4 filaments, 2 turned")


def test_one_filament_is_drawn_along_its_axis_with_its_helix() -> None:
    helix, good, bad = filaments.along(SEGMENTS, TABLE, 1).layers
    assert points(helix) == [(0, 0), (20, 20), (40, 40), (60, 60)]
    assert points(good) == [(0, 1), (20, 19), (60, 64)]
    assert points(bad) == [(40, 80)]
    others, own = filaments.deviations(SEGMENTS, 1).layers
    assert points(others) == [(0, 0)]
    assert sorted(points(own)) == [(0, 1), (20, -1), (40, 40), (60, 4)]


# --- particles and means --------------------------------------------------------------


def test_segments_are_ranked_by_evidence_and_unknown_ones_left_out() -> None:
    class Known:
        orientations = xr.Dataset(
            {"log_evidence": ("particle", [3.0, np.nan, 9.0, -2.0, 5.0])}
        )

    assert particles.ranked(Known, "worst", 2) == [3, 0]
    assert particles.ranked(Known, "best", 9) == [2, 4, 0, 3]


def test_images_are_above_their_projections(rng: np.random.Generator) -> None:
    tiles = rng.random((2, 3, 20, 20))
    tiles[1] = 1 - tiles[0]
    dims = ("particle", "y", "x")
    pictures = xr.Dataset(
        {"image": (dims, tiles[0]), "model": (dims, tiles[1])},
        {"particle": [7, 1, 4], "correlation": ("particle", [0.5, 0.25, 0.125])},
        {"lowpass_A": 12.0},
    )
    drawn = particles.plot(pictures, "Some")
    image, heads, names = drawn.layers
    assert heads.columns["text"] == ["7: cc 0.50", "1: cc 0.25", "4: cc 0.12"]
    above = dict(zip(names.columns["text"], names.columns["y"], strict=True))
    assert above["image"] > above["model"]
    assert (np.diff(heads.columns["x"]) > 0).all()
    # The middle pixel of a tile, at the place its labels tell: opposite grey values.
    for x in heads.columns["x"]:
        grey = [value_at(image, x, above[row]) for row in ("image", "model")]
        assert sum(grey) == pytest.approx(255, abs=3)
    assert "12 Å" in drawn.title


def test_means_show_images_and_projection_of_the_same_view(session: Session) -> None:
    page = means.view(session)
    slider(page, "Seen from azimuth (°)").value = 0.0
    images, model = shown(page)
    expected = session.image_mean(0.0)
    for drawn, name in ((images, "images"), (model, "model")):
        np.testing.assert_allclose(picture(drawn), expected[name], rtol=1e-4, atol=1e-6)
    assert str(expected.attrs["n_images"]) in images.title


# --- surface, score map, Guinier plot -------------------------------------------------


def test_the_surface_is_where_the_density_is(session: Session) -> None:
    volume = session.map.copy()
    volume[:] = 0
    volume.loc[{"z": slice(15, 33), "y": slice(-9, 9), "x": slice(-42, -24)}] = 1.0
    brightness = picture(surface.plot(volume))
    place = (np.arange(surface.SIZE_PX) + 0.5) / surface.SIZE_PX - 0.5
    across = along = place * len(volume) * PIXEL_SIZE_A
    seen = np.isfinite(brightness)
    assert across[seen.any(0)].mean() == pytest.approx(-33, abs=PIXEL_SIZE_A)
    assert along[seen.any(1)].mean() == pytest.approx(24, abs=PIXEL_SIZE_A)
    assert np.ptp(along[seen.any(1)]) == pytest.approx(18, abs=2 * PIXEL_SIZE_A)
    # From behind, left is right.
    behind = picture(surface.plot(volume, azimuth_deg=180))
    assert across[np.isfinite(behind).any(0)].mean() > 20


def test_sliders_score_the_maps_again(session: Session) -> None:
    used = session.parameters.frozen
    page = symmetry.view(session)
    extent = slider(page, "Rise ± (%)")
    extent.value = 2 * used.rise_extent_percent
    (drawn,) = shown(page)
    expected = session.score_again(rise_extent_percent=extent.value)["joint"]
    np.testing.assert_allclose(picture(drawn), expected.transpose("rise", "twist"))
    bottom, top = drawn.y.limits or (0, 0)
    assert top - bottom > 1.8 * RISE_A * 2 * used.rise_extent_percent / 100
    assert f"{expected.attrs['best_rise_A']:.3f} Å" in drawn.title
    assert session.parameters.frozen == used


def test_sliders_show_what_is_in_force_until_they_are_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    later = standin_state(6, standin_parameters(search_resolution_A=8.0))
    session = _session(monkeypatch, standin_state(4), later, standin_state(8))
    page = symmetry.view(session)
    moved, untouched = slider(page, "Twist ± (°)"), slider(page, "Resolution (Å)")
    moved.value = 7.5
    session.step()
    assert untouched.value == 8.0
    assert moved.value == 7.5
    buttons = {b.label: b for b in page.select(pn.widgets.Button)}
    buttons["Search like this"].clicks += 1
    assert session.parameters.twist_extent_deg == 7.5
    # The slider that nobody moved is not a choice.
    assert session.parameters.search_resolution_A is None


def test_candidates_are_listed_with_their_relation(session: Session) -> None:
    lines = symmetry.candidate_lines(session.candidates)
    assert len(lines) == len(session.candidates)
    assert list(lines.values()) == [
        (row.twist_deg, row.rise_A) for row in session.candidates.itertuples()
    ]
    first, second, _ = lines
    assert first.endswith("best")
    assert second.endswith("2 x the best")
    assert not symmetry.candidate_lines(session.candidates.iloc[:0])


def test_a_click_on_a_candidate_chooses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    session = _session(monkeypatch, standin_state(4))
    follow = SessionView(session)
    page = symmetry.view(follow)
    (table,) = page.select(pn.widgets.RadioButtonGroup)
    table.value = table.options[1]
    chosen = session.parameters.twist_deg, session.parameters.rise_A
    assert chosen == tuple(session.candidates.loc[2, ["twist_deg", "rise_A"]])
    # On the map, a click beside one means it; a click elsewhere means the place.
    pane = page.select(ChartPane)[0]
    third = session.candidates.loc[3]
    pane.on_tap(third["twist_deg"] + 0.03, third["rise_A"] - 0.01)
    assert session.parameters.twist_deg == third["twist_deg"]
    assert table.value == table.options[2]
    pane.on_tap(-61.0, 14.4)
    assert (session.parameters.twist_deg, session.parameters.rise_A) == (-61.0, 14.4)
    assert table.value is None
    assert not follow.problem


def test_guinier_plot_has_the_curves_the_line_and_its_slope() -> None:
    place = np.linspace(0, 0.04, 6)
    values = {
        "amplitude": 3 - 10 * place,
        "weighted": 2 - 15 * place,
        "fit": np.where(place > 0.01, 2 - 15 * place, np.nan),
    }
    data = xr.Dataset(
        {name: ("inverse_square", v) for name, v in values.items()},
        {"inverse_square": place},
        {"b_factor_A2": 60.0},
    )
    drawn = guinier.plot(data)
    for curve, name in zip(drawn.layers, values, strict=True):
        np.testing.assert_array_equal(curve.columns["x"], place)
        np.testing.assert_array_equal(curve.columns["y"], values[name])
    assert "B = 60 Å²" in drawn.title
    for at, text in drawn.x.ticks or ():
        assert at == pytest.approx(float(text) ** -2)
    unknown = guinier.plot(data.assign_attrs(b_factor_A2=np.nan))
    assert "too short" in unknown.title


# --- all of them ----------------------------------------------------------------------


def asymmetric() -> State:
    """State of a refinement without helical symmetry."""
    state = standin_state(4)
    used = state.parameters.changed(twist_deg=None, rise_A=None)
    return replace(
        state,
        parameters=used,
        symmetry=None,
        estimate=None,
        scores=None,
        blind_maps=None,
        symmetry_order=1,
    )


@pytest.mark.parametrize(
    "state", [standin_state(0), asymmetric()], ids=["no poses", "no symmetry"]
)
def test_what_is_missing_is_not_an_error(
    monkeypatch: pytest.MonkeyPatch, state: State
) -> None:
    follow = SessionView(_session(monkeypatch, state))
    for module in VIEWS:
        shown(module.view(follow))
    assert not follow.problem


def test_only_the_open_tab_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    session = _session(monkeypatch, standin_state(3), standin_state(4))
    page = dashboard(session).__panel__()
    page.get_root(Document())
    (tabs,) = (
        w for w in page.select(pn.widgets.RadioButtonGroup) if "Overview" in w.options
    )
    hidden = page.select(ChartPane)
    tabs.value = "Orientations"
    open_now = [pane for pane in page.select(ChartPane) if pane not in hidden]
    drawn: list[Chart] = []
    show = Drawing.show
    monkeypatch.setattr(
        Drawing, "show", lambda self, chart: (drawn.append(chart), show(self, chart))
    )
    before = [pane.object for pane in hidden]
    session.step()
    assert len(drawn) == len(open_now) > 0
    assert [pane.object for pane in hidden] == before
    tabs.value = "Overview"
    assert all(a is not b.object for a, b in zip(before, hidden, strict=True))
    assert "iteration 4" in hidden[0].object.title


def test_what_takes_a_moment_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not first with the old value when a state is new, and again with the new one."""
    session = _session(monkeypatch, standin_state(3), standin_state(4))
    pane = particles.view(SessionView(session)).select(ChartPane)[0]
    frames: list[Chart] = []
    pane.param.watch(lambda change: frames.append(change.new), "object")
    session.step()
    end = time.monotonic() + 20
    while not frames:
        assert time.monotonic() < end, "it was not drawn"
        time.sleep(0.01)
    time.sleep(0.3)
    assert len(frames) == 1


def test_views_follow_a_new_state(monkeypatch: pytest.MonkeyPatch) -> None:
    session = _session(monkeypatch, standin_state(3), standin_state(5))
    follow = SessionView(session)
    page = pn.Column(surface.view(follow), symmetry.view(follow), guinier.view(follow))
    before = shown(page)
    session.step()
    after = shown(page)
    np.testing.assert_array_equal(picture(after[0]), picture(surface.plot(session.map)))
    np.testing.assert_allclose(
        picture(after[1]), session.score_map["joint"].transpose("rise", "twist")
    )
    curve = after[2].layer("map").columns["y"]
    np.testing.assert_array_equal(curve, session.guinier["amplitude"])
    assert not np.array_equal(before[2].layer("map").columns["y"], curve)


def test_large_maps_are_averaged_before_their_surface_is_drawn(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(surface, "MAX_BOX", 8)
    place = np.arange(-8, 8) * 2.0
    volume = xr.DataArray(
        rng.random((16, 16, 16)), dict.fromkeys("zyx", place), tuple("zyx")
    )
    small = surface.reduced(volume)
    assert small.shape == (8, 8, 8)
    assert float(small[3, 1, 6]) == pytest.approx(float(volume[6:8, 2:4, 12:14].mean()))
    drawn = surface.plot(volume)
    assert drawn.x.limits == drawn.y.limits == (-16, 16)
