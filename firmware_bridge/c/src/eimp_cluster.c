/* Streaming k-means of one class: where a shot goes, when two centres become one, who gives room in a full arena.
 *
 * All costs are increases of the sum of squared distances (Ward 1963) in units of 2^-20. Squared lengths are at most 2^21,
 * so squared distances stay below 2^24 and everything that is not said to be wide fits 32 bits. */
#include "eimp_internal.h"
#include "eimp_kernels.h"

/* Squared distance of two slots; rounding may leave it a little below 0. */
static int32_t apart(const eimp_head *head, uint32_t a, uint32_t b) {
    const eimp_slot *one = eimp_meta(head, a), *two = eimp_meta(head, b);
    const int32_t dot = eimp_dot(eimp_row(head, a), eimp_row(head, b), head->dim);
    /* (dot << 8) >> (shift + shift), whose two factors of 2^(shift) are in the dot product. */
    const int32_t down = one->shift + two->shift - 8;
    const int32_t inner = down >= 0 ? dot >> down : dot * ((int32_t)1 << -down);
    return one->square + two->square - 2 * inner;
}

/* Scatter of a class's shots, freed of what few shots take from it: s n / (n - 1) = s + s / (n - 1). */
static int32_t scatter_of(const eimp_slot *mean) {
    const int32_t spread = mean->square < EIMP_ONE ? EIMP_ONE - mean->square : 0;
    const int32_t others = (int32_t)eimp_capped(mean->count) - 1;
    return others ? spread + spread / others : spread;
}

static int32_t noise_of(const eimp_slot *mean) { return scatter_of(mean) / (int32_t)eimp_capped(mean->count); }

/* Does a class's scatter ask for more than its mean? tr(S_W) against a quarter of the squared gap to the nearest class,
 * both freed of what few shots add to them. A class that is alone has the gap 1/2. */
static int is_messy(const eimp_head *head, uint32_t index) {
    const eimp_slot *own = eimp_meta(head, index);
    const int32_t wanted = 4 * scatter_of(own), noisy = wanted + noise_of(own);
    if (wanted > EIMP_ONE / 2) return 1;
    for (uint32_t other = eimp_n_classes(head); other--;)
        if (other != index && noisy > apart(head, other, index) - noise_of(eimp_meta(head, other))) return 1;
    return 0;
}

/* The nearest of the gathered centres; the lowest slot wins a tie. */
static uint32_t nearest(const eimp_head *head, uint32_t found, const eimp_point *point, uint32_t *cost) {
    int64_t least = INT64_MAX;
    uint32_t best = 0;
    for (uint32_t i = 0; i < found; i++) {
        const uint32_t slot = head->centres[i];
        const eimp_slot *meta = eimp_meta(head, slot);
        const int32_t dot = eimp_dot(eimp_row(head, slot), point->query, head->dim);
        const int64_t from = eimp_wide(meta->square, point->query_scale) - eimp_wide(dot, (int32_t)1 << (23 - meta->shift));
        if (from < least) {
            least = from;
            best = slot;
        }
    }
    *cost = eimp_ward(point->square + (int32_t)eimp_floor_div(least, point->query_scale), eimp_meta(head, best)->count,
                 point->weight);
    return best;
}

/* The cheapest pair of the gathered centres and the best one so far; lowest slots win a tie. */
static void closest_pair(const eimp_head *head, uint32_t found, eimp_pair *best) {
    for (uint32_t i = 0; i < found; i++)
        for (uint32_t j = i + 1; j < found; j++) {
            const uint32_t a = head->centres[i], b = head->centres[j];
            const uint32_t cost = eimp_ward(apart(head, a, b), eimp_meta(head, a)->count, eimp_meta(head, b)->count);
            if (cost < best->cost || (cost == best->cost && (int32_t)a < best->first))
                *best = (eimp_pair){cost, (int32_t)a, (int32_t)b};
        }
}

/* Make one class with more than `keep` centres give a slot, whose content is the caller's to replace: the class whose
 * cheapest merge costs least. A class with one centre falls back to its mean. */
static uint32_t free_slot(eimp_head *head, uint32_t keep) {
    eimp_pair best = {EIMP_COST_MAX, INT32_MAX, -1};
    eimp_list_centres(head, 0);
    for (uint32_t index = 0; index < eimp_n_classes(head); index++) {
        const uint32_t found = eimp_take_listed(head, index);
        if (found <= keep) continue;
        const int32_t lowest = (int32_t)head->centres[0];
        if (found > 1) closest_pair(head, found, &best);
        else if (best.first >= 0 || lowest < best.second) best = (eimp_pair){0, -1, lowest};
    }
    if (best.first >= 0) eimp_join(head, (uint32_t)best.first, (uint32_t)best.second);
    return (uint32_t)best.second;
}

/* A slot for a centre more: behind the others, or of a class that has more than its share. */
static uint32_t centre_slot(eimp_head *head, uint32_t share) {
    return eimp_has_room(head, 1, 0) ? eimp_words_of(head)->n_slots++ : free_slot(head, share);
}

void eimp_place(eimp_head *head, uint32_t index, const eimp_point *point) {
    const uint32_t found = eimp_gather(head, index), classes = eimp_n_classes(head);
    const uint32_t share = eimp_least(head->max_centres, eimp_slots_for(&head->layout, classes) / classes - 1);
    const int32_t spread = EIMP_ONE - eimp_meta(head, index)->square;
    eimp_record *record = eimp_record_at(head, index);
    uint32_t cost = EIMP_COST_MAX, slot = 0;
    if (found) slot = nearest(head, found, point, &cost);
    /* 16 cost > spread */
    if (found < share && (spread < 0 || cost > (uint32_t)spread / 16) && is_messy(head, index)) {
        slot = centre_slot(head, share);
    } else {
        if (!found) return;
        eimp_pair pair = {EIMP_COST_MAX, 0, 0};
        /* Costs grow with the counts: the last pair's is a floor that saves looking at all pairs for every shot. */
        if (cost > record->pair_cost) {
            closest_pair(head, found, &pair);
            record->pair_cost = pair.cost;
        }
        if (cost <= pair.cost) {
            eimp_blend(head, slot, point);
            return;
        }
        eimp_join(head, (uint32_t)pair.first, (uint32_t)pair.second);
        slot = (uint32_t)pair.second;
    }
    eimp_write(head, slot, index, point);
    record->pair_cost = 0;
}

/* Add a class with its mean; the others give room if they must. */
uint32_t eimp_open_class(eimp_head *head, const eimp_label *label, const eimp_point *point) {
    while (!eimp_has_room(head, 1, 1)) eimp_give_back(head, free_slot(head, 0));
    return eimp_open_record(head, label, point);
}
