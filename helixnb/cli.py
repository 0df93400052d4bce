"""The command line: each command is a few calls that a notebook could make as well.

Log lines go to stderr, the result to stdout. The exit status is 0 if all went well, 2
for input that cannot be used (its message, no traceback), 141 where the reader of the
output has gone (``helixnb ... | head``), and 1 for any other failure.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from helixnb.commands.bench import add_bench
from helixnb.commands.demo import add_demo
from helixnb.commands.expand import add_expand
from helixnb.commands.refine import add_refine, add_resume
from helixnb.commands.search import add_search
from helixnb.commands.serve import add_serve
from helixnb.commands.simulate import add_simulate
from helixnb.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("helixnb")

NOBODY_READS = 141
"""Exit status that shells give a program that a broken pipe ended: 128 + SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status: 0 success, 2 unusable input, 141 output that nobody reads, 1 any
        other failure.
    """
    try:
        try:
            return _run(argv)
        finally:
            # Here, where a reader that has gone can be told from a failure.
            sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer would fail once more as Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def _run(argv: Sequence[str] | None) -> int:
    """Run a command and turn what it raises into an exit status."""
    args = _parser().parse_args(argv)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        args.command(args)
    except InputError as error:
        print(f"helixnb: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("helixnb: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except Exception:
        log.exception("helixnb failed; this is a bug or a problem of the machine:")
        return 1
    finally:
        log.removeHandler(handler)
    return 0


def _parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="helixnb",
        description="Refine helical assemblies from cryo-EM segments.",
    )
    parser.add_argument(
        "--version", action="version", version=f"helixnb {version('helixnb')}"
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_refine(commands)
    add_search(commands)
    add_expand(commands)
    add_resume(commands)
    add_serve(commands)
    add_demo(commands)
    add_simulate(commands)
    add_bench(commands)
    return parser
