#include "litert/runtime/cpu_features.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace litert_native::runtime {
namespace {

struct Arm64Feature {
  unsigned bit;
  std::string_view name;
};

// See asm/hwcap.h, which is there on 64-bit ARM alone.
constexpr Arm64Feature kArm64Features[] = {
    {3, "aes"},      {6, "sha2"},      {7, "crc32"},  {8, "atomics"},  {9, "fphp"},
    {10, "asimdhp"}, {12, "asimdrdm"}, {15, "lrcpc"}, {20, "asimddp"},
};

}  // namespace

std::vector<std::string_view> lacking_arm64_features(uint64_t hwcap) {
  std::vector<std::string_view> lacking;
  for (const Arm64Feature& feature : kArm64Features) {
    if (((hwcap >> feature.bit) & 1U) == 0) {
      lacking.push_back(feature.name);
    }
  }
  return lacking;
}

std::vector<std::string_view> lacking_features() {
#if defined(__aarch64__)
  return lacking_arm64_features(getauxval(AT_HWCAP));
#elif defined(__x86_64__)
  std::vector<std::string_view> lacking;
  const auto need = [&lacking](bool is_present, std::string_view name) {
    if (!is_present) {
      lacking.push_back(name);
    }
  };
  // The names of the compiler, which wants literals, and those of the kernel.
  need(__builtin_cpu_supports("aes") != 0, "aes");
  need(__builtin_cpu_supports("avx") != 0, "avx");
  need(__builtin_cpu_supports("pclmul") != 0, "pclmulqdq");
  need(__builtin_cpu_supports("popcnt") != 0, "popcnt");
  need(__builtin_cpu_supports("sse4.2") != 0, "sse4_2");
  return lacking;
#else
  return {};
#endif
}

}  // namespace litert_native::runtime
