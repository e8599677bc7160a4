/* See words.h. */
#include "client/common/words.h"

#include <string.h>

const char *words_state(P2pd__Control__State state) {
    static const char *const words[] = {"unknown", "queued", "sent",   "delivered",
                                        "expired", "failed", "refused"};
    return (size_t)state < sizeof words / sizeof words[0] ? words[state] : words[0];
}

const char *words_why(P2pd__Control__State state, const char *reason) {
    return strcmp(reason, words_state(state)) == 0 ? "" : reason;
}

const char *words_item(const P2pd__Control__HistoryItem *item) {
    if (item->outgoing)
        return words_state(item->state);
    return item->taken ? "taken" : "waiting";
}

const char *words_file(const P2pd__Control__File *file) {
    if (file->state == P2PD__CONTROL__FILE_STATE__FILE_INCOMING)
        return "incoming";
    if (file->state == P2PD__CONTROL__FILE_STATE__FILE_WAITING)
        return "waiting";
    return words_state(file->message_state);
}

bool words_file_is_outgoing(const P2pd__Control__File *file) {
    return file->state == P2PD__CONTROL__FILE_STATE__FILE_OUTGOING;
}

const char *words_level(uint32_t level) {
    static const char *const words[] = {"ok", "note", "trouble"};
    return words[level < WORDS_LEVEL_TROUBLE ? level : WORDS_LEVEL_TROUBLE];
}

const char *words_rule(P2pd__Control__SenderRule rule) {
    return rule == P2PD__CONTROL__SENDER_RULE__RULE_BLOCK ? "blocked" : "allowed";
}
