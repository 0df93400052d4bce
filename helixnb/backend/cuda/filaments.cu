// What segments of a filament tell each other, in the modes of their tables.

// out[t, a, o] = spectrum[t, a, o] exp(i omega[a, o] shift[t]
//     - (omega[a, o] axial_sd)^2 / 2 - (order[o] turn_sd[t])^2 / 2)
// with shift and turn_sd the two rows of of_table.
extern "C" __global__ void move_and_blur(
    const float2* spectrum, const double* omega, const double* order,
    const double* of_table, double axial_sd, Index n, Index n_axial, Index n_orders,
    float2* out)
{
    const Index i = thread_number();
    if (i >= n * n_axial * n_orders) return;
    const Index mode = i % (n_axial * n_orders), table = i / (n_axial * n_orders);
    const double along = omega[mode] * axial_sd;
    const double around = order[mode % n_orders] * of_table[n + table];
    const float gain = expf((float)(-0.5 * (along * along + around * around)));
    const float2 turned = times(spectrum[i], wave(omega[mode] * of_table[table]));
    out[i] = make_float2(gain * turned.x, gain * turned.y);
}
