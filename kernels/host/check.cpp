// Tests of each kernel against f64, on random shapes, with empty and one-token sequences; run by
// scripts/check-kernels on the emulation of gpu.h.
#include <algorithm>
#include <random>

#include "kernels.h"

using Values = std::vector<double>;

static std::mt19937 generator(1);
static double worst;

/// A random integer from low..=high.
static int whole(int low, int high) { return low + generator() % (high - low + 1); }

template <typename T> static std::vector<T> some(size_t n, double scale) {
    std::uniform_real_distribution<float> numbers(-scale, scale);
    std::vector<T> values(n);
    for (T &value : values) value = T(numbers(generator));
    return values;
}

/// Memory for a result, followed by one value that must not change.
template <typename T> static std::vector<T> room(size_t n) { return std::vector<T>(n + 1, T(99.0f)); }

template <typename T> static double wide(T value) { return static_cast<float>(value); }

template <typename T> constexpr double UNIT = std::is_same<T, bf16>::value ? 1.0 / 256 : 1.0 / 2048;

static void close(const char *what, double got, double want, double tolerance) {
    const double error = std::fabs(got - want) / std::max(1.0, std::fabs(want)) / tolerance;
    if (!(error <= 1)) {
        printf("check-kernels: %s is %g, expected %g\n", what, got, want);
        exit(1);
    }
    worst = std::max(worst, error);
}

template <typename T> static void unchanged(const char *what, const std::vector<T> &values) {
    close(what, wide(values.back()), 99, 1e-9);
}

/// Selects the variant of a kernel for T.
#define BUILD(NAME) (std::is_same<T, bf16>::value ? reinterpret_cast<void *>(NAME##_bf16) : reinterpret_cast<void *>(NAME##_f16))

/// Runs a kernel with the parameters P on (x, y) blocks.
template <typename... P> static void run(void *kernel, size_t x, size_t y, int threads, P... parameters) {
    auto *f = reinterpret_cast<void (*)(P...)>(kernel);
    gpu::launch(x, y, threads, on_attention::memory, sizeof on_attention::memory, [&] { f(parameters...); });
}

static size_t blocks(size_t n, size_t each) { return (n + each - 1) / each; }

static Values normed(Values x, const NormParams &rule) {
    double mean = 0, squares = 0;
    if (rule.centered) {
        for (double v : x) mean += v / x.size();
    }
    for (double v : x) squares += (v - mean) * (v - mean);
    const double scale = 1 / std::sqrt(squares / x.size() + rule.eps);
    for (size_t i = 0; i < x.size(); i++) {
        x[i] = (x[i] - mean) * scale * rule.weight[i] + (rule.bias ? rule.bias[i] : 0);
    }
    return x;
}

static double activated(int kind, double x) {
    switch (kind) {
    case GELU: return 0.5 * x * (1 + std::erf(x * M_SQRT1_2));
    case GELU_TANH: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case RELU: return std::max(x, 0.0);
    case SILU: return x / (1 + std::exp(-x));
    case TANH: return std::tanh(x);
    default: return x;
    }
}

/// A hidden dimension for the variant with one warp per row, sometimes for that with one block per row.
static int dimension() { return 8 * (whole(0, 3) == 0 ? whole(129, 500) : whole(1, 128)); }

template <typename T> static void check_norm() {
    const int d = dimension(), n = whole(0, 9);
    const bool two = whole(0, 1), warp = d <= 1024;
    const auto x = some<T>(n * d, 3), y = some<T>(n * d, 3);
    const auto weight = some<float>(d, 2), bias = some<float>(d, 1);
    const NormParams rule{weight.data(), whole(0, 1) ? bias.data() : nullptr, 1e-5f, whole(0, 1)};
    auto sum = room<T>(n * d), out = room<T>(n * d);
    void *kernel = warp ? BUILD(on_norm::add_norm_warp) : BUILD(on_norm::add_norm_block);
    run<const T *, const T *, T *, T *, NormParams, int, int>(kernel, blocks(n, warp ? 8 : 1), 1, 256, x.data(),
                                                            two ? y.data() : nullptr, sum.data(), out.data(), rule, n, d);
    for (int i = 0; i < n; i++) {
        Values row(d);
        for (int j = 0; j < d; j++) row[j] = wide(x[i * d + j]) + (two ? wide(y[i * d + j]) : 0);
        const Values want = normed(row, rule);
        for (int j = 0; j < d; j++) {
            close("sum", wide(sum[i * d + j]), row[j], 1.1 * UNIT<T>);
            close("norm", wide(out[i * d + j]), want[j], 1.1 * UNIT<T>);
        }
    }
    unchanged("sum", sum);
    unchanged("norm", out);
}

template <typename T> static void check_norm_heads() {
    const int n = whole(0, 9), head_dim = 8 << whole(0, 5), all = whole(1, 6), first = whole(0, all - 1);
    const int heads = whole(1, all - first), d = all * head_dim;
    const auto x = some<T>(n * d, 3);
    auto out = x;
    const auto weight = some<float>(head_dim, 2);
    const NormParams rule{weight.data(), nullptr, 1e-5f, whole(0, 1)};
    run<T *, NormParams, int, int, int, int, int>(BUILD(on_norm::norm_heads), blocks(n * heads * head_dim / 8, 256), 1, 256,
                                                out.data(), rule, first, heads, head_dim, n, d);
    for (int i = 0; i < n * all; i++) {
        Values row(head_dim);
        for (int j = 0; j < head_dim; j++) row[j] = wide(x[i * head_dim + j]);
        if (i % all >= first && i % all < first + heads) {
            row = normed(row, rule);
        }
        for (int j = 0; j < head_dim; j++) close("norm of heads", wide(out[i * head_dim + j]), row[j], 1.1 * UNIT<T>);
    }
}

template <typename T> static void check_embed() {
    const int d = dimension(), n = whole(0, 9), kinds = whole(1, 3);
    const bool warp = d <= 1024, typed = whole(0, 1), placed = whole(0, 1);
    const float scale = whole(0, 1) ? 1 : 2.5;
    const auto words = some<T>(50 * d, 1), types = some<T>(kinds * d, 1), positions = some<T>(30 * d, 1);
    const auto weight = some<float>(d, 2), bias = some<float>(d, 1);
    const NormParams rule{whole(0, 2) ? weight.data() : nullptr, bias.data(), 1e-5f, 1};
    std::vector<uint32_t> ids(n), places(n);
    std::vector<uint8_t> kind(n);
    for (int i = 0; i < n; i++) ids[i] = whole(0, 49), places[i] = whole(0, 29), kind[i] = whole(0, 4);
    auto out = room<T>(n * d);
    void *kernel = warp ? BUILD(on_embed::embed_warp) : BUILD(on_embed::embed_block);
    run<const T *, const T *, const T *, const uint32_t *, const uint8_t *, const uint32_t *, T *, NormParams, float, int, int,
        int>(kernel, blocks(n, warp ? 8 : 1), 1, 256, words.data(), typed ? types.data() : nullptr,
             placed ? positions.data() : nullptr, ids.data(), kind.data(), places.data(), out.data(), rule, scale, kinds - 1,
             n, d);
    for (int i = 0; i < n; i++) {
        Values row(d);
        const int type = std::min<int>(kind[i], kinds - 1);
        for (int j = 0; j < d; j++) {
            row[j] = wide(words[ids[i] * d + j]) * scale + (typed ? wide(types[type * d + j]) : 0) +
                     (placed ? wide(positions[places[i] * d + j]) : 0);
        }
        if (rule.weight) {
            row = normed(row, rule);
        }
        for (int j = 0; j < d; j++) close("embed", wide(out[i * d + j]), row[j], 1.1 * UNIT<T>);
    }
    unchanged("embed", out);
}

template <typename T> static void check_rotary() {
    const int n = whole(0, 9), pairs = 8 * whole(1, 4), head_dim = 2 * pairs + 8 * whole(0, 2);
    const int all = whole(1, 5), heads = whole(1, all), d = all * head_dim;
    const auto x = some<T>(n * d, 3);
    auto out = x;
    const auto turns = some<float>(40 * 2 * pairs, 1);
    std::vector<uint32_t> places(n);
    for (auto &place : places) place = whole(0, 39);
    run<T *, const float *, const uint32_t *, int, int, int, int, int>(
        BUILD(on_rotary::rotary), blocks(n * heads * pairs / 8, 256), 1, 256, out.data(), turns.data(), places.data(), heads,
        head_dim, pairs, n, d);
    for (int i = 0; i < n * all; i++) {
        const T *head = x.data() + i * head_dim;
        const float *turn = turns.data() + places[i / all] * 2 * pairs;
        for (int j = 0; j < head_dim; j++) {
            double want = wide(head[j]);
            if (i % all < heads && j < pairs) {
                want = wide(head[j]) * turn[j] - wide(head[j + pairs]) * turn[j + pairs];
            } else if (i % all < heads && j < 2 * pairs) {
                want = wide(head[j]) * turn[j - pairs] + wide(head[j - pairs]) * turn[j];
            }
            close("rotary", wide(out[i * head_dim + j]), want, 1.1 * UNIT<T>);
        }
    }
}

template <typename T> static void check_elementwise() {
    void *const kernels[][2] = {
        {BUILD(on_glu::glu_none), BUILD(on_activation::activation_none)},
        {BUILD(on_glu::glu_gelu), BUILD(on_activation::activation_gelu)},
        {BUILD(on_glu::glu_gelu_tanh), BUILD(on_activation::activation_gelu_tanh)},
        {BUILD(on_glu::glu_relu), BUILD(on_activation::activation_relu)},
        {BUILD(on_glu::glu_silu), BUILD(on_activation::activation_silu)},
        {BUILD(on_glu::glu_tanh), BUILD(on_activation::activation_tanh)},
    };
    const int n = whole(0, 9), d = 8 * whole(1, 60), kind = whole(NONE, TANH);
    const bool biased = whole(0, 1);
    const auto x = some<T>(n * 2 * d, 4), bias = some<T>(2 * d, 1);
    auto gated = room<T>(n * d), finished = room<T>(n * d);
    const T *added = biased ? bias.data() : nullptr;
    const size_t count = blocks(n * d / 8, 256);
    run<const T *, const T *, T *, int, int>(kernels[kind][0], count, 1, 256, x.data(), added, gated.data(), n, d);
    run<const T *, const T *, T *, int, int>(kernels[kind][1], count, 1, 256, x.data(), added, finished.data(), n, d);
    for (int i = 0; i < n * d; i++) {
        const int gate = i / d * 2 * d + i % d, column = i % d;
        const auto value = [&](int at, int of) { return wide(x[at]) + (biased ? wide(bias[of]) : 0); };
        close("glu", wide(gated[i]), activated(kind, value(gate, column)) * value(gate + d, d + column), 1.1 * UNIT<T>);
        close("activation", wide(finished[i]), activated(kind, value(i, column)), 1.1 * UNIT<T>);
    }
    unchanged("glu", gated);
    unchanged("activation", finished);
}

/// Random ends of sequences (cu_seqlens): none, empty ones, single tokens, ends of tiles, more than one tile.
static std::vector<uint32_t> sequences() {
    std::vector<uint32_t> ends{0};
    for (int i = whole(0, 4); i > 0; i--) {
        const int lengths[] = {0, 1, whole(2, 16), whole(15, 66), whole(60, 200)};
        ends.push_back(ends.back() + lengths[whole(0, 4)]);
    }
    return ends;
}

template <typename T> static void check_tail() {
    const auto ends = sequences();
    const int n = ends.size() - 1, d = 8 * (whole(0, 4) == 0 ? whole(200, 512) : whole(1, 100));
    const int dim = whole(0, 1) ? d : whole(1, d), segment = whole(0, 4), normalize = whole(0, 1);
    const auto hidden = some<T>(ends.back() * d, 1);
    auto out = room<float>(n * dim);
    run<const T *, const uint32_t *, float *, int, int, int, int>(BUILD(on_tail::tail_f32), n, 1, 256, hidden.data(),
                                                                  ends.data(), out.data(), segment, normalize, d, dim);
    for (int i = 0; i < n; i++) {
        const int count = ends[i + 1] - ends[i];
        Values want(dim);
        double squares = 0;
        for (int c = 0; c < dim && count > 0; c++) {
            const auto value = [&](int row) { return wide(hidden[(ends[i] + row) * d + c]); };
            double mean = 0, weighted = 0, most = value(0);
            for (int row = 0; row < count; row++) {
                mean += value(row) / count;
                weighted += value(row) * (row + 1) / (count * (count + 1) / 2);
                most = std::max(most, value(row));
            }
            const double pooled[] = {mean, weighted, most, value(0), value(count - 1)};
            want[c] = pooled[segment];
            squares += want[c] * want[c];
        }
        const double length = normalize ? std::max(std::sqrt(squares), 1e-12) : 1;
        for (int c = 0; c < dim; c++) close("tail", out[i * dim + c], want[c] / length, 1e-5);
    }
    unchanged("tail", out);
}

template <typename T, int HEAD_DIM> static void check_attention(void *of_long, void *of_short) {
    using on_attention::Shape;
    using on_attention::Tile;
    const auto ends = sequences();
    const int tokens = ends.back(), heads_kv = whole(1, 2), group = whole(1, 3), heads = heads_kv * group;
    const int stride = (heads + 2 * heads_kv) * HEAD_DIM, reach = whole(0, 100), far = 1 << 29;
    const int masks[][2] = {{far, far}, {far, 0}, {whole(0, 90), whole(0, 90)}};
    const auto [before, after] = masks[whole(0, 2)];
    const bool biased = whole(0, 1);
    const auto qkv = some<T>(tokens * stride, 2);
    const auto bias = some<float>(heads * (2 * reach + 1), 2);
    const Shape shape{heads, heads_kv, 1 / std::sqrt(float(HEAD_DIM)), before, after, reach};
    auto out = room<T>(tokens * heads * HEAD_DIM);
    std::vector<Tile> tiles[2];
    for (size_t i = 0; i + 1 < ends.size(); i++) {
        const int begin = ends[i], end = ends[i + 1];
        for (int query = begin; query < end; query += 64) tiles[end - query <= 16].push_back({begin, end, query});
    }
    // Like the padding after the tiles of a batch.
    for (auto &list : tiles) list.resize(list.size() + whole(0, 2), Tile{0, 0, 0});
    // Every second launch delays its copies; at random a number is skipped, so that both cases are tested.
    gpu::launches += whole(0, 1);
    for (int i : {0, 1}) {
        run<const T *, const float *, const Tile *, T *, Shape>(i ? of_short : of_long, tiles[i].size(), heads, i ? 32 : 128,
                                                                qkv.data(), biased ? bias.data() : nullptr, tiles[i].data(),
                                                                out.data(), shape);
    }
    for (size_t i = 0; i + 1 < ends.size(); i++) {
        for (int query = ends[i]; query < int(ends[i + 1]); query++) {
            for (int head = 0; head < heads; head++) {
                const int of_key = (heads + head / group) * HEAD_DIM, of_value = of_key + heads_kv * HEAD_DIM;
                Values want(HEAD_DIM);
                double sum = 0;
                for (int key = ends[i]; key < int(ends[i + 1]); key++) {
                    if (key < query - before || key > query + after) {
                        continue;
                    }
                    const auto at = [&](int row, int column) { return wide(qkv[row * stride + column]); };
                    double score = 0;
                    for (int j = 0; j < HEAD_DIM; j++) score += at(query, head * HEAD_DIM + j) * at(key, of_key + j);
                    score *= shape.scale;
                    if (biased) {
                        score += bias[head * (2 * reach + 1) + reach + std::clamp(key - query, -reach, reach)];
                    }
                    const double weight = std::exp(score);
                    sum += weight;
                    for (int j = 0; j < HEAD_DIM; j++) want[j] += weight * at(key, of_value + j);
                }
                for (int j = 0; j < HEAD_DIM; j++) {
                    close("attention", wide(out[(query * heads + head) * HEAD_DIM + j]), want[j] / sum, 4 * UNIT<T>);
                }
            }
        }
    }
    unchanged("attention", out);
}

/// Small integers, so that every sum is exact and many sums are equal.
static std::vector<float> wholes(size_t n) {
    std::vector<float> values(n);
    for (float &value : values) value = whole(-2, 2);
    return values;
}

static void check_nearest() {
    const int n = whole(0, 3 * on_nearest::CHUNK), d = 4 * whole(1, 60), nq = whole(1, 4), k = whole(1, 256);
    const size_t slices = blocks(n, on_nearest::CHUNK), m = slices * k;
    const auto rows = wholes(n * d), queries = wholes(nq * d);
    auto keys = room<uint64_t>(nq * m);
    auto scores = room<float>(nq * k);
    auto ids = room<int64_t>(nq * k);
    run<const float *, const float *, uint64_t *, uint32_t, int, int, int>(
        reinterpret_cast<void *>(on_nearest::nearest_scan), nq * slices, 1, 256, rows.data(), queries.data(), keys.data(), n,
        nq, d, k);
    run<const uint64_t *, uint64_t *, float *, int64_t *, int64_t, int>(reinterpret_cast<void *>(on_nearest::nearest_merge), 1,
                                                                        nq, 256, keys.data(), nullptr, scores.data(),
                                                                        ids.data(), m, k);
    for (int q = 0; q < nq; q++) {
        std::vector<std::pair<double, int>> want(n);
        for (int row = 0; row < n; row++) {
            double score = 0;
            for (int j = 0; j < d; j++) score += queries[q * d + j] * rows[row * d + j];
            want[row] = {-score, row};
        }
        std::sort(want.begin(), want.end());
        for (int i = 0; i < k; i++) {
            close("the row of a hit", ids[q * k + i], i < n ? want[i].second : -1, 1e-9);
            if (i < n) {
                close("the score of a hit", scores[q * k + i], -want[i].first, 1e-9);
            }
        }
    }
    unchanged("keys", keys);
    unchanged("scores", scores);
    unchanged("ids", ids);
}

template <typename F> static void repeat(const char *what, const char *type, int times, F check) {
    worst = 0;
    for (int i = 0; i < times; i++) check();
    printf("%-16s %-4s %4d shapes, largest error %.2f of the tolerance\n", what, type, times, worst);
}

template <typename T> static void check_all(const char *type) {
    repeat("norm", type, 30, check_norm<T>);
    repeat("norm_heads", type, 30, check_norm_heads<T>);
    repeat("embed", type, 30, check_embed<T>);
    repeat("rotary", type, 30, check_rotary<T>);
    repeat("glu, activation", type, 60, check_elementwise<T>);
    repeat("tail", type, 60, check_tail<T>);
#define ATTENTION_OF(HEAD_DIM)                                                                      \
    repeat("attention " #HEAD_DIM, type, 12, [] {                                                   \
        check_attention<T, HEAD_DIM>(BUILD(on_attention::attention_long_##HEAD_DIM),                \
                                     BUILD(on_attention::attention_short_##HEAD_DIM));              \
    });
    ATTENTION_OF(16)
    ATTENTION_OF(32)
    ATTENTION_OF(64)
    ATTENTION_OF(128)
}

int main() {
    check_all<bf16>("bf16");
    check_all<f16>("f16");
    repeat("nearest", "f32", 30, check_nearest);
}
