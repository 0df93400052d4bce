"""The shaded surface: where it is, how it is lit, and which way it turns."""

import numpy as np
import pytest

from helixnb.core.surface import rotation, shaded_surface
from tests.oracles import blobs

BOX = 32


def ball(x: float, y: float, z: float) -> np.ndarray:
    return blobs(np.array([[x, y, z]]), BOX, sigma_px=3.0)


def centre(picture: np.ndarray) -> tuple[float, float]:
    """Middle of what is drawn, in voxels to the right and up."""
    rows, columns = np.nonzero(np.isfinite(picture))
    scale = BOX / len(picture)
    return (
        scale * (columns.mean() + 0.5) - BOX / 2,
        scale * (rows.mean() + 0.5) - BOX / 2,
    )


def test_a_ball_has_the_radius_of_its_threshold() -> None:
    picture = shaded_surface(ball(0, 0, 0), 0.5, size_px=128)
    seen = np.isfinite(picture).sum() * (BOX / 128) ** 2
    radius = 3.0 * np.sqrt(2 * np.log(2))
    assert seen == pytest.approx(np.pi * radius**2, rel=0.03)


@pytest.mark.parametrize(
    ("azimuth_deg", "tilt_deg", "expected"),
    [
        (0, 0, (6, 5)),  # seen from -y: x to the right, z up
        (90, 0, (-4, 5)),  # turned counter-clockwise: x comes from -y
        (180, 0, (-6, 5)),
        (0, 90, (6, 4)),  # the tip of z towards the viewer: y up
    ],
)
def test_the_view_turns_the_right_way(
    azimuth_deg: float, tilt_deg: float, expected: tuple[float, float]
) -> None:
    picture = shaded_surface(
        ball(6, 4, 5), 0.5, azimuth_deg=azimuth_deg, tilt_deg=tilt_deg, size_px=128
    )
    np.testing.assert_allclose(centre(picture), expected, atol=0.15)


def test_the_axes_of_the_view_are_right_handed() -> None:
    axes = rotation(33.0, -20.0)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_what_is_nearer_hides_what_is_behind_and_is_brighter() -> None:
    near, far = ball(0, -8, 0), ball(0, 8, 0)
    both = shaded_surface(near + far, 0.5, size_px=64)
    front = shaded_surface(near, 0.5, size_px=64)
    np.testing.assert_allclose(both[32, 32], front[32, 32], atol=0.02)
    assert (
        np.nanmax(shaded_surface(near + 0 * far, 0.5, size_px=64))
        > np.nanmax(shaded_surface(far, 0.5, size_px=64)) - 1e-6
    )


def test_light_comes_from_above_left() -> None:
    picture = shaded_surface(ball(0, 0, 0), 0.5, size_px=129)
    middle = 64
    assert picture[middle + 6, middle - 6] > 1.2 * picture[middle - 6, middle + 6]


def test_nothing_above_the_threshold_gives_an_empty_picture() -> None:
    assert np.isnan(shaded_surface(ball(0, 0, 0), 2.0, size_px=32)).all()
