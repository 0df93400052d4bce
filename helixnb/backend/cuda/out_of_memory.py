"""Which errors say that the memory of a GPU is full: each library has words of its own.

CuPy has an error for what it allocates itself. What its libraries allocate comes as
theirs, and what they cannot allocate for a handle or a plan often as something else.
"""

from __future__ import annotations

import re

from helixnb.errors import InputError

_LACK_OF_MEMORY = re.compile(
    "Out of memory|OUT_OF_MEMORY|MemoryAllocation|ALLOC_FAILED|bad_alloc"
    "|CUBLAS_STATUS_NOT_INITIALIZED|CUFFT_INTERNAL_ERROR|CUFFT_SETUP_FAILED"
)
"""In the words of CuPy, driver, runtime, cuBLAS and cuFFT, and Thrust. Those of the
second line are what comes where a handle or a plan finds no room. They may mean other
things as well, but a library that does not work at all has failed before, for a backend
uses each of them once when it is made."""


def lacks_memory(error: Exception) -> bool:
    """Whether an error says that the memory of the GPU is full.

    Parameters
    ----------
    error : Exception
        Whatever came up while the GPU computed; an `InputError` has its own words.
    """
    return bool(_LACK_OF_MEMORY.search(str(error))) and not isinstance(
        error, InputError
    )
