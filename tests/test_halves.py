"""Half-sets: whole filaments, balanced, and the same for the same seed."""

import numpy as np
import pytest

from helixnb.core.halves import split_by_filament
from helixnb.errors import InputError


@pytest.mark.parametrize("seed", range(5))
def test_filaments_stay_whole_and_halves_balanced(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, 31)
    filament = rng.permutation(np.repeat(np.arange(31), lengths)).astype(np.int32)
    half = split_by_filament(filament, rng)
    assert set(half) == {0, 1}
    for which in range(31):
        assert len(set(half[filament == which])) == 1
    counts = np.bincount(half)
    assert abs(counts[0] - counts[1]) <= lengths.max()


def test_two_filaments_go_to_two_halves(rng: np.random.Generator) -> None:
    half = split_by_filament(np.repeat([0, 1], [500, 3]).astype(np.int32), rng)
    assert half[0] != half[-1]


def test_one_filament_cannot_be_split(rng: np.random.Generator) -> None:
    with pytest.raises(InputError, match="at least two"):
        split_by_filament(np.zeros(9, np.int32), rng)


def test_split_follows_the_seed() -> None:
    filament = np.repeat(np.arange(40), 7).astype(np.int32)
    first, again, other = (
        split_by_filament(filament, np.random.default_rng(s)) for s in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
