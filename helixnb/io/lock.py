"""One writer a folder: two refinements never mix their results.

The lock is the operating system's on a file in the folder, so it ends with the process
that holds it however that ends. Within one process it may be taken again. Where there
are no such locks (Windows) nothing is locked.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helixnb.errors import InputError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".helixnb.lock"
_held: dict[Path, int] = {}


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from writing results into a folder.

    Parameters
    ----------
    folder : Path
        Existing folder.

    Raises
    ------
    InputError
        Another process holds it.
    """
    key = folder.resolve()
    if fcntl is None or key in _held:
        yield
        return
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise InputError(
            f"Results cannot be written to {folder}: {error.strerror or error}. "
            "Give another folder."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip()
            raise InputError(
                f"{folder} is being written to by another refinement "
                f"({owner or 'a process'}). Wait for it to end, or give another folder."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}\n".encode(), 0)
        _held[key] = descriptor
        try:
            yield
        finally:
            del _held[key]
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
