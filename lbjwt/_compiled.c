/*
 * The shared library of all compiled modules, itself a module: it knows their names and makes them. setup.py says why they share one library.
 *
 * setup.py writes modules.h, one line for each module: MODULE("lbjwt.proxy._exchange", PyInit_lbjwt_proxy__exchange)
 */

#include <Python.h>

#define MODULE(name, entry_point) PyMODINIT_FUNC entry_point(void);
#include "modules.h"
#undef MODULE

static const struct {
    const char *name;
    PyObject *(*entry_point)(void);
} modules[] = {
#define MODULE(name, entry_point) {name, entry_point},
#include "modules.h"
#undef MODULE
};

enum { MODULES = sizeof modules / sizeof modules[0] };

PyDoc_STRVAR(create_doc, "create(spec, /)\n--\n\nThe module that the ModuleSpec names, not yet executed; ImportError if the library has none of this name.");

static PyObject *create(PyObject *self, PyObject *spec)
{
    PyObject *name = PyObject_GetAttrString(spec, "name");
    PyObject *made = NULL;
    int i = 0;

    if (name == NULL)
        return NULL;
    while (i < MODULES && PyUnicode_CompareWithASCIIString(name, modules[i].name))
        i++;
    if (i == MODULES)
        PyErr_Format(PyExc_ImportError, "no compiled module %R", name);
    else
        made = modules[i].entry_point();
    Py_DECREF(name);
    /* PEP 489: an entry point returns the definition of its module, and the importer makes the module of it. */
    if (made != NULL && PyObject_TypeCheck(made, &PyModuleDef_Type))
        return PyModule_FromDefAndSpec((PyModuleDef *)made, spec);
    return made;
}

static int execute(PyObject *module)
{
    PyObject *names = PyTuple_New(MODULES);
    int i, failed;

    if (names == NULL)
        return -1;
    for (i = 0; i < MODULES; i++) {
        PyObject *name = PyUnicode_FromString(modules[i].name);
        if (name == NULL) {
            Py_DECREF(names);
            return -1;
        }
        PyTuple_SET_ITEM(names, i, name);
    }
    failed = PyModule_AddObjectRef(module, "NAMES", names);
    Py_DECREF(names);
    return failed;
}

static PyMethodDef methods[] = {{"create", create, METH_O, create_doc}, {NULL}};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "lbjwt._compiled", .m_doc = "All compiled modules of lbjwt. NAMES: their full names.",
    .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC PyInit__compiled(void)
{
    return PyModuleDef_Init(&definition);
}
