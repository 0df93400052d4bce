"""What is made of the current state once, however often it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Kept:
    """Things of the current state, forgotten with it."""

    def __init__(self) -> None:
        self._state: Any = None
        self._kept: dict[str, Any] = {}

    def once(self, session: Any, name: str, make: Callable[[], Any]) -> Any:
        """Make something of the current state, or find it made already.

        Parameters
        ----------
        session : Session
            What is shown.
        name : str
            Tells it from what else is kept.
        make : callable
            Called without arguments, once for each state.

        Returns
        -------
        object
            Not to be changed.
        """
        state = session.state
        if state is not self._state:
            self._state, self._kept = state, {}
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]
