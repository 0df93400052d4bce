"""The maps of a state as labelled arrays, and what is measured on them.

Nothing here is stored: maps are filtered, sharpened, symmetrised and measured from the
raw half-maps of a state when they are asked for. Coordinates are in Angstrom with 0 on
the helix axis and in the middle of the box.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from helixnb.core import postprocess
from helixnb.core.nonuniform import cutoffs_A, filter_locally
from helixnb.errors import InputError
from helixnb.iteration.masking import Masking
from helixnb.results import HALVES, variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from helixnb.core.postprocess import FinalMaps
    from helixnb.iteration.state import State

DENSITY_UNITS = "image units / voxel"
"""Added up along a line of sight, a map has the units of the images, which no program
writes: of the noise's standard deviation, where images were normalised to it."""

LOCAL_RESOLUTION_STEPS = 24
"""Cut-offs that the local resolution is told apart by."""


def _axes(box: int, pixel_size_A: float) -> dict[str, xr.Variable]:
    """Coordinates of a map, 0 on the helix axis and in the middle of the box."""
    place_A = (np.arange(box) - box // 2) * pixel_size_A
    return {axis: variable(axis, place_A, "angstrom", axis) for axis in "zyx"}


def _map_facts(state: State, pixel_size_A: float) -> dict[str, Any]:
    return {
        "pixel_size_A": pixel_size_A,
        "twist_deg": state.parameters.twist_deg,
        "rise_A": state.parameters.rise_A,
        "point_group": state.parameters.point_group,
        "symmetry_order": state.symmetry_order,
        "resolution_A": state.resolution_A,
        "iteration": state.iteration,
    }


def _masking(state: State, pixel_size_A: float) -> Masking:
    box_px, radius_A = state.half_maps.shape[-1], state.survey.outer_radius_A
    return Masking(box_px, pixel_size_A, state.parameters, radius_A)


def _labelled(
    volume: NDArray[np.float32],
    state: State,
    pixel_size_A: float,
    name: str,
    **attrs: Any,
) -> xr.DataArray:
    """Volume with coordinates, name and attributes."""
    return xr.DataArray(
        volume,
        _axes(len(volume), pixel_size_A),
        tuple("zyx"),
        name,
        attrs | _map_facts(state, pixel_size_A),
    )


def filtered_map(state: State, pixel_size_A: float) -> xr.DataArray:
    """Average of the half-maps, weighted by the FSC and cut at the resolution.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.DataArray
        float32 over ``z``, ``y``, ``x``; not sharpened. A sum along a line of sight
        has the units of the images.
    """
    average = postprocess.average_map(state.half_maps)
    weight = postprocess.fsc_weight(state.fsc.reported)
    volume = postprocess.scale_shells(average, weight)
    return _labelled(
        volume,
        state,
        pixel_size_A,
        "map",
        long_name="density, FSC-weighted",
        units=DENSITY_UNITS,
    )


def sharpened_map(state: State, pixel_size_A: float) -> xr.DataArray:
    """Average of the half-maps, weighted by the FSC, with the B factor undone.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.DataArray
        float32 over ``z``, ``y``, ``x``, with ``b_factor_A2`` as attribute.
    """
    average = postprocess.average_map(state.half_maps)
    undone_A2 = guinier(state, pixel_size_A).attrs["undone_b_factor_A2"]
    factor = postprocess.sharpening_factor(
        state.fsc.reported, undone_A2, len(average) * pixel_size_A
    )
    return _labelled(
        postprocess.scale_shells(average, factor),
        state,
        pixel_size_A,
        "sharpened_map",
        long_name="density, sharpened",
        units=DENSITY_UNITS,
        b_factor_A2=undone_A2,
    )


def symmetrised_map(state: State, pixel_size_A: float) -> xr.DataArray:
    """FSC-weighted map, grown along the box from its centre by the symmetry.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.DataArray
        float32 over ``z``, ``y``, ``x``.

    Raises
    ------
    InputError
        In an asymmetric refinement.
    """
    if state.symmetry is None:
        raise InputError(
            "No helical symmetry is imposed, so there is no symmetrised map. Search "
            "the symmetry of the map first (helixnb.search_symmetry)."
        )
    volume = postprocess.symmetrise(
        filtered_map(state, pixel_size_A).to_numpy(),
        state.symmetry,
        pixel_size_A=pixel_size_A,
        outer_radius_A=state.survey.outer_radius_A,
    )
    return _labelled(
        volume,
        state,
        pixel_size_A,
        "symmetrised_map",
        long_name="density, FSC-weighted and symmetrised",
        units=DENSITY_UNITS,
    )


def half_maps(state: State, pixel_size_A: float) -> xr.DataArray:
    """Raw half-maps: neither filtered nor masked.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.DataArray
        float32 over ``half`` ("A", "B"), ``z``, ``y``, ``x`` in angstrom.
    """
    box = state.half_maps.shape[-1]
    coords = {"half": list(HALVES), **_axes(box, pixel_size_A)}
    attrs = {"long_name": "density, unfiltered", "units": DENSITY_UNITS}
    attrs |= _map_facts(state, pixel_size_A)
    dims = ("half", "z", "y", "x")
    return xr.DataArray(state.half_maps.copy(), coords, dims, "half_maps", attrs)


def masks(
    state: State, pixel_size_A: float, static_mask: NDArray[np.float32] | None = None
) -> xr.Dataset:
    """Masks drawn from a state: of the next references and of its FSC curves.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.
    static_mask : ndarray of float32, shape (box, box, box), or None
        The user's mask, used if ``parameters.mask`` is "static".

    Returns
    -------
    xarray.Dataset
        ``refinement``, ``fsc`` (the cylinder of the reported curve), ``loose`` and
        ``tight`` over ``z``, ``y``, ``x``; float32 from 0 to 1.
    """
    masking = _masking(state, pixel_size_A)
    curves = masking.of_fsc(state.half_maps)
    found = {
        "refinement": masking.of_references(
            state.half_maps, state.resolution_A, static_mask
        ),
        "fsc": curves.cylinder,
        "loose": curves.loose,
        "tight": curves.tight,
    }
    return xr.Dataset(
        {name: (tuple("zyx"), volume) for name, volume in found.items()},
        _axes(state.half_maps.shape[-1], pixel_size_A),
        {"mask": state.parameters.mask} | _map_facts(state, pixel_size_A),
    )


def local_resolution(state: State, pixel_size_A: float) -> xr.DataArray:
    """Finest detail that each half-map still predicts in the other, by place.

    That is the cut-off chosen by cross-validation, as for non-uniform refinement: where
    signal and noise are equal, an FSC of about 0.5. Symmetry enters only as far as it
    is in the half-maps.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.DataArray
        float32 over ``z``, ``y``, ``x``, in angstrom; outside the filament, and where
        nothing is predicted, the split resolution.
    """
    support = _masking(state, pixel_size_A).cylinder(1.0)
    cutoffs = cutoffs_A(
        state.parameters.split_resolution_A, 2 * pixel_size_A, LOCAL_RESOLUTION_STEPS
    )
    _, chosen = filter_locally(
        state.half_maps, state.half_maps, support, cutoffs, pixel_size_A
    )
    cutoff = np.where(support > 0.5, chosen.cutoff_A, np.float32(cutoffs[0]))
    return _labelled(
        cutoff,
        state,
        pixel_size_A,
        "local_resolution",
        long_name="local resolution",
        units="angstrom",
    )


def guinier(state: State, pixel_size_A: float) -> xr.Dataset:
    """Amplitudes against 1 / d^2, with the line whose slope is the B factor.

    Parameters
    ----------
    state : State
        Any iteration.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    xarray.Dataset
        Natural logarithms ``amplitude``, ``weighted`` (after the FSC weight) and
        ``fit`` over ``inverse_square`` (1/angstrom^2), nan where there is none.
        Attributes: ``b_factor_A2`` as fitted (nan if the band is too short),
        ``undone_b_factor_A2`` that the sharpened map uses, ``fit_from_A`` and
        ``fit_to_A``.
    """
    average = postprocess.average_map(state.half_maps)
    mask = _masking(state, pixel_size_A).cylinder(state.parameters.fsc_z_fraction)
    found = postprocess.guinier(average * mask, state.fsc.reported, pixel_size_A)
    given, fitted = state.parameters.b_factor_A2, found.b_factor_A2
    k_per_A = found.frequency_per_A
    ends = k_per_A[np.isfinite(found.ln_fit)][[0, -1]] if fitted >= 0 else [np.nan] * 2
    dim = "inverse_square"
    columns = {
        "amplitude": (found.ln_amplitude, "ln amplitude"),
        "weighted": (found.ln_weighted, "ln amplitude, FSC-weighted"),
        "fit": (found.ln_fit, "fitted line"),
    }
    undone = (0.0 if np.isnan(fitted) else fitted) if given is None else given
    return xr.Dataset(
        {n: variable(dim, values, "", text) for n, (values, text) in columns.items()},
        {dim: variable(dim, k_per_A**2, "1/angstrom^2", "1 / d^2")},
        {
            "b_factor_A2": fitted,
            "undone_b_factor_A2": undone,
            "fit_from_A": float(1 / ends[0]),
            "fit_to_A": float(1 / ends[1]),
            "iteration": state.iteration,
        },
    )


def final_maps(
    state: State, mask: NDArray[np.float32], pixel_size_A: float
) -> FinalMaps:
    """Make the maps that are written at the end.

    Parameters
    ----------
    state : State
        Any iteration.
    mask : ndarray of float32, shape (box, box, box)
        Of the FSC: where the B factor is measured.
    pixel_size_A : float
        Voxel size.

    Returns
    -------
    FinalMaps
    """
    return postprocess.final_maps(
        state.half_maps,
        state.fsc.reported,
        mask,
        state.symmetry,
        pixel_size_A=pixel_size_A,
        outer_radius_A=state.survey.outer_radius_A,
        b_factor_A2=state.parameters.b_factor_A2,
    )
