// What is libcodeintel_faiss.so where there is no GPU? The functions of kernels/faiss/flat.cu on the CPU:
// scripts/emulate-cuda makes the library of them, with memory of the emulated driver.
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
    int d;
    int64_t n, rows_max;
    /// `[rows_max, d]`, then the temporary memory.
    uint64_t memory;

    float *row(int64_t i) const { return reinterpret_cast<float *>(memory) + i * d; }
};

/// What a function answers, given what the driver said.
int told(int error, char *text, size_t bytes) {
    if (error != 0) {
        snprintf(text, bytes, "the emulated driver says %d", error);
    }
    return error;
}

/// The best `k` rows; behind the last one the id is -1.
void nearest(const Flat &flat, const float *query, int64_t k, float *scores, int64_t *ids) {
    std::vector<std::pair<float, int64_t>> all(flat.n);
    for (int64_t i = 0; i < flat.n; i++) {
        float score = 0;
        for (int j = 0; j < flat.d; j++) score += query[j] * flat.row(i)[j];
        all[i] = {-score, i};
    }
    all.resize(std::max(k, flat.n), {FLT_MAX, -1});
    std::partial_sort(all.begin(), all.begin() + k, all.end());
    for (int64_t i = 0; i < k; i++) {
        scores[i] = -all[i].first;
        ids[i] = all[i].second;
    }
}

} // namespace

extern "C" {

int codeintel_faiss_open(int, void *stream, int d, int64_t rows_max, size_t temp_bytes, void **handle, char *text,
                         size_t text_bytes) {
    uint64_t memory = 0;
    const int error = cuMemAlloc_v2(&memory, rows_max * d * sizeof(float) + temp_bytes);
    *handle = error == 0 ? new Flat{stream, d, 0, rows_max, memory} : nullptr;
    return told(error, text, text_bytes);
}

int codeintel_faiss_add(void *handle, int64_t n, const float *rows, char *text, size_t text_bytes) {
    Flat &flat = *static_cast<Flat *>(handle);
    if (flat.n + n > flat.rows_max) {
        return snprintf(text, text_bytes, "more than %lld rows", static_cast<long long>(flat.rows_max)), 1;
    }
    const int error = cuStreamSynchronize(flat.stream);
    memcpy(flat.row(flat.n), rows, n * flat.d * sizeof(float));
    flat.n += n;
    return told(error, text, text_bytes);
}

int codeintel_faiss_search(void *handle, int64_t nq, const float *queries, int64_t k, float *scores, int64_t *ids, char *,
                           size_t) {
    const Flat &flat = *static_cast<Flat *>(handle);
    on_stream(flat.stream, [&flat, nq, queries, k, scores, ids] {
        for (int64_t q = 0; q < nq; q++) nearest(flat, queries + q * flat.d, k, scores + q * k, ids + q * k);
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
