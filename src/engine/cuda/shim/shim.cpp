// SPDX-License-Identifier: MIT OR Apache-2.0

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#ifdef MLFF_SHIM_THREADS
#include <barrier>
#include <memory>
#endif

// Behind the standard library, which has attributes of the same names.
#include "shim.h"

namespace shim {
namespace {

/// As much as the largest GPUs have for one block.
constexpr size_t SHARED = 227 * 1024;
constexpr unsigned LANES = 32;

struct Kernel {
  unsigned threads;
  size_t size;
  void (*run)(const void *);
};

std::map<std::pair<std::string, std::string>, Kernel> &kernels() {
  static std::map<std::pair<std::string, std::string>, Kernel> all;
  return all;
}

[[noreturn]] void fail(const char *message) {
  const Index block = self().block, thread = self().thread;
  std::fprintf(stderr, "shim: %s (block %u, %u, thread %u)\n", message, block.x, block.y, thread.x);
  std::abort();
}

/// Values of a warp's lanes on their way; of two turns, since a fast lane may begin the next one.
struct Turns {
  uint64_t values[2][LANES];
};

#ifdef MLFF_SHIM_THREADS

struct Barrier {
  std::unique_ptr<std::barrier<>> all;
  std::vector<std::unique_ptr<std::barrier<>>> warps;
  std::vector<Turns> turns;
};

thread_local Self now;
thread_local Barrier *barrier;
thread_local unsigned turn;

void run_block(const Kernel &kernel, const void *arguments, const Self &first) {
  const unsigned count = first.threads.x;
  Barrier meeting{
      std::make_unique<std::barrier<>>(count), {}, std::vector<Turns>((count + LANES - 1) / LANES)};
  for (unsigned lane = 0; lane < count; lane += LANES)
    meeting.warps.push_back(std::make_unique<std::barrier<>>(std::min(LANES, count - lane)));
  std::vector<std::thread> threads;
  for (unsigned k = 0; k < count; ++k)
    threads.emplace_back([&, k] {
      now = first;
      now.thread.x = k;
      barrier = &meeting;
      turn = 0;
      kernel.run(arguments);
      meeting.warps[k / LANES]->arrive_and_drop();
      meeting.all->arrive_and_drop();
    });
  for (std::thread &thread : threads)
    thread.join();
}

#else

/// A thread of a block. It runs when the count that it waits for has moved on.
struct Fiber {
  Self self;
  void *stack_pointer = nullptr;
  const unsigned *awaited = nullptr;
  unsigned seen = 0, turn = 0;
  bool done = false;
};

/// Threads that wait for each other: how many there are, how many are here, and how often all were.
struct Meeting {
  unsigned members = 0, here = 0, times = 0;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Meeting> warps;
  std::vector<Turns> turns;
  Meeting all;
  const Kernel *kernel;
  const void *arguments;
  void *scheduler = nullptr;
};

thread_local Block *block;
thread_local Fiber *fiber;

#ifndef __x86_64__
#error "the shim changes between fibers with instructions of x86-64: add those of this processor"
#endif

/// Saves what a function call must preserve on this stack, notes where in *from, and goes on from
/// `to`.
extern "C" void mlff_shim_switch(void **from, void *to);
asm(R"(
.text
.type mlff_shim_switch, @function
mlff_shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size mlff_shim_switch, .-mlff_shim_switch
)");

void leave(Meeting &meeting) {
  if (--meeting.members > 0 && meeting.here == meeting.members) {
    meeting.here = 0;
    ++meeting.times;
  }
}

[[noreturn]] void begin() {
  block->kernel->run(block->arguments);
  fiber->done = true;
  leave(block->all);
  leave(block->warps[fiber->self.thread.x / LANES]);
  mlff_shim_switch(&fiber->stack_pointer, block->scheduler);
  std::abort();
}

void meet(Meeting &meeting) {
  if (++meeting.here == meeting.members) {
    meeting.here = 0;
    ++meeting.times;
    return;
  }
  fiber->awaited = &meeting.times;
  fiber->seen = meeting.times;
  mlff_shim_switch(&fiber->stack_pointer, block->scheduler);
}

void run_block(const Kernel &kernel, const void *arguments, const Self &first) {
  constexpr size_t STACK = 64 * 1024;
  static thread_local std::vector<std::vector<unsigned char>> stacks;
  const unsigned count = first.threads.x;
  while (stacks.size() < count)
    stacks.emplace_back(STACK);
  Block work;
  work.kernel = &kernel;
  work.arguments = arguments;
  work.fibers.resize(count);
  work.warps.resize((count + LANES - 1) / LANES);
  work.turns.resize(work.warps.size());
  work.all.members = count;
  for (unsigned k = 0; k < count; ++k) {
    ++work.warps[k / LANES].members;
    work.fibers[k].self = first;
    work.fibers[k].self.thread.x = k;
    // A stack as if `begin` had just been called: six registers, and where to return to.
    uintptr_t top = reinterpret_cast<uintptr_t>(stacks[k].data() + STACK) / 16 * 16 - 8;
    void **frame = reinterpret_cast<void **>(top) - 7;
    std::memset(frame, 0, 7 * sizeof *frame);
    frame[6] = reinterpret_cast<void *>(begin);
    work.fibers[k].stack_pointer = frame;
  }
  block = &work;
  for (unsigned left = count; left > 0;) {
    bool progress = false;
    for (Fiber &next : work.fibers) {
      if (next.done || (next.awaited && *next.awaited == next.seen))
        continue;
      next.awaited = nullptr;
      fiber = &next;
      mlff_shim_switch(&work.scheduler, next.stack_pointer);
      left -= next.done;
      progress = true;
    }
    if (!progress)
      fail("threads wait for each other forever");
  }
}

#endif

} // namespace

Entry::Entry(const char *module, const char *name, unsigned threads, size_t size,
             void (*run)(const void *)) {
  kernels()[{module, name}] = {threads, size, run};
}

#ifdef MLFF_SHIM_THREADS

const Self &self() { return now; }

void wait_for_block() { barrier->all->arrive_and_wait(); }

const uint64_t *of_warp(unsigned mask, uint64_t value) {
  if (mask != ~0u)
    fail("an operation of a part of a warp");
  const unsigned thread = now.thread.x;
  uint64_t *const values = barrier->turns[thread / LANES].values[turn++ % 2];
  values[thread % LANES] = value;
  barrier->warps[thread / LANES]->arrive_and_wait();
  return values;
}

#else

const Self &self() { return fiber->self; }

void wait_for_block() { meet(block->all); }

const uint64_t *of_warp(unsigned mask, uint64_t value) {
  const unsigned thread = fiber->self.thread.x;
  Meeting &warp = block->warps[thread / LANES];
  if (mask != ~0u || warp.members != LANES)
    fail("an operation of a part of a warp");
  uint64_t *const values = block->turns[thread / LANES].values[fiber->turn++ % 2];
  values[thread % LANES] = value;
  meet(warp);
  return values;
}

#endif

} // namespace shim

/// How many kernels have been run.
static std::atomic<unsigned> launches{0};
extern "C" unsigned mlff_shim_launches() { return launches; }

/// Runs a kernel to its end. `grid` blocks of `threads` threads; `arguments` of `size` bytes. Gives
/// null, or what is wrong.
extern "C" const char *mlff_shim_launch(const char *module, const char *name, const unsigned *grid,
                                        unsigned threads, size_t shared, const void *arguments,
                                        size_t size) {
  using namespace shim;
  const auto found = kernels().find({module, name});
  if (found == kernels().end())
    return "there is no such kernel";
  if (found->second.size != size)
    return "the arguments have another size";
  if (shared > SHARED)
    return "a block has at most 227 KiB of shared memory";
  if (threads > found->second.threads || threads == 0)
    return "it was compiled for blocks of fewer threads";
  ++launches;
  const Kernel kernel = found->second;
  const unsigned count = grid[0] * grid[1];
  std::atomic<unsigned> next{0};
  const auto work = [&] {
    std::vector<float4> memory(SHARED / sizeof(float4));
    Self first;
    first.shared = reinterpret_cast<unsigned char *>(memory.data());
    first.threads = {threads, 1, 1};
    first.blocks = {grid[0], grid[1], 1};
    for (unsigned block; (block = next++) < count;) {
      std::memset(first.shared, 0xff, shared);
      first.block = {block % grid[0], block / grid[0], 0};
      run_block(kernel, arguments, first);
    }
  };
  const unsigned processors = std::min(count, std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> others;
  for (unsigned k = 1; k < processors; ++k)
    others.emplace_back(work);
  work();
  for (std::thread &thread : others)
    thread.join();
  return nullptr;
}
