"""What to know before the first iteration: what it will do that takes long or may fail.

Said where a user looks before there is a result: in the session's display, on the
dashboard's first page, and in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from helixnb.iteration.starts import TRIAL_IMAGES, number_of_starts

if TYPE_CHECKING:
    from helixnb.parameters import Parameters


def foreword(parameters: Parameters, n_images: int, *, given_map: bool) -> list[str]:
    """List what a user should know before the first step.

    Parameters
    ----------
    parameters : Parameters
        Of the first iteration.
    n_images : int
        Images of the set.
    given_map : bool
        Whether the user gives a density to start from.

    Returns
    -------
    list of str
        Sentences; none where there is nothing to say.
    """
    notes = []
    if parameters.symmetry is None and not given_map:
        notes.append(
            "No twist and rise are given, and no map: an asymmetric refinement from "
            "nothing settles on a few azimuths, and its map is seldom right. If twist "
            "and rise are roughly known, give them with impose_symmetry=False, which "
            "releases them once structure has grown; or give an initial_map; or find "
            "them from layer lines first."
        )
    n = number_of_starts(parameters, n_images, given_map=given_map)
    if n > 1:
        notes.append(
            f"The first step tries {n} starts on {min(TRIAL_IMAGES, n_images)} images "
            "each and takes the best, which takes that much longer; starts=1 tries one."
        )
    return notes
