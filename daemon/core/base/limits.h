/* Every bound that a node keeps, on the wire and beside it: lengths, numbers, rates and times.
 *
 * A comment that begins with a bar is a row of the table in p2pd-protocol(7) LIMITS: what is
 * bounded | the bound | what happens at it. Numbers stand in it as {EXPRESSION} or
 * {EXPRESSION:UNIT} of the constants below, never as digits ({=N} is one that no constant here
 * holds). tests/tools/limits.sh makes the table, and check-manual.sh compares it with the page:
 * after a change here, run `tests/tools/limits.sh --write`. Each constant of this part is in a row.
 *
 * Rates are so many a second, bursts what goes at once after quiet. */
#ifndef P2PD_LIMITS_H
#define P2PD_LIMITS_H

#include "daemon/core/base/base.h"

/* ---- Descriptors and the directory ---- */

/* | descriptor | {DESCRIPTOR_MAX} bytes, {DESCRIPTOR_NEIGHBOURS_MAX} neighbours,
 * {DESCRIPTOR_ADDRESSES_MAX} addresses, {DESCRIPTOR_MAILBOXES_MAX} mailboxes, {EPOCHS_PUBLISHED}
 * keys | invalid (drop_malformed) */
#define DESCRIPTOR_MAX 1024
#define DESCRIPTOR_NEIGHBOURS_MAX 16
#define DESCRIPTOR_ADDRESSES_MAX 4
#define DESCRIPTOR_MAILBOXES_MAX 4
#define EPOCHS_PUBLISHED 7 /* the current one and 6 ahead */
/* | live descriptors | directory.max | one without links gives way, else new ids refused
 * (drop_limit) */
/* | places that change hands | {DIRECTORY_ROOM_RATE}/s ({DIRECTORY_ROOM_BURST}),
 * {DIRECTORY_ROOM_RATE / 2}/s while many are missed; the named not counted | new ids refused
 * (drop_limit)
 */
/* Newcomers for whom others give way where the directory is full; those that a node of the network
 * names as its neighbours are not counted. */
#define DIRECTORY_ROOM_RATE 20
#define DIRECTORY_ROOM_BURST 100
/* | names of nodes not known | {TOPOLOGY_SURVEYED} drawn, {DIRECTORY_NAMED_OF_LATE} of late | the
 * oldest is forgotten */
#define TOPOLOGY_SURVEYED 512
#define DIRECTORY_NAMED_OF_LATE 256
/* | versions of a node | {PACE_MIN_US:/s}/s, or one in {PACE_NODE_US:ms} ms for each reached one
 * ({PACE_BURST_SMALL} to {PACE_BURST_LARGE}); see Pace | asked for when its time comes */
/* The pace of honest nodes, as their receivers enforce it: a version of one node each so often, or
 * so long for each known node, and so many at once in small networks and in large ones. */
#define PACE_MIN_US US_PER_S
#define PACE_NODE_US (32 * US_PER_MS)
#define PACE_BURST_SMALL 12
#define PACE_BURST_LARGE 4
/* | versions that wait for it | {GOSSIP_PACED_MAX} | the newest of whoever has most gives way to
 * who has less, the next digest repeats it (drop_limit) */
/* Of all neighbours; each is one of those of the announcer that has fewest. */
#define GOSSIP_PACED_MAX 4096
/* | moves of our clock | {RENEWALS_BURST}, then {RENEWAL_EACH_US:/min}/min | the clock waits */
/* A wrong clock is set by half with the first answer and right with the second; whoever refuses us
 * takes its word back. A node that comes 10 minutes off to a network of 40 moves its clock 4 times,
 * seldom 6, before it is right. */
#define RENEWALS_BURST 8
#define RENEWAL_EACH_US US_PER_MINUTE
/* | proof against a node | {=1} | the first, until its last hour */
/* | proofs checked | {GOSSIP_PROOF_RATE}/s ({GOSSIP_PROOF_BURST}), and of each neighbour {=1} in
 * {GOSSIP_PROOF_PART_S} s ({GOSSIP_PROOF_PART_BURST}) | dropped, the digests repeat it (drop_limit)
 */
/* Whoever brings proofs without end does not keep others' out. */
#define GOSSIP_PROOF_RATE 4
#define GOSSIP_PROOF_BURST 32
#define GOSSIP_PROOF_PART_S 4
#define GOSSIP_PROOF_PART_BURST 4
/* | proofs told at once | {GOSSIP_PROOFS_UNTOLD_MAX} | digests tell */
#define GOSSIP_PROOFS_UNTOLD_MAX 64
/* | proofs told by digests | {GOSSIP_PROOF_RATE}/s ({GOSSIP_PROOF_BURST}) a neighbour | the next
 * ones */
/* | kept descriptors | directory.max | none is added */

/* ---- Gossip ---- */

/* | new ids from a neighbour | {GOSSIP_NEWCOMER_BURST}, then {GOSSIP_NEWCOMER_RATE}/s |
 * announcement forgotten, the next digest repeats it (drop_limit) */
/* The allowance outlives the link, for as long as there is room. */
#define GOSSIP_NEWCOMER_RATE 50
#define GOSSIP_NEWCOMER_BURST 5000
/* | wants of new ids | {GOSSIP_WANTS_MAX} | the newest of whoever has most gives way to who has
 * less (drop_limit) */
/* | wants of known nodes | {GOSSIP_WANTS_MAX} | the same */
#define GOSSIP_WANTS_MAX 20000 /* of each of the two; those of known nodes are asked for first */
/* | both | {GOSSIP_MEMORY_PERCENT} % of limits.memory | the same */
#define GOSSIP_MEMORY_PERCENT 8
/* | either of a neighbour | {GOSSIP_WANTS_NEIGHBOUR_MAX} | announcement forgotten (drop_limit) */
#define GOSSIP_WANTS_NEIGHBOUR_MAX 8000
/* | WANT queue of a neighbour | {GOSSIP_ANSWERS_MAX} | rest of the frame dropped, asked again
 * (drop_limit) */
#define GOSSIP_ANSWERS_MAX 512
/* | descriptors to a neighbour | all twice and {2 + GOSSIP_ASKED_SPARE}, one for each news, and all
 * in {GOSSIP_ASKED_ALL_S} s | the same */
/* Beside what was announced to it as news. An honest one asks for each version once, again if an
 * answer is lost, and for everything when it has been restarted; it has other neighbours then. The
 * allowance outlives the link. */
#define GOSSIP_ASKED_SPARE 64 /* beside all, and ourselves, twice */
#define GOSSIP_ASKED_ALL_S 600
/* | digests of a neighbour | {GOSSIP_DIGEST_BURST}, then one each {GOSSIP_DIGEST_EACH_S} s |
 * dropped (drop_limit) */
#define GOSSIP_DIGEST_BURST 3
#define GOSSIP_DIGEST_EACH_S 30

/* ---- Links ---- */

/* | established links | pool.max | VERDICT full, or an edge is split */
/* | links and probationary ones | {LINK_SLOTS} | handshake ends unanswered (drop_limit) */
#define LINK_SLOTS 32 /* pool.max is at most 16 */
/* | sessions | {LINK_SESSIONS_MAX} | drop_limit; a dial waits */
#define LINK_SESSIONS_MAX 256
/* | half-open handshakes | {LINK_HALF_OPEN_MAX}; of a source {LINK_HALF_OPEN_SOURCE_MAX} proven,
 * {LINK_HALF_OPEN_SOURCE_MAX} not | the refused make room, then for a proven one the others;
 * drop_limit, handshakes_refused */
#define LINK_HALF_OPEN_MAX 128
#define LINK_HALF_OPEN_SOURCE_MAX 16 /* a few must not shut out the rest */
/* | handshakes without a cookie | {LINK_HANDSHAKE_EACH_US:/s}/s ({LINK_HANDSHAKE_BURST}), a source
 * {LINK_HANDSHAKE_SOURCE_EACH_US:/s}/s ({LINK_HANDSHAKE_SOURCE_BURST}) | COOKIE (drop_limit,
 * cookies_sent) */
/* A bootstrap node's burst after a power cut fits; a flood does not. */
#define LINK_HANDSHAKE_EACH_US (20 * US_PER_MS)
#define LINK_HANDSHAKE_BURST 100
#define LINK_HANDSHAKE_SOURCE_EACH_US (200 * US_PER_MS)
#define LINK_HANDSHAKE_SOURCE_BURST 20
/* | handshakes with a cookie | a source {LINK_HANDSHAKE_PROVEN_EACH_US:/s}/s
 * ({LINK_HANDSHAKE_SOURCE_BURST}) | drop_limit */
#define LINK_HANDSHAKE_PROVEN_EACH_US (50 * US_PER_MS)
/* | cookie answers followed | {LINK_COOKIES_MAX} a dial | drop_limit */
#define LINK_COOKIES_MAX 3
/* | RESPONSEs read in vain | {LINK_RESPONSES_FAILED_MAX} an INIT, and {LINK_RESPONSES_FAILED_MAX}
 * from elsewhere | drop_limit */
#define LINK_RESPONSES_FAILED_MAX 4 /* two may be the answers to our earlier tries */
/* | FINISHes read in vain | {LINK_FINISH_VAIN_MAX} | the handshake ends */
#define LINK_FINISH_VAIN_MAX 8 /* each costs an exchange */
/* | INITs remembered | {GUARD_SEEN} proven, {GUARD_SEEN} not | the oldest of {GUARD_WAYS} goes; its
 * replay costs a half-open handshake */
/* At the rates at which they are admitted those without a cookie fill their table in 40 s, those of
 * one source that has a cookie in 100 s: a recorded one is seldom new, and takes one token and one
 * place then. */
#define GUARD_SEEN 2048
#define GUARD_WAYS 4
/* | dials under way | {LINK_DIALS_MAX} ({POOL_DIALS_MAX} of the pool's) | the next ones wait */
#define LINK_DIALS_MAX 32
#define POOL_DIALS_MAX 8
/* | dials to nodes not reached | one in {POOL_OTHERS_US:s} s ({POOL_OTHERS_BURST}) | none, while
 * there is a link */
/* To nodes that no links lead to: at once for a network that forms or that has fallen apart. */
#define POOL_OTHERS_BURST 32
#define POOL_OTHERS_US (5 * US_PER_S)
/* | address book | {BOOK_MAX} | the least wanted goes */
#define BOOK_MAX 512
/* | spares on disk | {POOL_SPARES_MAX}, neighbours included | no more are drawn */
#define POOL_SPARES_MAX 256
/* | introductions followed | {POOL_INTRODUCED_BURST}, then one each {POOL_INTRODUCED_US:s} s |
 * dropped (drop_limit) */
#define POOL_INTRODUCED_US (10 * US_PER_S)
#define POOL_INTRODUCED_BURST 16 /* all our neighbours leave */
/* | clock correction | {LINKS_CLOCK_MAX_US:h} h | cut to it */
#define LINKS_CLOCK_MAX_US (24 * US_PER_HOUR) /* beyond it somebody must set it */
/* | datagrams of one step | {EFFECTS_DATAGRAMS_MAX}, {EFFECTS_MEMORY_PERCENT} % of
 * limits.memory | dropped; of an onion drop_queue */
#define EFFECTS_DATAGRAMS_MAX 4096
#define EFFECTS_MEMORY_PERCENT 8
/* | replay window | {REPLAY_BITS} counters | older ones refused (drop_replay) */
#define REPLAY_BITS 2048

/* ---- Packets and paths ---- */

/* | ephs remembered | droplist.entries | new ones refused (drop_limit) */
/* | ephs of one neighbour | an eighth of it; beyond a 32nd, half of it for all | its new ones
 * refused (drop_limit) */
/* | new ephs to one neighbour | S / {=2} in {=4} min (S / {=8}); see ONION | refused, a part of the
 * sender's neighbour's own aside (drop_limit) */
/* | exchanges for payloads | relay.paths, by neighbour | refused (share_refused) */
/* | paths to strangers | {STRANGERS_SHARE}/s by neighbour, {STRANGERS_EVERY_US:/s}/s
 * ({STRANGERS_BURST}) for all; for receipts | no receipt */
/* A path costs two exchanges a hop. Strangers are as many as they like, and one shard of each that
 * is answered asks for one: so many a second by equal parts for the neighbours that bring such
 * shards, and as many for whoever comes, of them at once after a pause. Nodes that the user knows
 * are few, and not limited. */
#define STRANGERS_SHARE 100
#define STRANGERS_EVERY_US (10 * US_PER_MS)
#define STRANGERS_BURST 200
/* | mails in a parcel | {MAIL_IN_PARCEL_MAX} | refused, malformed */
#define MAIL_IN_PARCEL_MAX 16 /* each costs its recipient three exchanges or what is as dear */
/* | kept ephs | {DROPLIST_KEPT_BYTES:MiB} MiB | one becomes a fingerprint; its path is refused
 * (drop_duplicate) */
#define DROPLIST_KEPT_BYTES (16u << 20)
/* | packets under an eph | {ONION_INDEX_COUNT} | the sender draws another path */
#define ONION_INDEX_COUNT 1024
/* | live paths | {PATH_LIVE_MAX} | a spare one goes; none: no path just now, tried again */
#define PATH_LIVE_MAX 1024 /* some for each of hundreds of recipients at 2 s a path */
/* | spare paths | {PATH_SPARES_MAX}, {PATH_SPARES_EACH} a recipient | no more are made ahead */
#define PATH_SPARES_MAX 64
#define PATH_SPARES_EACH 4
/* | recipients of those | {PATH_EXPECTED_MAX} | the one written to longest ago is forgotten */
#define PATH_EXPECTED_MAX 64
/* | unfinished deposits | {MAILBOX_DEPOSITS_MAX}, of a neighbour {MAILBOX_DEPOSITS_MAX /
 * MAILBOX_SHARE} | of its, or of who has most, the one that grows least goes; drop_limit */
#define MAILBOX_DEPOSITS_MAX 32
#define MAILBOX_SHARE 4 /* one of so many parts from one neighbour */
/* | mail kept | mailbox.size, an eighth a recipient, {OUTBOX_MAIL_MAX} mails,
 * {MAIL_MEMORY_PERCENT} % of limits.memory | refused (mail_refused) */
#define OUTBOX_MAIL_MAX 65536
#define MAIL_MEMORY_PERCENT 20
/* | mail kept, sent again | {KEPT_TRIES_RATE}/s ({KEPT_TRIES_BURST}) of all recipients | waits for
 * its turn */
#define KEPT_TRIES_RATE 20
#define KEPT_TRIES_BURST 20
/* | deposits of ours under way | {OUTBOX_DEPOSITS_MAX} | the next ones wait */
#define OUTBOX_DEPOSITS_MAX 64 /* to mailboxes, up to 60 KiB each */
/* | mail keys | {MAIL_KEYS_MAX} | the oldest goes */
#define MAIL_DAYS_MAX 30 /* a mailbox keeps nothing longer */
/* One a day, one day more, and the one that the first of them replaced. */
#define MAIL_KEYS_MAX (MAIL_DAYS_MAX + 3)
/* | links in the record of failures | {PATH_RECORDS_MAX} | the oldest goes */
#define PATH_RECORDS_MAX 1024
/* | recipients without a full path | {PATH_SHORTS_MAX} | the oldest goes */
#define PATH_SHORTS_MAX 64
/* | silent tries of a recipient | {PATH_SILENCE_TRIES} | the oldest goes */
#define PATH_SILENCE_TRIES 4
/* | relayed packets waiting | {=1} s of relay.rate | oldest of the longest queue (queue_dropped) */
/* | relayed bytes | relay.month | drop_limit */
/* | onion payload | {ONION_PAYLOAD_MAX} bytes | invalid (drop_malformed) */
#define ONION_PAYLOAD_MAX 827
/* | onion pings answered | {PONG_EVERY_US:/s}/s ({PONG_BURST}) | drop_limit */
#define PONG_EVERY_US (500 * US_PER_MS)
#define PONG_BURST 8
/* | pings asked at once | {PINGS_MAX} | code 6 */
#define PINGS_MAX 32

/* ---- Parcels and messages ---- */

/* | parcel | {PARCEL_SEALED_MAX} bytes sealed, {SHARD_COUNT_MAX} shards with parity | invalid
 * (drop_malformed) */
#define SHARD_COUNT_MAX 128u
/* | unfinished parcels of a sender | {INBOX_SENDER_PARCELS_MAX}, {INBOX_SENDER_BYTES_MAX:MiB} MiB |
 * its oldest goes */
/* A sender may have 2 to 4 MB in flight. limits.memory (64 MiB unless set) holds 15 senders that go
 * so far, with little else in it; beyond it one of the oldest unfinished parcels goes (counted as
 * evicted), strangers' and great holders' first, and its sender, told by the next partial receipt,
 * sends it again. So a low limits.memory costs throughput, never a message. */
#define INBOX_SENDER_PARCELS_MAX 128
#define INBOX_SENDER_BYTES_MAX (4096u * 1024u)
/* | items that wait for the store | {INBOX_PUTS_MAX}, strangers {INBOX_PUTS_MAX - INBOX_PUTS_MAX /
 * 4} | no parcel is begun or completed (drop_limit) */
#define INBOX_PUTS_MAX 6144 /* the last parcel may go beyond it by what it holds */
/* | finished parcels remembered | {INBOX_DONE_MAX} | the oldest is forgotten */
#define INBOX_DONE_MAX 4096 /* a duplicate is receipted again */
/* | correspondents' paths | {INBOX_CORRESPONDENTS_MAX} | a stranger's goes, of the neighbour with
 * most */
#define INBOX_CORRESPONDENTS_MAX 64 /* for receipts */
/* | parcels of a recipient | {OUTBOX_PARCELS}, {OUTBOX_FLIGHT_BYTES:MiB} MiB | later ones wait */
#define OUTBOX_PARCELS 128             /* in memory, however small */
#define OUTBOX_FLIGHT_BYTES (4u << 20) /* 50 Mbit/s, three round trips of 200 ms */
/* | sealed parcels in all | {OUTBOX_SEALED_MAX} | those of silent recipients are unsealed, else
 * later ones wait */
#define OUTBOX_SEALED_MAX 1024 /* their receipt keys are in locked memory */
/* | shared secrets | {OUTBOX_KEYS_HELD} of recipients, {INBOX_KEYS_HELD} of senders,
 * {INBOX_GUESSES_HELD} of guesses | least recently used of four goes */
#define OUTBOX_KEYS_HELD 128
#define INBOX_KEYS_HELD 256
#define INBOX_GUESSES_HELD 16
/* | message | delivery.max_message, up to {FRAME_MESSAGE_MAX} | code 6; inbound: refused, too large
 */
/* | expiry of a message | {MESSAGE_EXPIRE_MAX_US:days} days | code 2 */
#define MESSAGE_EXPIRE_MAX_US (365 * 24 * US_PER_HOUR)
/* | tombstone | {TOMBSTONE_MAX_US:days} days from arrival, and one | cut to it */
#define TOMBSTONE_MAX_US (366 * 24 * US_PER_HOUR)
/* | messages not final | {OUTBOX_MESSAGES_MAX} | code 6 */
#define OUTBOX_MESSAGES_MAX 262144
/* | what is known of them and of recipients | {MESSAGES_MEMORY_PERCENT} % of limits.memory |
 * code 6 */
/* 304 bytes a message (bodies are on disk), 1440 and more a recipient of some that wait. What
 * cannot go before its time has parts of limits.memory (struct budget_part) that leave the rest of
 * the node an eighth. */
#define MESSAGES_MEMORY_PERCENT 40
/* | files not final, of these | {OUTBOX_FILES_MAX} | code 6 */
#define OUTBOX_FILES_MAX 4096 /* their names are held in memory */
/* | pushes of many messages under way | {OUTBOX_BATCHES_MAX} | code 6 */
#define OUTBOX_BATCHES_MAX 256
/* | messages in one such push | {PUSH_MANY_MAX} | code 6 */
#define PUSH_MANY_MAX 1024
/* | recipients ever written to | {OUTBOX_CONVERSATIONS_MAX}, {CONVERSATIONS_MEMORY_PERCENT} % of
 * limits.memory | code 6 to new ones */
#define OUTBOX_CONVERSATIONS_MAX 262144 /* their sequence must not begin again */
#define CONVERSATIONS_MEMORY_PERCENT 12 /* 152 bytes each */
/* | rules for senders | {POLICY_RULES_MAX} | code 6 */
#define POLICY_RULES_MAX 65536
/* | questions about conversations, files, rules under way | {QUERIES_MAX} | code 6 */
#define QUERIES_MAX 256
/* | clients waiting for the doctor | {DOCTORS_MAX} | code 6 */
#define DOCTORS_MAX 32
/* | clients waiting for a message | {OUTBOX_WATCHERS_MAX} | code 6 */
#define OUTBOX_WATCHERS_MAX 16
/* | pulls at once | {INBOX_PULLERS_MAX} | code 6 */
#define INBOX_PULLERS_MAX 256

/* ---- The control socket ---- */

/* | control connections | {CONTROL_CLIENTS_MAX}, {CONTROL_CLIENTS_UID(CONTROL_CLIENTS_MAX)} of a
 * uid | code 6; {CONTROL_RESERVED} more for Status, Doctor, Peers, Stop and Reload; fewer where
 * descriptors are few */
/* Of one uid three quarters, so that no user shuts out another. The next ones get one of a few
 * places more, where an administrator's short requests are carried out and all others are refused
 * in words. */
#define CONTROL_CLIENTS_MAX 128
#define CONTROL_CLIENTS_UID(clients_max) ((clients_max) - (clients_max) / 4)
#define CONTROL_RESERVED 8
/* | requests in sessions | {CONTROL_SESSION_REQUESTS} of one, {CONTROL_SESSIONS_UID} of a uid,
 * {CONTROL_SESSIONS_MAX} | code 6; none is read beyond {CONTROL_SESSION_OUTPUT:KiB} KiB of answers
 * unread */
/* Under way at once. What the core takes of a kind (256 pulls) is more than a uid can ask for in
 * any way. */
#define CONTROL_SESSION_REQUESTS 64
#define CONTROL_SESSIONS_UID 128
#define CONTROL_SESSIONS_MAX 256
#define CONTROL_SESSION_OUTPUT (256u << 10)
/* | control input | twice the largest frame; {CONTROL_INPUT_FREE:KiB} KiB each free | reading waits
 */
#define CONTROL_INPUT_FREE (64u << 10) /* all clients' together stay below 8 MiB */
/* | control output unread | {=4} times the largest frame + {CONTROL_OUTPUT_FREE:MiB} MiB | the
 * largest holder is dropped */
#define CONTROL_OUTPUT_FREE (16u << 20)

/* ---- What the store keeps ---- */

/* | who may send | inbox.accept, allow and block | refused (refused_unknown, refused_blocked) */
/* | who may send files | files.accept | refused (refused_files) */
/* | waiting or unfinished messages | inbox.quota | refused (refused_quota) */
/* | waiting or unfinished files | files.quota; {STORE_FILES_SENDER_MAX} of a sender,
 * {STORE_FILES_MAX} in all | refused (refused_quota) */
/* A row each, however small they are. A folder of photos fits. */
#define STORE_FILES_SENDER_MAX 8192
#define STORE_FILES_MAX 32768
/* | partial files of a sender | {STORE_PARTIAL_SENDER_MAX} | refused (refused_quota) */
#define STORE_PARTIAL_SENDER_MAX 256
/* | partial files | {STORE_PARTIAL_MAX}, strangers {STORE_PARTIAL_MAX - STORE_PARTIAL_MAX / 4} |
 * refused (refused_quota) */
#define STORE_PARTIAL_MAX 4096 /* each costs a name on the disk, too */
/* | unfinished messages of a sender | {STORE_PARTS_SENDER_MAX} | refused (refused_quota) */
#define STORE_PARTS_SENDER_MAX 64
/* | unfinished messages | {STORE_PARTS_MAX}, strangers {STORE_PARTS_MAX - STORE_PARTS_MAX / 4} |
 * refused (refused_quota) */
#define STORE_PARTS_MAX 4096
/* | gaps of a partial file | {STORE_SPANS_MAX - 1} | not acknowledged; blocks that fill one are
 * taken */
/* Of a sender that sends in order and loses some, as many as it has parcels on their way (a
 * hundred, of one file or of as many); of one that sends every second block as many as it likes. */
#define STORE_SPANS_MAX 256
/* | a block ahead of a file | {STORE_AHEAD_MAX:MiB} MiB | refused: lost */
/* More than a sender has on its way. A file system without holes writes zeros up to there. */
#define STORE_AHEAD_MAX (8u << 20)
/* | warnings of a copy | one a minute | not logged */
/* | files written in one transaction | {STORE_FILE_SLOTS} | not acknowledged */
/* Inbound files that are open at once, with the digest of what they have so far. One more, and the
 * one that rested longest is closed; what it had is read again when it goes on. What was written in
 * this transaction stays open until its commit, so that a file costs one sync however many others
 * there are: these are also all that one transaction touches, and what it waits for the disk. */
#define STORE_FILE_SLOTS 256
/* | disk that files leave free | {DISK_FLOOR:MiB} MiB, limits.disk_free | refused (refused_quota)
 */
/* Whatever the configuration says: a sixteenth of a partition, at most so much. Our own messages
 * may use half of that. */
#define DISK_FLOOR (64u << 20)
/* | disk that messages leave free | limits.disk_free | not acknowledged */
/* | files copied to the daemon | {CONTROL_SENDS_MAX}, {CONTROL_SENDS_UID} of a uid | code 6 */
#define CONTROL_SENDS_MAX 32 /* each may take hours */
#define CONTROL_SENDS_UID 24
/* | memory | limits.memory | see below */

/* ---- Lengths, numbers and times on the wire that are no row of the table ---- */

#define DATAGRAM_LEN 1232
#define CELL_LEN 1200
#define ONION_LEN 1197
#define ONION_LAYERS_MAX 6
#define TOPOLOGY_DEGREE_MAX 16
#define TOPOLOGY_RELAYS_MAX 5
#define RELAYS_DEFAULT 0xff /* in place of a number of relays: as configured */
#define MESSAGE_REASON_MAX 64

/* Keys, and what is told of them. */
#define EPOCH_US US_PER_HOUR
#define EPOCH_GRACE_US (3 * US_PER_MINUTE) /* keys serve this long beyond it, on both sides */
#define DESCRIPTOR_AHEAD_US (3 * US_PER_MINUTE)
#define DROPLIST_MINUTES 3 /* accepted either side of now */

/* Handshakes: the times of retries double with each. */
#define LINK_DIAL_RETRY_US (500 * US_PER_MS)
#define LINK_DIAL_TRIES 3
#define LINK_FINISH_RETRY_US (300 * US_PER_MS)
#define LINK_FINISH_TRIES 4
#define LINK_HALF_OPEN_US (5 * US_PER_S)
#define LINK_LINGER_US (5 * US_PER_S) /* a refused session waits for a repeated message 3 */
#define LINK_COOKIE_LIFE_US (2 * US_PER_MINUTE)

/* Links. */
#define LINK_REKEY_US (10 * US_PER_MINUTE)
#define LINK_REKEY_CELLS (UINT64_C(1) << 32)
#define LINK_OLD_KEYS_US (30 * US_PER_S)
#define LINK_PREVIOUS_LONGER_US (10 * US_PER_S) /* while the new session has not been heard */
#define LINK_UNANSWERED_US US_PER_S             /* cells out and nothing heard: ask */
#define LINK_PING_FAST_US (300 * US_PER_MS)
#define LINK_SUSPECT_US (3 * US_PER_S) /* 1 s unheard and 2 s of asking */
#define LINK_PING_SUSPECT_US US_PER_S
#define LINK_CHALLENGE_US US_PER_S

/* Gossip: announcements are gathered for so long, at random between the two. */
#define GOSSIP_GATHER_MIN_US (50 * US_PER_MS)
#define GOSSIP_GATHER_MAX_US (200 * US_PER_MS)
#define GOSSIP_ASK_US (2 * US_PER_S) /* the next announcer is asked after this */
/* Or after twice as long as last time, up to so much, where an announcer answers after all what it
 * was asked too long ago: its machine is busy, and two copies of everything would keep it so. */
#define GOSSIP_ASK_MAX_US (8 * US_PER_S)
#define GOSSIP_DIGEST_US US_PER_MINUTE
#define GOSSIP_BARRED_US US_PER_MINUTE /* whoever has brought a forged or malformed descriptor */

#define PATH_LIFE_US (2 * US_PER_S)

#endif
