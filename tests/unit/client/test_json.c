/* link: client/common/json client/common/json_message client/common/json_shape client/common/words shared/text shared/address proto/control.pb-c */
/* JSON of messages into a buffer. What p2pctl prints of each command is test_ctl_json's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/common/json_shape.h"

#include <string.h>

struct buffer {
    char text[4096];
    size_t length;
};

static void put(void *context, const char *bytes, size_t length) {
    struct buffer *buffer = context;
    assert_true(buffer->length + length < sizeof buffer->text);
    memcpy(buffer->text + buffer->length, bytes, length);
    buffer->length += length;
    buffer->text[buffer->length] = '\0';
}

static void expect(const ProtobufCMessage *message, const char *want) {
    struct buffer buffer = {.length = 0};
    struct json json = {.put = put, .context = &buffer};
    json_message(&json, message);
    assert_string_equal(buffer.text, want);
}

static void values_stand_in_order_with_commas_between(void **state) {
    struct buffer buffer = {.length = 0};
    struct json json = {.put = put, .context = &buffer};
    const ProtobufCBinaryData bytes = {3, (uint8_t *)"\0\xff\x10"};
    (void)state;
    json_open(&json, '[');
    json_open(&json, '{');
    json_close(&json, '}');
    json_open(&json, '{');
    json_key(&json, "a");
    json_number(&json, UINT64_MAX);
    json_key(&json, "b");
    json_open(&json, '[');
    json_hex(&json, &bytes);
    json_base64(&json, &bytes);
    json_bytes(&json, &bytes);
    json_string(&json, "");
    json_text(&json, "");
    json_bool(&json, true);
    json_signed(&json, INT64_MIN);
    json_decimal(&json, -0.5, 2);
    json_ms(&json, -1);
    json_close(&json, ']');
    json_close(&json, '}');
    json_close(&json, ']');
    assert_string_equal(buffer.text,
                        "[{},{\"a\":18446744073709551615,\"b\":[\"00ff10\",\"AP8Q\","
                        "\"\\u0000\xef\xbf\xbd\\u0010\",null,\"\",true,-9223372036854775808,"
                        "-0.50,null]}]");
}

static void numbers_that_json_has_not_are_null(void **state) {
    struct buffer buffer = {.length = 0};
    struct json json = {.put = put, .context = &buffer};
    (void)state;
    json_decimal(&json, 1.0 / 0.0, 2);
    json_decimal(&json, 0.0 / 0.0, 2);
    assert_string_equal(buffer.text, "null,null");
}

/* Of a message without a table, and of fields that no row of a table names. */
static void fields_have_forms_by_default(void **state) {
    P2pd__Control__TrustReport trust = P2PD__CONTROL__TRUST_REPORT__INIT;
    P2pd__Control__OldKey key = P2PD__CONTROL__OLD_KEY__INIT, *keys[] = {&key, &key};
    P2pd__Control__Peer peer = P2PD__CONTROL__PEER__INIT;
    uint8_t address[18] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1, [17] = 80};
    (void)state;
    trust.old = keys;
    trust.n_old = 2;
    key.id = (ProtobufCBinaryData){2, (uint8_t *)"\xab\x01"};
    key.sent = 7;
    trust.address = peer.address = (ProtobufCBinaryData){18, address};
    expect(&trust.base, "{\"id\":\"\",\"address\":\"10.0.0.1:80\",\"name\":null,\"resent\":false,"
                        "\"old\":[{\"id\":\"ab01\",\"name\":null,\"messages\":0,\"sent\":7},"
                        "{\"id\":\"ab01\",\"name\":null,\"messages\":0,\"sent\":7}]}");
    peer.rtt_us = 1234567;
    peer.bytes_out = 5;
    expect(&peer.base, "{\"address\":\"10.0.0.1:80\",\"name\":null,\"id\":\"\","
                       "\"rtt_ms\":1234.567,\"since\":\"1970-01-01T00:00:00.000Z\","
                       "\"state\":null,\"bytes_in\":0,\"bytes_out\":5,\"dialled\":false}");
}

static void a_message_that_is_not_set_is_no_member(void **state) {
    P2pd__Control__Answer answer = P2PD__CONTROL__ANSWER__INIT;
    P2pd__Control__PingReport ping = P2PD__CONTROL__PING_REPORT__INIT;
    struct buffer buffer = {.length = 0};
    struct json json = {.put = put, .context = &buffer};
    (void)state;
    ping.direct_us = -1;
    answer.ping = &ping;
    json_message(&json, &answer.base);
    assert_non_null(strstr(buffer.text, "\"ping\":{\"onion_ms\":0.000,\"direct_ms\":null}"));
    assert_null(strstr(buffer.text, "\"status\""));
}

/* Every row names a field that there is, whatever is renamed in the protocol: json_message asserts
 * it. */
static void tables_name_fields_that_there_are(void **state) {
    const ProtobufCMessageDescriptor *answer = &p2pd__control__answer__descriptor;
    (void)state;
    for (unsigned i = 0; i < answer->n_fields; i++) {
        union {
            ProtobufCMessage base;
            uint8_t room[1024];
        } message;
        if (answer->fields[i].type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        const ProtobufCMessageDescriptor *descriptor = answer->fields[i].descriptor;
        struct buffer buffer = {.length = 0};
        struct json json = {.put = put, .context = &buffer};
        assert_true(descriptor->sizeof_message <= sizeof message);
        protobuf_c_message_init(descriptor, &message);
        json_message(&json, &message.base);
        assert_int_equal(buffer.text[0], '{');
        for (const struct row *row = json_shape_rows(descriptor); row->field || row->name; row++)
            assert_true(row->special ||
                        protobuf_c_message_descriptor_get_field_by_name(descriptor, row->field));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stand_in_order_with_commas_between),
        cmocka_unit_test(numbers_that_json_has_not_are_null),
        cmocka_unit_test(fields_have_forms_by_default),
        cmocka_unit_test(a_message_that_is_not_set_is_no_member),
        cmocka_unit_test(tables_name_fields_that_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
