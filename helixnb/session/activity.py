"""Who is computing, who wants to know, and what went wrong: one activity at a time.

A second activity is refused rather than queued: in a notebook, the second click is a
mistake far more often than a wish.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
        # Who computes, under one key: dict.setdefault is atomic where a lock and the
        # note of who holds it would be two steps.
        self._owner: dict[str, object] = {}
        self._thread: threading.Thread | None = None
        self._body_ended = threading.Event()
        self._unraised = False

    @property
    def running(self) -> bool:
        """Whether somebody computes."""
        return bool(self._owner)

    def here(self, what: str, work: Callable[[], None]) -> None:
        """Compute something in this thread.

        An interrupt may come between any two instructions, so this is no context
        manager: one could be interrupted between its entry and the block.

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
        token = object()
        try:
            try:
                self._acquire(what, token)
                # Listeners may draw for a while, and be interrupted.
                self._notify()
                work()
            finally:
                self._free(token)
        finally:
            # Where an interrupt kept the first call from its work.
            self._free(token)
            self._notify()

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
        token, ended = object(), threading.Event()
        thread = threading.Thread(
            target=self._body,
            args=(work, token, ended),
            name=f"helixnb-{what}",
            daemon=True,
        )
        try:
            try:
                self._acquire(what, token)
                self._notify()
                self._thread, self._body_ended = thread, ended
                thread.start()
            finally:
                self._free_unless_begun(token, thread)
        finally:
            self._free_unless_begun(token, thread)

    def _body(
        self, work: Callable[[], None], token: object, ended: threading.Event
    ) -> None:
        try:
            if self._owner.get("token") is token:  # not interrupted while it started
                work()
        except Exception as error:
            error.add_note("This stopped the background run of a helixnb session.")
            self.error, self._unraised = error, True
            log.error("Stopped by an error: %s", error, exc_info=error)
        finally:
            self._free(token)
            self._notify()
            ended.set()

    def join(self, timeout: float | None) -> None:
        """Wait for the thread, if there is one.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait at most.
        """
        # An interrupt may have kept it from starting. Not Thread.join: before Python
        # 3.13, one that was interrupted takes the thread for ended ever after.
        if self._thread is not None and self._thread.ident is not None:
            self._body_ended.wait(timeout)

    def clear_error(self) -> None:
        """Forget what went wrong, because something went right since."""
        self.error, self._unraised = None, False

    def raise_kept(self) -> None:
        """Raise what stopped the thread, the first time somebody asks."""
        if self._unraised and self.error is not None:
            self._unraised = False
            raise self.error

    def _acquire(self, what: str, token: object) -> None:
        # One atomic operation, after which `_free` with the same token undoes it.
        if self._owner.setdefault("token", token) is not token:
            raise RuntimeError(
                f"Cannot {what}: a step or run of this session is going on. Call "
                "session.pause() and session.wait() first."
            )
        self.pause.clear()

    def _free_unless_begun(self, token: object, thread: threading.Thread) -> None:
        if thread.ident is None:  # refused, or interrupted before it began
            self._free(token)

    def _free(self, token: object) -> None:
        """Let others compute, if this token was the one who did."""
        if self._owner.get("token") is token:
            self._owner.pop("token", None)
