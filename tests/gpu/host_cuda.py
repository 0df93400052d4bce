"""Runs the CUDA kernels on a host, compiled as C++ by a compiler that is there."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helixnb.backend.cuda.kernels import source
from helixnb.backend.cuda.launches import THREADS

HEADER = Path(__file__).with_name("host_cuda.h")
_KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(')


def kernel_bodies() -> dict[str, str]:
    """Text of each kernel, by name."""
    parts = _KERNEL.split(source())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@lru_cache(maxsize=1)
def written_arguments() -> dict[str, set[int]]:
    """Places of the arrays that each kernel writes to: pointers that are not const."""
    found = {}
    for name, body in kernel_bodies().items():
        parameters = body[: body.index(")")].split(",")
        found[name] = {
            i
            for i, text in enumerate(parameters)
            if "*" in text and "const" not in text
        }
    return found


def compile_kernels(folder: Path) -> ctypes.CDLL:
    """Compile all kernels for the host; skips where there is no compiler.

    CXXFLAGS of the environment add to its options: `make test-sanitized` uses that.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ on PATH to compile the CUDA sources for the host with")
    launchers = [
        f'extern "C" void launch_{name}(long long n, unsigned threads, void** a)'
        f"{{ host::launch({name}, n, threads, a, {barriers}); }}"
        for name, body in kernel_bodies().items()
        for barriers in ["true" if "__syncthreads" in body else "false"]
    ]
    text = source().replace('extern "C" __global__', "__global__")
    code, library = folder / "kernels.cpp", folder / "kernels.so"
    code.write_text("\n".join([HEADER.read_text(), text, *launchers]))
    flags = ["-std=c++17", "-O2", "-Wall", "-Wno-unused-function", "-Werror"]
    flags.append("-Wno-unknown-pragmas")  # of loops to be unrolled
    flags += shlex.split(os.environ.get("CXXFLAGS", ""))
    subprocess.run(
        [compiler, *flags, "-shared", "-fPIC", "-o", library, code], check=True
    )
    return ctypes.CDLL(str(library))


def launcher(library: ctypes.CDLL, plain: Callable[[Any], Any]) -> Callable[..., None]:
    """Launch function for `Kernels`, in place of CuPy's.

    `plain` gives the NumPy array behind one of the stand-in's.
    """

    def launch(name: str, n_blocks: int, *arguments: Any) -> None:
        assert n_blocks >= 1
        held = [_as_c(argument, plain) for argument in arguments]
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(h) for h in held))
        run = getattr(library, f"launch_{name}")
        run(ctypes.c_longlong(n_blocks), ctypes.c_uint(THREADS), pointers)

    return launch


def _as_c(argument: Any, plain: Callable[[Any], Any]) -> Any:
    """Argument as CUDA gets it from CuPy: a pointer, a long long or a double."""
    if isinstance(argument, float):
        return ctypes.c_double(argument)
    if isinstance(argument, int) and not isinstance(argument, bool):
        return ctypes.c_longlong(argument)
    array = plain(argument)
    assert isinstance(array, np.ndarray), f"{type(argument).__name__} to a kernel"
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)
