"""What a user is told about tilts and about maps that nothing independent confirms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from helixnb.iteration.claim import Claim
from helixnb.iteration.flags import shared_flags, tilt_flags
from tests.standins import standin_parameters, standin_state

N_IMAGES = 600


def _tilt_flags(tilt_deg: NDArray[np.float64], **values: float) -> list[str]:
    fields = {
        name: value[:1].repeat(len(tilt_deg))
        for name, value in vars(standin_state(3).poses).items()
    }
    poses = replace(standin_state(3).poses, **(fields | {"tilt_deg": tilt_deg}))
    used = np.ones(len(tilt_deg), bool)
    return tilt_flags(poses, used, standin_parameters(**values))


def test_tilts_that_pile_up_at_the_limit_are_told() -> None:
    rng = np.random.default_rng(0)
    true = 90 + 12 * rng.standard_normal(N_IMAGES)
    [flag] = _tilt_flags(np.clip(true, 76, 104))
    assert "(15 deg)" in flag
    assert "max_tilt_deg" in flag
    assert not _tilt_flags(true, max_tilt_deg=40.0)


def test_tilts_of_the_expected_spread_are_not() -> None:
    rng = np.random.default_rng(1)
    assert not _tilt_flags(90 + 5 * rng.standard_normal(N_IMAGES))


def test_the_spread_limits_tilts_as_well() -> None:
    """Three spreads about 90 are searched where no neighbours move the priors."""
    rng = np.random.default_rng(2)
    cut = np.clip(90 + 12 * rng.standard_normal(N_IMAGES), 75.5, 104.5)
    [flag] = _tilt_flags(cut, max_tilt_deg=40.0)
    assert "(15 deg)" in flag
    assert not _tilt_flags(cut, max_tilt_deg=40.0, tilt_sd_deg=12.0)


def test_images_that_were_not_used_do_not_count() -> None:
    poses = standin_state(3).poses
    tilt = np.full(len(poses.tilt_deg), 90.0)
    tilt[::2] = 104.5
    poses = replace(poses, tilt_deg=tilt)
    used = tilt == 90.0
    assert not tilt_flags(poses, used, standin_parameters())
    assert tilt_flags(poses, ~used, standin_parameters())


def test_what_only_the_shared_reference_says_is_told() -> None:
    [flag] = shared_flags(Claim(20.4, 17.9, 1.1), 20.0)
    assert "down to 20 A" in flag
    assert not shared_flags(Claim(9.0, 9.0, 9.0), 20.0)
