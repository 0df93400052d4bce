"""Charts on a page: each becomes a Bokeh figure once, and afterwards only new columns.

Making a figure takes tens of milliseconds and sends all of it; giving it other columns
takes one and sends the numbers. So a figure stays as long as its place on the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import param
from bokeh.core.properties import field
from bokeh.models import (
    AllIndices,
    CDSView,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    Range1d,
    UnionRenderers,
)
from bokeh.models.annotations import ColorBar, Legend, LegendItem, Title
from bokeh.models.glyphs import (
    HSpan,
    Image,
    Line,
    MultiLine,
    Quad,
    Scatter,
    Segment,
    Text,
    VSpan,
)
from bokeh.plotting import figure
from panel.pane.base import Pane

from helixnb.dashboards import style
from helixnb.dashboards.chart import Chart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bokeh.document import Document
    from bokeh.model import Model

    from helixnb.dashboards.chart import Axis, Layer

_GLYPHS: dict[str, tuple[Any, str]] = {
    "hspan": (HSpan, "y"),
    "image": (Image, "image x y dw dh"),
    "line": (Line, "x y"),
    "multi_line": (MultiLine, "xs ys"),
    "quad": (Quad, "left right top bottom"),
    "scatter": (Scatter, "x y"),
    "segment": (Segment, "x0 y0 x1 y1"),
    "text": (Text, "x y text"),
    "vspan": (VSpan, "x"),
}
"""Bokeh's model and the columns that place it."""

_TOOLS = "pan,box_zoom,wheel_zoom,save,reset"
_OUTSIDE = {"above", "below"}
MOST_IN_TEXT = 256


class Drawing:
    """A chart as a Bokeh figure, which takes over other charts with the same layers.

    Parameters
    ----------
    chart : Chart
        Drawn first.
    theme : str
        ``"light"`` or ``"dark"``.

    Attributes
    ----------
    figure : bokeh.plotting.figure
        To be put into a document.
    """

    def __init__(self, chart: Chart, theme: str = "light") -> None:
        size = chart.size if "frame_width" in chart.size else _sized(chart.size)
        self._title = Title(text=chart.title)
        self.figure: Any = figure(
            title=self._title,
            tools=_TOOLS if chart.tools else "",
            toolbar_location="above" if chart.tools else None,
            x_axis_type="log" if chart.x.log else "linear",
            y_axis_type="log" if chart.y.log else "linear",
            stylesheets=[style.FIGURE_CSS],
            **size,
        )
        self.figure.toolbar.update(logo=None, stylesheets=[style.TOOLBAR_CSS])
        self.figure.grid.visible = chart.grid
        self._mapper = LinearColorMapper(
            palette=["black"], nan_color="rgba(0, 0, 0, 0)"
        )
        self._bar: ColorBar | None = None
        self._theme = ""
        # One for all layers: each would get its own, and pages open with their number.
        self._all, policy = AllIndices(), UnionRenderers()
        self._sources = [
            ColumnDataSource(_sent(layer.columns), selection_policy=policy)
            for layer in chart.layers
        ]
        drawn = [
            self._draw(layer, source)
            for layer, source in zip(chart.layers, self._sources, strict=True)
        ]
        self._items: dict[str, LegendItem] = {}
        if chart.legend is not None:
            self._add_legend(chart, drawn, chart.legend.place, chart.legend.columns)
        self._color(chart)
        self._fit_axes(chart)
        self._chart = chart
        self.dress(theme)

    def _color(self, chart: Chart, before: Chart | None = None) -> None:
        """Set the colours of images, and their bar."""
        colors = chart.colors
        if colors is None:
            return
        old = before.colors if before is not None else None
        if old is None or colors.palette is not old.palette:
            self._mapper.palette = list(colors.palette)
        self._mapper.update(low=colors.limits[0], high=colors.limits[1])
        if self._bar is None and colors.bar is not None:
            self._bar = ColorBar(
                color_mapper=self._mapper,
                width=10,
                padding=4,
                title_text_font_size="8pt",
                title_text_font_style="normal",
                major_label_text_font_size="8pt",
                bar_line_color=None,
                border_line_color=None,
            )
            self.figure.add_layout(self._bar, "right")
            self._theme = ""
        if self._bar is not None:
            self._bar.update(visible=colors.bar is not None, title=colors.bar)

    def _draw(self, layer: Layer, source: ColumnDataSource) -> Any:
        """Draw one layer, and listen to the pointer for it."""
        kind, names = _GLYPHS[layer.glyph]
        places = {name: field(name) for name in names.split()}
        colors = {"color_mapper": self._mapper} if kind is Image else {}
        # Not the figure's own methods: they make five glyphs for each.
        glyph = kind(**places, **colors, **layer.look)
        view = CDSView(filter=self._all)
        drawn = self.figure.add_glyph(source, glyph, view=view)
        if layer.hover:
            tool = HoverTool(
                renderers=[drawn], tooltips=list(layer.hover), visible=False
            )
            self.figure.add_tools(tool)
        return drawn

    def _add_legend(
        self,
        chart: Chart,
        drawn: list[Any],
        place: Any,
        columns: int,
    ) -> None:
        """Name the labelled layers; those of one name share an entry."""
        for layer, renderer in zip(chart.layers, drawn, strict=True):
            if layer.label in self._items:
                self._items[layer.label].renderers.append(renderer)
            elif layer.label:
                item = LegendItem(label=layer.label, renderers=[renderer])
                self._items[layer.label] = item
        self._name(chart)
        outside = place in _OUTSIDE
        legend = Legend(
            items=list(self._items.values()),
            location="center" if outside else place,
            ncols=columns,
            click_policy="hide",
            label_text_font_size="8pt",
            label_height=14,
            glyph_height=14,
            glyph_width=16,
            label_standoff=4,
            padding=1 if outside else 4,  # type: ignore[arg-type]
            margin=0 if outside else 4,
            spacing=6 if outside else 0,
            background_fill_alpha=0.75,
            border_line_alpha=0.0 if outside else 1.0,
        )
        self.figure.add_layout(legend, place if outside else "center")

    def _name(self, chart: Chart) -> None:
        """Leave out of the legend what has nothing to show."""
        filled = {layer.label for layer in chart.layers if len(layer)}
        for label, item in self._items.items():
            item.visible = label in filled

    def show(self, chart: Chart) -> None:
        """Take over another chart: its columns, and what else is not the same.

        Parameters
        ----------
        chart : Chart
            With the same layers.
        """
        before, self._chart = self._chart, chart
        for source, layer, old in zip(
            self._sources, chart.layers, before.layers, strict=True
        ):
            new = {
                name: column
                for name, column in layer.columns.items()
                if not _same(column, old.columns[name])
            }
            if len(layer) != len(old):
                source.data = _sent(layer.columns)
            elif new:
                columns: Any = source.data
                columns.update(_sent(new))
        self._color(chart, before)
        self._name(chart)
        self._fit_axes(chart, before)
        self._title.text = chart.title

    def _fit_axes(self, chart: Chart, before: Chart | None = None) -> None:
        """Set limits, ticks and labels, but leave those alone that did not change."""
        for name in ("x", "y"):
            axis: Axis = getattr(chart, name)
            old: Axis | None = None if before is None else getattr(before, name)
            drawn = getattr(self.figure, f"{name}axis")[0]
            if axis.limits and (old is None or axis.limits != old.limits):
                self._limit(name, *map(float, axis.limits))
            if axis.ticks is not None and (old is None or axis.ticks != old.ticks):
                # Changed, not replaced: for new models Bokeh walks the whole page.
                if not isinstance(drawn.ticker, FixedTicker):
                    drawn.ticker = FixedTicker()
                drawn.ticker.ticks = [place for place, _ in axis.ticks]
                drawn.major_label_overrides = dict(axis.ticks)
            drawn.axis_label = axis.label
            drawn.visible = not axis.hidden

    def _limit(self, name: str, start: float, end: float) -> None:
        limits: dict[str, Any] = {"start": start, "end": end}
        limits |= {"reset_start": start, "reset_end": end}
        here = getattr(self.figure, f"{name}_range")
        if isinstance(here, Range1d):
            here.update(**limits)
        else:
            setattr(self.figure, f"{name}_range", Range1d(**limits))

    def dress(self, theme: str) -> None:
        """Colour everything but the data.

        Parameters
        ----------
        theme : str
            ``"light"`` or ``"dark"``.
        """
        if theme != self._theme:
            self._theme = theme
            style.dress(self.figure, style.THEMES[theme])


def _sized(size: Any) -> dict[str, Any]:
    """Fill the place, unless a width is asked for."""
    return {"sizing_mode": "fixed" if "width" in size else "stretch_width", **size}


def _sent(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as they are sent: a short array in the message, not in two of its own."""

    def sent(column: Any) -> Any:
        if isinstance(column, list):
            return [sent(part) for part in column]
        if isinstance(column, np.ndarray) and column.ndim == 1:
            return column.tolist() if len(column) <= MOST_IN_TEXT else column
        return column

    return {name: sent(column) for name, column in columns.items()}


def _same(new: Any, old: Any) -> bool:
    """Whether two columns hold equal values."""
    if new is old:
        return True
    if isinstance(new, np.ndarray):
        kind = new.dtype.kind
        return np.array_equal(new, old, equal_nan=kind == "f")
    if isinstance(new, list | tuple):
        return len(new) == len(old) and all(map(_same, new, old))
    return bool(new == old)


class ChartPane(Pane):
    """Panel's pane of charts; giving it another one sends the columns that differ.

    Parameters
    ----------
    object : Chart
        What it shows.
    theme : str
        ``"light"`` or ``"dark"``.
    on_tap : callable, optional
        Called with the coordinates of every click.
    source : object, optional
        What changes it, kept alive as long as the pane.
    """

    theme = param.String(default="light")
    on_tap = param.Callable(default=None)
    source = param.Parameter(default=None, allow_refs=False)

    priority = 0.9
    _updates = True
    _rename = {"theme": None, "on_tap": None, "source": None}  # noqa: RUF012 (Panel's own declaration)
    _rerender_params = ["object", "theme"]  # noqa: RUF012

    def __init__(self, chart: Chart, **options: Any) -> None:
        self._drawings: dict[str, Drawing] = {}
        super().__init__(chart, **options)

    @classmethod
    def applies(cls, obj: Any) -> bool:
        """Tell Panel what it can show.

        Parameters
        ----------
        obj : object
            Anything.

        Returns
        -------
        bool
        """
        return isinstance(obj, Chart)

    def _get_model(
        self,
        doc: Document,
        root: Model | None = None,
        parent: Model | None = None,
        comm: Any = None,
    ) -> Model:
        drawing = Drawing(self.object, self.theme)
        model: Model = drawing.figure
        model.update(margin=self.margin, styles=self.styles)
        reference = (root or model).ref["id"]
        self._models[reference] = (model, parent)
        self._drawings[reference] = drawing
        if self.on_tap is not None:
            self._register_events("tap", model=model, doc=doc, comm=comm)
        return model

    def _update(self, ref: str, model: Model) -> None:
        drawing = self._drawings[ref]
        drawing.show(self.object)
        drawing.dress(self.theme)

    def _process_event(self, event: Any) -> None:
        if self.on_tap is not None:
            self.on_tap(event.x, event.y)

    def _cleanup(self, root: Model | None = None) -> None:
        if root is not None:
            self._drawings.pop(root.ref["id"], None)
        super()._cleanup(root)


def figure_of(chart: Chart, theme: str = "light") -> Any:
    """Draw a chart for a page of its own.

    Parameters
    ----------
    chart : Chart
        What to draw.
    theme : str
        ``"light"`` or ``"dark"``.

    Returns
    -------
    bokeh.plotting.figure
    """
    return Drawing(chart, theme).figure
