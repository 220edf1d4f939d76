/* Known, uncertain or unknown: running statistics of cosines, and thresholds for a false-accept rate.
 *
 * The arithmetic is that of edge_imprint/head/reject.py, integer by integer; docs/DESIGN.md says why it is this. */
#include "eimp_internal.h"

#define LEAST_SPREAD 6711       /* 1e-4 times 2^26 */
#define RATE_PER_PPM 1125899907 /* 2^50 / 10^6 */
#define OFFSET (2 << 23)        /* makes means positive: those of a snapshot may be as low as -2 */

int eimp_is_sampled(uint32_t shots) { return shots < 16 || shots % 8 == 0; }

void eimp_pool(eimp_running *mine, const eimp_running *theirs, uint32_t window) {
    const uint32_t n = mine->count, m = theirs->count, both = n + m;
    const int32_t delta = theirs->mean - mine->mean; /* Q23, below 2^25 */
    if (!both) return;
    const int64_t spread = (eimp_wide(delta, delta) >> 16) * (n * m) / both;
    const int64_t variance =
        eimp_rounded((int64_t)((uint64_t)mine->variance * n + (uint64_t)theirs->variance * m) + spread, both);
    mine->count = eimp_least(both, window);
    mine->mean += (int32_t)eimp_rounded(eimp_wide(delta, (int32_t)m), both);
    mine->variance = variance < 0xFFFFFFFF ? (uint32_t)variance : 0xFFFFFFFFu;
}

void eimp_observe(eimp_running *running, int32_t cosine_q15, uint32_t window) {
    if (cosine_q15 == EIMP_NO_SCORE) return;
    const eimp_running one = {1, cosine_q15 * 256, 0};
    running->count = eimp_least(running->count, window - 1);
    eimp_pool(running, &one, window);
}

/* The upper half of a product: one instruction. */
static int32_t high(int32_t a, int32_t b) { return (int32_t)((int64_t)a * b >> 32); }

/* 1 - (1 - rate)^c with c = (C - 1) / C, times 2^31: the binomial series, whose terms are all positive here and follow
 * from each other by rate (k - c) / (k + 1) = rate - rate (1 + c) / (k + 1). */
static int32_t upper_tail(int32_t classes, uint32_t rate_ppm) {
    const int32_t rate = 2 * high((int32_t)(rate_ppm << 12), RATE_PER_PPM), part = rate / classes;
    int32_t tail = 0, n = 1;
    for (int32_t term = rate - part; term; term = 2 * (high(term, rate) - high(term, 2 * rate - part) / n)) {
        tail += term;
        n++;
    }
    return tail;
}

/* Normal quantile z(1 - u) times 2^28 for u = tail / 2^31, 2^-11 < u <= 1/2: with x = sqrt(log2(1 / u)) - 2 it is
 * 1.534252 + 45/32 x - 81/1024 x^2 + 75/2048 x^3 - 97/8192 x^4, off by at most 0.0008. */
static int32_t normal_quantile(int32_t tail) {
    uint32_t logarithm = 0; /* times 2^28 */
    /* u is doubled up to 1/2, squared, doubled again; after a squaring each doubling counts half. */
    for (uint32_t doubling = 1 << 28; doubling; doubling >>= 1) {
        for (; tail < 1 << 30; tail *= 2) logarithm += doubling;
        tail = 2 * high(tail, tail);
    }
    const int32_t x = (int32_t)(eimp_isqrt((uint64_t)logarithm << 32) - (2u << 30));
    const int32_t cubic = (75 << 17) + 4 * high(-97 * (1 << 15), x), square = 4 * high(cubic, x) - (81 << 18);
    return 411848054 + 4 * high((45 << 23) + 4 * high(square, x), x);
}

/* Square of a quantile of Student's t times 2^20, from the normal one and 2^30 / dof <= 2^29:
 * dof (exp(y / dof) - 1) with y = z^2 (1 + 31 / (64 dof)), which is Wallace's formula with 31/64 for his 1/2. */
static int32_t student_t2(int32_t z, int32_t inverse_dof) {
    const int32_t z2 = high(z, z), y = z2 + (high(z2, inverse_dof) * 31 >> 4), exponent = high(y, inverse_dof) * 64;
    int32_t sum = 0, n = 1;
    for (int32_t term = y >> 4; term; term = high(term, exponent) * 16 / n) {
        sum += term;
        n++;
    }
    return sum;
}

int eimp_thresholds(const eimp_head *head, int32_t *known_q23, int32_t *unknown_q23) {
    const int32_t classes = (int32_t)eimp_n_classes(head);
    const eimp_running *own = &eimp_words_of(head)->own;
    const eimp_record *record = eimp_record_at(head, 0);
    uint32_t groups = 0, count = 0, inverse_counts = 0, means = 0;
    uint64_t variances = 0, squares = 0; /* below 2^16 * 2^32 * 2^5, 2^16 * 2^32 */
    for (int32_t left = classes; left--; record--) {
        const uint32_t n = record->other.count, mean = (uint32_t)(record->other.mean + OFFSET) >> 9; /* <= 2^16 */
        if (!n) continue;
        groups++;
        count += n;
        inverse_counts += 65536u / n;
        means += mean;
        squares += (uint64_t)mean * mean;
        variances += (uint64_t)n * record->other.variance;
    }
    if (classes < 2 || !groups) return EIMP_E_NOT_TAUGHT;
    /* Variances are times 2^26 from here on. No cosine's is above 1, nor any from a snapshot above 2^31. */
    const uint32_t dof = count > groups ? count - groups : 1, within = (uint32_t)(variances / dof >> 4);
    const uint32_t spread = (uint32_t)((squares * groups - (uint64_t)means * means) / (groups * groups) >> 2);
    const uint32_t noise = (uint32_t)high((int32_t)within, (int32_t)(inverse_counts / groups << 14)) * 4;
    uint32_t between = spread + noise / groups;
    between = (between > noise ? between - noise : 0) + (within ? within / groups : 2 * spread + LEAST_SPREAD) / groups;
    const uint32_t both = between + within, share = between / (both / 256 + 1), rest = 256 - share;
    const uint32_t inverse_dof = share * share / groups + rest * rest / dof; /* times 2^16 */
    const int32_t z = normal_quantile(upper_tail(classes, head->false_accept_ppm));
    const int32_t t2 = student_t2(z, (int32_t)eimp_least(inverse_dof, 1 << 15) << 14);
    const uint32_t half = eimp_isqrt((uint64_t)(uint32_t)t2 * (both + between / groups + within / count));
    const int32_t mean = (int32_t)(means / groups << 9) - OFFSET;
    int32_t known = mean + (int32_t)half;
    if (known > 1 << 23) known = 1 << 23;
    const int32_t middle = (mean + (own->count ? own->mean : known)) >> 1;
    *known_q23 = known;
    *unknown_q23 = middle < known ? middle : known;
    return EIMP_OK;
}
