// What segments of a filament tell each other. Tables are (n_axial, n_azimuth) numbers,
// two for each place, one of each polarity; an azimuthal spectrum of one is
// (n_axial, n_orders). Its modes along the axis are those of a twisted torus: rows are
// multiplied with `demodulation` before they are transformed, by the sum itself, for
// there are few of them. twiddle[k] = exp(-2 pi i k / n_axial).

// filtered[slot] = prediction[place] times emission of its segment, over its mean; the
// sum goes to sums[place]. A slot below 0 needs no more than that. One block a table.
extern "C" __global__ void filter_tables(
    const float* prediction, const float* emission, const Index* place,
    const Index* slot, Index n, Index size, float* filtered, double* sums)
{
    __shared__ double share[128];
    const Index i = blockIdx.x / 2, polarity = blockIdx.x % 2;
    const int thread = threadIdx.x;
    const Index from = 2 * place[i] + polarity;
    const float* before = prediction + from * size;
    const float* own = emission + (2 * (place[i] % n) + polarity) * size;
    double sum = 0.0;
    for (Index j = thread; j < size; j += blockDim.x)
        sum += (double)(before[j] * own[j]);
    share[thread] = sum;
    __syncthreads();
    const double total = sum_of_block(share);
    if (thread == 0) sums[from] = total;
    if (slot[i] < 0) return;
    const float scale = (float)((double)size / total);
    float* target = filtered + (2 * slot[i] + polarity) * size;
    for (Index j = thread; j < size; j += blockDim.x)
        target[j] = before[j] * own[j] * scale;
}

// modes[t, q, o] = sum over s of spectrum[t, s, o] demodulation[s, o] twiddle[q s], times
// exp(i omega[q, o] shift[t] - (omega[q, o] axial_sd)^2 / 2 - (order[o] turn_sd[t])^2 / 2)
// with shift and turn_sd the two rows of of_table.
extern "C" __global__ void axial_modes(
    const float2* spectrum, const float2* demodulation, const float2* twiddle,
    const double* omega, const double* order, const double* of_table, double axial_sd,
    Index n, Index n_axial, Index n_orders, float2* modes)
{
    const Index i = thread_number();
    if (i >= n * n_axial * n_orders) return;
    const Index mode = i % (n_axial * n_orders), table = i / (n_axial * n_orders);
    const Index o = mode % n_orders, q = mode / n_orders;
    const float2* rows = spectrum + table * n_axial * n_orders + o;
    float2 sum = make_float2(0.0f, 0.0f);
    Index k = 0;
    for (Index s = 0; s < n_axial; ++s) {
        const float2 row = times(rows[s * n_orders], demodulation[s * n_orders + o]);
        const float2 turned = times(row, twiddle[k]);
        sum.x += turned.x;
        sum.y += turned.y;
        k += q;
        if (k >= n_axial) k -= n_axial;
    }
    const double along = omega[mode] * axial_sd;
    const double around = order[o] * of_table[n + table];
    const float gain = expf((float)(-0.5 * (along * along + around * around)));
    const float2 moved = times(sum, wave(omega[mode] * of_table[table]));
    modes[i] = make_float2(gain * moved.x, gain * moved.y);
}

// The way back, spectrum[t, s, o] = scale conj(demodulation[s, o]) times the sum over q of
// modes[t, q, o] conj(twiddle[q s]).
extern "C" __global__ void axial_rows(
    const float2* modes, const float2* demodulation, const float2* twiddle,
    double scale, Index n, Index n_axial, Index n_orders, float2* spectrum)
{
    const Index i = thread_number();
    if (i >= n * n_axial * n_orders) return;
    const Index row = i % (n_axial * n_orders), table = i / (n_axial * n_orders);
    const Index o = row % n_orders, s = row / n_orders;
    const float2* of_table = modes + table * n_axial * n_orders + o;
    float2 sum = make_float2(0.0f, 0.0f);
    Index k = 0;
    for (Index q = 0; q < n_axial; ++q) {
        const float2 back = make_float2(twiddle[k].x, -twiddle[k].y);
        const float2 turned = times(of_table[q * n_orders], back);
        sum.x += turned.x;
        sum.y += turned.y;
        k += s;
        if (k >= n_axial) k -= n_axial;
    }
    const float2 phase = make_float2(demodulation[row].x, -demodulation[row].y);
    const float2 out = times(sum, phase);
    spectrum[i] = make_float2((float)scale * out.x, (float)scale * out.y);
}

// prediction[place] = (1 - slip) tables + slip, tables not below 0. One block a table.
extern "C" __global__ void predict_tables(
    const float* tables, const Index* place, double slip, Index size, float* prediction)
{
    const Index i = blockIdx.x / 2, polarity = blockIdx.x % 2;
    const float* moved = tables + (2 * i + polarity) * size;
    float* target = prediction + (2 * place[i] + polarity) * size;
    const float lost = (float)slip, kept = 1.0f - lost;
    for (Index j = threadIdx.x; j < size; j += blockDim.x)
        target[j] = kept * larger(0.0f, moved[j]) + lost;
}
