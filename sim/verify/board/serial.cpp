// A simulated board at a serial line: its clock, and the bits that a host sends and gets.
//
// Commands come on standard input and are answered on standard output, numbers in the byte order
// of the machine (little-endian):
//   W count:u32 bytes           -> nothing     bytes are sent, while time passes in the other ones
//   R count:u32 cycles:u64      -> got:u32 bytes   until so many came, at most so long
//   S place:u64 count:u64 bytes -> nothing     memory is written in no time
//   N                           -> now:u64 broken:u8   cycles so far; the SDRAM's broken rule, or 0
// The program ends with its input.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

namespace {

std::unique_ptr<VerilatedContext> context;
std::unique_ptr<Vtop> top;
uint64_t now = 0;   // cycles

std::deque<uint8_t> to_send, came;
int send_left = 0, send_frame = 0, send_cycle = 0;
int get_left = 0, get_cycle = 0, get_byte = 0;

void fail(const char *what) {
  std::fprintf(stderr, "simulated board: %s\n", what);
  std::exit(1);
}

void take(void *place, size_t count) {
  if (count && std::fread(place, 1, count, stdin) != count) fail("a command was cut off");
}

template <typename Number> Number taken() {
  Number number;
  take(&number, sizeof number);
  return number;
}

template <typename Number> void give(Number number) {
  if (std::fwrite(&number, sizeof number, 1, stdout) != 1) fail("nobody reads the answers");
}

// The host's end of the line that leads to the board.
void send() {
  if (!send_left && !to_send.empty()) {
    send_frame = to_send.front() << 1 | 1 << 9;
    to_send.pop_front();
    send_left = 10;
    send_cycle = 0;
  }
  top->rx = send_left ? send_frame & 1 : 1;
  if (send_left && ++send_cycle == BIT_CYCLES) {
    send_cycle = 0;
    send_frame >>= 1;
    --send_left;
  }
}

// And of the other one: bits are looked at in their middle.
void listen() {
  if (!get_left) {
    if (!top->tx) {
      get_left = 10;
      get_cycle = BIT_CYCLES / 2;
    }
    return;
  }
  if (++get_cycle < BIT_CYCLES) return;
  get_cycle = 0;
  if (--get_left)
    get_byte = get_byte >> 1 | (top->tx ? 128 : 0);   // the start bit is shifted out again
  else
    came.push_back(get_byte);
}

void cycle() {
  send();
  top->clk = 0;
  top->eval();
  top->clk = 1;
  top->eval();
  listen();
  ++now;
}

void obey(int command) {
  switch (command) {
    case 'W':
      for (auto count = taken<uint32_t>(); count; --count) to_send.push_back(taken<uint8_t>());
      return;
    case 'R': {
      const auto count = taken<uint32_t>();
      for (auto left = taken<uint64_t>(); left && came.size() < count; --left) cycle();
      const uint32_t got = came.size() < count ? came.size() : count;
      give(got);
      for (uint32_t given = 0; given < got; ++given) {
        give(came.front());
        came.pop_front();
      }
      break;
    }
    case 'S': {
      auto &words = top->rootp->MEMORY_0;
      const auto place = taken<uint64_t>(), count = taken<uint64_t>();
      if (place > sizeof words || count > sizeof words - place) fail("no memory there");
      take(reinterpret_cast<uint8_t *>(&words) + place, count);
      return;
    }
    case 'N':
      give(now);
      give<uint8_t>(top->o_broken);
      break;
    default:
      fail("unknown command");
  }
  std::fflush(stdout);
}

}  // namespace

int main() {
  context = std::make_unique<VerilatedContext>();
  top = std::make_unique<Vtop>(context.get());
  top->rst = 1;
  for (int held = 0; held < 3; ++held) cycle();
  top->rst = 0;
  for (int command; (command = std::getchar()) != EOF;) obey(command);
  top->final();
  return 0;
}
