/* emlearn's own neighbours, which learn on the device, behind three functions that Python can call.

   Its header defines its functions and one array of votes, so it belongs into one file only. */

#include <eml_neighbors.h>

int peer_add(EmlNeighborsModel *model, const int16_t *values, int16_t label) {
    return eml_neighbors_add_item(model, values, (int16_t)model->n_features, label);
}

/* The label, or -1: labels are never negative. */
int peer_predict(EmlNeighborsModel *model, const int16_t *values, EmlNeighborsDistanceItem *distances) {
    int16_t label = -1;
    const EmlError error =
        eml_neighbors_predict(model, values, model->n_features, distances, model->n_items, &label);
    return error == EmlOk ? label : -1;
}

int peer_distance_bytes(void) { return (int)sizeof(EmlNeighborsDistanceItem); }
