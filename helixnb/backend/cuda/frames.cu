// Images turned into the filament frame, and frames moved across the filament.

// data[v, f, c]  = conj(X(k)) CTF(k) / noise   and   power[v, f, c] = CTF(k)^2 / noise
// at k = (sin psi u - cos psi v, cos psi u + sin psi v), u = c - k_max. X is
// interpolated from transforms of shape (images, size, size / 2 + 1) that were padded
// twofold; negative kx are read as conjugates from the half that is stored. Places
// where `whitening` is 0 are set to 0.
extern "C" __global__ void turn_frames(
    const float2* transforms, const int* image, const double* sines,
    const double* cosines, const double* contrast, const float* whitening, const float* table, Index steps,
    Index taps, Index size, Index k_max, double spacing, Index n_frames,
    float2* data, float* power)
{
    const Index n_columns = 2 * k_max + 1;
    const Index i = thread_number();
    if (i >= (k_max + 1) * n_frames * n_columns) return;
    const Index column = i % n_columns;
    const Index f = i / n_columns % n_frames;
    const Index v = i / n_columns / n_frames;
    const float weight = whitening[v * n_columns + column];
    data[i] = make_float2(0.0f, 0.0f);
    power[i] = 0.0f;
    if (weight == 0.0f) return;

    const double u = (double)(column - k_max);
    const double sine = sines[f], cosine = cosines[f];
    double kx = sine * u - cosine * v;
    double ky = cosine * u + sine * v;

    // Defocus varies with direction as cos 2(angle - azimuth), here without an angle.
    const double* c = contrast + 6 * (Index)image[f];
    const double scale2 = spacing * spacing;
    const double s2 = (kx * kx + ky * ky) * scale2;
    const double astigmatism = (kx * kx - ky * ky) * c[1] + 2 * kx * ky * c[2];
    const double bend = c[0] * s2 + astigmatism * scale2;
    const float ctf = wave(c[3] * bend - c[4] * s2 * s2 + c[5]).y;

    const bool conjugate = kx < 0;
    if (conjugate) {
        kx = -kx;
        ky = -ky;
    }
    const double px = 2 * kx, py = 2 * ky;
    const Index x0 = (Index)floor(px), y0 = (Index)floor(py);
    const float* wx = weights_at(table, steps, taps, px - x0);
    const float* wy = weights_at(table, steps, taps, py - y0);
    const Index width = size / 2 + 1;
    const float2* source = transforms + (Index)image[f] * size * width;
    float real = 0.0f, imaginary = 0.0f;
    for (Index j = 0; j < taps; ++j) {
        const Index y = y0 + j - (taps / 2 - 1);
        const Index row = y >= 0 ? y : y + size;
        const Index mirror = y <= 0 ? -y : size - y;
        for (Index k = 0; k < taps; ++k) {
            const Index x = x0 + k - (taps / 2 - 1);
            const float w = wx[k] * wy[j];
            const float2 value = x >= 0 ? source[row * width + x]
                                        : source[mirror * width - x];
            real += w * value.x;
            imaginary += x >= 0 ? w * value.y : -w * value.y;
        }
    }
    if (conjugate) imaginary = -imaginary;
    const float scale = ctf * weight;
    data[i] = make_float2(real * scale, -imaginary * scale);
    power[i] = ctf * ctf * weight;
}

// Lines out[2 l + (0, 1), i] = real and imaginary part of
// data[v, frame[i], c] * phase[shift[i], c] for the columns c of some rows v. A tile is v,
// its first column, up to 16 columns, and the first l. A block moves a tile for 32 i:
// threads read along the columns and write along i, both of which lie side by side.
extern "C" __global__ void shift_frames(
    const float2* data, const Index* frame, const float2* phase, const int* shift,
    const Index* tiles, Index n_frames, Index n_columns, Index n, float* out)
{
    __shared__ float2 moved[16][33];
    const int blocks = (int)((n + 31) / 32);
    const Index* tile = tiles + 4 * (Index)(blockIdx.x / blocks);
    const Index first = 32 * (Index)(blockIdx.x % blocks);
    const Index v = tile[0], begin = tile[1], line = tile[3];
    const int count = (int)tile[2], items = n - first < 32 ? (int)(n - first) : 32;
    for (int k = threadIdx.x; k < 16 * items; k += blockDim.x) {
        const int c = k % 16, j = k / 16;
        if (c >= count) continue;
        const Index column = begin + c, item = first + j;
        moved[c][j] = times(
            data[(v * n_frames + frame[item]) * n_columns + column],
            phase[(Index)shift[item] * n_columns + column]);
    }
    __syncthreads();
    for (int k = threadIdx.x; k < 32 * count; k += blockDim.x) {
        const int c = k / 32, j = k % 32;
        if (j >= items) continue;
        float* target = out + 2 * (line + c) * n + first + j;
        target[0] = moved[c][j].x;
        target[n] = moved[c][j].y;
    }
}
