// Written for this project: upstream generates this file when it is built. Empty means that neither
// the GPU nor the NPU declarations are left out, as in upstream's build_config_gpu_npu.h.
#pragma once
