"""Buttons, status and parameters: everything on a dashboard that acts on the session.

The parameter widgets are generated from the metadata of `Parameters`, so that names,
units and ranges are those of the constructor and of the command line.
"""

from __future__ import annotations

import html
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import panel as pn

from helixnb.dashboards import style
from helixnb.dashboards.messages import message_html
from helixnb.dashboards.parameter_widgets import ParameterWidgets
from helixnb.dashboards.stand_alone import stand_alone
from helixnb.iteration.outcome import outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from helixnb.dashboards.live import SessionView


@stand_alone(needs_results=False)
def buttons(follow: SessionView) -> pn.viewable.Viewable:
    """Step, Run, Pause and Back.

    Steps are computed in the background, so that the page stays usable.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.views.controls.buttons(session)  # doctest: +SKIP
    """
    target = follow.session
    running = pn.bind(lambda _: bool(target.running), follow.param.event)
    nothing_to_pause = pn.bind(
        lambda _: not target.running or target.pausing, follow.param.event
    )
    no_way_back = pn.bind(
        lambda _: bool(target.running) or not _can_go_back(target), follow.param.event
    )
    actions: list[tuple[str, str, Callable[[], Any], Any]] = [
        ("Step", "primary", lambda: _go_on(target, 1), running),
        ("Run", "default", lambda: _go_on(target), running),
        ("Pause", "default", target.pause, nothing_to_pause),
        ("Back", "default", lambda: target.back(1), no_way_back),
    ]
    return pn.Row(
        *(_button(follow, *action) for action in actions), margin=0, align="start"
    )


def _button(
    follow: SessionView,
    label: str,
    color: str,
    action: Callable[[], Any],
    disabled: Any,
) -> pn.widgets.Button:
    """Button whose failures are shown on the dashboard."""

    def on_click(_: Any) -> None:
        follow.attempt(action)
        follow.changed()

    return pn.widgets.Button(
        label=label,
        color=color,
        disabled=disabled,
        on_click=on_click,
        width=74,
        margin=(5, 3),
    )


def _go_on(session: Any, n: int | None = None) -> None:
    """Run, also after an error."""
    if session.error is not None:
        # The session raises a background error once to whoever asks next; it has
        # been on the page, and asking to go on is the answer to it.
        with suppress(type(session.error)):
            session.wait()
    session.run(n)


def _can_go_back(session: Any) -> bool:
    return len(session.states) > 1


@stand_alone(needs_results=False, tells=True)
def status(follow: SessionView) -> pn.viewable.Viewable:
    """Headline of the current iteration, progress of the next, errors and flags.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.views.controls.status(session)  # doctest: +SKIP
    """
    target, event = follow.session, follow.param.event

    def text(make: Callable[[], str], *also: Any, **layout: Any) -> pn.pane.HTML:
        def drawn(*_: Any) -> Any:
            return make()

        bound = pn.bind(drawn, event, *also)
        return pn.pane.HTML(bound, sizing_mode="stretch_width", **layout)

    return pn.Column(
        text(
            lambda: headline_html(target),
            stylesheets=[style.HEADLINE_CSS],
            margin=(5, 10, 0, 10),
        ),
        text(lambda: progress_html(target), margin=(4, 10)),
        text(
            lambda: messages_html(target, follow.problem),
            follow.param.problem,
            margin=(2, 10),
        ),
        sizing_mode="stretch_width",
    )


def headline_html(session: Any) -> str:
    """Where the refinement stands, in one line.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    str
    """
    state = session.state
    if state is None:
        return "<b>Not started</b>"
    parts = [f"<b>Iteration {state.iteration}</b>"]
    if state.iteration > 0:
        parts += [
            f"<b>{state.resolution_A:.2f} Å</b>",
            f"aligned to {state.align_resolution_A:.2f} Å",
        ]
    if state.symmetry is None:
        parts.append("no helical symmetry")
    else:
        parts.append(f"twist {state.twist_deg:.3f}°, rise {state.rise_A:.3f} Å")
    said = outcome(state, session.parameters.frozen)
    if said.ended:
        color = style.MASKED if state.converged else "var(--hx-flag)"
        parts.append(f"<b style='color:{color}'>{said.text}</b>")
    return " &nbsp;·&nbsp; ".join(parts)


def progress_html(session: Any) -> str:
    """Say what is being computed now, under a bar.

    Parameters
    ----------
    session : Session
        What is shown.

    Returns
    -------
    str
    """
    progress = session.progress
    percent, text = 0.0, "Ready."
    if session.running:
        words = str(progress) or "starting"
        if session.pausing:
            words = f"pausing after this iteration ({words})"
        percent = 100 * min(progress.done / max(progress.total, 1), 1)
        text = words[:1].upper() + words[1:]
    return (
        f'<div style="height: 5px; border-radius: 3px; background: var(--hx-grid)">'
        f'<div style="height: 5px; border-radius: 3px; width: {percent:.0f}%; '
        f'background: {style.CORRECTED}"></div></div>'
        f'<div style="color: {style.QUIET}; font-size: 12px; margin-top: 3px">'
        f"{html.escape(text)}</div>"
    )


def messages_html(session: Any, problem: str = "") -> str:
    """Errors in red, then what the iteration flagged, then edits not yet used.

    Parameters
    ----------
    session : Session
        What is shown.
    problem : str
        Message of an action that failed.

    Returns
    -------
    str
    """
    errors = [str(session.error)] if session.error else []
    if problem and problem not in errors:
        errors.append(problem)
    state = session.state
    flags = state.flags if state is not None else ()
    if state is not None and not session.running:
        advice = outcome(state, session.parameters.frozen).advice
        flags = ((advice,) if advice else ()) + flags
    changes = [
        f"{name}: {_short(before)} → {_short(now)}"
        for name, (before, now) in session.parameters.changes.items()
    ]
    blocks = [
        *(message_html(f"Error: {text}", "error") for text in errors),
        *(message_html(text, "flag") for text in flags),
    ]
    if changes:
        text = "Edited, used from the next iteration on: " + "; ".join(changes)
        blocks.append(message_html(text, "edited"))
    return "".join(blocks)


def _short(value: Any) -> str:
    if value is None:
        return "automatic"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@stand_alone(needs_results=False)
def parameters(follow: SessionView) -> pn.viewable.Viewable:
    """Editable parameters of the next iteration.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.views.controls.parameters(session)  # doctest: +SKIP
    """
    return ParameterWidgets(follow).layout


@stand_alone(needs_results=False, tells=True)
def view(follow: SessionView) -> pn.viewable.Viewable:
    """Buttons, status and parameters above each other.

    Parameters
    ----------
    follow : Session
        What is shown.

    Returns
    -------
    panel.viewable.Viewable

    Examples
    --------
    >>> helixnb.dashboards.controls(session)  # doctest: +SKIP
    """
    return pn.Column(
        buttons(follow),
        status(follow),
        parameters(follow),
        sizing_mode="stretch_width",
    )
