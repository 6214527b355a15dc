// The core on the real library, which LITERT_LIBRARY names; skipped without it.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "files.h"
#include "litert/runtime/bound_run.h"
#include "litert/runtime/compiled_model.h"
#include "litert/runtime/library.h"
#include "litert/runtime/model.h"

namespace {

using namespace litert_native::runtime;  // NOLINT: everything here is about it
using litert_native::tests::error_of;
using litert_native::tests::read_file;

constexpr int kSkipped = 77;

std::shared_ptr<CompiledModel> compile(const std::string& name) {
  return CompiledModel::compile(Model::load(FileMapping::open(name)), {});
}

std::unique_ptr<BoundRun> bind(const std::shared_ptr<CompiledModel>& compiled,
                               std::vector<Shape> shapes, size_t signature = 0) {
  const std::lock_guard lock(compiled->mutex());
  return std::make_unique<BoundRun>(compiled, signature, std::move(shapes));
}

void run(BoundRun& bound) {
  const std::lock_guard lock(bound.compiled().mutex());
  bound.compiled().clear_cancel();
  bound.run();
}

float* floats(const std::shared_ptr<TensorMemory>& memory) {
  return reinterpret_cast<float*>(memory->data());
}

void fill(BoundRun& bound, size_t slot, float value) {
  const std::shared_ptr<TensorMemory>& memory = bound.input_memory(slot);
  std::fill_n(floats(memory), memory->size_bytes() / sizeof(float), value);
}

// z = x - y, float32[2, 3]
bool gives(BoundRun& bound, float x, float y) {
  fill(bound, 0, x);
  fill(bound, 1, y);
  run(bound);
  const float* const z = floats(bound.output_memory(0));
  return std::all_of(z, z + 6, [&](float value) { return value == x - y; });
}

void test_runs_on_inputs_that_stay_bound() {
  const std::unique_ptr<BoundRun> bound =
      bind(compile("elementwise_float32.tflite"), {{2, 3}, {2, 3}});
  for (int i = 0; i < 3; ++i) {
    CHECK(gives(*bound, static_cast<float>(i), 10));
  }
  CHECK(keeps_inputs_bound());
}

void test_two_runs_of_one_model_do_not_mix() {
  const std::shared_ptr<CompiledModel> compiled = compile("elementwise_float32.tflite");
  const std::unique_ptr<BoundRun> first = bind(compiled, {{2, 3}, {2, 3}});
  std::unique_ptr<BoundRun> second = bind(compiled, {{2, 3}, {2, 3}});
  for (int i = 0; i < 3; ++i) {
    CHECK(gives(*first, 1, 2));
    CHECK(gives(*second, 30, 4));
  }
  second.reset();
  CHECK(gives(*first, 5, 6));
}

void test_signatures_take_turns() {
  const std::shared_ptr<CompiledModel> compiled = compile("add.tflite");
  const std::unique_ptr<BoundRun> add = bind(compiled, {{1, 4}, {1, 4}}, 0);
  const std::unique_ptr<BoundRun> scale = bind(compiled, {{1, 4}}, 1);
  for (int i = 0; i < 2; ++i) {
    fill(*add, 0, 1);
    fill(*add, 1, 2);
    run(*add);
    CHECK(floats(add->output_memory(0))[3] == 3);
    fill(*scale, 0, 2);
    run(*scale);
    CHECK(floats(scale->output_memory(0))[3] != 3);
  }
}

void test_resized_and_back() {
  const std::shared_ptr<CompiledModel> compiled = compile("dynamic_batch.tflite");
  const std::unique_ptr<BoundRun> one = bind(compiled, {{1, 4}});
  const std::unique_ptr<BoundRun> five = bind(compiled, {{5, 4}});
  CHECK(one->output_shape(0) == Shape{1, 3});
  CHECK(five->output_shape(0) == Shape{5, 3});
  for (int i = 0; i < 3; ++i) {
    fill(*one, 0, 1);
    fill(*five, 0, 1);
    run(*five);
    run(*one);
    const float* const rows = floats(five->output_memory(0));
    CHECK(std::equal(rows + 12, rows + 15, floats(one->output_memory(0))));
    CHECK(five->output_memory(0)->is_intact());
  }
}

void test_a_refused_shape_leaves_the_model_usable() {
  const std::shared_ptr<CompiledModel> compiled = compile("elementwise_float32.tflite");
  CHECK(error_of([&] { (void)bind(compiled, {{2, 3}, {4, 5}}); }).status() != 0);
  CHECK(gives(*bind(compiled, {{2, 3}, {2, 3}}), 7, 2));
}

void test_an_output_that_is_an_input_shares_its_memory() {
  const std::unique_ptr<BoundRun> bound = bind(compile("output_is_input.tflite"), {{4}});
  size_t num_shared = 0;
  for (size_t slot = 0; slot < bound->signature().outputs.size(); ++slot) {
    num_shared += bound->output_memory(slot) == bound->input_memory(0) ? 1 : 0;
  }
  CHECK(num_shared == 1);
  for (int i = 0; i < 3; ++i) {
    fill(*bound, 0, static_cast<float>(i));
    run(*bound);
    CHECK(floats(bound->input_memory(0))[0] == static_cast<float>(i));
  }
}

void test_memory_of_the_caller_is_bound_as_it_is() {
  const std::unique_ptr<BoundRun> bound =
      bind(compile("elementwise_float32.tflite"), {{2, 3}, {2, 3}});
  CHECK(gives(*bound, 1, 2));
  const std::shared_ptr<TensorMemory> own = TensorMemory::allocate(24, TensorMemory::Use::kInput);
  const std::shared_ptr<TensorMemory> lent =
      TensorMemory::borrow({own->data(), own->size_bytes()}, own);
  bound->bind_input(0, lent);
  CHECK(bound->input_memory(0)->data() == own->data());
  CHECK(gives(*bound, 8, 2));
  CHECK(gives(*bound, 9, 2));
}

void test_close_is_idempotent_and_final() {
  const std::shared_ptr<CompiledModel> compiled = compile("elementwise_float32.tflite");
  const std::unique_ptr<BoundRun> bound = bind(compiled, {{2, 3}, {2, 3}});
  CHECK(gives(*bound, 1, 2));
  {
    const std::lock_guard lock(compiled->mutex());
    compiled->close();
    compiled->close();
  }
  bool is_closed = false;
  try {
    run(*bound);
  } catch (const ClosedError&) {
    is_closed = true;
  }
  CHECK(is_closed);
  CHECK(floats(bound->output_memory(0))[0] == -1);
}

void test_threads_take_turns() {
  const std::shared_ptr<CompiledModel> compiled = compile("elementwise_float32.tflite");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&compiled, i] {
      const std::unique_ptr<BoundRun> bound = bind(compiled, {{2, 3}, {2, 3}});
      for (int round = 0; round < 200; ++round) {
        CHECK(gives(*bound, static_cast<float>(round), static_cast<float>(i)));
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

void test_models_that_cannot_run_rightly_are_refused() {
  for (const char* const name : {"where_dynamic.tflite", "dynamic_batch_stale_shape.tflite",
                                 "copy_string.tflite", "zero_size.tflite", "rank9.tflite"}) {
    CHECK(error_of([&] { (void)compile(name); }).status() == 5);
  }
}

void test_damaged_models_are_refused() {
  for (const char* const name :
       {"invalid_truncated.tflite", "invalid_garbage.tflite", "invalid_text.tflite",
        "invalid_no_identifier.tflite", "invalid_empty.tflite"}) {
    CHECK(error_of([&] { (void)compile(name); }).status() == 501);
  }
  const std::vector<std::byte> whole = read_file("elementwise_float32.tflite");
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::byte> cut(whole.begin(),
                                     whole.begin() + static_cast<std::ptrdiff_t>(size));
    (void)error_of([&] { (void)Model::load(FileMapping::borrow(cut, nullptr)); });
  }
}

void test_load_and_close_again_and_again() {
  for (int i = 0; i < 50; ++i) {
    CHECK(gives(*bind(compile("elementwise_float32.tflite"), {{2, 3}, {2, 3}}), 3, 1));
  }
}

}  // namespace

int main() {
  const char* const path = std::getenv("LITERT_LIBRARY");
  if (path == nullptr) {
    std::puts("skipped: LITERT_LIBRARY names no library");
    return kSkipped;
  }
  open_library(path);
  CHECK(error_of([] { (void)open_library("/nowhere/libLiteRt.so"); }).status() == 502);
  test_runs_on_inputs_that_stay_bound();
  test_two_runs_of_one_model_do_not_mix();
  test_signatures_take_turns();
  test_resized_and_back();
  test_a_refused_shape_leaves_the_model_usable();
  test_an_output_that_is_an_input_shares_its_memory();
  test_memory_of_the_caller_is_bound_as_it_is();
  test_close_is_idempotent_and_final();
  test_threads_take_turns();
  test_models_that_cannot_run_rightly_are_refused();
  test_damaged_models_are_refused();
  test_load_and_close_again_and_again();
}
