from vanilla.contract.compiled cimport CompiledHandler
from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response

# A node of the tree: what stands on the way to it, and where the ways from it lead.
ctypedef struct Node:
    int label            # offset in `labels`
    int label_length
    int first            # the lowest byte that a child's label begins with
    int span             # how many bytes from there on have a place in `children`
    int child            # offset in `children` of that of the lowest byte
    int parameter        # the node behind a parameter, or -1
    int leaf             # where paths end here, or -1
    int rest             # the leaf of what takes any rest, or -1

cdef int SLASH, QUESTION, GET, HEAD, OPTIONS, OTHER

cdef class Route:
    cdef readonly bytes method
    cdef readonly str pattern
    cdef readonly object handler
    cdef readonly object name
    cdef tuple pieces            # of the pattern: bytes, and (kind, name) for what is variable
    cdef tuple names             # of the variable parts, in their order
    cdef object call             # the handler, or what collects a streamed content for it
    cdef CompiledHandler compiled    # the same, where it is one

cdef class Leaf:
    cdef list routes             # by the method's index; None where there is none
    cdef dict others             # by the method's name, for those without an index
    cdef bytes allowed           # what Allow says of this leaf alone

cdef class Router(CompiledHandler):
    cdef readonly list routes
    cdef dict by_name
    cdef dict by_shape
    cdef object not_found
    cdef object method_not_allowed
    cdef bint redirects_slashes
    cdef bint is_compiled
    cdef object lock
    cdef bytes labels
    cdef const unsigned char *label_bytes
    cdef list leaves
    cdef Node *nodes
    cdef int *children
    cdef unsigned int *masks     # of leaves: the methods that each has
    cdef int node_count

    cdef object answer_otherwise(self, Request request, object response, object worker, bytes path, int index)
    cdef int find(
        self, int number, const unsigned char *path, Py_ssize_t at, Py_ssize_t end, unsigned int mask, int *marks,
        int count,
    ) noexcept nogil
    cdef Route route_of(self, Leaf leaf, Request request, int index)
    cdef unsigned int list_methods(self, bytes path) noexcept

cdef int index_method(const unsigned char *data, Py_ssize_t length) noexcept nogil
cdef bytes read_variable(Request request, int number)
