/* The facts that the doctor judges. */
#include "daemon/core/node/doctor.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/serve.h"

#define EXPIRING_US US_PER_HOUR

static void describe(const struct node *node, const struct node_id *id, struct doctor_who *who) {
    const struct directory_entry *entry = directory_find(node->directory, id);
    struct descriptor descriptor;
    who->id = *id;
    if (!entry)
        return;
    directory_descriptor(entry, &descriptor);
    who->address = directory_address(node->directory, entry);
    memcpy(who->name, descriptor.name, sizeof who->name);
}

/* ---- Messages ---- */

struct wait_walk {
    const struct node *node;
    struct doctor_facts *facts;
};

static int64_t unseen_us(const struct node *node, const struct directory_entry *entry) {
    return node->now.wall.us > entry->last_seen.us ? node->now.wall.us - entry->last_seen.us : 0;
}

static void note_key(const struct node *node, struct doctor_facts *facts,
                     const struct directory_entry *gone, const struct directory_entry *present,
                     const struct address *at, uint64_t messages) {
    size_t place = facts->n_keys++;
    if (place >= DOCTOR_NAMED)
        return;
    struct doctor_key *key = &facts->keys[place];
    describe(node, &gone->id, &key->who);
    key->present = present->id;
    key->at = *at;
    key->messages = messages;
    key->unseen_us = unseen_us(node, gone);
}

/* Among those of its reason: the ones that have waited for longest are named. */
static void note_recipient(struct doctor_waiting *waiting,
                           const struct doctor_recipient *recipient) {
    size_t n = waiting->recipients < DOCTOR_NAMED ? waiting->recipients : DOCTOR_NAMED, at = n;
    waiting->recipients++;
    waiting->messages += recipient->messages;
    waiting->mailed += recipient->mailed;
    if (recipient->oldest_us > waiting->oldest_us)
        waiting->oldest_us = recipient->oldest_us;
    while (at > 0 && waiting->first[at - 1].oldest_us < recipient->oldest_us)
        at--;
    if (at == DOCTOR_NAMED)
        return;
    for (size_t i = n < DOCTOR_NAMED ? n : DOCTOR_NAMED - 1; i > at; i--)
        waiting->first[i] = waiting->first[i - 1];
    waiting->first[at] = *recipient;
}

static void look_at_wait(void *context, const struct outbox_wait *wait) {
    const struct wait_walk *walk = context;
    const struct node *node = walk->node;
    const struct directory_entry *entry = directory_find(node->directory, &wait->recipient);
    struct doctor_recipient recipient = {.messages = wait->messages,
                                         .mailed = wait->mailed,
                                         .oldest_us = node->now.wall.us - wait->oldest.us,
                                         .unseen_us = -1};
    enum outbox_why why = wait->why;
    struct address at;

    walk->facts->expiring += wait->expiring;
    if (wait->expiring > 0 && wait->expires.us - node->now.wall.us < walk->facts->expires_us)
        walk->facts->expires_us = wait->expires.us - node->now.wall.us;
    const struct directory_entry *present =
        entry ? directory_successor(node->directory, entry, &at) : NULL;
    if (present) {
        note_key(node, walk->facts, entry, present, &at, wait->messages);
        return;
    }
    describe(node, &wait->recipient, &recipient.who);
    if (!node_id_is_equal(&wait->recipient, identity_id(node->identity)) &&
        (!entry || !directory_is_up(node->directory, entry))) {
        why = OUTBOX_AWAY;
        recipient.unseen_us = entry ? unseen_us(node, entry) : -1;
    }
    note_recipient(&walk->facts->waiting[why], &recipient);
}

/* Those to whom nothing waits are looked at for their pins: what is pushed next would be refused.
 * Each is resolved, which looks at all who claim its address: enough for anybody's address book. */
#define PINS_MAX 4096

struct pin_walk {
    const struct node *node;
    struct doctor_facts *facts;
    size_t looked;
};

static bool look_at_pin(void *context, const struct node_id *recipient) {
    struct pin_walk *walk = context;
    const struct directory *directory = walk->node->directory;
    const struct directory_entry *entry = directory_find(directory, recipient);
    struct address at;
    if (!entry || !entry->pinned || outbox_pending_to(walk->node->outbox, recipient) > 0)
        return true;
    const struct directory_entry *present = directory_successor(directory, entry, &at);
    if (present)
        note_key(walk->node, walk->facts, entry, present, &at, 0);
    return ++walk->looked < PINS_MAX;
}

static void gather_messages(const struct node *node, struct doctor_facts *facts) {
    const struct inbox_counters *inbox = inbox_counters(node->inbox);
    struct wait_walk waits = {node, facts};
    struct pin_walk pins = {node, facts, 0};
    facts->expires_us = INT64_MAX;
    outbox_waits(node->outbox, (struct wall){node->now.wall.us + EXPIRING_US}, look_at_wait,
                 &waits);
    outbox_visit(node->outbox, look_at_pin, &pins);
    facts->unread = outbox_unread(node->outbox);
    facts->refused_quota = inbox->refused_quota;
    facts->refused_unknown = inbox->refused_unknown;
    facts->refused_files = inbox->refused_files;
}

/* How many messages wait for keys that are gone from where others are. */
struct stranded_walk {
    const struct node *node;
    uint64_t messages;
    size_t looked;
};

static bool look_for_stranded(void *context, const struct node_id *recipient) {
    struct stranded_walk *walk = context;
    const struct directory *directory = walk->node->directory;
    uint64_t pending = outbox_pending_to(walk->node->outbox, recipient);
    const struct directory_entry *entry = pending > 0 ? directory_find(directory, recipient) : NULL;
    struct address at;
    if (entry && directory_successor(directory, entry, &at))
        walk->messages += pending;
    walk->looked += entry != NULL;
    return walk->looked < PINS_MAX;
}

uint64_t serve_stranded(const struct node *node) {
    struct stranded_walk walk = {.node = node};
    outbox_visit(node->outbox, look_for_stranded, &walk);
    return walk.messages;
}

/* ---- Neighbours ---- */

static void note_suspect(const struct node *node, const struct link_view *link,
                         struct doctor_facts *facts) {
    size_t place = facts->n_suspects++;
    if (place >= DOCTOR_NAMED)
        return;
    struct doctor_suspect *suspect = &facts->suspects[place];
    describe(node, &link->id, &suspect->who);
    suspect->who.address = link->address;
    suspect->silent_us = node->now.mono.us - link->heard.us;
}

/* Where neighbours see us, told by one whose datagrams show where they come in. */
static void gather_links(const struct node *node, struct doctor_facts *facts) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (!link || link->state == LINK_PROBATION)
            continue;
        facts->dialled_us += !link->dialled;
        if (link->state == LINK_SUSPECT)
            note_suspect(node, link, facts);
        if (address_is_unspecified(&link->local) || link->seen_as.port == 0)
            continue;
        if (address_is_unspecified(&facts->seen_as) ||
            address_is_same_ip(&link->local, &link->seen_as)) {
            facts->seen_as = link->seen_as;
            facts->local = link->local;
        }
    }
}

static void gather(const struct node *node, const struct request *request,
                   struct doctor_facts *facts) {
    struct droplist_stats droplist;
    droplist_stats(node->droplist, &droplist);
    *facts = (struct doctor_facts){.neighbours = links_count(node->links, true),
                                   .pool_min = node->config.pool_min,
                                   .hosts = request->doctor.hosts,
                                   .n_hosts = request->doctor.n_hosts,
                                   .uptime_us = node->now.mono.us - node->started.us,
                                   .silent_us = node->now.mono.us - node->heard.us,
                                   .now = node->now.mono,
                                   .advertises = node->config.n_advertise > 0,
                                   .correction_us = node->correction.us,
                                   .clock_error_us = links_clock_error(node->links),
                                   .store_error = node->disk.error,
                                   .store_error_us = node->now.mono.us - node->disk.failed.us,
                                   .store_recovered = node->disk.recovered,
                                   .memory_used = node->budget.used,
                                   .memory_max = node->budget.max,
                                   .memory_refused = node->budget.refused,
                                   .droplist_entries = droplist.entries,
                                   .droplist_max = node->config.droplist_entries,
                                   .relays = node->config.relay,
                                   .machine = node->machine_findings};
    facts->peers = pool_peers(node->pool, &facts->peers_self);
    facts->n_strangers =
        strangers_recent(&node->strangers, node->now.mono, facts->strangers, DOCTOR_NAMED);
    facts->month_used_up = relay_month_is_used_up(node->relay, node->now.wall, &facts->month_us);
    for (int i = 0; i < BUDGET_HOLDERS; i++)
        facts->memory_evicted += node->budget.evicted[i];
    gather_links(node, facts);
    gather_messages(node, facts);
}

void serve_doctor(struct node *node, const struct request *request) {
    struct doctor_facts facts;
    struct answer answer;
    struct finding *findings = answer_begin(node->effects, &answer, request->client, ANSWER_DOCTOR,
                                            DOCTOR_FINDINGS_MAX * sizeof *findings);
    if (!findings)
        return;
    directory_look_around(node->directory, node->now.wall);
    gather(node, request, &facts);
    answer.doctor.v = findings;
    answer.doctor.n = doctor_examine(&facts, findings);
    effects_answer(node->effects, &answer);
}
