/* The facts that the doctor judges, and its visits.
 *
 * Threat: hundreds of thousands of messages may wait for as many recipients, and neighbours must
 * not wait while they are looked at. So a visit takes as many steps as it needs, between which
 * everything goes on; who asks meanwhile gets what it finds. */
#include "daemon/core/node/doctor.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/serve.h"

#define EXPIRING_US US_PER_HOUR
/* What is looked at in a step: so many messages; a recipient, which is looked up and resolved,
 * counts as 16 of them, and somebody written to before as 4. */
#define STEP_WORK 4096
#define RECIPIENT_WORK 16
#define PIN_WORK 4

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

static void look_at_wait(const struct node *node, const struct outbox_wait *wait,
                         struct doctor_facts *facts) {
    const struct directory_entry *entry = directory_find(node->directory, &wait->recipient);
    struct doctor_recipient recipient = {.messages = wait->messages,
                                         .mailed = wait->mailed,
                                         .oldest_us = node->now.wall.us - wait->oldest.us,
                                         .unseen_us = -1};
    enum outbox_why why = wait->why;
    struct address at;

    facts->expiring += wait->expiring;
    if (wait->expiring > 0 && wait->expires.us - node->now.wall.us < facts->expires_us)
        facts->expires_us = wait->expires.us - node->now.wall.us;
    const struct directory_entry *present =
        entry ? directory_successor(node->directory, entry, &at) : NULL;
    if (present) {
        note_key(node, facts, entry, present, &at, wait->messages);
        return;
    }
    describe(node, &wait->recipient, &recipient.who);
    if (!node_id_is_equal(&wait->recipient, identity_id(node->identity)) &&
        (!entry || !directory_is_up(node->directory, entry))) {
        why = OUTBOX_AWAY;
        recipient.unseen_us = entry ? unseen_us(node, entry) : -1;
    }
    note_recipient(&facts->waiting[why], &recipient);
}

/* Those to whom nothing waits are looked at for their pins: what is pushed next would be refused.
 * Each is resolved, which looks at all who claim its address: enough for anybody's address book. */
#define PINS_MAX 4096

struct doctor_visit {
    const struct node *node;
    enum { VISIT_MESSAGES, VISIT_RECIPIENTS, VISIT_PINS } stage;
    size_t at, looked; /* of those written to: outbox_visit(); pins that were resolved */
    struct doctor_facts facts;
};

static bool look_at_pin(void *context, const struct node_id *recipient, uint64_t pending) {
    struct doctor_visit *visit = context;
    const struct directory *directory = visit->node->directory;
    const struct directory_entry *entry = pending > 0 ? NULL : directory_find(directory, recipient);
    struct address at;
    if (!entry || !entry->pinned)
        return true;
    const struct directory_entry *present = directory_successor(directory, entry, &at);
    if (present)
        note_key(visit->node, &visit->facts, entry, present, &at, 0);
    return ++visit->looked < PINS_MAX;
}

/* How many messages wait for keys that are gone from where others are. */
struct stranded_walk {
    const struct node *node;
    uint64_t messages;
    size_t looked;
};

static bool look_for_stranded(void *context, const struct node_id *recipient, uint64_t pending) {
    struct stranded_walk *walk = context;
    const struct directory *directory = walk->node->directory;
    const struct directory_entry *entry = directory_find(directory, recipient);
    struct address at;
    if (entry && directory_successor(directory, entry, &at))
        walk->messages += pending;
    walk->looked += entry != NULL;
    return walk->looked < PINS_MAX;
}

uint64_t serve_stranded(const struct node *node) {
    struct stranded_walk walk = {.node = node};
    outbox_visit_pending(node->outbox, look_for_stranded, &walk);
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

/* What costs nothing to know. */
static void gather(const struct node *node, struct doctor_facts *facts) {
    const struct inbox_counters *inbox = inbox_counters(node->inbox);
    struct droplist_stats droplist;
    droplist_stats(node->droplist, &droplist);
    *facts = (struct doctor_facts){.neighbours = links_count(node->links, true),
                                   .pool_min = node->config.pool_min,
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
                                   .expires_us = INT64_MAX,
                                   .unread = outbox_unread(node->outbox),
                                   .refused_quota = inbox->refused_quota,
                                   .refused_unknown = inbox->refused_unknown,
                                   .refused_files = inbox->refused_files,
                                   .machine = node->machine_findings};
    facts->peers = pool_peers(node->pool, &facts->peers_self);
    facts->n_strangers =
        strangers_recent(&node->strangers, node->now.mono, facts->strangers, DOCTOR_NAMED);
    facts->month_used_up = relay_month_is_used_up(node->relay, node->now.wall, &facts->month_us);
    for (int i = 0; i < BUDGET_HOLDERS; i++)
        facts->memory_evicted += node->budget.evicted[i];
    gather_links(node, facts);
}

/* ---- A visit ---- */

struct doctor_wait { /* a client that waits for its end */
    struct client_wait wait;
    size_t n_hosts;
    struct host_report hosts[];
};

static size_t size_of(size_t n_hosts) {
    return sizeof(struct doctor_wait) + n_hosts * sizeof(struct host_report);
}

void serve_doctor_free(struct node *node, struct client_wait *wait) {
    struct doctor_wait *waiting = clients_entry(wait, struct doctor_wait, wait);
    clients_remove(&node->clients, wait);
    budget_give(&node->budget, BUDGET_CLIENTS, size_of(waiting->n_hosts));
    free(waiting);
}

static struct doctor_wait *wait_new(struct node *node, size_t n_hosts) {
    size_t size = size_of(n_hosts);
    struct doctor_wait *waiting = NULL;
    if (budget_take(&node->budget, BUDGET_CLIENTS, size) && !(waiting = calloc(1, size)))
        budget_give(&node->budget, BUDGET_CLIENTS, size);
    return waiting;
}

void serve_doctor(struct node *node, const struct request *request) {
    const char *refusal = clients_refusal(&node->clients, CLIENT_DOCTOR);
    struct doctor_wait *waiting = refusal ? NULL : wait_new(node, request->doctor.n_hosts);
    if (waiting && !node->doctor && !(node->doctor = calloc(1, sizeof *node->doctor))) {
        budget_give(&node->budget, BUDGET_CLIENTS, size_of(request->doctor.n_hosts));
        free(waiting);
        waiting = NULL;
    }
    if (!waiting) {
        effects_answer_text(node->effects, request->client, ANSWER_LIMIT, "%s",
                            refusal ? refusal : "out of memory (limits.memory)");
        return;
    }
    waiting->n_hosts = request->doctor.n_hosts;
    for (size_t i = 0; i < waiting->n_hosts; i++)
        waiting->hosts[i] = request->doctor.hosts[i];
    clients_add(&node->clients, &waiting->wait, request->client, CLIENT_DOCTOR);
    if (node->doctor->node)
        return; /* one is under way */
    node->doctor->node = node;
    directory_look_around(node->directory, node->now.wall);
    gather(node, &node->doctor->facts);
    outbox_survey_begin(node->outbox, (struct wall){node->now.wall.us + EXPIRING_US});
}

static void answer(struct node *node, const struct doctor_wait *waiting,
                   struct doctor_facts *facts) {
    struct answer answer;
    struct finding *findings = answer_begin(node->effects, &answer, waiting->wait.client,
                                            ANSWER_DOCTOR, DOCTOR_FINDINGS_MAX * sizeof *findings);
    if (!findings)
        return;
    facts->hosts = waiting->hosts;
    facts->n_hosts = waiting->n_hosts;
    answer.doctor.v = findings;
    answer.doctor.n = doctor_examine(facts, findings);
    effects_answer(node->effects, &answer);
}

/* Do what this step has room for. True: that was all. */
static bool go_on(struct node *node, struct doctor_visit *visit) {
    struct outbox_wait wait;
    size_t work = STEP_WORK;
    if (visit->stage == VISIT_MESSAGES && outbox_survey(node->outbox, work)) {
        size_t n = (size_t)outbox_pending(node->outbox);
        work = n < work ? work - n : 0;
        visit->stage = VISIT_RECIPIENTS;
        visit->facts.left_out = outbox_left_out(node->outbox);
    } else if (visit->stage == VISIT_MESSAGES) {
        return false;
    }
    for (; visit->stage == VISIT_RECIPIENTS && work >= RECIPIENT_WORK; work -= RECIPIENT_WORK)
        if (outbox_surveyed(node->outbox, &wait))
            look_at_wait(node, &wait, &visit->facts);
        else
            visit->stage = VISIT_PINS;
    if (visit->stage != VISIT_PINS || work < PIN_WORK)
        return false;
    visit->at = outbox_visit(node->outbox, visit->at, work / PIN_WORK, look_at_pin, visit);
    return visit->at == 0;
}

void serve_doctor_tick(struct node *node) {
    struct client_wait *wait;
    if (!node->doctor || !go_on(node, node->doctor))
        return;
    while ((wait = clients_first(&node->clients, CLIENT_DOCTOR))) {
        answer(node, clients_entry(wait, struct doctor_wait, wait), &node->doctor->facts);
        serve_doctor_free(node, wait);
    }
    free(node->doctor);
    node->doctor = NULL;
}

struct mono serve_doctor_next(const struct node *node) {
    return node->doctor ? node->now.mono : MONO_NEVER;
}
