"""The command `helixnb simulate`: segments with known poses."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from helixnb.commands.options import add_output


def add_simulate(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    simulate = commands.add_parser(
        "simulate",
        help="write simulated segments with known poses",
        description="Simulate micrographs of filaments, cut boxes, and write "
        "particles.star, particles.mrcs, truth.star and truth_map.mrc.",
    )
    add_output(simulate, default=None)
    add = simulate.add_argument
    add("--twist", type=float, required=True, metavar="DEG", help="twist per subunit")
    add("--rise", type=float, required=True, metavar="A", help="rise per subunit")
    add("--point-group", default="C1", metavar="GROUP", help="Cn or Dn (%(default)s)")
    add("--model", type=Path, metavar="FILE", help="PDB or mmCIF file of one subunit")
    add("--box", type=int, default=64, metavar="PX", help="box size (%(default)s)")
    add("--pixel-size", type=float, default=3.0, metavar="A", help="(%(default)s)")
    add("--filaments", type=int, default=16, metavar="N", help="(%(default)s)")
    add("--segments", type=int, default=16, metavar="N", help="of each (%(default)s)")
    add("--inter-box", type=float, metavar="A", help="distance between boxes")
    add("--snr", type=float, default=0.05, help="signal to noise (%(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="(%(default)s)")
    simulate.set_defaults(command=_simulate)


def _simulate(args: argparse.Namespace) -> None:
    """Write simulated segments."""
    from helixnb.io.output import claim_folder
    from helixnb.simulate import Filaments, Microscope, simulate_segments

    names = ("particles.star", "particles.mrcs", "truth.star", "truth_map.mrc")
    claim_folder(args.output, overwrite=args.overwrite, names=names)
    data = simulate_segments(
        args.output,
        twist_deg=args.twist,
        rise_A=args.rise,
        point_group=args.point_group,
        model=args.model,
        box_px=args.box,
        pixel_size_A=args.pixel_size,
        filaments=Filaments(
            n_filaments=args.filaments,
            segments_per_filament=args.segments,
            inter_box_A=args.inter_box,
        ),
        microscope=Microscope(snr=args.snr),
        seed=args.seed,
        progress=sys.stderr.isatty(),
    )
    print(data)
