/* link: daemon/io/control_convert daemon/io/control_encode daemon/io/control_text daemon/io/dest shared/frame shared/text shared/address proto/control.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/io/control_convert.h"
#include "daemon/io/control_text.h"
#include "daemon/io/dest.h"

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
    assert_int_equal(decoded.request.push.relays, RELAYS_DEFAULT);
    assert_true(decoded.request.push.expire_us == 5);
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
    assert_int_equal(decoded.request.push.relays, TOPOLOGY_RELAYS_MAX);
    control_decoded_free(&decoded);
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

static void test_status_names_every_counter(void **state) {
    struct status_report report = {.n_addresses = 1, .pool_min = 4, .uptime_us = 3};
    struct collected collected = {.n = 0};
    struct control_emit emit = {collect, &collected};
    struct answer answer = {.kind = ANSWER_STATUS, .end = true, .status = &report};
    (void)state;
    report.counters.datagrams_in = 11;
    report.counters.retransmissions = 12;
    report.counters.drops[DROP_NOT_RELAY] = 13;
    assert_true(control_encode(&answer, 1, false, MESSAGE_MAX, &emit));
    const P2pd__Control__StatusReport *status = collected.pieces[0]->status;
    assert_non_null(status);
    assert_int_equal(status->n_addresses, 1);
    assert_int_equal(status->n_counters, 17 + DROP_COUNT - 1);
    assert_string_equal(status->counters[0]->name, "datagrams_in");
    assert_true(status->counters[0]->value == 11);
    assert_string_equal(status->counters[10]->name, "retransmissions");
    assert_true(status->counters[10]->value == 12);
    assert_true(status->counters[status->n_counters - 1]->value == 13);
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

static void test_text_messages(void **state) {
    struct in_record records[2] = {{.size = 0}, {.body = (const uint8_t *)"a\nIP: b", .size = 7}};
    size_t length;
    (void)state;
    assert_int_equal(address_parse("10.0.0.9:5", &records[0].sender_address), 0);
    assert_int_equal(address_parse("::1", &records[1].sender_address), 0);
    uint8_t *text = control_text_messages(records, 2, &length);
    static const char want[] = "SUCCESS 2\nIP: 10.0.0.9 MSG:\nIP: ::1 MSG:a\\nIP: b\n";
    assert_non_null(text);
    assert_int_equal(length, sizeof want - 1);
    assert_memory_equal(text, want, length);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
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
