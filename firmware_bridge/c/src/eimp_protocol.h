/* Written by edge_imprint_firmware.protocol_generator from protocol.toml. Do not edit. */
#ifndef EIMP_PROTOCOL_H
#define EIMP_PROTOCOL_H

#define EIMP_MAX_DIM 4096u
#define EIMP_MAX_BUDGET 1073741824u
#define EIMP_MAX_LABEL_BYTES 31u
#define EIMP_LABEL_FIELD_BYTES 32u
#define EIMP_MAX_BACKBONE_BYTES 4096u
#define EIMP_MAX_SNAPSHOT_BYTES 67108864u
#define EIMP_MAX_SNAPSHOT_SECTIONS 16u
#define EIMP_SNAPSHOT_SECTIONS 9u
#define EIMP_SNAPSHOT_MAJOR 1u
#define EIMP_SNAPSHOT_MINOR 0u

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
    EIMP_E_STATE = -16
};

#endif
