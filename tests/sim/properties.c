#define _GNU_SOURCE /* memmem */
#include "tests/sim/properties.h"

#include "daemon/core/deliver/depot/mailbox_private.h"
#include "daemon/core/deliver/inbox/inbox_private.h"
#include "daemon/core/deliver/outbox.h"
#include "daemon/core/link/link_private.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/overlay/gossip_private.h"
#include "daemon/core/overlay/pool_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_US (100 * US_PER_MS)
#define COUNT_US US_PER_S
#define CLOCKS_US                                                                                  \
    (4 * US_PER_MINUTE) /* expiry goes by wall clocks: 90 s off, set by as much again */
#define PRINTED_MAX 10  /* of one property: the first say what is wrong, the rest is noise */

const char *const property_says[PROPERTIES] = {
    [PROPERTY_ONCE] = "messages arrive once at most, unchanged",
    [PROPERTY_KEPT] = "what was accepted stands in a store until it is final",
    [PROPERTY_HANDED] = "what was taken is not handed out again",
    [PROPERTY_BOUNDS] = "pools, tables, queues and memory within their bounds",
    [PROPERTY_PLAINTEXT] = "no plaintext in a datagram or at a relay",
    [PROPERTY_ENDS] = "no relay of several has both ends as neighbours",
    [PROPERTY_JOINED] = "faults over, one network again in time",
    [PROPERTY_DELIVERED] = "faults over, everything accepted arrives or expires",
    [PROPERTY_VERSIONS] = "one version of everybody in the end, and no proof against the honest",
    [PROPERTY_SCENARIO] = "what the scenario asks for besides",
};

/* ---- Verdicts ---- */

void property_holds(struct sim *sim, enum sim_property property) {
    sim->verdicts[property].checks++;
}

static void complain(struct sim *sim, enum sim_property property, const char *format,
                     va_list args) {
    sim->violations++;
    sim->verdicts[property].checks++;
    if (sim->verdicts[property].broken++ >= PRINTED_MAX)
        return;
    printf("# VIOLATION at %.3f s (seed %llu): ", (double)sim->now_us / 1e6,
           (unsigned long long)sim->seed);
    vprintf(format, args);
    putchar('\n');
}

void property_breaks(struct sim *sim, enum sim_property property, const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(sim, property, format, args);
    va_end(args);
}

void sim_violation(struct sim *sim, const char *format, ...) {
    va_list args;
    va_start(args, format);
    complain(sim, PROPERTY_SCENARIO, format, args);
    va_end(args);
}

void properties_print(const struct sim *sim) {
    for (unsigned i = 0; i < PROPERTIES; i++) {
        const struct sim_verdict *verdict = &sim->verdicts[i];
        printf("# %-8s %s (%llu checks, %llu failed)\n",
               verdict->broken   ? "BROKEN"
               : verdict->checks ? "holds"
                                 : "untested",
               property_says[i], (unsigned long long)verdict->checks,
               (unsigned long long)verdict->broken);
    }
}

/* ---- At every step ---- */

void property_plaintext(struct sim *sim, const struct sim_host *host, const void *bytes,
                        size_t length, const char *what) {
    uint64_t marker;

    memcpy(&marker, sim->marker, sizeof marker);
    if (marker == 0)
        return;
    property_holds(sim, PROPERTY_PLAINTEXT);
    if (memmem(bytes, length, sim->marker, sizeof sim->marker))
        property_breaks(sim, PROPERTY_PLAINTEXT, "host %td shows a message's plaintext in %s",
                        host - sim->hosts, what);
}

void properties_datagram(struct sim *sim, const struct sim_host *from,
                         const struct datagram *datagram) {
    if (!from->node) /* a forger's */
        return;
    if (datagram->length != DATAGRAM_LEN && datagram->length != 72)
        property_breaks(sim, PROPERTY_BOUNDS, "a datagram of %zu bytes", datagram->length);
    property_plaintext(sim, from, datagram->bytes, datagram->length, "a datagram");
}

void properties_step(struct sim *sim, struct sim_host *host) {
    uint64_t neighbours[TOPOLOGY_DEGREE_MAX + 2];
    const struct budget *budget = &host->node->budget;
    size_t n = node_neighbours(host->node, neighbours), held = 0;

    property_holds(sim, PROPERTY_BOUNDS);
    if (n > sim->pool_most)
        sim->pool_most = (unsigned)n;
    if (n > host->config.pool_max)
        property_breaks(sim, PROPERTY_BOUNDS, "host %td has %zu neighbours", host - sim->hosts, n);
    const struct outbox_counters *counters = outbox_counters(host->node->outbox);
    if (counters->messages_delivered > counters->messages_sent)
        property_breaks(sim, PROPERTY_BOUNDS, "host %td counts %llu delivered of %llu sent",
                        host - sim->hosts, (unsigned long long)counters->messages_delivered,
                        (unsigned long long)counters->messages_sent);
    for (unsigned i = 0; i < BUDGET_HOLDERS; i++)
        held += budget->held[i];
    if (budget->used > budget->max || held != budget->used)
        property_breaks(sim, PROPERTY_BOUNDS, "host %td holds %zu bytes of %zu, %zu by its holders",
                        host - sim->hosts, budget->used, budget->max, held);
}

/* ---- Ten times a second: tables ---- */

struct gauge {
    const char *name;
    size_t is, most;
};

static size_t count_sessions(const struct links *links) {
    size_t n = 0;
    for (unsigned i = 0; i < LINK_SESSIONS_MAX; i++)
        n += links->sessions[i] != NULL;
    return n;
}

/* The fullest of what is kept for each neighbour. */
static size_t most_answers(const struct gossip *gossip) {
    size_t most = 0;
    for (unsigned i = 0; i < LINK_SLOTS; i++)
        if (gossip->neighbours[i].n_answers > most)
            most = gossip->neighbours[i].n_answers;
    return most;
}

/* What waits for the store is let go when the store has answered: nothing is left of it while the
 * store is idle. */
static void look_at_storing(struct sim *sim, const struct sim_host *host) {
    const struct node *node = host->node;
    property_holds(sim, PROPERTY_BOUNDS);
    if (model_store_next(host->store).us != INT64_MAX)
        return;
    if (!TAILQ_EMPTY(&node->inbox->storing) || !TAILQ_EMPTY(&node->mailbox->storing) ||
        !outbox_is_idle(node->outbox))
        property_breaks(sim, PROPERTY_BOUNDS, "host %td waits for a store that is idle",
                        host - sim->hosts);
}

static void look_at(struct sim *sim, struct sim_host *host) {
    struct node *node = host->node;
    struct droplist_stats droplist;
    struct status_report status;

    look_at_storing(sim, host);
    droplist_stats(node->droplist, &droplist);
    node_status(node, (struct mono){sim->now_us}, &status);
    const struct gauge gauges[] = {
        {"links", links_count(node->links, false), LINK_SLOTS},
        {"sessions", count_sessions(node->links), LINK_SESSIONS_MAX},
        {"dials", node->links->n_dials, LINK_SESSIONS_MAX},
        {"half-open handshakes", node->links->n_half_open, LINK_SESSIONS_MAX / 2},
        {"link events waiting", node->links->n_events - node->links->first_event, 0},
        {"contacts", node->pool->book.n, BOOK_MAX},
        {"spares", pool_spares(node->pool), BOOK_MAX},
        {"known nodes", directory_count(node->directory), host->config.directory_max},
        {"answers owed", most_answers(node->gossip), GOSSIP_ANSWERS_MAX},
        {"wants", node->gossip->n_wants[WANT_VERSION], GOSSIP_WANTS_MAX},
        {"wants of newcomers", node->gossip->n_wants[WANT_NEWCOMER], GOSSIP_WANTS_MAX},
        {"versions to be asked for later", node->gossip->n_paced, GOSSIP_PACED_MAX},
        {"remembered onions", droplist.entries, host->config.droplist_entries},
        {"kept onion keys", droplist.kept * 2 * ONION_PRK_LEN, DROPLIST_KEPT_BYTES},
        {"waiting requests", node->clients.n_all, CLIENTS_WAITS_MAX},
        {"memory", status.memory_used, host->config.memory_max},
    };
    if (!host->adversary) {
        property_holds(sim, PROPERTY_VERSIONS);
        if (directory_is_doubled(node->directory, node->now.wall))
            property_breaks(sim, PROPERTY_VERSIONS, "host %td, honest, was proven to be none",
                            host - sim->hosts);
    }
    property_holds(sim, PROPERTY_BOUNDS);
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        if (gauges[i].is > gauges[i].most)
            property_breaks(sim, PROPERTY_BOUNDS, "host %td: %s: %zu of %zu", host - sim->hosts,
                            gauges[i].name, gauges[i].is, gauges[i].most);
}

/* ---- Once a second: messages ---- */

struct tally { /* of one host's inbox */
    struct sim *sim;
    unsigned host;
    unsigned *arrived; /* by push */
    unsigned strangers;
};

static void tally_message(void *context, enum message_kind kind, const struct in_record *record) {
    struct tally *tally = context;
    for (size_t i = 0; i < tally->sim->n_pushes; i++) {
        struct sim_push *push = &tally->sim->pushes[i];
        if (push->to != tally->host || memcmp(&push->id, &record->id, sizeof push->id) != 0)
            continue;
        if (push->size == record->size && push->is_file == (kind == KIND_FILE) &&
            (!record->body || memcmp(push->body, record->body, push->size) == 0))
            tally->arrived[i]++;
        else
            tally->strangers++;
        return;
    }
    tally->strangers++;
}

static bool is_pending(const struct node_boot *boot, const struct message_id *id) {
    for (size_t i = 0; i < boot->n_pending; i++)
        if (memcmp(&boot->pending[i].id, id, sizeof *id) == 0)
            return true;
    return false;
}

static bool may_be_gone(const struct sim *sim, const struct sim_push *push) {
    bool has_failed = push->is_file && push->has_reason &&
                      (push->state == MESSAGE_FAILED || push->state == MESSAGE_REFUSED);
    return push->state == MESSAGE_EXPIRED || has_failed ||
           sim->now_us - push->pushed_us >
               sim->hosts[push->from].config.delivery_expire_us - CLOCKS_US;
}

/* Accepted, not arrived: then its sender's disk has it, committed. */
static void check_kept(struct sim *sim, unsigned host, const unsigned *arrived) {
    struct node_boot boot;
    bool booted = false;

    for (size_t i = 0; i < sim->n_pushes; i++) {
        const struct sim_push *push = &sim->pushes[i];
        if (push->from != host || !push->accepted || arrived[i] > 0)
            continue;
        if (!booted)
            model_store_boot(sim->hosts[host].store, &boot);
        booted = true;
        property_holds(sim, PROPERTY_KEPT);
        if (!is_pending(&boot, &push->id) && !may_be_gone(sim, push))
            property_breaks(sim, PROPERTY_KEPT,
                            "message %zu (%u to %u, %u bytes) was accepted and stands nowhere", i,
                            push->from, push->to, push->size);
    }
}

static void check_arrived(struct sim *sim, const unsigned *arrived, bool complete) {
    for (size_t i = 0; i < sim->n_pushes; i++) {
        const struct sim_push *push = &sim->pushes[i];
        property_holds(sim, PROPERTY_ONCE);
        if (arrived[i] > 1)
            property_breaks(sim, PROPERTY_ONCE, "message %zu arrived %u times", i, arrived[i]);
        if (push->state == MESSAGE_DELIVERED && arrived[i] == 0)
            property_breaks(sim, PROPERTY_KEPT, "message %zu said to be delivered, and is not", i);
        if (complete && push->accepted && arrived[i] == 0 && !may_be_gone(sim, push))
            property_breaks(sim, PROPERTY_KEPT,
                            "message %zu (%u to %u, %u bytes) was accepted and lost", i, push->from,
                            push->to, push->size);
    }
}

unsigned sim_check_messages(struct sim *sim, bool complete) {
    struct tally tally = {.sim = sim, .arrived = calloc(sim->n_pushes + 1, sizeof(unsigned))};
    uint64_t before = sim->violations;

    if (!tally.arrived)
        abort();
    for (tally.host = 0; tally.host < sim->n_hosts; tally.host++)
        model_store_visit(sim->hosts[tally.host].store, tally_message, &tally);
    if (tally.strangers > 0)
        property_breaks(sim, PROPERTY_ONCE, "%u messages that nobody sent so", tally.strangers);
    check_arrived(sim, tally.arrived, complete);
    for (unsigned host = 0; host < sim->n_hosts; host++)
        check_kept(sim, host, tally.arrived);
    free(tally.arrived);
    return (unsigned)(sim->violations - before);
}

void properties_look(struct sim *sim) {
    if (sim->now_us < sim->looked_us)
        return;
    sim->looked_us = sim->now_us + LOOK_US;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        if (sim->hosts[i].node)
            look_at(sim, &sim->hosts[i]);
    if (sim->now_us < sim->counted_us)
        return;
    sim->counted_us = sim->now_us + COUNT_US;
    sim_check_messages(sim, false);
}

/* ---- The graph ---- */

static unsigned root_of(unsigned *parent, unsigned i) {
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static const struct directory_entry *entry_of(const struct sim *sim, unsigned i, unsigned j) {
    const struct directory_entry *entry =
        directory_find(sim->hosts[i].node->directory, node_id(sim->hosts[j].node));
    return entry && entry->live ? entry : NULL;
}

/* Does i know where j can be dialled? */
static bool knows_way(const struct sim *sim, unsigned i, unsigned j) {
    const struct sim_host *to = &sim->hosts[j];
    const struct node *node = sim->hosts[i].node;
    const struct link_view *link = links_find(node->links, node_id_prefix(node_id(to->node)));

    if (link && link->state != LINK_PROBATION)
        return true;
    if (to->box > 0)
        return false;
    if (book_find(&node->pool->book, &to->address))
        return true;
    const struct directory_entry *entry = entry_of(sim, i, j);
    struct address address = {.port = 0};
    if (entry)
        address = directory_address(node->directory, entry);
    return address_is_equal(&address, &to->address);
}

void sim_print_hosts(const struct sim *sim) {
    for (unsigned i = 0; i < sim->n_hosts; i++) {
        const struct sim_host *host = &sim->hosts[i];
        if (!host->node)
            continue;
        const struct pool *pool = host->node->pool;
        struct census census = pool_census(pool);
        printf("# host %u%s box %u: %u links of %u to %u, %u dialled, %u joined; knows %zu, dials "
               "%u; half open %u, refused so: %llu, beyond a limit: %llu\n",
               i, host->adversary ? " (adversary)" : "", host->box, census.all, pool_aim(pool),
               host->config.pool_max, census.dialled, census.joined,
               directory_count(host->node->directory), links_dials(host->node->links),
               host->node->links->n_half_open,
               (unsigned long long)links_counters(host->node->links)->half_open_refused,
               (unsigned long long)host->node->counters.drops[DROP_LIMIT]);
    }
}

unsigned sim_joinable(struct sim *sim) {
    unsigned *parent = calloc(sim->n_hosts, sizeof *parent), pieces = 0;

    if (!parent)
        abort();
    for (unsigned i = 0; i < sim->n_hosts; i++)
        parent[i] = i;
    for (unsigned i = 0; i < sim->n_hosts; i++)
        for (unsigned j = 0; j < sim->n_hosts; j++)
            if (i != j && sim->hosts[i].node && sim->hosts[j].node &&
                root_of(parent, i) != root_of(parent, j) && knows_way(sim, i, j))
                parent[root_of(parent, i)] = root_of(parent, j);
    for (unsigned i = 0; i < sim->n_hosts; i++)
        pieces += sim->hosts[i].node && root_of(parent, i) == i;
    free(parent);
    return pieces;
}

bool sim_honest_know(struct sim *sim) {
    for (unsigned i = 0; i < sim->n_hosts; i++)
        for (unsigned j = 0; j < sim->n_hosts; j++)
            if (i != j && sim->hosts[i].node && sim->hosts[j].node && !sim->hosts[i].adversary &&
                !sim->hosts[j].adversary && !entry_of(sim, i, j))
                return false;
    return true;
}

static bool is_one_version(const struct sim *sim, unsigned of, unsigned i, unsigned j) {
    const struct directory_entry *a = entry_of(sim, i, of), *b = entry_of(sim, j, of);
    return !a || !b || a->sequence != b->sequence || memcmp(a->tag, b->tag, VERSION_TAG_LEN) == 0;
}

bool sim_versions_agree(struct sim *sim, void *unused) {
    (void)unused;
    for (unsigned of = 0; of < sim->n_hosts; of++) {
        if (!sim->hosts[of].adversary || !sim->hosts[of].node)
            continue;
        for (unsigned i = 0; i < sim->n_hosts; i++) {
            if (!sim->hosts[i].node || sim->hosts[i].adversary)
                continue;
            for (unsigned j = i + 1; j < sim->n_hosts; j++)
                if (sim->hosts[j].node && !sim->hosts[j].adversary &&
                    !is_one_version(sim, of, i, j))
                    return false;
        }
    }
    return true;
}

bool sim_is_rejoined(struct sim *sim, void *unused) {
    (void)unused;
    unsigned pieces = sim_components(sim);
    if (pieces > 1)
        return pieces <= sim_joinable(sim);
    return sim_honest_know(sim);
}
