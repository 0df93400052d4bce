"""Views of layer lines, filaments, particles, means, surface, symmetry and Guinier.

What each plot draws is compared with hand-made data or with sums over subunits; every
view must follow a new state and survive a refinement without poses or symmetry.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import panel as pn
import pytest
import xarray as xr
from bokeh.document import Document

from helixnb import Session, initial, refinement
from helixnb.dashboards import (
    dashboard,
    filaments,
    guinier,
    layer_lines,
    means,
    particles,
    style,
    surface,
    symmetry,
)
from helixnb.dashboards.live import SessionView
from helixnb.state import State
from tests.standins import (
    PIXEL_SIZE_A,
    RISE_A,
    StandinParticles,
    standin_parameters,
    standin_state,
)

hv.extension("bokeh", logo=False)

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


def title(element: Any) -> str:
    return str(hv.Store.lookup_options("bokeh", element, "plot").kwargs["title"])


def shown(page: Any) -> list[Any]:
    """Frames that a page shows now."""
    return [pane.object[()] for pane in pn.panel(page).select(pn.pane.HoloViews)]


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
    drawn = layer_lines.plot(spectrum, session.layer_lines())
    image = drawn.get(0)
    for z, r in ((0.03, -0.04), (0.08, -0.01), (0.03, 0.02), (0.0, 0.06)):
        here = spectrum.sel(axial_frequency=z, radial_frequency=r, method="nearest")
        power = max(float(here["images"]) - 1, 0) if r < 0 else float(here["model"])
        assert image[r, z] == pytest.approx(np.sqrt(power))
    assert image.dimension_values("Z", expanded=False).max() == pytest.approx(0.08)


def test_ticks_are_where_all_subunits_scatter_in_phase(
    spectrum: xr.Dataset, session: Session
) -> None:
    twist_deg, rise_A = 27.3, 11.0
    lines = session.layer_lines(twist_deg=twist_deg, rise_A=rise_A, max_order=5)
    segments = layer_lines.plot(spectrum, lines).get(2)
    order, z = (segments.dimension_values(name) for name in ("order", "Z"))
    assert set(order) == set(range(-5, 6))
    k = np.arange(40)
    phase = order[:, None] * np.deg2rad(twist_deg) * k + 2 * np.pi * rise_A * np.outer(
        z, k
    )
    np.testing.assert_allclose(np.abs(np.exp(1j * phase).mean(1)), 1, atol=1e-6)
    # The same as the usual rule, Z = m / rise + n / pitch; n is negative to the left.
    branch, pitch_A = segments.dimension_values("branch"), rise_A * 360 / -twist_deg
    np.testing.assert_allclose(z, branch / rise_A + order / pitch_A, atol=1e-9)
    # Each on both sides, from its first maximum outwards.
    start, end = (segments.dimension_values(name) for name in ("R", "R1"))
    np.testing.assert_allclose(start[0::2], -start[1::2])
    assert (np.abs(end) > np.abs(start)).all()


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
    }
)


def points(element: Any) -> list[tuple[float, float]]:
    return [tuple(row) for row in element.dframe().iloc[:, :2].itertuples(index=False)]


def test_filaments_with_outliers_are_crossed_and_the_chosen_ringed() -> None:
    same, opposite, crossed, ring = filaments.plot(TABLE, chosen=3)
    assert points(same)[0] == (0, 2.0)
    assert [x for x, _ in points(same)] == [0, 2]
    assert points(opposite) == points(crossed) == [(1, 9.0), (3, 4.0)]
    assert points(ring) == [(3, 4.0)]
    assert title(filaments.plot(TABLE)).startswith("4 filaments, 2 against")


def test_one_filament_is_drawn_along_its_axis_with_its_helix() -> None:
    helix, good, bad = filaments.along(SEGMENTS, TABLE, 1)
    assert points(helix) == [(0, 0), (20, 20), (40, 40), (60, 60)]
    assert points(good) == [(0, 1), (20, 19), (60, 64)]
    assert points(bad) == [(40, 80)]
    others, own = filaments.deviations(SEGMENTS, 1)
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
    image, heads, names = particles.plot(pictures, "Some")
    assert list(heads.dimension_values("text")) == [
        "7: cc 0.50",
        "1: cc 0.25",
        "4: cc 0.12",
    ]
    above = dict(zip(names.dimension_values("text"), names["y"], strict=True))
    assert above["image"] > above["model"]
    assert (np.diff(heads["x"]) > 0).all()
    # The middle pixel of a tile, at the place its labels tell: opposite grey values.
    for x in heads["x"]:
        grey = [image[float(x), float(above[row])] for row in ("image", "model")]
        assert sum(grey) == pytest.approx(1, abs=0.02)
    assert "12 Å" in title(particles.plot(pictures, "Some"))


def test_means_show_images_and_projection_of_the_same_view(session: Session) -> None:
    page = means.view(session)
    slider(page, "Seen from azimuth (°)").value = 0.0
    images, model = shown(page)
    expected = session.image_mean(0.0)
    for drawn, name in ((images, "images"), (model, "model")):
        values = drawn.dimension_values(2, flat=False)
        np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-6)
    assert str(expected.attrs["n_images"]) in title(images)


# --- surface, score map, Guinier plot -------------------------------------------------


def test_the_surface_is_where_the_density_is(session: Session) -> None:
    volume = session.map.copy()
    volume[:] = 0
    volume.loc[{"z": slice(15, 33), "y": slice(-9, 9), "x": slice(-42, -24)}] = 1.0
    image = surface.plot(volume)
    brightness = image.dimension_values(2, flat=False)
    across, along = (image.dimension_values(d, expanded=False) for d in (0, 1))
    seen = np.isfinite(brightness)
    assert across[seen.any(0)].mean() == pytest.approx(-33, abs=PIXEL_SIZE_A)
    assert along[seen.any(1)].mean() == pytest.approx(24, abs=PIXEL_SIZE_A)
    assert np.ptp(along[seen.any(1)]) == pytest.approx(18, abs=2 * PIXEL_SIZE_A)
    # From behind, left is right.
    behind = surface.plot(volume, azimuth_deg=180).dimension_values(2, flat=False)
    assert across[np.isfinite(behind).any(0)].mean() > 20


def test_sliders_score_the_maps_again(session: Session) -> None:
    used = session.parameters.frozen
    page = symmetry.view(session)
    extent = slider(page, "Rise ± (%)")
    extent.value = 2 * used.rise_extent_percent
    (drawn,) = shown(page)
    rise = drawn.get(0).dimension_values("rise", expanded=False)
    expected = session.score_again(rise_extent_percent=extent.value)["joint"]
    assert (rise.min(), rise.max()) == pytest.approx(
        (float(expected["rise"][0]), float(expected["rise"][-1]))
    )
    assert np.ptp(rise) > 1.8 * RISE_A * 2 * used.rise_extent_percent / 100
    assert f"{expected.attrs['best_rise_A']:.3f} Å" in title(drawn)
    assert session.parameters.frozen == used


def test_candidates_are_listed_with_their_relation(session: Session) -> None:
    text = symmetry.candidates_html(session.candidates)
    assert text.count("<tr>") == 1 + len(session.candidates)
    assert "2 x the best" in text
    assert "No other" in symmetry.candidates_html(session.candidates.iloc[:0])


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
    for curve, name in zip(drawn, values, strict=True):
        np.testing.assert_array_equal(curve.dimension_values(0), place)
        np.testing.assert_array_equal(curve.dimension_values(1), values[name])
    assert "B = 60 Å²" in title(drawn)
    for at, text in hv.Store.lookup_options("bokeh", drawn, "plot").kwargs["xticks"]:
        assert at == pytest.approx(float(text) ** -2)
    unknown = guinier.plot(data.assign_attrs(b_factor_A2=np.nan))
    assert "too short" in title(unknown)


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
    frames: list[str] = []
    themed = style.themed
    monkeypatch.setattr(
        style, "themed", lambda name: (frames.append(name), themed(name))[1]
    )
    session = _session(monkeypatch, standin_state(3), standin_state(4))
    page = dashboard(session).__panel__()
    page.get_root(Document())
    (tabs,) = (
        w for w in page.select(pn.widgets.RadioButtonGroup) if "Overview" in w.options
    )
    tabs.value = "Orientations"
    open_now = page.select(pn.pane.HoloViews)
    frames.clear()
    session.step()
    assert len(frames) == len(open_now) > 0


def test_views_follow_a_new_state(monkeypatch: pytest.MonkeyPatch) -> None:
    session = _session(monkeypatch, standin_state(3), standin_state(5))
    follow = SessionView(session)
    page = pn.Column(surface.view(follow), symmetry.view(follow), guinier.view(follow))
    before = shown(page)
    session.step()
    after = shown(page)
    shade, turned = surface.plot(session.map), after[0]
    np.testing.assert_array_equal(turned.dimension_values(2), shade.dimension_values(2))
    scores, curve = after[1].get(0), after[2].get(0)
    np.testing.assert_allclose(
        scores.dimension_values(2, flat=False),
        session.score_map["joint"].transpose("rise", "twist"),
    )
    np.testing.assert_array_equal(
        curve.dimension_values(1), session.guinier["amplitude"]
    )
    assert not np.array_equal(before[2].get(0)["amplitude"], curve["amplitude"])


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
    assert surface.plot(volume).bounds.lbrt() == (-16, -16, 16, 16)
