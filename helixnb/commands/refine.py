"""The commands `helixnb refine` and `helixnb resume`: refine, and write all results."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helixnb.commands.options import (
    CHECKPOINT_FILE,
    add_checkpoint,
    add_command,
    add_device,
    add_output,
    add_parameters,
    add_run_options,
    option_of,
)
from helixnb.iteration.outcome import outcome
from helixnb.parameters import Parameters

if TYPE_CHECKING:
    from helixnb.particles import ParticleSet
    from helixnb.session import Session

log = logging.getLogger("helixnb")


def add_refine(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    refine = add_command(
        commands,
        "refine",
        "refine segments and write maps, poses and a report",
        "Refine helical segments to convergence. Twist and rise may be left out where "
        "a RELION refinement brings them.",
        usage="PARTICLES -o OUT --twist DEG --rise A",
        example="helixnb refine particles.star -o out --twist -166.65 --rise 28.11",
    )
    refine.add_argument(
        "particles",
        metavar="PARTICLES",
        type=Path,
        help="segments: STAR file of RELION, .cs file of CryoSPARC, or RELION's "
        "run_it*_optimiser.star to go on from there",
    )
    add_output(refine, default=None)
    add_run_options(refine)
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
    add_checkpoint(refine)
    _add_cryosparc(refine)
    refine.add_argument(
        "--static-mask",
        metavar="MASK.mrc",
        type=Path,
        help="mask for references, used from the first iteration on (sets --mask "
        "static)",
    )
    add_parameters(refine)
    refine.set_defaults(command=_refine)


def add_resume(commands: Any) -> None:
    """Add the command to a parser's subcommands.

    Parameters
    ----------
    commands : argparse subparsers
        Of the program.
    """
    resume = add_command(
        commands,
        "resume",
        "go on with a saved session",
        "Go on where a saved session stood, with its parameters; those that are given "
        "here replace them, limits that ended it among them.",
        usage="SESSION.npz -o OUT",
        example="helixnb resume out/session.npz -o out --overwrite",
    )
    resume.add_argument(
        "session", type=Path, metavar="SESSION.npz", help="from --checkpoint or save()"
    )
    resume.add_argument(
        "--particles", type=Path, help="the particles, if they were moved"
    )
    add_output(resume, default=None)
    add_checkpoint(resume)
    add_device(resume)
    add_parameters(resume, defaults=False)
    resume.set_defaults(command=_resume)


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


def _refine(args: argparse.Namespace) -> None:
    """Refine what the user gave."""
    from helixnb.session import Session

    session = Session.from_file(
        _source(args),
        device=args.device,
        seed=args.seed,
        checkpoint=args.output / CHECKPOINT_FILE if args.checkpoint else None,
        initial_map=args.initial_map,
        align_initial_map=args.align_initial_map,
        # Only what was given, or defaults would replace what a RELION run tells.
        **_given_parameters(args),
    )
    if args.static_mask is not None:
        session.use_mask(args.static_mask)
    refine_into(args.output, session, args)
    print(summary_text(session, args.output))


def _resume(args: argparse.Namespace) -> None:
    """Go on with a saved session."""
    from helixnb.session import Session

    session = Session.load(
        args.session,
        particles=args.particles,
        device=args.device,
        checkpoint=args.output / CHECKPOINT_FILE if args.checkpoint else None,
    )
    session.parameters.set(**_given_parameters(args))
    refine_into(args.output, session, args)
    print(summary_text(session, args.output))


def _given_parameters(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters on the command line, without those that are left as they are."""
    names = {field.name for field in dataclasses.fields(Parameters)}
    return {name: value for name, value in vars(args).items() if name in names}


def _source(args: argparse.Namespace) -> ParticleSet | Path:
    """Particles, read with the options for CryoSPARC if there are any."""
    from helixnb.io.filament_pose import PoseFrame
    from helixnb.particles import ParticleSet

    path: Path = args.particles
    if args.passthrough is None and args.filament_pose_from is None:
        return path
    frame = PoseFrame(args.filament_pose_from) if args.filament_pose_from else None
    return ParticleSet.from_file(path, passthrough=args.passthrough, frame=frame)


def refine_into(out_dir: Path, session: Session, args: argparse.Namespace) -> None:
    """Claim the folder, refine, write.

    Parameters
    ----------
    out_dir : Path
        Folder for the results.
    session : Session
        Before or between iterations.
    args : argparse.Namespace
        With ``overwrite`` and ``checkpoint``.
    """
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


def summary_text(session: Session, out_dir: Path) -> str:
    """Put the result into a few lines.

    Parameters
    ----------
    session : Session
        With a state.
    out_dir : Path
        Folder of the results.

    Returns
    -------
    str
    """
    state = session.state
    assert state is not None
    said = outcome(state, session.parameters.frozen)
    lines = [
        f"symmetry    {state.symmetry_text}",
        f"resolution  {state.resolution_A:.2f} A (FSC 0.143)",
        f"iterations  {state.iteration}, {said.text}",
        *([f"to go on    {_further(out_dir, said.limit)}"] if said.limit else []),
        *(f"flag        {flag}" for flag in state.flags),
        f"results     {out_dir}, of which report.html shows everything",
    ]
    return "\n".join(lines)


def _further(out_dir: Path, limit: str) -> str:
    """Command that goes on behind a limit, from the saved session if there is one."""
    option = f"{option_of(limit)} N"
    saved = out_dir / CHECKPOINT_FILE
    if saved.exists():
        return (
            f"helixnb resume {saved} -o {out_dir} --overwrite {option}, with a larger N"
        )
    return f"start again with a larger {option}; --checkpoint saves what resume needs"
