/* The command that asks for the cosines of some classes, whose number has no bound but the budget's. */
#include "eimp_method.h"
#include "eimp_rpc_internal.h"

/* Cosines of classes `first` to first + count - 1, written straight into the reply. */
typedef struct window {
    uint8_t *cosines;
    uint32_t first, count, classes, norm;
} window;

static void put_i32(uint8_t *at, int32_t value) {
    eimp_out out = {at};
    eimp_put_u32(&out, (uint32_t)value);
}

/* The first slots are the class means, one of each class; cosines grow with scores. */
static void take_best(void *context, uint32_t slot, uint32_t index, int64_t score) {
    const window *w = context;
    if (index < w->first || index - w->first >= w->count) return;
    uint8_t *at = w->cosines + 4u * (index - w->first);
    const int32_t cosine = eimp_cosine_q23(score, w->norm);
    if (slot < w->classes || cosine > (int32_t)eimp_get_u32(at)) put_i32(at, cosine);
}

int eimp_do_scores(eimp_rpc *rpc, const uint8_t *request, uint32_t length, eimp_out *out) {
    eimp_head *head = rpc->config->head;
    const int16_t *numbers = eimp_rpc_embedding(rpc, request);
    const uint32_t first = eimp_get_u16(request + 4), most = eimp_get_u16(request + 6), classes = eimp_n_classes(head);
    const uint32_t left = first < classes ? classes - first : 0;
    uint64_t length2 = 0;
    (void)length;
    if (numbers == NULL) return EIMP_E_STATE;
    if (classes == 0) return EIMP_E_NOT_TAUGHT;
    if (most > (rpc->config->max_payload - EIMP_SCORES_REPLY_BYTES) / 4u) return EIMP_E_ARGUMENT;
    const uint32_t start = eimp_rpc_start(rpc);
    const int status = eimp_quantise(head, numbers, &length2);
    if (status != EIMP_OK) return status;
    window w = {out->at + EIMP_SCORES_REPLY_BYTES, first, most < left ? most : left, classes, eimp_query_norm_q16(head)};
    if (head->method) {
        head->method->scores(head, w.first, w.count, w.cosines);
    } else {
        eimp_refresh(head);
        eimp_visit_scores(head, take_best, &w);
    }
    eimp_rpc_measure(rpc, EIMP_OPERATION_SCORES, start);
    eimp_put_u16(out, classes);
    out->at += 4u * w.count;
    return EIMP_OK;
}
