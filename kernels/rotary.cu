// Rotary position embeddings (Su et al., 2021): pair i of a head, the values i and i + pairs, is rotated
// by the angle of its position.
//
// CPU: `rotary` of src/device/cpu/ops/rotary.rs.
// Bytes: 4 per rotated value; cosines and sines, 8 per pair, are read once per head and stay in the
// caches. FLOPs: 3 per value. Bound by memory.
// Launch: one thread per 8 pairs of a head, 256 threads per block.
#include "common.cuh"

template <typename T>
__device__ __forceinline__ void rotary(T *x, const float *cos_sin, const uint32_t *position_ids, int heads, int head_dim,
                                       int pairs, int n, int d) {
    const int threads = pairs / VECTOR;
    const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64_t head = thread / threads, row = head / heads;
    if (row >= n) {
        return;
    }
    const int pair = thread % threads * VECTOR;
    T *first = x + row * d + head % heads * head_dim + pair;
    const float *angles = cos_sin + static_cast<int64_t>(position_ids[row]) * 2 * pairs + pair;
    float a[VECTOR], b[VECTOR], cos[VECTOR], sin[VECTOR];
    load8(a, first);
    load8(b, first + pairs);
    load8(cos, angles);
    load8(sin, angles + pairs);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        const float rotated = b[j] * cos[j] + a[j] * sin[j];
        a[j] = a[j] * cos[j] - b[j] * sin[j];
        b[j] = rotated;
    }
    store8(first, a);
    store8(first + pairs, b);
}

// Rotates the first heads of each row, in place. x: [n, d]; cos_sin: [positions, 2 pairs], the cosines of a
// position, then its sines; position_ids: [n]; pairs: a multiple of 8.
#define ROTARY(NAME, T)                                                                            \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        NAME(T *x, const float *cos_sin, const uint32_t *position_ids, int heads, int head_dim,    \
             int pairs, int n, int d) {                                                            \
        rotary<T>(x, cos_sin, position_ids, heads, head_dim, pairs, n, d);                         \
    }
ROTARY(rotary_bf16, bf16)
ROTARY(rotary_f16, f16)
