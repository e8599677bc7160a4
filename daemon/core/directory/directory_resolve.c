/* Whether an address counts, and which nodes a user's words mean.
 *
 * Threat: addresses and names are claims, so a rival may claim whatever a user is about to type. No
 * node is found by an address that it alone claims; two witnesses in one network are one; and a
 * node that was pinned or met at an address is found there as long as links lead to it, whatever
 * others claim and confirm. */
#include "daemon/core/directory/directory_private.h"
#include "daemon/core/seam/destination.h"

/* ---- Does an address count? ---- */

/* Do we know from a handshake where this node is? */
static bool is_met(const struct directory_entry *entry) {
    return entry->acquaintance && entry->acquaintance->handshaken;
}

static bool is_met_at(const struct directory_entry *entry, const struct address *address) {
    return is_met(entry) && address_is_equal(&entry->acquaintance->handshake_address, address);
}

/* Is the handshake recent, or is our link still up? Else the node may have left since. */
static bool is_met_of_late(const struct directory_entry *entry, struct mono now) {
    return entry->acquaintance->linked || now.us - entry->acquaintance->met.us < DIRECTORY_MET_US;
}

size_t directory_entry_addresses(const struct directory_entry *entry,
                                 struct address ret_addresses[ENTRY_ADDRESSES_MAX]) {
    struct descriptor descriptor;
    size_t n;

    directory_descriptor(entry, &descriptor);
    n = descriptor.n_addresses;
    memcpy(ret_addresses, descriptor.addresses, sizeof descriptor.addresses);
    if (is_met(entry))
        ret_addresses[n++] = entry->acquaintance->handshake_address;
    return n;
}

struct witness {
    uint64_t network; /* 0: none that is public */
    bool sees;
};

/* Where a neighbour of the node is, as far as we know, and whether it says that it sees the node
 * there. */
static struct witness question(const struct directory_entry *neighbour, uint64_t prefix,
                               const struct address *address) {
    struct descriptor descriptor;
    struct witness witness = {0, false};

    directory_descriptor(neighbour, &descriptor);
    struct address place = is_met(neighbour)
                               ? neighbour->acquaintance->handshake_address
                               : descriptor.addresses[0]; /* unspecified if it claims none */
    if (!address_is_private(&place) && !address_is_unspecified(&place))
        witness.network = address_network(&place);
    for (size_t i = 0; i < descriptor.n_neighbours; i++)
        witness.sees |= descriptor.neighbours[i].prefix == prefix &&
                        address_is_equal(&descriptor.neighbours[i].seen_at, address);
    return witness;
}

static bool witnesses_suffice(const struct witness *witnesses, size_t n, bool is_private) {
    uint64_t public = 0, seen_in = 0;
    bool several_networks = false, several_see_in = false;
    size_t n_see = 0;

    for (size_t i = 0; i < n; i++) {
        if (witnesses[i].network != 0) {
            several_networks |= public != 0 && public != witnesses[i].network;
            public = witnesses[i].network;
        }
        if (!witnesses[i].sees)
            continue;
        n_see++;
        if (witnesses[i].network == 0)
            continue; /* not known: it may be the other one's */
        several_see_in |= seen_in != 0 && seen_in != witnesses[i].network;
        seen_in = witnesses[i].network;
    }
    /* A private address is seen from within its own network alone. */
    return n_see >= 2 && (!several_networks || is_private || several_see_in);
}

bool directory_address_counts(const struct directory *directory,
                              const struct directory_entry *entry, const struct address *address) {
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX];
    struct witness witnesses[TOPOLOGY_DEGREE_MAX];
    size_t n = 0;

    if (is_met_at(entry, address))
        return true;
    size_t n_prefixes = topology_neighbours(directory->topology, entry->prefix, prefixes);
    for (size_t i = 0; i < n_prefixes; i++) {
        const struct directory_entry *neighbour = directory_find_prefix(directory, prefixes[i]);
        if (neighbour && neighbour->live)
            witnesses[n++] = question(neighbour, entry->prefix, address);
    }
    return witnesses_suffice(witnesses, n, address_is_private(address));
}

struct address directory_address(const struct directory *directory,
                                 const struct directory_entry *entry) {
    struct address addresses[ENTRY_ADDRESSES_MAX], none = {0};
    size_t n = directory_entry_addresses(entry, addresses);

    for (size_t i = 0; i < n; i++) /* that of the handshake is the last, and counts */
        if (directory_address_counts(directory, entry, &addresses[i]))
            return addresses[i];
    return n > 0 ? addresses[0] : none;
}

/* How much shows that a node is in the network now. Keys stay valid for hours after their node has
 * died; its neighbours drop their links within seconds. */
enum sign_of_life { LIFE_NONE = 0, LIFE_KEYS, LIFE_LINKS };
static enum sign_of_life life_of(const struct directory *directory,
                                 const struct directory_entry *entry) {
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX];

    if (!entry->live)
        return LIFE_NONE;
    if (entry->cut_off)
        return LIFE_KEYS;
    return topology_neighbours(directory->topology, entry->prefix, prefixes) > 0 ||
                   topology_has_link(directory->topology, node_id_prefix(&directory->id),
                                     entry->prefix)
               ? LIFE_LINKS
               : LIFE_KEYS;
}

bool directory_is_up(const struct directory *directory, const struct directory_entry *entry) {
    return life_of(directory, entry) == LIFE_LINKS;
}

/* ---- Rivals ---- */

/* Of the nodes that share an IP, or claim to, at most so many are looked at: that should cost no
 * more than the check of a signature. */
#define RIVALS_LOOKED_AT 16

static bool claims(const struct directory_entry *entry, const struct address *address) {
    struct descriptor descriptor;

    directory_descriptor(entry, &descriptor);
    for (size_t i = 0; i < descriptor.n_addresses; i++)
        if (address_is_equal(&descriptor.addresses[i], address))
            return true;
    return false;
}

static bool is_claimed(const struct directory *directory, const struct record *record,
                       const struct address *address, uint64_t hash) {
    struct table_link *link = table_first(&directory->ips, hash);

    for (unsigned i = 0; link && i < RIVALS_LOOKED_AT; i++, link = table_next(link)) {
        const struct record *other = directory_owner(link);
        if (other != record && other->entry.live && claims(&other->entry, address))
            return true;
    }
    return false;
}

static bool is_contested(const struct directory *directory, const struct record *record,
                         const struct address *address) {
    return is_claimed(directory, record, address, directory_known_hash(directory, address)) ||
           is_claimed(directory, record, address, directory_ip_hash(directory, address));
}

void directory_note_rival(struct directory *directory, const struct record *record,
                          const struct descriptor *descriptor) {
    for (size_t i = 0; i < descriptor->n_addresses; i++)
        if (is_contested(directory, record, &descriptor->addresses[i])) {
            directory->rivals++;
            directory->contested = descriptor->addresses[i];
            return;
        }
}

uint64_t directory_rivals(const struct directory *directory, struct address *ret_address) {
    if (directory->rivals > 0)
        *ret_address = directory->contested;
    return directory->rivals;
}

/* ---- Candidates ---- */

struct candidates {
    struct node_id *ids;
    size_t
        n; /* beyond DIRECTORY_CANDIDATES_MAX they are not listed; two are as ambiguous as more */
};

static void list(struct candidates *candidates, const struct node_id *id) {
    for (size_t i = 0; i < candidates->n; i++)
        if (node_id_is_equal(&candidates->ids[i], id))
            return;
    if (candidates->n < DIRECTORY_CANDIDATES_MAX)
        candidates->ids[candidates->n++] = *id;
}

static enum resolve_outcome outcome_of(const struct directory *directory,
                                       const struct candidates *candidates) {
    if (candidates->n == 0)
        return RESOLVE_NONE;
    if (candidates->n > 1)
        return RESOLVE_AMBIGUOUS;
    return node_id_is_equal(&candidates->ids[0], &directory->id) ? RESOLVE_SELF : RESOLVE_ONE;
}

/* ---- By id and name ---- */

static enum resolve_outcome resolve_id(const struct directory *directory,
                                       const struct destination *destination,
                                       struct candidates *candidates) {
    struct node_id id;

    memcpy(id.bytes, destination->id, NODE_ID_LEN);
    if (node_id_is_equal(&id, &directory->id) || directory_find(directory, &id))
        list(candidates, &id);
    return outcome_of(directory, candidates);
}

static enum resolve_outcome resolve_prefix(const struct directory *directory,
                                           const struct destination *destination,
                                           struct candidates *candidates) {
    if (destination_has_digits(destination, &directory->id))
        list(candidates, &directory->id);
    for (size_t i = 0; i < directory->n_records; i++)
        if (destination_has_digits(destination, &directory->records[i]->entry.id))
            list(candidates, &directory->records[i]->entry.id);
    return outcome_of(directory, candidates);
}

static bool self_descriptor(const struct directory *directory, struct descriptor *ret_descriptor) {
    return directory->self.length > 0 &&
           descriptor_decode(directory->self.bytes, directory->self.length, ret_descriptor) ==
               DROP_NONE;
}

static bool is_self_listed(const struct directory *directory, const struct candidates *candidates) {
    return candidates->n > 0 && node_id_is_equal(&candidates->ids[0], &directory->id);
}

static enum resolve_outcome resolve_name(const struct directory *directory,
                                         const struct destination *destination,
                                         struct candidates *candidates) {
    struct descriptor descriptor;
    enum sign_of_life most = LIFE_NONE;

    if (!descriptor_name_is_valid(destination->name))
        return RESOLVE_NONE;
    if (self_descriptor(directory, &descriptor) && strcmp(descriptor.name, destination->name) == 0)
        list(candidates, &directory->id);
    for (struct table_link *link = directory_by_name(directory, destination->name); link;
         link = table_next(link)) {
        const struct directory_entry *entry = &directory_named(link)->entry;
        directory_descriptor(entry, &descriptor);
        enum sign_of_life life = life_of(directory, entry);
        if (strcmp(descriptor.name, destination->name) != 0 || life < most)
            continue;
        if (life > most && !is_self_listed(directory, candidates))
            candidates->n = 0; /* those before show less life: a machine was installed anew */
        most = life;
        list(candidates, &entry->id);
    }
    return outcome_of(directory, candidates);
}

/* ---- By address ---- */

/* Is this entry pinned at the address asked for? A pin of the IP alone holds for a port only if the
 * pinned node claims that port, for others may share the IP. A pin of a port does not hold for the
 * IP alone. */
static bool is_pinned_at(const struct directory_entry *entry, const struct address *asked) {
    struct address addresses[ENTRY_ADDRESSES_MAX];

    if (!entry->pinned || !address_is_same_ip(&entry->acquaintance->pin, asked))
        return false;
    if (entry->acquaintance->pin.port == asked->port)
        return true;
    if (entry->acquaintance->pin.port != 0)
        return false;
    size_t n = directory_entry_addresses(entry, addresses);
    for (size_t i = 0; i < n; i++)
        if (address_is_equal(&addresses[i], asked))
            return true;
    return false;
}

/* At most so many nodes that we met at one IP are noted as proven there; the addresses of others
 * are judged by witnesses. */
#define PROVEN_MAX 16

/* The nodes found for an address. Of the confirmed ones only those are listed that show most life:
 * an identity that was replaced there is still known, but gone. `port` is theirs, for when the IP
 * alone was asked for. */
struct found {
    /* The time now, if only a pin or a handshake counts; NULL: witnesses do, too */
    const struct mono *proof;
    struct address proven[PROVEN_MAX]; /* addresses where we met nodes that are up */
    size_t n_proven;
    struct candidates pinned, confirmed, claiming;
    enum sign_of_life pinned_life, confirmed_life;
    struct node_id ids[3][DIRECTORY_CANDIDATES_MAX];
    uint16_t port;
    bool several_ports, default_port;
};

static void found_init(struct found *found, const struct mono *proof) {
    memset(found, 0, sizeof *found);
    found->proof = proof;
    found->pinned.ids = found->ids[0];
    found->confirmed.ids = found->ids[1];
    found->claiming.ids = found->ids[2];
}

static void note_confirmed(struct found *found, const struct node_id *id, uint16_t port,
                           enum sign_of_life life) {
    if (found->confirmed.n > 0 && life < found->confirmed_life)
        return;
    if (life > found->confirmed_life) {
        found->confirmed.n = 0;
        found->port = 0;
        found->several_ports = found->default_port = false;
    }
    found->confirmed_life = life;
    list(&found->confirmed, id);
    found->several_ports |= found->port != 0 && found->port != port;
    found->default_port |= port == ADDRESS_PORT_DEFAULT;
    found->port = port;
}

/* A handshake outweighs any number of witnesses: at an address where we met a node that is up, no
 * other is found. */
static bool is_found_at(const struct directory *directory, const struct directory_entry *entry,
                        const struct address *address, const struct found *found) {
    if (is_met_at(entry, address))
        return !found->proof || is_met_of_late(entry, *found->proof);
    if (found->proof)
        return false;
    for (size_t i = 0; i < found->n_proven; i++)
        if (address_is_equal(&found->proven[i], address))
            return false;
    return directory_address_counts(directory, entry, address);
}

static void weigh(const struct directory *directory, const struct directory_entry *entry,
                  const struct address *asked, struct found *found) {
    struct address addresses[ENTRY_ADDRESSES_MAX];

    enum sign_of_life life = life_of(directory, entry);
    if (is_pinned_at(entry, asked)) {
        list(&found->pinned, &entry->id);
        if (life > found->pinned_life)
            found->pinned_life = life;
        return;
    }
    /* Pinned at some port of the IP asked for: the entry counts as confirmed there, whether it is
     * up or not. */
    if (entry->pinned && entry->acquaintance->pin.port != 0 &&
        address_matches(&entry->acquaintance->pin, asked))
        note_confirmed(found, &entry->id, entry->acquaintance->pin.port, life);
    size_t n = directory_entry_addresses(entry, addresses);
    for (size_t i = 0; i < n; i++) {
        if (!address_matches(&addresses[i], asked))
            continue;
        if (is_found_at(directory, entry, &addresses[i], found))
            note_confirmed(found, &entry->id, addresses[i].port, life);
        else if (!found->proof)
            list(&found->claiming, &entry->id);
    }
}

static void note_proven(const struct directory *directory, const struct directory_entry *entry,
                        const struct address *asked, struct found *found) {
    if (is_met(entry) && address_matches(&entry->acquaintance->handshake_address, asked) &&
        found->n_proven < PROVEN_MAX && directory_is_up(directory, entry))
        found->proven[found->n_proven++] = entry->acquaintance->handshake_address;
}

static void look(const struct directory *directory, const struct address *asked,
                 const struct mono *proof, struct found *found) {
    struct descriptor self;
    struct crowd crowd;

    found_init(found, proof);
    directory_gather(directory, asked, !proof, &crowd); /* nothing proves where a stranger is */
    for (size_t i = 0; i < crowd.n_known; i++)
        note_proven(directory, crowd.v[i], asked, found);
    if (self_descriptor(directory, &self))
        for (size_t i = 0; i < self.n_addresses; i++)
            if (address_matches(&self.addresses[i], asked))
                note_confirmed(found, &directory->id, self.addresses[i].port, LIFE_LINKS);
    for (size_t i = 0; i < crowd.n; i++)
        weigh(directory, crowd.v[i], asked, found);
}

static enum resolve_outcome answer(const struct directory *directory, struct candidates *result,
                                   const struct candidates *candidates) {
    for (size_t i = 0; i < candidates->n; i++)
        list(result, &candidates->ids[i]);
    return outcome_of(directory, result);
}

static enum resolve_outcome judge(const struct directory *directory, const struct found *found,
                                  struct candidates *result) {
    /* A pin holds until more shows that another node is up at the address than that the pinned one
     * is. */
    if (found->pinned.n > 0 && found->confirmed.n > 0 &&
        found->confirmed_life > found->pinned_life) {
        list(result, &found->pinned.ids[0]);
        list(result, &found->confirmed.ids[0]);
        return RESOLVE_KEY_CHANGED;
    }
    if (found->pinned.n > 0)
        return answer(directory, result, &found->pinned);
    if (found->confirmed.n > 0)
        return answer(directory, result, &found->confirmed);
    if (found->claiming.n == 0)
        return RESOLVE_NONE;
    answer(directory, result, &found->claiming);
    return RESOLVE_UNCONFIRMED;
}

static enum resolve_outcome resolve_address(const struct directory *directory,
                                            const struct address *asked, const struct mono *proof,
                                            struct candidates *result) {
    struct found found;
    struct address at = *asked;

    look(directory, asked, proof, &found);
    if (asked->port != 0 || found.pinned.n > 0 || found.confirmed.n == 0)
        return judge(directory, &found, result);
    /* Only the IP was asked for: take the port of the one node there, or of several the default
     * port. */
    if (found.several_ports && found.default_port)
        at.port = ADDRESS_PORT_DEFAULT;
    else if (!found.several_ports)
        at.port = found.port;
    if (at.port != 0)
        look(directory, &at, proof, &found); /* a pin of that port goes first */
    return judge(directory, &found, result);
}

static enum resolve_outcome resolve(const struct directory *directory,
                                    const struct destination *destination, const struct mono *proof,
                                    struct candidates *result) {
    switch (destination->kind) {
    case DEST_ADDRESS:
        return resolve_address(directory, &destination->address, proof, result);
    case DEST_ID:
        return resolve_id(directory, destination, result);
    case DEST_PREFIX:
        return resolve_prefix(directory, destination, result);
    case DEST_NAME:
        return resolve_name(directory, destination, result);
    }
    return RESOLVE_NONE;
}

enum resolve_outcome directory_resolve(const struct directory *directory,
                                       const struct destination *destination,
                                       struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX],
                                       size_t *ret_n) {
    struct candidates result = {ret_ids, 0};
    enum resolve_outcome outcome = resolve(directory, destination, NULL, &result);

    *ret_n = result.n;
    return outcome;
}

/* ---- Who was there, who is there ---- */

/* Have both nodes claimed, or been met at, the same IP and port, and is it one asked for? */
static bool is_same_place(const struct directory_entry *a, const struct directory_entry *b,
                          const struct address *ip) {
    struct address of_a[ENTRY_ADDRESSES_MAX], of_b[ENTRY_ADDRESSES_MAX];
    size_t n_a = directory_entry_addresses(a, of_a), n_b = directory_entry_addresses(b, of_b);

    for (size_t i = 0; i < n_a; i++)
        for (size_t j = 0; j < n_b; j++)
            if (address_matches(&of_a[i], ip) && address_is_equal(&of_a[i], &of_b[j]))
                return true;
    return false;
}

/* A pin stays in `pin` after it was taken back. */
static bool was_pinned_at(const struct directory_entry *entry, const struct address *asked) {
    return entry->acquaintance && entry->acquaintance->pin.port == asked->port &&
           address_is_same_ip(&entry->acquaintance->pin, asked);
}

size_t directory_former(const struct directory *directory, const struct address *address,
                        const struct node_id *present, struct node_id *ret_ids, size_t max) {
    const struct directory_entry *now = directory_find(directory, present);
    struct candidates former = {ret_ids, 0};
    struct crowd crowd;

    directory_gather(directory, address, true, &crowd);
    for (size_t i = 0; i < crowd.n && now && former.n < max; i++) {
        const struct directory_entry *entry = crowd.v[i];
        if (entry != now && !directory_is_up(directory, entry) &&
            (is_pinned_at(entry, address) || was_pinned_at(entry, address) ||
             is_same_place(entry, now, address)))
            list(&former, &entry->id);
    }
    return former.n;
}

const struct directory_entry *directory_successor(const struct directory *directory,
                                                  const struct directory_entry *gone,
                                                  struct address *ret_address) {
    struct address addresses[ENTRY_ADDRESSES_MAX + 1];
    size_t n = 0;

    if (directory_is_up(directory, gone))
        return NULL;
    if (gone->acquaintance && !address_is_unspecified(&gone->acquaintance->pin))
        addresses[n++] = gone->acquaintance->pin;
    if (!gone->pinned)
        n += directory_entry_addresses(gone, addresses + n);
    for (size_t i = 0; i < n; i++) {
        struct destination at = {.kind = DEST_ADDRESS, .address = addresses[i]};
        struct node_id ids[DIRECTORY_CANDIDATES_MAX];
        size_t found = 0;
        enum resolve_outcome outcome = directory_resolve(directory, &at, ids, &found);
        const struct directory_entry *entry =
            outcome == RESOLVE_KEY_CHANGED ? directory_find(directory, &ids[1])
            : outcome == RESOLVE_ONE       ? directory_find(directory, &ids[0])
                                           : NULL;
        if (!entry || entry == gone || !directory_is_up(directory, entry))
            continue;
        *ret_address = addresses[i];
        return entry;
    }
    return NULL;
}

enum resolve_outcome directory_resolve_proven(const struct directory *directory,
                                              const struct destination *destination,
                                              struct mono now,
                                              struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX],
                                              size_t *ret_n) {
    struct candidates result = {ret_ids, 0};
    enum resolve_outcome outcome = resolve(directory, destination, &now, &result);

    *ret_n = result.n;
    return outcome;
}

bool directory_is_present_at(const struct directory *directory, const struct node_id *id,
                             const struct address *address) {
    const struct directory_entry *entry = directory_find(directory, id);

    return entry && is_met_at(entry, address) && directory_is_up(directory, entry);
}
