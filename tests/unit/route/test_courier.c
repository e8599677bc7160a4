/* link: daemon/core/route/courier daemon/core/route/path_silence */
/* A payload on its way: when a path is drawn, when it is let go of, and what is counted. The rooms
 * of paths and links are doubles with fault knobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/route/courier.h"

#include <errno.h>

struct path {
    uint64_t relay;
    bool usable;
};
static struct fixture {
    struct courier courier;
    struct courier_lane lane;
    struct path paths[8];
    unsigned drawn, freed, sealed, handed;
    enum path_outcome outcome; /* of the next draw */
    int link_error;            /* of the next hand-over */
    uint64_t to;               /* the first hop of the last one */
} f;
static const struct path_request request = {.target = {{7}}, .relays_exact = RELAYS_DEFAULT};
static struct now now = {{US_PER_S}, {US_PER_S}};

enum path_outcome path_draw(struct paths *paths, const struct path_request *path_request,
                            struct now at, struct path **ret_path, bool *ret_fewer) {
    (void)paths, (void)at, (void)ret_fewer;
    assert_ptr_equal(path_request, &request);
    if (f.outcome != PATH_OK)
        return f.outcome;
    f.paths[f.drawn] = (struct path){.relay = 100 + f.drawn, .usable = true};
    *ret_path = &f.paths[f.drawn++];
    return PATH_OK;
}
void path_free(struct path *path) {
    f.freed += path != NULL;
}
bool path_is_usable(const struct paths *paths, const struct path *path, struct now at) {
    (void)paths, (void)at;
    return path->usable;
}
uint16_t path_seal(struct paths *paths, struct path *path, const void *payload, size_t length,
                   uint8_t ret_packet[ONION_LEN]) {
    (void)paths, (void)path;
    memcpy(ret_packet, payload, length);
    return (uint16_t)f.sealed++;
}
uint64_t path_first(const struct path *path) {
    return path->relay;
}
size_t path_hops(const struct path *path, uint64_t ret_hops[TOPOLOGY_RELAYS_MAX + 1]) {
    ret_hops[0] = path->relay;
    ret_hops[1] = 7;
    return 2;
}
int links_send_onion(struct links *links, uint64_t prefix, const uint8_t packet[ONION_LEN],
                     struct mono at) {
    (void)links, (void)at;
    assert_memory_equal(packet, "word", 4);
    f.to = prefix;
    f.handed += f.link_error == 0;
    return f.link_error;
}

static int set_up(void **state) {
    (void)state;
    memset(&f, 0, sizeof f);
    now.mono.us = US_PER_S;
    return 0;
}
static int tear_down(void **state) {
    (void)state;
    courier_retire(&f.lane);
    assert_int_equal(f.drawn, f.freed); /* each path that was drawn is let go of, once */
    assert_int_equal(f.courier.sent, f.handed);
    return 0;
}
static int send_word(void) {
    return courier_send(&f.courier, &f.lane, "word", 4, now.mono);
}

static void test_one_path_for_many_packets(void **state) {
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(courier_open(&f.courier, &f.lane, &request, now), PATH_OK);
        assert_int_equal(send_word(), 0);
        assert_int_equal(f.to, 100);
        now.mono.us++;
    }
    assert_int_equal(f.drawn, 1);
    assert_int_equal(f.lane.drawn.us, US_PER_S); /* when it was drawn, not when it was used */
    assert_int_equal(f.lane.way.n, 1);
    assert_int_equal(f.lane.way.relays[0], 100);
}

static void test_a_path_that_no_longer_serves(void **state) {
    (void)state;
    assert_false(courier_is_open(&f.courier, &f.lane, now));
    courier_open(&f.courier, &f.lane, &request, now);
    assert_true(courier_is_open(&f.courier, &f.lane, now));
    f.paths[0].usable = false;
    assert_false(courier_is_open(&f.courier, &f.lane, now));
    assert_int_equal(f.freed, 1);
    assert_int_equal(f.lane.way.relays[0], 100); /* for whoever asks why */
    assert_int_equal(courier_open(&f.courier, &f.lane, &request, now), PATH_OK);
    assert_int_equal(f.lane.way.relays[0], 101);
    f.paths[1].usable = false; /* unnoticed until it is opened again */
    f.outcome = PATH_NONE;
    assert_int_equal(courier_open(&f.courier, &f.lane, &request, now), PATH_NONE);
    assert_null(f.lane.path);
    assert_int_equal(f.freed, 2);
}

static void test_why_there_is_no_path(void **state) {
    static const enum path_outcome outcomes[] = {PATH_UNKNOWN, PATH_NONE, PATH_STRICT};
    struct path_way way = {.n = 5};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        f.outcome = outcomes[i];
        assert_int_equal(courier_open(&f.courier, &f.lane, &request, now), outcomes[i]);
        assert_int_equal(courier_send_alone(&f.courier, &request, "word", 4, now, &way),
                         outcomes[i]);
    }
    assert_int_equal(f.sealed, 0);
    assert_int_equal(way.n, 5); /* written on success only */
}

/* No buffer is a matter of this step; no neighbour is one of this path. */
static void test_what_the_link_says(void **state) {
    (void)state;
    courier_open(&f.courier, &f.lane, &request, now);
    f.link_error = -ENOBUFS;
    assert_int_equal(send_word(), -ENOBUFS);
    assert_non_null(f.lane.path);
    f.link_error = -ENOTCONN;
    assert_int_equal(send_word(), -ENOTCONN);
    assert_null(f.lane.path);
    assert_int_equal(f.courier.sent, 0);
}

static void test_alone(void **state) {
    struct path_way way;
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        f.link_error = i == 1 ? -ENOBUFS : i == 2 ? -ENOTCONN : 0;
        assert_int_equal(courier_send_alone(&f.courier, &request, "word", 4, now, &way), PATH_OK);
        assert_int_equal(f.freed, i + 1);
        assert_int_equal(way.relays[0], 100 + i);
    }
    assert_int_equal(f.courier.sent, 2);
}

int main(void) {
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_path_for_many_packets),
        TEST(test_a_path_that_no_longer_serves),
        TEST(test_why_there_is_no_path),
        TEST(test_what_the_link_says),
        TEST(test_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
