/* p2pctl allow, block, unblock, rules: who may send to us. */
#include "client/output.h"
#include "client/session.h"

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

static void print_json(const P2pd__Control__Answer *answer) {
    printf("[");
    for (size_t i = 0; i < answer->n_rules; i++) {
        const P2pd__Control__RuleReport *rule = answer->rules[i];
        printf("%s{\"id\":", i ? "," : "");
        json_hex(&rule->id);
        printf(",\"address\":");
        json_address(&rule->address, true);
        printf(",\"name\":");
        json_string(rule->name);
        printf(",\"rule\":\"%s\"}", rule_word(rule->rule));
    }
    printf("]\n");
}

static void print_rules(void *state, const P2pd__Control__Answer *answer) {
    const struct context *context = state;
    char cell[TEXT_CELL_MAX];
    if (context->options.json) {
        print_json(answer);
        return;
    }
    struct table *table = table_new(4);
    for (size_t i = 0; table && i < answer->n_rules; i++) {
        const P2pd__Control__RuleReport *rule = answer->rules[i];
        table_cell(table, rule_word(rule->rule));
        cell_id(&rule->id, cell);
        table_cell(table, cell);
        cell_address(&rule->address, true, cell);
        table_cell(table, cell);
        cell_name(rule->name, cell);
        table_cell(table, cell);
    }
    if (!table || table_print(table, stdout) < 0)
        complain(context, CODE_FAILED, "no memory");
    table_free(table);
}

enum exit_code rules_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Rules command = P2PD__CONTROL__RULES__INIT;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_RULES;
    request.rules = &command;
    return session_run(context, &request, print_rules, context);
}
