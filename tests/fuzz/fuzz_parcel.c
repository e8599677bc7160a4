/* link: daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise */
/* A parcel's plaintext, a shard and receipts of any bytes: refused, or within the bounds that
 * outbox and inbox count on; what is taken encodes to the same bytes. */
#include "daemon/core/wire/parcel.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition) {
    if (!condition)
        abort();
}

static void fuzz_items(const uint8_t *data, size_t size) {
    struct wire_reader reader = wire_reader(data, size);
    struct node_id sender;
    struct parcel_item item;
    if (parcel_get_head(&reader, &sender) != DROP_NONE)
        return;
    while (wire_left(&reader) > 0 && parcel_get_item(&reader, &item) == DROP_NONE) {
        if (!item.kind) { /* padding, and nothing behind it */
            check(wire_left(&reader) == 0);
            return;
        }
        check(item.bytes >= data && item.length <= (size_t)(data + size - item.bytes));
        check(item.length <= item.total && item.offset <= item.total - item.length);
        check((item.kind == KIND_FILE) == (item.name != NULL));
        if (item.name) {
            check(item.name_length >= 1 && item.name_length <= FILE_NAME_MAX);
            check(!memchr(item.name, 0, item.name_length));
            check(item.digest + FILE_DIGEST_LEN + 1 == (const uint8_t *)item.name);
            check((const uint8_t *)item.name + item.name_length == item.bytes);
        }
    }
}

static void fuzz_shard(const uint8_t *data, size_t size) {
    static const uint8_t key[KEY_LEN];
    uint8_t again[ONION_PAYLOAD_MAX];
    struct parcel_shard shard;
    if (parcel_shard_decode(data, size, &shard) != DROP_NONE)
        return;
    check(shard.k >= 1 && shard.k + shard.m <= (int)SHARD_COUNT_MAX);
    check(shard.index < shard.k + shard.m);
    check((size_t)shard.k * shard.length <= PARCEL_SEALED_MAX + SHARD_TRANSFORM_LEN);
    check(shard.length >= 1 && shard.length <= PARCEL_SHARD_DATA_MAX);
    bool authentic = parcel_shard_is_authentic(&shard, key);
    check(parcel_shard_encode(&shard, key, again) == size);
    check(authentic == (memcmp(again, data, size) == 0));
}

static void fuzz_receipts(const uint8_t *data, size_t size) {
    static const uint8_t key[KEY_LEN];
    struct wire_reader reader = wire_reader(data, size);
    struct parcel_receipt receipt;
    while (wire_left(&reader) > 0 && parcel_receipt_decode(&reader, &receipt) == DROP_NONE) {
        uint8_t again[PARCEL_RECEIPT_MAX];
        struct wire_writer writer = wire_writer(again, sizeof again);
        check(receipt.k + receipt.m <= (int)SHARD_COUNT_MAX);
        check(receipt.n_paths <= PARCEL_RECEIPT_PATHS_MAX);
        bool authentic = parcel_receipt_is_authentic(&receipt, key);
        parcel_receipt_encode(&receipt, key, &writer);
        size_t length = (size_t)(reader.at - receipt.start);
        check(!writer.failed && wire_length(&writer) == length);
        check(authentic == (memcmp(again, receipt.start, length) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_items(data, size);
    fuzz_shard(data, size);
    fuzz_receipts(data, size);
    return 0;
}
