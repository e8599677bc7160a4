/* link: daemon/core/wire/descriptor daemon/core/wire/identity daemon/core/wire/noise shared/address proto/wire.pb-c */
/* A descriptor of any bytes: refused, or within every bound that the rest of the program relies
 * on. */
#include "daemon/core/wire/identity.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct descriptor d, opened;

    if (descriptor_decode(data, size, &d) != DROP_NONE) {
        check(descriptor_open(data, size, &opened) != DROP_NONE);
        return 0;
    }
    check(size <= DESCRIPTOR_MAX && d.n_epochs >= 1 && d.n_epochs <= EPOCHS_PUBLISHED);
    check(d.n_addresses <= DESCRIPTOR_ADDRESSES_MAX);
    check(d.n_neighbours <= DESCRIPTOR_NEIGHBOURS_MAX);
    check(d.sequence >= 1 && d.sequence <= DESCRIPTOR_SEQUENCE_MAX);
    check(d.name[0] == '\0' || descriptor_name_is_valid(d.name));
    check(descriptor_routing_key(&d, d.first_epoch) == d.routing_keys[0]);
    for (size_t i = 0; i < d.n_neighbours; i++)
        check(d.neighbours[i].prefix != node_id_prefix(&d.id));
    enum drop drop = descriptor_open(data, size, &opened);
    check(drop == DROP_NONE || drop == DROP_AUTH);
    return 0;
}
