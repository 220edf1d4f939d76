#include "eimp_store_flash.h"

/* How many erases each wear record announces, in the order of use: exact while a snapshot is replaced within four
 * attempts, and 344 attempts in all before none is left. */
static const uint16_t announced[EIMP_FLASH_WEAR_RECORDS] = {1, 1, 1, 1, 4, 16, 64, 256};

/* What one slot says about itself. */
typedef struct slot_view {
    eimp_flash_record header;
    eimp_flash_record commit;
    uint8_t has_header;
    uint8_t has_commit; /* never without a header */
} slot_view;

static uint32_t add_saturated(uint32_t a, uint32_t b) {
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static int view_slot(eimp_store *store, uint32_t slot, slot_view *view) {
    const eimp_store_config *config = store->config;
    int status = eimp_flash_read_record(store, eimp_flash_header_at(config, slot), EIMP_FLASH_HEADER, &view->header);

    view->has_header = 0;
    view->has_commit = 0;
    if (status == EIMP_OK && view->header.field[0] == eimp_flash_slot_bytes(config)) {
        view->has_header = 1;
        status = eimp_flash_read_record(store, eimp_flash_commit_at(config, slot), EIMP_FLASH_COMMIT, &view->commit);
        if (status == EIMP_OK && view->commit.field[1] > 0 && view->commit.field[1] <= eimp_store_capacity(config)) {
            view->has_commit = 1;
        }
    }
    return status == EIMP_E_STORAGE ? status : EIMP_OK;
}

/* Highest count that the wear records of `slot` allow its neighbour, and the first record that is still erased. */
static int read_wear(eimp_store *store, uint32_t slot, uint32_t *allowed, uint32_t *free_index) {
    eimp_flash_record record;
    uint32_t offset;
    uint32_t i;
    int status;

    *allowed = 0;
    for (i = 0; i < EIMP_FLASH_WEAR_RECORDS; i++) {
        offset = eimp_flash_wear_at(store->config, slot, i);
        status = eimp_flash_check_blank(store, offset);
        if (status == EIMP_OK) {
            break;
        }
        if (status == EIMP_E_CORRUPT) {
            status = eimp_flash_read_record(store, offset, EIMP_FLASH_WEAR, &record);
        }
        if (status == EIMP_E_STORAGE) {
            return status;
        }
        if (status == EIMP_OK && record.field[0] > *allowed) {
            *allowed = record.field[0];
        }
    }
    *free_index = i;
    return EIMP_OK;
}

/* A slot's own header is right. Where it is gone, the neighbour's header tells the count of when it was written itself.
 * Every erase since then was announced if the neighbour held a snapshot; if not, there was most likely one. */
static int count_erases(eimp_store *store, const slot_view *views, uint32_t slot, uint32_t *erases) {
    uint32_t other = 1u - slot;
    uint32_t allowed;
    uint32_t free_index;
    int status;

    *erases = 0;
    if (views[slot].has_header) {
        *erases = views[slot].header.field[1];
    } else if (views[other].has_header) {
        status = read_wear(store, other, &allowed, &free_index);
        if (status != EIMP_OK) {
            return status;
        }
        *erases = add_saturated(views[other].header.field[2], views[other].has_commit ? 0u : 1u);
        if (allowed > *erases) {
            *erases = allowed;
        }
    }
    return EIMP_OK;
}

/* Sequence numbers wrap: the newer of two is less than half the circle ahead. */
static uint32_t newer_slot(const slot_view *views) {
    if (!views[0].has_commit || !views[1].has_commit) {
        return views[1].has_commit ? 1u : 0u;
    }
    return views[1].commit.field[0] - views[0].commit.field[0] - 1u < 0x7FFFFFFFu ? 1u : 0u;
}

int eimp_flash_scan(eimp_store *store) {
    slot_view views[EIMP_STORE_SLOTS];
    uint32_t erases[EIMP_STORE_SLOTS];
    uint32_t slot;
    uint32_t i;
    int status;

    for (i = 0; i < EIMP_STORE_SLOTS; i++) {
        status = view_slot(store, i, &views[i]);
        if (status != EIMP_OK) {
            return status;
        }
    }
    for (i = 0; i < EIMP_STORE_SLOTS; i++) {
        status = count_erases(store, views, i, &erases[i]);
        if (status != EIMP_OK) {
            return status;
        }
    }
    slot = newer_slot(views);
    for (i = 0; i < EIMP_STORE_SLOTS; i++, slot = 1u - slot) {
        status = EIMP_E_CORRUPT;
        if (views[slot].has_commit) {
            status = eimp_flash_check_payload(store, slot, views[slot].commit.field[1], views[slot].commit.field[2]);
        }
        if (status != EIMP_E_CORRUPT) {
            break;
        }
    }
    if (status == EIMP_E_STORAGE) {
        return status;
    }
    store->erases[0] = erases[0];
    store->erases[1] = erases[1];
    if (status == EIMP_OK) {
        store->current = (uint8_t)slot;
        store->sequence = views[slot].commit.field[0];
        store->size = views[slot].commit.field[1];
    } else {
        store->current = EIMP_STORE_SLOTS;
        store->sequence = 0;
        store->size = 0;
    }
    /* Without a snapshot the slot whose counter is gone is written first: its neighbour still counts for it. */
    if (status == EIMP_OK) {
        store->target = (uint8_t)(1u - slot);
    } else if (views[0].has_header != views[1].has_header) {
        store->target = views[0].has_header;
    } else {
        store->target = erases[1] < erases[0];
    }
    return EIMP_OK;
}

int eimp_flash_announce_erase(eimp_store *store) {
    eimp_flash_record record = {{0, 0, 0}};
    uint32_t slot = store->target;
    uint32_t allowed;
    uint32_t index;
    int status;

    if (store->current == EIMP_STORE_SLOTS) {
        return EIMP_OK;
    }
    status = read_wear(store, store->current, &allowed, &index);
    if (status != EIMP_OK || index == EIMP_FLASH_WEAR_RECORDS || store->erases[slot] < allowed) {
        return status;
    }
    record.field[0] = add_saturated(store->erases[slot], announced[index]);
    return eimp_flash_write_record(store, eimp_flash_wear_at(store->config, store->current, index), EIMP_FLASH_WEAR,
                                   &record);
}
