/* status, doctor, stop, reload, backup, sessions: the daemon itself. */
#include "daemon/io/control/convert_private.h"

#include "shared/version.h"

/* Plain numbers in Finding. */
_Static_assert(FINDING_OK == 0 && FINDING_NOTE == 1 && FINDING_TROUBLE == 2,
               "control.proto: 0 ok, 1 note, 2 trouble");

/* ---- Commands ---- */

static enum answer_code decode_own(struct decoder *decoder, enum control_command command) {
    decoder->decoded->kind = DECODED_COMMAND;
    decoder->decoded->command = command;
    return ANSWER_OK;
}

enum answer_code decode_stop(struct decoder *decoder) {
    return decode_own(decoder, CONTROL_STOP);
}

enum answer_code decode_reload(struct decoder *decoder) {
    return decode_own(decoder, CONTROL_RELOAD);
}

enum answer_code decode_backup(struct decoder *decoder) {
    const ProtobufCBinaryData *passphrase = &decoder->wire->backup->passphrase;
    decoder->decoded->kind = DECODED_BACKUP;
    decoder->decoded->passphrase.bytes = passphrase->data;
    decoder->decoded->passphrase.length = passphrase->len;
    if (passphrase->len >= 1 && passphrase->len <= CONTROL_PASSPHRASE_MAX)
        return ANSWER_OK;
    return decode_refuse(decoder, ANSWER_USAGE, "a passphrase has 1 to %d bytes",
                         CONTROL_PASSPHRASE_MAX);
}

enum answer_code decode_open_session(struct decoder *decoder) {
    decoder->decoded->kind = DECODED_OPEN_SESSION;
    return ANSWER_OK;
}

enum answer_code decode_cancel_request(struct decoder *decoder) {
    decoder->decoded->kind = DECODED_CANCEL_REQUEST;
    decoder->decoded->cancel_id = decoder->wire->cancel_request->request_id;
    return ANSWER_OK;
}

/* ---- Answers ---- */

static const struct {
    const char *name;
    size_t offset; /* in struct counters */
} counter_table[] = {
#define COUNTER(name, text) {#name, offsetof(struct counters, name)},
#define DROP(drop, name, text)                                                                     \
    {#name, offsetof(struct counters, drops) + (drop) * sizeof(uint64_t)},
    COUNTERS(COUNTER) DROPS(DROP)
#undef COUNTER
#undef DROP
};
#define N_COUNTERS (sizeof counter_table / sizeof counter_table[0])
_Static_assert(N_COUNTERS == sizeof(struct counters) / sizeof(uint64_t) - 1,
               "each counter has a name, all but that of DROP_NONE");

static void fill_counters(const struct counters *counters, P2pd__Control__Counter *ret_records,
                          P2pd__Control__Counter **ret_pointers) {
    for (size_t i = 0; i < N_COUNTERS; i++) {
        p2pd__control__counter__init(&ret_records[i]);
        ret_records[i].name = (char *)counter_table[i].name;
        memcpy(&ret_records[i].value, (const uint8_t *)counters + counter_table[i].offset,
               sizeof ret_records[i].value);
        ret_pointers[i] = &ret_records[i];
    }
}

bool encode_status(struct encoder *encoder, const struct answer *answer) {
    const struct status_report *report = answer->status;
    P2pd__Control__StatusReport status = P2PD__CONTROL__STATUS_REPORT__INIT;
    P2pd__Control__Counter counters[N_COUNTERS], *pointers[N_COUNTERS];
    ProtobufCBinaryData addresses[DESCRIPTOR_ADDRESSES_MAX];
    for (size_t i = 0; i < report->n_addresses; i++)
        addresses[i] = encode_address(encoder, i, &report->addresses[i]);
    fill_counters(&report->counters, counters, pointers);
    status.version = (char *)P2PD_VERSION;
    status.id = encode_id(&report->id);
    status.name = (char *)report->name;
    status.n_addresses = report->n_addresses;
    status.addresses = addresses;
    status.network = report->network_open ? 1 : 2;
#define NUMBER(type, name, text) status.name = report->name;
    STATUS_NUMBERS(NUMBER)
#undef NUMBER
    status.n_counters = N_COUNTERS;
    status.counters = pointers;
    encoder->answer.status = &status;
    return encode_piece(encoder, true);
}

static size_t fill_finding(struct encoder *encoder, const struct answer *answer, size_t record,
                           size_t place, void *to) {
    const struct finding *from = &answer->doctor.v[record];
    P2pd__Control__Finding *finding = to;
    (void)encoder, (void)place;
    p2pd__control__finding__init(finding);
    finding->level = (uint32_t)from->level;
    finding->topic = (char *)from->topic;
    finding->text = (char *)from->text;
    return 0;
}

bool encode_findings(struct encoder *encoder, const struct answer *answer) {
    encoder->answer.findings = (P2pd__Control__Finding **)encoder->pointers;
    return encode_list(encoder, answer, answer->doctor.n, sizeof(P2pd__Control__Finding),
                       &encoder->answer.n_findings, fill_finding);
}
