"""What a report says in words and numbers: results, parameters used, provenance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from helixnb.iteration.outcome import outcome
from helixnb.report import page
from helixnb.session.files import versions
from helixnb.session.parameters import parameter_rows
from helixnb.session.progress import duration

if TYPE_CHECKING:
    from helixnb.iteration.state import State
    from helixnb.session import Session


def tiles(session: Session, state: State) -> list[tuple[str, str]]:
    """Headline values, and what they are.

    Parameters
    ----------
    session : Session
        What is reported.
    state : State
        Its current iteration.

    Returns
    -------
    list of (str, str)
    """
    seconds = float(session.history["seconds"].sum()) if session.iteration else 0.0
    ended = outcome(state, session.parameters.frozen).text
    return [
        *_symmetry(state),
        (f"{state.resolution_A:.2f} Å", "resolution, FSC 0.143"),
        (f"{session.fsc.attrs['resolution_0.5']:.2f} Å", "resolution, FSC 0.5"),
        (
            state.parameters.point_group,
            f"point group, symmetry order {state.symmetry_order}",
        ),
        (
            f"{len(session.particles):,}",
            f"segments of {session.particles.n_filaments:,} filaments",
        ),
        (str(state.iteration), f"iterations, {ended}"),
        (duration(seconds), f"on {_devices(session)}"),
    ]


def _symmetry(state: State) -> list[tuple[str, str]]:
    """Twist and rise, with their errors where the search tells them."""
    symmetry = state.symmetry
    if symmetry is None:
        return [("none", "helical symmetry imposed")]
    return [
        (
            f"{symmetry.twist_deg:.3f}°{_error(state, 'twist_sd_deg')}",
            f"twist per subunit, {symmetry.handedness}-handed",
        ),
        (f"{symmetry.rise_A:.3f} Å{_error(state, 'rise_sd_A')}", "rise per subunit"),
    ]


def _error(state: State, name: str) -> str:
    """Say the standard error after a value, where the search tells one."""
    if state.scores is None or not state.scores.used:
        return ""
    return f" ± {getattr(state.scores, name):.1g}"


def flags(session: Session, state: State) -> tuple[str, ...]:
    """How to go on, where a limit ended the run, and the flags.

    Parameters
    ----------
    session : Session
        What is reported.
    state : State
        Its current iteration.

    Returns
    -------
    tuple of str
    """
    advice = outcome(state, session.parameters.frozen).advice
    return ((advice,) if advice else ()) + state.flags


def tables(session: Session, state: State) -> str:
    """Candidate symmetries, parameters used, how to repeat the run, and provenance.

    Parameters
    ----------
    session : Session
        What is reported.
    state : State
        Its current iteration.

    Returns
    -------
    str
        HTML.
    """
    parameters = [
        (name, f"{value} {unit}".strip(), meaning)
        for name, value, unit, meaning in parameter_rows(state.parameters)
    ]
    parts = [
        page.table("Parameters of this iteration", parameters),
        page.code("Python that repeats this run", session.to_script()),
        page.table("Provenance", _provenance(session)),
    ]
    if state.scores is not None:
        ranked = page.table("Candidate symmetries", _candidates(session), _COLUMNS)
        parts.insert(0, ranked)
    return "\n".join(parts)


_COLUMNS = ("rank", "twist", "rise", "pitch", "score", "lags", "relation")


def _candidates(session: Session) -> list[tuple[str, ...]]:
    """Candidates as text, in `_COLUMNS`."""
    return [
        (
            str(rank),
            f"{c.twist_deg:.3f}°",
            f"{c.rise_A:.3f} Å",
            f"{c.pitch_A:.1f} Å",
            f"{c.score:.3f}",
            str(c.lags),
            str(c.relation),
        )
        for rank, c in enumerate(session.candidates.itertuples(), start=1)
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
