#include "litert/runtime/stderr_capture.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace {

using litert_native::runtime::StderrCapture;
using litert_native::tests::contains;

void print(const std::string& text) { std::fprintf(stderr, "%s", text.c_str()); }

// Sends descriptor 2 into a file, and gives back what came.
class DescriptorTwo {
 public:
  DescriptorTwo() : file_(std::tmpfile()), saved_(::dup(STDERR_FILENO)) {
    CHECK(file_ != nullptr && ::dup2(::fileno(file_), STDERR_FILENO) >= 0);
  }
  ~DescriptorTwo() {
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
    std::fclose(file_);
  }
  DescriptorTwo(const DescriptorTwo&) = delete;
  DescriptorTwo& operator=(const DescriptorTwo&) = delete;

  [[nodiscard]] std::string text() const {
    std::string read(1 << 20, '\0');
    const ssize_t size = ::pread(::fileno(file_), read.data(), read.size(), 0);
    CHECK(size >= 0);
    read.resize(static_cast<size_t>(size));
    return read;
  }

 private:
  std::FILE* file_;
  int saved_;
};

void test_own_text_is_kept_and_nothing_is_printed() {
  std::string kept;
  std::string printed;
  {
    const DescriptorTwo two;
    {
      const StderrCapture capture;
      print("INFO: a line that says nothing\n");
      print("ERROR: a reason\n");
      kept = capture.text();
    }
    print("afterwards\n");
    printed = two.text();
  }
  CHECK(kept == "ERROR: a reason\n");
  CHECK(printed == "afterwards\n");
}

void test_captures_nest() {
  std::string inner_text;
  std::string outer_text;
  {
    const StderrCapture outer;
    print("before\n");
    {
      const StderrCapture inner;
      print("inside\n");
      inner_text = inner.text();
    }
    print("behind\n");
    outer_text = outer.text();
  }
  CHECK(inner_text == "inside\n");
  CHECK(outer_text == "before\nbehind\n");
}

void test_another_threads_text_reaches_the_descriptor() {
  std::string kept;
  std::string printed;
  {
    const DescriptorTwo two;
    {
      const StderrCapture capture;
      std::thread([] { print("of another thread\n"); }).join();
      print("of this thread\n");
      kept = capture.text();
    }
    printed = two.text();
  }
  CHECK(kept == "of this thread\n");
  CHECK(printed == "of another thread\n");
}

void test_many_threads_capture_their_own() {
  constexpr int kThreads = 4;
  constexpr int kRounds = 500;
  std::atomic<int> num_wrong = 0;
  {
    const DescriptorTwo two;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([i, &num_wrong] {
        const std::string mine = "of thread " + std::to_string(i) + "\n";
        for (int round = 0; round < kRounds; ++round) {
          const StderrCapture capture;
          print(mine);
          num_wrong += capture.text() != mine ? 1 : 0;
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    num_wrong += two.text().empty() ? 0 : 1;
  }
  CHECK(num_wrong == 0);
}

// The C library is told that nothing was written; it would go on behind the text, here in a page
// that cannot be read.
void test_text_that_cannot_be_written_is_lost() {
  constexpr size_t kPage = 65536;  // or a multiple of one
  constexpr size_t kText = 20;
  auto* const pages =
      static_cast<char*>(::mmap(nullptr, 2 * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  CHECK(pages != MAP_FAILED && ::mprotect(pages + kPage, kPage, PROT_NONE) == 0);
  const int saved = ::dup(STDERR_FILENO);
  ::close(STDERR_FILENO);
  size_t num_written = kText;
  {
    const StderrCapture capture;
    std::thread([&] { num_written = std::fwrite(pages + kPage - kText, 1, kText, stderr); }).join();
  }
  ::dup2(saved, STDERR_FILENO);
  ::close(saved);
  ::munmap(pages, 2 * kPage);
  CHECK(num_written == 0);
}

}  // namespace

int main() {
#if defined(__GLIBC__)
  std::FILE* const before = stderr;
  test_own_text_is_kept_and_nothing_is_printed();
  test_captures_nest();
  test_another_threads_text_reaches_the_descriptor();
  test_many_threads_capture_their_own();
  test_text_that_cannot_be_written_is_lost();
  CHECK(stderr == before);
#else
  std::puts("skipped: nothing is captured without glibc");
#endif
}
