from cpython.object cimport PyObject

from vanilla.contract.request cimport Framed, Request
from vanilla.engine.connections cimport Connection
from vanilla.engine.parking cimport Parked
from vanilla.engine.watches cimport Watches

cdef class Reading(Watches):
    cdef int ask_content(self, Parked parked) except -1
    cdef int keep_first(self, Parked parked) except -1
    cdef bytes take_piece(self, Parked parked)

cdef extern from "Python.h":
    void Py_SET_SIZE(object sized, Py_ssize_t size)
