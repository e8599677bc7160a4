/* link: daemon/core/base/budget daemon/core/deliver/outbox daemon/core/deliver/outbox_readdress daemon/core/deliver/outbox_push daemon/core/deliver/outbox_turn daemon/core/deliver/outbox_mail daemon/core/deliver/outbox_hold daemon/core/deliver/message/message daemon/core/deliver/ledger/ledger daemon/core/deliver/ledger/ledger_put daemon/core/deliver/ledger/ledger_batch daemon/core/deliver/ledger/ledger_load daemon/core/deliver/ledger/ledger_message daemon/core/deliver/ledger/ledger_watch daemon/core/deliver/ledger/ledger_survey daemon/core/deliver/ledger/ledger_conversation daemon/core/deliver/ledger/ledger_op daemon/core/deliver/sender/sender daemon/core/deliver/sender/sender_ack daemon/core/deliver/sender/sender_send daemon/core/deliver/sender/sender_parcel daemon/core/deliver/sender/sender_queue daemon/core/deliver/sender/sender_path daemon/core/deliver/sender/sender_backoff daemon/core/deliver/sender/sender_recipient daemon/core/deliver/sender/window daemon/core/deliver/sender/loopback daemon/core/deliver/depot/depositor daemon/core/deliver/depot/deposit daemon/core/deliver/depot/keeper daemon/core/base/base daemon/core/deliver/inbox/inbox daemon/core/deliver/inbox/inbox_item daemon/core/deliver/inbox/inbox_take daemon/core/deliver/inbox/inbox_shard daemon/core/deliver/inbox/inbox_keys daemon/core/deliver/inbox/inbox_parcel daemon/core/deliver/inbox/inbox_local daemon/core/deliver/inbox/inbox_receipt daemon/core/deliver/inbox/inbox_pull daemon/core/deliver/inbox/policy daemon/core/wire/parcel daemon/core/wire/shard daemon/core/wire/noise daemon/core/deliver/inbox/inbox_mail daemon/core/wire/mail daemon/core/route/courier daemon/core/route/path_silence daemon/core/base/share */
/* An outbox and an inbox wired back to back, over a network that loses, doubles and reorders, with
 * stores that are slow, full or forgotten. More objects than a unit test should have: the claim
 * tested, exactly once, belongs to both rooms together. */
#include "tests/unit/deliver/fake_delivery.h"

/* ---- A store ---- */
#define STORED_MAX 512
struct stored_out {
    struct out_record record;
    struct file_head file;
    struct mono progress_at;
    uint8_t *body;
};
struct stored_in {
    struct node_id sender;
    struct message_id id;
    uint64_t sequence;
    uint64_t total, have;
    uint8_t *body, *seen;
    bool complete, taken;
    int64_t row, place;
    enum message_kind kind;
    struct file_head file;
};
struct store {
    struct stored_out out[STORED_MAX];
    struct stored_in in[STORED_MAX];
    size_t n_out, n_in;
    int64_t rows;
    int fail_error; /* every operation of kind fail_kind fails so */
    enum store_kind fail_kind;
    unsigned fail_left;
};
struct peer {
    unsigned number;
    struct outbox *outbox;
    struct inbox *inbox;
    struct effects effects;
    struct budget budget;
    struct store store;
    size_t message_max;
    uint64_t quota, files_quota;
    struct policy *policy; /* NULL: everybody may */
    unsigned drops[DROP_COUNT];
};
static struct peer peers[2];

static struct stored_out *store_find(struct store *store, const struct message_id *id) {
    for (size_t i = 0; i < store->n_out; i++)
        if (memcmp(&store->out[i].record.id, id, sizeof *id) == 0)
            return &store->out[i];
    return NULL;
}
static void store_out_put(struct store *store, const struct store_op *op,
                          struct store_result *result) {
    struct stored_out *out = store_find(store, &op->out_put.record.id);
    if (out) {
        bool same = out->record.size == op->out_put.record.size &&
                    memcmp(out->body, op->out_put.body, out->record.size) == 0;
        result->error = same ? 0 : -EEXIST;
        result->existed = same;
        result->record = out->record;
        return;
    }
    assert_true(store->n_out < STORED_MAX);
    out = &store->out[store->n_out++];
    out->record = op->out_put.record;
    out->body = malloc(out->record.size + 1);
    assert_non_null(out->body);
    if (op->out_put.record.kind == KIND_FILE) {
        out->file = *op->out_put.record.file;
        out->record.file = &out->file;
        assert_null(op->out_put.body);
        memset(out->body, 0x5a, out->record.size); /* what the client left in the spool */
        out->body[out->record.size / 2] = op->out_put.record.id.bytes[0];
    } else {
        memcpy(out->body, op->out_put.body, out->record.size);
    }
    result->record = out->record;
}
/* Behind all, but before what waits of its sender with a greater sequence. */
static int64_t place_of(const struct store *store, const struct stored_in *late) {
    int64_t place = late->row << 20;
    for (size_t i = 0; i < store->n_in; i++) {
        const struct stored_in *in = &store->in[i];
        if (in != late && in->complete && !in->taken && in->sequence > late->sequence &&
            node_id_is_equal(&in->sender, &late->sender) && in->place <= place)
            place = in->place - 1;
    }
    return place;
}
static void store_in_put(struct store *store, const struct store_op *op,
                         struct store_result *result) {
    struct stored_in *in = NULL;
    for (size_t i = 0; i < store->n_in && !in; i++)
        if (memcmp(&store->in[i].id, &op->in_put.id, sizeof op->in_put.id) == 0 &&
            node_id_is_equal(&store->in[i].sender, &op->in_put.sender))
            in = &store->in[i];
    if (!in && op->in_put.quota_sender > 0 && op->in_put.total > op->in_put.quota_sender) {
        result->error = -EDQUOT;
        return;
    }
    if (in && in->kind == KIND_FILE)
        assert_memory_equal(&in->file, op->in_put.file, sizeof in->file);
    if (!in) {
        assert_true(store->n_in < STORED_MAX);
        in = &store->in[store->n_in++];
        *in = (struct stored_in){op->in_put.sender,
                                 op->in_put.id,
                                 op->in_put.sequence,
                                 op->in_put.total,
                                 0,
                                 calloc(1, op->in_put.total + 1),
                                 calloc(1, op->in_put.total + 1),
                                 false,
                                 false,
                                 0,
                                 0,
                                 op->in_put.kind,
                                 {{0}, ""}};
        if (op->in_put.kind == KIND_FILE)
            in->file = *op->in_put.file;
    }
    if (in->complete) {
        result->in_outcome = STORE_IN_DUPLICATE;
        return;
    }
    for (uint64_t i = op->in_put.offset; i < op->in_put.offset + op->in_put.length; i++) {
        in->body[i] = op->in_put.bytes[i - op->in_put.offset];
        in->have += !in->seen[i];
        in->seen[i] = 1;
    }
    in->complete = in->have == in->total;
    if (in->complete) {
        in->row = ++store->rows;
        in->place = place_of(store, in);
    }
    result->in_outcome = in->complete ? STORE_IN_COMPLETE : STORE_IN_PARTIAL;
}
static struct in_record fetched[STORED_MAX];
static int compare_places(const void *a, const void *b) {
    int64_t first = ((const struct in_record *)a)->place,
            second = ((const struct in_record *)b)->place;
    return first < second ? -1 : first > second;
}
static void store_in_fetch(struct store *store, const struct store_op *op,
                           struct store_result *result) {
    size_t n = 0;
    for (size_t i = 0; i < store->n_in; i++) {
        const struct stored_in *in = &store->in[i];
        if (in->kind != KIND_MESSAGE || !in->complete || in->taken ||
            in->place <= op->in_fetch.after ||
            (!op->in_fetch.any_sender && !node_id_is_equal(&in->sender, &op->in_fetch.sender)))
            continue;
        fetched[n++] = (struct in_record){.row = in->row,
                                          .place = in->place,
                                          .sender = in->sender,
                                          .id = in->id,
                                          .sequence = in->sequence,
                                          .body = in->body,
                                          .size = (uint32_t)in->total};
    }
    qsort(fetched, n, sizeof *fetched, compare_places);
    result->more = n > op->in_fetch.limit;
    result->messages = fetched;
    result->n_messages = result->more ? op->in_fetch.limit : n;
}
/* Not too often, and never beyond what the recipient (any: it has the id) holds without a hole. */
static void store_progress(struct store *store, const struct store_op *op) {
    struct stored_out *out = store_find(store, &op->out_progress.id);
    assert_non_null(out);
    assert_true(op->out_progress.offset >=
                out->record.progress + 64 * (out->record.shards_k ? 1 : PARCEL_BLOCK_MAX));
    assert_true(op->out_progress.offset <= out->record.size);
    assert_true(mono_now.us - out->progress_at.us >= US_PER_S);
    out->progress_at = mono_now;
    out->record.progress = op->out_progress.offset;
    for (unsigned i = 0; i < 2; i++)
        for (size_t j = 0; j < peers[i].store.n_in; j++) {
            const struct stored_in *in = &peers[i].store.in[j];
            if (memcmp(&in->id, &op->out_progress.id, sizeof in->id) == 0)
                assert_null(memchr(in->seen, 0, op->out_progress.offset));
        }
}
static void store_do(struct store *store, const struct store_op *op, struct store_result *result) {
    struct stored_out *out;
    if (store->fail_left > 0 && store->fail_kind == op->kind) {
        store->fail_left--;
        result->error = store->fail_error;
        return;
    }
    switch (op->kind) {
    case STORE_OUT_PUT:
        store_out_put(store, op, result);
        break;
    case STORE_OUT_STATE:
        out = store_find(store, &op->out_state.id);
        assert_non_null(out);
        assert_false(message_state_is_final(out->record.state));
        out->record.state = op->out_state.state;
        memcpy(out->record.reason, op->out_state.reason, MESSAGE_REASON_MAX);
        break;
    case STORE_OUT_PROGRESS:
        store_progress(store, op);
        break;
    case STORE_OUT_READ:
        out = store_find(store, &op->out_read.id);
        assert_true(out && op->out_read.offset + op->out_read.length <= out->record.size);
        result->bytes = out->body + op->out_read.offset;
        result->length = op->out_read.length;
        break;
    case STORE_OUT_FIND:
        out = store_find(store, &op->out_find.id);
        result->error = out ? 0 : -ENOENT;
        if (out)
            result->record = out->record;
        break;
    case STORE_IN_PUT:
        store_in_put(store, op, result);
        break;
    case STORE_IN_FETCH:
        store_in_fetch(store, op, result);
        break;
    case STORE_IN_TAKE:
        for (size_t i = 0; i < op->in_take.n; i++)
            for (size_t j = 0; j < store->n_in; j++)
                if (store->in[j].row == op->in_take.rows[i]) {
                    assert_false(store->in[j].taken);
                    store->in[j].taken = true;
                }
        break;
    default:
        fail();
    }
}

/* ---- A node ---- */
static void peer_start(struct peer *peer, size_t memory) {
    struct out_record pending[STORED_MAX];
    struct boot_conversation conversation = {.recipient = fake_identities[1 - peer->number].id};
    struct node_boot boot = {
        .pending = pending, .conversations = &conversation, .n_conversations = 1};
    uint64_t waiting = 0;
    for (size_t i = 0; i < peer->store.n_out; i++) {
        if (!message_state_is_final(peer->store.out[i].record.state))
            pending[boot.n_pending++] = peer->store.out[i].record;
        if (peer->store.out[i].record.sequence > conversation.sequence)
            conversation.sequence = peer->store.out[i].record.sequence;
    }
    for (size_t i = 0; i < peer->store.n_in; i++)
        waiting += peer->store.in[i].kind == KIND_MESSAGE && peer->store.in[i].complete &&
                   !peer->store.in[i].taken;
    peer->budget = (struct budget){.max = memory};
    struct outbox_config out = {.identity = &fake_identities[peer->number],
                                .courier = fake_courier(),
                                .effects = &peer->effects,
                                .budget = &peer->budget,
                                .random = fake_random,
                                .message_max = 16 << 20,
                                .expire_us = 24 * US_PER_HOUR,
                                .retention_us = US_PER_HOUR};
    struct inbox_config in = {.identity = out.identity,
                              .courier = fake_courier(),
                              .effects = out.effects,
                              .budget = out.budget,
                              .random = fake_random,
                              .policy = peer->policy,
                              .limits = {.message_max = peer->message_max,
                                         .tombstone_us = US_PER_HOUR,
                                         .retention_us = US_PER_HOUR,
                                         .messages_sender = peer->quota,
                                         .files_sender = peer->files_quota},
                              .waiting = waiting};
    peer->outbox = outbox_new(&out, &boot, fake_now());
    peer->inbox = inbox_new(&in);
    assert_true(peer->outbox && peer->inbox);
}
/* What was not committed yet is forgotten; the keys are new. */
static void peer_crash(struct peer *peer) {
    outbox_free(peer->outbox);
    inbox_free(peer->inbox);
    fake_effects_deinit(&peer->effects);
    assert_int_equal(peer->budget.used, 0);
}
static void peer_settle(struct peer *peer) {
    struct parcel_item item;
    struct message_id id;
    struct address address = {.port = 1};
    int error;
    for (int round = 0; round < 4; round++) {
        while (inbox_local_done(peer->inbox, &id, &error))
            outbox_local_done(peer->outbox, &id, error, fake_now());
        if (mono_is_due(outbox_next(peer->outbox), mono_now))
            outbox_tick(peer->outbox, fake_now());
        while (outbox_local(peer->outbox, &item))
            assert_int_equal(inbox_local(peer->inbox, &item, &address, "me", wall_now()), 0);
        if (mono_is_due(inbox_next(peer->inbox), mono_now))
            inbox_tick(peer->inbox, fake_now());
    }
    inbox_flush(peer->inbox, fake_now());
}
static void peer_store(struct peer *peer) {
    while (peer->effects.n_ops > 0 && mono_is_due(peer->effects.ops[0].due, mono_now)) {
        struct fake_op op = peer->effects.ops[0];
        struct store_result result = {.kind = op.op.kind};
        fake_ops_shift(&peer->effects);
        store_do(&peer->store, &op.op, &result);
        if (op.owner == OWNER_OUTBOX)
            outbox_stored(peer->outbox, op.cookie, &result, fake_now());
        else
            inbox_stored(peer->inbox, op.cookie, &result, fake_now());
    }
}
static void deliver(const struct fake_packet *packet) {
    for (unsigned i = 0; i < 2; i++) {
        enum drop drop;
        if (packet->target != fake_entries[i].prefix)
            continue;
        if (packet->payload[0] == PAYLOAD_SHARD)
            drop = inbox_shard(peers[i].inbox, packet->payload, packet->length, 0, packet->epoch,
                               fake_now());
        else
            drop = outbox_receipt(peers[i].outbox, packet->payload, packet->length, fake_now());
        peers[i].drops[drop]++;
    }
}
static struct mono next_event(void) {
    struct mono next = MONO_NEVER;
    for (size_t i = 0; i < fake_wire_n; i++)
        next = mono_min(next, fake_wire[i].due);
    for (unsigned i = 0; i < 2; i++) {
        next = mono_min(next, mono_min(outbox_next(peers[i].outbox), inbox_next(peers[i].inbox)));
        if (peers[i].effects.n_ops > 0)
            next = mono_min(next, peers[i].effects.ops[0].due);
    }
    return next;
}
static void run_once(void) {
    struct mono next = next_event();
    if (next.us > mono_now.us)
        mono_now = next;
    fake_epochs();
    for (size_t i = 0; i < fake_wire_n;) {
        if (!mono_is_due(fake_wire[i].due, mono_now)) {
            i++;
            continue;
        }
        struct fake_packet packet = fake_wire[i];
        fake_wire[i] = fake_wire[--fake_wire_n];
        deliver(&packet);
    }
    for (unsigned i = 0; i < 2; i++) {
        peer_store(&peers[i]);
        peer_settle(&peers[i]);
    }
}
static void run_for(int64_t us) {
    struct mono end = mono_add(mono_now, us);
    while (next_event().us <= end.us)
        run_once();
    mono_now = end;
}
/* Until nothing is owed; fails after an hour of virtual time. */
static void run_until_delivered(void) {
    struct mono end = mono_add(mono_now, 2 * US_PER_HOUR);
    while (outbox_pending(peers[0].outbox) + outbox_pending(peers[1].outbox) > 0 ||
           peers[0].effects.n_ops > 0) {
        assert_true(mono_now.us < end.us);
        assert_true(next_event().us != MONO_NEVER.us);
        run_once();
    }
}

static int setup(void **state) {
    (void)state;
    fake_identities_init();
    fake_loss_percent = fake_duplicate_percent = 0;
    fake_latency_us = 10 * US_PER_MS;
    fake_jitter_us = 0;
    fake_link_error = 0;
    fake_once = false;
    fake_path_outcome = PATH_OK;
    memset(peers, 0, sizeof peers);
    for (unsigned i = 0; i < 2; i++) {
        peers[i].number = i;
        peers[i].message_max = 16 << 20;
        peer_start(&peers[i], 64 << 20);
    }
    return 0;
}
static int teardown(void **state) {
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        peer_crash(&peers[i]);
        policy_free(peers[i].policy);
        for (size_t j = 0; j < peers[i].store.n_out; j++)
            free(peers[i].store.out[j].body);
        for (size_t j = 0; j < peers[i].store.n_in; j++) {
            free(peers[i].store.in[j].body);
            free(peers[i].store.in[j].seen);
        }
    }
    fake_wire_n = 0;
    assert_int_equal(fake_paths_live, 0);
    return 0;
}

static struct message_id push_with_shards(struct peer *peer, unsigned to, size_t size, uint8_t k,
                                          uint8_t m) {
    struct request request = {.client = 1 + peer->store.n_out, .kind = REQUEST_PUSH};
    uint8_t *body = malloc(size + 1);
    assert_non_null(body);
    fake_fill(NULL, body, size);
    fake_fill(NULL, &request.push.id, sizeof request.push.id);
    request.push.body = body;
    request.push.size = size;
    request.push.options.relays = RELAYS_DEFAULT;
    request.push.options.shards_k = k;
    request.push.options.shards_m = m;
    outbox_push(peer->outbox, &request, &fake_identities[to].id, NULL, fake_now());
    free(body);
    return request.push.id;
}
static struct message_id push_to(struct peer *peer, unsigned to, size_t size) {
    return push_with_shards(peer, to, size, 0, 0);
}
/* Everything that was sent arrived once, whole, and is known to have. */
static void assert_exactly_once(struct peer *from, struct peer *to) {
    size_t found = 0;
    assert_int_equal(from->store.n_out, to->store.n_in);
    for (size_t i = 0; i < from->store.n_out; i++) {
        const struct stored_out *out = &from->store.out[i];
        assert_int_equal(out->record.state, MESSAGE_DELIVERED);
        for (size_t j = 0; j < to->store.n_in; j++) {
            const struct stored_in *in = &to->store.in[j];
            if (memcmp(&in->id, &out->record.id, sizeof in->id) != 0)
                continue;
            found++;
            assert_true(in->complete);
            assert_int_equal(in->total, out->record.size);
            assert_int_equal(in->sequence, out->record.sequence);
            assert_memory_equal(in->body, out->body, in->total);
        }
    }
    assert_int_equal(found, from->store.n_out);
    assert_int_equal(to->store.rows, to->store.n_in);
}

/* ---- Tests ---- */

static void test_one_message(void **state) {
    (void)state;
    push_to(&peers[0], 1, 5);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
    assert_int_equal(fake_sent, 2); /* a shard and a receipt */
    assert_int_equal(inbox_waiting(peers[1].inbox), 1);
    assert_int_equal(outbox_counters(peers[0].outbox)->messages_delivered, 1);
}

/* While a disk is waited for, the path that comes next is made: at the sender's, then at the
 * recipient's. */
static void test_paths_are_expected(void **state) {
    (void)state;
    peers[0].effects.store_us = peers[1].effects.store_us = 3 * US_PER_MS;
    unsigned before = fake_expected;
    uint64_t sent = fake_sent;
    push_to(&peers[0], 1, 5);
    run_for(2 * US_PER_MS);
    assert_int_equal(fake_sent, sent);
    assert_int_equal(fake_expected, before + 1);
    run_for(12 * US_PER_MS);
    assert_int_equal(fake_sent, sent + 1);
    assert_int_equal(fake_expected, before + 2);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
    push_to(&peers[0], 1, 5); /* over paths that are kept: nobody needs any */
    run_until_delivered();
    assert_int_equal(fake_expected, before + 2);
}

static void push_mixture(struct peer *peer, unsigned to, unsigned count) {
    static const size_t sizes[] = {0,
                                   1,
                                   601,
                                   602,
                                   603,
                                   4096,
                                   4097,
                                   PARCEL_BLOCK_MAX - 1,
                                   PARCEL_BLOCK_MAX,
                                   PARCEL_BLOCK_MAX + 1,
                                   200000,
                                   1 << 20};
    for (unsigned i = 0; i < count; i++)
        push_to(peer, to, i < 12 ? sizes[i] : fake_below(3000));
}

static void test_losses(void **state) {
    (void)state;
    fake_loss_percent = 20;
    fake_duplicate_percent = 10;
    fake_jitter_us = 30 * US_PER_MS;
    peers[0].effects.store_us = 3 * US_PER_MS;
    peers[1].effects.store_us = 20 * US_PER_MS;
    push_mixture(&peers[0], 1, 80);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
    assert_true(outbox_counters(peers[0].outbox)->retransmissions > 0);
}

/* route.reuse = no; path_seal() asserts that no path carries two packets. */
static void test_paths_of_one_use(void **state) {
    (void)state;
    fake_once = true;
    fake_loss_percent = 20;
    fake_duplicate_percent = 10;
    fake_jitter_us = 30 * US_PER_MS;
    push_mixture(&peers[0], 1, 80);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

static void test_heavy_losses(void **state) {
    (void)state;
    fake_loss_percent = 50;
    push_mixture(&peers[0], 1, 20);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

static void test_both_ways(void **state) {
    (void)state;
    fake_loss_percent = 5;
    push_mixture(&peers[0], 1, 30);
    push_mixture(&peers[1], 0, 30);
    run_until_delivered();
    run_for(US_PER_S);
    assert_exactly_once(&peers[0], &peers[1]);
    assert_exactly_once(&peers[1], &peers[0]);
}

static void restart(unsigned number) {
    peer_crash(&peers[number]);
    fake_rekey(number);
    peer_start(&peers[number], 64 << 20);
    outbox_retry_now(peers[1 - number].outbox, &fake_identities[number].id, mono_now);
}

static void test_restarts(void **state) {
    (void)state;
    fake_loss_percent = 10;
    peers[0].effects.store_us = peers[1].effects.store_us = 5 * US_PER_MS;
    push_mixture(&peers[0], 1, 40);
    run_for(US_PER_S); /* what is not stored yet is lost, and was not promised */
    for (unsigned i = 0; i < 12; i++) {
        restart(i % 3 == 2 ? 0 : 1);
        run_for((int64_t)fake_below(300 * US_PER_MS));
    }
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

static void test_epoch_turns(void **state) {
    (void)state;
    int64_t skew = wall_skew_us;
    push_mixture(&peers[0], 1, 12);
    run_for(60 * US_PER_MS);
    assert_true(outbox_pending(peers[0].outbox) > 0);
    wall_skew_us += US_PER_HOUR;
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
    wall_skew_us = skew + US_PER_HOUR;
}

static void test_recipient_is_full(void **state) {
    (void)state;
    peers[1].store.fail_kind = STORE_IN_PUT;
    peers[1].store.fail_error = -EIO;
    peers[1].store.fail_left = 1000000;
    push_mixture(&peers[0], 1, 20);
    run_for(20 * US_PER_S);
    assert_int_equal(outbox_pending(peers[0].outbox), 20);
    assert_int_equal(peers[1].store.n_in, 0);
    peers[1].store.fail_left = 0;
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

static void test_own_store_fails(void **state) {
    (void)state;
    peers[0].store.fail_kind = STORE_OUT_READ;
    peers[0].store.fail_error = -EIO;
    push_mixture(&peers[0], 1, 12);
    run_for(0);
    peers[0].store.fail_left = 5;
    run_for(30 * US_PER_S);
    peers[0].store.fail_kind = STORE_OUT_STATE;
    peers[0].store.fail_error = -ENOSPC;
    peers[0].store.fail_left = 30;
    push_mixture(&peers[0], 1, 12);
    run_for(5 * US_PER_MINUTE);
    assert_int_equal(peers[0].store.fail_left, 0);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

static void test_refused(void **state) {
    (void)state;
    peer_crash(&peers[1]);
    peers[1].message_max = 1000;
    peer_start(&peers[1], 64 << 20);
    for (unsigned i = 0; i < 30; i++) /* gathered with one another */
        push_to(&peers[0], 1, i == 20 ? 1001 : i == 25 ? 100000 : 1000);
    run_until_delivered();
    run_for(US_PER_S);
    for (unsigned i = 0; i < 30; i++) {
        const struct out_record *record = &peers[0].store.out[i].record;
        bool refused = record->size > 1000;
        assert_int_equal(record->state, refused ? MESSAGE_REFUSED : MESSAGE_DELIVERED);
        assert_string_equal(record->reason, refused ? "too large for the recipient" : "");
    }
    assert_int_equal(peers[1].store.n_in, 28);
}

static void test_to_ourselves(void **state) {
    (void)state;
    push_to(&peers[0], 0, 0);
    push_to(&peers[0], 0, 10);
    push_to(&peers[0], 0, 150000);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[0]);
    assert_int_equal(inbox_waiting(peers[0].inbox), 3);
    push_to(&peers[0], 0, 10);
    peers[0].store.fail_kind = STORE_IN_PUT;
    peers[0].store.fail_error = -ENOSPC;
    peers[0].store.fail_left = 2;
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[0]);
}

static void test_small_memory(void **state) {
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        peer_crash(&peers[i]);
        peer_start(&peers[i], 1300000);
    }
    fake_loss_percent = 5;
    push_mixture(&peers[0], 1, 60);
    peers[0].budget.max = 400000;
    peers[1].budget.max = 400000;
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

/* With 4 + 2 shards any two relays may die in mid-message. */
static void test_explicit_shards_outlive_relays(void **state) {
    (void)state;
    for (unsigned round = 0; round < 10; round++) {
        push_with_shards(&peers[0], 1, 200000, 4, 2);
        run_for(15 * US_PER_MS + (int64_t)fake_below(30 * US_PER_MS));
        assert_int_equal(outbox_pending(peers[0].outbox), 1);
        for (unsigned dead = 0; dead < 2; dead++) {
            uint64_t relay = 0;
            while (relay == 0) /* of a path drawn lately */
                relay = fake_apart[(fake_paths_drawn - fake_below(12)) % 4096][fake_below(3)];
            fake_dead[relay - 1000] = true;
        }
        run_until_delivered();
        memset(fake_dead, 0, sizeof fake_dead);
    }
    assert_exactly_once(&peers[0], &peers[1]);
    assert_int_equal(outbox_counters(peers[0].outbox)->retransmissions, 0);
    assert_int_equal(peers[1].drops[DROP_NONE] > 0, true);
}

/* Blocks are cut by k alone: what was begun goes on after a restart. */
static void test_explicit_shards_restart(void **state) {
    (void)state;
    fake_loss_percent = 5;
    push_with_shards(&peers[0], 1, 100000, 3, 1);
    push_with_shards(&peers[0], 1, 100000, 1, 1);
    push_with_shards(&peers[0], 1, 100, 32, 0);
    push_with_shards(&peers[0], 1, 0, 3, 2);
    run_for(30 * US_PER_MS);
    restart(0);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

static void test_parity_saves_a_round_trip(void **state) {
    (void)state;
    push_to(&peers[0], 1, 20000); /* 26 shards and parity, one lost */
    struct mono begun = mono_now;
    while (fake_wire_n < 20)
        run_once();
    fake_wire[7] = fake_wire[--fake_wire_n];
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
    assert_int_equal(outbox_counters(peers[0].outbox)->retransmissions, 0);
    assert_true(mono_now.us - begun.us < 25 * US_PER_MS);
}

static void test_long_ones_do_not_delay(void **state) {
    (void)state;
    push_to(&peers[0], 1, 15 << 20);
    run_for(80 * US_PER_MS);
    struct mono begun = mono_now;
    struct message_id id = push_to(&peers[0], 1, 100);
    while (store_find(&peers[0].store, &id) == NULL ||
           store_find(&peers[0].store, &id)->record.state != MESSAGE_DELIVERED)
        run_once();
    /* Two round trips and the queue aimed at. */
    assert_true(mono_now.us - begun.us < 2 * 2 * fake_latency_us + 25 * US_PER_MS);
    assert_true(outbox_pending(peers[0].outbox) == 1);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
}

static void test_away_for_long(void **state) {
    (void)state;
    fake_loss_percent = 100;
    push_mixture(&peers[0], 1, 12);
    uint64_t before = fake_sent;
    run_for(12 * US_PER_HOUR);
    /* 8 parcels tried 3 times each, then one shard every five minutes and a little for each new
     * hour's keys. */
    assert_true(fake_sent - before < 12 * (8 * 64 + 8 * 8 + 30));
    assert_true(fake_sent - before > 12 * 10);
    fake_loss_percent = 0;
    restart(1);
    run_for(20 * US_PER_S);
    assert_int_equal(outbox_pending(peers[0].outbox), 0);
    assert_exactly_once(&peers[0], &peers[1]);
}

/* ---- Files ---- */

static struct message_id send_to(struct peer *peer, unsigned to, size_t size) {
    struct file_head head = {.digest = {1, 2, 3}, .name = "letters.tar"};
    struct request request = {.client = 1 + peer->store.n_out, .kind = REQUEST_PUSH};
    fake_fill(NULL, &request.push.id, sizeof request.push.id);
    request.push.kind = KIND_FILE;
    request.push.file = &head;
    request.push.size = size;
    request.push.options.relays = RELAYS_DEFAULT;
    request.push.wait = true;
    outbox_push(peer->outbox, &request, &fake_identities[to].id, NULL, fake_now());
    return request.push.id;
}

static void assert_files_have_heads(const struct store *store, size_t n) {
    for (size_t i = 0; i < store->n_in; i++) {
        if (store->in[i].kind != KIND_FILE)
            continue;
        n--;
        assert_string_equal(store->in[i].file.name, "letters.tar");
        assert_int_equal(store->in[i].file.digest[2], 3);
    }
    assert_int_equal(n, 0);
}

static void test_files(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 700, 61440, 61441, 300000};
    fake_loss_percent = 5;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        send_to(&peers[0], 1, sizes[i]);
    push_mixture(&peers[0], 1, 12);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
    assert_files_have_heads(&peers[1].store, 6);
    assert_int_equal(inbox_waiting(peers[1].inbox), 12); /* files are received, not pulled */
}

static void test_files_to_ourselves(void **state) {
    (void)state;
    send_to(&peers[0], 0, 0);
    send_to(&peers[0], 0, 150000);
    push_to(&peers[0], 0, 10);
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[0]);
    assert_files_have_heads(&peers[0].store, 2);
    assert_int_equal(inbox_waiting(peers[0].inbox), 1);
}

/* The sender dies half-way: what was confirmed is not sent again. */
static void test_progress(void **state) {
    (void)state;
    const size_t size = 300 * PARCEL_BLOCK_MAX;
    send_to(&peers[0], 1, size);
    while (peers[0].store.n_out == 0 || peers[0].store.out[0].record.progress == 0)
        run_once();
    uint64_t progress = peers[0].store.out[0].record.progress;
    restart(0);
    peers[0].store.out[0].progress_at =
        (struct mono){INT64_MIN / 2}; /* another life, another word */
    uint64_t before = fake_sent, shards = (size - progress) / PARCEL_SHARD_DATA_MAX;
    run_until_delivered();
    assert_exactly_once(&peers[0], &peers[1]);
    assert_true(fake_sent - before < shards * 5 / 4); /* and receipts */
}

/* ---- Refusals, to the one who waits ---- */

static void set_policy(struct peer *peer, enum inbox_accept inbox, enum files_accept files,
                       enum sender_rule rule) {
    static const struct directory none;
    struct policy_config config = {
        .directory = &none, .random = &fake_random, .inbox = inbox, .files = files};
    struct boot_rule boot = {fake_identities[1 - peer->number].id, rule};
    peer_crash(peer);
    peer->policy = policy_new(&config, &boot, 1);
    assert_non_null(peer->policy);
    peer_start(peer, 64 << 20);
}
static void assert_refused(struct peer *peer, const struct message_id *id, const char *reason) {
    const struct answer *answer = NULL;
    for (size_t i = 0; i < peer->effects.n_answers; i++)
        if (peer->effects.answers[i].kind == ANSWER_MESSAGE && peer->effects.answers[i].end &&
            memcmp(&peer->effects.answers[i].message.id, id, sizeof *id) == 0)
            answer = &peer->effects.answers[i];
    assert_non_null(answer);
    assert_int_equal(answer->code, ANSWER_FAILED);
    assert_int_equal(answer->message.state, MESSAGE_REFUSED);
    assert_string_equal(answer->message.reason, reason);
    assert_string_equal(store_find(&peer->store, id)->record.reason, reason);
}
static struct message_id push_waiting(struct peer *peer, unsigned to, size_t size) {
    static uint8_t bytes[100000];
    struct request request = {.client = 1000 + peer->store.n_out, .kind = REQUEST_PUSH};
    fake_fill(NULL, &request.push.id, sizeof request.push.id);
    request.push.body = bytes;
    request.push.size = size;
    request.push.options.relays = RELAYS_DEFAULT;
    request.push.wait = true;
    outbox_push(peer->outbox, &request, &fake_identities[to].id, NULL, fake_now());
    return request.push.id;
}

static void test_blocked_sender(void **state) {
    (void)state;
    set_policy(&peers[1], INBOX_ALL, FILES_ALL, RULE_BLOCK);
    struct message_id one = push_waiting(&peers[0], 1, 10),
                      other = push_waiting(&peers[0], 1, 100000),
                      file = send_to(&peers[0], 1, 200000);
    run_until_delivered();
    run_for(US_PER_S);
    assert_refused(&peers[0], &one, "blocked by the recipient");
    assert_refused(&peers[0], &other, "blocked by the recipient");
    assert_refused(&peers[0], &file, "blocked by the recipient");
    assert_int_equal(peers[1].store.n_in, 0);
    assert_true(inbox_counters(peers[1].inbox)->refused_blocked >= 3);
    push_to(&peers[1], 1, 10); /* to ourselves: no policy holds */
    run_for(US_PER_S);
    assert_int_equal(peers[1].store.n_in, 1);
}

static void test_unknown_sender(void **state) {
    (void)state;
    set_policy(&peers[1], INBOX_ALLOWED, FILES_ALL, RULE_NONE);
    struct message_id id = push_waiting(&peers[0], 1, 10);
    run_until_delivered();
    run_for(US_PER_S);
    assert_refused(&peers[0], &id, "the recipient takes messages from known senders only");
    assert_true(inbox_counters(peers[1].inbox)->refused_unknown > 0);
    assert_int_equal(policy_set(peers[1].policy, &fake_identities[0].id, RULE_ALLOW), 0);
    push_to(&peers[0], 1, 10);
    run_until_delivered();
    assert_int_equal(peers[1].store.n_in, 1);
}

static void test_files_not_taken(void **state) {
    (void)state;
    set_policy(&peers[1], INBOX_ALL, FILES_NONE, RULE_ALLOW);
    struct message_id file = send_to(&peers[0], 1, 500000);
    push_to(&peers[0], 1, 10);
    run_until_delivered();
    run_for(US_PER_S);
    assert_refused(&peers[0], &file,
                   "the recipient takes no files from us (it may p2pctl allow us)");
    assert_int_equal(peers[1].store.n_in, 1);
    assert_true(inbox_counters(peers[1].inbox)->refused_files > 0);
}

static void test_quotas(void **state) {
    (void)state;
    peer_crash(&peers[1]);
    peers[1].quota = 1000;
    peers[1].files_quota = 200000;
    peer_start(&peers[1], 64 << 20);
    struct message_id small = push_waiting(&peers[0], 1, 1000),
                      large = push_waiting(&peers[0], 1, 1001),
                      file = send_to(&peers[0], 1, 200000),
                      large_file = send_to(&peers[0], 1, 200001);
    run_for(US_PER_MINUTE);
    assert_int_equal(store_find(&peers[0].store, &small)->record.state, MESSAGE_DELIVERED);
    assert_int_equal(store_find(&peers[0].store, &file)->record.state, MESSAGE_DELIVERED);
    assert_int_equal(outbox_pending(peers[0].outbox), 2); /* for mono_now */
    assert_int_equal(peers[1].store.n_in, 2);
    assert_true(inbox_counters(peers[1].inbox)->refused_quota >= 2);
    peer_crash(&peers[1]); /* its user gives them more room */
    peers[1].quota = 1001;
    peers[1].files_quota = 200001;
    peer_start(&peers[1], 64 << 20);
    run_until_delivered();
    run_for(US_PER_S);
    assert_int_equal(store_find(&peers[0].store, &large)->record.state, MESSAGE_DELIVERED);
    assert_int_equal(store_find(&peers[0].store, &large_file)->record.state, MESSAGE_DELIVERED);
    assert_int_equal(peers[1].store.n_in, 4);
}

static void test_damaged_file(void **state) {
    (void)state;
    struct message_id file = send_to(&peers[0], 1, 1000);
    peers[1].store.fail_kind = STORE_IN_PUT;
    peers[1].store.fail_error = -EBADMSG;
    peers[1].store.fail_left = 1;
    run_until_delivered();
    run_for(US_PER_S);
    assert_refused(&peers[0], &file, "it arrived damaged: its digest is wrong");
}

/* ---- Handing out, end to end ---- */
static void pull_all(struct peer *peer, uint64_t client, size_t *ret_taken) {
    struct request request = {.client = client, .kind = REQUEST_PULL, .pull = {.from_any = true}};
    inbox_pull(peer->inbox, &request, NULL);
    for (;;) {
        run_for(0);
        const struct answer *answer = fake_answer(&peer->effects, client);
        assert_non_null(answer);
        bool end = answer->end;
        *ret_taken += end ? 0 : answer->messages.n;
        assert_true(end ? answer->messages.n == 0 : answer->messages.n > 0);
        for (size_t i = 1; i < answer->messages.n; i++)
            assert_true(answer->messages.v[i - 1].sequence < answer->messages.v[i].sequence);
        fake_effects_clear(&peer->effects);
        if (end)
            return;
        inbox_confirm(peer->inbox, client, NULL, 0, wall_now());
    }
}

static void test_pull(void **state) {
    (void)state;
    size_t taken = 0;
    fake_jitter_us = 50 * US_PER_MS;
    for (unsigned i = 0; i < 300; i++)
        push_to(&peers[0], 1, i == 3 ? 100000 : 10);
    run_until_delivered();
    run_for(US_PER_S);
    assert_int_equal(inbox_waiting(peers[1].inbox), 300);
    pull_all(&peers[1], 7, &taken);
    assert_int_equal(taken, 300);
    assert_int_equal(inbox_waiting(peers[1].inbox), 0);
    pull_all(&peers[1], 8, &taken);
    assert_int_equal(taken, 300);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(int argc, char **argv) {
    fake_arguments(argc, argv);
    const struct CMUnitTest tests[] = {
        TEST(test_one_message),
        TEST(test_paths_are_expected),
        TEST(test_paths_of_one_use),
        TEST(test_losses),
        TEST(test_heavy_losses),
        TEST(test_both_ways),
        TEST(test_restarts),
        TEST(test_epoch_turns),
        TEST(test_recipient_is_full),
        TEST(test_own_store_fails),
        TEST(test_refused),
        TEST(test_to_ourselves),
        TEST(test_small_memory),
        TEST(test_long_ones_do_not_delay),
        TEST(test_away_for_long),
        TEST(test_pull),
        TEST(test_files),
        TEST(test_files_to_ourselves),
        TEST(test_progress),
        TEST(test_blocked_sender),
        TEST(test_unknown_sender),
        TEST(test_files_not_taken),
        TEST(test_quotas),
        TEST(test_damaged_file),
        TEST(test_explicit_shards_outlive_relays),
        TEST(test_explicit_shards_restart),
        TEST(test_parity_saves_a_round_trip),
        TEST(test_away_for_long),
        TEST(test_pull),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(fake_wire);
    return failed;
}
