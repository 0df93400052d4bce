"""Batches of few lengths, so that the plans of Fourier transforms are used again.

A library that makes a plan for each length of a batch would make a new one for nearly
every chunk, tilt and step along the filaments, which takes longer than most of these
transforms. Batches therefore get rows that nobody reads, up to one of a few lengths: of
a large batch a tenth more on average, and a quarter at most.
"""

from __future__ import annotations

from typing import Any

_FINE_FROM = 128
"""Lengths from here on have three leading bits; those below are powers of two."""


def length_from(n: int) -> int:
    """Least length of a batch that holds n items.

    Parameters
    ----------
    n : int
        Items, at least 1.
    """
    step = _step(n)
    return -(-n // step) * step


def length_within(n: int) -> int:
    """Largest length of a batch of no more than n items.

    Parameters
    ----------
    n : int
        Items, at least 1.
    """
    if n < _FINE_FROM:
        return 1 << (n.bit_length() - 1)
    return n // _step(n) * _step(n)


def _step(n: int) -> int:
    """Distance of the lengths about n."""
    if n <= _FINE_FROM:
        return 1 << (n - 1).bit_length()
    return 1 << (n.bit_length() - 3)


def batched(array: Any, name: str, options: dict[str, Any], xp: Any) -> Any:
    """Array with a length along its first axis that a plan is likely to be there for.

    Parameters
    ----------
    array : array
        To be transformed.
    name : str
        Of the transform, as SciPy calls it.
    options : dict
        Of the transform; axes are told by name, as `fourier` does.
    xp : module
        Array module of the array.

    Returns
    -------
    array
        The same where the first axis is transformed itself, and where it has such a
        length; or else a longer copy, whose further rows are arbitrary.
    """
    if 0 in _transformed(array.ndim, name, options) or not len(array):
        return array
    length = length_from(len(array))
    if length == len(array):
        return array
    longer = xp.empty((length, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _transformed(n_axes: int, name: str, options: dict[str, Any]) -> set[int]:
    """Axes that a transform goes along."""
    if name.endswith("n"):
        axes = options.get("axes") or range(n_axes)
    elif name.endswith("2"):
        axes = options.get("axes", (-2, -1))
    else:
        axes = (options.get("axis", -1),)
    return {axis % n_axes for axis in axes}
