"""The command `helixnb demo`: simulate, refine, compare with the truth."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from helixnb.commands.options import add_command, add_output, add_run_options
from helixnb.commands.refine import refine_into, summary_text

log = logging.getLogger("helixnb")

TWIST_DEG = -27.0
RISE_A = 12.0


def add_demo(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    demo = add_command(
        commands,
        "demo",
        "simulate a filament, refine it, compare with the truth",
        "Simulate segments of a known helix, refine them from a slightly wrong "
        "symmetry, and compare.",
        usage="",
        example="helixnb demo -o demo",
    )
    add_output(demo, default=Path("demo"))
    add_run_options(demo)
    demo.set_defaults(command=_demo, checkpoint=False)


def _demo(args: argparse.Namespace) -> None:
    """Simulate, refine from a slightly wrong symmetry, compare with the truth."""
    from helixnb.io.output import claim_folder
    from helixnb.session import Session
    from helixnb.simulate import Filaments, Microscope, simulate_segments

    data_dir = args.output / "data"
    # A folder with simulated data in it is a demo's own: it may be run again.
    args.overwrite = args.overwrite or (data_dir / "truth.star").exists()
    claim_folder(args.output, overwrite=args.overwrite)
    data = simulate_segments(
        data_dir,
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=80,
        filaments=Filaments(segments_per_filament=20, inter_box_A=40.0),
        microscope=Microscope(snr=0.3),
        seed=args.seed,
    )
    log.info("%s", data)
    session = Session.from_file(
        data.particles_star,
        twist_deg=data.twist_deg + 0.5,
        rise_A=data.rise_A * 1.02,
        device=args.device,
        seed=args.seed,
    )
    refine_into(args.output, session, args)
    print(summary_text(session, args.output))
    print(
        f"truth       twist {data.twist_deg:.3f} deg, rise {data.rise_A:.3f} A; "
        f"map in {data.truth_map}"
    )
