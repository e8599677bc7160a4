/* A user accepts the key that is at an address now. Messages that wait for the former key are
 * counted, and readdressed if the user says so: otherwise they wait for a node that is not coming
 * back.
 *
 * Threat: a rival takes an address and waits for its victim's messages. So nothing is readdressed
 * but at the user's word, and both ids are shown. */
#include "daemon/core/node/destination.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/serve.h"

static void describe(const struct node *node, const struct node_id *id,
                     struct trust_report *trust) {
    const struct directory_entry *entry = directory_find(node->directory, id);
    struct descriptor descriptor;

    trust->id = *id;
    if (!entry) { /* ourselves */
        memcpy(trust->name, node->config.name, sizeof trust->name);
        trust->address = node->address;
        return;
    }
    directory_descriptor(entry, &descriptor);
    trust->address = directory_address(node->directory, entry);
    memcpy(trust->name, descriptor.name, sizeof trust->name);
}

/* The former keys for which messages wait. */
static void look_back(const struct node *node, struct trust_report *trust,
                      const struct node_id *former, size_t n_former) {
    for (size_t i = 0; i < n_former && trust->n_old < TRUST_OLD_MAX; i++) {
        const struct directory_entry *entry = directory_find(node->directory, &former[i]);
        struct descriptor descriptor;
        if (outbox_pending_to(node->outbox, &former[i]) == 0)
            continue;
        directory_descriptor(entry, &descriptor);
        struct trust_old *old = &trust->old[trust->n_old++];
        old->id = former[i];
        memcpy(old->name, descriptor.name, sizeof old->name);
    }
}

static void answer(struct node *node, uint64_t client, const struct trust_report *trust) {
    struct answer answer;
    struct trust_report *copy =
        answer_begin(node->effects, &answer, client, ANSWER_TRUST, sizeof *copy);
    if (!copy)
        return;
    *copy = *trust;
    answer.trust = copy;
    effects_answer(node->effects, &answer);
}

/* Find the node that is at the address now. False: the client has been told why there is none. */
static bool find_present(struct node *node, const struct request *request, struct node_id *ret_id) {
    const struct destination *to = &request->to.to;
    struct node_id ids[DIRECTORY_CANDIDATES_MAX];
    size_t n = 0;

    if (directory_resolve(node->directory, to, ids, &n) != RESOLVE_KEY_CHANGED)
        return node_resolve(node, request->client, to, ret_id);
    bool proven = directory_resolve_proven(node->directory, to, node->now.mono, ids, &n) ==
                  RESOLVE_KEY_CHANGED;
    if (!proven)
        effects_answer_text(node->effects, request->client, ANSWER_FAILED,
                            "others say that somebody else is there, but nothing answers at that "
                            "address: nothing has changed");
    *ret_id = ids[1]; /* pinned: ids[0]; there now: ids[1] */
    return proven;
}

void serve_trust(struct node *node, const struct request *request) {
    const struct destination *to = &request->to.to;
    struct node_id present, former[DIRECTORY_CANDIDATES_MAX], ids[DIRECTORY_CANDIDATES_MAX];
    struct trust_report trust = {.n_old = 0};
    size_t n = 0;

    if (to->kind != DEST_ADDRESS) {
        effects_answer_text(node->effects, request->client, ANSWER_USAGE,
                            "trust takes the address whose key has changed");
        return;
    }
    if (!find_present(node, request, &present))
        return;
    size_t n_former =
        directory_former(node->directory, &to->address, &present, former, DIRECTORY_CANDIDATES_MAX);
    if (directory_resolve(node->directory, to, ids, &n) == RESOLVE_KEY_CHANGED) {
        directory_unpin(node->directory, &to->address);
        struct store_op op = {.kind = STORE_NODE_UNPIN, .node_unpin = {to->address}};
        effects_store(node->effects, &op, OWNER_NODE, 0);
    }
    node_remember(node, to, &present, true);
    describe(node, &present, &trust);
    look_back(node, &trust, former, n_former);
    if (request->to.resend) {
        outbox_readdress(node->outbox, request->client, &trust);
        return;
    }
    outbox_count_old(node->outbox, &trust);
    answer(node, request->client, &trust);
}
