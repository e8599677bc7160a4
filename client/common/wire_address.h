/* The address in a field of an answer. */
#ifndef P2PD_CLIENT_WIRE_ADDRESS_H
#define P2PD_CLIENT_WIRE_ADDRESS_H

#include "proto/control.pb-c.h"
#include "shared/address.h"

#include <stdbool.h>

/* False: the field is malformed or empty. */
static inline bool wire_address(const ProtobufCBinaryData *data, struct address *ret_address) {
    if (data->len != ADDRESS_WIRE_LEN)
        return false;
    address_unpack(data->data, ret_address);
    return !address_is_unspecified(ret_address);
}

#endif
