/* What the kernels share: vectors of lanes, and products of a matrix with them. `REAL` is set by who includes it. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

typedef REAL real;
typedef real vec __attribute__((vector_size(BYTES), may_alias));
#ifdef IS_FLOAT
typedef int32_t lane_int;
#else
typedef int64_t lane_int;
#endif
typedef lane_int ivec __attribute__((vector_size(BYTES), may_alias));
typedef int64_t integer;

#define LANES ((integer)(BYTES / sizeof(real)))
#define INLINE static inline __attribute__((always_inline))

INLINE vec splat(real value) { return value - (vec){0}; }
INLINE vec choose(ivec condition, vec yes, vec no) {
    return (vec)((condition & (ivec)yes) | (~condition & (ivec)no));
}

#ifndef IS_FLOAT
INLINE vec vector_tanh(vec x) {
    /* exp(2 x) is 2^n N / D with the rational function of Cephes, so that one division is enough; absolute error 2e-16. */
    const real limit = 20.0;
    x = choose(x > splat(limit), splat(limit), x);
    x = choose(x < splat(-limit), splat(-limit), x);
    x = x + x;
    vec n = x * 1.4426950408889634073599;
    const vec shift = splat(6755399441055744.0); /* 1.5 * 2^52: adding it rounds to whole numbers */
    vec shifted = n + shift;
    n = shifted - shift;
    vec r = x - n * 6.93145751953125E-1;
    r = r - n * 1.42860682030941723212E-6;
    vec s = r * r;
    vec p = splat(1.26177193074810590878E-4);
    p = p * s + 3.02994407707441961300E-2;
    p = p * s + 9.99999999999999999910E-1;
    p = p * r;
    vec q = splat(3.00198505138664455042E-6);
    q = q * s + 2.52448340349684104192E-3;
    q = q * s + 2.27265548208155028766E-1;
    q = q * s + 2.00000000000000000005E0;
    vec power = (vec)((((ivec)shifted) << 52) + ((integer)1023 << 52));
    vec above = power * (q + p), below = q - p;
    return (above - below) / (above + below);
}
#endif

INLINE real over_lanes(vec values) {
    real sum = 0;
    for (integer lane = 0; lane < LANES; lane++) sum += values[lane];
    return sum;
}

INLINE void tile(const integer M, const integer V, integer depth, const real *a, integer a_row, integer a_column,
                 const vec *x, integer x_row, const real *bias, integer adds, vec *out, integer out_row) {
    vec sum[8][2];
    for (integer m = 0; m < M; m++)
        for (integer v = 0; v < V; v++)
            sum[m][v] = adds ? out[m * out_row + v] : splat(bias ? bias[m] : 0);
    for (integer k = 0; k < depth; k++) {
        vec right[2];
        for (integer v = 0; v < V; v++) right[v] = x[k * x_row + v];
        for (integer m = 0; m < M; m++) {
            vec left = splat(a[m * a_row + k * a_column]);
            for (integer v = 0; v < V; v++) sum[m][v] += left * right[v];
        }
    }
    for (integer m = 0; m < M; m++)
        for (integer v = 0; v < V; v++) out[m * out_row + v] = sum[m][v];
}

/* out[m][v] = bias[m] + sum over k of a[m, k] x[k][v], or added to what is there. */
static void product(integer height, integer columns, integer depth, const real *a, integer a_row, integer a_column,
                    const vec *x, integer x_row, const real *bias, integer adds, vec *out, integer out_row) {
#define TILE(M, V)                                                                                                      \
    tile(M, V, depth, a + m * a_row, a_row, a_column, x + v, x_row, bias ? bias + m : 0, adds, out + m * out_row + v,   \
         out_row)
    integer v = 0;
    for (; v + 2 <= columns; v += 2) {
        integer m = 0;
        for (; m + 6 <= height; m += 6) TILE(6, 2);
        switch (height - m) {
            case 5: TILE(5, 2); break;
            case 4: TILE(4, 2); break;
            case 3: TILE(3, 2); break;
            case 2: TILE(2, 2); break;
            case 1: TILE(1, 2); break;
        }
    }
    for (; v < columns; v++) {
        integer m = 0;
        for (; m + 8 <= height; m += 8) TILE(8, 1);
        for (; m + 4 <= height; m += 4) TILE(4, 1);
        for (; m < height; m++) TILE(1, 1);
    }
#undef TILE
}
