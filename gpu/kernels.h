// What gpu/*.c have in common: vectors, products with packed matrices, threads.
//
// Exact by construction: what a token's row becomes is the same sequence of correctly rounded operations whatever else is in the step,
// however many threads there are and whatever the processor. Every product adds up along k, in order, in a lane of its own; every
// reduction is a fixed tree; a multiply-add is one only where it says so (-ffp-contract=off), and exp() is written out. So workers on
// different processors give the same bits, too. Vectors are of 16 floats in the source; the compiler splits them where the machine's
// are shorter, which changes no bit.

#ifndef PENSTOCK_KERNELS
#define PENSTOCK_KERNELS

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define PANEL 32 // rows of a matrix that lie together
#define GROUP 32 // columns of a matrix that share a scale
#define SPINS 200 // looks at a barrier before the core is offered to others
#ifdef __AVX512F__
#define TILE 8 // rows of activations that share a load of weights; more gain little
#else
#define TILE 3
#endif
#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif
#define INLINE static inline __attribute__((always_inline))

typedef float F __attribute__((vector_size(64), aligned(4)));
typedef int32_t I __attribute__((vector_size(64), aligned(4)));
typedef uint8_t U8 __attribute__((vector_size(16), aligned(1)));
typedef int8_t S8 __attribute__((vector_size(16), aligned(1)));
typedef _Float16 H __attribute__((vector_size(32), aligned(2)));

// values: [rows / PANEL][columns][PANEL], four bits (row i beside row i + 16) or eight; scales: [rows / PANEL][columns / GROUP][PANEL],
// for four bits followed by as many minima: [..][2][PANEL]. A weight is scale * value + minimum. Rows are padded to whole panels.
typedef struct { const uint8_t *values; const _Float16 *scales; int32_t rows, columns, bits; } Matrix;

// ---- arithmetic

INLINE F splat(float x) { return x - (F){}; } // a load; 0 + x would be an addition, which makes 0 of -0
INLINE F fma16(F a, F b, F c) { return __builtin_elementwise_fma(a, b, c); }
INLINE F load(const float *from) { return *(const F *)from; }
INLINE void store(float *to, F x) { *(F *)to = x; }

INLINE F pick(I where, F a, F b) { return (F)(((I)a & where) | ((I)b & ~where)); }

INLINE float sum(F x) {
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) x[i] += x[i + half];
  return x[0];
}

INLINE float largest(F x) {
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) x[i] = x[i] > x[i + half] ? x[i] : x[i + half];
  return x[0];
}

// exp() within 2 ulp; 0 below -87. Cody and Waite's reduction, then the Taylor polynomial of degree 7 on +-ln 2 / 2.
INLINE F exp16(F x) {
  const F magic = splat(12582912.0f);
  F clamped = pick(x > splat(-87.0f), x, splat(-87.0f));
  clamped = pick(clamped < splat(88.0f), clamped, splat(88.0f));
  F whole = fma16(clamped, splat(1.44269504f), magic) - magic;
  F rest = fma16(whole, splat(-0.693359375f), clamped);
  rest = fma16(whole, splat(2.12194440e-4f), rest);
  F power = splat(1.0f / 5040);
  power = fma16(power, rest, splat(1.0f / 720));
  power = fma16(power, rest, splat(1.0f / 120));
  power = fma16(power, rest, splat(1.0f / 24));
  power = fma16(power, rest, splat(1.0f / 6));
  power = fma16(power, rest, splat(0.5f));
  power = fma16(power, rest, splat(1.0f));
  power = fma16(power, rest, splat(1.0f));
  I exponent = (__builtin_convertvector(whole, I) + 127) << 23;
  F scaled = power * (F)exponent;
  return pick(x >= splat(-87.0f), scaled, pick(x == x, splat(0.0f), x));
}

// ---- products

// 32 weights of one column, as whole numbers.
INLINE void column(const uint8_t *values, const int bits, F *low, F *high) {
  if (bits == 4) {
    I both = __builtin_convertvector(*(const U8 *)values, I);
    *low = __builtin_convertvector(both & 15, F);
    *high = __builtin_convertvector(both >> 4, F);
  } else {
    *low = __builtin_convertvector(__builtin_convertvector(*(const S8 *)values, I), F);
    *high = __builtin_convertvector(__builtin_convertvector(*(const S8 *)(values + LANES), I), F);
  }
}

// One panel's products with `tile` rows x[row * stride ...]: out[row][0 .. 1].
INLINE void panel(const Matrix *m, const int bits, const int tile, int64_t index, const float *x, int64_t stride, const float *sums, F out[][2]) {
  const int64_t groups = m->columns / GROUP;
  const uint8_t *values = m->values + index * m->columns * PANEL * bits / 8;
  const _Float16 *scales = m->scales + index * groups * PANEL * (bits == 4 ? 2 : 1);
  for (int row = 0; row < tile; row++) out[row][0] = out[row][1] = splat(0.0f);
  for (int64_t group = 0; group < groups; group++) {
    F part[TILE][2];
    for (int row = 0; row < tile; row++) part[row][0] = part[row][1] = splat(0.0f);
#pragma clang loop unroll_count(4)
    for (int k = 0; k < GROUP; k++) {
      F low, high;
      column(values, bits, &low, &high);
      values += PANEL * bits / 8;
      for (int row = 0; row < tile; row++) {
        F by = splat(x[row * stride + group * GROUP + k]);
        part[row][0] = fma16(low, by, part[row][0]);
        part[row][1] = fma16(high, by, part[row][1]);
      }
    }
    for (int half = 0; half < 2; half++) {
      F scale = __builtin_convertvector(*(const H *)(scales + half * LANES), F);
      for (int row = 0; row < tile; row++) out[row][half] = fma16(scale, part[row][half], out[row][half]);
      if (bits == 4) {
        F least = __builtin_convertvector(*(const H *)(scales + PANEL + half * LANES), F);
        for (int row = 0; row < tile; row++) out[row][half] = fma16(least, splat(sums[row * groups + group]), out[row][half]);
      }
    }
    scales += PANEL * (bits == 4 ? 2 : 1);
  }
}

typedef void Tile(const Matrix *, int64_t index, const float *x, int64_t stride, const float *sums, F out[][2]);
#define TILES(bits)                                                                                                                       \
  static void rows_##bits(const Matrix *m, int tile, int64_t index, const float *x, int64_t stride, const float *sums, F out[][2]) {      \
    switch (tile) {                                                                                                                       \
    case 1: panel(m, bits, 1, index, x, stride, sums, out); break;                                                                        \
    case 2: panel(m, bits, 2, index, x, stride, sums, out); break;                                                                        \
    case 3: panel(m, bits, 3, index, x, stride, sums, out); break;                                                                        \
    MORE(bits)                                                                                                                            \
    }                                                                                                                                     \
  }
#if TILE == 8
#define MORE(bits)                                                                                                                        \
  case 4: panel(m, bits, 4, index, x, stride, sums, out); break;                                                                          \
  case 5: panel(m, bits, 5, index, x, stride, sums, out); break;                                                                          \
  case 6: panel(m, bits, 6, index, x, stride, sums, out); break;                                                                          \
  case 7: panel(m, bits, 7, index, x, stride, sums, out); break;                                                                          \
  case 8: panel(m, bits, 8, index, x, stride, sums, out); break;
#else
#define MORE(bits)
#endif
TILES(4)
TILES(8)

static void rows_of(const Matrix *m, int tile, int64_t index, const float *x, int64_t stride, const float *sums, F out[][2]) {
  if (m->bits == 4) rows_4(m, tile, index, x, stride, sums, out);
  else rows_8(m, tile, index, x, stride, sums, out);
}

// How many of the rows that are left go together: as few tiles as can be, of about one size.
INLINE int64_t tile_of(int64_t left) { return (left + (left + TILE - 1) / TILE - 1) / ((left + TILE - 1) / TILE); }

INLINE int64_t panels_of(const Matrix *m) { return (m->rows + PANEL - 1) / PANEL; }

// The sums of each row's groups, for the minima of four-bit matrices.
static void sum_groups(const Matrix *m, const float *x, int64_t count, float *sums) {
  if (m->bits != 4) return;
  for (int64_t i = 0; i < count * m->columns / GROUP; i++) sums[i] = sum(load(x + i * GROUP) + load(x + i * GROUP + LANES));
}

INLINE void put(float *to, int64_t left, F low, F high, int add) {
  if (left >= PANEL) {
    store(to, add ? load(to) + low : low);
    store(to + LANES, add ? load(to + LANES) + high : high);
  } else {
    for (int64_t i = 0; i < left; i++) {
      float made = i < LANES ? low[i] : high[i - LANES];
      to[i] = add ? to[i] + made : made;
    }
  }
}

// Panels first .. last of the products with `count` rows, written (or added) to out[row * out_stride ...].
static void product(const Matrix *m, int64_t first, int64_t last, const float *x, int64_t count, const float *sums, float *out,
                    int64_t out_stride, int add) {
  const int64_t groups = m->columns / GROUP;
  for (int64_t index = first; index < last; index++)
    for (int64_t row = 0, tile; row < count; row += tile) {
      tile = tile_of(count - row);
      F made[TILE][2];
      rows_of(m, (int)tile, index, x + row * m->columns, m->columns, sums + row * groups, made);
      for (int i = 0; i < tile; i++)
        put(out + (row + i) * out_stride + index * PANEL, m->rows - index * PANEL, made[i][0], made[i][1], add);
    }
}

// A row of a matrix.
static void look_up(const Matrix *m, int64_t id, float *out) {
  const int64_t index = id / PANEL, lane = id % PANEL, groups = m->columns / GROUP;
  for (int64_t k = 0; k < m->columns; k++) {
    const _Float16 *scales = m->scales + (index * groups + k / GROUP) * PANEL * (m->bits == 4 ? 2 : 1);
    if (m->bits == 4) {
      uint8_t both = m->values[(index * m->columns + k) * LANES + lane % LANES];
      out[k] = __builtin_fmaf((float)scales[lane], (float)(lane < LANES ? both & 15 : both >> 4), (float)scales[PANEL + lane]);
    } else {
      out[k] = (float)scales[lane] * (float)(int8_t)m->values[(index * m->columns + k) * PANEL + lane];
    }
  }
}

// ---- threads

typedef struct { atomic_uint arrived, phase; } Barrier;
typedef void Part(const void *job, int thread, int threads);

static Barrier meeting;
static atomic_llong taken; // tasks since the last meeting
static pthread_mutex_t calling = PTHREAD_MUTEX_INITIALIZER, guard = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static Part *current;
static const void *job;
static int wanted_threads, thread_count = 1;
static uint64_t generation;

// Wait for all threads of a job.
static void meet(int threads) {
  unsigned phase = atomic_load_explicit(&meeting.phase, memory_order_acquire);
  if (atomic_fetch_add_explicit(&meeting.arrived, 1, memory_order_acq_rel) == (unsigned)threads - 1) {
    atomic_store_explicit(&meeting.arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&taken, 0, memory_order_relaxed);
    atomic_store_explicit(&meeting.phase, phase + 1, memory_order_release);
    return;
  }
  for (unsigned spins = 0; atomic_load_explicit(&meeting.phase, memory_order_acquire) == phase; spins++)
    if (spins < SPINS) PAUSE();
    else sched_yield();
}

// The next of the tasks between two meetings that nobody has begun. So who has lost its core for a while holds up one of them, not half.
INLINE int64_t next_task(void) { return atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed); }

// Where a thread's share of the work begins.
INLINE int64_t share(int64_t whole, int64_t part, int64_t parts) { return whole * part / parts; }

static void *serve(void *number) {
  const int thread = (int)(intptr_t)number;
  uint64_t seen = 0;
  for (;;) {
    pthread_mutex_lock(&guard);
    while (generation == seen) pthread_cond_wait(&changed, &guard);
    seen = generation;
    Part *part = current;
    const void *whole = job;
    const int threads = wanted_threads;
    pthread_mutex_unlock(&guard);
    if (thread < threads) part(whole, thread, threads);
  }
  return 0;
}

// Have a job done by so many threads, this one among them; how many they really were. Callable from any thread, one job at a time.
static int together(Part *part, const void *whole, int threads) {
  pthread_mutex_lock(&calling);
  pthread_mutex_lock(&guard);
  while (thread_count < threads) {
    pthread_t made;
    if (pthread_create(&made, 0, serve, (void *)(intptr_t)thread_count)) break;
    pthread_detach(made);
    thread_count++;
  }
  if (threads > thread_count) threads = thread_count;
  current = part;
  job = whole;
  wanted_threads = threads;
  generation++;
  if (threads > 1) pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&guard);
  part(whole, 0, threads);
  pthread_mutex_unlock(&calling);
  return threads;
}

#endif
