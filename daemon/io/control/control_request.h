/* One request, on a connection of its own or in a session. Within io/control. control_give.c: what
 * goes to the core; control_output.c: what goes out; control_send.c: files; control_request.c: how
 * a request begins, and how it is answered. */
#ifndef P2PD_CONTROL_REQUEST_H
#define P2PD_CONTROL_REQUEST_H

#include "daemon/io/control/control_private.h"

/* control_give.c */
/* Hand a request to the core. */
void client_give(struct control_client *client, struct request *request);
/* Confirm all messages that were handed out to this client. */
void client_confirm(struct control_client *client);

/* control_output.c */
bool client_queue_message(struct control_client *client, const P2pd__Control__Answer *message);
bool client_queue_text(struct control_client *client, const char *text);
/* The lines of a text PULL. */
void client_answer_lines(struct control_client *client, const struct in_record *messages, size_t n);
/* An answer in frames. `fd` (taken; -1: none) goes with its first. */
void client_answer_frames(struct control_client *client, const struct answer *answer, int fd);
/* The end of a request that the core has never seen. */
void client_refuse(struct control_client *client, enum answer_code code, const char *text);
/* Send what the kernel takes. 0: all is out; 1: some is left; 2: the reader has not read the line
 * sent before; or -errno. */
int client_send_output(struct control_client *client);
/* Has the peer read everything that we wrote, without failing? Only then have the messages of a
 * text PULL arrived. */
bool client_has_read(struct control_client *client);
void client_free_output(struct control_client *client);
/* Free the output that is not sent, but not a frame of which a part is sent. */
void client_free_unsent(struct control_client *client);
/* The client holds too much output that it does not read: free that, and drop the client at the
 * next turn of the loop. */
void client_discard_output(struct control_client *client);
/* Drop the client at the next turn of the loop. */
void client_close_later(struct control_client *client);

/* control_send.c */
/* A Send has come: ask the core whether the file would be taken. */
void send_begin(struct control_client *client, const struct control_decoded *decoded);
/* The core's answer to that question, or its first answer to the message. */
void send_take_answer(struct control_client *client, const struct answer *answer);
/* A SendDone has come: the file becomes a message. */
void send_finish(struct control_client *client, const struct control_decoded *decoded);
/* Give the file up, unless the core has it already. True: there was one to give up. */
bool send_abandon(struct control_client *client);
/* A FileOpen's answer: with the file's descriptor, or in words why there is none. */
void send_open_file(struct control_client *client, const struct answer *answer);

/* control_request.c */
void client_begin(struct control_client *client, struct control_decoded *decoded);
void client_take_answer(struct control_client *client, const struct answer *answer);

#endif
