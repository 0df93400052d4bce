"""Compiled loops of the CPU backend.

Each runs in one thread and leaves the interpreter free, so that chunks of images are
worked on side by side. They are compiled at first use and cached on disk. Many small
matrix products go to the same BLAS as NumPy's, at half the cost of calls from Python.

Somebody waits for the compiler once. Plain loops over numbers, functions of `math` and
one layout of each array compile fastest; assigning a slice to a slice takes seconds,
for the text of the error that it might raise.
"""

from __future__ import annotations

import math

import numpy as np

# The BLAS that compiled products call; loaded here, where its threads can be limited.
import scipy.linalg.cython_blas  # noqa: F401
from numba import njit

inner = njit(  # type: ignore[call-overload]  # the last two are not in its stubs
    fastmath=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Compile a function that only compiled ones call; a way in from Python costs time."""


@inner
def sine(turns):  # type: ignore[no-untyped-def]
    """Sine of an angle in turns to 1e-7, by its series: a call would stay scalar."""
    r = turns - np.floor(turns + 0.5)
    if r > 0.25:
        r = 0.5 - r
    elif r < -0.25:
        r = -0.5 - r
    x = np.float32(2 * np.pi * r)
    s = x * x
    series = np.float32(-1 / 39916800)
    series = np.float32(1 / 362880) + s * series
    series = np.float32(-1 / 5040) + s * series
    series = np.float32(1 / 120) + s * series
    series = np.float32(-1 / 6) + s * series
    return x + x * s * series


@inner
def _waves(angle, waves):  # type: ignore[no-untyped-def]
    """Write exp(i m angle) for m = -m_max..m_max, by recurrence."""
    m_max = waves.shape[0] // 2
    step = complex(math.cos(angle), math.sin(angle))
    wave = complex(1.0, 0.0)
    waves[m_max] = wave
    for m in range(1, m_max + 1):
        wave *= step
        waves[m_max + m], waves[m_max - m] = wave, wave.conjugate()


@njit(nogil=True, fastmath=True, cache=True)
def gather(  # type: ignore[no-untyped-def]
    harmonics, oversampling, cyclic, tilt, k_max, table, signs, fan
):
    """Windowed sinc along Z, then along R, then the phase exp(i n beta).

    Columns u and -u have one radius, and phases exp(i n beta), (-1)^n exp(-i n beta).
    """
    n_z, n_r, n_m = harmonics.shape
    steps = table.shape[0] - 1
    taps = table.shape[1]
    plane = np.empty((n_r, n_m), np.complex64)
    line, waves = np.empty(n_m, np.complex64), np.empty(n_m, np.complex64)
    for v in range(k_max + 1):
        z = v * math.cos(tilt) * oversampling
        z0 = math.floor(z)
        wz = table[int((z - z0) * steps + 0.5)]
        lateral = -v * math.sin(tilt)
        reach = int(math.sqrt(k_max * k_max - v * v))
        outermost = int(math.hypot(reach, lateral) * oversampling) + taps // 2 + 1
        n_used = min(n_r, outermost)
        for r in range(n_used):
            for m in range(n_m):
                plane[r, m] = 0
        for j in range(taps):
            zj = z0 + j - (taps // 2 - 1)
            w = wz[j]
            if w == 0 or abs(zj) >= n_z:
                continue
            for r in range(n_used):
                source = harmonics[abs(zj), r]
                if zj >= 0:
                    for m in range(n_m):
                        plane[r, m] += w * source[m]
                else:
                    # F_n(R, -Z) = (-1)^n conj(F_{-n}(R, Z)).
                    for m in range(n_m):
                        plane[r, m] += w * signs[m] * source[n_m - 1 - m].conjugate()
        for u in range(reach + 1):
            radius = math.hypot(u, lateral) * oversampling
            r0 = math.floor(radius)
            wr = table[int((radius - r0) * steps + 0.5)]
            for m in range(n_m):
                line[m] = 0
            for i in range(taps):
                ri = r0 + i - (taps // 2 - 1)
                w = wr[i]
                if w == 0 or abs(ri) >= n_r:
                    continue
                source = plane[abs(ri)]
                if ri >= 0:
                    for m in range(n_m):
                        line[m] += w * source[m]
                else:
                    # F_n(-R, Z) = (-1)^n F_n(R, Z).
                    for m in range(n_m):
                        line[m] += w * signs[m] * source[m]
            _waves(math.atan2(lateral, u) * cyclic, waves)
            right, left = fan[v, k_max + u], fan[v, k_max - u]
            for m in range(n_m):
                left[m] = line[m] * signs[m] * waves[m].conjugate()
            # Last, for they are the same column where u is 0.
            for m in range(n_m):
                right[m] = line[m] * waves[m]


@njit(nogil=True, fastmath=True, cache=True)
def scatter(  # type: ignore[no-untyped-def]
    accumulator, fan, cyclic, tilt, table, signs
):
    """Transpose of `gather`: rows along R in turn, then along Z by order."""
    n_z, n_r, n_m = accumulator.shape
    k_max = n_z - 1
    steps = table.shape[0] - 1
    taps = table.shape[1]
    planes = np.zeros((k_max + 1, n_r, n_m), np.complex64)
    turned, waves = np.empty(n_m, np.complex64), np.empty(n_m, np.complex64)
    for v in range(k_max + 1):
        plane = planes[v]
        for u in range(int(math.sqrt(k_max * k_max - v * v)) + 1):
            lateral = -v * math.sin(tilt)
            radius = math.hypot(u, lateral)
            r0 = math.floor(radius)
            wr = table[int((radius - r0) * steps + 0.5)]
            _waves(-math.atan2(lateral, u) * cyclic, waves)
            right, left = fan[v, k_max + u], fan[v, k_max - u]
            for m in range(n_m):
                turned[m] = right[m] * waves[m]
            if u > 0:
                for m in range(n_m):
                    turned[m] += left[m] * signs[m] * waves[m].conjugate()
            for i in range(taps):
                ri = r0 + i - (taps // 2 - 1)
                w = wr[i]
                if w == 0 or abs(ri) >= n_r:
                    continue
                target = plane[abs(ri)]
                if ri >= 0:
                    for m in range(n_m):
                        target[m] += w * turned[m]
                else:
                    for m in range(n_m):
                        target[m] += w * signs[m] * turned[m]
    for r in range(n_r):
        for v in range(k_max + 1):
            z = v * math.cos(tilt)
            z0 = math.floor(z)
            wz = table[int((z - z0) * steps + 0.5)]
            source = planes[v, r]
            for j in range(taps):
                zj = z0 + j - (taps // 2 - 1)
                w = wz[j]
                if w == 0 or abs(zj) >= n_z:
                    continue
                target = accumulator[abs(zj), r]
                if zj >= 0:
                    for m in range(n_m):
                        target[m] += w * source[m]
                else:
                    for m in range(n_m):
                        target[m] += w * signs[m] * source[n_m - 1 - m].conjugate()


@njit(nogil=True, fastmath=True, cache=True)
def unfold(even, odd, offset, power, out):  # type: ignore[no-untyped-def]
    """out(phi) = even + odd, out(-phi) = even - odd, less the offset of the cell."""
    n_cells, n_axial, n_azimuth = out.shape
    half = n_azimuth // 2 + 1
    for i in range(n_cells):
        first, second = offset[i, :half], offset[i, half:]
        for s in range(n_axial):
            e, o = even[s, i], odd[s, i]
            # Loops are vectorised only where their bound is an array's length.
            front, back = out[i, s, :half], out[i, s, half:]
            for a in range(front.shape[0]):
                front[a] = power * (e[a] + o[a] - first[a])
            for a in range(back.shape[0]):
                b = np.uint64(back.shape[0] - a)
                back[a] = power * (e[b] - o[b] - second[a])


@njit(nogil=True, fastmath=True, cache=True)
def real_rows(values, of_pairs, of_values, out):  # type: ignore[no-untyped-def]
    """Write each row, (columns, pairs), as (2, pairs, columns, 2) real numbers."""
    for v in range(len(of_pairs) - 1):
        pairs = of_pairs[v + 1] - of_pairs[v]
        first, last = of_values[v], of_values[v + 1]
        if pairs == 0:
            continue
        columns = (last - first) // pairs
        factor = np.float32(2 if v else 1)
        for p in range(pairs):
            begin = 4 * first + 2 * columns * p
            upper = out[begin : begin + 2 * columns]
            begin += 2 * columns * pairs
            lower = out[begin : begin + 2 * columns]
            for column in range(columns):
                value = factor * values[first + column * pairs + p]
                upper[2 * column], upper[2 * column + 1] = value.real, -value.imag
                lower[2 * column], lower[2 * column + 1] = value.imag, value.real


@njit(nogil=True, fastmath=True, cache=True)
def shifted_products(  # type: ignore[no-untyped-def]
    matrices, of_pairs, of_values, data, frame, phase, shift, moved, parts, out
):
    """Multiply the matrix of each row with that row of all moved frames.

    A row is moved just before it is multiplied, while it fits into the cache; `parts`
    are `moved` as real and imaginary parts in turn.
    """
    k_max, n = len(data) - 1, len(frame)
    for v in range(len(data)):
        first, last = 4 * of_values[v], 4 * of_values[v + 1]
        if first == last:
            continue
        height = 2 * (of_pairs[v + 1] - of_pairs[v])
        columns = (last - first) // (2 * height)
        begin = k_max - columns // 2
        for i in range(n):
            source = data[v, frame[i], begin : begin + columns]
            turn = phase[shift[i], begin : begin + columns]
            to = moved[i * columns : (i + 1) * columns]
            for column in range(to.shape[0]):
                to[column] = source[column] * turn[column]
        matrix = matrices[first:last].reshape(height, 2 * columns)
        of_row = out[2 * of_pairs[v] : 2 * of_pairs[v + 1]]
        row = parts[: 2 * n * columns].reshape(n, 2 * columns)
        np.dot(matrix, row.T, of_row)


@njit(nogil=True, cache=True)
def pool_orders(amplitudes, start, rows, phase, out):  # type: ignore[no-untyped-def]
    """Multiply the rows of each order with its phases."""
    n_orders, width, n_cells = out.shape
    most = 0
    for m in range(n_orders):
        most = max(most, start[m + 1] - start[m])
    gathered = np.empty((most, n_cells), np.float32)
    for m in range(n_orders):
        first, n = start[m], start[m + 1] - start[m]
        if n == 0:
            for i in range(width):
                for cell in range(n_cells):
                    out[m, i, cell] = 0
            continue
        for i in range(n):
            source, to = amplitudes[rows[first + i]], gathered[i]
            for cell in range(n_cells):
                to[cell] = source[cell]
        factors = phase[first * width : (first + n) * width].reshape(width, n)
        np.dot(factors, gathered[:n], out[m])


@njit(nogil=True, fastmath=True, cache=True)
def weigh(tables, messages, state, height, mass):  # type: ignore[no-untyped-def]
    """Dot product of each table with its message, double-precision partial sums."""
    size = tables.shape[1]
    for i in range(len(tables)):
        mass[i] = 0.0
        if height[i] == 0:
            continue
        table = tables[i]
        message = messages[state[i]]
        total = 0.0
        for first in range(0, size, 64):
            part = np.float32(0)
            # Vectorised only where the bound is an array's length.
            some, weight = table[first : first + 64], message[first : first + 64]
            for j in range(some.shape[0]):
                part += some[j] * weight[j]
            total += part  # type: ignore[assignment]
        mass[i] = height[i] * total


@njit(nogil=True, fastmath=True, cache=True)
def shell_products(first, second, shell, last, out):  # type: ignore[no-untyped-def]
    """Add |a|^2, |b|^2, Re a conj(b), |a| |b| and its square to the sums of shells.

    Of the half-complex rows the columns from 1 to `last` stand for a mate as well.
    """
    rows, columns = first.shape
    n_shells = out.shape[1]
    for i in range(rows):
        for j in range(columns):
            k = shell[i, j]
            if k >= n_shells:
                continue
            a, b = first[i, j], second[i, j]
            twice = 2.0 if 0 < j <= last else 1.0
            aa = a.real * a.real + a.imag * a.imag
            bb = b.real * b.real + b.imag * b.imag
            out[0, k] += twice * aa
            out[1, k] += twice * bb
            out[2, k] += twice * (a.real * b.real + a.imag * b.imag)
            out[3, k] += twice * math.sqrt(aa * bb)
            out[4, k] += twice * aa * bb


@njit(nogil=True, fastmath=True, cache=True)
def sum_over_lags(table, turn, climb, weight, out):  # type: ignore[no-untyped-def]
    """Sum of a cubic B-spline surface over the lags of a grid of twists and rises.

    turn (lags, twists) and climb (lags, rises) are places in steps of the table, whose
    first row and column are one step before the origin; climbs ascend along a lag.
    """
    n_lags, n_rise = climb.shape
    n_twist = turn.shape[1]
    row = np.empty(table.shape[1], table.dtype)
    taps = np.empty((n_rise, 4), table.dtype)
    first = np.empty(n_rise, np.int64)
    for lag in range(n_lags):
        for j in range(n_rise):
            first[j] = math.floor(climb[lag, j])
            _spline_taps(climb[lag, j] - first[j], taps[j])
            for i in range(4):
                taps[j, i] *= weight[lag, j]
        low, high = first[0], first[n_rise - 1] + 4
        w = np.empty(4, table.dtype)
        for t in range(n_twist):
            top = math.floor(turn[lag, t])
            _spline_taps(turn[lag, t] - top, w)
            for c in range(low, high):
                row[c] = (
                    w[0] * table[top, c]
                    + w[1] * table[top + 1, c]
                    + w[2] * table[top + 2, c]
                    + w[3] * table[top + 3, c]
                )
            for j in range(n_rise):
                c = first[j]
                out[t, j] += (
                    taps[j, 0] * row[c]
                    + taps[j, 1] * row[c + 1]
                    + taps[j, 2] * row[c + 2]
                    + taps[j, 3] * row[c + 3]
                )


@njit(nogil=True, cache=True)
def _spline_taps(fraction, out):  # type: ignore[no-untyped-def]
    """Cubic B-spline at the grid points before, at, after and beyond a place."""
    rest = 1.0 - fraction
    out[0] = rest**3 / 6.0
    out[1] = (4.0 - 6.0 * fraction**2 + 3.0 * fraction**3) / 6.0
    out[2] = (4.0 - 6.0 * rest**2 + 3.0 * rest**3) / 6.0
    out[3] = fraction**3 / 6.0
