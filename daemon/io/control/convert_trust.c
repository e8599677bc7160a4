/* trust, allow, block, rules: whose key counts at an address, and who may send to us. */
#include "daemon/io/control/convert_private.h"

ASSERT_MIRRORED(RULE_NONE, SENDER_RULE__RULE_NONE);
ASSERT_MIRRORED(RULE_ALLOW, SENDER_RULE__RULE_ALLOW);
ASSERT_MIRRORED(RULE_BLOCK, SENDER_RULE__RULE_BLOCK);

/* ---- Commands ---- */

enum answer_code decode_trust(struct decoder *decoder) {
    struct request *request = &decoder->decoded->request;
    request->to.resend = decoder->wire->trust->resend;
    request->to.relays = RELAYS_DEFAULT;
    return decode_destination(decoder, decoder->wire->trust->to, &request->to.to);
}

enum answer_code decode_rule(struct decoder *decoder) {
    const P2pd__Control__Rule *wire = decoder->wire->rule;
    struct request *request = &decoder->decoded->request;
    /* proto3 also passes numbers that the enum does not have. */
    if ((int)wire->rule < RULE_NONE || (int)wire->rule > RULE_BLOCK)
        return decode_refuse(decoder, ANSWER_USAGE, "a rule is allow, block or none");
    request->rule.rule = (enum sender_rule)wire->rule;
    return decode_destination(decoder, wire->to, &request->rule.to);
}

/* ---- Answers ---- */

bool encode_trust(struct encoder *encoder, const struct answer *answer) {
    const struct trust_report *report = answer->trust;
    P2pd__Control__TrustReport trust = P2PD__CONTROL__TRUST_REPORT__INIT;
    P2pd__Control__OldKey old[TRUST_OLD_MAX], *pointers[TRUST_OLD_MAX];
    for (size_t i = 0; i < report->n_old; i++) {
        p2pd__control__old_key__init(&old[i]);
        old[i].id = encode_id(&report->old[i].id);
        old[i].name = (char *)report->old[i].name;
        old[i].messages = report->old[i].messages;
        old[i].sent = report->old[i].sent;
        pointers[i] = &old[i];
    }
    trust.id = encode_id(&report->id);
    trust.address = encode_address(encoder, 0, &report->address);
    trust.name = (char *)report->name;
    trust.resent = report->resent;
    trust.n_old = report->n_old;
    trust.old = pointers;
    encoder->answer.trust = &trust;
    return encode_piece(encoder, true);
}

static size_t fill_rule(struct encoder *encoder, const struct answer *answer, size_t record,
                        size_t place, void *to) {
    const struct rule_report *from = &answer->rules.v[record];
    P2pd__Control__RuleReport *rule = to;
    p2pd__control__rule_report__init(rule);
    rule->id = encode_id(&from->id);
    rule->address = encode_address(encoder, place, &from->address);
    rule->name = (char *)from->name;
    rule->rule = (P2pd__Control__SenderRule)from->rule;
    return 0;
}

bool encode_rules(struct encoder *encoder, const struct answer *answer) {
    encoder->answer.rules = (P2pd__Control__RuleReport **)encoder->pointers;
    return encode_list(encoder, answer, answer->rules.n, sizeof(P2pd__Control__RuleReport),
                       &encoder->answer.n_rules, fill_rule);
}
