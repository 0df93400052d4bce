// Random phases by the place of a component in the half-complex transform of a map.

// SplitMix64 of the place in the sequence of a seed.
__device__ inline unsigned long long random_bits(Index seed, Index place)
{
    unsigned long long z = seed + (place + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

// out = |spectrum| exp(i phase) where the radius rounds to `start` or more, that is
// beyond start^2 - start, and spectrum elsewhere. Of two conjugates that are both stored,
// as in the first plane along x and in the last one of an even box, the phase of the
// first counts; a component that is its own conjugate stays real.
extern "C" __global__ void random_phases(
    const float2* spectrum, Index box, Index start, Index seed, float2* out)
{
    const Index i = thread_number(), width = box / 2 + 1;
    if (i >= box * box * width) return;
    const Index x = i % width, y = i / width % box, z = i / width / box;
    const Index ky = 2 * y > box ? box - y : y, kz = 2 * z > box ? box - z : z;
    const float2 value = spectrum[i];
    if (x * x + ky * ky + kz * kz <= start * start - start) {
        out[i] = value;
        return;
    }
    Index mate = i;
    if (x == 0 || 2 * x == box)
        mate = ((box - z) % box * box + (box - y) % box) * width + x;
    const unsigned long long bits = random_bits(seed, mate < i ? mate : i);
    double turns = (double)(bits >> 40) / 16777216.0;
    if (mate < i) turns = -turns;
    if (mate == i && (x == 0 || 2 * x == box)) turns = 0.5 * (double)(bits >> 63);
    const float2 turned = wave(6.283185307179586476925 * turns);
    const float size = sqrtf(value.x * value.x + value.y * value.y);
    out[i] = make_float2(size * turned.x, size * turned.y);
}
