/* The second-moment head of firmware_bridge/c for Python: buffers in, buffers out, lengths checked. */
#include "_native.h"

#include <stdlib.h>

#include "eimp_ridge_internal.h"

typedef struct {
    PyObject_HEAD
    uint8_t *arena;
    size_t bytes;
    int32_t *base;
    eimp_ridge *ridge;
} Ridge;

static PyObject *ridge_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned int dim, budget, undo, max_proxies, shrinkage;
    Py_buffer base = {0};
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "IIIII|z*", &dim, &budget, &undo, &max_proxies, &shrinkage, &base)) return NULL;
    const eimp_config config = {dim, budget, 50000, (uint16_t)max_proxies, (uint16_t)shrinkage, 0, (uint8_t)undo};
    const size_t bytes = eimp_ridge_arena_size(&config);
    if (!bytes || (base.buf && base.len != 2 * (Py_ssize_t)dim * (dim + 1))) {
        if (base.buf) PyBuffer_Release(&base);
        return refuse("no head has this configuration");
    }
    Ridge *self = (Ridge *)type->tp_alloc(type, 0);
    if (self) {
        self->arena = calloc(1, bytes);
        self->bytes = bytes;
        if (base.buf && (self->base = malloc((size_t)base.len))) memcpy(self->base, base.buf, (size_t)base.len);
    }
    const int fine = self && self->arena && (!base.buf || self->base);
    if (base.buf) PyBuffer_Release(&base);
    if (!fine || eimp_ridge_init(self->arena, bytes, &config, self->base, &self->ridge) != EIMP_OK) {
        Py_XDECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void ridge_dealloc(Ridge *self) {
    free(self->arena);
    free(self->base);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static int ridge_getbuffer(Ridge *self, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, (PyObject *)self, self->arena, (Py_ssize_t)self->bytes, 0, flags);
}

static Py_ssize_t open_rows(const Ridge *self, PyObject *object, Py_buffer *view) {
    if (!open_buffer(object, view, PyBUF_SIMPLE, 0)) return -1;
    return view->len / (Py_ssize_t)(self->ridge->head->dim * sizeof(int16_t));
}

/* learn(e16, places, labels): as Head's. */
static PyObject *ridge_learn(Ridge *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer rows, places, labels;
    eimp_head *head = self->ridge->head;
    if (count != 3) return refuse("learn takes e16, places and labels");
    const Py_ssize_t n = open_rows(self, args[0], &rows);
    if (n < 0) return NULL;
    if (!open_buffer(args[1], &places, PyBUF_SIMPLE, (size_t)n * sizeof(int64_t))) goto no_places;
    if (!open_buffer(args[2], &labels, PyBUF_SIMPLE, 0)) goto no_labels;
    int status = EIMP_OK;
    Py_ssize_t opened = 0;
    for (Py_ssize_t i = 0; i < n && status == EIMP_OK; i++) {
        const int64_t place = ((const int64_t *)places.buf)[i];
        const uint32_t classes = eimp_n_classes(head);
        const eimp_label *label = NULL;
        uint64_t length2 = 0;
        if (place >= classes) {
            label = (const eimp_label *)labels.buf + opened++;
            if (place > classes || opened * (Py_ssize_t)sizeof *label > labels.len) {
                status = EIMP_E_ARGUMENT;
                break;
            }
        }
        status = eimp_quantise(head, (const int16_t *)rows.buf + i * head->dim, &length2);
        if (status == EIMP_OK)
            status = eimp_ridge_learn_quantised(self->ridge, label ? -1 : (int32_t)place, label, length2);
        if (status == EIMP_OK && PyErr_CheckSignals() < 0) {
            PyBuffer_Release(&labels);
            PyBuffer_Release(&places);
            PyBuffer_Release(&rows);
            return NULL;
        }
    }
    PyBuffer_Release(&labels);
    PyBuffer_Release(&places);
    PyBuffer_Release(&rows);
    return done(status);
no_labels:
    PyBuffer_Release(&places);
no_places:
    PyBuffer_Release(&rows);
    return NULL;
}

static PyObject *ridge_undo(Ridge *self, PyObject *unused) {
    (void)unused;
    return done(eimp_ridge_undo(self->ridge));
}

static PyObject *ridge_forget(Ridge *self, PyObject *place) {
    const unsigned long index = PyLong_AsUnsignedLong(place);
    if (PyErr_Occurred()) return NULL;
    if (index >= eimp_n_classes(self->ridge->head)) return refuse("no such class");
    eimp_ridge_forget_class(self->ridge, (uint32_t)index);
    Py_RETURN_NONE;
}

static PyObject *ridge_merge(Ridge *self, PyObject *other) {
    if (!PyObject_TypeCheck(other, &edge_imprint_RidgeType)) return refuse("merge takes a Ridge");
    return done(eimp_ridge_merge(self->ridge, ((Ridge *)other)->ridge));
}

static PyObject *ridge_refresh(Ridge *self, PyObject *unused) {
    (void)unused;
    eimp_ridge_refresh(self->ridge);
    Py_RETURN_NONE;
}

static PyObject *ridge_loaded(Ridge *self, PyObject *unused) {
    (void)unused;
    eimp_loaded(self->ridge->head);
    eimp_ridge_log_cut(self->ridge, UINT32_MAX);
    self->ridge->stale = 1;
    Py_RETURN_NONE;
}

/* Scores, float (n, n_classes), and confidences, float (n,); with two more buffers best classes, int64, and how well they
 * are known, int64 times 2^23. */
static PyObject *ask(Ridge *self, PyObject *const *args, int wanted) {
    Py_buffer rows, out[4] = {{0}};
    eimp_head *head = self->ridge->head;
    const uint32_t classes = eimp_n_classes(head);
    PyObject *answer = NULL;
    const Py_ssize_t n = open_rows(self, args[0], &rows);
    if (n < 0) return NULL;
    const size_t sizes[4] = {classes * sizeof(float), sizeof(float), sizeof(int64_t), sizeof(int64_t)};
    int opened = 0, status = classes ? EIMP_OK : EIMP_E_NOT_TAUGHT;
    while (opened < wanted && open_buffer(args[opened + 1], &out[opened], PyBUF_WRITABLE, (size_t)n * sizes[opened])) opened++;
    for (Py_ssize_t i = 0; i < n && opened == wanted && status == EIMP_OK; i++) {
        const int16_t *row = (const int16_t *)rows.buf + i * head->dim;
        uint32_t confidence = 0;
        if (wanted == 4) {
            eimp_answer found;
            status = eimp_ridge_predict(self->ridge, row, &found, &confidence);
            if (status != EIMP_OK) break;
            ((int64_t *)out[2].buf)[i] = found.class_index;
            ((int64_t *)out[3].buf)[i] = found.cosine_q23;
        } else {
            uint64_t length2 = 0;
            status = eimp_quantise(head, row, &length2);
            if (status != EIMP_OK) break;
            eimp_ridge_refresh(self->ridge);
            (void)eimp_ridge_class_scores(self->ridge);
            confidence = eimp_ridge_confidence(self->ridge, head->mean_dots[eimp_ridge_best(head)]);
        }
        float *scores = (float *)out[0].buf + i * classes;
        for (uint32_t c = 0; c < classes; c++) scores[c] = (float)head->mean_dots[c] * (1.0f / 8388608.0f);
        ((float *)out[1].buf)[i] = (float)confidence * (1.0f / 65536.0f);
    }
    if (opened == wanted) answer = done(status);
    while (opened--) PyBuffer_Release(&out[opened]);
    PyBuffer_Release(&rows);
    return answer;
}

/* scores(e16, scores, confidences) */
static PyObject *ridge_scores(Ridge *self, PyObject *const *args, Py_ssize_t count) {
    return count == 3 ? ask(self, args, 2) : refuse("scores takes e16, scores and confidences");
}

/* answer(e16, scores, confidences, classes, known) */
static PyObject *ridge_answer(Ridge *self, PyObject *const *args, Py_ssize_t count) {
    return count == 5 ? ask(self, args, 4) : refuse("answer takes e16, scores, confidences, classes and known");
}

static PyObject *ridge_thresholds(Ridge *self, PyObject *rate_ppm) {
    int32_t known = 0, unknown = 0;
    const unsigned long ppm = PyLong_AsUnsignedLong(rate_ppm);
    if (PyErr_Occurred()) return NULL;
    if (eimp_set_false_accept(self->ridge->head, (uint32_t)ppm) != EIMP_OK) return refuse("the rate is out of its range");
    if (eimp_thresholds(self->ridge->head, &known, &unknown) != EIMP_OK) Py_RETURN_NONE;
    return Py_BuildValue("(ii)", known, unknown);
}

static PyObject *ridge_can_undo(Ridge *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->ridge->head->can_undo);
}

/* Where the budget's two parts lie in the buffer: pool, second moment. */
static PyObject *ridge_places(Ridge *self, void *unused) {
    (void)unused;
    const ptrdiff_t pool = self->ridge->head->pool - self->arena;
    const ptrdiff_t second = (uint8_t *)self->ridge->state - self->arena;
    return Py_BuildValue("(nn)", (Py_ssize_t)pool, (Py_ssize_t)second);
}

static PyMethodDef ridge_methods[] = {
    {"learn", (PyCFunction)(void (*)(void))ridge_learn, METH_FASTCALL, "Learn shots in order."},
    {"undo", (PyCFunction)ridge_undo, METH_NOARGS, "Take the last shot back."},
    {"forget", (PyCFunction)ridge_forget, METH_O, "Remove a class."},
    {"merge", (PyCFunction)ridge_merge, METH_O, "Add another head's classes and scatter."},
    {"refresh", (PyCFunction)ridge_refresh, METH_NOARGS, "Bring discriminants up to date."},
    {"loaded", (PyCFunction)ridge_loaded, METH_NOARGS, "Compute what follows from rows, records and scatter."},
    {"scores", (PyCFunction)(void (*)(void))ridge_scores, METH_FASTCALL, "Scores of all classes, and confidences."},
    {"answer", (PyCFunction)(void (*)(void))ridge_answer, METH_FASTCALL, "Those, best classes, and how well known."},
    {"thresholds", (PyCFunction)ridge_thresholds, METH_O, "Where known begins and unknown ends."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef ridge_getset[] = {
    {"can_undo", (getter)ridge_can_undo, NULL, "Whether the last shot can be taken back.", NULL},
    {"places", (getter)ridge_places, NULL, "Where pool and second moment lie in the buffer.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyBufferProcs ridge_buffer = {(getbufferproc)ridge_getbuffer, NULL};

PyTypeObject edge_imprint_RidgeType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "edge_imprint.head._native.Ridge",
    .tp_basicsize = sizeof(Ridge),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A second-moment head: Ridge(dim, budget, undo, max_proxies, shrinkage, base).",
    .tp_new = ridge_new,
    .tp_dealloc = (destructor)ridge_dealloc,
    .tp_methods = ridge_methods,
    .tp_getset = ridge_getset,
    .tp_as_buffer = &ridge_buffer,
};

/* factor(scatter, out, dim, floor): int32 and float32, both packed. */
PyObject *edge_imprint_factor(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer scatter, out;
    (void)module;
    if (count != 4) return refuse("factor takes scatter, out, dim and floor");
    const size_t dim = PyLong_AsSize_t(args[2]);
    const double floor = PyFloat_AsDouble(args[3]);
    if (PyErr_Occurred()) return NULL;
    if (!dim || dim > EIMP_MAX_DIM) return refuse("dim is 1 to 4096");
    if (!open_buffer(args[0], &scatter, PyBUF_SIMPLE, 2 * dim * (dim + 1))) return NULL;
    if (!open_buffer(args[1], &out, PyBUF_WRITABLE, 2 * dim * (dim + 1))) {
        PyBuffer_Release(&scatter);
        return NULL;
    }
    float *scratch = malloc(EIMP_MOMENT_SCRATCH_BYTES);
    if (scratch) eimp_moment_factor(scatter.buf, out.buf, (uint32_t)dim, (float)floor, scratch);
    free(scratch);
    PyBuffer_Release(&out);
    PyBuffer_Release(&scatter);
    return scratch ? Py_NewRef(Py_None) : PyErr_NoMemory();
}
