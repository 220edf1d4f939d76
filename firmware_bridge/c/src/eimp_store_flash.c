#include "eimp_store_flash.h"

static uint32_t record_space(const eimp_store_config *config) {
    return config->program_bytes > 32u ? 64u : 32u;
}

static void put_u32(uint8_t *bytes, uint32_t value) {
    bytes[0] = (uint8_t)(value & 0xFFu);
    bytes[1] = (uint8_t)((value >> 8) & 0xFFu);
    bytes[2] = (uint8_t)((value >> 16) & 0xFFu);
    bytes[3] = (uint8_t)(value >> 24);
}

static uint32_t get_u32(const uint8_t *bytes) {
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

uint32_t eimp_flash_slot_bytes(const eimp_store_config *config) {
    return config->sector_bytes * config->sectors_per_slot;
}

uint32_t eimp_flash_header_at(const eimp_store_config *config, uint32_t slot) {
    return slot * eimp_flash_slot_bytes(config);
}

uint32_t eimp_flash_payload_at(const eimp_store_config *config, uint32_t slot) {
    return eimp_flash_header_at(config, slot) + record_space(config);
}

uint32_t eimp_flash_commit_at(const eimp_store_config *config, uint32_t slot) {
    return eimp_flash_wear_at(config, slot, 0) - record_space(config);
}

uint32_t eimp_flash_wear_at(const eimp_store_config *config, uint32_t slot, uint32_t index) {
    return eimp_flash_header_at(config, slot + 1u) - (EIMP_FLASH_WEAR_RECORDS - index) * record_space(config);
}

uint32_t eimp_flash_whole_units(const eimp_store_config *config, uint32_t bytes) {
    uint32_t unit = config->program_bytes;

    return (bytes + unit - 1u) & ~(unit - 1u);
}

uint32_t eimp_store_capacity(const eimp_store_config *config) {
    uint32_t unit = config == NULL ? 0 : config->program_bytes;
    uint32_t records;

    if (unit == 0 || unit > EIMP_STORE_BUFFER_BYTES || (unit & (unit - 1u)) != 0) {
        return 0;
    }
    if (config->sector_bytes == 0 || config->sector_bytes % EIMP_STORE_BUFFER_BYTES != 0 ||
        config->sectors_per_slot == 0 || config->sectors_per_slot > (1u << 30) / config->sector_bytes) {
        return 0;
    }
    if (config->erase_value != 0xFFu && config->erase_value != 0x00u) {
        return 0;
    }
    records = (2u + EIMP_FLASH_WEAR_RECORDS) * record_space(config);
    return eimp_flash_slot_bytes(config) > records ? eimp_flash_slot_bytes(config) - records : 0;
}

int eimp_flash_read(const eimp_store_config *config, uint32_t offset, void *buffer, uint32_t count) {
    int status = config->read(config->context, offset, buffer, count);

    return status == EIMP_OK || status == EIMP_E_CORRUPT ? status : EIMP_E_STORAGE;
}

int eimp_flash_program(eimp_store *store, uint32_t offset, uint32_t count) {
    const eimp_store_config *config = store->config;

    return config->program(config->context, offset, store->buffer, count) == EIMP_OK ? EIMP_OK : EIMP_E_STORAGE;
}

/* Whether bytes `begin` to `end` - 1 of the buffer all have this value: EIMP_OK or EIMP_E_CORRUPT. */
static int check_filled(const eimp_store *store, uint32_t begin, uint32_t end, uint8_t value) {
    const uint8_t *bytes = (const uint8_t *)store->buffer;
    uint32_t i;

    for (i = begin; i < end; i++) {
        if (bytes[i] != value) {
            return EIMP_E_CORRUPT;
        }
    }
    return EIMP_OK;
}

int eimp_flash_read_record(eimp_store *store, uint32_t offset, uint32_t magic, eimp_flash_record *record) {
    uint8_t *bytes = (uint8_t *)store->buffer;
    int status = eimp_flash_read(store->config, offset, bytes, record_space(store->config));
    uint32_t i;

    if (status != EIMP_OK) {
        return status;
    }
    if (get_u32(bytes) != magic || get_u32(bytes + 16) != eimp_crc32(0, bytes, 16)) {
        return EIMP_E_CORRUPT;
    }
    for (i = 0; i < 3; i++) {
        record->field[i] = get_u32(bytes + 4u + 4u * i);
    }
    return check_filled(store, EIMP_FLASH_RECORD_BYTES, record_space(store->config), EIMP_FLASH_RECORD_FILL);
}

int eimp_flash_write_record(eimp_store *store, uint32_t offset, uint32_t magic, const eimp_flash_record *record) {
    uint8_t *bytes = (uint8_t *)store->buffer;
    uint32_t i;

    put_u32(bytes, magic);
    for (i = 0; i < 3; i++) {
        put_u32(bytes + 4u + 4u * i, record->field[i]);
    }
    put_u32(bytes + 16, eimp_crc32(0, bytes, 16));
    for (i = EIMP_FLASH_RECORD_BYTES; i < record_space(store->config); i++) {
        bytes[i] = EIMP_FLASH_RECORD_FILL;
    }
    return eimp_flash_program(store, offset, record_space(store->config));
}

int eimp_flash_check_blank(eimp_store *store, uint32_t offset) {
    uint32_t count = record_space(store->config);
    int status = eimp_flash_read(store->config, offset, store->buffer, count);

    return status == EIMP_OK ? check_filled(store, 0, count, store->config->erase_value) : status;
}

int eimp_flash_check_payload(eimp_store *store, uint32_t slot, uint32_t size, uint32_t crc32) {
    uint32_t begin = eimp_flash_payload_at(store->config, slot);
    uint32_t crc = 0;
    uint32_t done = 0;
    uint32_t count;
    uint32_t whole;
    int status;

    while (done < size) {
        count = size - done < EIMP_STORE_BUFFER_BYTES ? size - done : EIMP_STORE_BUFFER_BYTES;
        whole = eimp_flash_whole_units(store->config, count);
        status = eimp_flash_read(store->config, begin + done, store->buffer, whole);
        if (status == EIMP_OK) {
            status = check_filled(store, count, whole, store->config->erase_value);
        }
        if (status != EIMP_OK) {
            return status;
        }
        crc = eimp_crc32(crc, store->buffer, count);
        done += count;
    }
    return crc == crc32 ? EIMP_OK : EIMP_E_CORRUPT;
}
