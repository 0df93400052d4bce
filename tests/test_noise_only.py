"""Noise refined from a structured model must not be claimed to show that model."""

from pathlib import Path

import pytest

from benchmarks.noise_only import make_data, refined, replace_by_noise


@pytest.mark.slow
def test_the_claim_on_noise_does_not_follow_the_model(tmp_path: Path) -> None:
    noise = make_data(tmp_path / "noise", 200, 0.1, 2)
    replace_by_noise(noise, 2)
    signal = make_data(tmp_path / "signal", 200, 0.1, 2)
    claimed = refined(noise, 3, 2)
    control = refined(signal, 3, 2)
    # Beyond what the halves share (20 A) the map has nothing of the model.
    assert abs(claimed[-1]["fsc_with_model_beyond"]) < 0.1
    assert control[-1]["fsc_with_model_beyond"] > 0.2, "the test would see the model"
    # And the claim stays at the resolution of the start, give or take two shells.
    assert claimed[-1]["resolution_A"] > 14
    assert control[-1]["resolution_A"] < 12
