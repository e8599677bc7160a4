/* link: daemon/io/store/store daemon/io/store/store_sql daemon/io/store/store_schema daemon/io/store/store_message daemon/io/store/store_part daemon/io/store/store_refused daemon/io/store/store_waiting daemon/io/store/store_history daemon/io/store/store_sweep daemon/io/store/store_copy daemon/io/store/store_disk daemon/io/store/disk daemon/io/store/store_file daemon/io/store/store_file_in daemon/io/store/store_file_out daemon/io/store/store_file_list daemon/io/store/store_file_room shared/file_name daemon/io/store/spool shared/text shared/address */
/* Order, quotas, histories, what is decided about senders, and files of an older schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/store/store_rig.h"

#define CHARGE 256 /* of a message, beside its size */

static struct node_id peer_of(uint8_t number) {
    return (struct node_id){{number}};
}

/* A message of ten bytes from a sender. */
static struct store_op from(uint8_t sender, uint32_t number, uint64_t sequence) {
    struct store_op op = in_put(number, text, 10);
    op.in_put.sender = peer_of(sender);
    op.in_put.kind = KIND_MESSAGE;
    op.in_put.sequence = sequence;
    op.in_put.received.us = number;
    return op;
}

static struct store_op to(uint8_t recipient, uint32_t number, int64_t created) {
    struct store_op op = out_put(number, text, 10);
    op.out_put.record.recipient = peer_of(recipient);
    op.out_put.record.created.us = created;
    op.out_put.record.kind = KIND_MESSAGE;
    return op;
}

static uint32_t number_of(const struct message_id *id) {
    uint32_t number;
    memcpy(&number, id->bytes, sizeof number);
    return number;
}

/* What is fetched is what is expected, a zero behind its end, however small the pages are. */
static void assert_order(struct rig *rig, struct store_op op, const uint32_t *expected) {
    for (uint32_t limit = 1; limit <= 100; limit *= 10) {
        size_t n = 0;
        bool more = true;
        op.in_fetch.after = 0;
        op.in_fetch.limit = limit;
        while (more) {
            struct store_result result = run_one(rig, op);
            assert_int_equal(result.error, 0);
            for (size_t i = 0; i < result.n_messages; i++, n++) {
                assert_int_equal(number_of(&result.messages[i].id), expected[n]);
                assert_true(result.messages[i].place > op.in_fetch.after);
                op.in_fetch.after = result.messages[i].place;
            }
            more = result.more;
            store_release(rig->store);
        }
        assert_int_equal(expected[n], 0);
    }
}

static struct store_op fetch_from(uint8_t sender) {
    struct store_op op = in_fetch(0, 100, UINT64_MAX);
    op.in_fetch.any_sender = false;
    op.in_fetch.sender = peer_of(sender);
    return op;
}

/* ---- Order ---- */

static void late_ones_go_where_they_belong(void **state) {
    struct rig *rig = *state;
    const struct {
        uint8_t sender;
        uint32_t number;
        uint64_t sequence;
    } come[] = {{1, 10, 10}, {2, 20, 1}, {1, 11, 20}, {1, 5, 5}, {1, 7, 7},  {2, 21, 2},
                {1, 6, 6},   {1, 1, 1},  {1, 15, 15}, {1, 2, 2}, {1, 30, 30}};
    open_store(rig);
    for (size_t i = 0; i < sizeof come / sizeof come[0]; i++)
        assert_int_equal(outcome(rig, from(come[i].sender, come[i].number, come[i].sequence)),
                         STORE_IN_COMPLETE);
    assert_order(rig, in_fetch(0, 0, UINT64_MAX),
                 (const uint32_t[]){1, 2, 5, 6, 7, 10, 20, 15, 11, 21, 30, 0});
    assert_order(rig, fetch_from(1), (const uint32_t[]){1, 2, 5, 6, 7, 10, 15, 11, 30, 0});
    assert_order(rig, fetch_from(2), (const uint32_t[]){20, 21, 0});
    assert_order(rig, fetch_from(3), (const uint32_t[]){0});
}

/* A sender whose state was restored from an older backup uses its sequences again, under other ids:
 * what comes then is later than all that waits, and is said to be so once. */
static void renumbered_ones_come_last(void **state) {
    struct rig *rig = *state;
    struct store_op late = from(1, 9, 9), again = from(1, 21, 2), next = from(1, 22, 3);
    open_store(rig);
    for (uint32_t i = 1; i <= 10; i++)
        if (i != 9)
            assert_int_equal(outcome(rig, from(1, i, i)), STORE_IN_COMPLETE);
    struct store_result result = run_one(rig, late); /* merely late: it has its place */
    assert_int_equal(result.in_outcome, STORE_IN_COMPLETE);
    assert_false(result.in_renumbered);
    again.in_put.sent.us += US_PER_HOUR;
    next.in_put.sent.us += US_PER_HOUR;
    result = run_one(rig, again);
    assert_int_equal(result.in_outcome, STORE_IN_COMPLETE);
    assert_true(result.in_renumbered);
    result = run_one(rig, next);
    assert_int_equal(result.in_outcome, STORE_IN_COMPLETE);
    assert_false(result.in_renumbered);
    assert_order(rig, fetch_from(1), (const uint32_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 21, 22, 0});
}

/* A long message is complete only when its last block is, long after the short ones behind it. */
static void long_one_completes_before_its_followers(void **state) {
    struct rig *rig = *state;
    static uint8_t body[5000];
    struct store_op first = in_block(1, sizeof body, 0, body, 2000);
    struct store_op last = in_block(1, sizeof body, 2000, body, 3000);
    first.in_put.sender = last.in_put.sender = peer_of(1);
    first.in_put.sequence = last.in_put.sequence = 1;
    open_store(rig);
    assert_int_equal(outcome(rig, first), STORE_IN_PARTIAL);
    for (uint32_t i = 2; i <= 50; i++)
        assert_int_equal(outcome(rig, from(1, i, i)), STORE_IN_COMPLETE);
    stop_store(rig);
    open_store(rig);
    assert_int_equal(outcome(rig, last), STORE_IN_COMPLETE);
    struct store_result result = run_one(rig, in_fetch(0, 2, UINT64_MAX));
    assert_int_equal(number_of(&result.messages[0].id), 1);
    assert_int_equal(result.messages[0].row, 50);
    assert_int_equal(number_of(&result.messages[1].id), 2);
}

/* One below the distance of two places there is room; at it, half-way; and never a place twice. */
static void places_are_never_shared(void **state) {
    struct rig *rig = *state;
    int64_t spacing = 1 << 20;
    open_store(rig);
    assert_int_equal(outcome(rig, from(1, 1, 1u << 21)), STORE_IN_COMPLETE);
    assert_int_equal(outcome(rig, from(1, 2, (1u << 20) + 1)), STORE_IN_COMPLETE);
    struct store_result result = run_one(rig, in_fetch(0, 9, 999));
    assert_int_equal(result.messages[0].place, 1);
    assert_int_equal(result.messages[1].place, spacing);
    stop_store(rig);
    open_store(rig);
    assert_int_equal(outcome(rig, from(2, 3, 1u << 21)), STORE_IN_COMPLETE);
    assert_int_equal(outcome(rig, from(2, 4, 1u << 20)), STORE_IN_COMPLETE);
    result = run_one(rig, fetch_from(2));
    assert_int_equal(result.messages[0].place, 2 * spacing + spacing / 2);
    assert_int_equal(result.messages[1].place, 3 * spacing);
    for (uint32_t i = 5; i < 60; i++) /* one who says the same sequence again and again */
        assert_int_equal(outcome(rig, from(2, i, 1)), STORE_IN_COMPLETE);
    result = run_one(rig, in_fetch(0, 100, UINT64_MAX));
    assert_int_equal(result.n_messages, 59);
    for (size_t i = 1; i < result.n_messages; i++)
        assert_true(result.messages[i].place > result.messages[i - 1].place);
}

static void since_leaves_the_later_ones(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    for (uint32_t i = 1; i <= 4; i++)
        assert_int_equal(outcome(rig, from(1, i, i)), STORE_IN_COMPLETE);
    struct store_op op = in_fetch(0, 0, UINT64_MAX);
    op.in_fetch.since.us = 3;
    assert_order(rig, op, (const uint32_t[]){3, 4, 0});
    op.in_fetch.since.us = 0;
    op.in_fetch.since_message = true;
    op.in_fetch.since_id = id_of(2);
    assert_int_equal(run_one(rig, in_take(&(int64_t){2}, 5, true)).error, 0);
    assert_order(rig, op, (const uint32_t[]){3, 4, 0}); /* its tombstone still tells */
    op.in_fetch.since_id = id_of(9);
    assert_int_equal(run_one(rig, op).error, -ENOENT);
}

/* ---- Quotas ---- */

static int put_under(struct rig *rig, struct store_op op, uint64_t sender, uint64_t all) {
    op.in_put.quota_sender = sender;
    op.in_put.quota_all = all;
    return run_one(rig, op).error;
}

static void quotas_are_kept_to_the_byte(void **state) {
    struct rig *rig = *state;
    uint64_t one = 10 + CHARGE;
    open_store(rig);
    assert_int_equal(put_under(rig, from(1, 1, 1), one - 1, 0), -EDQUOT);
    assert_int_equal(put_under(rig, from(1, 1, 1), one, 0), 0);
    assert_int_equal(put_under(rig, from(1, 1, 1), one, 0), 0); /* known: not counted again */
    assert_int_equal(put_under(rig, from(1, 2, 2), 2 * one - 1, 0), -EDQUOT);
    assert_int_equal(put_under(rig, from(2, 2, 2), one, 2 * one - 1), -EDQUOT);
    assert_int_equal(put_under(rig, from(2, 2, 2), one, 2 * one), 0);
    stop_store(rig); /* which forgives nothing */
    open_store(rig);
    assert_int_equal(put_under(rig, from(1, 3, 3), 2 * one - 1, 0), -EDQUOT);
    assert_int_equal(put_under(rig, from(3, 3, 3), 0, 3 * one - 1), -EDQUOT);
    assert_int_equal(run_one(rig, in_take(&(int64_t){1}, 5, false)).error, 0);
    assert_int_equal(run_one(rig, in_take(&(int64_t){1}, 5, false)).error, 0); /* not twice */
    assert_int_equal(put_under(rig, from(1, 3, 3), one, 2 * one), 0);
    assert_int_equal(put_under(rig, from(1, 4, 4), one, 0), -EDQUOT);
    assert_int_equal(load(rig).inbox_waiting, 2);
}

static void unfinished_are_counted_whole(void **state) {
    struct rig *rig = *state;
    uint64_t quota = 100 + CHARGE;
    struct store_op first = in_block(1, 100, 0, text, 50), last = in_block(1, 100, 50, text, 50);
    open_store(rig);
    assert_int_equal(put_under(rig, first, quota - 1, 0), -EDQUOT);
    assert_int_equal(put_under(rig, last, quota, quota), 0);
    assert_int_equal(put_under(rig, from(0, 2, 2), quota + 10 + CHARGE - 1, 0), -EDQUOT);
    stop_store(rig);
    open_store(rig);
    assert_int_equal(put_under(rig, first, 1, 1), 0); /* what was begun may be finished */
    assert_int_equal(put_under(rig, from(0, 2, 2), quota + 10 + CHARGE - 1, 0), -EDQUOT);
    assert_int_equal(put_under(rig, from(0, 2, 2), quota + 10 + CHARGE, 0), 0);
    first.in_put.id = id_of(3);
    assert_int_equal(put_under(rig, first, 0, 0), 0);
    assert_int_equal(run_one(rig, sweep(1000, 0)).error, 0); /* given up: room again */
    assert_int_equal(put_under(rig, from(0, 4, 4), quota + 2 * (10 + CHARGE), 0), 0);
    assert_int_equal(put_under(rig, from(0, 5, 5), quota + 3 * (10 + CHARGE) - 1, 0), -EDQUOT);
}

#define PROMISE (16u << 20)
#define WINDOW (256u << 10)
#define HOUR US_PER_HOUR
#define GROWTH 61440u

/* A byte of a message of 16 MiB, from a stranger. */
static struct store_op promise(uint8_t sender, uint32_t number, int64_t at) {
    struct store_op op = in_block(number, PROMISE, 0, text, 1);
    op.in_put.sender = peer_of(sender);
    op.in_put.received.us = at;
    op.in_put.tombstone_until.us = INT64_C(366) * 24 * HOUR;
    return op;
}

/* 171 packets under nine identities kept everybody out of an inbox of 2.6 GB for a year. */
static void promises_fill_nothing(void **state) {
    struct rig *rig = *state;
    uint64_t all = 9u * 19u * (uint64_t)PROMISE;
    struct store_result result;
    open_store(rig);
    for (uint32_t k = 0; k < 171; k++)
        assert_int_equal(put_under(rig, promise((uint8_t)(1 + k / 19), 1 + k, 1), 0, all), 0);
    struct store_op honest = in_put(500, text, 10);
    honest.in_put.sender = peer_of(77);
    assert_int_equal(put_under(rig, honest, 0, all), 0);
    result = run_one(rig, promise(78, 501, 1));
    assert_int_equal(result.error, 0);
    assert_true(result.tells_unfinished);
    assert_int_equal(result.unfinished, 172);
    /* Whatever may never fit is not begun. */
    assert_int_equal(put_under(rig, promise(79, 502, 1), 0, PROMISE + CHARGE - 1), -EDQUOT);
    /* A sender's own promises count in full, and only for itself. */
    assert_int_equal(put_under(rig, promise(1, 503, 1), 20u * (uint64_t)(PROMISE + CHARGE) - 1, 0),
                     -EDQUOT);
    stop_store(rig);
    open_store(rig);
    assert_int_equal(load(rig).unfinished, 172);
}

static void parts_are_bounded(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    for (uint32_t k = 0; k <= 64; k++)
        assert_int_equal(run_one(rig, promise(1, 1 + k, 1)).error, k < 64 ? 0 : -EDQUOT);
    uint32_t n = 64;
    for (; n < 3072; n++)
        assert_int_equal(run_one(rig, promise((uint8_t)(2 + n / 64), 1000 + n, 1)).error, 0);
    struct store_op one_more = promise(200, 9000, 1);
    assert_int_equal(run_one(rig, one_more).error, -EDQUOT);
    one_more.in_put.is_known = true; /* a quarter is for those whom the user knows */
    assert_int_equal(run_one(rig, one_more).error, 0);
    struct store_op whole = in_put(9001, text, 10);
    assert_int_equal(run_one(rig, whole).error, 0); /* needs none */
    one_more = promise(201, 9002, 1 + HOUR);
    assert_int_equal(run_one(rig, one_more).error, 0); /* somebody's has not grown for an hour */
}

/* The n-th block of a message of 16 MiB. */
static struct store_op nth(uint8_t sender, uint32_t number, uint32_t n, int64_t at) {
    static const uint8_t block[GROWTH];
    struct store_op op = in_block(number, PROMISE, n * GROWTH, block, GROWTH);
    op.in_put.sender = peer_of(sender);
    op.in_put.received.us = at;
    op.in_put.tombstone_until.us = INT64_C(366) * 24 * HOUR;
    return op;
}

static void what_does_not_grow_gives_way(void **state) {
    struct rig *rig = *state;
    uint64_t all = 64u * (WINDOW + CHARGE + GROWTH) + 100;
    open_store(rig);
    for (uint32_t k = 0; k < 64; k++) /* windows fill it all */
        assert_int_equal(put_under(rig, nth(1, 1 + k, 0, 1), 0, all), 0);
    struct store_op honest = in_put(500, text, 10);
    honest.in_put.sender = peer_of(77);
    honest.in_put.received.us = HOUR;
    assert_int_equal(put_under(rig, honest, 0, all), -EDQUOT);
    assert_int_equal(put_under(rig, nth(1, 1, 1, HOUR), 0, 0), 0);
    honest.in_put.received.us = HOUR + 1; /* an hour after all but that one */
    assert_int_equal(put_under(rig, honest, 0, all), 0);
    assert_int_equal(put_under(rig, nth(1, 1, 2, HOUR), 0, all), 0); /* it is still there */
    /* One that comes back after an hour does not make way for itself. */
    assert_int_equal(put_under(rig, nth(1, 1, 3, 9 * HOUR), 0, PROMISE + CHARGE), 0);
    struct store_result result = run_one(rig, sweep(33 * HOUR - 1, 1000 * HOUR));
    assert_int_equal(result.unfinished, 4 * GROWTH);
    result =
        run_one(rig, sweep(33 * HOUR, 1000 * HOUR)); /* none outlives its last block by a day */
    assert_int_equal(result.unfinished, 0);
}

static void block_and_forget_drop_what_is_unfinished(void **state) {
    struct rig *rig = *state;
    struct store_op block = {.kind = STORE_RULE_PUT, .rule_put = {peer_of(1), RULE_BLOCK}};
    struct store_op forget = {.kind = STORE_FORGET, .forget = {peer_of(2), {100 * HOUR}}};
    open_store(rig);
    for (uint8_t sender = 1; sender <= 3; sender++)
        assert_int_equal(run_one(rig, promise(sender, sender, 100 * HOUR)).error, 0);
    assert_int_equal(run_one(rig, block).error, 0);
    assert_int_equal(run_one(rig, forget).error, 0);
    struct store_result result = run_one(rig, sweep(101 * HOUR, 1000 * HOUR));
    assert_int_equal(result.unfinished, 1);
}

static void failed_transactions_charge_nothing(void **state) {
    struct rig *rig = *state;
    struct store_op ops[100];
    struct store_result results[100];
    uint64_t one = 10 + CHARGE;
    open_store(rig);
    for (uint32_t i = 0; i < 100; i++) /* more senders than are counted in memory */
        ops[i] = from((uint8_t)i, i + 1, 1);
    store_limit_pages(rig->store, 1);
    run(rig, ops, 100, results);
    assert_int_equal(results[0].error, -ENOSPC);
    store_limit_pages(rig->store, 0);
    run(rig, ops, 100, results);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(results[i].error, 0);
        assert_int_equal(put_under(rig, from((uint8_t)i, 200, 2), 2 * one - 1, 0), -EDQUOT);
    }
    assert_int_equal(put_under(rig, from(1, 200, 2), 2 * one, 101 * one - 1), -EDQUOT);
    assert_int_equal(put_under(rig, from(1, 200, 2), 2 * one, 101 * one), 0);
}

/* ---- Outbound ---- */

static void progress_only_grows(void **state) {
    struct rig *rig = *state;
    struct store_op op = {.kind = STORE_OUT_PROGRESS, .out_progress = {.id = id_of(1)}};
    struct store_op put = to(1, 1, 1);
    put.out_put.record.shards_k = 3;
    put.out_put.record.shards_m = 2;
    open_store(rig);
    assert_int_equal(run_one(rig, put).error, 0);
    const uint64_t offsets[][2] = {{5, 5}, {3, 5}, {10, 10}, {11, 10}, {UINT64_MAX, 10}};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        op.out_progress.offset = offsets[i][0];
        assert_int_equal(run_one(rig, op).error, 0);
        assert_int_equal(run_one(rig, out_find(1)).record.progress, offsets[i][1]);
    }
    op.out_progress.id = id_of(2);
    assert_int_equal(run_one(rig, op).error, -ENOENT);
    struct node_boot boot = load(rig);
    assert_int_equal(boot.pending[0].progress, 10);
    assert_int_equal(boot.pending[0].shards_k, 3);
    assert_int_equal(boot.pending[0].shards_m, 2);
    assert_int_equal(boot.pending[0].kind, KIND_MESSAGE);
}

static void mail_is_nobodys_conversation(void **state) {
    struct rig *rig = *state;
    struct store_op mail = to(1, 1, 1),
                    ask = {.kind = STORE_CONVERSATIONS, .conversations = {.limit = 9}};
    mail.out_put.record.kind = KIND_MAIL;
    mail.out_put.record.sequence = 0;
    open_store(rig);
    assert_int_equal(run_one(rig, mail).error, 0);
    assert_int_equal(run_one(rig, ask).n_records, 0);
    mail.out_put.record.kind = KIND_MESSAGE;
    assert_int_equal(run_one(rig, mail).error, -EEXIST);
    struct node_boot boot = load(rig);
    assert_int_equal(boot.n_conversations, 0);
    assert_int_equal(boot.n_pending, 1);
    assert_int_equal(boot.pending[0].kind, KIND_MAIL);
    stop_store(rig);
    open_store(rig);
    assert_int_equal(run_one(rig, out_done(1, 5, false)).error, 0);
    assert_int_equal(load(rig).n_conversations, 0);
}

/* ---- Histories ---- */

static struct store_op history(uint8_t peer, uint32_t limit) {
    return (struct store_op){
        .kind = STORE_HISTORY,
        .history = {.peer = peer_of(peer), .limit = limit, .bytes = UINT64_MAX}};
}

/* Every page after the other is what is expected, a zero behind its end. */
static void assert_history(struct rig *rig, struct store_op op, const uint32_t *expected) {
    for (op.history.limit = 1; op.history.limit < 50; op.history.limit *= 2) {
        size_t n = 0;
        bool more = true;
        op.history.after = 0;
        while (more) {
            struct store_result result = run_one(rig, op);
            assert_int_equal(result.error, 0);
            for (size_t i = 0; i < result.n_records; i++)
                assert_int_equal(number_of(&result.history[i].id), expected[n++]);
            op.history.after = result.next;
            more = result.more;
            store_release(rig->store);
        }
        assert_int_equal(expected[n], 0);
    }
}

static void history_merges_both_directions(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    for (uint32_t i = 1; i <= 9; i += 2)
        assert_int_equal(run_one(rig, from(1, i, i)).error, 0);
    for (uint32_t i = 2; i <= 8; i += 2)
        assert_int_equal(run_one(rig, to(1, i, i)).error, 0);
    assert_int_equal(run_one(rig, to(2, 50, 5)).error, 0);
    assert_int_equal(run_one(rig, from(2, 51, 5)).error, 0);
    assert_history(rig, history(1, 0), (const uint32_t[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 0});
    struct store_op op = history(1, 0);
    op.history.since.us = 3;
    op.history.until.us = 7;
    assert_history(rig, op, (const uint32_t[]){3, 4, 5, 6, 0});
    assert_history(rig, history(3, 0), (const uint32_t[]){0});
}

static void lines_say_what_became_of_them(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    assert_int_equal(run_one(rig, from(1, 1, 1)).error, 0);
    assert_int_equal(run_one(rig, to(1, 2, 2)).error, 0);
    assert_int_equal(run_one(rig, out_done(2, 77, false)).error, 0);
    struct store_result result = run_one(rig, history(1, 9));
    assert_int_equal(result.n_records, 2);
    assert_false(result.history[0].outgoing);
    assert_false(result.history[0].taken);
    assert_memory_equal(result.history[0].body, text, 10);
    assert_true(result.history[1].outgoing);
    assert_int_equal(result.history[1].state, MESSAGE_DELIVERED);
    assert_int_equal(result.history[1].done.us, 77);
    assert_int_equal(run_one(rig, in_take(&(int64_t){1}, 5, false)).error, 0);
    result = run_one(rig, history(1, 9));
    assert_true(result.history[0].taken);
    struct store_op op = history(1, 9);
    op.history.bytes = 19; /* both are twenty */
    assert_int_equal(run_one(rig, op).n_records, 1);
    op.history.bytes = 20;
    assert_int_equal(run_one(rig, op).n_records, 2);
    op.history.after = INT64_MAX; /* behind the end of time nothing begins again */
    result = run_one(rig, op);
    assert_int_equal(result.n_records, 0);
    assert_true(result.next > 0);
    op.history.after = -1;
    assert_int_equal(run_one(rig, op).error, -EINVAL);
}

/* All at one microsecond: what came in first, each direction in its order; and pages that end
 * there lose and double nothing. */
static void ties_are_paged(void **state) {
    struct rig *rig = *state;
    uint32_t expected[41] = {0};
    open_store(rig);
    for (uint32_t i = 0; i < 20; i++) {
        struct store_op in = from(1, 100 + i, i + 1);
        in.in_put.received.us = 5;
        assert_int_equal(run_one(rig, to(1, 200 + i, 5)).error, 0);
        assert_int_equal(run_one(rig, in).error, 0);
        expected[i] = 100 + i;
        expected[20 + i] = 200 + i;
    }
    assert_history(rig, history(1, 0), expected);
}

/* More lines of one microsecond than a cursor counts: all come, and what is behind them. */
static void floods_are_given_whole(void **state) {
    struct rig *rig = *state;
    uint32_t n = 5000, given = 0;
    struct store_op *ops = calloc(n, sizeof *ops), op = history(1, 1000);
    struct store_result *results = calloc(n, sizeof *results), page;
    assert_true(ops && results);
    open_store(rig);
    for (uint32_t i = 0; i < n; i++) {
        ops[i] = from(1, i + 1, i + 1);
        ops[i].in_put.received.us = i < n - 1 ? 5 : 6;
    }
    run(rig, ops, n, results);
    do {
        page = run_one(rig, op);
        for (size_t i = 0; i < page.n_records; i++)
            assert_int_equal(number_of(&page.history[i].id), ++given);
        assert_true(page.next > op.history.after);
        op.history.after = page.next;
        store_release(rig->store);
    } while (page.more);
    assert_int_equal(given, n);
    free(ops);
    free(results);
}

static void conversations_are_listed_latest_first(void **state) {
    struct rig *rig = *state;
    struct store_op named = from(1, 30, 1), ask = {.kind = STORE_CONVERSATIONS};
    struct address pin = {{0xfd, 1}, 77};
    strcpy(named.in_put.sender_name, "somebody");
    named.in_put.sender_address = (struct address){{0xfd, 2}, 78};
    open_store(rig);
    assert_int_equal(run_one(rig, named).error, 0);
    assert_int_equal(run_one(rig, to(1, 2, 20)).error, 0);
    assert_int_equal(run_one(rig, to(2, 3, 40)).error, 0);
    struct store_op node = {.kind = STORE_NODE_PUT, .node_put = {peer_of(2), text, 5, true, pin}};
    assert_int_equal(run_one(rig, node).error, 0);
    assert_int_equal(run_one(rig, from(3, 10, 1)).error, 0);
    assert_int_equal(run_one(rig, in_take(&(int64_t){2}, 5, false)).error, 0);
    const uint8_t order[] = {2, 1, 3};
    for (size_t i = 0; i < 3; i++) {
        ask.conversations.limit = 1;
        struct store_result result = run_one(rig, ask);
        assert_int_equal(result.n_records, 1);
        assert_int_equal(result.conversations[0].peer.bytes[0], order[i]);
        assert_int_equal(result.more, i < 2);
        ask.conversations.after = result.next;
    }
    ask.conversations.after = 0;
    ask.conversations.limit = 9;
    const struct conversation_record *records = run_one(rig, ask).conversations;
    assert_true(address_is_equal(&records[0].address, &pin));
    assert_true(records[0].last_outgoing);
    assert_string_equal(records[1].name, "somebody");
    assert_int_equal(records[1].address.port, 78);
    assert_int_equal(records[1].messages, 2);
    assert_int_equal(records[1].waiting, 1);
    assert_int_equal(records[1].last.us, 30);
    assert_false(records[1].last_outgoing);
    assert_memory_equal(records[1].last_text, text, 10);
    assert_int_equal(records[1].last_text[10], 0);
    assert_int_equal(records[2].waiting, 0);
}

static void last_text_is_cut(void **state) {
    struct rig *rig = *state;
    static uint8_t body[5000];
    struct store_op ask = {.kind = STORE_CONVERSATIONS, .conversations = {.limit = 9}};
    memset(body, 'x', sizeof body);
    open_store(rig);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t size = i == 0 ? 80 : i == 1 ? 81 : 5000;
        struct store_op op = in_put(i + 1, body, size);
        op.in_put.received.us = i + 1;
        assert_int_equal(run_one(rig, op).error, 0);
        const struct conversation_record *record = run_one(rig, ask).conversations;
        assert_int_equal(strlen(record->last_text), 80);
    }
}

static uint64_t forget(struct rig *rig, uint8_t peer) {
    struct store_op op = {.kind = STORE_FORGET, .forget = {peer_of(peer)}};
    struct store_result result = run_one(rig, op);
    assert_int_equal(result.error, 0);
    return result.n_forgotten;
}

/* A slice a transaction, and all in the end. */
static void forgetting_is_sliced(void **state) {
    enum { SLICE = 2048, N = SLICE + 3 };
    struct rig *rig = *state;
    static struct store_op ops[2 * N];
    static struct store_result results[2 * N];
    static int64_t rows[N];
    struct store_op op = {.kind = STORE_FORGET, .forget = {peer_of(1)}};
    open_store(rig);
    for (unsigned i = 0; i < N; i++) {
        rows[i] = i + 1;
        ops[i] = from(1, i + 1, i + 1);
        ops[N + i] = in_take(&rows[i], 8, false);
    }
    run(rig, ops, 2 * N, results);
    struct store_result result = run_one(rig, op);
    assert_true(result.more);
    assert_int_equal(result.n_forgotten, SLICE);
    result = run_one(rig, op);
    assert_false(result.more);
    assert_int_equal(result.n_forgotten, N - SLICE);
    assert_int_equal(run_one(rig, history(1, 0)).n_records, 0);
}

static void forgetting_spares_what_is_not_over(void **state) {
    struct rig *rig = *state;
    static uint8_t body[5000];
    struct store_op large = in_put(9, body, sizeof body);
    large.in_put.sender = peer_of(1);
    large.in_put.received.us = 9;
    open_store(rig);
    assert_int_equal(run_one(rig, from(1, 1, 1)).error, 0);
    assert_int_equal(run_one(rig, large).error, 0);
    assert_int_equal(run_one(rig, from(1, 3, 3)).error, 0);
    assert_int_equal(run_one(rig, from(2, 4, 4)).error, 0);
    assert_int_equal(run_one(rig, to(1, 5, 5)).error, 0);
    assert_int_equal(run_one(rig, to(1, 6, 6)).error, 0);
    assert_int_equal(run_one(rig, out_done(6, 7, false)).error, 0);
    for (int64_t row = 1; row <= 4; row++)
        if (row != 3)
            assert_int_equal(run_one(rig, in_take(&row, 8, false)).error, 0);
    assert_int_equal(forget(rig, 1), 3);
    assert_int_equal(forget(rig, 1), 0);
    assert_history(rig, history(1, 0), (const uint32_t[]){3, 5, 0});
    assert_history(rig, history(2, 0), (const uint32_t[]){4, 0});
    assert_int_equal(outcome(rig, from(1, 1, 1)), STORE_IN_DUPLICATE);
    assert_int_equal(outcome(rig, large), STORE_IN_DUPLICATE);
    assert_int_equal(run_one(rig, sweep(1000, 0)).error, 0);
    assert_int_equal(outcome(rig, from(1, 1, 1)), STORE_IN_COMPLETE);
}

/* ---- Rules and keys ---- */

static void rules_are_kept(void **state) {
    struct rig *rig = *state;
    const enum sender_rule rules[] = {RULE_ALLOW, RULE_BLOCK, RULE_BLOCK, RULE_NONE};
    open_store(rig);
    for (uint8_t i = 0; i < 4; i++)
        for (int twice = 0; twice < 2; twice++) {
            struct store_op op = {.kind = STORE_RULE_PUT, .rule_put = {peer_of(i), rules[i]}};
            assert_int_equal(run_one(rig, op).error, 0);
        }
    struct store_op op = {.kind = STORE_RULE_PUT, .rule_put = {peer_of(2), RULE_NONE}};
    assert_int_equal(run_one(rig, op).error, 0);
    struct node_boot boot = load(rig);
    assert_int_equal(boot.n_rules, 2);
    for (uint8_t i = 0; i < 2; i++) {
        assert_int_equal(boot.rules[i].id.bytes[0], i);
        assert_int_equal(boot.rules[i].rule, rules[i]);
    }
}

static void mail_keys_are_kept_and_deleted(void **state) {
    struct rig *rig = *state;
    uint8_t secrets[5][32], *file;
    open_store(rig);
    for (uint32_t day = 0; day < 5; day++) {
        memset(secrets[day], 'A' + (int)day, sizeof secrets[day]);
        struct store_op op = {.kind = STORE_MAIL_KEY,
                              .mail_key = {day + 100, secrets[day], day == 4 ? 102 : 0}};
        assert_int_equal(run_one(rig, op).error, 0);
    }
    struct node_boot boot = load(rig);
    assert_int_equal(boot.n_mail_keys, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(boot.mail_keys[i].day, 102 + i);
        assert_memory_equal(boot.mail_keys[i].secret, secrets[2 + i], 32);
    }
    stop_store(rig);
    FILE *in = fopen(rig->path, "rb"); /* what is deleted is not in the file any more */
    assert_non_null(in);
    file = calloc(1, 1 << 20);
    assert_non_null(file);
    size_t size = fread(file, 1, 1 << 20, in);
    for (uint32_t day = 0; day < 5; day++) {
        bool found = false;
        for (size_t at = 0; at + 32 <= size && !found; at++)
            found = memcmp(file + at, secrets[day], 32) == 0;
        assert_int_equal(found, day >= 2);
    }
    fclose(in);
    free(file);
}

/* ---- Damage ---- */

static void damaged_row_fails_who_reads_it(void **state) {
    struct rig *rig = *state;
    struct store_result results[3];
    open_store(rig);
    assert_int_equal(run_one(rig, from(1, 1, 1)).error, 0);
    assert_int_equal(run_one(rig, to(1, 2, 2)).error, 0);
    stop_store(rig);
    run_sql(rig, "UPDATE in_message SET size = 11; UPDATE out_message SET kind = 9 WHERE 1");
    open_store(rig);
    struct store_op ask = {.kind = STORE_CONVERSATIONS, .conversations = {.limit = 9}};
    struct store_op ops[] = {in_fetch(0, 9, 99), from(2, 5, 5), history(1, 9)};
    run(rig, ops, 3, results);
    assert_int_equal(results[0].error, -EUCLEAN);
    assert_int_equal(results[1].error, 0); /* its neighbours in the transaction do not */
    assert_int_equal(results[2].error, -EUCLEAN);
    assert_int_equal(run_one(rig, ask).error, -EUCLEAN);
    assert_int_equal(run_one(rig, out_find(2)).error, -EUCLEAN);
    assert_int_equal(run_one(rig, fetch_from(2)).n_messages, 1);
    /* Who reads what is to be sent is told of it, and given the others. */
    assert_int_equal(run_one(rig, to(1, 3, 3)).error, 0);
    struct store_op pending = {.kind = STORE_OUT_PENDING, .out_pending = {0, 99, 9}};
    struct store_result page = run_one(rig, pending);
    assert_int_equal(page.error, 0);
    assert_int_equal(page.n_records, 1);
    assert_int_equal(page.n_damaged, 1);
    assert_false(page.more);
}

/* An index that tells of a row which is not there: the table is emptied while it is hidden. */
static void sweep_ends_at_what_is_not_there(void **state) {
    struct rig *rig = *state;
    open_store(rig);
    assert_int_equal(run_one(rig, from(1, 1, 1)).error, 0);
    assert_int_equal(run_one(rig, in_take(&(int64_t){1}, 5, true)).error, 0);
    stop_store(rig);
    run_sql(rig, "PRAGMA writable_schema = ON; CREATE TABLE hidden AS SELECT * FROM sqlite_schema"
                 " WHERE name = 'in_gone'; DELETE FROM sqlite_schema WHERE name = 'in_gone'");
    run_sql(rig, "DELETE FROM in_message; PRAGMA writable_schema = ON;"
                 "INSERT INTO sqlite_schema SELECT * FROM hidden; DROP TABLE hidden");
    open_store(rig);
    assert_int_equal(run_one(rig, sweep(1000, 0)).error, -EUCLEAN);
    assert_int_equal(run_one(rig, to(1, 2, 2)).error, 0);
}

/* ---- An older file ---- */

static const char schema_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE block (body INTEGER NOT NULL, offset INTEGER NOT NULL, bytes BLOB NOT NULL,"
    " PRIMARY KEY (body, offset)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE out_message (row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " recipient BLOB NOT NULL, sequence INTEGER NOT NULL, created INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, finished INTEGER NOT NULL, size INTEGER NOT NULL,"
    " state INTEGER NOT NULL, reason TEXT NOT NULL, relays INTEGER NOT NULL,"
    " strict INTEGER NOT NULL, blocks INTEGER, body BLOB) STRICT;"
    "CREATE INDEX out_pending ON out_message (row) WHERE state < 3;"
    "CREATE INDEX out_finished ON out_message (finished) WHERE state >= 3;"
    "CREATE TABLE conversation (recipient BLOB PRIMARY KEY, sequence INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;"
    "CREATE TABLE in_message (row INTEGER PRIMARY KEY, sender BLOB NOT NULL, id BLOB NOT NULL,"
    " sequence INTEGER NOT NULL, sent INTEGER NOT NULL, received INTEGER NOT NULL,"
    " size INTEGER NOT NULL, state INTEGER NOT NULL, taken INTEGER NOT NULL,"
    " tombstone INTEGER NOT NULL, address BLOB, name TEXT NOT NULL, blocks INTEGER, body BLOB,"
    " UNIQUE (id, sender)) STRICT;"
    "CREATE INDEX in_waiting ON in_message (row) WHERE state = 0;"
    "CREATE INDEX in_waiting_from ON in_message (sender, row) WHERE state = 0;"
    "CREATE INDEX in_taken ON in_message (taken) WHERE state = 1;"
    "CREATE INDEX in_gone ON in_message (tombstone) WHERE state = 2;"
    "CREATE TABLE in_part (sender BLOB NOT NULL, id BLOB NOT NULL, total INTEGER NOT NULL,"
    " held INTEGER NOT NULL, blocks INTEGER NOT NULL, until INTEGER NOT NULL,"
    " PRIMARY KEY (sender, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX in_part_over ON in_part (until);"
    "CREATE TABLE node (row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL,"
    " pin BLOB) STRICT;"
    "CREATE TABLE spare (place INTEGER PRIMARY KEY, address BLOB NOT NULL, id BLOB NOT NULL,"
    " anchor INTEGER NOT NULL) STRICT;";

static const char content_1[] =
    "PRAGMA application_id = 1882353764; PRAGMA user_version = 1;"
    "INSERT INTO meta VALUES ('sequence', 77), ('in_row', 3);"
    "INSERT INTO block VALUES (1, 0, zeroblob(3000)), (2, 0, zeroblob(3000)), (3, 0, zeroblob(50));"
    "INSERT INTO out_message VALUES"
    " (1, X'01000000000000000000000000000000', X'0100000000000000000000000000000000000000000000"
    "000000000000000000', 4, 10, 99, 0, 5, 2, '', 255, 1, NULL, X'6162636465'),"
    " (2, X'02000000000000000000000000000000', X'0100000000000000000000000000000000000000000000"
    "000000000000000000', 3, 11, 99, 50, 3000, 5, 'why', 3, 0, 1, NULL);"
    "INSERT INTO conversation VALUES (X'01000000000000000000000000000000000000000000000000000000"
    "00000000', 3);"
    "INSERT INTO in_message (row, sender, id, sequence, sent, received, size, state, taken,"
    " tombstone, address, name, blocks, body) SELECT value,"
    " X'0100000000000000000000000000000000000000000000000000000000000000',"
    " old.id, 10 - value, 1, 20 + value, old.size, old.state, 30, 1000,"
    " zeroblob(18), 'old', old.blocks, old.body FROM (SELECT 1 AS value,"
    " X'11000000000000000000000000000000' AS id, 5 AS size, 0 AS state, NULL AS blocks,"
    " X'6162636465' AS body UNION ALL SELECT 2, X'12000000000000000000000000000000', 3000, 0, 2,"
    " NULL UNION ALL SELECT 3, X'13000000000000000000000000000000', 5, 1, NULL, X'6162636465')"
    " AS old;"
    "INSERT INTO in_part VALUES"
    " (X'0100000000000000000000000000000000000000000000000000000000000000',"
    " X'14000000000000000000000000000000', 100, 50, 3, 1000);"
    "INSERT INTO node VALUES (1, zeroblob(32), X'aabb', zeroblob(18));"
    "INSERT INTO spare VALUES (1, zeroblob(18), zeroblob(32), 1);";

static struct store_result migrate_and_load(struct rig *rig) {
    run_sql(rig, schema_1);
    run_sql(rig, content_1);
    open_idle(rig);
    struct node_boot boot;
    assert_int_equal(store_load(rig->store, &boot), 0);
    assert_int_equal(boot.sequence, 77);
    assert_int_equal(boot.inbox_waiting, 2);
    assert_int_equal(boot.n_nodes + boot.n_spares, 2);
    assert_int_equal(boot.n_conversations, 1);
    assert_int_equal(boot.conversations[0].sequence, 4);
    assert_int_equal(boot.n_pending, 1);
    assert_int_equal(boot.pending[0].kind, KIND_MESSAGE);
    assert_int_equal(boot.pending[0].progress, 0);
    assert_int_equal(boot.pending[0].size, 5);
    assert_int_equal(boot.n_rules + boot.n_mail_keys, 0);
    store_load_free(rig->store);
    assert_int_equal(store_start(rig->store, wake, rig), 0);
    return run_one(rig, out_find(2));
}

static void older_file_is_brought_up(void **state) {
    struct rig *rig = *state;
    uint64_t used = 5 + 3000 + 100 + 3 * CHARGE;
    struct store_result result = migrate_and_load(rig);
    assert_int_equal(result.record.size, 3000);
    assert_string_equal(result.record.reason, "why");
    assert_int_equal(run_one(rig, out_read(2, 0, 9999)).length, 3000);
    assert_order(rig, in_fetch(0, 0, UINT64_MAX), (const uint32_t[]){0x11, 0x12, 0});
    assert_history(rig, history(1, 0), (const uint32_t[]){1, 2, 0x11, 0x12, 0x13, 0});
    assert_int_equal(put_under(rig, from(1, 50, 50), used + 10 + CHARGE - 1, 0), -EDQUOT);
    assert_int_equal(put_under(rig, from(1, 50, 50), 0, used + 10 + CHARGE - 1), -EDQUOT);
    assert_int_equal(put_under(rig, from(1, 50, 50), used + 10 + CHARGE, used + 10 + CHARGE), 0);
    struct store_op last = in_block(0x14, 100, 50, text, 50);
    last.in_put.sender = peer_of(1);
    last.in_put.sequence = 60;
    assert_int_equal(outcome(rig, last), STORE_IN_COMPLETE);
    result = run_one(rig, in_fetch((int64_t)2 << 20, 9, UINT64_MAX));
    assert_int_equal(result.n_messages, 2);
    assert_int_equal(result.messages[1].row, 5);
}

int main(int argc, char **argv) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(late_ones_go_where_they_belong),
        TEST(renumbered_ones_come_last),
        TEST(long_one_completes_before_its_followers),
        TEST(places_are_never_shared),
        TEST(since_leaves_the_later_ones),
        TEST(quotas_are_kept_to_the_byte),
        TEST(unfinished_are_counted_whole),
        TEST(promises_fill_nothing),
        TEST(parts_are_bounded),
        TEST(what_does_not_grow_gives_way),
        TEST(block_and_forget_drop_what_is_unfinished),
        TEST(failed_transactions_charge_nothing),
        TEST(progress_only_grows),
        TEST(mail_is_nobodys_conversation),
        TEST(history_merges_both_directions),
        TEST(lines_say_what_became_of_them),
        TEST(ties_are_paged),
        TEST(floods_are_given_whole),
        TEST(conversations_are_listed_latest_first),
        TEST(last_text_is_cut),
        TEST(forgetting_spares_what_is_not_over),
        TEST(forgetting_is_sliced),
        TEST(rules_are_kept),
        TEST(mail_keys_are_kept_and_deleted),
        TEST(damaged_row_fails_who_reads_it),
        TEST(sweep_ends_at_what_is_not_there),
        TEST(older_file_is_brought_up),
    };
    if (argc == 3 && strcmp(argv[1], "-s") == 0)
        start_seed = strtoull(argv[2], NULL, 0);
    print_message("seed %llu\n", (unsigned long long)start_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
