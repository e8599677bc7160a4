/* link: daemon/core/base/base daemon/core/node/doctor shared/address */
/* What the doctor says of which facts: each finding with its cause, and none without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/node/doctor.h"

#include <errno.h>

static struct doctor_facts healthy(void) {
    struct doctor_facts facts = {.neighbours = 5,
                                 .pool_min = 4,
                                 .peers = 1,
                                 .uptime_us = US_PER_HOUR,
                                 .memory_used = 1000,
                                 .memory_max = 100000,
                                 .droplist_max = 1000,
                                 .relays = true};
    return facts;
}
static struct address ip(uint8_t last, uint16_t port) {
    struct address address = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = last},
                              .port = port};
    return address;
}
/* The one finding that is there. */
static struct finding only(const struct doctor_facts *facts) {
    struct finding findings[DOCTOR_FINDINGS_MAX];
    assert_int_equal(doctor_examine(facts, findings), 1);
    return findings[0];
}
static void expect(const struct doctor_facts *facts, enum finding_level level, const char *topic,
                   const char *words) {
    struct finding finding = only(facts);
    assert_int_equal(finding.level, level);
    assert_string_equal(finding.topic, topic);
    assert_non_null(strstr(finding.text, words));
    assert_true(strlen(finding.text) < sizeof finding.text - 1); /* nothing was cut */
}

static void test_all_well(void **state) {
    (void)state;
    struct doctor_facts facts = healthy();
    expect(&facts, FINDING_OK, "all", "all is well");
    facts.neighbours = facts.pool_min; /* at each bound */
    facts.correction_us = 30 * US_PER_S;
    facts.droplist_entries = facts.droplist_max - 1;
    facts.memory_used = facts.memory_max / 10 * 9;
    expect(&facts, FINDING_OK, "all", "all is well");
}

static void test_neighbours(void **state) {
    (void)state;
    struct doctor_facts facts = healthy();
    facts.neighbours = 3;
    expect(&facts, FINDING_NOTE, "neighbours", "3 of the 4");
    facts.neighbours = 0;
    facts.silent_us = 90 * US_PER_S;
    expect(&facts, FINDING_TROUBLE, "neighbours", "the peer has been silent for 90 s");
    facts.uptime_us = 3 * US_PER_S;
    expect(&facts, FINDING_NOTE, "neighbours", "started 3 s ago");
    facts.peers_self = 1;
    expect(&facts, FINDING_TROUBLE, "neighbours", "the peer configured is this node itself");
    facts.peers = facts.peers_self = 2;
    expect(&facts, FINDING_TROUBLE, "neighbours", "each peer configured is this node itself");
    facts.peers_self = 0;
    facts.uptime_us = US_PER_HOUR;
    expect(&facts, FINDING_TROUBLE, "neighbours", "the peers have been silent");
    facts.peers = 0;
    expect(&facts, FINDING_TROUBLE, "neighbours", "no peer is configured");
}

static void test_address(void **state) {
    (void)state;
    struct doctor_facts facts = healthy();
    facts.seen_as = ip(1, 4000);
    facts.local = ip(1, 58008); /* the same machine */
    expect(&facts, FINDING_OK, "all", "all is well");
    facts.local = ip(2, 58008);
    expect(&facts, FINDING_NOTE, "address", "10.0.0.2 here, 10.0.0.1:4000 outside");
    struct finding findings[DOCTOR_FINDINGS_MAX];
    facts.dialled_us = 1;
    assert_int_equal(doctor_examine(&facts, findings), 2);
    assert_int_equal(findings[0].level, FINDING_OK);
    assert_string_equal(findings[1].topic, "all");
}

static void test_clock(void **state) {
    (void)state;
    struct doctor_facts facts = healthy();
    facts.correction_us = 31 * US_PER_S;
    expect(&facts, FINDING_TROUBLE, "clock", "31 s behind");
    facts.correction_us = -5 * US_PER_HOUR;
    expect(&facts, FINDING_TROUBLE, "clock", "5 h ahead of");
    expect(&facts, FINDING_TROUBLE, "clock", "corrected here");
    facts.clock_error_us = -24 * US_PER_HOUR;
    expect(&facts, FINDING_TROUBLE, "clock", "corrected here");
    facts.clock_error_us = -26 * US_PER_HOUR; /* more than is corrected: then that is not said */
    expect(&facts, FINDING_TROUBLE, "clock", "26 h ahead of the neighbours', more than the 24 h");
    facts.clock_error_us = 50 * 365 * 24 * US_PER_HOUR;
    expect(&facts, FINDING_TROUBLE, "clock", "18250 days behind the neighbours', more than");
}

static void test_disk(void **state) {
    static const struct {
        int error;
        const char *words;
    } cases[] = {{-ENOSPC, "full"},
                 {-EROFS, "read-only"},
                 {-EIO, "input/output"},
                 {-EBADF, "store"},
                 {-EMFILE, "out of file descriptors"},
                 {-EFBIG, "ulimit -f"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct doctor_facts facts = healthy();
        facts.store_error = cases[i].error;
        facts.store_error_us = US_PER_MINUTE;
        expect(&facts, FINDING_TROUBLE, "disk", cases[i].words);
        facts.store_recovered = true;
        expect(&facts, FINDING_NOTE, "disk", "works again");
        facts.store_error_us = 25 * US_PER_HOUR;
        expect(&facts, FINDING_OK, "all", "all is well");
    }
}

static struct doctor_who somebody(uint8_t number, const char *name) {
    struct doctor_who who = {.id = {{number}}, .address = ip(number, 58008)};
    strcpy(who.name, name);
    return who;
}

/* A name that leads nowhere is a peer that is configured. */
static void test_names(void **state) {
    static const struct host_report hosts[10] = {
        {"bootstrap.example:4000", "Name or service not known", 70 * US_PER_S, 30 * US_PER_S},
        {"second.example", "Temporary failure in name resolution", 0, 0},
    };
    struct finding findings[DOCTOR_FINDINGS_MAX];
    struct doctor_facts facts = healthy();
    (void)state;
    facts.hosts = hosts;
    facts.n_hosts = 1;
    expect(&facts, FINDING_NOTE, "names",
           "the peer bootstrap.example:4000 cannot be looked up: Name or service not known (for "
           "70 s; next try in 30 s)");
    facts.neighbours = facts.peers = 0;
    assert_int_equal(doctor_examine(&facts, findings), 2);
    assert_string_equal(findings[0].text,
                        "no neighbour: no address is known of the peer configured");
    assert_int_equal(findings[1].level, FINDING_TROUBLE);
    facts.n_hosts = 2;
    assert_int_equal(doctor_examine(&facts, findings), 3);
    assert_non_null(strstr(findings[0].text, "of the peers configured"));
    assert_non_null(strstr(findings[2].text, "next try now"));
    facts.n_hosts = 10;
    assert_int_equal(doctor_examine(&facts, findings), 10);
    assert_string_equal(findings[9].text, "and 2 more that cannot be looked up");
}

static void test_suspects_and_strangers(void **state) {
    struct finding findings[DOCTOR_FINDINGS_MAX];
    struct doctor_facts facts = healthy();
    (void)state;
    facts.n_suspects = 1;
    facts.suspects[0] = (struct doctor_suspect){somebody(7, "bob"), 12 * US_PER_S};
    expect(&facts, FINDING_NOTE, "suspect",
           "the neighbour bob (10.0.0.7:58008, 0700000000000000) has been silent for 12 s");
    facts.n_suspects = DOCTOR_NAMED + 2;
    assert_int_equal(doctor_examine(&facts, findings), DOCTOR_NAMED + 1);
    assert_string_equal(findings[DOCTOR_NAMED].text, "and 2 more neighbours that are silent");
    facts = healthy();
    facts.now.us = US_PER_HOUR;
    facts.n_strangers = 1;
    facts.strangers[0] = (struct stranger){ip(9, 5), 1, {US_PER_S}, {US_PER_HOUR - 5 * US_PER_S}};
    expect(&facts, FINDING_NOTE, "strangers",
           "1 datagram from 10.0.0.9 did not authenticate, the last 5 s ago: another "
           "network.secret_file or network.name there?");
    facts.strangers[0].n = 2;
    expect(&facts, FINDING_NOTE, "strangers", "2 datagrams from 10.0.0.9 did");
    facts.neighbours = 0;
    assert_int_equal(doctor_examine(&facts, findings), 2);
    assert_non_null(strstr(findings[0].text, "not of this network"));
}

static void test_keys(void **state) {
    struct finding findings[DOCTOR_FINDINGS_MAX];
    struct doctor_facts facts = healthy();
    struct address at = ip(7, 0);
    (void)state;
    facts.n_keys = 1;
    facts.keys[0] = (struct doctor_key){.who = somebody(7, ""),
                                        .present = {{8}},
                                        .at = at,
                                        .messages = 2,
                                        .unseen_us = 3 * US_PER_HOUR};
    expect(&facts, FINDING_TROUBLE, "keys",
           "10.0.0.7:58008 (0700000000000000) is gone, last seen 3 h ago, and another key, "
           "0800000000000000, is at 10.0.0.7; 2 messages wait for the one that is gone.");
    expect(&facts, FINDING_TROUBLE, "keys", "p2pctl trust --resend 10.0.0.7");
    facts.keys[0].messages = 1;
    expect(&facts, FINDING_TROUBLE, "keys", "; 1 message waits for");
    facts.keys[0].messages = 0;
    expect(&facts, FINDING_TROUBLE, "keys", "; no message waits for");
    expect(&facts, FINDING_TROUBLE, "keys", "p2pctl trust 10.0.0.7");
    facts.n_keys = 130;
    assert_int_equal(doctor_examine(&facts, findings), DOCTOR_NAMED + 1);
    assert_string_equal(findings[DOCTOR_NAMED].text,
                        "and 126 more correspondents at whose address another key is");
}

static void test_messages(void **state) {
    struct doctor_facts facts = healthy();
    struct doctor_waiting *away = &facts.waiting[OUTBOX_AWAY];
    (void)state;
    *away = (struct doctor_waiting){.recipients = 1, .messages = 1};
    away->first[0] = (struct doctor_recipient){
        .who = somebody(3, "carol"), .messages = 1, .unseen_us = 2 * US_PER_MINUTE};
    away->oldest_us = US_PER_MINUTE - 1;
    expect(&facts, FINDING_OK, "all", "all is well"); /* just pushed */
    away->oldest_us = US_PER_MINUTE;
    expect(&facts, FINDING_NOTE, "delivery",
           "1 message waits for somebody who is not in the network, for 60 s: to carol "
           "(10.0.0.3:58008, 0300000000000000), last seen 2 min ago");
    away->messages = 3;
    away->mailed = 2;
    away->oldest_us = 80 * US_PER_HOUR;
    away->recipients = 2;
    away->first[1] = (struct doctor_recipient){.who = {.id = {{4}}}, .unseen_us = -1};
    expect(&facts, FINDING_NOTE, "delivery",
           "3 messages wait for somebody who is not in the network, the oldest for 3 days, 2 of "
           "them also in mailboxes: to carol (10.0.0.3:58008, 0300000000000000), last seen 2 min "
           "ago; 0400000000000000");
    away->recipients = DOCTOR_NAMED + 1;
    expect(&facts, FINDING_NOTE, "delivery", "; and 1 other");
    away->recipients = DOCTOR_NAMED + 200;
    expect(&facts, FINDING_NOTE, "delivery", "; and 200 others");
    for (enum outbox_why why = 0; why < OUTBOX_WHYS; why++) { /* each is said in words */
        struct doctor_facts one = healthy();
        one.waiting[why] = *away;
        expect(&one, FINDING_NOTE, "delivery", "3 messages ");
        one.waiting[why].messages = 1;
        expect(&one, FINDING_NOTE, "delivery", "1 message ");
    }
    facts = healthy();
    facts.unread = 1;
    expect(&facts, FINDING_NOTE, "delivery", "1 message is of before the start still being read");
    facts = healthy();
    facts.expiring = 1;
    facts.expires_us = 5 * US_PER_MINUTE;
    expect(&facts, FINDING_NOTE, "expiry", "1 message expires within the hour");
    facts.expiring = 2;
    expect(&facts, FINDING_NOTE, "expiry", "2 messages expire within");
}

static void test_inbox(void **state) {
    struct finding findings[DOCTOR_FINDINGS_MAX];
    struct doctor_facts facts = healthy();
    (void)state;
    facts.refused_quota = 1;
    expect(&facts, FINDING_NOTE, "inbox", "refused 1 time since");
    facts.refused_quota = 0;
    facts.refused_unknown = 2; /* as it was asked for */
    assert_int_equal(doctor_examine(&facts, findings), 2);
    assert_int_equal(findings[0].level, FINDING_OK);
    assert_string_equal(findings[1].topic, "all");
}

static void test_memory_and_relaying(void **state) {
    (void)state;
    struct doctor_facts facts = healthy();
    facts.memory_used = facts.memory_max;
    expect(&facts, FINDING_NOTE, "memory", "limits.memory");
    facts.memory_refused = 1;
    expect(&facts, FINDING_TROUBLE, "memory", "refused 1 time,");
    facts.memory_used = 0; /* it was */
    expect(&facts, FINDING_NOTE, "memory", "refused 1 time,");
    facts = healthy();
    facts.droplist_entries = facts.droplist_max;
    expect(&facts, FINDING_TROUBLE, "droplist", "droplist.entries");
    facts = healthy();
    facts.relays = false;
    expect(&facts, FINDING_NOTE, "relay", "node.relay is off");
    facts = healthy();
    facts.month_used_up = true;
    facts.month_us = 5 * US_PER_HOUR;
    expect(&facts, FINDING_NOTE, "relay",
           "relay.month is used up: packets of others are dropped "
           "for 5 h");
}

static void test_everything_at_once(void **state) {
    (void)state;
    struct finding findings[DOCTOR_FINDINGS_MAX];
    static struct host_report hosts[64];
    struct doctor_facts facts = {.neighbours = 0,
                                 .pool_min = 16,
                                 .peers = 9,
                                 .n_hosts = 64,
                                 .hosts = hosts,
                                 .silent_us = INT64_MAX / 2,
                                 .uptime_us = INT64_MAX / 2,
                                 .n_suspects = SIZE_MAX,
                                 .seen_as = ip(1, 65535),
                                 .local = ip(2, 1),
                                 .correction_us = INT64_MAX / 2,
                                 .store_error = -ENOSPC,
                                 .store_error_us = INT64_MAX / 2,
                                 .n_keys = SIZE_MAX,
                                 .unread = UINT64_MAX,
                                 .expiring = UINT64_MAX,
                                 .expires_us = INT64_MAX / 2,
                                 .refused_quota = UINT64_MAX,
                                 .refused_files = UINT64_MAX / 2,
                                 .memory_used = SIZE_MAX,
                                 .memory_refused = UINT64_MAX,
                                 .memory_evicted = UINT64_MAX,
                                 .month_used_up = true,
                                 .month_us = INT64_MAX / 2,
                                 .n_strangers = SIZE_MAX};
    struct doctor_who longest = {.id = {{0xff}}, .address = ip(255, 65535)};
    memset(longest.address.ip, 0xfd, sizeof longest.address.ip);
    memset(longest.name, 'n', NODE_NAME_MAX);
    for (size_t i = 0; i < 64; i++) {
        memset(hosts[i].name, 'h', sizeof hosts[i].name - 1);
        memset(hosts[i].why, 'w', sizeof hosts[i].why - 1);
        hosts[i].failing_us = hosts[i].next_us = INT64_MAX / 2;
    }
    for (size_t i = 0; i < DOCTOR_NAMED; i++) {
        facts.suspects[i] = (struct doctor_suspect){longest, INT64_MAX / 2};
        facts.strangers[i] = (struct stranger){longest.address, UINT64_MAX, {0}, {0}};
        facts.keys[i] =
            (struct doctor_key){longest, longest.id, longest.address, UINT64_MAX, INT64_MAX / 2};
        for (enum outbox_why why = 0; why < OUTBOX_WHYS; why++)
            facts.waiting[why].first[i] =
                (struct doctor_recipient){longest, 1, 1, INT64_MAX / 2, INT64_MAX / 2};
    }
    for (enum outbox_why why = 0; why < OUTBOX_WHYS; why++) {
        facts.waiting[why].recipients = SIZE_MAX;
        facts.waiting[why].messages = facts.waiting[why].mailed = UINT64_MAX;
        facts.waiting[why].oldest_us = INT64_MAX / 2;
    }
    struct finding machine[MACHINE_TOPICS];
    for (size_t i = 0; i < MACHINE_TOPICS; i++) {
        machine[i] = (struct finding){.level = FINDING_TROUBLE, .topic = "machine"};
        strcpy(machine[i].text, "text");
    }
    facts.machine = machine;
    size_t n = doctor_examine(&facts, findings);
    assert_in_range(n, 40, DOCTOR_FINDINGS_MAX);
    for (size_t i = 0; i < n; i++)
        assert_true(strlen(findings[i].text) < sizeof findings[i].text - 1);
}

static void test_what_the_shell_found(void **state) {
    (void)state;
    struct finding machine[MACHINE_TOPICS] = {{.level = FINDING_OK}};
    struct doctor_facts facts = healthy();
    facts.machine = machine;
    expect(&facts, FINDING_OK, "all", "all is well");
    machine[MACHINE_SOCKET] = (struct finding){FINDING_TROUBLE, "socket", "100% gone"};
    expect(&facts, FINDING_TROUBLE, "socket", "100% gone");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_well),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_suspects_and_strangers),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_inbox),
        cmocka_unit_test(test_memory_and_relaying),
        cmocka_unit_test(test_everything_at_once),
        cmocka_unit_test(test_what_the_shell_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
