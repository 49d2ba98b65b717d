/* The largest of some 64-bit keys. A key orders by score, then by lower number (slot or row), so all are different. */

#ifndef SELECT_H
#define SELECT_H

#include <stdint.h>
#include <string.h>

#define KEY(score, number) (((int64_t)(score) << 32) | (uint32_t)(0x7fffffff - (number)))
#define SCORE(key) ((int32_t)((key) >> 32))
#define NUMBER(key) (0x7fffffff - (int32_t)(uint32_t)(key))

static inline float as_float(int32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline int32_t as_bits(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Integers that order as the floats do, and back. */
static inline int32_t ordered(float value) {
    const int32_t bits = as_bits(value + 0.0f); /* -0 is 0 */
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

static inline float restored(int32_t score) {
    return as_float(score ^ ((score >> 31) & 0x7fffffff));
}

/* Split around a pivot: keys before *left are >= all from it on; those after *right are <= all up to it. */
static inline void split(int64_t *keys, int low, int high, int *left, int *right) {
    const int64_t a = keys[low], b = keys[low + (high - low) / 2], c = keys[high];
    const int64_t pivot = a > b ? (b > c ? b : (a > c ? c : a)) : (a > c ? a : (b > c ? c : b));
    int i = low, j = high;
    while (i <= j) {
        while (keys[i] > pivot) i++;
        while (keys[j] < pivot) j--;
        if (i <= j) {
            const int64_t swap = keys[i];
            keys[i++] = keys[j];
            keys[j--] = swap;
        }
    }
    *left = i, *right = j;
}

/* Move the `kept` largest to the front, in any order. */
static inline void select_largest(int64_t *keys, int count, int kept) {
    int low = 0, high = count - 1, left, right;
    while (low < high) {
        split(keys, low, high, &left, &right);
        if (kept - 1 <= right) high = right;
        else if (kept - 1 >= left) low = left;
        else return;
    }
}

static inline void sort_largest_first(int64_t *keys, int count) {
    int low = 0, high = count - 1, left, right;
    while (high - low > 12) { /* the shorter part by recursion: the stack stays small */
        split(keys, low, high, &left, &right);
        if (right - low < high - left) {
            sort_largest_first(keys + low, right - low + 1);
            low = left;
        } else {
            sort_largest_first(keys + left, high - left + 1);
            high = right;
        }
    }
    for (int i = low + 1; i <= high; i++) {
        const int64_t key = keys[i];
        int j = i;
        for (; j > low && keys[j - 1] < key; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

#endif
