// The last operations of an embedding model in one pass: the rows of each sequence are pooled, truncated
// to their first values (Matryoshka), normalised and cast.
//
// CPU: `pool` and `normalize` of src/device/cpu/ops/pooling.rs, with the truncation in between.
// Bytes: 2 dim per token for a mean, a weighted mean or a maximum; 2 dim per sequence for the first or the
// last row; plus the vectors. FLOPs: 2 dim per token. Bound by memory.
// Launch: one block of 256 threads per sequence. A thread holds one vector of 8 columns of every
// `groups`-th row, and the groups are added in shared memory: dim = 384 has 48 vectors and 5 groups.
// Beyond 2048 columns there is one group and a thread holds two vectors. A single long sequence is
// read by one block, so by one multiprocessor: the kernel is meant for batches.
#include "common.cuh"

/// `Pooling` of src/device/cpu/ops/pooling.rs, by the numbers of src/device/cuda/rows.rs.
enum Pooling { MEAN, WEIGHTED_MEAN, MAX, FIRST, LAST };

constexpr int THREADS = 256;
constexpr int TWO = 2;
/// A vector with a smaller norm is divided by this value, so that zeros stay zeros.
constexpr float NORM_MIN = 1e-12f;

__device__ __forceinline__ void store(float *to, float value) { *to = value; }
__device__ __forceinline__ void store(f16 *to, float value) { *to = __float2half_rn(value); }
__device__ __forceinline__ void store(bf16 *to, float value) { *to = __float2bfloat16_rn(value); }

/// The greater of two values, NaN if one of them is, as `max_rows` of the CPU.
__device__ __forceinline__ float max_or_nan(float a, float b) { return b > a || b != b ? b : a; }

template <typename T, typename Out>
__device__ __forceinline__ void tail(const T *hidden, const uint32_t *cu_seqlens, Out *out, int pooling,
                                     int normalize, int d, int dim) {
    __shared__ float sums[THREADS][VECTOR];
    const int vectors = (dim + VECTOR - 1) / VECTOR;
    const int groups = vectors < THREADS ? THREADS / vectors : 1;
    const int group = vectors < THREADS ? threadIdx.x / vectors : 0;
    const int vector = vectors < THREADS ? threadIdx.x % vectors : threadIdx.x;
    int64_t first = cu_seqlens[blockIdx.x], end = cu_seqlens[blockIdx.x + 1];
    if (pooling == FIRST) {
        end = min(end, first + 1);
    } else if (pooling == LAST) {
        first = max(first, end - 1);
    }
    const bool is_max = pooling == MAX;
    float held[TWO][VECTOR];
#pragma unroll
    for (int i = 0; i < TWO; i++) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) held[i][j] = is_max ? -INFINITY : 0.0f;
    }
    if (group < groups) {
        for (int64_t row = first + group; row < end; row += groups) {
            const float weight = pooling == WEIGHTED_MEAN ? row - first + 1 : 1;
#pragma unroll
            for (int i = 0; i < TWO; i++) {
                const int at = vector + i * THREADS;
                if (at >= vectors) {
                    continue;
                }
                float v[VECTOR];
                load8(v, hidden + row * d + at * VECTOR);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) {
                    held[i][j] = is_max ? max_or_nan(held[i][j], v[j]) : held[i][j] + weight * v[j];
                }
            }
        }
    }
    if (groups > 1) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sums[threadIdx.x][j] = held[0][j];
        __syncthreads();
        if (group == 0) {
            for (int other = 1; other < groups; other++) {
#pragma unroll
                for (int j = 0; j < VECTOR; j++) {
                    const float more = sums[other * vectors + vector][j];
                    held[0][j] = is_max ? max_or_nan(held[0][j], more) : held[0][j] + more;
                }
            }
        }
    }
    // From here on the threads of the first group hold the columns, the others nothing.
    const float n = end - first;
    const float weights = pooling == WEIGHTED_MEAN ? n * (n + 1) / 2 : n;
    const float scale = is_max || end == first ? 1.0f : 1.0f / weights;
    float squares = 0.0f;
#pragma unroll
    for (int i = 0; i < TWO; i++) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const bool is_value = group == 0 && (vector + i * THREADS) * VECTOR + j < dim && end > first;
            held[i][j] = is_value ? held[i][j] * scale : 0.0f;
            squares += held[i][j] * held[i][j];
        }
    }
    float length = 1.0f;
    if (normalize) {
        length = 1.0f / fmaxf(sqrtf(row_sum<THREADS>(squares)), NORM_MIN);
    }
    if (group > 0) {
        return;
    }
#pragma unroll
    for (int i = 0; i < TWO; i++) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            const int column = (vector + i * THREADS) * VECTOR + j;
            if (column < dim) {
                store(out + static_cast<int64_t>(blockIdx.x) * dim + column, held[i][j] * length);
            }
        }
    }
}

// hidden: [tokens, d]; cu_seqlens: [n + 1]; out: [n, dim], dim <= d and dim <= 4096.
#define TAIL(NAME, T, OUT)                                                                               \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                \
        NAME(const T *hidden, const uint32_t *cu_seqlens, OUT *out, int pooling, int normalize, int d,   \
             int dim) {                                                                                  \
        tail<T, OUT>(hidden, cu_seqlens, out, pooling, normalize, d, dim);                               \
    }
TAIL(tail_f32_bf16, bf16, float)
TAIL(tail_f32_f16, f16, float)
TAIL(tail_f16_bf16, bf16, f16)
TAIL(tail_f16_f16, f16, f16)
TAIL(tail_bf16_bf16, bf16, bf16)
TAIL(tail_bf16_f16, f16, bf16)
