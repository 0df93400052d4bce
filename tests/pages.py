"""The folder that the pages' code runs in, and what their commands are held against.

A page may name ``particles.star``, ``map.mrc``, ``mask.mrc``, ``monday.npz`` and
``J12_particles.cs``, and use ``session``, a small refinement that has searched its
symmetry. A run ends after one iteration here: pages are about calls, not results.
Commands of helixnb go through its own parser, and are run if what they read is there;
of others the names are checked.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import re
import shlex
import shutil
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import panel as pn
import pytest
from sybil.evaluators.python import PythonEvaluator

from helixnb import Session, cli, report
from helixnb.core.masks import cylinder
from helixnb.io.mrc import write_map
from helixnb.iteration import initial
from helixnb.session import computing
from helixnb.simulate import Filaments, Microscope, simulate_segments

if TYPE_CHECKING:
    from sybil.example import Example

REPOSITORY = Path(__file__).resolve().parent.parent

TWIST_DEG, RISE_A = -166.65, 28.11
BOX_PX, PIXEL_A = 36, 4.0
RUN_ITERATIONS = 1
PREPARED_ITERATIONS = 3

PARSED = ("bench", "demo", "serve", "simulate")
"""Commands that take long, never end or replace particles: tested elsewhere."""

INPUTS = ("particles", "session", "map", "initial_map", "static_mask")
"""Arguments of commands that name files to be read."""

ELSEWHERE = ("cd", "chimerax", "git", "relion_reconstruct", "ssh")
"""Programs that pages may name but that are not ours."""


@cache
def template() -> Path:
    """Make the files that pages name, once for all of them."""
    folder = Path(tempfile.mkdtemp(prefix="helixnb-pages-"))
    data = simulate_segments(
        folder,
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        box_px=BOX_PX,
        pixel_size_A=PIXEL_A,
        filaments=Filaments(
            n_filaments=8, segments_per_filament=10, inter_box_A=2 * RISE_A
        ),
        microscope=Microscope(snr=0.6),
        seed=1,
    )
    shutil.copy(data.truth_map, folder / "map.mrc")
    write_map(folder / "mask.mrc", cylinder(BOX_PX, outer_radius_px=10), PIXEL_A)
    session = Session.from_file(
        data.particles_star,
        twist_deg=TWIST_DEG,
        rise_A=RISE_A,
        starts=1,
        bootstrap_iterations=2,
        search_start_A=30.0,  # the set is too small for the default
        progress=False,
    )
    for _ in range(PREPARED_ITERATIONS):
        session.step()
    session.save(folder / "monday.npz")
    write_cryosparc(folder / "J12_particles.cs", session)
    shutil.copy(folder / "J12_particles.cs", folder / "J12_passthrough_particles.cs")
    return folder


def write_cryosparc(path: Path, session: Session) -> None:
    """Write the particles as CryoSPARC would have them."""
    state = session.state
    assert state is not None
    poses = state.poses.euler(PIXEL_A)
    session.particles.write_cs(path, poses, half=state.survey.half)


class Workplace:
    """Working folder of one page, with everything that is replaced for it."""

    def __init__(self) -> None:
        self._patches = pytest.MonkeyPatch()
        self.folder = Path(tempfile.mkdtemp(prefix="helixnb-page-"))
        shutil.copytree(template(), self.folder, dirs_exist_ok=True)
        self._patches.chdir(self.folder)
        finished = computing.finished
        self._patches.setattr(
            computing,
            "finished",
            lambda timeline, done, n, again: (
                done >= RUN_ITERATIONS or finished(timeline, done, n, again=again)
            ),
        )
        # Small sets are started several times.
        self._patches.setattr(initial, "number_of_starts", lambda *_, **__: 1)
        # Drawn and tested elsewhere; it takes seconds.
        self._patches.setattr(
            report, "write_report", lambda session, path: path.touch()
        )

    def leave(self) -> None:
        """Put everything back."""
        self._patches.undo()
        shutil.rmtree(self.folder)


def enter(names: dict[str, Any]) -> None:
    """Make the folder of a page, and the names it may use."""
    names["_workplace"] = Workplace()
    # A branch may be resumed while the page's own session still writes elsewhere.
    names["session"] = Session.load("monday.npz", progress=False)
    names["pn"] = pn


def leave(names: dict[str, Any]) -> None:
    """Wait for what still runs, and remove the folder."""
    for value in list(names.values()):
        if isinstance(value, Session):
            value.pause().wait()
    names["_workplace"].leave()


def run_code(example: Example) -> str | None:
    """Run a block of Python; return what is to be told of a failure.

    A text, because Sybil's own report of an exception breaks off where the exception
    was raised while another one was handled.
    """
    try:
        PythonEvaluator()(example)
    except Exception:
        return traceback.format_exc()
    return None


# --- commands ------------------------------------------------------------------------


def check_commands(example: Example) -> str | None:
    """Hold every line of a block of commands against what it would be given to."""
    for line in example.parsed.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=\S*|exec", words[0]):
            del words[0]
        if not words:
            continue
        try:
            check_command(words)
        except AssertionError as error:
            return f"{line}\n{error}"
    return None


def check_command(words: list[str]) -> None:
    """Check one command; raise an AssertionError if it would fail."""
    program, *rest = words
    if program == "helixnb":
        check_own(rest)
    elif program == "make":
        check_make(rest)
    elif program in ("python", ".venv/bin/python"):
        check_python(rest)
    elif program.startswith(".venv/bin/"):
        found = importlib.metadata.entry_points(
            group="console_scripts", name=Path(program).name
        )
        assert found, f"{program} is not installed by any package of the environment"
    else:
        assert program in ELSEWHERE, f"nobody checks the program {program!r}"


def check_own(arguments: list[str]) -> None:
    """Parse a command of helixnb, and run it if its input is there."""
    with contextlib.redirect_stderr(io.StringIO()) as told:
        parsed, status = None, 0
        try:
            parsed = cli._parser().parse_args(arguments)
        except SystemExit as end:
            status = end.code
    assert not status, told.getvalue()
    if parsed is None:  # --help and --version end there
        return
    if parsed.command.__module__.rpartition(".")[2] in PARSED:
        return
    inputs = (getattr(parsed, name, None) for name in INPUTS)
    if not all(path.exists() for path in inputs if path is not None):
        return
    if arguments[0] == "refine" and not parsed.overwrite:
        # Alternatives on a page write to the same folder.
        shutil.rmtree(parsed.output, ignore_errors=True)
    with (
        contextlib.redirect_stderr(io.StringIO()) as told,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        status = cli.main(arguments)
    assert status == 0, told.getvalue()


def check_make(arguments: list[str]) -> None:
    """See that the targets are there."""
    targets = [word for word in arguments if "=" not in word] or ["help"]
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    rules = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    missing = set(targets) - rules
    assert not missing, f"the Makefile has no target {', '.join(missing)}"


def check_python(arguments: list[str]) -> None:
    """See that a script of the repository, or a module, is there."""
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]), arguments
    else:
        assert (REPOSITORY / arguments[0]).is_file(), arguments
