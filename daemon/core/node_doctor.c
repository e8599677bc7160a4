/* The facts that the doctor judges. */
#include "daemon/core/doctor.h"
#include "daemon/core/node_private.h"

/* A disk at the brink fails and works many times a second: so often at most that is logged. */
#define SAY_AGAIN_US (60 * US_PER_S)

/* Each is resolved, which looks at all who claim its address: enough for anybody's address book. */
#define PINS_MAX 4096

struct pin_walk {
    const struct node *node;
    size_t looked, changed;
};

static bool look_at_pin(void *context, const struct node_id *recipient) {
    struct pin_walk *walk = context;
    const struct directory *directory = walk->node->directory;
    const struct directory_entry *entry = directory_find(directory, recipient);
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    size_t n = 0;
    if (!entry || !entry->pinned)
        return true;
    struct destination at = {.kind = DEST_ADDRESS, .address = entry->acquaintance->pin};
    walk->changed += directory_resolve(directory, &at, ids, &n) == RESOLVE_KEY_CHANGED;
    return ++walk->looked < PINS_MAX;
}

/* Where neighbours see us, told by one whose datagrams show where they come in. */
static void gather_links(const struct node *node, struct doctor_facts *facts) {
    for (unsigned slot = 0; slot < LINK_SLOTS; slot++) {
        const struct link_view *link = links_at(node->links, slot);
        if (!link || link->state == LINK_PROBATION)
            continue;
        facts->dialled_us += !link->dialled;
        if (address_is_unspecified(&link->local) || link->seen_as.port == 0)
            continue;
        if (address_is_unspecified(&facts->seen_as) ||
            address_is_same_ip(&link->local, &link->seen_as)) {
            facts->seen_as = link->seen_as;
            facts->local = link->local;
        }
    }
}

static void gather(const struct node *node, struct doctor_facts *facts) {
    struct outbox_silence silence;
    struct droplist_stats droplist;
    struct pin_walk walk = {.node = node};
    outbox_silence(node->outbox, &silence);
    droplist_stats(node->droplist, &droplist);
    outbox_visit(node->outbox, look_at_pin, &walk);
    *facts = (struct doctor_facts){.neighbours = links_count(node->links, true),
                                   .pool_min = node->config.pool_min,
                                   .has_peers = node->has_peers,
                                   .uptime_us = node->now.us - node->started.us,
                                   .silent_us = node->now.us - node->heard.us,
                                   .foreign = node->counters.drops[DROP_MAC],
                                   .advertises = node->config.n_advertise > 0,
                                   .correction_us = node->correction_us,
                                   .clock_error_us = links_clock_error(node->links),
                                   .store_error = node->store_error,
                                   .store_error_us = node->now.us - node->store_failed.us,
                                   .store_recovered = node->store_recovered,
                                   .keys_changed = walk.changed,
                                   .away = silence.recipients,
                                   .away_messages = silence.messages,
                                   .away_us = node->wall.us - silence.oldest.us,
                                   .memory_used = node->budget.used,
                                   .memory_max = node->budget.max,
                                   .memory_refused = node->budget.refused,
                                   .droplist_entries = droplist.entries,
                                   .droplist_max = node->config.droplist_entries,
                                   .relays = node->config.relay,
                                   .machine = node->machine_findings};
    for (int i = 0; i < BUDGET_HOLDERS; i++)
        facts->memory_evicted += node->budget.evicted[i];
    gather_links(node, facts);
}

void node_doctor(struct node *node, uint64_t client) {
    struct doctor_facts facts;
    struct answer answer = {.client = client, .kind = ANSWER_DOCTOR, .end = true};
    struct finding *findings =
        effects_scratch(node->effects, DOCTOR_FINDINGS_MAX * sizeof *findings);
    if (!findings) {
        effects_answer_text(node->effects, client, ANSWER_LIMIT, "out of memory");
        return;
    }
    gather(node, &facts);
    answer.doctor.v = findings;
    answer.doctor.n = doctor_examine(&facts, findings);
    effects_answer(node->effects, &answer);
}

static void log_failure(const struct node *node, int error) {
    char words[ERROR_WORDS_MAX];
    error_words(error, words);
    core_log(&node->config.trace, TRACE_ERROR, "store: %s; p2pctl doctor", words);
}

/* What the disk says, for the day somebody asks. Errors that tell of an operation and not of the
 * disk count for nothing. */
void node_note_store(struct node *node, const struct store_result *result) {
    switch (result->error) {
    case 0:
        if (result->kind == STORE_OUT_PUT || result->kind == STORE_IN_PUT ||
            result->kind == STORE_OUT_STATE || result->kind == STORE_SEQUENCE)
            node->store_recovered = true;
        break;
    case -ENOENT:
    case -EEXIST:
    case -EDQUOT:
    case -EBADMSG:
    case -ESTALE:
    case -EINVAL:
        break;
    default:
        if (result->error != node->store_error ||
            (node->store_recovered && node->now.us - node->store_failed.us > SAY_AGAIN_US))
            log_failure(node, result->error);
        node->store_error = result->error;
        node->store_failed = node->now;
        node->store_recovered = false;
    }
}
