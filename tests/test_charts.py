"""Charts on a page: what is sent when another takes the place of one."""

from dataclasses import replace
from typing import Any

import numpy as np
import panel as pn
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource

from helixnb import Session, dashboards
from helixnb.dashboards.chart import (
    Axis,
    Chart,
    Colors,
    Legend,
    image,
    line,
    points,
    value_at,
)
from helixnb.dashboards.drawing import ChartPane, Drawing
from helixnb.dashboards.style import THEMES
from helixnb.dashboards.views import compare
from helixnb.iteration import initial, refinement
from tests.standins import (
    StandinParticles,
    standin_initial_state,
    standin_parameters,
    standin_step,
)


def chart(slope: float = 1.0, n: int = 3, **options: Any) -> Chart:
    place = np.arange(5.0)
    known = {"x": Axis("x", (0.0, 4.0)), "y": Axis("y", (0.0, 9.0))}
    return Chart(
        [
            line(place, slope * place, "line", line_color="red"),
            points(place[:n], place[:n], "points", color="blue"),
        ],
        f"slope {slope:g}",
        **({"legend": Legend(), **known} | options),
    )


def changes(document: Document) -> list[Any]:
    """Collect what a browser would be sent from now on."""
    sent: list[Any] = []
    document.on_change(sent.append)
    return sent


def test_another_chart_sends_its_columns_and_no_new_models() -> None:
    document = Document()
    drawing = Drawing(chart(1))
    document.add_root(drawing.figure)
    models = set(document.models)
    sent = changes(document)
    drawing.show(chart(2))
    assert set(document.models) == models
    columns, title = sent  # those of the points are the same
    assert (columns.attr, title.attr) == ("data", "text")
    assert isinstance(columns.model, ColumnDataSource)
    np.testing.assert_array_equal(columns.model.data["y"], 2 * np.arange(5))


def test_what_a_user_zoomed_into_stays_until_the_limits_change() -> None:
    drawing = Drawing(chart())
    drawing.figure.x_range.update(start=1.0, end=2.0)
    drawing.show(chart(2))
    assert (drawing.figure.x_range.start, drawing.figure.x_range.end) == (1, 2)
    drawing.show(chart(2, x=Axis("x", (0.0, 6.0))))
    assert (drawing.figure.x_range.start, drawing.figure.x_range.end) == (0, 6)


def test_the_legend_names_what_is_there() -> None:
    drawing = Drawing(chart(n=0))
    (legend,) = drawing.figure.legend
    assert [item.visible for item in legend.items] == [True, False]
    drawing.show(chart(n=2))
    assert [item.visible for item in legend.items] == [True, True]


def test_a_colour_bar_comes_and_goes_with_the_colours() -> None:
    layers = [image(np.eye(3), (0, 0, 3, 3))]
    grey = Chart(layers, "", colors=Colors(["black", "white"], (0, 1)))
    color = replace(grey, colors=Colors(["red", "blue"], (2, 3), bar="Å"))
    drawing = Drawing(grey)
    assert not drawing.figure.right
    drawing.show(color)
    (bar,) = drawing.figure.right
    assert bar.visible
    assert bar.color_mapper.palette == ["red", "blue"]
    assert (bar.color_mapper.low, bar.color_mapper.high) == (2, 3)
    drawing.show(grey)
    assert not bar.visible


def test_a_picture_is_the_right_way_up(rng: np.random.Generator) -> None:
    values = rng.random((4, 6)).astype(np.float32)
    layer = image(values, (-3.0, 0.0, 3.0, 8.0))
    assert value_at(layer, -2.5, 1.0) == values[0, 0]
    assert value_at(layer, 2.5, 7.0) == values[3, 5]
    columns = layer.columns
    assert (columns["x"], columns["dw"], columns["dh"]) == ([-3], [6], [8])


def test_a_pane_shown_twice_is_kept_equal_in_both() -> None:
    pane = ChartPane(chart(1))
    page = pn.Row(pane)
    first, second = (page.get_root(Document()).children[0] for _ in range(2))
    pane.object = chart(3)
    assert first is not second
    assert first.title.text == second.title.text == "slope 3"
    pane.theme = "dark"
    assert first.title.text_color == THEMES["dark"].ink


def test_panel_and_notebooks_can_show_a_chart() -> None:
    assert isinstance(pn.panel(chart()), ChartPane)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    """Session after three iterations that took no time."""
    monkeypatch.setattr(initial, "initial_state", standin_initial_state)
    monkeypatch.setattr(refinement, "step", standin_step())
    particles: Any = StandinParticles()
    made = Session(particles, standin_parameters(), progress=False)
    return made.run(3, background=False)


def test_branches_are_compared_while_they_go_on(session: Session) -> None:
    branch = session.fork(max_tilt_deg=9.0)
    page = dashboards.compare(session, branch, names=("as it was", "less tilt"))
    curves, twist = (page.select(ChartPane)[i] for i in (0, 2))
    table = next(p for p in page.select(pn.pane.HTML) if "<table>" in p.object)
    assert "<td>next_max_tilt_deg</td><td>15.0000</td><td>9.0000</td>" in table.object
    branch.parameters.max_tilt_deg = 8.0
    assert "<td>next_max_tilt_deg</td><td>15.0000</td><td>8.0000</td>" in table.object
    branch.step()
    for label, one in (("as it was", session), ("less tilt", branch)):
        drawn = curves.object.layer(label).columns["y"]
        np.testing.assert_array_equal(drawn, one.fsc["reported"])
        used = twist.object.layer(label).columns["y"]
        np.testing.assert_array_equal(used, one.history["next_twist_deg"])
    assert "<td>max_tilt_deg</td><td>15.0000</td><td>8.0000</td>" in table.object
    assert f"less tilt {branch.state.resolution_A:.2f} Å" in curves.object.title  # type: ignore[union-attr]


def test_a_comparison_waits_for_the_first_iteration_of_both(session: Session) -> None:
    fresh: Any = StandinParticles()
    other = Session(fresh, standin_parameters(), progress=False)
    page = dashboards.compare(session, other)
    said = [pane.object for pane in page.select(pn.pane.HTML)]
    assert compare.WAITING in said
    session.step()
    assert not page.select(ChartPane)
    assert not any("Error" in str(text) for text in said)
    other.step()
    assert len(page.select(ChartPane)) == 6


def test_names_of_branches_are_text(session: Session) -> None:
    table = compare.differences_html(session.compare(session.fork()), ("<b>", "B"))
    assert "<th>&lt;b&gt;</th>" in table


def test_every_view_is_a_function_of_the_session(session: Session) -> None:
    for name in set(dashboards.__all__) - {"dashboard", "compare"}:
        shown = getattr(dashboards, name)(session)
        assert isinstance(shown, pn.viewable.Viewable), name
