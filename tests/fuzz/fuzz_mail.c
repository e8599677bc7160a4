/* link: daemon/core/wire/mail daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise */
/* A deposit, a shard of one, mail and its plaintext, of any bytes: refused, or within the bounds
 * that mailbox and inbox count on; what is taken encodes to the same bytes. */
#include "daemon/core/wire/mail.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
    if (!condition)
        abort();
}

static bool is_within(const uint8_t *at, size_t length, const uint8_t *data, size_t size) {
    return at >= data && length <= (size_t)(data + size - at);
}

static void fuzz_deposit(const uint8_t *data, size_t size) {
    static uint8_t again[MAIL_DEPOSIT_MAX];
    struct mail_deposit deposit;
    if (mail_deposit_decode(data, size, &deposit) != DROP_NONE)
        return;
    check(deposit.n_replies <= MAIL_REPLIES_MAX);
    for (unsigned i = 0; i < deposit.n_replies; i++)
        check(is_within(deposit.replies[i].packet, ONION_LEN, data, size));
    check(deposit.descriptor_length <= DESCRIPTOR_MAX);
    check(is_within(deposit.descriptor, deposit.descriptor_length, data, size));
    check(deposit.blob_length >= MAIL_BLOB_MIN && deposit.blob_length <= MAIL_BLOB_MAX);
    check(is_within(deposit.blob, deposit.blob_length, data, size));
    struct wire_writer writer = wire_writer(again, sizeof again);
    mail_deposit_encode(&deposit, &writer);
    check(!writer.failed && wire_length(&writer) <= size);
    check(memcmp(again, data, wire_length(&writer)) == 0);
}

static void fuzz_shard(const uint8_t *data, size_t size) {
    uint8_t again[ONION_PAYLOAD_MAX];
    struct mail_shard shard;
    if (mail_shard_decode(data, size, &shard) != DROP_NONE)
        return;
    check(shard.cut.k >= 1 && shard.cut.k + shard.cut.m <= (int)SHARD_COUNT_MAX);
    check(shard.index < shard.cut.k + shard.cut.m);
    check(shard.cut.length >= 1 && shard.cut.length <= MAIL_SHARD_DATA_MAX);
    check(mail_shard_encode(&shard, again) == size && memcmp(again, data, size) == 0);
}

/* Sealed by a sender that is proven, and may have written anything. */
static void fuzz_plain(const uint8_t *data, size_t size) {
    struct wire_reader reader = wire_reader(data, size);
    struct mail_head head;
    struct parcel_item item;
    if (mail_get_head(&reader, &head) != DROP_NONE)
        return;
    check(head.descriptor_length <= DESCRIPTOR_MAX);
    check(is_within(head.descriptor, head.descriptor_length, data, size));
    while (wire_left(&reader) > 0 && parcel_get_item(&reader, &item) == DROP_NONE && item.kind)
        check(is_within(item.bytes, item.length, data, size));
}

static void fuzz_blob(const uint8_t *data, size_t size) {
    static const struct noise_keypair key = {.secret = {1}, .public = {9}};
    static const struct node_id self = {{2}};
    static uint8_t plain[MAIL_BLOB_MAX];
    uint8_t link_key[KEY_LEN];
    size_t length;
    mail_day(data, size);
    if (size < MAIL_BLOB_MIN || size > MAIL_BLOB_MAX)
        return;
    check(mail_open(&key, &self, data, size, plain, &length, link_key) != DROP_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_deposit(data, size);
    fuzz_shard(data, size);
    fuzz_plain(data, size);
    fuzz_blob(data, size);
    return 0;
}
