#include "litert/runtime/profiler.h"

#include <limits>
#include <mutex>
#include <utility>

#include "litert/runtime/library.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr int kUnsupported = 5;

// The library ends some events twice; the second time's length is a negative number in 32 or 64
// unsigned bits. No run is that long.
constexpr uint64_t kLongestEvent = std::numeric_limits<int32_t>::max();

}  // namespace

Profiler::Profiler(std::shared_ptr<CompiledModel> compiled) : compiled_(std::move(compiled)) {
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
  const std::lock_guard lock(compiled_->mutex());
  check(library().reset_profiler(handle()), "reset the profiler");
  check(library().start_profiler(handle()), "start the profiler");
}

std::vector<ProfiledEvent> Profiler::stop() {
  const std::lock_guard lock(compiled_->mutex());
  const Library& api = library();
  LiteRtProfiler profiler = handle();
  check(api.stop_profiler(profiler), "stop the profiler");
  int num_events = 0;
  check(api.get_num_profiler_events(profiler, &num_events), "count the events");
  std::vector<ProfiledEventData> raw(static_cast<size_t>(num_events));
  check(api.get_profiler_events(profiler, num_events, raw.data()), "read the events");
  std::vector<ProfiledEvent> events;
  events.reserve(raw.size());
  for (const ProfiledEventData& event : raw) {
    if (event.elapsed_time_us > kLongestEvent) {
      continue;
    }
    const bool is_in_delegate = event.event_type == DELEGATE_OPERATOR_INVOKE_EVENT ||
                                event.event_type == DELEGATE_PROFILED_OPERATOR_INVOKE_EVENT;
    events.push_back({event.tag == nullptr ? std::string() : std::string(event.tag),
                      is_in_delegate || event.event_type == OPERATOR_INVOKE_EVENT, is_in_delegate,
                      event.elapsed_time_us});
  }
  return events;
}

}  // namespace litert_native::runtime
