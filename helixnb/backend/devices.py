"""Device names: which backend they mean, and what is missing where there is none."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import logging
import re
from functools import cache, lru_cache
from typing import Any

from helixnb.backend import Backend
from helixnb.backend.cuda.out_of_memory import lacks_memory
from helixnb.errors import InputError

log = logging.getLogger("helixnb")

_FOR_OLDER_DRIVERS = "pip install 'cupy-cuda12x[ctk]>=14.1'"
_INSTALL = (
    f"pip install 'helixnb[cuda]' (CUDA 13), or {_FOR_OLDER_DRIVERS} where the driver "
    "is older"
)


def backend_of(device: str) -> Backend:
    """Backend for a device name; see `helixnb.backend.get_backend`.

    Parameters
    ----------
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    """
    name = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", str(device))
    if name is None:
        raise InputError(
            f"device {device!r} is not known: choose 'auto', 'cpu', 'cuda' or "
            "'cuda:1' for a second GPU. Use device='cpu' to run without a GPU."
        )
    if device == "cpu":
        return _cpu("")
    if device == "auto":
        return _best()
    problem = gpu_problem()
    if not problem:
        index, n = int(name[1] or 0), _device_module().count()
        if index < n:
            return _gpu(index)
        known = ", ".join(f"'cuda:{i}'" for i in range(n))
        problem = f"this machine has {n} usable GPU{'s' if n > 1 else ''}: {known}"
    raise InputError(
        f"device {device!r} cannot be used: {problem}. Use device='cpu' to run without "
        "a GPU."
    )


@lru_cache(maxsize=1)
def gpu_problem() -> str:
    """Why no GPU can be used, and what to do about it; empty if one can."""
    if importlib.util.find_spec("cupy") is None:
        there = "" if has_driver() else ", and no NVIDIA driver was found either"
        return f"CuPy is not installed{there}. With a GPU: {_INSTALL}"
    try:
        device = _device_module()
        supported, needed = device.versions()
        # Within a major version any driver will do.
        if supported and supported // 1000 < needed // 1000:
            return (
                f"the NVIDIA driver supports CUDA {_version(supported)}, but CuPy is "
                f"made for CUDA {_version(needed)}. Update the driver, or install the "
                f"CuPy of its version: {_FOR_OLDER_DRIVERS}"
            )
        if not device.count():
            return "no NVIDIA driver was found. Install the one of your GPU"
        _gpu(0)
    except Exception as error:  # whatever a half-installed CUDA comes up with
        if "cudaErrorNoDevice" in str(error):
            return (
                "the NVIDIA driver finds no GPU. See that nvidia-smi lists one, and "
                "that CUDA_VISIBLE_DEVICES does not hide it"
            )
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if lacks_memory(error):
            return (
                f"its memory seems to be full ({first}); nvidia-smi tells which "
                "programs use it. Free some and start Python again; if there is room, "
                f"install CuPy anew: {_INSTALL}"
            )
        return f"CuPy cannot use the GPU ({first}). To install it anew: {_INSTALL}"
    return ""


def has_driver() -> bool:
    """Whether this machine has an NVIDIA driver."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return False


@lru_cache(maxsize=1)
def _best() -> Backend:
    """Backend for "auto"; what it is, and why, is logged the first time only."""
    problem = gpu_problem()
    if not problem:
        backend = _gpu(0)
        log.info("Computing on %s (%s)", backend.name, backend.description)
        return backend
    if has_driver():
        note = f"no GPU is used: {problem}"
        log.warning("Computing on the CPU; %s", note)
    else:
        # Who has no GPU need not install anything.
        note = "no GPU is used: no NVIDIA driver was found"
        log.info("Computing on the CPU; %s", note)
    return _cpu(note)


def _cpu(note: str) -> Backend:
    from helixnb.backend import cpu

    return cpu.CPU(note)


@cache
def _gpu(index: int) -> Backend:
    backend: Backend = _device_module().CUDA(index)
    return backend


def _device_module() -> Any:
    """Return the module that imports CuPy, by name: CuPy may not be there."""
    return importlib.import_module("helixnb.backend.cuda.device")


def _version(number: int) -> str:
    """CUDA's way of writing versions, 1000 major + 10 minor."""
    return f"{number // 1000}.{number % 1000 // 10}"
