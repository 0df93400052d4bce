"""The plots of a report: those of the dashboards, in the sizes of a page."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from helixnb.dashboards import pictures
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

if TYPE_CHECKING:
    from collections.abc import Callable

    from helixnb.dashboards.chart import Chart
    from helixnb.iteration.state import State
    from helixnb.session import Session

log = logging.getLogger("helixnb")

PICTURE_PX = 195
SIDE_PX = 260
SHOWN = 8
"""Images of each end."""


class Group(NamedTuple):
    """Plots under one heading, and the least width of each in pixels."""

    title: str
    names: tuple[str, ...]
    least_px: int


_PLANES = tuple(slices.PLANES)
GROUPS = (
    Group("Resolution", ("fsc", "guinier"), 460),
    Group("Symmetry", ("score_map", "symmetry_check"), 460),
    Group("Power spectra", ("layer_lines", "noise"), 460),
    Group(
        "Density, FSC-weighted",
        (*(f"slice_{axis}" for axis in _PLANES), "projection"),
        260,
    ),
    Group("Local resolution", tuple(f"local_{axis}" for axis in _PLANES), 300),
    Group("Surface and image means", ("surface", "mean_images", "mean_model"), 300),
    Group(
        "Course of the refinement",
        tuple(f"history_{quantity}" for quantity in convergence.PANELS),
        240,
    ),
    Group("Viewing directions", ("directions", "asymmetric_unit"), 460),
    Group(
        "Angles and shifts",
        tuple(f"residual_{name}" for name in orientations.RESIDUALS),
        240,
    ),
    Group("Continuity of filaments", ("filaments", "along", "deviations"), 300),
    Group("Segments of one filament", ("strip",), 1100),
    Group("Images and model", tuple(f"particles_{e}" for e in particles.ENDS), 1100),
)
"""Where each plot is; those without data are left out."""


def charts(session: Session, state: State) -> dict[str, Chart]:
    """All plots by the names in `GROUPS`; those without data are left out.

    Parameters
    ----------
    session : Session
        What is reported.
    state : State
        Its current iteration.

    Returns
    -------
    dict of str to Chart
    """
    history = session.history
    found: dict[str, Chart] = {"fsc": fsc.plot(session.fsc)}
    if state.scores is not None:
        found["score_map"] = score_map.plot(
            session.score_map, candidates=session.candidates
        )
    if len(history):
        for quantity in convergence.PANELS:
            found[f"history_{quantity}"] = convergence.plot(history, quantity)
    found |= _densities(session)
    found["guinier"] = guinier.plot(session.guinier)
    found["noise"] = noise_spectrum.plot(session.noise)
    if state.check is not None:
        found["symmetry_check"] = symmetry_check.plot(session.symmetry_check)
    if np.isfinite(state.poses.tilt_deg).any():
        poses = session.orientations
        limit_deg = state.parameters.max_tilt_deg
        found["directions"] = orientations.plot(poses, max_tilt_deg=limit_deg)
        found["asymmetric_unit"] = asymmetric_unit.plot(poses)
        for name in orientations.RESIDUALS:
            found[f"residual_{name}"] = orientations.histogram(poses, name)
        found |= _against_images(session)
    return found


def _densities(session: Session) -> dict[str, Chart]:
    """Slices and surface of the map, and slices of its local resolution."""
    volume, local = session.map, session.local_resolution
    small = _square(PICTURE_PX)
    found: dict[str, Chart] = {}
    for axis in slices.PLANES:
        found[f"slice_{axis}"] = slices.plot(volume, across=axis).sized(**small)
    if np.isfinite(local).any():
        for axis in slices.PLANES:
            drawn = slices.plot(local, across=axis)
            found[f"local_{axis}"] = drawn.sized(**_square(SIDE_PX))
    found["projection"] = slices.projection(volume).sized(**small)
    found["surface"] = surface.plot(volume).sized(**_square(SIDE_PX))
    return found


def _square(px: int) -> dict[str, Any]:
    return {"frame_width": px, "frame_height": px}


def _against_images(session: Session) -> dict[str, Chart]:
    """Draw what needs the images again, as far as they can still be had."""
    makers: dict[str, Callable[[], Chart]] = {
        "layer_lines": lambda: layer_lines.plot(
            session.power_spectrum, session.layer_lines(max_order=6)
        ),
        "filaments": lambda: filaments.plot(session.filaments, _longest(session)),
        "along": lambda: filaments.along(
            session.continuity, session.filaments, _longest(session)
        ),
        "deviations": lambda: filaments.deviations(
            session.continuity, _longest(session)
        ),
        "strip": lambda: filaments.strip(
            *filaments.segments_of(session, _longest(session))
        ),
        "mean_images": lambda: _mean(session, "images", "Mean of images from one side"),
        "mean_model": lambda: _mean(session, "model", "Projection of the model"),
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


def _longest(session: Session) -> int:
    """Filament with the most segments, which is shown by itself."""
    return int(session.filaments["segments"].to_numpy().argmax())


def _mean(session: Session, name: str, title: str) -> Chart:
    return pictures.picture(session.image_mean()[name], title, frame_px=SIDE_PX)


def _particles(session: Session, end: str) -> Chart:
    segments = particles.ranked(session, end, n=SHOWN)
    return particles.plot(session.particle_pictures(segments), particles.ENDS[end])
