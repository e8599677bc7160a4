/* Why bytes from outside changed nothing. Each reason stands here once, with the name and the line
 * that `p2pctl status` and p2pd-protocol(7) LIMITS have for its counter: X(reason, counter, what it
 * says). None is an error of ours. */
#ifndef P2PD_DROP_H
#define P2PD_DROP_H

#define DROPS(X)                                                                                   \
    X(DROP_MALFORMED, drop_malformed, "a length, type or field that cannot be")                    \
    X(DROP_VERSION, drop_version, "a version that we do not speak")                                \
    X(DROP_MAC, drop_mac, "not from a member of this network")                                     \
    X(DROP_AUTH, drop_auth, "AEAD, signature, mac, or a key of small order")                       \
    X(DROP_REPLAY, drop_replay, "counter or handshake seen")                                       \
    X(DROP_UNKNOWN, drop_unknown, "no such session, parcel or node; not asked for")                \
    X(DROP_TIME, drop_time, "epoch, slot, minute or sequence out of range")                        \
    X(DROP_DUPLICATE, drop_duplicate, "onion or shard seen already")                               \
    X(DROP_NO_ROUTE, drop_no_route, "next hop is no established link")                             \
    X(DROP_QUEUE, drop_queue, "more than a step or the memory takes")                              \
    X(DROP_LIMIT, drop_limit, "a table, share or rate is at its bound")                            \
    X(DROP_NOT_RELAY, drop_not_relay, "asked to forward, node.relay is off")

enum drop {
    DROP_NONE = 0, /* it was taken */
#define DROP_REASON(reason, counter, text) reason,
    DROPS(DROP_REASON)
#undef DROP_REASON
        DROP_COUNT
};

#endif
