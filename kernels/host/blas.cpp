// The functions of cuBLASLt that src/device/cuda calls, implemented on the CPU: scripts/emulate-cuda builds
// a libcublasLt.so.13 from them. The numbers of attributes and epilogues are those of the library's manual;
// others are rejected.
#include <cmath>
#include <cstdint>
#include <cstring>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "stream.h"

namespace {

enum Result { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum Type { F16 = 2, BF16 = 14 };
/// The bits of an epilogue; 1 alone means none.
enum Epilogue { RELU = 2, BIAS = 4, GELU_TANH = 32 };

/// A column-major matrix.
struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t stride;
};

struct Product {
    int transposed = 0, epilogue = 1;
    uint64_t bias = 0;
};

/// Whether an attribute of the size of `to` was set.
template <typename V> bool set(V &to, const void *from, size_t bytes) {
    return bytes == sizeof to && memcpy(&to, from, bytes);
}

/// out = a^T b. a: [k, m], b: [k, n], out: [m, n], column-major.
template <typename T>
void multiply_as(const Product &product, const void *a, const Layout &of_a, const void *b, const Layout &of_b,
                 void *out, const Layout &of_out) {
    for (uint64_t column = 0; column < of_out.columns; column++) {
        for (uint64_t row = 0; row < of_out.rows; row++) {
            const T *x = static_cast<const T *>(a) + row * of_a.stride;
            const T *y = static_cast<const T *>(b) + column * of_b.stride;
            float sum = 0;
            for (uint64_t k = 0; k < of_a.rows; k++) sum += float(x[k]) * float(y[k]);
            if (product.epilogue & BIAS) {
                sum += float(reinterpret_cast<const T *>(product.bias)[row]);
            }
            if (product.epilogue & RELU) {
                sum = fmaxf(sum, 0);
            }
            if (product.epilogue & GELU_TANH) {
                sum *= 0.5f * (1 + tanhf(0.79788456f * (sum + 0.044715f * sum * sum * sum)));
            }
            static_cast<T *>(out)[column * of_out.stride + row] = T(sum);
        }
    }
}

} // namespace

extern "C" {

int cublasLtCreate(void **handle) { return *handle = new char, SUCCESS; }
int cublasLtDestroy(char *handle) { return delete handle, SUCCESS; }

int cublasLtMatrixLayoutCreate(Layout **layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
    return *layout = new Layout{type, rows, columns, stride}, SUCCESS;
}
int cublasLtMatrixLayoutDestroy(Layout *layout) { return delete layout, SUCCESS; }

int cublasLtMatrixLayoutSetAttribute(Layout *layout, int attribute, const void *value, size_t bytes) {
    constexpr int COLUMNS = 3;
    return attribute == COLUMNS && set(layout->columns, value, bytes) ? SUCCESS : INVALID_VALUE;
}

int cublasLtMatmulDescCreate(Product **product, int, int) { return *product = new Product, SUCCESS; }
int cublasLtMatmulDescDestroy(Product *product) { return delete product, SUCCESS; }

int cublasLtMatmulDescSetAttribute(Product *product, int attribute, const void *value, size_t bytes) {
    enum { TRANSPOSED = 3, EPILOGUE = 7, BIAS_POINTER = 8 };
    const bool known = attribute == TRANSPOSED     ? set(product->transposed, value, bytes)
                       : attribute == EPILOGUE     ? set(product->epilogue, value, bytes)
                       : attribute == BIAS_POINTER ? set(product->bias, value, bytes)
                                                   : false;
    return known ? SUCCESS : INVALID_VALUE;
}

int cublasLtMatmulPreferenceCreate(void **preference) { return *preference = new char, SUCCESS; }
int cublasLtMatmulPreferenceDestroy(char *preference) { return delete preference, SUCCESS; }
int cublasLtMatmulPreferenceSetAttribute(void *, int attribute, const void *, size_t bytes) {
    enum { WORKSPACE_BYTES_MAX = 1, REDUCTION_SCHEMES = 3 };
    const size_t wanted = attribute == WORKSPACE_BYTES_MAX ? sizeof(size_t)
                          : attribute == REDUCTION_SCHEMES ? sizeof(uint32_t)
                                                           : 0;
    return wanted > 0 && bytes == wanted ? SUCCESS : INVALID_VALUE;
}

int cublasLtMatmulAlgoGetHeuristic(void *, Product *, Layout *, Layout *, Layout *, Layout *, void *, int, void *found,
                                   int *count) {
    // cublasLtMatmulHeuristicResult_t: zeros mean success.
    return memset(found, 0, 96), *count = 1, SUCCESS;
}

int cublasLtMatmul(void *, const Product *product, const float *alpha, const void *a, const Layout *of_a, const void *b,
                   const Layout *of_b, const float *beta, const void *, const Layout *, void *out, const Layout *of_out,
                   const void *, void *, size_t, void *stream) {
    const bool fits = of_a->rows == of_b->rows && of_a->columns == of_out->rows && of_b->columns == of_out->columns;
    if (!fits || product->transposed != 1 || *alpha != 1 || *beta != 0) {
        return INVALID_VALUE;
    }
    if (of_a->type != F16 && of_a->type != BF16) {
        return NOT_SUPPORTED;
    }
    const auto multiply = of_a->type == F16 ? multiply_as<__half> : multiply_as<__nv_bfloat16>;
    // The caller may change the descriptors after this call.
    on_stream(stream, [=, product = *product, of_a = *of_a, of_b = *of_b, of_out = *of_out] {
        multiply(product, a, of_a, b, of_b, out, of_out);
    });
    return SUCCESS;
}

} // extern "C"
