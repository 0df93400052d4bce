"""Where arrays live and the few loops that array expressions cannot express well.

A `Backend` is chosen once per session and handed to the core. It carries the array
module `xp` and a handful of hot kernels; everything else in the core is plain array
code. The device that runs is always reported, never silently swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from helixnb.errors import InputError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

DEVICES = ("auto", "cpu")

CHUNK_IMAGES = 96
"""Images worked on at once; a longer filament is still kept whole."""


class Backend(Protocol):
    """Array module and kernels of one device."""

    name: str
    xp: Any

    def filament_frames(
        self,
        transforms: NDArray[np.complex64],
        image: NDArray[np.int32],
        psi_deg: NDArray[np.float64],
        contrast: NDArray[np.float64],
        whitening: NDArray[np.float32],
        k_max: int,
        spacing_per_A: float,
    ) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
        """Turn image transforms into the filament frame; see `cpu`."""

    def gather_fan(
        self,
        harmonics: NDArray[np.complex64],
        oversampling: int,
        cyclic: int,
        tilt_offset_deg: float,
        k_max: int,
    ) -> NDArray[np.complex64]:
        """Slice harmonics H_n(v, u) at one tilt; see `cpu`."""

    def scatter_fan(
        self,
        accumulator: NDArray[np.complex64],
        fan: NDArray[np.complex64],
        cyclic: int,
        tilt_offset_deg: float,
    ) -> None:
        """Adjoint of `gather_fan` at oversampling 1; see `cpu`."""

    def scratch(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Uninitialised array that the next call of that name may reuse; see `cpu`."""

    def unfold_azimuths(
        self,
        even: NDArray[np.float32],
        odd: NDArray[np.float32],
        offset: NDArray[np.float32],
        power: float,
        out: NDArray[np.float32],
    ) -> None:
        """Write score tables from their even and odd parts; see `cpu`."""

    def shifted_frames(
        self,
        data: NDArray[np.complex64],
        frame: NDArray[np.int64],
        phase: NDArray[np.complex64],
        shift: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Copy frames and move each across the filament; see `cpu`."""

    def weigh_tables(
        self,
        tables: NDArray[np.float32],
        messages: NDArray[np.float32],
        state: NDArray[np.int32],
        height: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Sum of each table times the message of its state; see `cpu`."""

    def group_sums(
        self,
        values: NDArray[Any],
        group: NDArray[np.integer],
        n_groups: int,
        weight: NDArray[np.float32] | None = None,
    ) -> NDArray[Any]:
        """Sum values, or rows of values, by group; see `cpu`."""

    def exponentiate(
        self,
        tables: NDArray[np.float32],
        highest: NDArray[np.float32],
        state: NDArray[np.int32],
        n_states: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Exponentiate tables, each relative to its maximum; see `cpu`."""

    def weighted_tables(
        self,
        tables: NDArray[np.float32],
        index: NDArray[np.int64],
        messages: NDArray[np.float32],
        state: NDArray[np.int32],
        share: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Take tables, times messages and a share of each; see `cpu`."""

    def blocks(self, first: int, last: int, bytes_each: int) -> Iterator[slice]:
        """Parts of a range whose working memory is right for the device; see `cpu`."""

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """Copy an array from the host to where the computing is; see `cpu`."""

    def map(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> Iterator[_Result]:
        """Apply a function to independent items, in order; see `cpu`."""


def get_backend(device: str = "auto") -> Backend:
    """Return the backend for a device name.

    Parameters
    ----------
    device : {"auto", "cpu"}
        "auto" takes the fastest device that this version supports.

    Returns
    -------
    Backend

    Raises
    ------
    InputError
        For a device this version cannot run on.
    """
    if device not in DEVICES:
        raise InputError(
            f"device {device!r} is not available: this version runs on "
            f"{', '.join(DEVICES)}. Use device='cpu'."
        )
    from helixnb.backend import cpu

    return cpu.CPU()
