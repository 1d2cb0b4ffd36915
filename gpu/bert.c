// A BERT encoder: texts to vectors.
//
// Tokens lie in lanes: TOKENS that follow one another, of whichever texts, are a block, [numbers of a token][TOKENS]. So every sum is a
// lane's own, in order: a text's vector has the same bits whatever is beside it. Texts are not padded, and weights are read where the
// model's file has them, row by row.
//
// A product keeps the sums of some rows by a block in registers, along all columns. The same rows go over as many blocks as a core's own
// cache holds before the next rows come, so weights are read once for a few hundred tokens. The rows that come next are asked for
// meanwhile: a single question is as fast as memory gives the weights. A thread's next task is some rows by such blocks, so that all have a
// part in few tokens.

#include "bert.h"

#define WIDE (TOKENS / LANES) // vectors of a block that share a load of a row's number
#define NEAR (64 * 1024)      // numbers of blocks that stay in a core's own cache while a matrix goes over them
#ifdef __AVX512F__
#define TALL 8 // rows that share a load of a block, as many as stay in registers
#define ROWS 8 // of keys and values, that do
#else
#define TALL 6
#define ROWS 4
#endif
#define STEP 8  // columns that are multiplied together: all sizes are multiples of it
#define LINE 16 // numbers that a processor reads from memory at once

typedef enum { SET, ADD, GELU } Into;

// made[row] += a[row * across + k * along] * b[k], k in order: rows of a matrix with `wide` vectors of a block.
INLINE void multiply(const float *a, int64_t across, const int64_t along, const float *b, int64_t count, const int rows, const int wide,
                     F made[][WIDE]) {
  const float *from[TALL]; // so that no address is computed in the loop
  for (int row = 0; row < rows; row++) from[row] = a + row * across;
#pragma clang loop unroll_count(STEP)
  for (int64_t k = 0; k < count; k++)
    for (int row = 0; row < rows; row++)
      for (int i = 0; i < wide; i++)
        made[row][i] = fma16(splat(from[row][k * along]), load(b + k * TOKENS + i * LANES), made[row][i]);
}

INLINE void rows_by(Affine m, int64_t row, int64_t columns, const float *x, const int rows, const int wide, const Into into, float *out) {
  const float *weight = m.weight + row * columns, *next = weight + rows * columns;
  F made[TALL][WIDE];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < wide; j++) made[i][j] = splat(m.bias[row + i]);
  for (int64_t k = 0; k < columns; k += STEP, next += rows * STEP) {
    for (int i = 0; i < rows * STEP; i += LINE) __builtin_prefetch(next + i, 0, 2);
    multiply(weight + k, columns, 1, x + k * TOKENS, STEP, rows, wide, made);
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < wide; j++) {
      float *to = out + (row + i) * TOKENS + j * LANES;
      store(to, into == ADD ? load(to) + made[i][j] : made[i][j]);
    }
  if (into == GELU) // from memory: a loop over `made` would keep it there, also while it is added up
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < wide; j++) {
        float *to = out + (row + i) * TOKENS + j * LANES;
        store(to, gelu(load(to)));
      }
}

// Matrices of one shape by all blocks, with other threads: x [blocks][columns][TOKENS] to out [blocks][numbers][TOKENS], one matrix's rows
// behind the other's. Rows are even in number.
INLINE void apply(const Affine *matrices, int64_t matrix_count, int64_t rows, int64_t columns, const float *x, int64_t count,
                  const Into into, float *out, int64_t numbers) {
  const int64_t tiles = (rows + TALL - 1) / TALL, blocks = (count + TOKENS - 1) / TOKENS,
                groups = (blocks * columns * TOKENS + NEAR - 1) / NEAR;
  for (int64_t task = next_task(); task < groups * matrix_count * tiles; task = next_task()) {
    const int64_t group = task / tiles / matrix_count, matrix = task / tiles % matrix_count, row = task % tiles * TALL;
    const Affine m = matrices[matrix];
    for (int64_t block = share(blocks, group, groups); block < share(blocks, group + 1, groups); block++) {
      const float *from = x + block * columns * TOKENS;
      float *to = out + (block * numbers + matrix * rows) * TOKENS;
      if (row + TALL > rows)
        for (int64_t left = row; left < rows; left += 2) rows_by(m, left, columns, from, 2, WIDE, into, to);
      else if (WIDE == 2 && count - block * TOKENS <= LANES) rows_by(m, row, columns, from, TALL, 1, into, to);
      else rows_by(m, row, columns, from, TALL, WIDE, into, to);
    }
  }
}

// One head of a block's tokens over the keys and values of one text's tokens start .. stop, written from lane `from` on. WIDE vectors of
// the block; blocks of keys and values are `stride` apart; `scores` has room for the text and two tiles.
static void attend_text(const float *query, const float *keys, const float *values, int64_t stride, int64_t start, int64_t stop, int64_t size,
                   float factor, int64_t from, float *scores, float *out) {
  const int64_t begin = start / ROWS * ROWS;
  F most[WIDE], total[WIDE] = {};
  for (int i = 0; i < WIDE; i++) most[i] = splat(-__builtin_inff());
  for (int64_t j = begin; j < stop; j += ROWS) {
    F made[ROWS][WIDE] = {};
    multiply(keys + j / TOKENS * stride + j % TOKENS, 1, TOKENS, query, size, ROWS, WIDE, made);
    for (int row = 0; row < ROWS; row++)
      for (int i = 0; i < WIDE; i++) store(scores + (j - begin + row) * TOKENS + i * LANES, made[row][i] * splat(factor));
  }
  scores += (start - begin) * TOKENS;
  for (int64_t j = 0; j < stop - start; j++)
    for (int i = 0; i < WIDE; i++) {
      F each = load(scores + j * TOKENS + i * LANES);
      most[i] = pick(each > most[i], each, most[i]);
    }
  for (int64_t j = 0; j < stop - start; j++)
    for (int i = 0; i < WIDE; i++) {
      F each = exp16(load(scores + j * TOKENS + i * LANES) - most[i]);
      total[i] += each;
      store(scores + j * TOKENS + i * LANES, each);
    }
  for (int64_t row = 0; row < size; row += ROWS) {
    F made[ROWS][WIDE] = {};
    for (int64_t j = start, next; j < stop; j = next) {
      next = (j / TOKENS + 1) * TOKENS < stop ? (j / TOKENS + 1) * TOKENS : stop;
      multiply(values + j / TOKENS * stride + row * TOKENS + j % TOKENS, TOKENS, 1, scores + (j - start) * TOKENS, next - j, ROWS, WIDE,
               made);
    }
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < WIDE; j++) {
        float *to = out + (row + i) * TOKENS + j * LANES;
        const F each = made[i][j] / total[j];
        const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        store(to, from <= 0 ? each : pick(lane + j * LANES >= (int32_t)from, each, load(to)));
      }
  }
}

// One thread's part. The job is read before the first meeting only: behind the last one, whoever asked may change it, or take it away.
static void encode(const void *job, int thread, int threads) {
  const Texts texts = *(const Texts *)job;
  const Encoder *m = texts.encoder;
  const int32_t *starts = texts.starts;
  const int64_t hidden = m->hidden, size = hidden / m->heads, count = starts[texts.text_count], blocks = (count + TOKENS - 1) / TOKENS,
                room = blocks * TOKENS;
  float *x = texts.scratch, *mixed = x + room * hidden, *seen = mixed + room * 3 * hidden, *inner = seen + room * hidden,
        *scores = inner + room * m->feed_forward + thread * texts.scratch_floats;
  const int64_t first = share(blocks, thread, threads), last = share(blocks, thread + 1, threads);
  const float factor = 1.0f / __builtin_sqrtf((float)size);
  const int32_t layer_count = m->layer_count;

  if (!texts.from_layer) {
    for (int64_t block = first; block < last; block++) memset(x + block * hidden * TOKENS, 0, sizeof(float) * hidden * TOKENS);
    for (int32_t t = 0; t < texts.text_count; t++)
      for (int64_t i = starts[t]; i < starts[t + 1]; i++)
        if (i / TOKENS >= first && i / TOKENS < last)
          look_up_token(m, texts.ids[i], i - starts[t], x + i / TOKENS * hidden * TOKENS + i % TOKENS);
    for (int64_t block = first; block < last; block++) layer_norm(x + block * hidden * TOKENS, m->norm, hidden, m->epsilon);
    meet(threads);
  }

  for (int32_t l = texts.from_layer; l < texts.to_layer; l++) {
    const EncoderLayer *layer = m->layers + l;
    const Affine parts[] = {layer->query, layer->key, layer->value};
    apply(parts, 3, hidden, hidden, x, count, SET, mixed, 3 * hidden);
    meet(threads);

    for (int64_t task = next_task(); task < blocks * m->heads; task = next_task()) {
      const int64_t block = task % blocks, head = task / blocks * size * TOKENS;
      const float *query = mixed + block * 3 * hidden * TOKENS + head, *keys = mixed + hidden * TOKENS + head, *values = keys + hidden * TOKENS;
      for (int32_t t = 0; t < texts.text_count; t++) {
        for (int64_t lane = 0, at = block * TOKENS; lane < TOKENS; lane += WIDE * LANES, at += WIDE * LANES)
          if (starts[t] < at + WIDE * LANES && starts[t + 1] > at)
            attend_text(query + lane, keys, values, 3 * hidden * TOKENS, starts[t], starts[t + 1], size, factor, starts[t] - at, scores,
                   seen + block * hidden * TOKENS + head + lane);
      }
    }
    meet(threads);

    apply(&layer->output, 1, hidden, hidden, seen, count, ADD, x, hidden);
    meet(threads);
    for (int64_t block = next_task(); block < blocks; block = next_task())
      layer_norm(x + block * hidden * TOKENS, layer->attention_norm, hidden, m->epsilon);
    meet(threads);
    apply(&layer->up, 1, m->feed_forward, hidden, x, count, GELU, inner, m->feed_forward);
    meet(threads);
    apply(&layer->down, 1, hidden, m->feed_forward, inner, count, ADD, x, hidden);
    meet(threads);
    for (int64_t block = next_task(); block < blocks; block = next_task())
      layer_norm(x + block * hidden * TOKENS, layer->norm, hidden, m->epsilon);
    meet(threads);
  }
  if (texts.to_layer < layer_count) return;
  for (int64_t t = next_task(); t < texts.text_count; t = next_task())
    pool(x, hidden, starts[t], starts[t + 1], texts.vectors + t * hidden);
  meet(threads);
}

// Embed texts on so many threads; how many it really were.
int penstock_embed(const Texts *texts, int threads) { return together(encode, texts, threads); }
