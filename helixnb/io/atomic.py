"""Writing files that are either complete or not there.

A notebook kernel can be interrupted at any moment. Results are therefore written to
a temporary file in the same folder and moved into place in one step, so a reader
(or a resumed session) never meets half a file.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give the result the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
