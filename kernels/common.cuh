// Shared by the kernels: types of activations, vectors of 16 bytes, sums over threads.
//
// Activations are bf16 or f16; sums are f32. A row has a multiple of 8 values and is aligned to 16 bytes,
// so that it can be read as vectors of 8.
//
// The two variants of a kernel are called NAME_bf16 and NAME_f16; the Rust side finds them by name.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

using bf16 = __nv_bfloat16;
using f16 = __half;

/// Values in a vector of 16 bytes.
constexpr int VECTOR = 8;
constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

template <typename T> __device__ __forceinline__ float2 unpack(uint32_t two);
template <> __device__ __forceinline__ float2 unpack<bf16>(uint32_t two) {
    // A bf16 is the upper half of an f32.
    return make_float2(__uint_as_float(two << 16), __uint_as_float(two & 0xffff0000u));
}
template <> __device__ __forceinline__ float2 unpack<f16>(uint32_t two) {
    return __half22float2(*reinterpret_cast<__half2 *>(&two));
}

template <typename T> __device__ __forceinline__ uint32_t pack(float low, float high);
template <> __device__ __forceinline__ uint32_t pack<bf16>(float low, float high) {
    __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&two);
}
template <> __device__ __forceinline__ uint32_t pack<f16>(float low, float high) {
    __half2 two = __floats2half2_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&two);
}

/// to: [8], f32; from: [8], aligned to 16 bytes.
template <typename T> __device__ __forceinline__ void load8(float *to, const T *from) {
    const uint4 words = *reinterpret_cast<const uint4 *>(from);
    const float2 a = unpack<T>(words.x), b = unpack<T>(words.y);
    const float2 c = unpack<T>(words.z), d = unpack<T>(words.w);
    to[0] = a.x, to[1] = a.y, to[2] = b.x, to[3] = b.y;
    to[4] = c.x, to[5] = c.y, to[6] = d.x, to[7] = d.y;
}

/// to: [8], f32; from: [8], aligned to 16 bytes.
__device__ __forceinline__ void load8(float *to, const float *from) {
    const float4 a = *reinterpret_cast<const float4 *>(from);
    const float4 b = *reinterpret_cast<const float4 *>(from + 4);
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w;
    to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}

/// to: [8], aligned to 16 bytes; from: [8], f32.
template <typename T> __device__ __forceinline__ void store8(T *to, const float *from) {
    *reinterpret_cast<uint4 *>(to) = make_uint4(pack<T>(from[0], from[1]), pack<T>(from[2], from[3]),
                                                pack<T>(from[4], from[5]), pack<T>(from[6], from[7]));
}

/// The sum over a power of two of consecutive lanes, returned to every lane.
__device__ __forceinline__ float lanes_sum(float value, int lanes) {
    for (int far = lanes / 2; far > 0; far /= 2) {
        value += __shfl_xor_sync(ALL_LANES, value, far);
    }
    return value;
}

/// The sum over the THREADS threads of a row (one warp or a whole block), returned to every thread.
template <int THREADS> __device__ __forceinline__ float row_sum(float value) {
    value = lanes_sum(value, WARP);
    if (THREADS == WARP) {
        return value;
    }
    __shared__ float warps[THREADS / WARP];
    // Other threads may still read the previous sum.
    __syncthreads();
    if (threadIdx.x % WARP == 0) {
        warps[threadIdx.x / WARP] = value;
    }
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < THREADS / WARP; i++) {
        sum += warps[i];
    }
    return sum;
}

/// A norm as the launcher passes it: `NormParams` of src/device/cuda/weights.rs.
struct NormParams {
    /// [d], f32; null: no norm.
    const float *weight;
    /// [d], f32, or null.
    const float *bias;
    float eps;
    /// Whether the mean is subtracted first: LayerNorm, else RMSNorm.
    int centered;
};

/// Maximum number of vectors of a row that one thread holds.
constexpr int HELD = 4;
/// Threads per block in kernels that work on rows.
constexpr int ROW_BLOCK = 256;

/// The part of a row of d <= THREADS * 32 values that one of its THREADS threads holds in registers:
/// the vectors `thread`, `thread + THREADS`, and so on.
template <int THREADS> struct RowPart {
    float values[HELD][VECTOR];
    int thread;
    int d;

    __device__ __forceinline__ RowPart(int d) : thread(threadIdx.x % THREADS), d(d) {}

    /// The row of this thread; a block has ROW_BLOCK / THREADS rows.
    static __device__ __forceinline__ int64_t row() {
        return static_cast<int64_t>(blockIdx.x) * (ROW_BLOCK / THREADS) + threadIdx.x / THREADS;
    }

    /// Calls f(values, column) for each vector of this thread.
    template <typename F> __device__ __forceinline__ void each(F f) {
#pragma unroll
        for (int i = 0; i < HELD; i++) {
            const int column = (thread + i * THREADS) * VECTOR;
            if (column < d) {
                f(values[i], column);
            }
        }
    }

    /// Normalises the row. The variance is computed from the differences to the mean in a second pass over
    /// registers, which avoids cancellation.
    __device__ __forceinline__ void norm(const NormParams &rule) {
        float mean = 0.0f;
        if (rule.centered) {
            float sum = 0.0f;
            each([&](float *v, int) {
#pragma unroll
                for (int j = 0; j < VECTOR; j++) sum += v[j];
            });
            mean = row_sum<THREADS>(sum) / d;
        }
        float squares = 0.0f;
        each([&](float *v, int) {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) squares += (v[j] - mean) * (v[j] - mean);
        });
        const float scale = rsqrtf(row_sum<THREADS>(squares) / d + rule.eps);
        each([&](float *v, int column) {
            float weight[VECTOR], bias[VECTOR] = {};
            load8(weight, rule.weight + column);
            if (rule.bias) {
                load8(bias, rule.bias + column);
            }
#pragma unroll
            for (int j = 0; j < VECTOR; j++) v[j] = (v[j] - mean) * scale * weight[j] + bias[j];
        });
    }
};

/// `Activation` of src/device/cpu/ops/activation.rs, in its order.
enum Activation { NONE, GELU, GELU_TANH, RELU, SILU, TANH };

// Expands OF(name in the name of a kernel, kind) for each activation.
#define EACH_ACTIVATION(OF) \
    OF(none, NONE) OF(gelu, GELU) OF(gelu_tanh, GELU_TANH) OF(relu, RELU) OF(silu, SILU) OF(tanh, TANH)

template <int KIND> __device__ __forceinline__ float activate(float x) {
    if (KIND == GELU) {
        return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    }
    if (KIND == GELU_TANH) {
        // x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
        return x / (1.0f + __expf(-1.5957691f * x * (1.0f + 0.044715f * x * x)));
    }
    if (KIND == RELU) {
        return fmaxf(x, 0.0f);
    }
    if (KIND == SILU) {
        return x / (1.0f + __expf(-x));
    }
    if (KIND == TANH) {
        return tanhf(x);
    }
    return x;
}
