/* A whole device in this process: head, store on a flash in RAM, and the serial protocol. What it sends is kept until it
 * is taken. For tests on the host, hence malloc. */
#include <stdlib.h>
#include <string.h>

#include "eimp_ridge.h"
#include "eimp_rpc.h"

#define SECTOR_BYTES 4096u

typedef struct device {
    eimp_rpc rpc;
    eimp_rpc_config rpc_config;
    eimp_store store;
    eimp_store_config store_config;
    eimp_config head_config;
    uint8_t *flash;
    void *arena;
    void *buffer;
    size_t buffer_bytes;
    uint8_t *sent;
    size_t sent_bytes, sent_room;
    uint32_t ticks, flash_fails, reboots;
    int last_boot;
    uint8_t ridge; /* 1: the head has a second moment */
} device;

static int flash_read(void *context, uint32_t offset, void *buffer, uint32_t count) {
    memcpy(buffer, ((device *)context)->flash + offset, count);
    return EIMP_OK;
}

static int flash_program(void *context, uint32_t offset, const void *data, uint32_t count) {
    device *d = context;
    for (uint32_t i = 0; i < count; i++)
        if (d->flash[offset + i] != 0xFF) abort();
    if (d->flash_fails) return EIMP_E_STORAGE;
    memcpy(d->flash + offset, data, count);
    return EIMP_OK;
}

static int flash_erase(void *context, uint32_t offset) {
    device *d = context;
    if (d->flash_fails) return EIMP_E_STORAGE;
    memset(d->flash + offset, 0xFF, SECTOR_BYTES);
    return EIMP_OK;
}

static void keep(void *context, const uint8_t *bytes, uint32_t count) {
    device *d = context;
    if (d->sent_bytes + count > d->sent_room) {
        d->sent_room = 2 * (d->sent_bytes + count);
        d->sent = realloc(d->sent, d->sent_room);
        if (!d->sent) abort();
    }
    memcpy(d->sent + d->sent_bytes, bytes, count);
    d->sent_bytes += count;
}

static uint32_t tick(void *context) { return ++((device *)context)->ticks; }
static uint32_t stack(void *context) { return ((device *)context)->ticks ? 400 : 0; }

static size_t arena_bytes(const device *d) {
    return d->ridge ? eimp_ridge_arena_size(&d->head_config) : eimp_arena_size(&d->head_config);
}

static int make_head(device *d, eimp_head **head) {
    eimp_ridge *ridge;
    if (!d->ridge) return eimp_init(d->arena, arena_bytes(d), &d->head_config, head);
    const int status = eimp_ridge_init(d->arena, arena_bytes(d), &d->head_config, NULL, &ridge);
    if (status == EIMP_OK) *head = eimp_ridge_head(ridge);
    return status;
}

/* What a board does when it gets power: the head is new, and takes what flash holds. */
static int boot(device *d) {
    eimp_head *head;
    int status = make_head(d, &head);
    if (status != EIMP_OK) return status;
    d->rpc_config.head = head;
    if (d->rpc_config.store) {
        status = eimp_store_mount(&d->store, &d->store_config);
        if (status != EIMP_OK) return status;
        if (eimp_store_current_size(&d->store)) status = eimp_store_load(&d->store, head);
        if (status != EIMP_OK) return status;
    }
    const size_t bytes = eimp_rpc_size(&d->rpc_config);
    if (bytes != d->buffer_bytes) {
        free(d->buffer);
        d->buffer = malloc(bytes); /* exactly: a sanitizer sees the first byte beyond */
        d->buffer_bytes = bytes;
    }
    return eimp_rpc_init(&d->rpc, &d->rpc_config, d->buffer, bytes);
}

static void reboot(void *context) {
    device *d = context;
    d->reboots++;
    d->last_boot = boot(d);
}

static const eimp_rpc_resources resources = {.arena_bytes = 11, .variables_bytes = 22, .stack_room = 2048, .image_bytes = 44};

/* NULL where no head can have that config. sectors: of each slot of the store; 0: nothing that a device may lack. */
device *device_new(uint32_t dim, uint32_t budget, uint16_t max_proxies, uint8_t undo, uint16_t backbone_bytes,
                   uint16_t max_payload, uint32_t sectors, uint8_t ridge) {
    device *d = calloc(1, sizeof *d);
    d->head_config = (eimp_config){dim, budget, 50000, max_proxies, 20, backbone_bytes, undo};
    d->store_config = (eimp_store_config){d, flash_read, flash_program, flash_erase, SECTOR_BYTES, sectors, 8, 0xFF};
    d->rpc_config = (eimp_rpc_config){.context = d, .send = keep, .name = "in process", .max_payload = max_payload};
    d->ridge = ridge;
    d->arena = malloc(arena_bytes(d));
    if (sectors) {
        d->flash = malloc(2 * sectors * SECTOR_BYTES);
        memset(d->flash, 0xFF, 2 * sectors * SECTOR_BYTES);
        d->rpc_config.store = &d->store;
        d->rpc_config.counter = tick;
        d->rpc_config.stack_bytes = stack;
        d->rpc_config.milliseconds = tick;
        d->rpc_config.reboot = reboot;
        d->rpc_config.resources = &resources;
        d->rpc_config.counter_unit = EIMP_COUNT_INSTRUCTIONS;
    }
    if (arena_bytes(d) && boot(d) == EIMP_OK) return d;
    free(d->arena);
    free(d->flash);
    free(d->buffer);
    free(d);
    return NULL;
}

void device_free(device *d) {
    free(d->arena);
    free(d->flash);
    free(d->buffer);
    free(d->sent);
    free(d);
}

void device_receive(device *d, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) eimp_rpc_receive(&d->rpc, bytes[i]);
}

/* Take what was sent: at most `most` bytes, of which it returns how many there are. */
size_t device_take(device *d, uint8_t *out, size_t most) {
    const size_t count = d->sent_bytes < most ? d->sent_bytes : most;
    if (count == 0) return 0;
    memcpy(out, d->sent, count);
    memmove(d->sent, d->sent + count, d->sent_bytes - count);
    d->sent_bytes -= count;
    return count;
}

void device_power_cycle(device *d) { reboot(d); }
void device_break_flash(device *d, uint32_t broken) { d->flash_fails = broken; }
uint32_t device_reboots(const device *d) { return d->reboots; }
size_t device_buffer_bytes(const device *d) { return d->buffer_bytes; }
