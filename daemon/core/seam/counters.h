/* The counters and numbers of `p2pctl status`. Each stands here once: the structs below, the names
 * that `status --json` prints (io/control/convert_daemon.c) and the list in p2pctl(1) come from
 * these tables, or are compared with them (tests/tools/check-manual.sh). The counters of what was
 * dropped are base/drop.h's. */
#ifndef P2PD_COUNTERS_H
#define P2PD_COUNTERS_H

#include "daemon/core/base/drop.h"

#include <stddef.h>
#include <stdint.h>

/* X(name, what it counts from the daemon's start), in the order in which they are printed; the
 * drops follow. */
#define COUNTERS(X)                                                                                \
    X(datagrams_in, "datagrams that came, of whatever kind")                                       \
    X(datagrams_out, "datagrams that left")                                                        \
    X(onion_relayed, "packets taken on for another node")                                          \
    X(onion_delivered, "packets that were for us")                                                 \
    X(onion_sent, "packets of our own that left, receipts and pings among them")                   \
    X(duplicates_dropped, "drop_duplicate and drop_replay")                                        \
    X(malformed_dropped, "drop_malformed, version, mac, auth, unknown and time")                   \
    X(no_route_dropped, "drop_no_route and drop_not_relay")                                        \
    X(queue_dropped, "drop_queue, drop_limit, and what went from the queues of relaying")          \
    X(handshakes, "sessions with neighbours that were agreed on, renewals too")                    \
    X(retransmissions, "packets that repeat one of ours")                                          \
    X(cookies_sent, "handshakes answered with a cookie")                                           \
    X(share_refused, "packets beyond a neighbour's share of relay.paths")                          \
    X(refused_blocked, "parcels of senders that are blocked")                                      \
    X(refused_unknown, "parcels of senders that inbox.accept leaves out")                          \
    X(refused_quota, "parcels beyond a quota, or the disk's room")                                 \
    X(refused_files, "parcels of files from senders that files.accept leaves out")                 \
    X(pushes_refused, "pushes at a limit: of size, of messages that wait, of memory")              \
    X(rules_refused, "allow and block at the limit of rules")                                      \
    X(memory_evicted, "what went to make room within limits.memory")                               \
    X(memory_refused, "what limits.memory had no room for")                                        \
    X(handshakes_refused, "handshakes that found no place among the half-open ones")               \
    X(messages_sent, "messages that first left, or came into our own inbox, since the start")      \
    X(messages_delivered, "of messages_sent, so never more")                                       \
    X(messages_received, "messages and files that came whole")                                     \
    X(receipts_sent, "receipts for what came")                                                     \
    X(mail_refused, "messages for others that we did not keep")

struct counters {
#define COUNTER(name, text) uint64_t name;
    COUNTERS(COUNTER)
#undef COUNTER
    uint64_t drops[DROP_COUNT];
};

/* X(type, name, what it is): numbers of now, under their names in control.proto's StatusReport. */
#define STATUS_NUMBERS(X)                                                                          \
    X(int64_t, uptime_us, "since the daemon's start")                                              \
    X(unsigned, pool_neighbours, "established links")                                              \
    X(unsigned, pool_min, "pool.min")                                                              \
    X(unsigned, pool_max, "pool.max")                                                              \
    X(unsigned, pool_spare, "addresses that can be dialled for want of neighbours")                \
    X(size_t, directory_nodes, "nodes known and live, ourselves included")                         \
    X(size_t, directory_relays, "of them, those that relay")                                       \
    X(uint64_t, inbox_waiting, "messages and files that nobody has taken")                         \
    X(uint64_t, inbox_unfinished, "bytes of messages and files that are not whole yet")            \
    X(uint64_t, outbox_pending, "messages and files of ours whose state is not final")             \
    X(uint64_t, outbox_stranded, "of these, to a key that is gone from where another is")          \
    X(uint64_t, mail_held, "messages kept for others; not among outbox_pending")                   \
    X(uint64_t, mail_bytes, "what they count towards mailbox.size")                                \
    X(int64_t, clock_offset_us, "the correction in force")                                         \
    X(int64_t, clock_error_us, "how far the machine's clock is behind the neighbours'")            \
    X(size_t, memory_used, "of limits.memory")                                                     \
    X(size_t, memory_max, "limits.memory")                                                         \
    X(size_t, droplist_entries, "paths that are remembered against replays")

#endif
