// The products that scores are made of, as far as they are not those of large matrices.

// Real matrices of all rows of a reference at one tilt. `places` has, for each row, its
// first pair, its first value, where it goes among values with zeros, and the pairs and
// columns with zeros. Row v lies in `values` as (columns, pairs); out of it become
// (2, pairs, columns, 2) numbers, its columns in the middle of those with zeros:
//     f Re, -f Im  and  f Im, f Re,   f = 1 for row 0, 2 for others (their conjugates).
// Zeros are there before.
extern "C" __global__ void real_rows(
    const float2* values, const Index* places, Index n_rows, Index n, float* out)
{
    const Index i = thread_number();
    if (i >= n) return;
    const Index* starts = places + n_rows + 1;
    // The last row that begins at or before this value; empty rows begin with the next.
    Index v = 0, beyond = n_rows;
    while (beyond - v > 1) {
        const Index middle = (v + beyond) / 2;
        if (starts[middle] <= i)
            v = middle;
        else
            beyond = middle;
    }
    const Index pairs = places[v + 1] - places[v];
    const Index columns = (starts[v + 1] - starts[v]) / pairs, place = i - starts[v];
    const Index begin = places[2 * (n_rows + 1) + v];
    const Index all_pairs = places[3 * (n_rows + 1) + v];
    const Index all_columns = places[4 * (n_rows + 1) + v];
    const Index own = place / pairs, pair = place - own * pairs;
    const Index column = own + (all_columns - columns) / 2;
    const float factor = v == 0 ? 1.0f : 2.0f;
    const float real = factor * values[i].x, imaginary = factor * values[i].y;
    float* upper = out + 4 * begin + 2 * (pair * all_columns + column);
    float* lower = upper + 2 * all_pairs * all_columns;
    upper[0] = real;
    upper[1] = -imaginary;
    lower[0] = imaginary;
    lower[1] = real;
}

// out[s, m, cell] = sum over j = 0 ... n_m - 1 of phase[m][s, j] amplitudes[r, cell] with
// r = rows[start[m] + j] and n_m = start[m + 1] - start[m]: products of many small
// matrices, those of m after those of m - 1. The first half of all s is written as
// (n_orders, width / 2, n_cells), and then the second half. A thread has one cell and
// eight s, so that an amplitude is read once for eight sums; threads of a block have the
// same m and s, and read the same phases.
extern "C" __global__ void pool_orders(
    const float* amplitudes, const Index* start, const Index* rows, const float* phase,
    Index n_orders, Index tiles, Index width, Index n_cells, float* out)
{
    const Index per_row = (n_cells + blockDim.x - 1) / blockDim.x;
    const Index cell = blockIdx.x % per_row * blockDim.x + threadIdx.x;
    const Index which = blockIdx.x / per_row;
    const Index m = which / tiles, first = which % tiles * 8;
    if (cell >= n_cells) return;
    const int n = width - first < 8 ? (int)(width - first) : 8;
    float sum[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    const Index n_rows = start[m + 1] - start[m];
    const float* factors = phase + start[m] * width + first * n_rows;
    for (Index j = 0; j < n_rows; ++j) {
        const float amplitude = amplitudes[rows[start[m] + j] * n_cells + cell];
#pragma unroll
        for (int s = 0; s < 8; ++s)
            if (s < n) sum[s] += factors[s * n_rows + j] * amplitude;
    }
#pragma unroll
    for (int s = 0; s < 8; ++s)
        if (s < n) {
            const Index half = width / 2, at = first + s;
            const Index before = at < half ? m * half : (n_orders + m - 1) * half;
            out[(before + at) * n_cells + cell] = sum[s];
        }
}
