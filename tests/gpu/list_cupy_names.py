"""Writes the list of CuPy's public names and signatures that tests compare with.

CuPy imports without a GPU: ``pip install cupy-cuda13x``, then
``python tests/gpu/list_cupy_names.py``. A function is written with its parameters,
``...`` standing for every default; what is compiled tells them in its docstring.
"""

import inspect
import re
from pathlib import Path
from typing import Any

import cupy
import cupyx
import cupyx.scipy.fft
import cupyx.scipy.ndimage

WHOLE = {
    "cupy": cupy,
    "cupy.ndarray": cupy.ndarray,
    "cupy.ufunc": cupy.ufunc,
    "cupy.RawModule": cupy.RawModule,
    "cupy.cuda.Device": cupy.cuda.Device,
    "cupy.cuda.Event": cupy.cuda.Event,
    "cupy.cuda.MemoryPool": cupy.cuda.MemoryPool,
    "cupy.cuda.PinnedMemoryPool": cupy.cuda.PinnedMemoryPool,
    "cupy.cuda.Stream": cupy.cuda.Stream,
    "cupy.cuda.memory.OutOfMemoryError": cupy.cuda.memory.OutOfMemoryError,
    "cupy.fft.config": cupy.fft.config,
    "cupy.fft._cache.PlanCache": cupy.fft._cache.PlanCache,
    "cupyx.scipy.fft": cupyx.scipy.fft,
    "cupyx.scipy.ndimage": cupyx.scipy.ndimage,
}
"""Modules and classes, all public names of which are listed."""

SINGLE = {
    "cupy.cuda.Device": cupy.cuda.Device,
    "cupy.cuda.Event": cupy.cuda.Event,
    "cupy.cuda.Stream": cupy.cuda.Stream,
    "cupy.cuda.alloc_pinned_memory": cupy.cuda.alloc_pinned_memory,
    "cupy.cuda.get_current_stream": cupy.cuda.get_current_stream,
    "cupy.cuda.memory.OutOfMemoryError": cupy.cuda.memory.OutOfMemoryError,
    **{
        f"cupy.cuda.runtime.{name}": getattr(cupy.cuda.runtime, name)
        for name in (
            "driverGetVersion",
            "getDeviceCount",
            "getDeviceProperties",
            "runtimeGetVersion",
        )
    },
}
_NOT_IN_CALLS = {"self", "cls"}


def names() -> list[str]:
    """Public names as dotted paths, functions with their parameters, sorted."""
    found = {path: parameters(thing) for path, thing in SINGLE.items()}
    for path, parent in WHOLE.items():
        for name in dir(parent):
            if not name.startswith("_"):
                found[f"{path}.{name}"] = parameters(getattr(parent, name))
    return sorted(path + text for path, text in found.items())


def parameters(thing: Any) -> str:
    """Parameters in brackets, or nothing where they cannot be known."""
    if not callable(thing) or inspect.ismodule(thing):
        return ""
    try:
        found = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return _documented(thing)
    parts, kind = [], inspect.Parameter
    for p in found:
        stars = {kind.VAR_POSITIONAL: "*", kind.VAR_KEYWORD: "**"}.get(p.kind, "")
        before = {part.split("=")[0] for part in parts}
        if p.kind is kind.KEYWORD_ONLY and not any(b.startswith("*") for b in before):
            parts.append("*")
        default = "" if p.default is kind.empty else "=..."
        if p.name not in _NOT_IN_CALLS:
            parts.append(f"{stars}{p.name}{default}")
    return f"({', '.join(parts)})"


def _documented(thing: Any) -> str:
    """Parameters as the first line of a docstring tells them, without C's types."""
    line = (getattr(thing, "__doc__", None) or "").split("\n", 1)[0]
    call = re.match(r"[\w.]+\((.*)\)(?: -> .*)?$", line)
    if call is None:
        return ""
    parts = []
    for part in filter(None, map(str.strip, call[1].replace("\\", "").split(","))):
        name, _, default = part.partition("=")
        name = name.split()[-1]
        if name not in _NOT_IN_CALLS:
            parts.append(name + ("=..." if default else ""))
    return f"({', '.join(parts)})"


if __name__ == "__main__":
    lines = [f"# CuPy {cupy.__version__}, by list_cupy_names.py", *names()]
    Path(__file__).with_name("cupy_names.txt").write_text("\n".join(lines) + "\n")
