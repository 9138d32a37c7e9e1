// Residual additions with LayerNorm or RMSNorm, and norms of single heads.
//
// CPU: `norm`, `residual`, `residual_norm` and `norm_heads` of src/device/cpu/ops/norm.rs.
// Bytes: add_norm 2 d per row for each of x, y, sum and out that is not null (at most 8 d); norm_heads
// 4 head_dim per head. FLOPs: 8 per value. Bound by memory.
// Launch: one warp per row up to d = 1024 (8 rows per block), else one block per row up to d = 8192;
// norm_heads: head_dim / 8 lanes per head, 256 threads per block.
#include "common.cuh"

template <typename T, int THREADS>
__device__ __forceinline__ void add_norm(const T *x, const T *y, T *sum, T *out, NormParams norm, int n, int d) {
    RowPart<THREADS> part(d);
    const int64_t row = part.row();
    if (row >= n) {
        return;
    }
    part.each([&](float *v, int column) { load8(v, x + row * d + column); });
    if (y) {
        part.each([&](float *v, int column) {
            float more[VECTOR];
            load8(more, y + row * d + column);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) v[j] += more[j];
        });
    }
    if (sum) {
        part.each([&](float *v, int column) { store8(sum + row * d + column, v); });
    }
    if (out) {
        part.norm(norm);
        part.each([&](float *v, int column) { store8(out + row * d + column, v); });
    }
}

// sum = x + y, out = norm(x + y). x: [n, d]; y, sum, out: [n, d] or null; sum and out may be x.
#define ADD_NORM(NAME, T, THREADS)                                                         \
    extern "C" __global__ void __launch_bounds__(ROW_BLOCK)                                \
        NAME(const T *x, const T *y, T *sum, T *out, NormParams norm, int n, int d) {      \
        add_norm<T, THREADS>(x, y, sum, out, norm, n, d);                                  \
    }
ADD_NORM(add_norm_warp_bf16, bf16, WARP)
ADD_NORM(add_norm_warp_f16, f16, WARP)
ADD_NORM(add_norm_block_bf16, bf16, ROW_BLOCK)
ADD_NORM(add_norm_block_f16, f16, ROW_BLOCK)

template <typename T>
__device__ __forceinline__ void norm_heads(T *x, NormParams norm, int first, int heads, int head_dim, int n, int d) {
    const int lanes = head_dim / VECTOR;
    const int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64_t head = thread / lanes, row = head / heads;
    // Lanes without a head take part in the sums of their warp.
    const bool has_head = row < n;
    T *at = x + row * d + (first + head % heads) * head_dim + thread % lanes * VECTOR;
    float v[VECTOR] = {};
    if (has_head) {
        load8(v, at);
    }
    float mean = 0.0f, squares = 0.0f;
    if (norm.centered) {
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sum += v[j];
        mean = lanes_sum(sum, lanes) / head_dim;
    }
#pragma unroll
    for (int j = 0; j < VECTOR; j++) squares += (v[j] - mean) * (v[j] - mean);
    const float scale = rsqrtf(lanes_sum(squares, lanes) / head_dim + norm.eps);
    if (!has_head) {
        return;
    }
    float weight[VECTOR], bias[VECTOR] = {};
    load8(weight, norm.weight + thread % lanes * VECTOR);
    if (norm.bias) {
        load8(bias, norm.bias + thread % lanes * VECTOR);
    }
#pragma unroll
    for (int j = 0; j < VECTOR; j++) v[j] = (v[j] - mean) * scale * weight[j] + bias[j];
    store8(at, v);
}

// Normalises the heads first..first + heads of each row in place. x: [n, d]; head_dim: 8 to 256, a power of two.
#define NORM_HEADS(NAME, T)                                                                     \
    extern "C" __global__ void __launch_bounds__(ROW_BLOCK)                                     \
        NAME(T *x, NormParams norm, int first, int heads, int head_dim, int n, int d) {         \
        norm_heads<T>(x, norm, first, heads, head_dim, n, d);                                   \
    }
NORM_HEADS(norm_heads_bf16, bf16)
NORM_HEADS(norm_heads_f16, f16)
