/* Integers with one written rounding rule each; docs/DESIGN.md, "Integer arithmetic of the head", numbers them. */
#include "eimp_internal.h"
#include "eimp_kernels.h"

uint32_t eimp_isqrt(uint64_t value) {
    uint64_t root = 0, bit = (uint64_t)1 << 62;
    while (bit > value) bit >>= 2;
    for (; bit; bit >>= 2) {
        if (value >= root + bit) {
            value -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    return (uint32_t)root;
}

int64_t eimp_floor_div(int64_t value, int64_t divisor) {
    /* Divisions of C round towards 0. */
    if (value < 0) value -= divisor - 1;
    /* What a processor of 32 bits does in one instruction. */
    if (value == (int32_t)value && divisor == (int32_t)divisor) return (int32_t)value / (int32_t)divisor;
    return value / divisor;
}

int64_t eimp_rounded(int64_t value, int64_t divisor) { return eimp_floor_div(2 * value + divisor, 2 * divisor); }

/* Cost of joining two groups whose centres are so far apart (squared), below EIMP_COST_MAX: 2^24 * 2^16 * 2^16 < 2^63. */
uint32_t eimp_ward(int32_t distance, uint32_t count, uint32_t other) {
    const uint32_t n = eimp_capped(count), m = eimp_capped(other);
    if (distance < 0) return 0;
    const uint64_t cost = (uint64_t)eimp_wide(distance, (int32_t)n) * m / (n + m);
    return cost < EIMP_COST_MAX ? (uint32_t)cost : EIMP_COST_MAX - 1u;
}

int32_t eimp_dot(const int8_t *row, const int8_t *vector, uint32_t dim) {
    int32_t out;
    eimp_dots(row, (dim + 3u) & ~(size_t)3u, 1, vector, dim, &out);
    return out;
}

/* rint(|x| * 32767 / largest), ties to even: |x| * 32767 <= 32768 * 32767 < 2^30. */
static int32_t scaled(int32_t x, uint32_t largest) {
    const uint32_t wide = (uint32_t)(x < 0 ? -x : x) * 32767u;
    uint32_t quotient = wide / largest;
    const uint32_t twice = 2u * (wide - quotient * largest);
    quotient += twice > largest || (twice == largest && (quotient & 1u));
    return x < 0 ? -(int32_t)quotient : (int32_t)quotient;
}

int eimp_quantise(eimp_head *head, const int16_t *embedding, uint64_t *length2) {
    uint32_t largest = 0;
    for (uint32_t i = 0; i < head->dim; i++) {
        const uint32_t size = (uint32_t)(embedding[i] < 0 ? -(int32_t)embedding[i] : embedding[i]);
        if (size > largest) largest = size;
    }
    if (!largest) return EIMP_E_VALUE_RANGE;
    uint64_t sum = 0; /* <= 4096 * 32767^2 < 2^42 */
    for (uint32_t i = 0; i < head->dim; i++) {
        const int32_t e = largest == 32767u ? embedding[i] : scaled(embedding[i], largest);
        sum += (uint32_t)(e * e);
        head->high[i] = (int8_t)(e >> 8);
        head->low[i] = (int8_t)(e & 255);
        /* 32767 * 32513 + 2^22 < 2^31 */
        head->query[i] = (int8_t)((e * 32513 + (1 << 22)) >> 23);
    }
    *length2 = sum;
    return EIMP_OK;
}

void eimp_shot(eimp_head *head, uint64_t length2, eimp_point *point) {
    /* The length is at least 32767 * 2^8, so the factor is below 2^30 and the product below 2^45. */
    const int32_t factor = (int32_t)(((uint64_t)1 << 52) / eimp_isqrt(length2 << 16));
    for (uint32_t i = 0; i < head->dim; i++) {
        const int32_t e = head->high[i] * 256 + (uint8_t)head->low[i];
        const int32_t value = (int32_t)((eimp_wide(e, factor) + (1 << 29)) >> 30);
        const int32_t high = (value + 128) >> 8;
        head->high[i] = (int8_t)high;
        head->low[i] = (int8_t)(value - 256 * high);
    }
    point->high = head->high;
    point->low = head->low;
    point->query = head->query;
    point->weight = 1;
    point->query_scale = (int32_t)eimp_isqrt((uint64_t)(uint32_t)eimp_dot(head->query, head->query, head->dim) << 16);
    point->square = EIMP_ONE;
    point->shift = 0;
}

void eimp_point_of(const eimp_head *head, uint32_t slot, eimp_point *point) {
    const eimp_slot *meta = eimp_meta(head, slot);
    point->high = point->query = eimp_row(head, slot);
    point->low = point->high + head->dim;
    point->weight = meta->count;
    point->query_scale = (int32_t)1 << (14 + meta->shift);
    point->square = meta->square;
    point->shift = meta->shift;
}

void eimp_set_square(eimp_slot *meta, uint64_t sum) {
    sum >>= 2u * meta->shift + 8u;
    meta->square = sum < ((uint64_t)1 << 28) ? (int32_t)sum : (int32_t)1 << 28;
}

/* Row and point brought to one scale, and the point's share: |value| <= 32639 * 2^14 < 2^29, times 2 * 2^16 < 2^47. */
typedef struct mixture {
    const int8_t *high, *low;
    const eimp_point *point;
    int32_t row_factor, point_factor, twice_weight, total;
} mixture;

static int32_t mixed(const mixture *m, uint32_t i) {
    const int32_t value = (m->high[i] * 256 + m->low[i]) * m->row_factor;
    const int32_t other = (m->point->high[i] * 256 + m->point->low[i]) * m->point_factor;
    return value + (int32_t)eimp_floor_div(eimp_wide(m->twice_weight, other - value) + m->total, 2 * m->total);
}

/* Move a slot's row, which stands for `count` shots, by a point: v + w (p - v) / (n + w), to nearest; 0 replaces it. */
void eimp_mix(eimp_head *head, uint32_t slot, const eimp_point *point, uint32_t count) {
    eimp_slot *meta = eimp_meta(head, slot);
    int8_t *high = eimp_row(head, slot), *low = high + head->dim;
    const uint32_t weight = eimp_capped(point->weight);
    uint32_t shift = count ? meta->shift : point->shift;
    const uint32_t finest = shift > point->shift ? shift : point->shift;
    const mixture m = {high, low, point, count ? (int32_t)1 << (finest - shift) : 0, (int32_t)1 << (finest - point->shift),
                       2 * (int32_t)weight, (int32_t)(eimp_capped(count) + weight)};
    int32_t largest = 0;
    for (uint32_t i = 0; i < head->dim; i++) {
        const int32_t value = mixed(&m, i);
        if (value > largest) largest = value;
        if (-value > largest) largest = -value;
    }
    uint32_t down = 0, up = 0;
    for (; largest > EIMP_ROW_MAX; largest = (largest + 1) >> 1) down++;
    shift = finest - down;
    for (; largest && 2 * largest <= EIMP_ROW_MAX && shift < EIMP_SHIFT_MAX; largest *= 2, shift++) up++;
    /* Halving upwards `down` times is one division that rounds up. */
    const int32_t below = ((int32_t)1 << down) - 1;
    uint64_t square = 0; /* <= 4096 * 32639^2 < 2^42 */
    for (uint32_t i = 0; i < head->dim; i++) {
        const int32_t value = ((mixed(&m, i) + below) >> down) * ((int32_t)1 << up);
        square += (uint32_t)(value * value);
        high[i] = (int8_t)((value + 128) >> 8);
        low[i] = (int8_t)(value - 256 * high[i]);
    }
    meta->count = point->weight > 0xFFFFFFFFu - count ? 0xFFFFFFFFu : count + point->weight;
    meta->shift = (uint8_t)shift;
    eimp_set_square(meta, square);
}
