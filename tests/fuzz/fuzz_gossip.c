/* link: daemon/core/base/budget daemon/core/overlay/gossip daemon/core/overlay/gossip_want daemon/core/overlay/gossip_proof daemon/core/overlay/gossip_patience daemon/core/overlay/gossip_older daemon/core/directory/directory daemon/core/directory/directory_index daemon/core/directory/directory_version daemon/core/directory/directory_room daemon/core/directory/directory_proof daemon/core/directory/directory_resolve daemon/core/directory/directory_claims daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise daemon/core/directory/topology daemon/core/directory/topology_draw shared/address proto/wire.pb-c */
/* Two neighbours that say anything: the input is a run of (neighbour and type 1, length 2, body);
 * type 0 lets time pass. Whatever they say, gossip never spins, never sends a frame too long, and
 * forgets all of it at the end. */
#include "daemon/core/base/wirebuf.h"
#include "daemon/core/overlay/gossip.h"

#include <errno.h>
#include <stdlib.h>

#define STEPS_MAX 64
#define WALL ((struct wall){INT64_C(500000) * EPOCH_US})

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct links {
    unsigned sent;
};

int links_send_frame(struct links *links, uint64_t prefix, uint8_t type, const void *body,
                     size_t length, struct mono now) {
    (void)prefix, (void)body, (void)now;
    if (length > FRAME_BODY_MAX || type < FRAME_ANNOUNCE ||
        (type > FRAME_DIGEST && type != FRAME_PROOF))
        abort();
    return ++links->sent % 8 == 0 ? -ENOBUFS : 0; /* a full queue now and then */
}

uint64_t links_source(const struct links *links, uint64_t prefix) {
    (void)links, (void)prefix;
    return 7;
}

static void fill(void *context, void *buffer, size_t length) {
    uint8_t *next = context;

    for (size_t i = 0; i < length; i++)
        ((uint8_t *)buffer)[i] = (*next)++;
}

static void play(struct gossip *gossip, struct wire_reader r) {
    struct mono now = {US_PER_HOUR};
    const struct directory_entry *news = NULL;

    for (int i = 0; i < STEPS_MAX && wire_left(&r) >= 3; i++) {
        uint64_t head = wire_get_uint(&r, 1);
        size_t length = (size_t)wire_get_uint(&r, 2);
        if (length > wire_left(&r))
            length = wire_left(&r);
        if (head % 128 == 0)
            now.us += (int64_t)length * 20 * US_PER_MS;
        else
            gossip_frame(gossip, 1 + head / 128, head % 128, wire_take(&r, length), length,
                         (struct now){now, WALL}, &news);
        if (news)
            gossip_offer_news(gossip, news->prefix, 1 + head / 128, now);
        news = NULL;
        gossip_tick(gossip, (struct now){now, WALL});
        if (gossip_next(gossip).us <= now.us)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t next = 1;
    struct core_random random = {fill, &next};
    struct node_id self = {{0xaa}};
    struct links links = {0};
    struct budget budget;
    budget_init(&budget, 1u << 20);
    struct directory *directory = directory_new(&self, 16, &random);
    struct gossip *gossip = gossip_new(directory, &links, &budget, &random);

    gossip_link_up(gossip, 1, (struct mono){US_PER_HOUR});
    gossip_link_up(gossip, 2, (struct mono){US_PER_HOUR});
    play(gossip, wire_reader(data, size));
    gossip_free(gossip);
    directory_free(directory);
    return 0;
}
