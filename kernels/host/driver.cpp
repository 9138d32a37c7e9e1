// The functions of NVIDIA's driver that src/device/cuda calls, implemented on the CPU: scripts/emulate-cuda
// builds a libcuda.so.1 from them, so that the tests run without a GPU. Device memory is memory of the
// process.
//
// A stream does its work as late as possible, when the host waits for it. Therefore a read that is too
// early, or a write to memory that has not been copied yet, changes the results. While a stream captures,
// it does no work, and calls that are not allowed during a capture are rejected.
//
// Kernel parameters are passed as the driver does, by the sizes in the declaration of the kernel. Memory is
// initialised to NaN. EMULATED_CUDA_MEMORY is its size in bytes, EMULATED_CUDA_FAIL_AFTER the number of
// launches after which the device fails, and EMULATED_CUDA_LOG a file to which each call on streams and
// memory adds a line with its name.
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "kernels.h"
#include "stream.h"

namespace {

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_IMAGE = 200,
    NOT_FOUND = 500,
    NOT_READY = 600,
    LAUNCH_FAILED = 719,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
};

/// A number from the environment.
size_t given(const char *name, size_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

const size_t MEMORY_BYTES = given("EMULATED_CUDA_MEMORY", size_t(4) << 30);
/// The launch after which the device fails.
const size_t LAUNCHES_MAX = given("EMULATED_CUDA_FAIL_AFTER", SIZE_MAX);
constexpr unsigned SHARED_BYTES_PLAIN = 48 << 10;

using Work = std::function<void()>;

struct Kernel {
    /// Copies the parameters of the kernel.
    std::function<Work(void **)> with;
    unsigned shared_bytes_max = SHARED_BYTES_PLAIN;
};

template <typename... P, size_t... I> Work with_copies(void (*kernel)(P...), void **parameters, std::index_sequence<I...>) {
    return std::bind(kernel, *static_cast<P *>(parameters[I])...);
}

template <typename... P> Kernel make(void (*kernel)(P...)) {
    return {[kernel](void **parameters) { return with_copies(kernel, parameters, std::index_sequence_for<P...>()); }};
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
    {"nearest_scan", make(on_nearest::nearest_scan)}, {"nearest_merge", make(on_nearest::nearest_merge)},
};

struct Graph {
    std::vector<Work> works;
};

struct Stream {
    std::deque<Work> works;
    /// The graph that is being captured, or null.
    Graph *graph = nullptr;
    /// Whether a call was made that is not allowed during a capture.
    bool invalid = false;

    void wait() {
        for (; !works.empty(); works.pop_front()) works.front()();
    }
};

struct Event {
    Stream *stream = nullptr;
    /// How often the event was recorded, and how many of these records the stream has reached.
    size_t recorded = 0, passed = 0;
    /// Time at which the stream reached the last record.
    std::chrono::steady_clock::time_point at;
};

std::map<uint64_t, size_t> allocations;
/// Page-locked memory. A copy from other host memory is made at once; a copy to other host memory waits.
std::map<const char *, size_t> pinned;
std::set<Stream *> streams;
/// Protects all state of this file, and the one block that runs.
std::recursive_mutex lock;
using Guard = std::lock_guard<std::recursive_mutex>;
thread_local void *bound;
/// The stream of this thread's capture, or null.
thread_local Stream *capturing;
size_t launched;

/// The status of every call that needs the device: after a failed kernel all calls report it.
int state() { return launched > LAUNCHES_MAX ? LAUNCH_FAILED : SUCCESS; }

size_t used() {
    size_t sum = 0;
    for (const auto &[at, bytes] : allocations) sum += bytes;
    return sum;
}

void note(const char *call) {
    static FILE *const file = getenv("EMULATED_CUDA_LOG") ? fopen(getenv("EMULATED_CUDA_LOG"), "a") : nullptr;
    if (file) {
        fprintf(file, "%s\n", call);
        fflush(file);
    }
}

/// Whether a call is made during a capture that does not allow it; makes the capture invalid.
bool unsafe_now() {
    if (capturing) {
        capturing->invalid = true;
    }
    return capturing;
}

void wait_for_all() {
    for (Stream *stream : streams) stream->wait();
}

void enqueue(Stream *stream, Work work) {
    if (stream->graph) {
        stream->graph->works.push_back(work);
    } else {
        stream->works.push_back(work);
    }
}

bool is_pinned(const void *at, size_t bytes) {
    auto block = pinned.upper_bound(static_cast<const char *>(at));
    return block != pinned.begin() && static_cast<const char *>(at) + bytes <= (--block, block->first + block->second);
}

} // namespace

void on_stream(void *stream, std::function<void()> work) {
    const Guard guard(lock);
    enqueue(static_cast<Stream *>(stream), work);
}

/// Begins a call of the driver.
#define CALL                 \
    const Guard guard(lock); \
    note(__func__)
#define CALL_OUTSIDE_CAPTURE \
    CALL;                    \
    if (unsafe_now()) return CAPTURE_UNSUPPORTED

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
int cuCtxSynchronize() {
    CALL_OUTSIDE_CAPTURE;
    return wait_for_all(), state();
}

int cuStreamCreate(void **stream, unsigned) {
    CALL;
    return *stream = *streams.insert(new Stream).first, SUCCESS;
}
int cuStreamDestroy_v2(Stream *stream) {
    CALL;
    stream->wait();
    streams.erase(stream);
    return delete stream, SUCCESS;
}
int cuStreamSynchronize(Stream *stream) {
    CALL_OUTSIDE_CAPTURE;
    return stream->wait(), state();
}

int cuEventCreate(Event **event, unsigned) { return *event = new Event, SUCCESS; }
int cuEventDestroy_v2(Event *event) {
    CALL;
    wait_for_all();
    return delete event, SUCCESS;
}
int cuEventRecord(Event *event, Stream *stream) {
    CALL;
    event->stream = stream;
    const size_t number = ++event->recorded;
    enqueue(stream, [event, number] {
        event->passed = number;
        event->at = std::chrono::steady_clock::now();
    });
    return state();
}
int cuEventQuery(const Event *event) {
    // Not logged, because the number of these calls depends on timing.
    const Guard guard(lock);
    return event->passed < event->recorded ? int(NOT_READY) : state();
}
int cuEventSynchronize(Event *event) {
    CALL_OUTSIDE_CAPTURE;
    // Work after the event is not done yet.
    for (; event->passed < event->recorded; event->stream->works.pop_front()) event->stream->works.front()();
    return state();
}

int cuEventElapsedTime_v2(float *ms, const Event *from, const Event *to) {
    *ms = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return from->passed < from->recorded || to->passed < to->recorded ? int(NOT_READY) : state();
}

int cuGetErrorString(int error, const char **text) {
    *text = error == OUT_OF_MEMORY ? "out of memory"
            : error == LAUNCH_FAILED ? "unspecified launch failure" : "an error of the emulated driver";
    return SUCCESS;
}

int cuMemAlloc_v2(uint64_t *at, size_t bytes) {
    CALL_OUTSIDE_CAPTURE;
    if (state() != SUCCESS || bytes > MEMORY_BYTES - used()) {
        return state() != SUCCESS ? state() : int(OUT_OF_MEMORY);
    }
    void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
    *at = reinterpret_cast<uint64_t>(memset(memory, 0xff, bytes));
    allocations[*at] = bytes;
    return SUCCESS;
}

int cuMemFree_v2(uint64_t at) {
    CALL_OUTSIDE_CAPTURE;
    wait_for_all();
    if (allocations.erase(at) == 0) {
        return INVALID_VALUE;
    }
    free(reinterpret_cast<void *>(at));
    return SUCCESS;
}

int cuMemGetInfo_v2(size_t *left, size_t *total) {
    const Guard guard(lock);
    *total = MEMORY_BYTES;
    *left = MEMORY_BYTES - used();
    return SUCCESS;
}

int cuMemHostAlloc(void **at, size_t bytes, unsigned) {
    CALL_OUTSIDE_CAPTURE;
    *at = malloc(bytes);
    pinned[static_cast<char *>(*at)] = bytes;
    return SUCCESS;
}
int cuMemFreeHost(void *at) {
    CALL;
    wait_for_all();
    pinned.erase(static_cast<char *>(at));
    return free(at), SUCCESS;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const char *from, size_t bytes, Stream *stream) {
    CALL;
    void *const there = reinterpret_cast<void *>(to);
    if (is_pinned(from, bytes)) {
        enqueue(stream, [=] { memcpy(there, from, bytes); });
    } else if (unsafe_now()) {
        return CAPTURE_UNSUPPORTED;
    } else {
        enqueue(stream, [there, values = std::string(from, bytes)] { memcpy(there, values.data(), values.size()); });
    }
    return state();
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream *stream) {
    CALL;
    enqueue(stream, [=] { memcpy(reinterpret_cast<void *>(to), reinterpret_cast<void *>(from), bytes); });
    return state();
}
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, Stream *stream) {
    CALL;
    const bool direct = is_pinned(to, bytes);
    if (!direct && unsafe_now()) {
        return CAPTURE_UNSUPPORTED;
    }
    enqueue(stream, [=] { memcpy(to, reinterpret_cast<void *>(from), bytes); });
    if (!direct) {
        stream->wait();
    }
    return state();
}

int cuStreamBeginCapture_v2(Stream *stream, int) {
    CALL;
    if (stream->graph) {
        return CAPTURE_UNSUPPORTED;
    }
    stream->graph = new Graph;
    stream->invalid = false;
    return capturing = stream, state();
}
int cuStreamEndCapture(Stream *stream, Graph **graph) {
    CALL;
    *graph = std::exchange(stream->graph, nullptr);
    capturing = nullptr;
    if (stream->invalid) {
        delete std::exchange(*graph, nullptr);
        return CAPTURE_INVALIDATED;
    }
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(Graph **executable, const Graph *graph, unsigned long long) {
    CALL;
    return *executable = new Graph(*graph), state();
}
int cuGraphLaunch(const Graph *executable, Stream *stream) {
    CALL;
    for (const Work &work : executable->works) enqueue(stream, work);
    return state();
}
int cuGraphDestroy(Graph *graph) { return delete graph, SUCCESS; }
int cuGraphExecDestroy(Graph *executable) { return delete executable, SUCCESS; }

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
                   unsigned threads_z, unsigned shared_bytes, Stream *stream, void **parameters, void **) {
    CALL;
    Kernel &kernel = *static_cast<Kernel *>(function);
    const bool flat = z == 1 && threads_y == 1 && threads_z == 1 && x > 0 && y > 0;
    if (!flat || threads > 1024 || shared_bytes > kernel.shared_bytes_max) {
        return INVALID_VALUE;
    }
    enqueue(stream, [=, work = kernel.with(parameters)] {
        launched++;
        if (state() == SUCCESS) {
            gpu::launch(x, y, threads, on_attention::memory, shared_bytes, work);
        }
    });
    return state();
}

} // extern "C"
