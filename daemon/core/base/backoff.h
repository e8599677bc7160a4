/* Back-off: how long to wait after failures in a row. The first wait is `least_us`, each further
 * one twice as long as the one before, up to `most_us`. Who needs it spread over time adds jitter
 * (random_below()).
 *
 * Who backs off with what (each file's own constants): tries of an outgoing parcel, and of a
 * recipient that cannot be reached: deliver/sender/sender_backoff.c; what the store could not take:
 * deliver/ledger/ledger_message.c (final states), deliver/sender/loopback.c (messages to
 * ourselves); dials: overlay/pool_book.c (of one address), overlay/pool_dial.c (JOIN); deposits in
 * mailboxes: a table of waits in deliver/depot/deposit.c; host names: io/net/resolve.c. */
#ifndef P2PD_BACKOFF_H
#define P2PD_BACKOFF_H

#include "daemon/core/base/base.h"

#include <limits.h>

/* The wait after so many failures in a row, 1 or more. */
static inline int64_t backoff_us(unsigned failures, int64_t least_us, int64_t most_us) {
    int64_t us = least_us;

    for (; failures > 1 && us < most_us; failures--)
        us = us > most_us / 2 ? most_us : 2 * us;
    return us < most_us ? us : most_us;
}

struct backoff {
    unsigned failures; /* in a row; 0: the last try succeeded, or there was none */
};

/* One more failure: how long to wait. A success sets failures to 0. */
static inline int64_t backoff_failed(struct backoff *backoff, int64_t least_us, int64_t most_us) {
    if (backoff->failures < UINT_MAX)
        backoff->failures++;
    return backoff_us(backoff->failures, least_us, most_us);
}

#endif
