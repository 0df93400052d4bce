"""How a refinement ended and how to go on: one wording for every place that shows it.

Converged is only what stands still. A limit that ends a refinement before is named with
its value, so that nobody takes a map that would still improve for the final one.
"""

from __future__ import annotations

from dataclasses import dataclass

from helixnb.iteration.schedule import LOW_RESOLUTION_A
from helixnb.iteration.state import State
from helixnb.parameters import Parameters


@dataclass(frozen=True)
class Outcome:
    """Where a refinement stands, in words.

    Parameters
    ----------
    ended : bool
        Whether a run would not go on from here.
    text : str
        What ended it; "not converged" where nothing has.
    limit : str
        The parameter that ended it; empty if none did.
    advice : str
        Why, and how to go on; empty where there is nothing to say.
    """

    ended: bool
    text: str
    limit: str = ""
    advice: str = ""


def outcome(state: State, parameters: Parameters) -> Outcome:
    """Tell what ended a refinement.

    Parameters
    ----------
    state : State
        The last iteration.
    parameters : Parameters
        Of the next one, where limits may have been raised since.

    Returns
    -------
    Outcome
    """
    if state.converged:
        return Outcome(True, "converged")
    if state.ended:
        limit, value = "max_low_resolution_iterations", state.parameters
        why = f"The resolution has not come below {LOW_RESOLUTION_A:g} A"
        if state.stalled:
            since = "iteration" if state.stalled == 1 else f"{state.stalled} iterations"
            why = f"{why}; it and the evidence have not improved in the last {since}"
        else:
            why = f"{why}, but the map was still improving"
    elif 0 < parameters.max_iterations <= state.iteration:
        limit, value = "max_iterations", parameters
        why = "The map may still improve"
    else:
        return Outcome(False, "not converged")
    text = f"ended by {limit} = {getattr(value, limit)}, not converged"
    return Outcome(True, text, limit, f"{why}. To go on, raise {limit} and run again.")
