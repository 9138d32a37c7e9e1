// The epilogue of a linear layer: out = activation(x + bias), for activations that cuBLASLt lacks.
//
// CPU: `epilogue` of src/device/cpu/ops/epilogue.rs.
// Bytes: 4 per value (2 read, 2 written); the bias stays in the caches. FLOPs: 2 to about 30 per value
// (gelu). Bound by memory.
// Launch: one thread per 8 values, 256 threads per block.
#include "common.cuh"

template <typename T, int KIND>
__device__ __forceinline__ void epilogue(const T *x, const T *bias, T *out, int n, int d) {
    const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * VECTOR;
    if (at >= static_cast<int64_t>(n) * d) {
        return;
    }
    float v[VECTOR], add[VECTOR] = {};
    load8(v, x + at);
    if (bias) {
        load8(add, bias + at % d);
    }
#pragma unroll
    for (int j = 0; j < VECTOR; j++) v[j] = activate<KIND>(v[j] + add[j]);
    store8(out + at, v);
}

// x, out: [n, d], which may be the same; bias: [d] or null.
#define ACTIVATION(NAME, T, KIND)                                              \
    extern "C" __global__ void __launch_bounds__(256)                          \
        NAME(const T *x, const T *bias, T *out, int n, int d) {                \
        epilogue<T, KIND>(x, bias, out, n, d);                                 \
    }
#define ACTIVATIONS(KIND_NAME, KIND)                         \
    ACTIVATION(activation_##KIND_NAME##_bf16, bf16, KIND)    \
    ACTIVATION(activation_##KIND_NAME##_f16, f16, KIND)
EACH_ACTIVATION(ACTIVATIONS)
