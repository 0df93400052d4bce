"""Fixtures shared by all tests: seeded randomness, test data, a browser to drive."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run and for every test."""
    return np.random.default_rng(20261122)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the simulated actin and TMV segments, to be read and not written."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"test data absent: no folder {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium executable for the tests marked ``browser``."""
    wanted = os.environ.get("HELIXNB_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = wanted or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(names)} is on PATH")
    return found


@pytest.fixture(
    scope="module", params=["host", pytest.param("gpu", marks=pytest.mark.gpu)]
)
def device(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Backend of a GPU; first of a stand-in that runs the CUDA sources on the host."""
    # Loaded here, for most tests need none of it.
    from tests.gpu.devices import cuda
    from tests.gpu.fake_cupy import Machine, fake_device
    from tests.gpu.host_cuda import compile_kernels

    if request.param == "gpu":
        yield cuda()
        return
    library = compile_kernels(tmp_path_factory.mktemp("kernels"))
    machine = Machine()
    with fake_device(machine, library) as module:
        yield module.CUDA(0)
        assert not machine.races
