// What the two ways to compute a BERT encoder have in common: its shape, and what is of float32 in either.

#ifndef PENSTOCK_BERT
#define PENSTOCK_BERT

#include "kernels.h"

#ifdef __AVX512F__
#define TOKENS 32 // of a block
#else
#define TOKENS 16
#endif

typedef struct { const float *weight, *bias; } Affine;
typedef struct { Affine query, key, value, output, attention_norm, up, down, norm; } EncoderLayer;

typedef struct {
  const EncoderLayer *layers;
  const float *words, *positions, *kind;
  Affine norm;
  int32_t layer_count, hidden, heads, feed_forward;
  float epsilon;
} Encoder;

// The products' weights in bfloat16: rows of tiles (bfloat16.h), sizes padded. `factor` is of attention's scores.
typedef struct { const uint16_t *weight; const float *bias; } Packed;
typedef struct { Packed query, key, value, output, up, down; } PackedLayer;

typedef struct {
  const PackedLayer *layers;
  int32_t hidden, size, feed_forward;
  float factor;
} PackedEncoder;

// Whole texts, one after the other: text i is ids[starts[i] .. starts[i + 1]]. Layers from_layer .. to_layer are computed, on as
// many threads as those before them, which have left theirs in `scratch`; it is zeroed by nobody. The model's last layer gives the vectors.
typedef struct {
  const Encoder *encoder;
  int32_t text_count, from_layer, to_layer;
  const int32_t *ids, *starts;
  float *vectors, *scratch;
  int64_t scratch_floats; // of each thread, behind what they share
  const PackedEncoder *packed; // where products are computed in bfloat16
} Texts;

// x / 2 (1 + erf(x / sqrt 2)), written with erfc so that nothing cancels. Abramowitz and Stegun 7.1.26: within 1.5e-7 |x| / 2.
INLINE F gelu(F x) {
  F size = pick(x < splat(0.0f), -x, x), t = splat(1.0f) / fma16(size, splat(0.3275911f * 0.70710678f), splat(1.0f));
  F series = splat(1.061405429f);
  series = fma16(series, t, splat(-1.453152027f));
  series = fma16(series, t, splat(1.421413741f));
  series = fma16(series, t, splat(-0.284496736f));
  series = fma16(series, t, splat(0.254829592f));
  F tail = series * t * exp16(splat(-0.5f) * x * x);
  return pick(x < splat(0.0f), splat(0.0f), x) - splat(0.5f) * size * tail;
}

// LayerNorm of a block, in place.
static void layer_norm(float *x, Affine by, int64_t hidden, float epsilon) {
  for (float *lanes = x; lanes < x + TOKENS; lanes += LANES) {
    F total[4] = {}, squares[4] = {};
    for (int64_t i = 0; i < hidden; i++) total[i % 4] += load(lanes + i * TOKENS);
    F mean = ((total[0] + total[1]) + (total[2] + total[3])) / splat((float)hidden);
    for (int64_t i = 0; i < hidden; i++) {
      F off = load(lanes + i * TOKENS) - mean;
      squares[i % 4] = fma16(off, off, squares[i % 4]);
    }
    F variance = ((squares[0] + squares[1]) + (squares[2] + squares[3])) / splat((float)hidden);
    F factor = splat(1.0f) / __builtin_elementwise_sqrt(variance + splat(epsilon));
    for (int64_t i = 0; i < hidden; i++)
      store(lanes + i * TOKENS, fma16((load(lanes + i * TOKENS) - mean) * factor, splat(by.weight[i]), splat(by.bias[i])));
  }
}

// A token's embedding, into its lane.
static void look_up_token(const Encoder *m, int64_t id, int64_t position, float *lane) {
  const float *word = m->words + id * m->hidden, *place = m->positions + position * m->hidden;
  for (int64_t i = 0; i < m->hidden; i++) lane[i * TOKENS] = word[i] + m->kind[i] + place[i];
}

// The mean of a text's tokens, of length 1.
static void pool(const float *x, int64_t hidden, int64_t start, int64_t stop, float *vector) {
  float squares = 0;
  for (int64_t i = 0; i < hidden; i++) {
    float total = 0;
    for (int64_t j = start; j < stop; j++) total += x[(j / TOKENS * hidden + i) * TOKENS + j % TOKENS];
    vector[i] = total / (float)(stop - start);
    squares = __builtin_fmaf(vector[i], vector[i], squares);
  }
  float length = __builtin_sqrtf(squares);
  for (int64_t i = 0; i < hidden; i++) vector[i] /= length > 1e-12f ? length : 1e-12f;
}

#endif
