/* link: daemon/core/base/budget daemon/core/deliver/outbox daemon/core/deliver/outbox_readdress daemon/core/deliver/outbox_push daemon/core/deliver/outbox_turn daemon/core/deliver/outbox_mail daemon/core/deliver/outbox_hold daemon/core/deliver/message/message daemon/core/deliver/ledger/ledger daemon/core/deliver/ledger/ledger_put daemon/core/deliver/ledger/ledger_batch daemon/core/deliver/ledger/ledger_load daemon/core/deliver/ledger/ledger_message daemon/core/deliver/ledger/ledger_watch daemon/core/deliver/ledger/ledger_survey daemon/core/deliver/ledger/ledger_conversation daemon/core/deliver/ledger/ledger_op daemon/core/deliver/sender/sender daemon/core/deliver/sender/sender_ack daemon/core/deliver/sender/sender_send daemon/core/deliver/sender/sender_parcel daemon/core/deliver/sender/sender_queue daemon/core/deliver/sender/sender_path daemon/core/deliver/sender/sender_backoff daemon/core/deliver/sender/sender_recipient daemon/core/deliver/sender/window daemon/core/deliver/sender/loopback daemon/core/deliver/depot/depositor daemon/core/deliver/depot/deposit daemon/core/deliver/depot/keeper daemon/core/base/base daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence */
/* What the outbox keeps as a mailbox: offered, refused for mono_now, offered again; and what it
 * costs. Node 0 is ours, node 1 the recipient. The test is the store and the recipient. */
#include "daemon/core/deliver/outbox_private.h"
#include "daemon/core/deliver/sender/sender_private.h"

#define FAKE_NODES 250
#include "tests/unit/deliver/fake_delivery.h"
#include "tests/unit/deliver/outbox_rig.h"

#define QUOTA (UINT64_C(1) << 30)
#define LARGE MAIL_BLOB_MAX

static uint8_t body[1 << 17];

static void start(const struct node_boot *boot, size_t memory) {
    outbox_start(boot, &(struct outbox_path_request){.message_max = sizeof body, .memory = memory});
}
static int setup(void **state) {
    (void)state;
    static const struct node_boot boot;
    mono_now = (struct mono){US_PER_S};
    fake_identities_init();
    fake_fill(NULL, body, sizeof body);
    fake_path_outcome = PATH_OK;
    fake_link_error = 0;
    start(&boot, 0);
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
    uint64_t tag;
    int error;
    result.kind = op.op.kind;
    if (op.op.kind == STORE_OUT_READ) {
        result.bytes = body + op.op.out_read.offset;
        result.length = op.op.out_read.length;
    }
    fake_ops_shift(&effects);
    outbox_stored(outbox, op.cookie, &result, fake_now());
    while (outbox_deposit_done(outbox, &tag, &error))
        continue;
}
static void run_until(struct mono end) {
    while (effects.n_ops > 0)
        give((struct store_result){0});
    for (struct mono next; (next = outbox_next(outbox)).us <= end.us;) {
        if (next.us > mono_now.us)
            mono_now = next;
        outbox_tick(outbox, fake_now());
        while (effects.n_ops > 0)
            give((struct store_result){0});
    }
    mono_now = end;
}
static void run_for(int64_t us) {
    run_until(mono_add(mono_now, us));
}

static uint32_t number;
static int deposit(const struct node_id *recipient, size_t length, uint64_t quota) {
    struct outbox_mail mail = {.tag = ++number,
                               .recipient = *recipient,
                               .expires = {wall_now().us + US_PER_HOUR},
                               .bytes = body,
                               .length = length};
    memcpy(&mail.id, &number, sizeof number);
    return outbox_deposit(outbox, &mail, quota, wall_now());
}
static struct node_id stranger(uint32_t i) {
    struct node_id id = {.bytes = {[20] = 9}};
    memcpy(&id, &i, sizeof i);
    return id;
}

/* ---- The recipient's part ---- */
static void answer(const struct sender_parcel *parcel, uint8_t status, uint8_t reason) {
    struct parcel_receipt receipt = {.id = parcel->id, .status = status, .reason = reason};
    uint8_t payload[ONION_PAYLOAD_MAX] = {PAYLOAD_RECEIPTS};
    struct wire_writer writer = wire_writer(payload, sizeof payload);
    assert_true(parcel->fresh > 0);
    wire_reserve(&writer, 1);
    parcel_receipt_encode(&receipt, outbox->sender->receipt_keys[parcel->key], &writer);
    assert_int_equal(outbox_receipt(outbox, payload, wire_length(&writer), fake_now()), DROP_NONE);
}
static struct recipient *kept_recipient(void) {
    struct sender_route route = sender_route_kept(&fake_identities[1].id);
    struct recipient *recipient = sender_find(outbox->sender, &route);
    assert_non_null(recipient);
    return recipient;
}
/* All that is under way, of what is kept for it. Returns how many parcels. */
static unsigned answer_all(uint8_t status, uint8_t reason) {
    struct recipient *recipient = kept_recipient();
    unsigned n = 0;
    for (struct sender_parcel *parcel = TAILQ_FIRST(&recipient->parcels), *next; parcel;
         parcel = next) {
        next = TAILQ_NEXT(parcel, link);
        assert_int_equal(parcel->state, PARCEL_SENT);
        answer(parcel, status, reason);
        n++;
    }
    return n;
}
static uint64_t held(void) {
    uint64_t bytes;
    return outbox_mail_held(outbox, &bytes);
}
static void leave(unsigned n, size_t length) {
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(deposit(&fake_identities[1].id, length, QUOTA), 0);
    struct recipient *recipient = kept_recipient(); /* all of it leaves at once */
    for (unsigned i = 0; i < recipient->windows.n; i++)
        recipient->windows.v[i].size = WINDOW_MAX * WINDOW_UNIT;
    run_for(10 * US_PER_MS);
}
static struct message_id first_asked(void) {
    return TAILQ_FIRST(&kept_recipient()->parcels)->items[0].message->id;
}

/* ---- Refused for mono_now ---- */

#define MANY 40u /* more than ask at a time, and all may fly at first */
#define ASKING (SENDER_AGAIN_BYTES / LARGE + 1)

static void test_refused_for_now_is_kept_and_asks(void **state) {
    (void)state;
    leave(MANY, LARGE);
    assert_int_equal(answer_all(PARCEL_REFUSED, PARCEL_REASON_QUOTA), MANY);
    struct recipient *recipient = kept_recipient();
    struct message_id asked = {{0}};
    for (unsigned i = 0; i < 3; i++) { /* in turn, and ever less often */
        assert_int_equal(held(), MANY);
        assert_int_equal(recipient->rest_us, SENDER_REST_MIN_US << i);
        run_until(mono_add(recipient->rest_until, -US_PER_MS));
        assert_int_equal(recipient->n_parcels, 0);
        run_for(10 * US_PER_MS);
        struct message_id now_asked = first_asked();
        assert_memory_not_equal(&now_asked, &asked, sizeof asked);
        asked = now_asked;
        assert_int_equal(answer_all(PARCEL_REFUSED, PARCEL_REASON_NO_ROOM), ASKING);
    }
    run_until(mono_add(recipient->rest_until, US_PER_MS));
    for (unsigned left = MANY; left > 0;
         run_for(10 * US_PER_MS)) { /* there is room: no more rests */
        unsigned n = answer_all(PARCEL_COMPLETE, 0);
        assert_int_equal(n, left < ASKING ? left : ASKING);
        left -= n;
        assert_int_equal(held(), left);
        assert_int_equal(recipient->rest_us, 0);
    }
}

static void test_what_is_refused_holds_up_nothing_else(void **state) {
    (void)state;
    leave(MANY, LARGE);
    answer_all(PARCEL_REFUSED, PARCEL_REASON_QUOTA);
    struct recipient *recipient = kept_recipient();
    run_until(mono_add(recipient->rest_until, US_PER_MS));
    answer_all(PARCEL_REFUSED, PARCEL_REASON_QUOTA);
    int64_t rest_us = recipient->rest_us;
    leave(1, 100); /* somebody else's */
    assert_int_equal(recipient->n_parcels, 1);
    answer_all(PARCEL_COMPLETE, 0);
    assert_int_equal(held(), MANY);
    assert_int_equal(recipient->rest_us, rest_us); /* of room for the others it tells nothing */
    struct request request = {.client = 1, .kind = REQUEST_PUSH};
    request.push.body = body;
    request.push.size = 5;
    request.push.options.relays = RELAYS_DEFAULT;
    outbox_push(outbox, &request, &fake_identities[1].id, NULL, fake_now());
    run_for(10 * US_PER_MS);
    struct sender_route route = {.to = fake_identities[1].id, .relays_exact = RELAYS_DEFAULT};
    struct recipient *own = sender_find(outbox->sender, &route);
    assert_int_equal(own->n_parcels, 1);
    answer(TAILQ_FIRST(&own->parcels), PARCEL_COMPLETE, 0);
    assert_int_equal(outbox_pending(outbox), MANY);
}

static void test_of_several_each_is_judged(void **state) {
    (void)state;
    leave(3, 100);
    assert_int_equal(answer_all(PARCEL_REFUSED, PARCEL_REASON_QUOTA), 1);
    run_for(10 * US_PER_MS);
    struct recipient *recipient = kept_recipient();
    assert_int_equal(recipient->n_parcels, 3);
    answer(TAILQ_FIRST(&recipient->parcels), PARCEL_REFUSED,
           PARCEL_REASON_MALFORMED); /* for good */
    answer(TAILQ_FIRST(&recipient->parcels), PARCEL_COMPLETE, 0);
    answer(TAILQ_FIRST(&recipient->parcels), PARCEL_REFUSED, PARCEL_REASON_QUOTA);
    run_for(10 * US_PER_MS);
    assert_int_equal(held(), 1);
    run_for(2 * US_PER_HOUR); /* nor for longer than it lives */
    assert_int_equal(held(), 0);
    assert_int_equal(outbox->sender->n_recipients, 0);
}

/* ---- Nothing is left of what is refused ---- */

static void test_a_refused_deposit_leaves_nothing(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        struct node_id id = stranger(i);
        assert_int_equal(deposit(&id, LARGE, 8 * LARGE), -EDQUOT);
    }
    assert_int_equal(outbox->sender->n_recipients, 0);
    assert_int_equal(deposit(&fake_identities[1].id, LARGE, QUOTA), 0);
    assert_int_equal(deposit(&fake_identities[1].id, LARGE, 8 * LARGE), -EDQUOT);
    give((struct store_result){
        .error = -ENOSPC}); /* and one that the store refuses, nothing that lasts */
    run_for(US_PER_MINUTE);
    assert_int_equal(outbox->sender->n_recipients, 0);
}

/* ---- Those who never answer ---- */

/* Packets of a minute; *ret_most: of any minute. */
static unsigned count_minute(bool retries, unsigned *ret_most) {
    uint64_t sent = fake_sent;
    for (unsigned s = 0; s < 60; s++) {
        if (retries)
            outbox_retry_now(outbox, NULL, mono_now);
        run_for(US_PER_S);
        fake_wire_n = 0;
    }
    unsigned n = (unsigned)(fake_sent - sent);
    *ret_most = n > *ret_most ? n : *ret_most;
    return n;
}

/* Mail for many that are up and never answer: one pace for all, and ever less of it. */
static void test_silent_ones_share_a_pace(void **state) {
    (void)state;
    unsigned most = 0, late = 0;
    for (unsigned i = 1; i < FAKE_NODES; i++)
        assert_int_equal(deposit(&fake_identities[i].id, 200, QUOTA), 0);
    assert_in_range(count_minute(false, &most), FAKE_NODES, 12 * FAKE_NODES); /* what is new */
    most = 0;
    for (unsigned minute = 1; minute < 10; minute++)
        count_minute(false, &most);
    assert_in_range(most, FAKE_NODES, 20 * 60);
    for (unsigned minute = 10; minute < 20; minute++)
        late += count_minute(false, &most);
    assert_in_range(late, FAKE_NODES, 3 * FAKE_NODES);
    most = 0;
    count_minute(true, &most); /* though routes change all the time */
    assert_in_range(most, FAKE_NODES, 20 * 62);
    answer(TAILQ_FIRST(&kept_recipient()->parcels), PARCEL_COMPLETE, 0);
    assert_int_equal(held(), FAKE_NODES - 2);
}

/* ---- Memory ---- */

#define MEMORY ((size_t)4 << 20)
#define PART (MEMORY / 100 * MAIL_MEMORY_PERCENT)
#define RECIPIENT                                                                                  \
    (sizeof(struct recipient) + SENDER_SUBFLOWS * (sizeof(struct subflow) + sizeof(struct window)))

/* Mail for one stranger after the other until no more is accepted. Returns how many. */
static uint32_t fill_up(void) {
    for (uint32_t i = 0;; i++) {
        struct node_id id = stranger(i);
        int error = deposit(&id, 400, QUOTA);
        assert_true(error == 0 || error == -ENOMEM);
        if (error)
            return i;
        give((struct store_result){0});
    }
}

static void test_memory_is_charged_and_bounded(void **state) {
    (void)state;
    outbox_stop();
    start(&(struct node_boot){0}, MEMORY);
    uint32_t n = fill_up();
    assert_true(n >= 450);
    assert_in_range(budget.held[BUDGET_KEPT], n * (RECIPIENT + sizeof(struct message)), PART);
    assert_int_equal(budget.held[BUDGET_KEPT], budget.used);
    assert_int_equal(outbox->sender->n_recipients, n);
    run_for(2 * US_PER_HOUR);
    assert_int_equal(budget.held[BUDGET_KEPT], 0);
    assert_int_equal(fill_up(), n); /* and all of it is had again */
}

static void test_no_memory_beside_what_others_hold(void **state) {
    (void)state;
    assert_true(budget_take(&budget, BUDGET_CLIENTS, budget.max - RECIPIENT));
    assert_int_equal(deposit(&fake_identities[1].id, 400, QUOTA), -ENOMEM);
    assert_int_equal(outbox->sender->n_recipients, 0);
    budget_give(&budget, BUDGET_CLIENTS, budget.max - RECIPIENT);
}

/* What was accepted with more memory is kept with less: it is owed. */
static void test_what_was_there_at_the_start_is_kept_beyond_it(void **state) {
    (void)state;
    static struct out_record records[2000];
    outbox_stop();
    for (uint32_t i = 0; i < 2000; i++) {
        records[i] = (struct out_record){.recipient = stranger(i),
                                         .expires = {wall_now().us + US_PER_HOUR},
                                         .size = 400,
                                         .kind = KIND_MAIL,
                                         .relays_exact = RELAYS_DEFAULT};
        memcpy(&records[i].id, &i, sizeof i);
    }
    start(&(struct node_boot){.pending = records, .n_pending = 2000}, MEMORY);
    assert_int_equal(held(), 2000);
    assert_in_range(budget.held[BUDGET_KEPT], PART - 2 * RECIPIENT, PART);
    assert_int_equal(fill_up(), 0);
    run_for(2 * US_PER_HOUR);
    assert_int_equal(budget.held[BUDGET_KEPT], 0);
    assert_true(fill_up() >= 450);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_refused_for_now_is_kept_and_asks),
        TEST(test_what_is_refused_holds_up_nothing_else),
        TEST(test_of_several_each_is_judged),
        TEST(test_a_refused_deposit_leaves_nothing),
        TEST(test_silent_ones_share_a_pace),
        TEST(test_memory_is_charged_and_bounded),
        TEST(test_no_memory_beside_what_others_hold),
        TEST(test_what_was_there_at_the_start_is_kept_beyond_it),
    };
    fake_arguments(argc, argv);
    return cmocka_run_group_tests_name("outbox_kept", tests, NULL, NULL);
}
