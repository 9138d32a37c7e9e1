// What of FAISS does src/device/cuda/faiss.rs call? Four functions around GpuIndexFlat. Each answers 0, or
// writes into `text` why not. FAISS ends the process where CUDA fails, so a device that has failed is told
// here before FAISS is asked. It computes products in f32: cuBLAS takes TF32 only where that is asked for.
// kernels/host/faiss.cpp has the same functions on the CPU.
#include <cuda_runtime.h>
#include <faiss/gpu/GpuIndexFlat.h>
#include <faiss/gpu/StandardGpuResources.h>
#include <faiss/gpu/utils/DeviceUtils.h>
#include <faiss/gpu/utils/StaticUtils.h>
#include <faiss/gpu/impl/DistanceUtils.cuh>
#include <faiss/gpu/impl/FlatIndex.cuh>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

using faiss::idx_t;

namespace {

/// FAISS's allocations are multiples of so many bytes.
constexpr size_t ALIGNMENT = 256;

struct Flat {
    Flat(int device, cudaStream_t stream, size_t temp_bytes) : device(device), stream(stream), temp_bytes(temp_bytes) {
        resources.setTempMemory(temp_bytes);
        resources.setPinnedMemory(0);
        resources.setDefaultStream(device, stream);
    }

    int device;
    cudaStream_t stream;
    size_t temp_bytes;
    faiss::gpu::StandardGpuResources resources;
    std::unique_ptr<faiss::gpu::GpuIndexFlat> index;
};

/// Only to ask whether the library has code for a device.
__global__ void probe() {}

void require(bool is, const std::string &otherwise) {
    if (!is) {
        throw std::runtime_error(otherwise);
    }
}

void check(cudaError_t error) { require(error == cudaSuccess, cudaGetErrorString(error)); }

/// Whether the device has failed before.
void check_device(const Flat &flat) {
    check(cudaSetDevice(flat.device));
    const cudaError_t error = cudaStreamQuery(flat.stream);
    // It stays the last error, in which FAISS would see a failure.
    cudaGetLastError();
    check(error == cudaErrorNotReady ? cudaSuccess : error);
}

template <typename F> int told(char *text, size_t bytes, const F &f) {
    try {
        return f(), 0;
    } catch (const std::exception &error) {
        return snprintf(text, bytes, "%s", error.what()), 1;
    } catch (...) {
        return snprintf(text, bytes, "an exception without a text"), 1;
    }
}

/// How much temporary memory runDistance of FAISS's Distance.cu takes for so many queries at once.
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

/// An index of the inner products with rows of `d` values, and the memory of `rows_max` of them. All of it
/// runs on `stream`; a search takes up to `temp_bytes` more memory, which is reserved here.
int codeintel_faiss_open(int device, void *stream, int d, int64_t rows_max, size_t temp_bytes, void **handle, char *text,
                         size_t text_bytes) {
    return told(text, text_bytes, [&] {
        cudaFuncAttributes attributes;
        check(cudaSetDevice(device));
        check(cudaFuncGetAttributes(&attributes, probe));
        auto flat = std::make_unique<Flat>(device, static_cast<cudaStream_t>(stream), temp_bytes);
        faiss::gpu::GpuIndexFlatConfig config;
        config.device = device;
        flat->index =
            std::make_unique<faiss::gpu::GpuIndexFlat>(&flat->resources, d, faiss::METRIC_INNER_PRODUCT, config);
        // Without this FAISS reserves what each call of `add` needs, and copies all rows each time.
        flat->index->getGpuData()->reserve(rows_max, flat->stream);
        *handle = flat.release();
    });
}

/// rows: `[n, d]`, in the memory of the host or of the device.
int codeintel_faiss_add(void *handle, int64_t n, const float *rows, char *text, size_t text_bytes) {
    return told(text, text_bytes, [&] {
        Flat &flat = *static_cast<Flat *>(handle);
        check_device(flat);
        flat.index->add(n, rows);
    });
}

/// queries: `[nq, d]`; scores, ids: `[nq, k]`; all on the device. As many queries at a time as the temporary
/// memory is enough for.
int codeintel_faiss_search(void *handle, int64_t nq, const float *queries, int64_t k, float *scores, int64_t *ids,
                           char *text, size_t text_bytes) {
    return told(text, text_bytes, [&] {
        const Flat &flat = *static_cast<Flat *>(handle);
        check_device(flat);
        const auto &index = *flat.index;
        require(flat.index->getGpuData()->getSize() == index.ntotal, "an earlier add failed");
        idx_t at_once = nq;
        // A part of the temporary memory is FAISS's own.
        while (at_once > 0 && index.ntotal > 0 &&
               temp_bytes_of(at_once, index.ntotal, index.d, k) + ALIGNMENT > flat.temp_bytes) {
            at_once /= 2;
        }
        require(at_once > 0 || nq == 0, std::to_string(flat.temp_bytes) + " bytes are not enough to search for one query");
        for (idx_t first = 0; first < nq; first += at_once) {
            index.search(std::min(at_once, nq - first), queries + first * index.d, k, scores + first * k, ids + first * k);
        }
    });
}

/// Waits for what was launched. A device that has failed frees nothing: its memory goes with the process.
void codeintel_faiss_close(void *handle) {
    Flat *flat = static_cast<Flat *>(handle);
    if (cudaSetDevice(flat->device) == cudaSuccess && cudaStreamSynchronize(flat->stream) == cudaSuccess) {
        // FAISS's index goes before its resources.
        flat->index.reset();
        delete flat;
    }
}

} // extern "C"
