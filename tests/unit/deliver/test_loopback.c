/* link: daemon/core/deliver/sender/loopback daemon/core/deliver/message/message daemon/core/base/budget */
/* Messages to ourselves: block by block through a store and an inbox that may fail. The test is
 * both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/deliver/sender/loopback.h"

#define SIZE 100000u

/* ---- Doubles ---- */
static unsigned reads;
static struct store_op asked;
void effects_store(struct effects *effects, const struct store_op *op, enum store_owner owner,
                   uint64_t cookie) {
    (void)effects;
    assert_int_equal(owner, OWNER_OUTBOX);
    assert_int_equal(*(const uint64_t *)(uintptr_t)cookie, 7);
    asked = *op;
    reads++;
}
const char *parcel_reason_words(uint8_t reason) {
    return reason == PARCEL_REASON_LOST ? "lost" : "damaged";
}
static void fill(void *context, void *buffer, size_t length) {
    (void)context;
    memset(buffer, 5, length);
}
static const struct core_random fixed = {fill, NULL};

static struct messages messages;
static struct budget budget;
static struct loopback loopback;
static struct mono now = {US_PER_HOUR};
static uint8_t bytes[SIZE];

static int setup(void **state) {
    (void)state;
    budget_init(&budget, 1 << 20);
    messages = (struct messages){.n_files = 0};
    loopback_init(&loopback, NULL, 7, now);
    reads = 0;
    return messages_init(&messages, &fixed, &budget);
}

static int teardown(void **state) {
    (void)state;
    loopback_deinit(&loopback);
    messages_deinit(&messages);
    return budget.used == 0 ? 0 : -1;
}

static struct message *push(uint64_t size) {
    static uint8_t next_id;
    struct out_record record = {.id = {{++next_id}}, .size = size, .kind = KIND_MESSAGE};
    struct message *message = message_new(&messages, &record, NULL);
    assert_non_null(message);
    loopback_enqueue(&loopback, message, 0);
    return message;
}

static void let_go(struct message *message) {
    loopback_forget(&loopback, message);
    message_free(&messages, message);
}

/* The next block, read and handed out. */
static struct message *hand(struct parcel_item *item) {
    struct sender_outcome outcome;
    loopback_tick(&loopback, now);
    struct store_result result = {.bytes = bytes + asked.out_read.offset,
                                  .length = asked.out_read.length};
    if (loopback.stage == LOOPBACK_READING)
        assert_false(loopback_stored(&loopback, &result, now, &outcome));
    return loopback_hand(&loopback, item);
}

static void test_a_message_goes_block_by_block(void **state) {
    (void)state;
    struct sender_outcome outcome;
    struct parcel_item item;
    struct message *message = push(SIZE);
    uint64_t offset = 0;
    bool is_final = false;
    while (!is_final) {
        assert_ptr_equal(hand(&item), message);
        assert_int_equal(item.offset, offset);
        offset += item.length;
        is_final = loopback_done(&loopback, &message->id, 0, now, &outcome);
    }
    assert_int_equal(offset, SIZE);
    assert_int_equal(outcome.kind, SENDER_DELIVERED);
    let_go(message);
    assert_int_equal(loopback_next(&loopback).us, MONO_NEVER.us);
}

static void test_a_failing_store_is_asked_ever_less_often(void **state) {
    (void)state;
    struct sender_outcome outcome;
    struct store_result failed = {.error = -EIO};
    struct message *message = push(10);
    struct mono at = now;
    for (unsigned i = 0; i < 10; i++) {
        loopback_tick(&loopback, at);
        assert_int_equal(reads, i + 1);
        assert_false(loopback_stored(&loopback, &failed, at, &outcome));
        assert_true(loopback_is_stuck(&loopback));
        int64_t pause_us = loopback_next(&loopback).us - at.us;
        int64_t wanted_us = US_PER_S << i;
        assert_int_equal(pause_us, wanted_us < US_PER_MINUTE ? wanted_us : US_PER_MINUTE);
        loopback_tick(&loopback, mono_add(loopback_next(&loopback), -1));
        assert_int_equal(reads, i + 1);
        at = loopback_next(&loopback);
    }
    let_go(message);
}

static void test_one_that_is_stuck_holds_up_no_other(void **state) {
    (void)state;
    struct sender_outcome outcome;
    struct parcel_item item;
    struct message *stuck = push(10), *other = push(20);
    assert_ptr_equal(hand(&item), stuck);
    assert_false(loopback_done(&loopback, &stuck->id, -EIO, now, &outcome));
    now = loopback_next(&loopback);
    assert_ptr_equal(hand(&item), other);
    assert_true(loopback_done(&loopback, &other->id, 0, now, &outcome));
    let_go(other);
    let_go(stuck);
}

static void test_what_ends_it(void **state) {
    (void)state;
    static const struct {
        int read_error, done_error;
        enum sender_outcome_kind kind;
        const char *reason;
    } cases[] = {
        {-ENOENT, 0, SENDER_FAILED, "its body is gone from the store"},
        {0, -EDQUOT, SENDER_REFUSED, "there is no room for it here"},
        {0, -ESTALE, SENDER_REFUSED, "lost"},
        {0, -EBADMSG, SENDER_REFUSED, "damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sender_outcome outcome;
        struct parcel_item item;
        struct message *message = push(10);
        if (cases[i].read_error) {
            struct store_result failed = {.error = cases[i].read_error};
            loopback_tick(&loopback, now);
            assert_true(loopback_stored(&loopback, &failed, now, &outcome));
        } else {
            assert_ptr_equal(hand(&item), message);
            assert_true(loopback_done(&loopback, &message->id, cases[i].done_error, now, &outcome));
        }
        assert_int_equal(outcome.kind, cases[i].kind);
        assert_string_equal(outcome.reason, cases[i].reason);
        let_go(message);
    }
}

/* Cancelled at every stage: the block is let go of, and the next message has its turn. */
static void test_finished_meanwhile(void **state) {
    (void)state;
    for (enum loopback_stage stage = LOOPBACK_READING; stage <= LOOPBACK_HANDED; stage++) {
        struct sender_outcome outcome;
        struct parcel_item item;
        struct store_result result = {.bytes = bytes, .length = 10};
        struct message *message = push(10);
        struct message_id id = message->id;
        loopback_tick(&loopback, now);
        if (stage > LOOPBACK_READING)
            assert_false(loopback_stored(&loopback, &result, now, &outcome));
        if (stage > LOOPBACK_READY)
            assert_ptr_equal(loopback_hand(&loopback, &item), message);
        assert_int_equal(loopback.stage, stage);
        let_go(message);
        if (stage == LOOPBACK_READING)
            assert_false(loopback_stored(&loopback, &result, now, &outcome));
        assert_null(loopback_hand(&loopback, &item));
        assert_false(loopback_done(&loopback, &id, 0, now, &outcome));
        assert_int_equal(loopback.stage, LOOPBACK_IDLE);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_message_goes_block_by_block),
        TEST(test_a_failing_store_is_asked_ever_less_often),
        TEST(test_one_that_is_stuck_holds_up_no_other),
        TEST(test_what_ends_it),
        TEST(test_finished_meanwhile),
    };
    return cmocka_run_group_tests_name("loopback", tests, NULL, NULL);
}
