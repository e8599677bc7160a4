/* Every descriptor we hold, by id, by prefix and by claimed address; the graph that they form;
 * pins. It decides what is news and what is refused; it sends nothing (gossip does).
 *
 * Threat: identities are free. Bounded by directory.max: when full, a newcomer takes the place of a
 * node that no links lead to, at a rate, and residents of the network stay; and nothing that grows
 * with the network goes by those. A node may tell each of its neighbours something else of itself:
 * a version is known by its tag, two of one sequence convict it, and nobody is routed through whose
 * keys are new. Addresses and names are claims: an address counts once two of the node's neighbours
 * say they see it there, or a handshake of ours was there. Implements p2pd-protocol(7)
 * DIRECTORY. */
#ifndef P2PD_DIRECTORY_H
#define P2PD_DIRECTORY_H

#include "daemon/core/base/base.h"
#include "daemon/core/directory/topology.h"
#include "daemon/core/seam/types.h"
#include "daemon/core/wire/identity.h"

#define DIRECTORY_BUCKETS 256
#define DIRECTORY_CANDIDATES_MAX 16
#define DIRECTORY_MET_US US_PER_MINUTE /* a handshake proves where a node is */

struct directory;

/* Which of a node's descriptors: the later sequence is newer; of one sequence the greater tag. The
 * tag is of the signature, the first 16 bytes of its second half: that is a hash of all that was
 * signed, bent by the key, and as hard to bring to a certain value; no other needs computing. */
#define VERSION_TAG_LEN 16
struct version {
    uint64_t sequence;
    uint8_t tag[VERSION_TAG_LEN];
};
static inline const uint8_t *version_tag(const uint8_t *descriptor) {
    return descriptor + SIGNATURE_LEN / 2;
}
static inline int version_compare(const struct version *a, const struct version *b) {
    if (a->sequence != b->sequence)
        return a->sequence < b->sequence ? -1 : 1;
    return memcmp(a->tag, b->tag, VERSION_TAG_LEN);
}

/* What the few have of whom we know more than their word: we hold or held a link to it at one
 * address, users pinned it at another. */
struct acquaintance {
    bool handshaken, linked; /* linked: a link of ours stands where it was met */
    struct address handshake_address;
    struct mono met;      /* the last handshake, or when that link ended */
    struct address pin;   /* if the entry is pinned; else where it was, or unspecified */
    const uint8_t *proof; /* PROOF_LEN; if the entry is convicted */
    uint32_t proof_until; /* an epoch: forgotten then */
};

/* What is held of a node. Borrowed; valid until the next directory_offer/expire/remove. */
struct directory_entry {
    struct node_id id;
    uint64_t prefix;
    uint64_t sequence;
    uint8_t tag[VERSION_TAG_LEN];
    struct mono received; /* when this version came */
    /* When links last led to it (directory_look_around), or a handshake of ours; of one for which
     * neither was so, when the newest descriptor was signed. */
    struct wall last_seen;
    const uint8_t *bytes;                    /* verbatim */
    const struct acquaintance *acquaintance; /* NULL: known by its descriptor alone */
    uint16_t length;
    bool relay, mailbox; /* as it says; neither if it is convicted */
    bool unsettled : 1;  /* its keys are so new that nobody is to be sent through it */
    bool convicted : 1;  /* it signed two versions of one sequence */
    bool cut_off : 1;    /* at the last look around no links led to it, and nothing newer of it came
                            since */
    bool live;   /* its keys hold: counts as a node of the network. Kept entries may have outlived
                    theirs */
    bool kept;   /* pinned, corresponded with or queued for: stays when its keys end */
    bool pinned; /* has an acquaintance that says where */
};

/* self: our own id; never entered by others' word. max counts live entries (a kept one that comes
 * back is let in beyond it). The topology is owned by the directory. */
struct directory *directory_new(const struct node_id *self, size_t max,
                                const struct core_random *random);
void directory_free(struct directory *directory);
struct topology *directory_topology(struct directory *directory);
/* Is every place for a live entry taken? */
bool directory_is_full(const struct directory *directory);
/* Would this new id be taken: is there a place, or a node without links that gives way to it now?
 * Where it is full this looks at the whole graph now and then. */
bool directory_has_room(struct directory *directory, uint64_t prefix, struct mono now);

enum directory_outcome {
    DIRECTORY_NEWS = 0, /* entered or replaced an older one */
    DIRECTORY_OLD,      /* we hold this one or a newer, or a greater one of the same sequence */
    DIRECTORY_BAD, /* see ret_drop: malformed, forged, in the future, expired, full, prefix taken */
};
/* Offer bytes from anyone. Sequence and id are looked at before the signature is paid for. A second
 * version of the sequence that is held convicts its node, whichever of the two is kept. */
enum directory_outcome directory_offer(struct directory *directory, const uint8_t *bytes,
                                       size_t length, struct now now,
                                       const struct directory_entry **ret_entry,
                                       enum drop *ret_drop);
/* From our own store at start: signature trusted, keys may be over. It is kept; live too if its
 * keys hold and there is room. Not pinned, `pin` is where it was before, or unspecified. */
void directory_restore(struct directory *directory, const uint8_t *bytes, size_t length,
                       bool pinned, const struct address *pin, struct wall wall);
/* Our own current descriptor: is what we announce; its neighbours are the self edges of the
 * topology until directory_set_links() is first called. Bytes that do not decode change nothing. */
void directory_set_self(struct directory *directory, const uint8_t *bytes, size_t length,
                        struct mono now);
/* The highest sequence of a descriptor of ours that came back to us, if we never signed one so late
 * in this life: until ours goes beyond it, the network holds to that one, whose routing keys nobody
 * has any more. 0: none. */
uint64_t directory_outbid(const struct directory *directory);
/* Our own established links, as routes may use them (suspects left out), before any descriptor says
 * so. */
void directory_set_links(struct directory *directory, const uint64_t *prefixes, size_t n);

/* Forget what has ended. Returns how many went; call about once a minute. */
size_t directory_expire(struct directory *directory, struct wall wall);

const struct directory_entry *directory_find(const struct directory *directory,
                                             const struct node_id *id);
const struct directory_entry *directory_find_prefix(const struct directory *directory,
                                                    uint64_t prefix);
/* Decoded form of an entry (entries keep bytes only). */
void directory_descriptor(const struct directory_entry *entry, struct descriptor *ret_descriptor);

/* Changes with every version, also of one sequence: for what is made of an entry's keys. */
static inline uint64_t directory_stamp(const struct directory_entry *entry) {
    uint64_t half;
    memcpy(&half, entry->tag, sizeof half);
    return entry->sequence ^ half;
}

/* Live entries: how many, how many of them relay; the i-th in no particular but stable order (until
 * a change); one uniformly. */
size_t directory_count(const struct directory *directory);
size_t directory_relays(const struct directory *directory);
const struct directory_entry *directory_at(const struct directory *directory, size_t i);
/* The same over all that are known, the live ones first: kept ones may have outlived their keys. */
size_t directory_known(const struct directory *directory);
const struct directory_entry *directory_known_at(const struct directory *directory, size_t i);
const struct directory_entry *directory_random(const struct directory *directory);
/* Of the live ones those to which a chain of links led from us when they were last followed: how
 * many; one of them or one of the others, uniformly, or NULL. Identities are free: whatever grows
 * with the size of the network goes by these. */
size_t directory_reached(const struct directory *directory);
const struct directory_entry *directory_random_of(const struct directory *directory, bool reached);
/* Live ones that links once led to, and do not any more. */
size_t directory_lost(const struct directory *directory);
/* Follow the links anew, if any have changed and the last time is 2 s ago. Call at each step. True:
 * there are more or fewer. */
bool directory_follow(struct directory *directory, struct mono now);

/* A handshake of ours proved that id is at address; and with that, that nobody else is whom we met
 * there before. */
void directory_handshaken(struct directory *directory, const struct node_id *id,
                          const struct address *address, struct now now);
/* From now on a link stands there, or no longer. */
void directory_set_linked(struct directory *directory, const struct node_id *id, bool linked,
                          struct mono now);
/* Does this node's being at this address count (two neighbours' word, or our own handshake)? Where
 * the node's neighbours lie in several public networks, two of one network are one witness for a
 * public address. */
bool directory_address_counts(const struct directory *directory,
                              const struct directory_entry *entry, const struct address *address);
/* Look whom links lead to from us: that one is seen now, others are cut off. Two that died together
 * still claim each other, for hours. About twice a minute, at changes of our own links, and before
 * somebody is told. */
void directory_look_around(struct directory *directory, struct wall wall);
/* Is it in the network now: its keys hold, and links lead to it? Keys outlive their node by hours,
 * links by seconds. */
bool directory_is_up(const struct directory *directory, const struct directory_entry *entry);
/* The address to show people for a node: a confirmed one first, else its first claim, else
 * unspecified. */
struct address directory_address(const struct directory *directory,
                                 const struct directory_entry *entry);

/* Descriptors that came to claim an address which another live node claimed already: a machine
 * installed anew, or a rival. How many so far; the address of the last in *ret_address, if any. */
uint64_t directory_rivals(const struct directory *directory, struct address *ret_address);

/* Keep an entry beyond its keys' end (a correspondent; at most directory.max, more are not kept);
 * pin it at an address, as the user typed it: port 0 = the IP alone. Unpin every pin that binds the
 * address. Callers store the change. */
void directory_keep(struct directory *directory, const struct node_id *id);
void directory_pin(struct directory *directory, const struct node_id *id,
                   const struct address *address);
void directory_unpin(struct directory *directory, const struct address *address);

enum resolve_outcome {
    RESOLVE_ONE = 0,
    RESOLVE_NONE,        /* nothing known by that name */
    RESOLVE_UNCONFIRMED, /* a node claims the address, nobody confirms it */
    RESOLVE_AMBIGUOUS,   /* candidates listed */
    RESOLVE_KEY_CHANGED, /* pinned there: ret_ids[0]; there now: ret_ids[1] */
    RESOLVE_SELF,
};
/* ret_ids gets up to DIRECTORY_CANDIDATES_MAX ids, *ret_n how many. A pin holds while its node
 * lives: a live pinned node is the answer whatever others claim. An address pinned to a key that is
 * no longer live there, with another confirmed: KEY_CHANGED; with nobody else there: the pinned
 * node (it is known but offline). */
enum resolve_outcome directory_resolve(const struct directory *directory,
                                       const struct destination *destination,
                                       struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX],
                                       size_t *ret_n);

/* Whoever had an address before `present` did, the address as users type it: pinned there, or
 * claiming the same IP and port; none of them in the network now. Returns how many, at most
 * `max`. */
size_t directory_former(const struct directory *directory, const struct address *address,
                        const struct node_id *present, struct node_id *ret_ids, size_t max);
/* Who is in the network at the address that a node was pinned at, or if it is not pinned, that it
 * claimed. NULL: nobody, the node itself (it may be up elsewhere), or nobody in particular. With
 * *ret_address. */
const struct directory_entry *directory_successor(const struct directory *directory,
                                                  const struct directory_entry *gone,
                                                  struct address *ret_address);

/* The same with an address proven or not found at all (RESOLVE_NONE, whoever claims it): a pin, or
 * a handshake of our own with it there, within DIRECTORY_MET_US or with a link that has stood there
 * since: it may have left, and somebody else be there. What many say of an address is worth no more
 * than the identities that say it, and those are free. For what is sent, and for what is pinned. */
enum resolve_outcome directory_resolve_proven(const struct directory *directory,
                                              const struct destination *destination,
                                              struct mono now,
                                              struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX],
                                              size_t *ret_n);
/* Was it met there, by a handshake of ours, and is it up? */
bool directory_is_present_at(const struct directory *directory, const struct node_id *id,
                             const struct address *address);

/* Where a dial would tell who is at what was asked for, the likely places first: of an IP alone,
 * where somebody is pinned; the default port, claimed or not; where somebody was met who is up;
 * claims that count, of nodes that are up; other claims, in an order that nobody else knows.
 * Returns how many, at most `max`; whether anybody claims it in *ret_claimed. */
size_t directory_places(const struct directory *directory, const struct address *asked,
                        struct address *ret_places, size_t max, bool *ret_claimed);
/* For an address that answers no dial (a translator): where neighbours of those who claim it may be
 * asked whether they are who they say, few for each, in public networks of their own, and not yet
 * met. */
size_t directory_witnesses(const struct directory *directory, const struct address *asked,
                           struct address *ret_places, size_t max);
/* Who is seen there by witnesses whose word is good: two of those neighbours of ours that the
 * caller drew itself, or four that were met in four public networks. The witness and the node name
 * each other. Returns how many. */
size_t directory_vouched(const struct directory *directory, const struct address *asked,
                         const uint64_t *drawn, size_t n_drawn,
                         struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX]);

/* Digest of each of 256 buckets (by the first byte of the id) over self and live entries received
 * before `before` (MONO_NEVER: all, at no cost): the XOR of the first 32 bits of their versions'
 * tags, a convicted one's changed by a hash of its prefix. */
void directory_digest(const struct directory *directory, struct mono before,
                      uint32_t ret_digest[DIRECTORY_BUCKETS]);
/* Visit the live entries (and self) of a bucket. Stops when visit returns false. `proof`
 * (PROOF_LEN): NULL if it is not convicted. */
typedef bool directory_visitor(void *context, uint64_t prefix, const struct version *version,
                               const uint8_t *proof);
void directory_visit_bucket(const struct directory *directory, unsigned bucket,
                            directory_visitor *visit, void *context);
/* Verbatim bytes of a live entry or of ourselves, or NULL. */
const uint8_t *directory_bytes(const struct directory *directory, uint64_t prefix,
                               size_t *ret_length, struct version *ret_version);

#endif
