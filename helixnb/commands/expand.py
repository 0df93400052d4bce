"""The command `helixnb expand`: symmetry expansion of refined particles."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from helixnb.commands.options import add_command


def add_expand(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    expand = add_command(
        commands,
        "expand",
        "write every symmetry mate of refined particles",
        "Write a STAR file with one row for each subunit that a refined particle "
        "shows, for local refinement or classification inside a mask.",
        usage="PARTICLES -o OUT.star --twist DEG --rise A",
        example="helixnb expand out/particles.star -o expanded.star --twist -166.65 "
        "--rise 28.11",
    )
    add = expand.add_argument
    add("particles", type=Path, metavar="PARTICLES", help="refined particles")
    output = "STAR file to write"
    add("-o", "--output", type=Path, required=True, metavar="OUT.star", help=output)
    refined = "per subunit, as refined"
    add("--twist", type=float, required=True, metavar="DEG", help=refined)
    add("--rise", type=float, required=True, metavar="A", help=refined)
    add("--point-group", default="C1", metavar="GROUP", help="Cn or Dn (C1)")
    add(
        "--order",
        type=int,
        metavar="N",
        help="helical copies (floor of the distance between boxes over the rise)",
    )
    expand.set_defaults(command=_expand)


def _expand(args: argparse.Namespace) -> None:
    """Read, expand, write, and tell what the file is for."""
    from helixnb.expansion import expand_particles
    from helixnb.particles import ParticleSet
    from helixnb.symmetry import HelicalSymmetry

    particles = ParticleSet.from_file(args.particles)
    symmetry = HelicalSymmetry(args.twist, args.rise, args.point_group)
    rows = expand_particles(particles, args.output, symmetry, args.order)
    print(
        f"{args.output}: {rows} rows of {len(particles)} particles. For local "
        "refinement or classification inside a mask only."
    )
