/* A head that is taught and asked over the board's serial line and keeps what it learnt in flash. */
#include <string.h>

#include "eimp_app_config.h"
#include "eimp_head.h"
#include "eimp_ridge.h"
#include "eimp_rpc.h"
#include "eimp_store.h"
#include "port.h"
#include "port_config.h"
#include "startup.h"

static uint64_t arena[(EIMP_APP_ARENA_BYTES + 7u) / 8u];
static uint32_t
    line_bytes[(EIMP_RPC_BYTES(EIMP_APP_DIM, EIMP_APP_BACKBONE_BYTES, EIMP_APP_PAYLOAD_BYTES) + 3u) / 4u];
static eimp_store_config flash;
static eimp_store store;
static eimp_rpc_resources resources;
static eimp_rpc rpc;

static void send(void *context, const uint8_t *bytes, uint32_t count) {
    (void)context;
    eimp_port_send(bytes, count);
}

static uint32_t counter(void *context) {
    (void)context;
    return eimp_port_counter();
}

static uint32_t stack_bytes(void *context) {
    (void)context;
    return eimp_stack_high_water();
}

static uint32_t milliseconds(void *context) {
    (void)context;
    return (uint32_t)(eimp_port_ticks() / (EIMP_PORT_CLOCK_HZ / 1000u));
}

/* What the program takes of this board, which never changes. */
static void look_at_board(eimp_rpc_resources *out) {
    out->arena_bytes = sizeof arena;
    out->variables_bytes = eimp_variables_bytes();
    out->stack_room = eimp_stack_room();
    out->image_bytes = eimp_image_bytes();
    out->counter_hz = eimp_port_counter_unit() == EIMP_COUNT_CYCLES ? EIMP_PORT_CLOCK_HZ : 0;
}

static void restart(void *context) {
    (void)context;
    eimp_port_restart();
}

#if EIMP_APP_STATE
/* app/state.S */
extern const uint8_t eimp_state_start[], eimp_state_end[];

static int read_state(void *context, uint32_t offset, void *buffer, uint32_t count) {
    (void)context;
    memcpy(buffer, eimp_state_start + offset, count);
    return EIMP_OK;
}
#endif

/* What was saved last; where nothing was, the snapshot that is linked in; otherwise the head stays empty. */
static eimp_store *wake(eimp_head *head) {
    const eimp_port_flash *const given = eimp_port_get_flash();
    eimp_store *mounted = NULL;
    if (given->size_bytes != 0) {
        flash.context = given->context;
        flash.read = given->read;
        flash.program = given->program;
        flash.erase = given->erase;
        flash.sector_bytes = given->sector_bytes;
        flash.sectors_per_slot = given->size_bytes / EIMP_STORE_SLOTS / given->sector_bytes;
        flash.program_bytes = (uint16_t)given->program_bytes;
        flash.erase_value = given->erased;
        if (eimp_store_mount(&store, &flash) != EIMP_E_ARGUMENT) {
            mounted = &store;
            (void)eimp_store_load(&store, head);
        }
    }
#if EIMP_APP_STATE
    if (mounted == NULL || eimp_store_current_size(&store) == 0) {
        (void)eimp_snapshot_load(head, read_state, NULL, (uint32_t)(eimp_state_end - eimp_state_start));
    }
#endif
    return mounted;
}

/* Where config/eimp_app_config.h was changed to what cannot be: say so to whoever reads the line, and do nothing else. */
static void give_up(const char *why, size_t length) {
    eimp_port_send((const uint8_t *)why, length);
    for (;;) {
        while (eimp_port_receive() >= 0) {
        }
        eimp_port_wait();
    }
}

static int make_head(const eimp_config *config, eimp_head **head) {
#if EIMP_APP_RIDGE
    eimp_ridge *ridge;
    const int status = eimp_ridge_init(arena, sizeof arena, config, NULL, &ridge);
    if (status == EIMP_OK) *head = eimp_ridge_head(ridge);
    return status;
#else
    return eimp_init(arena, sizeof arena, config, head);
#endif
}

int main(void) {
    static const eimp_config head_config = {.dim = EIMP_APP_DIM,
                                            .budget = EIMP_APP_BUDGET,
                                            .false_accept_ppm = EIMP_APP_FALSE_ACCEPT_PPM,
                                            .max_proxies = EIMP_APP_MAX_PROXIES,
                                            .shrinkage = EIMP_APP_SHRINKAGE,
                                            .backbone_bytes = EIMP_APP_BACKBONE_BYTES,
                                            .undo = EIMP_APP_UNDO};
    static eimp_rpc_config line = {.send = send,
                                   .counter = counter,
                                   .stack_bytes = stack_bytes,
                                   .milliseconds = milliseconds,
                                   .reboot = restart,
                                   .resources = &resources,
                                   .name = EIMP_APP_NAME,
                                   .max_payload = EIMP_APP_PAYLOAD_BYTES};
    eimp_port_init();
    if (make_head(&head_config, &line.head) != EIMP_OK) {
        static const char why[] = "edge-imprint: eimp_app_config.h asks for a head that cannot be\n";
        give_up(why, sizeof why - 1u);
    }
    line.store = wake(line.head);
    line.counter_unit = eimp_port_counter_unit();
    look_at_board(&resources);
    if (eimp_rpc_init(&rpc, &line, line_bytes, sizeof line_bytes) != EIMP_OK) {
        static const char why[] = "edge-imprint: eimp_app_config.h asks for a line that cannot be\n";
        give_up(why, sizeof why - 1u);
    }
    for (;;) {
        const int byte = eimp_port_receive();
        if (byte >= 0) {
            eimp_rpc_receive(&rpc, (uint8_t)byte);
        } else {
            eimp_port_wait();
        }
    }
}
