"""Dashboards: what the plots show, and that page and session follow each other."""

import gc
import html
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
import pytest
import xarray as xr
from bokeh.events import Tap
from bokeh.models import ColumnDataSource, HoverTool

from helixnb import Session, results
from helixnb.core.places import places_of
from helixnb.dashboards import binning, dashboard, pictures, volumes
from helixnb.dashboards.chart import Chart, Layer, line, value_at
from helixnb.dashboards.drawing import ChartPane
from helixnb.dashboards.live import SessionView, live_chart
from helixnb.dashboards.parameter_widgets import ParameterWidgets
from helixnb.dashboards.views import (
    controls,
    convergence,
    fsc,
    orientations,
    score_map,
    slices,
)
from helixnb.iteration import initial, refinement
from helixnb.parameters import field_names
from tests.standins import (
    PIXEL_SIZE_A,
    RISE_A,
    TWIST_DEG,
    StandinParticles,
    standin_initial_state,
    standin_parameters,
    standin_state,
    standin_step,
)

TIMEOUT_S = 20


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """Session of which each step takes no time."""
    monkeypatch.setattr(initial, "initial_state", standin_initial_state)
    monkeypatch.setattr(refinement, "step", standin_step())
    particles: Any = StandinParticles()
    return Session(particles, standin_parameters(), progress=False)


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def picture(chart: Chart) -> Any:
    """Pixels of the first picture of a chart."""
    (first, *_) = (x for x in chart.layers if x.glyph == "image")
    return first.columns["image"][0]


def labelled(chart: Chart, glyph: str) -> dict[str, Layer]:
    return {x.label: x for x in chart.layers if x.glyph == glyph}


def texts(page: Any) -> str:
    """All HTML on a page."""
    return " ".join(str(pane.object) for pane in pn.panel(page).select(pn.pane.HTML))


def buttons(page: Any) -> dict[str, pn.widgets.Button]:
    return {b.label: b for b in pn.panel(page).select(pn.widgets.Button)}


def plots(page: Any) -> list[ChartPane]:
    return list(pn.panel(page).select(ChartPane))


# --- what files say -----------------------------------------------------------------

TAG = "<script>alert(1)<script>"  # without a slash, to be the name of a file


def models(page: Any) -> list[Any]:
    """Everything a browser is sent."""
    document = pn.panel(page).server_doc(title="test")
    return list(document.models)


def test_what_files_say_is_text(session: Session) -> None:
    """Panes hold it escaped; hover tools never insert values as HTML."""
    particles: Any = session.particles
    particles.source = Path(f"{TAG}.star")
    particles.notes = (TAG,)
    particles.table["rlnMicrographName"] = TAG
    page = dashboard(session).__panel__()
    session.step()
    session.step()
    seen_in_a_plot = False
    groups = page.select(pn.widgets.RadioButtonGroup)
    choice = next(group for group in groups if "Filaments" in group.options)
    choice.value = "Filaments"
    assert TAG not in texts(page)
    for model in models(page):
        if isinstance(model, HoverTool):
            assert "{safe}" not in str(model.tooltips)
        elif isinstance(model, ColumnDataSource):
            seen_in_a_plot |= TAG in str(model.data)
        else:
            for value in model.properties_with_values().values():
                # Panel's panes send their text escaped once more.
                sent = html.unescape(value) if isinstance(value, str) else ""
                assert TAG not in sent, model
    assert seen_in_a_plot, "the filaments name their micrograph when hovered"
    assert not page.select(pn.widgets.FileInput)


# --- curves -----------------------------------------------------------------------


def test_fsc_axis_is_ticked_in_angstrom() -> None:
    ticks = fsc.resolution_ticks(1 / 6.0)
    assert ticks[-1] == (pytest.approx(1 / 6), "6")
    assert all(float(label) == pytest.approx(1 / place) for place, label in ticks)
    assert np.diff([place for place, _ in ticks]).min() >= 0.05 / 6


def test_fsc_shows_every_curve_and_where_the_halves_split() -> None:
    state = standin_state(4)
    drawn = fsc.plot(results.fsc(state))
    curves = labelled(drawn, "line")
    assert {label for label, curve in curves.items() if len(curve)} == {
        "corrected",
        "cylinder",
        "loose mask",
        "tight mask",
        "unmasked",
        "phases randomised",
    }
    np.testing.assert_array_equal(curves["corrected"].columns["y"], state.fsc.reported)
    (split,) = drawn.layer("split of the halves").columns["x"]
    assert split == pytest.approx(1 / state.parameters.split_resolution_A)


def test_fsc_follows_the_session_and_remembers_earlier_iterations(
    session: Session,
) -> None:
    session.step()
    (live,) = plots(fsc.view(session))
    for _ in range(6):  # more than a session keeps
        session.step()
    assert live.object.title.startswith("FSC of iteration 7")
    assert len(live.object.layer("earlier")) == 6
    session.back(2)
    assert len(live.object.layer("earlier")) == 4


def test_convergence_shows_both_halves(session: Session) -> None:
    for _ in range(4):
        session.step()
    drawn = labelled(convergence.plot(session.history, "twist"), "line")
    assert list(drawn) == ["half A", "half B", "used"]
    # Searched from the second iteration on, the stand-in halves the error each time.
    used = drawn["used"].columns["y"]
    np.testing.assert_allclose(used, [-59.5, -59.5, -59.75, -59.875])


def test_convergence_of_nothing_is_empty() -> None:
    for quantity in convergence.PANELS:
        drawn = convergence.plot(pd.DataFrame(), quantity)
        assert not any(map(len, drawn.layers))


def test_axes_grow_with_the_iterations(session: Session) -> None:
    session.step()
    live = live_chart(
        SessionView(session), lambda s: convergence.plot(s.history, "rise")
    )
    figure = live.get_root()
    for _ in range(5):
        session.step()
    assert figure.x_range.end > 5.9
    assert figure.y_range.start < RISE_A + 0.05
    assert figure.xaxis[0].major_label_overrides[4.0] == "4"


# --- orientations -----------------------------------------------------------------


def poses(rot: list[float], tilt: list[float]) -> xr.Dataset:
    return xr.Dataset({"rot": ("particle", rot), "tilt": ("particle", tilt)})


def test_viewing_directions_are_where_they_belong() -> None:
    drawn = orientations.plot(poses([100.0] * 3, [96.0] * 3), max_tilt_deg=15)
    assert picture(drawn).sum() == 3
    assert value_at(drawn.layers[0], 100.0, 6.0) == 3
    assert value_at(drawn.layers[0], 100.0, -6.0) == 0


def test_directions_beyond_the_limit_are_counted_at_its_edge() -> None:
    drawn = orientations.plot(poses([0.0], [110.0]), max_tilt_deg=10)
    assert value_at(drawn.layers[0], 0.0, 9.9) == 1


def test_orientations_without_poses_are_empty() -> None:
    particles: Any = StandinParticles()
    nothing = results.orientations(standin_state(0), particles)
    assert picture(orientations.plot(nothing)).sum() == 0
    (bars,) = orientations.histogram(nothing, "axial_shift").layers
    assert bars.columns["top"].sum() == 0


@pytest.mark.parametrize("name", list(orientations.RESIDUALS))
def test_histograms_count_every_segment_once(name: str) -> None:
    particles: Any = StandinParticles()
    table = results.orientations(standin_state(3), particles)
    (bars,) = orientations.histogram(table, name).layers
    assert bars.columns["top"].sum() == len(particles)
    values = table[name].to_numpy() - (90 if name == "tilt" else 0)
    inside = (values >= bars.columns["left"][3]) & (values < bars.columns["right"][3])
    assert bars.columns["top"][3] == inside.sum()


@pytest.mark.parametrize("place", [0.0, 0.5, 0.3])
def test_bins_are_about_the_places_of_the_search(
    place: float, rng: np.random.Generator
) -> None:
    step = 2.36
    index = rng.integers(-4, 4, 500)
    found = (index + place) * step + rng.normal(0, 1e-6, 500)
    places = places_of(found)
    assert places is not None
    assert places.step == pytest.approx(step, abs=1e-3)
    table = xr.Dataset({"transverse_shift": ("particle", found, {})})
    searched = {"search_step": places.step, "search_place": places.origin}
    table["transverse_shift"].attrs.update(searched)
    (bars,) = orientations.histogram(table, "transverse_shift").layers
    # One bar for each place, none empty and none of two.
    assert bars.columns["top"].tolist() == np.bincount(index + 4).tolist()
    middle = (bars.columns["left"] + bars.columns["right"]) / 2
    np.testing.assert_allclose(middle, (np.arange(-4, 4) + place) * step, atol=0.02)


def test_places_are_told_from_values_that_lie_anywhere(
    rng: np.random.Generator,
) -> None:
    assert places_of(rng.normal(0, 3, 500)) is None
    assert places_of(np.zeros(5)) is None
    assert places_of(np.full(5, np.nan)) is None
    on_grid = 1.5 * rng.integers(0, 9, 300) - 2.0
    off_grid = rng.uniform(-2, 10, 30)
    places = places_of(np.append(on_grid, off_grid))
    assert places is not None
    assert places.step == pytest.approx(1.5)
    assert (places.origin + 2.0) % 1.5 == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("reach", "step"), [(15.0, 3.07), (9.0, 0.05), (0.001, 2.0)])
def test_bins_are_few_and_hold_everything(reach: float, step: float) -> None:
    edges = binning.bin_edges((-reach, reach), (step, 0.3 * step))
    widths = np.diff(edges)
    np.testing.assert_allclose(widths / step, np.round(widths[0] / step))
    assert edges[0] <= -reach < edges[1] or len(edges) == 2
    assert edges[-2] < reach <= edges[-1]
    assert len(edges) <= binning.MOST_BINS + 3


# --- score map --------------------------------------------------------------------


def test_score_map_is_brightest_at_the_optimum() -> None:
    found = results.score_map(standin_state(4))
    assert found is not None
    drawn = score_map.plot(found)
    values = picture(drawn)
    brightest = value_at(drawn.layers[0], TWIST_DEG, RISE_A)
    assert brightest > 0.98 * values.max()
    assert brightest > 1.2 * value_at(drawn.layers[0], TWIST_DEG + 0.5, RISE_A)
    assert brightest > 1.2 * value_at(drawn.layers[0], TWIST_DEG, RISE_A + 0.3)


def place_of(chart: Chart, label: str) -> tuple[float, float]:
    marks = labelled(chart, "scatter")[label]
    ((x, y),) = np.column_stack([marks.columns[c] for c in "xy"])
    return float(x), float(y)


def test_score_map_marks_both_halves_the_joint_optimum_and_what_comes_next() -> None:
    state = standin_state(4)
    found = results.score_map(state)
    assert found is not None
    drawn = score_map.plot(found, next_symmetry=(-60.5, 14.1))
    assert state.scores is not None
    half_b = state.scores.half_B
    assert place_of(drawn, "half B") == (half_b.best_twist_deg, half_b.best_rise_A)
    assert place_of(drawn, "joint") == (TWIST_DEG, RISE_A)
    assert place_of(drawn, "next iteration") == (-60.5, 14.1)


def test_cross_hairs_go_through_the_optimum_of_each_half() -> None:
    found = results.score_map(standin_state(4))
    assert found is not None
    drawn = score_map.plot(found)
    for name, label in (("half_A", "half A"), ("half_B", "half B"), ("joint", "joint")):
        best = found[name].attrs
        (twist_deg,) = labelled(drawn, "vspan")[label].columns["x"]
        (rise_A,) = labelled(drawn, "hspan")[label].columns["y"]
        assert (twist_deg, rise_A) == (best["best_twist_deg"], best["best_rise_A"])


def test_what_does_not_change_is_not_blown_up() -> None:
    low, high = convergence.limits_of([np.full(5, 28.1)], 0.02)
    assert (high + low) / 2 == pytest.approx(28.1)
    assert high - low >= 0.02
    assert convergence.limits_of([np.ones(5)], 1.0, from_zero=True)[0] == 0


def test_candidates_on_the_map_are_marked_with_their_rank(session: Session) -> None:
    session.run(3, background=False)
    drawn = score_map.draw(session, (0.0, 1.0)).layer("candidates")
    table = session.candidates
    # The multiple, with twice the rise, is not on it.
    assert drawn.columns["rank"] == [1, 3]
    np.testing.assert_array_equal(drawn.columns["x"], table["twist_deg"].loc[[1, 3]])
    assert drawn.columns["relation"][0] == "best"


def tap(pane: ChartPane, x: float, y: float) -> None:
    """Click on a plot as a browser would tell it."""
    figure = pane.get_root()
    figure._trigger_event(Tap(figure, x=x, y=y))


def test_a_click_chooses_twist_and_rise(session: Session) -> None:
    session.run(3, background=False)
    view = SessionView(session)
    tap(score_map.view(view), -60.4, 14.3)
    assert (session.parameters.twist_deg, session.parameters.rise_A) == (-60.4, 14.3)
    session.step()
    assert session.state is not None
    assert session.state.parameters.rise_A == 14.3


def test_a_click_that_is_refused_changes_nothing(session: Session) -> None:
    session.run(3, background=False)
    before = session.parameters.frozen
    view = SessionView(session)
    tap(score_map.view(view), -60.4, 100.0)  # wider than half the box
    assert session.parameters.frozen == before
    assert "rise_A" in view.problem


def test_without_a_search_the_map_says_why(session: Session) -> None:
    session.step()
    drawn = score_map.draw(session, (0.0, 1.0))
    assert drawn.title == "Twist and rise are searched from 10 Å on"
    assert not np.isfinite(picture(drawn)).any()
    session.parameters.search_symmetry = False
    session.step()
    assert "search_symmetry" in score_map.draw(session, (0.0, 1.0)).title


# --- slices -----------------------------------------------------------------------


def marked_map(box: int = 8) -> xr.DataArray:
    """Zero but for one voxel at z = 4, y = -2, x = 6 A."""
    place = (np.arange(box) - box // 2) * 2.0
    values = xr.DataArray(
        np.zeros((box,) * 3, np.float32),
        {"z": place, "y": place, "x": place},
        ("z", "y", "x"),
    )
    values.loc[{"z": 4.0, "y": -2.0, "x": 6.0}] = 1.0
    return values


@pytest.mark.parametrize(
    ("across", "position_A", "point"),
    [("z", 4.0, (6.0, -2.0)), ("y", -2.0, (6.0, 4.0)), ("x", 6.0, (-2.0, 4.0))],
)
def test_slices_show_the_right_plane_the_right_way_round(
    across: str, position_A: float, point: tuple[float, float]
) -> None:
    drawn = slices.plot(marked_map(), across=across, position_A=position_A)
    assert value_at(drawn.layers[0], *point) == 1.0
    assert picture(drawn).sum() == 1.0
    elsewhere = slices.plot(marked_map(), across=across, position_A=position_A - 2)
    assert picture(elsewhere).sum() == 0.0


def test_grey_is_symmetric_about_zero_and_the_same_in_every_slice() -> None:
    volume = marked_map()
    charts = [
        slices.plot(volume, across=a, position_A=z)
        for a in "xyz"
        for z in (-4.0, 0.0, 4.0)
    ]
    ((low, high),) = {chart.colors.limits for chart in charts if chart.colors}
    assert low == -high < 0


def test_large_slices_are_averaged_down() -> None:
    side = np.arange(1100) * 1.5
    plane = xr.DataArray(
        np.add.outer(np.arange(1100.0), np.zeros(1100)),
        {"y": side, "x": side},
        ("y", "x"),
    )
    values, (left, bottom, right, top) = pictures.decimated(plane)
    assert max(values.shape) <= pictures.MAX_PIXELS
    np.testing.assert_allclose(values[:, 0], np.arange(1.0, 1099, 3)[: len(values)])
    assert (left, bottom) == (-0.75, -0.75)
    assert right == top == pytest.approx(366 * 3 * 1.5 - 0.75)


def test_half_maps_can_be_chosen(session: Session) -> None:
    session.step()
    assert session.state is not None
    half_b = volumes.Volumes().volume(session, "Half B")
    np.testing.assert_array_equal(half_b.to_numpy(), session.state.half_maps[1])
    page = slices.view(session)
    (choice,) = page.select(pn.widgets.RadioButtonGroup)
    choice.value = "Half B"
    middle = session.state.half_maps[1][len(half_b) // 2]
    np.testing.assert_array_equal(picture(plots(page)[0].object), middle)


def test_a_slider_moves_its_slice_only(session: Session) -> None:
    session.step()
    page = slices.view(session)
    sliders = {s.label: s for s in page.select(pn.widgets.FloatSlider)}
    sliders["z (Å)"].value = 4 * PIXEL_SIZE_A
    shown = [pane.object.title for pane in plots(page)]
    slices_shown = ["xy at z = 12.0 Å", "xz at y = 0.0 Å", "yz at x = 0.0 Å"]
    assert shown == [*slices_shown, "Sum along y"]


def test_resolutions_are_not_summed(session: Session) -> None:
    session.step()
    page = slices.view(session)
    density = picture(plots(page)[3].object)
    (choice,) = page.select(pn.widgets.RadioButtonGroup)
    choice.value = "Local resolution"
    assert "resolution (Å)" in plots(page)[0].object.title
    np.testing.assert_array_equal(picture(plots(page)[3].object), density)


# --- parameters and buttons -------------------------------------------------------


def test_every_parameter_has_a_widget_with_its_unit(session: Session) -> None:
    widgets = ParameterWidgets(SessionView(session)).widgets
    assert list(widgets) == field_names()
    assert widgets["twist_deg"].label == "Twist (°)"
    assert widgets["max_align_resolution_A"].label == "Max align resolution (Å)"
    assert "CryoSPARC: Helical rise estimate" in widgets["rise_A"].description
    assert "3 to 30 Å" in widgets["search_start_A"].description


def test_an_edit_reaches_the_session_and_is_marked_until_used(session: Session) -> None:
    session.step()
    page = ParameterWidgets(SessionView(session))
    widget = page.widgets["max_tilt_deg"]
    widget.value = 9.0
    assert session.parameters.max_tilt_deg == 9.0
    assert widget.css_classes == ["hx-changed"]
    assert "max_tilt_deg: 15 → 9" in controls.messages_html(session)
    session.step()
    assert not widget.css_classes
    assert "max_tilt_deg" not in controls.messages_html(session)


def test_a_number_left_empty_means_automatic(session: Session) -> None:
    page = ParameterWidgets(SessionView(session))
    widget = page.widgets["outer_diameter_A"]
    assert widget.value is None
    widget.value = 80.0
    assert session.parameters.outer_diameter_A == 80.0
    widget.value = None
    assert session.parameters.outer_diameter_A is None


def test_a_refused_value_is_explained_and_taken_back(session: Session) -> None:
    view = SessionView(session)
    widget = ParameterWidgets(view).widgets["rise_A"]
    widget.value = -1.0
    assert session.parameters.rise_A == 14.2
    assert widget.value == 14.2
    assert "rise_A must be between 0.01 and 1000" in view.problem
    widget.value = 14.1
    assert view.problem == ""


def test_widgets_show_what_a_cell_or_an_iteration_set(session: Session) -> None:
    widgets = ParameterWidgets(SessionView(session)).widgets
    session.parameters.tilt_sd_deg = 2.5
    assert widgets["tilt_sd_deg"].value == 2.5
    session.run(2, background=False)
    assert widgets["twist_deg"].value == -59.75
    assert session.parameters.changes == {}


def test_a_late_echo_of_the_page_is_not_an_edit(session: Session) -> None:
    session.run(2, background=False)
    widgets = ParameterWidgets(SessionView(session)).widgets
    session.step()
    shown = widgets["twist_deg"].value
    session.step()
    widgets["twist_deg"].value = shown
    assert session.parameters.changes == {}
    assert widgets["twist_deg"].value == session.parameters.twist_deg


def test_an_edit_can_be_taken_back_at_once(session: Session) -> None:
    session.run(2, background=False)
    widgets = ParameterWidgets(SessionView(session)).widgets
    session.step()
    found = widgets["twist_deg"].value
    widgets["twist_deg"].value = -65.0
    assert session.parameters.twist_deg == -65.0
    widgets["twist_deg"].value = found
    assert session.parameters.twist_deg == found


def test_buttons_follow_what_is_possible(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refinement, "step", standin_step(0.2))
    row = buttons(controls.buttons(session))
    assert [b.disabled for b in row.values()] == [False, False, True, True]
    row["Run"].clicks += 1
    wait_until(lambda: session.iteration == 1)
    assert [b.disabled for b in row.values()] == [True, True, False, True]
    row["Pause"].clicks += 1
    session.wait(TIMEOUT_S)
    assert 1 <= session.iteration <= 3
    assert [b.disabled for b in row.values()] == [False, False, True, False]
    before = session.iteration
    row["Back"].clicks += 1
    assert session.iteration == before - 1


def test_an_error_in_the_background_is_shown_and_the_next_step_works(
    session: Session,
) -> None:
    page = dashboard(session)
    row = buttons(page)
    session.parameters.rise_A = 15.5
    row["Step"].clicks += 1
    wait_until(lambda: not session.running)
    wait_until(lambda: "no density left, said the stand-in" in texts(page))
    session.parameters.rise_A = 14.2
    row["Step"].clicks += 1
    wait_until(lambda: session.iteration == 1 and not session.running)
    wait_until(lambda: "no density left" not in texts(page))


def test_status_text_is_escaped(session: Session) -> None:
    assert "<script>" not in controls.messages_html(session, "<script>alert(1)")


# --- the page ---------------------------------------------------------------------


def test_before_the_first_step_it_says_what_is_loaded(session: Session) -> None:
    page = dashboard(session)
    assert "120 segments of 10 filaments" in texts(page)
    assert "Press <b>Step</b>" in texts(page)
    assert not plots(page)


def test_the_page_follows_a_session_stepped_in_a_cell(session: Session) -> None:
    page = dashboard(session)
    session.step()
    assert "Iteration 1" in texts(page)
    assert len(plots(page)) >= 8
    session.step()
    assert "Iteration 2" in texts(page)
    assert plots(page)[0].object.title.startswith("FSC of iteration 2")


def test_the_page_can_be_opened_late(session: Session) -> None:
    session.run(3, background=False)
    page = dashboard(session)
    assert "Iteration 3" in texts(page)
    assert len(plots(page)) >= 8


def test_a_plot_that_fails_is_reported_and_the_last_one_stays(
    session: Session,
) -> None:
    session.step()
    view = SessionView(session)

    def draw(source: Session) -> Chart:
        if source.iteration > 1:
            raise ZeroDivisionError("cannot draw this")
        return Chart([line([1, 2, 3], [1, 2, 3])], "first")

    pane = live_chart(view, draw)
    assert pane.object.title == "first"
    session.step()
    assert pane.object.title == "first"
    assert view.problem == "cannot draw this"
    assert session.error is None


def test_a_change_during_drawing_is_drawn_afterwards(session: Session) -> None:
    view = SessionView(session)
    drawing, go_on = threading.Event(), threading.Event()
    seen: list[float] = []

    def slow(_: Any) -> None:
        seen.append(session.parameters.rise_A)
        drawing.set()
        go_on.wait(TIMEOUT_S)

    view.param.watch(slow, "event")
    painter = threading.Thread(target=view.changed)
    painter.start()
    assert drawing.wait(TIMEOUT_S)
    session.parameters.rise_A = 14.5  # returns at once although the page is busy
    go_on.set()
    painter.join(TIMEOUT_S)
    assert seen[-1] == 14.5


def test_a_forgotten_dashboard_is_not_kept_alive(session: Session) -> None:
    view = SessionView(session)
    gone = weakref.ref(view)
    del view
    gc.collect()
    assert gone() is None
    session.parameters.rise_A = 14.4


def test_a_closed_dashboard_stops_following(session: Session) -> None:
    page = dashboard(session)
    page.close()
    events = page.live.event
    session.parameters.rise_A = 14.4
    assert page.live.event == events


def test_views_are_loaded_when_used() -> None:
    code = (
        "import sys, helixnb.dashboards as d; assert 'panel' not in sys.modules; "
        "d.fsc; d.dashboard; assert 'panel' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
