"""The command `helixnb search`: the symmetries of a map, ranked."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.commands.options import add_command
from helixnb.errors import InputError
from helixnb.io.atomic import atomic_path

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

log = logging.getLogger("helixnb")

_SUFFIXES = (".nc", ".csv", ".html")


def add_search(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    search = add_command(
        commands,
        "search",
        "find twist and rise of a map",
        "Find the helical symmetry of a map, near an estimate or from nothing, and "
        "rank the candidates.",
        usage="MAP.mrc",
        example="helixnb search map.mrc --twist -170 -160 --rise 25 31 -o found.html",
    )
    add = search.add_argument
    add("map", type=Path, metavar="MAP.mrc", help="density, helix axis along z")
    ends: dict[str, Any] = {"type": float, "nargs": 2, "metavar": ("LOW", "HIGH")}
    add("--twist", **ends, help="range of the twist, degrees per subunit (-180 180)")
    add(
        "--rise", **ends, help="range of the rise, A per subunit (1 to half of the map)"
    )
    add(
        "--pitch",
        **ends,
        help="range of the pitch, A: search over it and subunits per turn",
    )
    add("--subunits", **ends, help="subunits per turn, in pitch mode (2 50)")
    add("--pitch-mode", action="store_true", help="search over pitch without --pitch")
    add("--hand", choices=("right", "left"), help="of the 1-start helix (both)")
    add("--point-group", metavar="GROUP", help="Cn to impose (found if not given)")
    add(
        "--resolution",
        type=float,
        metavar="A",
        help="finest detail used (5, or 2.5 voxels)",
    )
    inner = "density nearer to the axis is left out (0)"
    add("--inner-diameter", type=float, default=0.0, metavar="A", help=inner)
    add("--outer-diameter", type=float, metavar="A", help="of the filament (measured)")
    add("--pixel-size", type=float, metavar="A", help="of the map (header)")
    part = "central part of the map along the axis that is used (%(default)s)"
    add("--z-fraction", type=float, default=0.8, metavar="X", help=part)
    add(
        "--points",
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=("N", "M"),
        help="of the score map along both axes (128 128)",
    )
    add(
        "-o",
        "--output",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="write everything (.nc), the candidates (.csv) or a page with the score "
        "map (.html); may be given several times",
    )
    search.set_defaults(command=_search)


def _search(args: argparse.Namespace) -> None:
    """Search, print the candidates, write what was asked for."""
    for path in args.output:
        if path.suffix not in _SUFFIXES:
            raise InputError(
                f"{path} can be written as {', '.join(_SUFFIXES)}; give one of these "
                "suffixes."
            )
        if not path.absolute().parent.is_dir():
            raise InputError(
                f"The folder of {path} does not exist. Make it, or name another."
            )
    from helixnb.map_search import candidate_table, search_symmetry

    ranges = {
        "twist_deg": args.twist,
        "rise_A": args.rise,
        "pitch_A": args.pitch,
        "subunits_per_turn": args.subunits,
    }
    pitch = args.pitch_mode or args.pitch is not None or args.subunits is not None
    if pitch and (args.twist or args.rise):
        raise InputError(
            "Give either --twist and --rise, or --pitch and --subunits: a search has "
            "one pair of axes."
        )
    found = search_symmetry(
        args.map,
        args.pixel_size,
        mode="pitch" if pitch else "twist-rise",
        hand=args.hand,
        point_group=args.point_group,
        resolution_A=args.resolution,
        inner_diameter_A=args.inner_diameter,
        outer_diameter_A=args.outer_diameter,
        z_fraction=args.z_fraction,
        points=tuple(args.points),
        **{name: tuple(ends) for name, ends in ranges.items() if ends is not None},
    )
    table = candidate_table(found)
    print(_text(found, table))
    for path in args.output:
        _write(path, found, table)
        log.info("wrote %s", path)


def _text(found: xr.Dataset, table: pd.DataFrame) -> str:
    """Candidates as lines, below what was searched."""
    facts = found.attrs
    lines = [
        f"map         {facts['source']}, {facts['pixel_size_A']:g} A a voxel",
        f"searched    to {facts['resolution_A']:g} A, diameters "
        f"{facts['inner_diameter_A']:.0f} to {facts['outer_diameter_A']:.0f} A",
        f"rotations   {facts['point_group']} imposed, {facts['suggested_point_group']} "
        f"suggested (dyad {facts['dyad_score']:.2f} at "
        f"{facts['dyad_azimuth_deg']:.1f} deg, {facts['dyad_height_A']:.1f} A)",
        "",
        "rank     twist     rise     pitch  subunits/turn  score  lags  relation",
    ]
    for rank, c in enumerate(table.itertuples(), start=1):
        lines.append(
            f"{rank:>4} {c.twist_deg:>9.3f} {c.rise_A:>8.3f} {c.pitch_A:>9.2f} "
            f"{c.subunits_per_turn:>14.3f} {c.score:>6.3f} {c.lags:>5}  {c.relation}"
        )
    if facts["on_edge"]:
        lines.append("flag        the score is highest on the edge: widen the range")
    return "\n".join(lines)


def _write(path: Path, found: xr.Dataset, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            table.to_csv(temporary)
        elif path.suffix == ".nc":
            found.to_netcdf(temporary, engine="scipy")
        else:
            from helixnb.dashboards.candidates import page

            temporary.write_text(page(found), encoding="utf-8")
