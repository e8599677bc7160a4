/* RULE, RULES: whom the user allows and blocks. */
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/query.h"
#include "daemon/core/node/serve.h"

static const struct destination *sender_of(const struct request *request) {
    return &request->rule.to;
}

static bool ask_rule(struct node *node, struct node_query *query) {
    struct store_op op = {.kind = STORE_RULE_PUT,
                          .rule_put = {query->peer, query->request.rule.rule}};

    if (node_id_is_equal(&query->peer, identity_id(node->identity))) {
        query_answer_text(node, query, ANSWER_USAGE, "that is this node itself");
        return true;
    }
    if (op.rule_put.rule != RULE_NONE && !policy_has_room(node->policy, &query->peer)) {
        node->counters.rules_refused++;
        query_answer_text(node, query, ANSWER_LIMIT, "too many rules: take some back first");
        return true;
    }
    query_store(node, query, &op);
    return false;
}

/* Drop this sender's unfinished messages and files, in memory now, on the disk by the sweep that is
 * queued here. */
static void drop_unfinished(struct node *node, const struct node_id *sender) {
    inbox_drop_sender(node->inbox, sender);
    node_clock_sweep(node);
}

/* The rule is stored: apply it, even if the client that made it has gone. */
static bool take_rule(struct node *node, struct node_query *query,
                      const struct store_result *result) {
    static const char *const words[] = {
        [RULE_NONE] = "no rule holds for it any more",
        [RULE_ALLOW] = "allowed: what it sends is taken, whatever inbox.accept says",
        [RULE_BLOCK] = "blocked: what it sends is refused, and it is told so",
    };
    enum sender_rule rule = query->request.rule.rule;

    (void)result;
    if (rule == RULE_BLOCK)
        drop_unfinished(node, &query->peer);
    if (policy_set(node->policy, &query->peer, rule))
        query_answer_text(node, query, ANSWER_LIMIT,
                          "stored, but out of memory: it holds from the next start on");
    else
        query_answer_text(node, query, ANSWER_OK, "%s", words[rule]);
    return true;
}

void serve_rule(struct node *node, const struct request *request) {
    static const struct query_kind kind = {sender_of, ask_rule, take_rule, NULL};
    node_query(node, request, &kind);
}

/* ---- All of them ---- */

struct rules_walk {
    const struct node *node;
    struct rule_report *reports;
    size_t n;
};

static bool report_rule(void *context, const struct node_id *id, enum sender_rule rule) {
    struct rules_walk *walk = context;
    struct rule_report *report = &walk->reports[walk->n++];
    const struct directory_entry *entry = directory_find(walk->node->directory, id);
    struct descriptor descriptor;
    report->id = *id;
    report->rule = rule;
    if (!entry)
        return true;
    directory_descriptor(entry, &descriptor);
    report->address = directory_address(walk->node->directory, entry);
    memcpy(report->name, descriptor.name, sizeof report->name);
    return true;
}

void serve_rules(struct node *node, const struct request *request) {
    struct answer answer;
    struct rules_walk walk = {.node = node};

    walk.reports = answer_begin(node->effects, &answer, request->client, ANSWER_RULES,
                                policy_count(node->policy) * sizeof *walk.reports);
    if (!walk.reports)
        return;
    policy_visit(node->policy, report_rule, &walk);
    answer.rules.v = walk.reports;
    answer.rules.n = walk.n;
    effects_answer(node->effects, &answer);
}
