/* link: daemon/core/base/budget daemon/core/deliver/outbox daemon/core/deliver/outbox_readdress daemon/core/deliver/outbox_push daemon/core/deliver/outbox_turn daemon/core/deliver/outbox_mail daemon/core/deliver/outbox_hold daemon/core/deliver/message/message daemon/core/deliver/ledger/ledger daemon/core/deliver/ledger/ledger_put daemon/core/deliver/ledger/ledger_batch daemon/core/deliver/ledger/ledger_load daemon/core/deliver/ledger/ledger_message daemon/core/deliver/ledger/ledger_watch daemon/core/deliver/ledger/ledger_survey daemon/core/deliver/ledger/ledger_conversation daemon/core/deliver/ledger/ledger_op daemon/core/deliver/sender/sender daemon/core/deliver/sender/sender_ack daemon/core/deliver/sender/sender_send daemon/core/deliver/sender/sender_parcel daemon/core/deliver/sender/sender_queue daemon/core/deliver/sender/sender_path daemon/core/deliver/sender/sender_backoff daemon/core/deliver/sender/sender_recipient daemon/core/deliver/sender/window daemon/core/deliver/sender/loopback daemon/core/deliver/depot/depositor daemon/core/deliver/depot/deposit daemon/core/deliver/depot/keeper daemon/core/base/base daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence */
/* What was owed when the outbox stopped and is read while it runs already. Node 0 is ours, node 1
 * the recipient; the test is the store. */
#include "tests/unit/deliver/fake_delivery.h"
#include "tests/unit/deliver/outbox_rig.h"

#define OWED 5

static const uint8_t body[8] = "a body";
static struct out_record owed[OWED];

/* The first one comes with the start, the others are in rows 2 to 5. */
static int setup(void **state) {
    struct boot_conversation conversation = {.sequence = OWED};
    struct node_boot boot = {.pending = owed,
                             .n_pending = 1,
                             .n_unread = OWED - 1,
                             .unread_after = 1,
                             .unread_until = OWED,
                             .conversations = &conversation,
                             .n_conversations = 1};
    (void)state;
    fake_identities_init();
    fake_path_outcome = PATH_OK;
    fake_sent = 0;
    conversation.recipient = fake_identities[1].id;
    for (unsigned i = 0; i < OWED; i++) {
        owed[i] = (struct out_record){.recipient = fake_identities[1].id,
                                      .sequence = i + 1,
                                      .size = sizeof body,
                                      .kind = KIND_MESSAGE,
                                      .state = MESSAGE_QUEUED,
                                      .relays_exact = RELAYS_DEFAULT,
                                      .expires.us = wall_now().us + US_PER_HOUR};
        owed[i].id.bytes[0] = (uint8_t)(i + 1);
    }
    outbox_start(&boot, &(struct outbox_path_request){
                            .memory = 1 << 20, .message_max = 1000, .messages_max = OWED + 1});
    return 0;
}
static int teardown(void **state) {
    (void)state;
    outbox_stop();
    return 0;
}

static enum store_kind next_kind(void) {
    assert_true(effects.n_ops > 0);
    return effects.ops[0].op.kind;
}
static void give(struct store_result result) {
    struct fake_op op = effects.ops[0];
    assert_true(effects.n_ops > 0);
    result.kind = op.op.kind;
    if (op.op.kind == STORE_OUT_READ) {
        result.bytes = body + op.op.out_read.offset;
        result.length = op.op.out_read.length;
    }
    fake_ops_shift(&effects);
    outbox_stored(outbox, op.cookie, &result, fake_now());
}
static void tick(void) {
    while (mono_is_due(outbox_next(outbox), mono_now))
        outbox_tick(outbox, fake_now());
}
/* The page that is asked for: records i to j, of which j is not one. */
static void give_page(size_t i, size_t j) {
    assert_int_equal(next_kind(), STORE_OUT_PENDING);
    assert_int_equal(effects.ops[0].op.out_pending.after, i);
    assert_int_equal(effects.ops[0].op.out_pending.until, OWED);
    give((struct store_result){
        .pending = owed + i, .n_records = j - i, .next = (int64_t)j, .more = j < OWED});
}
static struct request push(uint64_t client) {
    struct request request = {.client = client, .kind = REQUEST_PUSH};
    request.push.id.bytes[0] = 0xff;
    request.push.id.bytes[1] = (uint8_t)client;
    request.push.body = body;
    request.push.size = sizeof body;
    request.push.options.relays = RELAYS_DEFAULT;
    outbox_push(outbox, &request, &fake_identities[1].id, NULL, fake_now());
    return request;
}
/* All that is asked for is given, until nothing is. */
static void settle(void) {
    tick();
    while (effects.n_ops > 0) {
        if (next_kind() == STORE_OUT_PENDING)
            give_page((size_t)effects.ops[0].op.out_pending.after, OWED);
        else
            give((struct store_result){0});
        tick();
    }
}
static uint64_t sent(void) {
    return outbox_counters(outbox)->messages_sent;
}

static void test_is_read_page_by_page(void **state) {
    (void)state;
    assert_int_equal(outbox_pending(outbox), OWED);
    tick();
    give_page(1, 3);
    assert_int_equal(outbox_pending(outbox), OWED);
    for (tick(); next_kind() != STORE_OUT_PENDING; tick())
        give((struct store_result){0});
    give_page(3, OWED);
    settle();
    assert_int_equal(outbox_pending(outbox), OWED);
    assert_int_equal(sent(), OWED);
}

static void test_damaged_ones_are_passed_over(void **state) {
    (void)state;
    tick();
    assert_int_equal(next_kind(), STORE_OUT_PENDING);
    give((struct store_result){
        .pending = owed + 2, .n_records = OWED - 2, .next = OWED, .n_damaged = 1});
    settle();
    assert_int_equal(outbox_pending(outbox), OWED - 1);
    assert_int_equal(sent(), OWED - 1);
}

static void test_what_is_pushed_meanwhile_leaves_later(void **state) {
    (void)state;
    push(1);
    assert_int_equal(effects.ops[0].op.out_put.record.sequence, OWED + 1);
    give((struct store_result){0});
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_OK); /* it is durable */
    tick();
    assert_int_equal(next_kind(), STORE_OUT_PENDING);
    struct fake_op page = effects.ops[0];
    fake_ops_shift(&effects);
    settle();
    assert_int_equal(sent(), 1); /* the one that came with the start */
    struct store_result result = {.kind = STORE_OUT_PENDING, .pending = owed + 1};
    result.n_records = OWED - 1;
    result.next = OWED;
    outbox_stored(outbox, page.cookie, &result, fake_now());
    settle();
    assert_int_equal(sent(), OWED + 1);
    assert_int_equal(outbox_pending(outbox), OWED + 1);
}

static void test_late_one_is_cancelled(void **state) {
    (void)state;
    struct request request = push(1);
    give((struct store_result){0});
    struct request cancel = {.client = 2, .kind = REQUEST_CANCEL, .message.id = request.push.id};
    outbox_cancel(outbox, &cancel, fake_now());
    settle();
    assert_int_equal(sent(), OWED);
    assert_int_equal(outbox_pending(outbox), OWED);
}

static void test_counts_towards_the_limit(void **state) {
    (void)state;
    push(1);
    push(2);
    assert_int_equal(fake_answer(&effects, 2)->code, ANSWER_LIMIT);
    settle();
}

/* It is not "already queued", nor finished: it is cancelled, and not counted twice. */
static void test_unread_one_is_cancelled(void **state) {
    (void)state;
    struct request cancel = {.client = 1, .kind = REQUEST_CANCEL, .message.id = owed[2].id};
    outbox_cancel(outbox, &cancel, fake_now());
    assert_int_equal(next_kind(), STORE_OUT_FIND);
    give((struct store_result){.record = owed[2]});
    assert_int_equal(next_kind(), STORE_OUT_STATE);
    assert_int_equal(outbox_pending(outbox), OWED - 1);
    tick();
    struct fake_op final = effects.ops[0];
    fake_ops_shift(&effects);
    settle(); /* its page is older than its end */
    assert_int_equal(outbox_pending(outbox), OWED - 1);
    outbox_stored(outbox, final.cookie, &(struct store_result){.kind = STORE_OUT_STATE},
                  fake_now());
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_FAILED);
    settle();
    assert_int_equal(sent(), OWED - 1);
}

static void test_unread_one_is_pushed_again_and_waited_for(void **state) {
    (void)state;
    struct request request = {.client = 1, .kind = REQUEST_PUSH};
    request.push.id = owed[4].id;
    request.push.body = body;
    request.push.size = sizeof body;
    request.push.options.relays = RELAYS_DEFAULT;
    request.push.wait = true;
    outbox_push(outbox, &request, &fake_identities[1].id, NULL, fake_now());
    give((struct store_result){.existed = true, .record = owed[4]});
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_OK);
    assert_false(fake_answer(&effects, 1)->end);
    settle();
    assert_int_equal(outbox_pending(outbox), OWED);
    assert_int_equal(sent(), OWED);
}

static void test_failing_store_is_asked_again(void **state) {
    (void)state;
    tick();
    while (next_kind() != STORE_OUT_PENDING)
        give((struct store_result){0});
    give((struct store_result){.error = -EIO});
    tick();
    while (effects.n_ops > 0) {
        assert_int_not_equal(next_kind(), STORE_OUT_PENDING);
        give((struct store_result){0});
    }
    mono_now = mono_add(mono_now, US_PER_S);
    settle();
    assert_int_equal(sent(), OWED);
}

/* How much is kept is not known before: nothing more is taken. */
static void test_no_deposit_meanwhile(void **state) {
    (void)state;
    struct outbox_mail mail = {.recipient = fake_identities[2].id,
                               .expires = {wall_now().us + US_PER_HOUR},
                               .bytes = body,
                               .length = sizeof body};
    assert_int_equal(outbox_deposit(outbox, &mail, 1 << 20, wall_now()), -ENOMEM);
    settle();
    assert_int_equal(outbox_deposit(outbox, &mail, 1 << 20, wall_now()), 0);
    settle();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv) {
    fake_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_is_read_page_by_page),
        TEST(test_damaged_ones_are_passed_over),
        TEST(test_what_is_pushed_meanwhile_leaves_later),
        TEST(test_late_one_is_cancelled),
        TEST(test_counts_towards_the_limit),
        TEST(test_unread_one_is_cancelled),
        TEST(test_unread_one_is_pushed_again_and_waited_for),
        TEST(test_failing_store_is_asked_again),
        TEST(test_no_deposit_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
