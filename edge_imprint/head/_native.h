/* What the files of edge_imprint.head._native share. */
#ifndef EDGE_IMPRINT_NATIVE_H
#define EDGE_IMPRINT_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

static inline PyObject *refuse(const char *what) {
    PyErr_SetString(PyExc_ValueError, what);
    return NULL;
}

static inline PyObject *done(int status) {
    if (status == 0) Py_RETURN_NONE;
    return PyErr_Format(PyExc_RuntimeError, "the C library refused with code %d", status);
}

/* A contiguous buffer of at least `bytes` bytes. */
static inline int open_buffer(PyObject *object, Py_buffer *view, int flags, size_t bytes) {
    if (PyObject_GetBuffer(object, view, flags | PyBUF_C_CONTIGUOUS) < 0) return 0;
    if ((size_t)view->len >= bytes) return 1;
    PyBuffer_Release(view);
    refuse("a buffer is too small");
    return 0;
}

/* _nativeridge.c */
extern PyTypeObject edge_imprint_RidgeType;
PyObject *edge_imprint_factor(PyObject *module, PyObject *const *args, Py_ssize_t count);

#endif
