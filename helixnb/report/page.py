"""The page of a report: its looks, on screen and on paper, and where plots go."""

from __future__ import annotations

import html
import json
from string import Template
from typing import TYPE_CHECKING

from helixnb.dashboards import style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from helixnb.report.plots import Group

_LIGHT, _DARK = style.THEMES["light"], style.THEMES["dark"]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
  :root { $light }
  @media screen and (prefers-color-scheme: dark) {
    :root { $dark }
  }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--hx-ink);
         background: var(--ground); margin: 0; }
  main { max-width: 1220px; margin: 0 auto; padding: 24px 20px 48px; }
  h1 { font-size: 24px; margin: 0; }
  h2 { font-size: 17px; margin: 34px 0 10px; }
  .source { color: var(--quiet); margin: 2px 0 18px; overflow-wrap: anywhere; }
  .facts { display: grid; gap: 12px;
           grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
  .fact, .card { background: var(--card); border: 1px solid var(--hx-grid);
                 border-radius: 8px; }
  .fact { padding: 10px 14px; }
  .fact b { display: block; font-size: 20px; font-weight: 600; white-space: nowrap; }
  .fact span { color: var(--quiet); font-size: 13px; }
  .flags { border-left: 4px solid var(--hx-error); background: var(--hx-error-ground);
           padding: 8px 14px; margin: 16px 0 0; list-style: none; }
  .cards { display: flex; flex-wrap: wrap; gap: 12px; }
  .card { padding: 10px; flex: 1 1 var(--width); min-width: 0; box-sizing: border-box;
          overflow-x: auto; }
  table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
  th, td { text-align: left; padding: 4px 10px 4px 0; vertical-align: top;
           border-bottom: 1px solid var(--hx-grid); }
  td { overflow-wrap: anywhere; }
  td:first-child { width: 220px; }
  th { font-weight: 600; }
  td:nth-child(2):not(:last-child) { white-space: nowrap; }
  pre { font: 12.5px/1.5 ui-monospace, monospace; margin: 0; white-space: pre-wrap;
        overflow-wrap: anywhere; }
  @page { size: A4 landscape; margin: 12mm; }
  @media print {
    body { background: white; -webkit-print-color-adjust: exact;
           print-color-adjust: exact; }
    main { padding: 0; max-width: none; zoom: 0.84; }
    h2 { break-after: avoid; }
    .card, .fact { break-inside: avoid; }
    .card.text { break-inside: auto; }
  }
</style>
</head>
<body><main>
<h1>$title</h1>
<p class="source">$source</p>
<div class="facts">$tiles</div>
$flags
$body
</main>
$scripts
<script>
  // Plots are pictures: painted again in the colours of a scheme, and light for paper.
  const colors = $colors
  const is_dark = matchMedia("(prefers-color-scheme: dark)")
  const paint = (scheme) => {
    for (const document of Bokeh.documents)
      for (const [id, of] of Object.entries(colors))
        document.get_model_by_id(id)?.setv(of[scheme])
    for (const root of Bokeh.index.roots) root.paint?.()
  }
  const paint_for_screen = () => paint(is_dark.matches ? "dark" : "light")
  const begin = () =>
    Bokeh.documents.length ? paint_for_screen() : requestAnimationFrame(begin)
  if (is_dark.matches) begin()
  is_dark.onchange = paint_for_screen
  addEventListener("beforeprint", () => paint("light"))
  addEventListener("afterprint", paint_for_screen)
</script>
</body></html>
""")


def fill(
    *,
    title: str,
    source: str,
    tiles: Sequence[tuple[str, str]],
    flags: Sequence[str],
    body: str,
    scripts: Sequence[str],
    colors: Mapping[str, Mapping[str, Mapping[str, str]]],
) -> str:
    """Return the page.

    Parameters
    ----------
    title, source : str
        Of what it is the report.
    tiles : sequence of (str, str)
        Headline values, and what they are.
    flags : sequence of str
        What a reader must know before the plots.
    body, scripts : str, sequence of str
        HTML: sections, and what draws the plots in them.
    colors : mapping
        Of what Bokeh draws: ``light`` and ``dark`` properties by the model's name.

    Returns
    -------
    str
    """
    warned = "".join(f"<li>{_escaped(flag)}</li>" for flag in flags)
    return _PAGE.substitute(
        title=_escaped(title),
        source=_escaped(source),
        tiles="".join(
            f'<div class="fact"><b>{_escaped(value)}</b>'
            f"<span>{_escaped(name)}</span></div>"
            for value, name in tiles
        ),
        flags=f'<ul class="flags">{warned}</ul>' if warned else "",
        body=body,
        scripts="\n".join(scripts),
        colors=json.dumps(colors),
        light=_declared(
            _LIGHT.variables
            | {"--ground": "#F6F7F9", "--card": _LIGHT.plot, "--quiet": "#6B7280"}
        ),
        dark=_declared(
            _DARK.variables
            | {"--ground": _DARK.page, "--card": _DARK.plot, "--quiet": "#9CA5B1"}
        ),
    )


def _declared(properties: Mapping[str, str]) -> str:
    """CSS that sets custom properties, and only those."""
    return " ".join(
        f"{name}: {value};"
        for name, value in properties.items()
        if name.startswith("--")
    )


def _escaped(text: str) -> str:
    return html.escape(text)


def plots(divs: Mapping[str, str], groups: Sequence[Group]) -> str:
    """Lay out plots in cards under their headings.

    Parameters
    ----------
    divs : mapping of str to str
        HTML of each plot, by its name.
    groups : sequence of Group
        In the order of the page; those without plots are left out.

    Returns
    -------
    str
    """
    parts = []
    for title, names, width in groups:
        cards = "".join(
            f'<div class="card" style="--width: {width}px">{divs[name]}</div>'
            for name in names
            if name in divs
        )
        if cards:
            parts.append(f'<h2>{title}</h2><div class="cards">{cards}</div>')
    return "\n".join(parts)


def table(
    title: str, rows: Sequence[Sequence[str]], columns: Sequence[str] = ()
) -> str:
    """Lay out a table under its heading.

    Parameters
    ----------
    title : str
        Heading.
    rows : sequence of sequence of str
        Texts.
    columns : sequence of str
        What is in each column; none for no such row.

    Returns
    -------
    str
    """
    lines = [("td", row) for row in rows]
    if columns:
        lines.insert(0, ("th", columns))
    body = "".join(
        f"<tr>{''.join(f'<{kind}>{_escaped(cell)}</{kind}>' for cell in row)}</tr>"
        for kind, row in lines
    )
    return f'<h2>{title}</h2><div class="card text"><table>{body}</table></div>'


def code(title: str, text: str) -> str:
    """Lay out a program under its heading.

    Parameters
    ----------
    title : str
        Heading.
    text : str
        The program.

    Returns
    -------
    str
    """
    return f'<h2>{title}</h2><div class="card text"><pre>{_escaped(text)}</pre></div>'
