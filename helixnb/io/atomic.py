"""Writing files that are either complete or not there.

A notebook kernel can be interrupted or killed at any moment, and disks fill up. Results
are therefore written to a temporary file in the same folder, brought to the disk, and
moved into place in one step: a reader, or a resumed session, never meets half a file,
and what was there before stays until the new file is whole.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helixnb.errors import InputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` when the block succeeds.

    Parameters
    ----------
    path : Path
        Final file. Its folder is made if it does not exist.

    Yields
    ------
    Path
        Empty temporary file in the same folder and with the same suffix, removed
        when the block raises.

    Raises
    ------
    InputError
        The file system refuses: full, read-only, or without permission.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
        )
        temporary = Path(name)
        os.close(handle)
        yield temporary
        _to_disk(temporary)
        # mkstemp makes files private; give the result the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{path} could not be written: {error.strerror or error}. Free some space "
            "or give another place; what was there before is unchanged."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _to_disk(path: Path) -> None:
    """Wait until a file's content has left the caches."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
