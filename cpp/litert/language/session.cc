#include "litert/language/session.h"

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

constexpr int kInvalidArgument = 1;
constexpr int kRuntimeFailure = 3;

// A generation gets so much room at first, and a quarter more each time that it is used up.
constexpr size_t kMaxRoom = 128;
constexpr size_t kMinGrowth = 64;

}  // namespace

Session::Session(std::unique_ptr<StepExecutor> executor) : executor_(std::move(executor)) {}

void Session::append(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    if (id < 0 || static_cast<size_t>(id) >= vocab_size()) {
      throw runtime::StatusError(kInvalidArgument, "token id " + std::to_string(id) +
                                                       " is outside of the vocabulary of " +
                                                       std::to_string(vocab_size()));
    }
  }
  if (tokens_.size() + ids.size() > context_length()) {
    throw runtime::StatusError(kInvalidArgument, std::to_string(tokens_.size() + ids.size()) +
                                                     " tokens do not fit a context of " +
                                                     std::to_string(context_length()));
  }
  tokens_.insert(tokens_.end(), ids.begin(), ids.end());
}

void Session::truncate(size_t length) {
  tokens_.resize(std::min(length, tokens_.size()));
  num_read_ = std::min(num_read_, tokens_.size());
}

template <typename Call>
auto Session::guarded(Call call) {
  try {
    return call();
  } catch (...) {
    num_read_ = 0;
    throw;
  }
}

bool Session::prefill(size_t room, const Interrupt& interrupt) {
  // The last id is read by step(), also where it was read before: prefill gives no logits.
  num_read_ = std::min(num_read_, tokens_.size() - 1);
  return guarded([&] {
    const size_t expected = std::min(tokens_.size() + std::min(room, kMaxRoom), context_length());
    const std::span<const int32_t> unread =
        std::span(tokens_).subspan(num_read_, tokens_.size() - 1 - num_read_);
    num_read_ += executor_->prefill(unread, num_read_, expected, interrupt);
    return num_read_ + 1 == tokens_.size();
  });
}

std::span<float> Session::step() {
  return guarded([&] {
    const size_t growth = std::max(kMinGrowth, tokens_.size() / 4);
    executor_->reserve(tokens_.size(), std::min(tokens_.size() + growth, context_length()),
                       num_read_);
    const std::span<float> logits = executor_->step(tokens_.back(), num_read_);
    ++num_read_;
    return logits;
  });
}

void Session::close() {
  enter();
  executor_.reset();
  leave();
}

void Session::enter() {
  if (is_in_use_.exchange(true)) {
    throw runtime::StatusError(
        kRuntimeFailure,
        "the session is in use by another thread; give each thread its own session");
  }
}

SessionUse::SessionUse(Session& session) : session_(session) {
  session_.enter();
  if (session_.is_closed()) {
    session_.leave();
    throw runtime::ClosedError("the session is closed");
  }
}

SessionUse::~SessionUse() { session_.leave(); }

}  // namespace litert_native::language
