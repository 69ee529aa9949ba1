cdef class Pieces:
    cdef object take

cdef class Piece:
    cdef object take
    cdef object future    # that will have the piece, once it was asked for and is not there
