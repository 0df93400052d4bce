"""Devices that the tests of the CUDA backend run on, and why one is skipped."""

from __future__ import annotations

import pytest

from helixnb.backend import Backend, get_backend
from helixnb.backend.devices import gpu_problem


def cuda(device: str = "cuda") -> Backend:
    """Return the backend of a GPU; skips, with the reason, where there is none."""
    if problem := gpu_problem():
        pytest.skip(f"no GPU: {problem.partition('. ')[0]}")
    return get_backend(device)
