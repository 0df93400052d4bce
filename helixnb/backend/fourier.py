"""Fourier transforms of arrays of any device, with the names and meanings of SciPy.

Single precision stays single. `workers` is a number of threads on a CPU and means
nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import scipy.fft

from helixnb.backend.arrays import kind_of


def _transform(name: str) -> Callable[..., Any]:
    """Make the function that sends a transform to where the array lives."""
    on_host = getattr(scipy.fft, name)

    def transform(
        array: Any, *where: Any, workers: int | None = None, **options: Any
    ) -> Any:
        kind = kind_of(array)
        if kind is None:
            return on_host(array, *where, workers=workers, **options)
        return getattr(kind.fft, name)(array, *where, **options)

    transform.__name__ = name
    transform.__doc__ = f"`scipy.fft.{name}` wherever the array lives."
    return transform


def _rearrangement(name: str) -> Callable[..., Any]:
    """Make the function that moves the origin of an array where it lives."""
    on_host = getattr(scipy.fft, name)

    def rearranged(array: Any, axes: Any = None) -> Any:
        kind = kind_of(array)
        return (on_host if kind is None else getattr(kind.fft, name))(array, axes=axes)

    rearranged.__name__ = name
    rearranged.__doc__ = f"`scipy.fft.{name}` wherever the array lives."
    return rearranged


fft = _transform("fft")
ifft = _transform("ifft")
rfft = _transform("rfft")
irfft = _transform("irfft")
fft2 = _transform("fft2")
ifft2 = _transform("ifft2")
rfft2 = _transform("rfft2")
irfft2 = _transform("irfft2")
rfftn = _transform("rfftn")
irfftn = _transform("irfftn")
fftshift = _rearrangement("fftshift")
ifftshift = _rearrangement("ifftshift")
fftfreq = scipy.fft.fftfreq
"""On the host, as `rfftfreq`: frequencies are few, and sent along where needed."""
rfftfreq = scipy.fft.rfftfreq
next_fast_len = scipy.fft.next_fast_len
"""A length that all libraries transform fast."""
