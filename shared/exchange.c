/* Threat: the other end need not be our daemon. Lengths are checked before they are used, answers
 * are unpacked in bounded memory, an answer that nobody asked for ends the connection, and
 * descriptors beyond the expected one are closed. */
#include "shared/exchange.h"

#include "shared/frame.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct outgoing {
    struct outgoing *next;
    uint8_t *bytes;
    size_t length, sent;
};

struct ready {
    struct ready *next;
    P2pd__Control__Answer *answer;
    size_t length; /* of its frame */
    int fd;
};

struct pending {
    uint64_t request_id;
    bool is_answered; /* the last answer has come, but its Confirm is not sent yet */
    bool is_cancel;
};

struct exchange {
    uint64_t last_id;
    bool is_session;
    struct pending pending[2 * EXCHANGE_REQUESTS_MAX]; /* each request may be cancelled */
    size_t n_pending, n_cancels;
    struct outgoing *out, **out_tail;
    size_t out_bytes;
    /* The answer that is arriving: first its header, then its body. */
    uint8_t header[FRAME_HEADER];
    uint8_t *body; /* NULL: the header is not whole */
    size_t have, length;
    int carried; /* the descriptor that came with it, or -1 */
    struct ready *ready, **ready_tail;
    size_t ready_bytes;
    int error; /* 0, or why nothing more comes */
};

struct exchange *exchange_new(void) {
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->out_tail = &exchange->out;
    exchange->ready_tail = &exchange->ready;
    exchange->carried = -1;
    return exchange;
}

static void drop_descriptor(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void drop_input(struct exchange *exchange) {
    drop_descriptor(&exchange->carried);
    free(exchange->body);
    exchange->body = NULL;
    exchange->have = exchange->length = 0;
}

void exchange_free(struct exchange *exchange) {
    P2pd__Control__Answer *answer = NULL;
    if (!exchange)
        return;
    while (exchange_next(exchange, &answer, NULL) > 0)
        exchange_answer_free(answer);
    exchange_discard_output(exchange);
    drop_input(exchange);
    free(exchange);
}

/* ---- Requests ---- */

static struct pending *find_pending(struct exchange *exchange, uint64_t request_id) {
    for (size_t i = 0; i < exchange->n_pending; i++)
        if (exchange->pending[i].request_id == request_id)
            return &exchange->pending[i];
    return NULL;
}

static void forget_pending(struct exchange *exchange, struct pending *pending) {
    exchange->n_cancels -= pending->is_cancel;
    *pending = exchange->pending[--exchange->n_pending];
}

size_t exchange_pending(const struct exchange *exchange) {
    return exchange->n_pending;
}

/* May a further request begin? A CancelRequest does not count among the requests that the daemon
 * allows. */
static int check_room(const struct exchange *exchange, bool is_cancel) {
    size_t n = is_cancel ? exchange->n_cancels : exchange->n_pending - exchange->n_cancels;
    bool is_only = exchange->last_id > 0 && !exchange->is_session;
    return is_only || n >= EXCHANGE_REQUESTS_MAX ? -EBUSY : 0;
}

static int queue(struct exchange *exchange, P2pd__Control__Request *request, uint64_t request_id) {
    if (exchange->error)
        return exchange->error;
    if (exchange->out_bytes >= EXCHANGE_OUTPUT_MAX)
        return -EAGAIN;
    request->version = EXCHANGE_VERSION;
    request->request_id = request_id;
    if (protobuf_c_message_get_packed_size(&request->base) > FRAME_LENGTH_MAX)
        return -EMSGSIZE;
    struct outgoing *outgoing = calloc(1, sizeof *outgoing);
    if (outgoing)
        outgoing->bytes = frame_pack(&request->base, &outgoing->length);
    if (!outgoing || !outgoing->bytes) {
        free(outgoing);
        return -ENOMEM;
    }
    *exchange->out_tail = outgoing;
    exchange->out_tail = &outgoing->next;
    exchange->out_bytes += outgoing->length;
    return 0;
}

int exchange_ask(struct exchange *exchange, P2pd__Control__Request *request) {
    bool opens = request->command_case == P2PD__CONTROL__REQUEST__COMMAND_OPEN_SESSION;
    bool is_cancel = request->command_case == P2PD__CONTROL__REQUEST__COMMAND_CANCEL_REQUEST;
    if (opens && exchange->last_id > 0)
        return -EBUSY;
    int error = check_room(exchange, is_cancel);
    if (error == 0)
        error = queue(exchange, request, exchange->last_id + 1);
    if (error < 0)
        return error;
    exchange->is_session = exchange->is_session || opens;
    exchange->n_cancels += is_cancel;
    exchange->pending[exchange->n_pending++] =
        (struct pending){.request_id = ++exchange->last_id, .is_cancel = is_cancel};
    return 0;
}

int exchange_continue(struct exchange *exchange, uint64_t request_id,
                      P2pd__Control__Request *request) {
    struct pending *pending = find_pending(exchange, request_id);
    int error = pending ? queue(exchange, request, request_id) : -ENOENT;
    if (error == 0 && pending->is_answered)
        forget_pending(exchange, pending);
    return error;
}

int exchange_cancel(struct exchange *exchange, uint64_t request_id) {
    P2pd__Control__Request request = P2PD__CONTROL__REQUEST__INIT;
    P2pd__Control__CancelRequest cancel = P2PD__CONTROL__CANCEL_REQUEST__INIT;
    struct pending *pending = find_pending(exchange, request_id);
    if (!pending)
        return -ENOENT;
    cancel.request_id = request_id;
    request.command_case = P2PD__CONTROL__REQUEST__COMMAND_CANCEL_REQUEST;
    request.cancel_request = &cancel;
    int error = exchange_ask(exchange, &request);
    if (error == 0 && pending->is_answered) /* answered: only the Confirm was missing */
        forget_pending(exchange, pending);
    return error;
}

/* ---- Bytes out ---- */

const uint8_t *exchange_output(const struct exchange *exchange, size_t *ret_length) {
    const struct outgoing *first = exchange->out;
    *ret_length = first ? first->length - first->sent : 0;
    return first ? first->bytes + first->sent : NULL;
}

static void drop_first(struct exchange *exchange) {
    struct outgoing *first = exchange->out;
    exchange->out = first->next;
    if (!exchange->out)
        exchange->out_tail = &exchange->out;
    exchange->out_bytes -= first->length - first->sent;
    sodium_memzero(first->bytes, first->length);
    free(first->bytes);
    free(first);
}

void exchange_sent(struct exchange *exchange, size_t length) {
    struct outgoing *first = exchange->out;
    assert(first && length <= first->length - first->sent);
    first->sent += length;
    exchange->out_bytes -= length;
    if (first->sent == first->length)
        drop_first(exchange);
}

void exchange_discard_output(struct exchange *exchange) {
    while (exchange->out)
        drop_first(exchange);
}

/* ---- Bytes in ---- */

uint8_t *exchange_input(struct exchange *exchange, size_t *ret_length) {
    *ret_length = 0;
    if (exchange->error || exchange->ready_bytes >= EXCHANGE_BACKLOG)
        return NULL;
    *ret_length = (exchange->body ? exchange->length : FRAME_HEADER) - exchange->have;
    return (exchange->body ? exchange->body : exchange->header) + exchange->have;
}

void exchange_end(struct exchange *exchange, int error) {
    if (exchange->error)
        return;
    exchange->error = error;
    drop_input(exchange);
}

/* The header is complete: make room for the body. */
static int begin_body(struct exchange *exchange) {
    size_t length = frame_get_length(exchange->header);
    if (length > FRAME_LENGTH_MAX)
        return -EPROTO;
    exchange->body = malloc(length ? length : 1);
    exchange->have = 0;
    exchange->length = length;
    return exchange->body ? 0 : -ENOMEM;
}

/* Is this an answer in our version to a request that is under way? If it is the last one, the
 * request is over. A refusal may have the number 0, if the daemon could not read the request's. */
static int settle_pending(struct exchange *exchange, const P2pd__Control__Answer *answer) {
    struct pending *pending = find_pending(exchange, answer->request_id);
    if (answer->version != EXCHANGE_VERSION)
        return -EPROTO;
    if (answer->request_id == 0)
        return answer->code != P2PD__CONTROL__CODE__OK ? 0 : -EPROTO;
    if (!pending || pending->is_answered)
        return -EPROTO;
    pending->is_answered = answer->end;
    if (answer->end && !answer->confirm)
        forget_pending(exchange, pending);
    return 0;
}

/* The body is complete: unpack the answer, to be handed out. */
static int take_body(struct exchange *exchange) {
    struct frame_allocator allocator;
    struct ready *ready = calloc(1, sizeof *ready);
    if (!ready)
        return -ENOMEM;
    frame_allocator_init(&allocator, exchange->length);
    ready->answer =
        p2pd__control__answer__unpack(&allocator.allocator, exchange->length, exchange->body);
    int error = ready->answer ? settle_pending(exchange, ready->answer) : -EPROTO;
    if (error < 0) {
        exchange_answer_free(ready->answer);
        free(ready);
        return error;
    }
    ready->fd = exchange->carried;
    ready->length = FRAME_HEADER + exchange->length;
    exchange->carried = -1;
    *exchange->ready_tail = ready;
    exchange->ready_tail = &ready->next;
    exchange->ready_bytes += ready->length;
    drop_input(exchange);
    return 0;
}

void exchange_received(struct exchange *exchange, size_t length, int fd) {
    int error = 0;
    if (fd >= 0) {
        drop_descriptor(&exchange->carried);
        exchange->carried = fd;
    }
    exchange->have += length;
    if (!exchange->body && exchange->have == FRAME_HEADER)
        error = begin_body(exchange);
    if (error == 0 && exchange->body && exchange->have == exchange->length)
        error = take_body(exchange);
    if (error < 0)
        exchange_end(exchange, error);
}

/* ---- Answers out ---- */

int exchange_next(struct exchange *exchange, P2pd__Control__Answer **ret_answer, int *ret_fd) {
    struct ready *first = exchange->ready;
    if (!first)
        return exchange->error;
    exchange->ready = first->next;
    if (!exchange->ready)
        exchange->ready_tail = &exchange->ready;
    exchange->ready_bytes -= first->length;
    if (ret_fd)
        *ret_fd = first->fd;
    else
        drop_descriptor(&first->fd);
    *ret_answer = first->answer;
    free(first);
    return 1;
}

void exchange_answer_free(P2pd__Control__Answer *answer) {
    /* The allocator frees memory without knowing how much it has given. */
    struct frame_allocator allocator;
    frame_allocator_init(&allocator, 0);
    if (answer)
        p2pd__control__answer__free_unpacked(answer, &allocator.allocator);
}
