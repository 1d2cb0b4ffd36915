// Drawing a token from its logits: the same one on every processor.

#include "kernels.h"

#include <stdlib.h>

#define BLOCK 256
typedef double D __attribute__((vector_size(128), aligned(4)));

INLINE int64_t padded(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

// The scores, padded by minus infinity. Returns the largest; NaN where any is NaN.
static float copy_scores(const float *scores, int64_t count, float *to) {
  memcpy(to, scores, sizeof(float) * count);
  for (int64_t i = count; i < padded(count); i++) to[i] = -__builtin_inff();
  F most = splat(-__builtin_inff()), wrong = splat(0.0f);
  for (int64_t i = 0; i < count; i += LANES) {
    F each = load(to + i);
    most = pick(each > most, each, most);
    wrong = pick(each == each, wrong, each);
  }
  float bad = sum(wrong);
  return bad == bad ? largest(most) : bad;
}

// exp((score - top) / temperature) of each, in place.
static void raise(float *scores, int64_t count, float top, float temperature) {
  for (int64_t i = 0; i < count; i += LANES) store(scores + i, exp16((load(scores + i) - top) / splat(temperature)));
}

// The sum of those that are at least `least`, in float64: of 16 lanes, then of the lanes.
static double mass(const float *from, int64_t count, float least) {
  D lanes = {};
  for (int64_t i = 0; i < count; i += LANES) {
    F each = load(from + i);
    lanes += __builtin_convertvector(pick(each >= splat(least), each, splat(0.0f)), D);
  }
  double made = 0;
  for (int i = 0; i < LANES; i++) made += lanes[i];
  return made;
}

static int falling(const void *one, const void *two) {
  float a = *(const float *)one, b = *(const float *)two;
  return (a < b) - (a > b);
}

// The smallest chance that top_k, then top_p of what that left, leave in. Equals stay or go together. `some`: room for all.
static float floor_of(const float *chances, int64_t count, double total, double top_p, int64_t top_k, float *some) {
  const int64_t most = top_k > 0 && top_k < count ? top_k : count;
  for (float least = 1e-3f;; least = least > 1e-20f ? least * 1e-3f : 0.0f) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++)
      if (chances[i] >= least) some[found++] = chances[i];
    if (found < most && most < count && least > 0) continue;
    qsort(some, found, sizeof(float), falling);
    double base = 0, sums = 0;
    if (most < count)
      for (int64_t i = 0; i < most; i++) base += some[i];
    else base = total;
    int64_t place = 0;
    if (top_p < 1)
      while (place < found && (sums += some[place]) < top_p * base) place++;
    else place = most - 1;
    if (place >= found && least > 0) continue;
    if (place > most - 1) place = most - 1;
    return some[place < found ? place : found - 1];
  }
}

// The token at `number` in [0, 1) of the cumulative distribution; the best one for temperature 0; -1 where the scores are not finite.
// `work`: room for twice the scores, padded to whole vectors.
int64_t penstock_draw(const float *scores, int64_t count, float temperature, double top_p, int64_t top_k, double number, float *work) {
  float *chances = work, top = copy_scores(scores, count, work);
  if (!__builtin_isfinite(top)) return -1;
  if (temperature <= 0) {
    int64_t best = 0;
    while (chances[best] != top) best++;
    return best;
  }
  const int64_t room = padded(count);
  raise(chances, count, top, temperature);
  float least = 0;
  if (top_p < 1 || (top_k > 0 && top_k < count)) least = floor_of(chances, count, mass(chances, room, 0), top_p, top_k, work + room);
  double whole = 0, sums = 0;
  for (int64_t from = 0; from < room; from += BLOCK) whole += mass(chances + from, room - from < BLOCK ? room - from : BLOCK, least);
  const double wanted = number * whole;
  int64_t last = 0;
  for (int64_t from = 0; from < count; from += BLOCK) {
    const int64_t stop = count - from < BLOCK ? count : from + BLOCK;
    double more = mass(chances + from, room - from < BLOCK ? room - from : BLOCK, least), inside = sums;
    for (int64_t i = from; i < stop; i++)
      if (chances[i] >= least && chances[i] > 0) {
        last = i;
        if (sums + more > wanted && (inside += chances[i]) > wanted) return i;
      }
    sums += more;
  }
  return last;
}

// The largest score, and what exp(score - largest) adds up to. `work`: room for the scores, padded to whole vectors.
double penstock_mass(const float *scores, int64_t count, float *largest_score, float *work) {
  *largest_score = copy_scores(scores, count, work);
  raise(work, count, *largest_score, 1.0f);
  return mass(work, padded(count), 0);
}
