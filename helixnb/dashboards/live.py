"""What joins a dashboard to a session: one object that knows when to draw again.

Sessions compute in a background thread and call back from it. `SessionView` turns
those calls into two `param` counters that widgets and plots are bound to: `results`
moves when there is a new state, `event` at any change. Drawing never overlaps with
itself, and what goes wrong in it is shown instead of reaching the refinement. Plots of
a tab that is not open wait until it is.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param
from panel.io import hold
from tornado.ioloop import IOLoop

from helixnb.dashboards.drawing import ChartPane
from helixnb.dashboards.turns import PAGES
from helixnb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from helixnb.dashboards.chart import Chart

log = logging.getLogger("helixnb")

REST = 2.0
LEAST_REST_S = 1.0
"""Rest after drawing results, as a multiple of the time it took and at least.
Iterations that come faster are skipped: a browser takes longer to draw one than it took
to send, and what is clicked waits behind what was sent."""


class SessionView(param.Parameterized):
    """A session as the views see it.

    Parameters
    ----------
    session : Session
        Anything with the attributes of a session.
    theme : str, optional
        By default Panel's.

    Attributes
    ----------
    event : int
        Moves at every change of the session.
    results : int
        Moves when the session's state is another one.
    has_results : bool
        Whether there is a state at all.
    theme : str
        ``"light"`` or ``"dark"``.
    next_symmetry : tuple of float
        Twist in degrees and rise in Angstrom that the next iteration will use, nan
        without helical symmetry.
    tab : str
        Name of the tab that is open.
    problem : str
        Message of the last action or drawing that failed, empty if none.
    page : NotebookPage or None
        Waited for before anything is drawn.
    """

    session = param.Parameter(allow_refs=False)
    event = param.Integer(default=0)
    results = param.Integer(default=0)
    has_results = param.Boolean(default=False)
    theme = param.String(default="light")
    next_symmetry = param.NumericTuple(default=(0.0, 0.0), length=2)
    tab = param.String(default="")
    problem = param.String(default="")
    page = param.Parameter(default=None, allow_refs=False)

    def __init__(self, session: Any, theme: str | None = None) -> None:
        if theme is None:
            theme = "dark" if pn.config.theme == "dark" else "light"
        super().__init__(session=session, theme=theme)
        self._posted: deque[Callable[[], object]] = deque()
        self._pending = False
        self._deferred = False
        self._rest_until = 0.0
        self._failed_to_draw = False
        self._state = session.state
        self.has_results = session.state is not None
        self._document = _served_document()
        self._is_asked = False
        if self._document is not None:
            self._loop = IOLoop.current()
            pn.state.on_session_destroyed(lambda _: self.close())
        self._draw()
        self._unsubscribe = session.on_change(_weak_callback(self))

    def changed(self) -> None:
        """Draw what changed; calls meanwhile make it draw once more.

        Never waits: the caller may be the thread that computes.
        """
        self._pending = True
        self._draw_soon()

    def _draw_soon(self) -> None:
        """Have drawn what is pending, in the thread that may touch the page.

        A notebook is drawn in the caller's thread, if it is its turn; a served page in
        the server's. Calls into Bokeh from other threads can get lost: only its loop
        can be called from all.
        """
        if self._document is None:
            PAGES.soon(self._draw_pending)
        else:
            self._loop.add_callback(self._ask)

    def _ask(self) -> None:
        """Ask the server to draw, once for all that is pending by then."""
        if not self._is_asked:
            self._is_asked = True
            self._document.add_next_tick_callback(self._draw_pending)

    def keep(
        self,
        draw: Callable[..., object],
        *,
        with_results: bool = True,
        **inputs: Any,
    ) -> None:
        """Do something now, and again whenever what it shows has changed.

        What is made while a tab is open belongs to it: as long as another is open,
        changes are noted, and followed once when the tab is opened again.

        Parameters
        ----------
        draw : callable
            Called with the values of `inputs`.
        with_results : bool
            A new state is a change.
        **inputs
            Widgets or param references; a change of one calls again.
        """
        own_tab, is_stale = self.tab, False

        def follow(*_: Any, **__: Any) -> None:
            nonlocal is_stale
            is_stale = self.tab != own_tab
            if not is_stale:
                draw(**param.parameterized.resolve_value(inputs))

        follow()
        sources = [self.param.results] if with_results else []
        pn.bind(follow, *sources, watch=True, **inputs)
        self.param.watch(lambda _: follow() if is_stale else None, "tab")

    def post(self, action: Callable[[], object]) -> None:
        """Do something to the page, in the thread that may touch it.

        Parameters
        ----------
        action : callable
            Called without arguments.
        """
        self._posted.append(action)
        self._draw_soon()

    def _do_posted(self) -> None:
        while self._posted:
            action = self._posted.popleft()
            try:
                action()
            except Exception as error:
                self.report(error)

    def _draw_pending(self) -> None:
        """Draw until nothing is new, if there is a page to draw on."""
        self._is_asked = False
        if self.page is not None and self.page.is_awaited:
            return
        with self._sent_together():
            self._do_posted()
            while self._is_due():
                self._pending = False
                try:
                    self._draw()
                except Exception as error:
                    self.cannot_draw(error)

    def _sent_together(self) -> AbstractContextManager[object]:
        """Send what is drawn in one message: a browser lays out and paints once."""
        if self._document is not None:
            return hold(self._document)
        return nullcontext() if self.page is None else self.page.together()

    def _is_due(self) -> bool:
        return self._pending or (self._deferred and not self._resting())

    def _resting(self) -> bool:
        return self.session.running and time.monotonic() < self._rest_until

    def _draw(self) -> None:
        """Move the counters, in one batch, so that each view draws once."""
        session, state = self.session, self.session.state
        new = state is not None and state is not self._state
        self._deferred = new and self._resting()
        news: dict[str, Any] = {
            "event": self.event + 1,
            "next_symmetry": _next_symmetry(session),
        }
        if not new or self._deferred:
            self.param.update(news)
            return
        self._state = state
        start = time.monotonic()
        if self._failed_to_draw:
            self._failed_to_draw, self.problem = False, ""
        self.param.update(news, results=self.results + 1, has_results=True)
        now = time.monotonic()
        self._rest_until = now + max(REST * (now - start), LEAST_REST_S)

    def report(self, error: Exception) -> None:
        """Show an error and log it; where it came from, unless it was the user's.

        Parameters
        ----------
        error : Exception
            What went wrong.
        """
        traceback = None if isinstance(error, InputError) else error
        log.error("In the dashboard: %s", error, exc_info=traceback)
        self.problem = str(error) or type(error).__name__

    def cannot_draw(self, error: Exception) -> None:
        """Show an error until the next results are drawn without one.

        Parameters
        ----------
        error : Exception
            What went wrong.
        """
        self._failed_to_draw = True
        self.report(error)

    def attempt(self, action: Callable[[], Any]) -> bool:
        """Do something for the user and show the error if it fails.

        Parameters
        ----------
        action : callable
            Called without arguments.

        Returns
        -------
        bool
            Whether it succeeded.
        """
        try:
            action()
        except Exception as error:
            self.report(error)
            return False
        self.problem = ""
        return True

    def close(self) -> None:
        """Stop following the session."""
        self._unsubscribe()


def live_chart(
    follow: SessionView,
    draw: Callable[..., Chart],
    *,
    with_results: bool = True,
    on_tap: Callable[[float, float], object] | None = None,
    flex: str = "1 1 300px",
    **inputs: Any,
) -> ChartPane:
    """Chart that is drawn again for every new state.

    Parameters
    ----------
    follow : SessionView
        What is shown.
    draw : callable
        Called with the session and `inputs`; returns a chart, always of the same
        layers.
    with_results : bool
        A new state draws again; else only a change of the inputs does.
    on_tap : callable, optional
        Called with the coordinates of every click.
    flex : str
        CSS: how it shares a row with its neighbours, and its least width.
    **inputs
        Widgets or param references; a change of one draws again, too.

    Returns
    -------
    ChartPane
        A chart that cannot be drawn is reported, and the one before stays.
    """
    panes: list[ChartPane] = []

    def redraw(**values: Any) -> None:
        try:
            chart = draw(follow.session, **values)
        except Exception as error:
            if not panes:
                raise
            follow.cannot_draw(error)
            return
        if panes:
            panes[0].object = chart
        else:
            look = {"theme": follow.theme, "styles": {"flex": flex}}
            panes.append(ChartPane(chart, on_tap=on_tap, source=follow, **look))

    follow.keep(redraw, with_results=with_results, **inputs)
    follow.param.watch(lambda change: panes[0].param.update(theme=change.new), "theme")
    return panes[0]


def _next_symmetry(session: Any) -> tuple[float, float]:
    """Twist and rise of the next iteration, nan where there is none."""
    edited = session.parameters
    twist, rise = (edited.twist_deg, edited.rise_A)
    return np.nan if twist is None else twist, np.nan if rise is None else rise


def _served_document() -> Any:
    """Bokeh document of the page being built by a server; None in a notebook."""
    document = pn.state.curdoc
    served = document is not None and document.session_context is not None
    return document if served else None


def _weak_callback(view: SessionView) -> Callable[..., None]:
    """Make a callback that does not keep a closed dashboard alive."""
    reference = weakref.ref(view)

    def callback(*_: Any) -> None:
        alive = reference()
        if alive is not None:
            alive.changed()

    return callback
