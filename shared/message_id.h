/* Ids of messages: whoever pushes a message makes its id. See message_id.c. */
#ifndef P2PD_MESSAGE_ID_H
#define P2PD_MESSAGE_ID_H

#include <stdint.h>

#define MESSAGE_ID_BYTES 16

/* Make a fresh id: the time in milliseconds (6 bytes), then 10 random bytes. */
void message_id_make(uint8_t ret_id[MESSAGE_ID_BYTES]);
/* Replace the id by the next one: of many messages at once the first id is made, the others
 * follow. */
void message_id_next(uint8_t id[MESSAGE_ID_BYTES]);

#endif
