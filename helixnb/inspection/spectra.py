"""Power spectra of images and model in the filament frame, and the layer lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import uniform_filter1d

from helixnb.core.layer_lines import power_spectra, selection_rule

if TYPE_CHECKING:
    from helixnb.backend import Backend
    from helixnb.inspection.sample import Model, Sample
    from helixnb.iteration.state import State
    from helixnb.symmetry import HelicalSymmetry

ACROSS = 3
"""Pixels averaged across the axis for a picture."""

RADIUS_PART = 0.7
"""Radius at which subunits are taken to sit, part of the filament's outer radius."""


def power_spectrum(
    state: State, sample: Sample, model: Model, backend: Backend
) -> xr.Dataset:
    """Mean power of images and of model projections, upright.

    Parameters
    ----------
    state : State
        Tells the noise power.
    sample : Sample
        Images with their poses.
    model : Model
        Projected at the same poses, with the same CTFs.
    backend : Backend
        Where it runs.

    Returns
    -------
    xarray.Dataset
        ``images`` and ``model`` over ``axial_frequency`` and ``radial_frequency``
        (1/angstrom), in units of the noise power: images are about 1 plus the model.
        Averaged with its mirror image about the meridian, as both hands of tilt are
        in the data.
    """
    spectra = power_spectra(
        sample.frames, model.harmonics, model.grid, state.noise_power, backend
    )
    plane, spacing = sample.frames.plane, sample.spacing_per_A
    unit = {"units": "1/angstrom"}
    dims = ("axial_frequency", "radial_frequency")
    columns = {
        "images": (spectra.images, "power of the images over noise"),
        "model": (spectra.model, "power of the model's projections over noise"),
    }
    return xr.Dataset(
        {
            name: (dims, (values + values[:, ::-1]) / 2, {"long_name": text})
            for name, (values, text) in columns.items()
        },
        {
            dims[0]: (dims[0], plane.v * spacing, unit | {"long_name": "Z"}),
            dims[1]: (dims[1], plane.u * spacing, unit | {"long_name": "R"}),
        },
        {
            "n_images": spectra.n_images,
            "twist_deg": state.parameters.twist_deg,
            "rise_A": state.parameters.rise_A,
            "iteration": state.iteration,
        },
    )


def above_noise(spectrum: xr.Dataset) -> xr.Dataset:
    """Amplitudes that stand out of the noise, as they are best looked at.

    Layer lines are broad across and narrow along the axis, so each pixel is averaged
    with its neighbours across: the scatter of the noise halves, no line gets wider.

    Parameters
    ----------
    spectrum : xarray.Dataset
        From `power_spectrum`.

    Returns
    -------
    xarray.Dataset
        ``images`` and ``model``: square root of the mean power over `ACROSS` pixels,
        without the noise (1 in the images), 0 where there is less than that.
    """
    noise = {"images": 1.0, "model": 0.0}
    dims = spectrum["images"].dims
    return xr.Dataset(
        {
            name: (
                dims,
                np.sqrt(
                    np.maximum(
                        uniform_filter1d(
                            spectrum[name].to_numpy() - power, ACROSS, mode="nearest"
                        ),
                        0,
                    )
                ),
            )
            for name, power in noise.items()
        },
        spectrum.coords,
    )


def layer_lines(
    symmetry: HelicalSymmetry,
    outer_radius_A: float,
    *,
    max_order: int = 12,
    max_frequency_per_A: float = 0.1,
) -> pd.DataFrame:
    """Where the selection rule of a symmetry allows power.

    Parameters
    ----------
    symmetry : HelicalSymmetry
        Twist, rise and cyclic order; a dyad adds no condition on positions.
    outer_radius_A : float
        Of the filament.
    max_order : int
        Largest |n| listed.
    max_frequency_per_A : float
        Largest frequency of a first maximum.

    Returns
    -------
    pandas.DataFrame
        Sorted by ``z_per_A``, with ``order`` n, ``branch`` m, ``spacing_A`` = 1 / Z
        (infinite on the equator) and ``first_maximum_per_A``, the R at which J_n is
        largest for subunits at 0.7 of the outer radius.
    """
    rule = selection_rule(
        symmetry.twist_deg,
        symmetry.rise_A,
        symmetry.cyclic,
        radius_A=RADIUS_PART * outer_radius_A,
        max_order=max_order,
        max_frequency_per_A=max_frequency_per_A,
    )
    table = pd.DataFrame(
        {
            "z_per_A": rule.z_per_A,
            "order": rule.order,
            "branch": rule.branch,
            "first_maximum_per_A": rule.first_maximum_per_A,
        }
    )
    z = table["z_per_A"]
    table.insert(1, "spacing_A", (1 / z.where(z > 0)).fillna(float("inf")))
    return table
