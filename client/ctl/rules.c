/* p2pctl allow, block, unblock, rules: who may send to us. */
#include "client/common/output.h"
#include "client/ctl/session.h"

#include <stdio.h>

static enum exit_code set_rule(struct context *context, P2pd__Control__SenderRule rule) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Rule command = P2PD__CONTROL__RULE__INIT;
    command.to = (char *)context->arguments[0];
    command.rule = rule;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_RULE;
    request.rule = &command;
    return session_run_plain(context, &request);
}

enum exit_code allow_run(struct context *context) {
    return set_rule(context, P2PD__CONTROL__SENDER_RULE__RULE_ALLOW);
}

enum exit_code block_run(struct context *context) {
    return set_rule(context, P2PD__CONTROL__SENDER_RULE__RULE_BLOCK);
}

enum exit_code unblock_run(struct context *context) {
    return set_rule(context, P2PD__CONTROL__SENDER_RULE__RULE_NONE);
}

static const char *rule_word(P2pd__Control__SenderRule rule) {
    return rule == P2PD__CONTROL__SENDER_RULE__RULE_BLOCK ? "blocked" : "allowed";
}

struct listing {
    const struct context *context;
    struct table *table; /* NULL for JSON */
    size_t n;
};

static void rule_json(const P2pd__Control__RuleReport *rule) {
    printf("{\"id\":");
    json_hex(&rule->id);
    printf(",\"address\":");
    json_address(&rule->address, true);
    printf(",\"name\":");
    json_string(rule->name);
    printf(",\"rule\":\"%s\"}", rule_word(rule->rule));
}

static void rule_row(struct table *table, const P2pd__Control__RuleReport *rule) {
    char cell[TEXT_CELL_MAX];
    table_cell(table, rule_word(rule->rule));
    cell_id(&rule->id, cell);
    table_cell(table, cell);
    cell_address(&rule->address, true, cell);
    table_cell(table, cell);
    cell_name(rule->name, cell);
    table_cell(table, cell);
}

/* One list, in however many answers it comes. */
static void print_rules(void *state, const P2pd__Control__Answer *answer) {
    struct listing *listing = state;
    for (size_t i = 0; i < answer->n_rules; i++, listing->n++) {
        if (listing->table) {
            rule_row(listing->table, answer->rules[i]);
            continue;
        }
        printf("%s", listing->n ? "," : "[");
        rule_json(answer->rules[i]);
    }
}

enum exit_code rules_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Rules command = P2PD__CONTROL__RULES__INIT;
    struct listing listing = {context, context->options.json ? NULL : table_new(4), 0};
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_RULES;
    request.rules = &command;
    if (!context->options.json && !listing.table)
        return complain(context, CODE_FAILED, "no memory");
    enum exit_code code = session_run(context, &request, print_rules, &listing);
    if (code == CODE_DONE && context->options.json)
        printf("%s]\n", listing.n ? "" : "[");
    else if (code == CODE_DONE && table_print(listing.table, stdout) < 0)
        code = complain(context, CODE_FAILED, "no memory");
    table_free(listing.table);
    return code;
}
