/* Many requests on one connection. Within io/control. */
#ifndef P2PD_CONTROL_SESSION_H
#define P2PD_CONTROL_SESSION_H

#include "daemon/io/control/control_private.h"

/* An OpenSession has come: from here on the connection is one. */
void control_session_open(struct control_client *client);
/* A frame of it, decoded to `code`; if that is not ANSWER_OK, `text` says why. */
void control_session_take(struct control_client *client, enum answer_code code,
                          struct control_decoded *decoded, const char *text);
/* Let go of the requests that are over; read again if there is room for answers. */
void control_session_tend(struct control_client *client);
/* The request that the core knows by that number, or NULL. */
struct control_client *control_session_find(const struct control_client *client, uint64_t number);
/* Forget its requests at once; the core is told of those that it is at work for, if `tell`. */
void control_session_drop(struct control_client *client, bool tell);
/* Nothing more is asked in it: `text` says why. */
void control_session_end(struct control_client *client, enum answer_code code, const char *text);
/* The spool is no longer ours: Sends that have not given their file to the core fail. */
void control_session_abandon_sends(struct control_client *client);

#endif
