// Sums over members of groups, and products with a sparse matrix. Members are added in
// their own order, whatever the device.

// first[g] = how many members, in their `order`, belong to groups before g. One thread a
// group, and one more.
extern "C" __global__ void group_starts(
    const int* group, const Index* order, Index n, Index n_groups, Index* first)
{
    const Index g = thread_number();
    if (g > n_groups) return;
    Index low = 0, high = n;
    while (low < high) {
        const Index middle = (low + high) / 2;
        if (group[order[middle]] < g)
            low = middle + 1;
        else
            high = middle;
    }
    first[g] = low;
}

// out[g, j] = sum of weight[i] values[i, j] over i = order[first[g]] ...
// order[first[g + 1] - 1]; rows of weight 0 are not read.
extern "C" __global__ void group_rows(
    const float* values, const float* weight, const Index* order, const Index* first,
    Index n_groups, Index length, float* out)
{
    const Index i = thread_number();
    if (i >= n_groups * length) return;
    const Index g = i / length, j = i % length;
    float sum = 0.0f;
    for (Index k = first[g]; k < first[g + 1]; ++k) {
        const float w = weight[order[k]];
        if (w != 0.0f) sum += w * values[order[k] * length + j];
    }
    out[i] = sum;
}

// The same for single values in double precision, without weights.
extern "C" __global__ void group_values(
    const double* values, const Index* order, const Index* first, Index n_groups,
    double* out)
{
    const Index g = thread_number();
    if (g >= n_groups) return;
    double sum = 0.0;
    for (Index k = first[g]; k < first[g + 1]; ++k) sum += values[order[k]];
    out[g] = sum;
}

// out[b, i] = sum over k = start[i] ... start[i + 1] - 1 of
// weight[k] values[b, column[k]].
extern "C" __global__ void sparse_product(
    const int* start, const int* column, const float* weight, const float2* values,
    Index n_batch, Index n_rows, Index n_columns, float2* out)
{
    const Index i = thread_number();
    if (i >= n_batch * n_rows) return;
    const Index row = i % n_rows;
    const float2* source = values + i / n_rows * n_columns;
    float2 sum = make_float2(0.0f, 0.0f);
    for (int k = start[row]; k < start[row + 1]; ++k) {
        sum.x += weight[k] * source[column[k]].x;
        sum.y += weight[k] * source[column[k]].y;
    }
    out[i] = sum;
}
