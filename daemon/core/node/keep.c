/* See keep.h. */
#include "daemon/core/node/keep.h"
#include "daemon/core/node/node_private.h"

/* A disk that is nearly full fails and works again many times a second: log failures at most this
 * often. */
#define SAY_AGAIN_US (60 * US_PER_S)

void node_keep_entry(struct node *node, const struct directory_entry *entry) {
    uint8_t *bytes = malloc(entry->length); /* the entry may be replaced before the store is done */
    if (!bytes)
        return;
    memcpy(bytes, entry->bytes, entry->length);
    struct store_op op = {.kind = STORE_NODE_PUT,
                          .node_put = {entry->id, bytes, entry->length, entry->pinned, {{0}, 0}}};
    if (entry->pinned)
        op.node_put.pin = entry->acquaintance->pin;
    effects_store(node->effects, &op, OWNER_NODE, (uint64_t)(uintptr_t)bytes);
}

void node_keep_mail_key(struct node *node) {
    struct store_op op = {.kind = STORE_MAIL_KEY};

    if (!identity_mail_to_store(node->identity, &op.mail_key.day, &op.mail_key.secret,
                                &op.mail_key.oldest))
        return;
    node->mail_day = op.mail_key.day;
    effects_store(node->effects, &op, OWNER_NODE, 0);
}

static void mail_key_stored(struct node *node, int error) {
    identity_mail_stored(node->identity, node->mail_day, error == 0);
    if (error == 0)
        publisher_change(&node->publisher); /* otherwise the next chores store it again */
}

/* Free the copy that was made for the store. */
void node_keep_abandon(uint64_t cookie) {
    free((void *)(uintptr_t)cookie);
}

/* That a descriptor or pin was not stored needs no answer here: node_keep_note() reports the disk.
 * A mail key that was not stored is not used. */
void node_kept(struct node *node, uint64_t cookie, const struct store_result *result) {
    if (result->kind == STORE_MAIL_KEY)
        mail_key_stored(node, result->error);
    node_keep_abandon(cookie);
}

/* ---- The disk ---- */

static void log_failure(const struct node *node, int error) {
    char words[ERROR_WORDS_MAX];
    error_words(error, words);
    core_log(&node->config.trace, TRACE_ERROR, "store: %s; p2pctl doctor", words);
}

/* Note for the doctor whether the disk works. Errors that tell of one operation, and not of the
 * disk, do not count. */
void node_keep_note(struct node *node, const struct store_result *result) {
    if (result->kind == STORE_IN_PUT && result->error == 0 && result->in_renumbered) {
        if (node->disk.renumbered.us == 0 ||
            node->now.mono.us - node->disk.renumbered.us > US_PER_HOUR)
            core_log(&node->config.trace, TRACE_WARNING,
                     "a sender's messages are numbered anew: its state was restored from an older "
                     "backup. They are handed out as they come");
        node->disk.renumbered = node->now.mono;
    }
    switch (result->error) {
    case 0:
        if (result->kind == STORE_OUT_PUT || result->kind == STORE_IN_PUT ||
            result->kind == STORE_OUT_STATE || result->kind == STORE_SEQUENCE)
            node->disk.recovered = true;
        break;
    case -ENOENT:
    case -EEXIST:
    case -EDQUOT:
    case -ENOBUFS:
    case -EBADMSG:
    case -ESTALE:
    case -EINVAL:
        break;
    default:
        if (result->error != node->disk.error ||
            (node->disk.recovered && node->now.mono.us - node->disk.failed.us > SAY_AGAIN_US))
            log_failure(node, result->error);
        node->disk.error = result->error;
        node->disk.failed = node->now.mono;
        node->disk.recovered = false;
    }
}
