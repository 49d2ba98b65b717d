/* Candidates of each query: the best scores of all rows, or of the lists that it probes. Nothing is sorted but the
 * survivors of the threshold scan (forms.h).
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "forms.h"
#include "select.h"

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
    Beside beside;
    int quads;
    const int64_t *starts;  /* first group of each list */
    const int64_t *rows;    /* rows of each list */
    const int32_t *cells;   /* cell of each group, or NULL where there is one */
    int count;              /* cells */
    const int8_t *queries;  /* (m, count, quads * 4) */
    const int32_t *zero;    /* (m, count), as are the next three, of which each may be NULL */
    const float *unit, *weight, *offset;
    int depth, variant, plain;
    Candidates *found;
    int32_t *packed;        /* room for one block */
} Search;

/* One list for up to BLOCK queries. */
static void scan_list(Search *search, int64_t list, const int32_t *asked, int count) {
    const int width = count == 1 ? 1 : BLOCK, plain = search->plain;
    const int quads = search->quads, depth = search->depth;
    const int64_t start = search->starts[list], rows = search->rows[list];
    const int64_t groups = (rows + ROWS - 1) / ROWS;
    const int cell = search->cells && groups ? search->cells[start] : 0;
    int32_t floors[BLOCK], lowest[BLOCK], zero[BLOCK] = {0};
    Found hit;
    float unit[BLOCK] = {0}, weight[BLOCK] = {0}, offset[BLOCK] = {0};
    for (int q = 0; q < width; q++) {
        const size_t which = (size_t)asked[q < count ? q : 0] * search->count + cell;
        const int32_t *query = (const int32_t *)(search->queries + which * quads * 4);
        for (int quad = 0; quad < quads; quad++) search->packed[quad * width + q] = query[quad];
        floors[q] = q < count ? search->found[asked[q]].floor : plain ? INT32_MAX : ordered(INFINITY);
        lowest[q] = plain ? floors[q] : as_bits(restored(floors[q]));
        if (search->zero) zero[q] = search->zero[which];
        if (search->unit) unit[q] = search->unit[which];
        if (search->weight) weight[q] = search->weight[which];
        if (search->offset) offset[q] = search->offset[which];
    }
    const Block block = {search->packed, lowest, zero, search->unit ? unit : NULL, weight, search->offset ? offset : NULL};
    const Scan scan = chosen(search->variant, width, plain);
    const uint8_t *codes = search->codes + start * quads * 4 * ROWS;
    const Beside beside = {search->beside.scale ? search->beside.scale + start * ROWS : NULL,
                           search->beside.bias ? search->beside.bias + start * ROWS : NULL};
    int64_t group = 0;
    while ((group = scan(codes, quads, beside, group, groups, block, &hit)) < groups) {
        const int inside = rows - group * ROWS < ROWS ? (int)(rows - group * ROWS) : ROWS;
        for (int q = 0; q < count; q++) {
            Candidates *found = search->found + asked[q];
            for (uint32_t rest = hit.masks[q] & ((1u << inside) - 1); rest; rest &= rest - 1) {
                const int row = __builtin_ctz(rest);
                const int32_t score = plain ? hit.scores[q][row] : ordered(as_float(hit.scores[q][row]));
                if (score < floors[q]) continue;
                found->keys[found->count++] = KEY(score, (start + group) * ROWS + row);
                if (found->count == 2 * depth) {
                    compact(found, depth);
                    floors[q] = found->floor;
                    lowest[q] = plain ? floors[q] : as_bits(restored(floors[q]));
                }
            }
        }
        group++;
    }
}

/* The `depth` best slots for each query, equal scores by slot; -1 where fewer were scanned. `sorted`: best first.
 *
 * Queries stand once for each cell of rows: (m, count, dimensions), with their zero, unit, weight and offset (m, count).
 * probes: (m, nprobe) lists of each query, nearest first, or NULL for every list. Queries are grouped by list, so that
 * a list is read once for all of them; each query's nearest list comes first and sets its floor for the others.
 * slots, scores: (m, depth). Returns 0, or 1 when memory is short. */
int scan_lists(const uint8_t *codes, int quads, const float *scale, const float *bias, int64_t lists,
               const int64_t *starts, const int64_t *rows, const int32_t *cells, int count, const int8_t *queries,
               const int32_t *zero, const float *unit, const float *weight, const float *offset, int m,
               const int32_t *probes, int nprobe, int depth, int sorted, int variant, int32_t *slots, float *scores) {
    int64_t *keys = malloc((size_t)m * 2 * depth * sizeof *keys);
    Candidates *found = malloc((size_t)m * sizeof *found);
    int32_t *packed = malloc((size_t)quads * BLOCK * sizeof *packed);
    int32_t *asked = malloc(((size_t)m * (probes ? nprobe : 1) + 1) * sizeof *asked);
    int64_t *ends = malloc((size_t)(lists + 2) * sizeof *ends);
    const int failed = !keys || !found || !packed || !asked || !ends;
    if (!failed) {
        const int plain = !scale && !bias && !unit && !offset;
        for (int q = 0; q < m; q++)
            found[q] = (Candidates){keys + (size_t)q * 2 * depth, 0, plain ? INT32_MIN + 1 : ordered(-INFINITY)};
        Search search = {codes, {scale, bias}, quads, starts, rows, cells, count, queries, zero, unit, weight, offset,
                         depth, variant, plain, found, packed};
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
                const int32_t score = there ? SCORE(found[q].keys[i]) : 0;
                scores[(size_t)q * depth + i] = !there ? -INFINITY : plain ? (float)score : restored(score);
            }
        }
    }
    free(keys), free(found), free(packed), free(asked), free(ends);
    return failed;
}
