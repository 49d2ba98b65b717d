/* Exact or nearly exact scores of each query's candidates, and the best k of them. The vectors of candidates lie far
 * apart in memory, so those of the next ones are asked for ahead. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "select.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define X86 1
#endif

enum { FLOAT32, FLOAT16, UINT8, AHEAD = 4 };

static float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = (half >> 10) & 31, fraction = half & 1023;
    float value;
    uint32_t bits = sign | ((exponent + 112) << 23) | (fraction << 13);
    if (exponent == 0) return (sign ? -1.0f : 1.0f) * ldexpf((float)fraction, -24);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float value_at(const void *row, int kind, int i) {
    if (kind == FLOAT32) return ((const float *)row)[i];
    if (kind == FLOAT16) return half_to_float(((const uint16_t *)row)[i]);
    return ((const uint8_t *)row)[i];
}

/* A vector: `centre + offset + scale * value`, or `value` itself where it is float32; centre may be NULL. */
typedef struct {
    const void *values;
    const float *centre;
    float scale, offset;
} Row;

/* A query, also as doubles. */
typedef struct {
    const float *values;
    const double *wide;
} Query;

static double score_portable(Query query, const Row *given, int kind, int d, int l2) {
    const Row row = *given;
    double sum = 0;
    for (int i = 0; i < d; i++) {
        float x = value_at(row.values, kind, i);
        if (kind != FLOAT32) x = x * row.scale + row.offset + (row.centre ? row.centre[i] : 0);
        const double apart = query.wide[i] - x;
        sum += l2 ? -apart * apart : query.wide[i] * x;
    }
    return sum;
}

#ifdef X86
#define AVX2 __attribute__((target("avx2,fma,f16c")))

static inline __attribute__((always_inline)) AVX2 float score_as(const float *query, const Row row, const int kind,
                                                                 int d, const int l2, const int centred) {
    __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    const __m256 scales = _mm256_set1_ps(row.scale), offsets = _mm256_set1_ps(row.offset);
    int i = 0;
    for (; i + 16 <= d; i += 16) {
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const int at = i + 8 * j;
            __m256 x;
            if (kind == FLOAT16) {
                x = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)row.values + at)));
                if (centred) x = _mm256_add_ps(x, _mm256_loadu_ps(row.centre + at));
            } else {
                x = _mm256_cvtepi32_ps(
                    _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)((const uint8_t *)row.values + at))));
                const __m256 from = centred ? _mm256_add_ps(offsets, _mm256_loadu_ps(row.centre + at)) : offsets;
                x = _mm256_fmadd_ps(x, scales, from);
            }
            const __m256 q = _mm256_loadu_ps(query + at);
            if (l2) {
                const __m256 apart = _mm256_sub_ps(q, x);
                sums[j] = _mm256_fnmadd_ps(apart, apart, sums[j]);
            } else sums[j] = _mm256_fmadd_ps(q, x, sums[j]);
        }
    }
    float lanes[8], rest = 0;
    _mm256_storeu_ps(lanes, _mm256_add_ps(sums[0], sums[1]));
    for (; i < d; i++) {
        const float x = value_at(row.values, kind, i) * row.scale + row.offset + (centred ? row.centre[i] : 0);
        rest += l2 ? -(query[i] - x) * (query[i] - x) : query[i] * x;
    }
    for (int j = 0; j < 8; j++) rest += lanes[j];
    return rest;
}

/* Originals have the last word: their products are added up in double, so that nearly parallel vectors keep their order. */
static inline __attribute__((always_inline)) AVX2 double exact_as(const double *query, const float *row, int d, const int l2) {
    __m256d sums[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
    int i = 0;
    for (; i + 16 <= d; i += 16) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            const __m256d q = _mm256_loadu_pd(query + i + 4 * j), x = _mm256_cvtps_pd(_mm_loadu_ps(row + i + 4 * j));
            if (l2) {
                const __m256d apart = _mm256_sub_pd(q, x);
                sums[j] = _mm256_fnmadd_pd(apart, apart, sums[j]);
            } else sums[j] = _mm256_fmadd_pd(q, x, sums[j]);
        }
    }
    double lanes[4], rest = 0;
    _mm256_storeu_pd(lanes, _mm256_add_pd(_mm256_add_pd(sums[0], sums[1]), _mm256_add_pd(sums[2], sums[3])));
    for (; i < d; i++) {
        const double apart = query[i] - row[i];
        rest += l2 ? -apart * apart : query[i] * row[i];
    }
    for (int j = 0; j < 4; j++) rest += lanes[j];
    return rest;
}

static AVX2 double score_avx2(Query query, const Row *given, int kind, int d, int l2) {
    const Row row = *given;
    if (kind == FLOAT32) return l2 ? exact_as(query.wide, row.values, d, 1) : exact_as(query.wide, row.values, d, 0);
    if (row.centre && kind == FLOAT16) return l2 ? score_as(query.values, row, FLOAT16, d, 1, 1) : score_as(query.values, row, FLOAT16, d, 0, 1);
    if (row.centre) return l2 ? score_as(query.values, row, UINT8, d, 1, 1) : score_as(query.values, row, UINT8, d, 0, 1);
    if (kind == FLOAT16) return l2 ? score_as(query.values, row, FLOAT16, d, 1, 0) : score_as(query.values, row, FLOAT16, d, 0, 0);
    return l2 ? score_as(query.values, row, UINT8, d, 1, 0) : score_as(query.values, row, UINT8, d, 0, 0);
}
#endif

/* vectors: rows of `stride` bytes of d values, which stand for `centre + offset + scale * value` unless kind is 0:
 * `grid` (slots, 2) scales and offsets where kind is 2, and `centres` (cells, d), or NULL, of the `cells` of groups of
 * 16 slots (NULL where there is one).
 * order: (m,) in which queries are served, so that those with candidates in common follow each other.
 * slots: (m, depth), -1 padded. ids: of slots, or NULL where slots are ids.
 * rows, scores: (m, k); best first, equals by row, padded with -1 and -inf. Returns 0, or 1 when memory is short. */
int rerank(const uint8_t *vectors, int kind, int64_t stride, int d, const float *grid, const float *centres,
           const int32_t *cells, const float *queries, int m, const int64_t *order, const int32_t *slots, int depth,
           const int32_t *ids, int l2, int k, int64_t *rows, float *scores) {
    int64_t *keys = malloc((size_t)depth * sizeof *keys);
    double *values = malloc((size_t)depth * sizeof *values);
    double *wide = malloc((size_t)d * sizeof *wide);
    if (!keys || !values || !wide) return free(keys), free(values), free(wide), 1;
    double (*score)(Query, const Row *, int, int, int) = score_portable;
#ifdef X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) score = score_avx2;
#endif
    for (int turn = 0; turn < m; turn++) {
        const size_t q = (size_t)order[turn];
        const int32_t *mine = slots + q * depth;
        int count = 0;
        while (count < depth && mine[count] >= 0) count++;
        const Query query = {queries + q * d, wide};
        if (kind == FLOAT32 || score == score_portable)
            for (int i = 0; i < d; i++) wide[i] = query.values[i];
        for (int i = 0; i < count; i++) {
            if (i + AHEAD < count)
                for (int64_t at = 0; at < stride; at += 64) __builtin_prefetch(vectors + mine[i + AHEAD] * stride + at);
            const int64_t slot = mine[i];
            const float *centre = centres ? centres + (cells ? cells[slot / 16] * (int64_t)d : 0) : NULL;
            const Row row = {vectors + slot * stride, centre, kind == UINT8 ? grid[2 * slot] : 1,
                             kind == UINT8 ? grid[2 * slot + 1] : 0};
            values[i] = score(query, &row, kind, d, l2);
        }
        /* First by the scores as floats; those of originals then by how far they are from the last that is kept: where scores round to one
         * float, those about the limit are told apart, however large the best of them is. */
        const int kept = count < k ? count : k;
        double limit = 0;
        const int passes = kind == FLOAT32 ? 2 : 1;
        for (int pass = 0; pass < passes; pass++) {
            for (int i = 0; i < count; i++)
                keys[i] = KEY(ordered((float)(values[i] - limit)), ids ? ids[mine[i]] : mine[i]);
            select_largest(keys, count, kept);
            int64_t last = kept ? keys[0] : 0;
            for (int i = 1; i < kept; i++)
                if (keys[i] < last) last = keys[i];
            if (pass + 1 < passes && kept) limit = restored(SCORE(last));
        }
        sort_largest_first(keys, kept);
        for (int i = 0; i < k; i++) {
            rows[q * k + i] = i < kept ? NUMBER(keys[i]) : -1;
            scores[q * k + i] = i < kept ? (float)(limit + restored(SCORE(keys[i]))) : -INFINITY;
        }
    }
    free(keys), free(values), free(wide);
    return 0;
}
