/* Known, uncertain or unknown: running statistics of cosines, and thresholds for a false-accept rate.
 *
 * The arithmetic is that of edge_imprint/head/reject.py, integer by integer; docs/DESIGN.md says why it is this. */
#include "eimp_internal.h"

#define OCTAVES 10u
#define PARTS 8u
#define LEAST_SPREAD 6711 /* 1e-4 */

/* Normal quantile z(1 - u) * 2^14 for u = 2^-1, then (15 to 8)/16, (15 to 8)/32 and so on, eight to an octave. */
static const uint16_t NORMAL_QUANTILE[OCTAVES * PARTS + 1] = {
    0, 1285, 2577, 3886, 5221, 6590, 8008, 9489, 11051, 11870, 12721, 13607,
    14535, 15512, 16548, 17654, 18847, 19483, 20150, 20852, 21594, 22384, 23229, 24141,
    25135, 25669, 26231, 26826, 27459, 28135, 28863, 29653, 30519, 30986, 31479, 32003,
    32562, 33161, 33809, 34514, 35289, 35708, 36153, 36625, 37130, 37673, 38260, 38902,
    39609, 39993, 40399, 40832, 41296, 41795, 42337, 42929, 43583, 43937, 44314, 44716,
    45147, 45611, 46115, 46668, 47278, 47610, 47963, 48339, 48743, 49178, 49652, 50171,
    50746, 51058, 51391, 51746, 52127, 52538, 52986, 53477, 54021
};

int eimp_is_sampled(uint32_t shots) { return shots < 16 || shots % 8 == 0; }

/* A difference of cosines (Q23, below 2^25) squared, times 2^30. */
static int64_t squared(int32_t delta) { return eimp_wide(delta, delta) >> 16; }

static uint32_t as_variance(int64_t value) {
    return value < 0 ? 0 : value < 0xFFFFFFFF ? (uint32_t)value : 0xFFFFFFFFu;
}

void eimp_observe(eimp_running *running, int32_t cosine_q15, uint32_t window) {
    const uint32_t count = eimp_least(running->count + 1, window);
    const int32_t delta = cosine_q15 * 256 - running->mean;
    const int64_t share = (int64_t)((uint64_t)as_variance(squared(delta)) * (count - 1) / count);
    running->count = count;
    running->mean += (int32_t)eimp_rounded(delta, count);
    running->variance = as_variance(running->variance + eimp_rounded(share - running->variance, count));
}

void eimp_pool(eimp_running *mine, const eimp_running *theirs, uint32_t window) {
    const uint32_t n = mine->count, m = theirs->count, both = n + m;
    const int32_t delta = theirs->mean - mine->mean;
    if (!both) return;
    const int64_t spread = squared(delta) * (n * m) / both;
    const int64_t sum = (int64_t)((uint64_t)mine->variance * n + (uint64_t)theirs->variance * m) + spread;
    mine->count = eimp_least(both, window);
    mine->mean += (int32_t)eimp_rounded(eimp_wide(delta, (int32_t)m), both);
    mine->variance = as_variance(eimp_rounded(sum, both));
}

eimp_running eimp_own(const eimp_head *head) {
    const eimp_words *words = eimp_words_of(head);
    return (eimp_running){(uint32_t)words->own_count, (int32_t)words->own_mean, (uint32_t)words->own_variance};
}

void eimp_set_own(eimp_head *head, const eimp_running *own) {
    eimp_words *words = eimp_words_of(head);
    words->own_count = own->count;
    words->own_mean = own->mean;
    words->own_variance = own->variance;
}

static int32_t times_q30(int32_t a, int32_t b) { return (int32_t)(eimp_wide(a, b) >> 30); }
static int32_t times_q16(int32_t a, int32_t b) { return (int32_t)(eimp_wide(a, b) >> 16); }

/* 1 - (1 - rate)^((C - 1) / C), times 2^30; both series stop where a term is 0. */
static int32_t upper_tail(int32_t classes, uint32_t rate_ppm) {
    const int32_t y = (int32_t)(((uint64_t)rate_ppm << 30) / (2000000 - rate_ppm)), square = times_q30(y, y);
    int32_t logarithm = 0, tail = 0;
    for (int32_t power = y, odd = 1; power; power = times_q30(power, square), odd += 2) logarithm += power / odd;
    const int32_t x = 2 * logarithm - 2 * logarithm / classes; /* below ln 2 */
    for (int32_t term = x, n = 1; term; n++, term = times_q30(term, x) / n) tail += n % 2 ? term : -term;
    return tail;
}

/* Normal quantile z(1 - u) times 2^16 for u = tail / 2^30, 2^-11 < u <= 1/2; linear in u between table entries. */
static int32_t normal_quantile(int32_t tail) {
    uint32_t bits = 29;
    if (tail > (1 << 29) - 1) tail = (1 << 29) - 1;
    while (!(tail >> (bits - 1))) bits--;
    const uint32_t width = bits - 4, place = (29 - bits) * PARTS + 16 - (uint32_t)(tail >> width);
    const int32_t above = NORMAL_QUANTILE[place] * 4, below = NORMAL_QUANTILE[place - 1] * 4;
    return above - ((above - below) * (tail >> (width - 12) & 4095) >> 12);
}

/* Quantile of Student's t times 2^16, from the normal one and 2^30 / dof <= 2^29 (Cornish and Fisher). z < 3.3 * 2^16, so
 * the largest sum, 3 z^7 + 19 z^5 + 17 z^3, is below 21,000 * 2^16 < 2^31. */
static int32_t student_t(int32_t z, int32_t inverse_dof) {
    const int32_t z2 = times_q16(z, z), z3 = times_q16(z2, z), z5 = times_q16(z3, z2), z7 = times_q16(z5, z2);
    /* Only the difference may be negative: it is rounded down like everything else. */
    const int32_t third = (int32_t)eimp_floor_div(3 * z7 + 19 * z5 + 17 * z3 - 15 * z, 384);
    const int32_t second = (5 * z5 + 16 * z3 + 3 * z) / 96 + times_q30(third, inverse_dof);
    const int32_t first = (z3 + z) / 4 + times_q30(second, inverse_dof);
    return z + times_q30(first, inverse_dof);
}

/* What the class records say together. Variances of cosines are at most 4 and here times 2^26: sums fit 32 bits. */
typedef struct totals {
    int32_t groups, count, inverse_count, mean, within, spread;
} totals;

static totals sum_up(const eimp_head *head) {
    totals all = {0, 0, 0, 0, 0, 0};
    uint64_t variance = 0, spread = 0; /* 2^16 times 2^5 * 2^32; 2^16 times 2^42 */
    uint32_t inverse_count = 0;        /* 65535 * 65536 < 2^32 */
    int64_t mean = 0;
    for (uint32_t index = 0; index < eimp_n_classes(head); index++) {
        const eimp_running *other = &eimp_record_at(head, index)->other;
        if (!other->count) continue;
        all.groups++;
        all.count += (int32_t)other->count;
        inverse_count += 65536u / other->count;
        mean += other->mean;
        variance += (uint64_t)other->count * other->variance;
    }
    if (!all.groups) return all;
    const uint32_t groups = (uint32_t)all.groups, dof = (uint32_t)(all.count - all.groups);
    all.mean = (int32_t)eimp_floor_div(mean, all.groups);
    all.inverse_count = (int32_t)(inverse_count / groups);
    all.within = dof ? (int32_t)(variance / dof >> 4) : 0;
    for (uint32_t index = 0; index < eimp_n_classes(head); index++) {
        const eimp_running *other = &eimp_record_at(head, index)->other;
        const int32_t deviation = (other->mean - all.mean) >> 4;
        if (other->count) spread += (uint64_t)eimp_wide(deviation, deviation);
    }
    all.spread = (int32_t)(spread / (groups > 1 ? groups - 1 : 1) >> 12);
    return all;
}

static int32_t at_least(int32_t value, int32_t least) { return value < least ? least : value; }

int eimp_thresholds(const eimp_head *head, int32_t *known_q23, int32_t *unknown_q23) {
    const int32_t classes = (int32_t)eimp_n_classes(head), one = 1 << 23;
    const totals all = sum_up(head);
    const int32_t groups = all.groups, dof = all.count - groups;
    if (classes < 2 || !groups) return EIMP_E_NOT_TAUGHT;
    int32_t between = at_least(all.spread - times_q16(all.within, all.inverse_count), 0);
    const int32_t prior = dof ? all.within / groups : at_least(all.spread, LEAST_SPREAD);
    between = (int32_t)((eimp_wide(groups - 1, between) + prior) / groups);
    const int32_t both = between + all.within;
    const int32_t share = both ? (int32_t)(eimp_wide(between, 1 << 15) / both) : 1 << 15, rest = (1 << 15) - share;
    int32_t inverse_dof = share * share / groups + rest * rest / at_least(dof, 1);
    if (inverse_dof > 1 << 29) inverse_dof = 1 << 29;
    const int32_t t = student_t(normal_quantile(upper_tail(classes, head->false_accept_ppm)), inverse_dof);
    const int32_t next = both + between / groups + all.within / all.count;
    const int32_t half = (int32_t)(eimp_wide(t, (int32_t)eimp_isqrt((uint64_t)eimp_wide(next, 1 << 30))) >> 21);
    const eimp_running own = eimp_own(head);
    const int32_t known = all.mean + half, middle = (all.mean + (own.count ? own.mean : known)) >> 1;
    *known_q23 = known < one ? known : one;
    *unknown_q23 = middle < *known_q23 ? middle : *known_q23;
    return EIMP_OK;
}
