/* Commands that move snapshots, use the store, and look at the device itself. */
#include "eimp_method.h"
#include "eimp_rpc_internal.h"

int eimp_do_snapshot_open(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)request;
    (void)length;
    if (!rpc->snapshot_open) eimp_snapshot_open(rpc->config->head, &rpc->snapshot);
    rpc->snapshot_open = 1;
    eimp_put_u32(out, rpc->snapshot.size);
    eimp_put_u32(out, rpc->snapshot.crc);
    return EIMP_OK;
}

int eimp_do_snapshot_read(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const uint32_t count = eimp_get_u16(request + 4);
    (void)length;
    if (!rpc->snapshot_open) return EIMP_E_STATE;
    if (count > rpc->config->max_payload) return EIMP_E_ARGUMENT;
    const int status = eimp_snapshot_read(&rpc->snapshot, eimp_get_u32(request), out->at, count);
    if (status == EIMP_OK) out->at += count;
    return status;
}

/* Whether the arena could take a snapshot that says this of itself; the whole is checked again before it is used. */
static int fits(const eimp_head *head, const uint8_t *request) {
    const uint32_t budget = eimp_get_u32(request + 12), backbone_bytes = eimp_get_u16(request + 16);
    const uint32_t max_proxies = eimp_get_u16(request + 18);
    const uint8_t undo = request[20];
    eimp_layout layout;
    if (eimp_get_u32(request + 8) != head->dim) return EIMP_E_SHAPE;
    if (undo > EIMP_UNDO_YES || max_proxies == 0) return EIMP_E_VALUE_RANGE;
    const int status = (head->method ? head->method->layout_for : eimp_layout_for)(head->dim, budget, undo, &layout);
    if (status != EIMP_OK) return status;
    if (budget > head->budget_room || max_proxies - 1u > head->centres_room || backbone_bytes > head->backbone_room) {
        return EIMP_E_CAPACITY;
    }
    return EIMP_OK;
}

int eimp_do_snapshot_begin(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_store *store = rpc->config->store;
    const uint32_t size = eimp_get_u32(request), crc = eimp_get_u32(request + 4);
    (void)length;
    if (store == NULL) return EIMP_E_COMMAND;
    int status = fits(rpc->config->head, request);
    if (status != EIMP_OK) return status;
    if (!rpc->pending_known || eimp_store_pending_size(store) != size || rpc->pending_crc != crc) {
        status = eimp_store_begin(store, size);
        if (status != EIMP_OK) return status;
        rpc->pending_crc = crc;
        rpc->pending_known = 1;
    }
    eimp_put_u32(out, eimp_store_received(store));
    return EIMP_OK;
}

int eimp_do_snapshot_write(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_store *store = rpc->config->store;
    const uint32_t offset = eimp_get_u32(request), count = length - 4;
    if (store == NULL) return EIMP_E_COMMAND;
    const uint32_t received = eimp_store_received(store);
    if (eimp_store_pending_size(store) == 0) return EIMP_E_STATE;
    if (offset <= received && count > received - offset) {
        const uint32_t known = received - offset;
        const int status = eimp_store_append(store, request + 4 + known, count - known);
        if (status != EIMP_OK) return status;
    }
    eimp_put_u32(out, eimp_store_received(store));
    return EIMP_OK;
}

int eimp_do_snapshot_status(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const eimp_store *store = rpc->config->store;
    (void)request;
    (void)length;
    if (store == NULL) return EIMP_E_COMMAND;
    const uint32_t size = eimp_store_pending_size(store);
    eimp_put_u32(out, size);
    eimp_put_u32(out, size ? rpc->pending_crc : 0);
    eimp_put_u32(out, eimp_store_received(store));
    return EIMP_OK;
}

static int load(eimp_rpc *rpc) {
    const uint32_t start = eimp_rpc_start(rpc);
    const int status = eimp_store_load(rpc->config->store, rpc->config->head);
    eimp_rpc_measure(rpc, EIMP_OPERATION_LOAD, start);
    eimp_rpc_head_changed(rpc); /* also after an error, which may leave the head empty */
    return status;
}

int eimp_do_snapshot_commit(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_store *store = rpc->config->store;
    (void)request;
    (void)length;
    (void)out;
    if (store == NULL) return EIMP_E_COMMAND;
    const uint32_t size = eimp_store_pending_size(store);
    if (size == 0 || eimp_store_received(store) != size) return EIMP_E_STATE;
    rpc->pending_known = 0; /* bytes that do not pass are not gone on with, but written anew */
    int status = eimp_snapshot_check(rpc->config->head, eimp_store_pending_read, store, size);
    if (status == EIMP_OK) status = eimp_store_commit(store, rpc->pending_crc);
    return status == EIMP_OK ? load(rpc) : status;
}

int eimp_do_save(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)request;
    (void)length;
    (void)out;
    if (rpc->config->store == NULL) return EIMP_E_COMMAND;
    const uint32_t start = eimp_rpc_start(rpc);
    const int status = eimp_store_save(rpc->config->store, rpc->config->head);
    eimp_rpc_measure(rpc, EIMP_OPERATION_SAVE, start);
    return status;
}

int eimp_do_load(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)request;
    (void)length;
    (void)out;
    return rpc->config->store == NULL ? EIMP_E_COMMAND : load(rpc);
}

int eimp_do_stats(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const eimp_rpc_config *config = rpc->config;
    (void)request;
    (void)length;
    eimp_put_u32(out, config->milliseconds ? config->milliseconds(config->context) : 0);
    eimp_put_u32(out, config->stack_bytes ? config->stack_bytes(config->context) : 0);
    /* frames, damaged and repeated */
    eimp_put_bytes(out, (const uint8_t *)rpc + offsetof(eimp_rpc, frames), 3 * sizeof rpc->frames);
    return EIMP_OK;
}

int eimp_do_operation(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)length;
    if (request[0] >= EIMP_OPERATIONS) return EIMP_E_ARGUMENT;
    const eimp_rpc_operation *found = &rpc->operations[request[0]];
    eimp_put_bytes(out, found, sizeof *found);
    return EIMP_OK;
}

int eimp_do_resources(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const eimp_rpc_resources *known = rpc->config->resources;
    const uint32_t start = eimp_rpc_start(rpc), overhead = eimp_rpc_start(rpc) - start;
    (void)request;
    (void)length;
    if (known == NULL) return EIMP_E_COMMAND;
    eimp_put_bytes(out, known, sizeof *known);
    eimp_put_u32(out, overhead);
    return EIMP_OK;
}

int eimp_do_reset(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)request;
    (void)length;
    (void)out;
    if (rpc->config->reboot == NULL) return EIMP_E_COMMAND;
    rpc->reboot_due = 1;
    return EIMP_OK;
}
