/* link: daemon/core/base/budget daemon/core/deliver/outbox daemon/core/deliver/outbox_readdress daemon/core/deliver/outbox_push daemon/core/deliver/outbox_turn daemon/core/deliver/outbox_mail daemon/core/deliver/outbox_hold daemon/core/deliver/message/message daemon/core/deliver/ledger/ledger daemon/core/deliver/ledger/ledger_put daemon/core/deliver/ledger/ledger_batch daemon/core/deliver/ledger/ledger_load daemon/core/deliver/ledger/ledger_message daemon/core/deliver/ledger/ledger_watch daemon/core/deliver/ledger/ledger_survey daemon/core/deliver/ledger/ledger_conversation daemon/core/deliver/ledger/ledger_op daemon/core/deliver/sender/sender daemon/core/deliver/sender/sender_ack daemon/core/deliver/sender/sender_send daemon/core/deliver/sender/sender_parcel daemon/core/deliver/sender/sender_queue daemon/core/deliver/sender/sender_path daemon/core/deliver/sender/sender_backoff daemon/core/deliver/sender/sender_recipient daemon/core/deliver/sender/window daemon/core/deliver/sender/loopback daemon/core/deliver/depot/depositor daemon/core/deliver/depot/deposit daemon/core/deliver/depot/keeper daemon/core/base/base daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence */
/* What waits for a key that is gone, given to the one that took its place: all of it or nothing, in
 * order, once. Node 0 is ours, node 1 the one that is gone, node 2 who is there mono_now; the test
 * is the store. */
#include "tests/unit/deliver/fake_delivery.h"
#include "tests/unit/deliver/outbox_rig.h"

#define OLD 1
#define NEW 2
#define CLIENT 70

static uint8_t body[200000];

static int setup(void **state) {
    static const struct node_boot boot;
    (void)state;
    fake_identities_init();
    fake_path_outcome = PATH_NONE; /* the old one is away */
    fake_link_error = 0;
    fake_sent = 0;
    outbox_start(&boot, &(struct outbox_path_request){.message_max = sizeof body});
    return 0;
}
static int teardown(void **state) {
    (void)state;
    outbox_stop();
    return 0;
}

/* ---- The store's part ---- */

static void give(int error) {
    struct fake_op op = effects.ops[0];
    struct store_result result = {.kind = op.op.kind, .error = error};
    assert_true(effects.n_ops > 0);
    if (op.op.kind == STORE_OUT_READ && !error) {
        result.bytes = body + op.op.out_read.offset;
        result.length = op.op.out_read.length;
    }
    fake_ops_shift(&effects);
    outbox_stored(outbox, op.cookie, &result, fake_now());
}
/* Until `kind` is the next operation, or there is nothing to do just mono_now. */
static bool give_until(enum store_kind kind) {
    while (effects.n_ops > 0 || mono_is_due(outbox_next(outbox), mono_now)) {
        if (effects.n_ops > 0 && effects.ops[0].op.kind == kind)
            return true;
        if (effects.n_ops > 0)
            give(0);
        else
            outbox_tick(outbox, fake_now());
    }
    return false;
}
static void pass_us(int64_t us) {
    struct mono end = mono_add(mono_now, us);
    while (outbox_next(outbox).us <= end.us) {
        mono_now = outbox_next(outbox).us > mono_now.us ? outbox_next(outbox) : mono_now;
        give_until(STORE_SWEEP);
    }
    mono_now = end;
}

/* ---- What clients ask ---- */

static struct message_id push(unsigned to, size_t size, struct file_head *file) {
    static uint8_t number;
    struct request request = {.client = 1, .kind = REQUEST_PUSH};
    request.push.id.bytes[0] = ++number;
    request.push.body = file ? NULL : body;
    request.push.size = size;
    request.push.options.relays = RELAYS_DEFAULT;
    request.push.kind = file ? KIND_FILE : KIND_MESSAGE;
    request.push.file = file;
    outbox_push(outbox, &request, &fake_identities[to].id, NULL, fake_now());
    give_until(STORE_SWEEP);
    return request.push.id;
}
static const struct answer *resend(void) {
    struct trust_report trust = {.id = fake_identities[NEW].id, .n_old = 1};
    trust.old[0].id = fake_identities[OLD].id;
    fake_effects_clear(&effects);
    outbox_readdress(outbox, CLIENT, &trust);
    return fake_answer(&effects, CLIENT);
}
static struct trust_report answered(void) {
    const struct answer *answer = fake_answer(&effects, CLIENT);
    assert_true(answer && answer->kind == ANSWER_TRUST && answer->end);
    assert_true(answer->trust->resent);
    return *answer->trust;
}
static struct message_report look(const struct message_id *id) {
    struct message_report report;
    assert_true(outbox_look(outbox, id, &report));
    return report;
}
static bool is_for(const struct message_id *id, unsigned node) {
    struct message_report report = look(id);
    return node_id_is_equal(&report.recipient, &fake_identities[node].id);
}
static unsigned packets_for(unsigned node) {
    unsigned n = 0;
    for (size_t i = 0; i < fake_wire_n; i++)
        n += fake_wire[i].target == fake_entries[node].prefix;
    return n;
}

/* ---- */

static void test_all_of_it_in_order(void **state) {
    struct file_head file = {.name = "a file"};
    (void)state;
    struct message_id before = push(NEW, 3, NULL), ids[4];
    ids[0] = push(OLD, 5, NULL);
    ids[1] = push(OLD, 150000, NULL);
    ids[2] = push(OLD, 100000, &file);
    ids[3] = push(OLD, 0, NULL);
    assert_null(resend()); /* not before it is on disk */
    assert_true(give_until(STORE_OUT_READDRESS));
    struct store_op op = effects.ops[0].op;
    assert_true(node_id_is_equal(&op.readdress.to, &fake_identities[NEW].id));
    assert_int_equal(op.readdress.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_memory_equal(&op.readdress.items[i].id, &ids[i], sizeof ids[i]);
        assert_int_equal(op.readdress.items[i].sequence, 2 + i); /* behind what it was written */
    }
    fake_path_outcome = PATH_OK;
    outbox_retry_now(outbox, NULL, mono_now);
    fake_wire_n = 0;
    outbox_tick(outbox, fake_now());
    assert_int_equal(packets_for(OLD), 0); /* nobody's, meanwhile */
    give(0);
    assert_int_equal(answered().old[0].messages, 4);
    assert_int_equal(answered().old[0].sent, 0);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[OLD].id), 0);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[NEW].id), 5);
    assert_int_equal(outbox_pending(outbox), 5);
    pass_us(3 * US_PER_S);
    assert_true(packets_for(NEW) > 100); /* all of the long ones too */
    assert_int_equal(packets_for(OLD), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(look(&ids[i]).state, MESSAGE_SENT);
        assert_true(is_for(&ids[i], NEW));
    }
    assert_int_equal(look(&before).state, MESSAGE_SENT);
}

static void test_the_next_one_goes_behind(void **state) {
    (void)state;
    push(OLD, 5, NULL);
    resend();
    give_until(STORE_SWEEP);
    struct request request = {.client = 2, .kind = REQUEST_PUSH, .push = {.body = body, .size = 1}};
    request.push.options.relays = RELAYS_DEFAULT;
    outbox_push(outbox, &request, &fake_identities[NEW].id, NULL, fake_now());
    assert_int_equal(effects.ops[effects.n_ops - 1].op.out_put.record.sequence, 2);
}

static void test_a_disk_that_fails_changes_nothing(void **state) {
    (void)state;
    struct message_id id = push(OLD, 150000, NULL);
    resend();
    assert_true(give_until(STORE_OUT_READDRESS));
    give(-ENOSPC);
    const struct answer *answer = fake_answer(&effects, CLIENT);
    assert_int_equal(answer->code, ANSWER_FAILED);
    assert_non_null(strstr(answer->text, "the disk is full"));
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[OLD].id), 1);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[NEW].id), 0);
    fake_path_outcome = PATH_OK;
    outbox_retry_now(outbox, NULL, mono_now);
    fake_wire_n = 0;
    pass_us(3 * US_PER_S);
    assert_int_equal(packets_for(NEW), 0);
    assert_true(packets_for(OLD) >= 150000 / 1232);
    assert_int_equal(look(&id).state, MESSAGE_SENT);
    resend();
    give_until(STORE_SWEEP);
    assert_int_equal(answered().old[0].messages, 1); /* the second time it works */
}

static void test_without_memory_nothing_changes(void **state) {
    (void)state;
    push(OLD, 5, NULL);
    size_t max = budget.max;
    budget.max = budget.used;
    const struct answer *answer = resend();
    assert_int_equal(answer->code, ANSWER_LIMIT);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[OLD].id), 1);
    budget.max = max;
}

/* The disk's word that one is over and that all have moved come one after the other. */
static void test_cancelled_meanwhile(void **state) {
    (void)state;
    struct message_id first = push(OLD, 5, NULL), second = push(OLD, 5, NULL);
    resend();
    struct request cancel = {.client = 3, .kind = REQUEST_CANCEL, .message = {.id = first}};
    outbox_cancel(outbox, &cancel, fake_now());
    give_until(STORE_SWEEP);
    assert_int_equal(fake_answer(&effects, 3)->message.state, MESSAGE_FAILED);
    assert_int_equal(outbox_pending(outbox), 1);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[NEW].id), 1);
    assert_true(is_for(&second, NEW));
    pass_us(2 * US_PER_HOUR); /* and what is left expires as it would have */
    assert_int_equal(outbox_pending(outbox), 0);
}

static void test_expired_meanwhile(void **state) {
    (void)state;
    push(OLD, 5, NULL);
    resend();
    assert_true(give_until(STORE_OUT_READDRESS));
    mono_now = mono_add(mono_now, 2 * US_PER_HOUR);
    outbox_tick(outbox, fake_now());
    assert_int_equal(outbox_pending(outbox), 0);
    give_until(STORE_SWEEP);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[NEW].id), 0);
}

/* What was under way may have come to the old one: that is said, and its word comes too late. */
static void test_what_was_sent(void **state) {
    (void)state;
    fake_path_outcome = PATH_OK;
    struct message_id id = push(OLD, 5, NULL);
    assert_true(packets_for(OLD) > 0);
    assert_int_equal(look(&id).state, MESSAGE_SENT);
    fake_path_outcome = PATH_NONE;
    push(OLD, 5, NULL);
    resend();
    give_until(STORE_SWEEP);
    assert_int_equal(answered().old[0].messages, 2);
    assert_in_range(answered().old[0].sent, 1, 2);
    fake_path_outcome = PATH_OK;
    fake_wire_n = 0;
    outbox_retry_now(outbox, NULL, mono_now);
    pass_us(30 * US_PER_S);
    assert_int_equal(packets_for(OLD), 0);
    assert_true(packets_for(NEW) > 0);
}

static void test_once_is_enough(void **state) {
    (void)state;
    push(OLD, 5, NULL);
    resend();
    assert_non_null(resend()); /* while the first is under way: there is nothing left */
    assert_int_equal(answered().old[0].messages, 0);
    give_until(STORE_SWEEP);
    resend();
    assert_int_equal(answered().old[0].messages, 0);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[NEW].id), 1);
}

static void test_no_memory_for_the_answer(void **state) {
    (void)state;
    push(OLD, 5, NULL);
    resend();
    fake_no_scratch = true;
    give_until(STORE_SWEEP);
    fake_no_scratch = false;
    assert_int_equal(fake_answer(&effects, CLIENT)->code, ANSWER_LIMIT);
    assert_true(fake_answer(&effects, CLIENT)->end);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[NEW].id), 1);
}

static void test_whoever_asked_may_go(void **state) {
    (void)state;
    push(OLD, 5, NULL);
    resend();
    outbox_client_gone(outbox, CLIENT);
    give_until(STORE_SWEEP);
    assert_null(fake_answer(&effects, CLIENT));
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[NEW].id), 1);
}

/* Ended in between: nothing is lost or held. */
static void test_stopped_meanwhile(void **state) {
    (void)state;
    push(OLD, 5, NULL);
    resend();
    assert_true(give_until(STORE_OUT_READDRESS));
}

static void test_counting_changes_nothing(void **state) {
    struct trust_report trust = {.id = fake_identities[NEW].id, .n_old = 1};
    (void)state;
    trust.old[0].id = fake_identities[OLD].id;
    push(OLD, 5, NULL);
    push(OLD, 5, NULL);
    push(NEW, 5, NULL);
    outbox_count_old(outbox, &trust);
    assert_int_equal(trust.old[0].messages, 2);
    assert_int_equal(trust.old[0].sent, 0);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[OLD].id), 2);
}

int main(int argc, char **argv) {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_of_it_in_order),
        TEST(test_the_next_one_goes_behind),
        TEST(test_a_disk_that_fails_changes_nothing),
        TEST(test_without_memory_nothing_changes),
        TEST(test_cancelled_meanwhile),
        TEST(test_expired_meanwhile),
        TEST(test_what_was_sent),
        TEST(test_once_is_enough),
        TEST(test_no_memory_for_the_answer),
        TEST(test_whoever_asked_may_go),
        TEST(test_stopped_meanwhile),
        TEST(test_counting_changes_nothing),
    };
    fake_arguments(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
