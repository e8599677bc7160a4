/* link: daemon/io/control/control_convert daemon/io/control/convert_daemon daemon/io/control/convert_decode daemon/io/control/convert_encode daemon/io/control/convert_files daemon/io/control/convert_history daemon/io/control/convert_inbox daemon/io/control/convert_messages daemon/io/control/convert_network daemon/io/control/convert_trust daemon/io/control/control_text daemon/io/control/dest shared/frame shared/text shared/address proto/control.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/wire/shard.h"
#include "daemon/io/control/control_convert.h"
#include "daemon/io/control/control_text.h"
#include "daemon/io/control/dest.h"

#include <errno.h>
#include <stdlib.h>

#define MESSAGE_MAX 1000
#define ID_HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* ---- Destinations ---- */

static struct destination parsed(const char *text) {
    struct destination destination;
    assert_int_equal(dest_parse(text, &destination), 0);
    return destination;
}

static void test_destinations_in_their_order(void **state) {
    (void)state;
    assert_int_equal(parsed("10.0.0.1").kind, DEST_ADDRESS);
    assert_int_equal(parsed("10.0.0.1").address.port, 0);
    assert_int_equal(parsed("10.0.0.1:7").address.port, 7);
    assert_int_equal(parsed("[::1]:8").address.port, 8);
    assert_int_equal(parsed(ID_HEX).kind, DEST_ID);
    assert_int_equal(parsed(ID_HEX).id[31], 0xef);
    assert_int_equal(parsed("ABCDEF01").kind, DEST_PREFIX);
    assert_int_equal(parsed("abcdef0").kind, DEST_NAME);
    assert_int_equal(parsed("alice-2.example_x").kind, DEST_NAME);
    assert_string_equal(parsed("alice").name, "alice");
}

static void test_odd_prefix_keeps_its_last_digit(void **state) {
    struct destination destination = parsed("abcdef012");
    (void)state;
    assert_int_equal(destination.n_digits, 9);
    assert_int_equal(destination.id[4], 0x20);
    assert_int_equal(destination.id[5], 0);
}

static void test_what_is_no_destination(void **state) {
    struct destination destination;
    (void)state;
    assert_int_equal(dest_parse("", &destination), -EINVAL);
    assert_int_equal(dest_parse("a b", &destination), -EINVAL);
    assert_int_equal(dest_parse("1.2.3.4:0", &destination), -EINVAL);
    assert_int_equal(dest_parse("caf\xc3\xa9", &destination), -EINVAL);
    assert_int_equal(dest_parse(ID_HEX "0", &destination), -EINVAL);
    assert_int_equal(dest_parse("n2345678901234567890123456789012", &destination), 0);
    assert_int_equal(dest_parse("n23456789012345678901234567890123", &destination), -EINVAL);
}

/* ---- Requests ---- */

static enum answer_code decode(P2pd__Control__Request *request, struct control_decoded *decoded,
                               char text[CONTROL_TEXT_MAX]) {
    size_t length;
    if (request->version == 0)
        request->version = CONTROL_VERSION;
    uint8_t *frame = frame_pack(&request->base, &length);
    assert_non_null(frame);
    enum answer_code code =
        control_decode(frame + FRAME_HEADER, length - FRAME_HEADER, MESSAGE_MAX, decoded, text);
    free(frame);
    return code;
}

struct push_fixture {
    P2pd__Control__Request request;
    P2pd__Control__Push push;
    uint8_t id[MESSAGE_ID_LEN], body[MESSAGE_MAX + 1];
};

static void make_push(struct push_fixture *fixture) {
    memset(fixture, 0, sizeof *fixture);
    p2pd__control__request__init(&fixture->request);
    p2pd__control__push__init(&fixture->push);
    memset(fixture->id, 0xab, sizeof fixture->id);
    fixture->push.to = (char *)"10.0.0.1";
    fixture->push.id = (ProtobufCBinaryData){sizeof fixture->id, fixture->id};
    fixture->push.body = (ProtobufCBinaryData){MESSAGE_MAX, fixture->body};
    fixture->request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH;
    fixture->request.push = &fixture->push;
    fixture->request.request_id = 9;
}

static void test_push(void **state) {
    struct control_decoded decoded;
    struct push_fixture fixture;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    make_push(&fixture);
    fixture.push.expire_us = 5;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.kind, DECODED_REQUEST);
    assert_int_equal(decoded.request.kind, REQUEST_PUSH);
    assert_int_equal(decoded.request.push.size, MESSAGE_MAX);
    assert_int_equal(decoded.request.push.options.relays, RELAYS_DEFAULT);
    assert_true(decoded.request.push.options.expire_us == 5);
    assert_memory_equal(decoded.request.push.id.bytes, fixture.id, MESSAGE_ID_LEN);
    assert_true(decoded.request_id == 9);
    control_decoded_free(&decoded);
}

static void test_push_bounds(void **state) {
    struct control_decoded decoded;
    struct push_fixture fixture;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    make_push(&fixture);
    fixture.push.body.len = MESSAGE_MAX + 1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_LIMIT);
    assert_true(decoded.request_id == 9);
    assert_non_null(strstr(text, "message too large"));
    make_push(&fixture);
    fixture.push.id.len = MESSAGE_ID_LEN - 1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    make_push(&fixture);
    fixture.push.relays_exact = true;
    fixture.push.relays = TOPOLOGY_RELAYS_MAX + 1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    make_push(&fixture);
    fixture.push.expire_us = -1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    make_push(&fixture);
    fixture.push.to = (char *)"no\x1b[2Jsuch";
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_UNKNOWN);
    assert_null(strchr(text, 0x1b));
    make_push(&fixture);
    fixture.push.relays_exact = true;
    fixture.push.relays = TOPOLOGY_RELAYS_MAX;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.request.push.options.relays, TOPOLOGY_RELAYS_MAX);
    control_decoded_free(&decoded);
}

/* ---- Many messages ---- */

struct many_fixture {
    P2pd__Control__Request request;
    P2pd__Control__PushMany many;
    uint8_t id[MESSAGE_ID_LEN], body[MESSAGE_MAX + 1];
    ProtobufCBinaryData ids[PUSH_MANY_MAX + 1], bodies[PUSH_MANY_MAX + 1];
};

static void make_many(struct many_fixture *fixture, size_t n, size_t size) {
    memset(fixture, 0, sizeof *fixture);
    p2pd__control__request__init(&fixture->request);
    p2pd__control__push_many__init(&fixture->many);
    for (size_t i = 0; i < n; i++) {
        fixture->ids[i] = (ProtobufCBinaryData){sizeof fixture->id, fixture->id};
        fixture->bodies[i] = (ProtobufCBinaryData){size, fixture->body};
    }
    fixture->many.to = (char *)"alice";
    fixture->many.n_ids = fixture->many.n_bodies = n;
    fixture->many.ids = fixture->ids;
    fixture->many.bodies = fixture->bodies;
    fixture->request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PUSH_MANY;
    fixture->request.push_many = &fixture->many;
}

static void test_push_many(void **state) {
    static struct many_fixture fixture;
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    make_many(&fixture, 2, MESSAGE_MAX);
    fixture.bodies[1].len = 0;
    fixture.many.wait = true;
    fixture.many.shards_k = 4;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.request.kind, REQUEST_PUSH_MANY);
    assert_int_equal(decoded.request.push_many.n, 2);
    assert_int_equal(decoded.request.push_many.items[0].size, MESSAGE_MAX);
    assert_int_equal(decoded.request.push_many.items[1].size, 0);
    assert_int_equal(decoded.request.push_many.to.kind, DEST_NAME);
    assert_int_equal(decoded.request.push_many.options.shards_k, 4);
    assert_int_equal(decoded.request.push_many.options.relays, RELAYS_DEFAULT);
    assert_true(decoded.request.push_many.wait);
    control_decoded_free(&decoded);
}

/* As many as there may be, as short as they may be: they are unpacked within the bound. */
static void test_push_many_bounds(void **state) {
    static struct many_fixture fixture;
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    for (size_t size = 0; size < 3; size++) {
        make_many(&fixture, PUSH_MANY_MAX, size);
        assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_OK);
        assert_int_equal(decoded.request.push_many.n, PUSH_MANY_MAX);
        control_decoded_free(&decoded);
    }
    make_many(&fixture, PUSH_MANY_MAX + 1, 1);
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_LIMIT);
    make_many(&fixture, 0, 1);
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    make_many(&fixture, 3, 1);
    fixture.many.n_ids = 2;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    make_many(&fixture, 3, 1);
    fixture.ids[2].len = MESSAGE_ID_LEN - 1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    /* One that is too long is the core's to refuse, and no reason to refuse those before it. */
    make_many(&fixture, 3, 1);
    fixture.bodies[2].len = MESSAGE_MAX + 1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_OK);
    assert_true(decoded.request.push_many.items[2].size == MESSAGE_MAX + 1);
    control_decoded_free(&decoded);
    make_many(&fixture, 3, 1);
    fixture.many.expire_us = -1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
}

static enum answer_code decode_shards(uint32_t k, uint32_t m) {
    struct control_decoded decoded;
    struct push_fixture fixture;
    char text[CONTROL_TEXT_MAX] = "";
    make_push(&fixture);
    fixture.push.shards_k = k;
    fixture.push.shards_m = m;
    enum answer_code code = decode(&fixture.request, &decoded, text);
    if (code == ANSWER_OK) {
        assert_int_equal(decoded.request.push.options.shards_k, k);
        assert_int_equal(decoded.request.push.options.shards_m, m);
        control_decoded_free(&decoded);
    }
    return code;
}

static void test_shards(void **state) {
    (void)state;
    assert_int_equal(decode_shards(0, 0), ANSWER_OK);
    assert_int_equal(decode_shards(1, 0), ANSWER_OK);
    assert_int_equal(decode_shards(SHARD_COUNT_MAX - 3, 3), ANSWER_OK);
    assert_int_equal(decode_shards(SHARD_COUNT_MAX - 3, 4), ANSWER_USAGE);
    assert_int_equal(decode_shards(SHARD_COUNT_MAX + 1, 0), ANSWER_USAGE);
    assert_int_equal(decode_shards(0, 1), ANSWER_USAGE);
    assert_int_equal(decode_shards(2, UINT32_MAX), ANSWER_USAGE);
}

/* ---- How it shall travel: in `options`, or as clients from before it say it ---- */

static P2pd__Control__SendOptions some_options(void) {
    P2pd__Control__SendOptions options = P2PD__CONTROL__SEND_OPTIONS__INIT;
    options.relays_exact = true;
    options.relays = 2;
    options.strict = true;
    options.expire_us = 77;
    options.shards_k = 3;
    options.shards_m = 1;
    return options;
}

static void assert_some_options(const struct send_options *options) {
    assert_int_equal(options->relays, 2);
    assert_true(options->strict);
    assert_true(options->expire_us == 77);
    assert_int_equal(options->shards_k, 3);
    assert_int_equal(options->shards_m, 1);
}

/* The fields that a client from before `options` writes, of whichever of the three commands. */
#define SAY_SOME_OPTIONS(command)                                                                  \
    do {                                                                                           \
        (command)->relays_exact = true;                                                            \
        (command)->relays = 2;                                                                     \
        (command)->strict = true;                                                                  \
        (command)->expire_us = 77;                                                                 \
        (command)->shards_k = 3;                                                                   \
        (command)->shards_m = 1;                                                                   \
    } while (0)

static void check_push_options(const struct push_fixture *fixture) {
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    P2pd__Control__Request request = fixture->request;
    P2pd__Control__Push push = fixture->push;
    request.push = &push;
    push.id.data = (uint8_t *)fixture->id;
    push.body.data = (uint8_t *)fixture->body;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_some_options(&decoded.request.push.options);
    control_decoded_free(&decoded);
}

static void test_options_of_a_push(void **state) {
    P2pd__Control__SendOptions options = some_options();
    struct control_decoded decoded;
    struct push_fixture fixture;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    make_push(&fixture);
    SAY_SOME_OPTIONS(&fixture.push);
    check_push_options(&fixture); /* an older client's */
    fixture.push.options = &options;
    check_push_options(&fixture); /* one that says both */
    make_push(&fixture);
    fixture.push.options = &options;
    check_push_options(&fixture);
    /* What is beside `options` says nothing, right or wrong. */
    fixture.push.relays = TOPOLOGY_RELAYS_MAX + 1;
    fixture.push.relays_exact = true;
    fixture.push.expire_us = -1;
    check_push_options(&fixture);
    options.relays = TOPOLOGY_RELAYS_MAX + 1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    assert_non_null(strstr(text, "relays"));
    options = some_options();
    options.expire_us = -1;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    assert_non_null(strstr(text, "expiry"));
    options = some_options();
    options.shards_k = 0;
    assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_USAGE);
    assert_non_null(strstr(text, "shards"));
}

static void test_options_of_many_and_of_a_file(void **state) {
    P2pd__Control__SendOptions options = some_options();
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    uint8_t id[MESSAGE_ID_LEN] = {1};
    struct control_decoded decoded;
    struct many_fixture fixture;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    for (int with = 0; with < 2; with++) {
        P2pd__Control__Send send = P2PD__CONTROL__SEND__INIT;
        make_many(&fixture, 1, 1);
        send.to = fixture.many.to;
        send.id = (ProtobufCBinaryData){sizeof id, id};
        send.name = (char *)"a";
        if (with) {
            fixture.many.options = send.options = &options;
        } else {
            SAY_SOME_OPTIONS(&fixture.many);
            SAY_SOME_OPTIONS(&send);
        }
        assert_int_equal(decode(&fixture.request, &decoded, text), ANSWER_OK);
        assert_some_options(&decoded.request.push_many.options);
        control_decoded_free(&decoded);
        request.command_case = P2PD__CONTROL__REQUEST__COMMAND_SEND;
        request.send = &send;
        assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
        assert_some_options(&decoded.request.push.options);
        control_decoded_free(&decoded);
    }
}

/* The bytes of a p2pctl from before `options`: push -w --relays 2 --strict --expire 77us. */
static void test_the_bytes_of_an_older_client(void **state) {
    static const uint8_t frame[] = {
        0x08, 0x01, 0x10, 0x07, 0x52, 0x2a,                     /* version, request_id, Push */
        0x0a, 0x08, '1',  '0',  '.',  '0',  '.', '0', '.', '1', /* to */
        0x12, 0x10, 1,    2,    3,    4,    5,   6,   7,   8,   /* id */
        9,    10,   11,   12,   13,   14,   15,  16,            /* */
        0x1a, 0x02, 'h',  'i',                                  /* body */
        0x20, 0x01, 0x28, 0x02, 0x30, 0x01,                     /* relays, strict */
        0x40, 0x01, 0x48, 0x4d,                                 /* wait, expire_us */
    };
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    assert_int_equal(control_decode(frame, sizeof frame, MESSAGE_MAX, &decoded, text), ANSWER_OK);
    assert_true(decoded.request_id == 7 && decoded.request.kind == REQUEST_PUSH);
    assert_int_equal(decoded.request.push.options.relays, 2);
    assert_true(decoded.request.push.options.strict && decoded.request.push.wait);
    assert_true(decoded.request.push.options.expire_us == 77);
    assert_int_equal(decoded.request.push.options.shards_k, 0);
    control_decoded_free(&decoded);
}

/* ---- Files, histories, rules ---- */

static P2pd__Control__Request request_of(P2pd__Control__Request__CommandCase command) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    request.command_case = command;
    return request;
}

static enum answer_code decode_send(const char *name, size_t id_length) {
    P2pd__Control__Request request = request_of(P2PD__CONTROL__REQUEST__COMMAND_SEND);
    P2pd__Control__Send send = P2PD__CONTROL__SEND__INIT;
    struct control_decoded decoded;
    uint8_t id[MESSAGE_ID_LEN + 1] = {1};
    char text[CONTROL_TEXT_MAX] = "";
    send.to = (char *)"10.0.0.1";
    send.id = (ProtobufCBinaryData){id_length, id};
    send.name = (char *)name;
    request.send = &send;
    enum answer_code code = decode(&request, &decoded, text);
    if (code == ANSWER_OK) {
        assert_int_equal(decoded.kind, DECODED_SEND);
        assert_true(decoded.request.push.check);
        assert_ptr_equal(decoded.request.push.file, &decoded.file);
        assert_string_equal(decoded.file.name, name);
        control_decoded_free(&decoded);
    }
    return code;
}

static void test_send(void **state) {
    char name[FILE_NAME_MAX + 2];
    (void)state;
    memset(name, 'n', sizeof name);
    name[FILE_NAME_MAX + 1] = '\0';
    assert_int_equal(decode_send(name, MESSAGE_ID_LEN), ANSWER_USAGE);
    name[FILE_NAME_MAX] = '\0';
    assert_int_equal(decode_send(name, MESSAGE_ID_LEN), ANSWER_OK);
    assert_int_equal(decode_send("n", MESSAGE_ID_LEN), ANSWER_OK);
    assert_int_equal(decode_send("", MESSAGE_ID_LEN), ANSWER_USAGE);
    assert_int_equal(decode_send("../n", MESSAGE_ID_LEN), ANSWER_USAGE);
    assert_int_equal(decode_send("n", MESSAGE_ID_LEN + 1), ANSWER_USAGE);
}

static enum answer_code decode_file_take(size_t id_length, size_t sender_length) {
    P2pd__Control__Request request = request_of(P2PD__CONTROL__REQUEST__COMMAND_FILE_TAKE);
    P2pd__Control__FileTake take = P2PD__CONTROL__FILE_TAKE__INIT;
    struct control_decoded decoded;
    uint8_t bytes[NODE_ID_LEN + 1] = {0xfe};
    char text[CONTROL_TEXT_MAX] = "";
    take.id = (ProtobufCBinaryData){id_length, bytes};
    take.sender = (ProtobufCBinaryData){sender_length, bytes};
    request.file_take = &take;
    enum answer_code code = decode(&request, &decoded, text);
    if (code == ANSWER_OK) {
        assert_int_equal(decoded.request.kind, REQUEST_FILE_TAKE);
        assert_int_equal(decoded.request.file.by_sender, sender_length > 0);
        assert_int_equal(decoded.request.file.id.bytes[0], 0xfe);
        if (sender_length > 0)
            assert_int_equal(decoded.request.file.sender.id[0], 0xfe);
        control_decoded_free(&decoded);
    }
    return code;
}

static void test_files_by_id_and_sender(void **state) {
    (void)state;
    assert_int_equal(decode_file_take(MESSAGE_ID_LEN, 0), ANSWER_OK);
    assert_int_equal(decode_file_take(MESSAGE_ID_LEN, NODE_ID_LEN), ANSWER_OK);
    assert_int_equal(decode_file_take(MESSAGE_ID_LEN, NODE_ID_LEN - 1), ANSWER_USAGE);
    assert_int_equal(decode_file_take(MESSAGE_ID_LEN, NODE_ID_LEN + 1), ANSWER_USAGE);
    assert_int_equal(decode_file_take(0, NODE_ID_LEN), ANSWER_USAGE);
}

static void test_history_and_rules(void **state) {
    P2pd__Control__Request request = request_of(P2PD__CONTROL__REQUEST__COMMAND_HISTORY);
    P2pd__Control__History history = P2PD__CONTROL__HISTORY__INIT;
    P2pd__Control__Rule rule = P2PD__CONTROL__RULE__INIT;
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    history.to = rule.to = (char *)"alice";
    history.since_us = 5;
    history.after = -3;
    request.history = &history;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.request.kind, REQUEST_HISTORY);
    assert_int_equal(decoded.request.history.since.us, 5);
    assert_true(decoded.request.history.until.us == INT64_MAX);
    assert_int_equal(decoded.request.history.after, -3);
    control_decoded_free(&decoded);
    history.until_us = -1;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_USAGE);

    request = request_of(P2PD__CONTROL__REQUEST__COMMAND_RULE);
    request.rule = &rule;
    rule.rule = P2PD__CONTROL__SENDER_RULE__RULE_BLOCK;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.request.rule.rule, RULE_BLOCK);
    control_decoded_free(&decoded);
    rule.rule = (P2pd__Control__SenderRule)3;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_USAGE);
}

static void test_pull_since(void **state) {
    P2pd__Control__Request request = request_of(P2PD__CONTROL__REQUEST__COMMAND_PULL);
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    struct control_decoded decoded;
    uint8_t id[MESSAGE_ID_LEN] = {3};
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    pull.since_us = 8;
    pull.since_id = (ProtobufCBinaryData){sizeof id, id};
    request.pull = &pull;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.request.pull.since.us, 8);
    assert_true(decoded.request.pull.since_message);
    assert_int_equal(decoded.request.pull.since_id.bytes[0], 3);
    control_decoded_free(&decoded);
    pull.since_id.len--;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_USAGE);
    pull.since_id.len = 0;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_false(decoded.request.pull.since_message);
    control_decoded_free(&decoded);
    pull.since_us = -1;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_USAGE);
}

static enum answer_code decode_backup(size_t length) {
    P2pd__Control__Request request = request_of(P2PD__CONTROL__REQUEST__COMMAND_BACKUP);
    P2pd__Control__Backup backup = P2PD__CONTROL__BACKUP__INIT;
    struct control_decoded decoded;
    static uint8_t passphrase[CONTROL_PASSPHRASE_MAX + 1];
    char text[CONTROL_TEXT_MAX] = "";
    backup.passphrase = (ProtobufCBinaryData){length, passphrase};
    request.backup = &backup;
    enum answer_code code = decode(&request, &decoded, text);
    if (code == ANSWER_OK) {
        assert_int_equal(decoded.kind, DECODED_BACKUP);
        assert_int_equal(decoded.passphrase.length, length);
        control_decoded_free(&decoded);
    }
    return code;
}

static void test_backup(void **state) {
    (void)state;
    assert_int_equal(decode_backup(0), ANSWER_USAGE);
    assert_int_equal(decode_backup(1), ANSWER_OK);
    assert_int_equal(decode_backup(CONTROL_PASSPHRASE_MAX), ANSWER_OK);
    assert_int_equal(decode_backup(CONTROL_PASSPHRASE_MAX + 1), ANSWER_USAGE);
}

static void test_versions_and_unknown_commands(void **state) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_USAGE);
    assert_non_null(strstr(text, "does not know"));
    request.version = CONTROL_VERSION + 1;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_USAGE);
    assert_non_null(strstr(text, "version"));
    assert_int_equal(control_decode((const uint8_t *)"\xff\xff", 2, MESSAGE_MAX, &decoded, text),
                     ANSWER_USAGE);
    assert_non_null(strstr(text, "malformed"));
}

static void test_other_requests(void **state) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__Pull pull = P2PD__CONTROL__PULL__INIT;
    P2pd__Control__Connect connect = P2PD__CONTROL__CONNECT__INIT;
    P2pd__Control__Stop stop = P2PD__CONTROL__STOP__INIT;
    struct control_decoded decoded;
    char text[CONTROL_TEXT_MAX] = "";
    (void)state;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_PULL;
    request.pull = &pull;
    pull.follow = true;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_true(decoded.request.pull.from_any && decoded.request.pull.wait);
    control_decoded_free(&decoded);
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CONNECT;
    request.connect = &connect;
    connect.address = (char *)"10.1.1.1";
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.request.connect.address.port, ADDRESS_PORT_DEFAULT);
    control_decoded_free(&decoded);
    connect.address = (char *)"example.org";
    assert_int_equal(decode(&request, &decoded, text), ANSWER_USAGE);
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_STOP;
    request.stop = &stop;
    assert_int_equal(decode(&request, &decoded, text), ANSWER_OK);
    assert_int_equal(decoded.kind, DECODED_COMMAND);
    assert_int_equal(decoded.command, CONTROL_STOP);
    control_decoded_free(&decoded);
}

/* Every command that control.proto has is in the table: what is sent empty may be refused, but as
 * a command that is known. */
static void test_every_command_is_known(void **state) {
    const ProtobufCMessageDescriptor *request = &p2pd__control__request__descriptor;
    unsigned n_commands = 0;
    (void)state;
    for (unsigned i = 0; i < request->n_fields; i++) {
        uint32_t number = request->fields[i].id;
        uint8_t frame[] = {8, 1, (uint8_t)((number << 3 | 2) | 0x80), (uint8_t)(number >> 4), 0};
        struct control_decoded decoded;
        char text[CONTROL_TEXT_MAX] = "";
        if (!(request->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF))
            continue;
        n_commands++;
        if (control_decode(frame, sizeof frame, MESSAGE_MAX, &decoded, text) == ANSWER_OK)
            control_decoded_free(&decoded);
        if (strstr(text, "does not know") || strstr(text, "malformed"))
            fail_msg("command %s (%u): %s", request->fields[i].name, number, text);
    }
    assert_int_equal(n_commands, request->n_fields - 2); /* all but version and request_id */
}

/* The asserts of convert_*.c compare value by value: here is that none was forgotten. */
static void test_no_enum_has_more_values_in_the_proto(void **state) {
    (void)state;
    assert_int_equal(p2pd__control__code__descriptor.n_values, 7); /* enum answer_code */
    assert_int_equal(p2pd__control__state__descriptor.n_values, MESSAGE_REFUSED + 1);
    assert_int_equal(p2pd__control__file_state__descriptor.n_values, FILE_OUTGOING + 1);
    assert_int_equal(p2pd__control__sender_rule__descriptor.n_values, RULE_BLOCK + 1);
}

/* ---- Answers ---- */

#define PIECES_MAX 16
struct collected {
    P2pd__Control__Answer *pieces[PIECES_MAX];
    struct frame_allocator allocators[PIECES_MAX];
    size_t n, refuse_at;
};

/* Through the wire and a client's bounded allocator, as in life. */
static bool collect(void *context, const P2pd__Control__Answer *message) {
    struct collected *collected = context;
    size_t length, i = collected->n++;
    assert_true(i < PIECES_MAX);
    uint8_t *frame = frame_pack(&message->base, &length);
    assert_non_null(frame);
    frame_allocator_init(&collected->allocators[i], length - FRAME_HEADER);
    collected->pieces[i] = p2pd__control__answer__unpack(
        &collected->allocators[i].allocator, length - FRAME_HEADER, frame + FRAME_HEADER);
    free(frame);
    assert_non_null(collected->pieces[i]);
    return collected->n != collected->refuse_at;
}

static void forget(struct collected *collected) {
    for (size_t i = 0; i < collected->n; i++)
        p2pd__control__answer__free_unpacked(collected->pieces[i],
                                             &collected->allocators[i].allocator);
    memset(collected, 0, sizeof *collected);
}

static void test_a_long_list_comes_in_pieces(void **state) {
    enum { N = 2 * CONTROL_RECORDS_MAX + 1 };
    static struct node_report nodes[N];
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_NODES, .end = true};
    (void)state;
    for (size_t i = 0; i < N; i++)
        nodes[i].last_seen.us = (int64_t)i;
    answer.nodes.v = nodes;
    answer.nodes.n = N;
    assert_true(control_encode(&answer, 5, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 3);
    assert_int_equal(collected.pieces[1]->n_nodes, CONTROL_RECORDS_MAX);
    assert_int_equal(collected.pieces[2]->n_nodes, 1);
    assert_true(collected.pieces[2]->nodes[0]->last_seen_us == N - 1);
    assert_false(collected.pieces[0]->end || collected.pieces[1]->end);
    assert_true(collected.pieces[2]->end && collected.pieces[2]->request_id == 5);
    forget(&collected);
    answer.nodes.n = CONTROL_RECORDS_MAX;
    assert_true(control_encode(&answer, 5, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 1);
    forget(&collected);
    collected.refuse_at = 1;
    answer.nodes.n = N;
    assert_false(control_encode(&answer, 5, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 1);
    forget(&collected);
}

static void test_messages_are_split_by_bytes(void **state) {
    static uint8_t body[MESSAGE_MAX];
    struct in_record records[3] = {{.body = body, .size = MESSAGE_MAX},
                                   {.body = body, .size = MESSAGE_MAX - 1},
                                   {.body = body, .size = 1}};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_MESSAGES};
    (void)state;
    memset(records[1].sender.bytes, 7, NODE_ID_LEN);
    answer.messages.v = records;
    answer.messages.n = 3;
    assert_true(control_encode(&answer, 1, true, MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 2);
    assert_int_equal(collected.pieces[0]->n_messages, 1);
    assert_false(collected.pieces[0]->confirm);
    assert_int_equal(collected.pieces[1]->n_messages, 2);
    assert_int_equal(collected.pieces[1]->messages[0]->sender.data[31], 7);
    assert_true(collected.pieces[1]->confirm && !collected.pieces[1]->end);
    forget(&collected);
}

static void test_many_small_messages_fit_a_clients_allocator(void **state) {
    static struct in_record records[CONTROL_RECORDS_MAX];
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_MESSAGES};
    (void)state;
    answer.messages.v = records;
    answer.messages.n = CONTROL_RECORDS_MAX;
    assert_true(control_encode(&answer, 1, true, MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 1);
    assert_int_equal(collected.pieces[0]->n_messages, CONTROL_RECORDS_MAX);
    forget(&collected);
}

static void test_a_page_says_where_to_go_on(void **state) {
    static const uint8_t body[MESSAGE_MAX];
    const struct file_head head = {.name = "photo.jpg"};
    struct history_record records[3] = {
        {.outgoing = true,
         .kind = KIND_MESSAGE,
         .state = MESSAGE_DELIVERED,
         .body = body,
         .size = MESSAGE_MAX},
        {.kind = KIND_MESSAGE, .taken = true, .body = (const uint8_t *)"hi", .size = 2},
        {.kind = KIND_FILE, .file = &head, .size = 1 << 30}};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_HISTORY, .end = true};
    (void)state;
    answer.history.v = records;
    answer.history.n = 3;
    answer.history.next = -7;
    answer.history.more = true;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 2);
    assert_int_equal(collected.pieces[0]->n_history, 1);
    assert_int_equal(collected.pieces[0]->history[0]->body.len, MESSAGE_MAX);
    assert_int_equal(collected.pieces[0]->history[0]->state, P2PD__CONTROL__STATE__DELIVERED);
    assert_false(collected.pieces[0]->more || collected.pieces[0]->end);
    assert_int_equal(collected.pieces[1]->n_history, 2);
    assert_true(collected.pieces[1]->history[0]->taken);
    assert_memory_equal(collected.pieces[1]->history[1]->file_name.data, "photo.jpg", 9);
    assert_int_equal(collected.pieces[1]->history[1]->body.len, 0);
    assert_true(collected.pieces[1]->more && collected.pieces[1]->end);
    assert_int_equal(collected.pieces[1]->next, -7);
    forget(&collected);
}

/* More than any frame may have: an error, and nothing of it. */
static void test_what_no_frame_holds_is_an_error(void **state) {
    const size_t size = FRAME_MESSAGE_MAX + FRAME_SLACK;
    uint8_t *body = calloc(1, size);
    struct history_record records[2] = {{.kind = KIND_MESSAGE, .body = body, .size = size},
                                        {.kind = KIND_MESSAGE, .body = body, .size = 1}};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_HISTORY, .end = true};
    (void)state;
    assert_non_null(body);
    answer.history.v = records;
    answer.history.n = 2;
    assert_true(control_encode(&answer, 4, false, FRAME_MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 1);
    assert_int_equal(collected.pieces[0]->code, P2PD__CONTROL__CODE__FAILED);
    assert_int_equal(collected.pieces[0]->n_history, 0);
    assert_non_null(strstr(collected.pieces[0]->text, "more than one frame"));
    assert_true(collected.pieces[0]->end && collected.pieces[0]->request_id == 4);
    forget(&collected);
    records[0].size = FRAME_MESSAGE_MAX; /* the largest message there can be */
    assert_true(control_encode(&answer, 4, false, FRAME_MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 2);
    assert_int_equal(collected.pieces[0]->history[0]->body.len, FRAME_MESSAGE_MAX);
    assert_true(collected.pieces[1]->end);
    forget(&collected);
    free(body);
}

static void test_conversations_files_rules_and_findings(void **state) {
    struct conversation_record conversation = {.waiting = 2, .last_text = "see you"};
    static struct file_record files[CONTROL_RECORDS_MAX + 1];
    struct rule_report rule = {.rule = RULE_ALLOW};
    struct finding finding = {.level = FINDING_TROUBLE, .topic = "clock", .text = "is wrong"};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_CONVERSATIONS, .end = true};
    (void)state;
    answer.conversations.v = &conversation;
    answer.conversations.n = 1;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.pieces[0]->conversations[0]->waiting, 2);
    assert_memory_equal(collected.pieces[0]->conversations[0]->last_text.data, "see you", 7);
    forget(&collected);
    for (size_t i = 0; i < CONTROL_RECORDS_MAX + 1; i++) {
        files[i].state = FILE_WAITING;
        memset(files[i].path, 'p', sizeof files[i].path - 1);
        memset(files[i].head.name, 'n', FILE_NAME_MAX);
    }
    answer = (struct answer){.kind = ANSWER_FILES, .end = true};
    answer.files.v = files;
    answer.files.n = CONTROL_RECORDS_MAX + 1;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.n, 2);
    assert_int_equal(collected.pieces[0]->files[5]->state, P2PD__CONTROL__FILE_STATE__FILE_WAITING);
    assert_int_equal(collected.pieces[0]->files[5]->name.len, FILE_NAME_MAX);
    forget(&collected);
    answer = (struct answer){.kind = ANSWER_RULES, .end = true};
    answer.rules.v = &rule;
    answer.rules.n = 1;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.pieces[0]->rules[0]->rule, P2PD__CONTROL__SENDER_RULE__RULE_ALLOW);
    forget(&collected);
    answer = (struct answer){.kind = ANSWER_DOCTOR, .end = true};
    answer.doctor.v = &finding;
    answer.doctor.n = 1;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.pieces[0]->findings[0]->level, 2);
    assert_string_equal(collected.pieces[0]->findings[0]->topic, "clock");
    forget(&collected);
}

static void test_trust_report(void **state) {
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct trust_report trust = {
        .id = {{1}}, .name = "new", .resent = true, .n_old = TRUST_OLD_MAX};
    struct answer answer = {.kind = ANSWER_TRUST, .end = true, .trust = &trust};
    (void)state;
    for (size_t i = 0; i < TRUST_OLD_MAX; i++)
        trust.old[i] = (struct trust_old){.id = {{2}}, .messages = i + 1, .sent = i};
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    const P2pd__Control__TrustReport *report = collected.pieces[0]->trust;
    assert_true(report->resent);
    assert_memory_equal(report->id.data, trust.id.bytes, NODE_ID_LEN);
    assert_int_equal(report->n_old, TRUST_OLD_MAX);
    assert_int_equal(report->old[TRUST_OLD_MAX - 1]->messages, TRUST_OLD_MAX);
    assert_int_equal(report->old[TRUST_OLD_MAX - 1]->sent, TRUST_OLD_MAX - 1);
    forget(&collected);
}

static void test_reports_on_messages(void **state) {
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_MESSAGE, .end = true};
    (void)state;
    answer.message.size = 9;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_false(collected.pieces[0]->message->known);
    assert_int_equal(collected.pieces[0]->message->size, 0);
    forget(&collected);
    answer.message.known = true;
    answer.message.kind = KIND_FILE;
    answer.message.mailboxes = 2;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_true(collected.pieces[0]->message->known);
    assert_int_equal(collected.pieces[0]->message->size, 9);
    assert_int_equal(collected.pieces[0]->message->kind, 2);
    assert_int_equal(collected.pieces[0]->message->mailboxes, 2);
    assert_int_equal(collected.pieces[0]->message->recipient.len, NODE_ID_LEN);
    forget(&collected);
    answer = (struct answer){.kind = ANSWER_MANY, .many = {.accepted = 3, .failed = 1}};
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.pieces[0]->many->accepted, 3);
    assert_int_equal(collected.pieces[0]->many->failed, 1);
    assert_false(collected.pieces[0]->end);
    forget(&collected);
}

static void test_status_names_every_counter(void **state) {
    struct status_report report = {.n_addresses = 1, .pool_min = 4, .uptime_us = 3};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_STATUS, .end = true, .status = &report};
    (void)state;
    report.counters.datagrams_in = 11;
    report.counters.retransmissions = 12;
    report.counters.memory_evicted = 14;
    report.counters.memory_refused = 15;
    report.counters.drops[DROP_NOT_RELAY] = 13;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    const P2pd__Control__StatusReport *status = collected.pieces[0]->status;
    assert_non_null(status);
    assert_int_equal(status->n_addresses, 1);
    /* All but that of DROP_NONE. */
    assert_int_equal(status->n_counters, sizeof(struct counters) / sizeof(uint64_t) - 1);
    assert_string_equal(status->counters[0]->name, "datagrams_in");
    assert_true(status->counters[0]->value == 11);
    assert_string_equal(status->counters[10]->name, "retransmissions");
    assert_true(status->counters[10]->value == 12);
    assert_true(status->counters[status->n_counters - 1]->value == 13);
    for (uint64_t value = 14; value <= 15; value++) {
        const char *name = value == 14 ? "memory_evicted" : "memory_refused";
        size_t at = 0;
        while (at < status->n_counters && strcmp(status->counters[at]->name, name) != 0)
            at++;
        assert_true(at < status->n_counters && status->counters[at]->value == value);
    }
    forget(&collected);
}

static void test_routes_messages_pings_and_refusals(void **state) {
    struct route_report routes[2] = {{.n_hops = 2}, {.n_hops = TOPOLOGY_RELAYS_MAX + 1}};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_ROUTES};
    (void)state;
    snprintf(routes[0].hops[1].name, sizeof routes[0].hops[1].name, "last");
    answer.routes.v = routes;
    answer.routes.n = 2;
    answer.routes.paths = 1e12;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.pieces[0]->routes->n_paths, 2);
    assert_string_equal(collected.pieces[0]->routes->paths[0]->hops[1]->name, "last");
    assert_int_equal(collected.pieces[0]->routes->paths[1]->n_hops, TOPOLOGY_RELAYS_MAX + 1);
    struct answer message = {.kind = ANSWER_MESSAGE, .end = true};
    message.message.state = MESSAGE_REFUSED;
    assert_true(control_encode(&message, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.pieces[1]->message->state, P2PD__CONTROL__STATE__REFUSED);
    struct answer ping = {.kind = ANSWER_PING, .end = true, .ping = {5, -1}};
    assert_true(control_encode(&ping, 1, false, MESSAGE_MAX, &emit));
    assert_true(collected.pieces[2]->ping->direct_us == -1);
    struct answer refusal = {.kind = ANSWER_TEXT, .code = ANSWER_KEY_CHANGED, .text = "why"};
    assert_true(control_encode(&refusal, 1, false, MESSAGE_MAX, &emit));
    assert_int_equal(collected.pieces[3]->code, P2PD__CONTROL__CODE__KEY_CHANGED);
    assert_string_equal(collected.pieces[3]->text, "why");
    forget(&collected);
}

static void test_every_kind_of_answer_is_known(void **state) {
    struct status_report status = {.uptime_us = 1};
    struct trust_report trust = {.n_old = 0};
    (void)state;
    for (enum answer_kind kind = 0; kind < ANSWER_KINDS; kind++) {
        struct collected collected = {.n = 0};
        struct control_emit emit = {collect, &collected};
        struct answer answer = {.kind = kind, .end = true};
        if (kind == ANSWER_STATUS)
            answer.status = &status;
        if (kind == ANSWER_TRUST)
            answer.trust = &trust;
        assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
        assert_int_equal(collected.n, 1);
        assert_true(collected.pieces[0]->end);
        forget(&collected);
    }
}

/* Its numbers go out under their own names, none in another's place. */
static void test_status_has_every_number(void **state) {
    struct status_report report = {.network_open = true};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_STATUS, .end = true, .status = &report};
    int next = 0;
    (void)state;
#define SET(type, name, text) report.name = (type)(100 + next++);
    STATUS_NUMBERS(SET)
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    const P2pd__Control__StatusReport *status = collected.pieces[0]->status;
    next = 0;
#define CHECK(type, name, text) assert_true(status->name == (type)(100 + next++));
    STATUS_NUMBERS(CHECK)
    assert_int_equal(status->network, 1);
    /* version, id, name, addresses, network and counters are no numbers of the table. */
    assert_int_equal(p2pd__control__status_report__descriptor.n_fields, next + 6);
    forget(&collected);
}

/* ---- Plain text ---- */

static struct control_text text_of(const char *request) {
    return control_text_parse((const uint8_t *)request, strlen(request));
}

static void test_text_requests(void **state) {
    (void)state;
    assert_int_equal(text_of("PULL").kind, CONTROL_TEXT_PULL);
    assert_int_equal(text_of("PULL\r\n").kind, CONTROL_TEXT_PULL);
    struct control_text push = text_of("PUSH IP:10.0.0.1 MSG: two  words\nrest");
    assert_int_equal(push.kind, CONTROL_TEXT_PUSH);
    assert_int_equal(push.to.port, 0);
    assert_int_equal(push.size, 11);
    assert_memory_equal(push.body, " two  words", 11);
    assert_int_equal(text_of("PUSH IP:::1 MSG:").size, 0);
    assert_int_equal(text_of("PUSH IP:::1 MSG:").kind, CONTROL_TEXT_PUSH);
    static const char *const bad[] = {"",
                                      "\n",
                                      "PUL",
                                      "PULLX",
                                      "PULL x",
                                      "pull",
                                      "PUSH",
                                      "PUSH IP:10.0.0.1",
                                      "PUSH IP:10.0.0.1 MSG",
                                      "PUSH IP:10.0.0 MSG:x",
                                      "PUSH IP: MSG:x",
                                      "PUSHIP:10.0.0.1 MSG:x",
                                      "PUSH MSG:x IP:10.0.0.1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(text_of(bad[i]).kind, CONTROL_TEXT_MALFORMED);
}

static void expect_line(const char *address, const char *body, const char *want) {
    struct in_record record = {.body = (const uint8_t *)body, .size = (uint32_t)strlen(body)};
    size_t length;
    assert_int_equal(address_parse(address, &record.sender_address), 0);
    uint8_t *text = control_text_line(&record, &length);
    assert_non_null(text);
    assert_int_equal(length, strlen(want));
    assert_memory_equal(text, want, length);
    free(text);
}

static void test_text_messages(void **state) {
    (void)state;
    expect_line("10.0.0.9:5", "", "IP: 10.0.0.9 MSG:\n");
    expect_line("::1", "a\nIP: b", "IP: ::1 MSG:a\\nIP: b\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push_many),
        cmocka_unit_test(test_push_many_bounds),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_options_of_a_push),
        cmocka_unit_test(test_options_of_many_and_of_a_file),
        cmocka_unit_test(test_the_bytes_of_an_older_client),
        cmocka_unit_test(test_every_command_is_known),
        cmocka_unit_test(test_no_enum_has_more_values_in_the_proto),
        cmocka_unit_test(test_every_kind_of_answer_is_known),
        cmocka_unit_test(test_status_has_every_number),
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_files_by_id_and_sender),
        cmocka_unit_test(test_history_and_rules),
        cmocka_unit_test(test_pull_since),
        cmocka_unit_test(test_backup),
        cmocka_unit_test(test_a_page_says_where_to_go_on),
        cmocka_unit_test(test_what_no_frame_holds_is_an_error),
        cmocka_unit_test(test_conversations_files_rules_and_findings),
        cmocka_unit_test(test_trust_report),
        cmocka_unit_test(test_reports_on_messages),
        cmocka_unit_test(test_destinations_in_their_order),
        cmocka_unit_test(test_odd_prefix_keeps_its_last_digit),
        cmocka_unit_test(test_what_is_no_destination),
        cmocka_unit_test(test_push),
        cmocka_unit_test(test_push_bounds),
        cmocka_unit_test(test_versions_and_unknown_commands),
        cmocka_unit_test(test_other_requests),
        cmocka_unit_test(test_a_long_list_comes_in_pieces),
        cmocka_unit_test(test_messages_are_split_by_bytes),
        cmocka_unit_test(test_many_small_messages_fit_a_clients_allocator),
        cmocka_unit_test(test_status_names_every_counter),
        cmocka_unit_test(test_routes_messages_pings_and_refusals),
        cmocka_unit_test(test_text_requests),
        cmocka_unit_test(test_text_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
