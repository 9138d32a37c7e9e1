// Runs the blocks of a GPU kernel on one CPU thread, so that kernels can be tested without a GPU: every
// thread of a block is a fiber, which runs until it waits for other threads.
//
// Blocks run one after another. Shared memory is initialised to NaN. A warp runs until it reaches a barrier
// before the next one begins. An asynchronous copy arrives at once in every second launch, in the others
// only when its thread waits for it. A missing barrier or wait therefore changes the result, but races
// between threads that run in parallel cannot occur.
#pragma once

#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>
#include <ucontext.h>
#include <vector>

#include <cuda_runtime_api.h>
#include <vector_functions.h>
#include <vector_types.h>

#undef __forceinline__
#define __forceinline__ inline
#undef __launch_bounds__
#define __launch_bounds__(...)
#undef __shared__
#define __shared__ static
#define __expf expf
#define rsqrtf(x) (1.0f / sqrtf(x))

static inline float __uint_as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
static inline uint32_t __float_as_uint(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
template <typename T> static inline T __ldcs(const T *from) { return *from; }

#include <cuda_bf16.h>
#include <cuda_fp16.h>

using std::max;
using std::min;

static dim3 threadIdx, blockIdx, blockDim;

namespace gpu {

struct Copy {
    void *to;
    const void *from;
    bool there;

    void arrive() const { there ? memcpy(to, from, 16) : memset(to, 0, 16); }
};

struct Thread {
    /// Where the fiber continues; before its start, its context.
    jmp_buf at;
    ucontext_t context;
    bool begun;
    std::vector<char> stack = std::vector<char>(1 << 16);
    bool done;
    /// The barrier at which the fiber waits.
    int barrier;
    /// The copies of the open group, and the earlier groups.
    std::vector<Copy> open;
    std::vector<std::vector<Copy>> groups;
};

/// The values that the lanes of a warp exchange; those of the previous round stay readable.
struct Warp {
    int arrived = 0, round = 0;
    unsigned char handed[2][32][32];
};

static std::vector<Thread> threads;
static std::vector<Warp> warps;
static jmp_buf scheduler;
static std::function<void()> kernel;
static int current, waiting, barriers, launches;

[[noreturn]] static void fail(const char *what) {
    printf("%s: block (%u, %u), thread %d\n", what, blockIdx.x, blockIdx.y, current);
    exit(1);
}

/// Switches fibers with jumps, because swapcontext makes a system call for the signal mask each time.
static void yield() {
    if (_setjmp(threads[current].at) == 0) _longjmp(scheduler, 1);
}

static void go_on(Thread &thread) {
    if (_setjmp(scheduler) != 0) return;
    if (thread.begun) _longjmp(thread.at, 1);
    thread.begun = true;
    setcontext(&thread.context);
}

static void begin() {
    kernel();
    threads[current].done = true;
    yield();
}

static int alive(int from, int to) {
    int n = 0;
    for (int i = from; i < to; i++) n += !threads[i].done;
    return n;
}

/// Shares `value` with the other lanes, and returns the values of all 32.
template <typename V> static unsigned char (*hand(const V &value))[32] {
    static_assert(sizeof value <= 32, "a value for each lane");
    Warp &warp = warps[current / 32];
    const int round = warp.round, first = current / 32 * 32;
    if (alive(first, first + 32) < 32) {
        fail("not every lane takes part in an operation of the whole warp");
    }
    memcpy(warp.handed[round % 2][current % 32], &value, sizeof value);
    if (++warp.arrived == 32) {
        warp.arrived = 0;
        warp.round++;
    }
    while (warp.round == round) yield();
    return warp.handed[round % 2];
}

/// Runs each of the threads from..to until it waits. Returns whether one of them can continue.
static bool run(int from, int to) {
    const auto can = [](const Thread &thread) { return !thread.done && thread.barrier != barriers; };
    bool more = false;
    for (current = from; current < to; current++) {
        if (can(threads[current])) {
            threadIdx = dim3(current, 0, 0);
            go_on(threads[current]);
        }
    }
    for (int i = from; i < to; i++) more |= can(threads[i]);
    return more;
}

/// Runs `f` in (x, y) blocks of `n` threads; `shared` is their dynamic shared memory.
template <typename F> static void launch(size_t x, size_t y, int n, unsigned char *shared, size_t bytes, F f) {
    blockDim = dim3(n, 1, 1);
    launches++;
    kernel = f;
    for (size_t block = 0; block < x * y; block++) {
        blockIdx = dim3(block % x, block / x, 0);
        memset(shared, 0xff, bytes);
        // Only the stacks of the previous block are reused.
        threads.resize(n);
        warps.assign((n + 31) / 32, Warp());
        waiting = 0;
        for (Thread &thread : threads) {
            thread.done = thread.begun = false;
            thread.barrier = -1;
            thread.open.clear();
            thread.groups.clear();
            getcontext(&thread.context);
            thread.context.uc_stack.ss_sp = thread.stack.data();
            thread.context.uc_stack.ss_size = thread.stack.size();
            makecontext(&thread.context, begin, 0);
        }
        while (alive(0, n) > 0) {
            for (int warp = 0; warp < n; warp += 32) {
                while (run(warp, min(warp + 32, n))) {
                }
            }
        }
    }
}

} // namespace gpu

static inline void __syncthreads() {
    const int barrier = gpu::threads[gpu::current].barrier = gpu::barriers;
    if (++gpu::waiting == gpu::alive(0, blockDim.x)) {
        gpu::waiting = 0;
        gpu::barriers++;
    }
    while (gpu::barriers == barrier) gpu::yield();
}

static inline float __shfl_xor_sync(unsigned, float value, int lane) {
    memcpy(&value, gpu::hand(value)[gpu::current % 32 ^ lane], sizeof value);
    return value;
}

/// The instructions of attention.cu, as the PTX manual describes them.
namespace ptx {

static inline void copy16(void *to, const void *from, bool there) {
    if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from)) % 16 != 0) {
        gpu::fail("a copy of 16 bytes to or from an unaligned address");
    }
    const gpu::Copy copy{to, from, there};
    if (gpu::launches % 2 == 0) {
        copy.arrive();
    } else {
        gpu::threads[gpu::current].open.push_back(copy);
    }
}

static inline void commit() {
    gpu::Thread &thread = gpu::threads[gpu::current];
    thread.groups.push_back(std::move(thread.open));
    thread.open.clear();
}

template <int LEFT> static void wait() {
    auto &groups = gpu::threads[gpu::current].groups;
    for (; groups.size() > LEFT; groups.erase(groups.begin())) {
        for (const gpu::Copy &copy : groups[0]) copy.arrive();
    }
}

static void load(uint32_t (&to)[4], const void *row, bool transposed) {
    const auto handed = gpu::hand(row);
    const uint16_t *rows[32];
    for (int i = 0; i < 32; i++) memcpy(&rows[i], handed[i], sizeof rows[i]);
    const int group = gpu::current % 32 / 4, pair = gpu::current % 4 * 2;
    for (int i = 0; i < 4; i++) {
        const uint16_t *const *matrix = rows + i * 8;
        const uint32_t low = transposed ? matrix[pair][group] : matrix[group][pair];
        const uint32_t high = transposed ? matrix[pair + 1][group] : matrix[group][pair + 1];
        to[i] = low | high << 16;
    }
    // So that no lane continues and overwrites a value that another lane has not read yet.
    gpu::hand(0);
}
static inline void load_matrices(uint32_t (&to)[4], const void *row) { load(to, row, false); }
static inline void load_transposed(uint32_t (&to)[4], const void *row) { load(to, row, true); }

template <typename T> static void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
    struct Operands {
        uint32_t words[6];
    };
    const auto handed = gpu::hand(Operands{{a[0], a[1], a[2], a[3], b0, b1}});
    const auto value = [&](int lane, int word, int half) {
        T value;
        memcpy(&value, handed[lane] + word * 4 + half * 2, sizeof value);
        return static_cast<float>(value);
    };
    const int lane = gpu::current % 32;
    for (int i = 0; i < 4; i++) {
        const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (int k = 0; k < 16; k++) {
            const float x = value(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2);
            const float y = value(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
            c[i] += x * y;
        }
    }
}

} // namespace ptx
