/* What is wrong, and what to do about it, in words: facts in, findings out. Floor 6. It looks at
 * nothing itself: node_doctor.c gathers the facts. */
#ifndef P2PD_DOCTOR_H
#define P2PD_DOCTOR_H

#include "daemon/core/seam.h"

#define DOCTOR_FINDINGS_MAX 32

struct doctor_facts {
    /* Neighbours */
    unsigned neighbours, pool_min, dialled_us; /* dialled_us: neighbours that came to us */
    bool has_peers;                            /* configured, and an address of one is known */
    int64_t uptime_us,
        silent_us;    /* silent: since anybody's datagram was good; the uptime if none */
    uint64_t foreign; /* handshakes not of this network */
    /* Address */
    bool advertises;
    struct address seen_as, local; /* a neighbour's word, and where its datagrams come in */
    /* Clock and disk */
    int64_t correction_us;  /* added to this machine's clock */
    int64_t clock_error_us; /* how far it is behind the neighbours' */
    int store_error;        /* the last one, 0: none */
    int64_t store_error_us; /* ago */
    bool store_recovered;   /* something was written since */
    /* Messages */
    size_t keys_changed; /* correspondents at whose pinned address another key is found */
    size_t away, away_messages;
    int64_t away_us; /* how long the oldest of these messages has waited */
    /* Memory */
    size_t memory_used, memory_max;
    uint64_t memory_refused, memory_evicted;
    size_t droplist_entries, droplist_max;
    bool relays;
    const struct finding *machine; /* MACHINE_TOPICS, as the shell told them; NULL: nothing */
};

/* What is to be said, worst not first but by topic; "all is well" if there is nothing. Returns how
 * many. */
size_t doctor_examine(const struct doctor_facts *facts,
                      struct finding ret_findings[DOCTOR_FINDINGS_MAX]);

#endif
