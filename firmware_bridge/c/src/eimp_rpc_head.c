/* Commands that teach and ask the head. */
#include <string.h>

#include "eimp_method.h"
#include "eimp_rpc_internal.h"

/* What follows from a change of the head's answers. */
static int changed(eimp_rpc *rpc, int status) {
    if (status == EIMP_OK) eimp_rpc_head_changed(rpc);
    return status;
}

static int take_label(eimp_rpc *rpc, const uint8_t *bytes, uint32_t count) {
    if (count == 0 || count > EIMP_LABEL_FIELD_BYTES || count != 1u + (bytes[0] & 0x7Fu)) return EIMP_E_LABEL;
    memset(&rpc->label, 0, sizeof rpc->label);
    memcpy(&rpc->label, bytes, count);
    return EIMP_OK;
}

static void put_label(eimp_out *out, const eimp_label *label) {
    eimp_put_bytes(out, label->bytes, eimp_label_wire_bytes(label));
}

static void put_thresholds(const eimp_head *head, eimp_out *out) {
    int32_t both[2] = {0, 0};
    eimp_put_u8(out, eimp_thresholds(head, &both[0], &both[1]) == EIMP_OK); /* leaves both at 0 otherwise */
    eimp_put_bytes(out, both, sizeof both);
}

const int16_t *eimp_rpc_embedding(eimp_rpc *rpc, const uint8_t *wanted_crc) {
    int16_t *numbers = (int16_t *)(void *)rpc->stage;
    if (!rpc->stage_used) { /* its bytes become numbers in place */
        eimp_config config;
        eimp_get_config(rpc->config->head, &config);
        rpc->stage_crc = eimp_crc32(0, rpc->stage, 2u * config.dim);
        for (uint32_t i = 0; i < config.dim; i++) numbers[i] = (int16_t)eimp_get_u16(rpc->stage + 2u * i);
        rpc->stage_used = 1;
    }
    return rpc->stage_crc == eimp_get_u32(wanted_crc) ? numbers : NULL;
}

/* Fields that lie on the wire as they do in memory, whose byte order eimp_internal.h holds machines to: dim to undo, and
 * classes to used_bytes. */
#define CONFIG_BYTES (offsetof(eimp_config, undo) + 1u)
#define USAGE_BYTES offsetof(eimp_usage, budget)
typedef char config_has_19_bytes[CONFIG_BYTES == 19u && offsetof(eimp_config, backbone_bytes) == 16u ? 1 : -1];
typedef char usage_has_12_bytes[USAGE_BYTES == 12u && offsetof(eimp_usage, used_bytes) == 8u ? 1 : -1];

int eimp_do_info(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const eimp_store *store = rpc->config->store;
    eimp_config config;
    eimp_usage usage;
    (void)request;
    (void)length;
    eimp_get_config(rpc->config->head, &config);
    eimp_get_usage(rpc->config->head, &usage);
    eimp_put_bytes(out, &config, CONFIG_BYTES);
    eimp_put_bytes(out, &usage, USAGE_BYTES);
    eimp_put_u32(out, usage.max_classes);
    eimp_put_bytes(out, &usage.shots, sizeof usage.shots);
    eimp_put_u8(out, usage.can_undo);
    put_thresholds(rpc->config->head, out);
    uint32_t of_store[2 + EIMP_STORE_SLOTS] = {0};
    if (store) {
        of_store[0] = eimp_store_capacity(store->config);
        of_store[1] = eimp_store_current_size(store);
        for (uint32_t slot = 0; slot < EIMP_STORE_SLOTS; slot++) of_store[2 + slot] = eimp_store_erases(store, slot);
    }
    eimp_put_bytes(out, of_store, sizeof of_store);
    return EIMP_OK;
}

int eimp_do_stage(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const uint32_t offset = eimp_get_u16(request), count = length - 2;
    (void)out;
    if (offset > rpc->stage_bytes || count > rpc->stage_bytes - offset) return EIMP_E_ARGUMENT;
    memcpy(rpc->stage + offset, request + 2, count);
    rpc->stage_used = 0;
    return EIMP_OK;
}

int eimp_do_learn(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_head *head = rpc->config->head;
    const int16_t *numbers = eimp_rpc_embedding(rpc, request);
    if (numbers == NULL) return EIMP_E_STATE;
    int status = take_label(rpc, request + 4, length - 4);
    if (status != EIMP_OK) return status;
    const uint32_t start = eimp_rpc_start(rpc);
    status = head->method ? head->method->teach(head, &rpc->label, numbers) : eimp_learn(head, &rpc->label, numbers);
    eimp_rpc_measure(rpc, EIMP_OPERATION_LEARN, start);
    if (changed(rpc, status) != EIMP_OK) return status;
    eimp_put_u16(out, (uint32_t)eimp_find(head, &rpc->label));
    eimp_put_u16(out, eimp_n_classes(head));
    return EIMP_OK;
}

int eimp_do_predict(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_head *head = rpc->config->head;
    eimp_answer found;
    const int16_t *numbers = eimp_rpc_embedding(rpc, request);
    (void)length;
    if (numbers == NULL) return EIMP_E_STATE;
    const uint32_t start = eimp_rpc_start(rpc);
    const int status =
        head->method ? head->method->predict(head, numbers, &found, NULL) : eimp_predict(head, numbers, &found);
    eimp_rpc_measure(rpc, EIMP_OPERATION_PREDICT, start);
    if (status != EIMP_OK) return status;
    eimp_put_u16(out, found.class_index);
    eimp_put_u32(out, (uint32_t)found.cosine_q23);
    eimp_put_u8(out, found.verdict);
    put_thresholds(head, out);
    put_label(out, &found.label);
    return EIMP_OK;
}

int eimp_do_confidence(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_head *head = rpc->config->head;
    const int16_t *numbers = eimp_rpc_embedding(rpc, request);
    eimp_answer found;
    uint32_t confidence_q16;
    (void)length;
    if (head->method == NULL) return EIMP_E_COMMAND;
    if (numbers == NULL) return EIMP_E_STATE;
    const int status = head->method->predict(head, numbers, &found, &confidence_q16);
    if (status == EIMP_OK) eimp_put_u32(out, confidence_q16);
    return status;
}

int eimp_do_forget(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_head *head = rpc->config->head;
    (void)out;
    int status = take_label(rpc, request, length);
    if (status != EIMP_OK) return status;
    const uint32_t start = eimp_rpc_start(rpc);
    status = changed(rpc, head->method ? head->method->teach(head, &rpc->label, NULL) : eimp_forget(head, &rpc->label));
    eimp_rpc_measure(rpc, EIMP_OPERATION_FORGET, start);
    return status;
}

int eimp_do_undo(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)request;
    (void)length;
    (void)out;
    eimp_head *head = rpc->config->head;
    const uint32_t start = eimp_rpc_start(rpc);
    const int status = changed(rpc, head->method ? head->method->teach(head, NULL, NULL) : eimp_undo(head));
    eimp_rpc_measure(rpc, EIMP_OPERATION_UNDO, start);
    return status;
}

int eimp_do_clear(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)request;
    (void)length;
    (void)out;
    eimp_head *head = rpc->config->head;
    (head->method ? head->method->clear : eimp_clear)(head);
    return changed(rpc, EIMP_OK);
}

int eimp_do_classes(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const uint8_t *end = out->at + rpc->config->max_payload;
    uint32_t index = eimp_get_u16(request), most = eimp_get_u16(request + 2);
    eimp_class_info info;
    (void)length;
    eimp_put_u16(out, eimp_n_classes(rpc->config->head));
    for (; most && eimp_get_class(rpc->config->head, index, &info) == EIMP_OK; index++, most--) {
        if (6u + eimp_label_wire_bytes(&info.label) > (uint32_t)(end - out->at)) break;
        eimp_put_u32(out, info.shots);
        eimp_put_u16(out, info.proxies);
        put_label(out, &info.label);
    }
    return EIMP_OK;
}

int eimp_do_set_false_accept(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    (void)length;
    (void)out;
    return changed(rpc, eimp_set_false_accept(rpc->config->head, eimp_get_u32(request)));
}

int eimp_do_set_backbone(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const uint32_t count = eimp_get_u16(request);
    (void)length;
    (void)out;
    if (count > rpc->stage_bytes) return EIMP_E_CAPACITY;
    if (count && (rpc->stage_used || eimp_crc32(0, rpc->stage, count) != eimp_get_u32(request + 2))) {
        return EIMP_E_STATE;
    }
    return changed(rpc, eimp_set_backbone(rpc->config->head, (const char *)rpc->stage, count));
}

int eimp_do_get_backbone(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    const uint32_t offset = eimp_get_u16(request), most = eimp_get_u16(request + 2);
    const char *text = NULL;
    const uint32_t whole = (uint32_t)eimp_get_backbone(rpc->config->head, &text);
    const uint32_t left = offset < whole ? whole - offset : 0;
    (void)length;
    if (most > rpc->config->max_payload - EIMP_GET_BACKBONE_REPLY_BYTES) return EIMP_E_ARGUMENT;
    eimp_put_u16(out, whole);
    if (left) eimp_put_bytes(out, text + offset, most < left ? most : left);
    return EIMP_OK;
}
