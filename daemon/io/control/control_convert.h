/* Between the core's forms (daemon/core/seam) and the control protocol's (proto/control.proto),
 * both ways, in this one place. Pure: bytes and structs in, structs and messages out; no socket. */
#ifndef P2PD_CONTROL_CONVERT_H
#define P2PD_CONTROL_CONVERT_H

#include "daemon/core/seam/answer.h"
#include "daemon/core/seam/request.h"
#include "daemon/io/control/control.h"
#include "proto/control.pb-c.h"
#include "shared/frame.h"

#define CONTROL_VERSION 1
#define CONTROL_TEXT_MAX sizeof(((struct answer *)0)->text)
/* Most records in one answer: so few that the memory which a client's allocator allows is always
 * enough. */
#define CONTROL_RECORDS_MAX 128

#define CONTROL_PASSPHRASE_MAX 1024 /* bytes */

enum control_decoded_kind {
    DECODED_REQUEST,
    DECODED_COMMAND,
    DECODED_SEND,      /* request: the push of a file, to be checked; its name is in `file` */
    DECODED_SEND_DONE, /* `done`, and the digest in `file` */
    DECODED_BACKUP,
    DECODED_OPEN_SESSION,
    DECODED_CANCEL_REQUEST /* of the request `cancel_id` */
};
struct control_decoded {
    enum control_decoded_kind kind;
    uint64_t request_id;
    struct request request; /* client is 0; borrows from wire, items and file */
    enum control_command command;
    struct file_head file;
    struct {
        uint64_t size;
        bool wait;
    } done;
    struct {
        const uint8_t *bytes; /* in wire, wiped with it */
        size_t length;
    } passphrase;
    uint64_t cancel_id;
    struct push_item *items;
    P2pd__Control__Request *wire;
    struct frame_allocator allocator;
};

/* Decode one frame. ANSWER_OK: *ret_decoded is to be given to control_decoded_free, and must not
 * move until then. Else the code to answer with; ret_text says why and ret_decoded->request_id
 * is set (0 if it could not be read); nothing to free. */
enum answer_code control_decode(const uint8_t *frame, size_t length, size_t message_max,
                                struct control_decoded *ret_decoded,
                                char ret_text[CONTROL_TEXT_MAX]);
void control_decoded_free(struct control_decoded *decoded);

/* Where the pieces of an answer go, in order. `message` returns false if there is no memory, which
 * ends the conversion. */
struct control_emit {
    bool (*message)(void *context, const P2pd__Control__Answer *message);
    void *context;
};
/* Convert an answer of the core into one or more answers of the protocol, each holding at most
 * CONTROL_RECORDS_MAX records and bytes_max of bodies (but at least one message). The last one
 * carries `end`, the cursor and, if `confirm`, the demand to confirm. An answer that no frame can
 * hold is replaced by an error, which is the last one. False: emit->message returned false, or
 * there is no memory. */
bool control_encode(const struct answer *answer, uint64_t request_id, bool confirm,
                    size_t bytes_max, const struct control_emit *emit);

#endif
