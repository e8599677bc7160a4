/* link: libp2pd-core.a shared/address */
/* Requests on a whole node. Pushes to addresses, none of whose dials is answered: whom it asks, and
 * for how long. The doctor, where many messages wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/node/doctor.h"
#include "daemon/core/node/node_private.h"
#include "daemon/core/node/serve.h"
#include "daemon/core/wire/identity.h"
#include "tests/unit/harness.h"

#include <sodium.h>

#define OTHERS 16
#define LOOK_US (10 * US_PER_MS)
#define ASKED_MAX 1024

static struct fixture {
    struct node_config config;
    struct node *node;
    struct identity *others[OTHERS];
    uint8_t bytes[OTHERS][DESCRIPTOR_MAX];
    struct boot_node boot[OTHERS];
    struct mono now, began;
    struct wall wall;
    struct test_stream stream;
    struct address asked[ASKED_MAX]; /* each once */
    size_t n_asked;
    int64_t answered_us[128]; /* by client: after so long; 0: not yet */
    enum answer_code code[128];
    unsigned answers[128];                        /* by client, too */
    struct finding findings[DOCTOR_FINDINGS_MAX]; /* the doctor's, as it answered last */
    size_t n_findings;
    struct mono wake;
    char dropped[SPOOL_NAME_MAX + 1]; /* as the store was told last */
} f;

static struct address address(const char *text) {
    struct address parsed;
    assert_int_equal(address_parse(text, &parsed), 0);
    return parsed;
}

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    f.now.us = f.began.us = US_PER_HOUR;
    f.wall.us = INT64_C(500000) * EPOCH_US;
    node_config_init(&f.config);
    f.config.node_seed[0] = 1;
    f.config.link_secret[0] = 2;
    f.config.random = (struct core_random){test_fill, &f.stream};
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    node_free(f.node);
    for (size_t i = 0; i < OTHERS; i++)
        identity_free(f.others[i]);
    return 0;
}

/* The node, and `n` others that claim four ports each of 192.0.2.1, then 192.0.2.2...: `each` of
 * them one IP. */
static void begin(size_t n, size_t each) {
    struct node_boot boot = {.nodes = f.boot, .n_nodes = n};

    for (size_t i = 0; i < n; i++) {
        struct descriptor descriptor = {.sequence = (uint64_t)(f.wall.us / US_PER_MS)};
        uint8_t seed[32] = {3, (uint8_t)i}, secret[32] = {4, (uint8_t)i};
        f.others[i] = identity_new(seed, secret, &f.config.random);
        identity_advance(f.others[i], f.wall);
        for (unsigned k = 0; k < DESCRIPTOR_ADDRESSES_MAX; k++) {
            struct address *at = &descriptor.addresses[descriptor.n_addresses++];
            *at = address("192.0.2.1:7000");
            at->ip[15] = (uint8_t)(1 + i / each);
            at->port = (uint16_t)(7000 + 10 * i + k);
        }
        int length = descriptor_sign(&descriptor, f.others[i], f.wall, f.bytes[i]);
        f.boot[i] = (struct boot_node){.bytes = f.bytes[i], .length = (size_t)length};
    }
    f.node = node_new(&f.config, &boot, (struct now){f.now, f.wall});
    assert_non_null(f.node);
}

static bool was_asked(const struct address *place) {
    for (size_t i = 0; i < f.n_asked; i++)
        if (address_is_equal(&f.asked[i], place))
            return true;
    return false;
}

static void step(struct node_event event) {
    struct node_update update;

    event.now.mono = f.now;
    event.now.wall = f.wall;
    node_step(f.node, &event, &update);
    f.wake = update.wake;
    for (size_t i = 0; i < update.n_datagrams; i++)
        if (!was_asked(&update.datagrams[i].remote) && f.n_asked < ASKED_MAX)
            f.asked[f.n_asked++] = update.datagrams[i].remote;
    for (size_t i = 0; i < update.n_answers; i++) {
        f.answered_us[update.answers[i].client] = f.now.us - f.began.us;
        f.code[update.answers[i].client] = update.answers[i].code;
        f.answers[update.answers[i].client]++;
        if (update.answers[i].kind == ANSWER_DOCTOR) {
            f.n_findings = update.answers[i].doctor.n;
            memcpy(f.findings, update.answers[i].doctor.v, f.n_findings * sizeof *f.findings);
        }
    }
    for (size_t i = 0; i < update.n_ops; i++)
        if (update.ops[i].kind == STORE_UPLOAD_DROP)
            memcpy(f.dropped, update.ops[i].upload_drop.spool, sizeof f.dropped);
}

static void run(int64_t for_us) {
    for (int64_t until = f.now.us + for_us; f.now.us < until;) {
        f.now.us += LOOK_US;
        f.wall.us += LOOK_US;
        step((struct node_event){.kind = EVENT_TIMER});
    }
}

static void push_to(uint64_t client, const char *text, const char *spool) {
    struct node_event event = {.kind = EVENT_REQUEST};
    static struct file_head head = {.name = "x"};

    event.request.client = client;
    event.request.kind = REQUEST_PUSH;
    event.request.push.to.kind = DEST_ADDRESS;
    event.request.push.to.address = address(text);
    event.request.push.options.relays = RELAYS_DEFAULT;
    event.request.push.id.bytes[0] = (uint8_t)client;
    if (spool) {
        event.request.push.kind = KIND_FILE;
        event.request.push.file = &head;
        memcpy(event.request.push.spool, spool, strlen(spool) + 1);
    }
    step(event);
}

/* Of the places of an IP: how many were asked. */
static size_t count_asked(const char *text) {
    struct address ip = address(text);
    size_t n = 0;
    for (size_t i = 0; i < f.n_asked; i++)
        n += address_is_same_ip(&f.asked[i], &ip);
    return n;
}

static void expect_waits(size_t settling, size_t outbox, size_t inbox) {
    assert_int_equal(f.node->clients.n[CLIENT_SETTLING], settling);
    assert_int_equal(f.node->clients.n[CLIENT_OUTBOX], outbox);
    assert_int_equal(f.node->clients.n[CLIENT_INBOX], inbox);
}

/* Where many claim the ports of an IP the default one is asked at once, and the others after each
 * other. */
static void test_asking_goes_on(void **state) {
    struct address usual = address("192.0.2.1:58008");
    (void)state;
    begin(8, 8);
    push_to(1, "192.0.2.1", NULL);
    assert_true(was_asked(&usual));
    run(US_PER_S - LOOK_US);
    size_t at_first = count_asked("192.0.2.1");
    run(US_PER_S);
    assert_true(count_asked("192.0.2.1") >= at_first + 6); /* the dead take long to fail */
    run(4 * US_PER_S);
    assert_int_equal(f.answered_us[1], 0); /* there are claims that were not asked */
    run(3 * US_PER_S);
    assert_true(f.answered_us[1] > 6 * US_PER_S);
    assert_int_equal(f.code[1], ANSWER_UNKNOWN);
    assert_true(count_asked("192.0.2.1") >= 24);
}

/* While others' dials take all places nobody has been asked: that is no answer. */
static void test_what_found_no_place_is_asked_later(void **state) {
    struct address other = address("198.51.100.9:4000");
    (void)state;
    begin(16, 2);
    for (uint64_t i = 0; i < 8; i++) {
        char text[] = "192.0.2.1";
        text[8] = (char)('1' + i);
        push_to(i, text, NULL);
    }
    run(2 * US_PER_S);
    f.began = f.now;
    push_to(100, "198.51.100.9:4000", NULL);
    assert_false(was_asked(&other)); /* else nothing is tested */
    run(US_PER_S);
    assert_int_equal(f.answered_us[100], 0);
    run(US_PER_S); /* the first dials have ended */
    assert_true(was_asked(&other));
    assert_int_equal(f.answered_us[100], 0);
    run(6 * US_PER_S);
    assert_int_equal(f.code[100], ANSWER_UNKNOWN);
}

/* It was met there, and may have left: whoever is there now is asked. */
static void test_who_was_met_long_ago_is_asked(void **state) {
    struct address place = address("192.0.2.1:7000");
    (void)state;
    begin(1, 1);
    directory_handshaken(f.node->directory, identity_id(f.others[0]), &place,
                         (struct now){f.now, f.wall});
    run(US_PER_MINUTE);
    f.began = f.now;
    push_to(1, "192.0.2.1:7000", NULL);
    run(US_PER_S);
    assert_int_equal(f.answered_us[1], 0);
    run(8 * US_PER_S);
    assert_int_equal(f.code[1], ANSWER_UNKNOWN);
    assert_false(directory_find(f.node->directory, identity_id(f.others[0]))->pinned);
}

/* News of other nodes comes as fast as they like: it is not looked at each time. */
static void test_judging_is_paced(void **state) {
    unsigned looks = 0;
    (void)state;
    begin(8, 8);
    push_to(1, "192.0.2.1", NULL);
    struct mono judged = f.node->settling.judged;
    for (unsigned i = 0; i < 1000; i++) {
        f.node->settling.news = true;
        f.now.us += US_PER_MS;
        step((struct node_event){.kind = EVENT_TIMER});
        looks += f.node->settling.judged.us != judged.us;
        judged = f.node->settling.judged;
    }
    assert_in_range(looks, 8, 11);
}

static void answer_from(const char *text, const struct node_id *id) {
    struct link_event event = {.kind = LINK_EVENT_ANSWERED, .address = address(text)};

    event.link.address = event.address;
    event.link.purpose = LINK_PROBE;
    event.link.id = *id;
    node_settle_answered(f.node, &event);
    f.now.us += US_PER_MS;
    step((struct node_event){.kind = EVENT_TIMER});
}

/* The first message to an address does not wait for the pace: whoever answers there ends it, and
 * there are no more such answers than dials of ours. Another's does not. */
static void test_the_answer_that_is_waited_for_is_judged_at_once(void **state) {
    (void)state;
    begin(2, 1);
    push_to(1, "192.0.2.1:7000", NULL);
    step((struct node_event){.kind = EVENT_TIMER});
    f.node->settling.news = true;
    step((struct node_event){.kind = EVENT_TIMER});
    assert_int_equal(f.node->settling.judged.us, f.now.us); /* else nothing is tested */
    answer_from("192.0.2.2:7010", identity_id(f.others[1]));
    expect_waits(1, 0, 0);
    answer_from("192.0.2.1:7000", identity_id(f.others[0]));
    expect_waits(0, 1, 0); /* it is the store's turn */
}

/* The store does not know it yet, and nobody will tell it. */
static void test_a_file_whose_client_goes_is_dropped(void **state) {
    (void)state;
    begin(1, 1);
    push_to(1, "192.0.2.1:7000", "one.up");
    push_to(2, "192.0.2.1:7000", "two.up");
    assert_string_equal(f.dropped, "");
    step((struct node_event){.kind = EVENT_CLIENT_GONE, .client = 1});
    assert_string_equal(f.dropped, "one.up");
    push_to(3, "192.0.2.1:7000", NULL); /* a message has none */
    f.dropped[0] = '\0';
    step((struct node_event){.kind = EVENT_CLIENT_GONE, .client = 3});
    assert_string_equal(f.dropped, "");
}

/* ---- Clients ---- */

/* Each request is counted where it waits, from when it is asked until it has been answered to the
 * end or its client is gone. */
static void test_who_waits_is_counted(void **state) {
    struct node_event pull = {.kind = EVENT_REQUEST,
                              .request = {.client = 2, .kind = REQUEST_PULL}};
    struct node_event status = {.kind = EVENT_REQUEST,
                                .request = {.client = 3, .kind = REQUEST_STATUS}};
    struct node_event push = {.kind = EVENT_REQUEST,
                              .request = {.client = 4, .kind = REQUEST_PUSH}};
    (void)state;
    begin(1, 1);
    push_to(1, "192.0.2.1:7000", NULL);
    expect_waits(1, 0, 0);
    pull.request.pull.wait = pull.request.pull.from_any = true;
    step(pull);
    expect_waits(1, 0, 1);
    step(status); /* answered at once */
    assert_int_equal(f.node->clients.n_all, 2);
    push.request.push.to.kind = DEST_ID;
    memcpy(push.request.push.to.id, node_id(f.node)->bytes, NODE_ID_LEN);
    push.request.push.options.relays = RELAYS_DEFAULT;
    push.request.push.check = true;
    step(push); /* nothing is stored: answered at once, too */
    expect_waits(1, 0, 1);
    push.request.push.check = false;
    step(push); /* until the store has it */
    expect_waits(1, 1, 1);
    for (uint64_t client = 1; client <= 4; client++)
        step((struct node_event){.kind = EVENT_CLIENT_GONE, .client = client});
    assert_int_equal(f.node->clients.n_all, 0);
}

/* ---- The doctor ---- */

#define MESSAGES 20000 /* more than a step looks at */
#define RECIPIENTS 5000

static void begin_with_messages(void) {
    static struct out_record records[MESSAGES];
    struct node_boot boot = {.pending = records, .n_pending = MESSAGES};

    for (size_t i = 0; i < MESSAGES; i++) {
        records[i] = (struct out_record){.kind = KIND_MESSAGE,
                                         .size = 10,
                                         .sequence = 1 + i / RECIPIENTS,
                                         .relays_exact = RELAYS_DEFAULT,
                                         .created = {f.wall.us - US_PER_HOUR},
                                         .expires = {f.wall.us + 20 * US_PER_HOUR}};
        test_number(records[i].id.bytes, i, 8);
        records[i].recipient.bytes[NODE_ID_LEN - 1] = 1;
        test_number(records[i].recipient.bytes, i % RECIPIENTS, 8);
    }
    f.node = node_new(&f.config, &boot, (struct now){f.now, f.wall});
    assert_non_null(f.node);
}

static void ask(uint64_t client, enum request_kind kind) {
    step((struct node_event){.kind = EVENT_REQUEST, .request = {.client = client, .kind = kind}});
}

static bool found(const char *words) {
    for (size_t i = 0; i < f.n_findings; i++)
        if (strstr(f.findings[i].text, words))
            return true;
    return false;
}

static unsigned await_doctor(uint64_t client) {
    unsigned steps = 0;
    for (; f.answers[client] == 0; steps++) {
        assert_true(steps < 100);
        assert_true(mono_is_due(f.wake, f.now)); /* it goes on at once */
        step((struct node_event){.kind = EVENT_TIMER});
    }
    return steps;
}

/* Where many messages wait a visit takes steps, and all else goes on between them. */
static void test_the_doctor_takes_steps(void **state) {
    size_t held;
    (void)state;
    begin_with_messages();
    held = f.node->budget.held[BUDGET_CLIENTS];
    ask(1, REQUEST_DOCTOR);
    ask(2, REQUEST_STATUS);
    assert_int_equal(f.answers[2], 1); /* without waiting for it */
    ask(3, REQUEST_DOCTOR);            /* by the visit that is under way */
    assert_true(await_doctor(1) > 4);
    assert_int_equal(f.answers[3], 1);
    assert_true(found("20000 messages"));
    assert_true(found("and 4996 others"));
    assert_int_equal(f.node->clients.n_all, 0);
    assert_int_equal(f.node->budget.held[BUDGET_CLIENTS], held);
    assert_null(f.node->doctor);
}

/* Clients may go, and the node may end, while it is under way. */
static void test_who_asked_the_doctor_goes(void **state) {
    (void)state;
    begin_with_messages();
    ask(1, REQUEST_DOCTOR);
    ask(2, REQUEST_DOCTOR);
    step((struct node_event){.kind = EVENT_CLIENT_GONE, .client = 1});
    assert_int_equal(f.node->clients.n[CLIENT_DOCTOR], 1);
    (void)await_doctor(2);
    assert_int_equal(f.answers[1], 0);
    ask(3, REQUEST_DOCTOR); /* the end frees what it has found */
    step((struct node_event){.kind = EVENT_TIMER});
    assert_non_null(f.node->doctor);
}

static void test_those_who_wait_for_the_doctor_are_bounded(void **state) {
    struct request request = {.client = 1, .kind = REQUEST_DOCTOR};
    (void)state;
    begin_with_messages();
    for (unsigned i = 0; i < DOCTORS_MAX; i++)
        serve_request(f.node, &request);
    ask(2, REQUEST_DOCTOR);
    assert_int_equal(f.answers[2], 1);
    assert_int_equal(f.code[2], ANSWER_LIMIT);
    (void)await_doctor(1);
    assert_int_equal(f.answers[1], DOCTORS_MAX);
}

/* ---- Memory ---- */

/* What it takes to know of what waits is charged, and what a step takes. */
static void test_memory_is_charged(void **state) {
    size_t messages = MESSAGES * (sizeof(struct message) + BUDGET_HEAP_EXTRA);
    (void)state;
    begin_with_messages();
    step((struct node_event){.kind = EVENT_TIMER});
    assert_true(f.node->budget.held[BUDGET_MESSAGES] > messages);
    assert_true(f.node->budget.held[BUDGET_MESSAGES] < 4 * messages);
    push_to(1, "192.0.2.1", NULL); /* datagrams leave */
    assert_true(f.node->budget.held[BUDGET_EFFECTS] > DATAGRAM_LEN);
    assert_true(f.node->budget.used <= f.node->budget.max);
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_asking_goes_on),
        TEST(test_what_found_no_place_is_asked_later),
        TEST(test_who_was_met_long_ago_is_asked),
        TEST(test_judging_is_paced),
        TEST(test_the_answer_that_is_waited_for_is_judged_at_once),
        TEST(test_a_file_whose_client_goes_is_dropped),
        TEST(test_who_waits_is_counted),
        TEST(test_the_doctor_takes_steps),
        TEST(test_who_asked_the_doctor_goes),
        TEST(test_those_who_wait_for_the_doctor_are_bounded),
        TEST(test_memory_is_charged),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
