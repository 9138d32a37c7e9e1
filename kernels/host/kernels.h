// All kernels of kernels/*.cu, compiled for the CPU, each file in its own namespace.
#pragma once

#include "gpu.h"

#include "../common.cuh"
namespace on_embed {
#include "../embed.cu"
}
namespace on_norm {
#include "../norm.cu"
}
namespace on_rotary {
#include "../rotary.cu"
}
namespace on_activation {
#include "../activation.cu"
}
namespace on_glu {
#include "../glu.cu"
}
namespace on_attention {
alignas(128) static unsigned char memory[1 << 17];
#include "../attention.cu"
}
namespace on_tail {
#include "../tail.cu"
}
namespace on_nearest {
#include "../nearest.cu"
}
