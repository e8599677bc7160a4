/* Doubles for what mail needs of identities, directory and paths: a part of fake_delivery.h, which
 * includes it. Each node has one mail key; what a node says of mailboxes is what a test puts
 * here. */
#ifndef FAKE_MAIL_H
#define FAKE_MAIL_H

#include "daemon/core/route/path_reply.h"
#include "daemon/core/wire/mail.h"

#define FAKE_SIGNED                                                                                \
    7 /* the second byte of a descriptor whose signature is good; the first is its node */

static struct noise_keypair fake_mail_keys[FAKE_NODES];
static uint32_t fake_mail_days[FAKE_NODES]; /* 0: no key */
static uint64_t fake_mailboxes[FAKE_NODES][DESCRIPTOR_MAILBOXES_MAX];
static uint8_t fake_n_mailboxes[FAKE_NODES];
static bool fake_down[FAKE_NODES];
static enum path_outcome fake_reply_outcome;
static const uint8_t fake_own_bytes[200] = {0, FAKE_SIGNED, 1, 2, 3};

const struct noise_keypair *identity_mail_key(const struct identity *identity, uint32_t day) {
    size_t node = (size_t)(identity - fake_identities);
    return day != 0 && day == fake_mail_days[node] ? &fake_mail_keys[node] : NULL;
}
static inline void fake_mail_describe(size_t node, struct descriptor *descriptor) {
    descriptor->mail_day = fake_mail_days[node];
    if (descriptor->mail_day != 0)
        memcpy(descriptor->mail_key, fake_mail_keys[node].public, KEY_LEN);
    memcpy(descriptor->mailboxes, fake_mailboxes[node], sizeof fake_mailboxes[node]);
    descriptor->n_mailboxes = fake_n_mailboxes[node];
}
const uint8_t *directory_bytes(const struct directory *directory, uint64_t prefix,
                               size_t *ret_length, struct version *ret_version) {
    (void)directory, (void)prefix;
    *ret_length = sizeof fake_own_bytes;
    *ret_version = (struct version){.sequence = 1};
    return fake_own_bytes;
}
bool directory_is_up(const struct directory *directory, const struct directory_entry *entry) {
    (void)directory;
    return !fake_down[entry - fake_entries];
}
enum drop descriptor_open(const uint8_t *bytes, size_t length, struct descriptor *ret_descriptor) {
    if (length < 2 || bytes[0] >= FAKE_NODES)
        return DROP_MALFORMED;
    if (bytes[1] != FAKE_SIGNED)
        return DROP_AUTH;
    memset(ret_descriptor, 0, sizeof *ret_descriptor);
    ret_descriptor->id = fake_identities[bytes[0]].id;
    memcpy(ret_descriptor->link_key, fake_identities[bytes[0]].link.public, KEY_LEN);
    return DROP_NONE;
}
/* The packet is its payload. */
enum path_outcome path_reply(const struct path_reply_rooms *rooms,
                             const struct path_request *request, const void *payload, size_t length,
                             struct now now, uint64_t *ret_first, uint8_t ret_packet[ONION_LEN]) {
    (void)rooms, (void)request, (void)now;
    if (fake_reply_outcome != PATH_OK)
        return fake_reply_outcome;
    memset(ret_packet, 0, ONION_LEN);
    memcpy(ret_packet, payload, length);
    *ret_first = 4711;
    return PATH_OK;
}

#endif
