"""The command `helixnb expand`: symmetry expansion of refined particles."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_expand(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    expand = commands.add_parser(
        "expand",
        help="write every symmetry mate of refined particles",
        description="Write a STAR file with one row for each subunit that a refined "
        "particle shows, for local refinement or classification inside a mask.",
    )
    add = expand.add_argument
    add("particles", type=Path, metavar="PARTICLES", help="refined particles")
    add("-o", "--output", type=Path, required=True, metavar="OUT.star")
    add("--twist", type=float, required=True, metavar="DEG", help="as refined")
    add("--rise", type=float, required=True, metavar="A", help="as refined")
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
