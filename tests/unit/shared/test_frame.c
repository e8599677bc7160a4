/* link: shared/frame proto/control.pb-c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/control.pb-c.h"
#include "shared/frame.h"

#include <stdlib.h>
#include <string.h>

static void test_length_is_big_endian(void **state) {
    uint8_t header[FRAME_HEADER];
    (void)state;
    frame_put_length(header, 0x01020304);
    assert_memory_equal(header, "\x01\x02\x03\x04", 4);
    assert_true(frame_get_length(header) == 0x01020304);
    frame_put_length(header, UINT32_MAX);
    assert_true(frame_get_length(header) == UINT32_MAX);
}

/* Text begins with a letter; a length must not. */
static void test_largest_length_begins_below_two(void **state) {
    uint8_t header[FRAME_HEADER];
    (void)state;
    frame_put_length(header, FRAME_MESSAGE_MAX + FRAME_SLACK);
    assert_true(header[0] < 2);
    frame_put_length(header, FRAME_MESSAGE_MAX + FRAME_SLACK + 1);
    assert_int_equal(header[0], 2);
}

static void test_pack_and_unpack(void **state) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT, *got;
    struct frame_allocator allocator;
    size_t length;
    (void)state;
    request.version = 1;
    request.request_id = 77;
    uint8_t *frame = frame_pack(&request.base, &length);
    assert_non_null(frame);
    assert_true(frame_get_length(frame) == length - FRAME_HEADER);
    frame_allocator_init(&allocator, length - FRAME_HEADER);
    got = p2pd__control__request__unpack(&allocator.allocator, length - FRAME_HEADER,
                                         frame + FRAME_HEADER);
    assert_non_null(got);
    assert_true(got->request_id == 77);
    p2pd__control__request__free_unpacked(got, &allocator.allocator);
    free(frame);
}

static void test_allocator_gives_its_bound_and_no_more(void **state) {
    struct frame_allocator frame;
    (void)state;
    frame_allocator_init(&frame, 10);
    ProtobufCAllocator *allocator = &frame.allocator;
    void *most = allocator->alloc(allocator->allocator_data, 20 + FRAME_TREE_SLACK);
    assert_non_null(most);
    allocator->free(allocator->allocator_data, most);
    assert_null(allocator->alloc(allocator->allocator_data, 1));
    frame_allocator_init(&frame, 10);
    assert_null(allocator->alloc(allocator->allocator_data, 21 + FRAME_TREE_SLACK));
}

/* Two bytes each on the wire, some hundred in memory. */
static void test_a_bomb_of_empty_messages_is_refused(void **state) {
    enum { LENGTH = 1 << 20 };
    uint8_t *bomb = malloc(LENGTH);
    struct frame_allocator allocator;
    (void)state;
    assert_non_null(bomb);
    for (size_t i = 0; i < LENGTH; i += 2) {
        bomb[i] = 11 << 3 | 2; /* messages = 11, of no length */
        bomb[i + 1] = 0;
    }
    frame_allocator_init(&allocator, LENGTH);
    assert_null(p2pd__control__answer__unpack(&allocator.allocator, LENGTH, bomb));
    free(bomb);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_is_big_endian),
        cmocka_unit_test(test_largest_length_begins_below_two),
        cmocka_unit_test(test_pack_and_unpack),
        cmocka_unit_test(test_allocator_gives_its_bound_and_no_more),
        cmocka_unit_test(test_a_bomb_of_empty_messages_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
