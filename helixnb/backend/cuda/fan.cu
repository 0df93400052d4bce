// Between cylindrical harmonics F_n(R, Z) and slices at one tilt, and back. With d the
// tilt minus 90 degrees, row v and column u of a slice lie at
//     R = hypot(u, v sin d),  Z = v cos d,  beta = atan2(-v sin d, u).
// Negative Z and R, which the kernel reaches over the origin, follow from
//     F_n(R, -Z) = (-1)^n conj(F_{-n}(R, Z)),  F_n(-R, Z) = (-1)^n F_n(R, Z).
// Orders are n = cyclic (m - m_max); harmonics are laid out (Z, R, m).

// fan[v, c, m] = F_n(R, Z) exp(i n beta), interpolated along both; 0 outside the circle.
extern "C" __global__ void gather_fan(
    const float2* harmonics, const float* table, Index steps, Index taps, Index n_z,
    Index n_r, Index n_m, Index oversampling, Index cyclic, double tilt, Index k_max,
    float2* fan)
{
    const Index n_columns = 2 * k_max + 1;
    const Index i = thread_number();
    if (i >= (k_max + 1) * n_columns * n_m) return;
    const Index m = i % n_m;
    const Index u = i / n_m % n_columns - k_max;
    const Index v = i / n_m / n_columns;
    fan[i] = make_float2(0.0f, 0.0f);
    if (u * u + v * v > k_max * k_max) return;

    const Index order = (m - n_m / 2) * cyclic;
    const float sign = alternating(order);
    const double lateral = -v * sin(tilt);
    const double z = v * cos(tilt) * oversampling;
    const double radius = hypot((double)u, lateral) * oversampling;
    const Index z0 = (Index)floor(z), r0 = (Index)floor(radius);
    const float* wz = weights_at(table, steps, taps, z - z0);
    const float* wr = weights_at(table, steps, taps, radius - r0);
    float2 sum = make_float2(0.0f, 0.0f);
    for (Index k = 0; k < taps; ++k) {
        const Index rk = r0 + k - (taps / 2 - 1);
        const Index r = rk < 0 ? -rk : rk;
        if (r >= n_r) continue;
        const float w = rk < 0 ? sign * wr[k] : wr[k];
        for (Index j = 0; j < taps; ++j) {
            const Index zj = z0 + j - (taps / 2 - 1);
            const Index at = zj < 0 ? -zj : zj;
            if (at >= n_z) continue;
            const float2* row = harmonics + (at * n_r + r) * n_m;
            const float both = w * wz[j];
            if (zj >= 0) {
                sum.x += both * row[m].x;
                sum.y += both * row[m].y;
            } else {
                sum.x += both * sign * row[n_m - 1 - m].x;
                sum.y -= both * sign * row[n_m - 1 - m].y;
            }
        }
    }
    fan[i] = times(sum, wave(order * atan2(lateral, (double)u)));
}

// Transpose along R: planes[v, r, m] gathers what every column of row v gives to r.
extern "C" __global__ void scatter_rows(
    const float2* fan, const float* table, Index steps, Index taps, Index n_r,
    Index n_m, Index cyclic, double tilt, Index k_max, float2* planes)
{
    const Index n_columns = 2 * k_max + 1;
    const Index i = thread_number();
    if (i >= (k_max + 1) * n_m) return;
    const Index m = i % n_m, v = i / n_m;
    const Index order = (m - n_m / 2) * cyclic;
    const float sign = alternating(order);
    const double lateral = -v * sin(tilt);
    float2* plane = planes + v * n_r * n_m + m;
    for (Index column = 0; column < n_columns; ++column) {
        const Index u = column - k_max;
        if (u * u + v * v > k_max * k_max) continue;
        const double radius = hypot((double)u, lateral);
        const Index r0 = (Index)floor(radius);
        const float* wr = weights_at(table, steps, taps, radius - r0);
        const float2 turned = times(
            fan[(v * n_columns + column) * n_m + m],
            wave(-order * atan2(lateral, (double)u)));
        for (Index k = 0; k < taps; ++k) {
            const Index rk = r0 + k - (taps / 2 - 1);
            const Index r = rk < 0 ? -rk : rk;
            if (r >= n_r) continue;
            const float w = rk < 0 ? sign * wr[k] : wr[k];
            plane[r * n_m].x += w * turned.x;
            plane[r * n_m].y += w * turned.y;
        }
    }
}

// Transpose along Z: accumulator[z, r, m] += what every row v gives to z.
extern "C" __global__ void scatter_planes(
    const float2* planes, const float* table, Index steps, Index taps, Index n_z,
    Index n_r, Index n_m, Index cyclic, double tilt, Index k_max, float2* accumulator)
{
    const Index i = thread_number();
    if (i >= n_r * n_m) return;
    const Index m = i % n_m, r = i / n_m;
    const float sign = alternating((m - n_m / 2) * cyclic);
    for (Index v = 0; v <= k_max; ++v) {
        const double z = v * cos(tilt);
        const Index z0 = (Index)floor(z);
        const float* wz = weights_at(table, steps, taps, z - z0);
        const float2* row = planes + (v * n_r + r) * n_m;
        for (Index j = 0; j < taps; ++j) {
            const Index zj = z0 + j - (taps / 2 - 1);
            const Index at = zj < 0 ? -zj : zj;
            if (at >= n_z) continue;
            float2* target = accumulator + (at * n_r + r) * n_m + m;
            if (zj >= 0) {
                target->x += wz[j] * row[m].x;
                target->y += wz[j] * row[m].y;
            } else {
                target->x += wz[j] * sign * row[n_m - 1 - m].x;
                target->y -= wz[j] * sign * row[n_m - 1 - m].y;
            }
        }
    }
}
