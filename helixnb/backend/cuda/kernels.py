"""The backend's loops as launches of CUDA kernels.

What each function means is said in `backend.loops`; formulas and layouts are in the
`.cu` files. Nothing here needs a GPU: arrays come from the array module that is handed
in, and launches go to whatever can run the kernels.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

from helixnb.backend.cuda.filaments import FilamentKernels
from helixnb.backend.cuda.launches import THREADS, Launch
from helixnb.backend.cuda.rows import BatchedRows
from helixnb.backend.interpolation import fan_table, image_table
from helixnb.backend.loops import NEGLIGIBLE
from helixnb.backend.orders import OrderSums

SOURCES = (
    "common.cu",
    "frames.cu",
    "fan.cu",
    "scores.cu",
    "posterior.cu",
    "filaments.cu",
    "sums.cu",
    "shells.cu",
    "phases.cu",
)
"""Compiled as one text, in this order."""

SHIFTS_AT_ONCE = 8
"""Sums of a thread of `pool_orders`, which has as many registers for them."""

ITEMS_AT_ONCE = 32
"""Copies of a frame that one block of `shift_frames` moves."""


def source() -> str:
    """Text of all kernels."""
    folder = resources.files(__package__)
    return "\n".join((folder / name).read_text("utf-8") for name in SOURCES)


class Kernels(FilamentKernels):
    """The loops of a backend on one device.

    Parameters
    ----------
    xp : module
        Array module of the device.
    launch : callable
        Runs a kernel on it.
    """

    def __init__(self, xp: Any, launch: Launch) -> None:
        super().__init__(xp, launch)
        self._image_table = xp.asarray(image_table())
        self._fan_table = xp.asarray(fan_table())

    def filament_frames(
        self,
        transforms: Any,
        image: Any,
        psi_deg: Any,
        contrast: Any,
        whitening: Any,
        k_max: int,
        spacing_per_A: float,
    ) -> tuple[Any, Any]:
        """Turn image transforms into the filament frame; see `loops`."""
        n_frames, angle = len(image), self.xp.deg2rad(psi_deg)
        shape = (k_max + 1, n_frames, 2 * k_max + 1)
        data = self.xp.empty(shape, np.complex64)
        power = self.xp.empty(shape, np.float32)
        self._each(
            "turn_frames",
            data.size,
            self._contiguous(transforms, np.complex64),
            self._contiguous(image, np.int32),
            self._contiguous(self.xp.sin(angle), np.float64),
            self._contiguous(self.xp.cos(angle), np.float64),
            self._contiguous(contrast, np.float64),
            self._contiguous(whitening, np.float32),
            self._image_table,
            len(self._image_table) - 1,
            self._image_table.shape[1],
            transforms.shape[1],
            k_max,
            float(spacing_per_A),
            n_frames,
            data,
            power,
        )
        return data, power

    def gather_fan(
        self,
        harmonics: Any,
        oversampling: int,
        cyclic: int,
        tilt_offset_deg: float,
        k_max: int,
    ) -> Any:
        """Slice harmonics H_n(v, u) at one tilt; see `loops`."""
        n_z, n_r, n_m = harmonics.shape
        fan = self.xp.empty((k_max + 1, 2 * k_max + 1, n_m), np.complex64)
        self._each(
            "gather_fan",
            fan.size,
            self._contiguous(harmonics, np.complex64),
            self._fan_table,
            len(self._fan_table) - 1,
            self._fan_table.shape[1],
            n_z,
            n_r,
            n_m,
            oversampling,
            cyclic,
            float(np.deg2rad(tilt_offset_deg)),
            k_max,
            fan,
        )
        return fan

    def scatter_fan(
        self, accumulator: Any, fan: Any, cyclic: int, tilt_offset_deg: float
    ) -> None:
        """Adjoint of `gather_fan` at oversampling 1; see `loops`."""
        n_z, n_r, n_m = accumulator.shape
        k_max, tilt = n_z - 1, float(np.deg2rad(tilt_offset_deg))
        planes = self.xp.zeros((k_max + 1, n_r, n_m), np.complex64)
        table = self._fan_table
        window = (table, len(table) - 1, table.shape[1])
        self._each(
            "scatter_rows",
            (k_max + 1) * n_m,
            self._contiguous(fan, np.complex64),
            *window,
            n_r,
            n_m,
            cyclic,
            tilt,
            k_max,
            planes,
        )
        self._each(
            "scatter_planes",
            n_r * n_m,
            planes,
            *window,
            n_z,
            n_r,
            n_m,
            cyclic,
            tilt,
            k_max,
            accumulator,
        )

    def scratch(self, name: str, shape: tuple[int, ...]) -> Any:
        """Uninitialised array; the memory pool of the device finds it; see `loops`."""
        return self.xp.empty(shape, np.float32)

    def unfold_azimuths(
        self, even: Any, odd: Any, offset: Any, power: float, out: Any, highest: Any
    ) -> None:
        """Write score tables from their even and odd parts; see `loops`."""
        self._each_block(
            "unfold_azimuths",
            len(out),
            self._contiguous(even, np.float32),
            self._contiguous(odd, np.float32),
            self._contiguous(offset, np.float32),
            float(power),
            *out.shape,
            out,
            highest,
        )

    def arrange_rows(self, row_start: Any, value_start: Any) -> BatchedRows:
        """Part the rows of a reference into batches; see `products`."""
        return BatchedRows.arranged(row_start, value_start, self.xp)

    def real_rows(self, values: Any, rows: BatchedRows) -> Any:
        """Real matrices that multiply as the rows of a reference; see `products`."""
        out = self.xp.zeros(4 * rows.n_values, np.float32)
        self._each(
            "real_rows",
            len(values),
            self._contiguous(values, np.complex64),
            rows.places,
            rows.places.shape[1] - 1,
            len(values),
            out,
        )
        return out

    def shifted_products(
        self,
        matrices: Any,
        rows: BatchedRows,
        data: Any,
        frame: Any,
        phase: Any,
        shift: Any,
    ) -> Any:
        """Multiply rows of a reference with those of moved frames; see `products`."""
        n = len(frame)
        lines = self._shifted_lines(rows, data, frame, phase, shift)
        out = self.xp.empty((rows.n_amplitudes, n), np.float32)
        for some in rows.batches:
            high, wide = 2 * some.pairs, 2 * some.columns
            value, line, amplitude = some[3:]
            size = some.n_rows * high * wide
            self.xp.matmul(
                matrices[4 * value : 4 * value + size].reshape(-1, high, wide),
                lines[2 * line : 2 * line + some.n_rows * wide].reshape(-1, wide, n),
                out=out[amplitude : amplitude + some.n_rows * high].reshape(
                    -1, high, n
                ),
            )
        return out

    def _shifted_lines(
        self, rows: BatchedRows, data: Any, frame: Any, phase: Any, shift: Any
    ) -> Any:
        """Real and imaginary parts of moved columns, (2 n_lines, n), row after row."""
        n_columns, n = data.shape[2], len(frame)
        out = self.xp.empty((2 * rows.n_lines, n), np.float32)
        self._each_block(
            "shift_frames",
            len(rows.tiles) * -(-n // ITEMS_AT_ONCE),
            self._contiguous(data, np.complex64),
            self._contiguous(frame, np.int64),
            self._contiguous(phase, np.complex64),
            self._contiguous(shift, np.int32),
            rows.tiles,
            data.shape[1],
            n_columns,
            n,
            out,
        )
        return out

    def pool_orders(self, amplitudes: Any, orders: OrderSums) -> tuple[Any, Any]:
        """Sum rows of amplitudes into orders; see `products`."""
        n_cells, width = amplitudes.shape[1], orders.width
        out = self.xp.empty((2, len(orders), width // 2, n_cells), np.float32)
        tiles = -(-width // SHIFTS_AT_ONCE)
        self._each_block(
            "pool_orders",
            len(orders) * tiles * -(-n_cells // THREADS),
            self._contiguous(amplitudes, np.float32),
            self._contiguous(orders.start, np.int64),
            self._contiguous(orders.rows, np.int64),
            self._contiguous(orders.phase, np.float32),
            len(orders),
            tiles,
            width,
            n_cells,
            out,
        )
        return out[0], out[1]

    def transform_orders(self, part: Any, waves: Any, out: Any) -> None:
        """Sum the waves of all orders, in one product; see `products`."""
        # Transposed, which the library takes as it is.
        amplitudes = part.reshape(len(part), -1).T
        self.xp.matmul(amplitudes, waves, out=out.reshape(-1, waves.shape[1]))

    def exponentiate(
        self, tables: Any, highest: Any, state: Any, n_states: int
    ) -> tuple[Any, Any]:
        """Exponentiate tables, each relative to its maximum; see `loops`."""
        xp = self.xp
        peak = xp.full(n_states, -np.inf, np.float32)
        xp.maximum.at(peak, state, highest)
        depth = highest - peak[state]
        height = xp.where(depth > NEGLIGIBLE, xp.exp(depth), np.float32(0))
        size = tables.shape[1] * tables.shape[2]
        self._each_block("exponentiate", len(tables), tables, highest, height, size)
        return height, peak

    def weigh_tables(self, tables: Any, messages: Any, state: Any, height: Any) -> Any:
        """Sum of each table times the message of its state; see `loops`."""
        mass = self.xp.empty(len(tables), np.float64)
        self._each_block(
            "weigh_tables",
            len(tables),
            self._contiguous(tables, np.float32),
            self._contiguous(messages, np.float32),
            self._contiguous(state, np.int32),
            self._contiguous(height, np.float32),
            tables.shape[1] * tables.shape[2],
            mass,
        )
        return mass

    def weighted_tables(
        self, tables: Any, index: Any, messages: Any, state: Any, share: Any
    ) -> Any:
        """Take tables, times messages and a share of each; see `loops`."""
        out = self.xp.empty((len(index), *tables.shape[1:]), np.float32)
        self._each_block(
            "weighted_tables",
            len(out),
            tables,
            self._contiguous(index, np.int64),
            self._contiguous(messages, np.float32),
            self._contiguous(state, np.int32),
            self._contiguous(share, np.float32),
            tables.shape[1] * tables.shape[2],
            out,
        )
        return out

    def group_sums(
        self, values: Any, group: Any, n_groups: int, weight: Any = None
    ) -> Any:
        """Sum values, or rows of values, by group; see `loops`."""
        order, first = self._groups(group, n_groups)
        if values.ndim == 1:
            out = self.xp.empty(n_groups, np.float64)
            values = self._contiguous(values, np.float64)
            self._each("group_values", n_groups, values, order, first, n_groups, out)
            return out
        if weight is None:
            weight = self.xp.ones(len(group), np.float32)
        length = values.shape[1]
        out = self.xp.empty((n_groups, length), np.float32)
        self._each(
            "group_rows",
            out.size,
            self._contiguous(values, np.float32),
            self._contiguous(weight, np.float32),
            order,
            first,
            n_groups,
            length,
            out,
        )
        return out

    def _groups(self, group: Any, n_groups: int) -> tuple[Any, Any]:
        """Members sorted by group in their own order, and where each group begins."""
        order = self.xp.argsort(group, kind="stable").astype(np.int64, copy=False)
        first = self.xp.empty(n_groups + 1, np.int64)
        self._each(
            "group_starts",
            n_groups + 1,
            self._contiguous(group, np.int32),
            order,
            len(group),
            n_groups,
            first,
        )
        return order, first
