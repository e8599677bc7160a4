/* Ids of messages: who pushes makes them. See message_id.c. */
#ifndef P2PD_MESSAGE_ID_H
#define P2PD_MESSAGE_ID_H

#include <stdint.h>

#define MESSAGE_ID_BYTES 16

/* A fresh one: the time in milliseconds (6 bytes), then 10 random ones. */
void message_id_make(uint8_t ret_id[MESSAGE_ID_BYTES]);
/* Make it the one after it: of many messages at once the first is made, the others follow. */
void message_id_next(uint8_t id[MESSAGE_ID_BYTES]);

#endif
