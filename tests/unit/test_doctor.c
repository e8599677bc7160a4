/* link: daemon/core/base daemon/core/doctor shared/address */
/* What the doctor says of which facts: each finding with its cause, and none without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/doctor.h"

#include <errno.h>

static struct doctor_facts healthy(void) {
    struct doctor_facts facts = {.neighbours = 5,
                                 .pool_min = 4,
                                 .has_peers = true,
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
    expect(&facts, FINDING_TROUBLE, "neighbours", "silent for 90 s");
    facts.foreign = 7;
    expect(&facts, FINDING_TROUBLE, "neighbours", "network.secret_file");
    facts.foreign = 0;
    facts.uptime_us = 3 * US_PER_S;
    expect(&facts, FINDING_NOTE, "neighbours", "started 3 s ago");
    facts.has_peers = false;
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

static void test_messages(void **state) {
    (void)state;
    struct doctor_facts facts = healthy();
    facts.keys_changed = 2;
    expect(&facts, FINDING_TROUBLE, "keys", "p2pctl trust");
    facts = healthy();
    facts.away = 1;
    facts.away_messages = 3;
    facts.away_us = US_PER_HOUR - 1;
    expect(&facts, FINDING_OK, "all", "all is well");
    facts.away_us = 80 * US_PER_HOUR;
    expect(&facts, FINDING_NOTE, "delivery", "3 messages wait for 1 recipients");
}

static void test_memory_and_relaying(void **state) {
    (void)state;
    struct doctor_facts facts = healthy();
    facts.memory_used = facts.memory_max;
    expect(&facts, FINDING_NOTE, "memory", "limits.memory");
    facts.memory_refused = 1;
    expect(&facts, FINDING_TROUBLE, "memory", "refused 1 times");
    facts.memory_used = 0; /* it was */
    expect(&facts, FINDING_NOTE, "memory", "refused 1 times");
    facts = healthy();
    facts.droplist_entries = facts.droplist_max;
    expect(&facts, FINDING_TROUBLE, "droplist", "droplist.entries");
    facts = healthy();
    facts.relays = false;
    expect(&facts, FINDING_NOTE, "relay", "node.relay is off");
}

static void test_everything_at_once(void **state) {
    (void)state;
    struct finding findings[DOCTOR_FINDINGS_MAX];
    struct doctor_facts facts = {.neighbours = 1,
                                 .pool_min = 16,
                                 .seen_as = ip(1, 65535),
                                 .local = ip(2, 1),
                                 .correction_us = INT64_MAX / 2,
                                 .store_error = -ENOSPC,
                                 .store_error_us = INT64_MAX / 2,
                                 .keys_changed = SIZE_MAX,
                                 .away = SIZE_MAX,
                                 .away_messages = SIZE_MAX,
                                 .away_us = INT64_MAX / 2,
                                 .memory_used = SIZE_MAX,
                                 .memory_refused = UINT64_MAX,
                                 .memory_evicted = UINT64_MAX};
    size_t n = doctor_examine(&facts, findings);
    assert_int_equal(n, 9);
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
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_memory_and_relaying),
        cmocka_unit_test(test_everything_at_once),
        cmocka_unit_test(test_what_the_shell_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
