# What threads share is counts and flags, read and written by the compiler's own operations.
cdef extern from *:
    int atomic_load "__atomic_load_n"(int *value, int order) nogil
    int atomic_add "__atomic_add_fetch"(int *value, int step, int order) nogil
    int atomic_or "__atomic_or_fetch"(int *value, int bits, int order) nogil
    int atomic_exchange "__atomic_exchange_n"(int *value, int wanted, int order) nogil
    int RELAXED "__ATOMIC_RELAXED"
    int ACQUIRE "__ATOMIC_ACQUIRE"
    int RELEASE "__ATOMIC_RELEASE"
    int ACQUIRE_RELEASE "__ATOMIC_ACQ_REL"
    unsigned int atomic_load_unsigned "__atomic_load_n"(unsigned int *value, int order) nogil
    void atomic_store_unsigned "__atomic_store_n"(unsigned int *value, unsigned int wanted, int order) nogil
    void atomic_store_short "__atomic_store_n"(unsigned short *value, unsigned short wanted, int order) nogil
