"""Compiled loops of the CPU backend.

Each runs in one thread and leaves the interpreter free, so that chunks of images are
worked on side by side. They are compiled at first use and cached on disk.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, fastmath=True, cache=True)
def turn_frames(  # type: ignore[no-untyped-def]
    transforms, image, psi, contrast, whitening, k_max, spacing, table, data, power
):
    """Gather with the image kernel; negative kx come from the conjugate half."""
    size = transforms.shape[1]
    padding = 2.0
    steps = table.shape[0] - 1
    taps = table.shape[1]
    for f in range(len(image)):
        source = transforms[image[f]]
        mean, half, azimuth, k2, k4, constant = contrast[image[f]]
        # cos 2(angle - azimuth) s^2 without the angle.
        cos_2a, sin_2a = half * np.cos(2 * azimuth), half * np.sin(2 * azimuth)
        sin_psi, cos_psi = np.sin(psi[f]), np.cos(psi[f])
        for v in range(k_max + 1):
            for column in range(2 * k_max + 1):
                weight = whitening[v, column]
                if weight == 0:
                    continue
                u = column - k_max
                kx = sin_psi * u - cos_psi * v
                ky = cos_psi * u + sin_psi * v
                scale2 = spacing * spacing
                s2 = (kx * kx + ky * ky) * scale2
                astigmatism = (kx * kx - ky * ky) * cos_2a + 2 * kx * ky * sin_2a
                bend = mean * s2 + astigmatism * scale2
                ctf = np.sin(k2 * bend - k4 * s2 * s2 + constant)
                conjugate = kx < 0
                if conjugate:
                    kx, ky = -kx, -ky
                x0 = int(np.floor(kx * padding))
                y0 = int(np.floor(ky * padding))
                wx = table[int((kx * padding - x0) * steps + 0.5)]
                wy = table[int((ky * padding - y0) * steps + 0.5)]
                re, im = np.float32(0), np.float32(0)
                for j in range(taps):
                    y = y0 + j - (taps // 2 - 1)
                    row = y if y >= 0 else y + size
                    mirror = -y if y <= 0 else size - y
                    for i in range(taps):
                        x = x0 + i - (taps // 2 - 1)
                        w = wx[i] * wy[j]
                        if x >= 0:
                            value = source[row, x]
                            im += w * value.imag
                        else:
                            value = source[mirror, -x]
                            im -= w * value.imag
                        re += w * value.real
                if conjugate:
                    im = -im
                scale = np.float32(ctf * weight)
                data[v, f, column] = complex(re * scale, -im * scale)
                power[v, f, column] = np.float32(ctf * ctf * weight)


@njit(nogil=True, fastmath=True, cache=True)
def _turn(values, step, m_max):  # type: ignore[no-untyped-def]
    """Multiply values[m] by step**(m - m_max), in place, by recurrence."""
    up = complex(1.0, 0.0)
    down = complex(1.0, 0.0)
    for m in range(1, m_max + 1):
        up *= step
        down *= np.conj(step)
        values[m_max + m] *= up
        values[m_max - m] *= down


@njit(nogil=True, fastmath=True, cache=True)
def gather(  # type: ignore[no-untyped-def]
    harmonics, oversampling, cyclic, tilt, k_max, table, fan
):
    """Windowed sinc along Z, then along R, then the phase exp(i n beta)."""
    n_z, n_r, n_m = harmonics.shape
    m_max = n_m // 2
    steps = table.shape[0] - 1
    taps = table.shape[1]
    for v in range(k_max + 1):
        z = v * np.cos(tilt) * oversampling
        z0 = int(np.floor(z))
        wz = table[int((z - z0) * steps + 0.5)]
        plane = np.zeros((n_r, n_m), np.complex64)
        for j in range(taps):
            zj = z0 + j - (taps // 2 - 1)
            w = wz[j]
            if w == 0 or abs(zj) >= n_z:
                continue
            for r in range(n_r):
                source = harmonics[abs(zj), r]
                if zj >= 0:
                    for m in range(n_m):
                        plane[r, m] += w * source[m]
                else:
                    # F_n(R, -Z) = (-1)^n conj(F_{-n}(R, Z)).
                    for m in range(n_m):
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        plane[r, m] += w * sign * np.conj(source[n_m - 1 - m])
        for column in range(2 * k_max + 1):
            u = column - k_max
            if u * u + v * v > k_max * k_max:
                continue
            lateral = -v * np.sin(tilt)
            radius = np.hypot(u, lateral) * oversampling
            r0 = int(np.floor(radius))
            wr = table[int((radius - r0) * steps + 0.5)]
            out = fan[v, column]
            for i in range(taps):
                ri = r0 + i - (taps // 2 - 1)
                w = wr[i]
                if w == 0 or abs(ri) >= n_r:
                    continue
                source = plane[abs(ri)]
                if ri >= 0:
                    for m in range(n_m):
                        out[m] += w * source[m]
                else:
                    # F_n(-R, Z) = (-1)^n F_n(R, Z).
                    for m in range(n_m):
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        out[m] += w * sign * source[m]
            beta = np.arctan2(lateral, u) * cyclic
            _turn(out, complex(np.cos(beta), np.sin(beta)), m_max)


@njit(nogil=True, fastmath=True, cache=True)
def scatter(accumulator, fan, cyclic, tilt, table):  # type: ignore[no-untyped-def]
    """Transpose of `_gather`: rows along R in parallel, then along Z by order."""
    n_z, n_r, n_m = accumulator.shape
    k_max = n_z - 1
    m_max = n_m // 2
    steps = table.shape[0] - 1
    taps = table.shape[1]
    planes = np.zeros((k_max + 1, n_r, n_m), np.complex64)
    for v in range(k_max + 1):
        plane = planes[v]
        turned = np.empty(n_m, np.complex64)
        for column in range(2 * k_max + 1):
            u = column - k_max
            if u * u + v * v > k_max * k_max:
                continue
            lateral = -v * np.sin(tilt)
            radius = np.hypot(u, lateral)
            r0 = int(np.floor(radius))
            wr = table[int((radius - r0) * steps + 0.5)]
            beta = -np.arctan2(lateral, u) * cyclic
            turned[:] = fan[v, column]
            _turn(turned, complex(np.cos(beta), np.sin(beta)), m_max)
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
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        target[m] += w * sign * turned[m]
    for r in range(n_r):
        for v in range(k_max + 1):
            z = v * np.cos(tilt)
            z0 = int(np.floor(z))
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
                        sign = 1 - 2 * (((m - m_max) * cyclic) & 1)
                        target[m] += w * sign * np.conj(source[n_m - 1 - m])


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
def shift(data, frame, phase, shift, out):  # type: ignore[no-untyped-def]
    """out[v, :, i] = data[v, frame[i]] * phase[shift[i]], inside the circle."""
    k_max = len(data) - 1
    for v in range(k_max + 1):
        reach = int(np.sqrt(k_max * k_max - v * v))
        for i in range(len(frame)):
            source = data[v, frame[i]]
            turn = phase[shift[i]]
            for column in range(k_max - reach, k_max + reach + 1):
                value = source[column] * turn[column]
                out[v, 2 * column, i] = value.real
                out[v, 2 * column + 1, i] = value.imag


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
            for j in range(first, min(first + 64, size)):
                part += table[j] * message[j]
            total += part  # type: ignore[assignment]
        mass[i] = height[i] * total


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
            first[j] = int(np.floor(climb[lag, j]))
            _spline_taps(climb[lag, j] - first[j], taps[j])
            for i in range(4):
                taps[j, i] *= weight[lag, j]
        low, high = first[0], first[n_rise - 1] + 4
        w = np.empty(4, table.dtype)
        for t in range(n_twist):
            top = int(np.floor(turn[lag, t]))
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
