"""Images are streamed: what was read does not stay resident."""

from pathlib import Path

import mrcfile
import numpy as np
import psutil
import pytest

from helixnb.io import stacks


def test_a_large_stack_does_not_become_resident(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    n, box = 400, 256
    path = tmp_path / "stack.mrcs"
    with mrcfile.new_mmap(path, (n, box, box), mrc_mode=2) as mrc:
        for i in range(n):
            mrc.data[i] = rng.standard_normal((box, box), np.float32)
    reader = stacks.StackReader([path], box)
    section, process = np.arange(n), psutil.Process()
    if not hasattr(process.memory_info(), "shared"):
        pytest.skip("this system does not tell resident pages of files apart")
    before = process.memory_info().shared
    for part in np.split(section, 10):
        assert reader.read(np.zeros(len(part), np.int32), part).shape[0] == len(part)
    grown = process.memory_info().shared - before
    assert grown < 0.2 * path.stat().st_size
