/* Streaming k-means of one class: where a shot goes, when two centres become one, who gives room in a full arena.
 *
 * All costs are increases of the sum of squared distances (Ward 1963) in units of 2^-20. */
#include "eimp_internal.h"
#include "eimp_kernels.h"

static int64_t scatter_of(const eimp_slot *meta, int64_t shots) {
    const int64_t square = meta->square, spread = square < EIMP_ONE ? EIMP_ONE - square : 0;
    return eimp_floor_div(spread * shots, shots > 1 ? shots - 1 : 1);
}

/* Does a class's scatter ask for more than its mean? tr(S_W) against a quarter of the squared gap to the nearest class,
 * both freed of what few shots add to them. */
static int is_messy(const eimp_head *head, uint32_t index) {
    const uint32_t classes = eimp_n_classes(head);
    const eimp_slot *own = eimp_meta(head, index);
    const int64_t own_shots = eimp_capped(own->count), own_scatter = scatter_of(own, own_shots);
    const int64_t own_noise = own_scatter / own_shots;
    int32_t dots[EIMP_BLOCK];
    if (4 * own_scatter > EIMP_ONE / 2) return 1; /* a class that is alone has the gap 1/2 */
    for (uint32_t first = 0; first < classes; first += EIMP_BLOCK) {
        const uint32_t count = eimp_least(EIMP_BLOCK, classes - first);
        eimp_dots(eimp_row(head, first), head->layout.slot_bytes, count, eimp_row(head, index), head->dim, dots);
        for (uint32_t i = 0; i < count; i++) {
            if (first + i == index) continue;
            const eimp_slot *meta = eimp_meta(head, first + i);
            const int64_t shots = eimp_capped(meta->count);
            const int64_t inner = (int64_t)dots[i] * 256 >> (meta->shift + own->shift);
            const int64_t gap =
                (int64_t)meta->square + own->square - 2 * inner - scatter_of(meta, shots) / shots - own_noise;
            if (4 * own_scatter > gap) return 1;
        }
    }
    return 0;
}

/* Cost of joining two groups whose centres are so far apart (squared), below EIMP_COST_MAX: distance < 2^30, counts at
 * most 2^16. */
static int64_t ward(int64_t distance, uint32_t count, uint32_t other) {
    const int64_t n = eimp_capped(count), m = eimp_capped(other), cost = distance * (n * m) / (n + m);
    return cost < EIMP_COST_MAX ? cost : EIMP_COST_MAX - 1;
}

/* The nearest of the gathered centres; the lowest slot wins a tie. */
static uint32_t nearest(const eimp_head *head, uint32_t found, const eimp_point *point, int64_t *cost) {
    int64_t least = INT64_MAX;
    uint32_t best = 0;
    for (uint32_t i = 0; i < found; i++) {
        const uint32_t slot = head->centres[i];
        const eimp_slot *meta = eimp_meta(head, slot);
        const int64_t dot = eimp_dot(eimp_row(head, slot), point->query, head->dim);
        const int64_t apart = meta->square * point->query_scale - dot * ((int64_t)1 << (23 - meta->shift));
        if (apart < least) {
            least = apart;
            best = slot;
        }
    }
    const int64_t distance = point->square + eimp_floor_div(least, point->query_scale);
    *cost = ward(distance > 0 ? distance : 0, eimp_meta(head, best)->count, point->weight);
    return best;
}

static int64_t pair_cost(const eimp_head *head, uint32_t a, uint32_t b) {
    const eimp_slot *one = eimp_meta(head, a), *two = eimp_meta(head, b);
    const int64_t dot = eimp_dot(eimp_row(head, a), eimp_row(head, b), head->dim);
    const int64_t inner = dot * 256 >> (one->shift + two->shift);
    const int64_t apart = (int64_t)one->square + two->square - 2 * inner;
    return ward(apart > 0 ? apart : 0, one->count, two->count);
}

/* The cheapest pair of the gathered centres; lowest slots win a tie. */
static eimp_pair closest_pair(const eimp_head *head, uint32_t found) {
    eimp_pair best = {EIMP_COST_MAX, -1, -1};
    for (uint32_t i = 0; i < found; i++)
        for (uint32_t j = i + 1; j < found; j++) {
            const int64_t cost = pair_cost(head, head->centres[i], head->centres[j]);
            if (cost < best.cost) best = (eimp_pair){cost, head->centres[i], head->centres[j]};
        }
    return best;
}

static void blend_slots(eimp_head *head, int64_t target, int64_t source) {
    eimp_point point;
    eimp_point_of(head, (uint32_t)source, &point);
    eimp_blend(head, (uint32_t)target, &point);
}

/* Make one class with more than `keep` centres give a slot, whose content is the caller's to replace: the class whose
 * cheapest merge costs least. A class with one centre falls back to its mean. */
static uint32_t free_slot(eimp_head *head, uint32_t keep) {
    eimp_pair best = {(int64_t)EIMP_COST_MAX + 1, -1, -1};
    for (uint32_t index = 0; index < eimp_n_classes(head); index++) {
        const uint32_t found = eimp_gather(head, index);
        if (found <= keep) continue;
        const eimp_pair pair = found > 1 ? closest_pair(head, found) : (eimp_pair){0, -1, head->centres[0]};
        if (pair.cost < best.cost ||
            (pair.cost == best.cost &&
             (pair.first < best.first || (pair.first == best.first && pair.second < best.second))))
            best = pair;
    }
    if (best.first >= 0) blend_slots(head, best.first, best.second);
    return (uint32_t)best.second;
}

static void set_pair_cost(eimp_head *head, uint32_t index, uint32_t cost) {
    eimp_record record;
    eimp_get_record(head, index, &record);
    record.pair_cost = cost;
    eimp_put_record(head, index, &record);
}

static void open_centre(eimp_head *head, uint32_t index, const eimp_point *point, uint32_t share) {
    uint32_t slot;
    if (eimp_has_room(head, 1, 0)) {
        slot = eimp_n_slots(head);
        eimp_write(head, slot, index, point);
        eimp_words_of(head)->n_slots = slot + 1;
    } else {
        slot = free_slot(head, share);
        eimp_write(head, slot, index, point);
    }
    set_pair_cost(head, index, 0);
}

void eimp_place(eimp_head *head, uint32_t index, const eimp_point *point) {
    const uint32_t found = eimp_gather(head, index), classes = eimp_n_classes(head);
    const uint32_t share = eimp_least(head->max_centres, eimp_slots_for(&head->layout, classes) / classes - 1);
    int64_t cost = EIMP_COST_MAX;
    const uint32_t slot = found ? nearest(head, found, point, &cost) : 0;
    if (found < share && 16 * cost > EIMP_ONE - eimp_meta(head, index)->square && is_messy(head, index)) {
        open_centre(head, index, point, share);
        return;
    }
    if (!found) return;
    /* Costs grow with the counts: the last pair's is a floor that saves looking at all pairs for every shot. */
    eimp_record record;
    eimp_get_record(head, index, &record);
    if (cost > record.pair_cost) {
        const eimp_pair pair = closest_pair(head, found);
        if (cost > pair.cost) {
            blend_slots(head, pair.first, pair.second);
            eimp_write(head, (uint32_t)pair.second, index, point);
            set_pair_cost(head, index, 0);
            return;
        }
        set_pair_cost(head, index, (uint32_t)pair.cost);
    }
    eimp_blend(head, slot, point);
}

/* Add a class with its mean; the others give room if they must. */
uint32_t eimp_open_class(eimp_head *head, const eimp_label *label, const eimp_point *point) {
    while (!eimp_has_room(head, 1, 1)) eimp_give_back(head, free_slot(head, 0));
    return eimp_open_record(head, label, point);
}
