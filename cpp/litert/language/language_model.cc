#include "litert/language/language_model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "litert/language/litert_executor.h"
#include "litert/language/signature_slots.h"
#include "litert/runtime/element_type.h"
#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

using runtime::CompiledModel;
using runtime::FileMapping;
using runtime::Model;
using runtime::StatusError;

constexpr int kInvalidArgument = 1;
constexpr int kRuntimeFailure = 3;
constexpr int kUnsupported = 5;

// Shorter caches than this save nothing worth a resize.
constexpr size_t kShortestLength = 128;
// A compiled length that is up to so many times too long is used as it is.
constexpr int32_t kTolerableExcess = 4;

// Lengths are a tenth or so apart: each is compared with the full length once, on each machine.
size_t round_up_to_step(size_t num_tokens) {
  size_t step = 64;
  for (size_t limit = 640; num_tokens > limit; limit *= 2) {
    step *= 2;
  }
  return std::max((num_tokens + step - 1) / step * step, kShortestLength);
}

std::vector<CachePorts> cache_ports(const ModelLayout& layout) {
  std::vector<CachePorts> ports;
  const auto add = [&](const SignatureRoles& roles) {
    CachePorts& port = ports.emplace_back();
    port.signature = roles.key;
    port.mask = roles.mask;
    for (const CacheRole& cache : roles.caches) {
      port.caches.push_back({cache.input, cache.output, cache.sequence_axis});
    }
  };
  std::for_each(layout.prefills.begin(), layout.prefills.end(), add);
  add(layout.decode);
  return ports;
}

std::vector<size_t> prefill_lengths(const ModelLayout& layout) {
  std::vector<size_t> lengths;
  for (const SignatureRoles& roles : layout.prefills) {
    lengths.push_back(roles.num_tokens);
  }
  return lengths;
}

}  // namespace

std::shared_ptr<LanguageModel> LanguageModel::load(std::shared_ptr<const runtime::OpenFile> file,
                                                   Section model, std::optional<Section> embedder,
                                                   ModelLayout layout,
                                                   const LanguageModelOptions& options) {
  std::shared_ptr<LanguageModel> loaded =
      std::make_shared<LanguageModel>(std::move(file), model, std::move(layout), options);
  if (embedder.has_value()) {
    loaded->load_embedder(*embedder);
  }
  // Compiled now: what cannot be shows at load.
  LiteRtExecutor(loaded).reserve(1, 1, 0);
  // The library has its own copy of the graph; what a run reads (tables, small constants) comes
  // back.
  loaded->mapping_->release_pages();
  return loaded;
}

LanguageModel::LanguageModel(std::shared_ptr<const runtime::OpenFile> file, Section section,
                             ModelLayout layout, LanguageModelOptions options)
    : file_(std::move(file)),
      section_(section),
      layout_(std::move(layout)),
      options_(std::move(options)),
      costs_(prefill_lengths(layout_)) {
  const std::shared_ptr<const FileMapping> whole = file_->map();
  mapping_ = FileMapping::section(whole, section_.offset, section_.size);
  if (!options_.cache_folder.empty()) {
    folder_ = runtime::CacheFolder::open(options_.cache_folder);
    if (folder_ == nullptr) {
      note("the cache folder " + options_.cache_folder +
           " cannot be used: packed weights stay in memory");
    }
  }
  content_hash_ = runtime::content_hash(folder_.get(), *file_, *whole);
  if (folder_ != nullptr) {
    weights_.emplace(folder_, content_hash_ + "-" + std::to_string(section_.offset));
  }
  analyse_length();
  set_context_length();
  read_cache_shapes();
}

void LanguageModel::analyse_length() {
  plan_ = LengthPlan::analyse(mapping_->bytes(), cache_ports(layout_), layout_.length);
  if (plan_.use() == LengthUse::kFixed) {
    note("the context is always " + std::to_string(layout_.length) + " tokens: " + plan_.reason());
  }
}

void LanguageModel::set_context_length() {
  const int32_t wanted = options_.context_length > 0 ? options_.context_length : layout_.length;
  const int32_t longest = plan_.use() == LengthUse::kFixed ? layout_.length : plan_.max_length();
  if (wanted > longest) {
    throw StatusError(kInvalidArgument,
                      "context_length: this model holds " + std::to_string(longest) +
                          " tokens at most and its caches cannot be made longer, got " +
                          std::to_string(wanted));
  }
  context_length_ = static_cast<size_t>(wanted);
}

void LanguageModel::load_embedder(Section section) {
  const std::shared_ptr<const Model> model =
      Model::load(FileMapping::section(file_->map(), section.offset, section.size));
  embedder_ = std::make_unique<Embedder>(
      CompiledModel::compile(model, {.num_threads = 1, .use_xnnpack = options_.use_xnnpack}),
      layout_.embedders);
}

void LanguageModel::read_cache_shapes() {
  const std::vector<runtime::SignaturePorts> signatures =
      runtime::read_signature_ports(mapping_->bytes());
  const auto decode = std::find_if(signatures.begin(), signatures.end(), [&](const auto& ports) {
    return ports.key == layout_.decode.key;
  });
  if (decode == signatures.end()) {
    throw StatusError(kUnsupported, "the model has no signature '" + layout_.decode.key + "'");
  }
  for (const CacheRole& cache : layout_.decode.caches) {
    const auto input = std::find_if(decode->inputs.begin(), decode->inputs.end(),
                                    [&](const auto& named) { return named.first == cache.input; });
    if (input == decode->inputs.end()) {
      throw StatusError(kUnsupported, "the model has no tensor '" + cache.input + "'");
    }
    const runtime::FileTensor& tensor = input->second;
    const size_t bits = runtime::bits_of(tensor.element_type);
    if (bits == 0 || bits % 8 != 0 || cache.sequence_axis >= tensor.shape.size()) {
      throw StatusError(kUnsupported, "the cache '" + cache.input + "' is of type " +
                                          std::string(runtime::name_of(tensor.element_type)) +
                                          " and rank " + std::to_string(tensor.shape.size()));
    }
    cache_shapes_.push_back({tensor.shape, cache.sequence_axis, bits / 8});
  }
}

int32_t LanguageModel::length_for(size_t num_tokens) {
  check_open();
  const std::lock_guard lock(loading_);
  const size_t longest = std::max(context_length_, static_cast<size_t>(layout_.length));
  const int32_t length = static_cast<int32_t>(std::min(round_up_to_step(num_tokens), longest));
  if (plan_.use() == LengthUse::kFixed || !is_exact(length)) {
    if (num_tokens > static_cast<size_t>(layout_.length)) {
      throw StatusError(kRuntimeFailure, "the context cannot grow past the " +
                                             std::to_string(layout_.length) +
                                             " tokens that the model was exported with");
    }
    return layout_.length;
  }
  const bool is_near = latest_length_ >= length && latest_length_ <= length * kTolerableExcess;
  return plan_.use() == LengthUse::kRewritable && is_near ? latest_length_ : length;
}

std::shared_ptr<SharedCompiled> LanguageModel::compiled_for(int32_t length, Prefills prefills) {
  check_open();
  const std::lock_guard lock(loading_);
  return shared_at(length, prefills);
}

std::shared_ptr<SharedCompiled> LanguageModel::shared_at(int32_t length, Prefills prefills) {
  const int32_t compiled_length = plan_.use() == LengthUse::kRewritable ? length : layout_.length;
  const auto serves = [&](const std::shared_ptr<SharedCompiled>& shared) {
    return shared != nullptr && shared->prefills >= prefills;
  };
  if (latest_length_ == compiled_length && serves(latest_)) {
    return latest_;
  }
  std::shared_ptr<SharedCompiled> found = compiled_[compiled_length].lock();
  if (!serves(found)) {
    // Before the next one takes its memory.
    found.reset();
    latest_.reset();
    latest_length_ = 0;
    found = compile(compiled_length, prefills);
    compiled_[compiled_length] = found;
  }
  latest_ = found;
  latest_length_ = compiled_length;
  return found;
}

std::shared_ptr<SharedCompiled> LanguageModel::compile(int32_t length, Prefills prefills) {
  std::shared_ptr<const FileMapping> bytes = mapping_;
  if (length != layout_.length) {
    runtime::PrivateCopy copy = file_->map_private();
    const std::span<std::byte> section = copy.bytes.subspan(static_cast<size_t>(section_.offset),
                                                            static_cast<size_t>(section_.size));
    plan_.apply(section, length);
    bytes = FileMapping::borrow(section, std::move(copy.owner));
  }
  const std::shared_ptr<const Model> model = Model::load(std::move(bytes));
  const auto compile_with = [&](const runtime::CompileOptions& options) {
    return CompiledModel::compile(model, options);
  };
  runtime::CompileOptions options{.num_threads = options_.num_threads,
                                  .use_xnnpack = options_.use_xnnpack,
                                  .weight_cache_path = runtime::kSharedMemoryWeights,
                                  .prepares_all = false};
  std::shared_ptr<SharedCompiled> shared = std::make_shared<SharedCompiled>();
  shared->prefills = prefills;
  if (prefills == Prefills::kShortest) {
    options.selected_signatures = {layout_.decode.key, layout_.prefills.front().key};
  }
  if (weights_.has_value()) {
    runtime::CachedCompile cached = weights_->compile(options, compile_with);
    shared->compiled = std::move(cached.compiled);
    if (cached.use == runtime::CacheUse::kFailed) {
      note("packed weights stay in memory: " + cached.reason);
    }
  } else {
    shared->compiled = compile_with(options);
  }
  // The library has its own copy of the graph; what a run reads (tables, small constants) comes
  // back.
  mapping_->release_pages();
  return shared;
}

Prefills LanguageModel::fewest_prefills() const {
  return layout_.prefills.size() > 1 ? Prefills::kShortest : Prefills::kAll;
}

bool LanguageModel::is_exact(int32_t length) {
  if (length == layout_.length) {
    return true;
  }
  if (const auto known = verdicts_.find(length); known != verdicts_.end()) {
    return known->second;
  }
  const std::string name = "length-" + content_hash_ + "-" + std::to_string(section_.offset) + "-" +
                           runtime::machine_hash() + "-" + std::to_string(length);
  const std::optional<std::string> kept =
      folder_ == nullptr ? std::nullopt : folder_->read_note(name);
  const bool is_same = kept.has_value() ? *kept == "same" : gives_the_same(length);
  if (!kept.has_value() && folder_ != nullptr) {
    folder_->write_note(name, is_same ? "same" : "different");
  }
  if (!is_same) {
    note("the context is " + std::to_string(layout_.length) + " tokens in place of " +
         std::to_string(length) + ": the results were not the same");
  }
  return verdicts_[length] = is_same;
}

// Reads the same ids at the last positions of `length`, so that every slot is looked at, and
// compares the logits bit by bit.
bool LanguageModel::gives_the_same(int32_t length) {
  constexpr size_t kNumSteps = 2;
  const size_t end = static_cast<size_t>(std::min(length, layout_.length));
  const std::vector<SignatureRoles>& prefills = layout_.prefills;
  const bool has_prefill = !prefills.empty() && prefills.front().num_tokens + kNumSteps <= end;
  const size_t num_prefilled = has_prefill ? prefills.front().num_tokens : 0;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < num_prefilled + kNumSteps; ++i) {
    ids.push_back(static_cast<int32_t>((7 + 31 * i) % layout_.vocab_size));
  }
  const auto logits_at = [&](int32_t wanted) {
    LiteRtExecutor executor(*this, shared_at(wanted, fewest_prefills()), wanted);
    size_t position = end - ids.size();
    if (has_prefill) {
      executor.run_prefill(0, std::span(ids).first(num_prefilled), position);
      position += num_prefilled;
    }
    std::vector<float> logits;
    for (size_t i = num_prefilled; i < ids.size(); ++i, ++position) {
      const std::span<const float> step = executor.step(ids[i], position);
      logits.insert(logits.end(), step.begin(), step.end());
    }
    return logits;
  };
  try {
    const std::vector<float> expected = logits_at(layout_.length);
    const std::vector<float> found = logits_at(length);
    return std::memcmp(expected.data(), found.data(), expected.size() * sizeof(float)) == 0;
  } catch (const StatusError& error) {
    note("the context cannot be " + std::to_string(length) + " tokens: " + error.what());
    return false;
  }
}

void LanguageModel::close() {
  is_closed_ = true;
  const std::lock_guard lock(loading_);
  latest_.reset();
  latest_length_ = 0;
}

void LanguageModel::check_open() const {
  if (is_closed_) {
    throw runtime::ClosedError("the language model is closed");
  }
}

void LanguageModel::note(const std::string& line) {
  const std::lock_guard lock(notes_mutex_);
  notes_.push_back(line);
}

std::vector<std::string> LanguageModel::take_notes() {
  const std::lock_guard lock(notes_mutex_);
  return std::exchange(notes_, {});
}

}  // namespace litert_native::language
