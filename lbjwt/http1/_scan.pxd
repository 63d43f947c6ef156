# Byte classes, searches and comparisons shared by the two head readers. C only: no Python object is made here.
#
# The searches look at 16 bytes a step where SSE2 is there (every x86-64) and at one byte elsewhere; none reads past `end`.

from libc.stdint cimport int64_t, uint8_t

from lbjwt.http1._buffer cimport Field, Slice

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__SSE2__)
    #include <emmintrin.h>
    #endif

    enum {
        LBJ_TOKEN = 1,    /* tchar, RFC 9110 section 5.6.2 */
        LBJ_PLAIN = 2,    /* [A-Za-z0-9-]: a field name every backend reads the same way */
        LBJ_TARGET = 4,   /* VCHAR without the number sign: may stand in a request target */
        LBJ_HOST = 8,     /* unreserved of RFC 3986: may stand in a host name */
        LBJ_DIGIT = 16,
        LBJ_HEX = 32,
        LBJ_ALNUM = 64
    };
    #define LBJ_T (LBJ_TOKEN | LBJ_TARGET)
    #define LBJ_A (LBJ_T | LBJ_PLAIN | LBJ_HOST | LBJ_ALNUM)
    static const uint8_t lbj_class[256] = {
        ['!'] = LBJ_T, ['"'] = LBJ_TARGET, ['#'] = LBJ_TOKEN, ['$' ... '\\''] = LBJ_T, ['(' ... ')'] = LBJ_TARGET, ['*' ... '+'] = LBJ_T,
        [','] = LBJ_TARGET, ['-'] = LBJ_T | LBJ_PLAIN | LBJ_HOST, ['.'] = LBJ_T | LBJ_HOST, ['/'] = LBJ_TARGET,
        ['0' ... '9'] = LBJ_A | LBJ_DIGIT | LBJ_HEX, [':' ... '@'] = LBJ_TARGET, ['A' ... 'F'] = LBJ_A | LBJ_HEX,
        ['G' ... 'Z'] = LBJ_A, ['[' ... ']'] = LBJ_TARGET, ['^'] = LBJ_T, ['_'] = LBJ_T | LBJ_HOST, ['`'] = LBJ_T,
        ['a' ... 'f'] = LBJ_A | LBJ_HEX, ['g' ... 'z'] = LBJ_A, ['{'] = LBJ_TARGET, ['|'] = LBJ_T, ['}'] = LBJ_TARGET,
        ['~'] = LBJ_T | LBJ_HOST,
    };
    #undef LBJ_T
    #undef LBJ_A

    /* The first byte that is a control character (below 0x20, or DEL), or end. */
    static inline const char *lbj_next_control(const char *at, const char *end) {
    #if defined(__SSE2__)
        const __m128i low = _mm_set1_epi8(0x1f), del = _mm_set1_epi8(0x7f);
        while (end - at >= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *) at);
            unsigned hit = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, low), v), _mm_cmpeq_epi8(v, del)));
            if (hit) return at + __builtin_ctz(hit);
            at += 16;
        }
    #endif
        while (at < end && (uint8_t) *at >= 0x20 && *at != 0x7f) at++;
        return at;
    }

    /* The first byte outside [A-Za-z0-9-], or end. */
    static inline const char *lbj_plain_end(const char *at, const char *end) {
    #if defined(__SSE2__)
        while (end - at >= 16) {
            __m128i v = _mm_loadu_si128((const __m128i *) at);
            /* x - low <= span (unsigned) by way of min: bytes out of the range wrap to something larger */
            __m128i letter = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
            __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
            __m128i good = _mm_or_si128(
                _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter),
                             _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit)),
                _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
            unsigned bad = 0xffffu ^ (unsigned) _mm_movemask_epi8(good);
            if (bad) return at + __builtin_ctz(bad);
            at += 16;
        }
    #endif
        while (at < end && (lbj_class[(uint8_t) *at] & LBJ_PLAIN)) at++;
        return at;
    }

    /* Whether `size` bytes equal `lower` but for the case of letters. Exact for bytes without control characters, which
       is all that comes here: setting bit 0x20 then changes letters and characters that are in no name we look for. */
    static inline int lbj_same(const char *at, const char *lower, Py_ssize_t size) {
        const uint64_t bits = UINT64_C(0x2020202020202020);
        uint64_t a, b;
        Py_ssize_t i = 0;
        if (size >= 8) {
            for (; i + 8 <= size; i += 8) {
                memcpy(&a, at + i, 8); memcpy(&b, lower + i, 8);
                if ((a | bits) != b) return 0;
            }
            if (i == size) return 1;
            memcpy(&a, at + size - 8, 8); memcpy(&b, lower + size - 8, 8);
            return (a | bits) == b;
        }
        for (; i < size; i++) if ((at[i] | 0x20) != lower[i]) return 0;
        return 1;
    }

    /* A name as a folding backend sees it: letters lower, all that is neither letter nor digit one symbol. */
    static inline char lbj_fold(char c) {
        return (lbj_class[(uint8_t) c] & LBJ_ALNUM) ? (char) (c | 0x20) : '-';
    }
    """
    enum:
        TOKEN "LBJ_TOKEN"
        PLAIN "LBJ_PLAIN"
        TARGET "LBJ_TARGET"
        HOST_CHARACTER "LBJ_HOST"
        DIGIT "LBJ_DIGIT"
        HEX "LBJ_HEX"
        ALNUM "LBJ_ALNUM"
    const uint8_t byte_class "lbj_class"[256]
    const char *next_control "lbj_next_control"(const char *at, const char *end) noexcept nogil
    const char *plain_end "lbj_plain_end"(const char *at, const char *end) noexcept nogil
    bint same "lbj_same"(const char *at, const char *lower, Py_ssize_t size) noexcept nogil
    char fold "lbj_fold"(char c) noexcept nogil


cdef inline bint all_of(const char *at, Py_ssize_t size, uint8_t classes) noexcept nogil:
    """True when every byte belongs to one of `classes`."""
    cdef Py_ssize_t i
    for i in range(size):
        if not byte_class[<uint8_t> at[i]] & classes:
            return False
    return True


cdef inline bint equals(Slice text, const char *lower, Py_ssize_t size) noexcept nogil:
    return text.size == size and same(text.at, lower, size)


cdef Py_ssize_t scan_head(const char *data, Py_ssize_t size, Py_ssize_t start, Py_ssize_t seen, Py_ssize_t max_line,
                          Py_ssize_t max_head, Py_ssize_t max_fields, Slice *first, Field **fields, Py_ssize_t *count,
                          Py_ssize_t *capacity) noexcept
cdef int split_field(Field *field, bint *odd) noexcept
cdef bint next_element(Slice *rest, Slice *element) noexcept
cdef int64_t parse_length(Slice digits) noexcept
cdef bint is_stacked_coding(Slice value) noexcept
