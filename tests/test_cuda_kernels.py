"""Every CUDA kernel against the CPU backend, on random input.

The sources run on the host here; where there is a GPU, on that as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import random_array

from helixnb.backend import get_backend, polar
from helixnb.backend.arrays import to_host
from helixnb.backend.cuda import rows as cuda_rows
from helixnb.backend.cuda.rows import BatchedRows
from helixnb.backend.orders import OrderSums
from helixnb.backend.phases import random_phases
from helixnb.core.coherence import CoherenceModel, filament_messages
from helixnb.core.halfplane import HalfPlane
from helixnb.core.images import normalise, padded_transforms

CPU = get_backend("cpu")


def _complex(rng: np.random.Generator, *shape: int) -> NDArray[np.complex64]:
    parts = rng.standard_normal((2, *shape))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def _both(device: Any, name: str, *arguments: Any) -> tuple[Any, Any]:
    """Results of a function of the backend on the device and on the CPU."""
    send = device.xp.asarray
    sent = [send(a) if isinstance(a, np.ndarray) else a for a in arguments]
    found, expected = getattr(device, name)(*sent), getattr(CPU, name)(*arguments)
    fetch = [to_host(f) for f in found] if isinstance(found, tuple) else to_host(found)
    return fetch, expected


def _close(found: Any, expected: Any, tolerance: float = 3e-6) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    scale = np.abs(expected).max(initial=0.0)
    assert np.abs(found - expected).max(initial=0.0) <= tolerance * scale


@pytest.mark.parametrize("box", [16, 21, 24])
@pytest.mark.parametrize("beyond", [0, 3])
def test_turned_frames(
    device: Any, rng: np.random.Generator, box: int, beyond: int
) -> None:
    """To the rim of the band, for angles on and off the axes, empty places included."""
    k_max = box // 2 - 1 - beyond
    stack = normalise(rng.standard_normal((3, box, box)).astype(np.float32))
    image = np.array([2, 0, 0, 1, 2, 1, 0], np.int32)
    psi = np.array([0.0, 90.0, 180.0, -90.0, 37.3, -141.0, 359.9])
    contrast = np.stack(
        [
            rng.uniform(5e3, 3e4, 3),
            rng.uniform(-900, 900, 3),
            rng.uniform(-900, 900, 3),
            np.full(3, np.pi * 0.0197),
            np.full(3, np.pi / 2 * 2.7e7 * 0.0197**3),
            np.full(3, 0.1),
        ],
        axis=1,
    )
    plane = HalfPlane(k_max)
    whitening = (plane.multiplicity > 0) * rng.random(plane.ring.shape)
    found, expected = _both(
        device,
        "filament_frames",
        padded_transforms(stack, k_max),
        image,
        psi,
        contrast,
        whitening.astype(np.float32),
        k_max,
        1 / (box * 2.0),
    )
    _close(found[0], expected[0])
    _close(found[1], expected[1])
    assert not found[1][:, :, 0][plane.multiplicity[:, 0] == 0].any()


def test_no_frames_at_all(device: Any) -> None:
    plane = HalfPlane(5)
    found, _ = _both(
        device,
        "filament_frames",
        np.zeros((1, 24, 13), np.complex64),
        np.zeros(0, np.int32),
        np.zeros(0),
        np.zeros((1, 6)),
        plane.multiplicity,
        5,
        0.01,
    )
    assert found[0].shape == (6, 0, 11)


@pytest.mark.parametrize("cyclic", [1, 2, 3])
@pytest.mark.parametrize("oversampling", [1, 2])
@pytest.mark.parametrize("tilt_deg", [0.0, 7.5, -33.0])
def test_slices_from_harmonics(
    device: Any,
    rng: np.random.Generator,
    cyclic: int,
    oversampling: int,
    tilt_deg: float,
) -> None:
    k_max, m_max = 7, 4
    # At tilt 0 the slices reach the rim of the harmonics, and beyond.
    harmonics = _complex(
        rng, oversampling * k_max + 1, oversampling * k_max, 2 * m_max + 1
    )
    found, expected = _both(
        device, "gather_fan", harmonics, oversampling, cyclic, tilt_deg, k_max
    )
    _close(found, expected)


@pytest.mark.parametrize("cyclic", [1, 2, 3])
@pytest.mark.parametrize("tilt_deg", [0.0, 7.5, -33.0])
def test_harmonics_from_slices(
    device: Any, rng: np.random.Generator, cyclic: int, tilt_deg: float
) -> None:
    k_max, m_max = 7, 4
    fan = _complex(rng, k_max + 1, 2 * k_max + 1, 2 * m_max + 1)
    start = _complex(rng, k_max + 1, k_max + 1, 2 * m_max + 1)
    expected = start.copy()
    CPU.scatter_fan(expected, fan, cyclic, tilt_deg)
    found = device.xp.asarray(start)
    device.scatter_fan(found, device.xp.asarray(fan), cyclic, tilt_deg)
    _close(to_host(found), expected)
    assert np.abs(expected - start).max() > 1


@pytest.mark.parametrize("n", [0, 1, 130])
@pytest.mark.parametrize("n_azimuth", [1, 2, 9, 12, 200])
def test_unfolded_azimuths(
    device: Any, rng: np.random.Generator, n: int, n_azimuth: int
) -> None:
    """Tables shorter and longer than a block has threads, and their maxima."""
    parts = rng.standard_normal((2, 3, n, n_azimuth // 2 + 1)).astype(np.float32)
    offset = rng.standard_normal((n, n_azimuth)).astype(np.float32)
    expected, highest = np.empty((n, 3, n_azimuth), np.float32), np.empty(n, np.float32)
    CPU.unfold_azimuths(*parts, offset, 2.5, expected, highest)
    xp = device.xp
    found, most = xp.empty(expected.shape, np.float32), xp.empty(n, np.float32)
    device.unfold_azimuths(*map(xp.asarray, (*parts, offset)), 2.5, found, most)
    _close(to_host(found), expected)
    _close(to_host(most), highest)
    np.testing.assert_array_equal(to_host(most), to_host(found).max((1, 2)))


def test_a_score_that_is_no_number_is_not_hidden(device: Any) -> None:
    """As a maximum of NumPy tells it."""
    even, odd = np.zeros((2, 3, 1, 101), np.float32)
    even[1, 0, 57] = np.nan
    sent = [device.xp.asarray(a) for a in (even, odd, np.zeros((1, 200), np.float32))]
    out = device.xp.empty((1, 3, 200), np.float32)
    most = device.xp.empty(1, np.float32)
    device.unfold_azimuths(*sent, 1.0, out, most)
    assert np.isnan(to_host(most)).all()


@pytest.mark.parametrize(
    "pairs", [(4, 0, 2, 4, 1), (0, 0, 3, 0, 0), (1, 5, 0, 5, 0), (7, 7, 6, 7, 1)]
)
@pytest.mark.parametrize(("n_cells", "free"), [(1, 0), (32, 0), (45, 9), (45, 999)])
def test_products_of_moved_rows(
    device: Any,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    pairs: tuple[int, ...],
    n_cells: int,
    free: int,
) -> None:
    """Rows without a pair, at either end too; of unlike length in one batch or more."""
    monkeypatch.setattr(cuda_rows, "FREE_ZEROS", free)
    plane = HalfPlane(4)
    columns = [plane.columns_of_row(v) for v in range(5)]
    sizes = np.multiply(pairs, [c.stop - c.start for c in columns])
    starts = np.cumsum([0, *pairs]), np.cumsum([0, *sizes])
    values, phase = _complex(rng, int(sizes.sum())), _complex(rng, 3, 9)
    data = _complex(rng, 5, 6, 9)
    frame = rng.integers(0, 6, n_cells)
    shift = rng.integers(0, 3, n_cells).astype(np.int32)
    results = []
    for backend in (device, CPU):
        send, rows = backend.xp.asarray, backend.arrange_rows(*starts)
        matrices = backend.real_rows(send(values), rows)
        sent = [send(a) for a in (data, frame, phase, shift)]
        found = to_host(backend.shifted_products(matrices, rows, *sent))
        assert found.shape == (rows.n_amplitudes, n_cells)
        results.append(found[rows.real] + 1j * found[rows.imaginary])
    _close(*results)
    moved = data[:, frame] * phase[shift]
    for v in range(5):
        shape = (columns[v].stop - columns[v].start, pairs[v])
        row = values[slice(*starts[1][v : v + 2])].reshape(shape)
        naive = (1 if v == 0 else 2) * moved[v, :, columns[v]] @ row
        found = results[0][slice(*starts[0][v : v + 2])].T
        np.testing.assert_allclose(found, naive, atol=1e-4)


def test_rows_of_like_size_make_few_batches() -> None:
    """Of a helix at 8 A, in place of 32 products; zeros cost little."""
    text = (
        "37 41 42 43 46 48 52 51 49 50 48 47 48 48 46 48 "
        "42 43 42 43 38 37 34 31 30 31 27 25 20 18 16 9"
    )
    pairs = np.array(text.split(), int)
    plane = HalfPlane(31)
    widths = [plane.columns_of_row(v) for v in range(plane.n_rows)]
    sizes = pairs * [c.stop - c.start for c in widths]
    starts = np.cumsum([0, *pairs]), np.cumsum([0, *sizes])
    rows = BatchedRows.arranged(*starts, np)
    assert len(rows.batches) <= 8
    assert starts[1][-1] < rows.n_values <= 1.2 * starts[1][-1]
    places = np.concatenate([rows.real, rows.imaginary])
    assert len(np.unique(places)) == 2 * pairs.sum()
    assert places.max() < rows.n_amplitudes


def _pooled(device: Any, amplitudes: Any, *orders: Any) -> tuple[Any, Any]:
    """Orders of amplitudes on the device and on the CPU."""
    send = device.xp.asarray
    sent = OrderSums(*map(send, orders[:3]), orders[3])
    found = [to_host(part) for part in device.pool_orders(send(amplitudes), sent)]
    expected = CPU.pool_orders(amplitudes, OrderSums(*orders))
    return np.concatenate(found, 1), np.concatenate(expected, 1)


@pytest.mark.parametrize("width", [2, 8, 14])
@pytest.mark.parametrize("n_cells", [1, 128, 131])
def test_pooled_orders(
    device: Any, rng: np.random.Generator, width: int, n_cells: int
) -> None:
    """Order 1 has no row; numbers of shifts and cells that fill blocks, or do not."""
    start, rows = np.array([0, 6, 6, 10, 22]), rng.permutation(22)
    amplitudes = rng.standard_normal((22, n_cells)).astype(np.float32)
    phase = rng.standard_normal(22 * width).astype(np.float32)
    found, expected = _pooled(device, amplitudes, start, rows, phase, width)
    _close(found, expected)
    assert not expected[1].any()
    factors = phase[6 * width : 10 * width].reshape(width, 4).astype(float)
    naive = factors @ amplitudes[rows[6:10]]
    np.testing.assert_allclose(expected[2], naive, atol=1e-5)


def test_waves_of_all_orders(device: Any, rng: np.random.Generator) -> None:
    """Of the second half of what was pooled, as scores ask for them."""
    start, rows = np.array([0, 6, 6, 10, 22]), rng.permutation(22)
    amplitudes = rng.standard_normal((22, 9)).astype(np.float32)
    phase = rng.standard_normal(22 * 6).astype(np.float32)
    waves = rng.standard_normal((4, 31)).astype(np.float32)
    found = []
    for backend in (device, CPU):
        send = backend.xp.asarray
        orders = OrderSums(*map(send, (start, rows, phase)), 6)
        part = backend.pool_orders(send(amplitudes), orders)[1]
        out = backend.xp.empty((3, 9, 31), np.float32)
        backend.transform_orders(part, send(waves), out)
        naive = np.einsum("msc,ma->sca", to_host(part).astype(float), waves)
        np.testing.assert_allclose(to_host(out), naive, atol=1e-4)
        found.append(to_host(out))
    _close(*found)


def test_no_pairs_at_all(device: Any) -> None:
    """A reference of nothing has orders of nothing."""
    none = np.zeros(0, np.int64)
    nothing = np.zeros((0, 5), np.float32)
    found, expected = _pooled(
        device, nothing, np.zeros(2, np.int64), none, nothing[:, 0], 6
    )
    assert found.shape == expected.shape == (1, 6, 5)
    assert not found.any()
    assert not expected.any()
    starts, send = np.zeros((2, 4), np.int64), device.xp.asarray
    rows = device.arrange_rows(*starts)
    matrices = device.real_rows(send(np.zeros(0, np.complex64)), rows)
    data, phase = np.ones((3, 2, 5), np.complex64), np.ones((1, 5), np.complex64)
    cells = np.zeros(4, np.int64), send(phase), np.zeros(4, np.int32)
    found = device.shifted_products(
        matrices, rows, send(data), send(cells[0]), cells[1], send(cells[2])
    )
    assert to_host(found).shape == (0, 4)


@pytest.mark.parametrize(
    ("n_axial", "n_azimuth", "cyclic"), [(4, 12, 1), (7, 45, 3), (1, 10, 1)]
)
def test_messages_along_filaments(
    device: Any, rng: np.random.Generator, n_axial: int, n_azimuth: int, cyclic: int
) -> None:
    """Filaments of one and of many segments, in any order, and a place not known."""
    starts = [0, 5, 6, 20, 23]
    shape = (starts[-1], 2, n_axial, n_azimuth)
    evidence = rng.random(shape).astype(np.float32) ** 6
    log_scale, prior = rng.normal(0, 2, (23, 2)), rng.random((4, 2))
    axial = rng.permutation(23) * 30.0 + rng.normal(0, 400)
    axial[8] = np.nan
    model = CoherenceModel(18.0, 77.0, cyclic, 1.8, 9.0)
    given = (axial, prior / prior.sum(1, keepdims=True), model, starts)
    expected, log_mass = filament_messages(evidence, log_scale, *given)
    send = device.xp.asarray
    found, found_mass = filament_messages(send(evidence), send(log_scale), *given)
    highest = expected.max((1, 2, 3), keepdims=True)
    assert np.abs(to_host(found) / highest - expected / highest).max() < 2e-5
    np.testing.assert_allclose(to_host(found_mass), log_mass, atol=2e-5)
    assert expected.std() > 0


def test_likelihoods(device: Any, rng: np.random.Generator) -> None:
    """State 2 has no table; of state 0 one is far below the other and stays as is."""
    logs = rng.uniform(-30, 80, (5, 3, 43)).astype(np.float32)
    logs[1] -= 300
    state = np.array([0, 0, 3, 1, 3], np.int32)
    highest = logs.max((1, 2))
    expected, found = logs.copy(), device.xp.asarray(logs)
    height, peak = CPU.exponentiate(expected, highest, state, 4)
    on_device = device.exponentiate(
        found, device.xp.asarray(highest), device.xp.asarray(state), 4
    )
    np.testing.assert_allclose(to_host(on_device[0]), height, rtol=1e-5)
    np.testing.assert_array_equal(to_host(on_device[1]), peak)
    assert peak[2] == -np.inf
    assert height[1] == 0
    np.testing.assert_allclose(to_host(found), expected, rtol=2e-5, atol=1e-37)


@pytest.mark.parametrize("shape", [(1, 1), (1, 127), (8, 16), (3, 43), (10, 311)])
def test_weighed_tables(
    device: Any, rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    tables = rng.random((6, *shape)).astype(np.float32)
    messages = rng.random((2, 2, *shape)).astype(np.float32)
    state = np.array([3, 0, 1, 3, 2, 0], np.int32)
    height = np.array([1, 0.5, 0, 1e-20, 0.1, 1], np.float32)
    tables[2] = np.nan  # of no height, and so not to be read
    _close(*_both(device, "weigh_tables", tables, messages, state, height))
    kept = np.array([5, 1, 1], np.int64)
    share = rng.uniform(1, 2, 3).astype(np.float32)
    found = _both(device, "weighted_tables", tables, kept, messages, state[kept], share)
    _close(*found)


def test_no_tables_at_all(device: Any) -> None:
    found, expected = _both(
        device,
        "weigh_tables",
        np.zeros((0, 2, 3), np.float32),
        np.ones((1, 2, 2, 3), np.float32),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
    )
    assert found.shape == expected.shape == (0,)


@pytest.mark.parametrize("weighted", [False, True])
def test_sums_by_group(device: Any, rng: np.random.Generator, weighted: bool) -> None:
    """Groups out of order, one of them empty, the last one too."""
    group = np.array([3, 0, 3, 1, 1, 3, 0], np.int64)
    weight = rng.random(7).astype(np.float32) if weighted else None
    rows = rng.standard_normal((7, 130)).astype(np.float32)
    if weight is not None:
        weight[4], rows[4] = 0, np.nan  # not to be read
    _close(*_both(device, "group_sums", rows, group, 6, weight), tolerance=1e-6)
    values = rng.standard_normal(7)
    _close(*_both(device, "group_sums", values, group, 6), tolerance=1e-14)


def test_sparse_product(device: Any, rng: np.random.Generator) -> None:
    matrix = random_array((50, 33), density=0.1, rng=rng, dtype=np.float32).tocsr()
    assert (np.diff(matrix.indptr) == 0).any()
    values = _complex(rng, 3, 33)
    parts = (matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32))
    sent = tuple(device.xp.asarray(part) for part in (*parts, matrix.data))
    found = device.sparse_product(sent, device.xp.asarray(values))
    _close(to_host(found), (matrix @ values.T).T.astype(np.complex64))


@pytest.mark.parametrize("box", [12, 15])
def test_products_over_shells(device: Any, rng: np.random.Generator, box: int) -> None:
    """Against sums over the whole transform, mates and corners included."""
    maps = rng.standard_normal((2, box, box, box)).astype(np.float32)
    whole = np.fft.fftn(maps.astype(float), axes=(1, 2, 3))
    k = np.fft.fftfreq(box, 1 / box)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    power = np.abs(whole) ** 2
    weight = np.sqrt(power[0] * power[1])
    terms = (*power, (whole[0] * whole[1].conj()).real, weight, weight**2)
    expected = [
        [term[np.rint(radius) == s].sum() for s in range(box // 2 + 1)]
        for term in terms
    ]
    spectra = np.fft.rfftn(maps, axes=(1, 2, 3)).astype(np.complex64)
    found = to_host(device.shell_products(*map(device.xp.asarray, spectra)))
    assert found.dtype == np.float64
    # A cross term is a small difference of large ones.
    scale = np.array(expected[0])
    for row, sums in zip(found, expected, strict=True):
        size = np.abs(sums) if sums is not expected[2] else scale
        assert (np.abs(row - sums) < 1e-5 * size).all()


@pytest.mark.parametrize("box", [12, 15])
@pytest.mark.parametrize("start", [1, 4, 30])
def test_random_phases(
    device: Any, rng: np.random.Generator, box: int, start: int
) -> None:
    """The same on all devices; from shell 30 on there is nothing in these boxes."""
    spectrum = np.fft.rfftn(rng.standard_normal((box, box, box))).astype(np.complex64)
    seed = int(rng.integers(2**63))
    expected = random_phases(spectrum, start, seed)
    found = random_phases(device.xp.asarray(spectrum), start, seed)
    _close(to_host(found), expected, 1e-6)
    kept = np.isclose(expected, spectrum, atol=1e-5).mean()
    assert kept == 1 if start == 30 else kept < 0.2


@pytest.mark.parametrize("box", [20, 27])
def test_polar_transform_and_its_adjoint(
    device: Any, rng: np.random.Generator, box: int
) -> None:
    """Against the plain sums, and against each other by the adjoint identity."""
    points = polar.PolarPoints(box, 2 * (box // 2 - 2), 2, 24)
    planes = _complex(rng, 35, box, box)  # more than are padded at a time
    found = to_host(polar.sample(device.xp.asarray(planes), points))
    y, x = (angle.astype(float) for angle in points.yx)
    place = np.arange(box) - box // 2
    along_y, along_x = (np.exp(-1j * np.outer(a, place)) for a in (y, x))
    expected = np.einsum("py,nyx,px->np", along_y, planes[:3], along_x, optimize=True)
    assert np.abs(found[:3] - expected).max() < 2e-5 * np.abs(expected).max()
    values = _complex(rng, 35, len(x))
    back = to_host(polar.spread(device.xp.asarray(values), points))
    left = np.vdot(values, found.astype(complex))
    right = np.vdot(back.astype(complex), planes)
    assert left == pytest.approx(right, rel=1e-4)
