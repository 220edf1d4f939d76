/* Known, uncertain or unknown: running statistics of cosines, and thresholds for a false-accept rate.
 *
 * The arithmetic is that of edge_imprint/head/reject.py, integer by integer; docs/DESIGN.md says why it is this. */
#include "eimp_internal.h"

#define Q30 ((int64_t)1 << 30)
#define OCTAVES 10u
#define PARTS 8u
#define LEAST_SPREAD 107374 /* 1e-4 */

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

void eimp_observe(eimp_running *running, int64_t cosine_q15, uint32_t window) {
    const uint32_t count = eimp_least(running->count + 1, window);
    const int64_t delta = cosine_q15 * 256 - running->mean;
    int64_t square = delta * delta >> 16;
    if (square > 0xFFFFFFFF) square = 0xFFFFFFFF;
    const int64_t variance =
        running->variance + eimp_rounded(square * (count - 1) / count - running->variance, count);
    running->count = count;
    running->mean = (int32_t)(running->mean + eimp_rounded(delta, count));
    running->variance = variance > 0 ? (uint32_t)variance : 0;
}

void eimp_pool(eimp_running *mine, const eimp_running *theirs, uint32_t window) {
    const int64_t n = mine->count, m = theirs->count, both = n + m;
    if (!both) {
        mine->mean = 0;
        mine->variance = 0;
        return;
    }
    const int64_t delta = (int64_t)theirs->mean - mine->mean;
    const int64_t spread = (delta * delta >> 16) * n * m / both;
    const int64_t variance = eimp_rounded(n * mine->variance + m * theirs->variance + spread, both);
    mine->count = both < window ? (uint32_t)both : window;
    mine->mean = (int32_t)(mine->mean + eimp_rounded(delta * m, both));
    mine->variance = variance < 0xFFFFFFFF ? (uint32_t)variance : 0xFFFFFFFF;
}

/* 1 - (1 - rate)^((C - 1) / C), times 2^30; both series stop where a term is 0. */
static int64_t upper_tail(int64_t classes, int64_t rate_ppm) {
    const int64_t y = (rate_ppm << 30) / (2000000 - rate_ppm), square = y * y >> 30;
    int64_t logarithm = 0, tail = 0;
    for (int64_t power = y, odd = 1; power; power = power * square >> 30, odd += 2) logarithm += power / odd;
    const int64_t x = 2 * logarithm * (classes - 1) / classes;
    int64_t term = x;
    for (int64_t n = 1; term;) {
        tail += n % 2 ? term : -term;
        n++;
        term = (term * x >> 30) / n;
    }
    return tail;
}

/* Normal quantile z(1 - u) times 2^20 for u = tail / 2^30, 2^-11 < u <= 1/2; linear in u between table entries. */
static int64_t normal_quantile(int64_t tail) {
    uint32_t bits = 29;
    if (tail > Q30 / 2 - 1) tail = Q30 / 2 - 1;
    while (bits > 20 && !(tail >> (bits - 1))) bits--;
    const uint32_t width = bits - 4, place = (29 - bits) * PARTS + 16 - (uint32_t)(tail >> width);
    const int64_t above = NORMAL_QUANTILE[place], below = NORMAL_QUANTILE[place - 1];
    return above * 64 - ((above - below) * 64 * (tail & (((int64_t)1 << width) - 1)) >> width);
}

/* Quantile of Student's t times 2^20, from the normal one and 2^30 / dof (Cornish and Fisher). z < 3.3 * 2^20, so
 * |third| < 2^26 and products with inverse_dof <= 2^29 stay below 2^56. */
static int64_t student_t(int64_t z, int64_t inverse_dof) {
    const int64_t z2 = z * z >> 20, z3 = z2 * z >> 20, z5 = z3 * z2 >> 20, z7 = z5 * z2 >> 20;
    const int64_t third = eimp_floor_div(3 * z7 + 19 * z5 + 17 * z3 - 15 * z, 384);
    const int64_t second = (5 * z5 + 16 * z3 + 3 * z) / 96 + (third * inverse_dof >> 30);
    const int64_t first = (z3 + z) / 4 + (second * inverse_dof >> 30);
    return z + (first * inverse_dof >> 30);
}

/* What the class records say together: counts, their inverses times 2^16, means, variances weighted by counts. */
typedef struct totals {
    int64_t groups, count, inverse_count, mean, variance;
} totals;

static totals sum_up(const eimp_head *head) {
    totals all = {0, 0, 0, 0, 0};
    eimp_record record;
    for (uint32_t index = 0; index < eimp_n_classes(head); index++) {
        eimp_get_record(head, index, &record);
        if (!record.other_count) continue;
        all.groups++;
        all.count += record.other_count;
        all.inverse_count += 65536 / record.other_count;
        all.mean += record.other_mean;
        all.variance += (int64_t)record.other_count * record.other_variance; /* 2^5 * 2^32, 2^16 times */
    }
    return all;
}

/* Variance of the classes' means times 2^30: deviations below 2^24, so 2^16 squares over 2^8 stay below 2^57. */
static int64_t spread_of_means(const eimp_head *head, int64_t centre, int64_t groups) {
    int64_t sum = 0;
    eimp_record record;
    for (uint32_t index = 0; index < eimp_n_classes(head); index++) {
        eimp_get_record(head, index, &record);
        const int64_t deviation = record.other_mean - centre;
        if (record.other_count) sum += deviation * deviation >> 8;
    }
    return sum / (groups > 1 ? groups - 1 : 1) >> 8;
}

int eimp_thresholds(const eimp_head *head, int32_t *known_q23, int32_t *unknown_q23) {
    const int64_t classes = eimp_n_classes(head), one = (int64_t)1 << 23;
    const totals all = sum_up(head);
    const int64_t groups = all.groups;
    if (classes < 2 || !groups) return EIMP_E_NOT_TAUGHT;
    const int64_t centre = eimp_floor_div(all.mean, groups), within_dof = all.count - groups;
    const int64_t within = within_dof ? all.variance / within_dof : 0;
    const int64_t spread = spread_of_means(head, centre, groups);
    int64_t between = spread - (within * (all.inverse_count / groups) >> 16);
    if (between < 0) between = 0;
    const int64_t least = spread > LEAST_SPREAD ? spread : LEAST_SPREAD, prior = within_dof ? within / groups : least;
    between = (prior + (groups - 1) * between) / groups;
    const int64_t whole = (int64_t)1 << 24, both = within + between;
    const int64_t share = both ? between * whole / both : whole, rest = whole - share;
    int64_t inverse_dof = (share * share >> 18) / groups + (rest * rest >> 18) / (within_dof > 1 ? within_dof : 1);
    if (inverse_dof > Q30 / 2) inverse_dof = Q30 / 2;
    const int64_t z = normal_quantile(upper_tail(classes, head->false_accept_ppm));
    const int64_t next = between + between / groups + within + within / all.count; /* below 2^35 */
    const int64_t half = student_t(z, inverse_dof) * eimp_isqrt((uint64_t)next << 26) >> 25;
    const eimp_words *words = eimp_words_of(head);
    const int64_t own = words->own_count ? words->own_mean : centre + half;
    const int64_t known = centre + half < one ? centre + half : one, middle = (centre + own) >> 1;
    *known_q23 = (int32_t)known;
    *unknown_q23 = (int32_t)(known < middle ? known : middle);
    return EIMP_OK;
}
