"""Who is computing, who wants to know, and what went wrong: one activity at a time.

A second activity is refused rather than queued: in a notebook, the second click is a
mistake far more often than a wish.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("helixnb")


class Listeners:
    """Functions to call after a change; what they raise is logged only."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], object]] = []

    def add(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Add a function.

        Parameters
        ----------
        callback : callable
            Called without arguments.

        Returns
        -------
        callable
            Removes it again.
        """
        self._callbacks = [*self._callbacks, callback]

        def remove() -> None:
            self._callbacks = [c for c in self._callbacks if c is not callback]

        return remove

    def __call__(self) -> None:
        """Call all of them."""
        for callback in self._callbacks:
            try:
                callback()
            except Exception as error:
                log.error("In a callback of the session: %s", error, exc_info=error)


class Activity:
    """Lock, background thread and last error of a session.

    Parameters
    ----------
    notify : callable
        Called when work begins, ends or fails.

    Attributes
    ----------
    error : Exception or None
        What stopped the last step or run.
    pause : threading.Event
        Set by who wants the work to end early; cleared when work begins.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self.error: Exception | None = None
        self.pause = threading.Event()
        self._notify = notify
        self._busy = threading.Lock()
        self._thread: threading.Thread | None = None
        self._unraised = False

    @property
    def running(self) -> bool:
        """Whether somebody computes."""
        return self._busy.locked()

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Compute something in this thread.

        Parameters
        ----------
        what : str
            Named in the error of whoever comes second.

        Raises
        ------
        RuntimeError
            If somebody computes already.
        """
        self._acquire(what)
        try:
            # Listeners may draw for a while, and be interrupted.
            self._notify()
            yield
        finally:
            self._release()

    def in_background(self, what: str, work: Callable[[], None]) -> None:
        """Compute something in a thread; its error is kept.

        Parameters
        ----------
        what : str
            Named in the error of whoever comes second.
        work : callable
            Called without arguments.

        Raises
        ------
        RuntimeError
            If somebody computes already.
        """
        self._acquire(what)
        try:
            self._notify()
            self._thread = threading.Thread(
                target=self._body, args=(work,), name=f"helixnb-{what}", daemon=True
            )
            self._thread.start()
        except BaseException:
            self._release()
            raise

    def _body(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            error.add_note("This stopped the background run of a helixnb session.")
            self.error, self._unraised = error, True
            log.error("Stopped by an error: %s", error, exc_info=error)
        finally:
            self._release()

    def join(self, timeout: float | None) -> None:
        """Wait for the thread, if there is one.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait at most.
        """
        if self._thread is not None:
            self._thread.join(timeout)

    def clear_error(self) -> None:
        """Forget what went wrong, because something went right since."""
        self.error, self._unraised = None, False

    def raise_kept(self) -> None:
        """Raise what stopped the thread, the first time somebody asks."""
        if self._unraised and self.error is not None:
            self._unraised = False
            raise self.error

    def _acquire(self, what: str) -> None:
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(
                f"Cannot {what}: a step or run of this session is going on. Call "
                "session.pause() and session.wait() first."
            )
        self.pause.clear()

    def _release(self) -> None:
        self._busy.release()
        self._notify()
