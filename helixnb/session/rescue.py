"""What was computed is saved when something stops the work of a program.

A notebook keeps its session whatever happens; a command ends with it. So before a
command ends for any reason (an error, Ctrl-C, the end of a batch job, a full disk), its
session is saved, elsewhere if need be.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from helixnb.session.session import Session

log = logging.getLogger("helixnb")


@contextmanager
def rescuing(session: Session, path: Path) -> Iterator[None]:
    """Save a session if the block does not end well.

    Parameters
    ----------
    session : Session
        Working in the block.
    path : Path
        Where to save it; if that fails, a file in the folder for temporary files.
    """

    def ended(*_: Any) -> None:
        raise KeyboardInterrupt

    # SIGTERM is what batch systems send some time before they kill.
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, ended) if in_main else None
    try:
        yield
    except BaseException:
        if session.iteration > 0:
            _save_anywhere(session, path)
        raise
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)


def _save_anywhere(session: Session, path: Path) -> None:
    """Save a session in its place, or where there is space."""
    elsewhere = Path(tempfile.gettempdir()) / f"helixnb-{os.getpid()}-{path.name}"
    for place in (path, elsewhere):
        try:
            session.save(place)
        except InputError as error:
            log.warning("%s", error)
            continue
        log.warning(
            "%d iterations are saved; go on with: helixnb resume %s -o OUT",
            session.iteration,
            place,
        )
        return
