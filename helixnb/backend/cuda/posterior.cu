// From parts of the scores of cells to the weights of their poses.

// One block of threads a table: where in its table a thread is follows from small
// numbers, for a GPU divides large ones slowly.

// Scores over a whole turn from their even and odd part over half of it, h azimuths
// from 0: out[i, s, a] = power (even[s, i, a] + odd[s, i, a] - offset[i, a]), and beyond
// half a turn the same at n_azimuth - a with the odd part subtracted. highest[i] is the
// largest of table i, or not a number where one of its scores is none.
extern "C" __global__ void unfold_azimuths(
    const float* even, const float* odd, const float* offset, double power, Index n,
    Index n_axial, Index n_azimuth, float* out, float* highest)
{
    __shared__ float most[128];
    const Index i = blockIdx.x;
    const int thread = threadIdx.x;
    float high = -1.0f / 0.0f;
    const int width = (int)n_azimuth, half = width / 2 + 1;
    const int size = (int)n_axial * width;
    for (int k = thread; k < size; k += blockDim.x) {
        const int s = k / width, a = k - s * width;
        const bool beyond = a >= half;
        const Index from = (s * n + i) * half + (beyond ? width - a : a);
        const float wave = beyond ? even[from] - odd[from] : even[from] + odd[from];
        const float score = (float)power * (wave - offset[i * width + a]);
        out[i * size + k] = score;
        high = larger(high, score);
    }
    most[thread] = high;
    for (int others = blockDim.x / 2; others > 0; others /= 2) {
        __syncthreads();
        if (thread < others) most[thread] = larger(most[thread], most[thread + others]);
    }
    if (thread == 0) highest[i] = most[0];
}

// tables[i, j] becomes exp(tables[i, j] - highest[i]), where height[i] is not 0.
extern "C" __global__ void exponentiate(
    float* tables, const float* highest, const float* height, Index size)
{
    const Index i = blockIdx.x;
    if (height[i] == 0.0f) return;
    const float most = highest[i];
    float* table = tables + i * size;
    for (Index j = threadIdx.x; j < size; j += blockDim.x)
        table[j] = expf(table[j] - most);
}

// mass[i] = height[i] times the sum over j of tables[i, j] messages[state[i], j], of 128
// threads; a table is not read where its height is 0.
extern "C" __global__ void weigh_tables(
    const float* tables, const float* messages, const int* state, const float* height,
    Index size, double* mass)
{
    __shared__ double share[128];
    const Index i = blockIdx.x;
    const int thread = threadIdx.x;
    const float* table = tables + i * size;
    const float* message = messages + (Index)state[i] * size;
    double sum = 0.0;
    if (height[i] != 0.0f)
        for (Index j = thread; j < size; j += blockDim.x)
            sum += (double)(table[j] * message[j]);
    share[thread] = sum;
    __syncthreads();
    const double total = sum_of_block(share);
    if (thread == 0) mass[i] = height[i] * total;
}

// out[i, j] = tables[index[i], j] messages[state[i], j] share[i].
extern "C" __global__ void weighted_tables(
    const float* tables, const Index* index, const float* messages, const int* state,
    const float* share, Index size, float* out)
{
    const Index i = blockIdx.x;
    const float* table = tables + index[i] * size;
    const float* message = messages + (Index)state[i] * size;
    const float factor = share[i];
    for (Index j = threadIdx.x; j < size; j += blockDim.x)
        out[i * size + j] = table[j] * message[j] * factor;
}
