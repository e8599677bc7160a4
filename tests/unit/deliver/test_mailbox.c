/* link: daemon/core/deliver/depot/mailbox daemon/core/deliver/depot/mailbox_choice daemon/core/wire/mail daemon/core/wire/shard daemon/core/wire/noise daemon/core/wire/identity daemon/core/wire/descriptor daemon/core/base/budget daemon/core/base/share shared/address proto/wire.pb-c */
/* The volunteer's side, and whom we choose for ourselves. The directory is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/deliver/depot/mailbox.h"
#include "tests/unit/harness.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#define NODES 40
#define SIZE 1000000u

/* ---- Doubles ---- */
struct directory {
    struct directory_entry entries[NODES];
    bool up[NODES], known[NODES];
    size_t n;
};
static struct directory directory;

const struct directory_entry *directory_find(const struct directory *d, const struct node_id *id) {
    for (size_t i = 0; i < d->n; i++)
        if (d->known[i] && node_id_is_equal(&d->entries[i].id, id))
            return &d->entries[i];
    return NULL;
}
const struct directory_entry *directory_find_prefix(const struct directory *d, uint64_t prefix) {
    for (size_t i = 0; i < d->n; i++)
        if (d->known[i] && d->entries[i].prefix == prefix)
            return &d->entries[i];
    return NULL;
}
void directory_descriptor(const struct directory_entry *entry, struct descriptor *ret) {
    assert_int_equal(descriptor_decode(entry->bytes, entry->length, ret), DROP_NONE);
}
size_t directory_count(const struct directory *d) {
    return d->n;
}
const struct directory_entry *directory_at(const struct directory *d, size_t i) {
    return &d->entries[i];
}
bool directory_is_up(const struct directory *d, const struct directory_entry *entry) {
    return d->up[entry - d->entries];
}
static struct mailbox_answer answer;

/* ---- A mailbox and a recipient ---- */
static struct mono clock_now = {US_PER_S};
static const struct wall wall = {INT64_C(500000) * EPOCH_US};
static struct identity *own, *recipient;
static uint8_t own_link[32], old_bytes[DESCRIPTOR_MAX], new_bytes[DESCRIPTOR_MAX];
static size_t old_length, new_length; /* the old one names us, the new one does not */
static struct budget budget;
static struct mailbox *mailbox;
static struct share share;

static struct mailbox *make(unsigned use) {
    struct mailbox_config config = {.identity = own,
                                    .directory = &directory,
                                    .budget = &budget,
                                    .share = &share,
                                    .random = test_random,
                                    .size = SIZE,
                                    .use = use};
    return mailbox_new(&config);
}
static size_t describe(uint64_t sequence, uint64_t box, uint8_t bytes[DESCRIPTOR_MAX]) {
    struct descriptor descriptor = {.sequence = sequence, .mailboxes = {77, box}, .n_mailboxes = 2};
    int length = descriptor_sign(&descriptor, recipient, wall, bytes);
    assert_true(length > 0);
    return (size_t)length;
}
static int setup(void **state) {
    (void)state;
    uint8_t seed[32], link[32];
    memset(&directory, 0, sizeof directory);
    memset(&answer, 0, sizeof answer);
    test_bytes(seed, 32);
    test_bytes(own_link, 32);
    own = identity_new(seed, own_link, &test_random);
    test_bytes(seed, 32);
    test_bytes(link, 32);
    recipient = identity_new(seed, link, &test_random);
    assert_true(own && recipient);
    identity_advance(recipient, wall);
    old_length = describe(100, node_id_prefix(identity_id(own)), old_bytes);
    new_length = describe(200, 78, new_bytes);
    budget_init(&budget, 64 << 20);
    share_init(&share, 0);
    mailbox = make(2);
    assert_non_null(mailbox);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    mailbox_free(mailbox);
    assert_int_equal(budget.used, 0);
    identity_free(own);
    identity_free(recipient);
    return 0;
}
static void know(const uint8_t *bytes, size_t length) {
    directory.n = 1;
    directory.known[0] = true;
    directory.entries[0] =
        (struct directory_entry){.id = *identity_id(recipient),
                                 .prefix = node_id_prefix(identity_id(recipient)),
                                 .bytes = bytes,
                                 .length = (uint16_t)length};
}

/* ---- Deposits ---- */
static uint8_t blob[MAIL_BLOB_MAX], shards[SHARD_COUNT_MAX * MAIL_SHARD_DATA_MAX];
static uint8_t packets[MAIL_REPLIES_MAX][ONION_LEN];
static struct mail_cut cut;
static uint8_t deposit_id[PARCEL_ID_LEN];

static struct mail_deposit deposit(size_t size) {
    struct mail_deposit made = {.recipient = *identity_id(recipient),
                                .expires_ms = (uint64_t)wall_ms(wall) + 1000,
                                .n_replies = 2,
                                .replies = {{5, packets[0]}, {6, packets[1]}},
                                .descriptor = old_bytes,
                                .descriptor_length = old_length,
                                .blob = blob,
                                .blob_length = size};
    test_bytes(blob, sizeof blob);
    test_bytes(packets, sizeof packets);
    return made;
}
static void cut_up(const struct mail_deposit *made) {
    uint8_t key[32];
    struct wire_writer writer = wire_writer(shards, sizeof shards);
    mail_deposit_encode(made, &writer);
    assert_false(writer.failed);
    cut = mail_cut(wire_length(&writer));
    test_bytes(key, sizeof key);
    test_bytes(deposit_id, sizeof deposit_id);
    mail_shards(&cut, shards, wire_length(&writer), key);
}
static enum drop give(unsigned index, unsigned slot, struct mailbox_mail *ret_mail) {
    uint8_t payload[ONION_PAYLOAD_MAX];
    struct mail_shard shard = {.cut = cut, .index = (uint8_t)index};
    memcpy(shard.id, deposit_id, sizeof shard.id);
    shard.data = shards + (size_t)index * cut.length;
    size_t length = mail_shard_encode(&shard, payload);
    return mailbox_shard(mailbox, payload, length, slot, (struct now){clock_now, wall}, ret_mail);
}
static enum drop give_all(const struct mail_deposit *made, struct mailbox_mail *ret_mail) {
    enum drop drop = DROP_NONE;
    cut_up(made);
    for (unsigned i = 0; i < cut.k; i++) {
        assert_int_equal(drop, DROP_NONE);
        drop = give(cut.m + i, 1, ret_mail); /* parity, as far as there is any */
    }
    return drop;
}

static void test_taken_and_confirmed_once_durable(void **state) {
    (void)state;
    struct mail_deposit made = deposit(MAIL_BLOB_MAX);
    struct mailbox_mail mail, none;
    assert_int_equal(give_all(&made, &mail), DROP_NONE);
    assert_int_equal(mail.length, MAIL_BLOB_MAX);
    assert_memory_equal(mail.bytes, blob, MAIL_BLOB_MAX);
    assert_memory_equal(&mail.recipient, identity_id(recipient), NODE_ID_LEN);
    assert_int_equal(mail.expires.us, wall.us + US_PER_S);
    struct message_id id = mail_id(blob, MAIL_BLOB_MAX);
    assert_memory_equal(&mail.id, &id, sizeof id);
    assert_int_equal(give(0, 1, &none), DROP_NONE); /* late parity begins nothing anew */
    assert_null(none.bytes);
    mailbox_stored(mailbox, mail.tag, 0, &answer);
    assert_int_equal(answer.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(answer.first[i], 5 + i);
        assert_memory_equal(answer.packets[i], packets[i], ONION_LEN);
    }
    assert_int_equal(mailbox_refused(mailbox), 0);
    assert_int_equal(budget.held[BUDGET_MAILBOX], 0);
}

static void test_silent_when_it_was_not_stored(void **state) {
    (void)state;
    struct mail_deposit made = deposit(1000);
    struct mailbox_mail mail;
    assert_int_equal(give_all(&made, &mail), DROP_NONE);
    mailbox_stored(mailbox, mail.tag, -ENOSPC, &answer);
    assert_int_equal(answer.n, 0);
    assert_int_equal(mailbox_refused(mailbox), 1);
}

/* One mail under two deposits, and the second is refused while the store reads the first one's
 * bytes. */
static void test_each_deposit_of_one_mail_ends_by_itself(void **state) {
    (void)state;
    static uint8_t stored[MAIL_BLOB_MAX];
    struct mail_deposit made = deposit(sizeof stored);
    struct mailbox_mail first, second;
    assert_int_equal(give_all(&made, &first), DROP_NONE);
    made.replies[0].first = 7;
    made.replies[1].first = 8;
    assert_int_equal(give_all(&made, &second), DROP_NONE);
    assert_memory_equal(&first.id, &second.id, sizeof first.id);
    assert_int_not_equal(first.tag, second.tag);
    mailbox_stored(mailbox, second.tag, -EDQUOT, &answer);
    assert_int_equal(answer.n, 0);
    assert_int_equal(mailbox_refused(mailbox), 1);
    memcpy(stored, first.bytes,
           sizeof stored); /* as the store does, at any time until it is done */
    assert_memory_equal(stored, blob, sizeof stored);
    mailbox_stored(mailbox, second.tag, 0, &answer); /* of none: nothing is done */
    mailbox_stored(mailbox, 0, 0, &answer);
    assert_int_equal(answer.n, 0);
    mailbox_stored(mailbox, first.tag, 0, &answer);
    assert_int_equal(answer.n, 2);
    assert_int_equal(answer.first[0], 5); /* the one that was stored is told, not the other */
    assert_int_equal(answer.first[1], 6);
    assert_int_equal(budget.held[BUDGET_MAILBOX], 0);
}

static void must_refuse(const struct mail_deposit *made, enum drop expected) {
    struct mailbox_mail mail;
    uint64_t before = mailbox_refused(mailbox);
    assert_int_equal(give_all(made, &mail), expected);
    assert_null(mail.bytes);
    assert_int_equal(mailbox_refused(mailbox), before + 1);
}

static void test_only_for_those_who_name_us(void **state) {
    (void)state;
    struct mail_deposit made = deposit(1000);
    struct mailbox_mail mail;
    made.descriptor_length = 0;
    must_refuse(&made, DROP_UNKNOWN); /* nobody knows the recipient */
    know(old_bytes, old_length);
    assert_int_equal(give_all(&made, &mail), DROP_NONE); /* the directory does */
    mailbox_stored(mailbox, mail.tag, 0, &answer);
    know(new_bytes, new_length);
    made.descriptor_length = old_length;
    must_refuse(&made, DROP_UNKNOWN); /* it did once */
    directory.known[0] = false;
    made.descriptor = new_bytes;
    made.descriptor_length = new_length;
    must_refuse(&made, DROP_UNKNOWN);
    uint8_t forged[DESCRIPTOR_MAX];
    memcpy(forged, old_bytes, old_length);
    forged[0] ^= 1;
    made.descriptor = forged;
    made.descriptor_length = old_length;
    must_refuse(&made, DROP_AUTH);
    made.descriptor = old_bytes;
    made.recipient.bytes[0] ^= 1; /* somebody else's descriptor */
    must_refuse(&made, DROP_MALFORMED);
}

/* A signature is checked within the share of the neighbour that brought it; one that nobody need
 * check costs nothing. */
static void test_signatures_are_rationed(void **state) {
    (void)state;
    struct mail_deposit made = deposit(1000);
    struct mailbox_mail mail;
    share_init(&share, 10); /* one in a window */
    assert_int_equal(give_all(&made, &mail), DROP_NONE);
    mailbox_stored(mailbox, mail.tag, 0, &answer);
    must_refuse(&made, DROP_LIMIT);
    know(old_bytes, old_length);
    assert_int_equal(give_all(&made, &mail), DROP_NONE);
    mailbox_stored(mailbox, mail.tag, 0, &answer);
}

static void test_time(void **state) {
    (void)state;
    struct mail_deposit made = deposit(1000);
    struct mailbox_mail mail;
    made.expires_ms = (uint64_t)wall_ms(wall);
    must_refuse(&made, DROP_TIME);
    made.expires_ms = UINT64_MAX;
    assert_int_equal(give_all(&made, &mail), DROP_NONE);
    assert_int_equal(mail.expires.us, wall.us + INT64_C(24) * MAIL_DAYS_MAX * US_PER_HOUR);
    mailbox_stored(mailbox, mail.tag, 0, &answer);
}

static void test_shards_that_do_not_agree(void **state) {
    (void)state;
    struct mail_deposit made = deposit(1000);
    struct mailbox_mail mail;
    cut_up(&made);
    assert_int_equal(give(0, 1, &mail), DROP_NONE);
    assert_int_equal(give(0, 1, &mail), DROP_DUPLICATE);
    cut.m--;
    assert_int_equal(give(1, 1, &mail), DROP_MALFORMED);
    cut.m++;
    cut.length--;
    assert_int_equal(give(1, 1, &mail), DROP_MALFORMED);
    mailbox_configure(mailbox, 0, 2); /* no volunteer any more */
    cut.length++;
    assert_int_equal(give(1, 1, &mail), DROP_UNKNOWN);
}

/* Begin a deposit of the largest kind in a slot, or one of few bytes. */
static void begin(unsigned slot, bool large) {
    struct mailbox_mail mail;
    test_bytes(deposit_id, sizeof deposit_id);
    cut = large ? (struct mail_cut){MAIL_SHARDS_MAX, 1, MAIL_SHARD_DATA_MAX}
                : (struct mail_cut){2, 1, 100};
    assert_int_equal(give(0, slot, &mail), DROP_NONE);
}

static void test_unfinished_ones_are_bounded(void **state) {
    (void)state;
    struct mail_deposit made = deposit(1000);
    struct mailbox_mail mail;
    uint8_t first[PARCEL_ID_LEN];
    cut_up(&made);
    memcpy(first, deposit_id, sizeof first);
    struct mail_cut first_cut = cut;
    assert_int_equal(give(0, 1, &mail), DROP_NONE);
    for (unsigned i = 1; i < MAILBOX_DEPOSITS_MAX / MAILBOX_SHARE; i++)
        begin(1, false); /* a neighbour's share, full */
    for (unsigned i = 0; i < 100; i++)
        begin(2, i % 2); /* another's flood changes nothing for it */
    assert_true(budget.held[BUDGET_MAILBOX] <= MAILBOX_BYTES_MAX);
    memcpy(deposit_id, first, sizeof first);
    cut = first_cut;
    assert_int_equal(give(0, 1, &mail), DROP_DUPLICATE); /* still there */
    begin(1, false);                                     /* one past the share: its oldest goes */
    memcpy(deposit_id, first, sizeof first);
    cut = first_cut;
    assert_int_equal(give(0, 1, &mail), DROP_NONE);
    for (unsigned slot = 0; slot < 20; slot++)
        for (unsigned i = 0; i < 10; i++)
            begin(slot, true);
    assert_true(budget.held[BUDGET_MAILBOX] <= MAILBOX_BYTES_MAX);
    clock_now = mono_add(clock_now, 10 * US_PER_MINUTE);
    mailbox_tick(mailbox, clock_now);
    assert_int_equal(budget.held[BUDGET_MAILBOX], 0); /* and in time they go */
}

/* Deposits of 50 kB by way of `slot`, each within 300 ms and one a second, while others of one
 * shard are begun by way of so many neighbours. Returns how many of 20 become complete. */
static unsigned complete_among(unsigned slot, unsigned neighbours, unsigned a_second) {
    unsigned n_complete = 0, turn = 0, owed = 0;
    for (unsigned k = 0; k < 20; k++) {
        struct mail_deposit made = deposit(50000);
        struct mailbox_mail mail = {.bytes = NULL};
        uint8_t id[PARCEL_ID_LEN];
        cut_up(&made);
        struct mail_cut honest = cut;
        memcpy(id, deposit_id, sizeof id);
        for (unsigned ms = 0, i = 0; ms < 1000; ms++) {
            for (owed += a_second; owed >= 1000; owed -= 1000)
                begin(1 + turn++ % neighbours, true);
            cut = honest;
            memcpy(deposit_id, id, sizeof id);
            if (i < honest.k && ms >= i * 300 / honest.k) {
                assert_int_equal(give(i++, slot, &mail), DROP_NONE);
                n_complete += mail.bytes != NULL;
                if (mail.bytes)
                    mailbox_stored(mailbox, mail.tag, -ENOSPC, &answer);
            }
            clock_now = mono_add(clock_now, US_PER_MS);
        }
    }
    return n_complete;
}

/* Four neighbours hold all, and who is behind them is anybody; the longest queue drops. */
static void test_four_neighbours_keep_nobody_out(void **state) {
    (void)state;
    for (unsigned a_second = 110; a_second <= 880; a_second *= 2)
        assert_int_equal(complete_among(9, 4, a_second), 20);
    assert_int_equal(complete_among(9, 16, 400), 20);
}

/* Nor is what grows driven out by what is only begun, where all come by one neighbour. */
static void test_what_grows_stays(void **state) {
    (void)state;
    assert_int_equal(complete_among(1, 1, 100), 20);
    assert_int_equal(complete_among(1, 1, 800), 20);
}

/* And what has stood still gives way to what begins. */
static void test_what_stands_still_goes(void **state) {
    (void)state;
    struct mailbox_mail mail;
    struct mail_deposit made = deposit(50000);
    uint8_t still[PARCEL_ID_LEN];
    cut_up(&made);
    struct mail_cut still_cut = cut;
    memcpy(still, deposit_id, sizeof still);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(give(i, 1, &mail), DROP_NONE);
    clock_now = mono_add(clock_now, 3 * US_PER_S);
    for (unsigned i = 0; i < MAILBOX_DEPOSITS_MAX / MAILBOX_SHARE; i++)
        begin(1, false);
    cut = still_cut;
    memcpy(deposit_id, still, sizeof still);
    assert_int_equal(give(0, 1, &mail), DROP_NONE); /* no duplicate: it is gone */
}

/* ---- The choice ---- */

static void fill_directory(void) {
    directory.n = NODES;
    for (size_t i = 0; i < NODES; i++) {
        test_bytes(&directory.entries[i].id, NODE_ID_LEN);
        directory.entries[i].prefix = node_id_prefix(&directory.entries[i].id);
        directory.entries[i].live = directory.up[i] = directory.known[i] = true;
        directory.entries[i].mailbox = i % 2 == 0;
    }
}
/* Let the time pass; returns whether anything was to be published meanwhile. */
static bool pass(struct mailbox *m, int64_t us) {
    bool changed = false;
    struct mono end = mono_add(clock_now, us);
    for (struct mono next; (next = mailbox_next(m)).us <= end.us;) {
        if (next.us > clock_now.us)
            clock_now = next;
        changed |= mailbox_tick(m, clock_now);
    }
    clock_now = end;
    return changed;
}
static size_t index_of(uint64_t prefix) {
    const struct directory_entry *entry = directory_find_prefix(&directory, prefix);
    assert_non_null(entry);
    return (size_t)(entry - directory.entries);
}

static void test_chosen_are_volunteers_that_are_up(void **state) {
    (void)state;
    uint64_t chosen[DESCRIPTOR_MAILBOXES_MAX];
    fill_directory();
    for (size_t i = 0; i < NODES - 6; i++)
        directory.up[i] = false;
    assert_true(pass(mailbox, US_PER_MINUTE));
    assert_int_equal(mailbox_chosen(mailbox, chosen), 2);
    assert_int_not_equal(chosen[0], chosen[1]);
    for (size_t i = 0; i < 2; i++) {
        assert_true(directory.entries[index_of(chosen[i])].mailbox);
        assert_true(directory.up[index_of(chosen[i])]);
    }
    mailbox_configure(mailbox, SIZE, 100);
    assert_true(pass(mailbox, US_PER_MINUTE));
    assert_int_equal(mailbox_chosen(mailbox, chosen), 3); /* as many as there are */
    mailbox_configure(mailbox, SIZE, 0);
    assert_true(pass(mailbox, US_PER_MINUTE));
    assert_int_equal(mailbox_chosen(mailbox, chosen), 0);
}

static void test_kept_while_they_live(void **state) {
    (void)state;
    uint64_t before[DESCRIPTOR_MAILBOXES_MAX], after[DESCRIPTOR_MAILBOXES_MAX];
    fill_directory();
    for (size_t i = 0; i < NODES; i += 4)
        directory.up[i] = false;
    pass(mailbox, US_PER_MINUTE);
    mailbox_chosen(mailbox, before);
    for (size_t i = 0; i < NODES; i++)
        directory.up[i] = true; /* better ones come: no reason to move */
    assert_false(pass(mailbox, 10 * US_PER_MINUTE));
    directory.up[index_of(before[0])] = false;
    assert_false(pass(mailbox, US_PER_MINUTE)); /* a restart */
    directory.up[index_of(before[0])] = true;
    assert_false(pass(mailbox, 10 * US_PER_MINUTE));
    directory.up[index_of(before[0])] = false;
    assert_true(pass(mailbox, 3 * US_PER_MINUTE));
    assert_int_equal(mailbox_chosen(mailbox, after), 2);
    assert_int_equal(after[0], before[1]);
    assert_int_not_equal(after[1], before[0]);
    directory.entries[index_of(after[1])].mailbox = false; /* it does not want to any more */
    assert_true(pass(mailbox, US_PER_MINUTE));
}

static void test_the_same_after_a_restart_and_not_the_same_for_all(void **state) {
    (void)state;
    uint64_t before[DESCRIPTOR_MAILBOXES_MAX], after[DESCRIPTOR_MAILBOXES_MAX];
    fill_directory();
    pass(mailbox, US_PER_MINUTE);
    mailbox_chosen(mailbox, before);
    mailbox_free(mailbox);
    mailbox = make(2);
    directory.n = 4; /* at first it knows few */
    pass(mailbox, 3 * US_PER_S);
    directory.n = NODES;
    pass(mailbox, US_PER_MINUTE);
    mailbox_chosen(mailbox, after);
    assert_memory_equal(before, after, 2 * sizeof *after);
    /* Another node: over some, other ones. */
    unsigned differ = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint8_t seed[32], link[32];
        struct identity *mine = own;
        test_bytes(seed, 32);
        test_bytes(link, 32);
        own = identity_new(seed, link, &test_random);
        struct mailbox *other = make(2);
        pass(other, US_PER_MINUTE);
        mailbox_chosen(other, after);
        differ += memcmp(before, after, 2 * sizeof *after) != 0;
        mailbox_free(other);
        identity_free(own);
        own = mine;
    }
    assert_true(differ > 4);
}

int main(int argc, char **argv) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_taken_and_confirmed_once_durable),
        TEST(test_silent_when_it_was_not_stored),
        TEST(test_each_deposit_of_one_mail_ends_by_itself),
        TEST(test_only_for_those_who_name_us),
        TEST(test_signatures_are_rationed),
        TEST(test_time),
        TEST(test_shards_that_do_not_agree),
        TEST(test_unfinished_ones_are_bounded),
        TEST(test_four_neighbours_keep_nobody_out),
        TEST(test_what_grows_stays),
        TEST(test_what_stands_still_goes),
        TEST(test_chosen_are_volunteers_that_are_up),
        TEST(test_kept_while_they_live),
        TEST(test_the_same_after_a_restart_and_not_the_same_for_all),
    };
    if (!test_begin(argc, argv))
        return 1;
    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
