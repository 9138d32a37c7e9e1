// The nearest rows to one query, or to a few queries, by inner product.
//
// CPU: the inner products of src/index/dense/rows.rs, in the order of `Hit::best_first` of src/base/hit.rs.
// Bytes: 4 d per row, once for all queries if they share it through L2, and 16 k per query and slice of
// 2048 rows. FLOPs: 2 d per row and query. Bound by memory: 1,000,000 rows of 384 are 1.5 GB.
// Launch: blocks of 256 threads. nearest_scan has one block per query and slice; a warp reads 8 rows at a
// time, and a multiprocessor has room for 4 blocks, so that enough loads are in flight. Below d = 128
// some lanes read nothing. nearest_merge has one block per query and 2048 keys, and is repeated until one
// block is enough.
//
// A hit is a key of 64 bits: its score, as an unsigned number of the same order, above the complement of
// its row. A larger key is a better hit, equal scores are ordered by row, and 0 is no hit.
#include "common.cuh"

/// Rows of a slice, and keys from which a block selects: 16 KiB of shared memory.
constexpr int CHUNK = 2048;
/// Rows that a warp reads at a time.
constexpr int ROWS = 8;
constexpr uint32_t SIGN = 1u << 31;

__device__ __forceinline__ uint64_t key_of(float score, uint32_t row) {
    const uint32_t bits = __float_as_uint(score);
    const uint32_t order = bits & SIGN ? ~bits : bits | SIGN;
    return static_cast<uint64_t>(order) << 32 | static_cast<uint32_t>(~row);
}

__device__ __forceinline__ float score_of(uint64_t key) {
    const uint32_t order = key >> 32;
    return __uint_as_float(order & SIGN ? order ^ SIGN : ~order);
}

/// The last steps of a bitonic sort: sorts each bitonic sequence of `run` keys, worst first if the bit
/// `ascending` is set in its index, else best first. keys: [n], in shared memory.
__device__ __forceinline__ void sort_runs(uint64_t *keys, int n, int run, int ascending) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
        __syncthreads();
        for (int pair = threadIdx.x; pair < n / 2; pair += ROW_BLOCK) {
            const int at = 2 * pair - (pair & (distance - 1));
            const uint64_t a = keys[at], b = keys[at + distance];
            if (at & ascending ? a > b : a < b) {
                keys[at] = b;
                keys[at + distance] = a;
            }
        }
    }
}

/// Moves the best `k` keys to the front, best first. Runs of `k`, rounded up to a power of two, are sorted;
/// then the better half of each pair of runs is kept, until one run is left (Shanbhag, Pirk and Madden,
/// Efficient Top-K Query Processing on Massively Parallel Hardware, 2018). keys: [CHUNK], in shared memory.
__device__ __forceinline__ void keep_best(uint64_t *keys, int k) {
    int width = 1;
    for (; width < k; width *= 2) sort_runs(keys, CHUNK, width, width);
    sort_runs(keys, CHUNK, width, CHUNK / 2);
    for (int n = CHUNK / 2; n >= width; n /= 2) {
        __syncthreads();
        // The first run is sorted best first and its partner worst first, so the result is bitonic.
        for (int i = threadIdx.x; i < n; i += ROW_BLOCK) keys[i] = max(keys[i], keys[i + n]);
        sort_runs(keys, n, width, n > width ? n / 2 : 0);
    }
    __syncthreads();
}

// rows: [n, d]; queries: [nq, d], d a multiple of 4; keys: [nq, slices, k], k <= 256. The query is the
// fastest dimension of the grid, so that the blocks of one slice run at the same time.
extern "C" __global__ void __launch_bounds__(ROW_BLOCK, 4)
    nearest_scan(const float *rows, const float *queries, uint64_t *keys, uint32_t n, int nq, int d, int k) {
    __shared__ uint64_t best[CHUNK];
    const uint32_t slice = blockIdx.x / nq, slices = (n - 1) / CHUNK + 1;
    const int64_t query = blockIdx.x % nq;
    const float4 *x = reinterpret_cast<const float4 *>(queries + query * d);
    const int vectors = d / 4, lane = threadIdx.x % WARP;
    for (int at = threadIdx.x / WARP * ROWS; at < CHUNK; at += ROW_BLOCK / WARP * ROWS) {
        const uint32_t row = slice * CHUNK + at;
        const int there = row < n ? min(n - row, static_cast<uint32_t>(ROWS)) : 0;
        const float4 *y = reinterpret_cast<const float4 *>(rows) + static_cast<int64_t>(row) * vectors;
        // Past the end, the last row is read again.
        int from[ROWS];
#pragma unroll
        for (int i = 0; i < ROWS; i++) from[i] = min(i, there - 1) * vectors;
        float sums[ROWS] = {};
        for (int column = lane; column < vectors && there > 0; column += WARP) {
            const float4 a = x[column];
            float4 b[ROWS];
#pragma unroll
            for (int i = 0; i < ROWS; i++) b[i] = __ldcs(y + from[i] + column);
#pragma unroll
            for (int i = 0; i < ROWS; i++) sums[i] += a.x * b[i].x + a.y * b[i].y + a.z * b[i].z + a.w * b[i].w;
        }
        // Lanes with this distance exchange the sums of one half of the rows each.
#pragma unroll
        for (int half = ROWS / 2, distance = WARP / 2; half > 0; half /= 2, distance /= 2) {
#pragma unroll
            for (int i = 0; i < half; i++) {
                const float kept = lane & distance ? sums[i + half] : sums[i];
                const float given = lane & distance ? sums[i] : sums[i + half];
                sums[i] = kept + __shfl_xor_sync(ALL_LANES, given, distance);
            }
        }
        constexpr int LANES = WARP / ROWS;
        const float score = lanes_sum(sums[0], LANES);
        const int of = lane / LANES;
        if (lane % LANES == 0) {
            best[at + of] = of < there ? key_of(score, row + of) : 0;
        }
    }
    keep_best(best, k);
    for (int i = threadIdx.x; i < k; i += ROW_BLOCK) keys[(query * slices + slice) * k + i] = best[i];
}

// keys: [nq, m]; out: [nq, chunks, k] for the next pass, or null: then scores and ids, [nq, k], are those
// of the keys, and -1 is the id of no hit. k <= 256.
extern "C" __global__ void __launch_bounds__(ROW_BLOCK)
    nearest_merge(const uint64_t *keys, uint64_t *out, float *scores, int64_t *ids, int64_t m, int k) {
    __shared__ uint64_t best[CHUNK];
    const int64_t chunk = blockIdx.x, chunks = (m + CHUNK - 1) / CHUNK, query = blockIdx.y;
    for (int i = threadIdx.x; i < CHUNK; i += ROW_BLOCK) {
        const int64_t from = chunk * CHUNK + i;
        best[i] = from < m ? keys[query * m + from] : 0;
    }
    keep_best(best, k);
    for (int i = threadIdx.x; i < k; i += ROW_BLOCK) {
        const uint64_t key = best[i];
        if (out) {
            out[(query * chunks + chunk) * k + i] = key;
        } else {
            scores[query * k + i] = score_of(key);
            ids[query * k + i] = key == 0 ? -1 : static_cast<int64_t>(static_cast<uint32_t>(~key));
        }
    }
}
