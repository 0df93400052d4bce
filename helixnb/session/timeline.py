"""What a session remembers: states, history and parameters, changed together.

Other threads may read at any moment, so what belongs together is replaced under one
lock, and lists are replaced rather than changed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from helixnb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from helixnb.parameters import Parameters
    from helixnb.state import State

_SYMMETRY_FIELDS = {"twist_deg", "rise_A"}


class Timeline:
    """States of one refinement with the parameters that follow from them.

    Parameters
    ----------
    parameters : Parameters
        For the first iteration.
    keep_states : int
        States kept, the current one included.

    Attributes
    ----------
    lock : threading.RLock
        To be held for reading several of the following as of one moment.
    states : list of State
        The current one last; empty before the first step.
    rows : list of dict
        History, one row for each iteration, also of states no longer kept.
    parameters : Parameters
        For the next iteration.
    """

    def __init__(self, parameters: Parameters, keep_states: int) -> None:
        if int(keep_states) != keep_states or keep_states < 1:
            raise InputError(f"keep_states must be 1 or more, got {keep_states!r}.")
        self.lock = threading.RLock()
        self.states: list[State] = []
        self.rows: list[dict[str, Any]] = []
        self.parameters = parameters
        self._keep_states = int(keep_states)
        self._edited: set[str] = set()

    @property
    def state(self) -> State | None:
        """Current state."""
        states = self.states
        return states[-1] if states else None

    def begin(self) -> tuple[Parameters, State | None]:
        """Read once what the next iteration starts from.

        Returns
        -------
        parameters : Parameters
        state : State or None
        """
        with self.lock:
            self._edited = set()
            return self.parameters, self.state

    def edit(self, parameters: Parameters, names: Collection[str]) -> None:
        """Replace the parameters of the next iteration.

        Parameters
        ----------
        parameters : Parameters
            All of them.
        names : collection of str
            Those the user set.
        """
        with self.lock:
            self.parameters = parameters
            self._edited = self._edited | set(names)

    def publish(self, state: State, row: dict[str, Any] | None = None) -> None:
        """Make a state the current one.

        Parameters
        ----------
        state : State
            From `begin`'s.
        row : dict, optional
            Its row of the history; the initial density has none.
        """
        with self.lock:
            self.states = [*self.states, state][-self._keep_states :]
            if row is not None:
                self.rows = [*self.rows, row]
            # What the user set while the iteration ran is not overruled by it.
            if row is not None and not self._edited & _SYMMETRY_FIELDS:
                self.parameters = self.parameters.changed(
                    twist_deg=state.symmetry.twist_deg, rise_A=state.symmetry.rise_A
                )

    def back(self, k: int) -> None:
        """Return to an earlier state and what followed from it.

        Parameters
        ----------
        k : int
            States to drop.

        Raises
        ------
        InputError
            If that state is not kept.
        """
        with self.lock:
            earlier = max(len(self.states) - 1, 0)
            if int(k) != k or not 1 <= k <= earlier:
                raise InputError(
                    f"Cannot go back by {k!r}: {earlier} earlier states are kept "
                    f"(keep_states={self._keep_states})."
                )
            self.states = self.states[: -int(k)]
            last = self.states[-1].iteration
            self.rows = [row for row in self.rows if row["iteration"] <= last]
            self.parameters = self.expected()
            self._edited = set()

    def expected(self) -> Parameters:
        """Parameters of the next iteration if nobody had edited them."""
        with self.lock:
            state = self.state
            if state is None:
                return self.parameters
            if state.iteration == 0:
                return state.parameters
            return state.parameters.changed(
                twist_deg=state.symmetry.twist_deg, rise_A=state.symmetry.rise_A
            )
