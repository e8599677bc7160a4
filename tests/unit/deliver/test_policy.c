/* link: daemon/core/deliver/inbox/policy */
/* Who may leave something with us: every setting against every kind of sender. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/deliver/inbox/policy.h"

#include <errno.h>
#include <sodium.h>

/* ---- Doubles: one entry in the directory, one correspondent ---- */
static struct node_id stranger, kept, written, allowed, blocked;
static struct directory_entry kept_entry;

const struct directory_entry *directory_find(const struct directory *directory,
                                             const struct node_id *id) {
    (void)directory;
    return node_id_is_equal(id, &kept) ? &kept_entry : NULL;
}
static bool has_written(const void *context, const struct node_id *id) {
    return node_id_is_equal(id, context);
}
static void fill(void *context, void *buffer, size_t length) {
    (void)context;
    memset(buffer, 5, length);
}
static const struct core_random fixed = {fill, NULL};

static struct policy *policy_of(enum inbox_accept inbox, enum files_accept files) {
    struct boot_rule rules[] = {{allowed, RULE_ALLOW}, {blocked, RULE_BLOCK}};
    struct policy_config config = {.random = &fixed,
                                   .has_written = has_written,
                                   .context = &written,
                                   .inbox = inbox,
                                   .files = files};
    struct policy *policy = policy_new(&config, rules, 2);
    assert_non_null(policy);
    return policy;
}
static int setup(void **state) {
    (void)state;
    stranger.bytes[0] = 1;
    kept.bytes[0] = 2;
    written.bytes[0] = 3;
    allowed.bytes[0] = 4;
    blocked.bytes[0] = 5;
    kept_entry = (struct directory_entry){.kept = true};
    return 0;
}

#define OK PARCEL_REASON_NONE
#define UNKNOWN PARCEL_REASON_UNKNOWN_SENDER
#define NO_FILES PARCEL_REASON_NO_FILES

static void test_every_setting(void **state) {
    static const struct {
        enum inbox_accept inbox;
        enum files_accept files;
        enum parcel_reason message[3],
            file[3]; /* of a stranger, somebody known, somebody allowed */
    } cases[] = {
        {INBOX_ALL, FILES_ALL, {OK, OK, OK}, {OK, OK, OK}},
        {INBOX_ALL, FILES_KNOWN, {OK, OK, OK}, {NO_FILES, OK, OK}},
        {INBOX_ALL, FILES_NONE, {OK, OK, OK}, {NO_FILES, NO_FILES, NO_FILES}},
        {INBOX_KNOWN, FILES_ALL, {UNKNOWN, OK, OK}, {UNKNOWN, OK, OK}},
        {INBOX_ALLOWED, FILES_ALL, {UNKNOWN, UNKNOWN, OK}, {UNKNOWN, UNKNOWN, OK}},
        {INBOX_ALLOWED, FILES_NONE, {UNKNOWN, UNKNOWN, OK}, {UNKNOWN, UNKNOWN, NO_FILES}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct policy *policy = policy_of(cases[i].inbox, cases[i].files);
        const struct node_id *senders[][2] = {
            {&stranger, &stranger}, {&kept, &written}, {&allowed, &allowed}};
        for (size_t j = 0; j < 3; j++)
            for (size_t k = 0; k < 2; k++) {
                assert_int_equal(policy_judge(policy, senders[j][k], KIND_MESSAGE),
                                 cases[i].message[j]);
                assert_int_equal(policy_judge(policy, senders[j][k], KIND_FILE), cases[i].file[j]);
            }
        assert_int_equal(policy_judge(policy, &blocked, KIND_MESSAGE), PARCEL_REASON_BLOCKED);
        assert_int_equal(policy_judge(policy, &blocked, KIND_FILE), PARCEL_REASON_BLOCKED);
        policy_free(policy);
    }
}

static void test_known(void **state) {
    (void)state;
    struct policy *policy = policy_of(INBOX_ALL, FILES_ALL);
    assert_true(policy_is_known(policy, &kept));
    kept_entry = (struct directory_entry){.pinned = true};
    assert_true(policy_is_known(policy, &kept));
    kept_entry = (struct directory_entry){.live = true};
    assert_false(policy_is_known(policy, &kept)); /* in the network is not known to us */
    assert_true(policy_is_known(policy, &written));
    assert_true(policy_is_known(policy, &allowed));
    assert_false(policy_is_known(policy, &blocked));
    assert_false(policy_is_known(policy, &stranger));
    policy_free(policy);
}

static void test_rules_change(void **state) {
    (void)state;
    struct policy *policy = policy_of(INBOX_ALL, FILES_ALL);
    assert_int_equal(policy_count(policy), 2);
    assert_int_equal(policy_set(policy, &allowed, RULE_BLOCK), 0);
    assert_int_equal(policy_get(policy, &allowed), RULE_BLOCK);
    assert_int_equal(policy_set(policy, &blocked, RULE_NONE), 0);
    assert_int_equal(policy_set(policy, &stranger, RULE_NONE), 0);
    assert_int_equal(policy_judge(policy, &blocked, KIND_MESSAGE), PARCEL_REASON_NONE);
    assert_int_equal(policy_count(policy), 1);
    policy_configure(policy, INBOX_ALLOWED, FILES_NONE);
    assert_int_equal(policy_judge(policy, &kept, KIND_MESSAGE), PARCEL_REASON_UNKNOWN_SENDER);
    policy_free(policy);
}

static bool count(void *context, const struct node_id *id, enum sender_rule rule) {
    (void)id;
    *(size_t *)context += rule != RULE_NONE;
    return *(size_t *)context < 100000;
}

static void test_bounded(void **state) {
    (void)state;
    struct policy *policy = policy_of(INBOX_ALL, FILES_ALL);
    struct node_id id = {{9}};
    size_t n = 0;
    for (uint32_t i = 0; i < POLICY_RULES_MAX - 2; i++) {
        memcpy(id.bytes + 4, &i, sizeof i);
        assert_true(policy_has_room(policy, &id));
        assert_int_equal(policy_set(policy, &id, RULE_BLOCK), 0);
    }
    assert_true(policy_has_room(policy, &id)); /* it has one */
    assert_false(policy_has_room(policy, &stranger));
    assert_int_equal(policy_set(policy, &stranger, RULE_BLOCK), -ENOSPC);
    assert_int_equal(policy_set(policy, &id, RULE_ALLOW), 0);
    policy_visit(policy, count, &n);
    assert_int_equal(n, POLICY_RULES_MAX);
    assert_int_equal(policy_set(policy, &id, RULE_NONE), 0);
    assert_int_equal(policy_set(policy, &stranger, RULE_BLOCK), 0);
    policy_free(policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_every_setting, setup),
        cmocka_unit_test_setup(test_known, setup),
        cmocka_unit_test_setup(test_rules_change, setup),
        cmocka_unit_test_setup(test_bounded, setup),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
