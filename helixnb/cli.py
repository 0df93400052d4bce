"""The command line: each command is a few calls that a notebook could make as well.

Options are generated from the fields of `Parameters`, so they cannot fall behind.
Log lines go to stderr, the result to stdout. The exit status is 0 if all went well, 2
for input that cannot be used (its message, no traceback) and 1 for any other failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.errors import InputError
from helixnb.expand_command import add_expand
from helixnb.parameters import Parameters
from helixnb.search_command import add_search
from helixnb.serve_command import add_serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from helixnb.particles import ParticleSet
    from helixnb.session import Session

log = logging.getLogger("helixnb")

CHECKPOINT_FILE = "session.npz"
DEMO_TWIST_DEG = -27.0
DEMO_RISE_A = 12.0

_UNIT_SUFFIXES = ("_deg", "_A", "_percent")
_RENAMED = {"max_iterations": "--iterations"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit status: 0 success, 2 unusable input, 1 any other failure.
    """
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
    _add_refine(commands)
    add_search(commands)
    add_expand(commands)
    _add_resume(commands)
    add_serve(commands, _add_parameters)
    _add_demo(commands)
    _add_simulate(commands)
    return parser


def _add_refine(commands: Any) -> None:
    refine = commands.add_parser(
        "refine",
        help="refine segments and write maps, poses and a report",
        description="Refine helical segments to convergence. Twist and rise may be "
        "left out where a RELION refinement brings them.",
        # Or --twist-e would silently be --twist-extent.
        allow_abbrev=False,
    )
    refine.add_argument(
        "particles",
        metavar="PARTICLES",
        type=Path,
        help="segments: STAR file of RELION, .cs file of CryoSPARC, or RELION's "
        "run_it*_optimiser.star to go on from there",
    )
    _add_output(refine, default=None)
    _add_run_options(refine)
    refine.add_argument(
        "--initial-map",
        type=Path,
        metavar="MAP.mrc",
        help="density to start from, filament along z, of any box and pixel size",
    )
    refine.add_argument(
        "--align-initial-map",
        action="store_true",
        help="turn the long axis of that density to z",
    )
    _add_checkpoint(refine)
    _add_cryosparc(refine)
    refine.add_argument(
        "--static-mask",
        metavar="MASK.mrc",
        type=Path,
        help="mask for references, used from the first iteration on (sets --mask "
        "static)",
    )
    _add_parameters(refine)
    refine.set_defaults(command=_refine)


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add the options of all parameters under their headings."""
    groups: dict[str, Any] = {}
    for field in dataclasses.fields(Parameters):
        title = field.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        _add_parameter(groups[title], field)


def _add_resume(commands: Any) -> None:
    resume = commands.add_parser(
        "resume",
        help="go on with a saved session",
        description="Go on where a saved session stood, with its parameters.",
    )
    resume.add_argument(
        "session", type=Path, metavar="SESSION.npz", help="from --checkpoint or save()"
    )
    resume.add_argument(
        "--particles", type=Path, help="the particles, if they were moved"
    )
    _add_output(resume, default=None)
    _add_checkpoint(resume)
    resume.add_argument(
        "--device", default="auto", help="auto or cpu (default: %(default)s)"
    )
    resume.set_defaults(command=_resume)


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        action="store_true",
        help=f"write OUT/{CHECKPOINT_FILE} after each iteration, from which "
        "helixnb resume goes on",
    )


def _add_cryosparc(refine: argparse.ArgumentParser) -> None:
    group = refine.add_argument_group("CryoSPARC input")
    group.add_argument(
        "--passthrough",
        action="append",
        type=Path,
        metavar="FILE.cs",
        help="passthrough file of the same job, repeated for several (default: the one "
        "beside PARTICLES, if it is needed)",
    )
    group.add_argument(
        "--filament-pose-from",
        choices=("x", "y"),
        help="image axis that filament poses are counted from (default: what agrees "
        "with the data)",
    )


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        help="simulate a filament, refine it, compare with the truth",
        description="Simulate segments of a known helix, refine them from a slightly "
        "wrong symmetry, and compare.",
    )
    _add_output(demo, default=Path("demo"))
    _add_run_options(demo)
    demo.set_defaults(command=_demo, checkpoint=False)


def _add_simulate(commands: Any) -> None:
    simulate = commands.add_parser(
        "simulate",
        help="write simulated segments with known poses",
        description="Simulate micrographs of filaments, cut boxes, and write "
        "particles.star, particles.mrcs, truth.star and truth_map.mrc.",
    )
    _add_output(simulate, default=None)
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


def _add_output(parser: argparse.ArgumentParser, default: Path | None) -> None:
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


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of random numbers (0)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto or cpu (default: %(default)s)"
    )


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


def _add_parameter(group: Any, field: dataclasses.Field[Any]) -> None:
    """Add the option of one field, with its unit and default in the help."""
    kind, unit = str(field.type), field.metadata["unit"]
    options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
    text = field.metadata["doc"]
    if field.default is not dataclasses.MISSING:
        shown = "automatic" if field.default is None else field.default
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


def _refine(args: argparse.Namespace) -> None:
    """Refine what the user gave."""
    from helixnb.session import Session

    names = {field.name for field in dataclasses.fields(Parameters)}
    session = Session.from_file(
        _source(args),
        device=args.device,
        seed=args.seed,
        checkpoint=args.output / CHECKPOINT_FILE if args.checkpoint else None,
        initial_map=args.initial_map,
        align_initial_map=args.align_initial_map,
        # Only what was given, or defaults would replace what a RELION run tells.
        **{name: value for name, value in vars(args).items() if name in names},
    )
    if args.static_mask is not None:
        session.use_mask(args.static_mask)
    _refine_into(args.output, session, args)
    print(_summary_text(session, args.output))


def _resume(args: argparse.Namespace) -> None:
    """Go on with a saved session."""
    from helixnb.session import Session

    session = Session.load(
        args.session,
        particles=args.particles,
        device=args.device,
        checkpoint=args.output / CHECKPOINT_FILE if args.checkpoint else None,
    )
    _refine_into(args.output, session, args)
    print(_summary_text(session, args.output))


def _source(args: argparse.Namespace) -> ParticleSet | Path:
    """Particles, read with the options for CryoSPARC if there are any."""
    from helixnb.io.filament_pose import PoseFrame
    from helixnb.particles import ParticleSet

    path: Path = args.particles
    if args.passthrough is None and args.filament_pose_from is None:
        return path
    frame = PoseFrame(args.filament_pose_from) if args.filament_pose_from else None
    return ParticleSet.from_file(path, passthrough=args.passthrough, frame=frame)


def _refine_into(out_dir: Path, session: Session, args: argparse.Namespace) -> None:
    """Claim the folder, refine, write."""
    from tqdm.contrib.logging import logging_redirect_tqdm

    from helixnb.io.lock import locked_folder
    from helixnb.io.output import CRYOSPARC_FILE, RESULT_FILES, claim_folder
    from helixnb.session.rescue import rescuing

    checkpoint = out_dir / CHECKPOINT_FILE
    resumed_there = getattr(args, "session", None) == checkpoint
    extra = (CHECKPOINT_FILE,) if args.checkpoint and not resumed_there else ()
    claim_folder(
        out_dir,
        overwrite=args.overwrite,
        protected=[session.particles.source],
        names=(*RESULT_FILES, CRYOSPARC_FILE, *extra),
    )
    for note in session.particles.notes:
        log.info("%s", note)
    with locked_folder(out_dir), rescuing(session, checkpoint):
        with logging_redirect_tqdm([log]):
            session.run(background=False)
        session.save_results(out_dir, overwrite=args.overwrite)


def _summary_text(session: Session, out_dir: Path) -> str:
    """Put the result into a few lines."""
    state = session.state
    assert state is not None
    ended = "converged" if state.converged else "not converged"
    lines = [
        f"symmetry    {state.symmetry_text}",
        f"resolution  {state.resolution_A:.2f} A (FSC 0.143)",
        f"iterations  {state.iteration}, {ended}",
        *(f"flag        {flag}" for flag in state.flags),
        f"results     {out_dir}, of which report.html shows everything",
    ]
    return "\n".join(lines)


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
        twist_deg=DEMO_TWIST_DEG,
        rise_A=DEMO_RISE_A,
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
    _refine_into(args.output, session, args)
    print(_summary_text(session, args.output))
    print(
        f"truth       twist {data.twist_deg:.3f} deg, rise {data.rise_A:.3f} A; "
        f"map in {data.truth_map}"
    )


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
