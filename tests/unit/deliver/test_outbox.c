/* link: daemon/core/base/budget daemon/core/deliver/outbox daemon/core/deliver/outbox_readdress daemon/core/deliver/outbox_push daemon/core/deliver/outbox_turn daemon/core/deliver/outbox_mail daemon/core/deliver/outbox_hold daemon/core/deliver/message/message daemon/core/deliver/ledger/ledger daemon/core/deliver/ledger/ledger_put daemon/core/deliver/ledger/ledger_batch daemon/core/deliver/ledger/ledger_load daemon/core/deliver/ledger/ledger_message daemon/core/deliver/ledger/ledger_watch daemon/core/deliver/ledger/ledger_survey daemon/core/deliver/ledger/ledger_conversation daemon/core/deliver/ledger/ledger_op daemon/core/deliver/sender/sender daemon/core/deliver/sender/sender_ack daemon/core/deliver/sender/sender_send daemon/core/deliver/sender/sender_parcel daemon/core/deliver/sender/sender_queue daemon/core/deliver/sender/sender_path daemon/core/deliver/sender/sender_backoff daemon/core/deliver/sender/sender_recipient daemon/core/deliver/sender/window daemon/core/deliver/sender/loopback daemon/core/deliver/depot/depositor daemon/core/deliver/depot/deposit daemon/core/deliver/depot/keeper daemon/core/base/base daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence */
/* The outbox alone: what it answers when, what it sends when nobody answers, what it believes. Node
 * 0 is ours, node 1 the recipient; the test is the store and the recipient. */
#include "tests/unit/deliver/fake_delivery.h"
#include "tests/unit/deliver/outbox_rig.h"

#define QUANTUM 32 /* packets that a recipient sends before another one's turn */

static uint8_t body[1 << 20];

static void start(const struct node_boot *boot, size_t messages_max) {
    outbox_start(boot, &(struct outbox_path_request){.message_max = sizeof body,
                                                     .messages_max = messages_max});
}
static int setup(void **state) {
    (void)state;
    static const struct node_boot boot;
    mono_now = (struct mono){US_PER_S}; /* each test has the hour for which there are keys */
    fake_identities_init();
    fake_fill(NULL, body, sizeof body);
    fake_path_outcome = PATH_OK;
    fake_link_error = 0;
    fake_paths_worked = fake_paths_failed = 0;
    fake_sent = 0;
    start(&boot, 0);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    outbox_stop();
    return 0;
}

/* ---- The store's part ---- */
static void give(struct store_result result) {
    struct fake_op op = effects.ops[0];
    assert_true(effects.n_ops > 0);
    result.kind = op.op.kind;
    fake_ops_shift(&effects);
    outbox_stored(outbox, op.cookie, &result, fake_now());
}
/* Every operation succeeds; bodies are all alike. */
static void give_all(void) {
    while (effects.n_ops > 0 || mono_is_due(outbox_next(outbox), mono_now)) {
        struct store_result result = {0};
        if (effects.n_ops > 0 && effects.ops[0].op.kind == STORE_OUT_READ) {
            result.bytes = body + effects.ops[0].op.out_read.offset;
            result.length = effects.ops[0].op.out_read.length;
        }
        if (effects.n_ops > 0)
            give(result);
        else
            outbox_tick(outbox, fake_now());
    }
}
static struct request request_push(uint64_t client, size_t size) {
    struct request request = {.client = client, .kind = REQUEST_PUSH};
    fake_fill(NULL, &request.push.id, sizeof request.push.id);
    request.push.body = body;
    request.push.size = size;
    request.push.options.relays = RELAYS_DEFAULT;
    return request;
}
static void push(const struct request *request) {
    outbox_push(outbox, request, &fake_identities[1].id, NULL, fake_now());
}
static struct request pushed(uint64_t client, size_t size) {
    struct request request = request_push(client, size);
    push(&request);
    give_all();
    return request;
}
static enum message_state state_of(const struct message_id *id) {
    struct request request = {.client = 999, .kind = REQUEST_MESSAGE, .message = {.id = *id}};
    outbox_message(outbox, &request, NULL);
    const struct answer *answer = fake_answer(&effects, 999);
    assert_true(answer && answer->kind == ANSWER_MESSAGE);
    return answer->message.state;
}
/* Let the time pass to the next wake and run. */
static void pass(void) {
    struct mono next = outbox_next(outbox);
    assert_true(next.us != MONO_NEVER.us);
    if (next.us > mono_now.us)
        mono_now = next;
    outbox_tick(outbox, fake_now());
    give_all();
}
static void pass_until(struct mono end) {
    while (outbox_next(outbox).us <= end.us)
        pass();
    mono_now = end;
}

/* ---- The recipient's part ---- */
static struct parcel_shard shard_at(size_t i) {
    struct parcel_shard shard;
    assert_true(i < fake_wire_n);
    assert_int_equal(parcel_shard_decode(fake_wire[i].payload, fake_wire[i].length, &shard),
                     DROP_NONE);
    return shard;
}
static size_t open_parcel(const struct parcel_id *id, uint8_t *plain, uint8_t key[KEY_LEN]) {
    static uint8_t sealed[PARCEL_SEALED_MAX + SHARD_TRANSFORM_LEN];
    size_t length = 0, plain_length = 0;
    bool whole = true;
    for (size_t i = 0; i < fake_wire_n; i++) {
        struct parcel_shard shard = shard_at(i);
        if (memcmp(&shard.id, id, sizeof *id) != 0)
            continue;
        memcpy(sealed + (size_t)shard.index * shard.length, shard.data, shard.length);
        length = (size_t)shard.k * shard.length;
        whole = shard.k == 1;
    }
    if (!whole) {
        shard_restore(sealed, length);
        length -= SHARD_TRANSFORM_LEN;
    }
    assert_int_equal(parcel_open(&fake_identities[1].routing[0], &fake_identities[1].id,
                                 epoch_now(), &fake_identities[0].id,
                                 fake_identities[0].link.public, NULL, sealed, length, plain,
                                 &plain_length, key),
                     DROP_NONE);
    return plain_length;
}
static enum drop answer_receipt(struct parcel_receipt receipt, const uint8_t key[KEY_LEN]) {
    uint8_t payload[ONION_PAYLOAD_MAX] = {PAYLOAD_RECEIPTS};
    struct wire_writer writer = wire_writer(payload, sizeof payload);
    wire_reserve(&writer, 1);
    parcel_receipt_encode(&receipt, key, &writer);
    return outbox_receipt(outbox, payload, wire_length(&writer), fake_now());
}
static enum drop answer_final(const struct parcel_id *id, enum parcel_status status,
                              uint8_t reason) {
    static uint8_t plain[PARCEL_SEALED_MAX];
    uint8_t key[KEY_LEN];
    open_parcel(id, plain, key);
    return answer_receipt((struct parcel_receipt){.id = *id, .status = status, .reason = reason},
                          key);
}
static void partial_key(const struct parcel_id *id, uint8_t key[KEY_LEN]) {
    struct parcel_secret secret;
    assert_int_equal(crypto_scalarmult(secret.known.ss, fake_identities[0].link.secret,
                                       fake_identities[1].routing[0].public),
                     0);
    parcel_receipt_key(&secret, id, key);
}

/* ---- Accepting ---- */

static void test_answers_after_the_store(void **state) {
    (void)state;
    struct request request = request_push(1, 5);
    push(&request);
    assert_int_equal(effects.n_answers, 0);
    assert_int_equal(effects.ops[0].op.kind, STORE_OUT_PUT);
    assert_int_equal(effects.ops[0].op.out_put.record.sequence, 1);
    assert_int_equal(budget.held[BUDGET_CLIENTS], 5);
    outbox_tick(outbox, fake_now());
    assert_int_equal(fake_sent, 0); /* nothing leaves before it is stored */
    give((struct store_result){0});
    assert_int_equal(effects.n_answers, 1);
    assert_int_equal(effects.answers[0].kind, ANSWER_MESSAGE);
    assert_int_equal(effects.answers[0].message.state, MESSAGE_QUEUED);
    assert_true(effects.answers[0].end);
    assert_int_equal(budget.held[BUDGET_CLIENTS], 0);
    outbox_tick(outbox, fake_now());
    assert_int_equal(fake_sent, 1);
    assert_int_equal(state_of(&request.push.id), MESSAGE_SENT);
}

static void test_store_errors(void **state) {
    static const struct {
        int error;
        enum answer_code code;
        const char *text;
    } cases[] = {
        {-ENOSPC, ANSWER_FAILED, "the disk is full"},
        {-EIO, ANSWER_FAILED, "the disk does not work (input/output error)"},
        {-EROFS, ANSWER_FAILED, "the disk is read-only"},
        {-EEXIST, ANSWER_FAILED, "this id was used for another message"},
        {-ENOMEM, ANSWER_LIMIT, "out of memory (limits.memory)"},
        {-EMFILE, ANSWER_LIMIT, "out of file descriptors (raise ulimit -n, LimitNOFILE)"},
        {-ENFILE, ANSWER_LIMIT, "the system is out of file descriptors (fs.file-max)"},
        {-EFBIG, ANSWER_FAILED, "no file may become that large (ulimit -f, the file system)"},
        {-EACCES, ANSWER_FAILED, "no permission to write there"},
        {-EBADF, ANSWER_FAILED, "the store failed (error 9)"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct request request = request_push(10 + i, 5);
        push(&request);
        give((struct store_result){.error = cases[i].error});
        const struct answer *answer = fake_answer(&effects, 10 + i);
        assert_int_equal(answer->code, cases[i].code);
        assert_string_equal(answer->text, cases[i].text);
        assert_true(answer->end);
    }
    assert_int_equal(outbox_pending(outbox), 0);
}

static void test_limits(void **state) {
    (void)state;
    static const struct node_boot boot;
    outbox_free(outbox);
    start(&boot, 2);
    struct request request = request_push(1, sizeof body + 1);
    push(&request);
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_LIMIT);
    request.client = 2;
    request.push.size = sizeof body;
    push(&request);
    assert_null(fake_answer(&effects, 2));
    pushed(3, 1);
    pushed(4, 1); /* one too many: those under way count */
    assert_int_equal(fake_answer(&effects, 3)->code, ANSWER_OK);
    assert_int_equal(fake_answer(&effects, 4)->code, ANSWER_LIMIT);
    request.client = 5; /* what is known already needs no room */
    push(&request);
    give((struct store_result){.existed = true});
    assert_int_equal(fake_answer(&effects, 5)->message.state, MESSAGE_SENT);
    assert_int_equal(outbox_pending(outbox), 2);
    budget.max = budget.used + 9;
    outbox_configure(outbox, 100, 1, 1);
    request = request_push(6, 101);
    push(&request);
    assert_int_equal(fake_answer(&effects, 6)->code, ANSWER_LIMIT);
    assert_int_equal(outbox_counters(outbox)->pushes_refused, 3);
}

static void test_out_of_memory(void **state) {
    size_t own = sizeof(struct message) + BUDGET_HEAP_EXTRA;
    (void)state;
    pushed(3, 0); /* the recipient is there */
    size_t others = budget.max - budget.used - own - 99;
    assert_true(budget_take(&budget, BUDGET_CLIENTS, others));
    struct request request = request_push(1, 100);
    push(&request);
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_LIMIT);
    request.push.size = 99;
    request.client = 2;
    push(&request);
    assert_int_equal(effects.n_ops, 1);
    budget_give(&budget, BUDGET_CLIENTS, others);
    give_all();
}

static void test_repeated_push(void **state) {
    (void)state;
    struct request request = pushed(1, 5);
    request.client = 2;
    push(&request);
    give((struct store_result){.existed = true});
    assert_int_equal(fake_answer(&effects, 2)->message.state, MESSAGE_SENT);
    assert_int_equal(outbox_pending(outbox), 1);
    struct request old = request_push(3, 5); /* finished long ago: the store's word */
    push(&old);
    struct store_result result = {.existed = true};
    result.record.state = MESSAGE_EXPIRED;
    give(result);
    assert_int_equal(fake_answer(&effects, 3)->message.state, MESSAGE_EXPIRED);
    assert_int_equal(fake_answer(&effects, 3)->code, ANSWER_FAILED);
    assert_int_equal(outbox_pending(outbox), 1);
}

static void test_sequences_go_on(void **state) {
    (void)state;
    struct boot_conversation conversation = {fake_identities[1].id, 41};
    struct out_record pending = {.recipient = fake_identities[1].id,
                                 .sequence = 42,
                                 .size = 3,
                                 .state = MESSAGE_QUEUED,
                                 .relays_exact = RELAYS_DEFAULT};
    pending.expires = (struct wall){wall_now().us + US_PER_HOUR};
    struct node_boot boot = {
        .pending = &pending, .n_pending = 1, .conversations = &conversation, .n_conversations = 1};
    outbox_free(outbox);
    start(&boot, 0);
    assert_int_equal(outbox_pending(outbox), 1);
    struct request request = request_push(1, 5);
    push(&request);
    assert_int_equal(effects.ops[0].op.out_put.record.sequence, 43);
    give_all();
    assert_int_equal(outbox_counters(outbox)->messages_sent, 2);
}

/* ---- Watching and ending ---- */

static void test_wait_and_receipts(void **state) {
    (void)state;
    struct request request = request_push(1, 5);
    request.push.wait = true;
    push(&request);
    give_all();
    assert_false(fake_answer(&effects, 1)->end);
    struct parcel_shard shard = shard_at(0);
    uint8_t wrong[KEY_LEN] = {1};
    struct parcel_receipt receipt = {.id = shard.id, .status = PARCEL_COMPLETE};
    assert_int_equal(answer_receipt(receipt, wrong), DROP_AUTH);
    receipt.id.bytes[0] ^= 1;
    assert_int_equal(answer_receipt(receipt, wrong), DROP_UNKNOWN);
    assert_int_equal(outbox_receipt(outbox, (const uint8_t[]){PAYLOAD_RECEIPTS}, 1, fake_now()),
                     DROP_MALFORMED);
    assert_int_equal(state_of(&request.push.id), MESSAGE_SENT);
    assert_int_equal(answer_final(&shard.id, PARCEL_COMPLETE, 0), DROP_NONE);
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_DELIVERED);
    assert_true(fake_answer(&effects, 1)->end);
    assert_int_equal(effects.ops[0].op.kind, STORE_OUT_STATE);
    assert_int_equal(answer_receipt(receipt, wrong), DROP_UNKNOWN);
    give_all();
    assert_int_equal(outbox_pending(outbox), 0);
    assert_int_equal(fake_paths_worked, 1);
}

static void test_refusal_names_its_reason(void **state) {
    (void)state;
    struct request request = request_push(1, 5);
    request.push.wait = true;
    push(&request);
    give_all();
    struct parcel_shard shard = shard_at(0);
    assert_int_equal(answer_final(&shard.id, PARCEL_REFUSED, PARCEL_REASON_TOO_LARGE), DROP_NONE);
    give_all();
    const struct answer *answer = fake_answer(&effects, 1);
    assert_int_equal(answer->message.state, MESSAGE_REFUSED);
    assert_string_equal(answer->message.reason, "too large for the recipient");
    assert_int_equal(answer->code, ANSWER_FAILED);
}

#define REST_MIN_US (5 * US_PER_S)

/* Until something is sent; how long that took. */
static int64_t pass_until_sent(void) {
    struct mono before = mono_now;
    for (uint64_t sent = fake_sent; fake_sent == sent;)
        pass();
    return mono_now.us - before.us;
}

/* A full inbox is emptied some day: who wrote to it is told why it waits, and comes again, ever
 * less often. */
static void test_refused_for_now_comes_again(void **state) {
    (void)state;
    struct request request = pushed(1, 5);
    struct parcel_shard shard = shard_at(0);
    int64_t last = 0;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(answer_final(&shard.id, PARCEL_REFUSED, PARCEL_REASON_QUOTA), DROP_NONE);
        assert_int_equal(state_of(&request.push.id), MESSAGE_SENT);
        assert_string_equal(fake_answer(&effects, 999)->message.reason,
                            "the recipient's quota is reached");
        fake_wire_n = 0;
        int64_t gap = pass_until_sent();
        assert_in_range(gap, (REST_MIN_US << i) * 3 / 4, (REST_MIN_US << i) * 5 / 4);
        assert_true(gap > last);
        last = gap;
        shard = shard_at(0);
    }
    assert_int_equal(answer_final(&shard.id, PARCEL_COMPLETE, 0), DROP_NONE);
    assert_int_equal(outbox_pending(outbox), 0);
    give_all();
    request = pushed(2, 5);
    shard = shard_at(fake_wire_n - 1);
    assert_int_equal(answer_final(&shard.id, PARCEL_REFUSED, PARCEL_REASON_QUOTA), DROP_NONE);
    assert_true(pass_until_sent() <= REST_MIN_US * 5 / 4); /* it had taken one meanwhile */
    struct request cancel = {
        .client = 3, .kind = REQUEST_CANCEL, .message = {.id = request.push.id}};
    outbox_cancel(outbox, &cancel, fake_now());
    give_all();
    assert_int_equal(outbox_pending(outbox), 0);
}

static void test_watchers_are_bounded(void **state) {
    (void)state;
    struct request request = pushed(1, 5);
    struct request status = {.kind = REQUEST_MESSAGE,
                             .message = {.id = request.push.id, .wait = true}};
    for (status.client = 100; status.client <= 100 + OUTBOX_WATCHERS_MAX; status.client++)
        outbox_message(outbox, &status, NULL);
    assert_false(fake_answer(&effects, 100 + OUTBOX_WATCHERS_MAX - 1)->end);
    assert_int_equal(fake_answer(&effects, 100 + OUTBOX_WATCHERS_MAX)->code, ANSWER_LIMIT);
    outbox_client_gone(outbox, 100);
    fake_effects_clear(&effects);
    struct parcel_shard shard = shard_at(0);
    answer_final(&shard.id, PARCEL_COMPLETE, 0);
    assert_int_equal(effects.n_answers, OUTBOX_WATCHERS_MAX - 1);
    assert_null(fake_answer(&effects, 100));
}

static void test_cancel(void **state) {
    (void)state;
    struct request request = pushed(1, 5);
    struct request cancel = {
        .client = 2, .kind = REQUEST_CANCEL, .message = {.id = request.push.id}};
    outbox_cancel(outbox, &cancel, fake_now());
    assert_null(fake_answer(&effects, 2)); /* not before it is stored */
    assert_int_equal(effects.ops[0].op.out_state.state, MESSAGE_FAILED);
    give((struct store_result){.error = -ENOSPC});
    assert_null(fake_answer(&effects, 2));
    assert_int_equal(outbox_pending(outbox), 0);
    pass_until(mono_add(mono_now, 2 * US_PER_S)); /* tried again */
    assert_int_equal(fake_answer(&effects, 2)->code, ANSWER_OK);
    assert_string_equal(fake_answer(&effects, 2)->message.reason, "cancelled");
    cancel.client = 3;
    outbox_cancel(outbox, &cancel, fake_now());
    struct store_result found = {0};
    found.record.state = MESSAGE_FAILED;
    give(found);
    assert_int_equal(fake_answer(&effects, 3)->code, ANSWER_FAILED);
    cancel.client = 4;
    outbox_cancel(outbox, &cancel, fake_now());
    give((struct store_result){.error = -ENOENT});
    assert_int_equal(fake_answer(&effects, 4)->code, ANSWER_UNKNOWN);
    uint64_t before = fake_sent;
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_int_equal(fake_sent, before); /* nothing of it is sent any more */
}

static void test_cancel_while_being_stored(void **state) {
    (void)state;
    struct request request = request_push(1, 5);
    push(&request);
    struct request cancel = {
        .client = 2, .kind = REQUEST_CANCEL, .message = {.id = request.push.id}};
    outbox_cancel(outbox, &cancel, fake_now());
    give_all();
    assert_string_equal(fake_answer(&effects, 2)->message.reason, "cancelled");
    assert_int_equal(fake_sent, 0);
}

static void test_expiry(void **state) {
    (void)state;
    struct request request = request_push(1, 5);
    request.push.wait = true;
    request.push.options.expire_us = 10 * US_PER_S;
    struct mono expires = mono_add(mono_now, request.push.options.expire_us);
    push(&request);
    give_all();
    pass_until((struct mono){expires.us - 1});
    assert_int_equal(state_of(&request.push.id), MESSAGE_SENT);
    pass_until(expires);
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_EXPIRED);
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_FAILED);
    assert_int_equal(outbox_pending(outbox), 0);
    pass_until(mono_add(mono_now, US_PER_HOUR)); /* idle: no timer is left but that of old keys */
    pass_until(mono_add(mono_now, US_PER_HOUR));
    assert_int_equal(outbox_next(outbox).us, MONO_NEVER.us);
}

/* Whatever the wall clock is set to: a life is time that passed. What is said of it moves along. */
static void test_expires_by_time_that_passed(void **state) {
    (void)state;
    struct request request = request_push(1, 5);
    request.push.wait = true;
    push(&request);
    give_all();
    struct wall far = {wall_now().us + 50 * 365 * 24 * US_PER_HOUR};
    mono_now = mono_add(mono_now, 2 * US_PER_S);
    outbox_tick(outbox, (struct now){mono_now, far});
    outbox_age(outbox, (struct now){mono_now, far}); /* it was not owed when we began */
    mono_now = mono_add(mono_now, 2 * US_PER_S);
    outbox_tick(outbox, (struct now){mono_now, far});
    assert_int_equal(outbox_pending(outbox), 1);
    outbox_shift(outbox, far.us - wall_now().us);
    struct message_report report;
    assert_true(outbox_look(outbox, &request.push.id, &report));
    assert_true(report.expires.us > far.us);
    wall_skew_us -= 50 * 365 * 24 * US_PER_HOUR; /* and back: no longer than before */
    while (outbox_pending(outbox) > 0 && outbox_next(outbox).us != MONO_NEVER.us) {
        pass();
        give_all();
    }
    assert_int_equal(outbox_pending(outbox), 0);
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_EXPIRED);
}

/* ---- Sending ---- */

static void test_gathers(void **state) {
    (void)state;
    static uint8_t plain[PARCEL_SEALED_MAX];
    uint8_t key[KEY_LEN];
    for (unsigned i = 0; i < 20; i++) {
        struct request request = request_push(1 + i, 30);
        push(&request);
    }
    while (effects.n_ops > 0)
        give((struct store_result){0});
    outbox_tick(outbox, fake_now());
    struct parcel_shard shard = shard_at(0);
    size_t length = open_parcel(&shard.id, plain, key);
    size_t items = PARCEL_HEAD_LEN + 20 * (PARCEL_ITEM_HEADER_LEN + 30), each, padded;
    unsigned k;
    assert_int_equal(parcel_cut(items, 0, &k, &each, &padded), 0);
    assert_int_equal(length, padded);
    assert_true(sodium_is_zero(plain + items, padded - items));
    assert_int_equal(shard.m, 1);
    assert_int_equal(fake_wire_n, k + 1); /* nothing waits behind it: parity */
    assert_int_equal(answer_final(&shard.id, PARCEL_COMPLETE, 0), DROP_NONE);
    give_all();
    assert_int_equal(outbox_pending(outbox), 0);
}

static void test_resends_elsewhere_and_backs_off(void **state) {
    (void)state;
    pushed(1, 5);
    int64_t gaps[206];
    uint64_t serial = fake_wire[fake_wire_n - 1].serial;
    for (unsigned i = 0; i < 206; i++) {
        struct mono before = mono_now;
        uint64_t sent = fake_sent;
        while (fake_sent == sent)
            pass();
        gaps[i] = mono_now.us - before.us;
        /* The first ones twice over a new path, and once over the one before. */
        size_t first = (size_t)(fake_wire_n - (fake_sent - sent));
        assert_int_equal(fake_sent, sent + (i < 4 ? 3 : 1));
        assert_int_not_equal(fake_wire[first].serial, serial);
        if (i < 4) {
            assert_int_equal(fake_wire[first + 1].serial, fake_wire[first].serial);
            assert_int_equal(fake_wire[first + 2].serial, serial);
        }
        serial = fake_wire[first].serial;
    }
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(gaps[i], 300 * US_PER_MS);
    for (unsigned i = 4; i < 7; i++)
        assert_true(gaps[i] > gaps[i - 1] * 3 / 2);
    for (unsigned i = 8; i < 200; i++) /* patience: there are routes to it */
        assert_in_range(gaps[i], 5 * US_PER_S / 2, 3 * US_PER_S);
    for (unsigned i = 202; i < 206; i++)
        assert_in_range(gaps[i], 4 * US_PER_S, 5 * US_PER_MINUTE);
    assert_int_equal(fake_paths_failed, 206);
    assert_int_equal(outbox_counters(outbox)->retransmissions, 206 + 4 * 2);
    /* A receipt for the first copy is as good. */
    struct parcel_shard shard = shard_at(0);
    assert_int_equal(answer_final(&shard.id, PARCEL_COMPLETE, 0), DROP_NONE);
}

static void test_window_and_losses(void **state) {
    (void)state;
    pushed(1, sizeof body);
    assert_int_equal(fake_sent, 4 * 16); /* four paths, a window each */
    uint64_t serials[4] = {0};
    unsigned n_serials = 0;
    for (size_t i = 0; i < fake_wire_n; i++) {
        bool known = false;
        for (unsigned j = 0; j < n_serials; j++)
            known = known || serials[j] == fake_wire[i].serial;
        if (!known) {
            assert_true(n_serials < 4);
            serials[n_serials++] = fake_wire[i].serial;
        }
    }
    assert_int_equal(n_serials, 4);
    /* All of the first parcel arrived but its first shard, whose path shows four later ones. */
    struct parcel_shard first = shard_at(0);
    struct parcel_receipt receipt = {
        .id = first.id, .status = PARCEL_PARTIAL, .k = first.k, .n_paths = 1};
    receipt.paths[0] = (struct parcel_path){first.path, (uint16_t)(first.packet + 3), 4, 0};
    unsigned arrived = 0;
    for (size_t i = 1; i < fake_wire_n; i++) {
        struct parcel_shard shard = shard_at(i);
        if (memcmp(&shard.id, &first.id, sizeof first.id) != 0 || shard.index == first.index)
            continue;
        receipt.bitmap[shard.index / 8] |= (uint8_t)(1 << shard.index % 8);
        arrived++;
    }
    receipt.m = first.m;
    uint8_t key[KEY_LEN];
    partial_key(&first.id, key);
    size_t before = fake_wire_n;
    receipt.k--;
    assert_int_equal(answer_receipt(receipt, key), DROP_MALFORMED);
    receipt.k++;
    receipt.m++;
    assert_int_equal(answer_receipt(receipt, key), DROP_MALFORMED);
    receipt.m--;
    mono_now = mono_add(mono_now, 20 * US_PER_MS);
    assert_int_equal(answer_receipt(receipt, key), DROP_NONE);
    give_all();
    assert_true(fake_wire_n - before >= arrived);
    /* It may still come: so far it had but the time of the others. */
    assert_int_equal(outbox_counters(outbox)->retransmissions, 0);
    for (size_t i = before; i < fake_wire_n; i++) { /* room on another path, for it goes there */
        struct parcel_shard shard = shard_at(i);
        if (memcmp(&shard.id, &first.id, sizeof first.id) == 0 && shard.path != first.path)
            receipt.bitmap[shard.index / 8] |= (uint8_t)(1 << shard.index % 8);
    }
    before = fake_wire_n;
    mono_now = mono_add(mono_now, 25 * US_PER_MS);
    assert_int_equal(answer_receipt(receipt, key), DROP_NONE);
    give_all();
    assert_int_equal(outbox_counters(outbox)->retransmissions, 1);
    bool again = false;
    for (size_t i = before; i < fake_wire_n; i++) {
        struct parcel_shard shard = shard_at(i);
        if (memcmp(&shard.id, &first.id, sizeof first.id) == 0 && shard.index == first.index) {
            again = true;
            assert_int_not_equal(shard.path, first.path);
        }
    }
    assert_true(again);
}

/* Of this parcel all that is in the first n packets arrived, each `delay_us` after it was sent. */
static void answer_parcel(const struct parcel_shard *one, size_t n, int64_t delay_us) {
    struct parcel_receipt receipt = {
        .id = one->id, .status = PARCEL_PARTIAL, .k = one->k, .m = one->m};
    for (size_t j = 0; j < n; j++) {
        struct parcel_shard shard = shard_at(j);
        if (memcmp(&shard.id, &one->id, sizeof one->id) != 0)
            continue;
        receipt.bitmap[shard.index / 8] |= (uint8_t)(1 << shard.index % 8);
        unsigned at = 0;
        while (at < receipt.n_paths && receipt.paths[at].path != shard.path)
            at++;
        if (at == PARCEL_RECEIPT_PATHS_MAX)
            continue;
        receipt.n_paths = (uint8_t)(receipt.n_paths + (at == receipt.n_paths));
        receipt.paths[at] = (struct parcel_path){
            shard.path, shard.packet, 1,
            (uint32_t)(fake_wire[j].due.us - fake_latency_us + delay_us + 123456)};
    }
    uint8_t key[KEY_LEN];
    partial_key(&one->id, key);
    assert_int_equal(answer_receipt(receipt, key), DROP_NONE);
}

/* All that was sent before this round arrived, `delay_us` later. Returns how much left then. */
static size_t answer_round(int64_t delay_us) {
    size_t n = fake_wire_n;
    mono_now = mono_add(mono_now, 20 * US_PER_MS);
    for (size_t i = 0; i < n; i++) {
        struct parcel_shard one = shard_at(i);
        if (i == 0 || memcmp(shard_at(i - 1).id.bytes, one.id.bytes, PARCEL_ID_LEN) != 0)
            answer_parcel(&one, n, delay_us);
    }
    give_all();
    return fake_wire_n - n;
}

static void test_window_follows_delay(void **state) {
    (void)state;
    pushed(1, sizeof body);
    size_t sent = answer_round(10 * US_PER_MS); /* the delay is measured */
    assert_true(sent >= 4 * 16);
    sent = answer_round(10 * US_PER_MS); /* slow start */
    assert_true(sent > 4 * 16 * 3 / 2);
    sent = answer_round(10 * US_PER_MS);
    assert_true(sent > 4 * 16 * 5 / 2);
    for (unsigned i = 0; i < 3; i++)
        sent = answer_round(60 * US_PER_MS); /* a queue of 50 ms */
    size_t queueing = sent;
    assert_true(queueing < 4 * 16);
    for (unsigned i = 0; i < 4; i++)
        sent = answer_round(10 * US_PER_MS);
    assert_true(sent > queueing);
}

/* However little is sent, the queue stays: it is none of ours, and no reason to end at nothing. */
static void test_window_yields_to_no_false_base(void **state) {
    (void)state;
    for (unsigned i = 1; i <= 4; i++)
        pushed(i, sizeof body);
    for (unsigned i = 0; i < 3; i++)
        answer_round(10 * US_PER_MS);
    size_t least = SIZE_MAX, last = 0;
    for (unsigned i = 0; i < 18; i++) {
        last = answer_round(60 * US_PER_MS);
        least = last < least ? last : least;
    }
    assert_true(last > 2 * least);
}

/* What was sent before an outage and is told of after it took no round trip of that length. */
static void test_outage_is_no_round_trip(void **state) {
    (void)state;
    pushed(1, 40000); /* all of it leaves at once */
    pass_until(mono_add(mono_now, 30 * US_PER_S));
    struct parcel_shard first = shard_at(0);
    answer_parcel(&first, fake_wire_n, 10 * US_PER_MS);
    give_all();
    pushed(2, 5);
    struct parcel_shard shard = shard_at(fake_wire_n - 1);
    assert_int_equal(shard.k, 1);
    struct mono before = mono_now;
    for (bool again = false; !again;) {
        size_t n = fake_wire_n;
        pass();
        for (; n < fake_wire_n; n++)
            again = again || memcmp(shard_at(n).id.bytes, shard.id.bytes, PARCEL_ID_LEN) == 0;
    }
    assert_in_range(mono_now.us - before.us, 1, 3 * US_PER_S);
}

/* 4 MiB of a recipient, where there is memory for all; else little. */
static void test_flight_is_bounded(void **state) {
    (void)state;
    pushed(1, sizeof body); /* blocks of 61440 bytes and what seals them */
    assert_in_range(budget.held[BUDGET_OUTBOX], sizeof body, sizeof body + 64 * 1024);
    outbox_free(outbox);
    static const struct node_boot boot;
    start(&boot, 0);
    budget.max = 2 << 20;
    pushed(3, sizeof body);
    assert_in_range(budget.held[BUDGET_OUTBOX], 512 << 10, (512 << 10) + 2 * 64 * 1024);
}

static void evict_all(void) {
    while (budget.evict[BUDGET_OUTBOX](budget.context[BUDGET_OUTBOX]))
        ;
}

/* While it is being read again nobody asks to be woken at once: the store's answer will do that. */
static void test_does_not_spin_while_reading(void **state) {
    (void)state;
    pushed(1, 5);
    while (fake_sent < 16) /* of them 8 copies */
        pass();
    evict_all();
    while (effects.n_ops == 0 || effects.ops[effects.n_ops - 1].op.kind != STORE_OUT_READ) {
        mono_now = outbox_next(outbox);
        outbox_tick(outbox, fake_now());
    }
    outbox_tick(outbox, fake_now());
    assert_true(outbox_next(outbox).us > mono_now.us);
}

/* What asks a silent recipient has used its credit by the time that memory is short: it is given
 * up, read again when its time comes, and asks on. */
static void test_asks_on_after_eviction(void **state) {
    (void)state;
    pushed(1, 5);
    while (fake_sent < 16) /* of them 8 copies */
        pass();
    evict_all();
    assert_int_equal(budget.held[BUDGET_OUTBOX], 0);
    uint64_t sent = fake_sent;
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_true(fake_sent >= sent + 10);
    struct parcel_shard shard = shard_at(fake_wire_n - 1);
    assert_int_equal(answer_final(&shard.id, PARCEL_COMPLETE, 0), DROP_NONE);
}

/* The parity of what asks a silent recipient is wanted when there is no memory for it: the parcel
 * itself is not what is given up, and goes on without. */
static void test_no_memory_for_parity(void **state) {
    (void)state;
    struct request first = request_push(1, 40000), second = request_push(2, 40000);
    push(&first);
    push(&second);
    give_all();
    while (fake_sent < 120)
        pass();
    struct request request = {
        .client = 3, .kind = REQUEST_CANCEL, .message = {.id = second.push.id}};
    outbox_cancel(outbox, &request, fake_now());
    give_all();
    budget.max = budget.used;
    uint64_t sent = fake_sent;
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_true(fake_sent >= sent + 10);
    struct parcel_shard shard = shard_at(fake_wire_n - 1);
    assert_int_equal(answer_final(&shard.id, PARCEL_COMPLETE, 0), DROP_NONE);
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_OK);
}

/* Whose answers alone are lost has the whole parcel after a while: it is not asked with the same
 * shard for ever. */
static void test_asks_with_every_shard(void **state) {
    (void)state;
    pushed(1, 2500);
    struct parcel_shard first = shard_at(0);
    unsigned asked[SHARD_COUNT_MAX] = {0};
    assert_true(first.k > 1);
    while (fake_sent < 60)
        pass();
    for (size_t i = 30; i < 60; i++)
        asked[shard_at(i).index]++;
    for (unsigned i = 0; i < first.k; i++)
        assert_in_range(asked[i], 30u / (first.k + first.m) - 1, 30);
}

/* Of two in one parcel that nobody answers one is cancelled: it is not sent any more. */
static void test_cancelled_while_nobody_answers(void **state) {
    (void)state;
    static uint8_t plain[PARCEL_SEALED_MAX];
    uint8_t key[KEY_LEN];
    struct request first = request_push(1, 5), second = request_push(2, 6);
    push(&first);
    push(&second);
    give_all();
    while (fake_sent < 8)
        pass();
    struct request request = {
        .client = 3, .kind = REQUEST_CANCEL, .message = {.id = first.push.id}};
    outbox_cancel(outbox, &request, fake_now());
    uint64_t sent = fake_sent;
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_true(fake_sent >= sent + 10);
    struct parcel_shard shard = shard_at(fake_wire_n - 1);
    size_t length = open_parcel(&shard.id, plain, key);
    struct wire_reader reader = wire_reader(plain, length);
    struct node_id sender;
    struct parcel_item item;
    assert_int_equal(parcel_get_head(&reader, &sender), DROP_NONE);
    assert_int_equal(parcel_get_item(&reader, &item), DROP_NONE);
    assert_memory_equal(&item.id, &second.push.id, sizeof item.id);
    assert_true(wire_left(&reader) == 0 ||
                (parcel_get_item(&reader, &item) == DROP_NONE && item.kind == 0));
    assert_int_equal(answer_final(&shard.id, PARCEL_COMPLETE, 0), DROP_NONE);
    assert_int_equal(outbox_pending(outbox), 0);
}

static struct message_id next_local(int error) {
    struct parcel_item item;
    while (!outbox_local(outbox, &item))
        pass();
    outbox_local_done(outbox, &item.id, error, fake_now());
    return item.id;
}

/* Of those to ourselves neither a long one nor one that cannot be stored holds up the others. */
static void test_locals_take_turns(void **state) {
    (void)state;
    struct request one = request_push(1, 200000), other = request_push(2, 5);
    outbox_push(outbox, &one, &fake_identities[0].id, NULL, fake_now());
    outbox_push(outbox, &other, &fake_identities[0].id, NULL, fake_now());
    give_all();
    struct message_id first = next_local(-ENOSPC), second = next_local(-ENOSPC);
    assert_memory_equal(&first, &one.push.id, sizeof first);
    assert_memory_equal(&second, &other.push.id, sizeof second);
    first = next_local(0);
    second = next_local(0);
    assert_memory_equal(&first, &one.push.id, sizeof first);
    assert_memory_equal(&second, &other.push.id, sizeof second);
    for (unsigned i = 0; i < 3; i++)
        next_local(0);
    give_all();
    assert_int_equal(outbox_pending(outbox), 0);
}

/* Two recipients with much to send share what one step may. */
static void test_recipients_take_turns(void **state) {
    (void)state;
    struct request one = request_push(1, sizeof body), other = request_push(2, sizeof body);
    push(&one);
    outbox_push(outbox, &other, &fake_identities[2].id, NULL, fake_now());
    give_all();
    unsigned first = 0;
    for (size_t i = 0; i < 2 * QUANTUM; i++)
        first += fake_wire[i].target == fake_entries[1].prefix;
    assert_int_equal(first, QUANTUM);
}

static void test_unreachable_and_retry_now(void **state) {
    (void)state;
    fake_path_outcome = PATH_NONE;
    struct request request = request_push(1, 5);
    request.push.trace = true;
    push(&request);
    give_all();
    assert_string_equal(fake_answer(&effects, 1)->text, "no route just now");
    assert_true(fake_answer(&effects, 1)->end);
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_int_equal(fake_sent, 0);
    assert_int_equal(state_of(&request.push.id), MESSAGE_QUEUED);
    fake_path_outcome = PATH_OK;
    outbox_retry_now(outbox, NULL, mono_now);
    pass_until(mono_add(mono_now, US_PER_S));
    assert_true(fake_sent >= 1);
}

static void test_unknown_recipient(void **state) {
    (void)state;
    fake_known[1] = false;
    pushed(1, 5);
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_int_equal(fake_sent, 0);
    fake_known[1] = true;
    outbox_retry_now(outbox, &fake_identities[1].id, mono_now);
    pass_until(mono_add(mono_now, US_PER_S));
    assert_true(fake_sent >= 1);
}

static void test_strict_without_route(void **state) {
    (void)state;
    fake_path_outcome = PATH_STRICT;
    struct request request = request_push(1, 5);
    request.push.options.strict = true;
    push(&request);
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_FAILED);
    assert_int_equal(effects.n_ops, 0);
}

static void test_rekeyed_recipient(void **state) {
    (void)state;
    pushed(1, 5);
    struct parcel_shard before = shard_at(0);
    fake_rekey(1);
    outbox_retry_now(outbox, &fake_identities[1].id, mono_now);
    give_all();
    assert_int_equal(fake_wire_n, 2);
    struct parcel_shard after = shard_at(1);
    assert_memory_not_equal(&before.id, &after.id, sizeof before.id);
    fake_wire[0] = fake_wire[--fake_wire_n]; /* the first can no longer be opened by anybody */
    assert_int_equal(answer_final(&after.id, PARCEL_COMPLETE, 0), DROP_NONE);
}

static void test_full_egress(void **state) {
    (void)state;
    fake_link_error = -ENOBUFS;
    struct request request = pushed(1, 5);
    assert_int_equal(state_of(&request.push.id), MESSAGE_QUEUED);
    pass_until(mono_add(mono_now, 50 * US_PER_MS));
    fake_link_error = -ENOTCONN;
    pass_until(mono_add(mono_now, 50 * US_PER_MS));
    fake_link_error = 0;
    pass_until(mono_add(mono_now, 20 * US_PER_MS));
    assert_int_equal(fake_sent, 1);
}

static void test_trace(void **state) {
    (void)state;
    struct request request = request_push(1, 5);
    request.push.trace = true;
    push(&request);
    give_all();
    assert_int_equal(effects.n_answers, 3);
    assert_int_equal(effects.answers[0].kind, ANSWER_MESSAGE);
    assert_false(effects.answers[0].end);
    assert_int_equal(effects.answers[1].kind, ANSWER_ROUTES);
    assert_int_equal(effects.answers[1].routes.n, 1);
    assert_int_equal(effects.answers[1].routes.v[0].n_hops, 4);
    assert_string_equal(effects.answers[1].routes.v[0].hops[3].name, "somebody");
    assert_int_equal(effects.answers[2].kind, ANSWER_MESSAGE);
    assert_true(effects.answers[2].end);
}

static void test_lost_body(void **state) {
    (void)state;
    struct request request = request_push(1, 5000);
    request.push.wait = true;
    push(&request);
    give((struct store_result){0});
    outbox_tick(outbox, fake_now());
    assert_int_equal(effects.ops[0].op.kind, STORE_OUT_READ);
    give((struct store_result){.error = -ENOENT});
    give_all();
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_FAILED);
    assert_int_equal(outbox_pending(outbox), 0);
}

static void test_cancel_while_being_read(void **state) {
    (void)state;
    static uint8_t plain[PARCEL_SEALED_MAX];
    uint8_t key[KEY_LEN];
    struct request one = request_push(1, 5000), other = request_push(2, 5000);
    push(&one);
    push(&other);
    give((struct store_result){0});
    give((struct store_result){0});
    outbox_tick(outbox, fake_now());
    assert_int_equal(effects.n_ops, 2);
    struct request cancel = {.client = 3, .kind = REQUEST_CANCEL, .message = {.id = one.push.id}};
    outbox_cancel(outbox, &cancel, fake_now());
    give_all();
    struct parcel_shard shard = shard_at(0); /* the other alone, and no hole in it */
    size_t length = open_parcel(&shard.id, plain, key);
    assert_int_equal(length, PARCEL_HEAD_LEN + PARCEL_ITEM_HEADER_LEN + 5000);
    assert_memory_equal(plain + PARCEL_HEAD_LEN + PARCEL_ITEM_HEADER_LEN, body, 5000);
}

/* ---- Files ---- */

static const struct file_head a_file = {.digest = {7, 7}, .name = "a file.txt"};

static struct request request_file(uint64_t client, uint64_t size) {
    struct request request = request_push(client, size);
    request.push.body = NULL;
    request.push.kind = KIND_FILE;
    request.push.file = &a_file;
    strcpy(request.push.spool, "upload.up");
    return request;
}
/* What the last parcel on the wire holds. */
static struct parcel_item last_item(void) {
    static uint8_t plain[PARCEL_SEALED_MAX];
    uint8_t key[KEY_LEN];
    struct parcel_shard shard = shard_at(fake_wire_n - 1);
    struct node_id sender;
    struct parcel_item item;
    struct wire_reader reader = wire_reader(plain, open_parcel(&shard.id, plain, key));
    assert_int_equal(parcel_get_head(&reader, &sender), DROP_NONE);
    assert_int_equal(parcel_get_item(&reader, &item), DROP_NONE);
    return item;
}

static void test_file_is_read_from_the_spool(void **state) {
    (void)state;
    struct request request = request_file(1, UINT64_C(5) << 30); /* no bound by message_max */
    push(&request);
    const struct store_op *op = &effects.ops[0].op;
    assert_int_equal(op->kind, STORE_OUT_PUT);
    assert_null(op->out_put.body);
    assert_string_equal(op->out_put.spool, "upload.up");
    assert_int_equal(op->out_put.record.kind, KIND_FILE);
    assert_true(op->out_put.record.file != &a_file); /* the client's is gone by then */
    assert_memory_equal(op->out_put.record.file, &a_file, sizeof a_file);
    assert_int_equal(budget.held[BUDGET_CLIENTS], 0);
    give((struct store_result){0});
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_QUEUED);
    outbox_tick(outbox, fake_now());
    assert_int_equal(effects.ops[0].op.kind, STORE_OUT_READ);
}

static void test_small_files_go_alone(void **state) {
    (void)state;
    struct request file = request_file(1, 20), message = request_push(2, 20);
    push(&file);
    push(&message);
    give_all();
    assert_int_equal(fake_wire_n, 2);
    struct parcel_item item = last_item();
    if (item.kind != KIND_FILE) { /* either order will do */
        fake_wire_n--;
        item = last_item();
    }
    assert_int_equal(item.kind, KIND_FILE);
    assert_int_equal(item.total, 20);
    assert_int_equal(item.name_length, strlen(a_file.name));
    assert_memory_equal(item.name, a_file.name, item.name_length);
    assert_memory_equal(item.digest, a_file.digest, FILE_DIGEST_LEN);
    assert_memory_equal(item.bytes, body, 20);
}

static void test_empty_file(void **state) {
    (void)state;
    struct request file = request_file(1, 0);
    file.push.wait = true;
    push(&file);
    give_all();
    struct parcel_item item = last_item();
    assert_int_equal(item.kind, KIND_FILE);
    assert_int_equal(item.total, 0);
    struct parcel_id id = shard_at(fake_wire_n - 1).id;
    assert_int_equal(answer_final(&id, PARCEL_COMPLETE, PARCEL_WHOLE), DROP_NONE);
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_DELIVERED);
}

/* The recipient confirmed every block, and has let go of some: that is not delivered. */
static void test_what_is_not_whole_begins_anew(void **state) {
    (void)state;
    struct request file = request_file(1, 20);
    file.push.wait = true;
    push(&file);
    give_all();
    struct parcel_id id = shard_at(fake_wire_n - 1).id;
    assert_int_equal(answer_final(&id, PARCEL_COMPLETE, 0), DROP_NONE);
    give_all();
    assert_int_equal(state_of(&file.push.id), MESSAGE_SENT);
    assert_string_equal(fake_answer(&effects, 999)->message.reason,
                        "the recipient has lost a part of it");
    fake_wire_n = 0;
    pass_until_sent();
    id = shard_at(fake_wire_n - 1).id;
    assert_int_equal(answer_final(&id, PARCEL_COMPLETE, PARCEL_WHOLE), DROP_NONE);
    assert_int_equal(fake_answer(&effects, 1)->message.state, MESSAGE_DELIVERED);
}

static void test_file_that_is_lost(void **state) {
    (void)state;
    static const struct {
        int error;
        const char *words;
    } cases[] = {{-ENOENT, "its file is gone from the spool"},
                 {-ESTALE, "its file was changed in the spool"}};
    for (size_t i = 0; i < 2; i++) {
        struct request request = request_file(1 + i, 300000);
        request.push.wait = true;
        push(&request);
        give((struct store_result){0});
        outbox_tick(outbox, fake_now());
        give((struct store_result){.error = cases[i].error});
        give_all();
        assert_int_equal(fake_answer(&effects, 1 + i)->message.state, MESSAGE_FAILED);
        assert_string_equal(fake_answer(&effects, 1 + i)->message.reason, cases[i].words);
        assert_int_equal(outbox_pending(outbox), 0);
    }
}

static void test_files_are_bounded(void **state) {
    (void)state;
    for (unsigned i = 0; i <= OUTBOX_FILES_MAX; i++) {
        struct request request = request_file(i, 10);
        push(&request);
    }
    const struct answer *answer = fake_answer(&effects, OUTBOX_FILES_MAX);
    assert_non_null(answer);
    assert_int_equal(answer->code, ANSWER_LIMIT);
    assert_int_equal(effects.n_answers, 1);
    assert_int_equal(effects.n_ops, OUTBOX_FILES_MAX);
    give((struct store_result){.error = -ENOSPC}); /* one less */
    struct request request = request_file(9999, 10);
    push(&request);
    assert_null(fake_answer(&effects, 9999));
    struct request message = request_push(10000, 10); /* has its own bound */
    push(&message);
    assert_null(fake_answer(&effects, 10000));
}

static void test_file_needs_a_name(void **state) {
    (void)state;
    struct file_head nameless = {.digest = {1}}, endless = {.digest = {1}};
    struct request request = request_file(1, 10);
    memset(endless.name, 'x', sizeof endless.name);
    request.push.file = &nameless;
    push(&request);
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_USAGE);
    request.client = 2;
    request.push.file = &endless;
    push(&request);
    assert_int_equal(fake_answer(&effects, 2)->code, ANSWER_USAGE);
    endless.name[FILE_NAME_MAX] = 0;
    push(&request);
    assert_int_equal(effects.n_ops, 1);
}

static void test_check_stores_nothing(void **state) {
    (void)state;
    struct request request = request_push(1, sizeof body);
    request.push.check = true;
    push(&request);
    assert_int_equal(fake_answer(&effects, 1)->kind, ANSWER_TEXT);
    assert_int_equal(fake_answer(&effects, 1)->code, ANSWER_OK);
    request.push.size++;
    request.client = 2;
    push(&request);
    assert_int_equal(fake_answer(&effects, 2)->code, ANSWER_LIMIT);
    request = request_file(3, 0);
    request.push.check = true;
    request.push.file = NULL;
    push(&request);
    assert_int_equal(fake_answer(&effects, 3)->code, ANSWER_OK);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(outbox_pending(outbox), 0);
}

/* ---- Progress ---- */

static void test_boot_goes_on_from_progress(void **state) {
    (void)state;
    const uint64_t block = PARCEL_BLOCK_MAX, size = 5 * block;
    static const uint64_t at[] = {0, PARCEL_BLOCK_MAX - 1, 3 * PARCEL_BLOCK_MAX,
                                  5 * PARCEL_BLOCK_MAX};
    static const unsigned blocks[] = {5, 5, 2, 1};
    for (unsigned i = 0; i < 4; i++) {
        struct out_record record = {.recipient = fake_identities[1].id,
                                    .sequence = 4,
                                    .created = wall_now(),
                                    .expires = {wall_now().us + US_PER_HOUR},
                                    .size = size,
                                    .kind = KIND_FILE,
                                    .file = &a_file,
                                    .progress = at[i],
                                    .state = MESSAGE_SENT,
                                    .relays_exact = RELAYS_DEFAULT};
        struct node_boot boot = {.pending = &record, .n_pending = 1};
        outbox_free(outbox);
        fake_effects_deinit(&effects);
        fake_wire_n = 0;
        start(&boot, 0);
        struct request status = {.client = 5, .kind = REQUEST_MESSAGE};
        outbox_message(outbox, &status, NULL);
        assert_int_equal(fake_answer(&effects, 5)->message.arrived,
                         at[i] == size ? 4 * block : at[i] / block * block);
        outbox_tick(outbox, fake_now());
        assert_int_equal(effects.n_ops, blocks[i]);
        for (size_t j = 0; j < effects.n_ops; j++) {
            assert_int_equal(effects.ops[j].op.kind, STORE_OUT_READ);
            assert_int_equal(effects.ops[j].op.out_read.offset, (5 - blocks[i] + j) * block);
        }
    }
}

/* ---- What is told of one ---- */

static void test_status_is_full(void **state) {
    (void)state;
    struct request request = request_push(1, 50);
    struct wall created = wall_now();
    push(&request);
    give_all();
    struct request status = {.client = 2, .kind = REQUEST_MESSAGE};
    status.message.id = request.push.id;
    outbox_message(outbox, &status, NULL);
    const struct message_report *report = &fake_answer(&effects, 2)->message;
    assert_true(report->known);
    assert_true(node_id_is_equal(&report->recipient, &fake_identities[1].id));
    assert_int_equal(report->kind, KIND_MESSAGE);
    assert_int_equal(report->size, 50);
    assert_int_equal(report->arrived, 0);
    assert_int_equal(report->created.us, created.us);
    assert_int_equal(report->expires.us, created.us + US_PER_HOUR);
    assert_int_equal(report->finished.us, 0);
    /* From the store's record, when it is over. */
    status.client = 3;
    fake_fill(NULL, &status.message.id, sizeof status.message.id);
    outbox_message(outbox, &status, NULL);
    struct store_result result = {0};
    result.record = (struct out_record){.id = status.message.id,
                                        .recipient = fake_identities[2].id,
                                        .size = 9,
                                        .kind = KIND_FILE,
                                        .state = MESSAGE_REFUSED,
                                        .progress = 4,
                                        .finished = {77},
                                        .reason = "no"};
    give(result);
    report = &fake_answer(&effects, 3)->message;
    assert_true(report->known);
    assert_int_equal(report->kind, KIND_FILE);
    assert_int_equal(report->arrived, 4);
    assert_int_equal(report->finished.us, 77);
    assert_string_equal(report->reason, "no");
}

/* ---- Many at once ---- */

static struct push_item items[PUSH_MANY_MAX + 1];
static struct request request_many(uint64_t client, size_t n, bool wait) {
    struct request request = {.client = client, .kind = REQUEST_PUSH_MANY};
    for (size_t i = 0; i < n; i++) {
        fake_fill(NULL, &items[i].id, sizeof items[i].id);
        items[i].body = body;
        items[i].size = 10;
    }
    request.push_many.items = items;
    request.push_many.n = n;
    request.push_many.options.relays = RELAYS_DEFAULT;
    request.push_many.wait = wait;
    return request;
}
static void push_many(const struct request *request) {
    outbox_push_many(outbox, request, &fake_identities[1].id, NULL, fake_now());
}

static void test_many(void **state) {
    (void)state;
    struct request request = request_many(1, PUSH_MANY_MAX, false);
    push_many(&request);
    assert_int_equal(effects.n_ops, PUSH_MANY_MAX);
    for (unsigned i = 0; i < PUSH_MANY_MAX; i++) {
        assert_int_equal(effects.n_answers, 0);
        assert_int_equal(effects.ops[0].op.out_put.record.sequence, i + 1);
        give((struct store_result){0});
    }
    const struct answer *answer = fake_answer(&effects, 1);
    assert_int_equal(answer->kind, ANSWER_MANY);
    assert_int_equal(answer->code, ANSWER_OK);
    assert_true(answer->end);
    assert_int_equal(answer->many.accepted, PUSH_MANY_MAX);
    assert_int_equal(outbox_pending(outbox), PUSH_MANY_MAX);
    request = request_many(2, PUSH_MANY_MAX + 1, false);
    push_many(&request);
    assert_int_equal(fake_answer(&effects, 2)->code, ANSWER_USAGE);
    request = request_many(3, 0, false);
    push_many(&request);
    assert_int_equal(fake_answer(&effects, 3)->code, ANSWER_USAGE);
}

static void test_many_waits_for_the_end(void **state) {
    (void)state;
    struct request request = request_many(1, 3, true);
    push_many(&request);
    give_all();
    const struct answer *answer = fake_answer(&effects, 1);
    assert_int_equal(answer->many.accepted, 3);
    assert_false(answer->end);
    fake_effects_clear(&effects);
    struct request cancel = {.client = 9, .kind = REQUEST_CANCEL, .message = {items[1].id, false}};
    outbox_cancel(outbox, &cancel, fake_now());
    give_all();
    assert_null(fake_answer(&effects, 1));
    struct parcel_id id = shard_at(fake_wire_n - 1).id;
    assert_int_equal(answer_final(&id, PARCEL_COMPLETE, 0), DROP_NONE);
    give_all();
    answer = fake_answer(&effects, 1);
    assert_true(answer && answer->end);
    assert_int_equal(answer->code, ANSWER_FAILED);
    assert_int_equal(answer->many.delivered, 2);
    assert_int_equal(answer->many.failed, 1);
    assert_string_equal(answer->many.reason, "cancelled");
}

/* The second is refused by the store: the third is not accepted, though the store had taken it. */
static void test_many_stop_at_the_first_failure(void **state) {
    (void)state;
    struct request request = request_many(1, 3, true);
    push_many(&request);
    give((struct store_result){0});
    give((struct store_result){.error = -EEXIST});
    give((struct store_result){0});
    const struct answer *answer = fake_answer(&effects, 1);
    assert_int_equal(answer->kind, ANSWER_MANY);
    assert_int_equal(answer->code, ANSWER_FAILED);
    assert_string_equal(answer->text, "this id was used for another message");
    assert_true(answer->end);
    assert_int_equal(answer->many.accepted, 1);
    assert_int_equal(outbox_pending(outbox), 1);
    const struct store_op *op = &effects.ops[effects.n_ops - 1].op;
    assert_int_equal(op->kind, STORE_OUT_STATE);
    assert_memory_equal(&op->out_state.id, &items[2].id, MESSAGE_ID_LEN);
    assert_int_equal(op->out_state.state, MESSAGE_FAILED);
    assert_true(op->out_state.forget); /* its id is free again */
}

static void test_many_beyond_a_bound(void **state) {
    (void)state;
    struct request request = request_many(1, 3, false);
    items[2].size = sizeof body + 1;
    push_many(&request);
    assert_int_equal(effects.n_ops, 2);
    give_all();
    const struct answer *answer = fake_answer(&effects, 1);
    assert_int_equal(answer->code, ANSWER_LIMIT);
    assert_int_equal(answer->many.accepted, 2);
    request = request_many(2, 1, false);
    items[0].size = sizeof body + 1;
    push_many(&request);
    assert_int_equal(fake_answer(&effects, 2)->many.accepted, 0);
    assert_int_equal(fake_answer(&effects, 2)->code, ANSWER_LIMIT);
    request = request_many(3, 3, true);
    budget.max = budget.used + 4096;
    items[1].size = 8192;
    push_many(&request);
    give_all();
    assert_int_equal(fake_answer(&effects, 3)->many.accepted, 1);
    assert_int_equal(fake_answer(&effects, 3)->code, ANSWER_LIMIT);
    assert_true(fake_answer(&effects, 3)->end);
}

static void test_many_whose_client_goes(void **state) {
    (void)state;
    for (unsigned stage = 0; stage < 3; stage++) {
        struct request request = request_many(1 + stage, 2, true);
        push_many(&request);
        if (stage > 0)
            give((struct store_result){0});
        if (stage > 1)
            give((struct store_result){0});
        fake_effects_clear(&effects);
        outbox_client_gone(outbox, 1 + stage);
        give_all();
        assert_null(fake_answer(&effects, 1 + stage));
        assert_int_equal(budget.held[BUDGET_CLIENTS], 0);
        assert_int_equal(outbox_pending(outbox), 2 * (stage + 1)); /* accepted all the same */
    }
}

static void test_batches_are_bounded(void **state) {
    (void)state;
    for (unsigned i = 0; i <= OUTBOX_BATCHES_MAX; i++) {
        struct request request = request_many(i, 1, false);
        push_many(&request);
    }
    assert_int_equal(effects.n_answers, 1);
    assert_int_equal(fake_answer(&effects, OUTBOX_BATCHES_MAX)->code, ANSWER_LIMIT);
    assert_int_equal(effects.n_ops, OUTBOX_BATCHES_MAX);
}

/* ---- Who is away ---- */

static bool count_recipient(void *context, const struct node_id *recipient, uint64_t pending) {
    (void)recipient;
    (void)pending;
    ++*(unsigned *)context;
    return true;
}

/* How many recipients something waits for; the last one of them. */
static size_t survey(struct outbox_wait *ret_last) {
    size_t n = 0;
    outbox_survey_begin(outbox, (struct wall){wall_now().us + 10 * US_PER_MINUTE});
    while (!outbox_survey(outbox, 3))
        ;
    while (outbox_surveyed(outbox, ret_last))
        n++;
    return n;
}
/* The one recipient that something waits for. */
static struct outbox_wait only_wait(void) {
    struct outbox_wait wait;
    assert_int_equal(survey(&wait), 1);
    return wait;
}

static void test_why_messages_wait(void **state) {
    (void)state;
    unsigned recipients = 0;
    struct wall created = wall_now();
    struct outbox_wait none;
    assert_int_equal(survey(&none), 0);
    assert_false(outbox_has_written(outbox, &fake_identities[1].id));
    fake_path_outcome = PATH_NONE;
    struct request first = pushed(1, 10);
    struct outbox_wait wait = only_wait();
    assert_true(node_id_is_equal(&wait.recipient, &fake_identities[1].id));
    assert_int_equal(wait.why, OUTBOX_NO_ROUTE);
    assert_int_equal(wait.messages, 1);
    assert_int_equal(wait.oldest.us, created.us);
    assert_int_equal(wait.expires.us, created.us + US_PER_HOUR);
    assert_int_equal(wait.expiring, 0);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[1].id), 1);
    assert_int_equal(outbox_pending_to(outbox, &fake_identities[2].id), 0);
    assert_true(outbox_has_written(outbox, &fake_identities[1].id));
    assert_false(outbox_has_written(outbox, &fake_identities[2].id));
    assert_int_equal(outbox_visit(outbox, 0, SIZE_MAX, count_recipient, &recipients), 0);
    assert_int_equal(recipients, 1);
    static const struct {
        enum path_outcome outcome;
        enum outbox_why why;
    } cases[] = {
        {PATH_STRICT, OUTBOX_STRICT}, {PATH_UNKNOWN, OUTBOX_AWAY}, {PATH_NONE, OUTBOX_NO_ROUTE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake_path_outcome = cases[i].outcome;
        outbox_retry_now(outbox, NULL, mono_now);
        pass_until(mono_add(mono_now, 2 * US_PER_S));
        assert_int_equal(only_wait().why, cases[i].why);
    }
    fake_known[1] = false; /* nothing is known of it */
    outbox_retry_now(outbox, NULL, mono_now);
    pass_until(mono_add(mono_now, 2 * US_PER_S));
    assert_int_equal(only_wait().why, OUTBOX_AWAY);
    fake_known[1] = true;
    fake_path_outcome = PATH_OK; /* there is a way, and no answer */
    outbox_retry_now(outbox, NULL, mono_now);
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_int_equal(only_wait().why, OUTBOX_SILENT);
    pass_until(mono_add(mono_now, 57 * US_PER_MINUTE));
    assert_int_equal(only_wait().expiring, 1);
    struct request cancel = {.client = 5, .kind = REQUEST_CANCEL};
    cancel.message.id = first.push.id;
    outbox_cancel(outbox, &cancel, fake_now());
    give_all();
    assert_int_equal(survey(&none), 0);
    recipients = 0;
    outbox_visit_pending(outbox, count_recipient, &recipients);
    assert_int_equal(recipients, 0);
}

/* Messages come and go between the steps of a survey: what is there all the time is counted once,
 * and what has gone is not looked at. */
static void test_a_survey_takes_steps(void **state) {
    struct request requests[20];
    struct outbox_wait wait;
    (void)state;
    fake_path_outcome = PATH_NONE;
    for (unsigned i = 0; i < 20; i++)
        requests[i] = pushed(i, 10);
    outbox_survey_begin(outbox, wall_now());
    assert_false(outbox_survey(outbox, 5));
    for (unsigned i = 4; i < 8; i++) { /* seen; the one that is next; not seen */
        struct request cancel = {.client = 100 + i, .kind = REQUEST_CANCEL};
        cancel.message.id = requests[i].push.id;
        outbox_cancel(outbox, &cancel, fake_now());
    }
    give_all();
    pushed(50, 10); /* for the next one */
    assert_false(outbox_survey(outbox, 11));
    assert_true(outbox_survey(outbox, 11));
    assert_true(outbox_surveyed(outbox, &wait));
    assert_int_equal(wait.messages, 5 + 12 + 1);
    assert_false(outbox_surveyed(outbox, &wait));
    assert_int_equal(survey(&wait), 1); /* anew */
    assert_int_equal(wait.messages, 17);
    outbox_survey_begin(outbox, wall_now());
    assert_false(outbox_survey(outbox, 1)); /* the end comes in the middle of one */
}

/* What it takes to know of messages, conversations and recipients is charged, up to a part of
 * limits.memory: then pushes are refused, and accepted again once messages have ended. */
static void test_messages_are_charged(void **state) {
    struct request requests[64], more;
    size_t n = 0;
    (void)state;
    budget.max = 20480;
    fake_path_outcome = PATH_NONE;
    do {
        assert_true(n < 64);
        requests[n] = pushed(n, 10);
    } while (fake_answer(&effects, n++)->code == ANSWER_OK);
    assert_non_null(strstr(fake_answer(&effects, n - 1)->text, "limits.memory"));
    assert_int_equal(fake_answer(&effects, n - 1)->code, ANSWER_LIMIT);
    assert_true(n > 10);
    assert_true(budget.held[BUDGET_MESSAGES] <= budget.max / 100 * MESSAGES_MEMORY_PERCENT);
    struct request cancel = {.client = 100, .kind = REQUEST_CANCEL};
    cancel.message.id = requests[0].push.id;
    outbox_cancel(outbox, &cancel, fake_now());
    give_all();
    pass_until(mono_add(mono_now, 2 * US_PER_MINUTE)); /* until it is forgotten */
    more = pushed(101, 10);
    assert_int_equal(fake_answer(&effects, 101)->code, ANSWER_OK);
    push(&more); /* one that is known needs no room */
    give_all();
    assert_int_equal(fake_answer(&effects, 101)->code, ANSWER_OK);
}

/* Whom we ever wrote to is kept for ever, in a part of its own: when that is full new recipients
 * are refused, and nobody else. What a refused push has made is gone. */
static void test_conversations_are_charged_apart(void **state) {
    struct node_id to = fake_identities[1].id;
    struct request request;
    size_t n = 0, held;
    (void)state;
    budget.max = 200000;
    fake_path_outcome = PATH_NONE;
    pushed(0, 10);
    do {
        request = request_push(1 + n % 90, 10);
        to.bytes[31]++;
        to.bytes[30] = (uint8_t)(n >> 8);
        outbox_push(outbox, &request, &to, NULL, fake_now());
        give_all();
        struct request cancel = {.client = 200, .kind = REQUEST_CANCEL};
        cancel.message.id = request.push.id;
        outbox_cancel(outbox, &cancel, fake_now());
        give_all();
        pass_until(mono_add(mono_now, US_PER_S));
        assert_true(n < 1000);
    } while (fake_answer(&effects, 1 + n++ % 90)->code == ANSWER_OK);
    assert_non_null(strstr(fake_answer(&effects, 1 + (n - 1) % 90)->text, "too many recipients"));
    assert_true(n > 50);
    assert_true(budget.held[BUDGET_CONVERSATIONS] <=
                budget.max / 100 * CONVERSATIONS_MEMORY_PERCENT);
    request = pushed(95, 10); /* to somebody written to before */
    assert_int_equal(fake_answer(&effects, 95)->code, ANSWER_OK);
    budget.max *= 2;
    outbox_configure(outbox, sizeof body, US_PER_HOUR, US_PER_HOUR);
    held = budget.held[BUDGET_CONVERSATIONS];
    size_t others = budget.max - budget.used - 4000;
    assert_true(budget_take(&budget, BUDGET_CLIENTS, others));
    for (unsigned i = 0; i < 20; i++) {
        request = request_push(96, 10000); /* there is no room for its body */
        to.bytes[29] = (uint8_t)(1 + i);
        outbox_push(outbox, &request, &to, NULL, fake_now());
        assert_int_equal(fake_answer(&effects, 96)->code, ANSWER_LIMIT);
    }
    assert_int_equal(budget.held[BUDGET_CONVERSATIONS], held);
    budget_give(&budget, BUDGET_CLIENTS, others);
}

/* limits.memory is lowered to a fraction while all of it is used: what waits is sent all the same,
 * and nothing more is accepted until there is less. */
static void test_a_bound_that_is_lowered(void **state) {
    size_t n = 0;
    (void)state;
    budget.max = 8 << 20;
    fake_path_outcome = PATH_NONE;
    do
        pushed(n, 10);
    while (fake_answer(&effects, n++)->code == ANSWER_OK && n < 20000);
    assert_in_range(n, 1000, 19999);
    budget.max = 2 << 20;
    outbox_configure(outbox, sizeof body, US_PER_HOUR, US_PER_HOUR);
    fake_path_outcome = PATH_OK;
    unsigned sent = (unsigned)fake_sent;
    outbox_retry_now(outbox, NULL, mono_now);
    pass_until(mono_add(mono_now, US_PER_MINUTE));
    assert_true(fake_sent > sent);
    pushed(n, 10);
    assert_int_equal(fake_answer(&effects, n)->code, ANSWER_LIMIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv) {
    fake_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_answers_after_the_store),
        TEST(test_store_errors),
        TEST(test_limits),
        TEST(test_out_of_memory),
        TEST(test_repeated_push),
        TEST(test_sequences_go_on),
        TEST(test_wait_and_receipts),
        TEST(test_refusal_names_its_reason),
        TEST(test_refused_for_now_comes_again),
        TEST(test_what_is_not_whole_begins_anew),
        TEST(test_watchers_are_bounded),
        TEST(test_cancel),
        TEST(test_cancel_while_being_stored),
        TEST(test_expiry),
        TEST(test_gathers),
        TEST(test_resends_elsewhere_and_backs_off),
        TEST(test_window_and_losses),
        TEST(test_window_follows_delay),
        TEST(test_window_yields_to_no_false_base),
        TEST(test_outage_is_no_round_trip),
        TEST(test_flight_is_bounded),
        TEST(test_does_not_spin_while_reading),
        TEST(test_expires_by_time_that_passed),
        TEST(test_asks_on_after_eviction),
        TEST(test_no_memory_for_parity),
        TEST(test_asks_with_every_shard),
        TEST(test_cancelled_while_nobody_answers),
        TEST(test_locals_take_turns),
        TEST(test_recipients_take_turns),
        TEST(test_unreachable_and_retry_now),
        TEST(test_unknown_recipient),
        TEST(test_strict_without_route),
        TEST(test_rekeyed_recipient),
        TEST(test_full_egress),
        TEST(test_trace),
        TEST(test_lost_body),
        TEST(test_cancel_while_being_read),
        TEST(test_file_is_read_from_the_spool),
        TEST(test_small_files_go_alone),
        TEST(test_empty_file),
        TEST(test_file_that_is_lost),
        TEST(test_files_are_bounded),
        TEST(test_file_needs_a_name),
        TEST(test_check_stores_nothing),
        TEST(test_boot_goes_on_from_progress),
        TEST(test_status_is_full),
        TEST(test_many),
        TEST(test_many_waits_for_the_end),
        TEST(test_many_stop_at_the_first_failure),
        TEST(test_many_beyond_a_bound),
        TEST(test_many_whose_client_goes),
        TEST(test_batches_are_bounded),
        TEST(test_why_messages_wait),
        TEST(test_a_survey_takes_steps),
        TEST(test_messages_are_charged),
        TEST(test_conversations_are_charged_apart),
        TEST(test_a_bound_that_is_lowered),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(fake_wire);
    return failed;
}
