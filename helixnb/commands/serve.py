"""The command `helixnb serve`: the dashboard of a new or saved session in a browser."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from helixnb.commands.options import add_command, add_device, add_parameters
from helixnb.errors import InputError

TOKEN_VARIABLE = "HELIXNB_TOKEN"
CHECKPOINT = Path("helixnb-session.npz")


def add_serve(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    serve = add_command(
        commands,
        "serve",
        "show the dashboard in a browser",
        "Serve the dashboard of a refinement. It listens on this machine only, unless "
        "told otherwise; elsewhere it asks for a token.",
        usage="PARTICLES",
        example="helixnb serve particles.star --twist -166.65 --rise 28.11",
    )
    add = serve.add_argument
    add(
        "source",
        type=Path,
        metavar="PARTICLES",
        help="segments as for refine, or a session's file (.npz) to go on with",
    )
    add("--port", type=int, default=5006, metavar="N", help="(%(default)s; 0: any)")
    add("--address", default="127.0.0.1", metavar="HOST", help="(%(default)s)")
    add(
        "--token",
        help="asked for by the page, also on this machine (default: "
        f"${TOKEN_VARIABLE}, or a new one if others can reach the address)",
    )
    add(
        "--allow-origin",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="name that the page is opened as, such as a proxy's; may be repeated",
    )
    add(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="file that every iteration is saved to (default: the one that was given, "
        f"or {CHECKPOINT})",
    )
    add("--seed", type=int, default=0, metavar="N", help="of random numbers (0)")
    add_device(serve)
    add_parameters(serve)
    serve.set_defaults(command=_serve)


def _serve(args: argparse.Namespace) -> None:
    from helixnb.serving import access, serve

    who = access(
        args.address,
        args.port,
        token=args.token or os.environ.get(TOKEN_VARIABLE) or None,
        origins=args.allow_origin,
    )
    serve(_session(args), who)


def _session(args: argparse.Namespace) -> Any:
    """Make the session that was asked for."""
    from helixnb.parameters import field_names
    from helixnb.session import Session

    if args.source.suffix == ".npz":
        checkpoint = args.checkpoint or args.source
        return Session.load(args.source, device=args.device, checkpoint=checkpoint)
    checkpoint = args.checkpoint or CHECKPOINT
    if checkpoint.exists():
        raise InputError(
            f"{checkpoint} exists: give it in place of {args.source} to go on with "
            "that session, or name another file with --checkpoint."
        )
    names = set(field_names())
    values = {name: value for name, value in vars(args).items() if name in names}
    return Session.from_file(
        args.source,
        device=args.device,
        seed=args.seed,
        checkpoint=checkpoint,
        **values,
    )
