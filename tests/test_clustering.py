"""Azimuths that cluster, and the flags of a refinement without helical symmetry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from helixnb.core.clustering import clustering
from helixnb.iteration.flags import azimuth_flags, data_flags
from helixnb.parameters import Parameters
from helixnb.symmetry import HelicalSymmetry
from tests.standins import StandinParticles, standin_state

FILAMENTS, EACH = 20, 15
FILAMENT = np.repeat(np.arange(FILAMENTS), EACH).astype(np.int32)


def _flags(azimuth_deg: NDArray[np.float64], cyclic: int = 1) -> list[str]:
    poses = standin_state(3).poses
    n = len(azimuth_deg)
    fields = {name: value[:1].repeat(n) for name, value in vars(poses).items()}
    poses = replace(poses, **(fields | {"azimuth_deg": azimuth_deg}))
    return azimuth_flags(poses, FILAMENT, np.ones(n, bool), cyclic)


def test_the_harmonic_is_that_of_the_plain_formula() -> None:
    rng = np.random.default_rng(0)
    azimuth = rng.vonmises(0, 1.0, len(FILAMENT)) / 2 + np.pi * rng.integers(
        2, size=len(FILAMENT)
    )
    found = clustering(np.rad2deg(azimuth), FILAMENT, 1)
    means = [abs(np.exp(1j * n * azimuth).mean()) for n in range(1, 7)]
    assert found.order == 2 == np.argmax(means) + 1
    assert found.strength == pytest.approx(means[1])
    # I1(1) / I0(1) is the mean resultant of the von Mises distribution.
    assert found.strength == pytest.approx(0.446, abs=0.08)


def test_filaments_at_random_are_seldom_flagged() -> None:
    """All segments of a filament have one azimuth here: chance does no worse."""
    rng = np.random.default_rng(1)
    sets = [np.repeat(rng.uniform(0, 360, FILAMENTS), EACH) for _ in range(300)]
    power = [clustering(azimuth, FILAMENT, 1).power for azimuth in sets]
    # The largest of six exponential variables of mean 1.
    assert np.mean(power) == pytest.approx(sum(1 / np.arange(1, 7)), rel=0.1)
    assert sum(bool(_flags(azimuth)) for azimuth in sets) <= 3


def test_front_and_back_of_a_flat_picture_are_told() -> None:
    rng = np.random.default_rng(2)
    sides = 180.0 * rng.integers(2, size=len(FILAMENT))
    [flag] = _flags(sides + 20 * rng.standard_normal(len(FILAMENT)))
    assert "cluster about 2 directions" in flag
    assert not _flags(rng.uniform(0, 360, len(FILAMENT)))


def test_a_sector_is_a_whole_turn_under_a_cyclic_group() -> None:
    azimuth = np.random.default_rng(3).uniform(-60, 60, len(FILAMENT))
    assert not _flags(azimuth, cyclic=3)
    [flag] = _flags(azimuth / 3, cyclic=3)
    assert "cluster about 3 directions" in flag


def test_a_refinement_that_no_symmetry_began_is_told() -> None:
    particles, survey = StandinParticles(), standin_state(3).survey
    given = HelicalSymmetry(-60.0, 14.0)

    def told(estimate: HelicalSymmetry | None, **values: object) -> bool:
        parameters = Parameters(**values)  # type: ignore[arg-type]
        flags = data_flags(particles, parameters, survey, estimate)  # type: ignore[arg-type]
        return any("No helical symmetry is imposed" in flag for flag in flags)

    assert told(None)
    assert told(None, impose_symmetry=False)
    assert not told(given, impose_symmetry=False), "released once structure had grown"
    assert not told(given, twist_deg=-60.0, rise_A=14.0)
