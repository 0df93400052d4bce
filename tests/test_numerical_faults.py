"""Images and symmetries at the edge of sense: finite maps, or an error that says why.

Whatever is refined here has next to nothing to resolve, so an honest claim stays at
the resolution of the initial density.
"""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pandas as pd
import pytest
import starfile

from helixnb import Session
from helixnb.errors import InputError
from helixnb.iteration.state import State
from helixnb.simulate import Filaments, Microscope, simulate_segments

TWIST_DEG, RISE_A, BOX_PX, PIXEL_A = -60.0, 14.0, 32, 4.0
PER_FILAMENT = 4
START_A = 20.0

Images = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with 16 segments of 4 filaments; each test spoils a copy."""
    folder = tmp_path_factory.mktemp("clean")
    simulate_segments(
        folder,
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=BOX_PX,
        pixel_size_A=PIXEL_A,
        filaments=Filaments(n_filaments=4, segments_per_filament=PER_FILAMENT),
        microscope=Microscope(snr=0.3),
        seed=1,
    )
    return folder


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """Make overflows and divisions by zero failures, even if nothing comes of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


@pytest.fixture
def folder(clean: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clean, tmp_path / "spoilt"))


def change_images(folder: Path, change: Callable[[Images], Any]) -> None:
    """Change images in place on disk."""
    path = folder / "particles.mrcs"
    images = mrcfile.read(path).astype(np.float32)
    change(images)
    with warnings.catch_warnings():
        # Statistics of the header, not of a refinement.
        warnings.simplefilter("ignore")
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(images)
            mrc.voxel_size = PIXEL_A


def change_rows(folder: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change the particle block of the STAR file."""
    path = folder / "particles.star"
    blocks = starfile.read(path)
    blocks["particles"] = change(blocks["particles"])
    starfile.write(blocks, path, overwrite=True)


def refined(folder: Path, iterations: int = 1, **parameters: Any) -> State:
    """Refine, and check that every number is finite."""
    symmetry = {"twist_deg": TWIST_DEG, "rise_A": RISE_A} | parameters
    session = Session.from_file(
        folder / "particles.star", progress=False, bootstrap_iterations=1, **symmetry
    )
    for _ in range(iterations):
        session.step()
    state = session.state
    for name in ("half_maps", "references", "noise_power"):
        assert np.isfinite(getattr(state, name)).all(), name
    for name in ("psi_deg", "tilt_deg", "rot_deg", "log_evidence"):
        assert np.isfinite(getattr(state.poses, name)).all(), name
    assert np.ptp(state.half_maps) > 0
    assert np.isfinite(state.resolution_A)
    return state


def claims_no_more_than_the_start(state: State) -> bool:
    """Whether the claim is the last Fourier shell that the start had, or coarser."""
    box_A = BOX_PX * PIXEL_A
    return int(box_A / state.resolution_A + 1e-9) <= int(box_A / START_A)


def first_filament(images: Images) -> Images:
    return images[:PER_FILAMENT]


@pytest.mark.parametrize("value", [0.0, 7.5])
@pytest.mark.parametrize("n_blank", [PER_FILAMENT, None])
def test_blank_images_are_refused_by_name(
    folder: Path, value: float, n_blank: int | None
) -> None:
    """One filament, or all; normalised, rounding would pass for signal."""
    change_images(folder, lambda images: images[:n_blank].fill(value))
    with pytest.raises(InputError, match=r"particles\.mrcs"):
        refined(folder)


def test_a_filament_of_noise_only(folder: Path) -> None:
    rng = np.random.default_rng(2)

    def spoil(images: Images) -> None:
        first_filament(images)[:] = rng.standard_normal(first_filament(images).shape)

    change_images(folder, spoil)
    assert claims_no_more_than_the_start(refined(folder))


def test_nothing_but_noise(folder: Path) -> None:
    rng = np.random.default_rng(3)

    def spoil(images: Images) -> None:
        images[:] = rng.standard_normal(images.shape)

    change_images(folder, spoil)
    state = refined(folder, iterations=2)
    assert claims_no_more_than_the_start(state)
    assert any("polarity" in flag for flag in state.flags)


def test_one_image_a_half(folder: Path) -> None:
    change_rows(folder, lambda rows: rows.iloc[[0, PER_FILAMENT]])
    state = refined(folder, iterations=2)
    assert sorted(state.survey.half) == [0, 1]
    assert claims_no_more_than_the_start(state)


def test_a_single_filament_is_refused(folder: Path) -> None:
    change_rows(folder, lambda rows: rows.iloc[:PER_FILAMENT])
    with pytest.raises(InputError, match="at least two filaments"):
        refined(folder)


@pytest.mark.parametrize("defocus_A", [0.0, -10000.0])
def test_defocus_of_zero_and_below(folder: Path, defocus_A: float) -> None:
    change_rows(
        folder,
        lambda rows: rows.assign(rlnDefocusU=defocus_A, rlnDefocusV=defocus_A),
    )
    refined(folder)


@pytest.mark.parametrize("twist_deg", [0.0, 180.0])
def test_twists_without_a_hand(folder: Path, twist_deg: float) -> None:
    refined(folder, twist_deg=twist_deg)


@pytest.mark.parametrize("rise_A", [65.0, 2 * BOX_PX * PIXEL_A])
def test_a_rise_that_no_box_holds_is_refused(folder: Path, rise_A: float) -> None:
    with pytest.raises(InputError, match=rf"rise_A is {rise_A:g} A, more than half"):
        refined(folder, rise_A=rise_A)


def test_a_rise_of_next_to_nothing(folder: Path) -> None:
    assert claims_no_more_than_the_start(refined(folder, rise_A=0.01))


def test_one_wild_pixel(folder: Path) -> None:
    """One image of sixteen is lost, not the reconstruction."""

    def spoil(images: Images) -> None:
        images[3, 20, 20] = 1e8

    change_images(folder, spoil)
    assert claims_no_more_than_the_start(refined(folder))


def test_tiny_pixels_refine_as_large_ones(folder: Path) -> None:
    """Images are normalised, so units of the detector must not matter."""
    before = refined(folder)
    change_images(folder, lambda images: np.multiply(images, 1e-12, out=images))
    after = refined(folder)
    assert after.resolution_A == pytest.approx(before.resolution_A, rel=1e-2)
    np.testing.assert_allclose(
        after.half_maps, before.half_maps, atol=1e-2 * np.ptp(before.half_maps)
    )


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_pixels_whose_squares_are_lost_are_refused(folder: Path, factor: float) -> None:
    change_images(folder, lambda images: np.multiply(images, factor, out=images))
    with pytest.raises(InputError, match=r"particles\.mrcs.*1e[+-]15"):
        refined(folder)
