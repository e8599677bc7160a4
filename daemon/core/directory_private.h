/* What the two halves of the directory share: directory.c holds and indexes entries,
 * directory_resolve.c judges addresses and finds what users name. Nobody else includes this. */
#ifndef P2PD_DIRECTORY_PRIVATE_H
#define P2PD_DIRECTORY_PRIVATE_H

#include "daemon/core/directory.h"
#include "daemon/core/table.h"

/* One IP or name under which an entry can be looked up. */
struct mark {
    struct table_link link;
    struct record *owner;
};
enum mark_kind { MARK_IP = 1, MARK_NAME };
/* Claimed addresses, the one of a handshake, the pin, the name. */
#define MARKS_MAX (DESCRIPTOR_ADDRESSES_MAX + 3)

struct record {
    struct directory_entry entry;
    struct table_link by_prefix;
    struct record *bucket_next, **bucket_at; /* live ones: neighbours in the list of the bucket */
    struct mark *marks;
    uint32_t position; /* in directory.records */
    uint32_t hash;     /* of (prefix, sequence), for digests */
    uint32_t until;    /* the epoch after its last */
    uint8_t n_marks;
};

struct self {
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length; /* 0: none yet */
    uint64_t sequence;
    struct mono received;
    uint32_t hash;
};

struct directory {
    struct node_id id;
    uint64_t prefix;
    uint64_t outbid; /* see directory_outbid() */
    struct self self;
    size_t max;
    struct core_random random;
    struct topology *topology;
    struct table prefixes, marks;
    struct record **records; /* [0, n_live) live, the rest kept: dense, for uniform choice */
    size_t n_records, n_live, n_relays, n_kept, capacity;
    struct record *buckets[DIRECTORY_BUCKETS];
    uint32_t digest[DIRECTORY_BUCKETS]; /* over everything live, and self */
    bool has_links;
    uint64_t rivals;
    struct address contested; /* by the last of them */
};

/* The records marked with an IP or name: pass the hash's first to walk on. Hashes may collide: the
 * caller looks again. */
uint64_t directory_mark_hash(const struct directory *directory, enum mark_kind kind,
                             const void *bytes, size_t length);
static inline struct mark *directory_mark(struct table_link *link) {
    return link ? table_entry(link, struct mark, link) : NULL;
}

/* Count it if another live entry claims one of this descriptor's addresses. */
void directory_note_rival(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor);

/* Every address under which an entry may be asked for: its claims first, then the handshake's.
 * Returns how many. */
#define ENTRY_ADDRESSES_MAX (DESCRIPTOR_ADDRESSES_MAX + 1)
size_t directory_entry_addresses(const struct directory_entry *entry,
                                 struct address ret_addresses[ENTRY_ADDRESSES_MAX]);

#endif
