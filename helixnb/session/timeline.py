"""What a session remembers: states, history and parameters, changed together.

Other threads may read at any moment, and an interrupt may come at any moment, so all
of it is one frozen `Moment` that is replaced by a single assignment.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from helixnb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from helixnb.iteration.state import State
    from helixnb.parameters import Parameters
    from helixnb.session.static_mask import StaticMask

_SYMMETRY_FIELDS = {"twist_deg", "rise_A"}


@dataclass(frozen=True)
class Moment:
    """Everything a session remembers, as of one moment.

    Attributes
    ----------
    parameters : Parameters
        For the next iteration.
    states : tuple of State
        The current one last; empty before the first step.
    rows : tuple of dict
        History, one row for each iteration, also of states no longer kept.
    edited : frozenset of str
        Parameters that were set since the running iteration read them.
    static_mask : StaticMask or None
        Given by the user; in use while ``parameters.mask`` is "static".
    """

    parameters: Parameters
    states: tuple[State, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    edited: frozenset[str] = frozenset()
    static_mask: StaticMask | None = None

    @property
    def state(self) -> State | None:
        """Current state."""
        return self.states[-1] if self.states else None

    @property
    def expected(self) -> Parameters:
        """Parameters of the next iteration if nobody had edited them."""
        state = self.state
        if state is None:
            return self.parameters
        if state.iteration == 0:
            return state.parameters
        return _with_symmetry(state.parameters, state)


def _with_symmetry(parameters: Parameters, state: State) -> Parameters:
    """Parameters with the twist and rise that an iteration came to."""
    found = state.symmetry
    if found is None:
        return parameters.changed(twist_deg=None, rise_A=None)
    return parameters.changed(twist_deg=found.twist_deg, rise_A=found.rise_A)


class Timeline:
    """States of one refinement with the parameters that follow from them.

    Parameters
    ----------
    now : Moment
        To begin with.
    keep_states : int
        States kept, the current one included.

    Attributes
    ----------
    lock : threading.RLock
        To be held by who replaces what was read before.
    now : Moment
        To be read once by who needs several parts of it.
    """

    def __init__(self, now: Moment, keep_states: int) -> None:
        if int(keep_states) != keep_states or keep_states < 1:
            raise InputError(f"keep_states must be 1 or more, got {keep_states!r}.")
        self.lock = threading.RLock()
        self.keep_states = int(keep_states)
        self.now = replace(now, states=now.states[-self.keep_states :])

    def begin(self) -> Moment:
        """Read once what the next iteration starts from."""
        with self.lock:
            self.now = replace(self.now, edited=frozenset())
            return self.now

    def use_mask(self, mask: StaticMask) -> None:
        """Replace the static mask.

        Parameters
        ----------
        mask : StaticMask
            For the next iteration.
        """
        with self.lock:
            self.now = replace(self.now, static_mask=mask)

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
            edited = self.now.edited.union(names)
            self.now = replace(self.now, parameters=parameters, edited=edited)

    def publish_initial(self, state: State) -> None:
        """Make an initial density the current state, and the only one.

        Parameters
        ----------
        state : State
            Of iteration 0; it has no row in the history.
        """
        with self.lock:
            self.now = replace(self.now, states=(state,), rows=())

    def publish(self, state: State, row: dict[str, Any]) -> None:
        """Make the result of an iteration the current state.

        Parameters
        ----------
        state : State
            From `begin`'s.
        row : dict
            Its row of the history.
        """
        with self.lock:
            now = self.now
            parameters = now.parameters
            # What the user set while the iteration ran is not overruled by it.
            if not now.edited & _SYMMETRY_FIELDS:
                parameters = _with_symmetry(parameters, state)
            self.now = replace(
                now,
                states=(*now.states, state)[-self.keep_states :],
                rows=(*now.rows, row),
                parameters=parameters,
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
            now = self.now
            earlier = max(len(now.states) - 1, 0)
            if int(k) != k or not 1 <= k <= earlier:
                raise InputError(
                    f"Cannot go back by {k!r}: {earlier} earlier states are kept "
                    f"(keep_states={self.keep_states}). A session that is to go back "
                    "further needs more."
                )
            kept = now.states[: -int(k)]
            last = kept[-1].iteration
            before = replace(
                now,
                states=kept,
                rows=tuple(row for row in now.rows if row["iteration"] <= last),
                edited=frozenset(),
            )
            self.now = replace(before, parameters=before.expected)
