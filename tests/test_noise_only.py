"""Noise refined from a structured model must not be claimed to show that model."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.noise_only import make_data, refined, replace_by_noise

SEEDS = (0, 1, 2, 3)
SEGMENTS, ITERATIONS = 200, 3


@pytest.fixture(scope="module", params=SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def claimed(seed: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Last iteration on images of noise."""
    noise = make_data(tmp_path_factory.mktemp("noise"), SEGMENTS, 0.1, seed)
    replace_by_noise(noise, seed)
    return refined(noise, ITERATIONS, seed)[-1]


@pytest.mark.slow
def test_the_map_has_nothing_of_the_model_beyond_the_start(
    seed: int, claimed: dict[str, Any], tmp_path: Path
) -> None:
    control = refined(make_data(tmp_path, SEGMENTS, 0.1, seed), ITERATIONS, seed)[-1]
    assert abs(claimed["fsc_with_model_beyond"]) < 0.1
    assert control["fsc_with_model_beyond"] > 0.2, "the test would see the model"


@pytest.mark.slow
def test_nothing_beyond_the_start_is_claimed(claimed: dict[str, Any]) -> None:
    assert claimed["resolution_A"] == 20.0
