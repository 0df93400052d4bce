"""How much memory this process has taken at most.

``ru_maxrss`` alone would not do: on Linux a process begins with the peak of the one
that started it.
"""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory_MB() -> float | None:
    """Largest resident memory so far, in units of 2**20 bytes; None if not told."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kilobytes elsewhere.
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
