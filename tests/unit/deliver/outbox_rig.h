/* An outbox over the doubles of fake_delivery.h, for the tests of its rooms: node 0 is ours.
 * Included once by a test program, behind that. */
#ifndef P2PD_TESTS_OUTBOX_RIG_H
#define P2PD_TESTS_OUTBOX_RIG_H

static struct outbox *outbox;
static struct effects effects;
static struct budget budget;

struct outbox_path_request { /* what a test has otherwise than the others; 0: as they do */
    size_t memory, message_max, messages_max;
    int64_t expire_us;
};

static inline void outbox_start(const struct node_boot *boot,
                                const struct outbox_path_request *request) {
    struct outbox_config config = {.identity = &fake_identities[0],
                                   .courier = fake_courier(),
                                   .effects = &effects,
                                   .budget = &budget,
                                   .random = fake_random,
                                   .message_max = request->message_max,
                                   .expire_us =
                                       request->expire_us ? request->expire_us : US_PER_HOUR,
                                   .retention_us = US_PER_HOUR,
                                   .messages_max = request->messages_max};
    budget = (struct budget){.max = request->memory ? request->memory : 64 << 20};
    outbox = outbox_new(&config, boot, fake_now());
    assert_non_null(outbox);
}

/* Nothing is left of it. */
static inline void outbox_stop(void) {
    outbox_free(outbox);
    fake_effects_deinit(&effects);
    fake_wire_n = 0;
    assert_int_equal(budget.used, 0);
    assert_int_equal(fake_paths_live, 0);
}

#endif
