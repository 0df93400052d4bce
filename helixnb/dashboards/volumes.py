"""The maps that can be looked at, kept while sliders move through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from helixnb.dashboards.kept import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

VOLUMES: dict[str, Callable[[Any], Any]] = {
    "Filtered": lambda session: session.map,
    "Raw": lambda session: session.half_maps.mean("half", keep_attrs=True),
    "Half A": lambda session: session.half_maps.sel(half="A"),
    "Half B": lambda session: session.half_maps.sel(half="B"),
    "Masked": lambda session: session.map * session.masks["refinement"],
    "Sharpened": lambda session: session.sharpened_map,
    "Symmetrised": lambda session: session.symmetrised_map,
    "Local resolution": lambda session: session.local_resolution,
}
"""Names shown to the user."""

CONTRAST_QUANTILE = 0.999
CONTRAST_VOXELS = 500_000
"""Voxels that the contrast is taken from: a large map is sampled."""


def contrast_limit(volume: xr.DataArray) -> float:
    """Density that only one voxel in a thousand exceeds.

    Parameters
    ----------
    volume : xarray.DataArray
        Any map.

    Returns
    -------
    float
    """
    voxels = volume.to_numpy().ravel()
    # An odd step, which does not stay on some columns of the box.
    step = len(voxels) // CONTRAST_VOXELS | 1
    limit = float(np.quantile(np.abs(voxels[::step]), CONTRAST_QUANTILE))
    return limit if limit > 0 else 1.0


class Volumes(Kept):
    """Maps of the current state."""

    def volume(self, session: Any, name: str) -> xr.DataArray:
        """Map of a session.

        Parameters
        ----------
        session : Session
            What is shown.
        name : str
            Key of `VOLUMES`.

        Returns
        -------
        xarray.DataArray
            Not to be changed.
        """
        volume: xr.DataArray
        volume = self.once(session, name, lambda: VOLUMES[name](session))
        return volume

    def contrast(self, session: Any, name: str) -> float:
        """Density shown white.

        Parameters
        ----------
        session : Session
            What is shown.
        name : str
            Key of `VOLUMES`.

        Returns
        -------
        float
        """
        volume = self.volume(session, name)
        limit: float
        limit = self.once(session, f"{name} contrast", lambda: contrast_limit(volume))
        return limit

    def masks(self, session: Any) -> xr.Dataset:
        """Masks of a session.

        Parameters
        ----------
        session : Session
            What is shown.

        Returns
        -------
        xarray.Dataset
        """
        masks: xr.Dataset
        masks = self.once(session, "masks", lambda: session.masks)
        return masks
