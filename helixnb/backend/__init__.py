"""Where arrays live and the few loops that array expressions cannot express well.

A `Backend` is chosen once per session and handed to the core. It carries the array
module `xp` and a handful of hot kernels; everything else in the core is plain array
code (`arrays` tells how). The device that runs is always reported, never silently
swapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from helixnb.backend.orders import OrderSums
from helixnb.backend.rows import PairRows

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

CHUNK_IMAGES = 96
"""Images worked on at once; a longer filament is still kept whole."""


class Backend(Protocol):
    """Array module and kernels of one device."""

    name: str
    note: str
    xp: Any

    @property
    def description(self) -> str:
        """What the device is, in a few words."""

    def active(self) -> AbstractContextManager[None]:
        """Make the device the one that array functions of this thread use."""

    def synchronise(self) -> None:
        """Wait for what this thread has launched."""

    def chunk_images(self, bytes_per_image: int, n_images: int) -> int:
        """Images to be worked on at once, of so many; see `cpu`."""

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
        """Turn image transforms into the filament frame; see `loops`."""

    def gather_fan(
        self,
        harmonics: NDArray[np.complex64],
        oversampling: int,
        cyclic: int,
        tilt_offset_deg: float,
        k_max: int,
    ) -> NDArray[np.complex64]:
        """Slice harmonics H_n(v, u) at one tilt; see `loops`."""

    def scatter_fan(
        self,
        accumulator: NDArray[np.complex64],
        fan: NDArray[np.complex64],
        cyclic: int,
        tilt_offset_deg: float,
    ) -> None:
        """Adjoint of `gather_fan` at oversampling 1; see `loops`."""

    def scratch(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Uninitialised array, reused by the next call of that name; see `loops`."""

    def unfold_azimuths(
        self,
        even: NDArray[np.float32],
        odd: NDArray[np.float32],
        offset: NDArray[np.float32],
        power: float,
        out: NDArray[np.float32],
        highest: NDArray[np.float32],
    ) -> None:
        """Write score tables from their even and odd parts; see `loops`."""

    def arrange_rows(
        self, row_start: NDArray[np.int64], value_start: NDArray[np.int64]
    ) -> PairRows:
        """Choose in which order rows are multiplied; see `products`."""

    def real_rows(
        self, values: NDArray[np.complex64], rows: Any
    ) -> NDArray[np.float32]:
        """Real matrices that multiply as the rows of a reference; see `products`."""

    def shifted_products(
        self,
        matrices: NDArray[np.float32],
        rows: Any,
        data: NDArray[np.complex64],
        frame: NDArray[np.int64],
        phase: NDArray[np.complex64],
        shift: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """Multiply rows of a reference with those of moved frames; see `products`."""

    def pool_orders(
        self, amplitudes: NDArray[np.float32], orders: OrderSums
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Sum rows of amplitudes into orders; see `products`."""

    def transform_orders(
        self,
        part: NDArray[np.float32],
        waves: NDArray[np.float32],
        out: NDArray[np.float32],
    ) -> None:
        """Sum the waves of all orders; see `products`."""

    def weigh_tables(
        self,
        tables: NDArray[np.float32],
        messages: NDArray[np.float32],
        state: NDArray[np.int32],
        height: NDArray[np.float32],
    ) -> NDArray[np.float64]:
        """Sum of each table times the message of its state; see `loops`."""

    def group_sums(
        self,
        values: NDArray[Any],
        group: NDArray[np.integer],
        n_groups: int,
        weight: NDArray[np.float32] | None = None,
    ) -> NDArray[Any]:
        """Sum values, or rows of values, by group; see `loops`."""

    def exponentiate(
        self,
        tables: NDArray[np.float32],
        highest: NDArray[np.float32],
        state: NDArray[np.int32],
        n_states: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Exponentiate tables, each relative to its maximum; see `loops`."""

    def weighted_tables(
        self,
        tables: NDArray[np.float32],
        index: NDArray[np.int64],
        messages: NDArray[np.float32],
        state: NDArray[np.int32],
        share: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Take tables, times messages and a share of each; see `loops`."""

    def blocks(
        self, first: int, last: int, bytes_each: int, fewest: int = 1
    ) -> Iterator[slice]:
        """Parts of a range whose working memory is right for the device; see `cpu`."""

    def upload(self, array: NDArray[Any]) -> NDArray[Any]:
        """Copy an array from the host to where the computing is; see `cpu`."""

    def each(
        self, function: Callable[[_Item], _Result], items: Iterable[_Item]
    ) -> list[_Result]:
        """Apply a function to items that take little time and memory; see `cpu`."""

    def map(
        self,
        function: Callable[[_Item], _Result],
        items: Iterable[_Item],
        halve: Callable[[_Item], list[_Item]] | None = None,
    ) -> Iterator[_Result]:
        """Apply a function to independent items, in order; see `cpu`."""


def get_backend(device: str = "auto") -> Backend:
    """Return the backend for a device name.

    Parameters
    ----------
    device : str
        ``"cpu"``; ``"cuda"`` for the first GPU, ``"cuda:1"`` for the second, and so
        on; ``"auto"`` for the first GPU if there is one that can be used.

    Returns
    -------
    Backend
        With ``"auto"`` on a CPU its `note` tells why, which is also logged, once.

    Raises
    ------
    InputError
        For a name that means nothing, and for a GPU that cannot be used: what is
        missing, and what to install.
    """
    from helixnb.backend import devices

    return devices.backend_of(device)
