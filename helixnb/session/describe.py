"""A session in words: the facts that repr, notebook output and reports share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from helixnb import listing
from helixnb.iteration.outcome import Outcome, outcome

if TYPE_CHECKING:
    from helixnb.iteration.state import State
    from helixnb.session.session import Session


def facts(session: Session) -> list[tuple[str, str]]:
    """List what there is to know at a glance.

    Parameters
    ----------
    session : Session
        In any condition.

    Returns
    -------
    list of (name, text)
    """
    particles, now = session.particles, session.parameters.frozen
    rows = [
        ("particles", str(particles.source)),
        (
            "segments",
            f"{len(particles):,} of {particles.n_filaments:,} filaments, "
            f"{particles.box_px} px x {particles.pixel_size_A:g} A",
        ),
        ("device", session.device_note),
    ]
    state = session.state
    if state is None:
        given = f"{now.symmetry} (as given)" if now.symmetry else "none imposed"
        rows.append(("symmetry", given))
        rows.append(("iteration", "none yet: call session.step()"))
        rows.extend(("to know", note) for note in session.foreword)
    else:
        rows.extend(_state_facts(state, outcome(state, now)))
    rows.append(("status", _status(session)))
    rows.extend(("flag", flag) for flag in (state.flags if state else ()))
    return rows


def _state_facts(state: State, said: Outcome) -> list[tuple[str, str]]:
    rows = [
        ("iteration", f"{state.iteration}{_stage(state, said)}"),
        *([("to go on", said.advice)] if said.advice else []),
        (
            "resolution",
            f"{state.resolution_A:.2f} A (aligned to {state.align_resolution_A:.2f} A)",
        ),
        ("symmetry", state.symmetry_text),
    ]
    if state.scores is not None and state.scores.used:
        rows.append(
            (
                "standard error",
                f"{state.scores.twist_sd_deg:.2g} deg, {state.scores.rise_sd_A:.2g} A, "
                "of noise that the halves do not share",
            )
        )
    if state.scores is not None:
        halves = (("A", state.scores.half_A), ("B", state.scores.half_B))
        rows.extend(
            (
                f"half {name} found",
                f"{score.best_twist_deg:.3f} deg, {score.best_rise_A:.3f} A"
                + (" (on the edge of the search)" if score.on_edge else ""),
            )
            for name, score in halves
        )
    rows.append(("symmetry order", str(state.symmetry_order)))
    if state.check is not None:
        agreed = state.check.overall
        judged = f"agrees to {agreed:.2f} of what a true symmetry gives"
        if math.isnan(agreed):
            judged = "the half-maps agree too little to judge the symmetry by"
        rows.append(("without symmetry", judged))
    return rows


def _stage(state: State, said: Outcome) -> str:
    if state.iteration == 0:
        return " (initial density)"
    if said.ended:
        return f" ({said.text})"
    return " (growing structure from one reference)" if state.bootstrapping else ""


def _status(session: Session) -> str:
    if session.running:
        return f"running: {session.progress}".removesuffix(": ")
    if session.error is not None:
        return f"stopped by an error: {session.error}"
    return "idle"


def as_text(session: Session) -> str:
    """Facts as lines of text.

    Parameters
    ----------
    session : Session
        In any condition.

    Returns
    -------
    str
    """
    return listing.as_text("Session", facts(session))


def as_html(session: Session) -> str:
    """Facts as a table.

    Parameters
    ----------
    session : Session
        In any condition.

    Returns
    -------
    str
        HTML with everything that came from files escaped.
    """
    rows = facts(session)
    warnings = [
        i
        for i, (name, text) in enumerate(rows)
        if name == "flag" or text.startswith("stopped")
    ]
    return listing.as_html(rows, warnings)
