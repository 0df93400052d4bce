// Sums over shells of two transforms of maps, for Fourier shell correlations.

// sums[z, s, ...] over the components (z, y, x) of two rfftn of a cubic box whose radius
// rounds to s, mates counted: |F|^2, |G|^2, Re F conj(G), |F| |G| and (|F| |G|)^2, in
// double precision. One thread a plane and shell: along x the radius only grows, so a
// shell is one run of each row, found in whole numbers:
//     s - 1/2 < radius < s + 1/2   is   s^2 - s + 1 <= radius^2 <= s^2 + s.
extern "C" __global__ void shell_products(
    const float2* first, const float2* second, Index box, Index n_shells, double* sums)
{
    const Index i = thread_number();
    if (i >= box * n_shells) return;
    const Index s = i % n_shells, z = i / n_shells;
    const Index width = box / 2 + 1;
    const Index kz = 2 * z > box ? box - z : z;
    const Index most = s * s + s, least = s > 0 ? s * s - s + 1 : 0;
    double power_f = 0, power_g = 0, cross = 0, weight = 0, square = 0;
    for (Index y = 0; y < box; ++y) {
        const Index ky = 2 * y > box ? box - y : y;
        const Index rest = kz * kz + ky * ky;
        if (rest > most) continue;
        const Index from = least > rest ? (Index)ceil(sqrt((double)(least - rest))) : 0;
        Index to = (Index)floor(sqrt((double)(most - rest)));
        if (to >= width) to = width - 1;
        const Index row = (z * box + y) * width;
        for (Index x = from; x <= to; ++x) {
            const float2 f = first[row + x], g = second[row + x];
            // The first plane, and the last one of an even box, hold their own mates.
            const double count = x == 0 || 2 * x == box ? 1 : 2;
            const float ff = f.x * f.x + f.y * f.y;
            const float gg = g.x * g.x + g.y * g.y;
            const float both = sqrtf(ff) * sqrtf(gg);
            power_f += count * ff;
            power_g += count * gg;
            cross += count * (f.x * g.x + f.y * g.y);
            weight += count * both;
            square += count * (both * both);
        }
    }
    double* out = sums + 5 * i;
    out[0] = power_f;
    out[1] = power_g;
    out[2] = cross;
    out[3] = weight;
    out[4] = square;
}
