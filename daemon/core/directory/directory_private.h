/* What the parts of the directory share: directory.c holds entries, directory_index.c finds them,
 * directory_version.c says which of their versions count and when, directory_room.c which entry is
 * removed for a newcomer, directory_resolve.c judges addresses and finds what users name,
 * directory_claims.c lists who is said to be at an address. Nobody else includes this. */
#ifndef P2PD_DIRECTORY_PRIVATE_H
#define P2PD_DIRECTORY_PRIVATE_H

#include "daemon/core/base/rate.h"
#include "daemon/core/base/table.h"
#include "daemon/core/directory/directory.h"
#include "daemon/core/directory/directory_version.h"

/* An IP under which an entry can be looked up. */
struct mark {
    struct table_link link;
    struct record *owner;
};
/* The IPs of an entry: of its claimed addresses, the last handshake and the pin. */
#define MARKS_MAX (DESCRIPTOR_ADDRESSES_MAX + 2)

/* One node. There is a record for every node of the network, so records are small: 420 bytes at
 * most with all that leads to one, beside its descriptor (test_growth.c counts them). */
struct record {
    struct directory_entry entry;
    struct table_link by_name;               /* if named */
    struct mark first, *more;                /* IPs: few have more than one */
    struct record *bucket_next, **bucket_at; /* live ones: in the list of the bucket */
    uint32_t position;                       /* in directory.records */
    uint32_t until;                          /* the epoch when its keys and any proof have ended */
    uint32_t pace;                           /* see directory_version.c */
    uint8_t n_marks;
    bool named : 1, reached : 1, met : 1; /* links lead to it; they have once */
    bool settles_first : 1;               /* it stands in `settling` with is_first */
    uint8_t rekeys, rekeyed; /* recent changes of its keys; epoch of the last, mod 256 */
};

/* Unsettled entries, each once. */
struct settling {
    uint64_t prefix;
    struct mono due;
    bool is_first; /* the first keys of this node that we know of */
};
#define UNTOLD_MAX 64

struct self {
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length; /* 0: none yet */
    struct version version;
    struct mono received;
    uint32_t digest;      /* what self adds to its bucket's digest */
    uint32_t proof_until; /* when a proof against us ends; 0: none came */
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
    struct record **records; /* [0, n_reached) those that links lead to, [n_reached, n_live) other
                              * live ones, the rest kept: dense, for uniform choice */
    uint32_t *map; /* by prefix: position + 1, 0 = empty; linear probing, a power of two, at most
                      2/3 full */
    uint32_t n_map;
    size_t n_records, n_live, n_reached, n_lost, n_relays, n_kept, capacity;
    struct record *buckets[DIRECTORY_BUCKETS];
    uint32_t digest[DIRECTORY_BUCKETS]; /* over everything live, and self */
    bool has_links;
    uint64_t rivals;
    struct address contested; /* claimed in the last such case */
    struct settling *settling;
    size_t n_settling, settling_capacity;
    struct mono settle_due;      /* the earliest of them, or before */
    uint64_t untold[UNTOLD_MAX]; /* convicted nodes whose proofs gossip has yet to send */
    size_t n_untold;
    uint64_t convictions;          /* since the start */
    size_t n_convicted;            /* live entries that are */
    struct topology_survey survey; /* of the last look; nodes removed since leave `spared` */
    bool has_looked, has_followed;
    struct mono room_looked;
    struct rate room; /* newcomers let in when the directory is full */
    struct mono followed;
    uint64_t generation;                     /* of the topology at the last directory_follow() */
    uint64_t named[DIRECTORY_NAMED_OF_LATE]; /* a ring of unknown nodes that reached ones name */
    size_t n_named;                          /* since the start; the ring holds the last of them */
};

/* directory.c. Add an entry's part to digests and counts, or take it away. Whoever changes a field
 * that the part depends on takes it away before, and adds it after. */
void directory_count_entry(struct directory *directory, const struct record *record, bool add);
void directory_forget(struct directory *directory, struct record *record);
/* Have keys that last until epoch `until` begins ended? May keys of `epoch` be used? Both with 3
 * min of grace. */
bool directory_has_ended(uint32_t until, struct wall wall);
bool directory_has_begun(int64_t epoch, struct wall wall);
/* The acquaintance of an entry, made if there is none. NULL: no memory. */
struct acquaintance *directory_acquaintance(struct record *record);

/* directory_version.c. What an entry adds to its bucket's digest. */
uint32_t directory_digest_part(const struct record *record);
uint32_t directory_tag_part(const uint8_t tag[VERSION_TAG_LEN]);
/* Does a descriptor have a routing key for this epoch or the next that differs from the entry's, or
 * that the entry lacks? */
bool directory_is_rekeyed(const struct directory_entry *entry, const struct descriptor *descriptor,
                          struct wall wall);
/* The keys of this node are new: no route goes through it until they have settled. Without memory
 * to note when that is, until its keys change again. */
void directory_unsettle(struct directory *directory, struct record *record, bool is_first,
                        struct now now);
/* The keys of this node no longer have to settle. */
void directory_unlist_settling(struct directory *directory, struct record *record);
/* A version of this node was taken: take a token of its pace. is_first: it is the first version of
 * an entry that was not live. */
void directory_charge(const struct directory *directory, struct record *record, bool is_first,
                      struct mono now);
/* This descriptor, whose signature is good, has the sequence of the one held. If the two differ,
 * convict the node. */
void directory_found_two(struct directory *directory, struct record *record, const uint8_t *bytes,
                         size_t length, const struct descriptor *descriptor, struct wall wall);
/* Forget the proof against a node: what the node says of itself counts again. */
void directory_absolve(struct directory *directory, struct record *record);

/* The pace of this node has changed; `sharers` is directory_sharers() before that. As many of its
 * tokens remain used as were used. */
void directory_repace(const struct directory *directory, struct record *record, size_t sharers,
                      struct mono now);

/* directory_room.c. Remove a node that no links lead to, so that the one with this prefix can be
 * entered. False: none may be removed just now. */
bool directory_make_room(struct directory *directory, uint64_t prefix, struct mono now);
/* If the directory is full and this node is reached, note unknown nodes that its descriptor names
 * as neighbours. They are let in without delay, until 256 others have been named. */
void directory_note_named(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor);
/* For the pace of this node: by how many nodes the pace of the whole network is divided. See
 * directory_room.c. */
size_t directory_sharers(const struct directory *directory, const struct record *record);

/* directory_index.c. The record with this prefix, or NULL. */
struct record *directory_record(const struct directory *directory, uint64_t prefix);
/* Make room in the map for one more record. False: no memory. */
bool directory_map_reserve(struct directory *directory);
/* Add a record that has just been put at its position; delete one that is about to be taken from
 * it. */
void directory_map_add(struct directory *directory, const struct record *record);
void directory_map_delete(struct directory *directory, const struct record *record);
/* Exchange the positions of two records. */
void directory_swap(struct directory *directory, size_t a, size_t b);
/* For looking up entries by IP or by name. Entries of one hash form a chain; hashes may collide, so
 * the caller compares. */
uint64_t directory_ip_hash(const struct directory *directory, const struct address *address);
/* The hash of another chain: of the entries that were met or pinned at an IP. */
uint64_t directory_known_hash(const struct directory *directory, const struct address *address);
struct table_link *directory_by_name(const struct directory *directory, const char *name);
static inline struct record *directory_owner(struct table_link *link) {
    return table_entry(link, struct mark, link)->owner;
}
static inline struct record *directory_named(struct table_link *link) {
    return table_entry(link, struct record, by_name);
}
/* Let an entry be found by the IPs and the name that it has now. False: nothing has changed, as for
 * most descriptors, which change neighbours and keys alone. Without memory, of several IPs only the
 * first finds it. */
bool directory_mark(struct directory *directory, struct record *record,
                    const struct descriptor *descriptor);
void directory_unmark(struct directory *directory, struct record *record);

/* Count a rival if another live entry claims one of this descriptor's addresses. */
void directory_note_rival(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor);

/* directory_claims.c. The nodes to consider for an address: first the known ones, which we met or
 * which are pinned at its IP; then, if `strangers`, nodes that merely claim it. Of many strangers a
 * few are considered, chosen by a secret order, and the others are passed over. */
#define KNOWN_LOOKED_AT 256
#define STRANGERS_WALKED 1024 /* claims of one IP; half a microsecond each */
#define STRANGERS_LOOKED_AT 64
struct crowd {
    const struct directory_entry *v[KNOWN_LOOKED_AT + STRANGERS_LOOKED_AT];
    size_t n, n_known; /* the known come first */
};
void directory_gather(const struct directory *directory, const struct address *asked,
                      bool strangers, struct crowd *ret_crowd);

/* Every address under which an entry may be asked for: its claims first, then the handshake's.
 * Returns how many. */
#define ENTRY_ADDRESSES_MAX (DESCRIPTOR_ADDRESSES_MAX + 1)
size_t directory_entry_addresses(const struct directory_entry *entry,
                                 struct address ret_addresses[ENTRY_ADDRESSES_MAX]);

#endif
