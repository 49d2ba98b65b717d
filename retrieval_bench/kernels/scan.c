/* Threshold scan of 7-bit codes: integer products of a block of queries with groups of 16 rows, of which only
 * candidates leave the registers. No matrix of scores is written and nothing is sorted but the survivors.
 *
 * Codes are unsigned, 0..127; queries signed, -31..31. Then four products of pairs, each at most 2 * 127 * 31, add up
 * within 16 bits, and AVX2 needs one widening (vpmaddwd) for every four multiplications (vpmaddubsw). All variants
 * compute the same integers, so which one runs decides the time and nothing else.
 *
 * Layout of codes: groups of 16 rows; within a group, for every four dimensions ("quad"), the four bytes of row 0, of
 * row 1, ... of row 15: one load of 64 bytes. The number of quads is a multiple of 4.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>

#include "select.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define X86 1
#endif

enum { ROWS = 16, BLOCK = 8 };

/* A query block, interleaved as (quads, width): what the kernels below read. */
typedef struct {
    const int32_t *quads;   /* four query bytes each */
    const int32_t *floor;   /* (width,) scores below are of no interest */
    const float *weights;   /* (width,) of the rows' biases */
} Block;

/* What a scan stops with: scores of one group, and a bit for each row whose score reaches the query's floor. */
typedef struct {
    int32_t scores[BLOCK][ROWS];
    uint32_t masks[BLOCK];
} Found;

/* Scans groups from `first` on and stops at one that holds a score of at least the floor: returns it, with `found` set,
 * or returns `groups` when there is none. `bias` may be NULL. */
typedef int64_t (*Scan)(const uint8_t *codes, int quads, const float *bias, int64_t first, int64_t groups, Block block,
                        Found *found);

#define INLINE static inline __attribute__((always_inline))

INLINE int64_t scan_portable(const uint8_t *codes, int quads, const float *bias, int64_t first, int64_t groups,
                             Block block, Found *found, const int width) {
    for (int64_t group = first; group < groups; group++) {
        const uint8_t *x = codes + group * quads * 4 * ROWS;
        uint32_t any = 0;
        for (int q = 0; q < width; q++) {
            int32_t *sums = found->scores[q];
            memset(sums, 0, ROWS * sizeof *sums);
            for (int quad = 0; quad < quads; quad++) {
                const int8_t *y = (const int8_t *)(block.quads + quad * width + q);
                const uint8_t *z = x + quad * 4 * ROWS;
                for (int row = 0; row < ROWS; row++)
                    sums[row] += z[4 * row] * y[0] + z[4 * row + 1] * y[1] + z[4 * row + 2] * y[2] + z[4 * row + 3] * y[3];
            }
            found->masks[q] = 0;
            for (int row = 0; row < ROWS; row++) {
                if (bias) sums[row] += (int32_t)lrintf(bias[group * ROWS + row] * block.weights[q]);
                found->masks[q] |= (uint32_t)(sums[row] >= block.floor[q]) << row;
            }
            any |= found->masks[q];
        }
        if (any) return group;
    }
    return groups;
}

static int64_t scan_portable_8(const uint8_t *c, int n, const float *b, int64_t f, int64_t g, Block k, Found *s) {
    return scan_portable(c, n, b, f, g, k, s, BLOCK);
}
static int64_t scan_portable_1(const uint8_t *c, int n, const float *b, int64_t f, int64_t g, Block k, Found *s) {
    return scan_portable(c, n, b, f, g, k, s, 1);
}

#ifdef X86
#define AVX2 __attribute__((target("avx2")))

INLINE AVX2 int64_t scan_avx2(const uint8_t *codes, int quads, const float *bias, int64_t first, int64_t groups,
                              Block block, Found *found, const int width) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sums[BLOCK];
    for (int64_t group = first; group < groups; group++) {
        __m256i any = _mm256_setzero_si256();
        for (int half = 0; half < 2; half++) {
            const __m256i *x = (const __m256i *)(codes + group * quads * 4 * ROWS) + half;
            const int32_t *y = block.quads;
#pragma GCC unroll 8
            for (int q = 0; q < width; q++) sums[q] = _mm256_setzero_si256();
            for (int quad = 0; quad < quads; quad += 4, x += 8, y += 4 * width) {
                const __m256i x0 = _mm256_loadu_si256(x), x1 = _mm256_loadu_si256(x + 2);
                const __m256i x2 = _mm256_loadu_si256(x + 4), x3 = _mm256_loadu_si256(x + 6);
#pragma GCC unroll 8
                for (int q = 0; q < width; q++) {
                    __m256i four = _mm256_maddubs_epi16(x0, _mm256_set1_epi32(y[q]));
                    four = _mm256_add_epi16(four, _mm256_maddubs_epi16(x1, _mm256_set1_epi32(y[width + q])));
                    four = _mm256_add_epi16(four, _mm256_maddubs_epi16(x2, _mm256_set1_epi32(y[2 * width + q])));
                    four = _mm256_add_epi16(four, _mm256_maddubs_epi16(x3, _mm256_set1_epi32(y[3 * width + q])));
                    sums[q] = _mm256_add_epi32(sums[q], _mm256_madd_epi16(four, ones));
                }
            }
            if (bias) {
                const __m256 shift = _mm256_loadu_ps(bias + group * ROWS + half * 8);
#pragma GCC unroll 8
                for (int q = 0; q < width; q++)
                    sums[q] = _mm256_add_epi32(
                        sums[q], _mm256_cvtps_epi32(_mm256_mul_ps(shift, _mm256_set1_ps(block.weights[q]))));
            }
#pragma GCC unroll 8
            for (int q = 0; q < width; q++) {
                any = _mm256_or_si256(any, _mm256_cmpgt_epi32(sums[q], _mm256_set1_epi32(block.floor[q] - 1)));
                _mm256_storeu_si256((__m256i *)found->scores[q] + half, sums[q]);
            }
        }
        if (_mm256_testz_si256(any, any)) continue;
        for (int q = 0; q < width; q++) {
            const __m256i *kept = (const __m256i *)found->scores[q], below = _mm256_set1_epi32(block.floor[q] - 1);
            const __m256i low = _mm256_cmpgt_epi32(_mm256_loadu_si256(kept), below);
            const __m256i high = _mm256_cmpgt_epi32(_mm256_loadu_si256(kept + 1), below);
            found->masks[q] = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
                              (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << 8;
        }
        return group;
    }
    return groups;
}

static AVX2 int64_t scan_avx2_8(const uint8_t *c, int n, const float *b, int64_t f, int64_t g, Block k, Found *s) {
    return scan_avx2(c, n, b, f, g, k, s, BLOCK);
}
static AVX2 int64_t scan_avx2_1(const uint8_t *c, int n, const float *b, int64_t f, int64_t g, Block k, Found *s) {
    return scan_avx2(c, n, b, f, g, k, s, 1);
}

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

INLINE VNNI int64_t scan_vnni(const uint8_t *codes, int quads, const float *bias, int64_t first, int64_t groups,
                              Block block, Found *found, const int width) {
    __m512i sums[BLOCK];
    for (int64_t group = first; group < groups; group++) {
        const __m512i *x = (const __m512i *)(codes + group * quads * 4 * ROWS);
        const int32_t *y = block.quads;
        uint32_t any = 0;
#pragma GCC unroll 8
        for (int q = 0; q < width; q++) sums[q] = _mm512_setzero_si512();
        for (int quad = 0; quad < quads; quad++, y += width) {
            const __m512i row = _mm512_loadu_si512(x + quad);
#pragma GCC unroll 8
            for (int q = 0; q < width; q++) sums[q] = _mm512_dpbusd_epi32(sums[q], row, _mm512_set1_epi32(y[q]));
        }
        if (bias) {
            const __m512 shift = _mm512_loadu_ps(bias + group * ROWS);
#pragma GCC unroll 8
            for (int q = 0; q < width; q++)
                sums[q] = _mm512_add_epi32(
                    sums[q], _mm512_cvtps_epi32(_mm512_mul_ps(shift, _mm512_set1_ps(block.weights[q]))));
        }
#pragma GCC unroll 8
        for (int q = 0; q < width; q++) {
            found->masks[q] = _mm512_cmpge_epi32_mask(sums[q], _mm512_set1_epi32(block.floor[q]));
            _mm512_storeu_si512(found->scores[q], sums[q]);
            any |= found->masks[q];
        }
        if (any) return group;
    }
    return groups;
}

static VNNI int64_t scan_vnni_8(const uint8_t *c, int n, const float *b, int64_t f, int64_t g, Block k, Found *s) {
    return scan_vnni(c, n, b, f, g, k, s, BLOCK);
}
static VNNI int64_t scan_vnni_1(const uint8_t *c, int n, const float *b, int64_t f, int64_t g, Block k, Found *s) {
    return scan_vnni(c, n, b, f, g, k, s, 1);
}
#endif

/* 0: portable, 1: AVX2, 2: AVX-512 with VNNI: the best that this processor runs. */
int best_variant(void) {
#ifdef X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni")) return 2;
    if (__builtin_cpu_supports("avx2")) return 1;
#endif
    return 0;
}

static Scan chosen(int variant, int width) {
#ifdef X86
    if (variant == 2) return width == 1 ? scan_vnni_1 : scan_vnni_8;
    if (variant == 1) return width == 1 ? scan_avx2_1 : scan_avx2_8;
#endif
    (void)variant;
    return width == 1 ? scan_portable_1 : scan_portable_8;
}

/* Candidates of a query: keys that order by score, then by lower slot. `floor` is the score of the depth-th best once
 * so many have been met: nothing below it can be among the answers. */
typedef struct {
    int64_t *keys;
    int count;
    int32_t floor;
} Candidates;

static void compact(Candidates *found, int depth) {
    if (found->count < depth) return;
    select_largest(found->keys, found->count, depth);
    found->count = depth;
    int32_t lowest = SCORE(found->keys[0]);
    for (int i = 1; i < depth; i++)
        if (SCORE(found->keys[i]) < lowest) lowest = SCORE(found->keys[i]);
    found->floor = lowest;
}

typedef struct {
    const uint8_t *codes;
    const float *bias;
    int quads;
    const int64_t *starts;  /* first group of each list */
    const int64_t *rows;    /* rows of each list */
    const int8_t *queries;
    const float *weights;
    int depth, variant;
    Candidates *found;
    int32_t *packed;        /* room for one block */
} Search;

/* One list for up to BLOCK queries. */
static void scan_list(Search *search, int64_t list, const int32_t *asked, int count) {
    const int width = count == 1 ? 1 : BLOCK;
    const int quads = search->quads, depth = search->depth;
    const int64_t start = search->starts[list], rows = search->rows[list];
    const int64_t groups = (rows + ROWS - 1) / ROWS;
    int32_t floors[BLOCK];
    Found hit;
    float weights[BLOCK] = {0};
    for (int q = 0; q < width; q++) {
        const int32_t *query = (const int32_t *)(search->queries + (int64_t)asked[q < count ? q : 0] * quads * 4);
        for (int quad = 0; quad < quads; quad++) search->packed[quad * width + q] = query[quad];
        floors[q] = q < count ? search->found[asked[q]].floor : INT32_MAX;
        if (search->weights && q < count) weights[q] = search->weights[asked[q]];
    }
    const Block block = {search->packed, floors, weights};
    const Scan scan = chosen(search->variant, width);
    const uint8_t *codes = search->codes + start * quads * 4 * ROWS;
    const float *bias = search->bias ? search->bias + start * ROWS : NULL;
    int64_t group = 0;
    while ((group = scan(codes, quads, bias, group, groups, block, &hit)) < groups) {
        const int inside = rows - group * ROWS < ROWS ? (int)(rows - group * ROWS) : ROWS;
        for (int q = 0; q < count; q++) {
            Candidates *found = search->found + asked[q];
            for (uint32_t rest = hit.masks[q] & ((1u << inside) - 1); rest; rest &= rest - 1) {
                const int row = __builtin_ctz(rest);
                const int32_t score = hit.scores[q][row];
                if (score < floors[q]) continue;
                found->keys[found->count++] = KEY(score, (start + group) * ROWS + row);
                if (found->count == 2 * depth) {
                    compact(found, depth);
                    floors[q] = found->floor;
                }
            }
        }
        group++;
    }
}

/* The `depth` best slots for each query, equal scores by slot; -1 where fewer were scanned. `sorted`: best first.
 *
 * probes: (m, nprobe) lists of each query, nearest first, or NULL for every list. Queries are grouped by list, so that
 * a list is read once for all of them; each query's nearest list comes first and sets its floor for the others.
 * slots, scores: (m, depth). Returns 0, or 1 when memory is short. */
int scan_lists(const uint8_t *codes, int quads, const float *bias, int64_t lists, const int64_t *starts,
               const int64_t *rows, const int8_t *queries, const float *weights, int m, const int32_t *probes, int nprobe,
               int depth, int sorted, int variant, int32_t *slots, int32_t *scores) {
    int64_t *keys = malloc((size_t)m * 2 * depth * sizeof *keys);
    Candidates *found = malloc((size_t)m * sizeof *found);
    int32_t *packed = malloc((size_t)quads * BLOCK * sizeof *packed);
    int32_t *asked = malloc(((size_t)m * (probes ? nprobe : 1) + 1) * sizeof *asked);
    int64_t *ends = malloc((size_t)(lists + 2) * sizeof *ends);
    const int failed = !keys || !found || !packed || !asked || !ends;
    if (!failed) {
        for (int q = 0; q < m; q++) found[q] = (Candidates){keys + (size_t)q * 2 * depth, 0, INT32_MIN + 1};
        Search search = {codes, bias, quads, starts, rows, queries, weights, depth, variant, found, packed};
        if (!probes) {
            /* Lists in an order that has nothing to do with the rows', which often stand by topic. */
            for (int q = 0; q < m; q++) asked[q] = q;
            int64_t stride = lists / 3 * 2 + 1;
            for (int64_t a = stride, b = lists; b;) {
                int64_t rest = a % b;
                a = b, b = rest;
                if (!b && a != 1) a = ++stride, b = lists;
            }
            for (int64_t i = 0; i < lists; i++)
                for (int q = 0; q < m; q += BLOCK)
                    scan_list(&search, i * stride % lists, asked + q, m - q < BLOCK ? m - q : BLOCK);
        } else {
            for (int pass = 0; pass < 2; pass++) {
                const int from = pass ? 1 : 0, to = pass ? nprobe : 1;
                memset(ends, 0, (size_t)(lists + 2) * sizeof *ends);
                for (int q = 0; q < m; q++)
                    for (int i = from; i < to; i++) ends[probes[(size_t)q * nprobe + i] + 2]++;
                for (int64_t list = 0; list < lists; list++) ends[list + 2] += ends[list + 1];
                for (int q = 0; q < m; q++)
                    for (int i = from; i < to; i++) asked[ends[probes[(size_t)q * nprobe + i] + 1]++] = q;
                for (int64_t list = 0; list < lists; list++)
                    for (int64_t i = ends[list]; i < ends[list + 1]; i += BLOCK)
                        scan_list(&search, list, asked + i, ends[list + 1] - i < BLOCK ? (int)(ends[list + 1] - i) : BLOCK);
            }
        }
        for (int q = 0; q < m; q++) {
            compact(found + q, depth);
            if (sorted) sort_largest_first(found[q].keys, found[q].count);
            for (int i = 0; i < depth; i++) {
                const int there = i < found[q].count;
                slots[(size_t)q * depth + i] = there ? NUMBER(found[q].keys[i]) : -1;
                scores[(size_t)q * depth + i] = there ? SCORE(found[q].keys[i]) : INT32_MIN;
            }
        }
    }
    free(keys), free(found), free(packed), free(asked), free(ends);
    return failed;
}
