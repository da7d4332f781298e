/* Levenberg-Marquardt refits of one-dimensional equations along given inputs (see inference/refits), network by network.

   Windows lie in the lanes of vectors; a block is a vector of windows. Only what a mask leaves free is computed with: a
   network's parameters are first weights [other input][unit], biases, second weights, linear weights and a constant,
   and after these, where the target is an input of itself, its own first weights and linear weight.

   A network's numbers do not depend on which others are refitted beside it: the same inputs give the same bits. */

#define REAL double
#include "vectors.h"

#define TINY 1e-300
#define PANELS_BYTES 262144 /* of the rows whose products are summed together: they are to stay in the cache */
#define ACROSS (3 * LANES) /* columns of a tile of such products, and its rows */
#define DOWN 4

/* Mirrored by fused/refit.py. Arrays have the axis `network` first, but `lengths` (window, step). */
typedef struct {
    integer windows, steps, inputs, units, most_steps, tries, calm;
    const real *values, *lengths, *slope, *observed, *weight, *mask, *ridge;
    real *parameters, *start, *squares, *curvature, *residual;
    real tolerance, first_damping, least_damping, slight_damping, most_damping;
} Task;

/* A solve, at [block]: states at nodes, and states and hidden units at the four stages of each step. */
typedef struct {
    vec *states, *stages, *units;
} Path;

typedef struct {
    const Task *task;
    integer blocks, others, has_self, size, width, most_rows, capacity, used;
    integer *sources, *places, *is_observed;
    real slope;
    vec *values, *lengths, *observed, *weight, *into, *sides, *tangent, *rows, *panels, *along, *through, *norm;
    vec *start, *trial_start;
    Path path, trial_path;
    real *parameters, *moved, *ridge, *drive, *drive_bias, *self, *second, self_linear;
    real *normal, *factor, *gradient, *change;
} Net;

/* ---------------------------------------------------------------- one network */

static void *take(char **memory, integer count, integer size) {
    void *taken = *memory;
    *memory += (count * size + 63) / 64 * 64;
    return taken;
}

/* Columns with the residual's, padded to whole tiles. */
static integer widest(integer size) {
    integer unit = ACROSS % DOWN ? 2 * ACROSS : ACROSS;
    return (size + unit) / unit * unit;
}

static Path take_path(char **memory, integer blocks, integer steps, integer units) {
    Path path;
    path.states = take(memory, blocks * (steps + 1), sizeof(vec));
    path.stages = take(memory, blocks * 4 * steps, sizeof(vec));
    path.units = take(memory, blocks * 4 * steps * units, sizeof(vec));
    return path;
}

/* Memory of a network, as large as that of one without a mask. With none to take from only its size is told. */
static integer lay_out(Net *net, const Task *task, char *memory) {
    integer I = task->inputs, U = task->units, S = task->steps, N = 2 * S + 1;
    integer blocks = (task->windows + LANES - 1) / LANES, size = I * U + 2 * U + I + 1, width = widest(size);
    integer all_rows = (S + 1) * width * (integer)sizeof(vec);
    char *begin = memory;
    net->task = task;
    net->blocks = blocks;
    net->sources = take(&memory, I, sizeof(integer));
    net->places = take(&memory, size, sizeof(integer));
    net->is_observed = take(&memory, blocks * (S + 1), sizeof(integer));
    net->values = take(&memory, blocks * (I - 1) * N, sizeof(vec));
    net->lengths = take(&memory, blocks * S, sizeof(vec));
    net->observed = take(&memory, blocks * (S + 1), sizeof(vec));
    net->weight = take(&memory, blocks * (S + 1), sizeof(vec));
    net->into = take(&memory, (U + 1) * N, sizeof(vec));
    net->sides = take(&memory, 3 * U, sizeof(vec));
    net->tangent = take(&memory, size, sizeof(vec));
    net->rows = take(&memory, all_rows, 1);
    net->panels = take(&memory, all_rows > PANELS_BYTES ? all_rows : PANELS_BYTES, 1);
    net->along = take(&memory, S + 1, sizeof(vec));
    net->through = take(&memory, blocks * width, sizeof(vec));
    net->norm = take(&memory, blocks, sizeof(vec));
    net->start = take(&memory, blocks, sizeof(vec));
    net->trial_start = take(&memory, blocks, sizeof(vec));
    net->path = take_path(&memory, blocks, S, U);
    net->trial_path = take_path(&memory, blocks, S, U);
    net->parameters = take(&memory, size, sizeof(real));
    net->moved = take(&memory, size, sizeof(real));
    net->ridge = take(&memory, size, sizeof(real));
    net->drive = take(&memory, I * (U + 1), sizeof(real));
    net->drive_bias = take(&memory, U + 1, sizeof(real));
    net->self = take(&memory, U, sizeof(real));
    net->second = take(&memory, U, sizeof(real));
    net->normal = take(&memory, width * width, sizeof(real));
    net->factor = take(&memory, width * width, sizeof(real));
    net->gradient = take(&memory, width, sizeof(real));
    net->change = take(&memory, width, sizeof(real));
    return memory - begin;
}

/* Windows of (window, count) into lanes, [block][count]; lanes without a window are 0. */
static void into_lanes(const Task *task, const real *from, integer count, vec *to) {
    integer blocks = (task->windows + LANES - 1) / LANES;
    memset(to, 0, blocks * count * sizeof(vec));
    for (integer w = 0; w < task->windows; w++) {
        real *lane = (real *)(to + w / LANES * count) + w % LANES;
        for (integer k = 0; k < count; k++) lane[k * LANES] = from[w * count + k];
    }
}

static void from_lanes(const Task *task, const vec *from, integer count, real *to) {
    for (integer w = 0; w < task->windows; w++) {
        const real *lane = (const real *)(from + w / LANES * count) + w % LANES;
        for (integer k = 0; k < count; k++) to[w * count + k] = lane[k * LANES];
    }
}

/* What the mask leaves free, and where it lies in the whole vector of parameters. */
static void read_mask(Net *net, integer network) {
    const Task *task = net->task;
    integer I = task->inputs, U = task->units, at = 0;
    const real *mask = task->mask + network * I;
    net->others = 0;
    for (integer i = 1; i < I; i++)
        if (mask[i] != 0) net->sources[net->others++] = i;
    net->has_self = mask[0] != 0;
    for (integer o = 0; o < net->others; o++)
        for (integer u = 0; u < U; u++) net->places[at++] = net->sources[o] * U + u;
    for (integer u = 0; u < 2 * U; u++) net->places[at++] = I * U + u;
    for (integer o = 0; o < net->others; o++) net->places[at++] = I * U + 2 * U + net->sources[o];
    net->places[at++] = I * U + 2 * U + I;
    if (net->has_self) {
        for (integer u = 0; u < U; u++) net->places[at++] = u;
        net->places[at++] = I * U + 2 * U;
    }
    net->size = at;
    net->width = widest(at);
}

static void begin_network(Net *net, integer network) {
    const Task *task = net->task;
    integer I = task->inputs, U = task->units, S = task->steps, N = 2 * S + 1, W = task->windows;
    integer whole = I * U + 2 * U + I + 1;
    read_mask(net, network);
    net->slope = task->slope[network];
    memset(net->values, 0, net->blocks * net->others * N * sizeof(vec));
    for (integer w = 0; w < W; w++) {
        const real *from = task->values + (network * W + w) * N * (I - 1);
        real *lane = (real *)(net->values + w / LANES * net->others * N) + w % LANES;
        for (integer n = 0; n < N; n++)
            for (integer o = 0; o < net->others; o++)
                lane[(o * N + n) * LANES] = from[n * (I - 1) + net->sources[o] - 1];
    }
    into_lanes(task, task->lengths, S, net->lengths);
    into_lanes(task, task->observed + network * W * (S + 1), S + 1, net->observed);
    into_lanes(task, task->weight + network * W * (S + 1), S + 1, net->weight);
    into_lanes(task, task->start + network * W, 1, net->start);
    net->most_rows = 0;
    for (integer b = 0; b < net->blocks; b++) {
        integer rows = 0;
        for (integer s = 0; s <= S; s++) {
            integer any = 0;
            for (integer lane = 0; lane < LANES; lane++) any |= net->weight[b * (S + 1) + s][lane] != 0;
            net->is_observed[b * (S + 1) + s] = any;
            rows += any;
        }
        if (rows > net->most_rows) net->most_rows = rows;
    }
    integer fit = PANELS_BYTES / (net->width * (integer)sizeof(vec));
    net->capacity = fit > net->most_rows ? fit : net->most_rows;
    for (integer k = 0; k < net->size; k++) net->parameters[k] = task->parameters[network * whole + net->places[k]];
}

/* ---------------------------------------------------------------- solves */

/* Weights as a solve takes them: the unit of rates is in the second and linear weights and the constant. */
static void set_weights(Net *net, const real *parameters) {
    integer U = net->task->units, O = net->others;
    const real *bias = parameters + O * U, *second = bias + U, *linear = second + U, *own = linear + O + 1;
    for (integer o = 0; o < O; o++) {
        memcpy(net->drive + o * (U + 1), parameters + o * U, U * sizeof(real));
        net->drive[o * (U + 1) + U] = linear[o] * net->slope;
    }
    memcpy(net->drive_bias, bias, U * sizeof(real));
    net->drive_bias[U] = linear[O] * net->slope;
    for (integer u = 0; u < U; u++) {
        net->second[u] = second[u] * net->slope;
        net->self[u] = net->has_self ? own[u] : 0;
    }
    net->self_linear = net->has_self ? own[U] * net->slope : 0;
}

/* What the inputs of a block add to units and rates, [unit][node], the rate last. */
static void add_inputs(Net *net, integer b) {
    integer U = net->task->units, N = 2 * net->task->steps + 1;
    product(U + 1, N, net->others, net->drive, 1, U + 1, net->values + b * net->others * N, N, net->drive_bias, 0,
            net->into, N);
}

INLINE vec rate(const Net *net, integer node, vec at, vec *units) {
    integer U = net->task->units, N = 2 * net->task->steps + 1;
    vec sum = net->into[U * N + node];
    for (integer u = 0; u < U; u++) {
        units[u] = vector_tanh(net->into[u * N + node] + at * net->self[u]);
        sum += units[u] * net->second[u];
    }
    return sum + at * net->self_linear;
}

/* The path of a block from its starts, whose inputs have been added. */
static void solve_block(const Net *net, integer b, vec state, const Path *path) {
    integer U = net->task->units, S = net->task->steps;
    vec *states = path->states + b * (S + 1), *stages = path->stages + b * 4 * S, *units = path->units + b * 4 * S * U;
    states[0] = state;
    for (integer s = 0; s < S; s++, stages += 4, units += 4 * U) {
        vec step = net->lengths[b * S + s], half = step / 2;
        stages[0] = state;
        vec k1 = rate(net, 2 * s, stages[0], units);
        stages[1] = state + half * k1;
        vec k2 = rate(net, 2 * s + 1, stages[1], units + U);
        stages[2] = state + half * k2;
        vec k3 = rate(net, 2 * s + 1, stages[2], units + 2 * U);
        stages[3] = state + step * k3;
        vec k4 = rate(net, 2 * s + 2, stages[3], units + 3 * U);
        state += step / 6 * ((k2 + k3) * 2 + k1 + k4);
        states[s + 1] = state;
    }
}

INLINE vec residual_at(const Net *net, integer b, integer node, const Path *path) {
    integer at = b * (net->task->steps + 1) + node;
    return (path->states[at] - net->observed[at]) * net->weight[at];
}

/* Squared residuals of each window of a block. */
static vec block_squares(const Net *net, integer b, const Path *path) {
    vec sum = splat(0);
    for (integer node = 0; node <= net->task->steps; node++) {
        vec residual = residual_at(net, b, node, path);
        sum += residual * residual;
    }
    return sum;
}

/* Sum of squared residuals; infinite where a path leaves all bounds. */
static real solve(Net *net, const real *parameters, const vec *start, const Path *path) {
    vec sum = splat(0);
    set_weights(net, parameters);
    for (integer b = 0; b < net->blocks; b++) {
        add_inputs(net, b);
        solve_block(net, b, start[b], path);
        sum += block_squares(net, b, path);
    }
    real squares = over_lanes(sum);
    return isfinite(squares) ? squares : INFINITY;
}

/* How the state after a step depends on that before it; `by` on the rates at its stages, what follows included. */
INLINE vec step_growth(const Net *net, integer b, integer s, const Path *path, vec *by) {
    integer U = net->task->units, S = net->task->steps;
    const vec *units = path->units + (b * S + s) * 4 * U;
    vec step = net->lengths[b * S + s], d[4];
    for (integer k = 0; k < 4; k++) {
        d[k] = splat(net->self_linear);
        for (integer u = 0; u < U; u++)
            d[k] += (1 - units[k * U + u] * units[k * U + u]) * (net->second[u] * net->self[u]);
    }
    by[3] = step / 6;
    by[2] = step / 3 + by[3] * d[3] * step;
    by[1] = step / 3 + by[2] * d[2] * step / 2;
    by[0] = step / 6 + by[1] * d[1] * step / 2;
    return 1 + by[0] * d[0] + by[1] * d[1] + by[2] * d[2] + by[3] * d[3];
}

/* ---------------------------------------------------------------- the problem about a path */

/* The tangent of the state by all parameters, after a step. */
static void advance_tangent(Net *net, integer b, integer s, vec growth, vec *by) {
    integer U = net->task->units, S = net->task->steps, N = 2 * S + 1, O = net->others;
    const vec *units = net->path.units + (b * S + s) * 4 * U, *at = net->path.stages + (b * S + s) * 4;
    vec *left = net->sides, *middle = left + U, *right = middle + U;
    vec *bias = net->tangent + O * U, *second = bias + U, *linear = second + U, *own = linear + O + 1;
    for (integer u = 0; u < U; u++) {
        vec weight = splat(net->second[u]), into[4], seen = splat(0), sum = splat(0);
        for (integer k = 0; k < 4; k++) {
            vec value = units[k * U + u];
            into[k] = (1 - value * value) * weight * by[k];
            seen += value * by[k];
            sum += into[k] * at[k];
        }
        left[u] = into[0];
        middle[u] = into[1] + into[2];
        right[u] = into[3];
        bias[u] = growth * bias[u] + (left[u] + middle[u] + right[u]);
        second[u] = growth * second[u] + seen * net->slope;
        if (net->has_self) own[u] = growth * own[u] + sum;
    }
    vec first = by[0] * net->slope, inner = (by[1] + by[2]) * net->slope, last = by[3] * net->slope;
    for (integer o = 0; o < O; o++) {
        const vec *value = net->values + (b * O + o) * N + 2 * s;
        vec l = value[0], m = value[1], r = value[2];
        vec *tangent = net->tangent + o * U;
        for (integer u = 0; u < U; u++)
            tangent[u] = growth * tangent[u] + l * left[u] + m * middle[u] + r * right[u];
        linear[o] = growth * linear[o] + l * first + m * inner + r * last;
    }
    linear[O] = growth * linear[O] + (first + inner + last);
    if (net->has_self)
        own[U] = growth * own[U] + (at[0] * by[0] + at[1] * by[1] + at[2] * by[2] + at[3] * by[3]) * net->slope;
}

/* Products of columns of the rows, of which the last is the residual, into the lower triangle of `normal`. A panel
   holds as many columns as there are lanes, [row][lane][column]. */
static void flush(Net *net) {
    integer rows = net->used * LANES, stride = net->capacity * LANES * LANES, width = net->width;
    for (integer q = 0; q <= net->size; q += ACROSS)
        for (integer p = q / DOWN * DOWN; p <= net->size; p += DOWN) {
            const real *down[DOWN];
            const vec *across = net->panels + q / LANES * (stride / LANES);
            vec sum[DOWN][3], *to = (vec *)(net->normal + p * width + q);
            for (integer i = 0; i < DOWN; i++) {
                down[i] = (const real *)net->panels + (p + i) / LANES * stride + (p + i) % LANES;
                for (integer j = 0; j < 3; j++) sum[i][j] = to[i * (width / LANES) + j];
            }
            for (integer row = 0; row < rows; row++) {
                vec right[3];
                for (integer j = 0; j < 3; j++) right[j] = across[j * (stride / LANES) + row];
                for (integer i = 0; i < DOWN; i++) {
                    vec left = splat(down[i][row * LANES]);
                    for (integer j = 0; j < 3; j++) sum[i][j] += left * right[j];
                }
            }
            for (integer i = 0; i < DOWN; i++)
                for (integer j = 0; j < 3; j++) to[i * (width / LANES) + j] = sum[i][j];
        }
    net->used = 0;
}

/* A row: tangent and residual at a node, under its weight. */
INLINE void add_row(Net *net, integer b, integer node, vec along, vec *rows, integer row) {
    vec weight = net->weight[b * (net->task->steps + 1) + node], *to = rows + row * net->width;
    for (integer k = 0; k < net->size; k++) to[k] = net->tangent[k] * weight;
    to[net->size] = residual_at(net, b, node, &net->path);
    for (integer k = net->size + 1; k < net->width; k++) to[k] = splat(0);
    net->along[row] = along * weight;
}

static void linearize_block(Net *net, integer b) {
    integer S = net->task->steps, rows = 0;
    const integer *is_observed = net->is_observed + b * (S + 1);
    vec along = splat(1), by[4], norm = splat(0), *begin = net->rows;
    memset(net->tangent, 0, net->size * sizeof(vec));
    if (is_observed[0]) add_row(net, b, 0, along, begin, rows++);
    for (integer s = 0; s < S; s++) {
        vec growth = step_growth(net, b, s, &net->path, by);
        advance_tangent(net, b, s, growth, by);
        along *= growth;
        if (is_observed[s + 1]) add_row(net, b, s + 1, along, begin, rows++);
    }
    for (integer row = 0; row < rows; row++) norm += net->along[row] * net->along[row];
    norm = choose(norm < splat(TINY), splat(TINY), norm);
    net->norm[b] = norm;
    /* The start is projected out of all columns. */
    vec inverse = 1 / norm, *through = net->through + b * net->width;
    for (integer k = 0; k < net->width; k++) {
        vec sum = splat(0);
        for (integer row = 0; row < rows; row++) sum += net->along[row] * begin[row * net->width + k];
        through[k] = sum;
        sum *= inverse;
        for (integer row = 0; row < rows; row++) begin[row * net->width + k] -= net->along[row] * sum;
    }
    for (integer k = 0; k < net->width; k += LANES) {
        real *panel = (real *)(net->panels + (k * net->capacity + net->used * LANES));
        for (integer row = 0; row < rows; row++, panel += LANES * LANES)
            for (integer i = 0; i < LANES; i++)
                for (integer lane = 0; lane < LANES; lane++) panel[lane * LANES + i] = begin[row * net->width + k + i][lane];
    }
    net->used += rows;
}

static void linearize(Net *net) {
    set_weights(net, net->parameters);
    memset(net->normal, 0, net->width * net->width * sizeof(real));
    net->used = 0;
    for (integer b = 0; b < net->blocks; b++) {
        if (net->used + net->most_rows > net->capacity) flush(net);
        linearize_block(net, b);
    }
    flush(net);
    for (integer k = 0; k < net->size; k++)
        net->gradient[k] = net->normal[net->size * net->width + k] + net->ridge[k] * net->parameters[k];
}

/* The damped step of the parameters, by Cholesky's factor; NaN where there is none. */
static void find_change(Net *net, real damping) {
    integer P = net->size, width = net->width;
    real trace = 0, *factor = net->factor, *change = net->change;
    for (integer k = 0; k < P; k++) trace += net->normal[k * width + k];
    real added = damping * (trace / P);
    for (integer i = 0; i < P; i++)
        for (integer j = 0; j <= i; j++) factor[j * width + i] = net->normal[i * width + j];
    for (integer k = 0; k < P; k++) factor[k * width + k] += net->ridge[k] + added;
    for (integer k = 0; k < P; k++) {
        real *restrict row = factor + k * width;
        if (!(row[k] > 0)) {
            for (integer i = 0; i < P; i++) change[i] = NAN;
            return;
        }
        real inverse = 1 / sqrt(row[k]);
        for (integer j = k; j < P; j++) row[j] *= inverse;
        for (integer i = k + 1; i < P; i++) {
            real *restrict below = factor + i * width, value = row[i];
            for (integer j = i; j < P; j++) below[j] -= value * row[j];
        }
    }
    for (integer k = 0; k < P; k++) change[k] = -net->gradient[k];
    for (integer k = 0; k < P; k++) {
        const real *restrict row = factor + k * width;
        real value = change[k] /= row[k];
        for (integer j = k + 1; j < P; j++) change[j] -= value * row[j];
    }
    for (integer k = P - 1; k >= 0; k--) {
        const real *row = factor + k * width;
        real value = change[k];
        for (integer j = k + 1; j < P; j++) value -= row[j] * change[j];
        change[k] = value / row[k];
    }
}

/* By how much the step lowers the loss, were it a parabola; and projecting the starts out. */
static real find_promise(const Net *net) {
    real along = 0;
    vec by_start = splat(0);
    for (integer k = 0; k < net->size; k++) along -= net->gradient[k] * net->change[k];
    for (integer b = 0; b < net->blocks; b++) {
        vec residual = net->through[b * net->width + net->size];
        by_start += residual * residual / net->norm[b];
    }
    return along + over_lanes(by_start);
}

/* Parameters and starts after the step. */
static void move(Net *net) {
    for (integer k = 0; k < net->size; k++) net->moved[k] = net->parameters[k] + net->change[k];
    for (integer b = 0; b < net->blocks; b++) {
        const vec *through = net->through + b * net->width;
        vec sum = through[net->size];
        for (integer k = 0; k < net->size; k++) sum += through[k] * net->change[k];
        net->trial_start[b] = net->start[b] - sum / net->norm[b];
    }
}

/* ---------------------------------------------------------------- calls */

static real size_of(const Net *net, const real *parameters) {
    real sum = 0;
    for (integer k = 0; k < net->size; k++) sum += net->ridge[k] * parameters[k] * parameters[k];
    return sum;
}

#define SWAP(type, a, b)                                                                                                \
    do {                                                                                                                \
        type held = a;                                                                                                  \
        a = b;                                                                                                          \
        b = held;                                                                                                       \
    } while (0)

static void refit_network(Net *net, integer network) {
    const Task *task = net->task;
    begin_network(net, network);
    integer whole = task->inputs * task->units + 2 * task->units + task->inputs + 1;
    for (integer k = 0; k < net->size; k++) net->ridge[k] = task->ridge[network * whole + net->places[k]];
    real squares = solve(net, net->parameters, net->start, &net->path), damping = task->first_damping;
    integer calm = 0;
    for (integer number = 0;; number++) {
        linearize(net);
        if (number == task->most_steps) break;
        real before = squares + size_of(net, net->parameters), scale = before > TINY ? before : TINY;
        integer is_better = 0;
        find_change(net, damping);
        /* Where a step that is hardly damped promises no gain, none is tried. */
        integer pending = find_promise(net) / scale >= task->tolerance || damping > task->slight_damping;
        for (integer attempt = 0; pending && !is_better && attempt < task->tries; attempt++) {
            if (attempt) find_change(net, damping);
            move(net);
            real trial = solve(net, net->moved, net->trial_start, &net->trial_path);
            real after = trial + size_of(net, net->moved);
            is_better = after < before;
            if (is_better) {
                calm = 1 - after / scale < task->tolerance ? calm + 1 : 0;
                squares = trial;
                SWAP(real *, net->parameters, net->moved);
                SWAP(vec *, net->start, net->trial_start);
                SWAP(Path, net->path, net->trial_path);
                damping = damping / 4 > task->least_damping ? damping / 4 : task->least_damping;
            } else {
                damping = damping * 8 < task->most_damping ? damping * 8 : task->most_damping;
            }
        }
        if (!is_better || calm >= task->calm) break;
    }
    integer width = net->width;
    real *parameters = task->parameters + network * whole, *curvature = task->curvature + network * whole * whole;
    memset(parameters, 0, whole * sizeof(real));
    memset(curvature, 0, whole * whole * sizeof(real));
    for (integer i = 0; i < net->size; i++) {
        integer to = net->places[i];
        parameters[to] = net->parameters[i];
        for (integer j = 0; j <= i; j++)
            curvature[to * whole + net->places[j]] = curvature[net->places[j] * whole + to] = net->normal[i * width + j];
    }
    task->squares[network] = squares;
    from_lanes(task, net->start, 1, task->start + network * task->windows);
}

/* Residuals of a block from its starts, and how they depend on these; the squares of each window, infinite where a path
   leaves all bounds. */
static vec compare_block(const Net *net, integer b, vec start, vec *residual, vec *along) {
    integer S = net->task->steps;
    vec grown = splat(1), sum = splat(0), by[4];
    solve_block(net, b, start, &net->path);
    for (integer node = 0; node <= S; node++) {
        if (node > 0) grown *= step_growth(net, b, node - 1, &net->path, by);
        residual[node] = residual_at(net, b, node, &net->path);
        along[node] = grown * net->weight[b * (S + 1) + node];
        sum += residual[node] * residual[node];
    }
    return choose(sum - sum == splat(0), sum, splat(INFINITY));
}

/* Starts of all windows by Gauss-Newton, each step shortened where the error would rise, and the residuals with them. */
static void fit_network_starts(Net *net, integer network) {
    const Task *task = net->task;
    integer S = task->steps, W = task->windows;
    begin_network(net, network);
    set_weights(net, net->parameters);
    for (integer b = 0; b < net->blocks; b++) {
        add_inputs(net, b);
        vec *residual = net->rows, *along = residual + S + 1, *trial = along + S + 1, *trial_along = trial + S + 1;
        vec start = net->start[b], share = splat(1), squares = compare_block(net, b, start, residual, along);
        for (integer number = 0; number < task->most_steps; number++) {
            vec pull = splat(0), norm = splat(0);
            for (integer node = 0; node <= S; node++) {
                pull += along[node] * residual[node];
                norm += along[node] * along[node];
            }
            vec change = pull / choose(norm < splat(TINY), splat(TINY), norm);
            change = choose(change == change, change, splat(0));
            vec moved = start - share * change, after = compare_block(net, b, moved, trial, trial_along);
            ivec better = after < squares;
            start = choose(better, moved, start);
            squares = choose(better, after, squares);
            share = choose(better, splat(1), share / 4);
            for (integer node = 0; node <= S; node++) {
                residual[node] = choose(better, trial[node], residual[node]);
                along[node] = choose(better, trial_along[node], along[node]);
            }
        }
        net->start[b] = start;
        for (integer lane = 0; lane < LANES && b * LANES + lane < W; lane++)
            for (integer node = 0; node <= S; node++)
                task->residual[(network * W + b * LANES + lane) * (S + 1) + node] = residual[node][lane];
    }
    from_lanes(task, net->start, 1, task->start + network * W);
}

/* Bytes of memory that a call needs, aligned to 64. */
integer refit_bytes(const Task *task) {
    Net net;
    return lay_out(&net, task, 0);
}

void refit(const Task *task, integer network, void *memory) {
    Net net;
    lay_out(&net, task, memory);
    refit_network(&net, network);
}

void fit_starts(const Task *task, integer network, void *memory) {
    Net net;
    lay_out(&net, task, memory);
    fit_network_starts(&net, network);
}
