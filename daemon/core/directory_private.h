/* What the parts of the directory share: directory.c holds entries, directory_index.c finds them, directory_resolve.c judges
 * addresses and finds what users name. Nobody else includes this. */
#ifndef P2PD_DIRECTORY_PRIVATE_H
#define P2PD_DIRECTORY_PRIVATE_H

#include "daemon/core/directory.h"
#include "daemon/core/table.h"

/* An IP under which an entry can be looked up. */
struct mark {
    struct table_link link;
    struct record *owner;
};
/* Claimed addresses, the one of a handshake, the pin. */
#define MARKS_MAX (DESCRIPTOR_ADDRESSES_MAX + 2)

/* There is one for every node of the network: no more than 400 bytes with all that leads to it, test_growth.c counts them. */
struct record {
    struct directory_entry entry;
    struct table_link by_name;               /* if named */
    struct mark first, *more;                /* IPs: few have more than one */
    struct record *bucket_next, **bucket_at; /* live ones: in the list of the bucket */
    uint32_t position;                       /* in directory.records */
    uint32_t hash;                           /* of (prefix, sequence), for digests */
    uint32_t until;                          /* the epoch after its last */
    uint8_t n_marks;
    bool named;
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
    struct table ips, names;
    struct record **records; /* [0, n_live) live, the rest kept: dense, for uniform choice */
    uint32_t *
        map; /* by prefix: position + 1, 0 = empty; linear probing, a power of two, at most 2/3 full */
    uint32_t n_map;
    size_t n_records, n_live, n_relays, n_kept, capacity;
    struct record *buckets[DIRECTORY_BUCKETS];
    uint32_t digest[DIRECTORY_BUCKETS]; /* over everything live, and self */
    bool has_links;
    uint64_t rivals;
    struct address contested; /* by the last of them */
};

/* directory_index.c. The one with this prefix, or NULL. */
struct record *directory_record(const struct directory *directory, uint64_t prefix);
/* Room for one more. False: no memory. */
bool directory_map_reserve(struct directory *directory);
/* One that has just been put at its position; one that is about to be taken from it. */
void directory_map_add(struct directory *directory, const struct record *record);
void directory_map_delete(struct directory *directory, const struct record *record);
/* Two exchange their positions. */
void directory_swap(struct directory *directory, size_t a, size_t b);
/* Those under an IP or a name, one after the other; hashes may collide, the caller looks again. */
uint64_t directory_ip_hash(const struct directory *directory, const struct address *address);
struct table_link *directory_by_name(const struct directory *directory, const char *name);
static inline struct record *directory_owner(struct table_link *link) {
    return table_entry(link, struct mark, link)->owner;
}
static inline struct record *directory_named(struct table_link *link) {
    return table_entry(link, struct record, by_name);
}
/* Bring the marks up to date. Most descriptors change neighbours and keys alone: then nothing is touched, and it is false. Without memory
 * the entry is found by its id only, and by its first address. */
bool directory_mark(struct directory *directory, struct record *record,
                    const struct descriptor *descriptor);
void directory_unmark(struct directory *directory, struct record *record);

/* Count it if another live entry claims one of this descriptor's addresses. */
void directory_note_rival(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor);

/* Every address under which an entry may be asked for: its claims first, then the handshake's.
 * Returns how many. */
#define ENTRY_ADDRESSES_MAX (DESCRIPTOR_ADDRESSES_MAX + 1)
size_t directory_entry_addresses(const struct directory_entry *entry,
                                 struct address ret_addresses[ENTRY_ADDRESSES_MAX]);

#endif
