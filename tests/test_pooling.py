"""Score tables from amplitudes against the plain sum over pairs."""

import itertools

import numpy as np
import pytest

from helixnb.core.pooling import Pooling, real_form
from tests.scenes import BACKEND


@pytest.mark.parametrize("n_azimuth", [12, 15])
def test_waves_are_the_plain_sum(n_azimuth: int, rng: np.random.Generator) -> None:
    """Re sum_p a_p exp(i m phi - 2 pi i v s / D), row 1 without any pair."""
    n_cells, n_axial = 3, 4
    row_start = np.array([0, 5, 5, 9])
    harmonic = np.array([0, 4, -4, 1, -5, 3, -1, 0, 5], np.int32)
    parts = rng.standard_normal((2, 9, n_cells))
    phase = np.exp(1j * rng.uniform(0, 6, (9, n_axial))).astype(np.complex64)
    rows = [np.concatenate(parts[:, a:b]) for a, b in itertools.pairwise(row_start)]
    amplitudes = np.concatenate(rows).astype(np.float32)
    pooling = Pooling.of_pairs(harmonic, row_start, phase, n_azimuth)
    even, odd = pooling.waves(amplitudes, BACKEND)
    a_p = parts[0] + 1j * parts[1]
    for a in range(n_azimuth // 2 + 1):
        phi = 2 * np.pi * a / n_azimuth
        for sign in (1, -1):
            wave = np.exp(sign * 1j * harmonic * phi)
            expected = np.einsum("pc,ps,p->sc", a_p, phase, wave).real
            found = even[..., a] + sign * odd[..., a]
            np.testing.assert_allclose(found, expected, atol=2e-5)


def test_real_form_multiplies_as_the_complex_matrix(rng: np.random.Generator) -> None:
    parts = rng.standard_normal((2, 7, 4))
    row = (parts[0] + 1j * parts[1]).astype(np.complex64)
    parts = rng.standard_normal((2, 7))
    column = (parts[0] + 1j * parts[1]).astype(np.complex64)
    found = real_form(row, 2.0) @ column.view(np.float32)
    expected = 2 * column @ row
    np.testing.assert_allclose(found[:4] + 1j * found[4:], expected, rtol=1e-5)
