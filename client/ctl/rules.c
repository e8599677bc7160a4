/* p2pctl allow, block, unblock, rules: who may send to us. */
#include "client/common/words.h"
#include "client/ctl/ask.h"
#include "client/ctl/command.h"
#include "client/ctl/listing.h"

static enum exit_code set_rule(struct context *context, P2pd__Control__SenderRule rule) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Rule command = P2PD__CONTROL__RULE__INIT;
    command.to = (char *)context->arguments[0];
    command.rule = rule;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_RULE;
    request.rule = &command;
    return ask_run_plain(context, &request);
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

static void rule_row(struct table *table, const P2pd__Control__RuleReport *rule) {
    char cell[TEXT_CELL_MAX];
    table_cell(table, words_rule(rule->rule));
    cell_id(&rule->id, cell);
    table_cell(table, cell);
    cell_address(&rule->address, true, cell);
    table_cell(table, cell);
    cell_name(rule->name, cell);
    table_cell(table, cell);
}

static void print_rules(void *state, const P2pd__Control__Answer *answer) {
    struct listing *listing = state;
    for (size_t i = 0; i < answer->n_rules; i++)
        if (listing->table)
            rule_row(listing->table, answer->rules[i]);
        else
            listing_record(listing, &answer->rules[i]->base);
}

enum exit_code rules_run(struct context *context) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Rules command = P2PD__CONTROL__RULES__INIT;
    struct listing listing;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_RULES;
    request.rules = &command;
    enum exit_code code = listing_begin(&listing, context, NULL, 4);
    if (code == CODE_DONE)
        code = ask_run(context, &request, print_rules, &listing);
    return listing_end(&listing, code);
}
