#include "eimp_store.h"

int eimp_store_save(eimp_store *store, const eimp_head *head) {
    eimp_snapshot snapshot;
    uint8_t piece[32];
    uint32_t done;
    uint32_t count;
    int status;

    eimp_snapshot_open(head, &snapshot);
    status = eimp_store_begin(store, snapshot.size);
    for (done = 0; status == EIMP_OK && done < snapshot.size; done += count) {
        count = snapshot.size - done < sizeof piece ? snapshot.size - done : (uint32_t)sizeof piece;
        status = eimp_snapshot_read(&snapshot, done, piece, count);
        if (status == EIMP_OK) {
            status = eimp_store_append(store, piece, count);
        }
    }
    return status == EIMP_OK ? eimp_store_commit(store, snapshot.crc) : status;
}

int eimp_store_load(eimp_store *store, eimp_head *head) {
    if (eimp_store_current_size(store) == 0) {
        return EIMP_E_STATE;
    }
    return eimp_snapshot_load(head, eimp_store_read, store, eimp_store_current_size(store));
}
