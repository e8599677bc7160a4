/* What is wrong, and what to do about it, in words: facts in, findings out. The doctor gathers no
 * facts itself: serve_doctor.c does. */
#ifndef P2PD_DOCTOR_H
#define P2PD_DOCTOR_H

#include "daemon/core/link/strangers.h"
#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/request.h"

#define DOCTOR_FINDINGS_MAX 64
#define DOCTOR_NAMED                                                                               \
    4 /* of a kind are named, or have a line of their own; the others are counted */

struct doctor_who { /* a node as people know it: any of it may be lacking but the id */
    struct node_id id;
    struct address address;
    char name[NODE_NAME_MAX + 1];
};
struct doctor_suspect { /* a neighbour from which nothing comes */
    struct doctor_who who;
    int64_t silent_us;
};
struct doctor_key { /* a key whose node is gone, with another key at its address */
    struct doctor_who who;
    struct node_id present;
    struct address at; /* as the user types it */
    uint64_t messages; /* that wait for it */
    int64_t unseen_us;
};
struct doctor_recipient { /* for whom messages wait */
    struct doctor_who who;
    uint64_t messages, mailed; /* mailed: lie in a mailbox, too */
    int64_t oldest_us;         /* how long the oldest has waited */
    int64_t unseen_us;         /* -1: it is there, or not known */
};
struct doctor_waiting {                          /* the messages that wait for one reason */
    struct doctor_recipient first[DOCTOR_NAMED]; /* the ones that have waited for longest */
    size_t recipients;
    uint64_t messages, mailed;
    int64_t oldest_us;
};

struct doctor_facts {
    /* Neighbours */
    unsigned neighbours, pool_min, dialled_us; /* dialled_us: neighbours that came to us */
    unsigned peers, peers_self;      /* addresses configured or found for names; of them: our own */
    const struct host_report *hosts; /* names that could not be looked up; NULL: none */
    size_t n_hosts;
    int64_t uptime_us,
        silent_us; /* silent: since anybody's datagram was good; the uptime if none */
    struct doctor_suspect suspects[DOCTOR_NAMED];
    size_t n_suspects;
    struct stranger strangers[DOCTOR_NAMED]; /* sources of datagrams that did not authenticate */
    size_t n_strangers;                      /* how many such sources are known */
    struct mono now;
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
    struct doctor_key keys[DOCTOR_NAMED];
    size_t n_keys; /* all of them */
    struct doctor_waiting waiting[OUTBOX_WHYS];
    uint64_t left_out; /* messages at which there was no memory to look */
    uint64_t unread;   /* messages of before the start, still to be read from the disk */
    /* Messages that expire within the hour, after waiting for most of their time. */
    uint64_t expiring;
    int64_t expires_us;                                     /* until the first of these does */
    uint64_t refused_quota, refused_unknown, refused_files; /* what others sent, since the start */
    /* Memory */
    size_t memory_used, memory_max;
    uint64_t memory_refused, memory_evicted;
    size_t droplist_entries, droplist_max;
    bool relays, month_used_up;
    int64_t month_us;              /* until relay.month begins anew */
    const struct finding *machine; /* MACHINE_TOPICS, as the shell told them; NULL: nothing */
};

/* Report what is to be said, in the order of the topics, not of severity; "all is well" if there is
 * nothing. Returns how many findings there are. */
size_t doctor_examine(const struct doctor_facts *facts,
                      struct finding ret_findings[DOCTOR_FINDINGS_MAX]);

#endif
