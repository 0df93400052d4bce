"""The command `helixnb simulate`: segments with known poses."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from helixnb.commands.options import add_command, add_output


def add_simulate(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    simulate = add_command(
        commands,
        "simulate",
        "write simulated segments with known poses",
        "Simulate micrographs of filaments, cut boxes, and write particles.star, "
        "particles.mrcs, truth.star and truth_map.mrc.",
        usage="-o OUT --twist DEG --rise A",
        example="helixnb simulate -o toy --twist 54 --rise 16.5 --snr 0.3",
    )
    add_output(simulate, default=None)
    add = simulate.add_argument
    add("--twist", type=float, required=True, metavar="DEG", help="twist per subunit")
    add("--rise", type=float, required=True, metavar="A", help="rise per subunit")
    add("--point-group", default="C1", metavar="GROUP", help="Cn or Dn (%(default)s)")
    add("--model", type=Path, metavar="FILE", help="PDB or mmCIF file of one subunit")
    add("--box", type=int, default=64, metavar="PX", help="box size (%(default)s)")
    pixel = "edge of a pixel (%(default)s)"
    add("--pixel-size", type=float, default=3.0, metavar="A", help=pixel)
    number = "number of filaments (%(default)s)"
    add("--filaments", type=int, default=16, metavar="N", help=number)
    number = "segments of each filament (%(default)s)"
    add("--segments", type=int, default=16, metavar="N", help=number)
    apart = "distance between boxes (whole rises, about a sixth of the box)"
    add("--inter-box", type=float, metavar="A", help=apart)
    ratio = "variance of the signal over that of the noise (%(default)s)"
    add("--snr", type=float, default=0.05, metavar="X", help=ratio)
    add("--seed", type=int, default=0, metavar="N", help="seed of random numbers (0)")
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
