"""One thread at a time on the pages of a notebook.

What a user does on a page is handled in one thread, iterations end in another, and both
change pages. Panel keeps what it has to send in one list and sends a message in pieces:
two threads at once, or Ctrl-C between two pieces, lose changes or spoil the page for
good. So each waits for its turn or leaves its work to whoever has it.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Turns:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._handling = 0  # thread that has the turn for a message
        self._working = False

    def soon(self, work: Callable[[], object]) -> None:
        """Do something now, or have it done by the thread whose turn it is.

        Never waits: the caller may be the thread that computes, which a handler of a
        message may be waiting for.

        Parameters
        ----------
        work : callable
            Called without arguments; does not raise.
        """
        self._waiting.append(work)
        self._work()

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle a message of a page: waits for the turn, then does what waited."""
        me = threading.get_ident()
        if self._handling == me:
            yield
            return
        with self._turn:
            self._handling = me
            try:
                yield
            finally:
                self._handling = 0
        self._work()

    def _work(self) -> None:
        with uninterrupted():
            if self._handling == threading.get_ident():
                self._do_waiting()
            while self._waiting and self._turn.acquire(blocking=False):
                try:
                    self._do_waiting()
                finally:
                    self._turn.release()

    def _do_waiting(self) -> None:
        """Do all that waits, in the thread that has the turn."""
        if self._working:
            return  # asked for by what is being done
        self._working = True
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            self._working = False


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C take effect afterwards; it comes to the main thread only."""
    usual = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not (is_main and callable(usual)):
        yield
        return
    came: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *signalled: came.append(signalled))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        if came:
            usual(*came[0])


PAGES = Turns()
"""Of all pages of this kernel."""
