// A Llama's step: rows are tokens, of prompts and of answers alike.

#include "kernels.h"

typedef struct { const float *attention_norm, *feed_forward_norm; Matrix query, key, value, output, gate, up, down; } Layer;

typedef struct {
  const Layer *layers;
  Matrix embedding, head;
  const float *norm;
  const float *turns; // [positions][size / 2][2]: cosine and sine
  float *cache;       // [rows][layers][length][2 x kv_heads][size]
  int64_t row_stride, layer_stride, token_stride;
  int32_t layer_count, hidden, heads, kv_heads, size, feed_forward;
  float epsilon;
} Model;

// Tokens of a step: their ids, cache rows and positions; those whose logits are wanted. `scratch` is zeroed by nobody.
typedef struct {
  const Model *model;
  int32_t count, wanted_count;
  const int32_t *ids, *rows, *positions, *wanted;
  float *logits, *scratch;
  int64_t scratch_floats; // of each thread, behind what they share
} Step;

// SwiGLU of two products.
static void gated(const Matrix *gate, const Matrix *up, int64_t first, int64_t last, const float *x, int64_t count, const float *sums,
                  float *out) {
  const int64_t groups = gate->columns / GROUP;
  for (int64_t index = first; index < last; index++)
    for (int64_t row = 0, tile; row < count; row += tile) {
      tile = tile_of(count - row);
      F one[TILE][2], two[TILE][2];
      rows_of(gate, (int)tile, index, x + row * gate->columns, gate->columns, sums + row * groups, one);
      rows_of(up, (int)tile, index, x + row * up->columns, up->columns, sums + row * groups, two);
      for (int i = 0; i < tile; i++) {
        for (int half = 0; half < 2; half++) one[i][half] = one[i][half] / (splat(1.0f) + exp16(-one[i][half])) * two[i][half];
        put(out + (row + i) * gate->rows + index * PANEL, gate->rows - index * PANEL, one[i][0], one[i][1], 0);
      }
    }
}

static void normalise(const float *x, const float *weight, int32_t hidden, float epsilon, float *out) {
  F squares = splat(0.0f);
  for (int32_t i = 0; i < hidden; i += LANES) squares = fma16(load(x + i), load(x + i), squares);
  F by = splat(1.0f / __builtin_sqrtf(sum(squares) / (float)hidden + epsilon));
  for (int32_t i = 0; i < hidden; i += LANES) store(out + i, load(x + i) * by * load(weight + i));
}

static void turn(float *heads, int64_t count, int64_t size, const float *turns) {
  for (int64_t i = 0; i < count * size; i += 2) {
    float real = heads[i], imaginary = heads[i + 1], cosine = turns[i % size], sine = turns[i % size + 1];
    heads[i] = __builtin_fmaf(real, cosine, -(imaginary * sine));
    heads[i + 1] = __builtin_fmaf(real, sine, imaginary * cosine);
  }
}

// A token's query heads of one key head, over keys and values 0 .. position. `scores` has room for heads x (position + LANES).
static void attend(const float *query, const float *keys, int64_t stride, int64_t value_offset, int64_t position, int64_t heads, int64_t size,
                   float factor, float *scores, float *out) {
  const int64_t room = (position / LANES + 1) * LANES;
  for (int64_t from = 0; from < room; from += LANES)
    for (int64_t head = 0; head < heads; head++) {
      F made = splat(-__builtin_inff());
      for (int64_t j = 0; j < LANES && from + j <= position; j++) {
        F dot = splat(0.0f);
        for (int64_t i = 0; i < size; i += LANES) dot = fma16(load(query + head * size + i), load(keys + (from + j) * stride + i), dot);
        made[j] = sum(dot) * factor;
      }
      store(scores + head * room + from, made);
    }
  for (int64_t head = 0; head < heads; head++) {
    float *own = scores + head * room;
    F most = splat(-__builtin_inff()), total = splat(0.0f);
    for (int64_t j = 0; j < room; j += LANES) {
      F each = load(own + j);
      most = pick(each > most, each, most);
    }
    F top = splat(largest(most));
    for (int64_t j = 0; j < room; j += LANES) {
      F each = exp16(load(own + j) - top);
      total += each;
      store(own + j, each);
    }
    F by = splat(1.0f / sum(total));
    for (int64_t i = 0; i < size; i += LANES) {
      F made = splat(0.0f);
      for (int64_t j = 0; j <= position; j++) made = fma16(splat(own[j]), load(keys + value_offset + j * stride + i), made);
      store(out + head * size + i, made * by);
    }
  }
}

// One thread's part of a step.
static void run(const void *job, int thread, int threads) {
  const Step *step = job;
  const Model *m = step->model;
  const int64_t count = step->count, hidden = m->hidden, size = m->size, heads = m->heads, kv = m->kv_heads, per = heads / kv;
  float *x = step->scratch, *normal = x + count * hidden, *query = normal + count * hidden, *keys = query + count * heads * size,
        *seen = keys + count * 2 * kv * size, *inner = seen + count * heads * size;
  float *own = inner + count * m->feed_forward + thread * step->scratch_floats, *sums = own;
  const int64_t first = share(count, thread, threads), last = share(count, thread + 1, threads);
  const float factor = 1.0f / __builtin_sqrtf((float)size);

  for (int64_t t = first; t < last; t++) look_up(&m->embedding, step->ids[t], x + t * hidden);
  for (int32_t l = 0; l < m->layer_count; l++) {
    const Layer *layer = m->layers + l;
    for (int64_t t = first; t < last; t++) normalise(x + t * hidden, layer->attention_norm, m->hidden, m->epsilon, normal + t * hidden);
    meet(threads);

    sum_groups(layer->query.bits == 4 ? &layer->query : layer->key.bits == 4 ? &layer->key : &layer->value, normal, count, sums);
    const Matrix *parts[] = {&layer->query, &layer->key, &layer->value};
    float *to[] = {query, keys, keys + kv * size};
    const int64_t strides[] = {heads * size, 2 * kv * size, 2 * kv * size};
    int64_t all = panels_of(parts[0]) + panels_of(parts[1]) + panels_of(parts[2]), begin = share(all, thread, threads),
            end = share(all, thread + 1, threads);
    for (int part = 0; part < 3; part++) {
      int64_t panels = panels_of(parts[part]);
      product(parts[part], begin < 0 ? 0 : begin, end < panels ? end : panels, normal, count, sums, to[part], strides[part], 0);
      begin -= panels, end -= panels;
    }
    meet(threads);

    for (int64_t t = first; t < last; t++) {
      const float *turns = m->turns + step->positions[t] * size;
      turn(query + t * heads * size, heads, size, turns);
      turn(keys + t * 2 * kv * size, kv, size, turns);
      float *place = m->cache + step->rows[t] * m->row_stride + l * m->layer_stride + step->positions[t] * m->token_stride;
      memcpy(place, keys + t * 2 * kv * size, sizeof(float) * 2 * kv * size);
    }
    meet(threads);

    for (int64_t task = share(count * kv, thread, threads); task < share(count * kv, thread + 1, threads); task++) {
      const int64_t t = task / kv, head = task % kv;
      const float *past = m->cache + step->rows[t] * m->row_stride + l * m->layer_stride + head * size;
      attend(query + (t * heads + head * per) * size, past, m->token_stride, kv * size, step->positions[t], per, size, factor, own,
             seen + (t * heads + head * per) * size);
    }
    meet(threads);

    sum_groups(&layer->output, seen, count, sums);
    product(&layer->output, share(panels_of(&layer->output), thread, threads), share(panels_of(&layer->output), thread + 1, threads), seen,
            count, sums, x, hidden, 1);
    meet(threads);

    for (int64_t t = first; t < last; t++) normalise(x + t * hidden, layer->feed_forward_norm, m->hidden, m->epsilon, normal + t * hidden);
    meet(threads);

    sum_groups(layer->gate.bits == 4 ? &layer->gate : &layer->up, normal, count, sums);
    gated(&layer->gate, &layer->up, share(panels_of(&layer->gate), thread, threads), share(panels_of(&layer->gate), thread + 1, threads),
          normal, count, sums, inner);
    meet(threads);

    sum_groups(&layer->down, inner, count, sums);
    product(&layer->down, share(panels_of(&layer->down), thread, threads), share(panels_of(&layer->down), thread + 1, threads), inner, count,
            sums, x, hidden, 1);
    meet(threads);
  }
  const int64_t asked = step->wanted_count;
  for (int64_t i = share(asked, thread, threads); i < share(asked, thread + 1, threads); i++)
    normalise(x + step->wanted[i] * hidden, m->norm, m->hidden, m->epsilon, normal + i * hidden);
  meet(threads);
  sum_groups(&m->head, normal, asked, sums);
  product(&m->head, share(panels_of(&m->head), thread, threads), share(panels_of(&m->head), thread + 1, threads), normal, asked, sums,
          step->logits, m->head.rows, 0);
  meet(threads);
}

// Compute a step on so many threads; how many it really were.
int penstock_step(const Step *step, int threads) { return together(run, step, threads); }
