"""Writes the list of CuPy's public names that tests of the CUDA backend compare with.

CuPy imports without a GPU: ``pip install cupy-cuda13x``, then
``python tests/gpu/list_cupy_names.py``.
"""

from pathlib import Path

import cupy
import cupyx.scipy.fft

MODULES = {
    "cupy": cupy,
    "cupy.ndarray": cupy.ndarray,
    "cupyx.scipy.fft": cupyx.scipy.fft,
}


def names() -> list[str]:
    """Public names as dotted paths, sorted."""
    return sorted(
        f"{path}.{name}"
        for path, module in MODULES.items()
        for name in dir(module)
        if not name.startswith("_")
    )


if __name__ == "__main__":
    lines = [f"# CuPy {cupy.__version__}, by list_cupy_names.py", *names()]
    Path(__file__).with_name("cupy_names.txt").write_text("\n".join(lines) + "\n")
