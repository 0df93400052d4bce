"""What an iteration leaves behind: plain frozen data, no behaviour.

A `State` is the output of one refinement step and the input of the next; the session
keeps, saves and shows states, and never changes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from helixnb.core.blind_check import BlindCheck
from helixnb.core.candidates import Candidate
from helixnb.core.fsc import HalfMapFSC
from helixnb.core.point_group import Dyad
from helixnb.core.poses import Poses
from helixnb.core.search import PoseSpread
from helixnb.core.symmetry_search import SymmetryScore
from helixnb.parameters import Parameters
from helixnb.symmetry import HelicalSymmetry


@dataclass(frozen=True)
class Survey:
    """What the images themselves say, measured once.

    Parameters
    ----------
    half : ndarray of int8, shape (n,)
        Half-set of each particle, whole filaments together.
    image_power : ndarray of float64, shape (box // 2 + 1,)
        Mean power of the images in each ring.
    ctf_power : ndarray of float64, shape (box // 2 + 1,)
        Mean squared CTF of each ring.
    outer_radius_A : float
        Radius beyond which there is no filament.
    """

    half: NDArray[np.int8]
    image_power: NDArray[np.float64]
    ctf_power: NDArray[np.float64]
    outer_radius_A: float


@dataclass(frozen=True)
class SymmetryScores:
    """Twist-rise score maps of both halves and of their sum.

    Parameters
    ----------
    half_A, half_B, joint : SymmetryScore
        On one grid.
    extensions : int
        Times the extents were doubled because the optimum lay on the edge.
    determined : bool
        Whether the maps determine twist and rise: the joint optimum is a peak, and its
        standard errors are small beside the extents.
    used : bool
        Whether the joint optimum became the symmetry of the next iteration.
    twist_sd_deg, rise_sd_A : float
        Standard errors of the joint optimum, from what the halves do not share.
    candidates : tuple of Candidate
        The joint optimum, other optima, and multiples and fractions of the best.
    dyad : Dyad
        Best two-fold axis across the helix, whether imposed or not.
    suggested_point_group : str
        Highest that the map obeys as well as its helical symmetry.
    resolution_A : float
        Finest resolution of the maps searched.
    inner_diameter_A, outer_diameter_A : float
        Of the density searched.
    """

    half_A: SymmetryScore
    half_B: SymmetryScore
    joint: SymmetryScore
    extensions: int
    determined: bool
    used: bool
    twist_sd_deg: float
    rise_sd_A: float
    candidates: tuple[Candidate, ...]
    dyad: Dyad
    suggested_point_group: str
    resolution_A: float
    inner_diameter_A: float
    outer_diameter_A: float


@dataclass(frozen=True)
class State:
    """Everything an iteration leaves behind; the input of the next.

    Parameters
    ----------
    iteration : int
        0 for the initial density.
    seed : int
        From which all random numbers follow.
    parameters : Parameters
        As used in this iteration.
    estimate : HelicalSymmetry or None
        The user's estimate, about which twist and rise are searched, kept when they
        are released; None if none was given.
    symmetry : HelicalSymmetry or None
        To use next: as given, or as found by the search.
    symmetry_order : int
        Copies used in the reconstruction.
    bootstrapping : bool
        Whether this iteration still grew structure from a shared reference.
    regrown : bool
        Whether its references were re-grown over the box by the symmetry.
    structured_start : bool
        Whether the refinement began with a given map, and so needs no bootstrap.
    used : ndarray of bool, shape (n,)
        Images of this iteration; the others keep their earlier poses.
    survey : Survey
    half_maps : ndarray of float32, shape (2, box, box, box)
        Raw half-maps: symmetrised in the reconstruction, unfiltered, unmasked.
    references : ndarray of float32, shape (2, box, box, box)
        Regularised, inside the filament's cylinder, for the next alignment, which
        masks them further if asked to.
    fsc : HalfMapFSC
    resolution_A : float
        What is claimed: the first crossing of the reported FSC with 0.143 beyond the
        split, or the split where the halves show no more (see
        `helixnb.iteration.claim`).
    align_resolution_A : float
        Finest resolution used for alignment in this iteration.
    next_align_resolution_A : float
        To use in the next iteration.
    noise_power : ndarray of float64, shape (box // 2 + 1,)
    spread : PoseSpread
        Priors of the next alignment.
    poses : Poses
    scores : SymmetryScores or None
        None while the symmetry is not searched.
    blind_maps : ndarray of float32, shape (2, box, width, width), or None
        Half-maps that no helical symmetry was imposed on, cut across the axis to the
        filament; what the scores were made from. None without symmetry, and in the
        first iterations.
    check : BlindCheck or None
        How the symmetric half-maps agree with those; None where there are none.
    best_resolution_A : float
        Finest so far, which an iteration has to improve on by 1 %; infinite before the
        halves are independent.
    stalled : int
        Iterations since the resolution or the evidence last improved.
    passes_left : int or None
        Final passes still to make, 0 at the end; None while it improves.
    given_up : bool
        Whether those passes were begun by ``max_low_resolution_iterations``, and not
        because the refinement had converged.
    flags : tuple of str
        What a user should look at.
    seconds : dict of str to float
        Wall time by stage.
    device : str
        Device that computed it.
    cells_per_image : float
        Pose cells scored, as a mean over images.
    """

    iteration: int
    seed: int
    parameters: Parameters
    estimate: HelicalSymmetry | None
    symmetry: HelicalSymmetry | None
    symmetry_order: int
    bootstrapping: bool
    regrown: bool
    structured_start: bool
    used: NDArray[np.bool_]
    survey: Survey
    half_maps: NDArray[np.float32]
    references: NDArray[np.float32]
    fsc: HalfMapFSC
    resolution_A: float
    align_resolution_A: float
    next_align_resolution_A: float
    noise_power: NDArray[np.float64]
    spread: PoseSpread
    poses: Poses
    scores: SymmetryScores | None = None
    blind_maps: NDArray[np.float32] | None = None
    check: BlindCheck | None = None
    best_resolution_A: float = np.inf
    stalled: int = 0
    passes_left: int | None = None
    given_up: bool = False
    flags: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    cells_per_image: float = 0.0
    device: str = "cpu"

    @property
    def ended(self) -> bool:
        """Whether this iteration ended the refinement, converged or not."""
        return self.passes_left == 0

    @property
    def converged(self) -> bool:
        """Whether it ended because nothing improves any more."""
        return self.ended and not self.given_up

    @property
    def mean_log_evidence(self) -> float:
        """Mean log evidence of the images of this iteration; nan before the first."""
        return self.poses.mean_log_evidence(self.used)

    @property
    def twist_deg(self) -> float:
        """Twist to use next; nan in an asymmetric refinement."""
        return self.symmetry.twist_deg if self.symmetry else float("nan")

    @property
    def rise_A(self) -> float:
        """Rise to use next; nan in an asymmetric refinement."""
        return self.symmetry.rise_A if self.symmetry else float("nan")

    @property
    def symmetry_text(self) -> str:
        """Twist, rise and point group in words."""
        point_group = self.parameters.point_group
        if self.symmetry is None:
            return f"no helical symmetry, {point_group}"
        return (
            f"twist {self.twist_deg:.3f} deg, rise {self.rise_A:.3f} A, {point_group}"
        )
