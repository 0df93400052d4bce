"""Run a notebook as on Binder, beside a server, and see what memory that takes.

``make test-binder`` builds an environment from `requirements.txt` and `postBuild` alone
and runs this in it. It fails if a cell does, if a cell marked NBVAL_CHECK_OUTPUT prints
something else than is stored, or if server and kernel together need more than Binder
should be asked for.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient

LIMIT_MB = 1500.0
CHECKED = "# NBVAL_CHECK_OUTPUT"
TIMEOUT_S = 600
SERVER = ["jupyterlab", "--no-browser", "--allow-root", "--port=0", "--port-retries=0"]


class Memory(threading.Thread):
    """Follow the resident memory of all child processes; pages shared count twice."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_MB = 0.0
        self._end = threading.Event()

    def run(self) -> None:
        """Look ten times a second."""
        while not self._end.wait(0.1):
            total = 0
            for process in psutil.Process().children(recursive=True):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_MB = max(self.peak_MB, total / 1e6)

    def stop(self) -> float:
        """Return the peak."""
        self._end.set()
        self.join()
        return self.peak_MB


def printed(cell: Any) -> str:
    """Text that a cell printed."""
    return "".join(o["text"] for o in cell["outputs"] if o["output_type"] == "stream")


def run(notebook: Path) -> None:
    """Execute a notebook and compare what it promises to print."""
    stored = nbformat.read(notebook, as_version=4)
    made = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        made, timeout=TIMEOUT_S, resources={"metadata": {"path": str(notebook.parent)}}
    )
    client.execute()
    for number, (before, now) in enumerate(zip(stored.cells, made.cells, strict=True)):
        if now.cell_type != "code" or CHECKED not in now.source:
            continue
        if printed(now) != printed(before):
            sys.exit(
                f"{notebook}, cell {number}: printed\n{printed(now)}\n"
                f"but stored is\n{printed(before)}"
            )


def main(notebook: Path) -> None:
    """Run a notebook, tell time and memory, and judge the memory."""
    memory = Memory()
    memory.start()
    begun = time.monotonic()
    server = subprocess.Popen(
        [sys.executable, "-m", *SERVER],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        run(notebook)
        if server.poll() is not None:
            sys.exit("the server of JupyterLab ended: run `jupyter lab` to see why")
    finally:
        peak_MB = memory.stop()
        server.terminate()
        server.wait(20)
    seconds = time.monotonic() - begun
    print(f"{notebook.name}: {seconds:.0f} s, {peak_MB:.0f} MB at most with the server")
    if peak_MB > LIMIT_MB:
        sys.exit(f"that is more than {LIMIT_MB:.0f} MB")


if __name__ == "__main__":
    os.environ["PANEL_INLINE"] = "True"
    main(Path(sys.argv[1]))
