/* link: daemon/core/deliver/depot/keeper daemon/core/deliver/message/message daemon/core/base/budget */
/* Mail that we keep for others: its bounds, and deposits that are being stored. The test is the
 * store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/deliver/depot/keeper.h"

#define QUOTA (UINT64_C(8) << 16)
#define SHARE (QUOTA / 8)

/* ---- Doubles ---- */
static uint64_t cookie;
static struct store_op asked;
void effects_store(struct effects *effects, const struct store_op *op, enum store_owner owner,
                   uint64_t to) {
    (void)effects;
    assert_int_equal(owner, OWNER_OUTBOX);
    assert_int_equal(*(const uint64_t *)(uintptr_t)to, 9);
    asked = *op;
    cookie = to;
}
static void fill(void *context, void *buffer, size_t length) {
    (void)context;
    memset(buffer, 5, length);
}
static const struct core_random fixed = {fill, NULL};

static struct messages messages;
static struct budget budget;
static struct keeper keeper;

static int setup(void **state) {
    (void)state;
    budget_init(&budget, 1 << 20);
    messages = (struct messages){.n_files = 0};
    keeper_init(&keeper, &messages, NULL, 9);
    return messages_init(&messages, &fixed, &budget);
}

static int teardown(void **state) {
    (void)state;
    keeper_deinit(&keeper);
    messages_deinit(&messages);
    return budget.used == 0 && messages.kept.memory == 0 ? 0 : -1;
}

static struct outbox_mail mail_of(uint8_t id, size_t length) {
    return (struct outbox_mail){
        .tag = id, .id = {{id}}, .length = length, .expires = {US_PER_HOUR}};
}

static struct message *begin(const struct outbox_mail *mail) {
    struct keeper_op *op = keeper_begin(&keeper, mail, (struct wall){0});
    assert_non_null(op);
    struct message *message = keeper_message(op);
    keeper_store(&keeper, op, mail);
    assert_int_equal(asked.out_put.record.kind, KIND_MAIL);
    return message;
}

static void test_one_recipient_has_an_eighth(void **state) {
    (void)state;
    struct outbox_mail fits = mail_of(1, SHARE - KEEPER_MAIL_COST),
                       too_large = mail_of(1, SHARE - KEEPER_MAIL_COST + 1),
                       beside = mail_of(2, SHARE - 1000 - 2 * KEEPER_MAIL_COST);
    assert_int_equal(keeper_has_room(&keeper, &too_large, QUOTA, 0, 0, 0), -EDQUOT);
    assert_int_equal(keeper_has_room(&keeper, &fits, QUOTA, 0, 0, 0), 0);
    assert_int_equal(keeper_has_room(&keeper, &beside, QUOTA, 1, 1001, 0), -EDQUOT);
    assert_int_equal(keeper_has_room(&keeper, &beside, QUOTA, 1, 1000, 0), 0);
}

static void test_all_recipients_have_the_quota(void **state) {
    (void)state;
    struct outbox_mail mail = mail_of(1, 1000);
    struct message *message = begin(&mail);
    uint64_t cost = 1000 + KEEPER_MAIL_COST;
    assert_int_equal(keeper.bytes, cost);
    assert_int_equal(keeper_has_room(&keeper, &mail, 8 * cost, 0, 0, 0), 0);
    keeper.bytes = QUOTA - cost + 1;
    assert_int_equal(keeper_has_room(&keeper, &mail, QUOTA, 0, 0, 0), -EDQUOT);
    keeper.bytes = QUOTA - cost;
    assert_int_equal(keeper_has_room(&keeper, &mail, QUOTA, 0, 0, 0), 0);
    keeper.n_mails = OUTBOX_MAIL_MAX;
    assert_int_equal(keeper_has_room(&keeper, &mail, QUOTA, 0, 0, 0), -EDQUOT);
    (void)message; /* keeper_deinit() frees it */
}

static void test_memory_is_asked_for_the_recipient_too(void **state) {
    (void)state;
    struct outbox_mail mail = mail_of(1, 10);
    assert_int_equal(keeper_has_room(&keeper, &mail, QUOTA, 0, 0, 1000), 0);
    assert_int_equal(
        keeper_has_room(&keeper, &mail, QUOTA, 0, 0, budget.max / 100 * MAIL_MEMORY_PERCENT),
        -ENOMEM);
}

static void test_stored_told_and_gone(void **state) {
    (void)state;
    static const struct {
        int error;
        bool existed, is_good;
    } cases[] = {{0, false, true}, {0, true, false}, {-ENOSPC, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outbox_mail mail = mail_of((uint8_t)(i + 1), 100);
        struct store_result result = {.error = cases[i].error, .existed = cases[i].existed};
        struct message *message = begin(&mail), *stored;
        uint64_t tag;
        int error;
        assert_false(keeper_told(&keeper, &tag, &error));
        assert_int_equal(keeper_stored(&keeper, cookie, &result, &stored), cases[i].is_good);
        assert_ptr_equal(stored, message);
        assert_true(keeper_told(&keeper, &tag, &error));
        assert_int_equal(tag, mail.tag);
        assert_int_equal(error, cases[i].error);
        keeper_gone(&keeper, stored);
        message_free(&messages, stored);
        assert_int_equal(keeper.n_mails + keeper.bytes, 0);
    }
}

/* Two deposits of one mail under way: the second is stored, and not entered. */
static void test_twice_at_once(void **state) {
    (void)state;
    struct outbox_mail mail = mail_of(1, 100);
    struct store_result good = {0};
    struct message *first = begin(&mail), *stored;
    uint64_t first_cookie = cookie, tag;
    struct message *second = begin(&mail);
    int error;
    assert_true(keeper_stored(&keeper, first_cookie, &good, &stored));
    messages_add(&messages, first);
    assert_false(keeper_stored(&keeper, cookie, &good, &stored));
    assert_ptr_equal(stored, second);
    assert_int_equal(keeper_repeat(&keeper, &mail), 0); /* and one that is known */
    for (unsigned i = 0; i < 3; i++) {
        assert_true(keeper_told(&keeper, &tag, &error));
        assert_int_equal(error, 0);
    }
    assert_false(keeper_told(&keeper, &tag, &error));
    messages_remove(&messages, first);
    message_free(&messages, first);
    message_free(&messages, second);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_recipient_has_an_eighth),
        TEST(test_all_recipients_have_the_quota),
        TEST(test_memory_is_asked_for_the_recipient_too),
        TEST(test_stored_told_and_gone),
        TEST(test_twice_at_once),
    };
    return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
