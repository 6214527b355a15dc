#include "litert/runtime/profiler.h"

#include <dlfcn.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "litert/runtime/import_patch.h"
#include "litert/runtime/library.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr int kUnsupported = 5;

// The library ends some events twice; the second time's length is a negative number in 32 or 64
// unsigned bits. No run is that long.
constexpr uint64_t kLongestEvent = std::numeric_limits<int32_t>::max();

// At the start and end of each event the library asks the C library for the state of the heap. That
// walks over every free piece of it: 8 us in a fresh process, a millisecond in one whose heap is in
// 20,000 pieces, several times what is to be measured. Nothing here reads the answer, so from the
// first profiler on the library gets an empty one; the rest of the process is not affected.
void spare_heap_statistics() {
#ifdef __GLIBC__
  static const bool is_spared = [] {
    void* const handle = dlopen(library().path.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (handle == nullptr) {
      return false;
    }
    struct mallinfo (*const answer)() = []() noexcept {
      struct mallinfo empty = {};
      return empty;
    };
    const bool is_written = replace_import(handle, "mallinfo", reinterpret_cast<void*>(answer));
    dlclose(handle);
    return is_written;
  }();
  (void)is_spared;
#endif
}

EventKind kind_of(LiteRtProfilerEventType type, std::string_view tag) {
  switch (type) {
    case OPERATOR_INVOKE_EVENT:
      // The node that stands for a delegate ("TfLiteXNNPackDelegate") is no operator of the model.
      return tag.starts_with("TfLite") && tag.ends_with("Delegate") ? EventKind::kRunPart
                                                                    : EventKind::kBuiltinOperator;
    case DELEGATE_OPERATOR_INVOKE_EVENT:
    case DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT:
      return EventKind::kDelegateOperator;
    default:
      return EventKind::kRunPart;
  }
}

}  // namespace

Profiler::Profiler(std::shared_ptr<CompiledModel> compiled) : compiled_(std::move(compiled)) {
  spare_heap_statistics();
  compiled_->refuse_inside_kernel();
  const std::lock_guard lock(compiled_->mutex());
  (void)handle();
}

// Asked for each time, as it belongs to the compiled model, which may have been closed.
LiteRtProfiler Profiler::handle() const {
  LiteRtProfiler profiler = nullptr;
  check(library().get_profiler(compiled_->handle(), &profiler), "get the profiler");
  if (profiler == nullptr) {
    throw StatusError(kUnsupported, "the model was compiled without profiling");
  }
  return profiler;
}

void Profiler::start() {
  compiled_->refuse_inside_kernel();
  const std::lock_guard lock(compiled_->mutex());
  check(library().reset_profiler(handle()), "reset the profiler");
  check(library().start_profiler(handle()), "start the profiler");
}

Recording Profiler::stop() {
  compiled_->refuse_inside_kernel();
  const std::unique_lock lock = compiled_->lock_to_end();
  if (!lock.owns_lock()) {
    return {};
  }
  const Library& api = library();
  LiteRtProfiler profiler = handle();
  check(api.stop_profiler(profiler), "stop the profiler");
  int num_events = 0;
  check(api.get_num_profiler_events(profiler, &num_events), "count the events");
  std::vector<ProfiledEventData> raw(static_cast<size_t>(num_events));
  if (!raw.empty()) {  // the library refuses to read none
    check(api.get_profiler_events(profiler, num_events, raw.data()), "read the events");
  }
  Recording recording;
  recording.events.reserve(raw.size());
  std::unordered_map<std::string_view, size_t> known;  // the tags live as long as `raw` is used
  const uint64_t origin_us = raw.empty() ? 0 : raw.front().start_timestamp_us;
  for (const ProfiledEventData& event : raw) {
    if (event.elapsed_time_us > kLongestEvent) {
      continue;
    }
    const std::string_view tag = event.tag == nullptr ? "" : event.tag;
    const auto [name, is_new] = known.emplace(tag, recording.names.size());
    if (is_new) {
      recording.names.emplace_back(tag);
    }
    ProfiledEvent& told = recording.events.emplace_back();
    told = {name->second,          kind_of(event.event_type, tag), std::nullopt,
            event.elapsed_time_us, event.event_metadata1,          event.event_metadata2};
    if (event.start_timestamp_us != 0) {
      told.start_us = event.start_timestamp_us - origin_us;
    }
  }
  // The library writes the ends of events that it drops to the first one, which of itself ends
  // before the second starts. How many it keeps differs: 2,048 in 2.1.6, 512k from 2.2.0.
  if (recording.events.size() > 1) {
    uint64_t& first_us = recording.events[0].duration_us;
    const uint64_t longest_us = recording.events[1].start_us.value_or(first_us);
    recording.is_full = first_us > longest_us;
    first_us = std::min(first_us, longest_us);
  }
  return recording;
}

}  // namespace litert_native::runtime
