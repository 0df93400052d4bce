"""Readers never break on what they are given: old inputs replayed, new ones tried."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helixnb.errors import InputError
from tests.fuzzing import DATA, TARGETS, Target, inputs, seeds

CORPUS = sorted(path for path in (DATA / "fuzz").rglob("*") if path.is_file())
SECONDS = 10


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """End a reader that does not come back."""

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"a reader took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def attempt(target: Target, data: bytes, folder: Path) -> None:
    """Read an input, which may be refused but not break the reader."""
    path = folder / f"input{target.suffix}"
    path.write_bytes(data)
    signal.alarm(SECONDS)
    with suppress(InputError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target.read(path)
    signal.alarm(0)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_once_broke_a_reader(path: Path, tmp_path: Path) -> None:
    attempt(TARGETS[path.parent.name], path.read_bytes(), tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_sound(name: str, tmp_path: Path) -> None:
    """Or everything would be refused at once and nothing be tried."""
    target = TARGETS[name]
    path = tmp_path / f"input{target.suffix}"
    path.write_bytes(seeds(name)[0])
    target.read(path)


@pytest.mark.parametrize("name", TARGETS)
@settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_mutated_files(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    attempt(TARGETS[name], data.draw(inputs(name)), tmp_path_factory.mktemp("fuzz"))
