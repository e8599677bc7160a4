/* link: daemon/core/seam/effects daemon/core/base/base */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/seam/effects.h"

static void test_datagrams_up_to_the_limit(void **state) {
    struct effects *effects = effects_new();
    struct address to = {.port = 7};
    size_t n;
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < EFFECTS_DATAGRAMS_MAX; i++) {
            uint8_t *bytes = effects_datagram(effects, &to, &to, DATAGRAM_LEN);
            assert_non_null(bytes);
            memset(bytes, (int)i, DATAGRAM_LEN);
        }
        assert_null(effects_datagram(effects, &to, &to, DATAGRAM_LEN)); /* one past it */
        const struct datagram *datagrams = effects_datagrams(effects, &n);
        assert_int_equal(n, EFFECTS_DATAGRAMS_MAX);
        for (unsigned i = 0; i < n; i++) { /* growing moved none's content */
            assert_int_equal(datagrams[i].bytes[0], i & 0xff);
            assert_int_equal(datagrams[i].bytes[DATAGRAM_LEN - 1], i & 0xff);
        }
        effects_clear(effects);
        effects_datagrams(effects, &n);
        assert_int_equal(n, 0);
    }
    effects_free(effects);
}

/* As many as limits.memory allows; and what it takes is known, also once it is less. */
static void test_a_step_is_bounded(void **state) {
    struct effects *effects = effects_new();
    (void)state;
    assert_int_equal(effects_memory(effects), 0);
    effects_bound(effects, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(effects_buffer(effects));
    assert_null(effects_buffer(effects));
    size_t full = effects_memory(effects);
    assert_true(full >= 100 * DATAGRAM_LEN);
    assert_non_null(effects_scratch(effects, 1 << 20));
    assert_true(effects_memory(effects) >= full + (1 << 20));
    for (unsigned i = 0; i < 1000; i++)
        effects_clear(effects);
    assert_true(effects_memory(effects) < full);
    effects_bound(effects, SIZE_MAX);
    for (unsigned i = 0; i < EFFECTS_DATAGRAMS_MAX; i++)
        assert_non_null(effects_buffer(effects));
    assert_null(effects_buffer(effects));
    effects_free(effects);
}

/* Begun in one order and sent in another, some given back: what is queued is what was sent, and a
 * place given back is had again. */
static void test_buffers_given_back(void **state) {
    struct effects *effects = effects_new();
    struct address to = {.port = 7};
    uint8_t *buffers[100];
    size_t n;
    (void)state;
    for (unsigned round = 0; round < 50; round++) { /* more in all than a step may have */
        for (unsigned i = 0; i < 100; i++) {
            assert_non_null(buffers[i] = effects_buffer(effects));
            memset(buffers[i], (int)i, DATAGRAM_LEN);
        }
        for (unsigned i = 100; i-- > 0;)
            if (i % 50 == 0)
                effects_send(effects, buffers[i], &to, &to, DATAGRAM_LEN);
            else
                effects_buffer_back(effects, buffers[i]);
    }
    const struct datagram *datagrams = effects_datagrams(effects, &n);
    assert_int_equal(n, 100);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(datagrams[i].bytes[0], i % 2 ? 0 : 50);
        assert_int_equal(datagrams[i].bytes[DATAGRAM_LEN - 1], i % 2 ? 0 : 50);
    }
    effects_clear(effects);
    for (unsigned i = 0; i < EFFECTS_DATAGRAMS_MAX; i++) /* none is lost for the next step */
        assert_non_null(effects_buffer(effects));
    assert_null(effects_buffer(effects));
    effects_free(effects);
}

static void test_results_find_their_owner_in_order(void **state) {
    struct effects *effects = effects_new();
    struct store_op op = {.kind = STORE_SEQUENCE};
    enum store_owner owner;
    uint64_t cookie, first, next_tag = 0;
    size_t n;
    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        effects_store(effects, &op, i % 2 ? OWNER_OUTBOX : OWNER_INBOX, i);
    const struct store_op *ops = effects_ops(effects, &n);
    assert_int_equal(n, 1000);
    first = ops[0].tag;
    assert_true(first != 0);
    assert_false(effects_stored(effects, first + 1, &owner, &cookie)); /* out of turn */
    for (uint64_t i = 0; i < 500; i++) {
        assert_true(effects_stored(effects, first + i, &owner, &cookie));
        assert_int_equal(cookie, i);
        assert_int_equal(owner, i % 2 ? OWNER_OUTBOX : OWNER_INBOX);
    }
    effects_clear(effects); /* operations under way outlive the step */
    for (uint64_t i = 1000; i < 1500; i++)
        effects_store(effects, &op, OWNER_POOL, i);
    ops = effects_ops(effects, &n);
    next_tag = ops[0].tag;
    assert_int_equal(next_tag, first + 1000);
    for (uint64_t i = 500; i < 1500; i++) {
        assert_true(effects_stored(effects, first + i, &owner, &cookie));
        assert_int_equal(cookie, i);
    }
    assert_false(effects_stored(effects, first + 1500, &owner, &cookie));
    effects_free(effects);
}

static void test_scratch_and_answers(void **state) {
    struct effects *effects = effects_new();
    uint8_t *blocks[100];
    size_t n;
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        blocks[i] = effects_scratch(effects, 1 + i * 37);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        for (unsigned k = 0; k < 1 + i * 37; k++)
            assert_int_equal(blocks[i][k], 0);
        memset(blocks[i], (int)i, 1 + i * 37);
        effects_answer_text(effects, i, ANSWER_FAILED, "%0300d", (int)i); /* cut, not overrun */
    }
    for (unsigned i = 0; i < 100; i++)
        for (unsigned k = 0; k < 1 + i * 37; k++)
            assert_int_equal(blocks[i][k], i);
    const struct answer *answers = effects_answers(effects, &n);
    assert_int_equal(n, 100);
    assert_int_equal(strlen(answers[99].text), sizeof answers[99].text - 1);
    assert_true(answers[99].end);
    effects_free(effects);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagrams_up_to_the_limit),
        cmocka_unit_test(test_a_step_is_bounded),
        cmocka_unit_test(test_buffers_given_back),
        cmocka_unit_test(test_results_find_their_owner_in_order),
        cmocka_unit_test(test_scratch_and_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
