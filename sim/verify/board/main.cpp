// A simulated board: the accelerator's clock, the host's way to its registers, and to its memory.
//
// Commands come on standard input and are answered on standard output, numbers in the byte order
// of the machine (little-endian):
//   R address:u32                    -> response:u8 value:u32      a register is read
//   W address:u32 value:u32          -> response:u8                one is written
//   S place:u64 count:u64 bytes      -> 0:u8                       memory is written
//   L place:u64 count:u64            -> bytes                      memory is read
//   I cycles:u64                     -> raised:u8 now:u64          until an interrupt, at most so long
//   Z                                -> size:u64                   bytes of memory
// A response is that of AXI, or 4: none came. The program ends with its input.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"
#if defined(TRACE_FST)
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif defined(TRACE_VCD)
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#else
struct Trace {
  void dump(uint64_t) {}
  void close() {}
};
#endif

// Verilator's name of a register port: it escapes the second of two underscores.
#define CONTROL(name) control___05F##name

namespace {

constexpr int kLimit = 1000;    // cycles within which a register answers
constexpr uint8_t kNone = 4;

std::unique_ptr<VerilatedContext> context;
std::unique_ptr<Vtop> top;
std::unique_ptr<Trace> trace;
uint64_t now = 0;   // cycles

void settle(bool clock) {
  top->clk = clock;
  top->eval();
  if (trace) trace->dump(10 * now + (clock ? 5 : 0));
}

void rise() {
  settle(true);
  ++now;
}

void cycle() {
  settle(false);
  rise();
}

void fail(const char *what) {
  std::fprintf(stderr, "simulated board: %s\n", what);
  std::exit(1);
}

void take(void *place, size_t count) {
  if (count && std::fread(place, 1, count, stdin) != count) fail("a command was cut off");
}

void give(const void *place, size_t count) {
  if (count && std::fwrite(place, 1, count, stdout) != count) fail("nobody reads the answers");
}

template <typename Number> Number taken() {
  Number number;
  take(&number, sizeof number);
  return number;
}

template <typename Number> void give(Number number) { give(&number, sizeof number); }

// One register is read: the response, and the value.
uint8_t read(uint32_t address, uint32_t &value) {
  top->CONTROL(araddr) = address;
  top->CONTROL(arvalid) = 1;
  top->CONTROL(rready) = 1;
  for (int waited = 0; waited < kLimit; ++waited) {
    settle(false);
    const bool accepted = top->CONTROL(arvalid) && top->CONTROL(arready);
    const bool answered = top->CONTROL(rvalid);
    const uint8_t response = top->CONTROL(rresp);
    value = top->CONTROL(rdata);
    rise();
    if (accepted) top->CONTROL(arvalid) = 0;
    if (answered) {
      top->CONTROL(rready) = 0;
      return response;
    }
  }
  return kNone;
}

uint8_t write(uint32_t address, uint32_t value) {
  top->CONTROL(awaddr) = address;
  top->CONTROL(wdata) = value;
  top->CONTROL(wstrb) = 15;
  top->CONTROL(awvalid) = top->CONTROL(wvalid) = top->CONTROL(bready) = 1;
  for (int waited = 0; waited < kLimit; ++waited) {
    settle(false);
    const bool address_taken = top->CONTROL(awready), value_taken = top->CONTROL(wready);
    const bool answered = top->CONTROL(bvalid);
    const uint8_t response = top->CONTROL(bresp);
    rise();
    if (address_taken) top->CONTROL(awvalid) = 0;
    if (value_taken) top->CONTROL(wvalid) = 0;
    if (answered) {
      top->CONTROL(bready) = 0;
      return response;
    }
  }
  return kNone;
}

// The memories, of the same size, one behind the other.
constexpr uint64_t kSize = sizeof Vtop___024root::MEMORY_0;

uint8_t *memory(uint64_t number) {
  void *const words[] = {
      &top->rootp->MEMORY_0,
#if MEMORIES > 1
      &top->rootp->MEMORY_1,
#endif
#if MEMORIES > 2
      &top->rootp->MEMORY_2,
      &top->rootp->MEMORY_3,
#endif
  };
  return static_cast<uint8_t *>(words[number]);
}

// Hand the bytes at a place that was asked for to `use`, piece by piece.
template <typename Use> void with_memory(Use use) {
  uint64_t place = taken<uint64_t>(), count = taken<uint64_t>();
  const uint64_t all = MEMORIES * kSize;
  if (place > all || count > all - place) fail("no memory there");
  while (count) {
    const uint64_t piece = std::min(count, kSize - place % kSize);
    use(memory(place / kSize) + place % kSize, piece);
    place += piece;
    count -= piece;
  }
}

uint8_t wait(uint64_t cycles) {
  for (; cycles; --cycles) {
    cycle();
    if (top->raised) return 1;
  }
  return top->raised;
}

void obey(int command) {
  switch (command) {
    case 'R': {
      uint32_t value = 0;
      const uint8_t response = read(taken<uint32_t>(), value);
      give(response);
      give(value);
      break;
    }
    case 'W': {
      const uint32_t address = taken<uint32_t>();
      give(write(address, taken<uint32_t>()));
      break;
    }
    case 'S':
      with_memory([](uint8_t *place, uint64_t count) { take(place, count); });
      give<uint8_t>(0);
      break;
    case 'L':
      with_memory([](const uint8_t *place, uint64_t count) { give(place, count); });
      break;
    case 'Z':
      give<uint64_t>(MEMORIES * kSize);
      break;
    case 'I': {
      const uint8_t raised = wait(taken<uint64_t>());
      give(raised);
      give(now);
      break;
    }
    default:
      fail("unknown command");
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char **argv) {
  context = std::make_unique<VerilatedContext>();
  context->traceEverOn(argc > 1);
  top = std::make_unique<Vtop>(context.get());
#if defined(TRACE_FST) || defined(TRACE_VCD)
  if (argc > 1) {
    trace = std::make_unique<Trace>();
    top->trace(trace.get(), 99);
    trace->open(argv[1]);
  }
#endif
  top->rst = 1;
  for (int held = 0; held < 3; ++held) cycle();
  top->rst = 0;
  for (int command; (command = std::getchar()) != EOF;) obey(command);
  if (trace) trace->close();
  top->final();
  return 0;
}
