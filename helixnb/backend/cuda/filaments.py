"""The pass along filaments as launches of CUDA kernels, for `core.coherence`.

Segments of all filaments that are reached together make one step of six launches:
prediction times evidence, a transform over azimuth, to the modes along the axis and
back, the transform back, and the next prediction. What the host knows of all steps is
sent at once, before the first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from helixnb.backend import fourier
from helixnb.backend.cuda.batch_lengths import length_from
from helixnb.backend.cuda.maps import MapKernels


class FilamentKernels(MapKernels):
    """What a device does for tables of segments."""

    def blurred_tables(self, tables: Any, modes: Any, axial_sd: float) -> Any:
        """Blur tables along the axis of the filament; see `arrays`."""
        n = 2 * len(tables)
        moved = self._moved(tables, n, modes, self.xp.zeros((2, n)), axial_sd)
        return self.xp.maximum(moved[: len(tables)], 0, dtype=np.float32)

    def filament_predictions(
        self, emission: Any, steps: Any, modes: Any, slip: Any
    ) -> tuple[Any, Any]:
        """Go along filaments both ways; see `arrays`."""
        xp, n, size = self.xp, len(emission), emission[0, 0].size
        prediction = xp.ones((2 * n, *emission.shape[1:]), np.float32)
        sums = xp.zeros((2 * n, 2))
        places, moves = self._sent(steps)
        at = of_table = 0
        for here, further, *_ in steps:
            m, k = len(here), len(further)
            place, slot = places[at : at + m], places[at + m : at + 2 * m]
            there = places[at + 2 * m : at + 2 * m + k]
            at += 2 * m + k
            # Tables that nobody reads make the batch one of few lengths.
            length = length_from(k) if k else 0
            filtered = xp.empty((length, *emission.shape[1:]), np.float32)
            self._each_block(
                "filter_tables",
                2 * m,
                *(prediction, self._contiguous(emission, np.float32)),
                *(place, slot, n, size, filtered, sums),
            )
            if k:
                move = moves[of_table : of_table + 4 * k]
                of_table += 4 * k
                moved = self._moved(filtered, 2 * k, modes, move, 0.0)
                self._each_block(
                    "predict_tables", 2 * k, moved, there, float(slip), size, prediction
                )
        return prediction, sums

    def _sent(self, steps: Any) -> tuple[Any, Any]:
        """Send places, slots and next places of each step, and moves of its tables."""
        places = [np.zeros(0, np.int64)]
        moves = [np.zeros(0)]
        for here, further, there, move_px, turn_sd in steps:
            slot = np.full(len(here), -1)
            slot[further] = np.arange(len(further))
            places += [here, slot, there]
            # The second polarity runs back.
            moves += [np.outer(move_px, [1, -1]).ravel(), np.repeat(turn_sd, 2)]
        send = self.xp.asarray
        return send(np.concatenate(places)), send(np.concatenate(moves))

    def _moved(
        self, tables: Any, n: int, modes: Any, of_table: Any, axial_sd: float
    ) -> Any:
        """Move and blur n tables as the two rows of `of_table` say.

        Of tables beyond these nothing is known afterwards.
        """
        spectrum = fourier.rfft(tables, axis=-1)
        n_axial, n_orders = spectrum.shape[2:]
        size = n * n_axial * n_orders
        made = self.xp.empty((n, n_axial, n_orders), np.complex64)
        sizes = n, n_axial, n_orders
        tables_of = modes.demodulation, modes.twiddle
        self._each(
            "axial_modes",
            size,
            self._contiguous(spectrum, np.complex64),
            *(*tables_of, modes.omega, modes.order, of_table, float(axial_sd)),
            *(*sizes, made),
        )
        back = self.xp.empty(spectrum.shape, np.complex64)
        scale = 1.0 / (n_axial * modes.n_azimuth)
        self._each("axial_rows", size, made, *tables_of, scale, *sizes, back)
        return fourier.irfft(
            back, modes.n_azimuth, axis=-1, norm="forward", overwrite_x=True
        )
