#include "litert/runtime/cached_compile.h"

namespace litert_native::runtime {
namespace {

constexpr uint32_t kForceFp16 = 0x4;  // a bit of the delegate's flags

}  // namespace

CachedCompile compile_cached(const std::shared_ptr<const Model>& model, const OpenFile* file,
                             const CompileOptions& options, const std::string& folder) {
  const auto compile = [&](const CompileOptions& completed) {
    return CompiledModel::compile(model, completed);
  };
  if (folder.empty() || !options.use_xnnpack) {
    return {compile(options), CacheUse::kNone, {}};
  }
  if ((options.xnnpack_flags & kForceFp16) != 0) {
    // The library would end the process: "An invalid pack identifier was created".
    return {compile(options), CacheUse::kFailed, "XNNPACK cannot keep weights packed for float16"};
  }
  const std::shared_ptr<const CacheFolder> opened = CacheFolder::open(folder);
  if (opened == nullptr) {
    return {compile(options), CacheUse::kFailed, "the cache folder " + folder + " cannot be used"};
  }
  const FileMapping& mapping = model->mapping();
  const std::string hash =
      file == nullptr ? mapping.content_hash() : content_hash(opened.get(), *file, mapping);
  return WeightCache(opened, hash, options.xnnpack_flags).compile(options, compile);
}

}  // namespace litert_native::runtime
