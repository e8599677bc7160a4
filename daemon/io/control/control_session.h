/* Many requests on one connection. Within io/control. */
#ifndef P2PD_CONTROL_SESSION_H
#define P2PD_CONTROL_SESSION_H

#include "daemon/io/control/control_private.h"

/* An OpenSession has come: the connection is a session from here on. */
void control_session_open(struct control_client *client);
/* A frame of the session has come, decoded to `code`; if that is not ANSWER_OK, `text` says why. */
void control_session_take(struct control_client *client, enum answer_code code,
                          struct control_decoded *decoded, const char *text);
/* Free the requests that are over; read again if few enough answers wait to be read. */
void control_session_tend(struct control_client *client);
/* The request that the core knows by that number, or NULL. */
struct control_client *control_session_find(const struct control_client *client, uint64_t number);
/* Forget the session's requests at once. `tell` the core of those that it is at work for. */
void control_session_drop(struct control_client *client, bool tell);
/* End the session: answer with `code` and `text`, and serve none of its requests any more. */
void control_session_end(struct control_client *client, enum answer_code code, const char *text);
/* The spool is no longer ours: Sends that have not given their file to the core fail. */
void control_session_abandon_sends(struct control_client *client);

#endif
