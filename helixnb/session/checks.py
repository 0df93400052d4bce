"""What is refused before any work: particles and parameters that do not fit.

Each of them is fine by itself, so neither reader nor `Parameters` can know. The same
checks run again at every edit, or a mistyped diameter would surface as a bad map.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from helixnb.errors import InputError

if TYPE_CHECKING:
    from helixnb.parameters import Parameters
    from helixnb.particles import ParticleSet

MIN_BOX_PX = 16


def check_particles(particles: ParticleSet) -> None:
    """Refuse particles that cannot be refined whatever the parameters.

    Parameters
    ----------
    particles : ParticleSet
        As read.

    Raises
    ------
    InputError
        Fewer than two filaments, or a tiny box.
    """
    source = particles.source
    if particles.box_px < MIN_BOX_PX:
        raise InputError(
            f"{source}: images are {particles.box_px} px wide; at least {MIN_BOX_PX} "
            "px are needed. Extract larger boxes, or bin them less."
        )
    if particles.n_filaments < 2:
        raise InputError(
            f"{source} holds {particles.n_filaments} filament; at least two are "
            "needed, because half-sets are split by filament. Check "
            "rlnMicrographName and rlnHelicalTubeID."
        )


def check_start(
    particles: ParticleSet, parameters: Parameters, *, given_map: bool
) -> None:
    """Refuse a first density that cannot be made.

    Parameters
    ----------
    particles : ParticleSet
        As read.
    parameters : Parameters
        Of the first iteration.
    given_map : bool
        Whether the user gives a density to start from.

    Raises
    ------
    InputError
        Segments without in-plane angle where the images are to make the density, a
        cylinder without a diameter, or a cylinder beside a given density.
    """
    unknown = ~np.isfinite(particles.psi_prior_deg)
    cylinder = parameters.cylindrical_model
    if unknown.any() and not (cylinder or given_map):
        row = int(np.flatnonzero(unknown)[0]) + 1
        raise InputError(
            f"{particles.source}: {int(unknown.sum())} of {len(particles)} segments "
            f"have no in-plane angle (the first is row {row} of the particles), so "
            "they cannot make an initial density. Give rlnAnglePsiPrior or "
            "rlnAnglePsi, the direction of the filament; or start from a cylinder "
            "with cylindrical_model=True and outer_diameter_A; or from a map with "
            "initial_map."
        )
    if cylinder and given_map:
        raise InputError(
            "Both cylindrical_model and initial_map are given: choose one to start "
            "from."
        )
    if cylinder and parameters.outer_diameter_A is None:
        raise InputError(
            "cylindrical_model needs outer_diameter_A, the diameter of the filament "
            "in Angstrom."
        )


def check_fit(particles: ParticleSet, parameters: Parameters) -> None:
    """Refuse parameters that do not fit the particles.

    Parameters
    ----------
    particles : ParticleSet
        As read.
    parameters : Parameters
        Valid by themselves.

    Raises
    ------
    InputError
        A filament wider than the box, a rise longer than half the box, or an initial
        resolution beyond Nyquist.
    """
    pixel_A = particles.pixel_size_A
    box_A = particles.box_px * pixel_A
    box = f"the box is {box_A:g} A ({particles.box_px} px of {pixel_A:g} A)"
    outer_A = parameters.outer_diameter_A
    if outer_A is not None and outer_A >= box_A:
        raise InputError(
            f"outer_diameter_A is {outer_A:g} A, but {box}: the filament is wider than "
            "its box. Give a smaller diameter, or extract larger boxes."
        )
    if outer_A is None and parameters.inner_diameter_A >= box_A:
        raise InputError(
            f"inner_diameter_A is {parameters.inner_diameter_A:g} A, but {box}. Give a "
            "smaller one, or 0."
        )
    if parameters.rise_A is not None and parameters.rise_A > box_A / 2:
        raise InputError(
            f"rise_A is {parameters.rise_A:g} A, more than half of the box: {box}. No "
            "box would hold a subunit and the next one. Check the rise (Angstrom per "
            "subunit, not per turn), or extract larger boxes."
        )
    if parameters.initial_lowpass_A < 2 * pixel_A:
        raise InputError(
            f"initial_lowpass_A is {parameters.initial_lowpass_A:g} A, beyond the "
            f"{2 * pixel_A:g} A that pixels of {pixel_A:g} A can hold. Give a larger "
            "one."
        )
