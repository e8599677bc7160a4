/* Who is said to be at an address: which nodes are considered, where to dial to find out, and which
 * witnesses are trusted where nobody answers.
 *
 * Threat: claims are free. Thousands may claim an IP, with ports that lead nowhere, and they must
 * neither hide the node that is there nor make the search expensive. So nodes that were pinned or
 * met at the IP are in a chain of their own, apart from the crowd; of the others a bounded number
 * is considered, chosen by a secret order; and the second claim of a node comes after the first
 * claims of all others. Witnesses are free as well. Two are trusted if we drew them ourselves; else
 * it takes four of the node's neighbours that we met by handshakes in four different networks,
 * since addresses in so many networks are not free. */
#include "daemon/core/directory/directory_private.h"

#define WITNESSES_DRAWN 2
#define WITNESSES_MET 4
#define ASKED_PER_CLAIM (WITNESSES_MET + 1) /* one of them may be down, or behind a translator */

static bool claims_at(const struct directory_entry *entry, const struct address *asked) {
    struct address addresses[ENTRY_ADDRESSES_MAX];
    size_t n = directory_entry_addresses(entry, addresses);

    for (size_t i = 0; i < n; i++)
        if (address_matches(&addresses[i], asked))
            return true;
    return false;
}

/* ---- The crowd ---- */

/* Where a node stands in an order that nobody else knows and that does not change. */
static uint64_t secret_order(const struct directory *directory, uint64_t prefix) {
    return table_hash(&directory->ips, &prefix, sizeof prefix);
}

struct stranger {
    const struct directory_entry *entry;
    uint64_t order;
};

/* Keep those lowest in that order. */
static void pick(struct stranger strangers[STRANGERS_LOOKED_AT], size_t *n,
                 const struct directory_entry *entry, uint64_t order) {
    size_t at = *n;

    if (*n == STRANGERS_LOOKED_AT && strangers[*n - 1].order <= order)
        return;
    if (*n < STRANGERS_LOOKED_AT)
        (*n)++;
    else
        at--;
    for (; at > 0 && strangers[at - 1].order > order; at--)
        strangers[at] = strangers[at - 1];
    strangers[at] = (struct stranger){entry, order};
}

static void gather_known(const struct directory *directory, const struct address *asked,
                         struct crowd *crowd) {
    struct table_link *link = table_first(&directory->ips, directory_known_hash(directory, asked));

    for (; link && crowd->n < KNOWN_LOOKED_AT; link = table_next(link))
        crowd->v[crowd->n++] = &directory_owner(link)->entry;
    crowd->n_known = crowd->n;
}

void directory_gather(const struct directory *directory, const struct address *asked,
                      bool strangers, struct crowd *ret_crowd) {
    struct table_link *link = table_first(&directory->ips, directory_ip_hash(directory, asked));
    struct stranger picked[STRANGERS_LOOKED_AT];
    size_t n = 0;

    ret_crowd->n = 0;
    gather_known(directory, asked, ret_crowd);
    for (unsigned i = 0; strangers && link && i < STRANGERS_WALKED; i++, link = table_next(link)) {
        const struct directory_entry *entry = &directory_owner(link)->entry;
        if (claims_at(entry, asked))
            pick(picked, &n, entry, secret_order(directory, entry->prefix));
    }
    for (size_t i = 0; i < n; i++)
        ret_crowd->v[ret_crowd->n++] = picked[i].entry;
}

/* ---- Whom to ask ---- */

struct places {
    struct address *v;
    size_t n, max;
};

static void add(struct places *places, const struct address *address) {
    for (size_t i = 0; i < places->n; i++)
        if (address_is_equal(&places->v[i], address))
            return;
    if (places->n < places->max && address->port != 0)
        places->v[places->n++] = *address;
}

static void add_pinned(const struct crowd *crowd, const struct address *asked,
                       struct places *places) {
    struct address addresses[ENTRY_ADDRESSES_MAX];

    for (size_t i = 0; i < crowd->n_known; i++) {
        const struct directory_entry *entry = crowd->v[i];
        if (!entry->pinned || !address_is_same_ip(&entry->acquaintance->pin, asked))
            continue;
        add(places, &entry->acquaintance->pin);
        size_t n = directory_entry_addresses(entry, addresses);
        for (size_t j = 0; j < n; j++)
            if (address_matches(&addresses[j], asked))
                add(places, &addresses[j]);
    }
}

static void add_met(const struct directory *directory, const struct crowd *crowd,
                    const struct address *asked, struct places *places) {
    for (size_t i = 0; i < crowd->n_known; i++) {
        const struct acquaintance *known = crowd->v[i]->acquaintance;
        if (known->handshaken && address_matches(&known->handshake_address, asked) &&
            directory_is_up(directory, crowd->v[i]))
            add(places, &known->handshake_address);
    }
}

/* Add the first claim of each node, then the second of each, and so on. `counting`: only confirmed
 * claims of nodes that are up. */
static void add_claims(const struct directory *directory, const struct crowd *crowd,
                       const struct address *asked, bool counting, struct places *places) {
    struct address addresses[ENTRY_ADDRESSES_MAX];

    for (size_t k = 0; k < ENTRY_ADDRESSES_MAX; k++)
        for (size_t i = 0; i < crowd->n && places->n < places->max; i++) {
            const struct directory_entry *entry = crowd->v[i];
            if (k >= directory_entry_addresses(entry, addresses) ||
                !address_matches(&addresses[k], asked))
                continue;
            if (!counting || (directory_is_up(directory, entry) &&
                              directory_address_counts(directory, entry, &addresses[k])))
                add(places, &addresses[k]);
        }
}

size_t directory_places(const struct directory *directory, const struct address *asked,
                        struct address *ret_places, size_t max, bool *ret_claimed) {
    struct places places = {ret_places, 0, max};
    struct address usual = *asked;
    struct crowd crowd;

    directory_gather(directory, asked, true, &crowd);
    *ret_claimed = crowd.n > 0;
    if (asked->port == 0) {
        add_pinned(&crowd, asked, &places);
        usual.port = ADDRESS_PORT_DEFAULT;
    }
    add(&places, &usual);
    if (asked->port == 0) {
        add_met(directory, &crowd, asked, &places);
        add_claims(directory, &crowd, asked, true, &places);
        add_claims(directory, &crowd, asked, false, &places);
    }
    return places.n;
}

/* ---- Whose word is good ---- */

static bool sees_at(const struct directory_entry *witness, uint64_t prefix,
                    const struct address *asked) {
    struct descriptor descriptor;

    directory_descriptor(witness, &descriptor);
    for (size_t i = 0; i < descriptor.n_neighbours; i++)
        if (descriptor.neighbours[i].prefix == prefix &&
            address_matches(&descriptor.neighbours[i].seen_at, asked))
            return true;
    return false;
}

struct networks { /* one address in each */
    struct address v[TOPOLOGY_DEGREE_MAX];
    size_t n;
    bool private_ones;
};

/* Add an address, if it is the first in its network. A private one is refused, because whoever is
 * in a private network can have many addresses there. If the address asked for is private itself
 * (private_ones), that objection is void: then a private one has only to be of another machine. */
static bool add_network(struct networks *networks, const struct address *place) {
    bool is_private = address_is_private(place);

    if (place->port == 0 || (is_private && !networks->private_ones))
        return false;
    for (size_t i = 0; i < networks->n; i++)
        if (is_private ? address_is_same_ip(&networks->v[i], place)
                       : address_network(&networks->v[i]) == address_network(place))
            return false;
    networks->v[networks->n++] = *place;
    return true;
}

/* The neighbours of a node that say they see it at `asked`, in an order that the node cannot
 * know. */
static size_t list_witnesses(const struct directory *directory, const struct directory_entry *entry,
                             const struct address *asked,
                             const struct directory_entry *ret_witnesses[TOPOLOGY_DEGREE_MAX]) {
    uint64_t prefixes[TOPOLOGY_DEGREE_MAX], orders[TOPOLOGY_DEGREE_MAX];
    size_t n = 0, n_prefixes = topology_neighbours(directory->topology, entry->prefix, prefixes);

    for (size_t i = 0; i < n_prefixes; i++) {
        const struct directory_entry *witness = directory_find_prefix(directory, prefixes[i]);
        if (!witness || !witness->live || !sees_at(witness, entry->prefix, asked))
            continue;
        uint64_t order = secret_order(directory, prefixes[i] ^ entry->prefix);
        size_t at = n++;
        for (; at > 0 && orders[at - 1] > order; at--) {
            orders[at] = orders[at - 1];
            ret_witnesses[at] = ret_witnesses[at - 1];
        }
        orders[at] = order;
        ret_witnesses[at] = witness;
    }
    return n;
}

static bool add_if_met(const struct directory_entry *witness, struct networks *networks) {
    return witness->acquaintance && witness->acquaintance->handshaken &&
           add_network(networks, &witness->acquaintance->handshake_address);
}

size_t directory_witnesses(const struct directory *directory, const struct address *asked,
                           struct address *ret_places, size_t max) {
    const struct directory_entry *witnesses[TOPOLOGY_DEGREE_MAX];
    struct places places = {ret_places, 0, max};
    struct crowd crowd;

    directory_gather(directory, asked, true, &crowd);
    for (size_t i = 0; i < crowd.n && places.n < max; i++) {
        struct networks networks = {.private_ones = address_is_private(asked)};
        if (!directory_is_up(directory, crowd.v[i]) || !claims_at(crowd.v[i], asked))
            continue;
        size_t n = list_witnesses(directory, crowd.v[i], asked, witnesses);
        for (size_t j = 0; j < n; j++)
            add_if_met(witnesses[j], &networks);
        for (size_t j = 0; j < n && networks.n < ASKED_PER_CLAIM; j++) {
            struct address place = directory_address(directory, witnesses[j]);
            if (add_network(&networks, &place))
                add(&places, &place);
        }
    }
    return places.n;
}

static bool is_vouched(const struct directory *directory, const struct directory_entry *entry,
                       const struct address *asked, const uint64_t *drawn, size_t n_drawn) {
    const struct directory_entry *witnesses[TOPOLOGY_DEGREE_MAX];
    struct networks networks = {.private_ones = address_is_private(asked)};
    unsigned n_ours = 0;

    if (!directory_is_up(directory, entry) || !claims_at(entry, asked))
        return false;
    size_t n = list_witnesses(directory, entry, asked, witnesses);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n_drawn; j++)
            n_ours += witnesses[i]->prefix == drawn[j];
        add_if_met(witnesses[i], &networks);
    }
    return n_ours >= WITNESSES_DRAWN || networks.n >= WITNESSES_MET;
}

static void list(const struct node_id *id, struct node_id *ids, size_t *n) {
    for (size_t i = 0; i < *n; i++)
        if (node_id_is_equal(&ids[i], id))
            return;
    if (*n < DIRECTORY_CANDIDATES_MAX)
        ids[(*n)++] = *id;
}

size_t directory_vouched(const struct directory *directory, const struct address *asked,
                         const uint64_t *drawn, size_t n_drawn,
                         struct node_id ret_ids[DIRECTORY_CANDIDATES_MAX]) {
    struct descriptor descriptor;
    struct crowd crowd;
    size_t n = 0;

    /* First those that our own witnesses see there: no crowd of claims hides them. */
    for (size_t i = 0; i < n_drawn; i++) {
        const struct directory_entry *witness = directory_find_prefix(directory, drawn[i]);
        if (!witness)
            continue;
        directory_descriptor(witness, &descriptor);
        for (size_t j = 0; j < descriptor.n_neighbours; j++) {
            const struct directory_entry *entry =
                address_matches(&descriptor.neighbours[j].seen_at, asked)
                    ? directory_find_prefix(directory, descriptor.neighbours[j].prefix)
                    : NULL;
            if (entry && is_vouched(directory, entry, asked, drawn, n_drawn))
                list(&entry->id, ret_ids, &n);
        }
    }
    directory_gather(directory, asked, true, &crowd);
    for (size_t i = 0; i < crowd.n; i++)
        if (is_vouched(directory, crowd.v[i], asked, drawn, n_drawn))
            list(&crowd.v[i]->id, ret_ids, &n);
    return n;
}
