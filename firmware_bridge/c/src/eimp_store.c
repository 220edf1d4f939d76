#include "eimp_store_flash.h"

int eimp_store_mount(eimp_store *store, const eimp_store_config *config) {
    if (store == NULL || eimp_store_capacity(config) == 0 || config->read == NULL || config->program == NULL ||
        config->erase == NULL) {
        return EIMP_E_ARGUMENT;
    }
    store->config = config;
    store->erases[0] = 0;
    store->erases[1] = 0;
    store->sequence = 0;
    store->size = 0;
    store->current = EIMP_STORE_SLOTS;
    store->pending = 0;
    return eimp_flash_scan(store);
}

uint32_t eimp_store_current_size(const eimp_store *store) {
    return store->size;
}

static int read_payload(const eimp_store *store, uint32_t slot, uint32_t size, uint32_t offset, void *buffer,
                        uint32_t count) {
    if (offset > size || count > size - offset) {
        return EIMP_E_ARGUMENT;
    }
    return eimp_flash_read(store->config, eimp_flash_payload_at(store->config, slot) + offset, buffer, count);
}

int eimp_store_read(void *store, uint32_t offset, void *buffer, uint32_t count) {
    const eimp_store *self = (const eimp_store *)store;

    if (self->current == EIMP_STORE_SLOTS) {
        return EIMP_E_STATE;
    }
    return read_payload(self, self->current, self->size, offset, buffer, count);
}

int eimp_store_begin(eimp_store *store, uint32_t size) {
    const eimp_store_config *config = store->config;
    eimp_flash_record header;
    uint32_t i;
    int status;

    if (size == 0) {
        return EIMP_E_ARGUMENT;
    }
    if (size > eimp_store_capacity(config)) {
        return EIMP_E_CAPACITY;
    }
    store->pending = 0;
    status = eimp_flash_scan(store);
    if (status == EIMP_OK) {
        status = eimp_flash_announce_erase(store);
    }
    if (status != EIMP_OK) {
        return status;
    }
    for (i = 0; i < config->sectors_per_slot; i++) {
        if (config->erase(config->context,
                          eimp_flash_header_at(config, store->target) + i * config->sector_bytes) != EIMP_OK) {
            return EIMP_E_STORAGE;
        }
    }
    if (store->erases[store->target] < UINT32_MAX) {
        store->erases[store->target]++;
    }
    header.field[0] = eimp_flash_slot_bytes(config);
    header.field[1] = store->erases[store->target];
    header.field[2] = store->erases[1u - store->target];
    status = eimp_flash_write_record(store, eimp_flash_header_at(config, store->target), EIMP_FLASH_HEADER, &header);
    if (status != EIMP_OK) {
        return status;
    }
    store->pending = 1;
    store->pending_size = size;
    store->pending_crc = 0;
    store->received = 0;
    return EIMP_OK;
}

int eimp_store_append(eimp_store *store, const void *data, uint32_t count) {
    const uint8_t *from = (const uint8_t *)data;
    uint8_t *buffer = (uint8_t *)store->buffer;
    uint32_t begin = eimp_flash_payload_at(store->config, store->target);
    uint32_t line; /* where in flash the buffer's first byte goes */
    uint32_t filled;
    uint32_t end;
    uint32_t i;

    if (!store->pending) {
        return EIMP_E_STATE;
    }
    if (count > store->pending_size - store->received) {
        return EIMP_E_ARGUMENT;
    }
    store->pending_crc = eimp_crc32(store->pending_crc, data, count);
    for (i = 0; i < count; i++) {
        /* The buffer ends at a multiple of 64 in flash. A slot begins at one, its payload at one or 32 behind it. */
        line = (begin + store->received) & ~(EIMP_STORE_BUFFER_BYTES - 1u);
        end = line + EIMP_STORE_BUFFER_BYTES;
        if (line < begin) {
            line = begin;
        }
        filled = begin + store->received - line;
        buffer[filled++] = from[i];
        store->received++;
        if (line + filled == end || store->received == store->pending_size) {
            end = eimp_flash_whole_units(store->config, filled);
            while (filled < end) {
                buffer[filled++] = store->config->erase_value;
            }
            if (eimp_flash_program(store, line, end) != EIMP_OK) {
                store->pending = 0;
                return EIMP_E_STORAGE;
            }
        }
    }
    return EIMP_OK;
}

uint32_t eimp_store_received(const eimp_store *store) {
    return store->pending ? store->received : 0;
}

uint32_t eimp_store_pending_size(const eimp_store *store) {
    return store->pending ? store->pending_size : 0;
}

static int is_complete(const eimp_store *store) {
    return store->pending && store->received == store->pending_size;
}

int eimp_store_pending_read(void *store, uint32_t offset, void *buffer, uint32_t count) {
    const eimp_store *self = (const eimp_store *)store;

    return is_complete(self) ? read_payload(self, self->target, self->pending_size, offset, buffer, count)
                             : EIMP_E_STATE;
}

/* Program the record and read all three parts back: from here on a mount finds the new snapshot. */
static int write_commit(eimp_store *store) {
    const eimp_store_config *config = store->config;
    uint32_t header_at = eimp_flash_header_at(config, store->target);
    uint32_t commit_at = eimp_flash_commit_at(config, store->target);
    eimp_flash_record record;
    eimp_flash_record commit;
    int status;

    commit.field[0] = store->sequence + 1u;
    commit.field[1] = store->pending_size;
    commit.field[2] = store->pending_crc;
    status = eimp_flash_read_record(store, header_at, EIMP_FLASH_HEADER, &record);
    if (status == EIMP_OK) {
        status = eimp_flash_check_payload(store, store->target, store->pending_size, store->pending_crc);
    }
    if (status == EIMP_OK) {
        status = eimp_flash_write_record(store, commit_at, EIMP_FLASH_COMMIT, &commit);
    }
    if (status == EIMP_OK) {
        status = eimp_flash_read_record(store, commit_at, EIMP_FLASH_COMMIT, &record);
    }
    return status == EIMP_OK ? EIMP_OK : EIMP_E_STORAGE;
}

int eimp_store_commit(eimp_store *store, uint32_t crc32) {
    int status;

    if (!is_complete(store)) {
        return EIMP_E_STATE;
    }
    if (crc32 != store->pending_crc) {
        return EIMP_E_CORRUPT;
    }
    store->pending = 0;
    status = write_commit(store);
    if (status == EIMP_OK) {
        store->current = store->target;
        store->size = store->pending_size;
        store->sequence++;
    }
    return status;
}

uint32_t eimp_store_erases(const eimp_store *store, uint32_t slot) {
    return slot < EIMP_STORE_SLOTS ? store->erases[slot] : 0;
}
