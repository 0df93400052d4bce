"""Results that take a moment: computed beside the page.

Reading and turning images takes a good part of a second. A page that waited for it at
each iteration would not answer, so views that need it show what they have and catch up.
"""

from __future__ import annotations

import html
import threading
from typing import TYPE_CHECKING, Any

import panel as pn
import param

from helixnb.dashboards import style
from helixnb.dashboards.live import live_chart

if TYPE_CHECKING:
    from collections.abc import Callable

    from helixnb.dashboards.chart import Chart
    from helixnb.dashboards.drawing import ChartPane
    from helixnb.dashboards.live import SessionView


PATIENCE_S = 0.3
COMPUTING = "Computing from the images; shown here in a moment."


class Later(param.Parameterized):
    """A value that follows the session's results and some widgets, a little later.

    Parameters
    ----------
    follow : SessionView
        What is shown.
    compute : callable
        Called in a thread with the session and `inputs`.
    **inputs
        Widgets or param references that it depends on.

    Attributes
    ----------
    value : object
        What `compute` returned last; None before.
    waiting : str
        Why there is nothing or something old to be seen.
    """

    value = param.Parameter(allow_refs=False)
    waiting = param.String(default="")

    def __init__(
        self, follow: SessionView, compute: Callable[..., Any], **inputs: Any
    ) -> None:
        super().__init__()
        self._follow = follow
        self._compute = compute
        self._lock = threading.Lock()
        self._asked: dict[str, Any] | None = None
        self._made: dict[str, Any] | None = None
        self._busy = False
        follow.keep(self._ask, **inputs)

    def chart(
        self, draw: Callable[..., Chart], flex: str = "1 1 300px", **inputs: Any
    ) -> ChartPane:
        """Chart of the value: drawn once for each, not when it becomes outdated.

        Parameters
        ----------
        draw : callable
            Called with the session, the value as ``found``, and `inputs`.
        flex : str
            As for `live_chart`.
        **inputs
            Widgets or param references; a change of one draws again, too.

        Returns
        -------
        ChartPane
        """
        found = self.param.value
        return live_chart(
            self._follow, draw, with_results=False, flex=flex, found=found, **inputs
        )

    def pane(
        self, build: Callable[[], pn.viewable.Viewable], **layout: Any
    ) -> pn.Column:
        """Place of a plot: a sentence until there is a value, then the plot.

        Parameters
        ----------
        build : callable
            Makes the plot once there is a value.
        **layout
            Options of the column.

        Returns
        -------
        panel.Column
        """
        sentence = pn.pane.HTML(
            pn.bind(html.escape, self.param.waiting),
            styles={"color": style.QUIET},
            margin=0,
        )
        place = pn.Column(sentence, **layout)

        def fill(value: Any) -> None:
            if value is not None and len(place) == 1:
                place.append(build())

        fill(self.value)
        self.param.watch(lambda change: fill(change.new), "value")
        return place

    def _ask(self, **values: Any) -> None:
        """Have it computed.

        The first is waited for: a view is complete when it is shown. In a tab that is
        being opened it is not waited for long.
        """
        with self._lock:
            self._asked = values
            start, self._busy = not self._busy, True
        if not start:
            return
        worker = threading.Thread(target=self._work, daemon=True)
        worker.start()
        if self.value is None and not self.waiting:
            worker.join(PATIENCE_S if self._follow.tab else None)
            self._take()
            if self.value is None and not self.waiting:
                self.waiting = COMPUTING

    def _work(self) -> None:
        """Compute until nobody asks for anything newer."""
        while True:
            with self._lock:
                values, self._asked = self._asked, None
                if values is None:
                    self._busy = False
                    return
            made = self._computed(values)
            with self._lock:
                self._made = made
            self._follow.post(self._take)

    def _take(self) -> None:
        """Show what was computed, unless it is shown already."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            self.param.update(made)

    def _computed(self, values: dict[str, Any]) -> dict[str, Any]:
        """Compute; what goes wrong is said where the plot would be."""
        try:
            made = self._compute(self._follow.session, **values)
        except Exception as error:
            return {"waiting": str(error) or type(error).__name__}
        return {"value": made, "waiting": ""}
