// What all kernels share. Every kernel is one thread an output value, or one block a
// value where it is a long sum; no two threads add to one place, so results do not
// depend on the order in which threads run. Data are float, long sums double. Scalars
// come as long long and double, which is what Python's numbers arrive as.

typedef long long Index;

// Number of this thread in a launch of one-dimensional blocks.
__device__ inline Index thread_number()
{
    return (Index)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ inline float2 times(float2 a, float2 b)
{
    return make_float2(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// exp(i angle) of an angle of many turns: reduced in double precision, then in single.
__device__ inline float2 wave(double angle)
{
    const double turn = 6.283185307179586476925;
    float rest = (float)(angle - turn * rint(angle / turn));
    return make_float2(cosf(rest), sinf(rest));
}

// (-1)^n for an order of either sign.
__device__ inline float alternating(Index n)
{
    return (n & 1) ? -1.0f : 1.0f;
}

// Row of an interpolation table (steps + 1 rows) for a place between two samples.
__device__ inline const float* weights_at(
    const float* table, Index steps, Index taps, double fraction)
{
    return table + (Index)(fraction * steps + 0.5) * taps;
}

// The larger of two numbers; not a number if one of them is none.
__device__ inline float larger(float a, float b)
{
    return b > a || b != b ? b : a;
}

// Sum of what 128 threads have put into `share`, in double precision and known to all:
// eight of them add sixteen shares each, and all add those.
__device__ inline double sum_of_block(double* share)
{
    const int thread = threadIdx.x;
    double sum = 0.0;
    if (thread < 8)
        for (int k = 0; k < 16; ++k) sum += share[16 * thread + k];
    __syncthreads();
    if (thread < 8) share[thread] = sum;
    __syncthreads();
    sum = share[0];
    for (int k = 1; k < 8; ++k) sum += share[k];
    return sum;
}
