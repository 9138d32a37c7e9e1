// The functions of kernels/faiss/flat.cu, implemented on the CPU: scripts/emulate-cuda builds a
// libcodeintel_faiss.so from them, which allocates memory of the emulated driver.
#include <algorithm>
#include <cfloat>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "stream.h"

extern "C" {
int cuMemAlloc_v2(uint64_t *at, size_t bytes);
int cuMemFree_v2(uint64_t at);
int cuStreamSynchronize(void *stream);
}

namespace {

struct Flat {
    void *stream;
    /// The temporary memory.
    uint64_t memory;
};

/// Converts a status of the driver into the result of a function.
int report(int error, char *text, size_t bytes) {
    if (error != 0) {
        snprintf(text, bytes, "the emulated driver returned %d", error);
    }
    return error;
}

/// The best `k` rows; if there are fewer, the remaining ids are -1.
void nearest(const float *rows, int64_t n, int d, const float *query, int64_t k, float *scores, int64_t *ids) {
    std::vector<std::pair<float, int64_t>> all(n);
    for (int64_t i = 0; i < n; i++) {
        float score = 0;
        for (int j = 0; j < d; j++) score += query[j] * rows[i * d + j];
        all[i] = {-score, i};
    }
    all.resize(std::max(k, n), {FLT_MAX, -1});
    std::partial_sort(all.begin(), all.begin() + k, all.end());
    for (int64_t i = 0; i < k; i++) {
        scores[i] = -all[i].first;
        ids[i] = all[i].second;
    }
}

} // namespace

extern "C" {

int codeintel_faiss_open(int, void *stream, size_t temp_bytes, void **handle, char *text, size_t text_bytes) {
    uint64_t memory = 0;
    const int error = cuMemAlloc_v2(&memory, temp_bytes);
    *handle = error == 0 ? new Flat{stream, memory} : nullptr;
    return report(error, text, text_bytes);
}

int codeintel_faiss_search(void *handle, const float *rows, int64_t n, int d, const float *queries, int64_t nq,
                           int64_t k, float *scores, int64_t *ids, char *, size_t) {
    on_stream(static_cast<Flat *>(handle)->stream, [=] {
        for (int64_t q = 0; q < nq; q++) nearest(rows, n, d, queries + q * d, k, scores + q * k, ids + q * k);
    });
    return 0;
}

void codeintel_faiss_close(void *handle) {
    const Flat *flat = static_cast<Flat *>(handle);
    cuStreamSynchronize(flat->stream);
    cuMemFree_v2(flat->memory);
    delete flat;
}

} // extern "C"
