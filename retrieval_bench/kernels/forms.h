/* Threshold scan of 7-bit codes: integer products of a block of queries with groups of 16 rows, of which only
 * candidates leave the registers. No matrix of scores is written.
 *
 * Codes are unsigned, 0..127; queries signed, -31..31. Then four products of pairs, each at most 2 * 127 * 31, add up
 * within 16 bits, and AVX2 needs one widening (vpmaddwd) for every four multiplications (vpmaddubsw). All variants
 * compute the same integers and round the same floats, so which one runs decides the time and nothing else.
 *
 * Layout of codes: groups of 16 rows; within a group, for every four dimensions ("quad"), the four bytes of row 0, of
 * row 1, ... of row 15: one load of 64 bytes. The number of quads is a multiple of 4.
 */

#ifndef FORMS_H
#define FORMS_H

#include <stdint.h>
#include <string.h>

#include "select.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>
#define X86 1
#endif

enum { ROWS = 16, BLOCK = 8 };

/* A query block, interleaved as (quads, width): what the kernels below read. Scores are integers where nothing stands
 * beside the codes ("plain"), else floats: (sum - zero) * unit * scale of the row + bias of the row * weight + offset. */
typedef struct {
    const int32_t *quads;   /* four query bytes each */
    const int32_t *floor;   /* (width,) scores below are of no interest; the bits of a float unless plain */
    const int32_t *zero;    /* (width,) sum that stands for a product of 0 */
    const float *unit;      /* (width,) or NULL for 1 */
    const float *weight;    /* (width,) of the rows' biases */
    const float *offset;    /* (width,) or NULL for 0 */
} Block;

/* What stands beside the codes of each slot; NULL where nothing does. */
typedef struct {
    const float *scale, *bias;
} Beside;

/* What a scan stops with: scores of one group (bits), and a bit for each row whose score reaches the query's floor. */
typedef struct {
    int32_t scores[BLOCK][ROWS];
    uint32_t masks[BLOCK];
} Found;

/* Scans groups from `first` on and stops at one that holds a score of at least the floor: returns it, with `found` set,
 * or returns `groups` when there is none. */
typedef int64_t (*Scan)(const uint8_t *codes, int quads, Beside beside, int64_t first, int64_t groups, Block block,
                        Found *found);

#define INLINE static inline __attribute__((always_inline))
#define FORM(name, target, width, plain)                                                                          \
    static target int64_t name##_##width##_##plain(const uint8_t *c, int n, Beside b, int64_t f, int64_t g, Block k, \
                                                   Found *s) {                                                    \
        return name(c, n, b, f, g, k, s, width, plain);                                                           \
    }
#define FORMS(name, target) FORM(name, target, 8, 1) FORM(name, target, 8, 0) FORM(name, target, 1, 1) FORM(name, target, 1, 0)

INLINE int64_t scan_portable(const uint8_t *codes, int quads, Beside beside, int64_t first, int64_t groups,
                             Block block, Found *found, const int width, const int plain) {
    for (int64_t group = first; group < groups; group++) {
        const uint8_t *x = codes + group * quads * 4 * ROWS;
        const int64_t slot = group * ROWS;
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
                int reached = sums[row] >= block.floor[q];
                if (!plain) {
                    float score = (float)(sums[row] - block.zero[q]);
                    if (block.unit) score *= block.unit[q];
                    if (beside.scale) score *= beside.scale[slot + row];
                    if (beside.bias) score += beside.bias[slot + row] * block.weight[q];
                    if (block.offset) score += block.offset[q];
                    reached = score >= as_float(block.floor[q]);
                    sums[row] = as_bits(score);
                }
                found->masks[q] |= (uint32_t)reached << row;
            }
            any |= found->masks[q];
        }
        if (any) return group;
    }
    return groups;
}
FORMS(scan_portable, )

#ifdef X86
#define AVX2 __attribute__((target("avx2")))

/* Floats of 8 rows from `slot` on, for one query. */
INLINE AVX2 __m256 finished_avx2(__m256i sums, Beside beside, int64_t slot, Block block, int q) {
    __m256 score = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, _mm256_set1_epi32(block.zero[q])));
    if (block.unit) score = _mm256_mul_ps(score, _mm256_set1_ps(block.unit[q]));
    if (beside.scale) score = _mm256_mul_ps(score, _mm256_loadu_ps(beside.scale + slot));
    if (beside.bias)
        score = _mm256_add_ps(score, _mm256_mul_ps(_mm256_loadu_ps(beside.bias + slot), _mm256_set1_ps(block.weight[q])));
    if (block.offset) score = _mm256_add_ps(score, _mm256_set1_ps(block.offset[q]));
    return score;
}

/* All ones in the lanes whose scores (bits of them) reach a query's floor. */
INLINE AVX2 __m256i reached_avx2(__m256i scores, int32_t floor, const int plain) {
    const __m256i lowest = _mm256_set1_epi32(plain ? floor - 1 : floor);
    if (plain) return _mm256_cmpgt_epi32(scores, lowest);
    return _mm256_castps_si256(_mm256_cmp_ps(_mm256_castsi256_ps(scores), _mm256_castsi256_ps(lowest), _CMP_GE_OQ));
}

INLINE AVX2 int64_t scan_avx2(const uint8_t *codes, int quads, Beside beside, int64_t first, int64_t groups,
                              Block block, Found *found, const int width, const int plain) {
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
#pragma GCC unroll 8
            for (int q = 0; q < width; q++) {
                if (!plain)
                    sums[q] = _mm256_castps_si256(finished_avx2(sums[q], beside, group * ROWS + half * 8, block, q));
                any = _mm256_or_si256(any, reached_avx2(sums[q], block.floor[q], plain));
                _mm256_storeu_si256((__m256i *)found->scores[q] + half, sums[q]);
            }
        }
        if (_mm256_testz_si256(any, any)) continue;
        for (int q = 0; q < width; q++) {
            const __m256i *kept = (const __m256i *)found->scores[q];
            const __m256i low = reached_avx2(_mm256_loadu_si256(kept), block.floor[q], plain);
            const __m256i high = reached_avx2(_mm256_loadu_si256(kept + 1), block.floor[q], plain);
            found->masks[q] = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(low)) |
                              (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(high)) << 8;
        }
        return group;
    }
    return groups;
}
FORMS(scan_avx2, AVX2)

#define VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

INLINE VNNI __m512 finished_vnni(__m512i sums, Beside beside, int64_t slot, Block block, int q) {
    __m512 score = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums, _mm512_set1_epi32(block.zero[q])));
    if (block.unit) score = _mm512_mul_ps(score, _mm512_set1_ps(block.unit[q]));
    if (beside.scale) score = _mm512_mul_ps(score, _mm512_loadu_ps(beside.scale + slot));
    if (beside.bias)
        score = _mm512_add_ps(score, _mm512_mul_ps(_mm512_loadu_ps(beside.bias + slot), _mm512_set1_ps(block.weight[q])));
    if (block.offset) score = _mm512_add_ps(score, _mm512_set1_ps(block.offset[q]));
    return score;
}

INLINE VNNI int64_t scan_vnni(const uint8_t *codes, int quads, Beside beside, int64_t first, int64_t groups,
                              Block block, Found *found, const int width, const int plain) {
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
#pragma GCC unroll 8
        for (int q = 0; q < width; q++) {
            const __m512i lowest = _mm512_set1_epi32(block.floor[q]);
            if (plain) {
                found->masks[q] = _mm512_cmpge_epi32_mask(sums[q], lowest);
            } else {
                const __m512 scores = finished_vnni(sums[q], beside, group * ROWS, block, q);
                found->masks[q] = _mm512_cmp_ps_mask(scores, _mm512_castsi512_ps(lowest), _CMP_GE_OQ);
                sums[q] = _mm512_castps_si512(scores);
            }
            _mm512_storeu_si512(found->scores[q], sums[q]);
            any |= found->masks[q];
        }
        if (any) return group;
    }
    return groups;
}
FORMS(scan_vnni, VNNI)
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

#define CHOICE(name) (width == 1 ? (plain ? name##_1_1 : name##_1_0) : (plain ? name##_8_1 : name##_8_0))

static Scan chosen(int variant, int width, int plain) {
#ifdef X86
    if (variant == 2) return CHOICE(scan_vnni);
    if (variant == 1) return CHOICE(scan_avx2);
#endif
    (void)variant;
    return CHOICE(scan_portable);
}

#endif
