"""One HTML file that shows a refinement: no network, no server, no notebook needed.

The plots are those of the dashboards, drawn once and embedded with Bokeh's own
scripts, so the file can be sent, archived and opened years later. Text that came from
files is escaped.
"""

from __future__ import annotations

import html
import logging
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.embed import components
from bokeh.resources import Resources

from helixnb.dashboards import pictures, style
from helixnb.dashboards.chart import Colors
from helixnb.dashboards.drawing import figure_of
from helixnb.dashboards.views import (
    asymmetric_unit,
    convergence,
    filaments,
    fsc,
    guinier,
    layer_lines,
    noise_spectrum,
    orientations,
    particles,
    score_map,
    slices,
    surface,
    symmetry_check,
)
from helixnb.errors import InputError
from helixnb.io.atomic import atomic_path
from helixnb.outcome import outcome
from helixnb.session.files import versions
from helixnb.session.parameters import parameter_rows
from helixnb.session.progress import duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

    from helixnb.dashboards.chart import Chart
    from helixnb.session import Session
    from helixnb.state import State

log = logging.getLogger("helixnb")

_LIGHT = style.THEMES["light"]
_SCRIPTS: list[Any] = ["bokeh"]
"""What plots need; widgets and tables would double the file."""

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; color: $ink; background: #F6F7F9;
         margin: 0; }
  main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 48px; }
  h1 { font-size: 24px; margin: 0; }
  h2 { font-size: 17px; margin: 34px 0 10px; }
  .source { color: $quiet; margin: 2px 0 18px; overflow-wrap: anywhere; }
  .facts { display: grid; gap: 12px;
           grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); }
  .fact, .card { background: white; border: 1px solid $grid; border-radius: 8px; }
  .fact { padding: 10px 14px; }
  .fact b { display: block; font-size: 21px; font-weight: 600; }
  .fact span { color: $quiet; font-size: 13px; }
  .flags { border-left: 4px solid $error; background: #FDF3F2; padding: 8px 14px;
           margin: 16px 0 0; list-style: none; }
  .cards { display: flex; flex-wrap: wrap; gap: 12px; }
  .card { padding: 10px; flex: 1 1 var(--width); min-width: 0; box-sizing: border-box;
          overflow-x: auto; }
  table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
  th, td { text-align: left; padding: 4px 10px 4px 0; vertical-align: top;
           border-bottom: 1px solid $grid; }
  td { overflow-wrap: anywhere; }
  td:first-child { width: 190px; }
  td:nth-child(2):not(:last-child) { white-space: nowrap; }
</style>
$resources
</head>
<body><main>
<h1>$title</h1>
<p class="source">$source</p>
<div class="facts">$facts</div>
$flags
$sections
</main>
$script
</body></html>
""")


def write_report(session: Session, path: Path) -> None:
    """Write the report of a session's current iteration.

    Parameters
    ----------
    session : Session
        With a state.
    path : Path
        Output file; replaced in one step if it exists.
    """
    text = report_html(session)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def report_html(session: Session) -> str:
    """Return the report of a session's current iteration as one HTML page.

    Parameters
    ----------
    session : Session
        With a state.

    Returns
    -------
    str
    """
    state = session._needed_state()
    charts = _charts(session, state)
    script, divs = components({name: figure_of(c) for name, c in charts.items()})
    # The scripts only: Panel, once imported, adds references to files of a server.
    scripts = Resources(mode="inline", components=_SCRIPTS).js_raw
    return _PAGE.substitute(
        title=f"Helical refinement, iteration {state.iteration}",
        source=_escaped(str(session.particles.source)),
        facts=_facts(session, state),
        flags=_flags(session, state),
        sections=_sections(session, divs),
        resources="\n".join(f"<script>{text}</script>" for text in scripts),
        script=script,
        ink=_LIGHT.ink,
        quiet="#6B7280",
        grid=_LIGHT.grid,
        error=_LIGHT.error[0],
    )


def _escaped(text: str) -> str:
    return html.escape(text)


def _charts(session: Session, state: State) -> dict[str, Chart]:
    """All plots by name; those without data are left out."""
    history, volume = session.history, session.map
    charts: dict[str, Chart] = {"fsc": fsc.plot(session.fsc)}
    if state.scores is not None:
        charts["score_map"] = score_map.plot(
            session.score_map, candidates=session.candidates
        )
    if len(history):
        for quantity in convergence.PANELS:
            charts[f"history_{quantity}"] = convergence.plot(history, quantity)
    for axis in slices.PLANES:
        charts[f"slice_{axis}"] = slices.plot(volume, across=axis)
    charts["projection"] = _projection(volume)
    charts["surface"] = surface.plot(volume)
    charts["guinier"] = guinier.plot(session.guinier)
    charts["noise"] = noise_spectrum.plot(session.noise)
    if state.check is not None:
        charts["symmetry_check"] = symmetry_check.plot(session.symmetry_check)
    if np.isfinite(state.poses.tilt_deg).any():
        poses = session.orientations
        limit_deg = state.parameters.max_tilt_deg
        charts["directions"] = orientations.plot(poses, max_tilt_deg=limit_deg)
        charts["asymmetric_unit"] = asymmetric_unit.plot(poses)
        for name in orientations.RESIDUALS:
            charts[f"residual_{name}"] = orientations.histogram(poses, name)
        charts |= _against_images(session)
    return charts


def _against_images(session: Session) -> dict[str, Chart]:
    """Draw what needs the images again, as far as they can still be had."""
    makers: dict[str, Callable[[], Chart]] = {
        "layer_lines": lambda: layer_lines.plot(
            session.power_spectrum, session.layer_lines(max_order=6)
        ),
        "filaments": lambda: filaments.plot(session.filaments),
        "deviations": lambda: filaments.deviations(session.continuity, 0),
        "mean_images": lambda: pictures.picture(
            session.image_mean()["images"], "mean of images from one side"
        ),
        "mean_model": lambda: pictures.picture(
            session.image_mean()["model"], "projection of the model"
        ),
        **{
            f"particles_{end}": partial(_particles, session, end)
            for end in particles.ENDS
        },
    }
    made = {}
    for name, make in makers.items():
        try:
            made[name] = make()
        except (InputError, OSError) as error:
            log.info("The report goes without %s: %s", name, error)
    return made


def _particles(session: Session, end: str) -> Chart:
    segments = particles.ranked(session, end, n=6)
    return particles.plot(session.particle_pictures(segments), particles.ENDS[end])


def _projection(volume: xr.DataArray) -> Chart:
    """Sum of the map along x, drawn like the slices."""
    summed = volume.sum("x").expand_dims(x=[0.0])
    drawn = slices.plot(summed, across="x")
    limits = tuple(float(v) for v in np.quantile(summed, (0.001, 0.999)))
    colors = Colors(style.DENSITY_MAP, (limits[0], limits[1]))
    return replace(drawn, title="sum along x", colors=colors)


def _symmetry_tiles(state: State) -> list[tuple[str, str]]:
    """Twist and rise, with their errors where the search tells them."""
    symmetry = state.symmetry
    if symmetry is None:
        return [("none", "helical symmetry imposed")]
    return [
        (
            f"{symmetry.twist_deg:.3f}°{_error(state, 'twist_sd_deg')}",
            f"twist per subunit, {symmetry.handedness}",
        ),
        (f"{symmetry.rise_A:.3f} Å{_error(state, 'rise_sd_A')}", "rise per subunit"),
    ]


def _facts(session: Session, state: State) -> str:
    """Headline numbers as tiles."""
    seconds = float(session.history["seconds"].sum()) if session.iteration else 0.0
    point_group = state.parameters.point_group
    tiles = [
        *_symmetry_tiles(state),
        (f"{state.resolution_A:.2f} Å", "resolution, FSC 0.143"),
        (f"{session.fsc.attrs['resolution_0.5']:.2f} Å", "resolution, FSC 0.5"),
        (point_group, f"point group, symmetry order {state.symmetry_order}"),
        (
            f"{len(session.particles):,}",
            f"segments of {session.particles.n_filaments:,} filaments",
        ),
        (
            str(state.iteration),
            f"iterations, {outcome(state, session.parameters.frozen).text}",
        ),
        (duration(seconds), f"on {_devices(session)}"),
    ]
    return "".join(
        f'<div class="fact"><b>{_escaped(value)}</b><span>{_escaped(name)}</span></div>'
        for value, name in tiles
    )


def _error(state: State, name: str) -> str:
    """Say the standard error after a value, where the search tells one."""
    if state.scores is None or not state.scores.used:
        return ""
    return f" ± {getattr(state.scores, name):.1g}"


def _flags(session: Session, state: State) -> str:
    """List how to go on, where a limit ended the run, and the flags."""
    advice = outcome(state, session.parameters.frozen).advice
    said = ((advice,) if advice else ()) + state.flags
    items = "".join(f"<li>{_escaped(flag)}</li>" for flag in said)
    return f'<ul class="flags">{items}</ul>' if items else ""


def _sections(session: Session, divs: dict[str, str]) -> str:
    """Group the plots; the tables come last."""
    groups = [
        (
            "Resolution and symmetry",
            ("fsc", "score_map", "symmetry_check", "guinier", "noise"),
            "460px",
        ),
        ("Layer lines", ("layer_lines",), "100%"),
        ("Density, FSC-weighted", (*_named(divs, "slice_"), "projection"), "220px"),
        ("Surface and image means", ("surface", *_named(divs, "mean_")), "270px"),
        ("Course of the refinement", _named(divs, "history_"), "240px"),
        ("Viewing directions", ("directions", "asymmetric_unit"), "460px"),
        ("In-plane angle and shifts", _named(divs, "residual_"), "300px"),
        ("Continuity of filaments", ("filaments", "deviations"), "460px"),
        ("Images and model", _named(divs, "particles_"), "100%"),
    ]
    parts = []
    for title, names, width in groups:
        cards = "".join(
            f'<div class="card" style="--width: {width}">{divs[name]}</div>'
            for name in names
            if name in divs
        )
        if cards:
            parts.append(f'<h2>{title}</h2><div class="cards">{cards}</div>')
    if session._needed_state().scores is not None:
        parts.append(_table("Candidate symmetries", _candidate_cells(session)))
    parts.append(_table("Parameters of this iteration", _parameter_cells(session)))
    parts.append(_table("Provenance", _provenance(session)))
    return "\n".join(parts)


def _named(divs: dict[str, str], prefix: str) -> tuple[str, ...]:
    return tuple(name for name in divs if name.startswith(prefix))


def _candidate_cells(session: Session) -> list[tuple[str, ...]]:
    """Candidates as text, under a row of headings."""
    rows: list[tuple[str, ...]] = [
        ("rank", "twist", "rise", "pitch", "score", "lags", "relation")
    ]
    for rank, c in enumerate(session.candidates.itertuples(), start=1):
        numbers = f"{c.twist_deg:.3f}°", f"{c.rise_A:.3f} Å", f"{c.pitch_A:.1f} Å"
        rows.append(
            (str(rank), *numbers, f"{c.score:.3f}", str(c.lags), str(c.relation))
        )
    return rows


def _parameter_cells(session: Session) -> list[tuple[str, ...]]:
    return [
        (name, f"{value} {unit}".strip(), meaning)
        for name, value, unit, meaning in parameter_rows(
            session._needed_state().parameters
        )
    ]


def _devices(session: Session) -> str:
    """Devices that computed the iterations."""
    return ", ".join(dict.fromkeys(session.history["device"])) or session.device


def _provenance(session: Session) -> list[tuple[str, ...]]:
    """Where the numbers came from."""
    particles = session.particles
    rows: list[tuple[str, ...]] = [
        ("particles", str(particles.source)),
        ("box", f"{particles.box_px} px of {particles.pixel_size_A:g} Å"),
        ("distance between boxes", f"{particles.inter_box_A:.2f} Å"),
        ("device", _devices(session)),
        ("seed", str(session.seed)),
        *versions().items(),
        ("written", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]
    rows.extend(("note", note) for note in particles.notes)
    return rows


def _table(title: str, rows: list[tuple[str, ...]]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<h2>{title}</h2><div class="card"><table>{body}</table></div>'
