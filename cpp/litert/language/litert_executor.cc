#include "litert/language/litert_executor.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "litert/language/signature_slots.h"
#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

LiteRtExecutor::LiteRtExecutor(std::shared_ptr<LanguageModel> model)
    : owner_(std::move(model)), model_(owner_.get()) {}

LiteRtExecutor::LiteRtExecutor(LanguageModel& model, std::shared_ptr<SharedCompiled> shared,
                               int32_t length)
    : model_(&model),
      shared_(std::move(shared)),
      caches_(std::in_place, model.cache_shapes(), length) {}

void LiteRtExecutor::reserve(size_t num_tokens, size_t num_expected, size_t num_used) {
  const bool fits = shared_ != nullptr && num_tokens <= static_cast<size_t>(caches_->length());
  if (fits && num_used > 0) {
    return;  // only an empty context becomes shorter again
  }
  const int32_t length = model_->length_for(num_expected);
  if (!is_at(length)) {
    move_to(length, shared_ == nullptr ? model_->fewest_prefills() : shared_->prefills, num_used);
  }
}

bool LiteRtExecutor::is_at(int32_t length) const {
  return shared_ != nullptr && length == caches_->length();
}

void LiteRtExecutor::move_to(int32_t length, Prefills prefills, size_t num_used) {
  // What runs at the old length goes first: it may be a compiled model's worth of memory.
  decode_.reset();
  prefills_.clear();
  shared_.reset();
  shared_ = model_->compiled_for(length, prefills);
  if (caches_.has_value() && caches_->length() == length) {
    return;
  }
  if (num_used == 0) {
    caches_.reset();
    caches_.emplace(model_->cache_shapes(), length);
    return;
  }
  KvCaches caches(model_->cache_shapes(), length);
  caches.take_from(*std::exchange(caches_, std::nullopt), num_used);
  caches_ = std::move(caches);
}

size_t LiteRtExecutor::prefill(std::span<const int32_t> ids, size_t position, size_t num_expected,
                               const Interrupt& interrupt) {
  // An empty context takes its length anew, also a shorter one.
  const bool fits =
      shared_ != nullptr && position > 0 && num_expected <= static_cast<size_t>(caches_->length());
  const int32_t last_length = fits ? caches_->length() : model_->length_for(num_expected);
  const PrefillRoom room{static_cast<size_t>(last_length), model_->resizes()};
  size_t num_read = 0;
  for (const PrefillChunk& chunk : plan_prefill(model_->costs(), ids.size(), position, room)) {
    if (interrupt.reason() != Interrupt::Reason::kNone) {
      return num_read;
    }
    fit_chunk(chunk, position + num_read, room);
    const std::span<const int32_t> part = ids.subspan(num_read, chunk.num_tokens);
    if (chunk.signature.has_value()) {
      run_prefill(*chunk.signature, part, position + num_read);
    } else {
      (void)step(part.front(), position + num_read);
    }
    num_read += chunk.num_tokens;
  }
  if (!is_at(last_length)) {
    move_to(last_length, shared_ == nullptr ? model_->fewest_prefills() : shared_->prefills,
            position + num_read);
  }
  return num_read;
}

// Moves to where a chunk can run: every row looks at all of the caches, so the first chunks of a
// long prompt run at a shorter length than the last ones, where that is easily changed.
void LiteRtExecutor::fit_chunk(const PrefillChunk& chunk, size_t position,
                               const PrefillRoom& room) {
  const size_t num_rows =
      chunk.signature.has_value() ? model_->layout().prefills[*chunk.signature].num_tokens : 1;
  const size_t end = position + num_rows;
  int32_t length = static_cast<int32_t>(room.capacity);
  if (const size_t wanted = length_of_chunk(end, room); wanted < room.capacity) {
    length = std::min(model_->length_for(wanted), length);
  }
  // A context that holds something is not made shorter.
  if (shared_ != nullptr && position > 0 && static_cast<size_t>(caches_->length()) >= end) {
    length = caches_->length();
  }
  Prefills prefills = shared_ == nullptr ? model_->fewest_prefills() : shared_->prefills;
  if (chunk.signature.value_or(0) > 0) {
    prefills = Prefills::kAll;
  }
  if (!is_at(length) || shared_->prefills < prefills) {
    move_to(length, prefills, position);
  }
}

void LiteRtExecutor::run_prefill(size_t signature, std::span<const int32_t> ids, size_t position) {
  const std::lock_guard turn(shared_->turn);
  SignatureRun& run = prefill_run(signature);
  read(run, ids, position);
  model_->costs().record_prefill(signature, static_cast<size_t>(caches_->length()), run_once(run));
}

std::span<float> LiteRtExecutor::step(int32_t id, size_t position) {
  const std::lock_guard turn(shared_->turn);
  if (!decode_.has_value()) {
    decode_ = bind(model_->layout().decode);
  }
  read(*decode_, {&id, 1}, position);
  model_->costs().record_step(static_cast<size_t>(caches_->length()), run_once(*decode_));
  return decode_->logits;
}

void LiteRtExecutor::read(SignatureRun& signature, std::span<const int32_t> ids, size_t position) {
  const size_t num_rows = signature.roles->num_tokens;
  if (!signature.tokens.empty()) {
    std::copy(ids.begin(), ids.end(), signature.tokens.begin());
    std::fill(signature.tokens.begin() + static_cast<std::ptrdiff_t>(ids.size()),
              signature.tokens.end(), 0);
  } else {
    // Rows of padding keep what they had: no row that counts looks at them.
    const size_t row_bytes = signature.embeddings.size() / num_rows;
    model_->embedder()->embed(ids, signature.embeddings.first(ids.size() * row_bytes));
  }
  for (size_t r = 0; r < num_rows; ++r) {
    signature.positions[r] = static_cast<int32_t>(position + r);
  }
  if (!signature.parameters.empty()) {
    signature.parameters[0] = static_cast<int32_t>(position);
    signature.parameters[1] = static_cast<int32_t>(position + ids.size());
    signature.parameters[2] = signature.parameters[1];
  }
  if (signature.mask.has_value()) {
    signature.mask->write(position);
  }
}

double LiteRtExecutor::run_once(SignatureRun& signature) {
  model_->check_open();
  runtime::CompiledModel& compiled = *shared_->compiled;
  const std::lock_guard lock(compiled.mutex());
  const Clock::time_point start = Clock::now();
  try {
    signature.run->run();
  } catch (...) {
    // Whatever is in the caches now: what no run can be harmed by.
    caches_->clear();
    throw;
  }
  return seconds_since(start);
}

LiteRtExecutor::SignatureRun& LiteRtExecutor::prefill_run(size_t signature) {
  const SignatureRoles& roles = model_->layout().prefills[signature];
  const auto found = std::find_if(prefills_.begin(), prefills_.end(),
                                  [&](const SignatureRun& run) { return run.roles == &roles; });
  return found != prefills_.end() ? *found : prefills_.emplace_back(bind(roles));
}

LiteRtExecutor::SignatureRun LiteRtExecutor::bind(const SignatureRoles& roles) {
  const std::shared_ptr<runtime::CompiledModel>& compiled = shared_->compiled;
  const size_t index = find_signature(compiled->model(), roles.key);
  const runtime::SignatureSpec& spec = compiled->signature(index);
  std::vector<runtime::Shape> shapes;
  for (const runtime::Slot& input : spec.inputs) {
    shapes.push_back(input.shape);
  }
  runtime::GivenMemory given;
  given.inputs.resize(spec.inputs.size());
  given.outputs.resize(spec.outputs.size());
  for (size_t i = 0; i < roles.caches.size(); ++i) {
    const size_t input = find_slot(spec.input_names, roles.caches[i].input);
    shapes[input] = model_->cache_shapes()[i].at(caches_->length());
    given.inputs[input] = caches_->memory(i);
    // In and out are one memory: the new slots are written in place.
    given.outputs[find_slot(spec.output_names, roles.caches[i].output)] = caches_->memory(i);
  }
  if (!roles.mask.empty()) {
    shapes[find_slot(spec.input_names, roles.mask)].back() = caches_->length();
  }

  SignatureRun bound;
  bound.roles = &roles;
  {
    const std::lock_guard lock(compiled->mutex());
    bound.run =
        std::make_unique<runtime::BoundRun>(compiled, index, std::move(shapes), std::move(given));
  }
  const auto input = [&](const std::string& name) -> const runtime::TensorMemory& {
    return *bound.run->input_memory(find_slot(spec.input_names, name));
  };
  if (!roles.tokens.empty()) {
    bound.tokens = values_of<int32_t>(input(roles.tokens));
  } else {
    bound.embeddings = values_of<std::byte>(input(roles.embeddings));
  }
  bound.positions = values_of<int32_t>(input(roles.positions));
  if (!roles.parameters.empty()) {
    bound.parameters = values_of<int32_t>(input(roles.parameters));
  }
  if (!roles.mask.empty()) {
    const size_t slot = find_slot(spec.input_names, roles.mask);
    bound.mask.emplace(spec.inputs[slot].element_type, values_of<std::byte>(input(roles.mask)),
                       roles.num_tokens, static_cast<size_t>(caches_->length()));
  }
  if (!roles.logits.empty()) {
    bound.logits =
        values_of<float>(*bound.run->output_memory(find_slot(spec.output_names, roles.logits)));
  }
  return bound;
}

}  // namespace litert_native::language
