/* edge_imprint.head._native: the C library of firmware_bridge/c behind CPython's interface.
 *
 * Thin: buffers in, buffers out. edge_imprint/head/native.py checks what users pass; here lengths are checked, so that a
 * mistake there is an exception and never a stray write. */
#include "_native.h"

#include <math.h>
#include <stdlib.h>

#include "eimp_internal.h"
#include "eimp_kernels.h"

#ifndef EIMP_SOURCE_DIGEST
#define EIMP_SOURCE_DIGEST "unknown"
#endif

typedef struct {
    PyObject_HEAD
    void *arena;
    eimp_head *head;
} Head;

static PyTypeObject HeadType;

/* Rows of 16-bit embeddings: how many there are. */
static Py_ssize_t open_rows(const Head *self, PyObject *object, Py_buffer *view) {
    if (!open_buffer(object, view, PyBUF_SIMPLE, 0)) return -1;
    return view->len / (Py_ssize_t)(self->head->dim * sizeof(int16_t));
}

static PyObject *head_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    unsigned int dim, budget, undo, max_proxies, shrinkage;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "IIIII", &dim, &budget, &undo, &max_proxies, &shrinkage)) return NULL;
    const eimp_config config = {dim, budget, 50000, (uint16_t)max_proxies, (uint16_t)shrinkage, 0, (uint8_t)undo};
    const size_t bytes = eimp_arena_size(&config);
    if (!bytes) return refuse("no head has this configuration");
    Head *self = (Head *)type->tp_alloc(type, 0);
    if (!self) return NULL;
    self->arena = calloc(1, bytes);
    if (!self->arena || eimp_init(self->arena, bytes, &config, &self->head) != EIMP_OK) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void head_dealloc(Head *self) {
    free(self->arena);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static int head_getbuffer(Head *self, Py_buffer *view, int flags) {
    return PyBuffer_FillInfo(view, (PyObject *)self, self->head->pool, self->head->layout.budget, 0, flags);
}

/* learn(e16, places, labels): places are int64; labels hold 32 bytes for each class that is opened, in order. */
static PyObject *head_learn(Head *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer rows, places, labels;
    if (count != 3) return refuse("learn takes e16, places and labels");
    const Py_ssize_t n = open_rows(self, args[0], &rows);
    if (n < 0) return NULL;
    if (!open_buffer(args[1], &places, PyBUF_SIMPLE, (size_t)n * sizeof(int64_t))) goto no_places;
    if (!open_buffer(args[2], &labels, PyBUF_SIMPLE, 0)) goto no_labels;
    int status = EIMP_OK;
    Py_ssize_t opened = 0;
    for (Py_ssize_t i = 0; i < n && status == EIMP_OK; i++) {
        const int64_t place = ((const int64_t *)places.buf)[i];
        const uint32_t classes = eimp_n_classes(self->head);
        const eimp_label *label = NULL;
        uint64_t length2 = 0;
        if (place >= classes) {
            label = (const eimp_label *)labels.buf + opened++;
            if (place > classes || opened * (Py_ssize_t)sizeof *label > labels.len) {
                status = EIMP_E_ARGUMENT;
                break;
            }
        }
        status = eimp_quantise(self->head, (const int16_t *)rows.buf + i * self->head->dim, &length2);
        if (status == EIMP_OK)
            status = eimp_learn_quantised(self->head, label ? -1 : (int32_t)place, label, length2);
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

static PyObject *head_undo(Head *self, PyObject *unused) {
    (void)unused;
    return done(eimp_undo(self->head));
}

static PyObject *head_forget(Head *self, PyObject *place) {
    const unsigned long index = PyLong_AsUnsignedLong(place);
    if (PyErr_Occurred()) return NULL;
    if (index >= eimp_n_classes(self->head)) return refuse("no such class");
    eimp_remove_class(self->head, (uint32_t)index);
    Py_RETURN_NONE;
}

static PyObject *head_merge(Head *self, PyObject *other) {
    if (!PyObject_TypeCheck(other, &HeadType)) return refuse("merge takes a Head");
    return done(eimp_merge(self->head, ((Head *)other)->head));
}

static PyObject *head_refresh(Head *self, PyObject *unused) {
    (void)unused;
    eimp_refresh(self->head);
    Py_RETURN_NONE;
}

/* Rows, records and words were put into the pool: compute what follows from them. */
static PyObject *head_loaded(Head *self, PyObject *unused) {
    (void)unused;
    eimp_loaded(self->head);
    Py_RETURN_NONE;
}

/* best(e16, classes, cosines): the last two are int64 and written. */
static PyObject *head_best(Head *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer rows, classes, cosines;
    if (count != 3) return refuse("best takes e16, classes and cosines");
    const Py_ssize_t n = open_rows(self, args[0], &rows);
    if (n < 0) return NULL;
    if (!open_buffer(args[1], &classes, PyBUF_WRITABLE, (size_t)n * sizeof(int64_t))) goto no_classes;
    if (!open_buffer(args[2], &cosines, PyBUF_WRITABLE, (size_t)n * sizeof(int64_t))) goto no_cosines;
    eimp_refresh(self->head);
    int status = eimp_n_classes(self->head) ? EIMP_OK : EIMP_E_NOT_TAUGHT;
    for (Py_ssize_t i = 0; i < n && status == EIMP_OK; i++) {
        uint64_t length2 = 0;
        uint32_t index = 0;
        int32_t cosine = 0;
        status = eimp_quantise(self->head, (const int16_t *)rows.buf + i * self->head->dim, &length2);
        if (status == EIMP_OK) eimp_best_quantised(self->head, &index, &cosine);
        ((int64_t *)classes.buf)[i] = index;
        ((int64_t *)cosines.buf)[i] = cosine;
    }
    PyBuffer_Release(&cosines);
    PyBuffer_Release(&classes);
    PyBuffer_Release(&rows);
    return done(status);
no_cosines:
    PyBuffer_Release(&classes);
no_classes:
    PyBuffer_Release(&rows);
    return NULL;
}

/* One row of a table of cosines: the score of cosine 1, and where the cosines go. */
typedef struct {
    float *cosines;
    double full;
    uint32_t classes;
} Row;

static void keep_best(void *context, uint32_t slot, uint32_t index, int64_t score) {
    const Row *row = context;
    const float cosine = (float)((double)score / row->full);
    const float clipped = cosine > 1.0f ? 1.0f : cosine < -1.0f ? -1.0f : cosine;
    if (slot < row->classes || clipped > row->cosines[index]) row->cosines[index] = clipped;
}

/* cosines(e16, out): out is float32, (n, n_classes). */
static PyObject *head_cosines(Head *self, PyObject *const *args, Py_ssize_t count) {
    Py_buffer rows, out;
    if (count != 2) return refuse("cosines takes e16 and out");
    const Py_ssize_t n = open_rows(self, args[0], &rows);
    if (n < 0) return NULL;
    const uint32_t classes = eimp_n_classes(self->head), dim = self->head->dim;
    if (!open_buffer(args[1], &out, PyBUF_WRITABLE, (size_t)n * classes * sizeof(float))) {
        PyBuffer_Release(&rows);
        return NULL;
    }
    eimp_refresh(self->head);
    int status = EIMP_OK;
    for (Py_ssize_t i = 0; i < n && status == EIMP_OK; i++) {
        uint64_t length2 = 0;
        status = eimp_quantise(self->head, (const int16_t *)rows.buf + i * dim, &length2);
        const double norm2 = eimp_dot(self->head->query, self->head->query, dim);
        Row row = {(float *)out.buf + i * classes, sqrt(norm2) * (double)(1 << EIMP_COEFFICIENT_BITS), classes};
        if (status == EIMP_OK) eimp_visit_scores(self->head, keep_best, &row);
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&rows);
    return done(status);
}

static PyObject *head_thresholds(Head *self, PyObject *rate_ppm) {
    int32_t known = 0, unknown = 0;
    const unsigned long ppm = PyLong_AsUnsignedLong(rate_ppm);
    if (PyErr_Occurred()) return NULL;
    if (eimp_set_false_accept(self->head, (uint32_t)ppm) != EIMP_OK) return refuse("the rate is out of its range");
    if (eimp_thresholds(self->head, &known, &unknown) != EIMP_OK) Py_RETURN_NONE;
    return Py_BuildValue("(ii)", known, unknown);
}

static PyObject *head_can_undo(Head *self, void *unused) {
    (void)unused;
    return PyBool_FromLong(self->head->can_undo);
}

static PyMethodDef head_methods[] = {
    {"learn", (PyCFunction)(void (*)(void))head_learn, METH_FASTCALL, "Learn shots in order."},
    {"undo", (PyCFunction)head_undo, METH_NOARGS, "Take the last shot back."},
    {"forget", (PyCFunction)head_forget, METH_O, "Remove a class."},
    {"merge", (PyCFunction)head_merge, METH_O, "Add another head's classes."},
    {"refresh", (PyCFunction)head_refresh, METH_NOARGS, "Bring coefficients up to date."},
    {"loaded", (PyCFunction)head_loaded, METH_NOARGS, "Compute what follows from rows and records."},
    {"best", (PyCFunction)(void (*)(void))head_best, METH_FASTCALL, "Best classes and their cosines."},
    {"cosines", (PyCFunction)(void (*)(void))head_cosines, METH_FASTCALL, "Every class's best cosine."},
    {"thresholds", (PyCFunction)head_thresholds, METH_O, "Where known begins and unknown ends."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef head_getset[] = {
    {"can_undo", (getter)head_can_undo, NULL, "Whether the last shot can be taken back.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyBufferProcs head_buffer = {(getbufferproc)head_getbuffer, NULL};

static PyTypeObject HeadType = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "edge_imprint.head._native.Head",
    .tp_basicsize = sizeof(Head),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "An arena and what works on it: Head(dim, budget, undo, max_proxies, shrinkage).",
    .tp_new = head_new,
    .tp_dealloc = (destructor)head_dealloc,
    .tp_methods = head_methods,
    .tp_getset = head_getset,
    .tp_as_buffer = &head_buffer,
};

/* quantize(rows, dim, out): float32 rows as int16; the number of the first row that has no direction, or -1. */
static PyObject *quantize(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer rows, out;
    (void)module;
    if (count != 3) return refuse("quantize takes rows, dim and out");
    const Py_ssize_t dim = PyLong_AsSsize_t(args[1]);
    if (dim < 1) return PyErr_Occurred() ? NULL : refuse("dim is at least 1");
    if (!open_buffer(args[0], &rows, PyBUF_SIMPLE, 0)) return NULL;
    const Py_ssize_t n = rows.len / (dim * (Py_ssize_t)sizeof(float));
    if (!open_buffer(args[2], &out, PyBUF_WRITABLE, (size_t)(n * dim) * sizeof(int16_t))) {
        PyBuffer_Release(&rows);
        return NULL;
    }
    Py_ssize_t row = 0;
    for (; row < n; row++) {
        const float *x = (const float *)rows.buf + row * dim;
        int16_t *e = (int16_t *)out.buf + row * dim;
        float largest = 0.0f, nan = 0.0f;
        for (Py_ssize_t i = 0; i < dim; i++) {
            const float size = fabsf(x[i]);
            largest = size > largest ? size : largest;
            nan += x[i] * 0.0f; /* 0, or NaN where x is NaN or infinite */
        }
        if (!(largest > 0.0f) || nan != 0.0f) break;
        for (Py_ssize_t i = 0; i < dim; i++) e[i] = (int16_t)rint((double)x[i] * 32767.0 / (double)largest);
    }
    PyBuffer_Release(&out);
    PyBuffer_Release(&rows);
    return PyLong_FromSsize_t(row < n ? row : -1);
}

/* dots(rows, vector, out): exact dot products of int8 rows (n, dim), evenly spaced, with an int8 vector into int32. */
static PyObject *dots(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer rows, vector, out;
    (void)module;
    if (count != 3) return refuse("dots takes rows, vector and out");
    if (PyObject_GetBuffer(args[0], &rows, PyBUF_STRIDES) < 0) return NULL;
    if (rows.ndim != 2 || rows.itemsize != 1 || rows.strides[1] != 1 || rows.strides[0] % 4 ||
        rows.strides[0] < rows.shape[1] || rows.shape[1] < 1 || rows.shape[1] > (Py_ssize_t)EIMP_MAX_DIM ||
        (uintptr_t)rows.buf % 4) {
        PyBuffer_Release(&rows);
        return refuse("rows must be int8 (n, dim) at multiples of 4 bytes, dim 1 to 4096");
    }
    if (!open_buffer(args[1], &vector, PyBUF_SIMPLE, (size_t)rows.shape[1])) goto no_vector;
    if (!open_buffer(args[2], &out, PyBUF_WRITABLE, (size_t)rows.shape[0] * sizeof(int32_t))) goto no_out;
    Py_BEGIN_ALLOW_THREADS;
    eimp_dots(rows.buf, (size_t)rows.strides[0], (uint32_t)rows.shape[0], vector.buf, (uint32_t)rows.shape[1], out.buf);
    Py_END_ALLOW_THREADS;
    PyBuffer_Release(&out);
    PyBuffer_Release(&vector);
    PyBuffer_Release(&rows);
    Py_RETURN_NONE;
no_out:
    PyBuffer_Release(&vector);
no_vector:
    PyBuffer_Release(&rows);
    return NULL;
}

static PyObject *kernels(PyObject *module, PyObject *unused) {
    (void)module;
    (void)unused;
    return PyUnicode_FromString(eimp_kernels_name());
}

static PyMethodDef module_methods[] = {
    {"quantize", (PyCFunction)(void (*)(void))quantize, METH_FASTCALL, "float32 rows as int16."},
    {"dots", (PyCFunction)(void (*)(void))dots, METH_FASTCALL, "Exact int8 dot products."},
    {"factor", (PyCFunction)(void (*)(void))edge_imprint_factor, METH_FASTCALL, "Cholesky factor of a packed scatter."},
    {"kernels", kernels, METH_NOARGS, "Name of the kernel that this processor gets."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_native", "The C library of firmware_bridge/c.", -1, module_methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__native(void) {
    if (PyType_Ready(&HeadType) < 0 || PyType_Ready(&edge_imprint_RidgeType) < 0) return NULL;
    PyObject *module = PyModule_Create(&module_definition);
    if (!module) return NULL;
    Py_INCREF(&HeadType);
    Py_INCREF(&edge_imprint_RidgeType);
    if (PyModule_AddObject(module, "Head", (PyObject *)&HeadType) < 0 ||
        PyModule_AddObject(module, "Ridge", (PyObject *)&edge_imprint_RidgeType) < 0 ||
        PyModule_AddStringConstant(module, "SOURCE_DIGEST", EIMP_SOURCE_DIGEST) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
