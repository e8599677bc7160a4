/* link: daemon/core/base/budget daemon/core/base/base daemon/core/deliver/inbox/inbox daemon/core/deliver/inbox/inbox_item daemon/core/deliver/inbox/inbox_take daemon/core/deliver/inbox/inbox_shard daemon/core/deliver/inbox/inbox_keys daemon/core/deliver/inbox/inbox_parcel daemon/core/deliver/inbox/inbox_local daemon/core/deliver/inbox/inbox_receipt daemon/core/deliver/inbox/inbox_pull daemon/core/deliver/inbox/policy daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/deliver/inbox/inbox_mail daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence daemon/core/base/share */
/* Mail in a parcel: who is believed to have sent it, and when it is receipted. Node 0 is ours, node
 * 1 a mailbox, nodes 2 and 3 left mail with it; the test is the store. */
#include "tests/unit/deliver/fake_delivery.h"

#define MESSAGE_MAX 10000u

static struct inbox *inbox;
static struct effects effects;
static struct budget budget;
static struct share share;
static struct policy *policy;
static uint8_t body[MESSAGE_MAX + 1];

static int setup(void **state) {
    (void)state;
    fake_identities_init();
    fake_fill(NULL, body, sizeof body);
    fake_path_outcome = PATH_OK;
    fake_keypair(&fake_mail_keys[0]);
    fake_mail_days[0] = 20000;
    budget = (struct budget){.max = 64 << 20};
    share_init(&share, 0);
    policy = policy_new(&(struct policy_config){.random = &fake_random}, NULL, 0);
    assert_non_null(policy);
    struct inbox_config config = {.identity = &fake_identities[0],
                                  .courier = fake_courier(),
                                  .effects = &effects,
                                  .share = &share,
                                  .policy = policy,
                                  .budget = &budget,
                                  .random = fake_random,
                                  .limits = {.message_max = MESSAGE_MAX,
                                             .tombstone_us = US_PER_HOUR,
                                             .retention_us = US_PER_HOUR}};
    inbox = inbox_new(&config);
    assert_non_null(inbox);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    inbox_free(inbox);
    policy_free(policy);
    fake_effects_deinit(&effects);
    fake_wire_n = 0;
    assert_int_equal(budget.used, 0);
    assert_int_equal(fake_paths_live, 0);
    return 0;
}

/* ---- A mail ---- */
struct letter { /* and what may be wrong with it */
    unsigned from, descriptor_of, link_of;
    uint8_t signature;
    uint32_t day;
    enum message_kind kind;
    uint32_t n, size, cut; /* messages, their size, bytes that are missing of the last */
    int64_t given_up_us;   /* so long ago; 0: not yet */
};
static const struct letter good = {.from = 2,
                                   .descriptor_of = 2,
                                   .link_of = 2,
                                   .signature = FAKE_SIGNED,
                                   .day = 20000,
                                   .kind = KIND_MESSAGE,
                                   .n = 2,
                                   .size = 100};
static uint8_t mails[MAIL_IN_PARCEL_MAX + 1][MAIL_BLOB_MAX];

static size_t write_mail(const struct letter *letter, uint8_t *out) {
    static uint8_t plain[MAIL_PLAIN_MAX];
    uint8_t descriptor[200] = {(uint8_t)letter->descriptor_of, letter->signature}, ephemeral[32];
    struct mail_head head = {fake_identities[letter->from].id, descriptor, sizeof descriptor};
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    mail_put_head(&writer, &head);
    for (uint32_t i = 0; i < letter->n; i++) {
        struct parcel_item item = {.expires_ms = letter->given_up_us
                                                     ? (uint64_t)wall_ms((struct wall){
                                                           wall_now().us - letter->given_up_us})
                                                     : UINT64_MAX,
                                   .kind = letter->kind,
                                   .id = {{(uint8_t)(i + 1), (uint8_t)letter->from}},
                                   .sequence = i + 1,
                                   .total = letter->size,
                                   .length = letter->size - letter->cut,
                                   .bytes = body};
        parcel_put_item(&writer, &item);
    }
    fake_fill(NULL, ephemeral, sizeof ephemeral);
    int length = mail_seal(&fake_identities[letter->link_of].link, &fake_identities[0].id,
                           fake_mail_keys[0].public, letter->day, ephemeral, plain,
                           wire_length(&writer), out);
    assert_true(length > 0);
    return (size_t)length;
}

/* ---- The mailbox's parcel ---- */
static uint8_t receipt_key[KEY_LEN];
static enum drop expected_last; /* of its last shard */

static void deliver(const struct letter *letters, unsigned n, uint32_t missing) {
    static uint8_t plain[PARCEL_PLAIN_MAX], sealed[PARCEL_SEALED_MAX + SHARD_TRANSFORM_LEN];
    uint8_t ephemeral[32], payload[ONION_PAYLOAD_MAX];
    struct parcel_id id;
    struct wire_writer writer = wire_writer(plain, sizeof plain);
    struct parcel_keys *keys = parcel_keys_new(4, &fake_random);
    const struct noise_keypair *routing = &fake_identities[0].routing[0];
    parcel_put_head(&writer, &fake_identities[1].id);
    for (unsigned i = 0; i < n; i++) {
        size_t length = write_mail(&letters[i], mails[i]);
        struct parcel_item item = {.expires_ms = UINT64_MAX,
                                   .kind = KIND_MAIL,
                                   .id = mail_id(mails[i], length),
                                   .total = length,
                                   .length = (uint32_t)length - missing,
                                   .bytes = mails[i]};
        parcel_put_item(&writer, &item);
    }
    fake_fill(NULL, &id, sizeof id);
    fake_fill(NULL, ephemeral, sizeof ephemeral);
    unsigned k;
    size_t size_each, padded;
    assert_int_equal(parcel_cut(wire_length(&writer), 0, &k, &size_each, &padded), 0);
    memset(writer.at, 0, padded - wire_length(&writer));
    int length = parcel_seal(&fake_identities[1].link, &fake_identities[0].id, routing->public,
                             epoch_now(), ephemeral, NULL, plain, padded, sealed, receipt_key);
    assert_true(length > 0);
    if (k > 1)
        shard_transform(sealed, k * size_each, ephemeral);
    struct parcel_peer peer = {
        &fake_identities[0].id, 1,     epoch_now(), routing->public, fake_identities[1].link.secret,
        &fake_identities[1].id, false, false};
    const struct parcel_secret *secret = parcel_keys_add(keys, &peer);
    assert_non_null(secret);
    for (unsigned i = 0; i < k; i++) {
        struct parcel_shard shard = {.id = id,
                                     .k = (uint8_t)k,
                                     .index = (uint8_t)i,
                                     .length = (uint16_t)size_each,
                                     .sender = fake_entries[1].prefix,
                                     .data = sealed + i * size_each};
        size_t size = parcel_shard_encode(&shard, secret->shard_key, payload);
        enum drop drop = inbox_shard(inbox, payload, size, 0, epoch_now(), fake_now());
        assert_int_equal(drop, i + 1 < k ? DROP_NONE : expected_last);
    }
    parcel_keys_free(keys);
}
static void give(struct store_result result) {
    struct fake_op op = effects.ops[0];
    assert_true(effects.n_ops > 0);
    result.kind = op.op.kind;
    fake_ops_shift(&effects);
    inbox_stored(inbox, op.cookie, &result, fake_now());
}
/* The status of the last final receipt that the mailbox gets; 0: none. */
static unsigned receipted(uint8_t *ret_reason) {
    inbox_flush(inbox, fake_now());
    unsigned status = 0;
    for (size_t i = 0; i < fake_wire_n; i++) {
        struct wire_reader reader = wire_reader(fake_wire[i].payload, fake_wire[i].length);
        struct parcel_receipt receipt;
        assert_int_equal(fake_wire[i].target, fake_entries[1].prefix);
        wire_get_uint(&reader, 1);
        while (wire_left(&reader) > 0) {
            assert_int_equal(parcel_receipt_decode(&reader, &receipt), DROP_NONE);
            if (receipt.status == PARCEL_PARTIAL)
                continue;
            assert_true(parcel_receipt_is_authentic(&receipt, receipt_key));
            status = receipt.status;
            *ret_reason = receipt.reason;
        }
    }
    return status;
}

/* ---- Tests ---- */

static void test_stored_as_from_its_sender_and_receipted_to_the_mailbox(void **state) {
    (void)state;
    uint8_t reason;
    deliver(&good, 1, 0);
    assert_int_equal(effects.n_ops, 2);
    for (unsigned i = 0; i < 2; i++) {
        const struct store_op *op = &effects.ops[i].op;
        assert_int_equal(op->kind, STORE_IN_PUT);
        assert_int_equal(op->in_put.kind, KIND_MESSAGE);
        assert_memory_equal(&op->in_put.sender, &fake_identities[2].id, NODE_ID_LEN);
        assert_int_equal(op->in_put.sequence, i + 1);
        assert_int_equal(op->in_put.total, 100);
        assert_memory_equal(op->in_put.bytes, body, 100);
        assert_string_equal(op->in_put.sender_name, "somebody");
    }
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(receipted(&reason), 0); /* not all of it is durable */
    give((struct store_result){.in_outcome = STORE_IN_DUPLICATE});
    assert_int_equal(receipted(&reason), PARCEL_COMPLETE);
    assert_int_equal(inbox_waiting(inbox), 1);
}

static void test_unknown_sender_is_named_by_its_descriptor(void **state) {
    (void)state;
    fake_known[2] = false;
    deliver(&good, 1, 0);
    assert_int_equal(effects.n_ops, 2);
    assert_memory_equal(&effects.ops[0].op.in_put.sender, &fake_identities[2].id, NODE_ID_LEN);
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
}

static void test_of_several_senders_at_once(void **state) {
    (void)state;
    struct letter letters[2] = {good, good};
    letters[1].from = letters[1].descriptor_of = letters[1].link_of = 3;
    uint8_t reason;
    deliver(letters, 2, 0);
    unsigned of[FAKE_NODES] = {0};
    for (size_t i = 0; i < effects.n_ops; i++)
        for (unsigned node = 0; node < FAKE_NODES; node++)
            of[node] +=
                node_id_is_equal(&effects.ops[i].op.in_put.sender, &fake_identities[node].id);
    assert_int_equal(of[2], 2);
    assert_int_equal(of[3], 2);
    for (unsigned i = 0; i < 4; i++)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(receipted(&reason), PARCEL_COMPLETE);
}

static void test_nothing_is_said_when_the_store_fails(void **state) {
    (void)state;
    uint8_t reason;
    deliver(&good, 1, 0);
    give((struct store_result){.error = -EIO});
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(receipted(&reason), 0);
}

static void must_refuse(const struct letter *letter, uint32_t missing,
                        enum parcel_reason expected) {
    uint8_t reason = 0;
    deliver(letter, 1, missing);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(receipted(&reason), PARCEL_REFUSED);
    assert_int_equal(reason, expected);
    fake_wire_n = 0;
}

static void test_refused_if_it_is_not_what_it_says(void **state) {
    (void)state;
    struct letter bad = good;
    bad.day++; /* no such key is held */
    must_refuse(&bad, 0, PARCEL_REASON_MALFORMED);
    bad = good, bad.signature++;
    must_refuse(&bad, 0, PARCEL_REASON_MALFORMED);
    bad = good, bad.from = 3; /* the descriptor is another's */
    must_refuse(&bad, 0, PARCEL_REASON_MALFORMED);
    bad = good, bad.link_of = 3; /* who sealed it is another */
    must_refuse(&bad, 0, PARCEL_REASON_MALFORMED);
    bad = good, bad.n = 0;
    bad.descriptor_of = 2;
    must_refuse(&bad, 0, PARCEL_REASON_MALFORMED);
    bad = good, bad.kind = KIND_MAIL; /* mail in mail */
    must_refuse(&bad, 0, PARCEL_REASON_VERSION);
    bad = good, bad.cut = 1; /* a block */
    must_refuse(&bad, 0, PARCEL_REASON_MALFORMED);
    bad = good, bad.size = MESSAGE_MAX + 1;
    must_refuse(&bad, 0, PARCEL_REASON_TOO_LARGE);
    must_refuse(&good, 1, PARCEL_REASON_MALFORMED); /* a block of a mail */
    bad = good, bad.size = MESSAGE_MAX;             /* at the bound */
    deliver(&bad, 1, 0);
    assert_int_equal(effects.n_ops, 2);
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
}

/* A message whose tombstone may have gone while the mail key that opens it has not: it may have
 * been here. */
static void test_what_is_over_is_not_stored_again(void **state) {
    (void)state;
    struct letter late = good;
    uint8_t reason;
    late.given_up_us = US_PER_HOUR - US_PER_S; /* its tombstone stands for an hour */
    deliver(&late, 1, 0);
    assert_int_equal(effects.n_ops, 2);
    while (effects.n_ops > 0) {
        assert_true(effects.ops[0].op.in_put.tombstone_until.us > wall_now().us);
        give((struct store_result){.in_outcome = STORE_IN_DUPLICATE});
    }
    assert_int_equal(receipted(&reason), PARCEL_COMPLETE);
    fake_wire_n = 0;
    late.given_up_us = US_PER_HOUR;
    deliver(&late, 1, 0);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(receipted(&reason), PARCEL_COMPLETE); /* and the mailbox lets it go */
    assert_int_equal(inbox_waiting(inbox), 0);
    fake_wire_n = 0;
    struct letter letters[2] = {late, good};
    letters[1].from = letters[1].descriptor_of = letters[1].link_of = 3;
    deliver(letters, 2, 0);
    assert_int_equal(effects.n_ops, 2); /* of the other */
    assert_memory_equal(&effects.ops[0].op.in_put.sender, &fake_identities[3].id, NODE_ID_LEN);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(receipted(&reason), 0);
    give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(receipted(&reason), PARCEL_COMPLETE);
}

/* Each costs exchanges and a signature: there are few in a parcel, none of a bearer that is blocked
 * is looked into, and what is too much just now is not answered. */
static void test_opening_is_bounded(void **state) {
    (void)state;
    struct letter letters[MAIL_IN_PARCEL_MAX + 1];
    uint8_t reason;
    for (unsigned i = 0; i <= MAIL_IN_PARCEL_MAX; i++) {
        letters[i] = good;
        letters[i].n = 1;
    }
    deliver(letters, MAIL_IN_PARCEL_MAX, 0);
    assert_int_equal(effects.n_ops, MAIL_IN_PARCEL_MAX);
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(receipted(&reason), PARCEL_COMPLETE);
    fake_wire_n = 0;
    deliver(letters, MAIL_IN_PARCEL_MAX + 1, 0);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(receipted(&reason), PARCEL_REFUSED);
    assert_int_equal(reason, PARCEL_REASON_MALFORMED);
    fake_wire_n = 0;
    assert_int_equal(policy_set(policy, &fake_identities[1].id, RULE_BLOCK), 0);
    must_refuse(&good, 0, PARCEL_REASON_BLOCKED);
    struct letter bad = good;
    bad.signature++;
    must_refuse(&bad, 0, PARCEL_REASON_BLOCKED); /* nobody has looked */
    assert_int_equal(policy_set(policy, &fake_identities[1].id, RULE_NONE), 0);
}

static void test_what_is_too_much_now_is_not_answered(void **state) {
    (void)state;
    uint8_t reason;
    deliver(&good, 1, 0); /* its secret is computed */
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
    assert_int_equal(receipted(&reason), PARCEL_COMPLETE);
    fake_wire_n = 0;
    share_init(&share, 10); /* one in a window: for the parcel itself */
    expected_last = DROP_LIMIT;
    deliver(&good, 1, 0);
    assert_int_equal(effects.n_ops, 0);
    assert_int_equal(receipted(&reason), 0);
    assert_int_equal(budget.used, 0);
    expected_last = DROP_NONE;
    share_init(&share, 20);
    deliver(&good, 1, 0);
    assert_int_equal(effects.n_ops, 2);
    while (effects.n_ops > 0)
        give((struct store_result){.in_outcome = STORE_IN_COMPLETE});
}

static void test_one_bad_one_spoils_the_parcel(void **state) {
    (void)state;
    struct letter letters[2] = {good, good};
    uint8_t reason;
    letters[1].signature++;
    deliver(letters, 2, 0);
    assert_int_equal(effects.n_ops, 0); /* the mailbox sends each alone, then */
    assert_int_equal(receipted(&reason), PARCEL_REFUSED);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_stored_as_from_its_sender_and_receipted_to_the_mailbox),
        TEST(test_unknown_sender_is_named_by_its_descriptor),
        TEST(test_of_several_senders_at_once),
        TEST(test_nothing_is_said_when_the_store_fails),
        TEST(test_refused_if_it_is_not_what_it_says),
        TEST(test_what_is_over_is_not_stored_again),
        TEST(test_opening_is_bounded),
        TEST(test_what_is_too_much_now_is_not_answered),
        TEST(test_one_bad_one_spoils_the_parcel),
    };
    fake_arguments(argc, argv);
    return cmocka_run_group_tests_name("inbox_mail", tests, NULL, NULL);
}
