/* The directory: every descriptor that we hold, found by id, by prefix and by claimed address; the
 * graph that their links form; and the addresses at which users pinned nodes. The directory decides
 * which versions of a descriptor are news and which are refused. It sends nothing: gossip does.
 *
 * Threat: identities are free, so anyone can bring any number of nodes. The directory holds
 * directory.max live entries. When it is full, a newcomer takes the place of a node that no links
 * lead to, at a limited rate; nodes that links lead to stay. What grows with the size of the
 * network counts only the latter. A node may also send different descriptors of itself to different
 * neighbours. So each version is told apart by its tag, two versions with one sequence convict
 * their author, and no route goes through a node whose keys are new. Addresses and names are only
 * claims: an address counts once two of the node's neighbours say that they see the node there, or
 * once we have met it there by a handshake. Implements p2pd-protocol(7) DIRECTORY. */
#ifndef P2PD_DIRECTORY_H
#define P2PD_DIRECTORY_H

#include "daemon/core/base/base.h"
#include "daemon/core/directory/topology.h"
#include "daemon/core/seam/types.h"
#include "daemon/core/wire/identity.h"

#define DIRECTORY_BUCKETS 256
#define DIRECTORY_CANDIDATES_MAX 16
#define DIRECTORY_MET_US US_PER_MINUTE /* how long a handshake proves where a node is */

struct directory;

/* One version of a node's descriptor. The version with the later sequence is newer; of two with the
 * same sequence, the one with the greater tag. The tag is the first 16 bytes of the signature's
 * second half. That half depends on a hash of all that was signed and on the secret key, so a
 * certain tag is as hard to bring about as a certain hash, and no other hash has to be computed. */
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

/* What we know of a node beside its descriptor: where we met it by a handshake, where users pinned
 * it, and a proof against it. Few entries have one. */
struct acquaintance {
    bool handshaken, linked; /* linked: our link to handshake_address is up */
    struct address handshake_address;
    struct mono met;      /* when we last shook hands, or that link came up or ended */
    struct address pin;   /* where it is pinned; if it is not, its former pin or unspecified */
    const uint8_t *proof; /* PROOF_LEN bytes; set while the entry is convicted */
    uint32_t proof_until; /* the proof is forgotten when this epoch begins */
};

/* What the directory holds of one node. Callers borrow it: it is valid until the next
 * directory_offer() or directory_expire(). */
struct directory_entry {
    struct node_id id;
    uint64_t prefix;
    uint64_t sequence;
    uint8_t tag[VERSION_TAG_LEN];
    struct mono received; /* when this version came */
    /* When the node was last seen: the latest directory_look_around() that found links leading to
     * it, our latest handshake with it, or the signing of its newest descriptor, whichever came
     * last. */
    struct wall last_seen;
    const uint8_t *bytes;                    /* the descriptor, verbatim */
    const struct acquaintance *acquaintance; /* NULL: known by its descriptor alone */
    uint16_t length;
    bool relay, mailbox; /* as its descriptor says; both false if it is convicted */
    bool unsettled : 1;  /* its keys are so new that no route may go through it */
    bool convicted : 1;  /* it signed two versions of one sequence */
    bool cut_off : 1;    /* no links led to it at the last directory_look_around(), and no newer
                            descriptor has come since */
    bool live;   /* its keys have not ended, so it counts as a node of the network. Entries that are
                    kept may have outlived their keys */
    bool kept;   /* pinned, corresponded with or queued for: stays when its keys end */
    bool pinned; /* acquaintance->pin says where */
};

/* self: our own id; a descriptor of it that others send is never entered. max: how many live
 * entries there may be; a kept one that comes back to life is let in beyond that. The directory
 * owns its topology. NULL: no memory. */
struct directory *directory_new(const struct node_id *self, size_t max,
                                const struct core_random *random);
void directory_free(struct directory *directory);
struct topology *directory_topology(struct directory *directory);
/* Is every place for a live entry taken? */
bool directory_is_full(const struct directory *directory);
/* Would a new node with this prefix be let in: is there a free place, or may a node that no links
 * lead to be removed for it now? If the directory is full, this walks the whole graph now and
 * then. */
bool directory_has_room(struct directory *directory, uint64_t prefix, struct mono now);

enum directory_outcome {
    DIRECTORY_NEWS = 0, /* entered or replaced an older one */
    DIRECTORY_OLD,      /* we hold this one or a newer, or a greater one of the same sequence */
    DIRECTORY_BAD, /* see ret_drop: malformed, forged, in the future, expired, full, prefix taken */
};
/* Offer a descriptor that came from anyone. Its signature is checked only if its sequence and id
 * are acceptable, because the check is expensive. A second version with the sequence that is held
 * convicts the node, whichever of the two versions is kept. */
enum directory_outcome directory_offer(struct directory *directory, const uint8_t *bytes,
                                       size_t length, struct now now,
                                       const struct directory_entry **ret_entry,
                                       enum drop *ret_drop);
/* Enter a descriptor from our own store at the start. Its signature is trusted; its keys may have
 * ended. The entry is kept, and is live if its keys hold and there is room. `pin` is where it is
 * pinned; if it is not `pinned`, where it was before, or NULL or unspecified. */
void directory_restore(struct directory *directory, const uint8_t *bytes, size_t length,
                       bool pinned, const struct address *pin, struct wall wall);
/* Set our own current descriptor, which is what we announce. Until directory_set_links() is first
 * called, its neighbours are our links in the topology. Bytes that do not decode change nothing. */
void directory_set_self(struct directory *directory, const uint8_t *bytes, size_t length,
                        struct mono now);
/* The highest sequence of a descriptor with our id that came from others and was later than any
 * that we had signed; 0: none came. Another run of this node signed it. Until ours is later still,
 * the network prefers that one, whose routing keys nobody has any more. */
uint64_t directory_outbid(const struct directory *directory);
/* Set our own links that routes may use: established ones, without suspects. They count at once,
 * before any descriptor names them. */
void directory_set_links(struct directory *directory, const uint64_t *prefixes, size_t n);

/* End entries whose keys have ended: those kept or pinned are no longer live, the others are
 * removed. Returns how many ended. Call about twice a minute. */
size_t directory_expire(struct directory *directory, struct wall wall);

const struct directory_entry *directory_find(const struct directory *directory,
                                             const struct node_id *id);
const struct directory_entry *directory_find_prefix(const struct directory *directory,
                                                    uint64_t prefix);
/* Decoded form of an entry (entries keep bytes only). */
void directory_descriptor(const struct directory_entry *entry, struct descriptor *ret_descriptor);

/* A number that changes with every version of an entry, even between two of one sequence: whoever
 * keeps something made from an entry's keys compares it. */
static inline uint64_t directory_stamp(const struct directory_entry *entry) {
    uint64_t half;
    memcpy(&half, entry->tag, sizeof half);
    return entry->sequence ^ half;
}

/* Live entries: how many there are; how many of them relay; the i-th, in an arbitrary order that
 * stays until an entry changes. */
size_t directory_count(const struct directory *directory);
size_t directory_relays(const struct directory *directory);
const struct directory_entry *directory_at(const struct directory *directory, size_t i);
/* The same over all entries, live ones first; the others are kept ones that are not live. */
size_t directory_known(const struct directory *directory);
const struct directory_entry *directory_known_at(const struct directory *directory, size_t i);
/* One live entry, drawn uniformly; NULL: there is none. */
const struct directory_entry *directory_random(const struct directory *directory);
/* Reached entries are live ones to which a chain of links led from us at the last
 * directory_follow(). How many there are; and one of them, or with `reached` false one of the other
 * live ones, drawn uniformly (NULL: there is none). What grows with the size of the network counts
 * reached entries alone, since identities are free. */
size_t directory_reached(const struct directory *directory);
const struct directory_entry *directory_random_of(const struct directory *directory, bool reached);
/* How many live entries were reached once and are not now. */
size_t directory_lost(const struct directory *directory);
/* Find out anew which entries are reached, if links have changed and the last time was long enough
 * ago: 0.4 ms for each live entry, 2 s at most. Call at each step. True: their number has
 * changed. */
bool directory_follow(struct directory *directory, struct mono now);

/* A handshake of ours proved that node `id` is at this address. A node that we met there before has
 * left it, and its handshake is forgotten. */
void directory_handshaken(struct directory *directory, const struct node_id *id,
                          const struct address *address, struct now now);
/* Our link to the node, where we last shook hands with it, has come up or has ended. */
void directory_set_linked(struct directory *directory, const struct node_id *id, bool linked,
                          struct mono now);
/* Is this address of the node confirmed: do two of the node's neighbours say that they see it
 * there, or have we met it there by a handshake? If its neighbours are in several public networks,
 * a public address takes witnesses in two different networks. */
bool directory_address_counts(const struct directory *directory,
                              const struct directory_entry *entry, const struct address *address);
/* Walk the links from us: each live node reached is marked as seen now, all others as cut off. A
 * node's own links would not tell: two nodes that died together claim each other for hours. Call
 * about twice a minute, when our own links change, and before the result is shown to anybody. */
void directory_look_around(struct directory *directory, struct wall wall);
/* Is the node in the network now: do its keys hold, and do links lead to it? Keys stay valid for
 * hours after their node has died, links only for seconds. */
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
/* ret_ids gets up to DIRECTORY_CANDIDATES_MAX ids, *ret_n how many. A node pinned at the address is
 * the answer, even offline and whatever others claim. Only if another node is confirmed there, and
 * more shows that that one is up (links lead to it and not to the pinned one; or it has valid keys
 * and the pinned one has not), the answer is KEY_CHANGED. */
enum resolve_outcome directory_resolve(const struct directory *directory,
                                       const struct destination *destination,
                                       struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX],
                                       size_t *ret_n);

/* The nodes that had an address, given as users type it, before the node `present`: they are or
 * were pinned there, or share an IP and port of it with `present`, and are not in the network now.
 * Returns how many, at most `max`. */
size_t directory_former(const struct directory *directory, const struct address *address,
                        const struct node_id *present, struct node_id *ret_ids, size_t max);
/* The node that is now in the network where `gone` used to be: where `gone` is or was pinned or, if
 * it is not pinned, at an address that it claims or was met at. *ret_address is that address. NULL:
 * `gone` is itself in the network, or no such address leads to one other node that is. */
const struct directory_entry *directory_successor(const struct directory *directory,
                                                  const struct directory_entry *gone,
                                                  struct address *ret_address);

/* Like directory_resolve(), but an address leads only to a node that is proven to be there, else
 * the outcome is RESOLVE_NONE. Proof is a pin, or a handshake of ours with the node there, less
 * than DIRECTORY_MET_US ago or followed by a link that is still up: after an older one the node may
 * have left, and another be there. Claims and witnesses are no proof, since any number of
 * identities is free. For sending messages and for pinning. */
enum resolve_outcome directory_resolve_proven(const struct directory *directory,
                                              const struct destination *destination,
                                              struct mono now,
                                              struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX],
                                              size_t *ret_n);
/* Did we meet this node at this address by a handshake, and is it in the network now? */
bool directory_is_present_at(const struct directory *directory, const struct node_id *id,
                             const struct address *address);

/* Addresses to dial in order to find out who is at `asked`, the likeliest first. If it has a port,
 * `asked` alone. If it is an IP alone: where nodes are pinned; the default port; where we met nodes
 * that are up; confirmed claims of nodes that are up; other claims, in an order that nobody else
 * knows. Returns how many, at most `max`. *ret_claimed: is any node known that claims it, or that
 * was met or pinned at this IP? */
size_t directory_places(const struct directory *directory, const struct address *asked,
                        struct address *ret_places, size_t max, bool *ret_claimed);
/* For an address that answers no dial, such as one behind a translator: where to dial neighbours of
 * the nodes that claim it, so that those become witnesses for directory_vouched(). A few for each
 * such node, which we have not met yet, each in a network of its own. */
size_t directory_witnesses(const struct directory *directory, const struct address *asked,
                           struct address *ret_places, size_t max);
/* The nodes that trusted witnesses see at an address. Trusted are two of `drawn`, neighbours of
 * ours that the caller drew itself; or four nodes that we met by handshakes in four different
 * networks. A witness counts only if it and the node name each other as neighbours. Returns how
 * many nodes. */
size_t directory_vouched(const struct directory *directory, const struct address *asked,
                         const uint64_t *drawn, size_t n_drawn,
                         struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX]);

/* Digest of each of 256 buckets (by the first byte of the id) over self and live entries received
 * before `before` (MONO_NEVER: all, at no cost): the XOR of the first 32 bits of their versions'
 * tags, a convicted one's changed by a hash of its prefix. */
void directory_digest(const struct directory *directory, struct mono before,
                      uint32_t ret_digest[DIRECTORY_BUCKETS]);
/* Visit the live entries (and self) of a bucket. Stops when visit returns false. `proof` (PROOF_LEN
 * bytes) is NULL for a node that is not convicted. */
typedef bool directory_visitor(void *context, uint64_t prefix, const struct version *version,
                               const uint8_t *proof);
void directory_visit_bucket(const struct directory *directory, unsigned bucket,
                            directory_visitor *visit, void *context);
/* Verbatim bytes of a live entry or of ourselves, or NULL. */
const uint8_t *directory_bytes(const struct directory *directory, uint64_t prefix,
                               size_t *ret_length, struct version *ret_version);

#endif
