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

#ifdef HAS_TILES

typedef struct { uint8_t palette, start_row, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } TileShapes;

// All eight tiles of this thread, 16 rows of 64 bytes each.
static void open_tiles(void) {
  TileShapes shapes __attribute__((aligned(64))) = {.palette = 1};
  for (int i = 0; i < 8; i++) shapes.bytes[i] = 64, shapes.rows[i] = EDGE;
  _tile_loadconfig(&shapes);
}

// 32 rows of weights by `wide` times 16 tokens, whose numbers lie in `deep` tiles: made[32][32].
INLINE void multiply_tiled(const Half *upper, const Half *lower, int64_t deep, const Pair *x, const int wide, float *made) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t k = 0; k < deep; k++) {
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
INLINE void multiply_by(const Way way, const Half *upper, const Half *lower, int64_t deep, const Pair *x, int is_wide, float *made) {
#ifdef HAS_TILES
  if (way == TILED) {
    if (is_wide) multiply_tiled(upper, lower, deep, x, 2, made);
    else multiply_tiled(upper, lower, deep, x, 1, made);
    return;
  }
#endif
  if (is_wide) multiply_paired(upper, lower, deep, x, 2, made);
  else multiply_paired(upper, lower, deep, x, 1, made);
}

#endif
#endif
