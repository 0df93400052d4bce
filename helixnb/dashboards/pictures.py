"""Grey pictures: one image with axes in Angstrom, or several side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from helixnb.dashboards import style
from helixnb.dashboards.chart import Axis, Chart, Colors, Layer, bounds_of, image, texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

CONTRAST_QUANTILE = 0.995
WHITE = 255
MAX_PIXELS = 384
"""Larger pictures are averaged down: a screen shows no more."""


def decimated(
    plane: xr.DataArray,
) -> tuple[NDArray[np.float32], tuple[float, float, float, float]]:
    """Plane averaged over blocks until it has at most `MAX_PIXELS` on a side.

    Parameters
    ----------
    plane : xarray.DataArray
        Over (vertical, horizontal) in Angstrom, evenly spaced.

    Returns
    -------
    values : ndarray of float32, shape (vertical, horizontal)
    bounds : tuple of float
        Left, bottom, right and top edge in Angstrom.
    """
    block = -(-max(plane.shape) // MAX_PIXELS)
    trimmed = plane[tuple(slice(n - n % block) for n in plane.shape)]
    rows, columns = (n // block for n in trimmed.shape)
    values = trimmed.to_numpy().reshape(rows, block, columns, block).mean((1, 3))
    bounds = bounds_of(*(trimmed[axis] for axis in trimmed.dims))
    return values.astype(np.float32), bounds


def picture(image_: xr.DataArray, title: str, *, frame_px: int = 210) -> Chart:
    """Draw an image over two axes in Angstrom, contrast from its own values.

    Parameters
    ----------
    image_ : xarray.DataArray
        Over (vertical, horizontal) in Angstrom.
    title : str
        Above the picture.
    frame_px : int
        Width and height on screen.

    Returns
    -------
    Chart
    """
    vertical, horizontal = map(str, image_.dims)
    values, bounds = decimated(image_)
    hover = (
        (horizontal, "$x{0.0} Å"),
        (vertical, "$y{0.0} Å"),
        ("value", "@image{0.0000}"),
    )
    return Chart(
        [image(values, bounds, hover)],
        title,
        x=Axis(f"{horizontal} (Å)", (bounds[0], bounds[2])),
        y=Axis(f"{vertical} (Å)", (bounds[1], bounds[3])),
        colors=Colors(style.DENSITY_MAP, contrast(values)),
        size={"frame_width": frame_px, "frame_height": frame_px},
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


def _grey(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Grey values with the contrast of the picture: a screen shows no finer ones."""
    low, high = contrast(values)
    shown = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(WHITE * shown + 0.5, np.uint8)


def montage(
    rows: Sequence[NDArray[np.float32]],
    labels: Sequence[str],
    title: str,
    *,
    row_names: Sequence[str] = (),
    tile_px: int = 118,
    crop: float = 0.8,
) -> Chart:
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
    Chart
        Its layers are the pictures, the labels and the names of the rows.
    """
    n, box = len(rows[0]), rows[0].shape[-1]
    edge = int(box * (1 - crop) / 2)
    block = -(-(box - 2 * edge) // tile_px)
    inner_px = (box - 2 * edge) // block
    gap = max(2, inner_px // 20)
    size = inner_px + gap
    height, width = len(rows) * size, n * size
    shape = (inner_px, block, inner_px, block)
    inside = slice(edge, edge + inner_px * block)
    tiles: dict[str, list[Any]] = {n: [] for n in ("image", "x", "y", "dw", "dh")}
    for i, pictures in enumerate(rows):
        for j, tile in enumerate(pictures):
            inner = tile[inside, inside].reshape(shape).mean((1, 3))
            place = (j * size, (len(rows) - 1 - i) * size, inner_px, inner_px)
            for name, value in zip(tiles, (_grey(inner), *place), strict=True):
                tiles[name].append(value)
    left, top = 0.55 * size if row_names else 0.0, height + 0.25 * size
    heads = texts(
        (np.arange(len(labels)) + 0.5) * size - gap / 2,
        np.full(len(labels), height + 0.02 * size),
        labels,
        text_align="center",
    )
    names = texts(
        np.full(len(row_names), -0.08 * size),
        (len(rows) - 0.5 - np.arange(len(row_names))) * size - gap / 2,
        row_names,
        text_align="right",
        text_baseline="middle",
    )
    return Chart(
        [Layer("image", tiles), heads, names],
        title,
        x=Axis(limits=(-left, width), hidden=True),
        y=Axis(limits=(0, top), hidden=True),
        colors=Colors(style.DENSITY_MAP, (0.0, float(WHITE))),
        size={
            "frame_width": int((width + left) / size * tile_px),
            "frame_height": int(top / size * tile_px),
            "outline_line_alpha": 0.0,
        },
    )
