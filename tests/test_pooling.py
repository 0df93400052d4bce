"""Score tables from amplitudes against the plain sum over pairs."""

import itertools

import numpy as np
import pytest

from helixnb.backend.rows import PairRows
from helixnb.core.pooling import Pooling
from tests.scenes import BACKEND


@pytest.mark.parametrize("n_azimuth", [12, 15])
def test_waves_are_the_plain_sum(n_azimuth: int, rng: np.random.Generator) -> None:
    """Re sum_p a_p exp(i m phi - 2 pi i v s / D), row 1 without any pair."""
    n_cells, n_axial = 3, 4
    row_start = np.array([0, 5, 5, 9])
    harmonic = np.array([0, 4, -4, 1, -5, 3, -1, 0, 5], np.int32)
    parts = rng.standard_normal((2, 9, n_cells))
    phase = np.exp(1j * rng.uniform(0, 6, (9, n_axial))).astype(np.complex64)
    each = [np.concatenate(parts[:, a:b]) for a, b in itertools.pairwise(row_start)]
    amplitudes = np.concatenate(each).astype(np.float32)
    rows = PairRows.in_turn(row_start, row_start)
    pooling = Pooling.of_pairs(harmonic, rows, phase, n_azimuth)
    even, odd = pooling.waves(amplitudes, BACKEND)
    a_p = parts[0] + 1j * parts[1]
    for a in range(n_azimuth // 2 + 1):
        phi = 2 * np.pi * a / n_azimuth
        for sign in (1, -1):
            wave = np.exp(sign * 1j * harmonic * phi)
            expected = np.einsum("pc,ps,p->sc", a_p, phase, wave).real
            found = even[..., a] + sign * odd[..., a]
            np.testing.assert_allclose(found, expected, atol=2e-5)


def test_real_rows_multiply_as_the_complex_ones(rng: np.random.Generator) -> None:
    """Row 1 has no pair; every row but the first stands for its conjugate as well."""
    columns, pairs = (7, 5, 3), (4, 0, 2)
    sizes = np.multiply(columns, pairs)
    rows = PairRows.in_turn(np.cumsum([0, *pairs]), np.cumsum([0, *sizes]))
    parts = rng.standard_normal((2, int(sizes.sum())))
    values = (parts[0] + 1j * parts[1]).astype(np.complex64)
    out = BACKEND.real_rows(values, rows)
    for v in (0, 2):
        first, last = rows.value_start[v : v + 2]
        matrix = out[4 * first : 4 * last].reshape(2 * pairs[v], 2 * columns[v])
        column = rng.standard_normal(2 * columns[v]).astype(np.float32)
        found = matrix @ column
        row = values[first:last].reshape(columns[v], pairs[v])
        expected = (2 if v else 1) * column.view(np.complex64) @ row
        np.testing.assert_allclose(
            found[: pairs[v]] + 1j * found[pairs[v] :], expected, rtol=1e-5
        )
