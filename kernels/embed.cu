// Embedding lookup: out = norm(scale * word + token type + position).
//
// CPU: `embed` of src/device/cpu/ops/embedding.rs.
// Bytes: 8 d per token, which reads three rows and writes one; the token type and position embeddings
// stay in the caches, so 4 d reach device memory. FLOPs: 10 d per token. Bound by memory.
// Launch: one warp per row up to d = 1024 (8 rows per block), else one block per row up to d = 8192.
#include "common.cuh"

template <typename T, int THREADS>
__device__ __forceinline__ void embed(const T *words, const T *token_types, const T *positions, const uint32_t *ids,
                                      const uint8_t *token_type_ids, const uint32_t *position_ids, T *out,
                                      NormParams norm, float scale, int token_type_max, int n, int d) {
    RowPart<THREADS> part(d);
    const int64_t row = part.row();
    if (row >= n) {
        return;
    }
    words += static_cast<int64_t>(ids[row]) * d;
    part.each([&](float *v, int column) {
        load8(v, words + column);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) v[j] *= scale;
    });
    const auto add = [&](const T *table, int64_t at) {
        part.each([&](float *v, int column) {
            float more[VECTOR];
            load8(more, table + at * d + column);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) v[j] += more[j];
        });
    };
    if (token_types) {
        add(token_types, min(static_cast<int>(token_type_ids[row]), token_type_max));
    }
    if (positions) {
        add(positions, position_ids[row]);
    }
    if (norm.weight) {
        part.norm(norm);
    }
    part.each([&](float *v, int column) { store8(out + row * d + column, v); });
}

// words: [vocab, d]; token_types: [token_type_max + 1, d] or null; positions: [positions, d] or null;
// ids, token_type_ids, position_ids: [n]; out: [n, d].
#define EMBED(NAME, T, THREADS)                                                                          \
    extern "C" __global__ void __launch_bounds__(ROW_BLOCK) NAME(                                        \
        const T *words, const T *token_types, const T *positions, const uint32_t *ids,                   \
        const uint8_t *token_type_ids, const uint32_t *position_ids, T *out, NormParams norm,            \
        float scale, int token_type_max, int n, int d) {                                                 \
        embed<T, THREADS>(words, token_types, positions, ids, token_type_ids, position_ids, out, norm,   \
                          scale, token_type_max, n, d);                                                  \
    }
EMBED(embed_warp_bf16, bf16, WARP)
EMBED(embed_warp_f16, f16, WARP)
EMBED(embed_block_bf16, bf16, ROW_BLOCK)
EMBED(embed_block_f16, f16, ROW_BLOCK)
