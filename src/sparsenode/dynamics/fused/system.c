/* Starts of whole systems that fit the observations of windows (see inference/systems), a block of windows at a time.

   Windows lie in the lanes of vectors. Every variable has a small network of some inputs, of which it is the first. A
   path is on half steps; the sensitivity to the start is solved on whole ones with the derivatives along the path. */

#define REAL double
#include "vectors.h"

/* Mirrored by fused/system.py. */
typedef struct {
    integer windows, steps, variables, inputs, units, most_steps;
    const integer *sources;                                /* (variable, input), the variable itself first */
    const real *parameters, *slope;                        /* (variable, parameter), (variable,) */
    const real *lengths, *observed, *weight;               /* (window, step), (window, node, variable) twice */
    real *start, *path;                                    /* (window, variable), (window, half step, variable) */
    real farthest, largest_change, calm, ridge;
} Task;

typedef struct {
    const Task *task;
    vec *lengths, *observed, *weight, *start, *moved, *path, *trial, *rate, *stage, *inputs, *hidden;
    vec *slopes[3], *state, *between, *k, *sum, *normal, *pull;
} Net;

static vec *take(char **memory, integer count) {
    vec *taken = (vec *)*memory;
    *memory += (count * (integer)sizeof(vec) + 63) / 64 * 64;
    return taken;
}

static integer lay_out(Net *net, const Task *task, char *memory) {
    integer D = task->variables, S = task->steps, N = 2 * S + 1;
    char *begin = memory;
    net->task = task;
    net->lengths = take(&memory, S);
    net->observed = take(&memory, (S + 1) * D);
    net->weight = take(&memory, (S + 1) * D);
    net->start = take(&memory, D);
    net->moved = take(&memory, D);
    net->path = take(&memory, N * D);
    net->trial = take(&memory, N * D);
    net->rate = take(&memory, D);
    net->stage = take(&memory, D);
    net->inputs = take(&memory, task->inputs);
    net->hidden = take(&memory, task->units);
    for (integer node = 0; node < 3; node++) net->slopes[node] = take(&memory, D * task->inputs);
    net->state = take(&memory, D * D);
    net->between = take(&memory, D * D);
    net->k = take(&memory, D * D);
    net->sum = take(&memory, D * D);
    net->normal = take(&memory, D * D);
    net->pull = take(&memory, D);
    return memory - begin;
}

/* Values (window, count) of a block of windows; lanes without a window are 0. */
static void into_lanes(const Task *task, integer block, const real *from, integer count, vec *to) {
    memset(to, 0, count * sizeof(vec));
    for (integer lane = 0; lane < LANES && block * LANES + lane < task->windows; lane++)
        for (integer k = 0; k < count; k++) to[k][lane] = from[(block * LANES + lane) * count + k];
}

static void from_lanes(const Task *task, integer block, const vec *from, integer count, real *to) {
    for (integer lane = 0; lane < LANES && block * LANES + lane < task->windows; lane++)
        for (integer k = 0; k < count; k++) to[(block * LANES + lane) * count + k] = from[k][lane];
}

/* Hidden units of a variable's network at states, whose inputs are gathered. */
static const real *activate(const Net *net, integer variable, const vec *states) {
    const Task *task = net->task;
    integer I = task->inputs, U = task->units;
    const real *parameters = task->parameters + variable * (I * U + 2 * U + I + 1);
    for (integer i = 0; i < I; i++) net->inputs[i] = states[task->sources[variable * I + i]];
    product(U, 1, I, parameters, 1, U, net->inputs, 1, parameters + I * U, 0, net->hidden, 1);
    for (integer u = 0; u < U; u++) net->hidden[u] = vector_tanh(net->hidden[u]);
    return parameters;
}

static void find_rates(const Net *net, const vec *states, vec *rates) {
    const Task *task = net->task;
    integer I = task->inputs, U = task->units;
    for (integer v = 0; v < task->variables; v++) {
        const real *second = activate(net, v, states) + I * U + U, *linear = second + U;
        vec sum = splat(linear[I]);
        for (integer u = 0; u < U; u++) sum += net->hidden[u] * second[u];
        for (integer i = 0; i < I; i++) sum += net->inputs[i] * linear[i];
        rates[v] = sum * task->slope[v];
    }
}

/* Derivatives of all rates by their inputs, [variable][input]. */
static void find_slopes(const Net *net, const vec *states, vec *slopes) {
    const Task *task = net->task;
    integer I = task->inputs, U = task->units;
    for (integer v = 0; v < task->variables; v++) {
        const real *first = activate(net, v, states), *second = first + I * U + U, *linear = second + U;
        for (integer u = 0; u < U; u++) net->hidden[u] = (1 - net->hidden[u] * net->hidden[u]) * second[u];
        product(I, 1, U, first, U, 1, net->hidden, 1, linear, 0, slopes + v * I, 1);
        for (integer i = 0; i < I; i++) slopes[v * I + i] *= task->slope[v];
    }
}

static void solve(const Net *net, const vec *start, vec *path) {
    integer D = net->task->variables;
    memcpy(path, start, D * sizeof(vec));
    for (integer n = 0; n < 2 * net->task->steps; n++) {
        vec step = net->lengths[n / 2] / 2, *state = path + n * D, *next = state + D;
        find_rates(net, state, net->rate);
        for (integer v = 0; v < D; v++) {
            next[v] = net->rate[v];
            net->stage[v] = state[v] + step / 2 * net->rate[v];
        }
        find_rates(net, net->stage, net->rate);
        for (integer v = 0; v < D; v++) {
            next[v] += 2 * net->rate[v];
            net->stage[v] = state[v] + step / 2 * net->rate[v];
        }
        find_rates(net, net->stage, net->rate);
        for (integer v = 0; v < D; v++) {
            next[v] += 2 * net->rate[v];
            net->stage[v] = state[v] + step * net->rate[v];
        }
        find_rates(net, net->stage, net->rate);
        for (integer v = 0; v < D; v++) next[v] = state[v] + step / 6 * (next[v] + net->rate[v]);
    }
}

/* Squared residuals of each window; infinite where a path is not finite or far from the data. */
static vec find_squares(const Net *net, const vec *path) {
    integer D = net->task->variables, S = net->task->steps;
    vec sum = splat(0), farthest = splat(0);
    for (integer node = 0; node <= S; node++)
        for (integer v = 0; v < D; v++) {
            vec residual = (path[2 * node * D + v] - net->observed[node * D + v]) * net->weight[node * D + v];
            sum += residual * residual;
        }
    for (integer k = 0; k < (2 * S + 1) * D; k++) {
        vec size = choose(path[k] < splat(0), -path[k], path[k]);
        farthest = choose(size < splat(net->task->farthest), choose(size > farthest, size, farthest), splat(INFINITY));
    }
    return choose(farthest < splat(net->task->farthest), sum, splat(INFINITY));
}

/* out = slopes times state, both of all variables. */
static void multiply(const Net *net, const vec *slopes, const vec *state, vec *out) {
    integer D = net->task->variables, I = net->task->inputs;
    const integer *sources = net->task->sources;
    for (integer v = 0; v < D; v++) {
        integer a = 0;
        for (; a + 8 <= D; a += 8) {
            vec sum[8] = {0};
            for (integer i = 0; i < I; i++) {
                const vec *row = state + sources[v * I + i] * D + a;
                for (integer j = 0; j < 8; j++) sum[j] += slopes[v * I + i] * row[j];
            }
            for (integer j = 0; j < 8; j++) out[v * D + a + j] = sum[j];
        }
        for (; a < D; a++) {
            vec sum = splat(0);
            for (integer i = 0; i < I; i++) sum += slopes[v * I + i] * state[sources[v * I + i] * D + a];
            out[v * D + a] = sum;
        }
    }
}

/* Add the rows of a node to the normal equations. */
static void add_node(const Net *net, integer node) {
    integer D = net->task->variables;
    for (integer v = 0; v < D; v++) {
        vec weight = net->weight[node * D + v], *row = net->rate;
        vec residual = (net->path[2 * node * D + v] - net->observed[node * D + v]) * weight;
        residual = choose(residual == residual, residual, splat(0));
        for (integer a = 0; a < D; a++) row[a] = net->state[v * D + a] * weight;
        for (integer a = 0; a < D; a++) {
            vec value = row[a], *to = net->normal + a * D;
            net->pull[a] += value * residual;
            for (integer b = 0; b <= a; b++) to[b] += value * row[b];
        }
    }
}

/* The normal equations of all starts of a block about its path. */
static void linearize(Net *net) {
    const Task *task = net->task;
    integer D = task->variables, S = task->steps;
    memset(net->normal, 0, D * D * sizeof(vec));
    memset(net->pull, 0, D * sizeof(vec));
    memset(net->state, 0, D * D * sizeof(vec));
    for (integer v = 0; v < D; v++) net->state[v * D + v] = splat(1);
    vec *states = net->trial; /* without what is not a number */
    for (integer k = 0; k < (2 * S + 1) * D; k++)
        states[k] = choose(net->path[k] == net->path[k], net->path[k], splat(0));
    find_slopes(net, states, net->slopes[2]);
    add_node(net, 0);
    for (integer s = 0; s < S; s++) {
        vec step = net->lengths[s], *left = net->slopes[2], *right = net->slopes[0];
        net->slopes[0] = left;
        net->slopes[2] = right;
        find_slopes(net, states + (2 * s + 1) * D, net->slopes[1]);
        find_slopes(net, states + (2 * s + 2) * D, right);
        multiply(net, left, net->state, net->k);
        for (integer k = 0; k < D * D; k++) {
            net->sum[k] = net->k[k];
            net->between[k] = net->state[k] + step / 2 * net->k[k];
        }
        multiply(net, net->slopes[1], net->between, net->k);
        for (integer k = 0; k < D * D; k++) {
            net->sum[k] += 2 * net->k[k];
            net->between[k] = net->state[k] + step / 2 * net->k[k];
        }
        multiply(net, net->slopes[1], net->between, net->k);
        for (integer k = 0; k < D * D; k++) {
            net->sum[k] += 2 * net->k[k];
            net->between[k] = net->state[k] + step * net->k[k];
        }
        multiply(net, right, net->between, net->k);
        for (integer k = 0; k < D * D; k++) net->state[k] += step / 6 * (net->sum[k] + net->k[k]);
        add_node(net, s + 1);
    }
    for (integer v = 0; v < D; v++) net->normal[v * D + v] += task->ridge;
}

/* Solve the normal equations of each lane by Cholesky's factor; the change of starts replaces `pull`. */
static void find_change(const Net *net) {
    integer D = net->task->variables;
    vec *normal = net->normal, *x = net->pull;
    for (integer a = 0; a < D; a++) {
        vec *row = normal + a * D;
        for (integer b = 0; b <= a; b++) {
            const vec *other = normal + b * D;
            vec sum = row[b];
            for (integer k = 0; k < b; k++) sum -= row[k] * other[k];
            if (b < a) {
                row[b] = sum * other[b];
            } else {
                for (integer lane = 0; lane < LANES; lane++) sum[lane] = 1 / sqrt(sum[lane]);
                row[a] = sum; /* the inverse of the factor's diagonal */
            }
        }
    }
    for (integer a = 0; a < D; a++) {
        for (integer k = 0; k < a; k++) x[a] -= normal[a * D + k] * x[k];
        x[a] *= normal[a * D + a];
    }
    for (integer a = D - 1; a >= 0; a--) {
        for (integer k = a + 1; k < D; k++) x[a] -= normal[k * D + a] * x[k];
        x[a] *= normal[a * D + a];
    }
}

/* Bytes of memory that a call needs, aligned to 64. */
integer system_bytes(const Task *task) {
    Net net;
    return lay_out(&net, task, 0);
}

integer lanes(void) { return LANES; }

/* Starts of a block of windows by Gauss-Newton, each step shortened where the error would rise, and the paths from them. */
void fit_block_starts(const Task *task, integer block, void *memory) {
    Net net;
    lay_out(&net, task, memory);
    integer D = task->variables, S = task->steps, N = 2 * S + 1;
    into_lanes(task, block, task->lengths, S, net.lengths);
    into_lanes(task, block, task->observed, (S + 1) * D, net.observed);
    into_lanes(task, block, task->weight, (S + 1) * D, net.weight);
    into_lanes(task, block, task->start, D, net.start);
    solve(&net, net.start, net.path);
    vec squares = find_squares(&net, net.path), share = splat(1);
    ivec active = {0};
    active = ~active;
    const real limit = task->largest_change;
    for (integer number = 0; number < task->most_steps; number++) {
        linearize(&net);
        find_change(&net);
        for (integer v = 0; v < D; v++) {
            vec change = choose(net.pull[v] == net.pull[v], net.pull[v], splat(0));
            change = choose(change > splat(limit), splat(limit), choose(change < splat(-limit), splat(-limit), change));
            net.moved[v] = net.start[v] - share * change;
        }
        solve(&net, net.moved, net.trial);
        vec after = find_squares(&net, net.trial);
        ivec better = (after < squares) & active;
        active &= ~(better & (squares - after < task->calm * squares));
        for (integer v = 0; v < D; v++) net.start[v] = choose(better, net.moved[v], net.start[v]);
        for (integer k = 0; k < N * D; k++) net.path[k] = choose(better, net.trial[k], net.path[k]);
        squares = choose(better, after, squares);
        share = choose(better, splat(1), share / 4);
        integer left = 0;
        for (integer lane = 0; lane < LANES; lane++) left |= active[lane] != 0;
        if (!left) break;
    }
    from_lanes(task, block, net.start, D, task->start);
    from_lanes(task, block, net.path, N * D, task->path);
}
