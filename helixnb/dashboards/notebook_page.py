"""A notebook's page and the kernel: when to draw, and in whose turn.

A page opens some time after its cell has run, and again when it is loaded again; it
then shows what its cell put there, and does not understand changes of what came since.
So nothing is drawn before the first time, and everything is sent anew at the others.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn
from panel.io.notebook import block_comm, push_on_root
from pyviz_comms import JupyterComm

from helixnb.dashboards.page_script import PAGE, SCRIPT
from helixnb.dashboards.turns import PAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bokeh.document import Document
    from bokeh.model import Model


class NotebookPage(pn.pane.HTML):
    """Script of a page, and the kernel's end of all pages that this is put on.

    Takes no place. Where it is served, or saved in a file, it is the script alone.

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
        super().__init__(f"<script>{SCRIPT}</script>", width=0, height=0, margin=0)
        self._opened = opened
        self._version = version
        self._channels: dict[str, JupyterComm] = {}
        # By page. One that is forgotten would be closed, and with it the page's end.
        self._knocks: dict[str, list[Any]] = {}

    @property
    def is_awaited(self) -> bool:
        """Whether there are pages to be, and none has opened so far."""
        channels = self._channels.values()
        return bool(channels) and all(one._comm is None for one in channels)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send what is changed within as one message for each page.

        JupyterLab handles each of its pieces by itself, and may paint in between.
        """
        try:
            with block_comm():
                yield
        finally:
            for reference in self._channels:
                push_on_root(reference)

    def _get_model(
        self,
        doc: Document,
        root: Model | None = None,
        parent: Model | None = None,
        comm: Any = None,
    ) -> Model:
        model = super()._get_model(doc, root, parent, comm)
        model.name = PAGE
        reference = (root or model).ref["id"]
        if isinstance(comm, JupyterComm) and reference not in self._channels:
            self._channels[reference] = comm
            # Called whenever the page opens, and before any message of it.
            comm.init = partial(self._open, reference, comm.init, self._version())
        return model

    def _open(self, reference: str, init: Callable[[], object], version: int) -> None:
        """Begin to talk to a page, which may knock more than once."""
        viewable = pn.state._views[reference][0]
        _, incoming = viewable._comms[reference]
        knock = incoming.comm
        knocks = self._knocks.setdefault(knock.comm_id, [])
        knocks.append(knock)
        if knocks[0] is not knock:
            return
        is_first = self._channels[reference]._comm is None
        init()
        # Something for the page to hear, also if there is nothing to draw.
        self._channels[reference].send(metadata={"msg_type": "Ready"})
        _take_turns(incoming)
        is_old = not is_first or version != self._version()
        PAGES.soon(lambda: self._opened(is_old))

    def _cleanup(self, root: Model | None = None) -> None:
        if root is not None:
            self._channels.pop(root.ref["id"], None)
        super()._cleanup(root)


def _take_turns(incoming: Any) -> None:
    """Handle the messages of a page in turn with what is drawn on it."""
    handle = incoming._on_msg
    if getattr(handle, "func", None) is _in_turn:
        return
    incoming._on_msg = partial(_in_turn, handle)


def _in_turn(handle: Callable[[Any], object], message: Any) -> None:
    with PAGES.handling():
        handle(message)
