/* link: daemon/core/outbox daemon/core/outbox_put daemon/core/outbox_readdress daemon/core/outbox_wait daemon/core/outbox_load daemon/core/base daemon/core/outbox_batch daemon/core/outbox_message daemon/core/outbox_watch daemon/core/outbox_local daemon/core/outbox_parcel daemon/core/outbox_flow daemon/core/outbox_ack daemon/core/parcel daemon/core/shard daemon/core/noise daemon/core/outbox_send daemon/core/outbox_window daemon/core/outbox_mail daemon/core/outbox_deposit daemon/core/mail daemon/core/path_silence */
/* What the outbox keeps as a mailbox: offered, refused for now, offered again; and what it costs. Node 0 is
 * ours, node 1 the recipient. The test is the store and the recipient. */
#include "daemon/core/outbox_private.h"

#include "tests/unit/fake_delivery.h"

#define QUOTA (UINT64_C(1) << 30)
#define LARGE MAIL_BLOB_MAX

static struct outbox *outbox;
static struct effects effects;
static struct budget budget;
static uint8_t body[1 << 17];

static void start(const struct node_boot *boot, size_t memory) {
    struct outbox_config config = {.identity = &fake_identities[0],
                                   .effects = &effects,
                                   .budget = &budget,
                                   .random = fake_random,
                                   .message_max = sizeof body,
                                   .expire_us = US_PER_HOUR,
                                   .retention_us = US_PER_HOUR};
    budget = (struct budget){.max = memory};
    outbox = outbox_new(&config, boot, now, wall_now());
    assert_non_null(outbox);
}
static void stop(void) {
    outbox_free(outbox);
    fake_effects_deinit(&effects);
    fake_wire_n = 0;
    assert_int_equal(budget.used, 0);
    assert_int_equal(fake_paths_live, 0);
}
static int setup(void **state) {
    (void)state;
    static const struct node_boot boot;
    now = (struct mono){US_PER_S};
    fake_identities_init();
    fake_fill(NULL, body, sizeof body);
    fake_path_outcome = PATH_OK;
    fake_link_error = 0;
    start(&boot, 64 << 20);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    stop();
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
    outbox_stored(outbox, op.cookie, &result, now, wall_now());
    while (outbox_deposit_done(outbox, &tag, &error))
        continue;
}
static void run_until(struct mono end) {
    while (effects.n_ops > 0)
        give((struct store_result){0});
    for (struct mono next; (next = outbox_next(outbox)).us <= end.us;) {
        if (next.us > now.us)
            now = next;
        outbox_tick(outbox, now, wall_now());
        while (effects.n_ops > 0)
            give((struct store_result){0});
    }
    now = end;
}
static void run_for(int64_t us) {
    run_until(mono_add(now, us));
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

/* ---- Nothing is left of what is refused ---- */

static void test_a_refused_deposit_leaves_nothing(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        struct node_id id = stranger(i);
        assert_int_equal(deposit(&id, LARGE, 8 * LARGE), -EDQUOT);
    }
    assert_int_equal(outbox->n_flows, 0);
    assert_int_equal(deposit(&fake_identities[1].id, LARGE, QUOTA), 0);
    assert_int_equal(deposit(&fake_identities[1].id, LARGE, 8 * LARGE), -EDQUOT);
    give((struct store_result){
        .error = -ENOSPC}); /* and one that the store refuses, nothing that lasts */
    run_for(US_PER_MINUTE);
    assert_int_equal(outbox->n_flows, 0);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_refused_deposit_leaves_nothing),
    };
    fake_arguments(argc, argv);
    return cmocka_run_group_tests_name("outbox_kept", tests, NULL, NULL);
}
