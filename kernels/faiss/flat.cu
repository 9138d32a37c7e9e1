// A C interface to FAISS's runIPDistance: the three functions that src/index/dense/gpu/faiss.rs calls. Each
// returns 0, or writes an error message into `text`. FAISS ends the process if CUDA fails, so a failed device
// is detected here before FAISS is called. Products are in f32, because cuBLAS uses TF32 only on request.
// kernels/host/faiss.cpp implements the same functions on the CPU.
#include <cuda_runtime.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/gpu/utils/DeviceUtils.h>
#include <faiss/gpu/utils/StaticUtils.h>
#include <faiss/gpu/impl/Distance.cuh>
#include <faiss/gpu/impl/DistanceUtils.cuh>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

using faiss::idx_t;

namespace {

/// FAISS allocates multiples of this number of bytes.
constexpr size_t ALIGNMENT = 256;

struct Flat {
    Flat(int device, cudaStream_t stream, size_t temp_bytes) : device(device), stream(stream), temp_bytes(temp_bytes) {
        resources.setTempMemory(temp_bytes);
        resources.setPinnedMemory(0);
        resources.setDefaultStream(device, stream);
        // Otherwise the memory would be allocated by the first search.
        resources.getResources()->initializeForDevice(device);
    }

    int device;
    cudaStream_t stream;
    size_t temp_bytes;
    faiss::gpu::StandardGpuResources resources;
};

/// Only used to find out whether the library has code for a device.
__global__ void probe() {}

void require(bool is, const std::string &otherwise) {
    if (!is) {
        throw std::runtime_error(otherwise);
    }
}

void check(cudaError_t error) { require(error == cudaSuccess, cudaGetErrorString(error)); }

/// Throws if the device has failed before.
void check_device(const Flat &flat) {
    check(cudaSetDevice(flat.device));
    const cudaError_t error = cudaStreamQuery(flat.stream);
    // Otherwise it would stay the last error, and FAISS would take it for its own failure.
    cudaGetLastError();
    check(error == cudaErrorNotReady ? cudaSuccess : error);
}

template <typename T> using Matrix = faiss::gpu::Tensor<T, 2, true>;

template <typename F> int report(char *text, size_t bytes, const F &f) {
    try {
        return f(), 0;
    } catch (const std::exception &error) {
        return snprintf(text, bytes, "%s", error.what()), 1;
    } catch (...) {
        return snprintf(text, bytes, "an exception without a message"), 1;
    }
}

/// The temporary memory that runDistance of FAISS's Distance.cu needs for this number of queries at once.
size_t temp_bytes_of(idx_t queries, idx_t rows, int d, idx_t k) {
    idx_t tile_queries, tile_rows;
    faiss::gpu::chooseTileSize(queries, rows, d, sizeof(float), 0, tile_queries, tile_rows);
    const idx_t found = tile_queries * faiss::gpu::utils::divUp(rows, tile_rows) * k;
    const auto aligned = [](size_t bytes) { return faiss::gpu::utils::roundUp(bytes, ALIGNMENT); };
    // The norms of the queries, then scores of all rows, best scores and ids, two of each.
    return aligned(queries * sizeof(float)) + 2 * aligned(tile_queries * tile_rows * sizeof(float)) +
           2 * aligned(found * sizeof(float)) + 2 * aligned(found * sizeof(idx_t));
}

} // namespace

extern "C" {

/// Prepares searches on `stream` and allocates `temp_bytes` of memory, which they share.
int codeintel_faiss_open(int device, void *stream, size_t temp_bytes, void **handle, char *text, size_t text_bytes) {
    return report(text, text_bytes, [&] {
        cudaFuncAttributes attributes;
        check(cudaSetDevice(device));
        check(cudaFuncGetAttributes(&attributes, probe));
        *handle = new Flat(device, static_cast<cudaStream_t>(stream), temp_bytes);
    });
}

/// The best `k` rows for each query by inner product. rows: `[n, d]`; queries: `[nq, d]`; scores, ids:
/// `[nq, k]`; all on the device. It takes as many queries at a time as the temporary memory allows.
int codeintel_faiss_search(void *handle, const float *rows, int64_t n, int d, const float *queries, int64_t nq,
                           int64_t k, float *scores, int64_t *ids, char *text, size_t text_bytes) {
    return report(text, text_bytes, [&] {
        Flat &flat = *static_cast<Flat *>(handle);
        check_device(flat);
        idx_t at_once = nq;
        // FAISS keeps a part of the temporary memory for itself.
        while (at_once > 0 && n > 0 && temp_bytes_of(at_once, n, d, k) + ALIGNMENT > flat.temp_bytes) {
            at_once /= 2;
        }
        require(at_once > 0 || nq == 0, std::to_string(flat.temp_bytes) + " bytes are not enough to search for one query");
        const auto resources = flat.resources.getResources();
        Matrix<float> all(const_cast<float *>(rows), {n, d});
        for (idx_t first = 0; first < nq; first += at_once) {
            const idx_t part = std::min(at_once, nq - first);
            Matrix<float> some(const_cast<float *>(queries) + first * d, {part, d});
            Matrix<float> best(scores + first * k, {part, k});
            Matrix<idx_t> found(ids + first * k, {part, k});
            faiss::gpu::runIPDistance(resources.get(), flat.stream, all, true, some, true, k, best, found);
        }
    });
}

/// Waits for everything launched. A failed device frees nothing: its memory is freed with the process.
void codeintel_faiss_close(void *handle) {
    Flat *flat = static_cast<Flat *>(handle);
    if (cudaSetDevice(flat->device) == cudaSuccess && cudaStreamSynchronize(flat->stream) == cudaSuccess) {
        delete flat;
    }
}

} // extern "C"
