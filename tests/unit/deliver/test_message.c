/* link: daemon/core/deliver/message/message daemon/core/base/budget */
/* A message by itself: its blocks, what is left of them, its place, its body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/deliver/message/message.h"

static struct messages messages;
static struct budget budget;

static void fill(void *context, void *buffer, size_t length) {
    (void)context;
    memset(buffer, 5, length);
}
static const struct core_random fixed = {fill, NULL};

static int setup(void **state) {
    (void)state;
    budget_init(&budget, 1 << 20);
    messages = (struct messages){.n_files = 0};
    return messages_init(&messages, &fixed, &budget);
}

static int teardown(void **state) {
    (void)state;
    messages_deinit(&messages);
    return budget.used == 0 && messages.n_files == 0 && messages.kept.memory == 0 &&
                   messages.own.memory == 0
               ? 0
               : -1;
}

static struct message *make(enum message_kind kind, uint64_t size, uint8_t shards_k) {
    static uint8_t next_id;
    static const struct file_head head = {.name = "a"};
    struct out_record record = {.id = {{++next_id}},
                                .size = size,
                                .kind = kind,
                                .shards_k = shards_k,
                                .file = kind == KIND_FILE ? &head : NULL};
    struct message *message = message_new(&messages, &record, NULL);
    assert_non_null(message);
    return message;
}

/* ---- Blocks ---- */

static void test_blocks_are_counted_to_the_last(void **state) {
    (void)state;
    struct message *message = make(KIND_MESSAGE, 0, 0);
    uint32_t block = message_block_size(message);
    const struct {
        uint64_t size, blocks;
    } cases[] = {{0, 1}, {1, 1}, {block, 1}, {block + 1, 2}, {3 * (uint64_t)block, 3}};
    message_free(&messages, message);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        message = make(KIND_MESSAGE, cases[i].size, 0);
        message_plan(message, 0);
        assert_int_equal(message->blocks_left, cases[i].blocks);
        assert_int_equal(message_is_long(message), cases[i].blocks > 1);
        for (uint64_t left = cases[i].blocks; left > 0; left--)
            assert_int_equal(message_confirm(message, 1), left == 1);
        message_free(&messages, message);
    }
}

/* All was confirmed and the final state was lost: the last block is sent again. */
static void test_progress_leaves_one_block(void **state) {
    (void)state;
    struct message *message = make(KIND_FILE, 10 << 20, 0);
    uint64_t block = message_block_size(message);
    message_plan(message, 3 * block + 1);
    assert_int_equal(message->next_block, 3);
    assert_int_equal(message->confirmed, 3 * block);
    message_plan(message, 10 << 20);
    assert_int_equal(message->blocks_left, 1);
    assert_int_equal(messages.n_files, 1);
    message_free(&messages, message);
}

static void test_explicit_shards_make_small_blocks(void **state) {
    (void)state;
    for (uint8_t k = 1; k < 32; k++) {
        assert_true(message_block_max(k, KIND_MESSAGE) <= message_block_max(k + 1u, KIND_MESSAGE));
        assert_true(message_block_max(k, KIND_FILE) < message_block_max(k, KIND_MESSAGE) ||
                    message_block_max(k, KIND_FILE) == PARCEL_BLOCK_MAX);
    }
    assert_int_equal(message_block_max(0, KIND_MESSAGE), PARCEL_BLOCK_MAX);
}

static void test_the_store_is_told_now_and_then(void **state) {
    (void)state;
    struct message *message = make(KIND_FILE, INT64_C(1) << 30, 0);
    uint32_t block = message_block_size(message);
    struct mono now = {US_PER_HOUR};
    message_plan(message, 0);
    for (unsigned i = 0; i < 63; i++)
        message_confirm(message, block);
    assert_false(message_has_progressed(message, now));
    message_confirm(message, block);
    assert_true(message_has_progressed(message, now));
    assert_false(message_note_progress(message, 63 * (uint64_t)block, now));
    assert_true(message_note_progress(message, 64 * (uint64_t)block, now));
    for (unsigned i = 0; i < 64; i++)
        message_confirm(message, block);
    assert_false(message_has_progressed(message, mono_add(now, US_PER_S - 1)));
    assert_true(message_has_progressed(message, mono_add(now, US_PER_S)));
    message_free(&messages, message);
}

/* ---- Queues ---- */

static void test_files_stand_behind_messages(void **state) {
    (void)state;
    struct message_queue queue = TAILQ_HEAD_INITIALIZER(queue);
    struct message *file = make(KIND_FILE, 1, 0), *first = make(KIND_MESSAGE, 1, 0),
                   *second = make(KIND_MESSAGE, 1, 0), *other = make(KIND_FILE, 1, 0);
    struct message *in[] = {file, first, other, second}, *out[] = {first, second, file, other};
    for (size_t i = 0; i < 4; i++) {
        message_move(in[i], MESSAGE_LONG);
        message_queue_insert(&queue, in[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_ptr_equal(TAILQ_FIRST(&queue), out[i]);
        TAILQ_REMOVE(&queue, out[i], queue);
        message_free(&messages, out[i]);
    }
}

/* ---- All of them ---- */

static void test_bodies_go_oldest_first(void **state) {
    (void)state;
    struct message *first = make(KIND_MESSAGE, 100, 0), *second = make(KIND_MESSAGE, 200, 0);
    assert_true(messages_keep_body(&messages, first, malloc(100)));
    assert_true(messages_keep_body(&messages, second, malloc(200)));
    assert_int_equal(budget.held[BUDGET_OUTBOX], 300);
    assert_true(messages_evict_body(&messages));
    assert_null(first->body);
    assert_non_null(second->body);
    messages_drop_body(&messages, second);
    assert_false(messages_evict_body(&messages));
    message_free(&messages, first);
    message_free(&messages, second);
}

static void test_found_by_id(void **state) {
    (void)state;
    struct message *message = make(KIND_MESSAGE, 1, 0);
    assert_null(messages_find(&messages, &message->id));
    messages_add(&messages, message);
    assert_ptr_equal(messages_find(&messages, &message->id), message);
    messages_remove(&messages, message);
    assert_null(messages_find(&messages, &message->id));
    message_free(&messages, message);
}

/* What was accepted stays, charged or not; nothing more is accepted. */
static void test_mail_is_charged_up_to_its_part(void **state) {
    (void)state;
    struct message *mails[64];
    size_t size = sizeof(struct message) + BUDGET_HEAP_EXTRA, n = 0;
    budget.max = (10 * size + 1) * 100 / MAIL_MEMORY_PERCENT;
    while (budget_part_has_room(&messages.kept, size))
        mails[n++] = make(KIND_MAIL, 1, 0);
    assert_int_equal(n, 10);
    mails[n++] = make(KIND_MAIL, 1, 0);
    assert_int_equal(budget.held[BUDGET_KEPT], 10 * size);
    while (n > 0)
        message_free(&messages, mails[--n]);
    assert_int_equal(budget.held[BUDGET_KEPT], 0);
}

/* Ours have a part of their own, and the name of a file counts. */
static void test_ours_are_charged_beside_it(void **state) {
    (void)state;
    struct message *message = make(KIND_MESSAGE, 1, 0), *file = make(KIND_FILE, 1, 0);
    assert_int_equal(budget.held[BUDGET_MESSAGES],
                     message_size(KIND_MESSAGE) + message_size(KIND_FILE) + 2 * BUDGET_HEAP_EXTRA);
    assert_true(message_size(KIND_FILE) > message_size(KIND_MESSAGE) + FILE_NAME_MAX);
    assert_int_equal(budget.held[BUDGET_KEPT], 0);
    message_free(&messages, message);
    message_free(&messages, file);
    assert_int_equal(budget.held[BUDGET_MESSAGES], 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_blocks_are_counted_to_the_last),
        TEST(test_progress_leaves_one_block),
        TEST(test_explicit_shards_make_small_blocks),
        TEST(test_the_store_is_told_now_and_then),
        TEST(test_files_stand_behind_messages),
        TEST(test_bodies_go_oldest_first),
        TEST(test_found_by_id),
        TEST(test_mail_is_charged_up_to_its_part),
        TEST(test_ours_are_charged_beside_it),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
