// Products of numbers of bfloat16, added up in float32: by AMX's tiles, or by pairs in AVX-512's vectors.
//
// What a token's lane becomes is the same sequence of operations whatever is in the other lanes, as in kernels.h: a tile's lanes do not
// meet, and its sums run along k. Only the processor's own instructions decide in which order a tile adds up what it multiplies, and how
// it rounds between: so the two ways differ in their last bits, and either differs from float32.
//
// Rows of weights (or of keys and values) lie in tiles, [rows / 16][columns / 32][16][32]; a block of tokens in pairs, [numbers / 2][32],
// two numbers of a token in 32 bits. Sizes are padded with zeros to multiples of 32.

#ifndef PENSTOCK_BFLOAT16
#define PENSTOCK_BFLOAT16

#include "kernels.h"

#define EDGE 16 // rows of a tile, and tokens
#define DEEP 32 // numbers along k
#define SIDE 32 // rows and tokens of a product: two tiles by two
#define PADDED(count) (((count) + SIDE - 1) / SIDE * SIDE)

typedef enum { FLOAT32, PAIRED, TILED } Way;

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define HAS_PAIRS 1
#include <immintrin.h>
#if defined(__AMX_BF16__) && defined(__AMX_TILE__) && defined(__linux__)
#define HAS_TILES 1
#include <sys/syscall.h>
#include <unistd.h>
#endif

typedef uint16_t Half;
typedef uint32_t Pair;

INLINE __m512bh narrow(F low, F high) { return _mm512_cvtne2ps_pbh((__m512)high, (__m512)low); }

// Two numbers of 16 tokens each, beside each other.
INLINE I pair_up(F even, F odd) {
  typedef uint16_t Halves __attribute__((vector_size(64)));
  Halves both = (Halves)narrow(even, odd);
  return (I)__builtin_shufflevector(both, both, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                    13, 29, 14, 30, 15, 31);
}

INLINE void store_pairs(Pair *to, I pairs) { *(I *)to = pairs; }

// 16 rows of 16, turned over: four shuffles of a row with the one eight below it.
INLINE void turn_over(I rows[EDGE]) {
  for (int time = 0; time < 4; time++) {
    I made[EDGE];
    for (int i = 0; i < EDGE / 2; i++) {
      made[2 * i] = __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      made[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < EDGE; i++) rows[i] = made[i];
  }
}

// exp() within 5e-6, for what is rounded to bfloat16 after: the Taylor polynomial of degree 5 on +-ln 2 / 2.
INLINE F exp_narrow(F x) {
  F whole = (F)_mm512_roundscale_ps((__m512)(x * splat(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  F rest = fma16(whole, splat(-0.69314718f), x), power = splat(1.0f / 120);
  power = fma16(power, rest, splat(1.0f / 24));
  power = fma16(power, rest, splat(1.0f / 6));
  power = fma16(power, rest, splat(0.5f));
  power = fma16(power, rest, splat(1.0f));
  power = fma16(power, rest, splat(1.0f));
  return (F)_mm512_scalef_ps((__m512)power, (__m512)whole);
}

// gelu() of bert.h within 5e-6 |x|: with that exp(), and a reciprocal that is refined instead of a division.
INLINE F gelu_narrow(F x) {
  F size = (F)_mm512_abs_ps((__m512)x), over = fma16(size, splat(0.3275911f * 0.70710678f), splat(1.0f));
  F t = (F)_mm512_rcp14_ps((__m512)over);
  t = fma16(t, fma16(-over, t, splat(1.0f)), t);
  F series = splat(1.061405429f);
  series = fma16(series, t, splat(-1.453152027f));
  series = fma16(series, t, splat(1.421413741f));
  series = fma16(series, t, splat(-0.284496736f));
  series = fma16(series, t, splat(0.254829592f));
  F tail = series * t * exp_narrow(splat(-0.5f) * x * x), above = (F)_mm512_max_ps(_mm512_setzero_ps(), (__m512)x);
  return fma16(splat(-0.5f) * size, tail, above);
}

#ifdef HAS_TILES

typedef struct { uint8_t palette, start_row, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } TileShapes;

// All eight tiles of this thread, 16 rows of 64 bytes each.
static void open_tiles(void) {
  TileShapes shapes __attribute__((aligned(64))) = {.palette = 1};
  for (int i = 0; i < 8; i++) shapes.bytes[i] = 64, shapes.rows[i] = EDGE;
  _tile_loadconfig(&shapes);
}

// 32 rows of weights by `wide` times 16 tokens, whose numbers lie in `deep` tiles: made[32][32]. `ahead`: what is multiplied soon, of which
// four lines a step are fetched.
INLINE void multiply_tiled(const Half *upper, const Half *lower, int64_t deep, const Pair *x, const int wide, float *made,
                           const Half *ahead) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < deep; k++) {
    for (int i = 0; i < 4; i++) __builtin_prefetch(ahead + (4 * k + i) * DEEP, 0, 2);
    _tile_loadd(4, upper + k * EDGE * DEEP, 2 * DEEP);
    _tile_loadd(6, x + k * EDGE * SIDE, 4 * SIDE);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, lower + k * EDGE * DEEP, 2 * DEEP);
    _tile_dpbf16ps(2, 5, 6);
    if (wide == 2) {
      _tile_loadd(7, x + k * EDGE * SIDE + EDGE, 4 * SIDE);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, made, 4 * SIDE);
  _tile_stored(2, made + EDGE * SIDE, 4 * SIDE);
  if (wide == 2) {
    _tile_stored(1, made + EDGE, 4 * SIDE);
    _tile_stored(3, made + EDGE * SIDE + EDGE, 4 * SIDE);
  }
}

#endif

INLINE void multiply_paired(const Half *upper, const Half *lower, int64_t deep, const Pair *x, const int wide, float *made) {
  for (int from = 0; from < SIDE; from += 8) {
    const Half *rows = (from < EDGE ? upper : lower) + from % EDGE * DEEP;
    __m512 sums[8][2] = {};
    for (int64_t k = 0; k < deep; k++)
      for (int pair = 0; pair < EDGE; pair++)
        for (int row = 0; row < 8; row++) {
          __m512bh by = (__m512bh)_mm512_set1_epi32(*(const int32_t *)(rows + k * EDGE * DEEP + row * DEEP + 2 * pair));
          for (int i = 0; i < wide; i++)
            sums[row][i] = _mm512_dpbf16_ps(sums[row][i], by, (__m512bh)_mm512_loadu_si512(x + (k * EDGE + pair) * SIDE + i * EDGE));
        }
    for (int row = 0; row < 8; row++)
      for (int i = 0; i < wide; i++) store(made + (from + row) * SIDE + i * EDGE, (F)sums[row][i]);
  }
}

// made[32][32] = two rows of tiles by a block's pairs: all its tokens, or the first 16 of them.
INLINE void multiply_by(const Way way, const Half *upper, const Half *lower, int64_t deep, const Pair *x, int is_wide, float *made,
                        const Half *ahead) {
#ifdef HAS_TILES
  if (way == TILED) {
    if (is_wide) multiply_tiled(upper, lower, deep, x, 2, made, ahead);
    else multiply_tiled(upper, lower, deep, x, 1, made, ahead);
    return;
  }
#endif
  (void)ahead;
  if (is_wide) multiply_paired(upper, lower, deep, x, 2, made);
  else multiply_paired(upper, lower, deep, x, 1, made);
}

#endif
#endif
