// The encoder of bert.c with its products in bfloat16: those with weights, and those of attention. What is added up, normalised or put
// through exp() stays float32, and so does what a layer hands on beside its own result.
//
// Texts lie as there, in blocks of 32 tokens. Attention takes each text out of its blocks first: its keys begin a tile, wherever the text
// begins, so that here, too, its bits are its own.

#include "bert.h"
#include "bfloat16.h"

#ifdef HAS_PAIRS

typedef enum { AS_PAIRS, AS_ROWS, AS_GELU } As;

// What attention needs of a text, of one thread.
typedef struct { Half *keys, *values; Pair *query, *weights; float *scores; } Desk;

INLINE F biased(const float *made, const float *bias, int row, int j) { return load(made + row * TOKENS + j * LANES) + splat(bias[row]); }

// A panel of 32 rows, written as pairs of numbers or (for 2 bytes each) as rows of them.
INLINE void write_panel(const float *made, const float *bias, const As as, Pair *out) {
  if (as == AS_ROWS) {
    for (int row = 0; row < SIDE; row++)
      _mm512_storeu_si512(out + row * SIDE / 2, (__m512i)narrow(biased(made, bias, row, 0), biased(made, bias, row, 1)));
    return;
  }
  for (int row = 0; row < SIDE; row += 2)
    for (int j = 0; j < 2; j++) {
      F even = biased(made, bias, row, j), odd = biased(made, bias, row + 1, j);
      store_pairs(out + row / 2 * TOKENS + j * LANES, as == AS_GELU ? pair_up(gelu_narrow(even), gelu_narrow(odd)) : pair_up(even, odd));
    }
}

// A panel of 32 rows by a block. What eight blocks fetch is the whole next panel.
INLINE void multiply_panel(const Way way, const Half *rows, int64_t columns, const Pair *x, int64_t block, int64_t count, float *made) {
  multiply_by(way, rows, rows + EDGE * columns, columns / DEEP, x + block * columns / 2 * TOKENS, count - block * TOKENS > EDGE, made,
              rows + SIDE * columns + block % 8 * 4 * columns);
}

// A matrix by all blocks, with other threads: pairs [blocks][columns / 2][TOKENS] to `as`, [blocks][numbers / 2][TOKENS]. `task`: the first
// that this thread has; tasks from `before` on are this product's. The first that is not, which is another's.
INLINE int64_t write_product(const Way way, Packed m, int64_t rows, int64_t columns, const Pair *x, int64_t count, const As as, Pair *out,
                             int64_t numbers, int64_t task, int64_t before) {
  const int64_t blocks = (count + TOKENS - 1) / TOKENS;
  float made[SIDE * TOKENS] __attribute__((aligned(64))) = {};
  for (; task < before + rows / SIDE * blocks; task = next_task()) {
    const int64_t panel = (task - before) / blocks, block = (task - before) % blocks;
    multiply_panel(way, m.weight + panel * SIDE * columns, columns, x, block, count, made);
    write_panel(made, m.bias + panel * SIDE, as, out + (block * numbers + panel * SIDE) / 2 * TOKENS);
  }
  return task;
}

// The same with no other product beside it, added to out [blocks][hidden][TOKENS].
INLINE void add_product(const Way way, Packed m, int64_t rows, int64_t columns, const Pair *x, int64_t count, float *out, int64_t hidden) {
  const int64_t blocks = (count + TOKENS - 1) / TOKENS;
  float made[SIDE * TOKENS] __attribute__((aligned(64))) = {};
  for (int64_t task = next_task(); task < rows / SIDE * blocks; task = next_task()) {
    const int64_t panel = task / blocks, block = task % blocks;
    multiply_panel(way, m.weight + panel * SIDE * columns, columns, x, block, count, made);
    for (int row = 0; row < SIDE && panel * SIDE + row < hidden; row++)
      for (int j = 0; j < 2; j++) {
        float *to = out + (block * hidden + panel * SIDE + row) * TOKENS + j * LANES;
        store(to, load(to) + biased(made, m.bias + panel * SIDE, row, j));
      }
  }
}

// LayerNorm of a block, in place and as pairs.
static void normalise_block(float *x, Affine by, int64_t hidden, float epsilon, Pair *pairs, int64_t padded, int64_t block) {
  float *from = x + block * hidden * TOKENS;
  Pair *to = pairs + block * padded / 2 * TOKENS;
  layer_norm(from, by, hidden, epsilon);
  for (int64_t i = 0; i < hidden * TOKENS; i += 2 * TOKENS)
    for (int j = 0; j < TOKENS; j += LANES) store_pairs(to + i / 2 + j, pair_up(load(from + i + j), load(from + i + TOKENS + j)));
}

// 32 tokens from `start` on, of which `own` are the text's, lie in two blocks: where, and in which lanes.
typedef struct { int64_t block; int lane; uint32_t here, next; } Stretch;

INLINE Stretch stretch(int64_t start, int64_t own) {
  const int lane = (int)(start % TOKENS);
  const uint32_t all = own >= TOKENS ? ~0u : (1u << own) - 1, here = all & (~0u >> lane);
  return (Stretch){start / TOKENS, lane, here, all & ~here};
}

// 16 of a stretch's pairs; 0 where they are not the text's. `row`: of its first block.
INLINE I take_pairs(const Pair *row, int64_t stride, Stretch at, int j) {
  __m512i here = _mm512_maskz_loadu_epi32((__mmask16)(at.here >> j * LANES), row + at.lane + j * LANES);
  return (I)_mm512_mask_loadu_epi32(here, (__mmask16)(at.next >> j * LANES), row + stride + at.lane - TOKENS + j * LANES);
}

INLINE __m512i take_row(const Half *row, int64_t stride, Stretch at) {
  return _mm512_mask_loadu_epi16(_mm512_maskz_loadu_epi16(at.here, row + at.lane), at.next, row + stride + at.lane - TOKENS);
}

// A text's keys and values for one head, as rows of tiles: [tokens / 16][size / 32] and [size / 16][tokens / 32].
INLINE void lay_out(const Pair *keys, const Pair *values, int64_t stride, int64_t start, int64_t length, int64_t size, Desk desk) {
  const int64_t groups = PADDED(length) / SIDE;
  for (int64_t group = 0; group < groups; group++) {
    const Stretch at = stretch(start + group * TOKENS, length - group * TOKENS);
    for (int64_t deep = 0; deep < size / DEEP; deep++)
      for (int j = 0; j < 2; j++) {
        I rows[EDGE];
        for (int i = 0; i < EDGE; i++) rows[i] = take_pairs(keys + at.block * stride + (deep * EDGE + i) * TOKENS, stride, at, j);
        turn_over(rows);
        for (int i = 0; i < EDGE; i++)
          store_pairs((Pair *)(desk.keys + ((group * 2 + j) * size / DEEP + deep) * EDGE * DEEP + i * DEEP), rows[i]);
      }
    for (int64_t row = 0; row < size; row++)
      _mm512_storeu_si512(desk.values + (row / EDGE * groups + group) * EDGE * DEEP + row % EDGE * DEEP,
                          take_row((const Half *)(values + at.block * stride) + row * TOKENS, 2 * stride, at));
  }
}

// Scores to attention's weights, as pairs of keys; `total`: what they are divided by later.
INLINE void weigh(const float *scores, int64_t length, float factor, int j, Pair *weights, F *total) {
  F most = splat(-__builtin_inff()), sum = {};
  for (int64_t i = 0; i < length; i++) {
    most = (F)_mm512_max_ps((__m512)load(scores + i * TOKENS + j * LANES), (__m512)most);
  }
  for (int64_t i = 0; i < PADDED(length); i += 2) {
    F even = {}, odd = {};
    if (i < length) even = exp_narrow((load(scores + i * TOKENS + j * LANES) - most) * splat(factor));
    if (i + 1 < length) odd = exp_narrow((load(scores + (i + 1) * TOKENS + j * LANES) - most) * splat(factor));
    sum = sum + even + odd;
    store_pairs(weights + i / 2 * TOKENS + j * LANES, pair_up(even, odd));
  }
  *total = sum;
}

// One head of one text. Pairs of the head in the first block; blocks are `stride` apart, and `out_stride` where it is written.
INLINE void attend_head(const Way way, const Pair *query, const Pair *keys, const Pair *values, int64_t stride, int64_t start, int64_t length,
                        int64_t size, float factor, Desk desk, Pair *out, int64_t out_stride) {
  const int64_t groups = PADDED(length) / SIDE, deep = size / DEEP;
  float made[SIDE * TOKENS] __attribute__((aligned(64))) = {};
  lay_out(keys, values, stride, start, length, size, desk);
  for (int64_t group = 0; group < groups; group++) {
    const int64_t own = length - group * TOKENS;
    const int vectors = own > EDGE ? 2 : 1;
    const Stretch at = stretch(start + group * TOKENS, own);
    for (int64_t i = 0; i < size / 2; i++)
      for (int j = 0; j < vectors; j++)
        store_pairs(desk.query + i * TOKENS + j * LANES, take_pairs(query + at.block * stride + i * TOKENS, stride, at, j));
    for (int64_t i = 0; i < groups; i++) {
      const Half *upper = desk.keys + i * SIDE * size;
      multiply_by(way, upper, upper + EDGE * size, deep, desk.query, vectors == 2, desk.scores + i * SIDE * TOKENS, upper);
    }
    F total[2];
    for (int j = 0; j < vectors; j++) weigh(desk.scores, length, factor, j, desk.weights, total + j);
    for (int64_t row = 0; row < size; row += SIDE) {
      const Half *upper = desk.values + row * groups * DEEP;
      multiply_by(way, upper, upper + groups * EDGE * DEEP, groups, desk.weights, vectors == 2, made, upper);
      for (int j = 0; j < vectors; j++) {
        const F part = splat(1.0f) / total[j];
        for (int i = 0; i < SIDE; i += 2) {
          const float *from = made + i * TOKENS + j * LANES;
          __m512i pairs = (__m512i)pair_up(load(from) * part, load(from + TOKENS) * part);
          Pair *to = out + at.block * out_stride + (row + i) / 2 * TOKENS + at.lane + j * LANES;
          _mm512_mask_storeu_epi32(to, (__mmask16)(at.here >> j * LANES), pairs);
          _mm512_mask_storeu_epi32(to + out_stride - TOKENS, (__mmask16)(at.next >> j * LANES), pairs);
        }
      }
    }
  }
}

// One thread's part. The job is read before the first meeting only, as in bert.c.
INLINE void encode_by(const Way way, const void *job, int thread, int threads) {
  const Texts texts = *(const Texts *)job;
  const PackedEncoder packed = *texts.packed;
  const Encoder *m = texts.encoder;
  const int32_t *starts = texts.starts, layer_count = m->layer_count;
  const int64_t hidden = m->hidden, heads = m->heads, size = packed.size, width = heads * size, inner = packed.feed_forward,
                count = starts[texts.text_count], blocks = (count + TOKENS - 1) / TOKENS, room = blocks * TOKENS;
  float *x = texts.scratch;
  Pair *pairs = (Pair *)(x + room * hidden), *mixed = pairs + room * packed.hidden / 2, *seen = mixed + room * 3 * width / 2,
       *middle = seen + room * width / 2, *own = middle + room * inner / 2 + thread * texts.scratch_floats;
  int64_t longest = 0;
  for (int32_t t = 0; t < texts.text_count; t++) longest = starts[t + 1] - starts[t] > longest ? starts[t + 1] - starts[t] : longest;
  longest = PADDED(longest);
  const Desk desk = {(Half *)own, (Half *)own + longest * size, own + longest * size, own + longest * size + EDGE * size,
                     (float *)own + longest * size + EDGE * size + longest * EDGE};
  const int64_t first = share(blocks, thread, threads), last = share(blocks, thread + 1, threads);

  if (!texts.from_layer) {
    for (int64_t block = first; block < last; block++) {
      memset(x + block * hidden * TOKENS, 0, sizeof(float) * hidden * TOKENS);
      memset(pairs + block * packed.hidden / 2 * TOKENS, 0, sizeof(Pair) * packed.hidden / 2 * TOKENS);
    }
    for (int32_t t = 0; t < texts.text_count; t++)
      for (int64_t i = starts[t]; i < starts[t + 1]; i++)
        if (i / TOKENS >= first && i / TOKENS < last)
          look_up_token(m, texts.ids[i], i - starts[t], x + i / TOKENS * hidden * TOKENS + i % TOKENS);
    for (int64_t block = first; block < last; block++) normalise_block(x, m->norm, hidden, m->epsilon, pairs, packed.hidden, block);
    meet(threads);
  }

  for (int32_t l = texts.from_layer; l < texts.to_layer; l++) {
    const EncoderLayer *layer = m->layers + l;
    const PackedLayer *by = packed.layers + l;
    const int64_t each = width / SIDE * blocks;
    int64_t task = next_task();
    task = write_product(way, by->query, width, packed.hidden, pairs, count, AS_PAIRS, mixed, 3 * width, task, 0);
    task = write_product(way, by->key, width, packed.hidden, pairs, count, AS_PAIRS, mixed + width / 2 * TOKENS, 3 * width, task, each);
    write_product(way, by->value, width, packed.hidden, pairs, count, AS_ROWS, mixed + width * TOKENS, 3 * width, task, 2 * each);
    meet(threads);

    for (task = next_task(); task < heads * texts.text_count; task = next_task()) {
      const int64_t head = task / texts.text_count * size / 2 * TOKENS, t = task % texts.text_count;
      const Pair *query = mixed + head, *keys = query + width / 2 * TOKENS, *values = keys + width / 2 * TOKENS;
      attend_head(way, query, keys, values, 3 * width / 2 * TOKENS, starts[t], starts[t + 1] - starts[t], size, packed.factor, desk,
                  seen + head, width / 2 * TOKENS);
    }
    meet(threads);

    add_product(way, by->output, packed.hidden, width, seen, count, x, hidden);
    meet(threads);
    for (int64_t block = next_task(); block < blocks; block = next_task())
      normalise_block(x, layer->attention_norm, hidden, m->epsilon, pairs, packed.hidden, block);
    meet(threads);
    write_product(way, by->up, inner, packed.hidden, pairs, count, AS_GELU, middle, inner, next_task(), 0);
    meet(threads);
    add_product(way, by->down, packed.hidden, inner, middle, count, x, hidden);
    meet(threads);
    for (int64_t block = next_task(); block < blocks; block = next_task())
      normalise_block(x, layer->norm, hidden, m->epsilon, pairs, packed.hidden, block);
    meet(threads);
  }
  if (texts.to_layer < layer_count) return;
  for (int64_t t = next_task(); t < texts.text_count; t = next_task())
    pool(x, hidden, starts[t], starts[t + 1], texts.vectors + t * hidden);
  meet(threads);
}

static void encode_paired(const void *job, int thread, int threads) { encode_by(PAIRED, job, thread, threads); }

#ifdef HAS_TILES
static void encode_tiled(const void *job, int thread, int threads) {
  open_tiles();
  encode_by(TILED, job, thread, threads);
  _tile_release();
}
#endif
#endif

// As penstock_embed, in one of the ways that penstock_ways tells; 0 for another.
int penstock_embed_bfloat16(const Texts *texts, int way, int threads) {
#ifdef HAS_TILES
  if (way == TILED) return together(encode_tiled, texts, threads);
#endif
#ifdef HAS_PAIRS
  if (way == PAIRED) return together(encode_paired, texts, threads);
#endif
  return 0;
}

// The ways that this processor and this system have, as bits. Linux lets a process use tiles once it has asked (arch_prctl(2)).
int penstock_ways(void) {
  int found = 1 << FLOAT32;
#ifdef HAS_PAIRS
  found |= 1 << PAIRED;
#endif
#ifdef HAS_TILES
  const long request = 0x1023, tile_data = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  if (!syscall(SYS_arch_prctl, request, tile_data)) found |= 1 << TILED;
#endif
  return found;
}
