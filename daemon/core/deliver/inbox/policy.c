#include "daemon/core/deliver/inbox/policy.h"

#include "daemon/core/base/table.h"

struct rule {
    struct table_link by_id;
    struct node_id id;
    enum sender_rule rule;
};
struct policy {
    struct policy_config config;
    struct table rules;
};

struct policy *policy_new(const struct policy_config *config, const struct boot_rule *rules,
                          size_t n) {
    struct policy *policy = calloc(1, sizeof *policy);
    if (!policy)
        return NULL;
    policy->config = *config;
    if (table_init(&policy->rules, config->random)) {
        policy_free(policy);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        if (policy_set(policy, &rules[i].id, rules[i].rule) == -ENOMEM) {
            policy_free(policy);
            return NULL;
        }
    return policy;
}

void policy_free(struct policy *policy) {
    if (!policy)
        return;
    for (size_t i = 0; policy->rules.slots && i < policy->rules.n_slots; i++)
        for (struct table_link *link = policy->rules.slots[i], *next; link; link = next) {
            next = link->next;
            free(table_entry(link, struct rule, by_id));
        }
    table_deinit(&policy->rules);
    free(policy);
}

void policy_configure(struct policy *policy, enum inbox_accept inbox, enum files_accept files) {
    policy->config.inbox = inbox;
    policy->config.files = files;
}

/* ---- Rules ---- */

static struct rule *find(const struct policy *policy, const struct node_id *id) {
    uint64_t hash = table_hash(&policy->rules, id, sizeof *id);
    struct rule *rule;
    TABLE_FIND(rule, &policy->rules, hash, by_id, node_id_is_equal(&rule->id, id));
    return rule;
}

bool policy_has_room(const struct policy *policy, const struct node_id *id) {
    return policy->rules.used < POLICY_RULES_MAX || find(policy, id);
}

int policy_set(struct policy *policy, const struct node_id *id, enum sender_rule wanted) {
    struct rule *rule = find(policy, id);
    if (wanted == RULE_NONE) {
        if (rule)
            table_remove(&policy->rules, &rule->by_id);
        free(rule);
        return 0;
    }
    if (!rule && policy->rules.used >= POLICY_RULES_MAX)
        return -ENOSPC;
    if (!rule) {
        rule = calloc(1, sizeof *rule);
        if (!rule)
            return -ENOMEM;
        rule->id = *id;
        table_add(&policy->rules, &rule->by_id, table_hash(&policy->rules, id, sizeof *id));
    }
    rule->rule = wanted;
    return 0;
}

enum sender_rule policy_get(const struct policy *policy, const struct node_id *id) {
    const struct rule *rule = find(policy, id);
    return rule ? rule->rule : RULE_NONE;
}

size_t policy_count(const struct policy *policy) {
    return policy->rules.used;
}

void policy_visit(const struct policy *policy,
                  bool (*visit)(void *context, const struct node_id *id, enum sender_rule rule),
                  void *context) {
    for (size_t i = 0; i < policy->rules.n_slots; i++)
        for (struct table_link *link = policy->rules.slots[i]; link; link = link->next) {
            const struct rule *rule = table_entry(link, struct rule, by_id);
            if (!visit(context, &rule->id, rule->rule))
                return;
        }
}

/* ---- Judging ---- */

bool policy_is_known(const struct policy *policy, const struct node_id *id) {
    const struct directory_entry *entry = directory_find(policy->config.directory, id);
    return policy_get(policy, id) == RULE_ALLOW || (entry && (entry->kept || entry->pinned)) ||
           (policy->config.has_written && policy->config.has_written(policy->config.context, id));
}

enum parcel_reason policy_judge(const struct policy *policy, const struct node_id *sender,
                                enum message_kind kind) {
    enum sender_rule rule = policy_get(policy, sender);
    if (rule == RULE_BLOCK)
        return PARCEL_REASON_BLOCKED;
    if (rule != RULE_ALLOW &&
        (policy->config.inbox == INBOX_ALLOWED ||
         (policy->config.inbox == INBOX_KNOWN && !policy_is_known(policy, sender))))
        return PARCEL_REASON_UNKNOWN_SENDER;
    if (kind == KIND_FILE &&
        (policy->config.files == FILES_NONE ||
         (policy->config.files == FILES_KNOWN && !policy_is_known(policy, sender))))
        return PARCEL_REASON_NO_FILES;
    return PARCEL_REASON_NONE;
}
