/* Written by edge_imprint_firmware.protocol_generator from protocol.toml. Do not edit. */
#ifndef EIMP_PROTOCOL_H
#define EIMP_PROTOCOL_H

#define EIMP_PROTOCOL_REVISION 2
#define EIMP_PROTOCOL_MAJOR 1u
#define EIMP_PROTOCOL_MINOR 1u
#define EIMP_SNAPSHOT_MAJOR 1u
#define EIMP_SNAPSHOT_MINOR 0u
#define EIMP_MAX_DIM 4096u
#define EIMP_MAX_BUDGET 1073741824u
#define EIMP_MAX_LABEL_BYTES 31u
#define EIMP_LABEL_FIELD_BYTES 32u
#define EIMP_MAX_BACKBONE_BYTES 4096u
#define EIMP_MAX_SNAPSHOT_BYTES 67108864u
#define EIMP_MAX_SNAPSHOT_SECTIONS 16u
#define EIMP_MAX_NAME_BYTES 32u
#define EIMP_SNAPSHOT_SECTIONS 9u
#define EIMP_SNAPSHOT_MOMENT_SECTIONS 3u
#define EIMP_FRAME_HEADER_BYTES 4u
#define EIMP_FRAME_CRC_BYTES 4u
#define EIMP_FRAME_MIN_PAYLOAD 96u
#define EIMP_FRAME_MAX_PAYLOAD 1024u
#define EIMP_FRAME_DEFAULT_PAYLOAD 256u
#define EIMP_FRAME_REPLY_BIT 128u
#define EIMP_FRAME_DAMAGED 128u
#define EIMP_LIBRARY_VERSION "0.1.0"

enum eimp_status {
    EIMP_OK = 0,
    EIMP_E_ARGUMENT = -1,
    EIMP_E_VALUE_RANGE = -2,
    EIMP_E_SHAPE = -3,
    EIMP_E_LABEL = -4,
    EIMP_E_UNKNOWN_LABEL = -5,
    EIMP_E_NOT_TAUGHT = -6,
    EIMP_E_NO_UNDO = -7,
    EIMP_E_CAPACITY = -8,
    EIMP_E_BUDGET = -9,
    EIMP_E_CORRUPT = -10,
    EIMP_E_VERSION = -11,
    EIMP_E_BACKBONE = -12,
    EIMP_E_STORAGE = -13,
    EIMP_E_COMMAND = -14,
    EIMP_E_LENGTH = -15,
    EIMP_E_STATE = -16,
    EIMP_E_SESSION = -17
};

/* Bits of what a device can do. */
#define EIMP_CAN_STORE (1u << 0)
#define EIMP_CAN_COUNTER (1u << 1)
#define EIMP_CAN_STACK (1u << 2)
#define EIMP_CAN_CLOCK (1u << 3)
#define EIMP_CAN_REBOOT (1u << 4)
#define EIMP_CAN_RESOURCES (1u << 5)
#define EIMP_CAN_RIDGE (1u << 6)

enum eimp_counter_unit {
    EIMP_COUNT_NONE = 0,
    EIMP_COUNT_INSTRUCTIONS = 1,
    EIMP_COUNT_CYCLES = 2,
    EIMP_COUNT_MICROSECONDS = 3
};

enum eimp_operation {
    EIMP_OPERATION_LEARN = 0,
    EIMP_OPERATION_PREDICT = 1,
    EIMP_OPERATION_SCORES = 2,
    EIMP_OPERATION_FORGET = 3,
    EIMP_OPERATION_UNDO = 4,
    EIMP_OPERATION_SAVE = 5,
    EIMP_OPERATION_LOAD = 6
};
#define EIMP_OPERATIONS 7u

/* X(NAME, name, id, bytes of a request's fields, 1 if more may follow), in the order of ids from 1. */
#define EIMP_COMMANDS(X) \
    X(HELLO, hello, 1, 6u, 0u) \
    X(INFO, info, 2, 0u, 0u) \
    X(STAGE, stage, 3, 2u, 1u) \
    X(LEARN, learn, 4, 4u, 1u) \
    X(PREDICT, predict, 5, 4u, 0u) \
    X(SCORES, scores, 6, 8u, 0u) \
    X(FORGET, forget, 7, 0u, 1u) \
    X(UNDO, undo, 8, 0u, 0u) \
    X(CLEAR, clear, 9, 0u, 0u) \
    X(CLASSES, classes, 10, 4u, 0u) \
    X(SET_FALSE_ACCEPT, set_false_accept, 11, 4u, 0u) \
    X(SET_BACKBONE, set_backbone, 12, 6u, 0u) \
    X(GET_BACKBONE, get_backbone, 13, 4u, 0u) \
    X(STATS, stats, 14, 0u, 0u) \
    X(OPERATION, operation, 15, 1u, 0u) \
    X(SNAPSHOT_OPEN, snapshot_open, 16, 0u, 0u) \
    X(SNAPSHOT_READ, snapshot_read, 17, 6u, 0u) \
    X(SNAPSHOT_BEGIN, snapshot_begin, 18, 21u, 0u) \
    X(SNAPSHOT_WRITE, snapshot_write, 19, 4u, 1u) \
    X(SNAPSHOT_STATUS, snapshot_status, 20, 0u, 0u) \
    X(SNAPSHOT_COMMIT, snapshot_commit, 21, 0u, 0u) \
    X(SAVE, save, 22, 0u, 0u) \
    X(LOAD, load, 23, 0u, 0u) \
    X(RESET, reset, 24, 0u, 0u) \
    X(RESOURCES, resources, 25, 0u, 0u) \
    X(CONFIDENCE, confidence, 26, 4u, 0u)

/* Bytes of a reply's fields. */
#define EIMP_HELLO_REPLY_BYTES 17u
#define EIMP_INFO_REPLY_BYTES 69u
#define EIMP_LEARN_REPLY_BYTES 4u
#define EIMP_PREDICT_REPLY_BYTES 16u
#define EIMP_SCORES_REPLY_BYTES 2u
#define EIMP_CLASSES_REPLY_BYTES 2u
#define EIMP_GET_BACKBONE_REPLY_BYTES 2u
#define EIMP_STATS_REPLY_BYTES 20u
#define EIMP_OPERATION_REPLY_BYTES 12u
#define EIMP_SNAPSHOT_OPEN_REPLY_BYTES 8u
#define EIMP_SNAPSHOT_BEGIN_REPLY_BYTES 4u
#define EIMP_SNAPSHOT_WRITE_REPLY_BYTES 4u
#define EIMP_SNAPSHOT_STATUS_REPLY_BYTES 12u
#define EIMP_RESOURCES_REPLY_BYTES 24u
#define EIMP_CONFIDENCE_REPLY_BYTES 4u

#endif
