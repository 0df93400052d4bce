"""Options that several commands share, those of `Parameters` among them.

Parameter options are generated from the declarations, so they cannot fall behind.
"""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
from pathlib import Path
from typing import Any

from helixnb.parameters import Parameters
from helixnb.parameters.field import absence, meaning

CHECKPOINT_FILE = "session.npz"
TEXT_WIDTH = 78

_UNIT_SUFFIXES = ("_deg", "_A", "_percent")
_RENAMED = {"max_iterations": "--iterations"}


def option_of(name: str) -> str:
    """Command-line option of a parameter: its name without the unit.

    Parameters
    ----------
    name : str
        Field of `Parameters`.

    Returns
    -------
    str

    Examples
    --------
    >>> option_of("outer_diameter_A")
    '--outer-diameter'
    """
    if name in _RENAMED:
        return _RENAMED[name]
    for suffix in _UNIT_SUFFIXES:
        name = name.removesuffix(suffix)
    return "--" + name.replace("_", "-")


def add_command(
    commands: Any,
    name: str,
    summary: str,
    description: str,
    *,
    usage: str,
    example: str,
) -> argparse.ArgumentParser:
    """Add a command that shows what to type before all that may be typed.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    name, summary, description : str
        What it is called and what it does, in a line and in full.
    usage : str
        What it needs.
    example : str
        A command that works as it stands, but for names of files.

    Returns
    -------
    argparse.ArgumentParser
        To which options are added. They have to be written in full, or ``--twist-e``
        would silently be ``--twist-extent``.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        usage=" ".join(filter(None, ("helixnb", name, usage, "[options]"))),
        description=textwrap.fill(description, TEXT_WIDTH),
        epilog=f"example:\n  {example}\n\nunits: A, angstrom; DEG, degrees; PX, pixels",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def add_parameters(parser: argparse.ArgumentParser, *, defaults: bool = True) -> None:
    """Add the options of all parameters under their headings.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.
    defaults : bool
        Tell the defaults; False where a session has its own values.
    """
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(Parameters):
        title = field.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        _add_parameter(groups[title], field, defaults)


def _add_parameter(group: Any, field: dataclasses.Field[Any], default: bool) -> None:
    """Add the option of one field, with its unit and default in the help."""
    kind, unit = str(field.type), field.metadata["unit"]
    options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
    text = meaning(field)
    if default:
        shown = absence(field) if field.default is None else field.default
        if isinstance(shown, bool):
            shown = "on" if shown else "off"
        text = f"{text} (default: {shown})"
    if "bool" in kind:
        options["action"] = argparse.BooleanOptionalAction
    elif field.metadata["choices"]:
        options["choices"] = field.metadata["choices"]
    else:
        convert = {"int": int, "float": float}
        options["type"] = next((t for n, t in convert.items() if n in kind), str)
        # A metavar is neither a plural nor empty, and "%" is argparse's own.
        metavar = {"deg": "DEG", "A": "A", "%": "PERCENT", "": "X"}.get(unit, "N")
        options["metavar"] = "GROUP" if "str" in kind else metavar
    group.add_argument(option_of(field.name), help=text.replace("%", "%%"), **options)


def add_output(parser: argparse.ArgumentParser, default: Path | None) -> None:
    """Add the folder for the results.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.
    default : Path or None
        Folder if none is given; None requires one.
    """
    suffix = f" (default: {default})" if default else ""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT",
        required=default is None,
        default=default,
        help=f"folder for the results{suffix}",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results of another run"
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the device.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.
    """
    parser.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="cpu, cuda or cuda:N; auto takes a GPU that can be used (%(default)s)",
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the seed and the device.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.
    """
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of random numbers (0)"
    )
    add_device(parser)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the switch that saves every iteration.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of the command.
    """
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help=f"write OUT/{CHECKPOINT_FILE} after each iteration, from which "
        "helixnb resume goes on",
    )
