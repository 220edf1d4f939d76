/* A head with a second moment: how its budget is divided, and its arena. */
#include "eimp_ridge.h"

#include <string.h>

#include "eimp_ridge_internal.h"
#include "eimp_snapshot_internal.h"

/* How a budget is divided. `proxies` is the config of the head inside, with room for what heads with and without undo
 * have, as snapshots of both can be loaded. */
typedef struct division {
    eimp_config proxies;
    eimp_layout layout;
    uint32_t row_bytes, max_rows, max_classes, moment_bytes;
    size_t end;
} division;

static size_t rounded_up(size_t bytes) { return (bytes + 7u) & ~(size_t)7u; }

static uint32_t row_bytes(uint32_t dim) { return (dim + EIMP_RIDGE_META_BYTES + 3u) / 4u * 4u; }

static uint32_t fixed_bytes(uint32_t dim) {
    return 2u * eimp_packed_bytes(dim) + 4u * EIMP_RIDGE_AT_ONCE * dim + (2u * dim + 3u) / 4u * 4u + EIMP_RIDGE_STATE_BYTES +
           row_bytes(dim);
}

int eimp_ridge_layout_for(uint32_t dim, uint32_t budget, uint8_t undo, eimp_layout *layout) {
    eimp_layout most;
    const int status = eimp_layout_for(dim, EIMP_MAX_BUDGET, EIMP_UNDO_YES, &most);
    if (status != EIMP_OK) return status;
    if (!budget || budget > EIMP_MAX_BUDGET) return EIMP_E_BUDGET;
    const uint32_t fixed = fixed_bytes(dim), row = row_bytes(dim), slot = most.slot_bytes, whole = budget / 4u * 4u;
    if (undo == EIMP_UNDO_AUTO)
        undo = budget >= fixed && most.journal_bytes <= (budget - fixed) / 4u ? EIMP_UNDO_YES : EIMP_UNDO_NO;
    const uint32_t before = EIMP_HEADER_BYTES + (undo == EIMP_UNDO_YES ? most.journal_bytes : 0u);
    if (whole < fixed + before) return EIMP_E_BUDGET;
    const uint32_t free = whole - fixed - before, slots = free / (slot + row);
    const uint32_t pool = eimp_least(free - slots * row, (slots + 1u) * slot - 4u);
    if (pool < slot + EIMP_RECORD_BYTES) return EIMP_E_BUDGET;
    (void)eimp_layout_for(dim, before + pool, undo, layout);
    layout->budget = budget;
    return EIMP_OK;
}

static int divide(const eimp_config *config, division *d) {
    eimp_layout other;
    if (config->undo > EIMP_UNDO_AUTO) return EIMP_E_VALUE_RANGE;
    const int status = eimp_ridge_layout_for(config->dim, config->budget, config->undo, &d->layout);
    if (status != EIMP_OK) return status;
    d->proxies = *config;
    d->proxies.budget = d->max_rows = d->max_classes = 0;
    for (uint8_t undo = EIMP_UNDO_NO; undo <= EIMP_UNDO_YES; undo++) {
        if (eimp_ridge_layout_for(config->dim, config->budget, undo, &other) != EIMP_OK) continue;
        const uint32_t budget = EIMP_HEADER_BYTES + other.journal_bytes + other.pool_bytes;
        const uint32_t rows = other.pool_bytes / other.slot_bytes;
        if (budget > d->proxies.budget) d->proxies.budget = budget;
        if (rows > d->max_rows) d->max_rows = rows;
        if (other.max_classes > d->max_classes) d->max_classes = other.max_classes;
    }
    d->proxies.undo = EIMP_UNDO_NO;
    d->row_bytes = row_bytes(config->dim);
    d->moment_bytes = fixed_bytes(config->dim) + d->max_rows * d->row_bytes;
    const size_t inside = eimp_arena_size(&d->proxies);
    if (!inside) return EIMP_E_VALUE_RANGE;
    d->end = EIMP_RIDGE_BYTES + rounded_up(inside) + rounded_up(d->moment_bytes) + EIMP_MOMENT_SCRATCH_BYTES +
             sizeof(float) * config->dim;
    return EIMP_OK;
}

size_t eimp_ridge_arena_size(const eimp_config *config) {
    division d;
    return divide(config, &d) == EIMP_OK ? d.end : 0;
}

uint32_t eimp_ridge_snapshot_max_size(const eimp_config *config) {
    division d;
    if (divide(config, &d) != EIMP_OK) return 0;
    /* Where a proxy could be there may be an entry of the log, which is smaller; where a record is, too. */
    return eimp_snapshot_max_size(&d.proxies) + EIMP_KEPT * EIMP_SNAPSHOT_ENTRY_BYTES + EIMP_RIDGE_SAVED_BYTES +
           eimp_packed_bytes(config->dim) + d.max_classes * EIMP_RECORD_BYTES;
}

int eimp_ridge_init(void *arena, size_t bytes, const eimp_config *config, const int32_t *base, eimp_ridge **ridge) {
    division d;
    if (!arena || !config || !ridge || (uintptr_t)arena % 8u) return EIMP_E_ARGUMENT;
    int status = divide(config, &d);
    if (status != EIMP_OK) return status;
    if (bytes < d.end) return EIMP_E_CAPACITY;
    eimp_ridge *made = arena;
    const size_t inside = rounded_up(eimp_arena_size(&d.proxies));
    const uint32_t dim = config->dim;
    uint8_t *at = (uint8_t *)arena + EIMP_RIDGE_BYTES;
    memset(made, 0, sizeof *made);
    status = eimp_init(at, inside, &d.proxies, &made->head);
    if (status != EIMP_OK) return status;
    at += inside;
    made->state = (eimp_ridge_state *)(void *)at;
    made->last = (int8_t *)(made->state + 1);
    at += EIMP_RIDGE_STATE_BYTES + (2u * dim + 3u) / 4u * 4u;
    made->scatter = (int32_t *)(void *)at;
    made->factor = (float *)(void *)(at + eimp_packed_bytes(dim));
    made->sides = (float *)(void *)(at + 2u * eimp_packed_bytes(dim));
    made->rows = at + 2u * eimp_packed_bytes(dim) + 4u * EIMP_RIDGE_AT_ONCE * dim;
    made->scratch = (float *)(void *)((uint8_t *)made->state + rounded_up(d.moment_bytes));
    made->ground = made->scratch + EIMP_MOMENT_SCRATCH_BYTES / sizeof(float);
    made->base = base;
    made->row_bytes = d.row_bytes;
    made->max_rows = d.max_rows;
    made->moment_bytes = d.moment_bytes;
    eimp_head *const head = made->head;
    head->layout = d.layout;
    head->budget_room = config->budget;
    head->method = &eimp_ridge_method;
    head->moment_bytes = fixed_bytes(dim);
    head->beside_bytes = d.row_bytes;
    head->kept[0] = (eimp_kept){made->state, EIMP_RIDGE_SAVED_BYTES};
    head->kept[1] = (eimp_kept){made->scatter, eimp_packed_bytes(dim)};
    eimp_clear(head);
    eimp_ridge_clear(made);
    *ridge = made;
    return EIMP_OK;
}

eimp_head *eimp_ridge_head(eimp_ridge *ridge) { return ridge->head; }
