from libc.string cimport memcpy

cdef int SPACE, COMMA, COLON
cdef long long _MALFORMED
cdef bytes _MONTHS, _WEEKDAYS

cdef long long _floor(long long value, long long by) noexcept
cdef long long _parse_fixdate(const unsigned char *text) noexcept
cdef int _number(const unsigned char *text, int at) noexcept
cdef int _find_name(const unsigned char *text, int at, const unsigned char *names, int count) noexcept
cdef long long _count_seconds(long long year, int month, int day, int hour, int minute, int second) noexcept
