/* link: daemon/core/base/budget daemon/core/deliver/outbox daemon/core/deliver/outbox_readdress daemon/core/deliver/outbox_push daemon/core/deliver/outbox_turn daemon/core/deliver/outbox_mail daemon/core/deliver/outbox_hold daemon/core/deliver/message/message daemon/core/deliver/ledger/ledger daemon/core/deliver/ledger/ledger_put daemon/core/deliver/ledger/ledger_batch daemon/core/deliver/ledger/ledger_load daemon/core/deliver/ledger/ledger_message daemon/core/deliver/ledger/ledger_watch daemon/core/deliver/ledger/ledger_survey daemon/core/deliver/ledger/ledger_conversation daemon/core/deliver/ledger/ledger_op daemon/core/deliver/sender/sender daemon/core/deliver/sender/sender_ack daemon/core/deliver/sender/sender_send daemon/core/deliver/sender/sender_parcel daemon/core/deliver/sender/sender_queue daemon/core/deliver/sender/sender_path daemon/core/deliver/sender/sender_backoff daemon/core/deliver/sender/sender_recipient daemon/core/deliver/sender/window daemon/core/deliver/sender/loopback daemon/core/deliver/depot/depositor daemon/core/deliver/depot/deposit daemon/core/deliver/depot/keeper daemon/core/base/base daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence */
/* What the outbox leaves with mailboxes, and what it keeps as one. Node 0 is ours, node 1 the
 * recipient, away; nodes 2 and 3 are its mailboxes. The test is the store and the mailboxes. */
#include "daemon/core/deliver/outbox_private.h"

#include "tests/unit/deliver/fake_delivery.h"
#include "tests/unit/deliver/outbox_rig.h"

#define QUOTA (UINT64_C(8) << 16)
#define SHARE (QUOTA / 8)

static uint8_t body[1 << 17];

static void start(const struct node_boot *boot) {
    outbox_start(boot, &(struct outbox_path_request){.message_max = sizeof body,
                                                     .expire_us = 24 * US_PER_HOUR});
}
static int setup(void **state) {
    (void)state;
    static const struct node_boot boot;
    fake_identities_init();
    fake_fill(NULL, body, sizeof body);
    fake_path_outcome = fake_reply_outcome = PATH_OK;
    fake_link_error = 0;
    fake_keypair(&fake_mail_keys[1]);
    fake_mail_days[1] = wall_day(wall_now());
    fake_n_mailboxes[1] = 2;
    for (unsigned i = 2; i < 4; i++) {
        fake_mailboxes[1][i - 2] = fake_entries[i].prefix;
        fake_entries[i].mailbox = true;
        fake_down[i] = false;
    }
    start(&boot);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    outbox_stop();
    return 0;
}

/* ---- The store's part: everything succeeds ---- */
static void give(struct store_result result) {
    struct fake_op op = effects.ops[0];
    result.kind = op.op.kind;
    if (op.op.kind == STORE_OUT_READ) {
        result.bytes = body + op.op.out_read.offset;
        result.length = op.op.out_read.length;
    }
    fake_ops_shift(&effects);
    outbox_stored(outbox, op.cookie, &result, fake_now());
}
static void give_all(void) {
    while (effects.n_ops > 0)
        give((struct store_result){0});
}
static void run_until(struct mono end) {
    give_all();
    for (struct mono next; (next = outbox_next(outbox)).us <= end.us; give_all()) {
        if (next.us > mono_now.us)
            mono_now = next;
        outbox_tick(outbox, fake_now());
    }
    mono_now = end;
}
static void run_for(int64_t us) {
    run_until(mono_add(mono_now, us));
}
static struct message_id push(size_t size) {
    struct request request = {.client = 1, .kind = REQUEST_PUSH};
    fake_fill(NULL, &request.push.id, sizeof request.push.id);
    request.push.body = body;
    request.push.size = size;
    request.push.options.relays = RELAYS_DEFAULT;
    outbox_push(outbox, &request, &fake_identities[1].id, NULL, fake_now());
    give_all();
    return request.push.id;
}
static unsigned mailboxes_of(const struct message_id *id) {
    struct request request = {.client = 999, .kind = REQUEST_MESSAGE, .message = {.id = *id}};
    outbox_message(outbox, &request, NULL);
    return fake_answer(&effects, 999)->message.mailboxes;
}

/* ---- A mailbox's part ---- */
static uint8_t assembled[SHARD_COUNT_MAX * MAIL_SHARD_DATA_MAX], whole[sizeof assembled];

/* How many deposits went to node `box`; *ret_last: the last one that is complete. */
static unsigned deposits_to(unsigned box, struct mail_deposit *ret_last) {
    uint8_t id[PARCEL_ID_LEN] = {0}, index[SHARD_COUNT_MAX];
    unsigned n = 0, have = 0;
    for (size_t i = 0; i < fake_wire_n; i++) {
        struct mail_shard shard;
        if (fake_wire[i].target != fake_entries[box].prefix ||
            mail_shard_decode(fake_wire[i].payload, fake_wire[i].length, &shard) != DROP_NONE)
            continue;
        if (memcmp(id, shard.id, sizeof id) != 0) {
            n++;
            have = 0;
        }
        memcpy(id, shard.id, sizeof id);
        if (have == shard.cut.k)
            continue;
        index[have] = shard.index;
        memcpy(assembled + have++ * shard.cut.length, shard.data, shard.cut.length);
        if (have < shard.cut.k || !ret_last)
            continue;
        memcpy(whole, assembled, sizeof whole);
        int length = mail_restore(&shard.cut, index, whole);
        assert_true(length > 0);
        assert_int_equal(mail_deposit_decode(whole, (size_t)length, ret_last), DROP_NONE);
    }
    return n;
}
static void confirm(const struct mail_deposit *deposit, enum drop expected) {
    assert_int_equal(
        outbox_confirmation(outbox, deposit->replies[0].packet, 1 + MAIL_TOKEN_LEN, mono_now),
        expected);
}
/* Open it as its recipient would. Returns how many messages are in it. */
static unsigned open_mail(const struct mail_deposit *deposit) {
    static uint8_t plain[MAIL_BLOB_MAX];
    uint8_t link_key[KEY_LEN];
    size_t length;
    unsigned n = 0;
    struct mail_head head;
    struct parcel_item item;
    assert_int_equal(mail_day(deposit->blob, deposit->blob_length), fake_mail_days[1]);
    assert_int_equal(mail_open(&fake_mail_keys[1], &fake_identities[1].id, deposit->blob,
                               deposit->blob_length, plain, &length, link_key),
                     DROP_NONE);
    assert_memory_equal(link_key, fake_identities[0].link.public, KEY_LEN);
    struct wire_reader reader = wire_reader(plain, length);
    assert_int_equal(mail_get_head(&reader, &head), DROP_NONE);
    assert_memory_equal(&head.sender, &fake_identities[0].id, NODE_ID_LEN);
    assert_memory_equal(head.descriptor, fake_own_bytes, sizeof fake_own_bytes);
    for (; wire_left(&reader) > 0; n++) {
        assert_int_equal(parcel_get_item(&reader, &item), DROP_NONE);
        assert_memory_equal(item.bytes, body, item.length);
    }
    return n;
}

/* ---- What is left with others ---- */

static void test_left_with_each_mailbox_until_it_confirms(void **state) {
    (void)state;
    struct mail_deposit deposit;
    struct message_id id = push(100), second = push(10000); /* one kept, one to be read */
    run_for(5 * US_PER_S);
    for (unsigned box = 2; box < 4; box++) {
        assert_true(deposits_to(box, &deposit) >= 1);
        assert_memory_equal(&deposit.recipient, &fake_identities[1].id, NODE_ID_LEN);
        assert_int_equal(deposit.n_replies, MAIL_REPLIES_MAX);
        assert_int_equal(open_mail(&deposit), 2);
        confirm(&deposit, DROP_NONE);
        confirm(&deposit, DROP_DUPLICATE);
        assert_int_equal(mailboxes_of(&id), box - 1);
    }
    assert_int_equal(mailboxes_of(&second), 2);
    fake_wire_n = 0;
    run_for(US_PER_HOUR);
    assert_int_equal(deposits_to(2, NULL) + deposits_to(3, NULL), 0);
    assert_true(fake_wire_n > 0); /* direct tries go on */
    struct message_id later = push(5);
    run_for(US_PER_MINUTE);
    assert_true(deposits_to(2, &deposit) > 0);
    assert_int_equal(open_mail(&deposit), 1); /* what it has is not sent again */
    assert_int_equal(mailboxes_of(&later), 0);
}

static void test_repeated_ever_more_rarely(void **state) {
    (void)state;
    static const unsigned most[] = {4, 6, 9, 12};
    push(100);
    unsigned before = 0;
    for (unsigned i = 0; i < 4; i++) { /* 1, 10, 20, 60 min */
        static const int minutes[] = {1, 9, 10, 40};
        run_for(minutes[i] * US_PER_MINUTE);
        unsigned n = deposits_to(2, NULL);
        assert_true(n > before && n <= most[i]);
        before = n;
    }
}

static void test_the_same_mail_again_at_first(void **state) {
    (void)state;
    struct mail_deposit deposit;
    push(100);
    while (deposits_to(2, NULL) < 1)
        run_for(US_PER_S);
    run_for(US_PER_S);
    deposits_to(2, &deposit);
    struct message_id first = mail_id(deposit.blob, deposit.blob_length);
    while (deposits_to(2, NULL) < 2)
        run_for(US_PER_S);
    run_for(US_PER_S);
    deposits_to(2, &deposit);
    struct message_id again = mail_id(deposit.blob, deposit.blob_length);
    assert_memory_equal(&first, &again, sizeof first); /* so that it is stored once */
}

static void test_not_while_it_makes_no_sense(void **state) {
    (void)state;
    fake_mail_days[1] -= MAIL_DAYS_MAX + 1;
    push(100);
    run_for(US_PER_MINUTE);
    assert_int_equal(deposits_to(2, NULL), 0);
    fake_mail_days[1]++; /* at the bound */
    fake_down[2] = true;
    fake_entries[3].mailbox = false;
    run_for(US_PER_MINUTE);
    assert_int_equal(deposits_to(2, NULL) + deposits_to(3, NULL), 0);
    fake_reply_outcome = PATH_NONE;
    fake_down[2] = false;
    run_for(US_PER_MINUTE);
    assert_int_equal(deposits_to(2, NULL), 0);
    fake_reply_outcome = PATH_OK;
    run_for(20 * US_PER_MINUTE);
    assert_true(deposits_to(2, NULL) > 0);
}

static void test_only_whole_messages_that_fit(void **state) {
    (void)state;
    struct mail_deposit deposit;
    push(MAIL_MESSAGE_MAX + 1);
    run_for(US_PER_MINUTE);
    assert_int_equal(deposits_to(2, NULL), 0);
    push(MAIL_MESSAGE_MAX);
    run_for(US_PER_MINUTE);
    assert_true(deposits_to(2, &deposit) > 0);
    assert_int_equal(open_mail(&deposit), 1);
}

static void test_unreachable_for_a_while(void **state) {
    (void)state;
    fake_path_outcome = PATH_NONE;
    push(100);
    run_for(4 * US_PER_S);
    fake_path_outcome =
        PATH_OK; /* to the mailboxes there are paths; the recipient is unknown yet */
    fake_known[1] = false;
    run_for(US_PER_S);
    assert_int_equal(deposits_to(2, NULL), 0);
    fake_known[1] = true;
    run_for(10 * US_PER_S);
    assert_true(deposits_to(2, NULL) > 0);
}

static void test_cancelled_is_not_repeated(void **state) {
    (void)state;
    struct message_id id = push(100);
    struct request cancel = {.client = 5, .kind = REQUEST_CANCEL, .message = {.id = id}};
    run_for(4 * US_PER_S);
    assert_true(deposits_to(2, NULL) > 0);
    outbox_cancel(outbox, &cancel, fake_now());
    fake_wire_n = 0;
    run_for(US_PER_HOUR);
    assert_int_equal(deposits_to(2, NULL), 0);
}

static void test_other_mailboxes_begin_anew(void **state) {
    (void)state;
    struct mail_deposit deposit;
    struct message_id id = push(100);
    run_for(5 * US_PER_S);
    deposits_to(2, &deposit);
    confirm(&deposit, DROP_NONE);
    assert_int_equal(mailboxes_of(&id), 1);
    fake_n_mailboxes[1] = 1;
    fake_mailboxes[1][0] = fake_entries[3].prefix;
    fake_wire_n = 0;
    run_for(5 * US_PER_S);
    assert_int_equal(mailboxes_of(&id), 0);
    assert_true(deposits_to(3, NULL) > 0);
    assert_int_equal(deposits_to(2, NULL), 0);
    confirm(&deposit, DROP_DUPLICATE);
    assert_int_equal(outbox_confirmation(outbox, body, 1 + MAIL_TOKEN_LEN, mono_now), DROP_UNKNOWN);
    assert_int_equal(outbox_confirmation(outbox, body, MAIL_TOKEN_LEN, mono_now), DROP_MALFORMED);
}

static void test_a_bounded_number_at_once(void **state) {
    (void)state;
    /* Different routes asked for make different flows to one recipient: more than there are
     * places. */
    for (unsigned relays = 0; relays < OUTBOX_DEPOSITS_MAX; relays++) {
        struct request request = {.client = 1, .kind = REQUEST_PUSH};
        fake_fill(NULL, &request.push.id, sizeof request.push.id);
        request.push.body = body;
        request.push.size = 10;
        request.push.options.relays = (uint8_t)relays;
        outbox_push(outbox, &request, &fake_identities[1].id, NULL, fake_now());
        give_all();
    }
    unsigned most = 0;
    for (unsigned i = 0; i < 600; i++) {
        run_for(US_PER_S / 10);
        unsigned n = depositor_count(outbox->depositor);
        most = n > most ? n : most;
    }
    assert_int_equal(most, OUTBOX_DEPOSITS_MAX);
}

/* ---- What is kept for others ---- */

static uint8_t mail_bytes[SHARE];

static int keep_as(uint64_t tag, uint8_t number, size_t length) {
    struct outbox_mail mail = {.tag = tag,
                               .id = {{number}},
                               .recipient = fake_identities[1].id,
                               .expires = {wall_now().us + US_PER_HOUR},
                               .bytes = mail_bytes,
                               .length = length};
    return outbox_deposit(outbox, &mail, QUOTA, wall_now());
}
static int keep(uint8_t number, size_t length) {
    return keep_as(number, number, length);
}
static int kept(uint8_t number) {
    uint64_t tag;
    int error;
    assert_true(outbox_deposit_done(outbox, &tag, &error));
    assert_int_equal(tag, number);
    return error;
}

static void test_kept_within_the_share_of_a_recipient(void **state) {
    (void)state;
    uint64_t bytes;
    assert_int_equal(keep(1, SHARE - KEEPER_MAIL_COST + 1), -EDQUOT);
    assert_int_equal(keep(1, 1000), 0);
    assert_int_equal(effects.ops[0].op.out_put.record.kind, KIND_MAIL);
    assert_int_equal(effects.ops[0].op.out_put.record.sequence, 0);
    assert_int_equal(keep(2, SHARE - 1000 - 2 * KEEPER_MAIL_COST + 1), -EDQUOT);
    assert_int_equal(keep(2, SHARE - 1000 - 2 * KEEPER_MAIL_COST), 0);
    assert_int_equal(outbox_mail_held(outbox, &bytes), 2);
    assert_int_equal(bytes, SHARE);
    uint64_t tag;
    int error;
    assert_false(outbox_deposit_done(outbox, &tag, &error)); /* nothing is durable yet */
    give((struct store_result){0});
    assert_int_equal(kept(1), 0);
    give((struct store_result){.error = -ENOSPC});
    assert_int_equal(kept(2), -ENOSPC);
    assert_int_equal(outbox_mail_held(outbox, &bytes), 1);
    assert_int_equal(bytes, 1000 + KEEPER_MAIL_COST);
    assert_int_equal(keep(1, 1000), 0); /* again: confirmed at once, stored once */
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(kept(1), 0);
    assert_int_equal(keep(1, 999), -EEXIST);
}

static void test_each_deposit_of_one_mail_is_told_of(void **state) {
    (void)state;
    assert_int_equal(keep_as(1, 9, 1000), 0);
    assert_int_equal(keep_as(2, 9, 1000), 0);
    assert_int_equal(keep_as(3, 9, SHARE), -EDQUOT); /* at once, and of no other */
    give((struct store_result){0});
    assert_int_equal(kept(1), 0);
    assert_int_equal(keep_as(4, 9, 1000), 0); /* it is there: overtakes the second */
    assert_int_equal(kept(4), 0);
    give((struct store_result){.existed = true});
    assert_int_equal(kept(2), 0);
    uint64_t bytes;
    assert_int_equal(outbox_mail_held(outbox, &bytes), 1);
    assert_int_equal(bytes, 1000 + KEEPER_MAIL_COST);
}

static void test_mail_is_nobodys_message(void **state) {
    (void)state;
    struct request request = {.client = 7, .kind = REQUEST_MESSAGE, .message = {.id = {{1}}}};
    keep(1, 1000);
    give((struct store_result){0});
    assert_int_equal(kept(1), 0);
    outbox_message(outbox, &request, NULL);
    assert_null(fake_answer(&effects, 7));
    struct store_result result = {.record = {.id = {{1}}, .kind = KIND_MAIL}};
    assert_int_equal(effects.ops[0].op.kind, STORE_OUT_FIND);
    give(result);
    assert_int_equal(fake_answer(&effects, 7)->code, ANSWER_UNKNOWN);
    run_for(US_PER_MINUTE);
    assert_int_equal(outbox_counters(outbox)->messages_sent, 0);
    assert_int_equal(deposits_to(2, NULL), 0); /* and is not left with others in its turn */
}

static void test_what_expires_is_forgotten_and_makes_room(void **state) {
    (void)state;
    uint64_t bytes;
    keep(1, 1000);
    give((struct store_result){0});
    assert_int_equal(kept(1), 0);
    mono_now = mono_add(mono_now, US_PER_HOUR);
    while (effects.n_ops == 0 || effects.ops[0].op.kind != STORE_OUT_STATE) {
        if (effects.n_ops > 0)
            give((struct store_result){0});
        else
            outbox_tick(outbox, fake_now());
    }
    assert_true(effects.ops[0].op.out_state.forget); /* although retention is an hour */
    assert_int_equal(outbox_mail_held(outbox, &bytes), 0);
    assert_int_equal(bytes, 0);
    give_all();
}

static void test_counts_what_was_there_at_start(void **state) {
    (void)state;
    outbox_stop();
    uint64_t bytes;
    struct out_record record = {.id = {{1}},
                                .recipient = fake_identities[1].id,
                                .expires = {wall_now().us + US_PER_HOUR},
                                .size = 5000,
                                .kind = KIND_MAIL,
                                .relays_exact = RELAYS_DEFAULT};
    start(&(struct node_boot){.pending = &record, .n_pending = 1});
    assert_int_equal(outbox_mail_held(outbox, &bytes), 1);
    assert_int_equal(bytes, 5000 + KEEPER_MAIL_COST);
    assert_int_equal(keep(2, SHARE - 5000 - 2 * KEEPER_MAIL_COST + 1), -EDQUOT);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_left_with_each_mailbox_until_it_confirms),
        TEST(test_repeated_ever_more_rarely),
        TEST(test_the_same_mail_again_at_first),
        TEST(test_not_while_it_makes_no_sense),
        TEST(test_only_whole_messages_that_fit),
        TEST(test_unreachable_for_a_while),
        TEST(test_cancelled_is_not_repeated),
        TEST(test_other_mailboxes_begin_anew),
        TEST(test_a_bounded_number_at_once),
        TEST(test_kept_within_the_share_of_a_recipient),
        TEST(test_each_deposit_of_one_mail_is_told_of),
        TEST(test_mail_is_nobodys_message),
        TEST(test_what_expires_is_forgotten_and_makes_room),
        TEST(test_counts_what_was_there_at_start),
    };
    fake_arguments(argc, argv);
    return cmocka_run_group_tests_name("outbox_mail", tests, NULL, NULL);
}
