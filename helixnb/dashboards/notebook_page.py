"""A notebook's page and the kernel: what goes wrong between them, mended at both ends.

Panel 1.9 listens for changes of a notebook's models and sends them to the kernel, also
those that came from there: it does not look at the mark that Bokeh 3.9 gives them. All
columns of all plots then come back in every iteration, and what a user enters waits
behind them, until the next iteration puts its own value in its place. So the listener
is told to look at the mark.

What a user does while the kernel is busy is sent in one message, and of a message the
kernel does the clicks first: a step would not see what was entered before it was
pressed. So clicks and entries go in messages of their own, which keep their order.

JupyterLab keeps Enter from fields, so that what was typed counts only once the field is
left. So Enter says that the field has changed.

A page opens some time after its cell has run, and again when it is loaded again; it
then shows what its cell put there, and does not understand changes of what came since.
So nothing is drawn before the first time, and everything is sent anew at the others.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn
from pyviz_comms import JupyterComm

from helixnb.dashboards.turns import PAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bokeh.document import Document
    from bokeh.model import Model

_SCRIPT = """
(() => {
  const manager = window.Bokeh?.Models?.get("panel.models.comm_manager.CommManager")
  if (!manager || manager.prototype.is_mended) return
  manager.prototype.is_mended = true
  const listen = manager.prototype._document_changed
  manager.prototype._document_changed = function (event) {
    if (event.sync !== false) listen.call(this, event)
  }
  const send = manager.prototype.process_events
  manager.prototype.process_events = function () {
    if (this.document == null || this._client_comm == null) return
    let waiting = this._event_buffer
    while (waiting.length) {
      const other = waiting.findIndex(event => event.kind != waiting[0].kind)
      const end = other < 0 ? waiting.length : other
      this._event_buffer = waiting.slice(0, end)
      waiting = waiting.slice(end)
      send.call(this)
    }
  }
  const entered = (event) => {
    const field = event.composedPath()[0]
    const in_widget = field.getRootNode() instanceof ShadowRoot
    if (event.key == "Enter" && field instanceof HTMLInputElement && in_widget)
      field.dispatchEvent(new Event("change"))
  }
  document.addEventListener("keydown", entered, true)
})()
"""


class NotebookPage(pn.pane.HTML):
    """Script of a page, and the kernel's end of all pages that this is put on.

    Takes no place. Where it is served, or saved in a file, it does nothing.

    Parameters
    ----------
    opened : callable
        Called when a page opens, with whether that page shows something old.
    version : callable
        Returns a number that is another one once something has been drawn.
    """

    def __init__(
        self, opened: Callable[[bool], object], version: Callable[[], int]
    ) -> None:
        super().__init__(f"<script>{_SCRIPT}</script>", width=0, height=0, margin=0)
        self._opened = opened
        self._version = version
        self._channels: dict[str, JupyterComm] = {}

    @property
    def is_awaited(self) -> bool:
        """Whether there are pages to be, and none has opened so far."""
        channels = self._channels.values()
        return bool(channels) and all(one._comm is None for one in channels)

    def _get_model(
        self,
        doc: Document,
        root: Model | None = None,
        parent: Model | None = None,
        comm: Any = None,
    ) -> Model:
        model = super()._get_model(doc, root, parent, comm)
        reference = (root or model).ref["id"]
        if isinstance(comm, JupyterComm) and reference not in self._channels:
            self._channels[reference] = comm
            # Called whenever the page opens, and before any message of it.
            comm.init = partial(self._open, reference, comm.init, self._version())
        return model

    def _open(self, reference: str, init: Callable[[], object], version: int) -> None:
        """Begin to talk to a page."""
        is_first = self._channels[reference]._comm is None
        init()
        _take_turns(reference)
        is_old = not is_first or version != self._version()
        PAGES.soon(lambda: self._opened(is_old))

    def _cleanup(self, root: Model | None = None) -> None:
        if root is not None:
            self._channels.pop(root.ref["id"], None)
        super()._cleanup(root)


def _take_turns(reference: str) -> None:
    """Handle the messages of a page in turn with what is drawn on it."""
    viewable = pn.state._views[reference][0]
    _, incoming = viewable._comms[reference]
    handle = incoming._on_msg
    if getattr(handle, "func", None) is _in_turn:
        return
    incoming._on_msg = partial(_in_turn, handle)


def _in_turn(handle: Callable[[Any], object], message: Any) -> None:
    with PAGES.handling():
        handle(message)
