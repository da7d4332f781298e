/* The loss of a Runge-Kutta solve, or of matched rates, and all its gradients, member by member.

   Rows (trajectories, windows, times) lie in the lanes of vectors, so that a weight is one number for all lanes. A block
   of rows goes through the whole solve and back while its activations are in the cache. Values are [unit][vector] and an
   evaluation's record holds the inputs and then the activations of each hidden layer.

   Nothing here reorders sums by the number of threads or members: the same inputs give the same bits. Values that are
   not finite stay so; members do not touch each other. */

#ifndef REAL
#define REAL float
#define IS_FLOAT 1
#endif
#include "vectors.h"
#if defined(__AVX__) && defined(IS_FLOAT) && !defined(__AVX512F__)
#include <immintrin.h>
#define HAS_HADD 1
#endif

#define MOST_LAYERS 9

enum { ELU = 0, TANH = 1, SOFTPLUS = 2 };

/* Mirrored by fused/library.py. Arrays have the axis `member` first; of those with a stride it may be shared (0). */
typedef struct {
    integer order, features, layers, activation, targets, rows, intervals;
    integer groups, width, rank, factor_rows;
    integer factor_stride, projected_stride;
    integer residuals, nodes_of_step, steps, weight_stride;
    integer widths[MOST_LAYERS + 1];
    const real *weights[MOST_LAYERS], *biases[MOST_LAYERS], *decay, *skip;
    const real *step, *initial;
    const real *factor, *projected, *feature_weight;
    const real *states, *movement, *residual_weight, *observed, *quadrature, *duration;
    const integer *columns, *nodes, *first;
    real scale;
    real *loss, *g_weights[MOST_LAYERS], *g_biases[MOST_LAYERS], *g_decay, *g_skip, *g_initial;
} Task;

/* ---------------------------------------------------------------- pointwise functions */

#ifdef IS_FLOAT
INLINE vec vector_exp(vec x) {
    /* Cephes expf, below 1.5 units in the last place; x is at most 0 here. */
    x = choose(x < splat(-87.0f), splat(-87.0f), x);
    vec n = x * 1.44269504088896341f;
    const vec shift = splat(12582912.0f); /* 1.5 * 2^23: adding it rounds to whole numbers */
    vec shifted = n + shift;
    n = shifted - shift;
    vec r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    vec y = p * (r * r) + r + 1.0f;
    ivec power = (((ivec)shifted) << 23) + (127 << 23);
    return y * (vec)power;
}
INLINE vec vector_tanh(vec x) {
    /* Rational approximation (Eigen): 13th over 6th degree, absolute error below 3e-7. */
    const real limit = 7.90531110763549805f;
    x = choose(x > splat(limit), splat(limit), x);
    x = choose(x < splat(-limit), splat(-limit), x);
    vec s = x * x;
    vec p = splat(-2.76076847742355e-16f);
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    vec q = splat(1.19825839466702e-06f);
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}
INLINE vec vector_log1p(vec y) {
    /* log(1 + y) of 0 <= y <= 1 as 2 atanh(y / (2 + y)), by its series: absolute error below 2e-7. */
    vec z = y / (y + 2.0f), s = z * z;
    vec p = splat(1.0f / 15.0f);
    p = p * s + 1.0f / 13.0f;
    p = p * s + 1.0f / 11.0f;
    p = p * s + 1.0f / 9.0f;
    p = p * s + 1.0f / 7.0f;
    p = p * s + 1.0f / 5.0f;
    p = p * s + 1.0f / 3.0f;
    return 2.0f * (z + z * (p * s));
}
#else
#define BY_LANE(name, function)                                                                                         \
    static vec name(vec x) {                                                                                            \
        for (integer lane = 0; lane < LANES; lane++) x[lane] = function(x[lane]);                                       \
        return x;                                                                                                       \
    }
BY_LANE(vector_exp, exp)
BY_LANE(vector_log1p, log1p)
#endif

static void activate(vec *values, integer count, integer activation) {
    if (activation == TANH) {
        for (integer i = 0; i < count; i++) values[i] = vector_tanh(values[i]);
    } else if (activation == ELU) {
        for (integer i = 0; i < count; i++) {
            vec x = values[i];
            values[i] = choose(x > splat(0), x, vector_exp(choose(x > splat(0), splat(0), x)) - 1);
        }
    } else {
        for (integer i = 0; i < count; i++) {
            vec x = values[i], positive = choose(x > splat(0), x, x * 0);
            values[i] = positive + vector_log1p(vector_exp(choose(x > splat(0), -x, x)));
        }
    }
}

/* Derivative of the activation from its value. */
INLINE vec derivative(vec value, integer activation) {
    if (activation == TANH) return 1 - value * value;
    if (activation == ELU) return choose(value > splat(0), splat(1), value + 1);
    return 1 - vector_exp(-value);
}

/* ---------------------------------------------------------------- products */

INLINE void outer_tile(const integer I, const integer U, integer slots, const vec *const *inputs,
                       const vec *const *gradients, integer i, integer u, integer V, real *g, integer g_row) {
    vec sum[3][4];
    for (integer a = 0; a < I; a++)
        for (integer b = 0; b < U; b++) sum[a][b] = splat(0);
    for (integer slot = 0; slot < slots; slot++) {
        const vec *left = inputs[slot] + i * V, *right = gradients[slot] + u * V;
        for (integer v = 0; v < V; v++)
            for (integer a = 0; a < I; a++) {
                vec value = left[a * V + v];
                for (integer b = 0; b < U; b++) sum[a][b] += value * right[b * V + v];
            }
    }
    for (integer a = 0; a < I; a++) {
#ifdef HAS_HADD
        if (U == 4) {
            __m256 four = _mm256_hadd_ps(_mm256_hadd_ps((__m256)sum[a][0], (__m256)sum[a][1]),
                                         _mm256_hadd_ps((__m256)sum[a][2], (__m256)sum[a][3]));
            __m128 both = _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1));
            _mm_storeu_ps(g + a * g_row, _mm_add_ps(_mm_loadu_ps(g + a * g_row), both));
            continue;
        }
#endif
        for (integer b = 0; b < U; b++) g[a * g_row + b] += over_lanes(sum[a][b]);
    }
}

/* g[i, u] += sum over slots and lanes of inputs[slot][i] gradients[slot][u]. */
static void outer(integer slots, const vec *const *inputs, integer in, const vec *const *gradients, integer out,
                  integer V, real *g, integer g_row) {
#define OUTER(I, U) outer_tile(I, U, slots, inputs, gradients, i, u, V, g + i * g_row + u, g_row)
    integer u = 0;
    for (; u + 4 <= out; u += 4) {
        integer i = 0;
        for (; i + 3 <= in; i += 3) OUTER(3, 4);
        for (; i < in; i++) OUTER(1, 4);
    }
    for (; u < out; u++) {
        integer i = 0;
        for (; i + 3 <= in; i += 3) OUTER(3, 1);
        for (; i < in; i++) OUTER(1, 1);
    }
#undef OUTER
}

/* ---------------------------------------------------------------- the field */

#define MOST_SLOTS 64

typedef struct {
    const Task *task;
    integer member, V, state, hidden, record, gradient_size, slots, used, adds_inputs;
    const real *weights[MOST_LAYERS], *biases[MOST_LAYERS], *decay, *skip;
    real *g_weights[MOST_LAYERS], *g_biases[MOST_LAYERS], *g_decay, *g_skip;
    vec *bias_sums, *last_sums, *decay_sums, *gradients, *work;
    const vec *slot_records[MOST_SLOTS];
} Net;

static integer hidden_units(const Task *task) {
    integer units = 0;
    for (integer layer = 1; layer < task->layers; layer++) units += task->widths[layer];
    return units;
}

/* rate [state][V] of a record whose inputs are set; fills in the activations of the record. */
static void evaluate(const Net *net, vec *record, vec *rate) {
    const Task *task = net->task;
    integer V = net->V, F = task->features, last = task->layers - 1;
    vec *values = record, *output = task->order == 2 ? rate + F * V : rate;
    for (integer layer = 0; layer < last; layer++) {
        integer in = task->widths[layer], out = task->widths[layer + 1];
        vec *next = values + in * V;
        if (task->targets && layer > 0) {
            integer below = in / task->targets, above = out / task->targets;
            for (integer t = 0; t < task->targets; t++)
                product(above, V, below, net->weights[layer] + t * below * out + t * above, 1, out,
                        values + t * below * V, V, net->biases[layer] + t * above, 0, next + t * above * V, V);
        } else {
            product(out, V, in, net->weights[layer], 1, out, values, V, net->biases[layer], 0, next, V);
        }
        activate(next, out * V, task->activation);
        values = next;
    }
    integer in = task->widths[last];
    if (task->targets && last > 0) {
        integer units = in / task->targets;
        for (integer t = 0; t < task->targets; t++)
            product(1, V, units, net->weights[last] + t * units, 0, 1, values + t * units * V, V,
                    net->biases[last] + t, 0, output + t * V, V);
    } else {
        product(F, V, in, net->weights[last], 1, F, values, V, net->biases[last], 0, output, V);
    }
    if (net->skip) product(F, V, net->state, net->skip, 1, F, record, V, 0, 1, output, V);
    if (net->decay)
        for (integer part = 0; part < task->order; part++)
            for (integer f = 0; f < F; f++) {
                vec decay = splat(net->decay[part * F + f]);
                for (integer v = 0; v < V; v++) output[f * V + v] -= decay * record[(part * F + f) * V + v];
            }
    if (task->order == 2) memcpy(rate, record + F * V, F * V * sizeof(vec));
}

/* Gather the weights' gradients of the evaluations that are waiting. */
static void flush(Net *net) {
    const Task *task = net->task;
    if (!net->used) return;
    const vec *inputs[MOST_SLOTS], *gradients[MOST_SLOTS];
    integer V = net->V, last = task->layers - 1, offset = 0, gradient_offset = 0;
    for (integer layer = 0; layer <= last; layer++) {
        integer in = task->widths[layer], out = task->widths[layer + 1];
        if (!(layer == last && task->targets && last > 0)) {
            integer blocks = task->targets && layer > 0 ? task->targets : 1;
            integer below = in / blocks, above = out / blocks;
            for (integer b = 0; b < blocks; b++) {
                for (integer slot = 0; slot < net->used; slot++) {
                    inputs[slot] = net->slot_records[slot] + (offset + b * below) * V;
                    gradients[slot] = net->gradients + slot * net->gradient_size + (gradient_offset + b * above) * V;
                }
                outer(net->used, inputs, below, gradients, above, V,
                      net->g_weights[layer] + b * below * out + b * above, out);
            }
        }
        offset += in;
        if (layer < last) gradient_offset += out;
    }
    if (net->skip) {
        for (integer slot = 0; slot < net->used; slot++) {
            inputs[slot] = net->slot_records[slot];
            gradients[slot] = net->gradients + slot * net->gradient_size + net->hidden * V;
        }
        outer(net->used, inputs, net->state, gradients, task->features, V, net->g_skip, task->features);
    }
    net->used = 0;
}

/* Gradient for the state [state][V] (none where it is null) from that of the rate; the weights' is left to `flush`. */
static void reverse(Net *net, const vec *record, const vec *rate_gradient, vec *state_gradient) {
    const Task *task = net->task;
    integer V = net->V, F = task->features, last = task->layers - 1;
    if (net->used == net->slots) flush(net);
    vec *slot = net->gradients + net->used * net->gradient_size;
    net->slot_records[net->used++] = record;
    const vec *of_output = task->order == 2 ? rate_gradient + F * V : rate_gradient;
    memcpy(slot + net->hidden * V, of_output, F * V * sizeof(vec));
    integer offset = net->state + net->hidden, gradient_offset = net->hidden, bias_offset = net->hidden;
    for (integer f = 0; f < F; f++)
        for (integer v = 0; v < V; v++) net->bias_sums[bias_offset + f] += of_output[f * V + v];
    for (integer layer = last; layer > 0; layer--) {
        integer in = task->widths[layer], out = task->widths[layer + 1];
        const vec *above = slot + gradient_offset * V;
        offset -= in, gradient_offset -= in, bias_offset -= in;
        const vec *values = record + offset * V;
        vec *below = slot + gradient_offset * V;
        if (layer == last && task->targets) {
            integer units = in / task->targets;
            for (integer u = 0; u < in; u++) {
                const vec *gradient = above + u / units * V;
                vec weight = splat(net->weights[last][u]), bias_sum = splat(0), weight_sum = splat(0);
                for (integer v = 0; v < V; v++) {
                    vec value = values[u * V + v];
                    vec through = weight * gradient[v] * derivative(value, task->activation);
                    weight_sum += value * gradient[v];
                    bias_sum += through;
                    below[u * V + v] = through;
                }
                net->last_sums[u] += weight_sum;
                net->bias_sums[bias_offset + u] += bias_sum;
            }
            continue;
        }
        if (task->targets) {
            integer few = in / task->targets, many = out / task->targets;
            for (integer t = 0; t < task->targets; t++)
                product(few, V, many, net->weights[layer] + t * few * out + t * many, out, 1, above + t * many * V, V, 0,
                        0, below + t * few * V, V);
        } else {
            product(in, V, out, net->weights[layer], out, 1, above, V, 0, 0, below, V);
        }
        for (integer u = 0; u < in; u++) {
            vec sum = splat(0);
            for (integer v = 0; v < V; v++) {
                vec through = below[u * V + v] * derivative(values[u * V + v], task->activation);
                sum += through;
                below[u * V + v] = through;
            }
            net->bias_sums[bias_offset + u] += sum;
        }
    }
    if (net->decay)
        for (integer part = 0; part < task->order; part++)
            for (integer f = 0; f < F; f++)
                for (integer v = 0; v < V; v++)
                    net->decay_sums[part * F + f] -= of_output[f * V + v] * record[(part * F + f) * V + v];
    if (!state_gradient) return;
    integer out = task->widths[1];
    product(net->state, V, out, net->weights[0], out, 1, last > 0 ? slot : of_output, V, 0, 0, state_gradient, V);
    if (net->skip) product(net->state, V, F, net->skip, F, 1, of_output, V, 0, 1, state_gradient, V);
    for (integer part = 0; part < task->order; part++)
        for (integer f = 0; f < F; f++) {
            vec *to = state_gradient + (part * F + f) * V;
            if (net->decay) {
                vec decay = splat(net->decay[part * F + f]);
                for (integer v = 0; v < V; v++) to[v] -= decay * of_output[f * V + v];
            }
            if (part == 1)
                for (integer v = 0; v < V; v++) to[v] += rate_gradient[f * V + v];
        }
}

/* ---------------------------------------------------------------- memory of a call */

static integer block_vectors(const Task *task) {
    /* Rows of a block: as many as keep an evaluation near the processor, and at least two vectors for the products. */
    integer vectors = (task->rows + LANES - 1) / LANES, units = task->order * task->features + hidden_units(task);
    integer most = units <= 128 ? 8 : units <= 256 ? 4 : 2;
    return vectors < most ? vectors : most;
}

#define MOST_BYTES ((integer)32 << 20)

/* Evaluations whose weights' gradients are gathered together: enough for long sums, unless they are very wide. */
static integer slots_of(const Task *task, integer V) {
    integer size = (task->order * task->features + hidden_units(task)) * V * (integer)sizeof(vec);
    integer many = V >= 4 ? 8 : V >= 2 ? 16 : 32, fit = MOST_BYTES / size;
    return many < fit ? many : fit < 1 ? 1 : fit;
}

static integer vectors_of_net(const Task *task, integer V) {
    integer hidden = hidden_units(task), state = task->order * task->features;
    return (hidden + task->features) + hidden + state + slots_of(task, V) * (hidden + task->features) * V;
}

static vec *begin_net(Net *net, const Task *task, integer V, vec *memory) {
    memset(net, 0, sizeof(Net));
    net->task = task, net->V = V;
    net->hidden = hidden_units(task), net->state = task->order * task->features;
    net->record = (net->state + net->hidden) * V;
    net->gradient_size = (net->hidden + task->features) * V;
    net->slots = slots_of(task, V);
    net->bias_sums = memory, memory += net->hidden + task->features;
    net->last_sums = memory, memory += net->hidden;
    net->decay_sums = memory, memory += net->state;
    net->gradients = memory, memory += net->slots * net->gradient_size;
    return memory;
}

static void begin_member(Net *net, integer member) {
    const Task *task = net->task;
    integer last = task->layers - 1, S = net->state, F = task->features;
    for (integer layer = 0; layer <= last; layer++) {
        integer in = task->widths[layer], out = task->widths[layer + 1];
        integer size = layer == last && task->targets && last > 0 ? in : in * out;
        net->weights[layer] = task->weights[layer] + member * size;
        net->g_weights[layer] = task->g_weights[layer] + member * size;
        net->biases[layer] = task->biases[layer] + member * out;
        net->g_biases[layer] = task->g_biases[layer] + member * out;
        memset(net->g_weights[layer], 0, size * sizeof(real));
    }
    net->decay = task->decay ? task->decay + member * S : 0;
    net->g_decay = task->decay ? task->g_decay + member * S : 0;
    net->skip = task->skip ? task->skip + member * S * F : 0;
    net->g_skip = task->skip ? task->g_skip + member * S * F : 0;
    if (net->skip) memset(net->g_skip, 0, S * F * sizeof(real));
    memset(net->bias_sums, 0, (2 * net->hidden + F + S) * sizeof(vec));
    net->used = 0;
}

static void end_member(Net *net) {
    const Task *task = net->task;
    integer last = task->layers - 1, offset = 0;
    flush(net);
    for (integer layer = 0; layer <= last; layer++) {
        for (integer u = 0; u < task->widths[layer + 1]; u++)
            net->g_biases[layer][u] = over_lanes(net->bias_sums[offset + u]);
        offset += task->widths[layer + 1];
    }
    if (task->targets && last > 0)
        for (integer u = 0; u < task->widths[last]; u++) net->g_weights[last][u] = over_lanes(net->last_sums[u]);
    if (net->decay)
        for (integer s = 0; s < net->state; s++) net->g_decay[s] = over_lanes(net->decay_sums[s]);
}

/* Lanes of a strided array: to[v][lane] = from[row * stride], 0 beyond the rows. */
static void load_lanes(vec *to, integer V, const real *from, integer stride, integer rows) {
    real *flat = (real *)to;
    for (integer row = 0; row < V * LANES; row++) flat[row] = row < rows ? from[row * stride] : 0;
}

/* ---------------------------------------------------------------- solve */

static integer vectors_of_solve(const Task *task, integer V) {
    integer nodes = task->intervals + 1, F = task->features, S = task->order * F;
    integer records = 4 * task->intervals + (task->order == 1);
    integer columns = task->groups * task->width;
    integer factor = task->factor_rows > 1 ? task->rank * 2 * nodes * V : 0;
    return records * (S + hidden_units(task)) * V + 2 * 2 * nodes * F * V + 2 * task->rank * columns * V + factor +
           12 * S * V + 4 * V;
}

/* Weighted squares of a block's residuals; `nodes` [2 x node][feature][V], whose gradient is given. */
static double loss_of_block(const Task *task, integer member, integer V, integer row, integer rows, const vec *nodes,
                            vec *gradient, vec *residual, vec *projected, vec *lanes) {
    integer N = 2 * (task->intervals + 1), F = task->features, K = task->rank, W = task->width;
    double total = 0;
    memset(gradient, 0, N * F * V * sizeof(vec));
    for (integer g = 0; g < task->groups; g++) {
        const real *factor = task->factor + member * task->factor_stride + g * task->factor_rows * K * N;
        const real *target = task->projected + member * task->projected_stride + (g * task->rows + row) * K * W;
        const real *weight = task->feature_weight + g * W;
        for (integer k = 0; k < K * W; k++) load_lanes(projected + k * V, V, target + k, K * W, rows);
        if (task->factor_rows > 1) {
            const real *own = factor + row * K * N;
            for (integer k = 0; k < K * N; k++) load_lanes(lanes + k * V, V, own + k, K * N, rows);
        }
        integer wide = !task->columns && task->factor_rows == 1; /* all features at once, in their order */
        integer parts = wide ? 1 : W, columns = wide ? W * V : V;
        for (integer part = 0; part < parts; part++) {
            integer feature = wide ? 0 : task->columns ? task->columns[g * W + part] : part;
            const vec *x = nodes + feature * V;
            vec *to = residual + part * V;
            if (task->factor_rows == 1) {
                product(K, columns, N, factor, N, 1, x, F * V, 0, 0, to, W * V);
            } else {
                for (integer k = 0; k < K; k++)
                    for (integer v = 0; v < V; v++) {
                        vec sum = splat(0);
                        for (integer n = 0; n < N; n++) sum += lanes[(k * N + n) * V + v] * x[n * F * V + v];
                        to[k * W * V + v] = sum;
                    }
            }
        }
        for (integer w = 0; w < W; w++) {
            vec sum = splat(0), slope = splat(2 * weight[w] / task->scale);
            for (integer k = 0; k < K; k++)
                for (integer v = 0; v < V; v++) {
                    vec *at = residual + (k * W + w) * V + v, difference = *at - projected[(k * W + w) * V + v];
                    integer left = rows - v * LANES; /* lanes beyond the rows do not count */
                    for (integer lane = left < 0 ? 0 : left; lane < LANES; lane++) difference[lane] = 0;
                    sum += difference * difference;
                    *at = slope * difference;
                }
            total += (double)weight[w] * (double)over_lanes(sum);
        }
        for (integer part = 0; part < parts; part++) {
            integer feature = wide ? 0 : task->columns ? task->columns[g * W + part] : part;
            vec *to = gradient + feature * V;
            const vec *from = residual + part * V;
            if (task->factor_rows == 1) {
                product(N, columns, K, factor, 1, N, from, W * V, 0, 1, to, F * V);
            } else {
                for (integer n = 0; n < N; n++)
                    for (integer v = 0; v < V; v++) {
                        vec sum = to[n * F * V + v];
                        for (integer k = 0; k < K; k++) sum += lanes[(k * N + n) * V + v] * from[k * W * V + v];
                        to[n * F * V + v] = sum;
                    }
            }
        }
    }
    return total / task->scale;
}

/* Loss of a block of rows, and its gradients added to those of the member. */
static double solve_block(Net *net, integer row, integer rows, vec *memory) {
    const Task *task = net->task;
    integer V = net->V, F = task->features, S = net->state, I = task->intervals, n = S * V;
    integer nodes = I + 1, size = net->record;
    vec *records = memory;
    memory += (4 * I + (task->order == 1)) * size;
    vec *values = memory, *gradient = values + 2 * nodes * F * V;
    memory = gradient + 2 * nodes * F * V;
    vec *residual = memory;
    memory += task->rank * task->groups * task->width * V;
    vec *projected = memory;
    memory += task->rank * task->groups * task->width * V;
    vec *lanes = memory;
    memory += task->factor_rows > 1 ? task->rank * 2 * nodes * V : 0;
    vec *step = memory, *half = step + V, *sixth = half + V, *state = sixth + 2 * V;
    vec *k1 = state + n, *k2 = k1 + n, *k3 = k2 + n, *k4 = k3 + n, *g = k4 + n, *to_rate = g + n;
    vec *t1 = to_rate + n, *t2 = t1 + n, *t3 = t2 + n, *t4 = t3 + n;
    load_lanes(step, V, task->step + row, 1, rows);
    for (integer v = 0; v < V; v++) half[v] = step[v] / 2, sixth[v] = step[v] / 6;
    const real *initial = task->initial + (net->member * task->rows + row) * S;
    for (integer s = 0; s < S; s++) load_lanes(state + s * V, V, initial + s, S, rows);
#define EACH(s, v)                                                                                                      \
    for (integer s = 0; s < S; s++)                                                                                     \
        for (integer v = 0; v < V; v++)
#define AT s *V + v
    for (integer index = 0; index < I; index++) {
        vec *record = records + 4 * index * size;
        memcpy(values + index * F * V, state, F * V * sizeof(vec));
        memcpy(record, state, n * sizeof(vec));
        evaluate(net, record, k1);
        record += size;
        EACH(s, v) record[AT] = state[AT] + half[v] * k1[AT];
        evaluate(net, record, k2);
        record += size;
        EACH(s, v) record[AT] = state[AT] + half[v] * k2[AT];
        evaluate(net, record, k3);
        record += size;
        EACH(s, v) record[AT] = state[AT] + step[v] * k3[AT];
        evaluate(net, record, k4);
        for (integer f = 0; f < F; f++)
            for (integer v = 0; v < V; v++) values[(nodes + index) * F * V + f * V + v] = step[v] * k1[f * V + v];
        EACH(s, v) state[AT] += sixth[v] * (k1[AT] + 2 * k2[AT] + 2 * k3[AT] + k4[AT]);
    }
    memcpy(values + I * F * V, state, F * V * sizeof(vec));
    vec *last = records + 4 * I * size;
    if (task->order == 1) {
        memcpy(last, state, n * sizeof(vec));
        evaluate(net, last, k1);
    } else {
        memcpy(k1, state + F * V, F * V * sizeof(vec));
    }
    for (integer f = 0; f < F; f++)
        for (integer v = 0; v < V; v++) values[(nodes + I) * F * V + f * V + v] = step[v] * k1[f * V + v];

    double loss = loss_of_block(task, net->member, V, row, rows, values, gradient, residual, projected, lanes);

    /* Slopes of the first order are rates, of the second the velocities in the state. */
#define ADD_NODE(index)                                                                                                 \
    for (integer f = 0; f < F; f++)                                                                                     \
        for (integer v = 0; v < V; v++) {                                                                               \
            g[f * V + v] += gradient[((index)*F + f) * V + v];                                                          \
            if (task->order == 2) g[(F + f) * V + v] += step[v] * gradient[((nodes + (index)) * F + f) * V + v];        \
        }
    memset(g, 0, n * sizeof(vec));
    ADD_NODE(I)
    if (task->order == 1) {
        EACH(s, v) to_rate[AT] = step[v] * gradient[((nodes + I) * F + s) * V + v];
        reverse(net, last, to_rate, t1);
        EACH(s, v) g[AT] += t1[AT];
    }
    for (integer index = I - 1; index >= 0; index--) {
        const vec *record = records + 4 * index * size;
        EACH(s, v) to_rate[AT] = sixth[v] * g[AT];
        reverse(net, record + 3 * size, to_rate, t4);
        EACH(s, v) to_rate[AT] = 2 * sixth[v] * g[AT] + step[v] * t4[AT];
        reverse(net, record + 2 * size, to_rate, t3);
        EACH(s, v) to_rate[AT] = 2 * sixth[v] * g[AT] + half[v] * t3[AT];
        reverse(net, record + size, to_rate, t2);
        EACH(s, v) to_rate[AT] = sixth[v] * g[AT] + half[v] * t2[AT];
        if (task->order == 1) EACH(s, v) to_rate[AT] += step[v] * gradient[((nodes + index) * F + s) * V + v];
        reverse(net, record, to_rate, t1);
        EACH(s, v) g[AT] += t4[AT] + t3[AT] + t2[AT] + t1[AT];
        ADD_NODE(index)
    }
    flush(net); /* the records are those of this block */
    real *of_initial = task->g_initial + (net->member * task->rows + row) * S;
    for (integer r = 0; r < rows; r++)
        for (integer s = 0; s < S; s++) of_initial[r * S + s] = ((real *)(g + s * V))[r];
    return loss;
}

/* ---------------------------------------------------------------- few rows: units lie in the lanes */

/* Of wide networks and fewer rows than half the lanes. Values are [row][unit], each row padded to whole vectors, and the
   tails of gradients are zero. The records of all evaluations lie one after the other, so that a weight's gradient is one
   sum over them. */

static integer by_units(const Task *task) {
    return task->order == 1 && !task->targets && !task->skip && !task->columns && 2 * task->rows <= LANES &&
           task->features + hidden_units(task) > 64;
}

INLINE integer padded(integer units) { return (units + LANES - 1) / LANES * LANES; }

INLINE void units_tile(const integer R, const integer U, integer depth, const real *x, integer x_row, integer x_step,
                       const real *w, integer w_row, const real *bias, real *out, integer out_row) {
    vec sum[4][4];
    for (integer r = 0; r < R; r++)
        for (integer u = 0; u < U; u++) sum[r][u] = bias ? ((const vec *)bias)[u] : splat(0);
    for (integer k = 0; k < depth; k++) {
        const vec *right = (const vec *)(w + k * w_row);
        for (integer r = 0; r < R; r++) {
            vec left = splat(x[r * x_row + k * x_step]);
            for (integer u = 0; u < U; u++) sum[r][u] += left * right[u];
        }
    }
    for (integer r = 0; r < R; r++)
        for (integer u = 0; u < U; u++) ((vec *)(out + r * out_row))[u] = sum[r][u];
}

/* out[r][u] = bias[u] + sum over k of x[r, k] w[k][u], of padded rows w and out. */
static void units_product(integer rows, integer vectors, integer depth, const real *x, integer x_row, integer x_step,
                          const real *w, integer w_row, const real *bias, real *out, integer out_row) {
#define UNITS(R, U)                                                                                                     \
    units_tile(R, U, depth, x + r * x_row, x_row, x_step, w + u * LANES, w_row, bias ? bias + u * LANES : 0,            \
               out + r * out_row + u * LANES, out_row)
#define EACH_ROW(U)                                                                                                     \
    {                                                                                                                   \
        integer r = 0;                                                                                                  \
        for (; r + 3 <= rows; r += 3) UNITS(3, U);                                                                      \
        if (rows - r == 2) UNITS(2, U);                                                                                 \
        if (rows - r == 1) UNITS(1, U);                                                                                 \
    }
    integer u = 0;
    for (; u + 4 <= vectors; u += 4) EACH_ROW(4)
    switch (vectors - u) {
        case 3: EACH_ROW(3) break;
        case 2: EACH_ROW(2) break;
        case 1: EACH_ROW(1) break;
    }
#undef EACH_ROW
#undef UNITS
}

INLINE void back_tile(const integer R, const integer I, integer vectors, const real *gradient, integer g_row,
                      const real *w, integer w_row, real *out, integer out_row) {
    vec sum[3][4];
    for (integer r = 0; r < R; r++)
        for (integer i = 0; i < I; i++) sum[r][i] = splat(0);
    for (integer v = 0; v < vectors; v++)
        for (integer i = 0; i < I; i++) {
            vec weight = ((const vec *)(w + i * w_row))[v];
            for (integer r = 0; r < R; r++) sum[r][i] += weight * ((const vec *)(gradient + r * g_row))[v];
        }
    for (integer r = 0; r < R; r++) {
#ifdef HAS_HADD
        if (I == 4) {
            __m256 four = _mm256_hadd_ps(_mm256_hadd_ps((__m256)sum[r][0], (__m256)sum[r][1]),
                                         _mm256_hadd_ps((__m256)sum[r][2], (__m256)sum[r][3]));
            _mm_storeu_ps(out + r * out_row, _mm_add_ps(_mm256_castps256_ps128(four), _mm256_extractf128_ps(four, 1)));
            continue;
        }
#endif
        for (integer i = 0; i < I; i++) out[r * out_row + i] = over_lanes(sum[r][i]);
    }
}

/* out[r][i] = sum over u of gradient[r][u] w[i][u]. */
static void back_product(integer rows, integer in, integer vectors, const real *gradient, integer g_row, const real *w,
                         integer w_row, real *out, integer out_row) {
#define BACK(R, I)                                                                                                      \
    back_tile(R, I, vectors, gradient + r * g_row, g_row, w + i * w_row, w_row, out + r * out_row + i, out_row)
    for (integer r = 0; r < rows; r += 3) {
        integer i = 0, left = rows - r;
        for (; i + 4 <= in; i += 4) {
            if (left >= 3) BACK(3, 4);
            else if (left == 2) BACK(2, 4);
            else BACK(1, 4);
        }
        for (; i < in; i++) {
            if (left >= 3) BACK(3, 1);
            else if (left == 2) BACK(2, 1);
            else BACK(1, 1);
        }
    }
#undef BACK
}

typedef struct {
    const Task *task;
    integer rows, evaluations, hidden;
    integer widths[MOST_LAYERS + 1];                                /* padded */
    real *weights[MOST_LAYERS], *biases[MOST_LAYERS], *decay;       /* padded copies of the member's */
    real *inputs[MOST_LAYERS + 1], *gradients[MOST_LAYERS + 1];     /* [evaluation][row][unit] of each layer */
} Units;

static integer units_size(const Task *task) {
    integer evaluations = 4 * task->intervals + 1, total = 0, F = padded(task->features);
    for (integer layer = 0; layer <= task->layers; layer++) {
        integer width = padded(task->widths[layer]);
        total += 2 * evaluations * task->rows * width + width;
        if (layer < task->layers) total += task->widths[layer] * padded(task->widths[layer + 1]);
    }
    return total + (4 * (task->intervals + 1) + 16) * task->rows * F + 2 * task->rank * F + 2 * F;
}

static real *begin_units(Units *net, const Task *task, real *memory) {
    memset(net, 0, sizeof(Units));
    net->task = task, net->rows = task->rows, net->evaluations = 4 * task->intervals + 1;
    for (integer layer = 0; layer <= task->layers; layer++) {
        integer size = net->evaluations * net->rows * (net->widths[layer] = padded(task->widths[layer]));
        net->inputs[layer] = memory, memory += size;
        net->gradients[layer] = memory, memory += size;
    }
    for (integer layer = 0; layer < task->layers; layer++) {
        net->weights[layer] = memory, memory += task->widths[layer] * net->widths[layer + 1];
        net->biases[layer] = memory, memory += net->widths[layer + 1];
    }
    net->decay = memory, memory += net->widths[0];
    return memory;
}

static void copy_padded(real *to, integer width, const real *from, integer count) {
    memcpy(to, from, count * sizeof(real));
    memset(to + count, 0, (width - count) * sizeof(real));
}

/* Rates of evaluation number `e`, whose inputs are set, [row][unit]. */
static real *units_evaluate(const Units *net, integer e) {
    const Task *task = net->task;
    for (integer layer = 0; layer < task->layers; layer++) {
        integer in = net->widths[layer], out = net->widths[layer + 1];
        real *x = net->inputs[layer] + e * net->rows * in, *y = net->inputs[layer + 1] + e * net->rows * out;
        units_product(net->rows, out / LANES, task->widths[layer], x, in, 1, net->weights[layer], out,
                      net->biases[layer], y, out);
        if (layer < task->layers - 1) activate((vec *)y, net->rows * out / LANES, task->activation);
    }
    integer F = net->widths[0];
    real *rate = net->inputs[task->layers] + e * net->rows * F;
    if (task->decay) {
        const real *state = net->inputs[0] + e * net->rows * F;
        for (integer r = 0; r < net->rows; r++)
            for (integer f = 0; f < F; f++) rate[r * F + f] -= net->decay[f] * state[r * F + f];
    }
    return rate;
}

/* Gradient for the inputs of evaluation `e`, whose rates have the gradient that is set. */
static real *units_reverse(const Units *net, integer e) {
    const Task *task = net->task;
    integer F = net->widths[0];
    for (integer layer = task->layers - 1; layer >= 0; layer--) {
        integer in = net->widths[layer], out = net->widths[layer + 1];
        const real *above = net->gradients[layer + 1] + e * net->rows * out;
        real *below = net->gradients[layer] + e * net->rows * in;
        back_product(net->rows, task->widths[layer], out / LANES, above, out, net->weights[layer], out, below, in);
        /* Again for each member: of one that is not finite they would not stay zero. */
        for (integer r = 0; r < net->rows; r++)
            memset(below + r * in + task->widths[layer], 0, (in - task->widths[layer]) * sizeof(real));
        if (layer == 0) break;
        const vec *values = (const vec *)(net->inputs[layer] + e * net->rows * in);
        for (integer v = 0; v < net->rows * in / LANES; v++)
            ((vec *)below)[v] *= derivative(values[v], task->activation);
    }
    real *gradient = net->gradients[0] + e * net->rows * F;
    if (task->decay) {
        const real *above = net->gradients[task->layers] + e * net->rows * F;
        for (integer r = 0; r < net->rows; r++)
            for (integer f = 0; f < F; f++) gradient[r * F + f] -= net->decay[f] * above[r * F + f];
    }
    return gradient;
}

/* Squares of all residuals; values and their gradient are [2 x node][row][feature]. */
static double units_loss(const Task *task, integer member, integer F, const real *values, real *gradient, real *residual) {
    integer N = 2 * (task->intervals + 1), K = task->rank, R = task->rows, W = task->features;
    double total = 0;
    for (integer row = 0; row < R; row++) {
        const real *factor = task->factor + member * task->factor_stride + (task->factor_rows > 1 ? row * K * N : 0);
        const real *target = task->projected + member * task->projected_stride + row * K * W;
        units_product(K, F / LANES, N, factor, N, 1, values + row * F, R * F, 0, residual, F);
        for (integer f = 0; f < W; f++) {
            real weight = task->feature_weight[f], sum = 0;
            for (integer k = 0; k < K; k++) {
                real difference = residual[k * F + f] - target[k * W + f];
                sum += difference * difference;
                residual[k * F + f] = 2 * weight / task->scale * difference;
            }
            total += (double)weight * (double)sum;
        }
        for (integer k = 0; k < K; k++) memset(residual + k * F + W, 0, (F - W) * sizeof(real));
        units_product(N, F / LANES, K, factor, 1, N, residual, F, 0, gradient + row * F, R * F);
    }
    return total / task->scale;
}

static double units_member(Units *net, integer member, real *memory) {
    const Task *task = net->task;
    integer R = net->rows, F = net->widths[0], W = task->features, I = task->intervals, n = R * F, nodes = I + 1;
    for (integer layer = 0; layer < task->layers; layer++) {
        integer in = task->widths[layer], out = task->widths[layer + 1], wide = net->widths[layer + 1];
        const real *weights = task->weights[layer] + member * in * out;
        for (integer i = 0; i < in; i++) copy_padded(net->weights[layer] + i * wide, wide, weights + i * out, out);
        copy_padded(net->biases[layer], wide, task->biases[layer] + member * out, out);
    }
    if (task->decay) copy_padded(net->decay, F, task->decay + member * W, W);
    real *values = memory, *gradient = values + 2 * nodes * n, *state = gradient + 2 * nodes * n, *g = state + n;
    real *residual = g + n;
    for (integer r = 0; r < R; r++) copy_padded(state + r * F, F, task->initial + (member * R + r) * W, W);
    real *const *x = net->inputs;
#define ENTRIES(r, j)                                                                                                   \
    for (integer r = 0; r < R; r++)                                                                                     \
        for (integer j = r * F; j < (r + 1) * F; j++)
    for (integer index = 0; index <= I; index++) {
        integer e = 4 * index;
        memcpy(values + index * n, state, n * sizeof(real));
        memcpy(x[0] + e * n, state, n * sizeof(real));
        const real *k1 = units_evaluate(net, e);
        ENTRIES(r, j) values[(nodes + index) * n + j] = task->step[r] * k1[j];
        if (index == I) break;
        ENTRIES(r, j) x[0][(e + 1) * n + j] = state[j] + task->step[r] / 2 * k1[j];
        const real *k2 = units_evaluate(net, e + 1);
        ENTRIES(r, j) x[0][(e + 2) * n + j] = state[j] + task->step[r] / 2 * k2[j];
        const real *k3 = units_evaluate(net, e + 2);
        ENTRIES(r, j) x[0][(e + 3) * n + j] = state[j] + task->step[r] * k3[j];
        const real *k4 = units_evaluate(net, e + 3);
        ENTRIES(r, j) state[j] += task->step[r] / 6 * (k1[j] + 2 * k2[j] + 2 * k3[j] + k4[j]);
    }
    double loss = units_loss(task, member, F, values, gradient, residual);
    real *of_rates = net->gradients[task->layers];
    ENTRIES(r, j) of_rates[4 * I * n + j] = task->step[r] * gradient[(nodes + I) * n + j];
    const real *last = units_reverse(net, 4 * I);
    ENTRIES(r, j) g[j] = gradient[I * n + j] + last[j];
    for (integer index = I - 1; index >= 0; index--) {
        integer e = 4 * index;
        ENTRIES(r, j) of_rates[(e + 3) * n + j] = task->step[r] / 6 * g[j];
        const real *t4 = units_reverse(net, e + 3);
        ENTRIES(r, j) of_rates[(e + 2) * n + j] = task->step[r] / 3 * g[j] + task->step[r] * t4[j];
        const real *t3 = units_reverse(net, e + 2);
        ENTRIES(r, j) of_rates[(e + 1) * n + j] = task->step[r] / 3 * g[j] + task->step[r] / 2 * t3[j];
        const real *t2 = units_reverse(net, e + 1);
        ENTRIES(r, j) of_rates[e * n + j] = task->step[r] / 6 * g[j] + task->step[r] / 2 * t2[j] +
                                            task->step[r] * gradient[(nodes + index) * n + j];
        const real *t1 = units_reverse(net, e);
        ENTRIES(r, j) g[j] += t4[j] + t3[j] + t2[j] + t1[j] + gradient[index * n + j];
    }
    for (integer r = 0; r < R; r++)
        memcpy(task->g_initial + (member * R + r) * W, g + r * F, W * sizeof(real));

    /* Weights: inputs times gradients, summed over all evaluations and rows. */
    integer all = net->evaluations * R;
    for (integer layer = 0; layer < task->layers; layer++) {
        integer in = task->widths[layer], out = task->widths[layer + 1], wide = net->widths[layer + 1];
        real *to = task->g_weights[layer] + member * in * out, *few = net->weights[layer]; /* no longer needed */
        const real *gradients = net->gradients[layer + 1];
        units_product(in, wide / LANES, all, x[layer], 1, net->widths[layer], gradients, wide, 0, few, wide);
        for (integer i = 0; i < in; i++) memcpy(to + i * out, few + i * wide, out * sizeof(real));
        real *sums = net->biases[layer];
        memset(sums, 0, wide * sizeof(real));
        for (integer k = 0; k < all; k++)
            for (integer u = 0; u < wide; u++) sums[u] += gradients[k * wide + u];
        memcpy(task->g_biases[layer] + member * out, sums, out * sizeof(real));
    }
    if (task->decay) {
        memset(net->decay, 0, F * sizeof(real));
        for (integer k = 0; k < all; k++)
            for (integer f = 0; f < F; f++) net->decay[f] -= of_rates[k * F + f] * x[0][k * F + f];
        memcpy(task->g_decay + member * W, net->decay, W * sizeof(real));
    }
    return loss;
}

/* ---------------------------------------------------------------- calls */

/* Bytes of memory that a call needs, aligned to 64. */
integer solve_bytes(const Task *task) {
    if (by_units(task)) return units_size(task) * (integer)sizeof(real);
    integer V = block_vectors(task);
    return (vectors_of_net(task, V) + vectors_of_solve(task, V) + 16) * (integer)sizeof(vec);
}

static void solve_by_units(const Task *task, integer first, integer last, void *memory) {
    Units net;
    /* The tails of values and gradients are zero from the beginning: what is added to them is zero. */
    memset(memory, 0, solve_bytes(task));
    real *rest = begin_units(&net, task, memory);
    for (integer member = first; member < last; member++)
        task->loss[member] = (real)units_member(&net, member, rest);
}

/* Losses and gradients of the members from `first` to before `last`. */
void solve(const Task *task, integer first, integer last, void *memory) {
    if (by_units(task)) {
        solve_by_units(task, first, last, memory);
        return;
    }
    Net net;
    integer V = block_vectors(task), block = V * LANES;
    vec *rest = begin_net(&net, task, V, (vec *)memory);
    for (integer member = first; member < last; member++) {
        net.member = member;
        begin_member(&net, member);
        double loss = 0;
        for (integer row = 0; row < task->rows; row += block) {
            integer rows = task->rows - row < block ? task->rows - row : block;
            loss += solve_block(&net, row, rows, rest);
        }
        end_member(&net);
        task->loss[member] = (real)loss;
    }
}

/* ---------------------------------------------------------------- matching of rates */

/* Blocks of rows whose records are kept: with integrals for the reverse pass, which evaluates others again. */
static integer blocks_kept(const Task *task, integer V) {
    integer blocks = (task->rows + V * LANES - 1) / (V * LANES);
    integer size = (task->order * task->features + hidden_units(task)) * V * (integer)sizeof(vec);
    integer fit = MOST_BYTES / size;
    if (!task->nodes) return slots_of(task, V);
    return blocks < fit ? blocks : fit < 1 ? 1 : fit;
}

integer match_bytes(const Task *task) {
    integer V = block_vectors(task), S = task->order * task->features;
    integer flat = task->nodes ? 2 * (task->rows * task->features / LANES + 2) : 0;
    integer records = blocks_kept(task, V) * (S + hidden_units(task)) * V;
    return (vectors_of_net(task, V) + records + 3 * S * V + flat + 16) * (integer)sizeof(vec);
}

/* Inputs and activations of a block of rows, and its rates. */
static void rates_of_block(Net *net, integer row, integer rows, vec *record, vec *rate) {
    for (integer s = 0; s < net->state; s++)
        load_lanes(record + s * net->V, net->V, net->task->states + row * net->state + s, net->state, rows);
    evaluate(net, record, rate);
}

/* Weighted squares of a block's residuals of slopes; rates become the gradient for them. */
static double compare_slopes(const Task *task, const real *weights, integer V, integer row, integer rows, vec *rate) {
    double total = 0;
    integer F = task->features;
    real *flat = (real *)rate;
    for (integer f = 0; f < F; f++) {
        real scale = task->feature_weight[f], sum = 0;
        for (integer r = 0; r < V * LANES; r++) {
            real *at = flat + f * V * LANES + r;
            if (r >= rows) {
                *at = 0;
                continue;
            }
            integer entry = (row + r) * F + f;
            real weight = scale * weights[row + r] * (task->observed ? task->observed[entry] : 1);
            real difference = *at - task->movement[entry];
            sum += weight * difference * difference;
            *at = 2 * weight * difference;
        }
        total += sum;
    }
    return total;
}

#define FEW 64

/* The same of means of rates over intervals; all rates are [row][feature], and so is the gradient, which is added to. */
static double compare_integrals(const Task *task, const real *weights, const real *rates, real *gradient) {
    double total = 0;
    integer F = task->features, M = task->nodes_of_step;
    for (integer residual = 0; residual < task->residuals; residual++) {
        const integer *nodes = task->nodes + task->first[residual] * M;
        const real *quadrature = task->quadrature + task->first[residual] * M;
        const real *movement = task->movement + residual * F;
        const real *observed = task->observed ? task->observed + residual * F : 0;
        real inverse = 1 / task->duration[residual];
        for (integer begin = 0; begin < F; begin += FEW) {
            integer count = F - begin < FEW ? F - begin : FEW;
            real whole[FEW] = {0}, sum = 0;
            for (integer n = 0; n < task->steps * M; n++)
                for (integer f = 0; f < count; f++) whole[f] += quadrature[n] * rates[nodes[n] * F + begin + f];
            for (integer f = 0; f < count; f++) {
                real weight = task->feature_weight[begin + f] * weights[residual];
                real difference = whole[f] * inverse - movement[begin + f];
                if (observed) weight *= observed[begin + f];
                sum += weight * difference * difference;
                whole[f] = 2 * weight * difference * inverse;
            }
            for (integer n = 0; n < task->steps * M; n++)
                for (integer f = 0; f < count; f++) gradient[nodes[n] * F + begin + f] += quadrature[n] * whole[f];
            total += sum;
        }
    }
    return total;
}

static double match_member(Net *net, vec *memory) {
    const Task *task = net->task;
    integer V = net->V, F = task->features, S = net->state, size = net->record, block = V * LANES;
    integer blocks = (task->rows + block - 1) / block, stored = blocks_kept(task, V);
    const real *weights = task->residual_weight + net->member * task->weight_stride;
    vec *records = memory, *rate = records + stored * size, *output = task->order == 2 ? rate + F * V : rate;
    real *rates = (real *)(rate + 3 * S * V), *gradient = rates + (task->rows * F / LANES + 2) * LANES;
    double loss = 0;
    for (integer b = 0; b < blocks; b++) {
        integer row = b * block, rows = task->rows - row < block ? task->rows - row : block;
        if (!task->nodes) {
            vec *record = records + b % stored * size;
            if (net->used == net->slots) flush(net); /* before a record is written over */
            rates_of_block(net, row, rows, record, rate);
            loss += compare_slopes(task, weights, V, row, rows, output);
            reverse(net, record, rate, 0);
            continue;
        }
        rates_of_block(net, row, rows, records + (b < stored ? b : stored - 1) * size, rate);
        for (integer r = 0; r < rows; r++)
            for (integer f = 0; f < F; f++) rates[(row + r) * F + f] = ((real *)(output + f * V))[r];
    }
    if (!task->nodes) return loss;
    memset(gradient, 0, task->rows * F * sizeof(real));
    loss = compare_integrals(task, weights, rates, gradient);
    for (integer b = 0; b < blocks; b++) {
        integer row = b * block, rows = task->rows - row < block ? task->rows - row : block;
        vec *record = records + (b < stored ? b : stored - 1) * size;
        if (blocks > stored && b >= stored - 1) {
            flush(net); /* before the record of a block before is written over */
            rates_of_block(net, row, rows, record, rate);
        }
        for (integer f = 0; f < F; f++) load_lanes(output + f * V, V, gradient + row * F + f, F, rows);
        reverse(net, record, rate, 0);
    }
    return loss;
}

/* Losses and gradients of the members from `first` to before `last`. */
void match(const Task *task, integer first, integer last, void *memory) {
    Net net;
    vec *rest = begin_net(&net, task, block_vectors(task), (vec *)memory);
    for (integer member = first; member < last; member++) {
        net.member = member;
        begin_member(&net, member);
        double loss = match_member(&net, rest);
        end_member(&net);
        task->loss[member] = (real)loss;
    }
}
