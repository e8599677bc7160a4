/* What the parts of the directory share: directory.c holds entries, directory_index.c finds them,
 * directory_version.c says which of their versions count and when, directory_room.c who gives way,
 * directory_resolve.c judges addresses and finds what users name, directory_claims.c who is said to
 * be at one. Nobody else includes this. */
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
/* Claimed addresses, the one of a handshake, the pin. */
#define MARKS_MAX (DESCRIPTOR_ADDRESSES_MAX + 2)

/* There is one for every node of the network: no more than 420 bytes with all that leads to it,
 * test_growth.c counts them. */
struct record {
    struct directory_entry entry;
    struct table_link by_name;               /* if named */
    struct mark first, *more;                /* IPs: few have more than one */
    struct record *bucket_next, **bucket_at; /* live ones: in the list of the bucket */
    uint32_t position;                       /* in directory.records */
    uint32_t until;                          /* the epoch after its last, or its proof's */
    uint32_t pace;                           /* see directory_version.c */
    uint8_t n_marks;
    bool named : 1, reached : 1, met : 1; /* it is reached; it was, once */
    bool settles_first : 1;               /* it stands in `settling` with is_first */
    uint8_t rekeys, rekeyed; /* changes of its keys of late; the epoch of the last, mod 256 */
};

/* Unsettled entries, each once. */
struct settling {
    uint64_t prefix;
    struct mono due;
    bool is_first; /* keys that we know of no others before, nor that there may have been */
};
#define UNTOLD_MAX 64

struct self {
    uint8_t bytes[DESCRIPTOR_MAX];
    size_t length; /* 0: none yet */
    struct version version;
    struct mono received;
    uint32_t digest;      /* its part; 0 while there is none */
    uint32_t proof_until; /* somebody has shown two versions of ours: they end then */
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
    struct address contested; /* by the last of them */
    struct settling *settling;
    size_t n_settling, settling_capacity;
    struct mono settle_due;      /* the earliest of them, or before */
    uint64_t untold[UNTOLD_MAX]; /* prefixes whose proofs are to be told */
    size_t n_untold;
    uint64_t convictions;          /* ever */
    size_t n_convicted;            /* live */
    struct topology_survey survey; /* as last looked; those spared go from its end */
    bool has_looked, has_followed;
    struct mono room_looked;
    struct rate room; /* places that may change hands */
    struct mono followed;
    uint64_t generation;                     /* of the topology, as last followed */
    uint64_t named[DIRECTORY_NAMED_OF_LATE]; /* unknown neighbours of those reached: a ring */
    size_t n_named;                          /* ever */
};

/* directory.c. An entry's part in digests and counts is taken away before what it is of changes,
 * and added after. */
void directory_count_entry(struct directory *directory, const struct record *record, bool add);
void directory_forget(struct directory *directory, struct record *record);
/* Keys that end when this epoch begins: have they ended? Keys of this epoch: may they be used? Both
 * with 3 min of grace. */
bool directory_has_ended(uint32_t until, struct wall wall);
bool directory_has_begun(int64_t epoch, struct wall wall);
/* NULL: no memory. */
struct acquaintance *directory_acquaintance(struct record *record);

/* directory_version.c. What an entry adds to its bucket's digest. */
uint32_t directory_digest_part(const struct record *record);
uint32_t directory_tag_part(const uint8_t tag[VERSION_TAG_LEN]);
/* Are the keys for now and next those that the entry has? */
bool directory_is_rekeyed(const struct directory_entry *entry, const struct descriptor *descriptor,
                          struct wall wall);
/* Its keys are new: not to be routed through for a while. Without memory, for good. */
void directory_unsettle(struct directory *directory, struct record *record, bool is_first,
                        struct now now);
/* It is no longer live. */
void directory_unlist_settling(struct directory *directory, struct record *record);
/* A version of it was taken; the first of a new entry, if it is that. */
void directory_charge(const struct directory *directory, struct record *record, bool is_first,
                      struct mono now);
/* Two versions of one sequence, the one held and this, whose signature is good. */
void directory_found_two(struct directory *directory, struct record *record, const uint8_t *bytes,
                         size_t length, const struct descriptor *descriptor, struct wall wall);
/* The proof is forgotten; what the node says of itself counts again. */
void directory_absolve(struct directory *directory, struct record *record);

/* It has another pace from now on: what it has used of the one before counts as much of the
 * next. */
void directory_repace(const struct directory *directory, struct record *record, size_t sharers,
                      struct mono now);

/* directory_room.c. A node without links gives way to this one. False: none just now. */
bool directory_make_room(struct directory *directory, uint64_t prefix, struct mono now);
/* Who is its neighbour by its newest word, and not known, is missed: until 256 others are. */
void directory_note_named(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor);
/* As many nodes as share one pace with this one, so to say: see directory_version.c. */
size_t directory_sharers(const struct directory *directory, const struct record *record);

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
/* The same of those who were met or pinned there: a chain of their own. */
uint64_t directory_known_hash(const struct directory *directory, const struct address *address);
struct table_link *directory_by_name(const struct directory *directory, const char *name);
static inline struct record *directory_owner(struct table_link *link) {
    return table_entry(link, struct mark, link)->owner;
}
static inline struct record *directory_named(struct table_link *link) {
    return table_entry(link, struct record, by_name);
}
/* Bring the marks up to date. Most descriptors change neighbours and keys alone: then nothing is
 * touched, and it is false. Without memory the entry is found by its id only, and by its first
 * address. */
bool directory_mark(struct directory *directory, struct record *record,
                    const struct descriptor *descriptor);
void directory_unmark(struct directory *directory, struct record *record);

/* Count it if another live entry claims one of this descriptor's addresses. */
void directory_note_rival(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor);

/* directory_claims.c. Whom a look at an IP takes in: the known, those who were met or pinned there;
 * then, if `strangers`, nodes that claim what was asked for, of many a few that a secret chooses.
 * Whoever else claims it might not be there for the look. */
#define KNOWN_LOOKED_AT 256
#define STRANGERS_WALKED 1024 /* half a microsecond each */
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
