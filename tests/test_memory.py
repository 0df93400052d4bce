"""The memory that a process reports is its own."""

import json
import subprocess
import sys

import numpy as np
import pytest

from helixnb.memory import peak_memory_MB

CHILD = """
import json
import numpy as np
from helixnb.memory import peak_memory_MB
before = peak_memory_MB()
np.ones(25_000_000).sum()
print(json.dumps([before, peak_memory_MB()]))
"""


def test_memory_grows_with_arrays_and_not_with_the_parent() -> None:
    if (mine := peak_memory_MB()) is None:
        pytest.skip("this system does not tell the memory of a process")
    held = np.ones(100_000_000)  # 763 MB
    assert peak_memory_MB() > min(mine, 700)
    out = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True
    )
    before, after = json.loads(out.stdout)
    assert before < held.nbytes / 2**20 / 2
    assert after - before == pytest.approx(25e6 * 8 / 2**20, rel=0.1)
