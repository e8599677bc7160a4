/* What every room of the core speaks: time, identifiers, the three capabilities handed in at
 * creation, and the reasons for which untrusted input is dropped. No room of its own; it implements
 * nothing. */
#ifndef P2PD_BASE_H
#define P2PD_BASE_H

#include "daemon/core/base/drop.h"
#include "shared/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Two clocks that must never mix. Monotonic time orders and times out; wall time (UTC, unix epoch)
 * names epochs. */
struct mono {
    int64_t us;
};
struct wall {
    int64_t us;
};
struct now { /* both clocks at the time of a step; wall is corrected by what the neighbours say */
    struct mono mono;
    struct wall wall;
};
#define MONO_NEVER ((struct mono){INT64_MAX})
#define US_PER_MS INT64_C(1000)
#define US_PER_S INT64_C(1000000)
#define US_PER_MINUTE (60 * US_PER_S)
#define US_PER_HOUR (60 * US_PER_MINUTE)

static inline struct mono mono_add(struct mono t, int64_t us) {
    return (struct mono){t.us + us};
}
static inline struct mono mono_min(struct mono a, struct mono b) {
    return a.us < b.us ? a : b;
}
static inline bool mono_is_due(struct mono due, struct mono now) {
    return due.us <= now.us;
}

#define NODE_ID_LEN 32
#define NODE_NAME_MAX 32
#define MESSAGE_ID_LEN 16
#define KEY_LEN 32

struct node_id { /* an Ed25519 public key */
    uint8_t bytes[NODE_ID_LEN];
};
struct message_id { /* random, unique with its sender */
    uint8_t bytes[MESSAGE_ID_LEN];
};

static inline bool node_id_is_equal(const struct node_id *a, const struct node_id *b) {
    return memcmp(a->bytes, b->bytes, NODE_ID_LEN) == 0;
}
/* The first eight bytes, big-endian: what packets, announcements and the directory call a node. */
static inline uint64_t node_id_prefix(const struct node_id *id) {
    uint64_t prefix = 0;
    for (int i = 0; i < 8; i++)
        prefix = prefix << 8 | id->bytes[i];
    return prefix;
}

/* Leaf capability 1: uniformly random bytes. In the daemon libsodium's, in the simulator a seeded
 * stream. */
struct core_random {
    void (*fill)(void *context, void *buffer, size_t length);
    void *context;
};
static inline void random_fill(const struct core_random *random, void *buffer, size_t length) {
    random->fill(random->context, buffer, length);
}
/* Uniform in [0, bound), bound > 0, without modulo bias (Lemire 2019 would save a division; this is
 * not hot). */
static inline uint64_t random_below(const struct core_random *random, uint64_t bound) {
    uint64_t value, limit = UINT64_MAX - UINT64_MAX % bound;
    do
        random_fill(random, &value, sizeof value);
    while (value >= limit);
    return value % bound;
}

/* Leaf capability 2: the log. Lines above `level` are not even formatted. Never carries a secret;
 * an address or id of a correspondent appears at debug only. */
enum trace_level { TRACE_ERROR, TRACE_WARNING, TRACE_INFO, TRACE_DEBUG };
struct core_trace {
    enum trace_level level;
    void (*line)(void *context, enum trace_level level, const char *text);
    void *context;
};
/* Format (at most 255 bytes) and emit a line, if the sink wants that level. */
void core_log(const struct core_trace *trace, enum trace_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Leaf capability 3: other processors. `each` calls work(item) once for each of n items of `size`
 * bytes, in any order and on any threads, and returns when all are done; NULL: there are none to
 * help. item_ns is about what an item takes. The work is a pure function of its item, which no
 * other item's work looks at, so that nobody can tell how many threads there were: no lock, and one
 * outcome. */
#define COMPUTE_THREADS_MAX 64 /* that work on one batch, the caller included */
struct core_compute {
    void (*each)(void *context, void (*work)(void *item), void *items, size_t size, size_t n,
                 unsigned item_ns);
    void *context;
};
static inline void compute_each(const struct core_compute *compute, void (*work)(void *item),
                                void *items, size_t size, size_t n, unsigned item_ns) {
    if (compute->each && n > 1)
        compute->each(compute->context, work, items, size, n, item_ns);
    else
        for (size_t i = 0; i < n; i++)
            work((uint8_t *)items + i * size);
}

/* What a negative errno of the store or the system means to people, and what helps. */
#define ERROR_WORDS_MAX 80
void error_words(int error, char ret_text[ERROR_WORDS_MAX]);
/* Is it a limit of this process or machine (exit code 6), and not the disk's fault? */
bool error_is_limit(int error);

/* What travels as a message. Numbers are on the wire (parcel.h) and on disk. */
enum message_kind {
    KIND_MESSAGE = 1,
    KIND_FILE, /* its body is a file of ours: read and written block by block, never in memory */
    KIND_MAIL, /* what a mailbox keeps for its recipient: a sealed parcel of somebody else's */
};
#define FILE_NAME_MAX 200 /* bytes: there is room for ".999999.part" in any file system's 255 */
#define FILE_DIGEST_LEN 32
struct file_head {                   /* what a file has beside its bytes */
    uint8_t digest[FILE_DIGEST_LEN]; /* SHA-256 of the whole */
    char name[FILE_NAME_MAX + 1];    /* as its sender calls it; the store makes it safe */
};

#endif
