"""Sessions in a real Jupyter kernel: interrupted, killed, branched and repeated.

One kernel of its own refines a small simulated set; it is interrupted as the stop
button does it (SIGINT), and killed with SIGKILL.
"""

import queue
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager, start_new_kernel

from helixnb.simulate import Filaments, simulate_segments

LIMIT_S = 60
MIDDLE = "in the middle of an iteration"

SETTING = f"""
import hashlib, logging, time
from helixnb import Session

first = {{first!r}}

def new(**options):
    return Session.from_file(
        {{star!r}},
        twist_deg=-60, rise_A=14, starts=1, seed=1, progress=False, **options
    )

def digest(session):
    maps = hashlib.sha256(session.state.half_maps.tobytes()).hexdigest()
    return maps, session.history["resolution_A"].tolist()

def slow(session):
    # Says so, and leaves time for the signal to arrive.
    if session.progress.stage == "align":
        print("{MIDDLE}", flush=True)
        time.sleep(0.2)
"""


class Kernel:
    """A kernel that a test talks to as JupyterLab does."""

    def __init__(self) -> None:
        self.manager: KernelManager
        self.manager, self.client = start_new_kernel(startup_timeout=LIMIT_S)

    def begin(self, code: str) -> str:
        """Begin a cell."""
        cell: str = self.client.execute(code)
        return cell

    def end(self, cell: str) -> tuple[str, str]:
        """Return what a cell printed, and the name of the error that ended it."""
        printed, error = "", ""
        for message in self._messages(cell):
            content = message["content"]
            if message["msg_type"] == "stream" and content["name"] == "stdout":
                printed += content["text"]
            elif message["msg_type"] == "error":
                error = content["ename"]
        return printed, error

    def run(self, code: str) -> str:
        """Return what a cell printed that must not fail."""
        printed, error = self.end(self.begin(code))
        assert not error, f"{error} in {code}"
        return printed.strip()

    def wait_for(self, cell: str, text: str) -> None:
        """Wait until a cell prints something."""
        for message in self._messages(cell):
            if text in message["content"].get("text", ""):
                return
        raise AssertionError(f"the cell ended without {text!r}")

    def interrupt(self) -> None:
        """Press the stop button."""
        self.manager.interrupt_kernel()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if how == signal.SIGKILL:
            self.manager.signal_kernel(how)
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def _messages(self, cell: str) -> Iterator[dict[str, Any]]:
        """Yield what a cell has to say until it ends."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=LIMIT_S)
            except queue.Empty:
                break
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["content"].get("execution_state") == "idle":
                return
            yield message
        raise AssertionError("the cell did not end")


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> str:
    data = simulate_segments(
        tmp_path_factory.mktemp("kernel"),
        twist_deg=-60.0,
        rise_A=14.0,
        box_px=24,
        pixel_size_A=5.0,
        filaments=Filaments(n_filaments=4, segments_per_filament=4),
    )
    first = data.particles_star.with_name("first.npz")
    return SETTING.format(star=str(data.particles_star), first=str(first))


@pytest.fixture(scope="module")
def the_kernel(setting: str) -> Iterator[Kernel]:
    kernel = Kernel()
    # What an uninterrupted run comes to, and the file of its first iteration.
    kernel.run(setting + "session = new(checkpoint=first).step()")
    kernel.run("reference = {1: digest(session)}")
    kernel.run("session = Session.load(first).run(3, background=False)")
    kernel.run("reference[4] = digest(session)")
    yield kernel
    kernel.stop()


@pytest.fixture
def kernel(the_kernel: Kernel) -> Kernel:
    """Kernel with a session after its first iteration."""
    the_kernel.run("session = Session.load(first, progress=False)")
    return the_kernel


@pytest.mark.parametrize(
    "cell",
    [
        "session.step()",
        "for state in session.iterate(5): pass",
        "session.run(5, background=False)",
    ],
)
def test_a_cell_stopped_in_the_middle_leaves_the_iteration_before(
    kernel: Kernel, cell: str
) -> None:
    kernel.run("stop = session.on_change(slow)")
    begun = kernel.begin(cell)
    kernel.wait_for(begun, MIDDLE)
    kernel.interrupt()
    assert kernel.end(begun)[1] == "KeyboardInterrupt"
    assert kernel.run("print(session.iteration, session.running)") == "1 False"
    assert kernel.run("print(digest(session) == reference[1])") == "True"
    assert (
        kernel.run(
            "stop(); session.run(3, background=False);"
            "print(session.iteration, digest(session) == reference[4])"
        )
        == "4 True"
    )


def test_stopping_to_wait_pauses_the_run(kernel: Kernel) -> None:
    kernel.run("stop = session.on_change(slow)")
    begun = kernel.begin("session.run(20).wait()")
    kernel.wait_for(begun, MIDDLE)
    kernel.interrupt()
    assert kernel.end(begun)[1] == "KeyboardInterrupt"
    assert kernel.run("session.wait(); print(session.running)") == "False"
    assert int(kernel.run("print(session.iteration)")) in (2, 3)
    assert (
        kernel.run(
            "stop(); session.back(session.iteration - 1); session.run(3).wait();"
            "print(digest(session) == reference[4])"
        )
        == "True"
    )


def test_a_killed_kernel_goes_on_from_its_checkpoint(
    setting: str, kernel: Kernel, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run.npz"
    killed = Kernel()
    try:
        killed.run(setting + "session = Session.load(first, progress=False)")
        killed.run(f"session = session.fork(checkpoint={str(checkpoint)!r}).step()")
        begun = killed.begin("session.on_change(slow); session.run(9).wait()")
        killed.wait_for(begun, MIDDLE)
    finally:
        killed.stop(signal.SIGKILL)
    assert (
        kernel.run(
            f"resumed = Session.load({str(checkpoint)!r}, progress=False);"
            "before = resumed.iteration; resumed.run(2, background=False);"
            "print(before, digest(resumed) == reference[4])"
        )
        == "2 True"
    )


def test_branches_undo_and_scripts_in_a_kernel(kernel: Kernel) -> None:
    said = kernel.run(
        "session.run(2).wait(); session.parameters.rise_A = 14.1; session.step()\n"
        "branch = session.back(1).fork(rise_A=14.1).step()\n"
        "session.step()\n"
        "print(digest(branch) != digest(session), session.iteration)\n"
        "print(digest(session) == reference[4])\n"
        "there = {}\n"
        "exec(branch.to_script(), there)\n"
        "print(digest(there['session']) == digest(branch))"
    )
    assert said.split() == ["True", "4", "True", "True"]
