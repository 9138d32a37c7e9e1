// FlashAttention over packed sequences: out = softmax(scale q k^T + bias) v over the keys that the mask
// allows, separately for each sequence, without padding.
//
// CPU: `attention` of src/device/cpu/ops/flash_attention.rs.
// FLOPs: 4 head_dim per head and per pair of a query and a key that it attends to, on the tensor cores
// (mma.sync m16n8k16). Bytes: 2 head_dim (2 heads + 2 heads_kv) per token, for its queries, keys, values
// and context; the keys and values of a head are read again from L2 for every 64 queries. Bound by the
// tensor cores from a few hundred tokens on, below that by memory.
//
// Method: online softmax in f32 over blocks of keys (Milakov and Gimelshein, 2018; Dao, 2023). The
// scores of a block stay in registers, in the layout that the product with the values reads.
// Launch: (tiles, heads) blocks. A tile is 64 queries of one sequence on 4 warps with 64 keys at a
// time, or up to 16 queries on one warp with 32 keys at a time, so that short sequences and the ends
// of long ones waste little work. Keys and values are copied by cp.async into two buffers: the next
// block of keys is loaded while this one is multiplied. In shared memory the 16-byte vector `c` of row
// `r` is stored at c ^ r (mod 8), so that no two rows that are read together share a bank.
#include "common.cuh"

/// The work of one block: an entry of `Tiles` in src/device/cuda/batch.rs. Entries of zeros pad a batch and
/// are skipped.
struct Tile {
    /// The rows of its sequence.
    int begin, end;
    /// The row of its first query.
    int query;
};

struct Shape {
    int heads, heads_kv;
    /// The factor of each inner product of a query and a key.
    float scale;
    /// Numbers of keys that a query attends to before and after itself.
    int before, after;
    /// The bias has 2 reach + 1 columns.
    int reach;
};

constexpr float LOG2_E = 1.44269504f;

// kernels/host/gpu.h implements them in C++.
#ifdef __CUDACC__
/// Shared memory of a block: two steps.
extern __shared__ __align__(128) unsigned char memory[];

/// PTX instructions without a C++ equivalent.
namespace ptx {

/// Copies 16 bytes from device memory to shared memory, or zeros unless `there`.
__device__ __forceinline__ void copy16(void *to, const void *from, bool there) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(there ? 16 : 0));
}

/// Ends a group of copies.
__device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;"); }

/// Waits until at most LEFT groups are incomplete.
template <int LEFT> __device__ __forceinline__ void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(LEFT)); }

/// Loads four matrices of 8 x 8: lane i has the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], const void *row) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at));
}

/// Like load_matrices, with each matrix transposed.
__device__ __forceinline__ void load_transposed(uint32_t (&to)[4], const void *row) {
    const uint32_t at = static_cast<uint32_t>(__cvta_generic_to_shared(row));
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at));
}

/// c += a b. a: [16, 16]; b: [16, 8]; c: [16, 8], f32.
template <typename T>
__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ __forceinline__ void multiply<bf16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <>
__device__ __forceinline__ void multiply<f16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
                 "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

} // namespace ptx
#endif

/// ROWS rows of keys or of values of one head in shared memory: [ROWS, HEAD_DIM], swizzled.
template <typename T, int ROWS, int HEAD_DIM> struct Block {
    static constexpr int VECTORS = HEAD_DIM / VECTOR;

    T data[ROWS * HEAD_DIM];

    /// Vector `c` of row `r`. Four rows of 16 values, or two of 32, share the 128 bytes that the banks span.
    __device__ __forceinline__ T *at(int r, int c) {
        constexpr int TURNS = VECTORS < 8 ? VECTORS : 8;
        const int turn = r * TURNS / 8 & (TURNS - 1);
        return data + (r * VECTORS + (c ^ turn)) * VECTOR;
    }

    /// Starts to copy the rows first..end of one head; rows from `end` on become zeros.
    __device__ __forceinline__ void fetch(const T *from, int64_t stride, int first, int end) {
        for (int i = threadIdx.x; i < ROWS * VECTORS; i += blockDim.x) {
            const int r = i / VECTORS, c = i % VECTORS;
            const int row = min(first + r, end - 1);
            ptx::copy16(at(r, c), from + row * stride + c * VECTOR, first + r < end);
        }
    }
};

/// Keys and values of one step.
template <typename T, int KEYS, int HEAD_DIM> struct Step {
    Block<T, KEYS, HEAD_DIM> keys, values;
};

/// Attention with WARPS warps of 16 queries each, KEYS keys at a time.
///
/// Of a product of 16 x 8, lane i holds columns 2 (i % 4) and 2 (i % 4) + 1 of rows i / 4 and i / 4 + 8:
/// `row` is 0 for the former row and 1 for the latter.
template <typename T, int HEAD_DIM, int WARPS, int KEYS>
__device__ __forceinline__ void attention(const T *qkv, const float *bias, const Tile *tiles, T *out, Shape shape) {
    constexpr int DEPTH = HEAD_DIM / 16, COLUMNS = HEAD_DIM / 8, KEY_COLUMNS = KEYS / 8;
    auto *steps = reinterpret_cast<Step<T, KEYS, HEAD_DIM> *>(memory);

    const Tile tile = tiles[blockIdx.x];
    if (tile.begin == tile.end) {
        return;
    }
    const int head = blockIdx.y, head_kv = head / (shape.heads / shape.heads_kv);
    const int lane = threadIdx.x % WARP, group = lane / 4, pair = lane % 4 * 2;
    const int64_t stride = static_cast<int64_t>(shape.heads + 2 * shape.heads_kv) * HEAD_DIM;
    const T *keys = qkv + (shape.heads + head_kv) * HEAD_DIM;
    const T *values = keys + shape.heads_kv * HEAD_DIM;
    // The rows of this warp's queries; those from `end` on do not exist.
    const int query = tile.query + threadIdx.x / WARP * 16;
    const int last = min(tile.query + WARPS * 16, tile.end) - 1;
    const int first_key = max(tile.begin, tile.query - shape.before);
    const int end_key = min(tile.end, last + shape.after + 1);

    uint32_t q[DEPTH][4];
#pragma unroll
    for (int i = 0; i < DEPTH; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const int row = query + group + j % 2 * 8, column = i * 16 + pair + j / 2 * 8;
            const T *at = qkv + row * stride + head * HEAD_DIM + column;
            q[i][j] = row < tile.end ? *reinterpret_cast<const uint32_t *>(at) : 0;
        }
    }

    float context[COLUMNS][4] = {};
    float greatest[2] = {-INFINITY, -INFINITY}, sum[2] = {};
    const float scale = shape.scale * LOG2_E;

    steps[0].keys.fetch(keys, stride, first_key, end_key);
    steps[0].values.fetch(values, stride, first_key, end_key);
    ptx::commit();
    for (int key = first_key, at = 0; key < end_key; key += KEYS, at ^= 1) {
        if (key + KEYS < end_key) {
            steps[at ^ 1].keys.fetch(keys, stride, key + KEYS, end_key);
            steps[at ^ 1].values.fetch(values, stride, key + KEYS, end_key);
            ptx::commit();
            ptx::wait<1>();
        } else {
            ptx::wait<0>();
        }
        __syncthreads();
        // Whether a query of this warp exists and attends to a key of this step; the same for all lanes.
        const bool seen = query < tile.end && key <= query + 15 + shape.after && key + KEYS > query - shape.before;
        if (seen) {
            auto &step = steps[at];
            float scores[KEY_COLUMNS][4] = {};
#pragma unroll
            for (int n = 0; n < KEY_COLUMNS; n++) {
#pragma unroll
                for (int k = 0; k < DEPTH; k += 2) {
                    uint32_t b[4];
                    // Heads of 16 have only half of it, so it is loaded twice.
                    ptx::load_matrices(b, step.keys.at(n * 8 + lane % 8, (k * 2 + lane / 8) % (HEAD_DIM / VECTOR)));
                    ptx::multiply<T>(scores[n], q[k], b[0], b[1]);
                    if constexpr (DEPTH > 1) {
                        ptx::multiply<T>(scores[n], q[k + 1], b[2], b[3]);
                    }
                }
            }

            // Every query of this warp attends to every key of this step.
            const bool whole = key + KEYS <= end_key && key >= query + 15 - shape.before &&
                               key + KEYS - 1 <= query + shape.after;
            float most[2] = {greatest[0], greatest[1]};
#pragma unroll
            for (int n = 0; n < KEY_COLUMNS; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const int to = key + n * 8 + pair + j % 2, from = query + group + j / 2 * 8;
                    float score = scores[n][j] * scale;
                    if (bias) {
                        const int distance = min(max(to - from, -shape.reach), shape.reach);
                        score += bias[head * (2 * shape.reach + 1) + shape.reach + distance] * LOG2_E;
                    }
                    const bool there =
                        whole || (to < end_key && to >= from - shape.before && to <= from + shape.after);
                    scores[n][j] = there ? score : -INFINITY;
                    most[j / 2] = fmaxf(most[j / 2], scores[n][j]);
                }
            }
#pragma unroll
            for (int row = 0; row < 2; row++) {
                most[row] = fmaxf(most[row], __shfl_xor_sync(ALL_LANES, most[row], 1));
                most[row] = fmaxf(most[row], __shfl_xor_sync(ALL_LANES, most[row], 2));
            }
            // A row without a key so far has scores of -inf, and -inf - 0 is not NaN.
            const float base[2] = {most[0] == -INFINITY ? 0.0f : most[0], most[1] == -INFINITY ? 0.0f : most[1]};
            const float shrink[2] = {exp2f(greatest[0] - base[0]), exp2f(greatest[1] - base[1])};
#pragma unroll
            for (int row = 0; row < 2; row++) {
                greatest[row] = most[row];
                sum[row] *= shrink[row];
            }
#pragma unroll
            for (int n = 0; n < COLUMNS; n++) {
#pragma unroll
                for (int j = 0; j < 4; j++) context[n][j] *= shrink[j / 2];
            }

#pragma unroll
            for (int k = 0; k < KEYS / 16; k++) {
                uint32_t weights[4];
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int n = 2 * k + i / 2, row = i % 2;
                    const float low = exp2f(scores[n][2 * row] - base[row]);
                    const float high = exp2f(scores[n][2 * row + 1] - base[row]);
                    weights[i] = pack<T>(low, high);
                    // The rounded values are summed, because they are what is multiplied: the weights sum to 1.
                    const float2 rounded = unpack<T>(weights[i]);
                    sum[row] += rounded.x + rounded.y;
                }
#pragma unroll
                for (int n = 0; n < COLUMNS; n += 2) {
                    uint32_t b[4];
                    ptx::load_transposed(b, step.values.at(k * 16 + lane % 16, n + lane / 16));
                    ptx::multiply<T>(context[n], weights, b[0], b[1]);
                    ptx::multiply<T>(context[n + 1], weights, b[2], b[3]);
                }
            }
        }
        // The next iteration copies into the buffer that this one read.
        __syncthreads();
    }

#pragma unroll
    for (int row = 0; row < 2; row++) {
        float whole = sum[row];
        whole += __shfl_xor_sync(ALL_LANES, whole, 1);
        whole += __shfl_xor_sync(ALL_LANES, whole, 2);
        const int to = query + group + row * 8;
        if (to >= tile.end) {
            continue;
        }
        T *at = out + (static_cast<int64_t>(to) * shape.heads + head) * HEAD_DIM + pair;
#pragma unroll
        for (int n = 0; n < COLUMNS; n++) {
            *reinterpret_cast<uint32_t *>(at + n * 8) =
                pack<T>(context[n][2 * row] / whole, context[n][2 * row + 1] / whole);
        }
    }
}

// qkv: [tokens, (heads + 2 heads_kv) head_dim]; bias: [heads, 2 reach + 1] or null; tiles: [blocks];
// out: [tokens, heads head_dim]. Shared memory: two steps, 8 KEYS HEAD_DIM bytes.
#define ATTENTION(NAME, T, HEAD_DIM, WARPS, KEYS)                                                  \
    extern "C" __global__ void __launch_bounds__(WARPS *WARP)                                      \
        NAME(const T *qkv, const float *bias, const Tile *tiles, T *out, Shape shape) {            \
        attention<T, HEAD_DIM, WARPS, KEYS>(qkv, bias, tiles, out, shape);                         \
    }
#define ATTENTIONS(HEAD_DIM)                                                \
    ATTENTION(attention_long_##HEAD_DIM##_bf16, bf16, HEAD_DIM, 4, 64)      \
    ATTENTION(attention_long_##HEAD_DIM##_f16, f16, HEAD_DIM, 4, 64)        \
    ATTENTION(attention_short_##HEAD_DIM##_bf16, bf16, HEAD_DIM, 1, 32)     \
    ATTENTION(attention_short_##HEAD_DIM##_f16, f16, HEAD_DIM, 1, 32)
ATTENTIONS(16)
ATTENTIONS(32)
ATTENTIONS(64)
ATTENTIONS(128)
