/* What was refused in this transaction: nothing of the same kind that needs as much is let in, and
 * nothing is summed up for it.
 *
 * Threat: to find out whether stale parts could be dropped takes sums over all unfinished messages,
 * half a millisecond and more when there are as many as there may be. A parcel holds a thousand
 * items that promise a message each, and costs its sender nothing. So one answer holds for all that
 * want as much or more, until something gives room or the transaction ends. A transaction gathers
 * everything that came while the one before it was at work. */
#include "daemon/io/store/store_private.h"

static struct store_refusal *refusal_of(struct store_db *db, const struct store_op *op) {
    bool is_file = op->in_put.kind == KIND_FILE;
    bool is_whole = op->in_put.length == op->in_put.total;
    return &db->refusals[is_file][is_whole][op->in_put.is_known];
}

int store_refused(struct store_db *db, const struct store_op *op) {
    const struct store_refusal *refusal = refusal_of(db, op);
    bool holds = op->in_put.total >= refusal->total && op->in_put.quota_all == refusal->quota &&
                 op->in_put.share.percent == refusal->percent &&
                 op->in_put.share.is_of_others == refusal->is_of_others;
    return holds ? refusal->error : 0;
}

void store_refuse(struct store_db *db, const struct store_op *op, const struct store_need *need,
                  int error) {
    if (error == 0 || need->is_hopeless || store_need_is_own(need))
        return; /* the sender's own limits say nothing about other senders */
    *refusal_of(db, op) = (struct store_refusal){
        .total = op->in_put.total,
        .quota = op->in_put.quota_all,
        .percent = op->in_put.share.percent,
        .is_of_others = op->in_put.share.is_of_others,
        .error = error,
    };
}

void store_refusals_forget(struct store_db *db) {
    memset(db->refusals, 0, sizeof db->refusals);
}
