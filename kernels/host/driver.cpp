// What of NVIDIA's driver does src/device/cuda call? Those functions, on the CPU: scripts/emulate-cuda
// makes a libcuda.so.1 of them, so that its tests run where there is no GPU. Device memory is memory of
// the process, and every call is done when it returns.
//
// A kernel gets its parameters as the driver hands them over: by their sizes in the kernel's own
// declaration. Memory begins as NaN. EMULATED_CUDA_MEMORY says how many bytes of it there are, and
// EMULATED_CUDA_FAIL_AFTER after how many launches the device is lost.
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "kernels.h"

namespace {

enum Result {
    SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, NOT_FOUND = 500, LAUNCH_FAILED = 719
};

/// A number of the environment.
size_t given(const char *name, size_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

const size_t MEMORY_BYTES = given("EMULATED_CUDA_MEMORY", size_t(4) << 30);
/// The launch after which the device is lost.
const size_t LAUNCHES_MAX = given("EMULATED_CUDA_FAIL_AFTER", SIZE_MAX);
constexpr unsigned SHARED_BYTES_PLAIN = 48 << 10;

struct Kernel {
    std::function<void(void **)> call;
    unsigned shared_bytes_max = SHARED_BYTES_PLAIN;
};

template <typename... P, size_t... I> void call(void (*kernel)(P...), void **parameters, std::index_sequence<I...>) {
    kernel(*static_cast<P *>(parameters[I])...);
}

template <typename... P> Kernel make(void (*kernel)(P...)) {
    return {[kernel](void **parameters) { call(kernel, parameters, std::index_sequence_for<P...>()); }};
}

#define KERNEL(SPACE, NAME) {#NAME "_bf16", make(SPACE::NAME##_bf16)}, {#NAME "_f16", make(SPACE::NAME##_f16)},
#define ELEMENTWISE(KIND) KERNEL(on_glu, glu_##KIND) KERNEL(on_activation, activation_##KIND)
#define ATTENTION_KERNELS(HEAD_DIM)                   \
    KERNEL(on_attention, attention_long_##HEAD_DIM)   \
    KERNEL(on_attention, attention_short_##HEAD_DIM)
std::map<std::string, Kernel> kernels = {
    KERNEL(on_embed, embed_warp) KERNEL(on_embed, embed_block)
    KERNEL(on_norm, add_norm_warp) KERNEL(on_norm, add_norm_block) KERNEL(on_norm, norm_heads)
    KERNEL(on_rotary, rotary)
    ELEMENTWISE(none) ELEMENTWISE(gelu) ELEMENTWISE(gelu_tanh) ELEMENTWISE(relu) ELEMENTWISE(silu) ELEMENTWISE(tanh)
    ATTENTION_KERNELS(16) ATTENTION_KERNELS(32) ATTENTION_KERNELS(64) ATTENTION_KERNELS(128)
    KERNEL(on_tail, tail_f32) KERNEL(on_tail, tail_f16) KERNEL(on_tail, tail_bf16)
};

std::map<uint64_t, size_t> allocations;
/// Of the allocations and of the one block that runs.
std::recursive_mutex lock;
using Guard = std::lock_guard<std::recursive_mutex>;
thread_local void *bound;
size_t launched;

/// What every call answers that needs the device: a kernel that failed is told by all that follows.
int state() { return launched > LAUNCHES_MAX ? LAUNCH_FAILED : SUCCESS; }

size_t used() {
    const Guard guard(lock);
    size_t sum = 0;
    for (const auto &[at, bytes] : allocations) sum += bytes;
    return sum;
}

} // namespace

extern "C" {

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, SUCCESS; }
int cuDeviceGetName(char *name, int bytes, int) { return snprintf(name, bytes, "emulated on the CPU"), SUCCESS; }

int cuDeviceGetAttribute(int *value, int attribute, int) {
    // The compute capability is 9.0; there are no memory pools.
    enum { MAJOR = 75, POOLS = 115 };
    *value = attribute == MAJOR ? 9 : 0;
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &lock, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void *context) { return bound = context, SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = bound, SUCCESS; }
int cuCtxSynchronize() { return state(); }
int cuStreamCreate(void **stream, unsigned) { return *stream = &allocations, SUCCESS; }
int cuStreamDestroy_v2(void *) { return SUCCESS; }
int cuStreamSynchronize(void *) { return state(); }

int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory"
            : error == LAUNCH_FAILED ? "unspecified launch failure" : "an error of the emulated driver";
    return SUCCESS;
}

int cuMemAlloc_v2(uint64_t *at, size_t bytes) {
    const Guard guard(lock);
    if (state() != SUCCESS || bytes > MEMORY_BYTES - used()) {
        return state() != SUCCESS ? state() : int(OUT_OF_MEMORY);
    }
    void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    *at = reinterpret_cast<uint64_t>(memset(memory, 0xff, bytes));
    allocations[*at] = bytes;
    return SUCCESS;
}

int cuMemFree_v2(uint64_t at) {
    const Guard guard(lock);
    if (allocations.erase(at) == 0) {
        return INVALID_VALUE;
    }
    free(reinterpret_cast<void *>(at));
    return SUCCESS;
}

int cuMemGetInfo_v2(size_t *left, size_t *total) {
    *total = MEMORY_BYTES;
    *left = MEMORY_BYTES - used();
    return SUCCESS;
}

int cuMemHostAlloc(void **at, size_t bytes, unsigned) { return *at = malloc(bytes), SUCCESS; }
int cuMemFreeHost(void *at) { return free(at), SUCCESS; }
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *) {
    return memcpy(reinterpret_cast<void *>(to), from, bytes), state();
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *) {
    return memcpy(to, reinterpret_cast<void *>(from), bytes), state();
}

int cuModuleLoadData(void **module, const void *image) {
    return *module = &kernels, memcmp(image, "\x7f""ELF", 4) == 0 ? SUCCESS : INVALID_IMAGE;
}
int cuModuleUnload(void *) { return SUCCESS; }

int cuModuleGetFunction(void **function, void *, const char *name) {
    const auto found = kernels.find(name);
    if (found == kernels.end()) {
        return NOT_FOUND;
    }
    *function = &found->second;
    return SUCCESS;
}

int cuFuncSetAttribute(void *function, int attribute, int value) {
    constexpr int SHARED_BYTES_MAX = 8;
    static_cast<Kernel *>(function)->shared_bytes_max = value;
    return attribute == SHARED_BYTES_MAX ? SUCCESS : INVALID_VALUE;
}

int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                   unsigned threads_z, unsigned shared_bytes, void *, void **parameters, void **) {
    Kernel &kernel = *static_cast<Kernel *>(function);
    const bool flat = z == 1 && threads_y == 1 && threads_z == 1 && x > 0 && y > 0;
    if (!flat || threads > 1024 || shared_bytes > kernel.shared_bytes_max) {
        return INVALID_VALUE;
    }
    const Guard guard(lock);
    launched++;
    if (state() != SUCCESS) {
        return state();
    }
    gpu::launch(x, y, threads, on_attention::memory, shared_bytes, [&] { kernel.call(parameters); });
    return SUCCESS;
}

} // extern "C"
