"""What a plot shows, said in plain data: layers of named columns, axes, colours.

Views turn labelled results into a `Chart`; `helixnb.dashboards.drawing` puts it on the
page. A chart knows nothing of the page, so that a new one with the same layers can take
the place of another by sending its columns and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from helixnb.dashboards import style

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

Limits = tuple[float, float]
Ticks = tuple[tuple[float, str], ...]
Hover = Sequence[tuple[str, str]]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Layer:
    """One kind of mark, and what is drawn with it.

    Parameters
    ----------
    glyph : str
        Bokeh's name of the mark: ``"line"``, ``"scatter"``, ``"image"`` and so on.
    columns : mapping of str to sequence
        Coordinates under Bokeh's names, and what else is hovered; of one length.
    look : mapping
        Properties of the mark that stay the same from chart to chart.
    label : str
        In the legend; empty for none.
    hover : sequence of (str, str)
        Name and Bokeh's format of each line shown under the pointer.
    """

    glyph: str
    columns: Mapping[str, Any]
    look: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    hover: Hover = ()

    def __len__(self) -> int:
        """Count its marks."""
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis.

    Parameters
    ----------
    label : str
        Quantity and unit.
    limits : tuple of float, optional
        First and last value; by default those of the data.
    ticks : sequence of (float, str), optional
        Places and texts; by default Bokeh's.
    log : bool
        Logarithmic.
    hidden : bool
        Not drawn.
    """

    label: str = ""
    limits: Limits | None = None
    ticks: Ticks | None = None
    log: bool = False
    hidden: bool = False


@dataclass(frozen=True, eq=False)
class Colors:
    """Colours of an image.

    Parameters
    ----------
    palette : sequence of str
        From the lowest to the highest value.
    limits : tuple of float
        Values of its ends.
    bar : str, optional
        Beside a colour bar; None draws none.
    """

    palette: Sequence[str]
    limits: Limits
    bar: str | None = None


@dataclass(frozen=True, eq=False)
class Legend:
    """Legend of the labelled layers that have anything to show.

    Parameters
    ----------
    place : str
        ``"above"`` or ``"below"`` the frame, or a corner within it.
    columns : int
        Entries in a row.
    """

    place: str = "top_right"
    columns: int = 1


@dataclass(frozen=True, eq=False)
class Chart:
    """A plot.

    Parameters
    ----------
    layers : sequence of Layer
        The first is drawn first. Charts that take turns have the same ones.
    title : str
        Above the plot.
    x, y : Axis
        Horizontal and vertical.
    colors : Colors, optional
        Of the images among the layers.
    legend : Legend, optional
        None for no legend.
    size : mapping
        Width and height in Bokeh's names; without a width it fills its place.
    tools : bool
        With tools to zoom and save.
    grid : bool
        With grid lines.
    """

    layers: Sequence[Layer]
    title: str
    x: Axis = field(default_factory=Axis)
    y: Axis = field(default_factory=Axis)
    colors: Colors | None = None
    legend: Legend | None = None
    size: Mapping[str, Any] = field(default_factory=dict)
    tools: bool = False
    grid: bool = False

    def sized(self, **size: Any) -> Chart:
        """Return the same chart in another size.

        Parameters
        ----------
        **size
            Width and height in Bokeh's names.

        Returns
        -------
        Chart
        """
        return replace(self, size=size)

    def layer(self, label: str) -> Layer:
        """Find a layer by its label.

        Parameters
        ----------
        label : str
            As in the legend.

        Returns
        -------
        Layer
        """
        return next(layer for layer in self.layers if layer.label == label)

    def _repr_mimebundle_(self, *args: Any, **options: Any) -> Any:
        """Draw it where it is the last line of a notebook's cell."""
        from helixnb.dashboards.drawing import ChartPane

        return ChartPane(self)._repr_mimebundle_(*args, **options)


def line(
    x: ArrayLike,
    y: ArrayLike,
    label: str = "",
    hover: Hover = (),
    more: Mapping[str, Any] = _NOTHING,
    **look: Any,
) -> Layer:
    """Connect points by a line.

    Parameters
    ----------
    x, y : array
        Coordinates.
    label : str
        In the legend.
    hover : sequence of (str, str)
        As for `Layer`.
    more : mapping of str to sequence
        Other columns, for `hover`.
    **look
        Properties of Bokeh's line.

    Returns
    -------
    Layer
    """
    columns = {"x": np.asarray(x), "y": np.asarray(y), **more}
    return Layer("line", columns, look, label, hover)


def points(
    x: ArrayLike,
    y: ArrayLike,
    label: str = "",
    hover: Hover = (),
    more: Mapping[str, Any] = _NOTHING,
    *,
    color: str,
    **look: Any,
) -> Layer:
    """Mark points.

    Parameters
    ----------
    x, y : array
        Coordinates.
    label : str
        In the legend.
    hover : sequence of (str, str)
        As for `Layer`.
    more : mapping of str to sequence
        Other columns, for `hover` and `look`.
    color : str
        Of lines and filling.
    **look
        Properties of Bokeh's scatter.

    Returns
    -------
    Layer
    """
    columns = {"x": np.asarray(x), "y": np.asarray(y), **more}
    colors = {"line_color": color, "fill_color": color}
    return Layer("scatter", columns, colors | look, label, hover)


def paths(
    lines: Sequence[tuple[ArrayLike, ArrayLike]], label: str = "", **look: Any
) -> Layer:
    """Draw several lines.

    Parameters
    ----------
    lines : sequence of (array, array)
        Horizontal and vertical coordinates of each.
    label : str
        In the legend.
    **look
        Properties of Bokeh's multi_line.

    Returns
    -------
    Layer
    """
    xs, ys = ([np.asarray(both[i]) for both in lines] for i in (0, 1))
    return Layer("multi_line", {"xs": xs, "ys": ys}, look, label)


def across(places: ArrayLike, label: str = "", **look: Any) -> Layer:
    """Draw horizontal lines through the whole frame.

    Parameters
    ----------
    places : array
        Where.
    label : str
        In the legend.
    **look
        Properties of Bokeh's hspan.

    Returns
    -------
    Layer
    """
    return Layer("hspan", {"y": np.asarray(places)}, look, label)


def upright(places: ArrayLike, label: str = "", **look: Any) -> Layer:
    """Draw vertical lines through the whole frame.

    Parameters
    ----------
    places : array
        Where.
    label : str
        In the legend.
    **look
        Properties of Bokeh's vspan.

    Returns
    -------
    Layer
    """
    return Layer("vspan", {"x": np.asarray(places)}, look, label)


def texts(
    x: ArrayLike,
    y: ArrayLike,
    words: Sequence[str],
    more: Mapping[str, Any] = _NOTHING,
    **look: Any,
) -> Layer:
    """Write at points.

    Parameters
    ----------
    x, y : array
        Where.
    words : sequence of str
        What.
    more : mapping of str to sequence
        Other columns, for `look`.
    **look
        Properties of Bokeh's text.

    Returns
    -------
    Layer
    """
    columns = {"x": np.asarray(x), "y": np.asarray(y), "text": list(words), **more}
    return Layer(
        "text",
        columns,
        {"text_font_size": "8pt", "text_color": style.QUIET} | look,
    )


def image(
    values: NDArray[Any],
    bounds: tuple[float, float, float, float],
    hover: Hover = (),
) -> Layer:
    """Draw an array as a picture; values that are not finite are transparent.

    Parameters
    ----------
    values : ndarray, shape (vertical, horizontal)
        The first row at the bottom.
    bounds : tuple of float
        Left, bottom, right and top edge.
    hover : sequence of (str, str)
        As for `Layer`; ``$x``, ``$y`` and ``@image`` are coordinates and value.

    Returns
    -------
    Layer
    """
    left, bottom, right, top = bounds
    columns = {
        "image": [np.ascontiguousarray(values, np.float32)],
        "x": [left],
        "y": [bottom],
        "dw": [right - left],
        "dh": [top - bottom],
    }
    return Layer("image", columns, hover=hover)


def value_at(layer: Layer, x: float, y: float) -> float:
    """Value of a picture, or of that of several which is there, at a point.

    Parameters
    ----------
    layer : Layer
        Of images.
    x, y : float
        Within its bounds.

    Returns
    -------
    float
    """
    columns = layer.columns
    left, bottom, width, height = (np.array(columns[n]) for n in ("x", "y", "dw", "dh"))
    across, up = (x - left) / width, (y - bottom) / height
    i = int(np.flatnonzero((0 <= across) & (across < 1) & (0 <= up) & (up < 1))[0])
    values = columns["image"][i]
    return float(values[int(up[i] * len(values)), int(across[i] * len(values[0]))])


def bounds_of(
    vertical: xr.DataArray, horizontal: xr.DataArray
) -> tuple[float, float, float, float]:
    """Left, bottom, right and top edge of evenly spaced pixels.

    Parameters
    ----------
    vertical, horizontal : array
        Coordinates of the pixels' centres.

    Returns
    -------
    tuple of float
    """
    edges = []
    for place in (np.asarray(horizontal), np.asarray(vertical)):
        half = float(place[1] - place[0]) / 2
        edges.append((float(place[0]) - half, float(place[-1]) + half))
    (left, right), (bottom, top) = edges
    return left, bottom, right, top
