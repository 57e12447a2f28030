/* malloc whose every block ends, or begins, at a page that cannot be touched; free leaves pages
   that cannot be touched either, for good. Preload it (LD_PRELOAD); it does nothing until
   guard_mode(GUARD_END or GUARD_BEGIN), and what was allocated before stays as it was. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { OFF, GUARD_END, GUARD_BEGIN };
enum { PAGE = 4096 };
static const size_t ROOM = 1ul << 40;

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), __libc_free(void *);

struct block { size_t first, whole, size; };   /* of the page on which a block begins */
static char *room;
static struct block *blocks;
static size_t used, count;
static int mode = OFF;

static void *reserve(size_t size, int protection)
{
    void *memory = mmap(0, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    return memory;
}

void guard_mode(int wanted)
{
    if (!room) {
        blocks = reserve(ROOM / PAGE * sizeof *blocks, PROT_READ | PROT_WRITE);
        room = reserve(ROOM, PROT_NONE);
    }
    mode = wanted;
}

size_t guard_count(void) { return count; }   /* of blocks made so far */

static int is_ours(void *place)
{
    return room && (char *)place >= room && (char *)place < room + ROOM;
}

static struct block *block_of(void *place) { return blocks + ((char *)place - room) / PAGE; }

static void *guarded(size_t size, int fill)
{
    size_t body = size ? (size + PAGE - 1) / PAGE * PAGE : PAGE;
    size_t whole = body + 2 * PAGE, align = size ? size & -size : 16;
    size_t first = __atomic_fetch_add(&used, whole, __ATOMIC_RELAXED);
    char *start = room + first + PAGE;
    if (first + whole > ROOM || mprotect(start, body, PROT_READ | PROT_WRITE)) abort();
    if (align > 64) align = 64;
    if (mode == GUARD_END) start += (body - size) / align * align;
    *block_of(start) = (struct block){ first, whole, size };
    __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED);
    if (fill) memset(start, fill, size);
    return start;
}

void *malloc(size_t size) { return mode == OFF ? __libc_malloc(size) : guarded(size, 0xA5); }

void *calloc(size_t items, size_t size)
{
    size_t whole;
    if (mode == OFF || __builtin_mul_overflow(items, size, &whole))
        return __libc_calloc(items, size);
    return guarded(whole, 0);
}

void free(void *place)
{
    if (!is_ours(place)) { __libc_free(place); return; }
    struct block block = *block_of(place);
    if (!block.whole) abort();   /* freed twice, or never allocated */
    memset(block_of(place), 0, sizeof block);
    madvise(room + block.first, block.whole, MADV_DONTNEED);
    mprotect(room + block.first, block.whole, PROT_NONE);
}

void *realloc(void *place, size_t size)
{
    if (!place) return malloc(size);
    if (!is_ours(place)) return __libc_realloc(place, size);
    size_t old = block_of(place)->size;
    void *moved = malloc(size);
    memcpy(moved, place, old < size ? old : size);
    free(place);
    return moved;
}
