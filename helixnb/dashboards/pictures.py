"""Grey pictures: one image with axes in Angstrom, or several side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import holoviews as hv
import numpy as np

from helixnb.dashboards import style

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

CONTRAST_QUANTILE = 0.995


def bounds_of(
    vertical: NDArray[np.float64], horizontal: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Left, bottom, right and top edge of evenly spaced pixels.

    Parameters
    ----------
    vertical, horizontal : ndarray of float64
        Coordinates of the pixels' centres.

    Returns
    -------
    tuple of float
    """
    half = [float(axis[1] - axis[0]) / 2 for axis in (horizontal, vertical)]
    return (
        float(horizontal[0]) - half[0],
        float(vertical[0]) - half[1],
        float(horizontal[-1]) + half[0],
        float(vertical[-1]) + half[1],
    )


def picture(
    image: xr.DataArray, title: str, *, frame_px: int = 210, **options: Any
) -> hv.Image:
    """Draw an image over two axes in Angstrom, contrast from its own values.

    Parameters
    ----------
    image : xarray.DataArray
        Over (vertical, horizontal) in Angstrom.
    title : str
        Above the picture.
    frame_px : int
        Width and height on screen.
    **options
        More options of `holoviews.Image`.

    Returns
    -------
    holoviews.Image
    """
    vertical, horizontal = image.dims
    values = image.to_numpy()
    low, high = contrast(values)
    return hv.Image(
        values[::-1],
        bounds=bounds_of(image[vertical].to_numpy(), image[horizontal].to_numpy()),
        kdims=[hv.Dimension(str(axis), unit="Å") for axis in (horizontal, vertical)],
        vdims=["density"],
    ).opts(
        **{
            "title": title,
            "cmap": style.DENSITY_MAP,
            "clim": (low, high),
            "tools": ["hover"],
            "fontsize": style.FONT_SIZES,
            "frame_width": frame_px,
            "frame_height": frame_px,
            "toolbar": None,
            "framewise": True,
        }
        | options
    )


def contrast(values: NDArray[np.floating]) -> tuple[float, float]:
    """Values shown black and white: all but the most extreme pixels.

    Parameters
    ----------
    values : ndarray
        Pixels.

    Returns
    -------
    tuple of float
    """
    low, high = np.quantile(values, (1 - CONTRAST_QUANTILE, CONTRAST_QUANTILE))
    return (float(low), float(high)) if high > low else (-1.0, 1.0)


def montage(
    rows: Sequence[NDArray[np.float32]],
    labels: Sequence[str],
    title: str,
    *,
    row_names: Sequence[str] = (),
    tile_px: int = 118,
    crop: float = 0.8,
) -> hv.Overlay:
    """Draw rows of pictures, each tile with a contrast of its own.

    Parameters
    ----------
    rows : sequence of ndarray of float32, shape (n, box, box)
        Pictures with their first row at the bottom; all of one size.
    labels : sequence of str
        Above each column.
    title : str
        Above all.
    row_names : sequence of str
        To the left of each row.
    tile_px : int
        Width and height of a tile on screen.
    crop : float
        Central part of each picture that is shown.

    Returns
    -------
    holoviews.Overlay
    """
    n, box = len(rows[0]), rows[0].shape[-1]
    edge = int(box * (1 - crop) / 2)
    gap = max(2, box // 24)
    size = box - 2 * edge + gap
    canvas = np.full((len(rows) * size, n * size), np.nan, np.float32)
    for i, pictures in enumerate(rows):
        for j, tile in enumerate(pictures):
            inner = tile[edge : box - edge, edge : box - edge]
            low, high = contrast(inner)
            top = (len(rows) - 1 - i) * size
            shown = np.clip((inner - low) / (high - low), 0, 1)
            canvas[top : top + size - gap, j * size : (j + 1) * size - gap] = shown
    height, width = canvas.shape
    image = hv.Image(canvas[::-1], bounds=(0, 0, width, height), vdims=["grey"]).opts(
        cmap=style.DENSITY_MAP, clim=(0, 1), clipping_colors={"NaN": (0, 0, 0, 0)}
    )
    heads = [
        ((j + 0.5) * size - gap / 2, height + 0.1 * size, text)
        for j, text in enumerate(labels)
    ]
    names = [
        (-0.08 * size, (len(rows) - 0.5 - i) * size - gap / 2, text)
        for i, text in enumerate(row_names)
    ]
    left = 0.55 * size if row_names else 0.0
    text = {"text_font_size": "8pt", "text_color": style.QUIET}
    return hv.Overlay(
        [
            image,
            hv.Labels(heads, ["x", "y"], "text").opts(**text),
            hv.Labels(names, ["x", "y"], "text").opts(text_align="right", **text),
        ]
    ).opts(
        title=title,
        xaxis=None,
        yaxis=None,
        xlim=(-left, width),
        ylim=(0, height + 0.25 * size),
        frame_width=int((width + left) / size * tile_px),
        frame_height=int((height + 0.25 * size) / size * tile_px),
        fontsize=style.FONT_SIZES,
        toolbar=None,
        show_frame=False,
        framewise=True,
    )
