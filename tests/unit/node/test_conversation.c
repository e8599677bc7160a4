/* link: libp2pd-core.a shared/address */
/* A whole node, alone: what it asks its store when clients ask it, and what it makes of the
 * results. The test is the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/core/node/node.h"
#include "tests/unit/harness.h"
#include "tests/unit/node/fake_effects.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>

static struct node *node;
static struct node_update update;
static struct mono now;
#define OPS_MAX 512
static struct store_op ops[OPS_MAX]; /* under way */
static size_t n_ops;

static struct node_id id_of(uint8_t number) {
    struct node_id id = {{number, 0xab}};
    return id;
}
static int start(const struct node_boot *boot) {
    struct node_config config;
    node_config_init(&config);
    config.random = test_random;
    config.bootstrap = NULL;
    test_rewind();
    test_bytes(config.node_seed, sizeof config.node_seed);
    test_bytes(config.link_secret, sizeof config.link_secret);
    now = (struct mono){US_PER_S};
    n_ops = 0;
    node = node_new(&config, boot, (struct now){now, (struct wall){INT64_C(490000) * US_PER_HOUR}});
    assert_non_null(node);
    return 0;
}
static int setup(void **state) {
    static const struct node_boot boot;
    (void)state;
    return start(&boot);
}
static int teardown(void **state) {
    (void)state;
    node_free(node);
    scratch_left = SCRATCH_ENDLESS;
    return 0;
}
static void step(struct node_event event) {
    event.now.mono = now = mono_add(now, 1000);
    event.now.wall = (struct wall){INT64_C(490000) * US_PER_HOUR + now.us};
    node_step(node, &event, &update);
    for (size_t i = 0; i < update.n_ops; i++) {
        assert_true(n_ops < OPS_MAX);
        ops[n_ops++] = update.ops[i];
    }
}
static void ask(struct request request) {
    step((struct node_event){.kind = EVENT_REQUEST, .request = request});
}
/* Answer what is under way, with success, up to the first operation of a kind; that one with
 * `result`. */
static void give(enum store_kind kind, struct store_result result) {
    for (;;) {
        assert_true(n_ops > 0);
        bool last = ops[0].kind == kind;
        struct store_result one = {0};
        if (last)
            one = result;
        one.tag = ops[0].tag;
        one.kind = ops[0].kind;
        memmove(ops, ops + 1, --n_ops * sizeof *ops);
        step((struct node_event){.kind = EVENT_STORED, .stored = {&one, 1}});
        if (last)
            return;
    }
}
static const struct store_op *under_way(enum store_kind kind) {
    for (size_t i = 0; i < n_ops; i++)
        if (ops[i].kind == kind)
            return &ops[i];
    return NULL;
}
static const struct answer *answered(uint64_t client) {
    for (size_t i = 0; i < update.n_answers; i++)
        if (update.answers[i].client == client)
            return &update.answers[i];
    return NULL;
}
static struct destination by_id(uint8_t number) {
    struct destination to = {.kind = DEST_ID};
    struct node_id id = id_of(number);
    memcpy(to.id, id.bytes, NODE_ID_LEN);
    return to;
}
static struct destination by_name(const char *name) {
    struct destination to = {.kind = DEST_NAME};
    snprintf(to.name, sizeof to.name, "%s", name);
    return to;
}

/* ---- Histories ---- */

static void test_history(void **state) {
    (void)state;
    struct file_head head = {.name = "f"};
    struct history_record records[2] = {
        {.kind = KIND_MESSAGE, .body = (const uint8_t *)"hello", .size = 5},
        {.outgoing = true, .kind = KIND_FILE, .file = &head, .size = UINT64_C(1) << 40}};
    struct request request = {.client = 1, .kind = REQUEST_HISTORY};
    request.history.to = by_id(3); /* nobody knows it: its id will do */
    request.history.since.us = 5;
    request.history.after = 9;
    ask(request);
    const struct store_op *op = under_way(STORE_HISTORY);
    assert_non_null(op);
    struct node_id peer = id_of(3);
    assert_true(node_id_is_equal(&op->history.peer, &peer));
    assert_int_equal(op->history.since.us, 5);
    assert_int_equal(op->history.after, 9);
    assert_true(op->history.limit > 0 && op->history.bytes > 0);
    give(STORE_HISTORY,
         (struct store_result){.history = records, .n_records = 2, .more = true, .next = 77});
    const struct answer *answer = answered(1);
    assert_int_equal(answer->kind, ANSWER_HISTORY);
    assert_true(answer->end && answer->history.more);
    assert_int_equal(answer->history.n, 2);
    assert_int_equal(answer->history.next, 77);
    assert_true(answer->history.v[0].body != records[0].body); /* a copy */
    assert_memory_equal(answer->history.v[0].body, "hello", 5);
    assert_true(answer->history.v[1].file != &head);
    assert_string_equal(answer->history.v[1].file->name, "f");
}

static void test_conversations(void **state) {
    (void)state;
    struct conversation_record record = {.peer = id_of(4), .name = "ann", .waiting = 2};
    ask((struct request){.client = 1, .kind = REQUEST_CONVERSATIONS, .history = {.after = 6}});
    assert_int_equal(under_way(STORE_CONVERSATIONS)->conversations.after, 6);
    give(STORE_CONVERSATIONS,
         (struct store_result){.conversations = &record, .n_records = 1, .next = 8});
    assert_int_equal(answered(1)->kind, ANSWER_CONVERSATIONS);
    assert_int_equal(answered(1)->conversations.n, 1);
    assert_string_equal(answered(1)->conversations.v[0].name, "ann");
    assert_false(answered(1)->conversations.more);
    ask((struct request){.client = 2, .kind = REQUEST_CONVERSATIONS});
    give(STORE_CONVERSATIONS, (struct store_result){.error = -EIO});
    assert_int_equal(answered(2)->code, ANSWER_FAILED);
}

/* A name that the network has forgotten and the store has not: its pages are looked through. */
static void test_names_of_long_ago(void **state) {
    (void)state;
    struct conversation_record first[2] = {{.peer = id_of(4), .name = "ann"},
                                           {.peer = id_of(5), .name = "bob"}},
                               second = {.peer = id_of(6), .name = "bob"};
    struct request request = {.client = 1, .kind = REQUEST_FORGET};
    request.history.to = by_name("ann");
    struct store_result pages[2] = {
        {.conversations = first, .n_records = 2, .more = true, .next = 2},
        {.conversations = &second, .n_records = 1}};
    ask(request);
    give(STORE_CONVERSATIONS, pages[0]);
    assert_int_equal(under_way(STORE_CONVERSATIONS)->conversations.after, 2);
    give(STORE_CONVERSATIONS, pages[1]);
    struct node_id ann = id_of(4);
    assert_true(node_id_is_equal(&under_way(STORE_FORGET)->forget.peer, &ann));
    give(STORE_FORGET, (struct store_result){.n_forgotten = 5, .more = true});
    assert_true(node_id_is_equal(&under_way(STORE_FORGET)->forget.peer, &ann));
    give(STORE_FORGET, (struct store_result){.n_forgotten = 7});
    assert_int_equal(answered(1)->code, ANSWER_OK);
    assert_non_null(strstr(answered(1)->text, "12 forgotten"));
    request.client = 2;
    request.history.to = by_name("bob"); /* two of them */
    ask(request);
    give(STORE_CONVERSATIONS, pages[0]);
    give(STORE_CONVERSATIONS, pages[1]);
    assert_int_equal(answered(2)->kind, ANSWER_NODES);
    assert_int_equal(answered(2)->code, ANSWER_UNKNOWN);
    assert_int_equal(answered(2)->nodes.n, 2);
    request.client = 3;
    request.history.to = by_name("eve\n\x1b[");
    ask(request);
    give(STORE_CONVERSATIONS, pages[0]);
    give(STORE_CONVERSATIONS, pages[1]);
    assert_int_equal(answered(3)->code, ANSWER_UNKNOWN);
    assert_string_equal(answered(3)->text,
                        "no node named eve\\x0a\\x1b[ is known (see p2pctl nodes)");
    assert_null(under_way(STORE_FORGET));
}

static void test_by_address_and_prefix(void **state) {
    (void)state;
    struct address at = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 9}, .port = 1000};
    struct conversation_record record = {.peer = id_of(0x4f), .address = at};
    struct request request = {.client = 1, .kind = REQUEST_HISTORY};
    struct destination asked[] = {{.kind = DEST_ADDRESS, .address = at},
                                  {.kind = DEST_ADDRESS, .address = at},
                                  {.kind = DEST_ADDRESS, .address = at},
                                  {.kind = DEST_PREFIX, .id = {0x4f, 0xa0}, .n_digits = 3},
                                  {.kind = DEST_PREFIX, .id = {0x4f, 0xa0}, .n_digits = 4}};
    asked[1].address.port = 0;
    asked[2].address.port = 1001;
    static const bool found[] = {true, true, false, true, false};
    for (size_t i = 0; i < 5; i++) {
        request.history.to = asked[i];
        ask(request);
        give(STORE_CONVERSATIONS, (struct store_result){.conversations = &record, .n_records = 1});
        assert_int_equal(under_way(STORE_HISTORY) != NULL, found[i]);
        if (found[i])
            give(STORE_HISTORY, (struct store_result){0});
        else
            assert_int_equal(answered(1)->code, ANSWER_UNKNOWN);
    }
}

/* ---- Files ---- */

static struct file_record file_of(uint8_t peer, enum file_state state) {
    return (struct file_record){.state = state,
                                .id = {{1}},
                                .peer = id_of(peer),
                                .path = "/var/lib/p2pd/files/a",
                                .size = 100,
                                .held = state == FILE_INCOMING ? 40 : 100};
}
static void open_file(uint64_t client, enum request_kind kind, int sender) {
    struct request request = {.client = client, .kind = kind, .file = {.id = {{1}}}};
    request.file.by_sender = sender >= 0;
    if (sender >= 0)
        request.file.sender = by_id((uint8_t)sender);
    ask(request);
    assert_true(under_way(STORE_FILES)->files.one);
}

static void test_file_open(void **state) {
    (void)state;
    struct file_record both[3] = {file_of(1, FILE_WAITING), file_of(2, FILE_INCOMING),
                                  file_of(3, FILE_OUTGOING)};
    struct store_result all = {.files = both, .n_records = 3};
    open_file(1, REQUEST_FILE_OPEN, -1);
    give(STORE_FILES, all);
    assert_int_equal(answered(1)->code, ANSWER_UNKNOWN); /* whose? */
    open_file(1, REQUEST_FILE_OPEN, 1);
    give(STORE_FILES, all);
    assert_int_equal(answered(1)->kind, ANSWER_FILES);
    assert_int_equal(answered(1)->files.n, 1);
    assert_string_equal(answered(1)->files.v[0].path, both[0].path);
    open_file(1, REQUEST_FILE_OPEN, 2);
    give(STORE_FILES, all);
    assert_int_equal(answered(1)->code, ANSWER_FAILED);
    assert_string_equal(answered(1)->text, "it is not complete yet: 40 of 100 bytes are here");
    open_file(1, REQUEST_FILE_OPEN, 3); /* our own */
    give(STORE_FILES, all);
    assert_int_equal(answered(1)->code, ANSWER_UNKNOWN);
    all.n_records = 1;
    open_file(1, REQUEST_FILE_OPEN, -1);
    give(STORE_FILES, all);
    assert_int_equal(answered(1)->files.n, 1);
}

static void test_file_take(void **state) {
    (void)state;
    struct file_record one = file_of(7, FILE_WAITING);
    struct node_id sender = id_of(7);
    static const int errors[] = {0, -ENOENT, -EIO};
    static const enum answer_code codes[] = {ANSWER_OK, ANSWER_UNKNOWN, ANSWER_FAILED};
    for (size_t i = 0; i < 3; i++) {
        open_file(1, REQUEST_FILE_TAKE, -1);
        give(STORE_FILES, (struct store_result){.files = &one, .n_records = 1});
        const struct store_op *op = under_way(STORE_FILE_TAKE);
        assert_non_null(op);
        assert_true(node_id_is_equal(&op->file_take.sender, &sender));
        give(STORE_FILE_TAKE, (struct store_result){.error = errors[i]});
        assert_int_equal(answered(1)->code, codes[i]);
    }
}

static void test_files(void **state) {
    (void)state;
    struct file_record both[2] = {file_of(1, FILE_WAITING), file_of(2, FILE_INCOMING)};
    ask((struct request){.client = 1, .kind = REQUEST_FILES, .history = {.after = 3}});
    assert_false(under_way(STORE_FILES)->files.one);
    assert_int_equal(under_way(STORE_FILES)->files.after, 3);
    give(STORE_FILES,
         (struct store_result){.files = both, .n_records = 2, .more = true, .next = 9});
    assert_int_equal(answered(1)->files.n, 2);
    assert_int_equal(answered(1)->files.next, 9);
    assert_true(answered(1)->files.more);
}

/* ---- Rules ---- */

static void rule(uint64_t client, uint8_t peer, enum sender_rule what, int error) {
    struct request request = {.client = client, .kind = REQUEST_RULE};
    request.rule.to = by_id(peer);
    request.rule.rule = what;
    ask(request);
    assert_null(answered(client)); /* nothing is said before it is stored */
    assert_int_equal(under_way(STORE_RULE_PUT)->rule_put.rule, what);
    give(STORE_RULE_PUT, (struct store_result){.error = error});
}
static size_t rules(struct rule_report *ret_first) {
    ask((struct request){.client = 99, .kind = REQUEST_RULES});
    assert_int_equal(answered(99)->kind, ANSWER_RULES);
    if (answered(99)->rules.n > 0)
        *ret_first = answered(99)->rules.v[0];
    return answered(99)->rules.n;
}

static void test_rules(void **state) {
    (void)state;
    struct rule_report first;
    rule(1, 5, RULE_BLOCK, 0);
    assert_int_equal(answered(1)->code, ANSWER_OK);
    assert_non_null(strstr(answered(1)->text, "blocked"));
    assert_int_equal(rules(&first), 1);
    assert_int_equal(first.rule, RULE_BLOCK);
    rule(1, 6, RULE_ALLOW, -EIO); /* not stored: not in force */
    assert_int_equal(answered(1)->code, ANSWER_FAILED);
    assert_int_equal(rules(&first), 1);
    rule(1, 5, RULE_NONE, 0);
    assert_int_equal(rules(&first), 0);
    struct boot_rule kept = {id_of(8), RULE_ALLOW};
    struct node_boot boot = {.rules = &kept, .n_rules = 1};
    node_free(node);
    start(&boot);
    assert_int_equal(rules(&first), 1);
    assert_true(node_id_is_equal(&first.id, &kept.id));
    struct request request = {.client = 2, .kind = REQUEST_RULE};
    request.rule.to.kind = DEST_ID;
    memcpy(request.rule.to.id, node_id(node)->bytes, NODE_ID_LEN);
    request.rule.rule = RULE_BLOCK;
    ask(request);
    assert_int_equal(answered(2)->code, ANSWER_USAGE);
    assert_null(under_way(STORE_RULE_PUT));
}

/* ---- Clients ---- */

static void test_client_gone(void **state) {
    (void)state;
    struct rule_report first;
    struct request request = {.client = 1, .kind = REQUEST_RULE};
    request.rule.to = by_id(5);
    request.rule.rule = RULE_BLOCK;
    ask(request);
    ask((struct request){.client = 1, .kind = REQUEST_CONVERSATIONS});
    step((struct node_event){.kind = EVENT_CLIENT_GONE, .client = 1});
    give(STORE_RULE_PUT, (struct store_result){0});
    give(STORE_CONVERSATIONS, (struct store_result){0});
    assert_int_equal(rules(&first), 1); /* stored is in force */
}

static void test_bounded(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 256; i++) {
        ask((struct request){.client = i, .kind = REQUEST_CONVERSATIONS});
        assert_null(answered(i));
    }
    ask((struct request){.client = 256, .kind = REQUEST_CONVERSATIONS});
    assert_int_equal(answered(256)->code, ANSWER_LIMIT);
    give(STORE_CONVERSATIONS, (struct store_result){0});
    ask((struct request){.client = 257, .kind = REQUEST_CONVERSATIONS});
    assert_null(answered(257));
}

static void test_unknown_destinations(void **state) {
    (void)state;
    struct request request = {.client = 1, .kind = REQUEST_PUSH};
    request.push.to = by_name("nobody");
    ask(request);
    assert_int_equal(answered(1)->code, ANSWER_UNKNOWN);
    assert_string_equal(answered(1)->text, "no node named nobody is known (see p2pctl nodes)");
    request.push.to = by_name("12345678901234567890123456789012");
    memset(request.push.to.name, 1, NODE_NAME_MAX);
    ask(request); /* the longest, all of it escaped */
    assert_non_null(strstr(answered(1)->text, "\\x01 is known"));
    request.push.to = (struct destination){.kind = DEST_PREFIX, .id = {0x4f, 0xa0}, .n_digits = 3};
    ask(request);
    assert_non_null(strstr(answered(1)->text, "with the id 4fa is"));
    request.push.to = by_id(0xcd);
    ask(request);
    assert_non_null(strstr(answered(1)->text, "with the id cdab00"));
}

/* ---- Out of memory ---- */

/* There is nothing to put records in: whoever asked is told so, once, and waits for nothing more.
 */
static void expect_no_memory(uint64_t client) {
    assert_true(scratch_refused > 0);
    assert_int_equal(update.n_answers, 1);
    assert_int_equal(answered(client)->code, ANSWER_LIMIT);
    assert_int_equal(answered(client)->kind, ANSWER_TEXT);
    assert_true(answered(client)->end);
    assert_string_equal(answered(client)->text, "out of memory");
}
static void run_out(size_t left) {
    scratch_left = left;
    scratch_refused = 0;
}

static void test_no_memory_for_what_is_known(void **state) {
    static const enum request_kind kinds[] = {REQUEST_STATUS, REQUEST_PEERS, REQUEST_NODES,
                                              REQUEST_ROUTE,  REQUEST_RULES, REQUEST_DOCTOR};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct request request = {.client = i, .kind = kinds[i]};
        if (kinds[i] == REQUEST_ROUTE) {
            request.to.to.kind = DEST_ID;
            memcpy(request.to.to.id, node_id(node)->bytes, NODE_ID_LEN);
            request.to.count = 1;
        }
        run_out(0);
        ask(request);
        expect_no_memory(i);
    }
}

static void test_no_memory_for_what_the_store_has(void **state) {
    struct file_head head = {.name = "f"};
    struct history_record record = {.body = (const uint8_t *)"hello", .size = 5, .file = &head};
    struct conversation_record bobs[2] = {{.peer = id_of(4), .name = "bob"},
                                          {.peer = id_of(5), .name = "bob"}};
    struct file_record file = file_of(1, FILE_WAITING);
    struct request request = {.client = 1, .kind = REQUEST_HISTORY};
    (void)state;
    request.history.to = by_id(3);
    for (size_t left = 0; left < 3; left++) { /* the list, the file's head, the body */
        ask(request);
        run_out(left);
        give(STORE_HISTORY, (struct store_result){.history = &record, .n_records = 1});
        expect_no_memory(1);
    }
    ask((struct request){.client = 2, .kind = REQUEST_CONVERSATIONS});
    run_out(0);
    give(STORE_CONVERSATIONS, (struct store_result){.conversations = bobs, .n_records = 2});
    expect_no_memory(2);
    ask((struct request){.client = 3, .kind = REQUEST_FILES});
    give(STORE_FILES, (struct store_result){.files = &file, .n_records = 1});
    assert_int_equal(answered(3)->code, ANSWER_LIMIT);
    open_file(4, REQUEST_FILE_OPEN, -1);
    run_out(0);
    give(STORE_FILES, (struct store_result){.files = &file, .n_records = 1});
    expect_no_memory(4);
    request.client = 5;
    request.history.to = by_name("bob"); /* whichever is meant: both are named */
    ask(request);
    run_out(0);
    give(STORE_CONVERSATIONS, (struct store_result){.conversations = bobs, .n_records = 2});
    expect_no_memory(5);
}

/* ---- The doctor ---- */

static void test_doctor(void **state) {
    (void)state;
    ask((struct request){.client = 1, .kind = REQUEST_DOCTOR});
    const struct answer *answer = answered(1);
    assert_int_equal(answer->kind, ANSWER_DOCTOR);
    assert_true(answer->end && answer->doctor.n >= 1);
    assert_string_equal(answer->doctor.v[0].topic, "neighbours");
    assert_int_equal(answer->doctor.v[0].level, FINDING_TROUBLE);
    ask((struct request){.client = 2, .kind = REQUEST_FILES});
    give(STORE_FILES, (struct store_result){.error = -EROFS});
    ask((struct request){.client = 1, .kind = REQUEST_DOCTOR});
    bool disk = false;
    for (size_t i = 0; i < answered(1)->doctor.n; i++)
        disk |= strcmp(answered(1)->doctor.v[i].topic, "disk") == 0;
    assert_true(disk);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_history),
        TEST(test_conversations),
        TEST(test_names_of_long_ago),
        TEST(test_by_address_and_prefix),
        TEST(test_file_open),
        TEST(test_file_take),
        TEST(test_files),
        TEST(test_rules),
        TEST(test_client_gone),
        TEST(test_bounded),
        TEST(test_unknown_destinations),
        TEST(test_no_memory_for_what_is_known),
        TEST(test_no_memory_for_what_the_store_has),
        TEST(test_doctor),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
