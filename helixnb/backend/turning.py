"""The compiled loop that turns images into the filament frame.

It gathers 4 x 4 complex numbers for every component of every frame. Compilers do not
find by themselves that those of a row are eight floats side by side; said in so many
words (`_weighted`), turning takes little more than half the time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from helixnb.backend.kernels import inner, sine

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_LOOSE = ("fast",)


@intrinsic
def _weighted(
    _typing: Any, parts: Any, starts: Any, table: Any, tx: Any, ty: Any
) -> Any:
    """Sum 4 rows of 4 complex numbers, weighted along both axes.

    Parameters
    ----------
    parts : array of float32, one-dimensional
        Real and imaginary parts in turn.
    starts : tuple of 4 uint64
        Where each row begins in `parts`.
    table : array of float32, shape (n, 4)
        Weights.
    tx, ty : uint64
        Their row for the numbers of a row, and for the rows.

    Returns
    -------
    tuple of float32
        Real and imaginary part.
    """
    result = types.UniTuple(types.float32, 2)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        def memory(position: int) -> Any:
            array = context.make_array(signature.args[position])
            return array(context, builder, values[position]).data

        def load(pointer: Any, start: Any, n: int) -> Any:
            kind = ir.VectorType(_FLOAT, n).as_pointer()
            there = builder.bitcast(builder.gep(pointer, [start]), kind)
            return builder.load(there, align=4)

        def chosen(vector: Any, *lanes: int) -> Any:
            mask = ir.Constant(ir.VectorType(_INT, len(lanes)), list(lanes))
            nothing = ir.Constant(vector.type, ir.Undefined)
            return builder.shuffle_vector(vector, nothing, mask)

        def times(a: Any, b: Any) -> Any:
            return builder.fmul(a, b, flags=_LOOSE)

        def plus(a: Any, b: Any) -> Any:
            return builder.fadd(a, b, flags=_LOOSE)

        own, weights = memory(0), memory(2)
        four = ir.Constant(values[3].type, 4)
        across, down = (load(weights, builder.mul(row, four), 4) for row in values[3:5])
        first, second, third, fourth = (
            times(
                load(own, builder.extract_value(values[1], row), 8),
                chosen(down, *[row] * 8),
            )
            for row in range(4)
        )
        eight = plus(plus(first, second), plus(third, fourth))
        eight = times(eight, chosen(across, 0, 0, 1, 1, 2, 2, 3, 3))
        pairs = plus(chosen(eight, 0, 1, 2, 3), chosen(eight, 4, 5, 6, 7))
        both = plus(chosen(pairs, 0, 1), chosen(pairs, 2, 3))
        found = [builder.extract_element(both, _INT(part)) for part in (0, 1)]
        return context.make_tuple(builder, signature.return_type, found)

    return result(parts, starts, table, tx, ty), generate


@njit(nogil=True, fastmath=True, cache=True)
def turn_frames(  # type: ignore[no-untyped-def]
    transforms, parts, image, psi, contrast, whitening, k_max, spacing, table, out
):
    """Gather with the image kernel, whose width is 4; out is (data, power).

    `parts` are the transforms as real and imaginary parts in turn, one line for each
    image. Negative kx come from the conjugate half.
    """
    data, power = out
    steps = table.shape[0] - 1
    shape = transforms.shape[1], np.uint64(2 * transforms.shape[2])
    scale2 = spacing * spacing
    factor = np.empty(2 * k_max + 1, np.float32)
    for f in range(len(image)):
        source = np.uint64(image[f])
        own = parts[source]
        # Astigmatism without the angle; phases in turns.
        mean, cos_2a, sin_2a, k2, k4, constant = contrast[source]
        first = k2 * scale2 / (2 * np.pi)
        second = k4 * scale2 * scale2 / (2 * np.pi)
        offset = constant / (2 * np.pi)
        sin_psi, cos_psi = math.sin(psi[f]), math.cos(psi[f])
        for v in range(k_max + 1):
            weight, energy = whitening[v], power[v, f]
            for column in range(factor.shape[0]):
                u = column - k_max
                kx = sin_psi * u - cos_psi * v
                ky = cos_psi * u + sin_psi * v
                s2 = kx * kx + ky * ky
                bend = mean * s2 + (kx * kx - ky * ky) * cos_2a + 2 * kx * ky * sin_2a
                ctf = sine(first * bend - second * s2 * s2 + offset)
                factor[column] = ctf * weight[column]
                energy[column] = ctf * ctf * weight[column]
            frame = data[v, f]
            reach = int(math.sqrt(k_max * k_max - v * v))
            for column in range(k_max - reach, k_max + reach + 1):
                u = column - k_max
                kx = 2.0 * (sin_psi * u - cos_psi * v)
                ky = 2.0 * (cos_psi * u + sin_psi * v)
                sign = np.float32(-1.0)
                if kx < 0:
                    kx, ky, sign = -kx, -ky, np.float32(1.0)
                x, y = math.floor(kx), math.floor(ky)
                tx = np.uint64((kx - x) * steps + 0.5)
                ty = np.uint64((ky - y) * steps + 0.5)
                if x > 0:
                    re, im = _inside(own, shape, x - 1, y - 1, table, tx, ty)
                else:
                    re, im = _at_edge(transforms[source], x - 1, y - 1, table, tx, ty)
                frame[column] = complex(re, sign * im) * factor[column]


@inner
def _inside(own, shape, x, y, table, tx, ty):  # type: ignore[no-untyped-def]
    """Weighted sum of 4 x 4 components of one image, none of them conjugate."""
    height, width = shape
    column = np.uint64(2 * x)
    starts = (
        np.uint64(y if y >= 0 else y + height) * width + column,
        np.uint64(y + 1 if y >= -1 else y + 1 + height) * width + column,
        np.uint64(y + 2 if y >= -2 else y + 2 + height) * width + column,
        np.uint64(y + 3 if y >= -3 else y + 3 + height) * width + column,
    )
    return _weighted(own, starts, table, tx, ty)  # type: ignore[call-arg]


@inner
def _at_edge(source, x, y, table, tx, ty):  # type: ignore[no-untyped-def]
    """Weighted sum of 4 x 4 components about kx = 0."""
    size = source.shape[0]
    re, im = np.float32(0), np.float32(0)
    for j in range(y, y + 4):
        row = j if j >= 0 else j + size
        mirror = -j if j <= 0 else size - j
        for i in range(x, x + 4):
            w = table[tx, i - x] * table[ty, j - y]
            if i >= 0:
                value = source[row, i]
                im += w * value.imag
            else:
                value = source[mirror, -i]
                im -= w * value.imag
            re += w * value.real
    return re, im
