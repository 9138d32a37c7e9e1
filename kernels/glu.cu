// Gated linear units (Shazeer, 2020): out = activation(gate) * up, each with its bias.
//
// CPU: `glu` of src/device/cpu/ops/glu.rs, where the bias is part of the preceding product.
// Bytes: 6 per value (4 read, 2 written); the bias stays in the caches. FLOPs: 4 to about 30 per value.
// Bound by memory.
// Launch: one thread per 8 values, 256 threads per block.
#include "common.cuh"

template <typename T, int KIND>
__device__ __forceinline__ void glu(const T *gate_up, const T *bias, T *out, int n, int d) {
    const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * VECTOR;
    if (at >= static_cast<int64_t>(n) * d) {
        return;
    }
    const int64_t row = at / d, column = at % d;
    float gate[VECTOR], up[VECTOR], gate_bias[VECTOR] = {}, up_bias[VECTOR] = {};
    load8(gate, gate_up + row * 2 * d + column);
    load8(up, gate_up + row * 2 * d + d + column);
    if (bias) {
        load8(gate_bias, bias + column);
        load8(up_bias, bias + d + column);
    }
#pragma unroll
    for (int j = 0; j < VECTOR; j++) gate[j] = activate<KIND>(gate[j] + gate_bias[j]) * (up[j] + up_bias[j]);
    store8(out + at, gate);
}

// gate_up: [n, 2 d], the gate first in each row; bias: [2 d] or null; out: [n, d].
#define GLU(NAME, T, KIND)                                                     \
    extern "C" __global__ void __launch_bounds__(256)                          \
        NAME(const T *gate_up, const T *bias, T *out, int n, int d) {          \
        glu<T, KIND>(gate_up, bias, out, n, d);                                \
    }
#define GLUS(KIND_NAME, KIND)                  \
    GLU(glu_##KIND_NAME##_bf16, bf16, KIND)    \
    GLU(glu_##KIND_NAME##_f16, f16, KIND)
EACH_ACTIVATION(GLUS)
